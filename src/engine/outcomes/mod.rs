//! Outcomes: facts from any process, at any time, in any order. Ends live leases; what comes late goes to `late`.

mod briefs;
mod feed;
mod late;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::{Arc, Weak},
};

use chrono::{DateTime, Utc};

pub use briefs::Brief;
pub(super) use briefs::Briefs;
pub use feed::{Feed, FeedPage};

use super::{Engine, EngineError, again, leasing::messages::RevokeReason, news::FACTS};
use crate::{
    domain::{
        ids::{CampaignKey, LeaseId},
        lead::{Fact, LeadState},
        outcome::Outcome,
        phone_number::PhoneNumber,
        promise::{HELD, Promise},
        retry_policy::RetryPolicy,
    },
    store::{
        leases::{self, ReportDetails, Settlement},
        live_leases, suppressions,
    },
};

/// How often a report looks again when the lead moved under it.
const ROUNDS_MAX: usize = 8;

/// What came of one attempt, as reported.
#[derive(Clone)]
pub struct Report {
    /// The lease of the attempt.
    pub lease: LeaseId,
    /// What came of it.
    pub outcome: Outcome,
    /// With CALLBACK_REQUESTED: the promised instant; of one that was asked for in words it is read when the report is
    /// taken, and [`HELD`] where they are not understood.
    pub callback_at: Option<DateTime<Utc>>,
    /// The end of the interval that the words name.
    pub callback_latest: Option<DateTime<Utc>>,
    /// When they were said; none: when it happened.
    pub heard_at: Option<DateTime<Utc>>,
    /// The rest.
    pub details: ReportDetails,
}

impl Report {
    /// A report without details.
    pub fn new(lease: LeaseId, outcome: Outcome) -> Report {
        Report {
            lease,
            outcome,
            callback_at: None,
            callback_latest: None,
            heard_at: None,
            details: ReportDetails::default(),
        }
    }

    /// The promise that it makes, if its instant is known.
    fn promise(&self) -> Option<Promise> {
        let at = self.callback_at.filter(|at| *at != HELD)?;
        Some(Promise { at, latest: self.callback_latest })
    }
}

/// What became of a report. The codes are those of the proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum ReportVerdict {
    /// The first outcome of the attempt.
    Accepted = 1,
    /// The same again.
    Duplicate = 2,
    /// It replaced a lower one.
    Superseded = 3,
    /// An equal or higher one stays.
    Outranked = 4,
    /// The lease had ended without a report.
    Late = 5,
    /// No lease ever had this id.
    NotFound = 6,
}

/// The answer to one report.
#[derive(Debug, Clone, Copy)]
pub struct ReportAnswer {
    /// What became of it.
    pub verdict: ReportVerdict,
    /// The lead's state afterwards.
    pub state: Option<LeadState>,
}

/// What the core decides when a live lease ends with a report.
pub(super) fn settlement(lease: &Brief, report: &Report, policy: &RetryPolicy, now: DateTime<Utc>) -> Settlement {
    let fact = Fact {
        seq: lease.seq,
        outcome: report.outcome,
        begun_at: lease.began,
        callback_at: report.callback_at,
        callback_latest: report.callback_latest,
    };
    let facts = lease.facts.merge(fact);
    let verdict = facts.verdict(policy, now);
    Settlement {
        lease: lease.lease,
        campaign: lease.campaign,
        version: lease.version,
        epoch: lease.epoch,
        outcome: report.outcome,
        state: verdict.state,
        due_at: verdict.due_at,
        callback_at: report.promise().map(|promise| promise.at),
        facts,
        details: report.details.clone(),
    }
}

impl Engine {
    /// Takes reports; answers per report, in order.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`]: report again, it does no harm.
    pub async fn report_outcomes(&self, reports: Vec<Report>) -> Result<Vec<ReportAnswer>, EngineError> {
        self.reports.call(reports).await
    }

