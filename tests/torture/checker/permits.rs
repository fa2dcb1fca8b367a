//! Guarantee 3: no phone rings without a live permit; at most one permit per lease; no permit outside the predicate (the
//! campaign runs, the number is not suppressed, no pause, reset, suppression or revocation came in between).
//!
//! Not checked: calling hours; ended leases do not keep theirs.

use std::collections::HashMap;

use uuid::Uuid;

use super::{
    Found,
    facts::{Facts, Permit, Rang},
    register::Change,
};
use crate::{history::Lease, log::Micros};

/// What the engine says instead of an outcome.
const UNKNOWN: i16 = 12;
const RUNNING: i16 = 2;

pub fn check(facts: &Facts, found: &mut Found) {
    permits_are_on_record(facts, found);
    one_nonce_per_lease(facts, found);
    rings_have_permits(facts, found);
    for lease in &facts.records.leases {
        if let Some(begun) = lease.begun {
            inside_the_predicate(facts, lease, begun, found);
        }
    }
    for campaign in &facts.records.campaigns {
        let running = facts.running.get(&campaign.id).and_then(|running| running.possible(Micros::MAX));
        let stands = campaign.state == RUNNING;
        if running.is_some_and(|values| !values.contains(&&stands)) {
            found.add(3, format!("campaign {} runs at the end: {stands}; a change was lost", campaign.id));
        }
    }
}

/// The permit is on disk before it is answered, as answered. So no crash forgets it, nor the lease.
fn permits_are_on_record(facts: &Facts, found: &mut Found) {
    for Permit { lease, begun, .. } in &facts.permits {
        match facts.leases.get(lease) {
            None => found.add(3, format!("a permit for lease {lease}, of which the engine knows nothing")),
            Some(record) if record.begun.is_none() => {
                found.add(3, format!("a permit for lease {lease}, which never began on record"));
            }
            // The wire may be coarser than the record.
            Some(record) if record.begun.is_some_and(|on_record| (on_record - begun).abs() > 1000) => {
                found.add(3, format!("the permit of lease {lease} says {begun}, the record {:?}", record.begun));
            }
            Some(_) => {}
        }
    }
    for (id, hand) in &facts.in_hand {
        // A grant that a crash forgot is in nobody's records, and never permitted.
        let Some(lease) = facts.leases.get(id) else { continue };
        if (lease.number, lease.lead, lease.campaign) != (hand.number, hand.lead, hand.campaign) {
            found.add(3, format!("lease {id} was handed out for another lead or number than is on record"));
        }
        if lease.session != hand.session {
            found.add(
                3,
                format!("lease {id} was handed to session {}, the record says {}", hand.session, lease.session),
            );
        }
    }
}

fn one_nonce_per_lease(facts: &Facts, found: &mut Found) {
    let mut nonces: HashMap<Uuid, Uuid> = HashMap::new();
    for permit in &facts.permits {
        if *nonces.entry(permit.lease).or_insert(permit.nonce) != permit.nonce {
            found.add(3, format!("two permits for lease {}", permit.lease));
        }
    }
    for lease in &facts.records.leases {
        let differs = |nonce: &Uuid| lease.nonce.is_some_and(|on_record| on_record != *nonce);
        if nonces.get(&lease.id).is_some_and(differs) {
            found.add(3, format!("lease {} has another nonce on record than was permitted", lease.id));
        }
    }
}

fn rings_have_permits(facts: &Facts, found: &mut Found) {
    // A retry with the same nonce counts its time anew, from its own sending.
    let mut until: HashMap<Uuid, Micros> = HashMap::new();
    for permit in &facts.permits {
        let last = until.entry(permit.lease).or_insert(permit.until);
        *last = permit.until.max(*last);
    }
    let mut rung: HashMap<Uuid, u64> = HashMap::new();
    for rang in &facts.rings {
        let Rang { ring, permit, number, start, .. } = rang;
        if let Some(before) = rung.insert(*permit, *ring) {
            found.add(3, format!("rings {before} and {ring} by one permit, lease {permit}"));
        }
        let Some(lease) = facts.leases.get(permit) else {
            found.add(3, format!("ring {ring} without a lease on record: {permit}"));
            continue;
        };
        // The dialer may have died before it wrote down its permit: the record is enough.
        match lease.begun {
            None => found.add(3, format!("ring {ring} without a permit on record, lease {permit}")),
            Some(begun) if *start < begun => {
                found.add(3, format!("ring {ring} at {start}, before its permit at {begun}, lease {permit}"));
            }
            Some(_) => {}
        }
        if lease.number != *number {
            found.add(3, format!("ring {ring} is of another number than lease {permit}"));
        }
        if let Some(until) = until.get(permit).filter(|until| start > until) {
            found.add(3, format!("ring {ring} at {start}, its permit was good until {until}, lease {permit}"));
        }
        if let Some(ended) = lease.ended.filter(|ended| start > ended && !ended_over_its_head(facts, lease, *ended)) {
            found.add(3, format!("ring {ring} at {start}, its lease {permit} was over at {ended}"));
        }
    }
}

/// Whether the engine rightly ended a begun lease without the dialer, which may be dialing at that instant: an operator
/// asked for it, or max_duration had passed.
fn ended_over_its_head(facts: &Facts, lease: &Lease, ended: Micros) -> bool {
    // Once a report came, the first row of the reports tells what stood before.
    let filed = facts.filed.get(&lease.id).map_or(&[][..], Vec::as_slice);
    let unknown = lease.by_engine || filed.iter().any(|filed| filed.outcome == UNKNOWN);
    let served = lease.begun.map_or(0, |begun| ended - begun);
    let overdue = facts.campaigns.get(&lease.campaign).is_some_and(|campaign| served >= campaign.max_duration_micros);
    unknown && (overdue || facts.revoked.contains_key(&lease.id))
}

fn inside_the_predicate(facts: &Facts, lease: &Lease, begun: Micros, found: &mut Found) {
    let id = lease.id;
    let mut outside = |why: &str| found.add(3, format!("lease {id} began at {begun}, {why}"));
    if begun < lease.granted {
        outside("before it was granted");
    }
    let running = facts.running.get(&lease.campaign);
    if running.is_some_and(|running| running.surely(&false, begun)) {
        outside("while its campaign did not run");
    }
    let suppressed = facts.suppressed.get(&lease.number);
    if suppressed.is_some_and(|suppressed| suppressed.surely(&true, begun)) {
        outside("while its number was suppressed");
    }
    // Each of these revokes every lease without a permit that is there, whatever was undone since.
    let pauses = running.is_some_and(|running| ended_between(&running.changes, |running| !running, lease, begun));
    if pauses {
        outside("though its campaign was paused since the grant");
    }
    if suppressed.is_some_and(|suppressed| ended_between(&suppressed.changes, |on| *on, lease, begun)) {
        outside("though its number was suppressed since the grant");
    }
    if facts.resets.get(&lease.campaign).is_some_and(|resets| ended_between(resets, |()| true, lease, begun)) {
        outside("though its campaign was reset since the grant");
    }
    if facts.revoked.get(&id).is_some_and(|revoked| ended_between(revoked, |()| true, lease, begun)) {
        outside("though an operator had revoked it");
    }
}

/// Whether such a change surely came after the grant and before the permit.
fn ended_between<V>(changes: &[Change<V>], of: impl Fn(&V) -> bool, lease: &Lease, begun: Micros) -> bool {
    changes.iter().any(|change| {
        of(&change.value) && lease.granted < change.asked && change.answered.is_some_and(|answered| answered < begun)
    })
}
