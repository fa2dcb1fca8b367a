//! Reports on leases that are over: kept in the history, and applied by precedence. A conversation moves the lead wherever it
//! is; anything else moves it only while it still stands where the same attempt put it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use chrono::{DateTime, Utc};

use super::{Report, ReportAnswer, ReportVerdict};
use crate::{
    domain::{
        ids::{CampaignKey, LeaseId},
        lead::{Fact, LeadState, Verdict},
        outcome::Outcome,
        phone_number::PhoneNumber,
        retry_policy::RetryPolicy,
    },
    engine::{Engine, EngineError, leasing::messages::RevokeReason, news::FACTS, number_rules, suppressions},
    store::{
        Transaction,
        attempts::{self, EndedLease},
        changes::{self, Lifted, Placed, Revoked},
        number_rules as stored_rules,
        queue::waiting,
        suppressions as stored,
    },
};

/// Late reports taken in one transaction.
const AT_ONCE: usize = 20;

/// What late reports did besides their answers.
#[derive(Default)]
struct Aftermath {
    campaigns: BTreeSet<CampaignKey>,
    revoked: Vec<Revoked>,
    suppressed: suppressions::Suppressed,
}

/// What the rules of the lead's campaign say here.
#[derive(Clone)]
struct Rules {
    policy: RetryPolicy,
    max_attempts: i16,
}

impl Engine {
    /// Takes reports whose leases are over; answers per report, in order. In small transactions: each locks gauges.
    pub(super) async fn report_late(self: &Arc<Self>, reports: &[Report]) -> Result<Vec<ReportAnswer>, EngineError> {
        let mut answers = Vec::with_capacity(reports.len());
        for part in reports.chunks(AT_ONCE) {
            answers.extend(self.report_some_late(part.to_vec()).await?);
        }
        if reports.iter().any(|report| matches!(report.outcome, Outcome::IntentYes | Outcome::DoNotCall)) {
            self.outlast_turns().await?;
        }
        Ok(answers)
    }

    async fn report_some_late(self: &Arc<Self>, reports: Vec<Report>) -> Result<Vec<ReportAnswer>, EngineError> {
        let ids: Vec<LeaseId> = reports.iter().map(|report| report.lease).collect();
        let known = self.store.ended_leases(&ids).await?;
        let mut rules = HashMap::new();
        for ended in &known {
            let campaign = self.campaign_by_key(ended.context.campaign).await?;
            let of = Rules { policy: campaign.rules.retry_policy.clone(), max_attempts: campaign.rules.max_attempts };
            rules.insert(campaign.key, of);
        }
        let refused: BTreeSet<LeaseId> =
            reports.iter().filter(|r| r.outcome == Outcome::DoNotCall).map(|r| r.lease).collect();
        let all: Vec<PhoneNumber> = known.iter().filter_map(|ended| PhoneNumber::from_digits(ended.number)).collect();
        let numbers: Vec<PhoneNumber> = known
            .iter()
            .filter(|ended| refused.contains(&ended.lease))
            .filter_map(|ended| PhoneNumber::from_digits(ended.number))
            .collect();
        let campaigns: Vec<CampaignKey> = rules.keys().copied().collect();
        let now = self.clock.now();
        let done = self
            .mutate(None, move |tx| {
                let (reports, numbers, rules) = (reports.clone(), numbers.clone(), rules.clone());
                let (mut campaigns, all) = (campaigns.clone(), all.clone());
                Box::pin(async move {
                    // What a call was may hold up leads of its number everywhere.
                    let held_up = stored_rules::any(tx).await?;
                    if held_up {
                        campaigns.extend(stored::leads_of(tx, &all).await?.into_iter().map(|(campaign, _)| campaign));
                    }
                    stored::fence(tx, &numbers, &campaigns).await?;
                    let mut aftermath = Aftermath::default();
                    let mut answers = Vec::with_capacity(reports.len());
                    for report in &reports {
                        let answer = take_late(tx, report, &rules, now, &mut aftermath).await?;
                        answers.push((answer.verdict as i16, answer.state.map(LeadState::code)));
                    }
                    if held_up {
                        aftermath.campaigns.extend(number_rules::look_again(tx, &all).await?);
                    }
                    if !numbers.is_empty() {
                        aftermath.suppressed.extend(suppressions::suppress_for_good(tx, &numbers).await?);
                    }
                    Ok((answers, aftermath))
                })
            })
            .await?;
        if let Some(aftermath) = done.aftermath {
            self.announce_revoked(&aftermath.revoked, RevokeReason::LeadChanged);
            self.announce_suppressed(&aftermath.suppressed);
            self.news.tell(FACTS);
            for campaign in aftermath.campaigns {
                self.announce_work(campaign);
            }
        }
        done.answer.into_iter().map(|(verdict, state)| answer_of(verdict, state)).collect()
    }
}

