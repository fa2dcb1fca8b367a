//! `dialplane demo`: the engine in a process of its own, dialers in processes of theirs, real leads from a real file,
//! all through the public API. What is claimed at the end is counted from the dialers' own logs.

mod carrier;
mod dialer;
mod hours;
mod log;
mod progress;
mod report;
mod script;
mod setup;
mod stage;

use std::{io::Read as _, path::PathBuf, thread};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};

pub use self::dialer::{DialerArgs, run as run_dialer};
use self::stage::Stage;
use super::{Client, Error, client::Clients, output::say};

const ENGINE_CAP: i32 = 40;

/// Below the engine's in the first run, so that the campaign's cap binds; above it in the second, so that the engine's
/// does.
const CAMPAIGN_CAPS: [i32; 2] = [30, 50];

/// Arguments of `demo`.
#[derive(Clone, clap::Args)]
#[command(after_help = "Needs PostgreSQL's server programs, and no running database.\n\
        Exits with 1 when the engine broke a promise.")]
pub struct DemoArgs {
    /// Go on serving afterwards, until Ctrl-C, and print requests to paste
    #[arg(long)]
    keep: bool,
    /// Simulated dialers, each a process
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=50))]
    dialers: u16,
    /// Keep database and logs in this directory [default: a temporary one, removed at the end]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Seed of the simulated calls [default: drawn, and printed]
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the demo; on every path, Ctrl-C included, the processes that it started are stopped.
pub async fn run(args: DemoArgs) -> Result<(), Error> {
    let mut stage = Stage::build(args.dir.as_deref())?;
    let played = tokio::select! {
        // The play first: with --keep Ctrl-C is its good end.
        biased;
        played = script::play(&mut stage, &args) => played,
        interrupted = interrupted() => Err(interrupted),
    };
    if let Err(Error::Failed(_) | Error::Server(_) | Error::Unreachable { .. }) = &played {
        stage.show_logs();
    }
    stage.strike().await;
    played
}

/// SIGINT, SIGTERM or SIGHUP.
async fn interrupted() -> Error {
    let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
    let waits = kinds.map(|kind| {
        Box::pin(async move {
            match signal(kind) {
                Ok(mut signal) => signal.recv().await,
                Err(_) => std::future::pending().await,
            }
        })
    });
    futures::future::select_all(waits).await;
    Error::Interrupted
}

/// SIGTERM, or a parent that has closed our standard input or died.
async fn stop_requested() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminated => {}
        () = stdin_closed() => {}
    }
}

/// Ends when standard input does: how a child learns of its parent's death without asking. A thread of its own,
/// since a blocked read of tokio's would hold up the end of the runtime.
pub async fn stdin_closed() {
    let (closed, wait) = oneshot::channel();
    thread::spawn(move || {
        let mut buffer = [0; 64];
        let mut input = std::io::stdin().lock();
        while matches!(input.read(&mut buffer), Ok(1..)) {}
        let _ = closed.send(());
    });
    let _ = wait.await;
}
