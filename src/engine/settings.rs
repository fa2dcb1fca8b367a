//! The engine's settings, and what an operator sees of the engine as a whole.

use std::{sync::Arc, time::Duration};

use super::{
    Engine, EngineError,
    audit::{Asked, Audit},
    bulk::BATCH,
    leasing::messages::RevokeReason,
    loops::signals::Signal,
    number_rules,
};
use crate::{
    domain::{
        ids::{CampaignId, LeaseId, SessionId},
        number_rules::NumberRules,
        settings::SchedulerSettings,
    },
    store::{
        campaigns::ActivityRow,
        live_leases::{LeaseFilter, LiveLeaseRow},
        releases::ReleaseVerdict,
        sessions::Presence,
        settings as stored,
    },
};

/// Running campaigns shown in the status.
const ACTIVITY_MAX: i64 = 1000;

/// What UpdateSchedulerSettings may change; `None`: as it is.
#[derive(Debug, Clone, Default)]
pub struct SettingsChange {
    /// See [`SchedulerSettings`].
    pub max_concurrency: Option<i32>,
    /// See [`SchedulerSettings`].
    pub tick_interval: Option<Duration>,
    /// See [`SchedulerSettings`].
    pub buffer_factor: Option<i32>,
    /// See [`SchedulerSettings`].
    pub batch_size: Option<i32>,
    /// See [`SchedulerSettings`].
    pub session_ttl: Option<Duration>,
    /// See [`SchedulerSettings`].
    pub receipt_within: Option<Duration>,
    /// See [`SchedulerSettings`].
    pub dial_within: Option<Duration>,
    /// See [`SchedulerSettings`]; an inner `None` is "no limit".
    pub max_calls_per_second: Option<Option<f64>>,
    /// See [`SchedulerSettings`].
    pub number_rules: Option<NumberRules>,
}

impl SettingsChange {
    /// The settings after the change.
    fn apply(self, before: &SchedulerSettings) -> SchedulerSettings {
        SchedulerSettings {
            max_concurrency: self.max_concurrency.unwrap_or(before.max_concurrency),
            tick_interval: self.tick_interval.unwrap_or(before.tick_interval),
            buffer_factor: self.buffer_factor.unwrap_or(before.buffer_factor),
            batch_size: self.batch_size.unwrap_or(before.batch_size),
            session_ttl: self.session_ttl.unwrap_or(before.session_ttl),
            receipt_within: self.receipt_within.unwrap_or(before.receipt_within),
            dial_within: self.dial_within.unwrap_or(before.dial_within),
            max_calls_per_second: self.max_calls_per_second.unwrap_or(before.max_calls_per_second),
            number_rules: self.number_rules.unwrap_or_else(|| before.number_rules.clone()),
            etag: before.etag,
        }
    }
}

/// How the whole engine stands.
pub struct Status {
    /// In force.
    pub settings: SchedulerSettings,
    /// Who is there.
    pub presence: Presence,
    /// Live leases with a permit.
    pub begun_calls: i64,
    /// Running campaigns.
    pub campaigns: Vec<ActivityRow>,
}

impl Engine {
    /// Changes settings for all replicas at once. After a cap is lowered, leases without a permit above it are revoked.
    ///
    /// # Errors
    /// [`EngineError::StaleEtag`]; [`EngineError::RequestReused`].
    pub async fn update_settings(
        self: &Arc<Self>,
        change: SettingsChange,
        etag: Option<i64>,
        asked: Asked,
    ) -> Result<SchedulerSettings, EngineError> {
        let done = self
            .change(asked, move |tx| {
                let change = change.clone();
                Box::pin(async move {
                    let before = stored::read(tx).await?;
                    let after = change.apply(&before);
                    // Compared with what was read, too: two changes at once do not undo each other.
                    if etag.is_some_and(|etag| etag != before.etag) {
                        return Err(EngineError::StaleEtag);
                    }
                    if after == before {
                        return Ok((before, Vec::new(), None));
                    }
                    let (written, campaigns) = if after.number_rules == before.number_rules {
                        (stored::update(tx, &after, Some(before.etag)).await?, Vec::new())
                    } else {
                        number_rules::change(tx, &after).await?
                    };
                    let written = written.ok_or(EngineError::Again)?;
                    let kept = SchedulerSettings { etag: before.etag, ..written.clone() };
                    let audit = Audit::default().with_difference("", &before, &kept);
                    Ok((written, campaigns, Some(audit)))
                })
            })
            .await?;
        self.survey().await?;
        self.signals.send(Signal::Settings);
        for campaign in done.aftermath.unwrap_or_default() {
            self.announce_work(campaign);
        }
        // Of a repeated request as well: whoever changed the cap may have died before this.
        self.revoke_above_caps().await?;
        self.outlast_turns().await?;
        Ok(done.answer)
    }