fn answer_of(verdict: i16, state: Option<i16>) -> Result<ReportAnswer, EngineError> {
    let verdict = match verdict {
        2 => ReportVerdict::Duplicate,
        3 => ReportVerdict::Superseded,
        4 => ReportVerdict::Outranked,
        5 => ReportVerdict::Late,
        6 => ReportVerdict::NotFound,
        other => return Err(EngineError::Internal(format!("report verdict {other}"))),
    };
    Ok(ReportAnswer { verdict, state: state.and_then(LeadState::from_code) })
}

/// What becomes of a report, by what is on record.
fn judge(report: &Report, ended: &EndedLease) -> ReportVerdict {
    match ended.outcome {
        None => ReportVerdict::Late,
        Some(_) if ended.by_engine => ReportVerdict::Late,
        Some(held) if held == report.outcome && says_the_same(report, ended) => ReportVerdict::Duplicate,
        Some(held) if report.outcome.rank() > held.rank() => ReportVerdict::Superseded,
        Some(_) => ReportVerdict::Outranked,
    }
}

/// The same promise, or the same words: read again, these may name another instant.
fn says_the_same(report: &Report, ended: &EndedLease) -> bool {
    match (&report.details.callback_phrase, &ended.callback_phrase) {
        (None, None) => ended.callback_at == report.callback_at,
        (now, before) => now == before,
    }
}

async fn take_late(
    tx: &Transaction<'_>,
    report: &Report,
    rules: &HashMap<CampaignKey, Rules>,
    now: DateTime<Utc>,
    aftermath: &mut Aftermath,
) -> Result<ReportAnswer, EngineError> {
    let Some(ended) = attempts::ended(tx, &[report.lease]).await?.pop() else {
        return Ok(ReportAnswer { verdict: ReportVerdict::NotFound, state: None });
    };
    let verdict = judge(report, &ended);
    if verdict == ReportVerdict::Duplicate {
        return Ok(ReportAnswer { verdict, state: Some(ended.shown_state) });
    }
    keep(tx, report, &ended, verdict).await?;
    let campaign = ended.context.campaign;
    let mut state = ended.shown_state;
    if verdict != ReportVerdict::Outranked {
        let Some(rules) = rules.get(&campaign) else {
            return Err(EngineError::Internal("a report's campaign has no rules".into()));
        };
        state = apply(tx, report, &ended, rules, now, aftermath).await?;
    }
    if report.outcome == Outcome::DoNotCall {
        // Suppressed first: the flag says so of a number that nobody may call.
        let number: Vec<PhoneNumber> = PhoneNumber::from_digits(ended.number).into_iter().collect();
        aftermath.suppressed.extend(suppressions::suppress_for_good(tx, &number).await?);
        changes::set_do_not_call(tx, campaign, ended.context.lead).await?;
    }
    Ok(ReportAnswer { verdict, state: Some(state) })
}

