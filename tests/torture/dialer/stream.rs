//! One LeaseCalls stream, from Open to whatever ends it.

use std::{sync::Arc, time::Duration};

use dialplane::pb::{self, lease_calls_request::Message as Say, lease_calls_response::Message as Heard};
use rand::{Rng as _, rngs::StdRng};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Dialer, End, SESSION_TTL, session::Session};
use crate::{
    behaviour::Behaviour,
    carrier::now,
    log::{Event, Micros},
};

const TURN: Duration = Duration::from_millis(50);
/// Heartbeats until Opened tells the ttl.
const FIRST_HEARTBEATS: Duration = Duration::from_millis(250);
/// How many turns, on average, between two changes of the demand.
const DEMAND_CHANGES: f64 = 0.01;

/// A stream and what was said on it.
struct Conversation {
    to_engine: mpsc::Sender<pb::LeaseCallsRequest>,
    from_engine: Streaming<pb::LeaseCallsResponse>,
    heard: Instant,
    said: Instant,
    heartbeat: Duration,
    beats: Beats,
}

/// Which heartbeats were answered, and whether one of them tells that the engine knows the demand.
#[derive(Default)]
struct Beats {
    said: u64,
    answered: u64,
    /// The first heartbeat after the latest demand, and when it was said.
    proof: Option<(u64, Micros)>,
    /// A demand was told, and no heartbeat since.
    owed: bool,
}

impl Conversation {
    /// What does not fit is lost: an engine that takes nothing in hears nothing.
    fn say(&mut self, what: Say) -> bool {
        self.said = Instant::now();
        self.to_engine.try_send(pb::LeaseCallsRequest { message: Some(what) }).is_ok()
    }

    fn beat(&mut self) {
        let asked = now();
        if !self.say(Say::Heartbeat(pb::Heartbeat {})) {
            return;
        }
        self.beats.said += 1;
        if std::mem::take(&mut self.beats.owed) {
            self.beats.proof = Some((self.beats.said, asked));
        }
    }

    fn demand(&mut self, slots: i32) {
        // A demand that was not told stays unproven.
        self.beats.owed = self.say(Say::Slots(pb::Slots { slots }));
        self.beats.proof = None;
    }

    /// The instant of asking, when this answer proves that the engine knows the demand.
    fn acknowledged(&mut self) -> Option<Micros> {
        self.beats.answered += 1;
        let (beat, asked) = self.beats.proof?;
        (self.beats.answered >= beat).then(|| {
            self.beats.proof = None;
            asked
        })
    }
}

impl Dialer {
    pub(super) async fn stream(
        self: &Arc<Self>,
        session: &Arc<Session>,
        calls: &mut JoinSet<()>,
        rng: &mut StdRng,
    ) -> End {
        let mut talk = match self.open(session, rng).await {
            Ok(talk) => talk,
            Err(end) => return end,
        };
        let mut turn = interval(TURN);
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = turn.tick() => {
                    if let Some(end) = self.turn(session, &mut talk, rng).await {
                        return end;
                    }
                }
                message = talk.from_engine.message(), if !self.behaviours.is(Behaviour::NeverReads) => match message {
                    Ok(Some(message)) => {
                        talk.heard = Instant::now();
                        if let Some(end) = self.hear(session, &mut talk, message, calls) {
                            return end;
                        }
                    }
                    Ok(None) => return End::Elsewhere,
                    Err(status) => return self.failed(&status),
                }
            }
        }
    }

    async fn open(&self, session: &Session, rng: &mut StdRng) -> Result<Conversation, End> {
        let (to_engine, outgoing) = mpsc::channel(64);
        let open = pb::Open {
            dialer_id: self.name.clone(),
            session_id: session.id.to_string(),
            campaign_ids: self.campaigns.clone(),
            slots: self.slots,
            held: session.held(),
        };
        self.pen.write(&Event::Slots { session: session.id, slots: self.slots, at: now() });
        let _ = to_engine.try_send(pb::LeaseCallsRequest { message: Some(Say::Open(open)) });
        let mut client = self.client(rng);
        match timeout(SESSION_TTL, client.lease_calls(ReceiverStream::new(outgoing))).await {
            Err(_) => Err(End::Elsewhere),
            Ok(Err(status)) => Err(self.failed(&status)),
            Ok(Ok(answer)) => Ok(Conversation {
                to_engine,
                from_engine: answer.into_inner(),
                heard: Instant::now(),
                said: Instant::now(),
                heartbeat: FIRST_HEARTBEATS,
                beats: Beats { owed: true, ..Beats::default() },
            }),
        }
    }

    /// What it does by itself: signs of life, another demand, an end.
    async fn turn(&self, session: &Session, talk: &mut Conversation, rng: &mut StdRng) -> Option<End> {
        if let Some(end) = self.mishap().await {
            return Some(end);
        }
        if talk.said.elapsed() >= talk.heartbeat {
            talk.beat();
        }
        if rng.random_bool(DEMAND_CHANGES) {
            let slots = if self.is_calm() { self.slots } else { rng.random_range(0..=self.slots) };
            self.pen.write(&Event::Slots { session: session.id, slots, at: now() });
            talk.demand(slots);
        }
        let is_deaf = self.behaviours.is(Behaviour::NeverReads);
        if is_deaf {
            talk.heard = Instant::now();
        }
        (talk.heard.elapsed() > SESSION_TTL).then_some(End::Elsewhere)
    }

    fn hear(
        self: &Arc<Self>,
        session: &Arc<Session>,
        talk: &mut Conversation,
        message: pb::LeaseCallsResponse,
        calls: &mut JoinSet<()>,
    ) -> Option<End> {
        match message.message? {
            Heard::Opened(opened) => {
                self.opened(session, &opened);
                let ttl = opened.session_ttl.and_then(|ttl| Duration::try_from(ttl).ok());
                talk.heartbeat = ttl.unwrap_or(SESSION_TTL) / 4;
            }
            Heard::Granted(granted) => {
                let lease_ids = self.granted(session, granted.leases, calls);
                if !self.behaviours.is(Behaviour::NeverAnswers) {
                    talk.say(Say::Received(pb::Received { lease_ids }));
                }
            }
            Heard::Revoked(revoked) => self.revoked(session, &revoked),
            Heard::GoAway(_) => return Some(End::Elsewhere),
            Heard::HeartbeatAck(_) => {
                if let Some(asked) = talk.acknowledged()
                    && !session.runs_twice()
                {
                    self.pen.write(&Event::Heard { session: session.id, asked, answered: now() });
                }
            }
            Heard::Throttled(_) => {}
        }
        None
    }
}
