//! Mutations from outside the hot path, each the same sequence of the store's functions as the engine's use case of its name.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Object;
use dialplane::{
    domain::{
        campaign::{CampaignRules, CampaignState},
        ids::{LeadId, LeaseId},
        lead::{Fact, LeadState},
        number_rules::NumberRules,
        outcome::Outcome,
        phone_number::PhoneNumber,
        promise::Promise,
        settings::SchedulerSettings,
    },
    store::{
        StoreError,
        attempts::{self, EndedLease},
        callbacks,
        campaigns::{self, By, CampaignRow},
        changes::{self, Lifted, Placed, Revoked},
        imports,
        intake::{self, NewLead},
        leads::{self, LeadChange, LeadRow},
        leases::{self, ReportDetails},
        live_leases, number_rules,
        queue::waiting,
        settings,
        suppressions::{self, SuppressionFilter},
    },
};
use uuid::Uuid;

use super::{
    actions::{Action, Answer, campaigns as all_campaigns},
    line::Line,
    stage::{Stage, Who, settlement},
};

/// The engine's cap once it is lowered: below what lives.
pub const LOWERED_CAP: i32 = 3;
const IMPORT: Uuid = Uuid::from_u128(8);

/// Numbers that are suppressed, and those that are freed: besides `Blocked`, the same.
const SUPPRESSED: [Who; 8] =
    [Who::Queued, Who::Leased, Who::Begun, Who::Ringing, Who::Promise, Who::Promised, Who::Retry, Who::Imported];

pub async fn run(action: Action, line: &Line, stage: &Stage) -> Result<Answer, StoreError> {
    let db = &line.store.client().await?;
    match action {
        Action::SettleDoNotCall => settle_do_not_call(db, stage).await,
        Action::Pause => pause(db, stage).await,
        Action::Reset => reset(db, stage).await,
        Action::CampaignCap => lower_campaign_cap(db, stage).await,
        Action::EngineCap => lower_engine_cap(db).await,
        Action::NumberRules => a_day_between_calls(db).await,
        Action::Import => import(db, stage).await,
        Action::Suppress => suppress(db, &SUPPRESSED.map(Who::number), None).await,
        Action::SuppressNew => suppress(db, &[Who::Imported.number()], None).await,
        Action::Unsuppress => unsuppress(db).await,
        Action::Lift => lift(db).await,
        Action::Extend => suppress(db, &[Who::Blocked.number()], None).await,
        Action::RefuseBlocked => refuse_blocked(db, stage).await,
        Action::Rescore => rescore(db, stage).await,
        Action::Schedule => schedule(db, stage).await,
        Action::Missed => missed(db, stage).await,
        Action::Consume => consume(db, stage).await,
        Action::LateReport => {
            changes::fence(db, &[stage.one]).await?;
            let mut answer = Answer::default();
            for who in [Who::Queued, Who::Leased, Who::Begun] {
                answer.revoked.extend(take_one_late(db, stage, stage.earlier[&who], Outcome::IntentNo).await?);
            }
            Ok(answer)
        }
        other => unreachable!("{other:?} is of the hot path"),
    }
}

fn leases_of(revoked: Vec<Revoked>) -> Vec<LeaseId> {
    revoked.into_iter().map(|one| one.lease).collect()
}

async fn lock(db: &Object, stage: &Stage) -> Result<CampaignRow, StoreError> {
    changes::fence(db, &[stage.one]).await?;
    Ok(campaigns::find(db, By::Key(stage.one)).await?.unwrap())
}

async fn pause(db: &Object, stage: &Stage) -> Result<Answer, StoreError> {
    if lock(db, stage).await?.state == CampaignState::Paused {
        return Ok(Answer::refused("paused already"));
    }
    let revoked = changes::recall(db, stage.one).await?;
    campaigns::set_state(db, stage.one, CampaignState::Paused).await?;
    Ok(Answer { revoked: leases_of(revoked), ..Answer::default() })
}

async fn lower_campaign_cap(db: &Object, stage: &Stage) -> Result<Answer, StoreError> {
    let before = lock(db, stage).await?;
    let rules = CampaignRules { max_concurrency: Some(1), ..before.rules.clone() };
    let mut answer = Answer::default();
    if rules != before.rules {
        answer.revoked = leases_of(changes::recall(db, stage.one).await?);
        changes::recheck_hours(db, stage.one).await?;
    }
    campaigns::update(db, stage.one, &before.name, &rules).await?;
    Ok(answer)
}

async fn lower_engine_cap(db: &Object) -> Result<Answer, StoreError> {
    let before = settings::read(db).await?;
    if before.max_concurrency == LOWERED_CAP {
        return Ok(Answer::refused("lowered already"));
    }
    let mut after = settings::read(db).await?;
    after.max_concurrency = LOWERED_CAP;
    settings::update(db, &after, Some(before.etag)).await?.ok_or(StoreError::Again)?;
    Ok(Answer::default())
}

