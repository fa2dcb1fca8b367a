//! Leads: read, changed by hand, consumed, promised a callback.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{
    Engine, EngineError,
    audit::{Asked, Audit},
    callbacks::When,
    campaigns,
    leasing::messages::RevokeReason,
};
use crate::{
    domain::{
        ids::{CampaignId, CampaignKey, LeadId, LeaseId, ZoneId},
        lead::LeadState,
        lead_zones,
        phone_number::PhoneNumber,
        time_zone::TimeZone,
    },
    store::{
        Transaction,
        attempts::{AttemptFilter, AttemptRow},
        changes::{self, Lifted, Placed, Revoked},
        intake,
        lead_filter::{LeadSearch, Place},
        leads::{self, LeadChange, LeadRow},
        queue::waiting,
    },
};

/// What changes of a lead.
#[derive(Clone, Default)]
pub struct LeadPatch {
    /// What is written as it is.
    pub change: LeadChange,
    /// Its own zone, or again those that its number tells.
    pub time_zone: Option<Option<TimeZone>>,
}

impl LeadPatch {
    /// What it changes, by name.
    pub(super) fn fields(&self) -> Vec<&'static str> {
        let LeadChange { rank, external_id, variables, .. } = &self.change;
        let given = [
            ("score", rank.is_some()),
            ("time_zone", self.time_zone.is_some()),
            ("external_id", external_id.is_some()),
            ("variables", variables.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

async fn read(tx: &Transaction<'_>, campaign: CampaignKey, lead: LeadId) -> Result<LeadRow, EngineError> {
    leads::find(tx, campaign, lead).await?.ok_or(EngineError::LeadNotFound)
}

/// Back where it was, to be looked at again now.
fn back(lifted: &Lifted, row: &LeadRow, now: DateTime<Utc>) -> Placed {
    let (at, reason) = match lifted.state {
        LeadState::Scheduled => (row.callback_at, waiting::CALLBACK),
        // At its place in the order, by its score, unless it backs off.
        LeadState::Eligible => {
            let delays = [waiting::BACK_OFF, waiting::UNKNOWN_RETRY];
            let running = row.waiting_reason.filter(|reason| delays.contains(reason));
            let until = lifted.not_before.filter(|at| running.is_some() && *at > now);
            (until, running.unwrap_or(waiting::BACK_OFF))
        }
        // It waits for its retry, unless it was out of the waiting already.
        LeadState::IntentNoAnswer | LeadState::Failed => {
            let queued = matches!(row.state, LeadState::Ready | LeadState::DialingIntent);
            (
                row.not_before.or(lifted.not_before).or(queued.then_some(now)),
                // UNKNOWN's delay outlives a reset, and who waits for a number rule looks again when rules change.
                row.waiting_reason
                    .filter(|reason| [waiting::UNKNOWN_RETRY, waiting::NUMBER_RULE].contains(reason))
                    .unwrap_or(waiting::RETRY),
            )
        }
        _ => (None, waiting::RETRY),
    };
    Placed { lead: lifted.lead, state: lifted.state, at, reason }
}

impl Engine {
    /// Reads one lead.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`], [`EngineError::LeadNotFound`].
    pub async fn lead(&self, campaign: CampaignId, lead: LeadId) -> Result<LeadRow, EngineError> {
        let key = self.campaign(campaign).await?.key;
        self.store.lead(key, lead).await?.ok_or(EngineError::LeadNotFound)
    }

    /// One page of leads; the second part is where the next one begins.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`].
    pub async fn list_leads(
        &self,
        campaign: CampaignId,
        search: &LeadSearch,
        after: Option<Place>,
        limit: i64,
    ) -> Result<(Vec<LeadRow>, Option<Place>), EngineError> {
        let key = self.campaign(campaign).await?.key;
        Ok(self.store.leads(key, search, after, limit).await?)
    }

    /// Attempts, newest first; the second part is where the next page begins.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`].
    pub async fn list_attempts(
        &self,
        mut filter: AttemptFilter,
        campaign: Option<CampaignId>,
        before: Option<LeaseId>,
        limit: i64,
    ) -> Result<(Vec<AttemptRow>, Option<LeaseId>), EngineError> {
        if let Some(id) = campaign {
            filter.campaign = Some(self.campaign(id).await?.key);
        }
        let mut rows = self.store.attempts(&filter, before, limit + 1).await?;
        let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            rows.pop();
        }
        let next = rows.last().map(|row| row.lease).filter(|_| more);
        Ok((rows, next))
    }

    /// Changes a lead; never its number, never its state. A queued lead is queued anew, a lease without a permit revoked.
    ///
    /// # Errors
    /// [`EngineError::LeadNotFound`], [`EngineError::ExternalIdTaken`], [`EngineError::CampaignState`] when archived.
    pub async fn update_lead(
        self: &Arc<Self>,
        campaign: CampaignId,
        lead: LeadId,
        patch: LeadPatch,
        asked: Asked,
    ) -> Result<LeadRow, EngineError> {
        let key = self.campaign(campaign).await?.key;
        let now = self.clock.now();
        let done = self
            .change(asked, move |tx| {
                let patch = patch.clone();
                Box::pin(async move {
                    campaigns::refuse_archived(&campaigns::lock(tx, key).await?)?;
                    let audit = Audit::lead(key, lead).with("fields", patch.fields().join(", "));
                    let revoked = change_leads(tx, key, &[lead], patch, now).await?;
                    Ok((read(tx, key, lead).await?, revoked, Some(audit)))
                })
            })
            .await?;
        self.lead_changed(key, done.aftermath);
        Ok(done.answer)
    }

    pub(super) fn lead_changed(self: &Arc<Self>, key: CampaignKey, revoked: Option<Vec<Revoked>>) {
        if let Some(revoked) = revoked {
            self.announce_revoked(&revoked, RevokeReason::LeadChanged);
            self.survey_soon();
            self.announce_work(key);
        }
    }

    /// Promises a callback, or moves a promised one.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] for an instant in the past and words that are not understood; [`EngineError::LeadState`], [`EngineError::LeadNotFound`], [`EngineError::CampaignState`] when archived.
    pub async fn schedule_callback(
        self: &Arc<Self>,
        campaign: CampaignId,
        lead: LeadId,
        when: When,
        asked: Asked,
    ) -> Result<LeadRow, EngineError> {
        let promise = self.promise_by_hand(campaign, lead, &when).await?;
        let key = self.campaign(campaign).await?.key;
        let done = self
            .change(asked, move |tx| {
                Box::pin(async move {
                    campaigns::refuse_archived(&campaigns::lock(tx, key).await?)?;
                    let before = read(tx, key, lead).await?;
                    let refuse = |why| Err(EngineError::LeadState { state: before.state, why });
                    if !before.state.allows_callback_by_hand() {
                        return refuse("a lead that has decided, or was handled by hand, is not called back");
                    }
                    if before.suppressed {
                        return refuse("the number is suppressed");
                    }
                    let lifted = changes::lift(tx, key, &[lead]).await?;
                    if lifted.iter().any(|lifted| lifted.begun) {
                        return refuse("a call is under way");
                    }
                    changes::set_callback(tx, key, lead, Some(promise)).await?;
                    let at = promise.at;
                    let placed = Placed { lead, state: LeadState::Scheduled, at: Some(at), reason: waiting::CALLBACK };
                    changes::place(tx, key, &[placed]).await?;
                    let revoked: Vec<Revoked> = lifted.iter().filter_map(|lifted| lifted.revoked).collect();
                    let audit = Audit::lead(key, lead).with("callback_at", at.to_rfc3339());
                    Ok((read(tx, key, lead).await?, revoked, Some(audit)))
                })
            })
            .await?;
        self.lead_changed(key, done.aftermath);
        Ok(done.answer)
    }

    /// Takes a promise back: the lead is ELIGIBLE.
    ///
    /// # Errors
    /// [`EngineError::LeadState`] when no callback is promised; [`EngineError::LeadNotFound`].
    pub async fn cancel_callback(
        self: &Arc<Self>,
        campaign: CampaignId,
        lead: LeadId,
        asked: Asked,
    ) -> Result<LeadRow, EngineError> {
        let key = self.campaign(campaign).await?.key;
        let now = self.clock.now();
        let done = self
            .change(asked, move |tx| {
                Box::pin(async move {
                    campaigns::refuse_archived(&campaigns::lock(tx, key).await?)?;
                    let before = read(tx, key, lead).await?;
                    let lifted =
                        if before.callback_at.is_some() { changes::lift(tx, key, &[lead]).await? } else { Vec::new() };
                    if !lifted.iter().any(|lifted| lifted.state == LeadState::Scheduled && !lifted.begun) {
                        let why = "no callback is promised, or its call is under way";
                        return Err(EngineError::LeadState { state: before.state, why });
                    }
                    changes::set_callback(tx, key, lead, None).await?;
                    let placed = Placed { lead, state: LeadState::Eligible, at: Some(now), reason: waiting::BACK_OFF };
                    changes::place(tx, key, &[placed]).await?;
                    let revoked: Vec<Revoked> = lifted.iter().filter_map(|lifted| lifted.revoked).collect();
                    Ok((read(tx, key, lead).await?, revoked, Some(Audit::lead(key, lead))))
                })
            })
            .await?;
        self.lead_changed(key, done.aftermath);
        Ok(done.answer)
    }
}

/// Changes leads in a transaction that holds the fence; those under a permit keep their places and leases.
pub(super) async fn change_leads(
    tx: &Transaction<'_>,
    key: CampaignKey,
    leads: &[LeadId],
    patch: LeadPatch,
    now: DateTime<Utc>,
) -> Result<Vec<Revoked>, EngineError> {
    let before: HashMap<LeadId, LeadRow> =
        leads::find_all(tx, key, leads).await?.into_iter().map(|row| (row.id, row)).collect();
    if before.len() < leads.len() {
        return Err(EngineError::LeadNotFound);
    }
    let mut change = patch.change;
    let lifted = changes::lift(tx, key, leads).await?;
    for (zone, leads) in zones_after(tx, patch.time_zone, &before).await? {
        change.zone = zone;
        leads::update(tx, key, &leads, &change).await?;
    }
    let placed: Vec<Placed> = lifted
        .iter()
        .filter(|lifted| !lifted.begun)
        .filter_map(|lifted| Some(back(lifted, before.get(&lifted.lead)?, now)))
        .collect();
    changes::place(tx, key, &placed).await?;
    Ok(lifted.iter().filter_map(|lifted| lifted.revoked).collect())
}

/// The zones that leads are stored with after a change of their own zone, and the leads of each; `None`: as it is.
async fn zones_after(
    tx: &Transaction<'_>,
    own: Option<Option<TimeZone>>,
    leads: &HashMap<LeadId, LeadRow>,
) -> Result<Vec<(Option<ZoneId>, Vec<LeadId>)>, EngineError> {
    let Some(own) = own else { return Ok(vec![(None, leads.keys().copied().collect())]) };
    let mut by_name: BTreeMap<Option<Cow<'static, str>>, Vec<LeadId>> = BTreeMap::new();
    for row in leads.values() {
        let number = PhoneNumber::from_digits(row.number);
        let stored = number.and_then(|number| lead_zones::stored(own.as_ref(), number));
        by_name.entry(stored).or_default().push(row.id);
    }
    let mut zones = Vec::with_capacity(by_name.len());
    for (name, leads) in by_name {
        let zone = match name {
            None => Some(0),
            Some(name) => intake::zone_ids(tx, &[&name]).await?.first().map(|(id, _)| *id),
        };
        zones.push((zone, leads));
    }
    Ok(zones)
}
