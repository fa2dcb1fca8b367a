//! Drives the floor through random lives of dialers, replicas and databases, and holds it against a model of what the
//! protocol promises. The steps are always possible, so that a failing list of them shrinks to the few that matter.

mod boundary_tests;
mod database;
mod jobs;
mod promises;
mod share_tests;
mod sharing;
mod steps;
mod world;

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use self::{
    database::CAMPAIGNS,
    jobs::Job,
    steps::{DIALERS, Step, step},
    world::{TTL, World},
};
use super::{
    door::Opening,
    events::Event,
    messages::{Message, RevokeReason},
};
use crate::{
    domain::{
        campaign::CampaignState,
        ids::{LeaseId, SessionId, StreamNumber},
    },
    store::sessions::Hand,
};

fn session(who: u8) -> SessionId {
    Uuid::from_u128(1_000 + u128::from(who))
}

/// `PROPTEST_CASES`, or some that take a few seconds.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_000)
}

/// One of so many.
fn one_of(len: usize, choice: u8) -> Option<usize> {
    (len > 0).then(|| usize::from(choice) % len)
}

/// The world and its dialers.
struct Play {
    world: World,
    /// What each dialer knows to hold.
    known: BTreeMap<SessionId, Vec<LeaseId>>,
}

impl Play {
    fn new() -> Play {
        Play { world: World::new(), known: (0..DIALERS).map(|who| (session(who), Vec::new())).collect() }
    }

