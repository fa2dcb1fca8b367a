//! A connection of its own for one side of a pair. The store has this one connection and no other, so whatever the store does
//! between `begin` and `commit` is one transaction, by the very statements that the engine sends.

use dialplane::store::{Store, StoreError};
use tokio_postgres::Client;

use super::{
    actions::{Action, Answer},
    stage::Stage,
};

/// How often the engine tries what met a deadlock.
const TRIES_MAX: usize = 5;

pub struct Line {
    pub store: Store,
    pub pid: i32,
}

impl Line {
    pub async fn open(url: &str) -> Line {
        let store = Store::new(url, 1).unwrap();
        let pid = store.client().await.unwrap().query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        Line { store, pid }
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

/// Returns once `waiter` waits for a lock that `holder` has, and so can go on only when `holder` has ended.
pub async fn until_waiting(probe: &Client, waiter: i32, holder: i32) {
    let sql = probe.prepare("select $2::int = any (pg_blocking_pids($1::int))").await.unwrap();
    while !probe.query_one(&sql, &[&waiter, &holder]).await.unwrap().get::<_, bool>(0) {}
}
