//! How fast the engine is, measured from outside: a private durable PostgreSQL, the engine as the real program, dialers as
//! gRPC clients in processes of their own, all caps, permits and history on; and in the same run, on the same cluster,
//! the floor: what PostgreSQL could do at most. Prints a table, writes `target/bench/report.json`. Asserts no times.
//!
//! `world` starts things, `rules` says what it keeps, `dialer` is the dialers' process, `crew` runs them, `cost` counts what
//! a life costs the database, `intake`, `lives` and `callbacks` time the engine, `floor` times PostgreSQL, `profile` says
//! where time went, `report` says it all.

mod callbacks;
mod cost;
mod crew;
mod dialer;
mod floor;
mod intake;
mod lives;
mod profile;
mod report;
mod rules;
mod world;

use std::{env, error::Error, process::ExitCode};

use report::Report;
use world::World;

/// Whatever goes wrong ends the run.
type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Where the engine is timed.
const DATABASE: &str = "dialplane";

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Scale {
    /// Leads of one run of whole lives in batches.
    leads: usize,
    /// Leads of one run of whole lives one at a time.
    single_leads: usize,
    /// How long pgbench runs.
    floor_seconds: usize,
    /// Callbacks timed.
    callbacks: usize,
    /// Runs of each, interleaved; the median counts.
    rounds: usize,
    /// Runs of the counted lives; they differ little.
    cost_rounds: usize,
    /// Counted lives and nothing else.
    costs_only: bool,
}

impl Scale {
    fn from_environment() -> Scale {
        let costs_only = set("COSTS");
        let full = Scale {
            leads: 100_000,
            single_leads: 30_000,
            floor_seconds: 5,
            callbacks: 50,
            rounds: 3,
            cost_rounds: 3,
            costs_only,
        };
        if set("QUICK") {
            Scale { leads: 30_000, single_leads: 10_000, floor_seconds: 3, cost_rounds: 1, ..full }
        } else {
            full
        }
    }
}

/// Whether an option is given.
pub fn set(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !value.is_empty() && value != "0")
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
    let measured = runtime.block_on(async {
        let mut report = Report::new(&postgres.connect(DATABASE).await?).await?;
        cost::measure(&postgres, scale, &mut report).await?;
        if scale.costs_only {
            return Ok(report);
        }
        let mut world = World::start(&postgres, DATABASE).await?;
        let measured = measure(&mut world, scale, &mut report).await;
        if measured.is_err() {
            world.show_log();
        }
        world.stop().await;
        measured.map(|()| report)
    });
    postgres.stop()?;
    measured?.finish()
}

async fn measure(world: &mut World, scale: Scale, report: &mut Report) -> Fallible<()> {
    rules::all_rules_but_turns(world).await?;
    callbacks::measure(world, scale, report).await?;
    let floor = floor::Floor::fill(world, scale).await?;
    for round in 1..=scale.rounds {
        println!("round {round} of {}", scale.rounds);
        let campaign = intake::measure(world, scale.leads, report).await?;
        floor.copy(world, campaign.key, report).await?;
        floor.batches(world, report).await?;
        profile::reset(world).await?;
        lives::in_batches(world, &campaign, report).await?;
        profile::show(world).await?;
        lives::after(world, &campaign, report).await?;
        floor.single(world, report).await?;
        let campaign = intake::fill(world, scale.single_leads).await?.0;
        profile::reset(world).await?;
        lives::one_at_a_time(world, &campaign, report).await?;
        profile::show(world).await?;
    }
    report.ratio("life.reference_ratio", "life.per_second", "floor.reference_per_second");
    report.ratio("life.single_ratio", "life.single_per_second", "floor.single_per_second");
    report.ratio("import.ratio", "import.rows_per_second", "floor.copy_per_second");
    report.ratio("import.unindexed_ratio", "import.rows_per_second", "floor.copy_unindexed_per_second");
    Ok(())
}
