//! The model: what the protocol promises to each session, and what is wrong when the floor does otherwise. Time is served
//! time, but reckoned to the instant, not to the tick.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    domain::ids::{LeaseId, SessionId, StreamNumber},
    engine::leasing::{
        door::Opening,
        floor::{Floor, Planned},
        messages::{Ending, Message, RevokeReason},
    },
    store::queue::RefillAsk,
};

/// The longest time between two ticks that counts as served, and so the most by which the floor may be late.
pub(super) const TICK_MAX: Duration = Duration::from_millis(500);
const MUTED_FOR: Duration = Duration::from_secs(10);

/// A lease that a session holds.
#[derive(Debug)]
struct Lease {
    begun: bool,
    /// Told then, and no receipt since.
    unreceived: Option<Duration>,
}

/// A session that is open here.
pub(super) struct Open {
    pub(super) stream: StreamNumber,
    /// Names the time since it opened here, through all take-overs.
    stay: u32,
    pub(super) slots: usize,
    heard: Duration,
    told: Instant,
    /// It gets nothing any more: it drains, or this replica leaves.
    pub(super) draining: bool,
    muted: Option<Duration>,
    held: BTreeMap<LeaseId, Lease>,
}

pub(super) struct Model {
    pub(super) ttl: Duration,
    pub(super) receipt_within: Duration,
    pub(super) open: BTreeMap<SessionId, Open>,
    /// Told to a dialer, ever.
    told: BTreeSet<LeaseId>,
    stays: u32,
    /// Leases on their way: to which session, and which stay of it.
    under_way: BTreeMap<LeaseId, (SessionId, u32)>,
    /// Of grants without an answer, until they are taken back.
    pub(super) doubtful: BTreeMap<LeaseId, SessionId>,
    pub(super) leaving: bool,
    served: Duration,
    ticked: Instant,
    now: Instant,
}

impl Model {
    pub(super) fn new(ttl: Duration, receipt_within: Duration, now: Instant) -> Model {
        Model {
            ttl,
            receipt_within,
            open: BTreeMap::new(),
            told: BTreeSet::new(),
            stays: 0,
            under_way: BTreeMap::new(),
            doubtful: BTreeMap::new(),
            leaving: false,
            served: Duration::ZERO,
            ticked: now,
            now,
        }
    }

    // ---- Time --------------------------------------------------------------------------------------

    pub(super) fn pass(&mut self, now: Instant) {
        self.now = now;
    }

    /// Served time now, if the database serves until the next tick.
    fn instant(&self) -> Duration {
        self.served + (self.now - self.ticked).min(TICK_MAX)
    }

    pub(super) fn heard(&mut self, id: SessionId) {
        let now = self.instant();
        if let Some(session) = self.open.get_mut(&id) {
            session.heard = now;
        }
    }

    /// A tick, with the sessions that it lost and the leases whose receipts it missed.
    pub(super) fn ticked(&mut self, serving: bool, lost: &[SessionId], unreceived: &[LeaseId]) {
        if serving {
            self.served = self.instant();
        }
        self.ticked = self.now;
        let served = self.served;
        for (id, session) in &mut self.open {
            session.heard = session.heard.min(served);
            let silence = served - session.heard;
            if lost.contains(id) {
                assert!(silence > self.ttl, "lost after {silence:?} of silence");
            } else {
                assert!(silence <= self.ttl + TICK_MAX, "not lost after {silence:?} of silence");
                let quiet = self.now - session.told;
                assert!(quiet * 4 <= self.ttl * 3, "nothing said for {quiet:?}");
            }
            for (lease, held) in &mut session.held {
                let late = unreceived.contains(lease);
                assert!(!late || held.unreceived.is_some(), "a receipt is missed of {held:?}");
                let Some(since) = held.unreceived.as_mut() else { continue };
                *since = (*since).min(served);
                let waited = served - *since;
                if late {
                    assert!(waited >= self.receipt_within, "taken back after {waited:?} without a receipt");
                    held.unreceived = None;
                    session.muted = Some(served + MUTED_FOR);
                } else {
                    assert!(waited <= self.receipt_within + TICK_MAX, "not taken back after {waited:?}");
                }
            }
        }
        let held: BTreeSet<LeaseId> = self.open.values().flat_map(|session| session.held.keys().copied()).collect();
        assert!(unreceived.iter().all(|lease| held.contains(lease)), "a receipt is missed of what nobody holds");
    }

