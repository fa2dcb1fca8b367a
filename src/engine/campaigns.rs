//! Campaigns: created, changed, started, paused, archived.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::NaiveDate;

use super::{
    Engine, EngineError,
    audit::{Asked, Audit},
    leasing::messages::RevokeReason,
};
use crate::{
    domain::{
        calling_hours::CallingHours,
        campaign::{CampaignRules, CampaignState, StateFilter},
        ids::{CampaignId, CampaignKey, next_id},
        lead::LeadState,
        number_rules::NumberRules,
        promise::{MissedCallback, UnclearCallback},
        retry_policy::RetryPolicy,
    },
    store::{
        Transaction,
        campaigns::{self, By, CampaignRow, GaugeRow},
        changes::{self, Revoked},
        number_rules,
    },
};

/// What UpdateCampaign may change; `None`: as it is. An inner `None` is "none".
#[derive(Debug, Clone, Default)]
pub struct CampaignChange {
    /// The name.
    pub name: Option<String>,
    /// See [`CampaignRules`].
    pub default_region: Option<Option<String>>,
    /// See [`CampaignRules`].
    pub default_time_zone: Option<Option<String>>,
    /// See [`CampaignRules`].
    pub calling_hours: Option<Option<CallingHours>>,
    /// See [`CampaignRules`].
    pub max_attempts: Option<i16>,
    /// See [`CampaignRules`].
    pub max_concurrency: Option<Option<i32>>,
    /// See [`CampaignRules`].
    pub max_calls_per_second: Option<Option<f64>>,
    /// See [`CampaignRules`].
    pub weight: Option<i32>,
    /// See [`CampaignRules`].
    pub min_concurrency: Option<i32>,
    /// See [`CampaignRules`].
    pub retry_policy: Option<RetryPolicy>,
    /// See [`CampaignRules`].
    pub begin_within: Option<Duration>,
    /// See [`CampaignRules`].
    pub max_duration: Option<Duration>,
    /// See [`CampaignRules`].
    pub start_date: Option<Option<NaiveDate>>,
    /// See [`CampaignRules`].
    pub end_date: Option<Option<NaiveDate>>,
    /// See [`CampaignRules`].
    pub hour_presets: Option<Vec<String>>,
    /// See [`CampaignRules`].
    pub holiday_countries: Option<Vec<String>>,
    /// See [`CampaignRules`].
    pub holidays: Option<BTreeSet<NaiveDate>>,
    /// See [`CampaignRules`].
    pub breaker_after: Option<i32>,
    /// See [`CampaignRules`].
    pub breaker_probe_interval: Option<Duration>,
    /// See [`CampaignRules`].
    pub number_rules: Option<NumberRules>,
    /// See [`CampaignRules`].
    pub missed_callback: Option<MissedCallback>,
    /// See [`CampaignRules`].
    pub callback_tolerance: Option<Duration>,
    /// See [`CampaignRules`].
    pub unclear_callback: Option<UnclearCallback>,
}

impl CampaignChange {
    /// The rules after the change.
    pub fn apply(self, rules: &CampaignRules) -> CampaignRules {
        CampaignRules {
            default_region: self.default_region.unwrap_or_else(|| rules.default_region.clone()),
            default_time_zone: self.default_time_zone.unwrap_or_else(|| rules.default_time_zone.clone()),
            calling_hours: self.calling_hours.unwrap_or_else(|| rules.calling_hours.clone()),
            max_attempts: self.max_attempts.unwrap_or(rules.max_attempts),
            max_concurrency: self.max_concurrency.unwrap_or(rules.max_concurrency),
            max_calls_per_second: self.max_calls_per_second.unwrap_or(rules.max_calls_per_second),
            weight: self.weight.unwrap_or(rules.weight),
            min_concurrency: self.min_concurrency.unwrap_or(rules.min_concurrency),
            retry_policy: self.retry_policy.unwrap_or_else(|| rules.retry_policy.clone()),
            begin_within: self.begin_within.unwrap_or(rules.begin_within),
            max_duration: self.max_duration.unwrap_or(rules.max_duration),
            start_date: self.start_date.unwrap_or(rules.start_date),
            end_date: self.end_date.unwrap_or(rules.end_date),
            hour_presets: self.hour_presets.unwrap_or_else(|| rules.hour_presets.clone()),
            holiday_countries: self.holiday_countries.unwrap_or_else(|| rules.holiday_countries.clone()),
            holidays: self.holidays.unwrap_or_else(|| rules.holidays.clone()),
            breaker_after: self.breaker_after.unwrap_or(rules.breaker_after),
            breaker_probe_interval: self.breaker_probe_interval.unwrap_or(rules.breaker_probe_interval),
            number_rules: self.number_rules.unwrap_or_else(|| rules.number_rules.clone()),
            missed_callback: self.missed_callback.unwrap_or(rules.missed_callback),
            callback_tolerance: self.callback_tolerance.unwrap_or(rules.callback_tolerance),
            unclear_callback: self.unclear_callback.unwrap_or(rules.unclear_callback),
        }
    }
}

