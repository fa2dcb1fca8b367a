//! The `dialplane` program: parse, start telemetry, run one subcommand.

use std::{future::Future, process::ExitCode, time::Duration};

use dialplane::{
    app,
    cli::{Database, Invocation, LogFormat, ServeSettings, stdin_closed},
    config::{self, ServerConfig},
    embedded::EmbeddedPostgres,
    failpoints, telemetry,
};
use tokio::{runtime::Runtime, signal::unix};

fn main() -> ExitCode {
    let _failpoints = failpoints::read_environment();
    let invocation = match Invocation::from_args() {
        Ok(invocation) => invocation,
        Err(code) => return code,
    };
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let done = match invocation {
        Invocation::Client(command) => return runtime.block_on(command.run()),
        Invocation::Serve(settings) => {
            telemetry::start(matches!(settings.log_format, LogFormat::Json));
            serve(&runtime, settings)
        }
        Invocation::Migrate(settings) => match settings.database {
            Database::Url(url) => runtime.block_on(app::migrate(&url)),
            // Never parsed so: a private database is migrated by `serve`.
            Database::Embedded(_) => Ok(()),
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error @ app::AppError::Config(_)) => {
            failed(&error);
            ExitCode::from(2)
        }
        Err(error) => failed(&error),
    }
}

fn serve(runtime: &Runtime, settings: ServeSettings) -> Result<(), app::AppError> {
    let fill = config::fill_settings()?;
    let config = ServerConfig { listen: settings.listen, drain_within: settings.drain_within, fill };
    let stopping = stopping(settings.stop_with_stdin);
    match settings.database {
        Database::Url(url) => runtime.block_on(app::serve(&url, config, stopping)),
        Database::Embedded(dir) => {
            let mut postgres = EmbeddedPostgres::start(&dir)?;
            let url = postgres.connection_string("dialplane");
            let served = runtime.block_on(async {
                tokio::select! {
                    served = app::serve(&url, config, stopping) => served,
                    // Nobody would restart it: whoever restarts us does.
                    () = died(&mut postgres) => Err(app::AppError::EmbeddedDied),
                }
            });
            postgres.stop()?;
            served
        }
    }
}

async fn died(postgres: &mut EmbeddedPostgres) {
    while postgres.is_running() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn stopping(with_stdin: bool) {
    let signal = |kind| async move {
        match unix::signal(kind) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    let stdin = async { if with_stdin { stdin_closed().await } else { std::future::pending().await } };
    first(signal(unix::SignalKind::terminate()), signal(unix::SignalKind::interrupt()), stdin).await;
}

async fn first<A, B>(one: impl Future<Output = A>, two: impl Future<Output = B>, three: impl Future<Output = ()>) {
    tokio::select! { _ = one => {}, _ = two => {}, () = three => {} }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("dialplane: {error}");
    ExitCode::FAILURE
}
