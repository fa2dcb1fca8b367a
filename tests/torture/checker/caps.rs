//! Guarantee 1: no grant is made while live leases reach a cap in force. Guarantee 8: a session never holds more leases than
//! its slots. Both are counted at the instants of grants: a lowered cap ends no lease that lives.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{
    Found,
    facts::{Demand, Facts, Rang},
    register::Register,
};
use crate::{history::Lease, log::Micros};

/// Grants of one session that may be on their way, one per replica: planned before a lowered demand was heard, made after.
const GRANTS_UNDER_WAY: usize = 2;

pub fn check(facts: &Facts, found: &mut Found) {
    let all: Vec<&Lease> = facts.records.leases.iter().collect();
    let no_cap = |cap: Option<i32>| cap.map_or(i64::MAX, i64::from);
    for (at, live) in crowds(&all) {
        let cap = largest(&facts.engine_cap, at, |cap| i64::from(*cap));
        if live > cap {
            found.add(1, format!("{live} leases live at {at}, the engine's cap was {cap}"));
        }
    }
    for (campaign, leases) in by(&all, |lease| lease.campaign) {
        let Some(caps) = facts.campaign_caps.get(&campaign) else { continue };
        for (at, live) in crowds(&leases) {
            let cap = largest(caps, at, |cap| no_cap(*cap));
            if live > cap {
                found.add(1, format!("{live} leases of campaign {campaign} live at {at}, its cap was {cap}"));
            }
        }
    }
    rings_in_the_cap(facts, found);
    caps_survive(facts, found);
    for (session, leases) in by(&all, |lease| lease.session) {
        let Some(demand) = facts.demand.get(&session) else { continue };
        let crowds = crowds(&leases);
        let instants: Vec<Micros> = crowds.iter().map(|(at, _)| *at).collect();
        for (at, live) in crowds {
            if let Some(slots) = largest_demand(demand, &instants, at).filter(|slots| live > i64::from(*slots)) {
                found.add(8, format!("session {session} holds {live} leases at {at}, it asked for {slots}"));
            }
        }
    }
}

fn by<'a>(leases: &[&'a Lease], key: impl Fn(&Lease) -> Uuid) -> BTreeMap<Uuid, Vec<&'a Lease>> {
    let mut groups: BTreeMap<Uuid, Vec<&Lease>> = BTreeMap::new();
    for lease in leases {
        groups.entry(key(lease)).or_default().push(lease);
    }
    groups
}

/// Per instant of a grant how many leases were live right after it. The engine writes `ended` before it frees the slot
/// and `granted` under the lock that counts, so that it counts at least as many: ends of the same instant go first.
fn crowds(leases: &[&Lease]) -> Vec<(Micros, i64)> {
    let mut moves: Vec<(Micros, i64)> = leases.iter().map(|lease| (lease.granted, 1)).collect();
    // Not before its own grant: a lease that ended at once never counts less than none.
    moves.extend(leases.iter().filter_map(|lease| lease.ended.map(|ended| (ended.max(lease.granted + 1), -1))));
    moves.sort_unstable();
    let mut crowds: Vec<(Micros, i64)> = Vec::new();
    let mut live = 0;
    for (at, change) in moves {
        live += change;
        if change > 0 {
            match crowds.last_mut() {
                Some((last, count)) if *last == at => *count = live,
                _ => crowds.push((at, live)),
            }
        }
    }
    crowds
}

/// The largest value that may have been in force; what is unknown has no bound.
fn largest<V>(register: &Register<V>, at: Micros, value: impl Fn(&V) -> i64) -> i64 {
    register.possible(at).map_or(i64::MAX, |values| values.into_iter().map(value).max().unwrap_or(i64::MAX))
}

/// The same by what the carrier heard: whatever rings at once had all been granted when the newest of them was.
fn rings_in_the_cap(facts: &Facts, found: &mut Found) {
    let lease = |rang: &Rang| facts.leases.get(&rang.permit).copied();
    // A ring of a lease that is over holds no capacity any more: see `lives`.
    let over = |rang: &Rang| {
        let ends = [rang.end, lease(rang).and_then(|lease| lease.ended)];
        ends.into_iter().flatten().min().unwrap_or(Micros::MAX)
    };
    let mut rings: Vec<&Rang> = facts.rings.iter().collect();
    rings.sort_by_key(|rang| rang.start);
    let mut live: Vec<&Rang> = Vec::new();
    for rang in rings {
        live.retain(|other| over(other) > rang.start);
        if over(rang) > rang.start {
            live.push(rang);
        }
        let newest = live.iter().map(|rang| lease(rang).map_or(rang.start, |lease| lease.granted)).max();
        let cap = newest.map_or(i64::MAX, |newest| largest(&facts.engine_cap, newest, |cap| i64::from(*cap)));
        if i64::try_from(live.len()).unwrap() > cap {
            found.add(1, format!("{} phones ring at {}, the engine's cap was {cap}", live.len(), rang.start));
        }
    }
}

/// A cap that was acknowledged stands at the end.
fn caps_survive(facts: &Facts, found: &mut Found) {
    let stands = facts.records.engine_cap;
    if facts.engine_cap.possible(Micros::MAX).is_some_and(|caps| !caps.contains(&&stands)) {
        found.add(1, format!("the engine's cap is {stands} at the end: a change was lost"));
    }
    for campaign in &facts.records.campaigns {
        let caps = facts.campaign_caps.get(&campaign.id).and_then(|caps| caps.possible(Micros::MAX));
        if caps.is_some_and(|caps| !caps.contains(&&campaign.cap)) {
            found.add(
                1,
                format!("the cap of campaign {} is {:?} at the end: a change was lost", campaign.id, campaign.cap),
            );
        }
    }
}

/// The largest demand that the engine may have known when it granted. An older one counts until a heartbeat after the
/// newer one was answered, and then for the grants that were under way: they are told by their instants, not by time.
fn largest_demand(demand: &Demand, grants: &[Micros], at: Micros) -> Option<i32> {
    let (until, _) = *demand.slots.first()?;
    // Before the session's first word nothing is known.
    if at < until {
        return None;
    }
    let known = demand.heard.iter().filter(|(_, answered)| {
        let first = grants.partition_point(|grant| grant <= answered);
        first + GRANTS_UNDER_WAY <= grants.partition_point(|grant| *grant < at)
    });
    let heard = known.map(|(asked, _)| *asked).max();
    let settled = heard.and_then(|heard| demand.slots.iter().rfind(|(told, _)| *told < heard)).map(|(told, _)| *told);
    let since = settled.unwrap_or(Micros::MIN);
    demand.slots.iter().filter(|(told, _)| (since..=at).contains(told)).map(|(_, slots)| *slots).max()
}