async fn a_day_between_calls(db: &Object) -> Result<Answer, StoreError> {
    let before = settings::read(db).await?;
    let gap = Some(std::time::Duration::from_hours(24));
    let after =
        SchedulerSettings { number_rules: NumberRules { min_gap: gap, ..Default::default() }, ..before.clone() };
    if after == before {
        return Ok(Answer::refused("in force already"));
    }
    let campaigns = number_rules::campaigns(db).await?;
    changes::fence(db, &campaigns).await?;
    settings::update(db, &after, Some(before.etag)).await?.ok_or(StoreError::Again)?;
    for campaign in campaigns {
        number_rules::look_again(db, campaign, None).await?;
    }
    Ok(Answer::default())
}

async fn reset(db: &Object, stage: &Stage) -> Result<Answer, StoreError> {
    let campaign = lock(db, stage).await?;
    let overdue = changes::overdue_begun(db, stage.one).await?;
    let contexts = live_leases::contexts(db, &overdue).await?;
    let policy = &campaign.rules.retry_policy;
    let unknown: Vec<_> =
        contexts.iter().map(|context| settlement(context, Outcome::Unknown, None, policy, stage.now)).collect();
    let mut answer = Answer::default();
    if !unknown.is_empty() {
        answer.settled = leases::settle(db, &unknown, true).await?.into_iter().map(|(lease, _, _)| lease).collect();
    }
    answer.revoked = leases_of(changes::reset(db, stage.one).await?);
    Ok(answer)
}

async fn import(db: &Object, stage: &Stage) -> Result<Answer, StoreError> {
    if imports::lock(db, IMPORT, stage.one).await?.unwrap() >= 1 {
        return Ok(Answer::refused("imported already"));
    }
    imports::advance(db, IMPORT, 1).await?;
    let row = |id, who: Who| NewLead {
        id,
        number: who.number(),
        rank: 1,
        zone: 0,
        external_id: None,
        variables: Default::default(),
    };
    // The second one is there already.
    let rows = [row(stage.lead(Who::Imported), Who::Imported), row(Uuid::now_v7(), Who::Queued)];
    let leads = intake::insert(db, stage.one, &rows).await?.len();
    Ok(Answer { leads, ..Answer::default() })
}

async fn suppress(db: &Object, numbers: &[PhoneNumber], until: Option<DateTime<Utc>>) -> Result<Answer, StoreError> {
    suppressions::fence(db, numbers, &[]).await?;
    suppressions::insert(db, numbers, "test", until).await?;
    let mut answer = Answer::default();
    for (campaign, leads) in suppressions::leads_of(db, numbers).await? {
        let (blocked, revoked) = changes::block(db, campaign, &leads).await?;
        answer.leads += usize::try_from(blocked).unwrap();
        answer.revoked.extend(leases_of(revoked));
    }
    Ok(answer)
}

async fn unsuppress(db: &Object) -> Result<Answer, StoreError> {
    let numbers: Vec<PhoneNumber> = SUPPRESSED.into_iter().chain([Who::Blocked]).map(Who::number).collect();
    suppressions::fence(db, &numbers, &[]).await?;
    suppressions::delete(db, &numbers, &SuppressionFilter::default()).await?;
    let mut answer = Answer::default();
    for (campaign, leads) in suppressions::leads_of(db, &numbers).await? {
        answer.leads += usize::try_from(changes::unblock(db, campaign, &leads, true).await?).unwrap();
    }
    Ok(answer)
}

async fn lift(db: &Object) -> Result<Answer, StoreError> {
    let over = [Who::Blocked.number()];
    suppressions::fence(db, &over, &[]).await?;
    let lifted = suppressions::delete_expired(db, &over).await?;
    let mut answer = Answer::default();
    for number in lifted {
        for (campaign, leads) in suppressions::leads_of(db, &[PhoneNumber::from_digits(number).unwrap()]).await? {
            answer.leads += usize::try_from(changes::unblock(db, campaign, &leads, false).await?).unwrap();
        }
    }
    Ok(answer)
}

async fn refuse_blocked(db: &Object, stage: &Stage) -> Result<Answer, StoreError> {
    let answer = suppress(db, &[Who::Blocked.number()], None).await?;
    changes::set_do_not_call(db, stage.one, stage.lead(Who::Blocked)).await?;
    Ok(answer)
}

