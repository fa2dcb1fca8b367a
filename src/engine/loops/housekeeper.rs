//! Forgets what is no longer needed, and makes room for what comes: old answers, old sessions, partitions.

use std::{sync::Arc, time::Duration};

use super::jittered;
use crate::{engine::Engine, store::StoreError};

const PERIOD: Duration = Duration::from_secs(600);

/// One turn.
///
/// # Errors
/// [`StoreError`].
pub async fn run_once(engine: &Engine) -> Result<(), StoreError> {
    engine.store.extend_attempts().await?;
    engine.store.forget_requests().await?;
    engine.store.forget_sessions().await?;
    Ok(())
}

/// Runs until the engine stops.
pub async fn run(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(jittered(PERIOD)) => {}
        }
        if let Err(error) = run_once(&engine).await {
            engine.outage.note(&error);
        }
    }
}
