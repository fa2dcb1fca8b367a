//! Many leads changed by one call: those named, in one transaction; or all that match a filter, batch by batch. Each batch is a
//! transaction of its own, so that the campaign's fence is held briefly and a call that breaks off has done a part for good.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Engine, EngineError,
    audit::{Asked, Audit},
    campaigns,
    leads::{LeadPatch, change_leads},
};
use crate::{
    domain::{
        ids::{CampaignId, CampaignKey, LeadId},
        lead::LeadState,
    },
    store::{
        Transaction,
        changes::{self, Placed, Revoked},
        lead_filter::{self, LeadFilter, Match},
        queue::waiting,
    },
};

/// Leads looked at, and so at most changed, in one transaction.
pub(super) const BATCH: i64 = 1000;

/// What became of one lead that was to be consumed: its former state, and whether it is CONSUMED now.
pub type Consumed = (LeadId, Option<LeadState>, bool);

/// What is done to all leads that match.
#[derive(Clone)]
pub enum BulkChange {
    /// Marked as handled by hand.
    Consume,
    /// Score and zone.
    Update(LeadPatch),
}

impl BulkChange {
    fn allows(&self, one: &Match) -> bool {
        match self {
            BulkChange::Consume => may_be_consumed(one) && one.state != LeadState::Consumed,
            BulkChange::Update(_) => true,
        }
    }

    async fn apply(
        self,
        tx: &Transaction<'_>,
        key: CampaignKey,
        leads: &[LeadId],
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<Vec<Revoked>, EngineError> {
        match self {
            BulkChange::Consume => consume(tx, key, leads).await,
            BulkChange::Update(patch) => change_leads(tx, key, leads, patch, now).await,
        }
    }
}

/// INTENT_YES is final, and a call under way ends first.
fn may_be_consumed(one: &Match) -> bool {
    one.state != LeadState::IntentYes && !one.begun
}

/// What a bulk change did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BulkReport {
    /// Leads that matched.
    pub matched: i64,
    /// Of these, changed.
    pub changed: i64,
    /// Of these, left as they are, by code of their state.
    pub refused: BTreeMap<i16, i64>,
}

impl BulkReport {
    /// Counts one lead.
    pub fn add(&mut self, state: LeadState, changed: bool) {
        self.matched += 1;
        if changed {
            self.changed += 1;
        } else {
            *self.refused.entry(state.code()).or_default() += 1;
        }
    }

    fn of<'a>(matches: impl IntoIterator<Item = &'a Match>, allows: impl Fn(&Match) -> bool) -> BulkReport {
        let mut report = BulkReport::default();
        for one in matches {
            report.add(one.state, allows(one));
        }
        report
    }

    fn extend(&mut self, more: BulkReport) {
        self.matched += more.matched;
        self.changed += more.changed;
        for (state, leads) in more.refused {
            *self.refused.entry(state).or_default() += leads;
        }
    }
}

/// Marks leads as handled by hand. The caller holds the fence, and has seen that none is INTENT_YES or under a permit.
async fn consume(tx: &Transaction<'_>, key: CampaignKey, leads: &[LeadId]) -> Result<Vec<Revoked>, EngineError> {
    let lifted = changes::lift(tx, key, leads).await?;
    let (state, reason) = (LeadState::Consumed, waiting::RETRY);
    let placed: Vec<Placed> =
        lifted.iter().map(|lifted| Placed { lead: lifted.lead, state, at: None, reason }).collect();
    changes::clear_callbacks(tx, key, leads).await?;
    changes::place(tx, key, &placed).await?;
    Ok(lifted.iter().filter_map(|lifted| lifted.revoked).collect())
}

fn ids(matches: &[Match], allows: impl Fn(&Match) -> bool) -> Vec<LeadId> {
    matches.iter().filter(|one| allows(one)).map(|one| one.lead).collect()
}

impl Engine {
    /// Marks leads as handled by hand, or says which would be: any but INTENT_YES and those under a permit. Answers per lead,
    /// in order.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`], [`EngineError::CampaignState`] when archived, [`EngineError::RequestReused`].
    pub async fn consume_leads(
        self: &Arc<Self>,
        campaign: CampaignId,
        leads: Vec<LeadId>,
        validate_only: bool,
        asked: Asked,
    ) -> Result<Vec<Consumed>, EngineError> {
        let key = self.campaign(campaign).await?.key;
        let asked = if validate_only { Asked { key: None, ..asked } } else { asked };
        let done = self
            .change(asked, move |tx| {
                let leads = leads.clone();
                Box::pin(async move {
                    campaigns::refuse_archived(&campaigns::lock(tx, key).await?)?;
                    let found = lead_filter::matches_among(tx, key, &leads, &LeadFilter::default()).await?;
                    let wanted = ids(&found, may_be_consumed);
                    let of = |lead: &LeadId| found.iter().find(|one| one.lead == *lead);
                    let results: Vec<Consumed> = leads
                        .iter()
                        .map(|lead| (*lead, of(lead).map(|one| one.state), of(lead).is_some_and(may_be_consumed)))
                        .collect();
                    if validate_only {
                        return Ok((results, None, None));
                    }
                    let revoked = consume(tx, key, &wanted).await?;
                    Ok((results, Some(revoked), consumed_audit(key, &wanted)))
                })
            })
            .await?;
        self.lead_changed(key, done.aftermath.flatten());
        Ok(done.answer)
    }

