//! Whether the database answers: one warning per outage, not a storm, and since when it has served without a break.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::store::StoreError;

/// Without an answer to the replica keeper for this long the database does not serve. Three of its turns.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// What is known of the database's presence.
#[derive(Debug, Default)]
pub struct Outage {
    known: AtomicBool,
    /// When unbroken service began, and the keeper's last answer in it.
    served: Mutex<Option<(Instant, Instant)>>,
}

impl Outage {
    /// A call failed: says so, once per outage. What is no outage is a bug and always said.
    pub fn note(&self, error: &StoreError) {
        if matches!(error, StoreError::Fenced | StoreError::Late) {
            // Not the database: the replica keeper says so and starts anew; what came late is asked anew.
        } else if !error.is_transient() {
            tracing::error!(%error, "a database call failed");
        } else if !self.known.swap(true, Ordering::Relaxed) {
            tracing::warn!(%error, "the database is away; trying on");
        }
    }

    /// The replica keeper had no answer.
    pub fn broken(&self) {
        *self.lock() = None;
    }

    /// The replica keeper was answered.
    pub fn over(&self) {
        let now = Instant::now();
        let mut served = self.lock();
        let since = served.filter(|(_, last)| now - *last < SILENCE_MAX).map_or(now, |(since, _)| since);
        *served = Some((since, now));
        if self.known.swap(false, Ordering::Relaxed) {
            tracing::info!("the database is back");
        }
    }

    /// For how long the database has answered without a break. Zero, too, for a process that has just slept.
    pub fn served_for(&self) -> Duration {
        let served = *self.lock();
        served.filter(|(_, last)| last.elapsed() < SILENCE_MAX).map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }

    /// Whether it answers now: only such time counts against a dialer that is silent.
    pub fn serving(&self) -> bool {
        !self.known.load(Ordering::Relaxed) && self.lock().is_some_and(|(_, last)| last.elapsed() < SILENCE_MAX)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Instant)>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
