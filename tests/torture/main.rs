//! The torture: dialers, operators and faults against engines, and an oracle that knows nothing of the engine's code.
//!
//! `torture` runs its trials. `torture storm` is one storm from its seed to its verdict; `torture carrier` is the simulated
//! carrier; `torture check` is the oracle.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod behaviour;
mod carrier;
mod checker;
mod dialer;
mod engine;
mod faults;
mod history;
mod log;
mod operators;
mod pen;
mod planted;
mod postgres;
mod proxy;
mod scene;
mod storm;

use std::{env, process::ExitCode, time::Duration};

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("carrier") => {
            let (listen, log) = (option("--listen").unwrap_or("127.0.0.1:0".into()), option("--log").unwrap());
            carrier::run(listen.parse().unwrap(), log.into()).unwrap();
            ExitCode::SUCCESS
        }
        Some("check") => check(),
        Some("storm") => storm().main(),
        _ => libtest_mimic::run(&Arguments::from_args(), trials()).exit_code(),
    }
}

/// The value after a name on the command line.
fn option(name: &str) -> Option<String> {
    env::args().skip_while(|arg| arg != name).nth(1)
}

/// Which storm the command line asks for.
fn storm() -> storm::Storm {
    let number = |name: &str, default: f64| option(name).map_or(default, |text| text.parse().unwrap());
    storm::Storm {
        seed: option("--seed").map_or_else(rand::random, |text| text.parse().unwrap()),
        length: Duration::from_secs_f64(number("--minutes", 3.0) * 60.0),
        pinned_snapshot: env::args().any(|arg| arg == "--pinned-snapshot"),
    }
}

/// The oracle over what a storm left: prints its verdict. `--history` may name several logs, parted by commas.
fn check() -> ExitCode {
    let [carrier, events, database] = ["--carrier-log", "--history", "--database"]
        .map(|name| option(name).unwrap_or_else(|| panic!("{name} is missing")));
    let events: Vec<&str> = events.split(',').collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let history = runtime.block_on(history::History::read(carrier.as_ref(), &events, &database)).unwrap();
    let verdict = checker::check(&history);
    println!("{verdict}");
    if verdict.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Trials of the oracle's means, and the storm of every test run.
const MEANS: [(&str, fn()); 3] = [
    ("carrier::writes_what_rings", carrier::writes_what_rings),
    ("history::reads_the_engines_records", history::reads_the_engines_records),
    ("storm::on_fixed_seeds", storm::on_fixed_seeds),
];

fn trials() -> Vec<Trial> {
    let trial = |(name, run): &(&'static str, fn())| {
        let run = *run;
        Trial::test(*name, move || {
            run();
            Ok(())
        })
    };
    MEANS.iter().chain(planted::all()).map(trial).collect()
}