async fn settle_do_not_call(db: &Object, stage: &Stage) -> Result<Answer, StoreError> {
    let numbers = [Who::Begun.number()];
    suppressions::fence(db, &numbers, &[]).await?;
    let policy = &stage.rules.retry_policy;
    let contexts = live_leases::contexts(db, &[stage.lease(Who::Begun)]).await?;
    let settlements: Vec<_> =
        contexts.iter().map(|context| settlement(context, Outcome::DoNotCall, None, policy, stage.now)).collect();
    let settled = leases::settle(db, &settlements, false).await?;
    let suppressed = suppress(db, &numbers, None).await?;
    Ok(Answer { settled: settled.into_iter().map(|(lease, _, _)| lease).collect(), ..suppressed })
}

/// Back where it was, to be looked at again now.
fn back(lifted: &Lifted, row: &LeadRow, now: DateTime<Utc>) -> Placed {
    let (at, reason) = match lifted.state {
        LeadState::Scheduled => (row.callback_at, waiting::CALLBACK),
        LeadState::Eligible => {
            let delays = [waiting::BACK_OFF, waiting::UNKNOWN_RETRY];
            let running = row.waiting_reason.filter(|reason| delays.contains(reason));
            let until = lifted.not_before.filter(|at| running.is_some() && *at > now);
            (until, running.unwrap_or(waiting::BACK_OFF))
        }
        LeadState::IntentNoAnswer | LeadState::Failed => {
            let queued = matches!(row.state, LeadState::Ready | LeadState::DialingIntent);
            let unknown = row.waiting_reason.filter(|reason| *reason == waiting::UNKNOWN_RETRY);
            let at = row.not_before.or(lifted.not_before).or(queued.then_some(now));
            (at, unknown.unwrap_or(waiting::RETRY))
        }
        _ => (None, waiting::RETRY),
    };
    Placed { lead: lifted.lead, state: lifted.state, at, reason }
}

async fn rescore(db: &Object, stage: &Stage) -> Result<Answer, StoreError> {
    lock(db, stage).await?;
    let mut answer = Answer::default();
    for who in [Who::Queued, Who::Leased, Who::Begun, Who::Promise, Who::Retry, Who::Fresh] {
        let lead = stage.lead(who);
        let before = leads::find(db, stage.one, lead).await?.unwrap();
        let lifted = changes::lift(db, stage.one, &[lead]).await?;
        let change = LeadChange { rank: Some(100), ..LeadChange::default() };
        leads::update(db, stage.one, &[lead], &change).await?;
        let placed: Vec<Placed> =
            lifted.iter().filter(|one| !one.begun).map(|one| back(one, &before, stage.now)).collect();
        changes::place(db, stage.one, &placed).await?;
        answer.revoked.extend(leases_of(lifted.into_iter().filter_map(|one| one.revoked).collect()));
    }
    Ok(answer)
}

async fn schedule(db: &Object, stage: &Stage) -> Result<Answer, StoreError> {
    lock(db, stage).await?;
    let mut answer = Answer::default();
    for lead in [Who::Queued, Who::Leased, Who::Retry].map(|who| stage.lead(who)) {
        let before = leads::find(db, stage.one, lead).await?.unwrap();
        if !before.state.allows_callback_by_hand() || before.suppressed {
            answer.refused = Some("no callback");
            continue;
        }
        let lifted = changes::lift(db, stage.one, &[lead]).await?;
        if lifted.iter().any(|lifted| lifted.begun) {
            answer.refused = Some("a call is under way");
            continue;
        }
        let at = stage.now + TimeDelta::hours(1);
        changes::set_callback(db, stage.one, lead, Some(Promise { at, latest: None })).await?;
        let placed = Placed { lead, state: LeadState::Scheduled, at: Some(at), reason: waiting::CALLBACK };
        changes::place(db, stage.one, &[placed]).await?;
        answer.revoked.extend(leases_of(lifted.into_iter().filter_map(|one| one.revoked).collect()));
        answer.leads += 1;
    }
    Ok(answer)
}

/// As if no time were given to them.
async fn missed(db: &Object, stage: &Stage) -> Result<Answer, StoreError> {
    lock(db, stage).await?;
    let missed = callbacks::missed(db, stage.one, Duration::ZERO, 100).await?;
    let leads: Vec<LeadId> = missed.iter().map(|missed| missed.lead).collect();
    let at = stage.now + TimeDelta::hours(1);
    let mut placed = Vec::new();
    for lifted in changes::lift(db, stage.one, &leads).await? {
        assert!(!lifted.begun && lifted.revoked.is_none(), "it waited");
        changes::set_callback(db, stage.one, lifted.lead, Some(Promise { at, latest: None })).await?;
        placed.push(Placed { lead: lifted.lead, state: LeadState::Scheduled, at: Some(at), reason: waiting::CALLBACK });
    }
    changes::place(db, stage.one, &placed).await?;
    Ok(Answer { leads: placed.len(), ..Answer::default() })
}

