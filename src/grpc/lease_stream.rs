//! The `LeaseCalls` stream: a dialer's messages in, the engine's out. Ends with the session, whichever side ends it.

use std::sync::Arc;

use futures::StreamExt as _;
use tokio::sync::mpsc;
use tonic::{Code, Status, Streaming};

use super::{
    convert::{self, NAME_MAX, timestamp, wire_duration},
    status::{Violations, status},
    views,
};
use crate::{
    engine::{
        Engine, EngineError,
        leasing::{
            events::Outbound,
            messages::{Ending, Message},
        },
        sessions::Session,
    },
    pb::{self, lease_calls_request, lease_calls_response},
};

/// Slots of one session.
const SLOTS_MAX: i32 = 10_000;
/// Campaigns that one session names.
const CAMPAIGNS_MAX: usize = 100;

/// What goes out on one stream.
pub type Outgoing = mpsc::Receiver<Result<pb::LeaseCallsResponse, Status>>;

/// Opens the session that the first message names, and serves it on a task of its own.
pub async fn serve(engine: &Arc<Engine>, mut incoming: Streaming<pb::LeaseCallsRequest>) -> Result<Outgoing, Status> {
    let first = incoming.message().await?.and_then(|first| first.message);
    let Some(lease_calls_request::Message::Open(open)) = first else {
        return Err(status(Code::InvalidArgument, pb::ErrorReason::OpenExpected, "the first message must be Open"));
    };
    let mut bad = Violations::default();
    let dialer = convert::text(&open.dialer_id, 1..=NAME_MAX, "open.dialer_id", &mut bad);
    let id = convert::id(&open.session_id, "open.session_id", &mut bad);
    let slots = convert::number(open.slots, &(0..=SLOTS_MAX), "open.slots", &mut bad);
    let campaigns = match open.campaign_ids.as_slice() {
        [] => Vec::new(),
        ids => convert::ids(ids, "open.campaign_ids", CAMPAIGNS_MAX, &mut bad),
    };
    bad.check()?;
    let (session, outbound) = engine.open_session(id, &dialer, &campaigns, slots).await?;
    let (sender, outgoing) = mpsc::channel(1);
    tokio::spawn(pump(session, incoming, outbound, sender));
    Ok(outgoing)
}

/// Carries messages both ways until either side ends. Dropping the session ends it; what the engine had to say by then is
/// still said.
async fn pump(
    session: Session,
    mut incoming: Streaming<pb::LeaseCallsRequest>,
    mut outbound: mpsc::Receiver<Outbound>,
    sender: mpsc::Sender<Result<pb::LeaseCallsResponse, Status>>,
) {
    let mut session = Some(session);
    loop {
        tokio::select! {
            message = incoming.next(), if session.is_some() => {
                let refused = match (message, &session) {
                    (Some(Ok(message)), Some(session)) => take(session, message).err(),
                    // It cannot be read, or its link broke: then nobody hears this.
                    (Some(Err(_)), _) => {
                        Some(status(Code::InvalidArgument, pb::ErrorReason::BadInput, "a message cannot be decoded"))
                    }
                    // The dialer has ended its side.
                    (None, _) | (_, None) => {
                        session = None;
                        None
                    }
                };
                if let Some(refused) = refused {
                    let _ = sender.send(Err(refused)).await;
                    return;
                }
            }
            out = outbound.recv() => match out {
                Some(Outbound::Message(message)) => {
                    // While the dialer does not read, neither do we: the outbox fills, and the floor calls it deaf.
                    if sender.send(Ok(wire(message))).await.is_err() {
                        return;
                    }
                }
                Some(Outbound::End(ending)) => {
                    if let Some(reason) = refusal(ending) {
                        let _ = sender.send(Err(reason)).await;
                    }
                    return;
                }
                None => return,
            },
            () = sender.closed() => return,
        }
    }
}

fn refusal(ending: Ending) -> Option<Status> {
    match ending {
        Ending::Done => None,
        Ending::Lost => Some(status(
            Code::Aborted,
            pb::ErrorReason::SessionLost,
            "nothing was heard for session_ttl: the session is lost",
        )),
        Ending::Deaf => Some(status(
            Code::ResourceExhausted,
            pb::ErrorReason::Overloaded,
            "messages were not read: the session is lost",
        )),
        Ending::Leaving => Some(EngineError::ShuttingDown.into()),
    }
}

fn take(session: &Session, request: pb::LeaseCallsRequest) -> Result<(), Status> {
    let mut bad = Violations::default();
    match request.message {
        Some(lease_calls_request::Message::Open(_)) => {
            return Err(status(
                Code::InvalidArgument,
                pb::ErrorReason::OpenExpected,
                "Open comes once, as the first message",
            ));
        }
        Some(lease_calls_request::Message::Slots(slots)) => {
            let slots = convert::number(slots.slots, &(0..=SLOTS_MAX), "slots.slots", &mut bad);
            bad.check()?;
            session.set_slots(usize::try_from(slots).unwrap_or(0));
        }
        Some(lease_calls_request::Message::Received(received)) => {
            let most = usize::try_from(SLOTS_MAX).unwrap_or(0);
            let leases = convert::ids(&received.lease_ids, "received.lease_ids", most, &mut bad);
            bad.check()?;
            session.received(leases);
        }
        Some(lease_calls_request::Message::Heartbeat(_)) => session.heartbeat(),
        Some(lease_calls_request::Message::Drain(_)) => session.drain(),
        None => {
            bad.add("message", "must be specified");
            bad.check()?;
        }
    }
    Ok(())
}

fn wire(message: Message) -> pb::LeaseCallsResponse {
    let message = match message {
        Message::Opened { session_ttl, now } => lease_calls_response::Message::Opened(pb::Opened {
            session_ttl: Some(wire_duration(session_ttl)),
            server_time: Some(timestamp(now)),
            held: Vec::new(),
        }),
        Message::Granted(leases) => lease_calls_response::Message::Granted(pb::Granted {
            leases: leases.into_iter().map(views::lease).collect(),
        }),
        Message::Revoked(leases, reason) => lease_calls_response::Message::Revoked(pb::Revoked {
            lease_ids: leases.iter().map(ToString::to_string).collect(),
            reason: reason as i32,
        }),
        Message::Throttled(reason, retry_after) => lease_calls_response::Message::Throttled(pb::Throttled {
            reason: reason as i32,
            retry_after: retry_after.map(wire_duration),
        }),
        Message::HeartbeatAck(now) => {
            lease_calls_response::Message::HeartbeatAck(pb::HeartbeatAck { server_time: Some(timestamp(now)) })
        }
    };
    pb::LeaseCallsResponse { message: Some(message) }
}
