//! How far imports have come.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::StoreError;
use crate::domain::ids::CampaignKey;

/// Where an import stands; creates it at 0. Locks it to the end of the transaction. `None`: it belongs to another campaign.
///
/// # Errors
/// [`StoreError`].
pub async fn lock(client: &impl GenericClient, import: Uuid, campaign: CampaignKey) -> Result<Option<i64>, StoreError> {
    let statement = client
        .prepare_cached(
            "insert into import (import_id, campaign_id, through_seq, updated_at) \
             values ($1::uuid, $2::int, 0, engine_now()) on conflict (import_id) do nothing",
        )
        .await?;
    client.execute(&statement, &[&import, &campaign]).await?;
    let statement = client
        .prepare_cached("select campaign_id, through_seq from import where import_id = $1::uuid for update")
        .await?;
    let row = client.query_one(&statement, &[&import]).await?;
    Ok((row.try_get::<_, i32>("campaign_id")? == campaign).then_some(row.try_get("through_seq")?))
}

/// Notes that the chunk `seq` is durable with this transaction.
///
/// # Errors
/// [`StoreError`].
pub async fn advance(client: &impl GenericClient, import: Uuid, seq: i64) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached(
            "update import set through_seq = $2::bigint, updated_at = engine_now() where import_id = $1::uuid",
        )
        .await?;
    client.execute(&statement, &[&import, &seq]).await?;
    Ok(())
}
