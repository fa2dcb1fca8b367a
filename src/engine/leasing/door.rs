//! How sessions come and go on the floor: opened, taken over, drained, closed, sent away.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use super::{
    floor::Floor,
    ledger::{Held, Receipt},
    messages::{Effect, Ending, Message, Moment, RevokeReason},
    session::Session,
};
use crate::{
    domain::ids::{CampaignKey, LeaseId, SessionId, StreamNumber},
    store::live_leases::OwnLease,
};

/// A session that opens, or comes back by another stream.
#[derive(Debug)]
pub struct Opening {
    /// The session.
    pub session: SessionId,
    /// Its newest stream.
    pub stream: StreamNumber,
    /// Only these; none: all that run.
    pub campaigns: Option<HashSet<CampaignKey>>,
    /// Its demand.
    pub slots: usize,
    /// Live leases of the session, read after its row was written.
    pub own: Vec<OwnLease>,
    /// Leases that the dialer says it holds.
    pub held: Vec<LeaseId>,
}

impl Floor {
    /// Opens a session, whose row is written. Begun calls go on; a lease without a permit that the dialer does not know goes
    /// back. All take their slots until they end.
    pub fn open(&mut self, opening: Opening, now: Moment) -> Vec<Effect> {
        let Opening { session: id, stream, campaigns, slots, own, held } = opening;
        let ttl = self.settings.session_ttl;
        let known: HashSet<LeaseId> = held.iter().copied().collect();
        // Of an earlier stream here: grants under way will come to this one.
        let before = self.sessions.remove(&id);
        let pending = before.as_ref().map(|session| session.pending.clone()).unwrap_or_default();
        let mut leases: HashMap<LeaseId, bool> = HashMap::new();
        for lease in before.into_iter().flat_map(|session| session.held) {
            leases.insert(lease, self.ledger.get(lease).is_some_and(|held| held.begun));
        }
        let live: HashSet<LeaseId> = own.iter().map(|own| own.lease).collect();
        for OwnLease { lease, campaign, begun } in own {
            let begun = leases.get(&lease).copied().unwrap_or(false) || begun;
            leases.insert(lease, begun);
            self.ledger.insert(lease, Held { session: id, campaign, receipt: Receipt::Settled, begun });
        }
        let unknown: Vec<LeaseId> = leases
            .iter()
            .filter(|(_, begun)| !**begun)
            .filter(|(lease, _)| !known.contains(*lease) || !live.contains(*lease))
            .map(|(lease, _)| *lease)
            .collect();
        for lease in &unknown {
            if let Some(held) = self.ledger.get_mut(*lease) {
                held.receipt = Receipt::Settled;
            }
        }
        let session = Session {
            stream,
            campaigns,
            slots,
            held: leases.into_keys().collect(),
            pending,
            heard_at: None,
            told_at: now.mono,
            ttl,
            draining: false,
            moved: false,
            muted_until: None,
            throttled: None,
        };
        self.sessions.insert(id, session);
        let held = held.into_iter().map(|lease| (lease, live.contains(&lease))).collect();
        let mut effects = vec![Effect::Send(id, Message::Opened { session_ttl: ttl, now: now.wall, held })];
        if !unknown.is_empty() {
            // Grants of an earlier stream may be on their way to this one: the dialer is told.
            effects.push(Effect::Release(unknown, Some(RevokeReason::NotReceived)));
        }
        effects
    }

    /// The newest stream of a session here.
    pub fn stream_of(&self, id: SessionId) -> Option<StreamNumber> {
        self.sessions.get(&id).map(|session| session.stream)
    }

    /// Every session with its stream.
    pub fn streams(&self) -> (Vec<SessionId>, Vec<StreamNumber>) {
        self.sessions.iter().map(|(id, session)| (*id, session.stream)).unzip()
    }

    /// No more grants; the stream ends when nothing is held.
    pub fn drain(&mut self, id: SessionId) -> Vec<Effect> {
        self.heard(id);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.draining = true;
        }
        self.close_if_drained(id)
    }

    pub(super) fn close_if_drained(&self, id: SessionId) -> Vec<Effect> {
        match self.sessions.get(&id) {
            Some(session) if session.draining && session.held.is_empty() && session.pending.is_empty() => {
                vec![Effect::Close(id, if self.leaving { Ending::Leaving } else { Ending::Done })]
            }
            _ => Vec::new(),
        }
    }

    /// Sessions that waited only for a grant under way.
    pub(super) fn close_drained(&self) -> Vec<Effect> {
        let mut draining: Vec<SessionId> =
            self.sessions.iter().filter(|(_, s)| s.draining).map(|(id, _)| *id).collect();
        draining.sort_unstable();
        draining.into_iter().flat_map(|id| self.close_if_drained(id)).collect()
    }

    /// A session is over here. Returns what it held without a permit: that goes back, unless another stream has it now.
    pub fn closed(&mut self, id: SessionId) -> Vec<LeaseId> {
        let Some(session) = self.sessions.remove(&id) else { return Vec::new() };
        session.held.into_iter().filter(|lease| self.ledger.remove(*lease).is_some_and(|held| !held.begun)).collect()
    }

    /// This replica is leaving: everybody is told to go elsewhere, and whoever holds nothing need not wait.
    pub fn leave(&mut self, within: Duration, now: Moment) -> Vec<Effect> {
        self.leaving = true;
        let drain_by = now.wall + within;
        let mut ids: Vec<SessionId> = self.sessions.keys().copied().collect();
        ids.sort_unstable();
        let mut effects = Vec::new();
        for id in ids {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.draining = true;
            }
            effects.push(Effect::Send(id, Message::GoAway(drain_by, within)));
            effects.extend(self.close_if_drained(id));
        }
        effects
    }

    /// Forgets everything: this replica was taken for dead.
    pub fn fenced(&mut self) -> Vec<Effect> {
        self.lanes.clear();
        self.ledger.clear();
        self.sessions.keys().map(|id| Effect::Close(*id, Ending::Leaving)).collect()
    }
}
