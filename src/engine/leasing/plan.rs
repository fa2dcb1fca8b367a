//! Who gets which lead next: due promises before everything, then the campaigns by their shares; and what became of it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    floor::{Floor, Planned},
    lane::Lane,
    ledger::{Held, Receipt},
    messages::{Effect, GrantedLease, Message, Moment},
    session::Session,
};
use crate::{
    domain::{
        fair_share::turn,
        ids::{CampaignKey, LeaseId, SessionId, StreamNumber, next_id},
        promise::{MissedCallback, Promise},
    },
    store::{
        leases::{GrantItem, GrantVerdict},
        queue::{Parked, QueuedLead, Slot, waiting},
    },
};

/// How long a lead stays out when its number is on a live lease elsewhere.
const NUMBER_BUSY_WAIT: TimeDelta = TimeDelta::seconds(10);
/// Leads granted in one call at the most.
pub(super) const GRANT_MAX: usize = 500;

/// A session by its stream, and its free slots.
pub(super) type Taker = ((SessionId, StreamNumber), usize);

impl Floor {
    /// What to lease next, in order: due promises of all campaigns, then the campaigns by their shares.
    pub fn plan(&mut self, now: Moment) -> (Vec<Planned>, Vec<Effect>) {
        let mut effects = Vec::new();
        let mut planned = Vec::new();
        let most = self.room.at_most(GRANT_MAX);
        let mut takers = self.takers();
        if takers.is_empty() || most == 0 {
            return (planned, effects);
        }
        let mut parked = Vec::new();
        let mut lanes = std::mem::take(&mut self.lanes);
        for lane in lanes.values_mut().filter(|lane| lane.is_open(now.wall)) {
            while planned.len() < most && lane.is_open(now.wall) {
                let Some(taker) = self.taker(&takers, lane.campaign.key) else { break };
                let Some(entry) = lane.promises.first_entry().filter(|entry| entry.key().0 <= now.wall) else { break };
                let lead = entry.remove();
                if is_missed(lane, &lead, now.wall) {
                    continue; // The sweeper moves it, or drops it.
                }
                match plan_one(lane, lead, takers[taker].0, now) {
                    Ok(item) => {
                        self.claim_slot(&mut takers, taker, item.item.lease);
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

    /// Sessions with free slots, by turns.
    pub(super) fn takers(&mut self) -> Vec<Taker> {
        let mut doubtful: HashMap<SessionId, usize> = HashMap::new();
        for session in self.doubtful.values() {
            *doubtful.entry(*session).or_default() += 1;
        }
        let free = |(id, session): (&SessionId, &Session)| {
            ((*id, session.stream), session.free(self.served, doubtful.get(id).copied().unwrap_or(0)))
        };
        let mut takers: Vec<Taker> = self.sessions.iter().map(free).filter(|(_, free)| *free > 0).collect();
        takers.sort_unstable();
        self.rotation = self.rotation.wrapping_add(1);
        let turn = self.rotation % takers.len().max(1);
        takers.rotate_left(turn);
        takers
    }

    fn plan_buffers(
        &mut self,
        lanes: &mut BTreeMap<CampaignKey, Lane>,
        takers: &mut Vec<Taker>,
        planned: &mut Vec<Planned>,
        parked: &mut Vec<Parked>,
        mut most: usize,
        now: Moment,
    ) {
        let mut bids = self.bids(lanes, planned, now);
        let mut left = 0;
        while planned.len() + left < most && bids.iter().any(|bid| bid.here) {
            let Some(next) = turn(bids.iter().map(|bid| &bid.claim)) else { break };
            let bid = &mut bids[next];
            let Some(lane) = lanes.get_mut(&bid.key) else { break };
            if !bid.here {
                // Its dialers wait elsewhere, and will find the slot. What we only guess to be room would be taken from it.
                most = most.min(self.room.counted());
                bid.claim.take();
                left += 1;
                continue;
            }
            if bid.has_enough && planned.len() + left >= self.room.counted() {
                // Room that we only guess is a slot that somebody else has just freed, and fills.
                bids.remove(next);
                continue;
            }
            let lead = self.taker(takers, bid.key).and_then(|taker| Some((taker, lane.buffer.pop_first()?.1)));
            let Some((taker, lead)) = lead else {
                bid.here = false;
                if !bid.there {
                    bids.remove(next);
                }
                continue;
            };
            match plan_one(lane, lead, takers[taker].0, now) {
                Ok(item) => {
                    lane.planned += 1;
                    bid.claim.take();
                    self.claim_slot(takers, taker, item.item.lease);
                    planned.push(item);
                }
                Err(wait) => parked.push(wait),
            }
            if !lane.is_open(now.wall) {
                bids.remove(next);
            }
        }
    }

    /// The next session, in turn, that takes leads of a campaign.
    pub(super) fn taker(&self, takers: &[Taker], campaign: CampaignKey) -> Option<usize> {
        takers.iter().position(|((id, _), free)| {
            *free > 0 && self.sessions.get(id).is_some_and(|session| session.serves(campaign))
        })
    }

    pub(super) fn claim_slot(&mut self, takers: &mut Vec<Taker>, taker: usize, lease: LeaseId) {
        let ((id, stream), free) = takers.remove(taker);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.pending.insert(lease);
        }
        if free > 1 {
            takers.push(((id, stream), free - 1));
        }
    }

    /// A lease is not on its way to a slot any more. The session may be a later one, which never waited for it.
    pub(super) fn arrived(&mut self, session: SessionId, lease: LeaseId, campaign: CampaignKey, promised: bool) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.pending.remove(&lease);
        }
        if let Some(lane) = self.lanes.get_mut(&campaign).filter(|_| !promised) {
            lane.planned = lane.planned.saturating_sub(1);
        }
    }

    /// Takes in what became of a plan.
    pub fn granted(&mut self, planned: Vec<Planned>, verdicts: &[GrantVerdict], now: Moment) -> Vec<Effect> {
        let mut leases: HashMap<SessionId, Vec<GrantedLease>> = HashMap::new();
        let mut parked = Vec::new();
        let mut suppressed = Vec::new();
        let mut stale = HashSet::new();
        let mut lost = Vec::new();
        let mut moved = false;
        for (Planned { item, lead, stream }, verdict) in planned.into_iter().zip(verdicts) {
            self.arrived(item.session, item.lease, item.campaign, item.promised.is_some());
            match verdict {
                GrantVerdict::Granted => {
                    if self.lanes.get_mut(&item.campaign).is_some_and(Lane::mended) {
                        stale.insert(item.campaign);
                    }
                    match self.enter(&item, lead) {
                        Some(lease) => leases.entry(item.session).or_default().push(lease),
                        None => lost.push(item.lease),
                    }
                }
                GrantVerdict::Provider => {
                    if let Some(lane) = self.lanes.get_mut(&item.campaign) {
                        if lane.broken(now.wall) {
                            stale.insert(item.campaign);
                        }
                        put_back(lane, lead);
                    }
                }
                GrantVerdict::Gone => {}
                GrantVerdict::EngineCap | GrantVerdict::CampaignCap => {
                    if *verdict == GrantVerdict::EngineCap {
                        self.room.met();
                    }
                    if let Some(lane) = self.lanes.get_mut(&item.campaign) {
                        match verdict {
                            GrantVerdict::CampaignCap => lane.room.met(),
                            _ => lane.share.refused(now),
                        }
                        put_back(lane, lead);
                    }
                }
                GrantVerdict::NumberBusy => {
                    parked.push(park(&lead, Some(now.wall + NUMBER_BUSY_WAIT), waiting::NUMBER_BUSY));
                }
                GrantVerdict::NumberRule(until) => parked.push(park(&lead, Some(*until), waiting::NUMBER_RULE)),
                GrantVerdict::Suppressed => suppressed.push(lead.number),
                GrantVerdict::Closed => parked.push(park(&lead, Some(now.wall), waiting::BACK_OFF)),
                GrantVerdict::Stale => {
                    stale.insert(item.campaign);
                }
                GrantVerdict::Moved => {
                    // It may have come back since, by a later stream.
                    if let Some(session) = self.sessions.get_mut(&item.session).filter(|one| one.stream == stream) {
                        session.moved = true;
                    }
                    moved = true;
                    if let Some(lane) = self.lanes.get_mut(&item.campaign) {
                        put_back(lane, lead);
                    }
                }
            }
        }
        let mut effects: Vec<Effect> =
            leases.into_iter().map(|(id, leases)| Effect::Send(id, Message::Granted(leases))).collect();
        if !parked.is_empty() {
            effects.push(Effect::Park(parked));
        }
        if !suppressed.is_empty() {
            effects.push(Effect::Block(suppressed));
        }
        if !lost.is_empty() {
            effects.push(Effect::Release(lost, None));
        }
        effects.extend(stale.into_iter().map(Effect::Reload));
        if moved {
            effects.push(Effect::CheckStreams);
        }
        effects.extend(self.close_drained());
        effects
    }

    /// A grant call failed. `made`: its leads may be leased all the same; nobody was told, so all of it is taken back, and
    /// takes its slots until that is done.
    pub fn grant_failed(&mut self, planned: Vec<Planned>, made: bool) -> Vec<Effect> {
        let mut leases = Vec::new();
        let mut campaigns = HashSet::new();
        for Planned { item, lead, .. } in planned {
            self.arrived(item.session, item.lease, item.campaign, item.promised.is_some());
            if made {
                self.doubtful.insert(item.lease, item.session);
            }
            leases.push(item.lease);
            campaigns.insert(item.campaign);
            if let Some(lane) = self.lanes.get_mut(&item.campaign) {
                put_back(lane, lead);
            }
        }
        let mut effects = if made { vec![Effect::Recall(leases)] } else { Vec::new() };
        effects.extend(campaigns.into_iter().map(Effect::Reload));
        effects.extend(self.close_drained());
        effects
    }

    fn enter(&mut self, item: &GrantItem, lead: QueuedLead) -> Option<GrantedLease> {
        self.room.granted();
        let lane = self.lanes.get_mut(&item.campaign)?;
        lane.room.granted();
        let campaign = Arc::clone(&lane.campaign);
        // Whoever drains was promised that nothing comes any more; a later stream may want other campaigns.
        let session = self.sessions.get_mut(&item.session).filter(|one| !one.draining && one.serves(item.campaign))?;
        session.held.insert(item.lease);
        session.throttled = None;
        let entry = Held { session: item.session, campaign: item.campaign, receipt: Receipt::Awaited, begun: false };
        self.ledger.insert(item.lease, entry);
        Some(GrantedLease {
            lease: item.lease,
            campaign: campaign.id,
            lead,
            not_after: item.open_until,
            begin_within: campaign.rules.begin_within,
            max_duration: campaign.rules.max_duration,
        })
    }
}

fn put_back(lane: &mut Lane, lead: QueuedLead) {
    match lead.promised {
        Some(at) => {
            lane.promises.insert((at, lead.lead), lead);
        }
        None => {
            lane.enqueue(lead);
        }
    }
}

pub(super) fn park(lead: &QueuedLead, until: Option<DateTime<Utc>>, reason: i16) -> Parked {
    Parked { campaign: lead.campaign, lead: lead.lead, promised: lead.promised, until, reason, rules_version: None }
}

/// Whether a promise is too late to be called at all.
fn is_missed(lane: &Lane, lead: &QueuedLead, now: DateTime<Utc>) -> bool {
    let rules = &lane.campaign.rules;
    let promise = lead.facts.callback_at.map(|at| Promise { at, latest: lead.facts.callback_latest });
    rules.missed_callback != MissedCallback::CallLate
        && promise.is_some_and(|promise| promise.is_missed(rules.callback_tolerance, now))
}

/// A lead for a session, if its hours are open; else until when it waits.
fn plan_one(
    lane: &mut Lane,
    lead: QueuedLead,
    (session, stream): (SessionId, StreamNumber),
    now: Moment,
) -> Result<Planned, Parked> {
    let rules_version = lane.campaign.rules_version;
    let by_rules = |parked| Parked { rules_version: Some(rules_version), ..parked };
    match lane.window(lead.zone, now.wall) {
        Some(window) if window.opens_at <= now.wall => {
            lane.asked(now.wall);
            Ok(Planned::new(lead, Slot { lease: next_id(), session, stream }, window.closes_at, rules_version))
        }
        Some(window) => Err(by_rules(park(&lead, Some(window.opens_at), waiting::CALLING_HOURS))),
        None => Err(by_rules(park(&lead, None, waiting::NO_TIME_ZONE))),
    }
}
