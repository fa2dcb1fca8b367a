//! Random histories over two campaigns that share numbers, and two engines: every permit against the model, and nobody who may be
//! called is kept waiting. A failure prints its seed; `DIALPLANE_SEED` plays one seed, `DIALPLANE_STEPS` sets how long.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::pb::{self, LeadState, Outcome, WaitingReason};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};

use super::{
    eager, hold,
    model::{Call, Rules, first_allowed},
};
use crate::support::{Replica, World, asks::instant, dialer::Dialer, eventually, lead, timestamp};

const NUMBERS: usize = 8;
/// Longer than a lead stays out when its number is on a live lease elsewhere.
const BUSY: Duration = Duration::from_secs(11);
const MAX_DURATION: i64 = 60;

const OUTCOMES: [(Outcome, u32); 8] = [
    (Outcome::NoAnswer, 30),
    (Outcome::Busy, 12),
    (Outcome::Voicemail, 10),
    (Outcome::Abandoned, 12),
    (Outcome::Failed, 8),
    (Outcome::NotPlaced, 16),
    (Outcome::CallbackRequested, 10),
    (Outcome::IntentNo, 1),
];

struct Lead {
    campaign: usize,
    id: String,
    number: String,
}

/// What is known of a call, and of whose it was.
#[derive(Clone)]
struct Known {
    lease: String,
    lead: String,
    call: Call,
}

struct Life {
    world: World,
    other: Replica,
    campaigns: Vec<String>,
    leads: Vec<Lead>,
    /// Rules of the engine and of either campaign.
    engine: Rules,
    own: [Rules; 2],
    /// Calls by number.
    calls: HashMap<String, Vec<Known>>,
    rng: StdRng,
    counted: Counted,
}

/// What a life consisted of.
#[derive(Debug, Default)]
struct Counted {
    permits: usize,
    refused: usize,
    held: usize,
    corrected: usize,
}

fn some_rules(rng: &mut StdRng) -> Rules {
    let mut of = vec![Outcome::Abandoned, Outcome::Busy, Outcome::Unknown];
    of.retain(|_| rng.random_bool(0.4));
    let hours = |rng: &mut StdRng, to: i64| TimeDelta::seconds(rng.random_range(60..to * 3600));
    Rules {
        caps: (0..rng.random_range(0..3)).map(|_| (rng.random_range(1..5), hours(rng, 100))).collect(),
        gap: rng.random_bool(0.6).then(|| hours(rng, 6)),
        after_conversation: rng.random_bool(0.6).then(|| hours(rng, 100)),
        cool_downs: of.into_iter().map(|outcome| (outcome, hours(rng, 72))).collect(),
    }
}

impl Life {
    async fn begin(seed: u64) -> Life {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut world = World::start().await;
        let other = world.another_engine().await;
        let engine = some_rules(&mut rng);
        let own = [Rules::default(), some_rules(&mut rng)];
        hold(&mut world, &engine).await;
        let (mut campaigns, mut leads) = (Vec::new(), Vec::new());
        for (campaign, own) in own.iter().enumerate() {
            let rules = pb::CampaignRules { number_rules: Some(own.wire()), ..eager() };
            let id = world.campaign(rules).await;
            let new: Vec<pb::NewLead> = (0..NUMBERS).map(lead).collect();
            let numbers: Vec<String> = new.iter().map(|lead| lead.number.clone()).collect();
            let ids = world.add(&id, new).await;
            leads.extend(ids.into_iter().zip(numbers).map(|(id, number)| Lead { campaign, id, number }));
            campaigns.push(id);
        }
        let (calls, counted) = (HashMap::new(), Counted::default());
        Life { world, other, campaigns, leads, engine, own, calls, rng, counted }
    }

    fn calls_to(&self, number: &str) -> Vec<Call> {
        self.calls.get(number).map(|calls| calls.iter().map(|known| known.call).collect()).unwrap_or_default()
    }

    fn known(&mut self, number: &str, lease: &str) -> &mut Call {
        let calls = self.calls.get_mut(number).unwrap();
        &mut calls.iter_mut().find(|known| known.lease == lease).unwrap().call
    }

    fn first(&self, campaign: usize, number: &str, now: DateTime<Utc>) -> DateTime<Utc> {
        first_allowed(&[&self.engine, &self.own[campaign]], &self.calls_to(number), now)
    }

