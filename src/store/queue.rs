//! The queue: what is READY, what waits, and what the core must know of a lead to call it.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use tokio_postgres::{
    Row,
    types::{Json, Timestamp},
};
use uuid::Uuid;

use super::{
    Store, StoreError,
    callbacks::promised,
    leads::{Variables, finite},
    leases::{GrantVerdict, grant_verdict},
};
use crate::{
    domain::{
        ids::{CampaignKey, LeadId, LeaseId, ReplicaId, SessionId, StreamNumber, ZoneId},
        lead::{Facts, LeadState},
        outcome::Outcome,
    },
    failpoints,
};

/// What a replica's memory holds of a lead that may be leased. Debug hides what is theirs.
#[derive(Clone)]
pub struct QueuedLead {
    /// Its campaign.
    pub campaign: CampaignKey,
    /// The lead.
    pub lead: LeadId,
    /// Digits of its number.
    pub number: i64,
    /// 999 - score.
    pub rank: i16,
    /// Its zone; 0: none of its own.
    pub zone: ZoneId,
    /// Attempts of the generation `epoch`.
    pub attempts: i16,
    /// The generation when it was read.
    pub epoch: i32,
    /// Attempts ever.
    pub attempts_total: i32,
    /// Moves with every change that a decision must have seen.
    pub version: i32,
    /// The digest of the facts so far; `last_seq` counts the leases that have ended.
    pub facts: Facts,
    /// The key of its due row, for a promise.
    pub promised: Option<DateTime<Utc>>,
    /// The user's own key.
    pub external_id: Option<String>,
    /// As imported.
    pub variables: Variables,
    /// Its place in a replica's buffer; 0: none yet.
    pub place: u64,
}

impl std::fmt::Debug for QueuedLead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueuedLead").field("campaign", &self.campaign).field("lead", &self.lead).finish_non_exhaustive()
    }
}

fn from_row(row: &Row, promised: Option<DateTime<Utc>>) -> Result<QueuedLead, StoreError> {
    Ok(QueuedLead {
        campaign: row.try_get("campaign_id")?,
        lead: row.try_get("lead_id")?,
        number: row.try_get("number")?,
        rank: row.try_get("rank")?,
        zone: row.try_get("zone_id")?,
        attempts: row.try_get("attempts")?,
        epoch: row.try_get("epoch")?,
        attempts_total: row.try_get("attempts_total")?,
        version: row.try_get("version")?,
        facts: facts_of(row)?,
        promised,
        external_id: row.try_get("external_id")?,
        variables: row.try_get::<_, Option<Json<Variables>>>("variables")?.map(|json| json.0).unwrap_or_default(),
        place: 0,
    })
}

/// The digest of a lead's facts, from columns of its row.
pub(super) fn facts_of(row: &Row) -> Result<Facts, StoreError> {
    let conversation = row.try_get::<_, Option<i16>>("conversation_outcome")?.and_then(Outcome::from_code);
    let conversation_seq: i32 = row.try_get("conversation_seq")?;
    Ok(Facts {
        last_seq: row.try_get("seq")?,
        last_outcome: row.try_get::<_, Option<i16>>("last_outcome")?.and_then(Outcome::from_code),
        streak: row.try_get("streak")?,
        rang_at: row.try_get("rang_at")?,
        conversation: conversation.map(|outcome| (conversation_seq, outcome)),
        callback_at: promised(row, "callback_at")?,
        callback_latest: row.try_get("callback_latest")?,
        callbacks: row.try_get("callbacks")?,
    })
}

/// Per zone the open window that holds now or comes next; the index is the zone's number.
#[derive(Debug, Clone, Default)]
pub struct Windows {
    /// First open instant; `None`: the zone never opens.
    pub opens: Vec<Option<DateTime<Utc>>>,
    /// First closed instant after it.
    pub closes: Vec<Option<DateTime<Utc>>>,
}

/// A slot that waits for a lead.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// The lease that it is to have, made by the engine.
    pub lease: LeaseId,
    /// Whose it is.
    pub session: SessionId,
    /// The session's stream when it was asked for.
    pub stream: StreamNumber,
}

