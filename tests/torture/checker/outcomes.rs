//! Guarantee 5: an acknowledged outcome survives any crash; at most one is ACCEPTED per lease; facts are never fenced off.
//! Guarantee 6, what exists of it: INTENT_YES, DO_NOT_CALL, CONSUMED and suppressed numbers are never called again.
//!
//! Permits for suppressed numbers are guarantee 3 by the predicate: see `permits`. Here: that suppressions stay.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{
    Found,
    facts::{Facts, Told},
};
use crate::{history::Lease, log::Micros};

/// Names by their codes.
const OUTCOMES: [&str; 12] = [
    "INTENT_YES",
    "INTENT_NO",
    "CALLBACK_REQUESTED",
    "DO_NOT_CALL",
    "NO_ANSWER",
    "VOICEMAIL",
    "BUSY",
    "ABANDONED",
    "FAILED",
    "INVALID_NUMBER",
    "NOT_PLACED",
    "UNKNOWN",
];
const OUTRANKED: i16 = 4;
const ACCEPTED: i16 = 1;
const STATE_INTENT_YES: i16 = 4;
const STATE_CONSUMED: i16 = 9;

fn code(outcome: &str) -> Option<i16> {
    OUTCOMES.iter().position(|name| *name == outcome).map(|place| i16::try_from(place + 1).unwrap())
}

/// Which outcome of an attempt wins, as the contract says.
fn rank(code: i16) -> u8 {
    match code {
        1 => 4,
        2 | 4 => 3,
        3 => 2,
        12 => 0,
        _ => 1,
    }
}

pub fn check(facts: &Facts, found: &mut Found) {
    let mut accepted = HashSet::new();
    for told in &facts.told {
        if told.verdict == "ACCEPTED" && !accepted.insert(told.lease) {
            found.add(5, format!("two outcomes of lease {} were ACCEPTED", told.lease));
        }
        match (facts.leases.get(&told.lease), told.verdict) {
            (Some(_), "NOT_FOUND") => {
                found.add(5, format!("lease {} is on record, a report of it was NOT_FOUND", told.lease))
            }
            // A grant that a crash forgot: nobody permitted it.
            (None, "NOT_FOUND") => {}
            (None, _) => {
                found.add(5, format!("the {} of lease {} was answered, the lease is gone", told.outcome, told.lease))
            }
            (Some(lease), _) => survives(facts, told, lease, found),
        }
    }
    one_first_report(facts, found);
    never_again(facts, found);
    suppressions_stay(facts, found);
}

/// The outcome is on record: it stands, or it was outranked and is kept.
fn survives(facts: &Facts, told: &Told, lease: &Lease, found: &mut Found) {
    let Told { lease: id, outcome, verdict, .. } = told;
    let Some(code) = code(outcome) else {
        return found.add(5, format!("an outcome that nobody knows was answered: {outcome}"));
    };
    if lease.ended.is_none() {
        return found.add(5, format!("the {outcome} of lease {id} was {verdict}, the lease lives on"));
    }
    let filed = facts.filed.get(id).map_or(&[][..], Vec::as_slice);
    let kept = filed.iter().any(|filed| filed.outcome == code);
    let outranked = filed.iter().any(|filed| filed.outcome == code && filed.verdict == OUTRANKED);
    let on_record = if *verdict == "OUTRANKED" { outranked } else { kept || lease.outcome == Some(code) };
    if !on_record {
        found.add(5, format!("the {outcome} of lease {id} was {verdict} and is not on record"));
    } else if lease.outcome.is_none_or(|stands| rank(stands) < rank(code)) {
        // Whatever came in whatever order: nothing lower stands.
        found.add(5, format!("the {outcome} of lease {id} was {verdict}, a lower one stands: {:?}", lease.outcome));
    }
}

fn one_first_report(facts: &Facts, found: &mut Found) {
    for (lease, filed) in &facts.filed {
        if filed.iter().filter(|filed| filed.verdict == ACCEPTED).count() > 1 {
            found.add(5, format!("two reports of lease {lease} are ACCEPTED on record"));
        }
    }
}

/// Whoever said yes is not called again, and stays where they are.
fn never_again(facts: &Facts, found: &mut Found) {
    let mut yes: HashMap<Uuid, Micros> = HashMap::new();
    for told in facts.told.iter().filter(|told| told.outcome == "INTENT_YES" && told.verdict != "NOT_FOUND") {
        if let Some(lease) = facts.leases.get(&told.lease) {
            let since = yes.entry(lease.lead).or_insert(told.answered);
            *since = told.answered.min(*since);
        }
    }
    let mut under_way = HashSet::new();
    for lease in &facts.records.leases {
        if lease.ended.is_none() {
            under_way.insert(lease.lead);
        }
        let Some(since) = yes.get(&lease.lead) else { continue };
        if let Some(begun) = lease.begun.filter(|begun| begun > since) {
            found
                .add(6, format!("lead {} said INTENT_YES at {since}, lease {} began at {begun}", lease.lead, lease.id));
        }
    }
    for lease in &facts.records.leases {
        let Some(since) = facts.consumed.get(&lease.lead) else { continue };
        if let Some(begun) = lease.begun.filter(|begun| begun > since) {
            found.add(6, format!("lead {} was CONSUMED at {since}, lease {} began at {begun}", lease.lead, lease.id));
        }
    }
    for lead in facts.consumed.keys().filter_map(|lead| facts.leads.get(lead)) {
        if lead.state != STATE_INTENT_YES && lead.state != STATE_CONSUMED {
            found.add(6, format!("lead {} was CONSUMED and is in state {}", lead.id, lead.state));
        }
    }
    // The end of a call under way will take the fact into account.
    for lead in yes.keys().filter(|lead| !under_way.contains(*lead)).filter_map(|lead| facts.leads.get(lead)) {
        if lead.state != STATE_INTENT_YES && lead.state != STATE_CONSUMED {
            found.add(6, format!("lead {} said INTENT_YES and is in state {}", lead.id, lead.state));
        }
    }
}

/// What was suppressed, and surely not lifted since, is suppressed at the end.
fn suppressions_stay(facts: &Facts, found: &mut Found) {
    for (number, suppressed) in &facts.suppressed {
        if suppressed.surely(&true, Micros::MAX) && !facts.records.suppressed.contains(number) {
            found.add(6, format!("the suppression of a number is gone: ...{:03}", number % 1000));
        }
    }
}
