//! The mutating statements, aimed at the same leads, leases and numbers. Those of the hot path are here.

use std::{collections::HashSet, future::Future};

use dialplane::{
    domain::{
        ids::{CampaignKey, LeaseId, next_id},
        outcome::Outcome,
    },
    store::{
        StoreError,
        leases::{GrantItem, GrantVerdict},
        permits::{BeginItem, BeginVerdict},
        queue::{Parked, QueuedLead, Slot, waiting},
        releases::ReleaseVerdict,
    },
};
use uuid::Uuid;

use super::{
    changes,
    line::Line,
    stage::{Stage, Who, settlement},
};
use crate::support::ask;

/// Names the decision to dial `Leased`, always the same one.
const NONCE: Uuid = Uuid::from_u128(7);
/// The last one without a permit.
const SETTLED: [Who; 3] = [Who::Begun, Who::Ringing, Who::Leased];
/// How often a report looks again when the lead moved under it.
const ROUNDS_MAX: usize = 8;
/// That wait: one less than there are leads.
const SLOTS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// READY and promised leads of campaign one.
    Grant,
    /// READY leads of campaign two: their numbers are `Queued`'s, `Leased`'s and `Begun`'s.
    GrantTwins,
    /// Both at once; in no matrix, since it is the same statement.
    GrantAll,
    Refill,
    /// The same leads of campaign one, leased as they are found to slots that wait.
    LeaseAtOnce,
    Park,
    /// A permit for `Leased`.
    Begin,
    /// Outcomes of `Begun`, `Ringing` and `Leased`.
    Settle,
    /// The same three as never placed; in no matrix, since it is the same statement.
    SettleNotPlaced,
    /// DO_NOT_CALL of `Begun`, whose number campaign two has, too.
    SettleDoNotCall,
    /// `Begun` as UNKNOWN.
    Expire,
    /// `Leased` and `Promised`, by the dialer.
    Release,
    /// The same two, by the engine.
    TakeBack,
    Pause,
    Reset,
    CampaignCap,
    EngineCap,
    /// A day between calls to a number.
    NumberRules,
    Import,
    Suppress,
    /// A number that no campaign has, but an import may bring.
    SuppressNew,
    Unsuppress,
    /// The engine lifts `Blocked`'s suppression, whose time is over.
    Lift,
    /// Somebody suppresses `Blocked` for good.
    Extend,
    /// DO_NOT_CALL for an earlier attempt of `Blocked`.
    RefuseBlocked,
    /// New scores.
    Rescore,
    /// Callbacks promised by hand.
    Schedule,
    /// Promises of campaign one that nobody kept in time move on.
    Missed,
    Consume,
    /// INTENT_NO for the earlier attempts of `Queued`, `Leased` and `Begun`.
    LateReport,
    /// The replica that has all is taken for dead.
    Bury,
    /// The dialer comes back to its session by the other replica.
    TakeOver,
}

impl Action {
    pub const ALL: [Action; 30] = [
        Action::Grant,
        Action::GrantTwins,
        Action::Refill,
        Action::LeaseAtOnce,
        Action::Park,
        Action::Begin,
        Action::Settle,
        Action::SettleDoNotCall,
        Action::Expire,
        Action::Release,
        Action::TakeBack,
        Action::Pause,
        Action::Reset,
        Action::CampaignCap,
        Action::EngineCap,
        Action::NumberRules,
        Action::Import,
        Action::Suppress,
        Action::SuppressNew,
        Action::Unsuppress,
        Action::Lift,
        Action::Extend,
        Action::RefuseBlocked,
        Action::Rescore,
        Action::Schedule,
        Action::Missed,
        Action::Consume,
        Action::LateReport,
        Action::Bury,
        Action::TakeOver,
    ];

    /// Whoever waited for it finds `Leased` without its lease.
    pub const ENDING_LEASED: [Action; 11] = [
        Action::Settle,
        Action::Release,
        Action::TakeBack,
        Action::Pause,
        Action::Reset,
        Action::CampaignCap,
        Action::Suppress,
        Action::Rescore,
        Action::Schedule,
        Action::Consume,
        Action::LateReport,
    ];