/// What is asked of a campaign's queue.
#[derive(Debug, Clone)]
pub struct RefillAsk {
    /// Whose queue.
    pub campaign: CampaignKey,
    /// The version of the rules by which `windows` were reckoned.
    pub rules_version: i32,
    /// Leads wanted.
    pub want: i32,
    /// Leads of the list that are looked at, at the most.
    pub scan: i32,
    /// When zones are open.
    pub windows: Windows,
    /// Slots that wait for the first of the leads, which are leased to them at once.
    pub slots: Vec<Slot>,
}

/// What a refill did.
#[derive(Debug, Default)]
pub struct Refill {
    /// The leads for which slots waited, in the order of these, and what became of that. Those not granted are READY, ours.
    pub tried: Vec<(QueuedLead, GrantVerdict)>,
    /// The other leads that are READY now, ours.
    pub ready: Vec<QueuedLead>,
    /// Leads of the list that were looked at.
    pub scanned: i32,
    /// Waiting leads that were looked at.
    pub waiting_seen: i32,
    /// Leads that wait for their hours.
    pub waiting_hours: i32,
    /// The first waiting lead left, promises aside.
    pub next_waiting: Option<DateTime<Utc>>,
}

/// A lead that goes from READY, or from an overdue promise, to wait.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Its campaign.
    pub campaign: CampaignKey,
    /// The lead.
    pub lead: LeadId,
    /// The key of its due row, for a promise.
    pub promised: Option<DateTime<Utc>>,
    /// Until when; `None`: until something changes.
    pub until: Option<DateTime<Utc>>,
    /// Why (code of `WaitingReason`).
    pub reason: i16,
    /// The rules by which `until` was reckoned; `None`: it does not depend on them.
    pub rules_version: Option<i32>,
}

/// Codes of `WaitingReason`, as due rows carry them.
pub mod waiting {
    /// A callback is promised for later.
    pub const CALLBACK: i16 = 2;
    /// Back-off, or simply back in the queue.
    pub const BACK_OFF: i16 = 3;
    /// Outside its hours.
    pub const CALLING_HOURS: i16 = 4;
    /// No zone.
    pub const NO_TIME_ZONE: i16 = 5;
    /// The number is on a live lease elsewhere.
    pub const NUMBER_BUSY: i16 = 6;
    /// A retry's delay.
    pub const RETRY: i16 = 1;
    /// A retry after UNKNOWN, whose delay outlives a reset.
    pub const UNKNOWN_RETRY: i16 = 7;
    /// A number rule forbids a call.
    pub const NUMBER_RULE: i16 = 8;
    /// A callback is promised, and nobody knows for when. No row carries it: the view tells it by the promise.
    pub const HELD: i16 = 9;
}

/// An instant for a statement; none is "never".
fn or_infinity(at: Option<DateTime<Utc>>) -> Timestamp<DateTime<Utc>> {
    at.map_or(Timestamp::PosInfinity, Timestamp::Value)
}

