//! The `LeaseCalls` stream: a dialer's messages in, the engine's out. Ends with the session, whichever side ends it.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use tokio::{sync::mpsc, time::timeout};
use tonic::{Code, Status, Streaming};

use super::{
    convert,
    lease_messages::{self, SLOTS_MAX, refusal, wire},
    status::{Violations, status},
};
use crate::{
    engine::{
        Engine,
        leasing::events::{Inbox, Outbound},
        sessions::Session,
    },
    pb::{self, lease_calls_request},
};

/// How long a dialer may leave a message unread before its stream is given up: by then its session has long been lost.
const UNREAD_MAX: Duration = Duration::from_secs(600);

/// What goes out on one stream.
pub type Outgoing = mpsc::Receiver<Result<pb::LeaseCallsResponse, Status>>;

/// Opens the session that the first message names, and serves it on a task of its own.
pub async fn serve(engine: &Arc<Engine>, mut incoming: Streaming<pb::LeaseCallsRequest>) -> Result<Outgoing, Status> {
    let first = incoming.message().await?.and_then(|first| first.message);
    let Some(lease_calls_request::Message::Open(open)) = first else {
        return Err(status(Code::InvalidArgument, pb::ErrorReason::OpenExpected, "the first message must be Open"));
    };
    let mut bad = Violations::default();
    let demand = lease_messages::demand(&open, "open.", &mut bad);
    bad.check()?;
    let (session, outbound) = engine.open_session(demand).await?;
    let (sender, outgoing) = mpsc::channel(1);
    tokio::spawn(pump(session, incoming, outbound, sender));
    Ok(outgoing)
}

/// Carries messages both ways until either side ends. Dropping the session ends it; what the engine had to say by then is
/// still said.
async fn pump(
    session: Session,
    mut incoming: Streaming<pb::LeaseCallsRequest>,
    mut outbound: Inbox,
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
                Outbound::Message(message) => {
                    // While the dialer does not read, neither do we: the outbox fills, and the floor calls it deaf.
                    let response = pb::LeaseCallsResponse { message: Some(wire(message)) };
                    if !matches!(timeout(UNREAD_MAX, sender.send(Ok(response))).await, Ok(Ok(()))) {
                        return;
                    }
                }
                Outbound::End(ending) => {
                    if let Some(reason) = refusal(ending) {
                        let _ = sender.send(Err(reason)).await;
                    }
                    return;
                }
            },
            () = sender.closed() => return,
        }
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
            let leases = lease_messages::leases(&received.lease_ids, "received.lease_ids", &mut bad);
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
