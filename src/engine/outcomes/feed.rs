//! Facts in the order of their acceptance, for those who follow them. Their order is final when nobody who began to accept
//! before can still commit: see `fact_no` in the migrations.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    domain::ids::{CampaignId, CampaignKey},
    engine::{
        Engine, EngineError,
        news::{FACTS, Listener},
    },
    store::facts::{FACTS_PAGE, FactCursor, FactRow},
};

/// How often who follows looks, told or not: facts of other replicas, and those that waited for an older transaction.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// News gather for this long: a busy engine is not asked for each fact.
const GATHER: Duration = Duration::from_millis(20);
/// Something is said at least this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Facts from a place on.
pub struct Feed {
    engine: Arc<Engine>,
    campaign: Option<CampaignKey>,
    follow: bool,
    at: Option<FactCursor>,
    news: Listener,
    said: Instant,
    over: bool,
}

/// Some facts, and where one is after them.
pub struct FeedPage {
    /// Each with its own place.
    pub facts: Vec<(FactCursor, FactRow)>,
    /// The place after all of them; it moves past other campaigns' facts, too. None: there has not been any fact.
    pub cursor: Option<FactCursor>,
}

impl Engine {
    /// Opens a feed behind a cursor, or at the first fact. It ends at the present, or follows what comes.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`]; [`EngineError::CursorLost`]; [`EngineError::Overloaded`] when too many follow;
    /// [`EngineError::ShuttingDown`].
    pub async fn open_feed(
        self: &Arc<Self>,
        after: Option<FactCursor>,
        campaign: Option<CampaignId>,
        follow: bool,
    ) -> Result<Feed, EngineError> {
        if self.leaving() {
            return Err(EngineError::ShuttingDown);
        }
        let news = self.news.listen(FACTS)?;
        let campaign = match campaign {
            Some(id) => Some(self.campaign(id).await?.key),
            None => None,
        };
        if let Some(cursor) = after
            && !self.store.knows_cursor(cursor).await?
        {
            return Err(EngineError::CursorLost);
        }
        Ok(Feed { engine: Arc::clone(self), campaign, follow, at: after, news, said: Instant::now(), over: false })
    }
}

impl Feed {
    /// The next facts; none of them when others' have been passed, or as a sign of life. `None`: the present is reached.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`], [`EngineError::ShuttingDown`]: open again behind the last cursor.
    pub async fn next(&mut self) -> Result<Option<FeedPage>, EngineError> {
        if self.over {
            return Ok(None);
        }
        loop {
            if self.engine.leaving() {
                return Err(EngineError::ShuttingDown);
            }
            let page = self.read().await?;
            if self.over || page.is_some() {
                self.said = Instant::now();
                return Ok(Some(page.unwrap_or(FeedPage { facts: Vec::new(), cursor: self.at })));
            }
            self.wait().await;
        }
    }

    /// What there is now, if that is to be said.
    async fn read(&mut self) -> Result<Option<FeedPage>, EngineError> {
        let read = self.engine.store.facts_after(self.at, self.campaign);
        let rows = self.engine.in_time(read).await.inspect_err(|error| self.engine.outage.note(error))?;
        let full = rows.len() >= FACTS_PAGE;
        self.at = rows.last().map(|(cursor, _)| *cursor).or(self.at);
        let facts: Vec<_> = rows.into_iter().filter_map(|(cursor, fact)| Some((cursor, fact?))).collect();
        self.over = !full && !self.follow;
        let said = full || !facts.is_empty() || self.said.elapsed() >= SIGN_OF_LIFE;
        Ok(said.then_some(FeedPage { facts, cursor: self.at }))
    }

    async fn wait(&mut self) {
        tokio::select! {
            () = async {
                self.news.heard().await;
                sleep(GATHER).await;
            } => {}
            () = sleep(LOOK_EVERY) => {}
            () = self.engine.leaving.cancelled() => {}
            () = self.engine.stop.cancelled() => {}
        }
    }
}
