//! What happens to the floor, and what its streams get.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::{
    door::Opening,
    floor::Planned,
    lane::ZoneBook,
    messages::{Ending, Message, RevokeReason},
};
use crate::{
    domain::{
        ids::{CampaignKey, LeaseId, SessionId, StreamNumber},
        settings::SchedulerSettings,
    },
    store::{
        StoreError,
        campaigns::CampaignRow,
        leases::GrantVerdict,
        queue::{QueuedLead, Refill},
        sessions::Presence,
    },
};

/// What a stream gets: messages, and at last why it ends.
pub enum Outbound {
    /// For the dialer.
    Message(Message),
    /// The last one.
    End(Ending),
}

/// What happens to the floor.
pub enum Event {
    /// A stream opened a session or took it over; its row is written. Its messages go to the outbox.
    Open(Opening, mpsc::Sender<Outbound>),
    /// A stream is over.
    Closed(SessionId, StreamNumber),
    /// This later stream of the session is on another replica.
    TakenOver(SessionId, StreamNumber),
    /// A stream has its session no more, for whatever reason.
    StreamLost(SessionId, StreamNumber, Ending),
    /// This replica is leaving; its dialers have so long to go elsewhere.
    Leave(Duration),
    /// The demand changes.
    Slots(SessionId, StreamNumber, usize),
    /// Receipts.
    Received(SessionId, StreamNumber, Vec<LeaseId>),
    /// A sign of life that wants an answer.
    Heartbeat(SessionId, StreamNumber),
    /// A call named the session, here.
    Heard(SessionId),
    /// A call named the session on another replica.
    HeardElsewhere(SessionId),
    /// No more grants.
    Drain(SessionId, StreamNumber),
    /// Leases have their permits.
    Begun(Vec<LeaseId>),
    /// A lease is over; with a reason its dialer is told.
    Ended(LeaseId, Option<RevokeReason>),
    /// Another replica says so.
    EndedElsewhere(LeaseId, Option<RevokeReason>),
    /// Leads of a campaign may be due that were not.
    Wake(CampaignKey),
    /// A waiting lead of a campaign, no promise, is due then.
    Due(CampaignKey, DateTime<Utc>),
    /// A campaign as it is now.
    Campaign(Arc<CampaignRow>),
    /// Everything, read afresh.
    Survey(Box<Survey>),
    /// Compare the ledger with the database: news of an end may have been lost.
    Reconcile,
    /// Who is there.
    Presence(Presence),
    /// This replica was taken for dead.
    Fenced,
    /// READY leads that memory does not know.
    Inherited(Vec<QueuedLead>),
    /// A grant is done.
    Granted(Vec<Planned>, Result<Vec<GrantVerdict>, StoreError>),
    /// A refill is done: campaign, want, scan.
    Refilled(CampaignKey, i32, i32, Result<Refill, StoreError>),
    /// The promises of these campaigns in the near future.
    Promises(Vec<CampaignKey>, Vec<QueuedLead>),
}

/// Everything that the floor reads from the database at once.
pub struct Survey {
    /// All running campaigns.
    pub running: Vec<Arc<CampaignRow>>,
    /// The zones.
    pub zones: Arc<ZoneBook>,
    /// Their promises of the near future.
    pub promises: Vec<QueuedLead>,
    /// In force.
    pub settings: SchedulerSettings,
}