    // ---- What dialers say --------------------------------------------------------------------------

    /// Returns what each held lease must be answered, and which leases must be released.
    pub(super) fn opens(&mut self, opening: &Opening) -> (Vec<(LeaseId, bool)>, BTreeSet<LeaseId>) {
        let before = self.open.remove(&opening.session);
        self.stays += 1;
        let stay = before.as_ref().map_or(self.stays, |session| session.stay);
        let mut held = before.map(|session| session.held).unwrap_or_default();
        for own in &opening.own {
            let begun = own.begun || held.get(&own.lease).is_some_and(|lease| lease.begun);
            held.insert(own.lease, Lease { begun, unreceived: None });
        }
        let lives = |lease: &LeaseId| opening.own.iter().any(|own| own.lease == *lease);
        let answers = opening.held.iter().map(|lease| (*lease, lives(lease))).collect();
        let kept = |lease: &LeaseId| lives(lease) && opening.held.contains(lease);
        let unknown: BTreeSet<LeaseId> =
            held.iter().filter(|(id, lease)| !lease.begun && !kept(id)).map(|(id, _)| *id).collect();
        for lease in &unknown {
            held.get_mut(lease).expect("it is held").unreceived = None;
        }
        let (stream, slots) = (opening.stream, opening.slots);
        let (heard, told) = (self.instant(), self.now);
        let open = Open { stream, stay, slots, heard, told, draining: false, muted: None, held };
        self.open.insert(opening.session, open);
        (answers, unknown)
    }

    pub(super) fn received(&mut self, leases: &[LeaseId], begun: bool) {
        for lease in leases {
            for session in self.open.values_mut() {
                if let Some(held) = session.held.get_mut(lease) {
                    held.unreceived = None;
                    held.begun |= begun;
                    session.muted = None;
                }
            }
        }
    }

    pub(super) fn ended(&mut self, lease: LeaseId) {
        for session in self.open.values_mut() {
            session.held.remove(&lease);
        }
    }

    // ---- What the floor does -----------------------------------------------------------------------

    pub(super) fn planned(&mut self, planned: &[Planned], most: usize) {
        assert!(planned.len() <= most, "{} planned, and there is room for {most}", planned.len());
        assert!(planned.is_sorted_by_key(|planned| planned.item.promised.is_none()), "promises come first");
        self.coming(planned.iter().map(|planned| (planned.item.lease, planned.item.session)));
    }

