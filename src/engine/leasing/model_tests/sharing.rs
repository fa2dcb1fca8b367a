//! Several floors under one cap, in simulated time: calls last as long as their campaign says, the database answers at once,
//! and replicas tell each other each second what they hold and want.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use super::database::campaign;
use crate::{
    domain::{
        ids::{CampaignKey, LeadId, LeaseId, ZoneId},
        lead::Facts,
        settings::SchedulerSettings,
    },
    engine::leasing::{
        door::Opening,
        floor::{Floor, Planned},
        lane::{Lane, ZoneBook},
        messages::{Effect, Message, Moment},
    },
    store::{
        leases::GrantVerdict,
        queue::{QueuedLead, Refill, RefillAsk},
        sessions::Hand,
    },
};

const STEP: u64 = 10;

/// A campaign: its rules, how long its calls last in milliseconds, how many leads it has.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) weight: i32,
    pub(super) minimum: i32,
    pub(super) call: u64,
    pub(super) leads: usize,
}

/// As many leads as it takes.
pub(super) const MANY: usize = usize::MAX / 2;

pub(super) fn plan(weight: i32, call: u64) -> Plan {
    Plan { weight, minimum: 0, call, leads: MANY }
}

pub(super) struct Sharing {
    pub(super) cap: usize,
    pub(super) plans: Vec<Plan>,
    pub(super) floors: Vec<Floor>,
    /// What each has told, and when it tells next.
    told: Vec<(Vec<Hand>, u64)>,
    /// Calls by their ends: the lease, its floor, its campaign.
    calls: BinaryHeap<Reverse<(u64, LeaseId, usize, CampaignKey)>>,
    /// All numbers of this campaign are on live leases elsewhere.
    pub(super) busy: Option<CampaignKey>,
    /// Calls last up to so many percent longer than their campaign says.
    pub(super) spread: u64,
    walk: u64,
    pub(super) live: BTreeMap<CampaignKey, usize>,
    /// Promises that were leased.
    pub(super) kept: usize,
    pub(super) ready_max: usize,
    millis: u64,
    started: Instant,
    next_id: u128,
}

impl Sharing {
    /// `dialers`: per replica its sessions, with their campaigns (none: all) and slots.
    pub(super) fn new(cap: usize, plans: &[Plan], dialers: &[&[(&[CampaignKey], usize)]]) -> Sharing {
        let settings = SchedulerSettings {
            max_concurrency: i32::try_from(cap).expect("a cap"),
            session_ttl: Duration::from_secs(3600),
            ..SchedulerSettings::default()
        };
        let mut sharing = Sharing {
            cap,
            plans: plans.to_vec(),
            floors: dialers.iter().map(|_| Floor::new(settings.clone())).collect(),
            told: (0..dialers.len() as u64).map(|floor| (Vec::new(), 370 * floor)).collect(),
            calls: BinaryHeap::new(),
            busy: None,
            spread: 0,
            walk: 0,
            live: BTreeMap::new(),
            kept: 0,
            ready_max: 0,
            millis: 0,
            started: Instant::now(),
            next_id: 0,
        };
        for (floor, sessions) in dialers.iter().enumerate() {
            plans.iter().enumerate().for_each(|(index, plan)| sharing.lane(floor, index, plan));
            sessions.iter().for_each(|(campaigns, slots)| sharing.open(floor, campaigns, *slots));
        }
        let slots: Vec<usize> = dialers.iter().map(|of| of.iter().map(|(_, slots)| slots).sum()).collect();
        for (floor, mine) in slots.iter().enumerate() {
            sharing.floors[floor].slots_elsewhere = slots.iter().sum::<usize>() - mine;
        }
        sharing
    }

    fn lane(&mut self, floor: usize, index: usize, plan: &Plan) {
        let mut row = campaign(CampaignKey::try_from(index).expect("few campaigns"));
        row.rules.weight = plan.weight;
        row.rules.min_concurrency = plan.minimum;
        let none: [(ZoneId, String); 0] = [];
        let lane = Lane::new(Arc::new(row), Arc::new(ZoneBook::new(&none)));
        self.floors[floor].lanes().insert(lane.campaign.key, lane);
    }