    async fn read(&self, lead: &Lead) -> pb::Lead {
        let request =
            pb::GetLeadRequest { campaign_id: self.campaigns[lead.campaign].clone(), lead_id: lead.id.clone() };
        self.world.campaigns.clone().get_lead(request).await.unwrap().into_inner().lead.unwrap()
    }

    /// Whether a lead is where it must be: on a lease when it may be called, and else waiting for no longer than the rules
    /// want. `Err`: not yet.
    async fn settled(&self, lead: &Lead, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, String> {
        let seen = self.read(lead).await;
        let state = seen.state();
        let until = seen.not_before.map(instant);
        let wrong = |what: &str| {
            let (id, reason, returned) = (&lead.id, seen.waiting_reason(), seen.returned_in_a_row);
            Err(format!("{what}: at {now} {id} is {state:?}, {reason:?} until {until:?}, came back {returned} times"))
        };
        if matches!(state, LeadState::IntentNo | LeadState::IntentYes | LeadState::DialingIntent) {
            return Ok(None);
        }
        if seen.waiting_reason() == WaitingReason::NumberRule {
            let first = self.first(lead.campaign, &lead.number, now);
            return match until {
                Some(until) if until > first => wrong(&format!("kept waiting past {first}")),
                Some(until) if until > now => Ok(Some(until)),
                _ => wrong("it should have been looked at again"),
            };
        }
        let promise = seen.callback_at.map(instant).filter(|at| state == LeadState::Scheduled && *at > now);
        if promise.is_some() && promise == until {
            return Ok(promise);
        }
        // Leases that nobody asked a permit for in time.
        if seen.waiting_reason() == WaitingReason::BackOff && seen.returned_in_a_row >= 5 {
            return Ok(until);
        }
        // Somebody else's call of the number: it looks again after ten seconds.
        let busy = seen.waiting_reason() == WaitingReason::NumberBusy && until.is_some_and(|until| until > now);
        let twin = self.leads.iter().find(|twin| twin.number == lead.number && twin.id != lead.id).unwrap();
        match self.read(twin).await.state() {
            LeadState::DialingIntent if busy => Ok(None),
            other => wrong(&format!("it waits, its twin is {other:?}")),
        }
    }

    /// Waits until every lead is where it must be; answers the first instant at which one of them looks again.
    async fn quiet(&self) -> Option<DateTime<Utc>> {
        let last = std::sync::Mutex::new(String::new());
        let look = eventually("every lead is where the rules want it", || async {
            let now = self.world.now().await;
            let mut next: Option<DateTime<Utc>> = None;
            for lead in &self.leads {
                match self.settled(lead, now).await {
                    Ok(until) => next = [next, until].into_iter().flatten().min(),
                    Err(why) => {
                        *last.lock().unwrap() = why;
                        return None;
                    }
                }
            }
            Some(next)
        });
        match futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(look)).await {
            Ok(next) => next,
            Err(_) => panic!("{}; {:#?} {:#?}", last.lock().unwrap(), self.engine, self.own),
        }
    }

    /// The leases that sessions hold without a permit, with their dialers.
    async fn granted(&mut self, dialers: &mut [Dialer]) -> Vec<(usize, pb::Lease)> {
        let mut granted = Vec::new();
        for (nth, dialer) in dialers.iter_mut().enumerate() {
            let request = pb::ListLeasesRequest { session_id: dialer.session_id.clone(), ..Default::default() };
            let listed = self.world.scheduler.list_leases(request).await.unwrap().into_inner().leases;
            let mut fresh: Vec<String> =
                listed.into_iter().filter(|lease| lease.begun_at.is_none()).map(|lease| lease.lease_id).collect();
            while !fresh.is_empty() {
                let lease = dialer.lease().await;
                if fresh.contains(&lease.lease_id) {
                    fresh.retain(|id| *id != lease.lease_id);
                    granted.push((nth, lease));
                }
            }
        }
        granted
    }