/// Keeps every report in the history; the first one, too, once there are several.
async fn keep(
    tx: &Transaction<'_>,
    report: &Report,
    ended: &EndedLease,
    verdict: ReportVerdict,
) -> Result<(), EngineError> {
    let lease = report.lease;
    attempts::keep_first_report(tx, lease, ReportVerdict::Accepted as i16).await?;
    let promise = report.promise();
    attempts::keep_report(tx, lease, report.outcome, verdict as i16, promise.map(|one| one.at), &report.details)
        .await?;
    if verdict != ReportVerdict::Outranked {
        let counted = report.outcome.counts() && !ended.came_back;
        attempts::set_outcome(tx, lease, report.outcome, counted, promise, &report.details).await?;
    }
    Ok(())
}

/// Applies a fact that stands now; returns the lead's state afterwards.
async fn apply(
    tx: &Transaction<'_>,
    report: &Report,
    ended: &EndedLease,
    rules: &Rules,
    now: DateTime<Utc>,
    aftermath: &mut Aftermath,
) -> Result<LeadState, EngineError> {
    let (campaign, lead) = (ended.context.campaign, ended.context.lead);
    let fact = Fact {
        seq: ended.seq,
        outcome: report.outcome,
        begun_at: ended.begun_at,
        callback_at: report.callback_at,
        callback_latest: report.callback_latest,
    };
    let counted = match ended.outcome {
        Some(held) if !ended.came_back => i32::from(report.outcome.counts()) - i32::from(held.counts()),
        _ => 0,
    };
    // Attempts before a reset do not spend the budget after it.
    let counted_now = if ended.current_generation { counted } else { 0 };
    changes::count_attempts(tx, campaign, i64::from(counted)).await?;
    if !ended.came_back {
        changes::note_provider(tx, campaign, report.outcome, ended.begun_at).await?;
    }
    let stands = matches!(ended.shown_state, LeadState::IntentNoAnswer | LeadState::Failed)
        && ended.seq >= ended.context.facts.last_seq;
    let moves = (report.outcome.is_conversation() || stands) && !ended.shown_state.is_final();
    if !moves {
        // History only: what stays where it is keeps its promise and its digest.
        changes::set_facts(tx, campaign, lead, &ended.context.facts, counted, counted_now).await?;
        return Ok(ended.shown_state);
    }
    let facts = ended.context.facts.merge(fact);
    let lifted = changes::lift(tx, campaign, &[lead]).await?;
    changes::set_facts(tx, campaign, lead, &facts, counted, counted_now).await?;
    let Some(lifted) = lifted.into_iter().next().filter(|lifted| !lifted.begun) else {
        // Under a permit: the end of that call decides, and it knows this fact.
        return Ok(ended.shown_state);
    };
    aftermath.revoked.extend(lifted.revoked);
    aftermath.campaigns.insert(campaign);
    let attempts = i32::from(ended.context.attempts) + counted_now;
    let goes_on = attempts < i32::from(rules.max_attempts) && !facts.is_retry_over(&rules.policy);
    let placed = placement(lead, &lifted, facts.verdict(&rules.policy, now), goes_on, now);
    changes::place(tx, campaign, &[placed]).await?;
    Ok(placed.state)
}

/// Where the lead goes. What decides the same as before leaves it as it was.
fn placement(
    lead: crate::domain::ids::LeadId,
    lifted: &Lifted,
    verdict: Verdict,
    goes_on: bool,
    now: DateTime<Utc>,
) -> Placed {
    let Verdict { state, due_at } = verdict;
    let (at, reason) = match state {
        LeadState::Scheduled => (due_at, waiting::CALLBACK),
        LeadState::Eligible => (due_at.or(Some(now)), waiting::BACK_OFF),
        LeadState::IntentNoAnswer | LeadState::Failed if goes_on => (due_at, waiting::RETRY),
        _ => (None, waiting::RETRY),
    };
    // A delay that runs already is not begun anew.
    let at = if state == LeadState::Scheduled {
        at
    } else {
        at.map(|at| lifted.not_before.map_or(at, |old| old.max(now).min(at)))
    };
    Placed { lead, state, at, reason }
}
