//! What a change tells the rest of the engine: this replica's dispatcher and watchers, and the other replicas.

use std::{collections::HashSet, sync::Arc};

use chrono::{DateTime, Utc};

use super::{
    Engine, PROMISES_AHEAD,
    leasing::{events::Event, messages::RevokeReason},
    loops::signals::Signal,
};
use crate::{
    domain::ids::{CampaignKey, LeaseId, SessionId},
    store::changes::Revoked,
};

impl Engine {
    /// Something of a campaign changed that all replicas should know at once.
    pub(crate) fn announce(self: &Arc<Self>, key: CampaignKey) {
        self.reload(key);
        self.news.tell(key);
        self.tell(Event::Wake(key));
        self.signals.send(Signal::Campaign(key));
    }

    /// Leads of a campaign may be due that were not.
    pub(crate) fn announce_work(&self, key: CampaignKey) {
        self.news.tell(key);
        self.tell(Event::Wake(key));
        self.signals.send(Signal::Work(key));
    }

    /// A lead of a campaign is due at an instant: a promise, or another.
    pub(crate) fn announce_due_at(&self, key: CampaignKey, promise: bool, at: DateTime<Utc>) {
        if !promise {
            self.tell(Event::Due(key, at));
            self.signals.send(Signal::Due(key, at));
        } else if at - self.clock.now() < PROMISES_AHEAD {
            self.announce_work(key);
        }
    }

    /// Leases are over, here or on other replicas.
    pub(crate) fn announce_ended(&self, leases: impl IntoIterator<Item = LeaseId>, reason: Option<RevokeReason>) {
        let leases: Vec<LeaseId> = leases.into_iter().collect();
        self.briefs.ended(leases.iter().copied());
        if !leases.is_empty() {
            self.tell(Event::Ended(leases, reason));
        }
    }

    /// A call named a session that is not here.
    pub(crate) fn signal_heard(&self, session: SessionId) {
        self.signals.send(Signal::Heard(session));
    }

    /// A lease is over that a session on another replica may hold.
    pub(crate) fn signal_ended(&self, lease: LeaseId, reason: Option<RevokeReason>) {
        self.signals.send(Signal::Ended(lease, reason));
    }

    /// Leases were taken away.
    pub(crate) fn announce_revoked(&self, revoked: &[Revoked], reason: RevokeReason) {
        self.announce_ended(revoked.iter().map(|one| one.lease), Some(reason));
    }

    /// Leads of ended leases are due again: wakes their campaigns.
    pub(crate) async fn wake_for(&self, leases: &[LeaseId]) {
        if let Ok(ended) = self.store.ended_leases(leases).await {
            let campaigns: HashSet<_> = ended.iter().map(|one| one.context.campaign).collect();
            for campaign in campaigns {
                self.announce_work(campaign);
            }
        }
    }
}
