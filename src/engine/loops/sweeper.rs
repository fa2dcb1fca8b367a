//! Ends leases whose time is over: without a permit they go back, begun ones are UNKNOWN; and sees to missed callbacks. Every replica sweeps all of them:
//! what ends a lease is the row really deleted, so two sweepers do no harm.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{jittered, replica_keeper::REPLICA_TTL};
use crate::{
    domain::ids::LeaseId,
    engine::{Engine, EngineError, leasing::messages::RevokeReason},
};

const PERIOD: Duration = Duration::from_secs(1);
/// The longest rest: live leases are found by a walk, which gets long while somebody holds an old snapshot, and what was a lease since
/// is still there. Then it rests for twenty times as long as it took.
const REST_MAX: Duration = Duration::from_secs(10);
const BATCH: i64 = 500;

/// What one turn did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Leases that went back.
    pub returned: usize,
    /// Begun leases that are UNKNOWN now.
    pub unknown: usize,
    /// Missed promises that were moved or dropped.
    pub missed: usize,
}

/// Sweeps until nothing is overdue.
///
/// # Errors
/// [`EngineError::Unavailable`].
pub async fn run_once(engine: &Arc<Engine>) -> Result<Report, EngineError> {
    let mut report = Report::default();
    while engine.in_time(sweep(engine, &mut report)).await? {}
    report.missed = engine.sweep_missed().await?;
    Ok(report)
}

/// One batch. `true`: there may be more.
async fn sweep(engine: &Arc<Engine>, report: &mut Report) -> Result<bool, EngineError> {
    let overdue = engine.store.overdue_leases(BATCH).await?;
    let full = overdue.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
    let (begun, unbegun): (Vec<_>, Vec<_>) = overdue.into_iter().partition(|(_, begun)| *begun);
    let unbegun: Vec<LeaseId> = unbegun.into_iter().map(|(lease, _)| lease).collect();
    let begun: Vec<LeaseId> = begun.into_iter().map(|(lease, _)| lease).collect();
    report.returned += take_back(engine, &unbegun).await?;
    report.unknown += settle(engine, &begun).await?;
    Ok(full)
}

/// Takes leases back together; where that fails for a reason of its own, one by one: a bad one must not keep the others.
async fn take_back(engine: &Arc<Engine>, leases: &[LeaseId]) -> Result<usize, EngineError> {
    if leases.is_empty() {
        return Ok(0);
    }
    match engine.take_back(leases, RevokeReason::NotBegun).await {
        Err(EngineError::Internal(_)) if leases.len() > 1 => {
            let mut returned = 0;
            for lease in leases {
                match engine.take_back(&[*lease], RevokeReason::NotBegun).await {
                    Ok((over, _)) => returned += over.len(),
                    Err(error) => tracing::error!(%error, %lease, "a lease cannot be taken back"),
                }
            }
            Ok(returned)
        }
        done => Ok(done?.0.len()),
    }
}

async fn settle(engine: &Arc<Engine>, leases: &[LeaseId]) -> Result<usize, EngineError> {
    if leases.is_empty() {
        return Ok(0);
    }
    match engine.settle_unknown(leases.to_vec(), RevokeReason::MaxDuration).await {
        Err(EngineError::Internal(_)) if leases.len() > 1 => {
            let mut unknown = 0;
            for lease in leases {
                match engine.settle_unknown(vec![*lease], RevokeReason::MaxDuration).await {
                    Ok(settled) => unknown += settled.len(),
                    Err(error) => tracing::error!(%error, %lease, "a begun lease cannot be ended"),
                }
            }
            Ok(unknown)
        }
        done => Ok(done?.len()),
    }
}

/// Runs until the engine stops.
pub async fn run(engine: Arc<Engine>) {
    let mut rest = PERIOD;
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(jittered(rest)) => {}
        }
        rest = PERIOD;
        let started = Instant::now();
        // After an outage everything looks overdue: first everybody gets a chance to speak.
        if engine.outage.served_for() < REPLICA_TTL {
            continue;
        }
        match run_once(&engine).await {
            Ok(report) if report != Report::default() => {
                if report.returned + report.unknown > 0 {
                    tracing::info!(returned = report.returned, unknown = report.unknown, "leases ended by time");
                }
                if report.missed > 0 {
                    tracing::info!(missed = report.missed, "missed callbacks moved or dropped");
                }
            }
            Ok(_) => rest = (started.elapsed() * 20).clamp(PERIOD, REST_MAX),
            Err(EngineError::Unavailable) => {}
            Err(error) => tracing::error!(%error, "the sweep failed"),
        }
    }
}
