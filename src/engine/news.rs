//! Who waits for news: streams that follow facts or a campaign's counts look again when something happened, here or as far as
//! other replicas tell. News only shorten a wait.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::EngineError;
use crate::domain::ids::CampaignKey;

/// Streams of a replica that may follow at once: each asks the database now and then.
const FOLLOWERS_MAX: usize = 200;
/// Stands for facts of whatever campaign. No campaign has this key.
pub(crate) const FACTS: CampaignKey = 0;

/// News by campaign, for those who listen.
pub(crate) struct News {
    listened_to: Mutex<HashMap<CampaignKey, watch::Sender<()>>>,
    places: Arc<Semaphore>,
}

impl Default for News {
    fn default() -> Self {
        News { listened_to: Mutex::default(), places: Arc::new(Semaphore::new(FOLLOWERS_MAX)) }
    }
}

/// Hears of one campaign, or of all facts.
pub(crate) struct Listener {
    heard: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// Waits until something has happened since the last time.
    pub(crate) async fn heard(&mut self) {
        if self.heard.changed().await.is_err() {
            // Nobody tells any more; who waits has a timer, too.
            std::future::pending::<()>().await;
        }
    }
}

impl News {
    /// Something happened.
    pub(crate) fn tell(&self, of: CampaignKey) {
        let mut listened_to = self.lock();
        if listened_to.get(&of).is_some_and(|sender| sender.send(()).is_err()) {
            listened_to.remove(&of);
        }
    }

    /// Listens from now on.
    ///
    /// # Errors
    /// [`EngineError::Overloaded`] when too many do.
    pub(crate) fn listen(&self, to: CampaignKey) -> Result<Listener, EngineError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| EngineError::Overloaded)?;
        let mut listened_to = self.lock();
        let heard = listened_to.entry(to).or_insert_with(|| watch::channel(()).0).subscribe();
        Ok(Listener { heard, _place: place })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CampaignKey, watch::Sender<()>>> {
        self.listened_to.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn news_told_before_somebody_waits_are_heard_and_only_those_of_its_campaign() {
        let news = News::default();
        let mut listener = news.listen(7).expect("there is room");
        news.tell(8);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(20), listener.heard()).await.is_err());
        news.tell(7);
        listener.heard().await;
    }

    #[test]
    fn who_has_gone_leaves_nothing_behind() {
        let news = News::default();
        for _ in 0..2 * FOLLOWERS_MAX {
            drop(news.listen(7).expect("there is room"));
        }
        news.tell(7);
        assert!(news.lock().is_empty());
        let all: Vec<_> = (0..FOLLOWERS_MAX).map(|_| news.listen(7).expect("there is room")).collect();
        assert!(matches!(news.listen(7), Err(EngineError::Overloaded)));
        drop(all);
    }
}
