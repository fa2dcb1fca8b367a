//! Leads as people see them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::{Deserialize, Serialize};
use tokio_postgres::{
    Row,
    types::{Json, Timestamp},
};

use super::{Store, StoreError, callbacks::promised};
use crate::domain::{
    ids::{CampaignId, CampaignKey, LeadId, LeaseId, ZoneId},
    lead::LeadState,
    outcome::Outcome,
};

/// A lead's variables, in a stable order.
pub type Variables = BTreeMap<String, String>;

/// A lead as people see it. Debug hides what is theirs.
#[derive(Clone, Serialize, Deserialize)]
pub struct LeadRow {
    /// The lead.
    pub id: LeadId,
    /// Its campaign.
    pub campaign: CampaignId,
    /// Digits of its number.
    pub number: i64,
    /// The user's own key.
    pub external_id: Option<String>,
    /// 0 to 998.
    pub score: i32,
    /// Its zones, as `domain::lead_zones` stores them.
    pub zones: Option<String>,
    /// As imported.
    pub variables: Variables,
    /// Where it stands.
    pub state: LeadState,
    /// Attempts of this generation.
    pub attempts: i32,
    /// Attempts ever.
    pub attempts_total: i32,
    /// Asked never to be called again.
    pub do_not_call: bool,
    /// The number is suppressed.
    pub suppressed: bool,
    /// The promise; [`HELD`](crate::domain::promise::HELD): nobody knows for when.
    pub callback_at: Option<DateTime<Utc>>,
    /// The end of the interval that was asked for.
    #[serde(default)]
    pub callback_latest: Option<DateTime<Utc>>,
    /// When it is due; `None` with a reason: not before something changes.
    pub not_before: Option<DateTime<Utc>>,
    /// Why it waits (code of `WaitingReason`).
    pub waiting_reason: Option<i16>,
    /// The newest attempt's.
    pub last_outcome: Option<Outcome>,
    /// When it began.
    pub last_attempt_at: Option<DateTime<Utc>>,
    /// Leases that came back without an attempt.
    pub returned_in_a_row: i16,
    /// The live lease.
    pub lease: Option<LeaseId>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it was last written.
    pub updated_at: DateTime<Utc>,
}

impl std::fmt::Debug for LeadRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeadRow").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}

/// The code of a state, read from a row.
pub(super) fn state_of(row: &Row, column: &str) -> Result<LeadState, StoreError> {
    let code: i16 = row.try_get(column)?;
    LeadState::from_code(code).ok_or_else(|| StoreError::Bug(format!("lead state {code}")))
}

/// Instants of the database that mean "never" are none.
pub(super) fn finite(row: &Row, column: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(match row.try_get::<_, Option<Timestamp<DateTime<Utc>>>>(column)? {
        Some(Timestamp::Value(at)) => Some(at),
        _ => None,
    })
}

