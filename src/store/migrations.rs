//! Brings the schema to this binary's version, under a lock, and refuses a schema that is too new for it.

use tokio_postgres::NoTls;

use super::{Store, StoreError};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The newest migration of this binary.
pub fn schema_version() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0)
}

/// The advisory lock that keeps replicas from migrating at once: refinery takes none.
const MIGRATION_LOCK: i64 = 7400;

impl Store {
    /// Applies what is missing. Any number of replicas may call it at once.
    ///
    /// # Errors
    /// [`StoreError::BinaryTooOld`] when the schema's `min_binary` is newer; [`StoreError`] otherwise.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let (mut client, connection) = self.connection_config().connect(NoTls).await?;
        let driver = tokio::spawn(connection);
        client.execute("select pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
        let done = async {
            Self::check_min_binary(&client).await?;
            // Older binaries run on newer schemas, as long as min_binary allows it.
            embedded::migrations::runner()
                .set_abort_missing(false)
                .run_async(&mut client)
                .await
                .map_err(|error| StoreError::Bug(format!("migration: {error}")))?;
            Self::check_min_binary(&client).await
        }
        .await;
        // The lock ends with its connection.
        drop(client);
        let _ = driver.await;
        done
    }

    async fn check_min_binary(client: &tokio_postgres::Client) -> Result<(), StoreError> {
        let known = client.query_one("select to_regclass('schema_requirement') is not null", &[]).await?;
        if !known.try_get::<_, bool>(0)? {
            return Ok(());
        }
        let needed: i32 = client.query_one("select min_binary from schema_requirement", &[]).await?.try_get(0)?;
        let ours = schema_version();
        if needed > ours { Err(StoreError::BinaryTooOld { needed, ours }) } else { Ok(()) }
    }
}
