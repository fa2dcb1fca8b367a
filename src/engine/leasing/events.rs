//! What happens to the floor, and what its streams get.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::{
    floor::Planned,
    lane::ZoneBook,
    messages::{Ending, Message, RevokeReason},
};
use crate::{
    domain::{
        ids::{CampaignKey, LeaseId, SessionId},
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
    /// A stream opened a session; its row is written.
    Open {
        /// The session.
        session: SessionId,
        /// Tells this stream from a later one of the same session.
        stream: u64,
        /// Only these; none: all.
        campaigns: Option<HashSet<CampaignKey>>,
        /// Its demand.
        slots: usize,
        /// Begun calls of the same session on an earlier stream: they take their slots.
        begun: Vec<(LeaseId, CampaignKey)>,
        /// Where its messages go.
        outbox: mpsc::Sender<Outbound>,
    },
    /// A stream is over.
    Closed(SessionId, u64),
    /// The demand changes.
    Slots(SessionId, usize),
    /// Receipts.
    Received(SessionId, Vec<LeaseId>),
    /// A sign of life.
    Heartbeat(SessionId),
    /// No more grants.
    Drain(SessionId),
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
