//! The sans-IO core of leasing on one replica: sessions and their slots, the ledger of leases, the lanes of campaigns. It
//! decides what to ask of the database and what to tell dialers, and does neither.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::TimeDelta;
use tokio::time::Instant;

use super::{
    lane::{Lane, Room},
    messages::{Effect, Ending, GrantedLease, Message, Moment, RevokeReason, ThrottleReason},
    plan::{open, park, put_back},
    session::Session,
};
use crate::{
    domain::{
        campaign::CampaignState,
        ids::{CampaignKey, LeaseId, SessionId},
        settings::SchedulerSettings,
    },
    store::{
        leases::{GrantItem, GrantVerdict},
        queue::{QueuedLead, waiting},
    },
};

/// How long a lead stays out when its number is on a live lease elsewhere.
const NUMBER_BUSY_WAIT: TimeDelta = TimeDelta::seconds(60);
/// How long a session that does not confirm receipts gets no more grants.
const MUTED_FOR: Duration = Duration::from_secs(10);

#[derive(Debug)]
struct Held {
    session: SessionId,
    campaign: CampaignKey,
    receipt_due: Option<Instant>,
    begun: bool,
}

/// A lead on its way to a lease.
pub struct Planned {
    /// What is asked of the database.
    pub item: GrantItem,
    /// The lead.
    pub lead: QueuedLead,
}

/// One replica's leasing.
pub struct Floor {
    /// In force.
    pub settings: SchedulerSettings,
    /// READY leads of this replica are for this many slots of the cap.
    pub cap_share: usize,
    pub(super) lanes: BTreeMap<CampaignKey, Lane>,
    pub(super) sessions: HashMap<SessionId, Session>,
    ledger: HashMap<LeaseId, Held>,
    pub(super) room: Room,
    pub(super) rotation: usize,
}

impl Floor {
    /// An empty floor.
    pub fn new(settings: SchedulerSettings) -> Floor {
        let cap_share = usize::try_from(settings.max_concurrency).unwrap_or(0);
        Floor {
            settings,
            cap_share,
            lanes: BTreeMap::new(),
            sessions: HashMap::new(),
            ledger: HashMap::new(),
            room: Room::default(),
            rotation: 0,
        }
    }

    /// The lanes, by campaign.
    pub fn lanes(&mut self) -> &mut BTreeMap<CampaignKey, Lane> {
        &mut self.lanes
    }

    /// Sessions and their slots.
    pub fn slots(&self) -> (Vec<SessionId>, Vec<i32>) {
        self.sessions.iter().map(|(id, s)| (*id, i32::try_from(s.slots).unwrap_or(i32::MAX))).unzip()
    }

    /// Every lease in the ledger.
    pub fn leases(&self) -> Vec<LeaseId> {
        self.ledger.keys().copied().collect()
    }

    /// Whether a lease is in the ledger.
    pub fn holds(&self, lease: LeaseId) -> bool {
        self.ledger.contains_key(&lease)
    }

    /// Opens a session, whose row is written. `campaigns`: only these; none: all that run.
    pub fn open(
        &mut self,
        id: SessionId,
        campaigns: Option<HashSet<CampaignKey>>,
        slots: usize,
        now: Moment,
    ) -> Vec<Effect> {
        let ttl = self.settings.session_ttl;
        self.sessions.insert(
            id,
            Session {
                campaigns,
                slots,
                held: HashSet::new(),
                pending: 0,
                heard_at: now.mono,
                told_at: now.mono,
                ttl,
                draining: false,
                muted_until: None,
                throttled: None,
            },
        );
        vec![Effect::Send(id, Message::Opened { session_ttl: ttl, now: now.wall })]
    }

