//! One dialer's session on the floor: its slots, what it holds, when it was heard.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use super::messages::ThrottleReason;
use crate::domain::ids::{CampaignKey, LeaseId, StreamNumber};

/// A dialer's session. `Duration`s are instants of the floor's served time.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) stream: StreamNumber,
    pub(super) campaigns: Option<HashSet<CampaignKey>>,
    pub(super) slots: usize,
    pub(super) held: HashSet<LeaseId>,
    /// Leases on their way to it.
    pub(super) pending: HashSet<LeaseId>,
    /// None: since the last tick. It counts from the next one, so that nobody is lost too early.
    pub(super) heard_at: Option<Duration>,
    pub(super) told_at: Instant,
    pub(super) ttl: Duration,
    pub(super) draining: bool,
    /// The database says that it is not here any more; news of where it is come.
    pub(super) moved: bool,
    pub(super) muted_until: Option<Duration>,
    pub(super) throttled: Option<ThrottleReason>,
}

impl Session {
    /// Slots for more leases; `doubtful` are taken by what nobody knows of.
    pub(super) fn free(&self, served: Duration, doubtful: usize) -> usize {
        if self.draining || self.moved || self.muted_until.is_some_and(|until| until > served) {
            return 0;
        }
        self.slots.saturating_sub(self.held.len() + self.pending.len() + doubtful)
    }

    pub(super) fn serves(&self, campaign: CampaignKey) -> bool {
        self.campaigns.as_ref().is_none_or(|only| only.contains(&campaign))
    }
}
