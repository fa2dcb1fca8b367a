//! The sans-IO core of leasing on one replica: sessions and their slots, the ledger of leases, the lanes of campaigns. It
//! decides what to ask of the database and what to tell dialers, and does neither.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::{
    lane::{Lane, Room},
    ledger::{Ledger, Receipt},
    messages::{Effect, Ending, Message, Moment, RevokeReason, ThrottleReason},
    session::Session,
};
use crate::{
    domain::{
        campaign::CampaignState,
        fair_share::CallLength,
        ids::{CampaignKey, LeaseId, SessionId, StreamNumber},
        settings::SchedulerSettings,
    },
    store::{
        leases::GrantItem,
        queue::{QueuedLead, Slot},
    },
};

/// How long a session that does not confirm receipts gets no more grants.
const MUTED_FOR: Duration = Duration::from_secs(10);
/// Slots that wait for one campaign's leads: fewer are served as fast from the buffer, which costs a batch less.
const HURRY_FROM: usize = 16;
/// Between two ticks at most this much counts as served: a process that slept longer served nobody.
const TICK_MAX: Duration = Duration::from_millis(500);

/// A lead on its way to a lease.
pub struct Planned {
    /// What is asked of the database.
    pub item: GrantItem,
    /// The lead.
    pub lead: QueuedLead,
    /// The session's stream when it was planned.
    pub stream: StreamNumber,
}

impl Planned {
    /// A lead for a slot, by rules of this version until when its hours are open.
    pub(super) fn new(lead: QueuedLead, slot: Slot, open_until: DateTime<Utc>, rules_version: i32) -> Planned {
        let item = GrantItem {
            campaign: lead.campaign,
            lead: lead.lead,
            lease: slot.lease,
            session: slot.session,
            number: lead.number,
            seq: lead.facts.last_seq + 1,
            attempts: lead.attempts,
            epoch: lead.epoch,
            promised: lead.promised,
            open_until,
            rules_version,
        };
        Planned { item, lead, stream: slot.stream }
    }
}

/// One replica's leasing.
pub struct Floor {
    /// In force.
    pub settings: SchedulerSettings,
    /// Slots of sessions on other replicas.
    pub slots_elsewhere: usize,
    pub(super) lanes: BTreeMap<CampaignKey, Lane>,
    pub(super) sessions: HashMap<SessionId, Session>,
    pub(super) ledger: Ledger,
    /// How long calls last here, and how many ended since the last tick.
    pub(super) calls: CallLength,
    pub(super) ended: usize,
    /// How many slots others hold for one that is held here.
    pub(super) mirror: f64,
    /// Of grants without an answer: they may live, and take the slots of these sessions until they are taken back.
    pub(super) doubtful: HashMap<LeaseId, SessionId>,
    pub(super) room: Room,
    pub(super) rotation: usize,
    /// A clock that runs only while dialers could have been answered: liveness is measured by it, so that nobody is lost
    /// for a time in which this process slept or the database was away.
    pub(super) served: Duration,
    ticked_at: Option<Instant>,
    pub(super) leaving: bool,
    /// From so many waiting slots on leads are leased as they are found.
    pub(super) hurry_from: usize,
}

impl Floor {
    /// An empty floor.
    pub fn new(settings: SchedulerSettings) -> Floor {
        Floor {
            settings,
            slots_elsewhere: 0,
            lanes: BTreeMap::new(),
            sessions: HashMap::new(),
            ledger: Ledger::default(),
            calls: CallLength::default(),
            ended: 0,
            mirror: 0.0,
            doubtful: HashMap::new(),
            room: Room::default(),
            rotation: 0,
            served: Duration::ZERO,
            ticked_at: None,
            leaving: false,
            hurry_from: HURRY_FROM,
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
        self.ledger.ids().collect()
    }

    /// Whether a lease is in the ledger.
    pub fn holds(&self, lease: LeaseId) -> bool {
        self.ledger.get(lease).is_some()
    }

    /// Something was heard from a session.
    pub fn heard(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.heard_at = None;
        }
    }

    /// A heartbeat is answered.
    pub fn heartbeat(&mut self, id: SessionId, now: Moment) -> Vec<Effect> {
        self.heard(id);
        if self.sessions.contains_key(&id) {
            vec![Effect::Send(id, Message::HeartbeatAck(now.wall))]
        } else {
            Vec::new()
        }
    }

    /// The demand changes.
    pub fn set_slots(&mut self, id: SessionId, slots: usize) {
        self.heard(id);
        if let Some(session) = self.sessions.get_mut(&id).filter(|session| session.slots != slots) {
            session.slots = slots;
            session.throttled = None;
        }
    }

    /// Leases were received; a permit counts as a receipt.
    pub fn received(&mut self, leases: &[LeaseId], begun: bool) {
        for lease in leases {
            if let Some(held) = self.ledger.get_mut(*lease) {
                held.receipt = Receipt::Settled;
                held.begun |= begun;
                if let Some(session) = self.sessions.get_mut(&held.session) {
                    session.muted_until = None;
                }
            }
        }
    }

