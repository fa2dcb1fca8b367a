//! Two mutations at once: one is held open in its transaction while the other runs, until that is over or really waits.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;
use dialplane::{
    domain::ids::LeaseId,
    store::{
        StoreError,
        permits::{BeginItem, BeginVerdict},
        queue::{Refill, Slot},
    },
};
use uuid::Uuid;

use super::{
    actions::{Action, Answer, take_back_above_caps},
    line::{Line, Probe},
    stage::Stage,
};
use crate::support::ask;

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
    third: Line,
    alone: Line,
    probe: Probe,
}

impl Theatre {
    pub async fn open() -> Theatre {
        let stage = Stage::build().await;
        let url = &stage.database.url;
        let (first, second) = (Line::open(url).await, Line::open(url).await);
        let alone = Line { reads_anew: true, ..Line::open(url).await };
        Theatre { first, second, alone, third: Line::open(url).await, probe: Probe::open(url).await, stage }
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
            () = self.probe.until_waiting(&self.second) => None,
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

    /// One alone, so much later.
    pub async fn after(&self, seconds: u32, action: Action) -> Result<Answer, StoreError> {
        self.changed(&format!("update test_clock set ahead = ahead + interval '{seconds} seconds'"), action).await
    }

    /// One alone, after a change.
    pub async fn changed(&self, change: &str, action: Action) -> Result<Answer, StoreError> {
        self.stage.put_back().await;
        self.first.execute(change).await?;
        action.run(&self.first, &self.stage).await
    }

    /// Both at once: a third holds a row, so that the first stops half way, with the locks that it has by then; the second goes
    /// as far as it can; then the row is free. `None`: the first does not want that row. Returns the leases that were made.
    pub async fn hold_up(&self, row: &str, one: Action, other: Action) -> Result<Option<Vec<LeaseId>>, StoreError> {
        self.stage.put_back().await;
        self.third.execute(&format!("begin; {row}")).await?;
        let mut first = Box::pin(self.first.play(&self.stage, one));
        let stopped = tokio::select! {
            done = &mut first => done.map(|_| false)?,
            () = self.probe.until_waiting(&self.first) => true,
        };
        if !stopped {
            self.third.execute("rollback").await?;
            return Ok(None);
        }
        let mut second = Box::pin(self.second.play(&self.stage, other));
        let done = tokio::select! {
            done = &mut second => Some(done),
            () = self.probe.until_waiting(&self.second) => None,
        };
        self.third.execute("rollback").await?;
        let (first, second) = tokio::join!(first, async {
            match done {
                Some(done) => done,
                None => second.await,
            }
        });
        if [one, other].contains(&Action::EngineCap) {
            take_back_above_caps(&self.first).await?;
        }
        Ok(Some([first?.granted, second?.granted].concat()))
    }

    /// One that is stopped at the engine's gauge while a third makes a change that it has looked past.
    pub async fn overtaken(&self, change: &str, action: Action) -> Result<Answer, StoreError> {
        self.stage.put_back().await;
        self.third.execute(&format!("begin; {change}; select from gauge where campaign_id = 0 for update")).await?;
        let mut play = Box::pin(self.first.play(&self.stage, action));
        tokio::select! {
            done = &mut play => panic!("it should have waited: {done:?}"),
            () = self.probe.until_waiting(&self.first) => {}
        }
        self.third.execute("commit").await?;
        play.await
    }

    /// Transactions that were tried again so far.
    pub fn tried_again(&self) -> usize {
        [&self.first, &self.second].map(|line| line.again.load(Ordering::Relaxed)).iter().sum()
    }

    /// One after the other; what a lowered cap leaves to do comes last.
    pub async fn one_by_one(&self, actions: &[Action]) -> Result<Vec<String>, StoreError> {
        self.stage.put_back().await;
        for action in actions {
            self.alone.play(&self.stage, *action).await?;
        }
        if actions.contains(&Action::EngineCap) {
            take_back_above_caps(&self.alone).await?;
        }
        Ok(self.stage.picture().await)
    }

    /// Leases that a sweeper would end now.
    pub async fn overdue(&self) -> Vec<LeaseId> {
        self.first.store.overdue_leases(100).await.unwrap().into_iter().map(|(lease, _)| lease).collect()
    }

    /// Asks for a permit for a lease that a scene made.
    pub async fn permit(&self, lease: LeaseId) -> BeginVerdict {
        let item = BeginItem { session: self.stage.session, lease, nonce: Uuid::new_v4() };
        self.first.store.begin(&[item]).await.unwrap()[0].verdict
    }

    /// Whether a grant is refused whose caller gave it up a second ago.
    pub async fn refuses_what_was_given_up(&self) -> bool {
        self.stage.put_back().await;
        let items: Vec<_> = self.stage.queued.iter().map(|lead| self.stage.item(lead)).collect();
        let until = self.stage.now - TimeDelta::seconds(1);
        matches!(self.first.store.grant(self.stage.replica, &items, until).await, Err(StoreError::Late))
    }

    /// Asks for leads for a slot whose answer was given up a second ago.
    pub async fn asks_too_late(&self) -> Result<Refill, StoreError> {
        self.stage.put_back().await;
        let mut ask = ask(self.stage.one, 1, 10, 100, &self.stage.windows());
        ask.slots = vec![Slot { lease: Uuid::new_v4(), session: self.stage.session, stream: 0 }];
        let until = self.stage.now - TimeDelta::seconds(1);
        self.first.store.refill(self.stage.replica, &ask, until).await
    }

    pub async fn close(self) {
        self.stage.database.drop().await;
    }
}
