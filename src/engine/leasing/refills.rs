//! What to ask the queue for: per lane a small buffer that follows its dialers' slots, the caps, and its share of them.

use super::{
    floor::Floor,
    messages::{Effect, Moment},
    plan::park,
};
use crate::{
    domain::{campaign::CampaignState, ids::CampaignKey},
    store::queue::waiting,
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

    /// Which lanes to fill now, and buffers to send back because nobody wants them any more.
    pub fn refills(&mut self, now: Moment) -> Vec<Effect> {
        let factor = usize::try_from(self.settings.buffer_factor).unwrap_or(1);
        let step = usize::try_from(self.settings.batch_size).unwrap_or(1);
        let share = self.cap_share();
        let appetites = self.appetites();
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
                if let Some((want, scan)) = lane.want(there, target, free.min(target), step, now.wall) {
                    effects.push(Effect::Refill(key, want, scan));
                }
            } else if target == 0 && !lane.buffer.is_empty() {
                let leads = std::mem::take(&mut lane.buffer);
                let back = leads.values().map(|lead| park(lead, Some(now.wall), waiting::BACK_OFF)).collect();
                effects.push(Effect::Park(back));
            }
        }
        effects
    }
}
