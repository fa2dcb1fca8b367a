//! How fast the engine is, measured from outside: a private durable PostgreSQL, the engine as the real program, dialers as
//! gRPC clients in processes of their own, all caps, permits and history on; and in the same run, on the same cluster,
//! the floor: what PostgreSQL could do at most. Prints a table, writes `target/bench/report.json`. Asserts no times.
//!
//! The run has parts, each on a stage of its own (`world`: a database and an engine; `lists`: one with a long list). A part
//! that fails is told, the others go on. `rules` says what the engine keeps, `dialer` is the dialers' process, `crew` runs
//! them, `floor` times PostgreSQL, `profile` says where time went, `report` says it all.

mod aged;
mod big;
mod callbacks;
mod cost;
mod crew;
mod dialer;
mod floor;
mod grants;
mod intake;
mod lists;
mod lives;
mod peers;
mod profile;
mod replicas;
mod report;
mod rules;
mod sessions;
mod statements;
mod world;

use std::{env, error::Error, process::ExitCode, time::Duration};

use report::Report;
use tokio::time::Instant;
use world::Postgres;

/// Whatever goes wrong ends its part.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The cluster's own database, where nothing is timed.
const DATABASE: &str = "dialplane";

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Scale {
    /// Within three minutes, without peers, at a million leads where it would be ten.
    pub quick: bool,
    /// With what takes minutes each: ten million leads, ageing.
    pub long: bool,
    /// Leads of the list of which a part lives.
    pub leads: usize,
    /// How long lives are counted.
    pub window: Duration,
    /// How long pgbench runs.
    pub floor_seconds: usize,
    /// Leads of one import.
    pub imported: usize,
    /// Leads of the list of which a part lives one at a time.
    pub single_leads: usize,
    /// Callbacks timed.
    pub callbacks: usize,
    /// Runs of each, interleaved; the median counts.
    pub rounds: usize,
    /// Runs of the counted lives; they differ little.
    pub cost_rounds: usize,
}

impl Scale {
    fn from_environment() -> Scale {
        let normal = Scale {
            quick: set("QUICK"),
            long: set("LONG"),
            leads: 1_000_000,
            window: Duration::from_secs(3),
            floor_seconds: 4,
            imported: 100_000,
            single_leads: 1_000_000,
            callbacks: 500,
            rounds: 5,
            cost_rounds: 3,
        };
        if !normal.quick {
            return normal;
        }
        Scale {
            window: Duration::from_secs(2),
            floor_seconds: 2,
            imported: 30_000,
            single_leads: lists::SHORT,
            callbacks: 60,
            rounds: 3,
            cost_rounds: 1,
            ..normal
        }
    }
}

/// Whether an option is given.
pub fn set(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !value.is_empty() && value != "0")
}

/// Whether a part is to run: all do, or those that ONLY names.
pub fn wants(name: &str) -> bool {
    let only = env::var("ONLY").unwrap_or_default();
    only.is_empty() || only.split(',').any(|one| one.trim() == name)
}

/// The parts of a run.
#[derive(Default)]
struct Parts {
    failed: Vec<&'static str>,
}

impl Parts {
    /// Plays a part if it is wanted. The others do not care how it ends.
    async fn play(&mut self, name: &'static str, part: impl Future<Output = Fallible<()>>) {
        if !wants(name) {
            return;
        }
        println!("== {name}");
        let started = Instant::now();
        let done = Box::pin(part).await;
        println!("   {name}: {:.0} s", started.elapsed().as_secs_f64());
        if let Err(error) = done {
            eprintln!("bench: {name}: {error}");
            self.failed.push(name);
        }
    }

    fn finish(self) -> Fallible<()> {
        if self.failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", self.failed.join(", ")).into()) }
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().collect();
    let playing = args.get(1).is_some_and(|arg| arg == dialer::ARGUMENT);
    // A dialer is small and one of many; the stage itself is idle while others are measured.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) if playing => runtime.block_on(dialer::play(&args[2..])),
        Ok(runtime) => run(&runtime),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(runtime: &tokio::runtime::Runtime) -> Fallible<()> {
    let scale = Scale::from_environment();
    // Started and stopped outside of the runtime: both block.
    let postgres = world::start_postgres()?;
    let played = runtime.block_on(async {
        let mut report = Report::new(&postgres.connect(DATABASE).await?).await?;
        let parts = play(&postgres, scale, &mut report).await;
        report.finish()?;
        parts.finish()
    });
    postgres.stop()?;
    played
}

async fn play(postgres: &Postgres, scale: Scale, report: &mut Report) -> Parts {
    let mut parts = Parts::default();
    parts.play("costs", cost::measure(postgres, scale, report)).await;
    parts.play("callbacks", callbacks::measure(postgres, scale, report)).await;
    parts.play("intake", intake::measure(postgres, scale, report)).await;
    parts.play("lives", lives::measure(postgres, scale, report)).await;
    parts.play("single", lives::measure_single(postgres, scale, report)).await;
    parts.play("grants", grants::measure(postgres, scale, report)).await;
    parts.play("sessions", sessions::measure(postgres, scale, report)).await;
    parts.play("reset", grants::measure_reset(postgres, scale, report)).await;
    parts.play("replicas", replicas::measure(postgres, scale, report)).await;
    parts.play("flat", big::measure(postgres, scale, report)).await;
    parts.play("aged", aged::measure(postgres, scale, report)).await;
    if !scale.quick {
        parts.play("peers", peers::measure(postgres, report)).await;
    }
    parts
}