    /// Something else is found out about an earlier call.
    async fn correct(&mut self, number: &str, not_of: Option<&str>) {
        let known = self.calls.get(number).cloned().unwrap_or_default();
        let ours = |known: &&Known| {
            let corrigible = [Outcome::Unknown, Outcome::NotPlaced, Outcome::NoAnswer, Outcome::Busy];
            Some(known.lead.as_str()) != not_of && known.call.outcome.is_some_and(|o| corrigible.contains(&o))
        };
        let known: Vec<&Known> = known.iter().filter(ours).collect();
        let Some(Known { lease, call, .. }) = known.choose(&mut self.rng).copied().cloned() else { return };
        let attempt = self.world.attempt(&lease).await.unwrap();
        let outcome = *[Outcome::CallbackRequested, Outcome::NotPlaced, Outcome::NoAnswer, Outcome::Abandoned]
            .choose(&mut self.rng)
            .unwrap();
        let happened_at = call.begun_at + TimeDelta::milliseconds(1);
        let callback_at =
            timestamp(happened_at + TimeDelta::hours(3)).filter(|_| outcome == Outcome::CallbackRequested);
        let report = pb::OutcomeReport {
            lease_id: lease.clone(),
            outcome: outcome.into(),
            occurred_at: timestamp(happened_at),
            callback_at,
            ..Default::default()
        };
        let request = pb::ReportOutcomesRequest { reports: vec![report] };
        let verdict =
            self.world.scheduler.report_outcomes(request).await.unwrap().into_inner().results.remove(0).verdict();
        if matches!(verdict, pb::ReportVerdict::Late | pb::ReportVerdict::Superseded) {
            // It cannot have happened after the attempt was over.
            let happened_at = happened_at.min(instant(attempt.ended_at.unwrap()));
            *self.known(number, &lease) = Call { outcome: Some(outcome), happened_at, ..call };
            self.counted.corrected += 1;
        }
    }

    /// Asks for a permit, and compares the answer with the model.
    async fn call(&mut self, dialer: &mut Dialer, lease: &pb::Lease, seed: u64) {
        let campaign = self.campaigns.iter().position(|id| *id == lease.campaign_id).unwrap();
        if self.rng.random_bool(0.3) {
            self.correct(&lease.number, Some(&lease.lead_id)).await;
        }
        let before = self.world.now().await;
        let begun = dialer.begin(lease).await;
        let after = self.world.now().await;
        if begun.reason() == pb::RefusalReason::LeaseLost {
            // Granted before the time that has passed since: too late.
            return;
        }
        if begun.verdict() != pb::BeginVerdict::Permitted {
            assert_eq!(begun.reason(), pb::RefusalReason::NumberRule, "seed {seed}: {begun:?}");
            let first = self.first(campaign, &lease.number, before);
            assert!(first > before, "seed {seed}: refused, though it was allowed at {before}, {after}");
            self.counted.refused += 1;
            return;
        }
        let begun_at = instant(begun.begun_at.unwrap());
        let calls = self.calls_to(&lease.number);
        for rules in [&self.engine, &self.own[campaign]] {
            assert!(
                rules.allow(&calls, begun_at),
                "seed {seed}: permitted at {begun_at} against {rules:#?}: {calls:#?}"
            );
        }
        self.counted.permits += 1;
        let call = Call { begun_at, happened_at: begun_at, outcome: None };
        let known = Known { lease: lease.lease_id.clone(), lead: lease.lead_id.clone(), call };
        self.calls.entry(lease.number.clone()).or_default().push(known);
        if self.rng.random_bool(0.8) {
            self.report(dialer, lease).await;
        }
    }

    async fn report(&mut self, dialer: &mut Dialer, lease: &pb::Lease) {
        let outcome = OUTCOMES.choose_weighted(&mut self.rng, |(_, weight)| *weight).unwrap().0;
        let now = self.world.now().await;
        let callback_at = timestamp(now + TimeDelta::seconds(self.rng.random_range(20..30 * 3600)))
            .filter(|_| outcome == Outcome::CallbackRequested);
        let report = pb::OutcomeReport {
            lease_id: lease.lease_id.clone(),
            outcome: outcome.into(),
            occurred_at: timestamp(now),
            callback_at,
            ..Default::default()
        };
        let answer = dialer.report_all(report).await;
        assert_eq!(answer.verdict(), pb::ReportVerdict::Accepted);
        let call = self.known(&lease.number, &lease.lease_id);
        *call = Call { happened_at: now, outcome: Some(outcome), ..*call };
    }