    /// Leads are asked for, some of them for slots that wait.
    pub(super) fn asked<'a>(&mut self, asks: impl Iterator<Item = &'a RefillAsk>) {
        for ask in asks {
            self.coming(ask.slots.iter().map(|slot| (slot.lease, slot.session)));
        }
    }

    fn coming(&mut self, leases: impl Iterator<Item = (LeaseId, SessionId)>) {
        let mut to = BTreeSet::new();
        for (lease, id) in leases {
            let session = self.open.get(&id).expect("planned for a session that is not open");
            assert!(!session.draining, "planned for a session that drains");
            assert!(session.muted.is_none_or(|until| until <= self.served), "planned for a session that is muted");
            self.under_way.insert(lease, (id, session.stay));
            to.insert(id);
        }
        for (id, session) in self.open.iter().filter(|(id, _)| to.contains(id)) {
            let coming = self.under_way.values().filter(|(to, stay)| to == id && *stay == session.stay).count();
            let held = session.held.len();
            let doubtful = self.doubtful.values().filter(|to| *to == id).count();
            let taken = held + doubtful + coming;
            assert!(taken <= session.slots, "{taken} for {} slots", session.slots);
        }
    }

    /// Whether these leases were made is answered, or never will be.
    pub(super) fn answered(&mut self, leases: impl Iterator<Item = LeaseId>) {
        for lease in leases {
            self.under_way.remove(&lease);
        }
    }

    /// A grant without an answer: what it may have made takes its slots until it is taken back.
    pub(super) fn doubtful(&mut self, planned: &[Planned]) {
        self.doubtful.extend(planned.iter().map(|planned| (planned.item.lease, planned.item.session)));
    }

    pub(super) fn sent(&mut self, id: SessionId, message: &Message) {
        let now = self.instant();
        let Some(session) = self.open.get_mut(&id) else {
            assert!(!matches!(message, Message::Granted(_)), "granted to a session that is not open");
            return;
        };
        session.told = self.now;
        if let Message::Granted(leases) = message {
            assert!(!session.draining, "granted to a session that drains");
            for lease in leases {
                assert!(self.told.insert(lease.lease), "granted twice");
                session.held.insert(lease.lease, Lease { begun: false, unreceived: Some(now) });
            }
        }
        if let Message::Revoked(leases, RevokeReason::NotReceived) = message {
            assert!(leases.iter().all(|lease| !session.held.contains_key(lease)), "revoked and yet held");
        }
    }

    /// Leases are to be released for want of a receipt, or because their dialer does not know them, or for a close.
    pub(super) fn releases(&self, leases: &[LeaseId]) {
        for lease in leases {
            let held = self.open.values().find_map(|session| session.held.get(lease));
            assert!(held.is_none_or(|held| !held.begun), "a begun lease is released");
        }
    }

    /// A session is over, with what it held without a permit.
    pub(super) fn closed(&mut self, id: SessionId, unbegun: &[LeaseId]) {
        let session = self.open.remove(&id).expect("closed once");
        let mine: BTreeSet<LeaseId> =
            session.held.iter().filter(|(_, lease)| !lease.begun).map(|(id, _)| *id).collect();
        assert_eq!(mine, unbegun.iter().copied().collect(), "what a closed session gives back");
    }

    /// A session closes by itself.
    pub(super) fn drained(&self, id: SessionId, ending: Ending) {
        let session = &self.open[&id];
        assert_eq!(ending == Ending::Leaving, self.leaving, "how it ends");
        assert!(session.draining && self.is_empty(id, session), "ended before it was drained");
    }

    fn is_empty(&self, id: SessionId, session: &Open) -> bool {
        let coming = self.under_way.values().any(|(to, stay)| *to == id && *stay == session.stay);
        session.held.is_empty() && !coming
    }

    /// This replica was taken for dead: what was held is somebody else's.
    pub(super) fn fenced(&mut self) {
        self.open.values_mut().for_each(|session| session.held.clear());
    }

    // ---- After every step --------------------------------------------------------------------------

    /// The floor's sessions and its ledger are the model's.
    pub(super) fn check(&self, floor: &Floor) {
        assert_eq!(floor.sessions.len(), self.open.len(), "sessions");
        let mut leases = 0;
        for (id, open) in &self.open {
            let session = floor.sessions.get(id).expect("a session is missing");
            assert_eq!(
                (session.stream, session.slots, session.draining),
                (open.stream, open.slots, open.draining),
                "stream, slots, draining"
            );
            let held: BTreeSet<LeaseId> = session.held.iter().copied().collect();
            assert_eq!(held, open.held.keys().copied().collect(), "what a session holds");
            for (lease, held) in &open.held {
                let entry = floor.ledger.get(*lease).expect("a lease is missing from the ledger");
                assert_eq!((entry.session, entry.begun), (*id, held.begun), "a lease in the ledger");
            }
            leases += held.len();
            assert!(!open.draining || !self.is_empty(*id, open), "drained and not ended");
        }
        assert_eq!(floor.ledger.len(), leases, "the ledger has leases that no session holds");
    }

    /// No grant is under way: what a session holds is what the database says, and no slot is leaked.
    pub(super) fn settled(&self, floor: &Floor, id: SessionId, live: &BTreeSet<LeaseId>) {
        let open = &self.open[&id];
        let held: BTreeSet<LeaseId> = open.held.keys().copied().collect();
        assert_eq!(&held, live, "the ledger is not what the database says");
        let shut = open.draining || open.muted.is_some_and(|until| until > self.served);
        let free = if shut { 0 } else { open.slots.saturating_sub(held.len()) };
        assert_eq!(floor.sessions[&id].free(floor.served, 0), free, "free slots");
    }
}