async fn consume(db: &Object, stage: &Stage) -> Result<Answer, StoreError> {
    lock(db, stage).await?;
    let wanted = [Who::Queued, Who::Leased, Who::Promise].map(|who| stage.lead(who));
    let lifted = changes::lift(db, stage.one, &wanted).await?;
    let placed: Vec<Placed> = lifted
        .iter()
        .filter(|lifted| !lifted.begun)
        .map(|lifted| Placed { lead: lifted.lead, state: LeadState::Consumed, at: None, reason: waiting::RETRY })
        .collect();
    let ids: Vec<LeadId> = placed.iter().map(|one| one.lead).collect();
    changes::clear_callbacks(db, stage.one, &ids).await?;
    changes::place(db, stage.one, &placed).await?;
    let revoked = leases_of(lifted.into_iter().filter_map(|one| one.revoked).collect());
    Ok(Answer { leads: placed.len(), revoked, ..Answer::default() })
}

/// Reports whose leases are over.
pub async fn take_late(line: &Line, stage: &Stage, leases: &[LeaseId], outcome: Outcome) -> Result<(), StoreError> {
    let db = &line.store.client().await?;
    changes::fence(db, &all_campaigns(stage)).await?;
    for lease in leases {
        take_one_late(db, stage, *lease, outcome).await?;
    }
    Ok(())
}

/// Kept, and applied where the attempt's own outcome still stands, or a conversation outdoes it.
async fn take_one_late(
    db: &Object,
    stage: &Stage,
    lease: LeaseId,
    outcome: Outcome,
) -> Result<Option<LeaseId>, StoreError> {
    let ended = attempts::ended(db, &[lease]).await?.pop().unwrap();
    let verdict = match ended.outcome {
        Some(held) if !ended.by_engine && held == outcome => return Ok(None),
        Some(held) if !ended.by_engine && outcome.rank() > held.rank() => 3,
        Some(_) if !ended.by_engine => 4,
        _ => 5,
    };
    attempts::keep_first_report(db, lease, 1).await?;
    attempts::keep_report(db, lease, outcome, verdict, None, &ReportDetails::default()).await?;
    if verdict == 4 {
        return Ok(None);
    }
    let counted = outcome.counts() && ended.outcome.is_some();
    attempts::set_outcome(db, lease, outcome, counted, None, &ReportDetails::default()).await?;
    apply(db, stage, &ended, outcome).await
}

async fn apply(
    db: &Object,
    stage: &Stage,
    ended: &EndedLease,
    outcome: Outcome,
) -> Result<Option<LeaseId>, StoreError> {
    let (campaign, lead, held) = (ended.context.campaign, ended.context.lead, &ended.context.facts);
    let counted = ended.outcome.map_or(0, |held| i32::from(outcome.counts()) - i32::from(held.counts()));
    let counted_now = if ended.current_generation { counted } else { 0 };
    changes::count_attempts(db, campaign, i64::from(counted)).await?;
    let unreached = matches!(ended.shown_state, LeadState::IntentNoAnswer | LeadState::Failed);
    let stands = unreached && ended.seq >= held.last_seq;
    if !(outcome.is_conversation() || stands) || ended.shown_state.is_final() {
        changes::set_facts(db, campaign, lead, held, counted, counted_now).await?;
        return Ok(None);
    }
    let facts = held.merge(Fact {
        seq: ended.seq,
        outcome,
        begun_at: ended.begun_at,
        callback_at: None,
        callback_latest: None,
    });
    let lifted = changes::lift(db, campaign, &[lead]).await?;
    changes::set_facts(db, campaign, lead, &facts, counted, counted_now).await?;
    let Some(lifted) = lifted.into_iter().next().filter(|lifted| !lifted.begun) else {
        return Ok(None);
    };
    let verdict = facts.verdict(&stage.rules.retry_policy, stage.now);
    let left = i32::from(ended.context.attempts) + counted_now < i32::from(stage.rules.max_attempts);
    let (at, reason) = match verdict.state {
        LeadState::Scheduled => (verdict.due_at, waiting::CALLBACK),
        LeadState::Eligible => (verdict.due_at.or(Some(stage.now)), waiting::BACK_OFF),
        LeadState::IntentNoAnswer | LeadState::Failed if left => (verdict.due_at, waiting::RETRY),
        _ => (None, waiting::RETRY),
    };
    let runs = |at| lifted.not_before.map_or(at, |old| old.max(stage.now).min(at));
    let at = if verdict.state == LeadState::Scheduled { at } else { at.map(runs) };
    changes::place(db, campaign, &[Placed { lead, state: verdict.state, at, reason }]).await?;
    Ok(lifted.revoked.map(|one| one.lease))
}