    /// What grants without an answer may have leased was taken back.
    pub fn recalled(&mut self, leases: &[LeaseId]) {
        for lease in leases {
            self.doubtful.remove(lease);
        }
    }

    /// Leases are over. With a reason their dialers are told, each by one message: for one per lease an outbox has no room.
    pub fn ended(&mut self, leases: &[LeaseId], reason: Option<RevokeReason>) -> Vec<Effect> {
        let mut told: BTreeMap<SessionId, Vec<LeaseId>> = BTreeMap::new();
        for lease in leases {
            if let Some(session) = self.end(*lease) {
                told.entry(session).or_default().push(*lease);
            }
        }
        let mut effects = Vec::new();
        for (session, leases) in told {
            if let Some(reason) = reason {
                effects.push(Effect::Send(session, Message::Revoked(leases, reason)));
            }
            effects.extend(self.close_if_drained(session));
        }
        effects
    }

    /// Takes a lease off the floor; returns the session that held it.
    fn end(&mut self, lease: LeaseId) -> Option<SessionId> {
        self.room.one_more();
        let held = self.ledger.remove(lease);
        self.ended += usize::from(held.is_some());
        for (key, lane) in &mut self.lanes {
            // A lease that is not on the ledger any more may have been any campaign's.
            if held.as_ref().is_none_or(|held| held.campaign == *key) {
                lane.room.one_more();
            }
        }
        let id = held?.session;
        self.sessions.get_mut(&id)?.held.remove(&lease);
        Some(id)
    }

    /// Whether this replica is leaving.
    pub fn leaving(&self) -> bool {
        self.leaving
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

    /// What the passing of time asks for: lost sessions, missing receipts, signs of life, refills, news of throttling.
    /// `serving`: the database answers.
    pub fn tick(&mut self, now: Moment, serving: bool) -> Vec<Effect> {
        let passed = self.ticked_at.map_or(Duration::ZERO, |before| now.mono.saturating_duration_since(before));
        self.ticked_at = Some(now.mono);
        if serving {
            self.served += passed.min(TICK_MAX);
        }
        let mut effects = Vec::new();
        for (id, session) in &mut self.sessions {
            let heard_at = *session.heard_at.get_or_insert(self.served);
            if self.served.saturating_sub(heard_at) > session.ttl {
                effects.push(Effect::Close(*id, Ending::Lost));
            } else if now.mono.duration_since(session.told_at) > session.ttl / 2 {
                session.told_at = now.mono;
                effects.push(Effect::Send(*id, Message::HeartbeatAck(now.wall)));
            }
        }
        let mut unreceived = Vec::new();
        for (lease, held) in self.ledger.iter_mut() {
            match held.receipt {
                Receipt::Awaited => held.receipt = Receipt::Due(self.served + self.settings.receipt_within),
                Receipt::Due(at) if at <= self.served => {
                    held.receipt = Receipt::Settled;
                    unreceived.push(*lease);
                    if let Some(session) = self.sessions.get_mut(&held.session) {
                        session.muted_until = Some(self.served + MUTED_FOR);
                    }
                }
                Receipt::Due(_) | Receipt::Settled => {}
            }
        }
        if !unreceived.is_empty() {
            effects.push(Effect::Release(unreceived, Some(RevokeReason::NotReceived)));
        }
        self.account(passed.min(TICK_MAX).as_secs_f64());
        effects.extend(self.throttle(now));
        effects
    }

    /// Messages went out to a session.
    pub fn told(&mut self, id: SessionId, now: Moment) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.told_at = now.mono;
        }
    }

    fn throttle(&mut self, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (id, session) in &mut self.sessions {
            if session.free(self.served, 0) == 0 || !session.pending.is_empty() {
                continue;
            }
            let mine = || {
                self.lanes
                    .iter()
                    .filter(|(key, lane)| session.serves(**key) && lane.campaign.state == CampaignState::Running)
            };
            let reason = if mine().next().is_none() {
                ThrottleReason::Paused
            } else if self.settings.max_concurrency == 0 || self.room.is_met() || mine().any(|(_, lane)| capped(lane)) {
                ThrottleReason::Cap
            } else if mine().any(|(_, lane)| !lane.is_broken() && (!lane.exhausted || !lane.buffer.is_empty())) {
                continue;
            } else if mine().any(|(_, lane)| lane.is_broken()) {
                ThrottleReason::Provider
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
        let instant = self
            .lanes
            .values()
            .filter(|lane| lane.is_open(now.wall))
            .filter_map(|lane| lane.next_instant(now.wall))
            .min();
        instant.map_or(LONGEST, |at| (at - now.wall).to_std().unwrap_or(Duration::ZERO).min(LONGEST))
    }
}

fn capped(lane: &Lane) -> bool {
    lane.room.is_met() || lane.campaign.rules.max_concurrency == Some(0)
}
