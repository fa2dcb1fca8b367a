//! One warning per outage of the database, not a storm.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::store::StoreError;

/// Whether the database is known to be away.
#[derive(Debug, Default)]
pub struct Outage {
    known: AtomicBool,
}

impl Outage {
    /// A call failed: says so, once per outage. What is no outage is a bug and always said.
    pub fn note(&self, error: &StoreError) {
        if matches!(error, StoreError::Fenced) {
            // Not the database: the replica keeper says so and starts anew.
        } else if !error.is_transient() {
            tracing::error!(%error, "a database call failed");
        } else if !self.known.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the database is away; trying on");
        }
    }

    /// A call succeeded.
    pub fn over(&self) {
        if self.known.swap(false, Ordering::Relaxed) {
            tracing::info!("the database is back");
        }
    }
}
