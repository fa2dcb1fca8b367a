//! What streams and polls have in common: how a dialer states its demand, and how it is told.

use std::collections::HashSet;

use tonic::{Code, Status};

use super::{
    convert::{self, NAME_MAX, timestamp, wire_duration},
    status::{Violations, status},
    views,
};
use crate::{
    engine::{
        EngineError,
        leasing::messages::{Ending, Message},
        sessions::Demand,
    },
    pb::{self, lease_calls_response},
};

/// Slots of one session, and leases that one message names.
pub const SLOTS_MAX: i32 = 10_000;
/// Campaigns that one session names.
const CAMPAIGNS_MAX: usize = 100;

/// Ids of leases, up to [`SLOTS_MAX`].
pub fn leases(ids: &[String], field: &str, bad: &mut Violations) -> Vec<uuid::Uuid> {
    convert::ids(ids, field, usize::try_from(SLOTS_MAX).unwrap_or(0), bad)
}

/// A demand; `prefix` stands before the names of its fields.
pub fn demand(open: &pb::Open, prefix: &str, bad: &mut Violations) -> Demand {
    let field = |name: &str| format!("{prefix}{name}");
    let held: Vec<String> = open.held.iter().map(|held| held.lease_id.clone()).collect();
    Demand {
        dialer: convert::text(&open.dialer_id, 1..=NAME_MAX, &field("dialer_id"), bad),
        session: convert::id(&open.session_id, &field("session_id"), bad),
        slots: convert::number(open.slots, &(0..=SLOTS_MAX), &field("slots"), bad),
        campaigns: match open.campaign_ids.as_slice() {
            [] => Vec::new(),
            ids => convert::ids(ids, &field("campaign_ids"), CAMPAIGNS_MAX, bad),
        },
        held: if held.is_empty() { Vec::new() } else { leases(&held, &field("held"), bad) },
    }
}

/// A message of the engine.
pub fn wire(message: Message) -> lease_calls_response::Message {
    match message {
        Message::Opened { session_ttl, now, held } => lease_calls_response::Message::Opened(pb::Opened {
            session_ttl: Some(wire_duration(session_ttl)),
            server_time: Some(timestamp(now)),
            held: held
                .into_iter()
                .map(|(lease, lives)| pb::HeldResult {
                    lease_id: lease.to_string(),
                    verdict: if lives { pb::HeldVerdict::Keep } else { pb::HeldVerdict::Drop }.into(),
                })
                .collect(),
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
        Message::GoAway(drain_by, within) => lease_calls_response::Message::GoAway(pb::GoAway {
            drain_by: Some(timestamp(drain_by)),
            drain_within: Some(wire_duration(within)),
        }),
    }
}

/// All that a poll found in one answer.
pub fn polled(messages: Vec<Message>) -> pb::PollLeasesResponse {
    let mut answer = pb::PollLeasesResponse::default();
    for message in messages {
        match wire(message) {
            lease_calls_response::Message::Opened(opened) => answer.opened = Some(opened),
            lease_calls_response::Message::Granted(granted) => {
                answer.throttled = None;
                answer.leases.extend(granted.leases);
            }
            lease_calls_response::Message::Revoked(revoked) => {
                // Granted and taken away in one answer: it was never there.
                let over: HashSet<&str> = revoked.lease_ids.iter().map(String::as_str).collect();
                answer.leases.retain(|lease| !over.contains(lease.lease_id.as_str()));
                answer.revoked.push(revoked);
            }
            lease_calls_response::Message::Throttled(throttled) => answer.throttled = Some(throttled),
            lease_calls_response::Message::GoAway(go_away) => answer.go_away = Some(go_away),
            lease_calls_response::Message::HeartbeatAck(_) => {}
        }
    }
    answer
}

/// How a stream ends.
pub fn refusal(ending: Ending) -> Option<Status> {
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
        Ending::TakenOver => Some(EngineError::SessionTakenOver.into()),
        Ending::Leaving => Some(EngineError::ShuttingDown.into()),
    }
}
