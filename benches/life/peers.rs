//! Other PostgreSQL job queues on the same cluster, each by its own documented fast path, and again under its own limit where
//! it has one: `peers.<name>` in jobs per second, `peers.<name>_ratio` our lives per second over that.
//!
//! Owns which peers run and how many jobs each gets. What each does is in `benches/peers/`, programs of their own that end with
//! a line of JSON; nothing of them is linked into the engine. A peer that cannot be installed or fails is told and has no key.

use std::{
    env, fmt,
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use tokio::{process::Command, time::timeout};
use tokio_postgres::config::Host;

use super::{Fallible, report::Report, world::Postgres};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers");
const DATABASE: &str = "peer";
const ROUNDS: usize = 3;
/// The crate is built with all it brings along.
const INSTALL_WITHIN: Duration = Duration::from_secs(20 * 60);
const RUN_WITHIN: Duration = Duration::from_secs(90);
/// Of what a failed program said.
const LAST_LINES: usize = 8;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Node,
    Python,
    Rust,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Node, Kind::Python, Kind::Rust];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Node => "node",
            Kind::Python => "python",
            Kind::Rust => "rust",
        })
    }
}

/// One way of running one peer.
#[derive(Clone, Copy)]
struct Peer {
    name: &'static str,
    kind: Kind,
    program: &'static str,
    mode: &'static str,
    /// A few seconds of work. What waits for the disk at each job gets fewer: disks differ most.
    jobs: usize,
}

const fn peer(name: &'static str, kind: Kind, program: &'static str, mode: &'static str, jobs: usize) -> Peer {
    Peer { name, kind, program, mode, jobs }
}

const CRATE: &str = "graphile-worker-peer";

const PEERS: [Peer; 14] = [
    peer("graphile_worker.plain", Kind::Node, "graphile_worker.mjs", "plain", 12_000),
    peer("graphile_worker.local_queue", Kind::Node, "graphile_worker.mjs", "local_queue", 120_000),
    peer("graphile_worker.limited", Kind::Node, "graphile_worker.mjs", "limited", 2_000),
    peer("graphile_worker_rs.plain", Kind::Rust, CRATE, "plain", 12_000),
    peer("graphile_worker_rs.local_queue", Kind::Rust, CRATE, "local_queue", 120_000),
    peer("graphile_worker_rs.limited", Kind::Rust, CRATE, "limited", 50_000),
    peer("pg_boss.fetch", Kind::Node, "pg_boss.mjs", "fetch", 40_000),
    peer("pg_boss.limited", Kind::Node, "pg_boss.mjs", "limited", 40_000),
    peer("pgqueuer.batch", Kind::Python, "run_pgqueuer.py", "batch", 40_000),
    peer("pgqueuer.limited", Kind::Python, "run_pgqueuer.py", "limited", 25_000),
    peer("procrastinate.plain", Kind::Python, "run_procrastinate.py", "plain", 1_500),
    peer("procrastinate.limited", Kind::Python, "run_procrastinate.py", "limited", 1_000),
    peer("seed_loop", Kind::Python, "seed_loop.py", "models", 800),
    peer("seed_loop_bare", Kind::Python, "seed_loop.py", "bare", 1_000),
];

/// Runs all that can be installed, interleaved, each time in a database of its own.
pub async fn measure(postgres: &Postgres, report: &mut Report) -> Fallible<()> {
    let dir =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from).join("bench/peers");
    let mut peers: Vec<(Peer, Vec<f64>)> = Vec::new();
    for kind in Kind::ALL {
        match install(kind, &dir).await {
            Ok(()) => peers.extend(PEERS.iter().filter(|peer| peer.kind == kind).map(|peer| (*peer, Vec::new()))),
            Err(error) => eprintln!("bench: the peers on {kind} are LEFT OUT, they could not be installed: {error}"),
        }
    }
    for round in 1..=ROUNDS {
        println!("   round {round} of {ROUNDS}");
        let mut going_on = Vec::new();
        for (peer, mut rates) in peers {
            match run_alone(postgres, &peer, &dir).await {
                Ok(rate) => {
                    println!("   {}: {rate:.0} jobs/s", peer.name);
                    rates.push(rate);
                    going_on.push((peer, rates));
                }
                Err(error) => eprintln!("bench: the peer {} is LEFT OUT, it failed: {error}", peer.name),
            }
        }
        peers = going_on;
    }
    for (peer, rates) in peers {
        let key = format!("peers.{}", peer.name);
        for rate in rates {
            report.sample(&key, rate);
        }
        report.ratio(&format!("{key}_ratio"), "life.per_second", &key);
    }
    Ok(())
}

async fn install(kind: Kind, dir: &Path) -> Fallible<()> {
    let mut command = Command::new(Path::new(SCRIPTS).join("install.sh"));
    command.arg(kind.to_string()).arg(dir);
    finished(&mut command, INSTALL_WITHIN).await.map(drop)
}

/// In a database of its own, so that nothing is left to vacuum beside the next.
async fn run_alone(postgres: &Postgres, peer: &Peer, dir: &Path) -> Fallible<f64> {
    postgres.drop(DATABASE).await?;
    postgres.create(DATABASE, None).await?;
    let rate = run(&url(&postgres.connection_string(DATABASE))?, peer, dir).await;
    postgres.drop(DATABASE).await?;
    rate
}

/// Jobs per second, as the program timed them.
#[allow(clippy::cast_precision_loss)]
async fn run(url: &str, peer: &Peer, dir: &Path) -> Fallible<f64> {
    let mut command = match peer.kind {
        Kind::Node => {
            let mut node = Command::new("node");
            node.arg(dir.join("node").join(peer.program));
            node
        }
        Kind::Python => {
            let mut python = Command::new(dir.join("python/bin/python"));
            python.arg("-B").arg(Path::new(SCRIPTS).join("python").join(peer.program));
            python
        }
        Kind::Rust => Command::new(dir.join("rust/release").join(peer.program)),
    };
    let output = finished(command.args([url, &peer.jobs.to_string(), peer.mode]), RUN_WITHIN).await?;
    let told = String::from_utf8(output.stdout)?;
    let told: serde_json::Value = serde_json::from_str(told.lines().last().unwrap_or_default())?;
    match (told["jobs"].as_u64(), told["seconds"].as_f64()) {
        (Some(jobs), Some(seconds)) if jobs == peer.jobs as u64 && seconds > 0.0 => Ok(jobs as f64 / seconds),
        _ => Err(format!("it was given {} jobs and told {told}", peer.jobs).into()),
    }
}

async fn finished(command: &mut Command, within: Duration) -> Fallible<Output> {
    let output = timeout(within, command.kill_on_drop(true).output())
        .await
        .map_err(|_| format!("not done within {} s", within.as_secs()))??;
    if output.status.success() {
        return Ok(output);
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = text.lines().collect();
    Err(format!("{}\n{}", output.status, lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")).into())
}

/// The form of address that all drivers read; the directory of a socket can only stand in its query.
fn url(connection_string: &str) -> Fallible<String> {
    let at: tokio_postgres::Config = connection_string.parse()?;
    let (Some(Host::Unix(dir)), Some(port), Some(user)) =
        (at.get_hosts().first(), at.get_ports().first(), at.get_user())
    else {
        return Err("a private server has a socket, a port and a user".into());
    };
    let dir: String = dir
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .map(|byte| match byte {
            b'/' | b'-' | b'.' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(*byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    Ok(format!("postgresql:///{DATABASE}?host={dir}&port={port}&user={user}"))
}