    fn open(&mut self, floor: usize, campaigns: &[CampaignKey], slots: usize) {
        let (session, now) = (self.id(), self.now());
        let campaigns = (!campaigns.is_empty()).then(|| campaigns.iter().copied().collect());
        let opening = Opening { session, stream: 1, campaigns, slots, own: Vec::new(), held: Vec::new() };
        self.floors[floor].open(opening, now);
    }

    fn id(&mut self) -> Uuid {
        self.next_id += 1;
        Uuid::from_u128(self.next_id)
    }

    pub(super) fn now(&self) -> Moment {
        let wall: DateTime<Utc> = DateTime::from_timestamp(12 * 3600, 0).expect("noon");
        let passed = Duration::from_millis(self.millis);
        Moment { mono: self.started + passed, wall: wall + TimeDelta::from_std(passed).expect("short") }
    }

    pub(super) fn lead(&mut self, campaign: CampaignKey, promised: Option<DateTime<Utc>>) -> QueuedLead {
        QueuedLead {
            campaign,
            lead: self.id(),
            number: i64::try_from(self.next_id).expect("few leads"),
            rank: 500,
            zone: 0,
            attempts: 0,
            epoch: 0,
            attempts_total: 0,
            version: 0,
            facts: Facts { callback_at: promised, ..Facts::default() },
            promised,
            external_id: None,
            variables: BTreeMap::new(),
            place: 0,
        }
    }

    /// So many promises of a campaign are due now; every replica reads them.
    pub(super) fn promise(&mut self, campaign: CampaignKey, leads: usize) {
        let at = self.now().wall;
        for _ in 0..leads {
            let lead = self.lead(campaign, Some(at));
            for floor in &mut self.floors {
                let lane = floor.lanes().get_mut(&campaign).expect("a lane");
                lane.promises.insert((at, lead.lead), lead.clone());
            }
        }
    }

    /// A campaign has more leads.
    pub(super) fn add(&mut self, campaign: usize, leads: usize) {
        self.plans[campaign].leads += leads;
        let key = CampaignKey::try_from(campaign).expect("few campaigns");
        self.floors.iter_mut().for_each(|floor| floor.lanes().get_mut(&key).expect("a lane").wake());
    }

    fn step(&mut self) {
        self.millis += STEP;
        let now = self.now();
        while self.calls.peek().is_some_and(|call| call.0.0 <= self.millis) {
            let Reverse((_, lease, floor, key)) = self.calls.pop().expect("a call");
            *self.live.get_mut(&key).expect("it was live") -= 1;
            let effects = self.floors[floor].ended(&[lease], None);
            assert!(effects.is_empty());
        }
        for floor in 0..self.floors.len() {
            if self.millis >= self.told[floor].1 {
                self.presence(floor);
            }
            // Replicas do not march in step.
            if (self.millis + 30 * floor as u64).is_multiple_of(100) {
                self.floors[floor].probe_caps();
                let effects = self.floors[floor].tick(now, true);
                self.apply(floor, effects);
            }
            self.proceed(floor);
        }
        let ready = self.floors.iter_mut().flat_map(|floor| floor.lanes().values().map(|lane| lane.buffer.len()));
        self.ready_max = self.ready_max.max(ready.collect::<Vec<_>>().iter().sum());
    }

    /// The replica keeper's turn.
    fn presence(&mut self, floor: usize) {
        if self.floors.len() < 2 {
            return;
        }
        let mut others: HashMap<CampaignKey, Hand> = HashMap::new();
        for (of, (hands, _)) in self.told.iter().enumerate() {
            for hand in hands.iter().filter(|_| of != floor) {
                let sum = others.entry(hand.campaign).or_insert(Hand { campaign: hand.campaign, ..Hand::default() });
                sum.held += hand.held;
                sum.working |= hand.working;
                sum.starved |= hand.starved;
                sum.promised += hand.promised;
            }
        }
        self.floors[floor].hands(others.into_values().collect());
        let now = self.now();
        self.told[floor] = (self.floors[floor].hand(now), self.millis + 900 + (self.millis / 10 % 20) * 10);
    }

