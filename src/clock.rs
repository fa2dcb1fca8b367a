//! The only reader of the wall clock. What replicas compare uses the database's clock, so this one follows it.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// The database's clock, as well as this process knows it.
#[derive(Debug, Default)]
pub struct Clock {
    ahead_us: AtomicI64,
}

impl Clock {
    /// Now, by the database's clock.
    pub fn now(&self) -> DateTime<Utc> {
        system() + TimeDelta::microseconds(self.ahead_us.load(Ordering::Relaxed))
    }

    /// Takes in a reading of the database's clock, made between `asked_at` (by [`system`]) and now.
    pub fn observe(&self, asked_at: DateTime<Utc>, database: DateTime<Utc>) {
        let middle = asked_at + (system() - asked_at) / 2;
        if let Some(ahead) = (database - middle).num_microseconds() {
            self.ahead_us.store(ahead, Ordering::Relaxed);
        }
    }
}

/// Now, by this machine's clock.
#[allow(clippy::disallowed_methods)]
pub fn system() -> DateTime<Utc> {
    Utc::now()
}
