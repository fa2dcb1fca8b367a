//! The torture: dialers, operators and faults against engines, and an oracle that knows nothing of the engine's code.
//!
//! `torture` runs its trials. `torture carrier` is the simulated carrier; `torture check` is the oracle.
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

mod behaviour;
mod carrier;
mod dialer;
mod engine;
mod faults;
mod history;
mod log;
mod operators;
mod pen;
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

fn trials() -> Vec<Trial> {
    vec![Trial::test("carrier::writes_what_rings", || {
        carrier::writes_what_rings();
        Ok(())
    })]
}