    /// Something was heard from a session.
    pub fn heard(&mut self, id: SessionId, now: Moment) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard_at = now.mono;
        }
    }

    /// A heartbeat is answered.
    pub fn heartbeat(&mut self, id: SessionId, now: Moment) -> Vec<Effect> {
        self.heard(id, now);
        if self.sessions.contains_key(&id) {
            vec![Effect::Send(id, Message::HeartbeatAck(now.wall))]
        } else {
            Vec::new()
        }
    }

    /// The demand changes.
    pub fn set_slots(&mut self, id: SessionId, slots: usize, now: Moment) {
        self.heard(id, now);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.slots = slots;
            session.throttled = None;
        }
    }

    /// Leases were received; a permit counts as a receipt.
    pub fn received(&mut self, leases: &[LeaseId], begun: bool) {
        for lease in leases {
            if let Some(held) = self.ledger.get_mut(lease) {
                held.receipt_due = None;
                held.begun |= begun;
                if let Some(session) = self.sessions.get_mut(&held.session) {
                    session.muted_until = None;
                }
            }
        }
    }

    /// No more grants; the stream ends when nothing is held.
    pub fn drain(&mut self, id: SessionId, now: Moment) -> Vec<Effect> {
        self.heard(id, now);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.draining = true;
        }
        self.close_if_drained(id)
    }

    fn close_if_drained(&mut self, id: SessionId) -> Vec<Effect> {
        match self.sessions.get(&id) {
            Some(session) if session.draining && session.held.is_empty() && session.pending == 0 => {
                vec![Effect::Close(id, Ending::Done)]
            }
            _ => Vec::new(),
        }
    }

    /// A session is over: what it held without a permit goes back.
    pub fn closed(&mut self, id: SessionId) -> Vec<Effect> {
        let Some(session) = self.sessions.remove(&id) else { return Vec::new() };
        let unbegun: Vec<LeaseId> = session
            .held
            .into_iter()
            .filter(|lease| self.ledger.remove(lease).is_some_and(|held| !held.begun))
            .collect();
        if unbegun.is_empty() { Vec::new() } else { vec![Effect::Release(unbegun, RevokeReason::NotBegun)] }
    }

    /// A lease is over. With a reason its dialer is told.
    pub fn ended(&mut self, lease: LeaseId, reason: Option<RevokeReason>) -> Vec<Effect> {
        self.room.one_more();
        let held = self.ledger.remove(&lease);
        for (key, lane) in &mut self.lanes {
            // A lease that is not on the ledger any more may have been any campaign's.
            if held.as_ref().is_none_or(|held| held.campaign == *key) {
                lane.room.one_more();
            }
        }
        let Some(held) = held else { return Vec::new() };
        let Some(session) = self.sessions.get_mut(&held.session) else { return Vec::new() };
        session.held.remove(&lease);
        let mut effects = Vec::new();
        if let Some(reason) = reason {
            effects.push(Effect::Send(held.session, Message::Revoked(vec![lease], reason)));
        }
        effects.extend(self.close_if_drained(held.session));
        effects
    }

    /// Everything may have changed: caps, settings, campaigns.
    pub fn wake_all(&mut self) {
        self.room = Room::default();
        for lane in self.lanes.values_mut() {
            lane.wake();
        }
    }

    /// Caps are tried again, by a few leads: other replicas may have made room.
    pub fn probe_caps(&mut self) {
        self.room.probe();
        for lane in self.lanes.values_mut() {
            lane.room.probe();
        }
    }

    /// Forgets everything: this replica was taken for dead.
    pub fn fenced(&mut self) -> Vec<Effect> {
        self.lanes.clear();
        self.ledger.clear();
        self.sessions.drain().map(|(id, _)| Effect::Close(id, Ending::Leaving)).collect()
    }

    /// Takes in what became of a plan.
    pub fn granted(&mut self, planned: Vec<Planned>, verdicts: &[GrantVerdict], now: Moment) -> Vec<Effect> {
        let mut leases: HashMap<SessionId, Vec<GrantedLease>> = HashMap::new();
        let mut parked = Vec::new();
        let mut suppressed = Vec::new();
        let mut stale = HashSet::new();
        let mut lost = Vec::new();
        for (Planned { item, lead }, verdict) in planned.into_iter().zip(verdicts) {
            if let Some(session) = self.sessions.get_mut(&item.session) {
                session.pending = session.pending.saturating_sub(1);
            }
            match verdict {
                GrantVerdict::Granted => match self.enter(&item, lead, now) {
                    Some(lease) => leases.entry(item.session).or_default().push(lease),
                    None => lost.push(item.lease),
                },
                GrantVerdict::Gone => {}
                GrantVerdict::EngineCap | GrantVerdict::CampaignCap => {
                    if *verdict == GrantVerdict::EngineCap {
                        self.room.met();
                    }
                    if let Some(lane) = self.lanes.get_mut(&item.campaign) {
                        if *verdict == GrantVerdict::CampaignCap {
                            lane.room.met();
                        }
                        put_back(lane, lead);
                    }
                }
                GrantVerdict::NumberBusy => {
                    parked.push(park(&lead, Some(now.wall + NUMBER_BUSY_WAIT), waiting::NUMBER_BUSY));
                }
                GrantVerdict::Suppressed => suppressed.push(lead.number),
                GrantVerdict::Closed => parked.push(park(&lead, Some(now.wall), waiting::BACK_OFF)),
                GrantVerdict::Stale => {
                    stale.insert(item.campaign);
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
            effects.push(Effect::Release(lost, RevokeReason::NotReceived));
        }
        effects.extend(stale.into_iter().map(Effect::Reload));
        let drained: Vec<SessionId> = self.sessions.iter().filter(|(_, s)| s.draining).map(|(id, _)| *id).collect();
        effects.extend(drained.into_iter().flat_map(|id| self.close_if_drained(id)));
        effects
    }

    /// A grant call failed: its leads may be leased or not. What was leased comes back by its receipts' absence: nobody
    /// was told.
    pub fn grant_failed(&mut self, planned: Vec<Planned>) -> Vec<Effect> {
        let mut leases = Vec::new();
        let mut campaigns = HashSet::new();
        for Planned { item, lead } in planned {
            if let Some(session) = self.sessions.get_mut(&item.session) {
                session.pending = session.pending.saturating_sub(1);
            }
            leases.push(item.lease);
            campaigns.insert(item.campaign);
            if let Some(lane) = self.lanes.get_mut(&item.campaign) {
                put_back(lane, lead);
            }
        }
        let mut effects = vec![Effect::Release(leases, RevokeReason::NotReceived)];
        effects.extend(campaigns.into_iter().map(Effect::Reload));
        effects
    }

    fn enter(&mut self, item: &GrantItem, lead: QueuedLead, now: Moment) -> Option<GrantedLease> {
        let campaign = Arc::clone(&self.lanes.get(&item.campaign)?.campaign);
        let session = self.sessions.get_mut(&item.session)?;
        session.held.insert(item.lease);
        session.throttled = None;
        let receipt_due = Some(now.mono + self.settings.receipt_within);
        self.ledger
            .insert(item.lease, Held { session: item.session, campaign: item.campaign, receipt_due, begun: false });
        Some(GrantedLease {
            lease: item.lease,
            campaign: campaign.id,
            lead,
            not_after: item.open_until,
            begin_within: campaign.rules.begin_within,
            max_duration: campaign.rules.max_duration,
        })
    }

    /// What the passing of time asks for: lost sessions, missing receipts, signs of life, refills, news of throttling.
    pub fn tick(&mut self, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (id, session) in &mut self.sessions {
            if now.mono.duration_since(session.heard_at) > session.ttl {
                effects.push(Effect::Close(*id, Ending::Lost));
            } else if now.mono.duration_since(session.told_at) > session.ttl / 2 {
                session.told_at = now.mono;
                effects.push(Effect::Send(*id, Message::HeartbeatAck(now.wall)));
            }
        }
        let mut unreceived = Vec::new();
        for (lease, held) in &mut self.ledger {
            if held.receipt_due.is_some_and(|due| due <= now.mono) {
                held.receipt_due = None;
                unreceived.push(*lease);
                if let Some(session) = self.sessions.get_mut(&held.session) {
                    session.muted_until = Some(now.mono + MUTED_FOR);
                }
            }
        }
        if !unreceived.is_empty() {
            effects.push(Effect::Release(unreceived, RevokeReason::NotReceived));
        }
        effects.extend(self.throttle(now));
        effects
    }

    /// Messages went out to a session.
    pub fn told(&mut self, id: SessionId, now: Moment) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.told_at = now.mono;
        }
    }

    /// Which lanes to fill now, and buffers to send back because nobody wants them any more.
    pub fn refills(&mut self, now: Moment) -> Vec<Effect> {
        let factor = usize::try_from(self.settings.buffer_factor).unwrap_or(1);
        let step = usize::try_from(self.settings.batch_size).unwrap_or(1);
        let mut effects = Vec::new();
        for (key, lane) in &mut self.lanes {
            if lane.more_promises && lane.promises.is_empty() {
                lane.more_promises = false;
                effects.push(Effect::Peek(*key));
            }
            let mut slots = 0;
            let mut demand = 0;
            for session in self.sessions.values().filter(|session| session.serves(*key) && !session.draining) {
                slots += session.slots;
                demand += session.free(now.mono);
            }
            let cap = lane.campaign.rules.max_concurrency.map_or(usize::MAX, |cap| usize::try_from(cap).unwrap_or(0));
            let target = factor * slots.min(self.cap_share).min(cap);
            if lane.campaign.state == CampaignState::Running && target > 0 {
                if let Some((want, scan)) = lane.want(target, demand.min(target), step, now.wall) {
                    effects.push(Effect::Refill(*key, want, scan));
                }
            } else if target == 0 && !lane.buffer.is_empty() {
                let leads = std::mem::take(&mut lane.buffer);
                let back = leads.values().map(|lead| park(lead, Some(now.wall), waiting::BACK_OFF)).collect();
                effects.push(Effect::Park(back));
            }
        }
        effects
    }

    fn throttle(&mut self, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (id, session) in &mut self.sessions {
            if session.free(now.mono) == 0 || session.pending > 0 {
                continue;
            }
            let mine = || {
                self.lanes
                    .iter()
                    .filter(|(key, lane)| session.serves(**key) && lane.campaign.state == CampaignState::Running)
            };
            let reason = if mine().next().is_none() {
                ThrottleReason::Paused
            } else if self.room.is_none() || mine().any(|(_, lane)| lane.room.is_none()) {
                ThrottleReason::Cap
            } else if mine().any(|(_, lane)| !lane.exhausted || !lane.buffer.is_empty()) {
                continue;
            } else if mine().any(|(_, lane)| lane.waiting_hours > 0) {
                ThrottleReason::CallingHours
            } else {
                ThrottleReason::Empty
            };
            if session.throttled == Some(reason) {
                continue;
            }
            let next = mine().filter_map(|(_, lane)| lane.next_instant(now.wall)).min();
            let retry_after = next.and_then(|at| (at - now.wall).to_std().ok());
            session.throttled = Some(reason);
            effects.push(Effect::Send(*id, Message::Throttled(reason, retry_after)));
        }
        effects
    }

    /// How long nothing will be asked of the floor, events aside.
    pub fn idle_for(&self, now: Moment) -> Duration {
        const LONGEST: Duration = Duration::from_millis(250);
        let instant =
            self.lanes.values().filter(|lane| open(lane)).filter_map(|lane| lane.next_instant(now.wall)).min();
        instant.map_or(LONGEST, |at| (at - now.wall).to_std().unwrap_or(Duration::ZERO).min(LONGEST))
    }
}
