//! Two mutations at once: one is held open in its transaction while the other runs, until that is over or really waits.

use dialplane::{
    domain::ids::LeaseId,
    store::{StoreError, leases::GrantVerdict},
};
use tokio_postgres::Client;

use super::{
    actions::{Action, Answer, take_back_above_caps},
    line::{Line, until_waiting},
    stage::{Stage, Who},
};
use crate::support::database::connect;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Commit,
    Rollback,
}

/// How a scene went.
#[derive(Debug)]
pub struct Met {
    pub first: Answer,
    pub second: Answer,
    /// The second could not go on before the first had ended.
    pub waited: bool,
    /// Leases that were made for good.
    pub granted: Vec<LeaseId>,
}

pub struct Theatre {
    pub stage: Stage,
    first: Line,
    second: Line,
    probe: Client,
}

impl Theatre {
    pub async fn open() -> Theatre {
        let stage = Stage::build().await;
        let url = &stage.database.url;
        let (first, second) = (Line::open(url).await, Line::open(url).await);
        Theatre { first, second, probe: connect(url).await, stage }
    }

    /// The first is held open, the second meets it, the first ends, the second goes on. Then what a lowered cap leaves to do
    /// is done.
    pub async fn meet(&self, first: Action, second: Action, end: End) -> Result<Met, StoreError> {
        self.stage.put_back().await;
        self.first.execute("begin").await?;
        let answer = first.run(&self.first, &self.stage).await?;
        let mut meeting = Box::pin(self.second.play(&self.stage, second));
        let done = tokio::select! {
            done = &mut meeting => Some(done?),
            () = until_waiting(&self.probe, self.second.pid, self.first.pid) => None,
        };
        let waited = done.is_none();
        self.first.execute(if end == End::Commit { "commit" } else { "rollback" }).await?;
        let other = match done {
            Some(done) => done,
            None => meeting.await?,
        };
        let mut granted = other.granted.clone();
        if end == End::Commit {
            granted.extend(&answer.granted);
        }
        if second == Action::EngineCap || (first == Action::EngineCap && end == End::Commit) {
            take_back_above_caps(&self.first).await?;
        }
        Ok(Met { first: answer, second: other, waited, granted })
    }

    /// One after the other; what a lowered cap leaves to do comes last.
    pub async fn one_by_one(&self, actions: &[Action]) -> Result<Vec<String>, StoreError> {
        self.stage.put_back().await;
        for action in actions {
            self.first.play(&self.stage, *action).await?;
        }
        if actions.contains(&Action::EngineCap) {
            take_back_above_caps(&self.first).await?;
        }
        Ok(self.stage.picture().await)
    }

    /// Leases that a sweeper would end now.
    pub async fn overdue(&self) -> Vec<LeaseId> {
        self.first.store.overdue_leases(100).await.unwrap().into_iter().map(|(lease, _)| lease).collect()
    }

    /// Queues a fresh lead and asks for a lease of it.
    pub async fn grants_of(&self, who: Who) -> Vec<GrantVerdict> {
        let (store, stage) = (&self.first.store, &self.stage);
        let refill = store.refill(stage.one, stage.replica, 1, 100, 1000, &stage.windows()).await.unwrap();
        let items: Vec<_> =
            refill.ready.iter().filter(|lead| lead.lead == stage.lead(who)).map(|lead| stage.item(lead)).collect();
        store.grant(stage.replica, &items).await.unwrap().0
    }

    pub async fn close(self) {
        self.stage.database.drop().await;
    }
}
