//! Answers of mutations, by request_id.

use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::{Store, StoreError};

/// Names one call of one mutation.
#[derive(Debug, Clone, Copy)]
pub struct RequestKey {
    /// The caller's request_id.
    pub id: Uuid,
    /// The mutation.
    pub method: &'static str,
    /// A digest of the request without its request_id.
    pub fingerprint: Uuid,
}

/// What is known of a request_id.
pub enum Seen {
    /// It is new, and ours now, to the end of the transaction.
    New,
    /// It was answered so.
    Answered(Vec<u8>),
    /// It names a different call.
    Reused,
}

/// Claims a request_id; waits for a call under way with the same one.
///
/// # Errors
/// [`StoreError`].
pub async fn claim(client: &impl GenericClient, key: &RequestKey) -> Result<Seen, StoreError> {
    let statement = client.prepare_cached(include_str!("sql/request_claim.sql")).await?;
    let digest = key.fingerprint.as_bytes().to_vec();
    if client.execute(&statement, &[&key.id, &key.method, &digest]).await? == 1 {
        return Ok(Seen::New);
    }
    look(client, key).await
}

/// What is known of a request_id that may have been answered.
async fn look(client: &impl GenericClient, key: &RequestKey) -> Result<Seen, StoreError> {
    let statement =
        client.prepare_cached("select method, fingerprint, response from request where request_id = $1::uuid").await?;
    let Some(row) = client.query_opt(&statement, &[&key.id]).await? else { return Ok(Seen::New) };
    let digest = key.fingerprint.as_bytes().to_vec();
    let same = row.try_get::<_, String>("method")? == key.method && row.try_get::<_, Vec<u8>>("fingerprint")? == digest;
    match row.try_get::<_, Option<Vec<u8>>>("response")? {
        Some(response) if same => Ok(Seen::Answered(response)),
        _ => Ok(Seen::Reused),
    }
}

/// Keeps the answer. The same transaction as [`claim`].
///
/// # Errors
/// [`StoreError`].
pub async fn answer(client: &impl GenericClient, key: &RequestKey, response: &[u8]) -> Result<(), StoreError> {
    let statement =
        client.prepare_cached("update request set response = $2::bytea where request_id = $1::uuid").await?;
    client.execute(&statement, &[&key.id, &response]).await?;
    Ok(())
}

impl Store {
    /// What is known of a request_id, without claiming it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn seen(&self, key: &RequestKey) -> Result<Seen, StoreError> {
        look(&self.client().await?, key).await
    }

    /// Forgets answers older than a day.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_requests(&self) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let statement =
            client.prepare_cached("delete from request where created_at < engine_now() - interval '24 hours'").await?;
        Ok(client.execute(&statement, &[]).await?)
    }
}
