//! What was said about callbacks, and promises that nobody could keep.

use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use tokio_postgres::{Row, types::Timestamp};

use super::{Store, StoreError};
use crate::domain::{
    ids::{CampaignKey, LeadId, LeaseId},
    promise::{HELD, Promise},
};

/// A promise: one that is held is kept at infinity.
pub(super) fn promised(row: &Row, column: &str) -> Result<Option<DateTime<Utc>>, StoreError> {
    Ok(match row.try_get::<_, Option<Timestamp<DateTime<Utc>>>>(column)? {
        Some(Timestamp::Value(at)) => Some(at),
        Some(Timestamp::PosInfinity) => Some(HELD),
        _ => None,
    })
}

/// The same on its way to the database.
pub(super) fn endless(at: Option<DateTime<Utc>>) -> Option<Timestamp<DateTime<Utc>>> {
    at.map(|at| if at == HELD { Timestamp::PosInfinity } else { Timestamp::Value(at) })
}

/// Where and when something was said.
#[derive(Debug, Clone)]
pub struct SaidContext {
    /// Under which lease.
    pub lease: LeaseId,
    /// Of which campaign.
    pub campaign: CampaignKey,
    /// The lead's zones, as `domain::lead_zones` stores them.
    pub zones: Option<String>,
    /// When the call began, or was granted.
    pub called_at: DateTime<Utc>,
}

/// A promise that is further behind than its campaign allows.
#[derive(Debug, Clone)]
pub struct MissedPromise {
    /// Whose.
    pub lead: LeadId,
    /// What was promised.
    pub promise: Promise,
    /// The lead's zones, as `domain::lead_zones` stores them.
    pub zones: Option<String>,
}

/// Missed promises of a campaign, the first `limit`. The caller holds the fence when it means to change something by it.
///
/// # Errors
/// [`StoreError`].
pub async fn missed(
    client: &impl GenericClient,
    campaign: CampaignKey,
    tolerance: Duration,
    limit: i64,
) -> Result<Vec<MissedPromise>, StoreError> {
    let statement = client.prepare_cached(include_str!("sql/missed_promises.sql")).await?;
    let rows = client.query(&statement, &[&campaign, &tolerance.as_secs_f64(), &limit]).await?;
    rows.iter()
        .map(|row| {
            Ok(MissedPromise {
                lead: row.try_get("lead_id")?,
                promise: Promise { at: row.try_get("callback_at")?, latest: row.try_get("callback_latest")? },
                zones: row.try_get("zone")?,
            })
        })
        .collect()
}

impl Store {
    /// Where and when something was said under these leases, live or over; unknown ids are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn said_contexts(&self, leases: &[LeaseId]) -> Result<Vec<SaidContext>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/said_contexts.sql")).await?;
        let rows = client.query(&statement, &[&leases]).await?;
        rows.iter()
            .map(|row| {
                Ok(SaidContext {
                    lease: row.try_get("lease_id")?,
                    campaign: row.try_get("campaign_id")?,
                    zones: row.try_get("zone")?,
                    called_at: row.try_get("called_at")?,
                })
            })
            .collect()
    }

    /// See [`missed`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn missed_promises(
        &self,
        campaign: CampaignKey,
        tolerance: Duration,
        limit: i64,
    ) -> Result<Vec<MissedPromise>, StoreError> {
        missed(&self.client().await?, campaign, tolerance, limit).await
    }
}