    /// One transaction, as far as its commit.
    pub async fn run(self, line: &Line, stage: &Stage) -> Result<Answer, StoreError> {
        match self {
            Action::Grant => grant(line, stage, |lead| lead.campaign == stage.one).await,
            Action::GrantTwins => grant(line, stage, |lead| lead.campaign == stage.two).await,
            Action::GrantAll => grant(line, stage, |_| true).await,
            Action::Refill => refill(line, stage, 0).await,
            Action::LeaseAtOnce => refill(line, stage, SLOTS).await,
            Action::Park => park(line, stage).await,
            Action::Begin => begin(line, stage).await,
            Action::Settle => settle(line, stage, &SETTLED, Outcome::NoAnswer, true).await,
            Action::SettleNotPlaced => settle(line, stage, &SETTLED, Outcome::NotPlaced, true).await,
            Action::Expire => settle(line, stage, &[Who::Begun], Outcome::Unknown, false).await,
            Action::Release => release(line, stage, true).await,
            Action::TakeBack => release(line, stage, false).await,
            Action::Bury => bury(line, stage).await,
            Action::TakeOver => take_over(line, stage).await,
            _ => changes::run(self, line, stage).await,
        }
    }
}

/// What an action answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub grants: Vec<GrantVerdict>,
    /// The leases made.
    pub granted: Vec<LeaseId>,
    pub permit: Option<BeginVerdict>,
    /// Leases that ended with the outcome it brought.
    pub settled: Vec<LeaseId>,
    /// Leases whose end had come before the outcome.
    pub late: Vec<LeaseId>,
    pub releases: Vec<ReleaseVerdict>,
    /// Leases without a permit that it ended by taking something else away.
    pub revoked: Vec<LeaseId>,
    /// Leads that it changed, made or queued.
    pub leads: usize,
    pub refused: Option<&'static str>,
}

impl Answer {
    pub fn refused(why: &'static str) -> Answer {
        Answer { refused: Some(why), ..Answer::default() }
    }
}

/// A dead replica asks nobody: it finds itself fenced.
async fn unless_fenced<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<Option<T>, StoreError> {
    match asked.await {
        Err(StoreError::Fenced) => Ok(None),
        done => done.map(Some),
    }
}

async fn grant(line: &Line, stage: &Stage, of: impl Fn(&QueuedLead) -> bool) -> Result<Answer, StoreError> {
    let items: Vec<GrantItem> = stage.queued.iter().filter(|lead| of(lead)).map(|lead| stage.item(lead)).collect();
    let Some((grants, _)) = unless_fenced(line.store.grant(stage.replica, &items, stage.any_time())).await? else {
        line.execute("rollback; begin").await?;
        return Ok(Answer::refused("fenced"));
    };
    let granted =
        items.iter().zip(&grants).filter(|(_, verdict)| **verdict == GrantVerdict::Granted).map(|(i, _)| i.lease);
    Ok(Answer { granted: granted.collect(), grants, ..Answer::default() })
}

async fn refill(line: &Line, stage: &Stage, slots: usize) -> Result<Answer, StoreError> {
    // As many as there are, so that chance has no part in it.
    let mut ask = ask(stage.one, 1, 100, 1000, &stage.windows());
    ask.slots = (0..slots).map(|_| Slot { lease: next_id(), session: stage.session, stream: 0 }).collect();
    match line.store.refill(stage.replica, &ask, stage.any_time()).await {
        Ok(refill) => {
            let grants: Vec<GrantVerdict> = refill.tried.iter().map(|(_, verdict)| *verdict).collect();
            let made = ask.slots.iter().zip(&grants).filter(|(_, verdict)| **verdict == GrantVerdict::Granted);
            let granted = made.map(|(slot, _)| slot.lease).collect();
            Ok(Answer { granted, grants, leads: refill.ready.len(), ..Answer::default() })
        }
        Err(StoreError::NotRunning | StoreError::StaleRules | StoreError::Fenced) => {
            line.execute("rollback; begin").await?;
            Ok(Answer::refused("no refill"))
        }
        Err(error) => Err(error),
    }
}

