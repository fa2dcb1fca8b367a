//! What goes in and out of the floor: instants, messages to dialers, effects on the rest of the engine.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use crate::{
    domain::ids::{CampaignId, CampaignKey, LeaseId, SessionId},
    store::queue::{Parked, QueuedLead, RefillAsk},
};

/// An instant on both clocks: the process's for liveness, the database's for leads.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Monotonic.
    pub mono: Instant,
    /// The database's.
    pub wall: DateTime<Utc>,
}

/// Why a lease was taken away. The codes are those of the proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(i32)]
pub enum RevokeReason {
    /// No receipt in time.
    NotReceived = 1,
    /// No BeginCalls in time.
    NotBegun = 2,
    /// Silent until max_duration.
    MaxDuration = 3,
    /// Paused, archived, reset, or under new rules.
    CampaignChanged = 4,
    /// Consumed, completed, rescheduled or changed.
    LeadChanged = 5,
    /// The number was suppressed.
    Suppressed = 6,
    /// The cap was lowered.
    CapLowered = 7,
    /// By hand.
    ByOperator = 8,
}

/// Why nothing is granted. The codes are those of the proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum ThrottleReason {
    /// No lead is due.
    Empty = 1,
    /// A cap is reached.
    Cap = 2,
    /// Leads wait for their hours.
    CallingHours = 3,
    /// No campaign of the session runs.
    Paused = 4,
    /// The provider refuses every call.
    Provider = 5,
}

/// A lease as its dialer gets it. Debug hides what is the lead's.
#[derive(Clone)]
pub struct GrantedLease {
    /// The lease.
    pub lease: LeaseId,
    /// The campaign, as people know it.
    pub campaign: CampaignId,
    /// The lead.
    pub lead: QueuedLead,
    /// No permit at or after this.
    pub not_after: DateTime<Utc>,
    /// How long it may wait for its permit.
    pub begin_within: Duration,
    /// How long the call may last.
    pub max_duration: Duration,
}

/// What a dialer is told.
#[derive(Clone)]
pub enum Message {
    /// The session is open.
    Opened {
        /// A session silent for this long is lost.
        session_ttl: Duration,
        /// The engine's clock.
        now: DateTime<Utc>,
        /// The leases that the dialer holds, and whether they live on.
        held: Vec<(LeaseId, bool)>,
    },
    /// New leases.
    Granted(Vec<GrantedLease>),
    /// Leases that are over.
    Revoked(Vec<LeaseId>, RevokeReason),
    /// Nothing to give.
    Throttled(ThrottleReason, Option<Duration>),
    /// A sign of life.
    HeartbeatAck(DateTime<Utc>),
    /// This replica is leaving: until when, and how long that is.
    GoAway(DateTime<Utc>, Duration),
}

/// Why a stream ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Drained, or the dialer ended it.
    Done,
    /// Nothing was heard for too long.
    Lost,
    /// Its messages are not read.
    Deaf,
    /// A later stream has the session.
    TakenOver,
    /// This replica stops, or was fenced.
    Leaving,
}

/// What the core wants done.
pub enum Effect {
    /// Tell a dialer.
    Send(SessionId, Message),
    /// End a stream.
    Close(SessionId, Ending),
    /// Take leases back; with a reason their dialers are told.
    Release(Vec<LeaseId>, Option<RevokeReason>),
    /// Take back what a grant without an answer may have leased, once it cannot be made any more.
    Recall(Vec<LeaseId>),
    /// Send leads to wait.
    Park(Vec<Parked>),
    /// Find leads for a lane.
    Refill(RefillAsk),
    /// Read a campaign again.
    Reload(CampaignKey),
    /// Read a campaign's promises again: there were more than were read.
    Peek(CampaignKey),
    /// A session has gone elsewhere: look which.
    CheckStreams,
    /// Block the leads of numbers that turned out to be suppressed.
    Block(Vec<i64>),
}
