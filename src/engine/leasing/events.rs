//! What happens to the floor, and what its streams get.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

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
        queue::{QueuedLead, Refill, RefillAsk},
        sessions::{Hand, Presence},
    },
};

/// What a stream gets: messages, and at last why it ends.
pub enum Outbound {
    /// For the dialer.
    Message(Message),
    /// The last one.
    End(Ending),
}

/// Where a stream's messages go. Why it ends is kept beside them: it is told even where nothing more fits.
pub struct Outbox {
    messages: mpsc::Sender<Message>,
    ending: Arc<OnceLock<Ending>>,
}

/// The other side of an [`Outbox`].
pub struct Inbox {
    messages: mpsc::Receiver<Message>,
    ending: Arc<OnceLock<Ending>>,
}

/// A stream's two ends, for up to `max` messages that wait.
pub fn outbox(max: usize) -> (Outbox, Inbox) {
    let (sender, receiver) = mpsc::channel(max);
    let ending = Arc::new(OnceLock::new());
    (Outbox { messages: sender, ending: Arc::clone(&ending) }, Inbox { messages: receiver, ending })
}

impl Outbox {
    /// Adds a message. `false`: it does not fit, or nobody reads.
    #[must_use]
    pub fn send(&self, message: Message) -> bool {
        self.messages.try_send(message).is_ok()
    }

    /// Says why the stream ends, after what was sent before.
    pub fn end(self, ending: Ending) {
        // The first reason stands.
        let _ = self.ending.set(ending);
    }
}

impl Inbox {
    /// What comes next.
    pub async fn recv(&mut self) -> Outbound {
        let next = self.messages.recv().await;
        next.map_or_else(|| self.end(), Outbound::Message)
    }

    /// What is there.
    pub fn try_recv(&mut self) -> Option<Outbound> {
        match self.messages.try_recv() {
            Ok(message) => Some(Outbound::Message(message)),
            Err(mpsc::error::TryRecvError::Empty) => None,
            Err(mpsc::error::TryRecvError::Disconnected) => Some(self.end()),
        }
    }

    /// Whether the stream has ended, though there may be messages left.
    pub fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    fn end(&self) -> Outbound {
        // Without a reason the whole floor is gone.
        Outbound::End(self.ending.get().copied().unwrap_or(Ending::Leaving))
    }
}

/// What happens to the floor.
pub enum Event {
    /// A stream opened a session or took it over; its row is written. Its messages go to the outbox.
    Open(Opening, Outbox),
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
    /// Leases were asked permits for, and wait for their turn.
    Waiting(Vec<LeaseId>),
    /// Leases are over; with a reason their dialers are told.
    Ended(Vec<LeaseId>, Option<RevokeReason>),
    /// Another replica says so.
    EndedElsewhere(Vec<LeaseId>, Option<RevokeReason>),
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
    /// Who is there, and what other replicas hold and want.
    Presence(Presence, Vec<Hand>),
    /// This replica was taken for dead.
    Fenced,
    /// READY leads that memory does not know.
    Inherited(Vec<QueuedLead>),
    /// What grants without an answer may have leased was taken back.
    Recalled(Vec<LeaseId>),
    /// A grant is done.
    Granted(Vec<Planned>, Result<Vec<GrantVerdict>, StoreError>),
    /// A refill is done.
    Refilled(RefillAsk, Result<Refill, StoreError>),
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
