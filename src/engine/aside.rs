//! Work done aside. None of it piles up while the database is away: what waits for the same is done together.

use std::{
    collections::HashSet,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Engine, leasing::events::Event};
use crate::{
    domain::ids::{CampaignKey, LeaseId},
    store::{StoreError, campaigns::By},
};

/// Questions aside that may be under way at once; beyond, they are left to a later turn.
pub(super) const QUESTIONS_MAX: usize = 8;

/// Keys that are to be looked at, by one task at a time. What is asked for while it looks is looked at afterwards, once.
#[derive(Debug)]
pub(crate) struct Aside<K>(Mutex<(HashSet<K>, bool)>);

impl<K> Default for Aside<K> {
    fn default() -> Self {
        Aside(Mutex::new((HashSet::new(), false)))
    }
}

impl<K: Eq + Hash> Aside<K> {
    /// Notes keys. `true`: nobody is at work, and the caller must be, until [`Aside::next`] has nothing more.
    #[must_use]
    pub(crate) fn ask(&self, keys: impl IntoIterator<Item = K>) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.0.extend(keys);
        !std::mem::replace(&mut state.1, true)
    }

    /// All that is to be looked at now; `None`: nothing, and the work is over.
    pub(crate) fn next(&self) -> Option<Vec<K>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys: Vec<K> = state.0.drain().collect();
        state.1 = !keys.is_empty();
        state.1.then_some(keys)
    }
}

impl Engine {
    /// Reads the promises of campaigns again, aside.
    pub(crate) fn peek_promises(self: &Arc<Self>, campaigns: Vec<CampaignKey>) {
        if !self.peeks.ask(campaigns) {
            return;
        }
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(campaigns) = engine.peeks.next() {
                match engine.promises(&campaigns).await {
                    Ok(leads) => engine.tell(Event::Promises(campaigns, leads)),
                    // The survey reads them all.
                    Err(error) => engine.outage.note(&error),
                }
            }
        });
    }

    /// Reads a campaign again, aside.
    pub(crate) fn reload(self: &Arc<Self>, key: CampaignKey) {
        if !self.reloads.ask([key]) {
            return;
        }
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            while let Some(keys) = engine.reloads.next() {
                if let Err(error) = engine.read_again(keys).await {
                    // The survey asks for those that run, and for those that ran.
                    engine.outage.note(&error);
                }
            }
        });
    }

    async fn read_again(self: &Arc<Self>, keys: Vec<CampaignKey>) -> Result<(), StoreError> {
        for key in keys {
            if let Some(row) = self.store.campaign(By::Key(key)).await? {
                let row = self.remember(row);
                self.tell(Event::Campaign(row));
                self.peek_promises(vec![key]);
            }
        }
        Ok(())
    }

    /// Asks the database something, aside, of what is asked again before long anyway.
    pub(crate) fn ask_aside(&self, question: impl Future<Output = ()> + Send + 'static) {
        if let Ok(place) = Arc::clone(&self.questions).try_acquire_owned() {
            tokio::spawn(async move {
                question.await;
                drop(place);
            });
        }
    }

    /// Tells, aside, which of these leases are over.
    pub(crate) fn find_ended(self: &Arc<Self>, leases: Vec<LeaseId>) {
        let engine = Arc::clone(self);
        self.ask_aside(async move {
            match engine.store.ended(&leases).await {
                Ok(ended) => engine.tell(Event::EndedElsewhere(ended, None)),
                Err(error) => engine.outage.note(&error),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::Aside;

    #[test]
    fn one_works_at_a_time_and_nothing_asked_meanwhile_is_lost() {
        let aside = Aside::default();
        assert!(aside.ask([1]));
        assert_eq!(aside.next(), Some(vec![1]));
        assert!(!aside.ask([1]) && !aside.ask([1]));
        assert_eq!(aside.next(), Some(vec![1]));
        assert_eq!(aside.next(), None);
        assert!(aside.ask([2]));
    }
}
