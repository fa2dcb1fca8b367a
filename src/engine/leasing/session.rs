//! One dialer's session on the floor: its slots, what it holds, when it was heard.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use super::messages::ThrottleReason;
use crate::domain::ids::{CampaignKey, LeaseId};

/// A dialer's session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) campaigns: Option<HashSet<CampaignKey>>,
    pub(super) slots: usize,
    pub(super) held: HashSet<LeaseId>,
    pub(super) pending: usize,
    pub(super) heard_at: Instant,
    pub(super) told_at: Instant,
    pub(super) ttl: Duration,
    pub(super) draining: bool,
    pub(super) muted_until: Option<Instant>,
    pub(super) throttled: Option<ThrottleReason>,
}

impl Session {
    pub(super) fn free(&self, now: Instant) -> usize {
        if self.draining || self.muted_until.is_some_and(|until| until > now) {
            return 0;
        }
        self.slots.saturating_sub(self.held.len() + self.pending)
    }

    pub(super) fn serves(&self, campaign: CampaignKey) -> bool {
        self.campaigns.as_ref().is_none_or(|only| only.contains(&campaign))
    }
}
