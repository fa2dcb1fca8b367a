//! The loops of a replica. Each has an idempotent `run_once`, is woken by signal and by timer, and retries by its next turn.

pub mod housekeeper;
pub mod lifter;
pub mod replica_keeper;
pub mod signals;
pub mod surveyor;
pub mod sweeper;

use std::{sync::Arc, time::Duration};

use rand::Rng as _;

use super::Engine;

/// Starts all loops; they end when the engine's token is cancelled.
pub(super) fn start(engine: &Arc<Engine>) {
    tokio::spawn(surveyor::run(Arc::clone(engine)));
    tokio::spawn(sweeper::run(Arc::clone(engine)));
    tokio::spawn(lifter::run(Arc::clone(engine)));
    tokio::spawn(replica_keeper::run(Arc::clone(engine)));
    tokio::spawn(housekeeper::run(Arc::clone(engine)));
    tokio::spawn(signals::listen(Arc::clone(engine)));
    tokio::spawn(signals::deliver(Arc::clone(engine)));
}

/// A tenth more or less, so that replicas do not march in step.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(rand::rng().random_range(0.9..1.1))
}
