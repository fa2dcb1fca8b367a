//! What decides whether leads may be called, read at once.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_postgres::Row;

use super::{
    Store, StoreError,
    callbacks::promised,
    leads::{finite, state_of},
};
use crate::domain::{
    ids::{CampaignKey, LeadId, LeaseId, ZoneId},
    lead::LeadState,
    outcome::Outcome,
};

/// Leads that are alike in all that decides whether they may be called; one lead is a group of its own.
#[derive(Clone)]
pub struct LeadGroup {
    /// How many.
    pub leads: i64,
    /// As everybody sees it.
    pub state: LeadState,
    /// 0: none of its own.
    pub zone: ZoneId,
    /// Its name.
    pub zone_name: Option<String>,
    /// Asked never to be called again.
    pub do_not_call: bool,
    /// Out of the queue for its number's sake.
    pub blocked: bool,
    /// The number is suppressed; the inner `None`: for good.
    pub suppressed: Option<Option<DateTime<Utc>>>,
    /// Of this generation.
    pub attempts: i32,
    /// The newest.
    pub last_outcome: Option<Outcome>,
    /// The last outcome is not tried again before a reset.
    pub retries_spent: bool,
    /// Code of the due row's reason.
    pub reason: Option<i16>,
    /// From when it may be queued; the inner `None`: not by time alone.
    pub waits_until: Option<Option<DateTime<Utc>>>,
    /// The earliest promise.
    pub callback_at: Option<DateTime<Utc>>,
    /// The earliest end of an interval that was asked for.
    pub callback_latest: Option<DateTime<Utc>>,
    /// One of their live leases, and the earliest deadline.
    pub lease: Option<(LeaseId, DateTime<Utc>)>,
    /// The deadline of a live lease of another lead with the number.
    pub number_busy_until: Option<DateTime<Utc>>,
    /// Digits; of a group only one of them.
    pub number: i64,
}

fn from_row(row: &Row) -> Result<LeadGroup, StoreError> {
    let suppressed: bool = row.try_get("suppressed")?;
    let waits: bool = row.try_get("waits")?;
    let lease: Option<LeaseId> = row.try_get("lease_id")?;
    let deadline: Option<DateTime<Utc>> = row.try_get("deadline")?;
    let last_outcome: Option<i16> = row.try_get("last_outcome")?;
    Ok(LeadGroup {
        leads: row.try_get("leads")?,
        state: state_of(row, "state")?,
        zone: row.try_get("zone_id")?,
        zone_name: row.try_get("zone")?,
        do_not_call: row.try_get("do_not_call")?,
        blocked: row.try_get("blocked")?,
        suppressed: if suppressed { Some(finite(row, "expires_at")?) } else { None },
        attempts: row.try_get("attempts")?,
        last_outcome: last_outcome.and_then(Outcome::from_code),
        retries_spent: row.try_get("retries_spent")?,
        reason: row.try_get("reason")?,
        waits_until: if waits { Some(finite(row, "until")?) } else { None },
        callback_at: promised(row, "callback_at")?,
        callback_latest: row.try_get("callback_latest")?,
        lease: lease.zip(deadline),
        number_busy_until: finite(row, "busy_until")?,
        number: row.try_get("number")?,
    })
}

impl Store {
    /// The leads of a campaign, or one of them, in groups; instants later than `at` and others are not in one
    /// group, nor are promises that `tolerance` makes missed by then and others.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lead_groups(
        &self,
        campaign: CampaignKey,
        lead: Option<LeadId>,
        at: DateTime<Utc>,
        tolerance: Duration,
    ) -> Result<Vec<LeadGroup>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/explain.sql")).await?;
        let rows = client.query(&statement, &[&campaign, &lead, &at, &tolerance.as_secs_f64()]).await?;
        rows.iter().map(from_row).collect()
    }
}