    fn proceed(&mut self, floor: usize) {
        loop {
            let now = self.now();
            let refills = self.floors[floor].refills(now);
            self.apply(floor, refills);
            let (planned, effects) = self.floors[floor].plan(now);
            self.apply(floor, effects);
            if planned.is_empty() {
                return;
            }
            let leases: Vec<_> = planned
                .iter()
                .map(|Planned { item, .. }| (item.campaign, item.lease, item.promised.map(|_| item.lead)))
                .collect();
            let verdicts = self.grant(&leases, floor);
            let effects = self.floors[floor].granted(planned, &verdicts, now);
            self.apply(floor, effects);
        }
    }

    /// Leases with their campaigns, and the leads of promises among them.
    fn grant(&mut self, leases: &[(CampaignKey, LeaseId, Option<LeadId>)], floor: usize) -> Vec<GrantVerdict> {
        let mut verdicts = Vec::new();
        for (campaign, lease, promised) in leases.iter().copied() {
            if self.busy == Some(campaign) {
                verdicts.push(GrantVerdict::NumberBusy);
                continue;
            }
            if self.live.values().sum::<usize>() >= self.cap {
                verdicts.push(GrantVerdict::EngineCap);
                continue;
            }
            let call = self.plans[usize::try_from(campaign).expect("a campaign")].call;
            // Spread by a walk that comes everywhere.
            self.walk = (self.walk + 618) % 1000;
            let call = call + call * self.spread * self.walk / 100_000;
            *self.live.entry(campaign).or_default() += 1;
            self.calls.push(Reverse((self.millis + call, lease, floor, campaign)));
            if let Some(lead) = promised {
                self.kept += 1;
                self.floors.iter_mut().for_each(|floor| {
                    floor.lanes().values_mut().for_each(|lane| lane.promises.retain(|key, _| key.1 != lead));
                });
            }
            verdicts.push(GrantVerdict::Granted);
        }
        verdicts
    }

    fn refill(&mut self, floor: usize, ask: &RefillAsk) {
        let now = self.now();
        let index = usize::try_from(ask.campaign).expect("a campaign");
        let got = self.plans[index].leads.min(usize::try_from(ask.want).expect("a want"));
        self.plans[index].leads -= got;
        let mut ready: Vec<QueuedLead> = (0..got).map(|_| self.lead(ask.campaign, None)).collect();
        let scanned = i32::try_from(got).expect("few");
        let rest = ready.split_off(got.min(ask.slots.len()));
        let leases: Vec<_> = ask.slots.iter().take(ready.len()).map(|slot| (ask.campaign, slot.lease, None)).collect();
        let verdicts = self.grant(&leases, floor);
        let tried = ready.into_iter().zip(verdicts).collect();
        let effects =
            self.floors[floor].refilled(ask, Refill { tried, ready: rest, scanned, ..Refill::default() }, now);
        self.apply(floor, effects);
    }

    fn apply(&mut self, floor: usize, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Refill(ask) => self.refill(floor, &ask),
                Effect::Send(_, Message::Granted(leases)) => {
                    let leases: Vec<LeaseId> = leases.iter().map(|granted| granted.lease).collect();
                    self.floors[floor].received(&leases, true);
                }
                Effect::Send(_, Message::Throttled(..) | Message::HeartbeatAck(_)) => {}
                Effect::Park(parked) => assert!(parked.iter().all(|one| Some(one.campaign) == self.busy)),
                // Shares cut nobody off.
                _ => panic!("something is taken back"),
            }
        }
    }

    /// The mean number of slots that each campaign holds over so many seconds.
    pub(super) fn over(&mut self, seconds: u64) -> Vec<f64> {
        let steps = seconds * 1000 / STEP;
        let mut sums = vec![0.0; self.plans.len()];
        for _ in 0..steps {
            self.step();
            for (key, live) in &self.live {
                sums[usize::try_from(*key).expect("a campaign")] += *live as f64 / steps as f64;
            }
        }
        sums
    }
}