async fn park(line: &Line, stage: &Stage) -> Result<Answer, StoreError> {
    let parked: Vec<Parked> = stage
        .queued
        .iter()
        .map(|lead| Parked {
            campaign: lead.campaign,
            lead: lead.lead,
            promised: lead.promised,
            until: Some(stage.now + chrono::TimeDelta::hours(1)),
            reason: waiting::NUMBER_BUSY,
            rules_version: None,
        })
        .collect();
    line.store.park(&parked).await?;
    Ok(Answer::default())
}

async fn begin(line: &Line, stage: &Stage) -> Result<Answer, StoreError> {
    let item = BeginItem { session: stage.session, lease: stage.lease(Who::Leased), nonce: NONCE };
    let permit = line.store.begin(&[item]).await?.pop().map(|row| row.verdict);
    Ok(Answer { permit, ..Answer::default() })
}

/// As the engine takes reports: by what it read first, then by what it reads again, then as late ones.
async fn settle(
    line: &Line,
    stage: &Stage,
    who: &[Who],
    outcome: Outcome,
    reported: bool,
) -> Result<Answer, StoreError> {
    let mut open: HashSet<LeaseId> = who.iter().map(|who| stage.lease(*who)).collect();
    let mut contexts = if line.reads_anew {
        line.store.lease_contexts(&open.iter().copied().collect::<Vec<_>>()).await?
    } else {
        stage.contexts.clone()
    };
    let mut answer = Answer::default();
    for _ in 0..ROUNDS_MAX {
        let policy = &stage.rules.retry_policy;
        let mut settlements: Vec<_> = contexts
            .iter()
            .filter(|context| open.contains(&context.lease))
            .map(|context| settlement(context, outcome, None, policy, stage.now))
            .collect();
        settlements.sort_unstable_by_key(|settlement| settlement.lease);
        for (lease, _, _) in line.store.settle(&settlements).await? {
            open.remove(&lease);
            answer.settled.push(lease);
        }
        let left: Vec<LeaseId> = open.iter().copied().collect();
        let ended = line.store.ended(&left).await?;
        if reported && !ended.is_empty() {
            changes::take_late(line, stage, &ended, outcome).await?;
            answer.late.extend(&ended);
        }
        open.retain(|lease| !ended.contains(lease));
        if open.is_empty() {
            return Ok(answer);
        }
        contexts = line.store.lease_contexts(&left).await?;
    }
    panic!("a settle came to no end");
}

async fn release(line: &Line, stage: &Stage, by_dialer: bool) -> Result<Answer, StoreError> {
    let leases = [stage.lease(Who::Leased), stage.lease(Who::Promised)];
    let released = line.store.release(&leases, waiting::BACK_OFF, by_dialer.then_some(stage.session)).await?;
    let verdict = |lease: &LeaseId| released.iter().find(|one| one.lease == *lease).map(|one| one.verdict);
    Ok(Answer { releases: leases.iter().filter_map(verdict).collect(), ..Answer::default() })
}

/// By a clock that is ahead, for this transaction alone: so a grant of the dead has passed its own look at the clock.
async fn bury(line: &Line, stage: &Stage) -> Result<Answer, StoreError> {
    line.execute("update test_clock set ahead = ahead + interval '1 day'").await?;
    line.store.bury_replicas(stage.heir).await?;
    line.execute("update test_clock set ahead = ahead - interval '1 day'").await?;
    Ok(Answer::default())
}

async fn take_over(line: &Line, stage: &Stage) -> Result<Answer, StoreError> {
    let stream = line.store.open_session(stage.session, "dialer", stage.heir, 10).await?;
    assert!(stream.is_some(), "the session is this dialer's");
    Ok(Answer::default())
}

/// Takes back what is above the caps, as the engine does once a lowered cap is in force.
pub async fn take_back_above_caps(line: &Line) -> Result<(), StoreError> {
    let above = line.store.leases_above_cap().await?;
    if !above.is_empty() {
        line.store.release(&above, waiting::BACK_OFF, None).await?;
    }
    Ok(())
}

/// The campaigns of a stage, in id order.
pub fn campaigns(stage: &Stage) -> [CampaignKey; 2] {
    [stage.one, stage.two]
}
