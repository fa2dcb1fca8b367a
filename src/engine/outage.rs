//! Whether the database answers: one warning per outage, not a storm, and since when it has served without a break.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::store::StoreError;

/// Without an answer to the replica keeper for this long the database does not serve. Three of its turns.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// Without a failure for this long an outage is over. Longer than a call waits for a connection: a database that answers now
/// and then, full or exhausted, is one outage and not many.
const QUIET: Duration = Duration::from_secs(10);

/// What is known of the database's presence.
#[derive(Debug, Default)]
pub struct Outage {
    /// The last failure of an outage that was told.
    told: Mutex<Option<Instant>>,
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
        } else if lock(&self.told).replace(Instant::now()).is_none() {
            tracing::warn!(%error, "the database is away; trying on");
        }
    }

    /// The replica keeper had no answer.
    pub fn broken(&self) {
        *lock(&self.served) = None;
    }

    /// The replica keeper was answered.
    pub fn over(&self) {
        let now = Instant::now();
        let mut served = lock(&self.served);
        let since = served.filter(|(_, last)| now - *last < SILENCE_MAX).map_or(now, |(since, _)| since);
        *served = Some((since, now));
        if lock(&self.told).take_if(|last| now - *last >= QUIET).is_some() {
            tracing::info!("the database is back");
        }
    }

    /// For how long the database has answered without a break. Zero, too, for a process that has just slept.
    pub fn served_for(&self) -> Duration {
        let served = *lock(&self.served);
        served.filter(|(_, last)| last.elapsed() < SILENCE_MAX).map_or(Duration::ZERO, |(since, _)| since.elapsed())
    }

    /// Whether it answers now: only such time counts against a dialer that is silent.
    pub fn serving(&self) -> bool {
        lock(&self.served).is_some_and(|(_, last)| last.elapsed() < SILENCE_MAX)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