/// Locks a campaign for a change, and reads it as it is then.
///
/// # Errors
/// [`EngineError::CampaignNotFound`].
pub(super) async fn lock(tx: &Transaction<'_>, key: CampaignKey) -> Result<CampaignRow, EngineError> {
    changes::fence(tx, &[key]).await?;
    campaigns::find(tx, By::Key(key)).await?.ok_or(EngineError::CampaignNotFound)
}

/// Refuses changes of archived campaigns.
///
/// # Errors
/// [`EngineError::CampaignState`].
pub(super) fn refuse_archived(campaign: &CampaignRow) -> Result<(), EngineError> {
    if campaign.state == CampaignState::Archived {
        return Err(EngineError::CampaignState { state: campaign.state, why: "an archived campaign is read-only" });
    }
    Ok(())
}

/// Refuses rules whose parts contradict each other; each by itself is good.
///
/// # Errors
/// [`EngineError::BadInput`].
fn refuse_contradiction(rules: &CampaignRules) -> Result<(), EngineError> {
    let refuse = |field, rule| Err(EngineError::BadInput { field, rule });
    if rules.start_date.zip(rules.end_date).is_some_and(|(start, end)| end < start) {
        return refuse("rules.end_date", "must not be before rules.start_date");
    }
    if rules.minimum_fits() { Ok(()) } else { refuse("rules.min_concurrency", "must be at most max_concurrency") }
}

impl Engine {
    /// Creates a campaign in DRAFT.
    ///
    /// # Errors
    /// [`EngineError::BadInput`]; [`EngineError::RequestReused`]; [`EngineError::Unavailable`].
    pub async fn create_campaign(
        self: &Arc<Self>,
        name: String,
        rules: CampaignRules,
        asked: Asked,
    ) -> Result<CampaignRow, EngineError> {
        refuse_contradiction(&rules)?;
        let done = self
            .change(asked, move |tx| {
                let (name, rules) = (name.clone(), rules.clone());
                Box::pin(async move {
                    let row = campaigns::insert(tx, next_id(), &name, &rules).await?;
                    let audit = Audit::campaign(row.key).with_difference("rules.", &CampaignRules::default(), &rules);
                    Ok((row, (), Some(audit)))
                })
            })
            .await?;
        Ok(done.answer)
    }

    /// Changes name and rules. New rules, but for shares, send the buffer back and
    /// revoke leases without a permit.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`], [`EngineError::StaleEtag`], [`EngineError::CampaignState`],
    /// [`EngineError::BadInput`].
    pub async fn update_campaign(
        self: &Arc<Self>,
        id: CampaignId,
        change: CampaignChange,
        etag: Option<i64>,
        asked: Asked,
    ) -> Result<CampaignRow, EngineError> {
        let key = self.campaign(id).await?.key;
        let done = self
            .change(asked, move |tx| {
                let change = change.clone();
                Box::pin(async move {
                    let before = lock(tx, key).await?;
                    refuse_archived(&before)?;
                    if etag.is_some_and(|etag| etag != before.etag) {
                        return Err(EngineError::StaleEtag);
                    }
                    let name = change.name.clone().unwrap_or_else(|| before.name.clone());
                    let rules = change.apply(&before.rules);
                    refuse_contradiction(&rules)?;
                    let mut revoked = Vec::new();
                    if !rules.allow_the_same(&before.rules) {
                        revoked = changes::recall(tx, key).await?;
                        changes::recheck_hours(tx, key).await?;
                        number_rules::look_again(tx, key, None).await?;
                        let beyond = rules.retry_policy.goes_beyond(&before.rules.retry_policy);
                        if rules.max_attempts > before.rules.max_attempts || beyond {
                            changes::rewind_cursor(tx, key).await?;
                        }
                    }
                    campaigns::update(tx, key, &name, &rules).await?;
                    let after = campaigns::find(tx, By::Key(key)).await?.ok_or(EngineError::CampaignNotFound)?;
                    let mut audit = Audit::campaign(key).with_difference("rules.", &before.rules, &rules);
                    if name != before.name {
                        audit = audit.with("name", "changed");
                    }
                    Ok((after, revoked, Some(audit)))
                })
            })
            .await?;
        self.campaign_changed(key, done.aftermath);
        self.outlast_turns().await?;
        Ok(done.answer)
    }

