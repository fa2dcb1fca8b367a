//! A connection of its own for one side of a pair. The store has this one connection and no other, so whatever the store does
//! between `begin` and `commit` is one transaction, by the very statements that the engine sends.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use dialplane::store::{Store, StoreError};
use tokio_postgres::{Client, Statement};

use super::{
    actions::{Action, Answer},
    stage::Stage,
};
use crate::support::database::connect;

/// How often the engine tries what met a deadlock.
const TRIES_MAX: usize = 5;

pub struct Line {
    pub store: Store,
    pub pid: i32,
    /// Reads what it decides by when it decides; else it goes by what was read before the scene.
    pub reads_anew: bool,
    /// How often something was tried again.
    pub again: AtomicUsize,
}

impl Line {
    pub async fn open(url: &str) -> Line {
        let store = Store::new(url, 1).unwrap();
        let pid = store.client().await.unwrap().query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        let line = Line { store, pid, reads_anew: false, again: AtomicUsize::new(0) };
        // Who meets a deadlock shall not wait a second for it; a starved machine is no failure.
        line.execute(
            "set deadlock_timeout = '20ms'; set idle_in_transaction_session_timeout = 0; set lock_timeout = 0",
        )
        .await
        .unwrap();
        line
    }

    pub async fn execute(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.store.client().await?.batch_execute(sql).await?)
    }

    /// Runs an action to its end as the engine does: what met a deadlock, or was overtaken, is tried again.
    pub async fn play(&self, stage: &Stage, action: Action) -> Result<Answer, StoreError> {
        let mut tries = 0;
        loop {
            self.execute("begin").await?;
            match action.run(self, stage).await {
                Ok(answer) => {
                    self.execute("commit").await?;
                    return Ok(answer);
                }
                Err(StoreError::Again) if tries < TRIES_MAX => {
                    tries += 1;
                    self.again.fetch_add(1, Ordering::Relaxed);
                    self.execute("rollback").await?;
                }
                Err(error) => {
                    self.execute("rollback").await?;
                    return Err(error);
                }
            }
        }
    }
}

/// Looks from outside whether a line waits for a lock.
pub struct Probe {
    client: Client,
    sql: Statement,
}

impl Probe {
    pub async fn open(url: &str) -> Probe {
        let client = connect(url).await;
        let sql = client.prepare("select pg_blocking_pids($1::int)").await.unwrap();
        Probe { client, sql }
    }

    /// Returns once a line waits for a lock that another has, and so cannot go on by itself.
    pub async fn until_waiting(&self, line: &Line) {
        while self.client.query_one(&self.sql, &[&line.pid]).await.unwrap().get::<_, Vec<i32>>(0).is_empty() {
            // It looks again, and leaves the processors to those it looks at.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
