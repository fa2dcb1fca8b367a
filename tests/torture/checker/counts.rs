//! Guarantee 4: every lead in exactly one place, none lost. Guarantee 7, but for number rules (see `paces`): attempts per
//! generation within max_attempts but for promises. Guarantee 9: when all is calm, the whole capacity is back.
//!
//! Not checked: how soon capacity came back: that is wall time.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Found, facts::Facts};
use crate::history::Lease;

const NOT_PLACED: i16 = 11;
const ACCEPTED: i16 = 1;
const OUTRANKED: i16 = 4;

pub fn check(facts: &Facts, found: &mut Found) {
    for broken in &facts.records.broken {
        found.add(4, broken.clone());
    }
    nobody_is_lost(facts, found);
    generations(facts, found);
    attempts(facts, found);
    if facts.calm {
        capacity_is_back(facts, found);
    }
}

fn nobody_is_lost(facts: &Facts, found: &mut Found) {
    let mut counts: HashMap<Uuid, i64> = HashMap::new();
    for lead in &facts.records.leads {
        *counts.entry(lead.campaign).or_default() += 1;
    }
    for campaign in &facts.records.campaigns {
        let (id, count) = (campaign.id, counts.get(&campaign.id).copied().unwrap_or(0));
        if campaign.leads != count {
            found.add(4, format!("campaign {id} has {count} leads, its gauges count {}", campaign.leads));
        }
        if let Some((surely, at_most)) = facts.imported.get(&id).filter(|(a, b)| !(*a..=*b).contains(&count)) {
            found.add(4, format!("campaign {id} has {count} leads, {surely} to {at_most} were imported"));
        }
    }
    for lease in &facts.records.leases {
        match facts.leads.get(&lease.lead) {
            None => found.add(4, format!("lease {} is of a lead that is nowhere", lease.id)),
            Some(lead) if (lead.campaign, lead.number) != (lease.campaign, lease.number) => {
                found.add(4, format!("lease {} has another campaign or number than its lead", lease.id));
            }
            Some(_) => {}
        }
    }
}

/// The engine's generations are our resets: those answered before count surely, those asked for at most.
fn generations(facts: &Facts, found: &mut Found) {
    let bounds = |campaign: Uuid, at: i64| {
        let resets = facts.resets.get(&campaign).map_or(&[][..], Vec::as_slice);
        let surely = resets.iter().filter(|reset| reset.answered.is_some_and(|answered| answered < at)).count();
        let at_most = resets.iter().filter(|reset| reset.asked <= at).count();
        i32::try_from(surely).unwrap()..=i32::try_from(at_most).unwrap()
    };
    for lease in &facts.records.leases {
        let known = bounds(lease.campaign, lease.granted);
        if !known.contains(&lease.generation) {
            let text = format!("lease {} is of generation {}, resets make it {known:?}", lease.id, lease.generation);
            found.add(7, text);
        }
    }
    for campaign in &facts.records.campaigns {
        let known = bounds(campaign.id, i64::MAX);
        if !known.contains(&campaign.generation) {
            let text =
                format!("campaign {} is at generation {}, resets make it {known:?}", campaign.id, campaign.generation);
            found.add(7, text);
        }
    }
}

/// No permit for a lead that had spent its attempts when the lease was granted, but for a promise.
fn attempts(facts: &Facts, found: &mut Found) {
    let mut lives: HashMap<(Uuid, i32), Vec<&Lease>> = HashMap::new();
    for lease in facts.records.leases.iter().filter(|lease| lease.outcome.is_some() || lease.begun.is_some()) {
        lives.entry((lease.lead, lease.generation)).or_default().push(lease);
    }
    for ((lead, generation), leases) in lives {
        for lease in leases.iter().filter(|lease| lease.begun.is_some()) {
            // Whoever never wrote down the grant may have had a promise.
            if facts.in_hand.get(&lease.id).is_none_or(|hand| hand.promised) {
                continue;
            }
            let before = |other: &&&Lease| other.ended.is_some_and(|ended| ended < lease.granted);
            let spent = leases.iter().filter(before).filter(|other| counts_all_along(facts, other)).count();
            let max = facts.campaigns.get(&lease.campaign).map_or(i16::MAX, |campaign| campaign.max_attempts);
            if i16::try_from(spent).unwrap() >= max {
                let text = format!(
                    "lead {lead} had {spent} attempts of {max} in generation {generation}, and lease {} began",
                    lease.id
                );
                found.add(7, text);
            }
        }
    }
}

/// Whether an attempt has counted ever since it ended: reports that came later may have made it count, or not count, at
/// an instant that nobody knows.
fn counts_all_along(facts: &Facts, lease: &Lease) -> bool {
    let filed = facts.filed.get(&lease.id).map_or(&[][..], Vec::as_slice);
    let first = filed.is_empty() || filed.iter().any(|filed| filed.verdict == ACCEPTED);
    let always = filed.iter().all(|filed| filed.verdict == OUTRANKED || filed.outcome != NOT_PLACED);
    lease.counted && lease.outcome.is_some_and(|outcome| outcome != NOT_PLACED) && first && always
}

fn capacity_is_back(facts: &Facts, found: &mut Found) {
    for lease in facts.records.leases.iter().filter(|lease| lease.ended.is_none()) {
        found.add(9, format!("lease {} is live when all is calm", lease.id));
    }
    if facts.records.engine_dialing != 0 {
        found.add(9, format!("the engine's gauge is {} when all is calm", facts.records.engine_dialing));
    }
    for campaign in facts.records.campaigns.iter().filter(|campaign| campaign.dialing != 0) {
        found.add(9, format!("the gauge of campaign {} is {} when all is calm", campaign.id, campaign.dialing));
    }
}