    /// Sets a campaign's state, when that is allowed.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`], [`EngineError::CampaignState`].
    pub async fn set_campaign_state(
        self: &Arc<Self>,
        id: CampaignId,
        state: CampaignState,
        asked: Asked,
    ) -> Result<CampaignRow, EngineError> {
        let key = self.campaign(id).await?.key;
        let done = self
            .change(asked, move |tx| {
                Box::pin(async move {
                    let before = lock(tx, key).await?;
                    if !before.state.may_become(state) {
                        return Err(EngineError::CampaignState { state: before.state, why: wanted(state) });
                    }
                    if before.state == state {
                        return Ok((before, Vec::new(), None));
                    }
                    let mut revoked = Vec::new();
                    if state != CampaignState::Running {
                        revoked = changes::recall(tx, key).await?;
                    }
                    if state == CampaignState::Archived {
                        let gauge = campaigns::gauge(tx, key).await?;
                        if gauge.counts.iter().any(|(state, leads)| *state == LeadState::DialingIntent && *leads > 0) {
                            let why = "calls are under way: wait for them, or revoke their leases";
                            return Err(EngineError::CampaignState { state: before.state, why });
                        }
                    }
                    campaigns::set_state(tx, key, state).await?;
                    let after = campaigns::find(tx, By::Key(key)).await?.ok_or(EngineError::CampaignNotFound)?;
                    let audit =
                        Audit::campaign(key).with("state", format!("{} -> {}", before.state.name(), state.name()));
                    Ok((after, revoked, Some(audit)))
                })
            })
            .await?;
        self.campaign_changed(key, done.aftermath);
        self.outlast_turns().await?;
        Ok(done.answer)
    }

    fn campaign_changed(self: &Arc<Self>, key: CampaignKey, revoked: Option<Vec<Revoked>>) {
        if let Some(revoked) = revoked {
            self.announce_revoked(&revoked, RevokeReason::CampaignChanged);
            self.announce(key);
        }
    }

    /// Campaigns, newest first; the second part is where the next page begins.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn list_campaigns(
        &self,
        filter: StateFilter,
        before: Option<CampaignKey>,
        limit: i64,
    ) -> Result<(Vec<CampaignRow>, Option<CampaignKey>), EngineError> {
        let mut rows = self.store.campaigns(filter, before, limit + 1).await?;
        let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            rows.pop();
        }
        let next = rows.last().map(|row| row.key).filter(|_| more);
        Ok((rows, next))
    }

    /// One campaign as it is now, not as remembered.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`].
    pub async fn read_campaign(&self, id: CampaignId) -> Result<CampaignRow, EngineError> {
        self.store.campaign(By::Id(id)).await?.ok_or(EngineError::CampaignNotFound)
    }

    /// What is counted for a campaign.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`].
    pub async fn campaign_stats(&self, id: CampaignId) -> Result<(CampaignRow, GaugeRow), EngineError> {
        let row = self.read_campaign(id).await?;
        let gauge = self.store.gauge(row.key).await?;
        Ok((row, gauge))
    }
}

fn wanted(state: CampaignState) -> &'static str {
    match state {
        CampaignState::Draft => "a campaign never becomes a draft again",
        CampaignState::Running => "an archived campaign cannot be started",
        CampaignState::Paused => "only a running campaign can be paused",
        CampaignState::Archived => "pause the campaign before it is archived",
    }
}
