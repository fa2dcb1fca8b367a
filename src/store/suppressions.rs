//! Numbers that nobody may call.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;

use super::{Store, StoreError, changes, leads::finite};
use crate::domain::{
    ids::{CampaignKey, LeadId},
    phone_number::PhoneNumber,
};

/// A suppressed number.
#[derive(Clone)]
pub struct SuppressionRow {
    /// Digits.
    pub number: i64,
    /// Why.
    pub reason: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Until when; `None`: for good.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Which suppressions are meant; all conditions that are given hold.
#[derive(Debug, Clone, Default)]
pub struct SuppressionFilter {
    /// With exactly this reason.
    pub reason: Option<String>,
    /// Older than this.
    pub created_before: Option<DateTime<Utc>>,
    /// Ending before this.
    pub expires_before: Option<DateTime<Utc>>,
}

impl SuppressionFilter {
    /// Whether it means all.
    pub fn is_empty(&self) -> bool {
        self.reason.is_none() && self.created_before.is_none() && self.expires_before.is_none()
    }
}

/// Digits of numbers, in order: so two changes of the same numbers never wait for each other crosswise.
pub fn digits(numbers: &[PhoneNumber]) -> Vec<i64> {
    let mut digits: Vec<i64> = numbers.iter().map(|number| number.digits()).collect();
    digits.sort_unstable();
    digits.dedup();
    digits
}

/// Holds the fences of all campaigns that have these numbers, and of `besides`, and keeps new leads out, to the end of the
/// transaction. First of all locks.
///
/// # Errors
/// [`StoreError::Again`] when a campaign got one of the numbers meanwhile.
pub async fn fence(
    client: &impl GenericClient,
    numbers: &[PhoneNumber],
    besides: &[CampaignKey],
) -> Result<(), StoreError> {
    let mut held = besides.to_vec();
    held.extend(leads_of(client, numbers).await?.into_iter().map(|(campaign, _)| campaign));
    changes::fence(client, &held).await?;
    if numbers.is_empty() {
        return Ok(());
    }
    let statement = client.prepare_cached("select hold_intake()").await?;
    client.execute(&statement, &[]).await?;
    let all = leads_of(client, numbers).await?;
    if all.iter().all(|(campaign, _)| held.contains(campaign)) { Ok(()) } else { Err(StoreError::Again) }
}

/// Suppresses numbers until an instant, or for good. Of two suppressions of a number the longer one holds, with its reason.
/// Returns how many numbers were not suppressed before, and how many are for longer now.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    client: &impl GenericClient,
    numbers: &[PhoneNumber],
    reason: &str,
    until: Option<DateTime<Utc>>,
) -> Result<(i64, i64), StoreError> {
    let statement = client.prepare_cached(include_str!("sql/suppression_insert.sql")).await?;
    let row = client.query_one(&statement, &[&digits(numbers), &reason, &until]).await?;
    Ok((row.try_get("added")?, row.try_get("extended")?))
}

/// Lifts those of these suppressions that match; returns the digits of their numbers.
///
/// # Errors
/// [`StoreError`].
pub async fn delete(
    client: &impl GenericClient,
    numbers: &[PhoneNumber],
    filter: &SuppressionFilter,
) -> Result<Vec<i64>, StoreError> {
    let statement = client
        .prepare_cached(
            "delete from suppression where number = any ($1::bigint[]) and ($2::text is null or reason = $2) \
             and ($3::timestamptz is null or created_at < $3) and ($4::timestamptz is null or expires_at < $4) \
             returning number",
        )
        .await?;
    let SuppressionFilter { reason, created_before, expires_before } = filter;
    let rows = client.query(&statement, &[&digits(numbers), reason, created_before, expires_before]).await?;
    rows.iter().map(|row| Ok(row.try_get("number")?)).collect()
}

/// Lifts those of these suppressions whose time is over; returns the digits of their numbers.
///
/// # Errors
/// [`StoreError`].
pub async fn delete_expired(client: &impl GenericClient, numbers: &[PhoneNumber]) -> Result<Vec<i64>, StoreError> {
    let statement = client
        .prepare_cached(
            "delete from suppression where number = any ($1::bigint[]) and expires_at <= engine_now() returning number",
        )
        .await?;
    let rows = client.query(&statement, &[&digits(numbers)]).await?;
    rows.iter().map(|row| Ok(row.try_get("number")?)).collect()
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

fn from_row(row: &tokio_postgres::Row) -> Result<SuppressionRow, StoreError> {
    Ok(SuppressionRow {
        number: row.try_get("number")?,
        reason: row.try_get("reason")?,
        created_at: row.try_get("created_at")?,
        expires_at: finite(row, "expires_at")?,
    })
}

/// Which of these numbers are suppressed, why, since and until when.
///
/// # Errors
/// [`StoreError`].
pub async fn find(client: &impl GenericClient, numbers: &[PhoneNumber]) -> Result<Vec<SuppressionRow>, StoreError> {
    let statement = client
        .prepare_cached(
            "select number, reason, created_at, expires_at from suppression where number = any ($1::bigint[])",
        )
        .await?;
    client.query(&statement, &[&digits(numbers)]).await?.iter().map(from_row).collect()
}

impl Store {
    /// See [`find`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn suppressions(&self, numbers: &[PhoneNumber]) -> Result<Vec<SuppressionRow>, StoreError> {
        find(&self.client().await?, numbers).await
    }

    /// Suppressions by number, above `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list_suppressions(
        &self,
        filter: &SuppressionFilter,
        after: i64,
        limit: i64,
    ) -> Result<Vec<SuppressionRow>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/suppressions.sql")).await?;
        let SuppressionFilter { reason, created_before, expires_before } = filter;
        let rows = client.query(&statement, &[&after, reason, created_before, expires_before, &limit]).await?;
        rows.iter().map(from_row).collect()
    }

    /// How many suppressions match, and how many leads they block.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_suppressions(&self, filter: &SuppressionFilter) -> Result<(i64, i64), StoreError> {
        let client = self.client().await?;
        let sql = concat!(
            "with s as materialized (",
            include_str!("sql/suppressions.sql"),
            ") select (select count(*) from s) as numbers, \
               (select count(*) from s join lead l on l.number = s.number where l.blocked) as leads"
        );
        let statement = client.prepare_cached(sql).await?;
        let SuppressionFilter { reason, created_before, expires_before } = filter;
        let row = client.query_one(&statement, &[&0_i64, reason, created_before, expires_before, &None::<i64>]).await?;
        Ok((row.try_get("numbers")?, row.try_get("leads")?))
    }

    /// How many of these numbers are suppressed, and how many leads that blocks.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_suppressed(&self, numbers: &[PhoneNumber]) -> Result<(i64, i64), StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select (select count(*) from suppression where number = any ($1::bigint[])) as numbers, \
                 (select count(*) from lead where number = any ($1::bigint[]) and blocked) as leads",
            )
            .await?;
        let row = client.query_one(&statement, &[&digits(numbers)]).await?;
        Ok((row.try_get("numbers")?, row.try_get("leads")?))
    }

    /// Digits of numbers whose suppression is over, the longest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expired_suppressions(&self, limit: i64) -> Result<Vec<i64>, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select number from suppression where expires_at <= engine_now() order by expires_at, number \
                 limit $1::bigint",
            )
            .await?;
        let rows = client.query(&statement, &[&limit]).await?;
        rows.iter().map(|row| Ok(row.try_get("number")?)).collect()
    }
}