    /// Takes back leases without a permit above the caps in force.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub(crate) async fn revoke_above_caps(self: &Arc<Self>) -> Result<(), EngineError> {
        let above = self.store.leases_above_cap().await?;
        if !above.is_empty() {
            self.take_back(&above, RevokeReason::CapLowered).await?;
        }
        Ok(())
    }

    /// Takes back leases without a permit, whoever holds them; returns those that have one.
    pub(crate) async fn take_back(
        self: &Arc<Self>,
        leases: &[LeaseId],
        reason: RevokeReason,
    ) -> Result<(Vec<LeaseId>, Vec<LeaseId>), EngineError> {
        let released = self.give_back(leases).await?;
        let (mut over, mut begun) = (Vec::new(), Vec::new());
        for one in released {
            match one.verdict {
                ReleaseVerdict::Released => over.push(one.lease),
                ReleaseVerdict::Begun => begun.push(one.lease),
                ReleaseVerdict::NotHeld => {}
            }
        }
        self.announce_ended(over.iter().copied(), Some(reason));
        Ok((over, begun))
    }

    /// Takes leases away by hand: (revoked, begun) per lease, in order.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn revoke_leases(
        self: &Arc<Self>,
        leases: &[LeaseId],
        asked: Asked,
    ) -> Result<Vec<(bool, bool)>, EngineError> {
        // Before it is done: an event without effect misleads less than an effect without an event.
        let ids: Vec<String> = leases.iter().map(ToString::to_string).collect();
        let audit = Audit::default().with("leases", ids.len()).with("lease_ids", ids.join(" "));
        self.change(asked, move |_| {
            let audit = audit.clone();
            Box::pin(async move { Ok(((), (), Some(audit))) })
        })
        .await?;
        let (over, begun) = self.take_back(leases, RevokeReason::ByOperator).await?;
        let unknown = self.settle_unknown(begun, RevokeReason::ByOperator).await?;
        self.outlast_turns().await?;
        Ok(leases
            .iter()
            .map(|lease| {
                let was_begun = unknown.contains(lease);
                (was_begun || over.contains(lease), was_begun)
            })
            .collect())
    }

    /// What taking leases away by hand would do: (live, begun) per lease, in order.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn would_revoke_leases(&self, leases: &[LeaseId]) -> Result<Vec<(bool, bool)>, EngineError> {
        let live = self.store.lease_contexts(leases).await?;
        let of = |lease: &LeaseId| live.iter().find(|one| one.lease == *lease);
        Ok(leases.iter().map(|lease| (of(lease).is_some(), of(lease).is_some_and(|z| z.begun_at.is_some()))).collect())
    }

    /// Takes away all live leases that match, or counts them: (matched, revoked, of these with a permit).
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`].
    pub async fn revoke_matching_leases(
        self: &Arc<Self>,
        filter: LeaseFilter,
        campaign: Option<CampaignId>,
        validate_only: bool,
        asked: Asked,
    ) -> Result<(usize, usize, usize), EngineError> {
        let filter = self.lease_filter(filter, campaign).await?;
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let rows = self.store.live_leases(&filter, after, BATCH).await?;
            all.extend(rows.iter().map(|row| (row.lease, row.begun_at.is_some())));
            after = rows.last().map(|row| row.lease);
            if i64::try_from(rows.len()).unwrap_or(i64::MAX) < BATCH {
                break;
            }
        }
        let unknown = all.iter().filter(|(_, begun)| *begun).count();
        if validate_only || all.is_empty() {
            return Ok((all.len(), all.len(), unknown));
        }
        let mut audit = Audit::default().with("leases", all.len()).with("begun", unknown);
        audit.campaign = filter.campaign;
        for (condition, value) in filter.told() {
            audit = audit.with(&format!("filter.{condition}"), value);
        }
        self.change(asked, move |_| {
            let audit = audit.clone();
            Box::pin(async move { Ok(((), (), Some(audit))) })
        })
        .await?;
        let (mut revoked, mut unknown) = (0, 0);
        for batch in all.chunks(usize::try_from(BATCH).unwrap_or(1)) {
            let leases: Vec<LeaseId> = batch.iter().map(|(lease, _)| *lease).collect();
            let (over, mut begun) = self.take_back(&leases, RevokeReason::ByOperator).await?;
            if filter.begun == Some(false) {
                // A permit came meanwhile: it is not meant any more.
                begun.clear();
            }
            let ended = self.settle_unknown(begun, RevokeReason::ByOperator).await?.len();
            revoked += over.len() + ended;
            unknown += ended;
        }
        self.outlast_turns().await?;
        Ok((all.len(), revoked, unknown))
    }

    async fn lease_filter(
        &self,
        filter: LeaseFilter,
        campaign: Option<CampaignId>,
    ) -> Result<LeaseFilter, EngineError> {
        let campaign = match campaign {
            Some(id) => Some(self.campaign(id).await?.key),
            None => None,
        };
        Ok(LeaseFilter { campaign, ..filter })
    }

    /// Live leases, oldest first; the second part is where the next page begins.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`].
    pub async fn list_leases(
        &self,
        campaign: Option<CampaignId>,
        session: Option<SessionId>,
        after: Option<LeaseId>,
        limit: i64,
    ) -> Result<(Vec<LiveLeaseRow>, Option<LeaseId>), EngineError> {
        let filter = self.lease_filter(LeaseFilter { session, ..LeaseFilter::default() }, campaign).await?;
        let mut rows = self.store.live_leases(&filter, after, limit + 1).await?;
        let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            rows.pop();
        }
        let next = rows.last().map(|row| row.lease).filter(|_| more);
        Ok((rows, next))
    }

    /// How the whole engine stands.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn status(&self) -> Result<Status, EngineError> {
        Ok(Status {
            settings: self.store.settings().await?,
            presence: self.store.presence(self.replica()).await?,
            begun_calls: self.store.begun_calls().await?,
            campaigns: self.store.activity(ACTIVITY_MAX).await?,
        })
    }
}

impl Engine {
    /// The database's clock, and PostgreSQL's version.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn database(&self) -> Result<(chrono::DateTime<chrono::Utc>, String), EngineError> {
        Ok(self.store.now().await?)
    }
}