    /// Ends begun leases that nobody reported: someone may have been talked to.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub(crate) async fn settle_unknown(
        self: &Arc<Self>,
        leases: Vec<LeaseId>,
        reason: RevokeReason,
    ) -> Result<Vec<LeaseId>, EngineError> {
        let reports: Vec<Report> = leases.into_iter().map(|lease| Report::new(lease, Outcome::Unknown)).collect();
        let settled = self.settle_live(&reports.iter().collect::<Vec<_>>(), Some(reason)).await?;
        Ok(settled.into_keys().collect())
    }

    /// Ends those leases that live; the rest are left out, and so is what moved meanwhile.
    async fn settle_live(
        self: &Arc<Self>,
        reports: &[&Report],
        reason: Option<RevokeReason>,
    ) -> Result<HashMap<LeaseId, LeadState>, EngineError> {
        let by_lease: HashMap<LeaseId, &Report> = reports.iter().map(|report| (report.lease, *report)).collect();
        let ids: Vec<LeaseId> = by_lease.keys().copied().collect();
        let briefs = self.briefs_of(&ids).await?;
        let now = self.clock.now();
        let mut campaigns = HashMap::new();
        let mut settlements = Vec::with_capacity(briefs.len());
        for brief in &briefs {
            let campaign = match campaigns.entry(brief.campaign) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(self.campaign_by_key(brief.campaign).await?),
            };
            let Some(report) = by_lease.get(&brief.lease) else { continue };
            settlements.push(settlement(brief, report, &campaign.rules.retry_policy, now));
        }
        if settlements.is_empty() {
            return Ok(HashMap::new());
        }
        // In id order: two batches with common leases cannot lock them crosswise.
        settlements.sort_unstable_by_key(|settlement| settlement.lease);
        let settled = again(|| self.store.settle(&settlements)).await.inspect_err(|error| self.outage.note(error))?;
        self.announce_ended(settled.iter().map(|(lease, _, _)| *lease), reason);
        self.announce_due(&settlements);
        campaigns.into_keys().chain([FACTS]).for_each(|campaign| self.news.tell(campaign));
        Ok(settled.into_iter().map(|(lease, _, state)| (lease, state)).collect())
    }

    /// Those of live leases; what was not granted and begun here is read.
    async fn briefs_of(&self, leases: &[LeaseId]) -> Result<Vec<Brief>, EngineError> {
        let known = self.briefs.take(leases);
        let unknown: Vec<LeaseId> = leases.iter().filter(|lease| !known.contains_key(lease)).copied().collect();
        let mut briefs: Vec<Brief> = known.into_values().collect();
        if !unknown.is_empty() {
            let read = self.store.lease_contexts(&unknown).await.inspect_err(|error| self.outage.note(error))?;
            briefs.extend(read.iter().map(Brief::from));
        }
        Ok(briefs)
    }

    /// Says when the first lead of each campaign is due again.
    fn announce_due(&self, settlements: &[Settlement]) {
        let mut first: HashMap<(CampaignKey, bool), DateTime<Utc>> = HashMap::new();
        for settlement in settlements {
            let Some(at) = settlement.due_at else { continue };
            let promise = settlement.state == LeadState::Scheduled;
            first.entry((settlement.campaign, promise)).and_modify(|held| *held = at.min(*held)).or_insert(at);
        }
        for ((campaign, promise), at) in first {
            self.announce_due_at(campaign, promise, at);
        }
    }

    /// Ends live leases with DO_NOT_CALL where other campaigns have the number, too: all of them in one transaction.
    async fn settle_do_not_call(
        self: &Arc<Self>,
        reports: Vec<Report>,
    ) -> Result<HashMap<LeaseId, LeadState>, EngineError> {
        let ids: Vec<LeaseId> = reports.iter().map(|report| report.lease).collect();
        let numbers = self.numbers_of_live(&ids).await?;
        let now = self.clock.now();
        let mut policies = HashMap::new();
        for context in self.store.lease_contexts(&ids).await? {
            let campaign = self.campaign_by_key(context.context.campaign).await?;
            policies.insert(campaign.key, campaign.rules.retry_policy.clone());
        }
        let done = self
            .mutate(None, move |tx| {
                let (reports, numbers, policies) = (reports.clone(), numbers.clone(), policies.clone());
                Box::pin(async move {
                    suppressions::fence(tx, &numbers, &[]).await?;
                    let ids: Vec<LeaseId> = reports.iter().map(|report| report.lease).collect();
                    let mut settlements = Vec::new();
                    for context in live_leases::contexts(tx, &ids).await? {
                        let report = reports.iter().find(|report| report.lease == context.lease);
                        if let (Some(report), Some(policy)) = (report, policies.get(&context.context.campaign)) {
                            settlements.push(settlement(&Brief::from(&context), report, policy, now));
                        }
                    }
                    let settled = leases::settle(tx, &settlements, false).await?;
                    let revoked = super::suppressions::suppress_for_good(tx, &numbers).await?;
                    let settled: Vec<(LeaseId, i16)> =
                        settled.into_iter().map(|(lease, _, state)| (lease, state.code())).collect();
                    Ok((settled, revoked))
                })
            })
            .await?;
        if let Some(suppressed) = done.aftermath {
            self.announce_ended(done.answer.iter().map(|(lease, _)| *lease), None);
            self.announce_suppressed(&suppressed);
            self.news.tell(FACTS);
        }
        Ok(done.answer.into_iter().filter_map(|(lease, code)| Some((lease, LeadState::from_code(code)?))).collect())
    }

    async fn numbers_of_live(&self, leases: &[LeaseId]) -> Result<Vec<PhoneNumber>, EngineError> {
        let numbers = self.store.numbers_of_leases(leases).await?;
        Ok(numbers.into_iter().filter_map(PhoneNumber::from_digits).collect())
    }

    async fn report_round(
        self: &Arc<Self>,
        reports: &[(usize, Report)],
        answers: &mut [Option<ReportAnswer>],
    ) -> Result<(), EngineError> {
        let mut open: Vec<&(usize, Report)> = reports.iter().collect();
        for _ in 0..ROUNDS_MAX {
            let settled = self.settle_live(&open.iter().map(|(_, report)| report).collect::<Vec<_>>(), None).await?;
            accept(&mut open, &settled, answers);
            let live = self.live_among(&open).await?;
            let shared: Vec<Report> = open
                .iter()
                .filter(|(_, report)| live.contains(&report.lease) && report.outcome == Outcome::DoNotCall)
                .map(|(_, report)| report.clone())
                .collect();
            if !shared.is_empty() {
                let settled = self.settle_do_not_call(shared).await?;
                accept(&mut open, &settled, answers);
            }
            let late: Vec<&(usize, Report)> =
                open.iter().filter(|(_, report)| !live.contains(&report.lease)).copied().collect();
            if !late.is_empty() {
                let verdicts =
                    self.report_late(&late.iter().map(|(_, report)| report.clone()).collect::<Vec<_>>()).await?;
                for ((index, _), verdict) in late.iter().zip(verdicts) {
                    answers[*index] = Some(verdict);
                }
            }
            open.retain(|(index, _)| answers[*index].is_none());
            if open.is_empty() {
                return Ok(());
            }
        }
        // Its lead moved under every round: rare enough to be asked again.
        Err(EngineError::Overloaded)
    }

    async fn live_among(&self, open: &[&(usize, Report)]) -> Result<HashSet<LeaseId>, EngineError> {
        if open.is_empty() {
            return Ok(HashSet::new());
        }
        let ids: Vec<LeaseId> = open.iter().map(|(_, report)| report.lease).collect();
        let ended: HashSet<LeaseId> = self.store.ended(&ids).await?.into_iter().collect();
        Ok(ids.into_iter().filter(|lease| !ended.contains(lease)).collect())
    }
}

