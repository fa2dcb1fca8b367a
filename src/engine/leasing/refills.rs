//! What to ask the queue for: per lane leads for the slots that wait, or a small buffer that follows its dialers' slots, the caps,
//! and its share of them.

use super::{
    floor::{Floor, Planned},
    lane::Lane,
    messages::{Effect, Moment},
    plan::{GRANT_MAX, park},
};
use crate::{
    domain::{
        campaign::CampaignState,
        ids::{CampaignKey, next_id},
    },
    store::{
        leases::GrantVerdict,
        queue::{Refill, RefillAsk, Slot, waiting},
    },
};

/// What the sessions here would take of one campaign.
struct Appetite {
    key: CampaignKey,
    slots: usize,
    /// Free ones among them.
    free: usize,
}

impl Floor {
    /// This replica's part of the engine's cap, by its slots among all.
    fn cap_share(&self) -> usize {
        let mine: usize = self.sessions.values().map(|session| session.slots).sum();
        let cap = usize::try_from(self.settings.max_concurrency).unwrap_or(0);
        (cap * mine).div_ceil((mine + self.slots_elsewhere).max(1)).min(mine)
    }

    fn appetites(&self) -> Vec<Appetite> {
        let appetite = |key: &CampaignKey| {
            let takes = self.sessions.values().filter(|one| one.serves(*key) && !one.draining && !one.moved);
            let add = |(slots, free), session: &super::session::Session| {
                (slots + session.slots, free + session.free(self.served, 0))
            };
            let (slots, free) = takes.fold((0, 0), add);
            Appetite { key: *key, slots, free }
        };
        self.lanes.keys().map(appetite).collect()
    }

    /// The only campaign that slots here could go to: for it a lead needs no turn, and no place to wait for that.
    fn only_one(&self, appetites: &[Appetite], now: Moment) -> Option<CampaignKey> {
        let promised = |lane: &Lane| lane.more_promises || lane.promises.keys().any(|(at, _)| *at <= now.wall);
        if self.lanes.values().any(promised) {
            return None;
        }
        let bids = self
            .lanes
            .values()
            .zip(appetites)
            .filter(|(lane, takes)| (takes.slots > 0 && lane.has_work()) || lane.is_starved_elsewhere());
        let mut keys = bids.map(|(_, takes)| takes.key);
        keys.next().filter(|_| keys.next().is_none())
    }

    /// Which lanes to fill now, and buffers to send back because nobody wants them any more.
    pub fn refills(&mut self, now: Moment) -> Vec<Effect> {
        let factor = usize::try_from(self.settings.buffer_factor).unwrap_or(1);
        let step = usize::try_from(self.settings.batch_size).unwrap_or(1);
        let share = self.cap_share();
        let appetites = self.appetites();
        let only = self.only_one(&appetites, now);
        let number = |rule: i32| usize::try_from(rule).unwrap_or(0);
        let sharing = self.lanes.values().zip(&appetites).filter(|(lane, takes)| takes.slots > 0 && lane.has_work());
        let weights: usize = sharing
            .filter(|(lane, _)| lane.is_open(now.wall))
            .map(|(lane, _)| number(lane.campaign.rules.weight))
            .sum();
        let mut effects = Vec::new();
        for Appetite { key, slots, free } in appetites {
            let held = self.ledger.of(key);
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            if lane.more_promises && lane.promises.is_empty() {
                lane.more_promises = false;
                effects.push(Effect::Peek(key));
            }
            let rules = &lane.campaign.rules;
            let capped = share.min(rules.max_concurrency.map_or(usize::MAX, number));
            // By its weight; what it holds in fact, because others leave it theirs, grows with it.
            let fair = (share * number(rules.weight)).div_ceil(weights.max(1));
            let room = capped.min(fair.max(number(rules.min_concurrency)).max(held));
            let target = factor * slots.min(room);
            // Where a cap decides, leads on their way to a lease come back.
            let there = lane.buffer.len() + if slots > capped { lane.planned } else { 0 };
            if lane.campaign.state == CampaignState::Running && target > 0 {
                let most = lane.room.at_most(self.room.at_most(GRANT_MAX));
                let demand = if lane.is_open(now.wall) { free.min(target).min(most) } else { 0 };
                if only == Some(key) && lane.hurries(demand >= self.hurry_from, now.mono) {
                    effects.extend(self.lease_at_once(key, demand, now));
                } else if let Some((want, scan)) = lane.want(there, target, free.min(target), step, now.wall) {
                    effects.push(Effect::Refill(lane.ask(want, scan, Vec::new(), now.wall)));
                }
            } else if target == 0 && !lane.buffer.is_empty() {
                let leads = std::mem::take(&mut lane.buffer);
                let back = leads.values().map(|lead| park(lead, Some(now.wall), waiting::BACK_OFF)).collect();
                effects.push(Effect::Park(back));
            }
        }
        effects
    }

