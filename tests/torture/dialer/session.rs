//! A session and the leases in its hands.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use dialplane::pb;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{carrier::now, log::Event, pen::Pen};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Granted, no more.
    Waiting,
    /// A permit was asked for.
    Asked,
    Begun,
}

struct Hand {
    stage: Stage,
    /// Ends the wait, or the ring.
    over: CancellationToken,
}

/// One session, of one life of a dialer.
pub struct Session {
    pub id: Uuid,
    hands: Mutex<HashMap<Uuid, Hand>>,
    twice: AtomicBool,
}

impl Session {
    pub fn new() -> Arc<Session> {
        Arc::new(Session { id: Uuid::new_v4(), hands: Mutex::default(), twice: AtomicBool::new(false) })
    }

    /// Another process's view of it.
    pub fn twin(&self) -> Arc<Session> {
        self.twice.store(true, Ordering::Relaxed);
        Arc::new(Session { id: self.id, hands: Mutex::default(), twice: AtomicBool::new(true) })
    }

    /// Whether another process has it, or had.
    pub fn runs_twice(&self) -> bool {
        self.twice.load(Ordering::Relaxed)
    }

    pub fn held(&self) -> Vec<pb::HeldLease> {
        let hands = self.hands.lock().unwrap();
        hands
            .iter()
            .map(|(lease, hand)| pb::HeldLease { lease_id: lease.to_string(), begun: hand.stage == Stage::Begun })
            .collect()
    }

    /// Takes a lease into its hands; none: it is there already.
    pub fn take(&self, lease: Uuid) -> Option<CancellationToken> {
        let mut hands = self.hands.lock().unwrap();
        if hands.contains_key(&lease) {
            return None;
        }
        let over = CancellationToken::new();
        hands.insert(lease, Hand { stage: Stage::Waiting, over: over.clone() });
        Some(over)
    }

    /// Goes on to the next stage; false: it was let go.
    pub fn advance(&self, lease: Uuid, stage: Stage) -> bool {
        match self.hands.lock().unwrap().get_mut(&lease) {
            Some(hand) => {
                hand.stage = stage;
                true
            }
            None => false,
        }
    }

    /// The call is over and told.
    pub fn finish(&self, lease: Uuid) {
        self.hands.lock().unwrap().remove(&lease);
    }

    /// The engine says that it is over. One for which a permit was asked hears it by the answer.
    pub fn is_over(&self, lease: Uuid, pen: &Pen) {
        let mut hands = self.hands.lock().unwrap();
        let Some(hand) = hands.get(&lease) else { return };
        match hand.stage {
            Stage::Waiting => {
                hand.over.cancel();
                hands.remove(&lease);
                drop(hands);
                pen.write(&Event::Gone { lease, at: now() });
            }
            Stage::Asked => {}
            Stage::Begun => hand.over.cancel(),
        }
    }

    /// Lets go of a lease that waits; false: it is beyond that, or gone.
    pub fn let_go(&self, lease: Uuid, pen: &Pen) -> bool {
        let mut hands = self.hands.lock().unwrap();
        if hands.get(&lease).is_none_or(|hand| hand.stage != Stage::Waiting) {
            return false;
        }
        hands.remove(&lease);
        drop(hands);
        pen.write(&Event::Gone { lease, at: now() });
        true
    }

    /// The session is over: what waits is dropped, calls under way go on.
    pub fn forget_waiting(&self, pen: &Pen) {
        let waiting: Vec<Uuid> = {
            let hands = self.hands.lock().unwrap();
            hands.iter().filter(|(_, hand)| hand.stage == Stage::Waiting).map(|(lease, _)| *lease).collect()
        };
        for lease in waiting {
            self.is_over(lease, pen);
        }
    }

    /// The process is gone, and with it all that it knew.
    pub fn forget_all(&self, pen: &Pen) {
        let hands = std::mem::take(&mut *self.hands.lock().unwrap());
        for (lease, hand) in hands {
            hand.over.cancel();
            pen.write(&Event::Gone { lease, at: now() });
        }
    }
}
