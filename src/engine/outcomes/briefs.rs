//! What the core must know of a lead to end its lease: read with the lead by the refill, and kept here until the outcome comes,
//! which is then settled without another question. A copy that may be out of date: the settle compares version and generation,
//! and who is refused is read anew.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use lru::LruCache;

use crate::{
    domain::{
        ids::{CampaignKey, LeaseId},
        lead::Facts,
    },
    store::{live_leases::LeaseContext, queue::QueuedLead},
};

/// Leases kept at the most, the newest; about 200 bytes each. Others are read when they end.
const BRIEFS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99_999);

/// What the core must know to end a lease.
#[derive(Debug, Clone, Copy)]
pub struct Brief {
    /// The lease.
    pub lease: LeaseId,
    /// Its campaign.
    pub campaign: CampaignKey,
    /// Its place among the leases of its lead.
    pub seq: i32,
    /// When the attempt began.
    pub began: DateTime<Utc>,
    /// The lead's version.
    pub version: i32,
    /// The campaign's generation.
    pub epoch: i32,
    /// The digest of the lead's facts.
    pub facts: Facts,
}

impl From<&LeaseContext> for Brief {
    fn from(lease: &LeaseContext) -> Brief {
        Brief {
            lease: lease.lease,
            campaign: lease.context.campaign,
            seq: lease.seq,
            began: lease.begun_at.unwrap_or(lease.granted_at),
            version: lease.context.version,
            epoch: lease.epoch,
            facts: lease.context.facts,
        }
    }
}

/// The briefs of leases that this replica granted.
pub(in crate::engine) struct Briefs {
    /// `began` is true for those that have a permit of this replica.
    kept: Mutex<LruCache<LeaseId, (Brief, bool)>>,
}

impl Default for Briefs {
    fn default() -> Briefs {
        // Grows as it fills: most replicas hold few.
        let mut kept = LruCache::unbounded();
        kept.resize(BRIEFS_MAX);
        Briefs { kept: Mutex::new(kept) }
    }
}

impl Briefs {
    fn kept(&self) -> std::sync::MutexGuard<'_, LruCache<LeaseId, (Brief, bool)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lead was leased.
    pub(in crate::engine) fn granted(&self, lease: LeaseId, lead: &QueuedLead) {
        let brief = Brief {
            lease,
            campaign: lead.campaign,
            seq: lead.facts.last_seq + 1,
            began: DateTime::UNIX_EPOCH,
            version: lead.version,
            epoch: lead.epoch,
            facts: lead.facts,
        };
        self.kept().put(lease, (brief, false));
    }

    /// Permits were given.
    pub(in crate::engine) fn begun(&self, permits: impl Iterator<Item = (LeaseId, DateTime<Utc>)>) {
        let mut kept = self.kept();
        for (lease, at) in permits {
            if let Some((brief, begun)) = kept.peek_mut(&lease) {
                (brief.began, *begun) = (at, true);
            }
        }
    }

    /// Leases are over.
    pub(in crate::engine) fn ended(&self, leases: impl IntoIterator<Item = LeaseId>) {
        let mut kept = self.kept();
        for lease in leases {
            kept.pop(&lease);
        }
    }

    /// The briefs of these leases, as far as they have permits that were given here. They are kept no more: whoever comes back
    /// with one that was refused must read.
    pub(super) fn take(&self, leases: &[LeaseId]) -> HashMap<LeaseId, Brief> {
        let mut kept = self.kept();
        let known = leases.iter().filter_map(|lease| kept.pop(lease));
        known.filter(|(_, begun)| *begun).map(|(brief, _)| (brief.lease, brief)).collect()
    }
}
