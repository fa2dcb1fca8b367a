//! Leads that come in: by COPY, since that is the least a row can cost.

use std::{borrow::Borrow, collections::HashSet, pin::pin};

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Object, Transaction};
use tokio_postgres::{
    binary_copy::BinaryCopyInWriter,
    types::{Json, Type},
};

use super::{StoreError, leads::Variables};
use crate::domain::{
    ids::{CampaignKey, LeadId, ZoneId},
    phone_number::PhoneNumber,
};

/// What rows can be copied over: a connection of the pool, or a transaction on one.
pub trait Link: GenericClient {
    /// The connection itself.
    fn link(&self) -> &tokio_postgres::Client;
}

impl Link for Object {
    fn link(&self) -> &tokio_postgres::Client {
        self
    }
}

impl Link for Transaction<'_> {
    fn link(&self) -> &tokio_postgres::Client {
        self.client()
    }
}

/// A lead to be created; every part is valid.
#[derive(Clone)]
pub struct NewLead {
    /// Made by us.
    pub id: LeadId,
    /// Its number.
    pub number: PhoneNumber,
    /// 999 - score.
    pub rank: i16,
    /// Its zone; 0: none of its own.
    pub zone: ZoneId,
    /// The user's own key.
    pub external_id: Option<String>,
    /// As given.
    pub variables: Variables,
}

/// Inserts leads; returns those that are new. The rest have a number or an external_id that the campaign, or an earlier one of
/// them, has already. In a transaction: it holds the campaign's fence to its end.
///
/// # Errors
/// [`StoreError::Again`] when somebody brought one of them meanwhile.
pub async fn insert<L: Borrow<NewLead> + Sync>(
    client: &impl Link,
    campaign: CampaignKey,
    leads: &[L],
) -> Result<Vec<LeadId>, StoreError> {
    let numbers: Vec<i64> = leads.iter().map(|lead| lead.borrow().number.digits()).collect();
    let keys: Vec<&str> = leads.iter().filter_map(|lead| lead.borrow().external_id.as_deref()).collect();
    let statement = client
        .prepare_cached(
            "select created_at, epoch, numbers, external_ids from open_intake($1::int, $2::bigint[], $3::text[])",
        )
        .await?;
    let opened = client.query_one(&statement, &[&campaign, &numbers, &keys]).await?;
    let mut numbers: HashSet<i64> = opened.try_get::<_, Vec<i64>>("numbers")?.into_iter().collect();
    let mut keys: HashSet<&str> = opened.try_get::<_, Vec<&str>>("external_ids")?.into_iter().collect();
    let mut new: Vec<&NewLead> = Vec::with_capacity(leads.len());
    for lead in leads.iter().map(Borrow::borrow) {
        let key = lead.external_id.as_deref();
        if !numbers.contains(&lead.number.digits()) && key.is_none_or(|key| !keys.contains(key)) {
            numbers.insert(lead.number.digits());
            keys.extend(key);
            new.push(lead);
        }
    }
    let Some(first) = new.iter().min_by_key(|lead| (lead.rank, lead.id)) else { return Ok(Vec::new()) };
    copy(client, campaign, &new, opened.try_get("created_at")?, opened.try_get("epoch")?).await.map_err(|error| {
        match error {
            StoreError::NotUnique(_) => StoreError::Again,
            other => other,
        }
    })?;
    let statement = client.prepare_cached("select close_intake($1::int, $2::bigint[], $3::smallint, $4::uuid)").await?;
    let numbers: Vec<i64> = new.iter().map(|lead| lead.number.digits()).collect();
    client.execute(&statement, &[&campaign, &numbers, &first.rank, &first.id]).await?;
    Ok(new.iter().map(|lead| lead.id).collect())
}

/// Writes the rows, as they are.
async fn copy(
    client: &impl Link,
    campaign: CampaignKey,
    leads: &[&NewLead],
    created_at: DateTime<Utc>,
    epoch: i32,
) -> Result<(), StoreError> {
    const TYPES: [Type; 10] = [
        Type::INT4,
        Type::UUID,
        Type::INT8,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ,
        Type::INT4,
        Type::INT2,
        Type::INT2,
        Type::TEXT,
        Type::JSONB,
    ];
    let statement = client
        .prepare_cached(
            "copy lead (campaign_id, lead_id, number, created_at, updated_at, epoch, rank, zone_id, external_id, variables) \
             from stdin (format binary)",
        )
        .await?;
    let mut rows = pin!(BinaryCopyInWriter::new(client.link().copy_in(&statement).await?, &TYPES));
    for lead in leads {
        let NewLead { id, number, rank, zone, external_id, variables } = lead;
        let variables = (!variables.is_empty()).then_some(Json(variables));
        let number = number.digits();
        rows.as_mut()
            .write(&[&campaign, id, &number, &created_at, &created_at, &epoch, rank, zone, external_id, &variables])
            .await?;
    }
    rows.finish().await?;
    Ok(())
}

/// Numbers of zones by their names; new names get one.
///
/// # Errors
/// [`StoreError`].
pub async fn zone_ids(client: &impl GenericClient, names: &[&str]) -> Result<Vec<(ZoneId, String)>, StoreError> {
    let statement = client.prepare_cached("select zone_id, name from zone_ids($1::text[])").await?;
    let rows = client.query(&statement, &[&names]).await?;
    rows.iter().map(|row| Ok((row.try_get("zone_id")?, row.try_get("name")?))).collect()
}