    /// Changes all leads that match, or counts what would be changed. A repeated request_id answers the first answer; after a call
    /// that broke off it does the rest, and counts that.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`], [`EngineError::CampaignState`] when archived, [`EngineError::RequestReused`].
    pub async fn change_matching_leads(
        self: &Arc<Self>,
        campaign: CampaignId,
        filter: LeadFilter,
        change: BulkChange,
        validate_only: bool,
        asked: Asked,
    ) -> Result<BulkReport, EngineError> {
        let key = self.campaign(campaign).await?.key;
        if !validate_only && let Some(report) = self.answered(asked.key).await? {
            return Ok(report);
        }
        campaigns::refuse_archived(&self.read_campaign(campaign).await?)?;
        let planned = self.count_matches(key, &filter, &change).await?;
        if validate_only {
            return Ok(planned);
        }
        let mut report = BulkReport::default();
        if planned.changed > 0 {
            // Before it is done: an event without effect misleads less than an effect without an event.
            let audit = bulk_audit(key, &filter, &change, &planned);
            let asked = asked.clone();
            self.mutate(None, move |tx| {
                let (audit, asked) = (audit.clone(), asked.clone());
                Box::pin(async move { Ok((super::audit::record(tx, &asked, &audit).await?, ())) })
            })
            .await?;
        }
        let mut place = Some(LeadId::nil());
        while let Some(after) = place {
            let (found, next) = self.store.matches(key, &filter, after, BATCH).await?;
            if !found.is_empty() {
                report.extend(self.change_batch(key, &filter, &change, found).await?);
            }
            place = next;
        }
        let done = self
            .mutate(asked.key, move |_| {
                let report = report.clone();
                Box::pin(async move { Ok((report, ())) })
            })
            .await?;
        Ok(done.answer)
    }

    /// Changes those leads that still match.
    async fn change_batch(
        self: &Arc<Self>,
        key: CampaignKey,
        filter: &LeadFilter,
        change: &BulkChange,
        found: Vec<Match>,
    ) -> Result<BulkReport, EngineError> {
        let (filter, change, now) = (filter.clone(), change.clone(), self.clock.now());
        let leads: Vec<LeadId> = found.iter().map(|one| one.lead).collect();
        let done = self
            .mutate(None, move |tx| {
                let (filter, change, leads) = (filter.clone(), change.clone(), leads.clone());
                Box::pin(async move {
                    campaigns::refuse_archived(&campaigns::lock(tx, key).await?)?;
                    let found = lead_filter::matches_among(tx, key, &leads, &filter).await?;
                    let report = BulkReport::of(&found, |one| change.allows(one));
                    let wanted = ids(&found, |one| change.allows(one));
                    let revoked =
                        if wanted.is_empty() { Vec::new() } else { change.apply(tx, key, &wanted, now).await? };
                    Ok((report, revoked))
                })
            })
            .await?;
        self.lead_changed(key, done.aftermath);
        Ok(done.answer)
    }

    async fn count_matches(
        &self,
        key: CampaignKey,
        filter: &LeadFilter,
        change: &BulkChange,
    ) -> Result<BulkReport, EngineError> {
        let (mut report, mut place) = (BulkReport::default(), Some(LeadId::nil()));
        while let Some(after) = place {
            let (found, next) = self.store.matches(key, filter, after, BATCH).await?;
            report.extend(BulkReport::of(&found, |one| change.allows(one)));
            place = next;
        }
        Ok(report)
    }
}

/// Names the leads, where they are few; else how many.
fn consumed_audit(key: CampaignKey, leads: &[LeadId]) -> Option<Audit> {
    match leads {
        [] => None,
        [lead] => Some(Audit::lead(key, *lead)),
        many => {
            let ids: Vec<String> = many.iter().map(ToString::to_string).collect();
            Some(Audit::campaign(key).with("leads", many.len()).with("lead_ids", ids.join(" ")))
        }
    }
}

/// What is about to be done, and to how many.
fn bulk_audit(key: CampaignKey, filter: &LeadFilter, change: &BulkChange, planned: &BulkReport) -> Audit {
    let mut audit = Audit::campaign(key).with("matched", planned.matched).with("leads", planned.changed);
    if let BulkChange::Update(patch) = change {
        audit = audit.with("fields", patch.fields().join(", "));
    }
    for (condition, value) in told(filter) {
        audit = audit.with(&format!("filter.{condition}"), value);
    }
    audit
}

/// The conditions of a filter by name. What people's keys begin with is theirs: it is only said that it was asked for.
fn told(filter: &LeadFilter) -> Vec<(&'static str, String)> {
    let all = LeadFilter::default();
    let states = filter.states.iter().filter_map(|code| LeadState::from_code(*code)).map(LeadState::name);
    let outcomes = filter.last_outcomes.iter().filter_map(|code| crate::domain::outcome::Outcome::from_code(*code));
    let instant = |at: Option<chrono::DateTime<chrono::Utc>>| at.map(|at| at.to_rfc3339());
    let given = [
        ("states", (!filter.states.is_empty()).then(|| states.collect::<Vec<_>>().join(", "))),
        (
            "score",
            (filter.ranks != all.ranks).then(|| {
                format!("{} to {}", 999 - i32::from(filter.ranks.1).min(999), 999 - i32::from(filter.ranks.0))
            }),
        ),
        ("time_zone", filter.zone.clone()),
        (
            "last_outcomes",
            (!filter.last_outcomes.is_empty())
                .then(|| outcomes.map(|outcome| format!("{outcome:?}")).collect::<Vec<_>>().join(", ")),
        ),
        ("created_after", instant(filter.created_after)),
        ("created_before", instant(filter.created_before)),
        (
            "attempts",
            (filter.attempts != all.attempts).then(|| format!("{} to {}", filter.attempts.0, filter.attempts.1)),
        ),
        ("external_id_prefix", filter.external_id_prefix.as_ref().map(|_| "given".to_owned())),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
