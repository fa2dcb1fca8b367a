//! Numbers that nobody may call.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;

use super::{Store, StoreError};
use crate::domain::{
    ids::{CampaignKey, LeadId},
    phone_number::PhoneNumber,
};

/// Digits of numbers, as statements take them.
pub fn digits(numbers: &[PhoneNumber]) -> Vec<i64> {
    numbers.iter().map(|number| number.digits()).collect()
}

/// Suppresses numbers; returns how many were not suppressed before.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(client: &impl GenericClient, numbers: &[PhoneNumber], reason: &str) -> Result<u64, StoreError> {
    let statement = client
        .prepare_cached(
            "insert into suppression (number, reason, created_at) \
             select distinct n, $2::text, engine_now() from unnest($1::bigint[]) as n on conflict (number) do nothing",
        )
        .await?;
    Ok(client.execute(&statement, &[&digits(numbers), &reason]).await?)
}

/// Lifts suppressions; returns how many there were.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(client: &impl GenericClient, numbers: &[PhoneNumber]) -> Result<u64, StoreError> {
    let statement = client.prepare_cached("delete from suppression where number = any ($1::bigint[])").await?;
    Ok(client.execute(&statement, &[&digits(numbers)]).await?)
}

/// The leads of these numbers, by campaign in id order.
///
/// # Errors
/// [`StoreError`].
pub async fn leads_of(
    client: &impl GenericClient,
    numbers: &[PhoneNumber],
) -> Result<Vec<(CampaignKey, Vec<LeadId>)>, StoreError> {
    let statement = client
        .prepare_cached(
            "select campaign_id, array_agg(lead_id) as leads from lead where number = any ($1::bigint[]) \
             group by campaign_id order by campaign_id",
        )
        .await?;
    let rows = client.query(&statement, &[&digits(numbers)]).await?;
    rows.iter().map(|row| Ok((row.try_get("campaign_id")?, row.try_get("leads")?))).collect()
}

impl Store {
    /// Which of these numbers are suppressed, why, and since when.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn suppressions(&self, numbers: &[PhoneNumber]) -> Result<Vec<(i64, String, DateTime<Utc>)>, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("select number, reason, created_at from suppression where number = any ($1::bigint[])")
            .await?;
        let rows = client.query(&statement, &[&digits(numbers)]).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("number")?, row.try_get("reason")?, row.try_get("created_at")?)))
            .collect()
    }
}