pub(super) fn from_row(row: &Row) -> Result<LeadRow, StoreError> {
    Ok(LeadRow {
        id: row.try_get("lead_id")?,
        campaign: row.try_get("campaign_public_id")?,
        number: row.try_get("number")?,
        external_id: row.try_get("external_id")?,
        score: 999 - i32::from(row.try_get::<_, i16>("rank")?),
        zones: row.try_get("zone")?,
        variables: row.try_get::<_, Option<Json<Variables>>>("variables")?.map(|json| json.0).unwrap_or_default(),
        state: state_of(row, "state")?,
        attempts: row.try_get("attempts")?,
        attempts_total: row.try_get("attempts_total")?,
        do_not_call: row.try_get("do_not_call")?,
        suppressed: row.try_get("blocked")?,
        callback_at: promised(row, "callback_at")?,
        callback_latest: row.try_get("callback_latest")?,
        not_before: finite(row, "not_before")?,
        waiting_reason: row.try_get("waiting_reason")?,
        last_outcome: row.try_get::<_, Option<i16>>("last_outcome")?.and_then(Outcome::from_code),
        last_attempt_at: row.try_get("last_attempt_at")?,
        returned_in_a_row: row.try_get("returned_in_a_row")?,
        lease: row.try_get("lease_id")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

pub(super) const COLUMNS: &str = "v.lead_id, v.campaign_public_id, v.number, v.external_id, v.rank, v.zone, v.variables, v.state, v.attempts, \
     v.attempts_total, v.do_not_call, v.blocked, v.callback_at, v.callback_latest, v.not_before, v.waiting_reason, v.last_outcome, \
     v.last_attempt_at, v.returned_in_a_row, v.lease_id, v.created_at, v.updated_at";

/// Reads one lead of a campaign.
///
/// # Errors
/// [`StoreError`].
pub async fn find(
    client: &impl GenericClient,
    campaign: CampaignKey,
    lead: LeadId,
) -> Result<Option<LeadRow>, StoreError> {
    let sql = format!("select {COLUMNS} from lead_view v where v.campaign_id = $1::int and v.lead_id = $2::uuid");
    let statement = client.prepare_cached(&sql).await?;
    client.query_opt(&statement, &[&campaign, &lead]).await?.as_ref().map(from_row).transpose()
}

/// Reads leads of a campaign; unknown ids are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn find_all(
    client: &impl GenericClient,
    campaign: CampaignKey,
    leads: &[LeadId],
) -> Result<Vec<LeadRow>, StoreError> {
    let sql =
        format!("select {COLUMNS} from lead_view v where v.campaign_id = $1::int and v.lead_id = any ($2::uuid[])");
    let statement = client.prepare_cached(&sql).await?;
    client.query(&statement, &[&campaign, &leads]).await?.iter().map(from_row).collect()
}

/// Who has these numbers in a campaign: (digits, lead).
///
/// # Errors
/// [`StoreError`].
pub async fn by_numbers(
    client: &impl GenericClient,
    campaign: CampaignKey,
    numbers: &[i64],
) -> Result<Vec<(i64, LeadId)>, StoreError> {
    let statement = client
        // Not by the campaign's index, however small it is thought to be.
        .prepare_cached(
            "select number, lead_id from lead where number = any ($2::bigint[]) and campaign_id + 0 = $1::int",
        )
        .await?;
    let rows = client.query(&statement, &[&campaign, &numbers]).await?;
    rows.iter().map(|row| Ok((row.try_get("number")?, row.try_get("lead_id")?))).collect()
}

/// What UpdateLead may change; `None`: as it is.
#[derive(Clone, Default)]
pub struct LeadChange {
    /// 999 - score.
    pub rank: Option<i16>,
    /// 0: none of its own.
    pub zone: Option<ZoneId>,
    /// The inner `None`: none.
    pub external_id: Option<Option<String>>,
    /// All of them.
    pub variables: Option<Variables>,
}

/// Writes a change to leads that were lifted.
///
/// # Errors
/// [`StoreError::NotUnique`] when the external_id is taken.
pub async fn update(
    client: &impl GenericClient,
    campaign: CampaignKey,
    leads: &[LeadId],
    change: &LeadChange,
) -> Result<(), StoreError> {
    let statement = client.prepare_cached(include_str!("sql/lead_update.sql")).await?;
    client
        .execute(
            &statement,
            &[
                &campaign,
                &leads,
                &change.rank,
                &change.zone,
                &change.external_id.is_some(),
                &change.external_id.clone().flatten(),
                &change.variables.as_ref().map(Json),
            ],
        )
        .await?;
    Ok(())
}

impl Store {
    /// Reads one lead of a campaign.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lead(&self, campaign: CampaignKey, lead: LeadId) -> Result<Option<LeadRow>, StoreError> {
        find(&self.client().await?, campaign, lead).await
    }
}

/// Whether another lead of the campaign has this key.
///
/// # Errors
/// [`StoreError`].
pub async fn has_external_id(
    client: &impl GenericClient,
    campaign: CampaignKey,
    external_id: &str,
    other_than: LeadId,
) -> Result<bool, StoreError> {
    let statement = client
        .prepare_cached(
            "select exists (select from lead where campaign_id = $1::int and external_id = $2::text \
             and lead_id <> $3::uuid) as taken",
        )
        .await?;
    Ok(client.query_one(&statement, &[&campaign, &external_id, &other_than]).await?.try_get("taken")?)
}
