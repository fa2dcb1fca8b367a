//! The links to the database, which can be cut: one on which nothing comes back would never break by itself.

use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::Connect;
use futures::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Opens connections; all that are open end together when they are cut.
#[derive(Clone, Default)]
pub(super) struct Links(Arc<Mutex<CancellationToken>>);

impl Links {
    /// Ends all connections that are open. Whoever waits for an answer on one learns that it is closed.
    pub(super) fn cut(&self) {
        let mut uncut = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *uncut).cancel();
    }
}

impl Connect for Links {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        let config = config.clone();
        let cut = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let (client, connection) = config.connect(NoTls).await?;
            // Ends with this attempt: by itself it would wait for ever for what it is owed.
            let driver = AbortOnDropHandle::new(tokio::spawn(async move {
                tokio::select! {
                    // Whoever waits is told.
                    _ = connection => {}
                    () = cut.cancelled() => {}
                }
            }));
            // A statement whose asker is gone ends, with its locks. Not every platform's server can look.
            let _ = client.batch_execute("set client_connection_check_interval = '5s'").await;
            Ok((client, driver.detach()))
        })
    }
}
