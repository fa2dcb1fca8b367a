//! The queue warmer's tick: reads campaigns, zones, settings and the promises of the near future afresh, and wakes every lane.
//! Events wake it earlier; the tick is what finds whatever a lost signal would have told.

use std::{sync::Arc, time::Duration};

use super::jittered;
use crate::engine::Engine;

/// Promises are read this far ahead at most, so they are read again before.
const PERIOD_MAX: Duration = Duration::from_secs(30);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until the engine stops.
pub async fn run(engine: Arc<Engine>) {
    loop {
        let period = match engine.in_time(engine.survey()).await {
            Ok(()) => engine.settings().tick_interval.min(PERIOD_MAX),
            Err(error) => {
                engine.outage.note(&error);
                RETRY
            }
        };
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = engine.survey_wanted.notified() => {}
            () = tokio::time::sleep(jittered(period)) => {}
        }
    }
}