fn accept(
    open: &mut Vec<&(usize, Report)>,
    settled: &HashMap<LeaseId, LeadState>,
    answers: &mut [Option<ReportAnswer>],
) {
    open.retain(|(index, report)| match settled.get(&report.lease) {
        Some(state) => {
            answers[*index] = Some(ReportAnswer { verdict: ReportVerdict::Accepted, state: Some(*state) });
            false
        }
        None => true,
    });
}

/// One gathered batch. Reports of one lease are taken one after the other, in the order they came.
pub(super) async fn report_batch(engine: Weak<Engine>, reports: Vec<Report>) -> Result<Vec<ReportAnswer>, EngineError> {
    let engine = engine.upgrade().ok_or(EngineError::ShuttingDown)?;
    let mut answers = vec![None; reports.len()];
    let reports = engine.in_time(engine.hear_reports(reports)).await?;
    let mut waiting: Vec<(usize, Report)> = reports.into_iter().enumerate().collect();
    while !waiting.is_empty() {
        let mut seen = HashSet::new();
        let (round, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, report)| seen.insert(report.lease));
        engine.in_time(engine.report_round(&round, &mut answers)).await?;
        waiting = rest;
    }
    answers
        .into_iter()
        .map(|answer| answer.ok_or_else(|| EngineError::Internal("a report has no answer".into())))
        .collect()
}
