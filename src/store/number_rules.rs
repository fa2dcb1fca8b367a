//! Number rules as statements compare them, the history that they are held against, and leads that wait for them. The
//! history is the record of attempts: it has no table of its own.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use tokio_postgres::Row;

use super::{Store, StoreError};
use crate::domain::{
    ids::{CampaignKey, LeadId},
    number_rules::{Call, Limit},
    outcome::Outcome,
    phone_number::PhoneNumber,
};

/// Whose rules are those of all campaigns.
pub const ENGINE: CampaignKey = 0;
/// Calls read of one number, newest first: more than any rule counts.
const CALLS_MAX: i64 = 1000;

/// Replaces the rules of a campaign, or the engine's. The caller holds the fences of the campaigns that they are for.
///
/// # Errors
/// [`StoreError`].
pub async fn write(
    client: &impl GenericClient,
    campaign: CampaignKey,
    limits: impl IntoIterator<Item = Limit>,
) -> Result<(), StoreError> {
    let delete = client.prepare_cached("delete from number_rule where campaign_id = $1::int").await?;
    client.execute(&delete, &[&campaign]).await?;
    let insert = client
        .prepare_cached(
            "insert into number_rule (campaign_id, ord, outcomes, at_most, lasts) \
             values ($1::int, $2::smallint, $3::smallint[], $4::int, make_interval(secs => $5::float8))",
        )
        .await?;
    for (limit, ord) in limits.into_iter().zip(1_i16..) {
        let outcomes: Option<Vec<i16>> = limit.outcomes.map(|of| of.into_iter().map(Outcome::code).collect());
        client.execute(&insert, &[&campaign, &ord, &outcomes, &limit.at_most, &limit.lasts.as_secs_f64()]).await?;
    }
    Ok(())
}

/// Whether any number rule is in force, for whichever campaign.
///
/// # Errors
/// [`StoreError`].
pub async fn any(client: &impl GenericClient) -> Result<bool, StoreError> {
    let statement = client.prepare_cached("select exists (select from number_rule) as any").await?;
    Ok(client.query_one(&statement, &[]).await?.try_get("any")?)
}

/// Lets leads that wait for a number rule look again: these, or all of the campaign; returns how many. The caller holds its
/// fence.
///
/// # Errors
/// [`StoreError`].
pub async fn look_again(
    client: &impl GenericClient,
    campaign: CampaignKey,
    leads: Option<&[LeadId]>,
) -> Result<i32, StoreError> {
    let statement = client.prepare_cached("select look_again($1::int, $2::uuid[]) as leads").await?;
    Ok(client.query_one(&statement, &[&campaign, &leads]).await?.try_get("leads")?)
}

/// Campaigns that may have waiting leads.
///
/// # Errors
/// [`StoreError`].
pub async fn campaigns(client: &impl GenericClient) -> Result<Vec<CampaignKey>, StoreError> {
    let statement =
        client.prepare_cached("select campaign_id from campaign where state <> 4 order by campaign_id").await?;
    let rows = client.query(&statement, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get("campaign_id")?)).collect()
}

fn call_of(row: &Row) -> Result<Call, StoreError> {
    Ok(Call {
        begun_at: row.try_get("begun_at")?,
        ended_at: row.try_get("ended_at")?,
        outcome: row.try_get::<_, Option<i16>>("outcome")?.and_then(Outcome::from_code),
    })
}

impl Store {
    /// The calls to a number since an instant, over all campaigns, newest first; the one under way among them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn calls_to(&self, number: PhoneNumber, since: DateTime<Utc>) -> Result<Vec<Call>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/calls_to_number.sql")).await?;
        let rows = client.query(&statement, &[&number.digits(), &since, &CALLS_MAX]).await?;
        rows.iter().map(call_of).collect()
    }
}
