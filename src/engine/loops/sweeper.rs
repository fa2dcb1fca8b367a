//! Ends leases whose time is over: without a permit they go back, begun ones are UNKNOWN. Every replica sweeps all of them:
//! what ends a lease is the row really deleted, so two sweepers do no harm.

use std::{sync::Arc, time::Duration};

use super::jittered;
use crate::{
    domain::ids::LeaseId,
    engine::{Engine, EngineError, leasing::messages::RevokeReason},
};

const PERIOD: Duration = Duration::from_secs(1);
const BATCH: i64 = 500;

/// What one turn did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Leases that went back.
    pub returned: usize,
    /// Begun leases that are UNKNOWN now.
    pub unknown: usize,
}

/// Sweeps until nothing is overdue.
///
/// # Errors
/// [`EngineError::Unavailable`].
pub async fn run_once(engine: &Arc<Engine>) -> Result<Report, EngineError> {
    let mut report = Report::default();
    loop {
        let overdue = engine.store.overdue_leases(BATCH).await?;
        let full = overdue.len() >= usize::try_from(BATCH).unwrap_or(usize::MAX);
        let (begun, unbegun): (Vec<_>, Vec<_>) = overdue.into_iter().partition(|(_, begun)| *begun);
        let unbegun: Vec<LeaseId> = unbegun.into_iter().map(|(lease, _)| lease).collect();
        let begun: Vec<LeaseId> = begun.into_iter().map(|(lease, _)| lease).collect();
        if !unbegun.is_empty() {
            report.returned += engine.take_back(&unbegun, RevokeReason::NotBegun).await?.0.len();
        }
        if !begun.is_empty() {
            report.unknown += engine.settle_unknown(begun, RevokeReason::MaxDuration).await?.len();
        }
        if !full {
            return Ok(report);
        }
    }
}

/// Runs until the engine stops.
pub async fn run(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(jittered(PERIOD)) => {}
        }
        match run_once(&engine).await {
            Ok(report) if report != Report::default() => {
                tracing::info!(returned = report.returned, unknown = report.unknown, "leases ended by time");
            }
            Ok(_) | Err(EngineError::Unavailable) => {}
            Err(error) => tracing::error!(%error, "the sweep failed"),
        }
    }
}
