//! Dialers' sessions: opened on this replica, fed by the dispatcher.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::mpsc;

use super::{
    Engine, EngineError,
    leasing::events::{Event, Outbound},
};
use crate::domain::ids::{CampaignId, LeaseId, SessionId};

/// Messages that may wait for a dialer to read; one that falls behind further is deaf.
const OUTBOX_MAX: usize = 256;

/// A dialer's session on this replica. Dropped, it is over.
pub struct Session {
    engine: Arc<Engine>,
    id: SessionId,
    stream: u64,
}

impl Session {
    /// The demand changes.
    pub fn set_slots(&self, slots: usize) {
        self.engine.tell(Event::Slots(self.id, slots));
    }

    /// Leases were received.
    pub fn received(&self, leases: Vec<LeaseId>) {
        self.engine.tell(Event::Received(self.id, leases));
    }

    /// A sign of life.
    pub fn heartbeat(&self) {
        self.engine.tell(Event::Heartbeat(self.id));
    }

    /// No more grants; the stream ends when nothing is held.
    pub fn drain(&self) {
        self.engine.tell(Event::Drain(self.id));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.engine.tell(Event::Closed(self.id, self.stream));
    }
}

impl Engine {
    /// Opens a session of a dialer.
    ///
    /// # Errors
    /// [`EngineError::SessionInUse`], [`EngineError::CampaignNotFound`], [`EngineError::ShuttingDown`].
    pub async fn open_session(
        self: &Arc<Self>,
        id: SessionId,
        dialer: &str,
        campaigns: &[CampaignId],
        slots: i32,
    ) -> Result<(Session, mpsc::Receiver<Outbound>), EngineError> {
        static STREAMS: AtomicU64 = AtomicU64::new(1);
        if self.stop.is_cancelled() {
            return Err(EngineError::ShuttingDown);
        }
        let mut only = HashSet::new();
        for campaign in campaigns {
            only.insert(self.campaign(*campaign).await?.key);
        }
        if !self.store.open_session(id, dialer, self.replica(), slots).await? {
            return Err(EngineError::SessionInUse);
        }
        let begun = self.store.begun_of(id).await?;
        let (outbox, inbox) = mpsc::channel(OUTBOX_MAX);
        let stream = STREAMS.fetch_add(1, Ordering::Relaxed);
        self.tell(Event::Open {
            session: id,
            stream,
            campaigns: (!only.is_empty()).then_some(only),
            slots: usize::try_from(slots).unwrap_or(0),
            begun,
            outbox,
        });
        Ok((Session { engine: Arc::clone(self), id, stream }, inbox))
    }

    /// Notes, aside, the slots of sessions: for the status, and for the other replicas' buffers.
    pub(crate) fn note_slots(self: &Arc<Self>, sessions: Vec<SessionId>, slots: Vec<i32>) {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = engine.store.note_slots(&sessions, &slots).await {
                engine.outage.note(&error);
            }
        });
    }

    /// Notes, aside, that a session is over.
    pub(crate) fn close_session(self: &Arc<Self>, session: SessionId) {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = engine.store.close_session(session, engine.replica()).await {
                engine.outage.note(&error);
            }
        });
    }
}