    /// Asks for leads for slots that wait, with nothing in the buffer.
    fn lease_at_once(&mut self, key: CampaignKey, demand: usize, now: Moment) -> Option<Effect> {
        let lane = self.lanes.get_mut(&key).filter(|lane| lane.buffer.is_empty())?;
        let (want, scan) = lane.want(0, demand, demand, demand, now.wall)?;
        let mut takers = self.takers();
        let mut slots = Vec::with_capacity(demand);
        while slots.len() < usize::try_from(want).unwrap_or(0) {
            let Some(taker) = self.taker(&takers, key) else { break };
            let (session, stream) = takers[taker].0;
            let slot = Slot { lease: next_id(), session, stream };
            self.claim_slot(&mut takers, taker, slot.lease);
            slots.push(slot);
        }
        self.room.used(slots.len());
        let lane = self.lanes.get_mut(&key)?;
        lane.planned += slots.len();
        slots.iter().for_each(|_| lane.asked(now.wall));
        lane.hurried_at = Some(now.mono);
        Some(Effect::Refill(lane.ask(want, scan, slots, now.wall)))
    }

    /// All slots but so many wait on.
    fn unfilled(&mut self, ask: &RefillAsk, filled: usize) {
        let slots = ask.slots.get(filled..).unwrap_or_default();
        for slot in slots {
            self.arrived(slot.session, slot.lease, ask.campaign, false);
        }
        self.room.unused(slots.len());
        if let Some(lane) = self.lanes.get_mut(&ask.campaign) {
            lane.room.unused(slots.len());
        }
    }

    /// Takes in what a refill has brought: to the buffer, and what was leased at once as a grant does.
    pub fn refilled(&mut self, ask: &RefillAsk, mut refill: Refill, now: Moment) -> Vec<Effect> {
        let tried = std::mem::take(&mut refill.tried);
        self.unfilled(ask, tried.len());
        let verdicts: Vec<GrantVerdict> = tried.iter().map(|(_, verdict)| *verdict).collect();
        let planned: Vec<Planned> = tried
            .into_iter()
            .zip(&ask.slots)
            .map(|((lead, _), slot)| {
                let closes = usize::try_from(lead.zone).ok().and_then(|zone| ask.windows.closes.get(zone).copied());
                Planned::new(lead, *slot, closes.flatten().unwrap_or(now.wall), ask.rules_version)
            })
            .collect();
        let mut effects = Vec::new();
        match self.lanes.get_mut(&ask.campaign) {
            Some(lane) => lane.refilled(refill, &planned, ask, now.wall),
            None => {
                // Nobody here wants them any more.
                let refused = planned.iter().zip(&verdicts).filter(|(_, verdict)| **verdict != GrantVerdict::Granted);
                let back = refused.map(|(planned, _)| &planned.lead).chain(&refill.ready);
                let parked: Vec<_> = back.map(|lead| park(lead, Some(now.wall), waiting::BACK_OFF)).collect();
                if !parked.is_empty() {
                    effects.push(Effect::Park(parked));
                }
            }
        }
        effects.extend(self.granted(planned, &verdicts, now));
        effects
    }

    /// A refill failed. `made`: its leases may live all the same, as those of a grant that failed.
    pub fn refill_failed(&mut self, ask: &RefillAsk, made: bool, now: Moment) -> Vec<Effect> {
        self.unfilled(ask, 0);
        if made {
            self.doubtful.extend(ask.slots.iter().map(|slot| (slot.lease, slot.session)));
        }
        if let Some(lane) = self.lanes.get_mut(&ask.campaign) {
            lane.refill_failed(now.wall);
        }
        let mut effects = Vec::new();
        if made && !ask.slots.is_empty() {
            effects.push(Effect::Recall(ask.slots.iter().map(|slot| slot.lease).collect()));
        }
        effects.extend(self.close_drained());
        effects
    }
}
