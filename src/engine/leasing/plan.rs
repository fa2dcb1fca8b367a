//! Who gets which lead next: due promises before everything, then the campaigns' buffers by turns.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::{
    floor::{Floor, Planned},
    lane::Lane,
    messages::{Effect, Moment},
};
use crate::{
    domain::{
        campaign::CampaignState,
        ids::{CampaignKey, SessionId, next_id},
    },
    store::{
        leases::GrantItem,
        queue::{Parked, QueuedLead, waiting},
    },
};

/// Leads granted in one call at the most.
const GRANT_MAX: usize = 500;

impl Floor {
    /// What to lease next, in order: due promises of all campaigns, then the campaigns' buffers by turns.
    pub fn plan(&mut self, now: Moment) -> (Vec<Planned>, Vec<Effect>) {
        let mut effects = Vec::new();
        let mut planned = Vec::new();
        let most = self.room.at_most(GRANT_MAX);
        let mut takers: Vec<(SessionId, usize)> = self
            .sessions
            .iter()
            .filter_map(|(id, session)| Some((*id, session.free(now.mono))).filter(|(_, free)| *free > 0))
            .collect();
        if takers.is_empty() || most == 0 {
            return (planned, effects);
        }
        takers.sort_unstable();
        self.rotation = self.rotation.wrapping_add(1);
        let turn = self.rotation % takers.len();
        takers.rotate_left(turn);
        let mut parked = Vec::new();
        let mut lanes = std::mem::take(&mut self.lanes);
        for lane in lanes.values_mut().filter(|lane| open(lane)) {
            while planned.len() < most && open(lane) {
                let Some(taker) = self.taker(&mut takers, lane.campaign.key) else { break };
                let Some(entry) = lane.promises.first_entry().filter(|entry| entry.key().0 <= now.wall) else { break };
                let lead = entry.remove();
                match plan_one(lane, lead, takers[taker].0, now) {
                    Ok(item) => {
                        self.claim(&mut takers, taker);
                        planned.push(item);
                    }
                    Err(wait) => parked.push(wait),
                }
            }
        }
        self.plan_buffers(&mut lanes, &mut takers, &mut planned, &mut parked, most, now);
        self.room.used(planned.len());
        self.lanes = lanes;
        if !parked.is_empty() {
            effects.push(Effect::Park(parked));
        }
        (planned, effects)
    }

    fn plan_buffers(
        &mut self,
        lanes: &mut BTreeMap<CampaignKey, Lane>,
        takers: &mut Vec<(SessionId, usize)>,
        planned: &mut Vec<Planned>,
        parked: &mut Vec<Parked>,
        most: usize,
        now: Moment,
    ) {
        let mut turns: Vec<CampaignKey> =
            lanes.iter().filter(|(_, lane)| open(lane) && !lane.buffer.is_empty()).map(|(key, _)| *key).collect();
        if !turns.is_empty() {
            let turn = self.rotation % turns.len();
            turns.rotate_left(turn);
        }
        while !turns.is_empty() && planned.len() < most && !takers.is_empty() {
            turns.retain(|key| {
                let Some(lane) = lanes.get_mut(key) else { return false };
                let Some(taker) = self.taker(takers, *key) else { return false };
                let Some((_, lead)) = lane.buffer.pop_first() else { return false };
                match plan_one(lane, lead, takers[taker].0, now) {
                    Ok(item) => {
                        self.claim(takers, taker);
                        planned.push(item);
                    }
                    Err(wait) => parked.push(wait),
                }
                planned.len() < most && open(lane)
            });
        }
    }

    /// The next session, in turn, that takes leads of a campaign.
    fn taker(&self, takers: &mut [(SessionId, usize)], campaign: CampaignKey) -> Option<usize> {
        takers
            .iter()
            .position(|(id, free)| *free > 0 && self.sessions.get(id).is_some_and(|session| session.serves(campaign)))
    }

    fn claim(&mut self, takers: &mut Vec<(SessionId, usize)>, taker: usize) {
        let (id, free) = takers.remove(taker);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.pending += 1;
        }
        if free > 1 {
            takers.push((id, free - 1));
        }
    }
}

/// Whether a lane may lease now.
pub(super) fn open(lane: &Lane) -> bool {
    lane.campaign.state == CampaignState::Running && !lane.room.is_none()
}

pub(super) fn put_back(lane: &mut Lane, lead: QueuedLead) {
    match lead.promised {
        Some(at) => lane.promises.insert((at, lead.lead), lead),
        None => lane.buffer.insert((lead.rank, lead.lead), lead),
    };
}

pub(super) fn park(lead: &QueuedLead, until: Option<DateTime<Utc>>, reason: i16) -> Parked {
    Parked { campaign: lead.campaign, lead: lead.lead, promised: lead.promised, until, reason }
}

/// A lead for a session, if its hours are open; else until when it waits.
fn plan_one(lane: &mut Lane, lead: QueuedLead, session: SessionId, now: Moment) -> Result<Planned, Parked> {
    match lane.window(lead.zone, now.wall) {
        Some(window) if window.opens_at <= now.wall => {
            let item = GrantItem {
                campaign: lead.campaign,
                lead: lead.lead,
                lease: next_id(),
                session,
                number: lead.number,
                seq: lead.seq + 1,
                attempts: lead.attempts,
                promised: lead.promised,
                open_until: window.closes_at,
                rules_version: lane.campaign.rules_version,
            };
            lane.room.used(1);
            Ok(Planned { item, lead })
        }
        Some(window) => Err(park(&lead, Some(window.opens_at), waiting::CALLING_HOURS)),
        None => Err(park(&lead, None, waiting::NO_TIME_ZONE)),
    }
}
