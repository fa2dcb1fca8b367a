//! Live leases: granted and settled; permits and releases have files of their own. One function call per batch; the statements
//! are in the migrations.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::{Store, StoreError, callbacks::endless, leads::Variables};
use crate::{
    domain::{
        ids::{CampaignKey, LeadId, LeaseId, ReplicaId, SessionId},
        lead::{Facts, LeadState},
        outcome::Outcome,
    },
    failpoints,
};

/// A lead that is to be leased to a session.
#[derive(Debug, Clone)]
pub struct GrantItem {
    /// The lead's campaign.
    pub campaign: CampaignKey,
    /// The lead.
    pub lead: LeadId,
    /// The lease's id, made by the engine.
    pub lease: LeaseId,
    /// To whom.
    pub session: SessionId,
    /// Digits of its number.
    pub number: i64,
    /// The lease's place among those of the lead.
    pub seq: i32,
    /// Attempts of the generation `epoch` so far.
    pub attempts: i16,
    /// The generation in which they were counted.
    pub epoch: i32,
    /// The due key of a promise; none: from READY.
    pub promised: Option<DateTime<Utc>>,
    /// The end of its hours.
    pub open_until: DateTime<Utc>,
    /// The version of the rules by which that was reckoned.
    pub rules_version: i32,
}

/// What became of one [`GrantItem`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantVerdict {
    /// Leased.
    Granted,
    /// Not in the queue any more.
    Gone,
    /// The engine's cap is reached.
    EngineCap,
    /// The campaign's cap is reached.
    CampaignCap,
    /// The number is on a live lease.
    NumberBusy,
    /// The number is suppressed.
    Suppressed,
    /// The hours are over.
    Closed,
    /// The campaign does not run, or its rules are newer.
    Stale,
    /// The session is not on this replica any more.
    Moved,
    /// The campaign's circuit breaker is open, and no probe is due.
    Provider,
    /// A number rule forbids a call until then.
    NumberRule(DateTime<Utc>),
}

/// Details of a report, as stored.
#[derive(Clone, Default)]
pub struct ReportDetails {
    /// When it happened.
    pub occurred_at: Option<DateTime<Utc>>,
    /// The provider's own id.
    pub provider_call_id: Option<String>,
    /// How long was talked.
    pub talk: Option<Duration>,
    /// How long it rang.
    pub ring: Option<Duration>,
    /// As reported.
    pub note: Option<String>,
    /// As reported.
    pub metadata: Option<Variables>,
    /// In what words a callback was asked for.
    pub callback_phrase: Option<String>,
}

/// A lease that ends with an outcome, as the core decided.
#[derive(Clone)]
pub struct Settlement {
    /// The lease.
    pub lease: LeaseId,
    /// Its campaign.
    pub campaign: CampaignKey,
    /// The lead's version that the core saw.
    pub version: i32,
    /// The campaign's generation that the core saw.
    pub epoch: i32,
    /// What came of the attempt.
    pub outcome: Outcome,
    /// The state that follows.
    pub state: LeadState,
    /// When the lead is due again.
    pub due_at: Option<DateTime<Utc>>,
    /// The promised instant that was reported, or understood; none where it is held.
    pub callback_at: Option<DateTime<Utc>>,
    /// The digest of the facts.
    pub facts: Facts,
    /// As reported.
    pub details: ReportDetails,
}

pub(super) fn unknown_code(what: &str, code: i16) -> StoreError {
    StoreError::Bug(format!("{what} {code}"))
}

pub(super) fn grant_verdict(code: i16, free_at: Option<DateTime<Utc>>) -> Result<GrantVerdict, StoreError> {
    Ok(match (code, free_at) {
        (1, _) => GrantVerdict::Granted,
        (2, _) => GrantVerdict::Gone,
        (3, _) => GrantVerdict::EngineCap,
        (4, _) => GrantVerdict::CampaignCap,
        (5, _) => GrantVerdict::NumberBusy,
        (6, _) => GrantVerdict::Suppressed,
        (7, _) => GrantVerdict::Closed,
        (8, _) => GrantVerdict::Stale,
        (9, _) => GrantVerdict::Moved,
        (10, Some(until)) => GrantVerdict::NumberRule(until),
        (11, _) => GrantVerdict::Provider,
        (other, _) => return Err(unknown_code("grant verdict", other)),
    })
}

