//! Guarantee 2: at most one live lease per lead and per number, and by the carrier: no number rings twice at once.

use std::collections::{HashMap, hash_map::Entry};
use std::hash::Hash;

use super::{
    Found,
    facts::{Facts, Rang},
};
use crate::{history::Lease, log::Micros};

pub fn check(facts: &Facts, found: &mut Found) {
    let mut leases: Vec<&Lease> = facts.records.leases.iter().collect();
    leases.sort_by_key(|lease| lease.granted);
    apart(&leases, |lease| lease.number, "number", found);
    apart(&leases, |lease| lease.lead, "lead", found);
    rings_apart(facts, found);
}

/// Of one key no lease is granted before the one before is over. The engine writes `ended` before it frees the number.
fn apart<K: Eq + Hash>(leases: &[&Lease], key: impl Fn(&Lease) -> K, what: &str, found: &mut Found) {
    let mut last: HashMap<K, &Lease> = HashMap::new();
    for lease in leases {
        match last.entry(key(lease)) {
            Entry::Vacant(entry) => {
                entry.insert(lease);
            }
            Entry::Occupied(mut entry) => {
                let before = *entry.get();
                if before.ended.is_none_or(|ended| lease.granted < ended) {
                    found.add(
                        2,
                        format!("leases {} and {} of one {what} live at {}", before.id, lease.id, lease.granted),
                    );
                }
                if over(before) <= over(lease) {
                    entry.insert(lease);
                }
            }
        }
    }
}

fn over(lease: &Lease) -> Micros {
    lease.ended.unwrap_or(Micros::MAX)
}

/// A ring may outlive its lease: max_duration passed, or an operator revoked it; what the engine promises is one live
/// *permit*. So a ring counts as long as its lease lives. One of no lease counts as long as it rings.
fn rings_apart(facts: &Facts, found: &mut Found) {
    let end = |rang: &Rang| {
        let lease_over = facts.leases.get(&rang.permit).map_or(Micros::MAX, |lease| over(lease));
        rang.end.unwrap_or(Micros::MAX).min(lease_over)
    };
    let mut rings: Vec<&Rang> = facts.rings.iter().collect();
    rings.sort_by_key(|rang| rang.start);
    let mut last: HashMap<i64, &Rang> = HashMap::new();
    for rang in rings {
        let before = last.get(&rang.number).copied();
        if let Some(before) = before.filter(|before| rang.start < end(before) && rang.permit != before.permit) {
            found.add(2, format!("rings {} and {} of one number at {}", before.ring, rang.ring, rang.start));
        }
        if before.is_none_or(|before| end(before) <= end(rang)) {
            last.insert(rang.number, rang);
        }
    }
}
