//! What is stored: all SQL and nothing else. A file per table or per group of functions; no decisions.

pub mod attempts;
pub mod audit;
pub mod callbacks;
pub mod campaigns;
pub mod changes;
pub mod error;
pub mod explain;
pub mod facts;
pub mod imports;
pub mod intake;
pub mod lead_filter;
pub mod leads;
pub mod leases;
mod links;
pub mod live_leases;
pub mod migrations;
pub mod number_rules;
pub mod permits;
pub mod queue;
pub mod releases;
pub mod requests;
pub mod sessions;
pub mod settings;
pub mod suppressions;

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, QueueMode, RecyclingMethod, Runtime};
use futures::future::BoxFuture;
use links::Links;

pub use deadpool_postgres::Transaction;
pub use error::StoreError;

/// The pool, and everything that is asked of the database through it.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    links: Links,
    config: tokio_postgres::Config,
}

/// How long a caller waits for a connection before the database counts as away.
const POOL_WAIT: Duration = Duration::from_secs(5);
/// How long a link may be silent under way before it counts as cut.
const LINK_DEAD_AFTER: Duration = Duration::from_secs(10);

impl Store {
    /// A pool of up to `connections_max` connections; none is opened yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the connection string cannot be read.
    pub fn new(database_url: &str, connections_max: usize) -> Result<Store, StoreError> {
        let mut config: tokio_postgres::Config =
            database_url.parse().map_err(|_| StoreError::Unavailable("the database URL cannot be read".into()))?;
        config.connect_timeout(POOL_WAIT).application_name("dialplane");
        // A link that is cut is noticed by both sides, and a frozen process does not hold the engine's gauge for ever.
        config.tcp_user_timeout(LINK_DEAD_AFTER).keepalives_idle(LINK_DEAD_AFTER).keepalives_interval(POOL_WAIT);
        Store::pooled(config, Links::default(), connections_max)
    }

    /// A connection of its own, which is there when those of the pool are taken; it is cut with them.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; not for want of a database, since it is opened when used.
    pub fn lifeline(&self) -> Result<Store, StoreError> {
        Store::pooled(self.config.clone(), self.links.clone(), 1)
    }

    fn pooled(config: tokio_postgres::Config, links: Links, connections_max: usize) -> Result<Store, StoreError> {
        let mut pooled = config.clone();
        let given = config.get_options().unwrap_or_default();
        // Plans that are pinned have costs beyond all bounds: the server would compile each anew, for 70 ms a call.
        pooled.options(format!(
            "{given} -c jit=off -c idle_in_transaction_session_timeout=10s -c statement_timeout=60s -c lock_timeout=30s"
        ));
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(pooled, links.clone(), recycling);
        // The pool would warn of each: an outage is told once.
        let open = Hook::sync_fn(
            |client: &mut deadpool_postgres::ClientWrapper, _| {
                if client.is_closed() { Err(HookError::message("closed")) } else { Ok(()) }
            },
        );
        let pool = Pool::builder(manager)
            .pre_recycle(open)
            .max_size(connections_max)
            // Few connections stay warm: each has its own plans and its own view of the server's memory.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(POOL_WAIT))
            .create_timeout(Some(POOL_WAIT))
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Store { pool, links, config })
    }

    /// How to open a connection outside the pool: for LISTEN, which the pool's connections would swallow.
    pub fn connection_config(&self) -> &tokio_postgres::Config {
        &self.config
    }

    /// Ends every connection that is open now, and so what waits on them: nothing comes back.
    pub fn cut(&self) {
        self.links.cut();
    }

    /// Whether all connections are taken.
    pub fn is_exhausted(&self) -> bool {
        let status = self.pool.status();
        status.size >= status.max_size && status.available == 0
    }

    /// A connection of the pool.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when none is to be had in time.
    pub async fn client(&self) -> Result<Object, StoreError> {
        Ok(self.pool.get().await?)
    }

    /// Runs a transaction of several statements to its end, even when the caller goes away: a cancelled BEGIN would
    /// poison its connection.
    ///
    /// # Errors
    /// Whatever `work` answers, rolled back; [`StoreError`] when the commit fails, which means *unknown*.
    pub async fn transaction<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a Transaction<'a>) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
    {
        let pool = self.pool.clone();
        let task = tokio::spawn(async move {
            let mut client = pool.get().await.map_err(StoreError::from)?;
            let transaction = client.transaction().await.map_err(StoreError::from)?;
            let done = work(&transaction).await;
            match done {
                Ok(value) => {
                    transaction.commit().await.map_err(StoreError::from)?;
                    Ok(value)
                }
                Err(error) => {
                    // The connection rolls back in any case when the transaction is dropped.
                    let _ = transaction.rollback().await;
                    Err(error)
                }
            }
        });
        task.await.map_err(|error| E::from(StoreError::Panicked(error.to_string())))?
    }

    /// The database's clock, and PostgreSQL's version.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn now(&self) -> Result<(chrono::DateTime<chrono::Utc>, String), StoreError> {
        let client = self.client().await?;
        let statement =
            client.prepare_cached("select engine_now() as now, current_setting('server_version') as version").await?;
        let row = client.query_one(&statement, &[]).await?;
        Ok((row.try_get("now")?, row.try_get("version")?))
    }
}
