//! Who watches a campaign's counts: told when they change, and not more often than wanted.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep, sleep_until};

use super::{Engine, EngineError, news::Listener};
use crate::{
    domain::{campaign::CampaignState, ids::CampaignId},
    store::campaigns::{CampaignRow, GaugeRow},
};

/// How often at most: bounds.
pub const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// How often at most, unless told.
pub const INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
/// How often it looks unless it hears something: what other replicas do is not always told.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same is told again after this long.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// One who watches.
pub struct StatsWatch {
    engine: Arc<Engine>,
    campaign: CampaignId,
    interval: Duration,
    news: Listener,
    told: Option<(CampaignRow, GaugeRow, Instant)>,
}

impl Engine {
    /// Watches a campaign's counts.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`]; [`EngineError::Overloaded`] when too many watch; [`EngineError::ShuttingDown`].
    pub async fn watch_stats(
        self: &Arc<Self>,
        campaign: CampaignId,
        interval: Duration,
    ) -> Result<StatsWatch, EngineError> {
        if self.leaving() {
            return Err(EngineError::ShuttingDown);
        }
        let news = self.news.listen(self.campaign(campaign).await?.key)?;
        Ok(StatsWatch { engine: Arc::clone(self), campaign, interval, news, told: None })
    }
}

impl StatsWatch {
    /// The counts: at once, then when they differ from those told last. `None`: it was told that the campaign is archived.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`], [`EngineError::ShuttingDown`]: watch again.
    pub async fn next(&mut self) -> Result<Option<(CampaignRow, GaugeRow)>, EngineError> {
        if self.told.as_ref().is_some_and(|(row, _, _)| row.state == CampaignState::Archived) {
            return Ok(None);
        }
        if let Some((_, _, at)) = &self.told {
            let until = *at + self.interval;
            self.unless_leaving(sleep_until(until)).await?;
        }
        loop {
            if self.engine.leaving() {
                return Err(EngineError::ShuttingDown);
            }
            let (row, gauge) = self.engine.in_time(self.engine.campaign_stats(self.campaign)).await?;
            let same = self.told.as_ref().is_some_and(|(told, counts, at)| {
                at.elapsed() < SIGN_OF_LIFE
                    && told.state == row.state
                    && told.completed == row.completed
                    && *counts == gauge
            });
            if !same {
                self.told = Some((row.clone(), gauge.clone(), Instant::now()));
                return Ok(Some((row, gauge)));
            }
            let looked = Instant::now();
            let leaving = self.engine.leaving.clone();
            tokio::select! {
                () = self.news.heard() => {
                    // News come in crowds.
                    let next = looked + self.interval.min(LOOK_EVERY);
                    self.unless_leaving(sleep_until(next)).await?;
                }
                () = sleep(LOOK_EVERY) => {}
                () = leaving.cancelled() => {}
            }
        }
    }

    /// The engine's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.engine.clock.now()
    }

    async fn unless_leaving(&self, wait: impl Future<Output = ()>) -> Result<(), EngineError> {
        tokio::select! {
            () = wait => Ok(()),
            () = self.engine.leaving.cancelled() => Err(EngineError::ShuttingDown),
            () = self.engine.stop.cancelled() => Err(EngineError::ShuttingDown),
        }
    }
}