    fn steps(&mut self, steps: &[Step]) {
        steps.iter().for_each(|step| self.step(*step));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Sleep { millis } => self.world.pass(Duration::from_millis(millis.into())),
            Step::Ticks { times, millis, serving } => self.ticks(times, Duration::from_millis(millis.into()), serving),
            Step::Run { job, fault } => {
                if let Some(at) = one_of(self.world.jobs.len(), job) {
                    self.world.run(at, fault);
                }
            }
            Step::RunAll => self.run_all(),
            Step::Lose { job } => self.lose(job),
            Step::Open { .. }
            | Step::Slots { .. }
            | Step::Talk { .. }
            | Step::Read { .. }
            | Step::Confirm { .. }
            | Step::Heartbeat { .. }
            | Step::Drain { .. }
            | Step::Cut { .. }
            | Step::Begin { .. }
            | Step::Finish { .. } => self.dialer(step),
            _ => self.elsewhere(step),
        }
        self.world.proceed();
    }

    fn dialer(&mut self, step: Step) {
        match step {
            Step::Open { who, slots, named, here } => self.open(who, slots, named, here),
            Step::Slots { who, slots } => self.world.take(Event::Slots(session(who), self.stream(who), slots.into())),
            Step::Talk { who } => {
                self.read(who);
                let known = self.known[&session(who)].clone();
                self.world.take(Event::Received(session(who), self.stream(who), known));
                self.world.take(Event::Heartbeat(session(who), self.stream(who)));
            }
            Step::Read { who } => self.read(who),
            Step::Confirm { who, which } => {
                let lease = self.lease(who, which);
                self.world.take(Event::Received(session(who), self.stream(who), lease.into_iter().collect()));
            }
            Step::Heartbeat { who } => self.world.take(Event::Heartbeat(session(who), self.stream(who))),
            Step::Drain { who } => self.world.take(Event::Drain(session(who), self.stream(who))),
            Step::Cut { who } => {
                if let Some(stream) = self.world.floor.stream_of(session(who)) {
                    self.world.tell(Event::Closed(session(who), stream));
                }
            }
            Step::Begin { who, which } => {
                if let Some(lease) = self.lease(who, which) {
                    self.world.ask(Job::Begin(session(who), vec![lease]));
                    self.world.tell(Event::Heard(session(who)));
                }
            }
            Step::Finish { who, which } => {
                if let Some(lease) = self.lease(who, which) {
                    self.known.get_mut(&session(who)).expect("a dialer").retain(|one| *one != lease);
                    self.world.db.end(lease);
                    self.world.tell(Event::Ended(vec![lease], None));
                }
            }
            _ => {}
        }
    }

    fn elsewhere(&mut self, step: Step) {
        let key = |campaign: u8| CAMPAIGNS[usize::from(campaign) % CAMPAIGNS.len()];
        match step {
            Step::Revoke { which } => {
                if let Some(at) = one_of(self.world.db.leases.len(), which) {
                    let lease = *self.world.db.leases.keys().nth(at).expect("a lease");
                    self.world.db.end(lease);
                    self.world.tell(Event::Ended(vec![lease], Some(RevokeReason::ByOperator)));
                }
            }
            Step::Pause { campaign } => self.change(key(campaign), |row| row.state = CampaignState::Paused),
            Step::Resume { campaign } => self.change(key(campaign), |row| row.state = CampaignState::Running),
            Step::NewRules { campaign } => self.change(key(campaign), |row| row.rules_version += 1),
            Step::Caps { engine, campaign } => {
                self.world.db.engine_cap = engine.into();
                let cap = (campaign < 6).then_some(i32::from(campaign));
                self.change(CAMPAIGNS[0], |row| row.rules.max_concurrency = cap);
                self.world.ask(Job::Survey);
            }
            Step::Probe => self.world.floor.probe_caps(),
            Step::Promise { campaign, seconds } => {
                let at = self.world.now.wall + TimeDelta::seconds(seconds.into());
                self.world.db.promise(key(campaign), at);
                self.world.ask(Job::Peek(key(campaign)));
            }
            Step::Sweep => {
                let overdue = self.world.db.overdue(false);
                self.world.ask(Job::Release(overdue, Some(RevokeReason::NotBegun)));
            }
            Step::Reconcile => self.reconcile(),
            Step::Others { held, starved, promised } => self.others(held, starved, promised.into()),
            Step::Share { campaign, weight, minimum } => self.change(key(campaign), |row| {
                row.rules.weight = weight.into();
                row.rules.min_concurrency = minimum.into();
                row.rules_version += 1;
            }),
            Step::Fence => {
                self.world.db.fence();
                self.world.tell(Event::Fenced);
                self.world.ask(Job::Survey);
            }
            Step::Leave => self.world.take(Event::Leave(Duration::from_secs(10))),
            _ => {}
        }
    }

    /// `starved`: which campaigns wait elsewhere, by their bits.
    fn others(&mut self, held: u8, starved: u8, promised: i32) {
        let hand = |(bit, campaign): (usize, i32)| {
            let starved = starved >> bit & 1 == 1;
            let promised = if starved { promised } else { 0 };
            Hand { campaign, held: held.into(), working: starved, starved, promised }
        };
        self.world.others_wait = starved != 0;
        self.world.floor.hands(CAMPAIGNS.into_iter().enumerate().map(hand).collect());
    }

    fn open(&mut self, who: u8, slots: u8, named: u8, here: bool) {
        let known = self.known[&session(who)].iter().enumerate();
        let mut held: Vec<LeaseId> =
            known.filter(|(at, _)| named >> (at % 8) & 1 == 1).map(|(_, lease)| *lease).collect();
        if named.is_multiple_of(5) {
            held.extend(self.world.db.leases.keys().next().filter(|lease| !held.contains(lease)).copied());
        }
        self.known.insert(session(who), held.clone());
        let slots = slots.into();
        let opening = Opening { session: session(who), stream: 0, campaigns: None, slots, own: Vec::new(), held };
        self.world.ask(Job::OpenRow(opening, here));
    }

    fn read(&mut self, who: u8) {
        let Some((_, outbox)) = self.world.outboxes.get_mut(&session(who)) else { return };
        let known = self.known.get_mut(&session(who)).expect("a dialer");
        for message in outbox.drain(..) {
            match message {
                Message::Opened { held, .. } => known.retain(|one| !held.contains(&(*one, false))),
                Message::Granted(leases) => known.extend(leases.iter().map(|granted| granted.lease)),
                Message::Revoked(leases, _) => known.retain(|one| !leases.contains(one)),
                Message::Throttled(..) | Message::HeartbeatAck(_) | Message::GoAway(..) => {}
            }
        }
    }

    /// The stream by which a dialer speaks: its newest here. What older ones say is dropped before the floor.
    fn stream(&self, who: u8) -> StreamNumber {
        self.world.floor.stream_of(session(who)).unwrap_or(0)
    }

    fn lease(&self, who: u8, which: u8) -> Option<LeaseId> {
        let known = &self.known[&session(who)];
        one_of(known.len(), which).map(|at| known[at])
    }

    fn change(&mut self, key: i32, change: impl FnOnce(&mut crate::store::campaigns::CampaignRow)) {
        let revoked = self.world.db.change(key, change);
        self.world.tell(Event::Ended(revoked, Some(RevokeReason::CampaignChanged)));
        self.world.ask(Job::Reload(key));
    }

    fn reconcile(&mut self) {
        let mut leases = self.world.floor.leases();
        leases.sort_unstable();
        self.world.ask(Job::FindEnded(leases));
        self.world.find_lost();
    }

    /// Signals may be lost; what the process tells itself is not.
    fn lose(&mut self, job: u8) {
        let Some(at) = one_of(self.world.jobs.len(), job) else { return };
        let news = matches!(
            self.world.jobs[at],
            Job::News(
                Event::TakenOver(..)
                    | Event::StreamLost(..)
                    | Event::Ended(..)
                    | Event::EndedElsewhere(..)
                    | Event::Begun(_)
            )
        );
        if news {
            self.world.jobs.remove(at);
        }
    }

    fn ticks(&mut self, times: u8, every: Duration, serving: bool) {
        for _ in 0..times {
            self.world.pass(every);
            self.world.tick(serving);
            self.world.proceed();
        }
    }

    fn run_all(&mut self) {
        while !self.world.jobs.is_empty() {
            self.world.run(0, 0);
            self.world.check();
        }
    }

    /// Everything is answered, nothing new is planned: the floor and the database must agree. Then nobody says anything
    /// any more, and nobody is left.
    fn end(&mut self) {
        self.run_all();
        for late in [false, self.world.lossy] {
            if late {
                let (open, _) = self.world.floor.slots();
                self.world.db.close_all_but(&open);
            }
            let overdue = self.world.db.overdue(late);
            self.world.ask(Job::Release(overdue, Some(RevokeReason::NotBegun)));
            self.run_all();
            self.reconcile();
            self.run_all();
        }
        let World { db, model, floor, .. } = &self.world;
        for (id, open) in &model.open {
            assert!(db.has(*id, open.stream), "open here, and not in the database");
            // A permit whose news is lost is not known of; it counts all the same.
            let live = db.leases.iter().filter(|(_, live)| live.session == *id).map(|(lease, _)| *lease).collect();
            model.settled(floor, *id, &live);
        }
        for live in db.leases.values().filter(|live| !live.begun) {
            let away = db.rows.get(&live.session).is_some_and(|row| !row.here && !row.closed);
            assert!(away || model.open.contains_key(&live.session), "a lease without a permit that nobody holds");
        }
        for who in 0..DIALERS {
            self.read(who);
            self.world.take(Event::Heartbeat(session(who), self.stream(who)));
        }
        for _ in 0..(TTL.as_millis() / 250 + 4) {
            self.world.pass(Duration::from_millis(250));
            self.world.tick(true);
        }
        assert!(self.world.model.open.is_empty());
    }
}

proptest! {
    // What fails is told as steps; what it shows is kept as a test with a name.
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn the_floor_keeps_what_the_protocol_promises(steps in prop::collection::vec(step(), 1..=200)) {
        let mut play = Play::new();
        play.steps(&steps);
        play.end();
    }

    #[test]
    fn it_keeps_that_where_leads_are_leased_as_they_are_found(steps in prop::collection::vec(step(), 1..=200)) {
        let mut play = Play::new();
        play.world.floor.hurry_from = 1;
        // Only where one campaign has leads.
        play.step(Step::Pause { campaign: 1 });
        play.steps(&[Step::RunAll, Step::RunAll]);
        play.steps(&steps);
        play.end();
    }
}