/// Ends leases with outcomes; returns (lease, session, state) of those that were. `alone`: leave alone a DO_NOT_CALL whose
/// number other campaigns have, too.
///
/// # Errors
/// [`StoreError`].
pub async fn settle(
    client: &impl GenericClient,
    items: &[Settlement],
    alone: bool,
) -> Result<Vec<(LeaseId, SessionId, LeadState)>, StoreError> {
    let statement = client.prepare_cached(include_str!("sql/settle.sql")).await?;
    let ms = |duration: Option<Duration>| duration.map(|d| i32::try_from(d.as_millis()).unwrap_or(i32::MAX));
    let leases: Vec<Uuid> = items.iter().map(|i| i.lease).collect();
    let campaigns: Vec<i32> = items.iter().map(|i| i.campaign).collect();
    let versions: Vec<i32> = items.iter().map(|i| i.version).collect();
    let epochs: Vec<i32> = items.iter().map(|i| i.epoch).collect();
    let outcomes: Vec<i16> = items.iter().map(|i| i.outcome.code()).collect();
    let states: Vec<i16> = items.iter().map(|i| i.state.code()).collect();
    let due: Vec<_> = items.iter().map(|i| endless(i.due_at)).collect();
    let callbacks: Vec<_> = items.iter().map(|i| endless(i.facts.callback_at)).collect();
    let said: Vec<Option<DateTime<Utc>>> = items.iter().map(|i| i.callback_at).collect();
    let streaks: Vec<i16> = items.iter().map(|i| i.facts.streak).collect();
    let callback_counts: Vec<i16> = items.iter().map(|i| i.facts.callbacks).collect();
    let seqs: Vec<i32> = items.iter().map(|i| i.facts.conversation.map_or(0, |(seq, _)| seq)).collect();
    let conversations: Vec<Option<i16>> =
        items.iter().map(|i| i.facts.conversation.map(|(_, outcome)| outcome.code())).collect();
    let occurred: Vec<Option<DateTime<Utc>>> = items.iter().map(|i| i.details.occurred_at).collect();
    let providers: Vec<Option<&str>> = items.iter().map(|i| i.details.provider_call_id.as_deref()).collect();
    let talk: Vec<Option<i32>> = items.iter().map(|i| ms(i.details.talk)).collect();
    let ring: Vec<Option<i32>> = items.iter().map(|i| ms(i.details.ring)).collect();
    let notes: Vec<Option<&str>> = items.iter().map(|i| i.details.note.as_deref()).collect();
    let metadata: Vec<Option<Json<&Variables>>> = items.iter().map(|i| i.details.metadata.as_ref().map(Json)).collect();
    let latest: Vec<Option<DateTime<Utc>>> = items.iter().map(|i| i.facts.callback_latest).collect();
    let phrases: Vec<Option<&str>> = items.iter().map(|i| i.details.callback_phrase.as_deref()).collect();
    let row = client
        .query_one(
            &statement,
            &[
                &campaigns,
                &leases,
                &versions,
                &epochs,
                &outcomes,
                &states,
                &due,
                &callbacks,
                &said,
                &streaks,
                &callback_counts,
                &seqs,
                &conversations,
                &occurred,
                &providers,
                &talk,
                &ring,
                &notes,
                &metadata,
                &alone,
                &latest,
                &phrases,
            ],
        )
        .await?;
    let ids = |name| row.try_get::<_, Option<Vec<Uuid>>>(name).map(Option::unwrap_or_default);
    let states: Vec<i16> = row.try_get::<_, Option<_>>("states")?.unwrap_or_default();
    let settled = ids("lease_ids")?.into_iter().zip(ids("session_ids")?).zip(states);
    settled
        .map(|((lease, session), state)| {
            Ok((lease, session, LeadState::from_code(state).ok_or_else(|| unknown_code("lead state", state))?))
        })
        .collect()
}

impl Store {
    /// Leases leads to sessions, in this order, as far as the caps have room. Answers per item, and the instant.
    ///
    /// # Errors
    /// [`StoreError::Fenced`]; [`StoreError`].
    pub async fn grant(
        &self,
        replica: ReplicaId,
        items: &[GrantItem],
        until: DateTime<Utc>,
    ) -> Result<(Vec<GrantVerdict>, Option<DateTime<Utc>>), StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/grant.sql")).await?;
        let campaigns: Vec<i32> = items.iter().map(|i| i.campaign).collect();
        let leads: Vec<Uuid> = items.iter().map(|i| i.lead).collect();
        let leases: Vec<Uuid> = items.iter().map(|i| i.lease).collect();
        let sessions: Vec<Uuid> = items.iter().map(|i| i.session).collect();
        let numbers: Vec<i64> = items.iter().map(|i| i.number).collect();
        let seqs: Vec<i32> = items.iter().map(|i| i.seq).collect();
        let attempts: Vec<i16> = items.iter().map(|i| i.attempts).collect();
        let epochs: Vec<i32> = items.iter().map(|i| i.epoch).collect();
        let promised: Vec<Option<DateTime<Utc>>> = items.iter().map(|i| i.promised).collect();
        let open_until: Vec<DateTime<Utc>> = items.iter().map(|i| i.open_until).collect();
        let rules: Vec<i32> = items.iter().map(|i| i.rules_version).collect();
        failpoints::pass("grant_before");
        failpoints::midway("grant_midway");
        let row = client
            .query_one(
                &statement,
                &[
                    &replica,
                    &campaigns,
                    &leads,
                    &leases,
                    &sessions,
                    &numbers,
                    &seqs,
                    &attempts,
                    &epochs,
                    &promised,
                    &open_until,
                    &rules,
                    &until,
                ],
            )
            .await?;
        failpoints::pass("grant_after");
        let verdicts: Vec<i16> = row.try_get::<_, Option<_>>("verdicts")?.unwrap_or_default();
        let free: Vec<Option<DateTime<Utc>>> = row.try_get::<_, Option<_>>("free_at")?.unwrap_or_default();
        let verdicts = verdicts
            .into_iter()
            .enumerate()
            .map(|(n, verdict)| grant_verdict(verdict, free.get(n).copied().flatten()))
            .collect::<Result<Vec<_>, StoreError>>()?;
        Ok((verdicts, row.try_get("granted_at")?))
    }

    /// Ends leases with outcomes; see [`settle`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn settle(&self, items: &[Settlement]) -> Result<Vec<(LeaseId, SessionId, LeadState)>, StoreError> {
        failpoints::pass("settle_before");
        failpoints::midway("settle_midway");
        settle(&self.client().await?, items, true).await.inspect(|_| failpoints::pass("settle_after"))
    }
}
