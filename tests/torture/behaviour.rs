//! What may be wrong with a dialer, each thing switched on for a while.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Behaviour {
    /// Forgets everything and comes back as a new process. Once.
    Dies,
    /// Dies as soon as it has a permit. Once.
    DiesAfterPermit,
    /// Comes back with the session it had before this one. Once.
    OldSession,
    /// Does nothing at all, then goes on as if no time had passed.
    Hangs,
    /// Says everything and reads nothing.
    NeverReads,
    /// Reads and says nothing of leases.
    NeverAnswers,
    /// A second process with the same session; both come back when they are taken over.
    RunsTwice,
    /// Every report several times, through several replicas.
    Duplicates,
    /// Reports in another order than the calls.
    Reorders,
    /// Reports long after the engine has given the call up.
    Delays,
    /// Reports when the storm is over, long after the end of the lease and after a reset.
    Withholds,
    /// Several outcomes for one call.
    Contradicts,
    /// Its clock is an hour off.
    Skewed,
}

impl Behaviour {
    pub const ALL: [Behaviour; 13] = [
        Behaviour::Dies,
        Behaviour::DiesAfterPermit,
        Behaviour::OldSession,
        Behaviour::Hangs,
        Behaviour::NeverReads,
        Behaviour::NeverAnswers,
        Behaviour::RunsTwice,
        Behaviour::Duplicates,
        Behaviour::Reorders,
        Behaviour::Delays,
        Behaviour::Withholds,
        Behaviour::Contradicts,
        Behaviour::Skewed,
    ];
}

#[derive(Default)]
pub struct Behaviours {
    until: Mutex<HashMap<Behaviour, Instant>>,
}

impl Behaviours {
    pub fn switch_on(&self, what: Behaviour, during: Duration) {
        self.until.lock().unwrap().insert(what, Instant::now() + during);
    }

    pub fn is(&self, what: Behaviour) -> bool {
        self.until.lock().unwrap().get(&what).is_some_and(|until| Instant::now() < *until)
    }

    /// For what happens once: whether it is due, and then no more.
    pub fn take(&self, what: Behaviour) -> bool {
        self.until.lock().unwrap().remove(&what).is_some_and(|until| Instant::now() < until)
    }

    /// Waits as long as it is so.
    pub async fn wait_out(&self, what: Behaviour) {
        while self.is(what) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn heal(&self) {
        self.until.lock().unwrap().clear();
    }
}
