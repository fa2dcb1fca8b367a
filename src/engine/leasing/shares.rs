//! The shares of campaigns, as one replica sees them: what each holds here and elsewhere, whose turn it is, and which slots
//! are left to a campaign whose dialers wait on other replicas. The rules are `domain::fair_share`'s.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    floor::{Floor, Planned},
    lane::Lane,
    messages::Moment,
};
use crate::{
    domain::{
        campaign::CampaignState,
        fair_share::{Bounded, Claim, owed, split},
        ids::CampaignKey,
    },
    store::sessions::Hand,
};

/// Others are taken to follow a change here by so many times as much at the most, until they tell what they hold.
const MIRROR_MAX: f64 = 10.0;

/// Who was refused for the engine's cap within so long is short of room: he tries every 100 ms or so.
const SHORT_FOR: Duration = Duration::from_millis(1_500);

/// A campaign's share, beside what this replica's ledger says.
#[derive(Debug, Default)]
pub(super) struct Share {
    /// Slots held too many lately, by all replicas.
    debt: f64,
    /// The other replicas together, as they told last.
    elsewhere: Hand,
    /// What this replica held then.
    then: f64,
    /// Its part of the engine's cap, while a campaign waits elsewhere.
    due: Option<f64>,
    /// When a lead here was last refused for the engine's cap.
    refused_at: Option<Instant>,
}

impl Share {
    /// A lead was refused for the engine's cap.
    pub(super) fn refused(&mut self, now: Moment) {
        self.refused_at = Some(now.mono);
    }

    /// Whether the engine's cap is what keeps leads here from their slots. Whoever does not take free slots, for whatever
    /// reason, is not refused, and so nobody leaves him any.
    fn is_short(&self, now: Moment) -> bool {
        self.refused_at.is_some_and(|at| now.mono.duration_since(at) < SHORT_FOR)
    }
}

/// A campaign that may get the next slot.
pub(super) struct Bid {
    pub(super) key: CampaignKey,
    /// It has a lead here. Else it waits on other replicas, and a slot can only be left to it.
    pub(super) here: bool,
    /// It waits on other replicas for room.
    pub(super) there: bool,
    pub(super) claim: Claim,
    /// Others wait elsewhere only, and it holds its part of the cap already: nothing is tried for it on a guess.
    pub(super) has_enough: bool,
}

