//! Lifts suppressions whose time is over. Every replica looks for them: what lifts one is its row really deleted.

use std::{sync::Arc, time::Duration};

use super::jittered;
use crate::engine::{Engine, EngineError};

const PERIOD: Duration = Duration::from_secs(1);
/// So many in one transaction, which holds the fences of their campaigns.
const BATCH: i64 = 500;
/// Batches of one turn.
const BATCHES_MAX: usize = 100;

/// Lifts what is over, up to a bound; returns how many.
///
/// # Errors
/// [`EngineError::Unavailable`].
pub async fn run_once(engine: &Arc<Engine>) -> Result<usize, EngineError> {
    let mut all = 0;
    for _ in 0..BATCHES_MAX {
        let lifted = engine.in_time(engine.lift_expired(BATCH)).await?;
        all += lifted;
        if lifted == 0 {
            break;
        }
    }
    Ok(all)
}

/// Runs until the engine stops.
pub async fn run(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(jittered(PERIOD)) => {}
        }
        match run_once(&engine).await {
            Ok(0) | Err(EngineError::Unavailable) => {}
            Ok(count) => tracing::info!(count, "suppressions were over"),
            Err(error) => tracing::error!(%error, "suppressions could not be lifted"),
        }
    }
}
