//! The ledger: the leases of a replica's sessions, and how many each campaign has.

use std::{collections::HashMap, time::Duration};

use crate::domain::ids::{CampaignKey, LeaseId, SessionId};

/// A dialer's receipt of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Receipt {
    /// Awaited from the next tick on.
    Awaited,
    /// Missed at this instant of served time.
    Due(Duration),
    /// Here, or nobody waits for it any more.
    Settled,
}

/// A lease in the ledger.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) session: SessionId,
    pub(super) campaign: CampaignKey,
    pub(super) receipt: Receipt,
    pub(super) begun: bool,
}

/// Leases by id.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    leases: HashMap<LeaseId, Held>,
    by_campaign: HashMap<CampaignKey, usize>,
}

impl Ledger {
    pub(super) fn insert(&mut self, lease: LeaseId, held: Held) {
        *self.by_campaign.entry(held.campaign).or_default() += 1;
        if let Some(before) = self.leases.insert(lease, held) {
            self.one_less(before.campaign);
        }
    }

    pub(super) fn remove(&mut self, lease: LeaseId) -> Option<Held> {
        let held = self.leases.remove(&lease)?;
        self.one_less(held.campaign);
        Some(held)
    }

    fn one_less(&mut self, campaign: CampaignKey) {
        if let Some(leases) = self.by_campaign.get_mut(&campaign) {
            *leases -= 1;
            if *leases == 0 {
                self.by_campaign.remove(&campaign);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.leases.clear();
        self.by_campaign.clear();
    }

    pub(super) fn get(&self, lease: LeaseId) -> Option<&Held> {
        self.leases.get(&lease)
    }

    /// For all but the campaign, by which leases are counted.
    pub(super) fn get_mut(&mut self, lease: LeaseId) -> Option<&mut Held> {
        self.leases.get_mut(&lease)
    }

    /// See [`Ledger::get_mut`].
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&LeaseId, &mut Held)> {
        self.leases.iter_mut()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = LeaseId> {
        self.leases.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.leases.len()
    }

    /// Leases of one campaign.
    pub(super) fn of(&self, campaign: CampaignKey) -> usize {
        self.by_campaign.get(&campaign).copied().unwrap_or(0)
    }
}