/// Slots as a number to reckon with.
fn slots(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

impl Lane {
    /// Its leads on other replicas wait for room.
    pub(super) fn is_starved_elsewhere(&self) -> bool {
        self.share.elsewhere.starved
    }

    fn cap(&self) -> f64 {
        self.campaign.rules.max_concurrency.map_or(f64::INFINITY, f64::from)
    }
}

impl Floor {
    /// Slots of sessions here that take leads of a campaign.
    fn slots_for(&self, key: CampaignKey) -> usize {
        let takes = self.sessions.values().filter(|one| one.serves(key) && !one.draining && !one.moved);
        takes.map(|session| session.slots).sum()
    }

    /// What a campaign holds on all replicas. What others told is seconds old: those that have work for it are taken to have
    /// done since then as was done here, or all would give it the same slots and take them back together.
    fn held(&self, key: CampaignKey, lane: &Lane) -> f64 {
        let here = slots(self.ledger.of(key));
        let share = &lane.share;
        let follow = if share.elsewhere.working { (here - share.then) * self.mirror } else { 0.0 };
        here + (f64::from(share.elsewhere.held) + follow).max(0.0)
    }

    fn claim(&self, key: CampaignKey, lane: &Lane) -> Claim {
        let rules = &lane.campaign.rules;
        Claim {
            weight: rules.weight,
            minimum: rules.min_concurrency,
            promised: 0,
            held: self.held(key, lane),
            debt: lane.share.debt,
        }
    }

    /// Who may get the next slot, those with a lead here first, by turns.
    pub(super) fn bids(&self, lanes: &BTreeMap<CampaignKey, Lane>, planned: &[Planned], now: Moment) -> Vec<Bid> {
        let mut coming: HashMap<CampaignKey, usize> = HashMap::new();
        for one in planned {
            *coming.entry(one.item.campaign).or_default() += 1;
        }
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for (key, lane) in lanes.iter().filter(|(_, lane)| lane.campaign.state == CampaignState::Running) {
            let elsewhere = &lane.share.elsewhere;
            let waits = elsewhere.starved;
            let mut claim = self.claim(*key, lane);
            claim.held += slots(coming.get(key).copied().unwrap_or(0));
            let has_enough = lane.share.due.is_some_and(|due| claim.held >= due);
            if lane.is_open(now.wall) && !lane.buffer.is_empty() {
                here.push(Bid { key: *key, here: true, there: waits, claim, has_enough });
            } else if waits {
                claim.promised = usize::try_from(elsewhere.promised).unwrap_or(0);
                there.push(Bid { key: *key, here: false, there: true, claim, has_enough });
            }
        }
        here.iter_mut().for_each(|bid| bid.has_enough &= !there.is_empty());
        for bids in [&mut here, &mut there].into_iter().filter(|bids| !bids.is_empty()) {
            let turn = self.rotation % bids.len();
            bids.rotate_left(turn);
        }
        here.append(&mut there);
        here
    }

    /// Takes in what other replicas hold and want.
    pub fn hands(&mut self, hands: Vec<Hand>) {
        let there: f64 = hands.iter().map(|hand| f64::from(hand.held)).sum();
        self.mirror = (there / slots(self.ledger.len()).max(1.0)).min(MIRROR_MAX);
        let mut hands: HashMap<CampaignKey, Hand> = hands.into_iter().map(|hand| (hand.campaign, hand)).collect();
        for (key, lane) in &mut self.lanes {
            let elsewhere = hands.remove(key).unwrap_or_default();
            let share = &mut lane.share;
            share.then = slots(self.ledger.of(*key));
            share.elsewhere = elsewhere;
        }
    }

    /// What this replica holds and wants, for the others.
    pub fn hand(&self, now: Moment) -> Vec<Hand> {
        let hand = |(key, lane): (&CampaignKey, &Lane)| {
            let held = i32::try_from(self.ledger.of(*key)).unwrap_or(i32::MAX);
            let working = lane.has_work() && self.slots_for(*key) > 0;
            // Leads on their way may only try whether there is room.
            let taker = self
                .sessions
                .values()
                .any(|one| one.serves(*key) && (one.free(self.served, 0) > 0 || !one.pending.is_empty()));
            let promised = lane.promises.keys().filter(|(at, _)| *at <= now.wall).count();
            let waits = promised > 0 || lane.planned > 0 || !lane.buffer.is_empty();
            let starved = waits && taker && lane.is_open(now.wall) && lane.share.is_short(now);
            let promised = if starved { i32::try_from(promised).unwrap_or(i32::MAX) } else { 0 };
            Hand { campaign: *key, held, working, starved, promised }
        };
        self.lanes.iter().map(hand).filter(|hand| hand.held > 0 || hand.working || hand.starved).collect()
    }

    /// Reckons what each campaign has held too much or too little in the time that passed. One without work owes nothing and
    /// saves nothing up.
    pub(super) fn account(&mut self, seconds: f64) {
        self.calls.note(slots(self.ledger.len()), std::mem::take(&mut self.ended), seconds);
        let mut all = Vec::with_capacity(self.lanes.len());
        let mut working = Vec::with_capacity(self.lanes.len());
        for (key, lane) in &self.lanes {
            let claim = self.claim(*key, lane);
            let (mine, elsewhere) = (self.slots_for(*key), &lane.share.elsewhere);
            let here = lane.has_work() && mine > 0;
            let most = match (here, elsewhere.working) {
                (true, true) => slots(mine + self.slots_elsewhere),
                (true, false) => slots(mine) + f64::from(elsewhere.held),
                (false, true) => slots(self.ledger.of(*key) + self.slots_elsewhere),
                (false, false) => claim.held,
            };
            all.push(Bounded { claim, most: most.min(lane.cap()) });
            working.push(here || elsewhere.working);
        }
        let fair = split(all.iter().map(|one| one.claim.held).sum(), &all);
        let contended = self.lanes.values().any(|lane| lane.share.elsewhere.starved);
        let due = contended.then(|| split(f64::from(self.settings.max_concurrency), &all));
        for (index, lane) in self.lanes.values_mut().enumerate() {
            lane.share.due = due.as_ref().map(|due| due[index]);
        }
        let call = self.calls.seconds();
        for (((lane, works), one), fair) in self.lanes.values_mut().zip(working).zip(&all).zip(fair) {
            lane.share.debt = if works { owed(one.claim.debt, one.claim.held, fair, seconds, call) } else { 0.0 };
        }
    }
}
