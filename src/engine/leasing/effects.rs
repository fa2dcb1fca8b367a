//! Carries out what the floor wants: messages to streams, and questions to the database, each on a task of its own whose
//! answer comes back as an event.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{
    dispatcher::Dispatcher,
    events::Event,
    messages::{Effect, Ending, Message, RevokeReason},
};
use crate::{
    domain::ids::{LeaseId, SessionId},
    engine::{Engine, GRANT_WITHIN},
    store::{
        queue::RefillAsk,
        releases::{ReleaseVerdict, Released},
    },
};

/// How long a release waits when the database did not answer.
const RELEASE_AGAIN: Duration = Duration::from_secs(1);
/// After this a grant cannot be made any more: a second for clocks and commits.
const RECALL_AFTER: Duration = GRANT_WITHIN.saturating_add(Duration::from_secs(1));

impl Dispatcher {
    /// Carries out effects, and those that follow from them.
    pub(super) fn apply(&mut self, effects: Vec<Effect>) {
        let mut todo = VecDeque::from(effects);
        while let Some(effect) = todo.pop_front() {
            match effect {
                Effect::Send(session, message) => todo.extend(self.send(session, message)),
                Effect::Close(session, ending) => self.close(session, ending),
                Effect::Release(leases, reason) => self.release(leases, reason),
                Effect::Recall(leases) => self.recall(leases),
                Effect::Park(parked) => self.engine.park(parked),
                Effect::Refill(ask) => self.refill(ask),
                Effect::Reload(campaign) => self.engine.reload(campaign),
                Effect::Peek(campaign) => self.engine.peek_promises(vec![campaign]),
                Effect::CheckStreams => self.engine.find_lost_streams(self.floor.streams()),
                Effect::Block(numbers) => self.engine.block_again(numbers),
            }
        }
    }

    fn send(&mut self, session: SessionId, message: Message) -> Option<Effect> {
        let now = self.now();
        self.floor.told(session, now);
        let (_, outbox) = self.outboxes.get(&session)?;
        (!outbox.send(message)).then_some(Effect::Close(session, Ending::Deaf))
    }

    fn close(&mut self, session: SessionId, ending: Ending) {
        let stream = self.floor.stream_of(session);
        if let Some((_, outbox)) = self.outboxes.remove(&session) {
            outbox.end(ending);
        }
        let unbegun = self.floor.closed(session);
        if let Some(stream) = stream {
            self.engine.close_session(session, stream, unbegun);
        }
    }

    fn release(&self, leases: Vec<LeaseId>, reason: Option<RevokeReason>) {
        let (engine, events) = (Arc::clone(&self.engine), self.events.clone());
        tokio::spawn(async move {
            let Some(released) = give_back(&engine, &leases).await else { return };
            let (mut over, mut begun, mut not_held) = (Vec::new(), Vec::new(), Vec::new());
            for Released { lease, verdict, .. } in released {
                match verdict {
                    ReleaseVerdict::Released => over.push(lease),
                    ReleaseVerdict::Begun => begun.push(lease),
                    ReleaseVerdict::NotHeld => not_held.push(lease),
                }
            }
            for event in [Event::Ended(over, reason), Event::Begun(begun), Event::Ended(not_held, None)] {
                let _ = events.send(event);
            }
        });
    }

    /// Takes back what a grant without an answer may have made, once it cannot be made any more.
    fn recall(&self, leases: Vec<LeaseId>) {
        let (engine, events) = (Arc::clone(&self.engine), self.events.clone());
        tokio::spawn(async move {
            sleep(RECALL_AFTER).await;
            if give_back(&engine, &leases).await.is_some() {
                let _ = events.send(Event::Recalled(leases));
            }
        });
    }

    fn refill(&self, ask: RefillAsk) {
        let (engine, events) = (Arc::clone(&self.engine), self.events.clone());
        tokio::spawn(async move {
            let result = engine.refill(&ask).await;
            let _ = events.send(Event::Refilled(ask, result));
        });
    }
}

/// Gives leases back, as soon as the database answers; they take their slots till then, so that not many wait here. None:
/// the engine stops.
async fn give_back(engine: &Arc<Engine>, leases: &[LeaseId]) -> Option<Vec<Released>> {
    loop {
        match engine.give_back(leases).await {
            Ok(released) => return Some(released),
            Err(error) => engine.outage.note(&error),
        }
        tokio::select! {
            () = engine.stop.cancelled() => return None,
            () = sleep(RELEASE_AGAIN) => {}
        }
    }
}
