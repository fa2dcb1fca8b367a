//! Guarantee 7, number rules: however campaigns share a number, no permit for it too soon after those before. Guarantee 10,
//! calls per second: no closed second in which a limit surely held has more permits, by the instants on record.
//!
//! Of a call that was NOT_PLACED at any time, or may have been, nobody knows when it counted: it is left out. So is one
//! that may not have been over at the grant. A change of rules waits for the permits under way, so that the instant of a
//! permit tells which were in force. A change of the limit does not: a permit is one under a limit only if that was in
//! force until the permit was surely on record.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{Found, facts::Facts};
use crate::{
    history::Lease,
    log::{Micros, NumberRules},
};

const NOT_PLACED: i16 = 11;
const OUTRANKED: i16 = 4;
const SECOND: Micros = 1_000_000;

/// Answers how many permits number rules and limits were held against.
pub fn check(facts: &Facts, found: &mut Found) -> (usize, usize) {
    (number_rules(facts, found), calls_per_second(facts, found))
}

fn number_rules(facts: &Facts, found: &mut Found) -> usize {
    let mut numbers: BTreeMap<i64, Vec<(Micros, &Lease)>> = BTreeMap::new();
    for lease in &facts.records.leases {
        if let Some(begun) = lease.begun {
            numbers.entry(lease.number).or_default().push((begun, lease));
        }
    }
    let mut ruled = 0;
    for calls in numbers.values_mut() {
        calls.sort_unstable_by_key(|(begun, lease)| (*begun, lease.id));
        for (place, (begun, lease)) in calls.iter().enumerate() {
            let Some(rules) = facts.number_rules.possible(*begun) else { continue };
            // The newest first.
            let before: Vec<Micros> = calls[..place]
                .iter()
                .rev()
                .filter(|(_, other)| other.ended.is_some_and(|ended| ended < lease.granted))
                .filter(|(_, other)| counts_all_along(facts, other))
                .map(|(begun, _)| *begun)
                .collect();
            ruled += usize::from(!before.is_empty() && !rules.contains(&&None));
            let broken: Vec<String> =
                rules.iter().filter_map(|rules| broken(rules.as_ref()?, &before, *begun)).collect();
            if broken.len() == rules.len() {
                let of = lease.number % 1000;
                found.add(
                    7,
                    format!("lease {} of number ...{of:03} began at {begun}, {}", lease.id, broken.join("; or ")),
                );
            }
        }
    }
    ruled
}

/// What these rules say against a call then, after these; a gap that is just over is none.
fn broken(rules: &NumberRules, before: &[Micros], begun: Micros) -> Option<String> {
    let too_soon = |place: usize, lasts: Micros| before.get(place).filter(|other| *other + lasts > begun);
    if let Some(other) = too_soon(0, rules.min_gap) {
        return Some(format!("less than {} after the call of {other}", rules.min_gap));
    }
    let first = too_soon(rules.max_calls - 1, rules.period)?;
    Some(format!("after {} calls since {first}, within {}", rules.max_calls, rules.period))
}

/// Whether a call has counted ever since it ended, whatever reports came later.
fn counts_all_along(facts: &Facts, lease: &Lease) -> bool {
    let filed = facts.filed.get(&lease.id).map_or(&[][..], Vec::as_slice);
    lease.outcome.is_some_and(|outcome| outcome != NOT_PLACED)
        && filed.iter().all(|filed| filed.outcome != NOT_PLACED || filed.verdict == OUTRANKED)
}

fn calls_per_second(facts: &Facts, found: &mut Found) -> usize {
    let mut answered: HashMap<Uuid, Micros> = HashMap::new();
    for permit in &facts.permits {
        let first = answered.entry(permit.lease).or_insert(permit.answered);
        *first = permit.answered.min(*first);
    }
    let mut permits: Vec<(Micros, Option<i32>)> = Vec::new();
    for lease in &facts.records.leases {
        let Some(begun) = lease.begun else { continue };
        // The report came after the permit, as the answer did.
        let on_record = [answered.get(&lease.id).copied(), lease.ended].into_iter().flatten().min();
        permits.push((begun, limit(facts, begun, on_record.unwrap_or(Micros::MAX).max(begun))));
    }
    permits.sort_unstable();
    let paced = permits.iter().filter(|(_, limit)| limit.is_some()).count();
    // Those of a second before each permit, that one included; one that may have been free of limits paces nobody.
    let mut first = 0;
    for (last, (at, _)) in permits.iter().enumerate() {
        while permits[first].0 < at - SECOND {
            first += 1;
        }
        let limits: Vec<i32> = permits[first..=last].iter().filter_map(|(_, limit)| *limit).collect();
        let Some(most) = limits.iter().max() else { continue };
        if i32::try_from(limits.len()).unwrap() > *most {
            found.add(10, format!("{} permits within the second up to {at}, {most} were allowed", limits.len()));
        }
    }
    paced
}

/// The highest limit that may have been in force; none: there may have been no limit.
fn limit(facts: &Facts, from: Micros, to: Micros) -> Option<i32> {
    let limits = facts.call_rate.possible_within(from, to)?;
    limits.into_iter().copied().collect::<Option<Vec<i32>>>()?.into_iter().max()
}