impl Store {
    /// Leases leads of one campaign to the slots that wait, but none after `until`, and fills this replica's buffer with the rest.
    ///
    /// # Errors
    /// [`StoreError::NotRunning`], [`StoreError::StaleRules`], [`StoreError::StaleZones`], [`StoreError::Fenced`].
    pub async fn refill(&self, owner: ReplicaId, ask: &RefillAsk, until: DateTime<Utc>) -> Result<Refill, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/refill.sql")).await?;
        let RefillAsk { campaign, rules_version, want, scan, windows, slots } = ask;
        let (leases, sessions): (Vec<_>, Vec<_>) = slots.iter().map(|slot| (slot.lease, slot.session)).unzip();
        failpoints::pass("refill_before");
        failpoints::midway("refill_midway");
        let rows = client
            .query(
                &statement,
                &[
                    campaign,
                    &owner,
                    rules_version,
                    want,
                    scan,
                    &windows.opens,
                    &windows.closes,
                    &leases,
                    &sessions,
                    &until,
                ],
            )
            .await?;
        failpoints::pass("refill_after");
        let (told, leads) = rows.split_first().ok_or_else(|| StoreError::Bug("a refill told nothing".into()))?;
        let (mut tried, mut ready) = (Vec::with_capacity(slots.len().min(leads.len())), Vec::new());
        for row in leads {
            let lead = from_row(row, None)?;
            match row.try_get::<_, Option<i16>>("verdict")? {
                Some(code) => tried.push((lead, grant_verdict(code, row.try_get("free_at")?)?)),
                None => ready.push(lead),
            }
        }
        Ok(Refill {
            tried,
            ready,
            scanned: told.try_get("scanned")?,
            waiting_seen: told.try_get("waiting_seen")?,
            waiting_hours: told.try_get("waiting_hours")?,
            next_waiting: finite(told, "next_waiting")?,
        })
    }

    async fn queued(
        client: &impl GenericClient,
        campaign: CampaignKey,
        leads: &[LeadId],
    ) -> Result<Vec<QueuedLead>, StoreError> {
        let statement = client.prepare_cached(include_str!("sql/queued_leads.sql")).await?;
        let rows = client.query(&statement, &[&campaign, &leads]).await?;
        rows.iter().map(|row| from_row(row, None)).collect()
    }

    /// READY leads of this replica that its memory does not know: what it inherited.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn buffer_of(&self, owner: ReplicaId) -> Result<Vec<QueuedLead>, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select campaign_id, array_agg(lead_id) as leads from ready_lead where owner = $1::int group by campaign_id",
            )
            .await?;
        let mut all = Vec::new();
        for row in client.query(&statement, &[&owner]).await? {
            all.extend(
                Self::queued(&client, row.try_get("campaign_id")?, &row.try_get::<_, Vec<Uuid>>("leads")?).await?,
            );
        }
        Ok(all)
    }

    /// Promises of these campaigns that are due at `until`, the first `limit` of each.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn promises(
        &self,
        campaigns: &[CampaignKey],
        until: DateTime<Utc>,
        limit: i64,
    ) -> Result<Vec<QueuedLead>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/promises.sql")).await?;
        let rows = client.query(&statement, &[&campaigns, &until, &limit]).await?;
        rows.iter().map(|row| from_row(row, Some(row.try_get("promised")?))).collect()
    }

    /// Sends leads from READY, or overdue promises, to wait.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn park(&self, parked: &[Parked]) -> Result<(), StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select park_leads($1::int[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::smallint[], \
                 $6::int[])",
            )
            .await?;
        let campaigns: Vec<i32> = parked.iter().map(|p| p.campaign).collect();
        let leads: Vec<Uuid> = parked.iter().map(|p| p.lead).collect();
        let promised: Vec<Option<DateTime<Utc>>> = parked.iter().map(|p| p.promised).collect();
        let until: Vec<Timestamp<DateTime<Utc>>> = parked.iter().map(|p| or_infinity(p.until)).collect();
        let reasons: Vec<i16> = parked.iter().map(|p| p.reason).collect();
        let rules: Vec<Option<i32>> = parked.iter().map(|p| p.rules_version).collect();
        client.execute(&statement, &[&campaigns, &leads, &promised, &until, &reasons, &rules]).await?;
        Ok(())
    }

    /// All zones that leads name, by number.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn zones(&self) -> Result<Vec<(ZoneId, String)>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached("select zone_id, name from zone order by zone_id").await?;
        let rows = client.query(&statement, &[]).await?;
        rows.iter().map(|row| Ok((row.try_get("zone_id")?, row.try_get("name")?))).collect()
    }
}

/// What the core must know of a lead to decide about a fact.
#[derive(Debug, Clone)]
pub struct LeadContext {
    /// Its campaign.
    pub campaign: CampaignKey,
    /// The lead.
    pub lead: LeadId,
    /// Moves with every change that a decision must have seen.
    pub version: i32,
    /// The digest of the facts so far.
    pub facts: Facts,
    /// The state of its row.
    pub state: LeadState,
    /// Attempts of this generation.
    pub attempts: i16,
}
