//! Dialers' sessions: opened on this replica or taken over, fed by the dispatcher.

use std::{collections::HashSet, sync::Arc, time::Duration};

use super::{
    Engine, EngineError,
    leasing::{
        door::Opening,
        events::{Event, Inbox, outbox},
        messages::{Ending, RevokeReason},
    },
    loops::signals::Signal,
};
use crate::{
    domain::ids::{CampaignId, CampaignKey, LeaseId, SessionId, StreamNumber},
    store::sessions::Hand,
};

/// Messages that may wait for a dialer to read; one that falls behind further is deaf.
const OUTBOX_MAX: usize = 256;

/// How a dialer opens a session, or comes back to it.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The session.
    pub session: SessionId,
    /// The dialer's own name.
    pub dialer: String,
    /// Lease only from these; none: from all that run.
    pub campaigns: Vec<CampaignId>,
    /// Leases it is ready to hold at once.
    pub slots: i32,
    /// Leases it holds.
    pub held: Vec<LeaseId>,
}

/// A stream of a dialer's session on this replica. Dropped, it is over.
pub struct Session {
    engine: Arc<Engine>,
    id: SessionId,
    stream: StreamNumber,
}

impl Session {
    /// The demand changes.
    pub fn set_slots(&self, slots: usize) {
        self.engine.tell(Event::Slots(self.id, self.stream, slots));
    }

    /// Leases were received.
    pub fn received(&self, leases: Vec<LeaseId>) {
        self.engine.tell(Event::Received(self.id, self.stream, leases));
    }

    /// A sign of life that wants an answer.
    pub fn heartbeat(&self) {
        self.engine.tell(Event::Heartbeat(self.id, self.stream));
    }

    /// A sign of life.
    pub fn heard(&self) {
        self.engine.tell(Event::Heard(self.id));
    }

    /// No more grants; the stream ends when nothing is held.
    pub fn drain(&self) {
        self.engine.tell(Event::Drain(self.id, self.stream));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.engine.tell(Event::Closed(self.id, self.stream));
    }
}

impl Engine {
    /// Opens a session of a dialer, or takes it over from its older stream, wherever that is.
    ///
    /// # Errors
    /// [`EngineError::SessionInUse`], [`EngineError::SessionTakenOver`] by a later stream meanwhile,
    /// [`EngineError::CampaignNotFound`], [`EngineError::ShuttingDown`].
    pub async fn open_session(self: &Arc<Self>, demand: Demand) -> Result<(Session, Inbox), EngineError> {
        if self.leaving() {
            return Err(EngineError::ShuttingDown);
        }
        let mut only = HashSet::new();
        for campaign in &demand.campaigns {
            only.insert(self.campaign(*campaign).await?.key);
        }
        let engine = Arc::clone(self);
        // To its end, even when the caller goes away: what was written must find somebody who ends it.
        let opened = tokio::spawn(async move { engine.write_session(demand, only).await });
        opened.await.map_err(|error| EngineError::Internal(error.to_string()))?
    }

    async fn write_session(
        self: &Arc<Self>,
        demand: Demand,
        only: HashSet<CampaignKey>,
    ) -> Result<(Session, Inbox), EngineError> {
        let Demand { session: id, dialer, slots, held, .. } = demand;
        let stream = self.store.open_session(id, &dialer, self.replica(), slots).await?;
        let stream = stream.ok_or(EngineError::SessionInUse)?;
        // From here on the older stream gets no grants: what it had can be read.
        let session = Session { engine: Arc::clone(self), id, stream };
        let own = self.store.leases_of(id, stream).await?.ok_or(EngineError::SessionTakenOver)?;
        if stream > 1 {
            self.signals.send(Signal::TakenOver(id, stream));
        }
        let (outbox, inbox) = outbox(OUTBOX_MAX);
        let campaigns = (!only.is_empty()).then_some(only);
        let slots = usize::try_from(slots).unwrap_or(0);
        self.tell(Event::Open(Opening { session: id, stream, campaigns, slots, own, held }, outbox));
        Ok((session, inbox))
    }

    /// Whether this replica leaves.
    pub fn leaving(&self) -> bool {
        self.leaving.is_cancelled() || self.stop.is_cancelled()
    }

    /// This replica leaves: no new sessions, and its dialers have so long to go elsewhere.
    pub(crate) fn leave(&self, within: Duration) {
        self.leaving.cancel();
        self.tell(Event::Leave(within));
    }

    /// Notes, aside, the slots of sessions: for the status, and for the other replicas' buffers.
    pub(crate) fn note_slots(self: &Arc<Self>, sessions: Vec<SessionId>, slots: Vec<i32>) {
        let engine = Arc::clone(self);
        self.ask_aside(async move {
            if let Err(error) = engine.store.note_slots(engine.replica(), &sessions, &slots).await {
                engine.outage.note(&error);
            }
        });
    }

    /// Notes, aside, what this replica holds and wants: for the shares of campaigns on the others.
    pub(crate) fn note_hand(self: &Arc<Self>, hand: Vec<Hand>) {
        let engine = Arc::clone(self);
        self.ask_aside(async move {
            if let Err(error) = engine.store.note_hand(engine.replica(), &hand).await {
                engine.outage.note(&error);
            }
        });
    }

    /// Notes, aside, that a stream is over. Unless a later one has the session, so is the session, and what it held without
    /// a permit goes back.
    pub(crate) fn close_session(self: &Arc<Self>, session: SessionId, stream: StreamNumber, unbegun: Vec<LeaseId>) {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            // What fails is made up for by the replica keeper and the sweeper.
            match engine.store.close_session(session, stream).await {
                // A later stream may have kept one of them, a moment before: it is told.
                Ok(true) if !unbegun.is_empty() => match engine.take_back(&unbegun, RevokeReason::NotBegun).await {
                    Ok(_) | Err(EngineError::Unavailable) => {}
                    Err(error) => tracing::error!(%error, "leases of a closed session cannot be taken back"),
                },
                Ok(_) => {}
                Err(error) => engine.outage.note(&error),
            }
        });
    }

    /// Tells, aside, which streams have their sessions no more; and closes sessions that have no stream any more.
    pub(crate) fn find_lost_streams(self: &Arc<Self>, streams: (Vec<SessionId>, Vec<StreamNumber>)) {
        let engine = Arc::clone(self);
        self.ask_aside(async move {
            let found = async {
                engine.store.close_all_but(engine.replica(), &streams.0).await?;
                engine.store.lost_streams(&streams.0, &streams.1).await
            };
            match found.await {
                Ok(lost) => {
                    for (session, stream, taken_over) in lost {
                        let ending = if taken_over { Ending::TakenOver } else { Ending::Lost };
                        engine.tell(Event::StreamLost(session, stream, ending));
                    }
                }
                Err(error) => engine.outage.note(&error),
            }
        });
    }
}