    /// Silence has ended as UNKNOWN; when, the record says.
    async fn note_silence(&mut self) {
        let all = self.calls.iter().flat_map(|(number, calls)| calls.iter().map(move |known| (number, known)));
        let silent: Vec<(String, String)> = all
            .filter(|(_, known)| known.call.outcome.is_none())
            .map(|(number, known)| (number.clone(), known.lease.clone()))
            .collect();
        for (number, lease) in silent {
            let campaigns = self.world.campaigns.clone();
            let ended_at = eventually("silence ends", || {
                let request = pb::ListAttemptsRequest { lease_id: lease.clone(), ..Default::default() };
                let mut campaigns = campaigns.clone();
                async move {
                    let attempt = campaigns.list_attempts(request).await.unwrap().into_inner().attempts.pop().unwrap();
                    attempt.ended_at.filter(|_| attempt.outcome() == Outcome::Unknown).map(instant)
                }
            })
            .await;
            let call = self.known(&number, &lease);
            // No call lasts longer than a day, however late its end was noticed.
            let happened_at = ended_at.min(call.begun_at + TimeDelta::hours(24));
            *call = Call { happened_at, outcome: Some(Outcome::Unknown), ..*call };
        }
    }

    /// Operators do what they may: resets, other rules, what was found out.
    async fn operate(&mut self) {
        match self.rng.random_range(0..12) {
            0 => {
                let campaign = self.campaigns.choose(&mut self.rng).unwrap().clone();
                self.world.reset(&campaign).await;
            }
            1 => {
                self.engine = some_rules(&mut self.rng);
                hold(&mut self.world, &self.engine).await;
            }
            2 => {
                self.own[1] = some_rules(&mut self.rng);
                let rules = pb::CampaignRules { number_rules: Some(self.own[1].wire()), ..Default::default() };
                let campaign = self.campaigns[1].clone();
                self.world.change(&campaign, "rules.number_rules", rules).await;
            }
            3..7 => {
                let number = self.leads.choose(&mut self.rng).unwrap().number.clone();
                self.correct(&number, None).await;
            }
            _ => {}
        }
    }

    /// Lets time pass: till silence has ended, and often till the very instant at which somebody may be called.
    async fn wait(&mut self, next: Option<DateTime<Utc>>) {
        let past_silence = Duration::from_secs(MAX_DURATION as u64) + BUSY;
        let now = self.world.now().await;
        let to_next = next.map(|at| (at - now).to_std().unwrap_or_default()).unwrap_or_default();
        let by = match self.rng.random_range(0..4) {
            0 => Duration::from_secs(self.rng.random_range(0..20 * 3600)),
            _ => to_next,
        };
        self.world.advance(by.max(past_silence)).await;
        self.note_silence().await;
    }
}

async fn live(seed: u64, steps: usize) -> Counted {
    let mut life = Life::begin(seed).await;
    let mut dialers = [
        Dialer::open(life.world.scheduler.clone(), &[], 20).await,
        Dialer::open(life.other.scheduler.clone(), &[], 20).await,
    ];
    for _ in 0..steps {
        let next = life.quiet().await;
        life.counted.held += usize::from(next.is_some());
        for (nth, lease) in life.granted(&mut dialers).await {
            life.call(&mut dialers[nth], &lease, seed).await;
        }
        life.operate().await;
        life.wait(next).await;
    }
    life.world.check().await;
    drop(dialers);
    life.other.running.stop().await.unwrap();
    life.world.stop().await;
    life.counted
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_called_against_a_rule_and_nobody_who_may_be_is_kept_waiting() {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let steps = number("DIALPLANE_STEPS").unwrap_or(15) as usize;
    let seeds = number("DIALPLANE_SEED").map_or(1..4, |seed| seed..seed + 1);
    let lives = seeds.clone().map(|seed| async move {
        let counted = live(seed, steps).await;
        println!("seed {seed}: {counted:?}");
        counted
    });
    let lives = futures::future::join_all(lives).await;
    let sum = |of: fn(&Counted) -> usize| lives.iter().map(of).sum::<usize>();
    let (permits, held) = (sum(|one| one.permits), sum(|one| one.held));
    let steps = steps * lives.len();
    assert!(
        permits >= steps && held >= steps / 2,
        "{permits} permits, {held} steps in which somebody waited prove little"
    );
}
