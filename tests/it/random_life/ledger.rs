//! What dialers and operators were told, and what must follow from it. Knows nothing of the engine's inside.

use std::collections::{HashMap, HashSet};

use dialplane::{domain::outcome::Outcome, pb};
use tokio_postgres::Client;
use uuid::Uuid;

/// A number that may be suppressed.
#[derive(Default)]
struct Number {
    forbidden: bool,
    /// Removals ever sent, and those without an answer yet.
    removals: u64,
    removing: u64,
}

/// What was known when a permit was asked for.
pub struct Asked {
    final_lead: bool,
    forbidden: Option<u64>,
    generation: Option<u64>,
}

#[derive(Default)]
pub struct Ledger {
    /// Every lease that was ever granted.
    pub leases: Vec<pb::Lease>,
    permitted: HashSet<String>,
    final_leads: HashSet<String>,
    numbers: HashMap<String, Number>,
    /// Per campaign: resets sent, resets answered.
    resets: HashMap<String, (u64, u64)>,
    /// Permits that surely fall into one generation and are no callbacks: lead, generation, lease.
    counted: Vec<(String, u64, String)>,
    not_placed: HashSet<String>,
    accepted: HashMap<String, u32>,
    /// The highest rank acknowledged per lease.
    facts: HashMap<String, u8>,
    reports: u64,
    /// Reports that were taken, by (lease, outcome, verdict).
    taken: HashMap<(String, pb::Outcome, pb::ReportVerdict), u32>,
    /// Leases of reports without an answer: they may have been taken.
    unanswered: HashSet<String>,
    wrongs: Vec<String>,
    /// The campaign whose max_attempts nobody changes.
    limited: String,
}

impl Ledger {
    pub fn new(limited: &str) -> Ledger {
        Ledger { limited: limited.to_owned(), ..Ledger::default() }
    }

    pub fn ask(&self, lease: &pb::Lease) -> Asked {
        let (sent, answered) = self.resets.get(&lease.campaign_id).copied().unwrap_or_default();
        Asked {
            final_lead: self.final_leads.contains(&lease.lead_id),
            forbidden: self.numbers.get(&lease.number).filter(|n| n.forbidden).map(|n| n.removals),
            generation: (sent == answered).then_some(sent),
        }
    }

    pub fn permit(&mut self, lease: &pb::Lease, asked: &Asked) {
        if !self.permitted.insert(lease.lease_id.clone()) {
            return;
        }
        if asked.final_lead {
            self.wrongs.push(format!("lead {} was final and was permitted", lease.lead_id));
        }
        let removals = self.numbers.get(&lease.number).map(|n| n.removals);
        if asked.forbidden.is_some() && asked.forbidden == removals {
            self.wrongs.push(format!("lead {} was suppressed and was permitted", lease.lead_id));
        }
        let sent = self.resets.get(&lease.campaign_id).map_or(0, |(sent, _)| *sent);
        if let Some(generation) =
            asked.generation.filter(|generation| *generation == sent && lease.callback_at.is_none())
        {
            self.counted.push((lease.lead_id.clone(), generation, lease.lease_id.clone()));
        }
    }

    pub fn reporting(&mut self, lease: &pb::Lease, outcome: pb::Outcome) -> u64 {
        if outcome == pb::Outcome::NotPlaced {
            self.not_placed.insert(lease.lease_id.clone());
        }
        self.numbers.entry(lease.number.clone()).or_default().removals
    }

    pub fn reported(&mut self, lease: &pb::Lease, outcome: pb::Outcome, result: &pb::ReportResult, removals: u64) {
        self.reports += 1;
        if result.verdict() == pb::ReportVerdict::NotFound {
            self.wrongs.push(format!("lease {} was granted and is not found", lease.lease_id));
            return;
        }
        if result.verdict() == pb::ReportVerdict::Accepted {
            *self.accepted.entry(lease.lease_id.clone()).or_default() += 1;
        }
        if result.verdict() != pb::ReportVerdict::Duplicate {
            *self.taken.entry((lease.lease_id.clone(), outcome, result.verdict())).or_default() += 1;
        }
        let rank = Outcome::from_code(outcome as i16).unwrap().rank();
        let held = self.facts.entry(lease.lease_id.clone()).or_default();
        *held = rank.max(*held);
        match outcome {
            pb::Outcome::IntentYes => {
                self.final_leads.insert(lease.lead_id.clone());
            }
            pb::Outcome::DoNotCall => self.suppressed(&lease.number, removals),
            _ => {}
        }
    }

    pub fn unanswered(&mut self, lease: &pb::Lease) {
        self.unanswered.insert(lease.lease_id.clone());
    }

    /// How the events that were streamed differ from the reports that were taken. UNKNOWN is the engine's own.
    pub fn wrong_events(&self, events: &HashMap<(String, pb::Outcome, pb::ReportVerdict), u32>) -> Vec<String> {
        let sure = |lease: &String| !self.unanswered.contains(lease);
        let missed = self.taken.iter().filter(|(what, times)| sure(&what.0) && events.get(*what) != Some(*times));
        let invented = events
            .iter()
            .filter(|(what, _)| what.1 != pb::Outcome::Unknown && sure(&what.0) && !self.taken.contains_key(*what));
        let missed =
            missed.map(|(what, times)| format!("{what:?}: taken {times} times, streamed {:?}", events.get(what)));
        missed.chain(invented.map(|(what, times)| format!("{what:?}: streamed {times} times, never taken"))).collect()
    }

    pub fn consumed(&mut self, lead: &str) {
        self.final_leads.insert(lead.to_owned());
    }

    pub fn suppressing(&mut self, number: &str) -> u64 {
        self.numbers.entry(number.to_owned()).or_default().removals
    }

    pub fn suppressed(&mut self, number: &str, removals: u64) {
        let number = self.numbers.entry(number.to_owned()).or_default();
        if number.removals == removals && number.removing == 0 {
            number.forbidden = true;
        }
    }

    pub fn removing(&mut self, number: &str) {
        let number = self.numbers.entry(number.to_owned()).or_default();
        number.forbidden = false;
        number.removals += 1;
        number.removing += 1;
    }

    pub fn removed(&mut self, number: &str) {
        self.numbers.entry(number.to_owned()).or_default().removing -= 1;
    }

    pub fn resetting(&mut self, campaign: &str) {
        self.resets.entry(campaign.to_owned()).or_default().0 += 1;
    }

    pub fn reset(&mut self, campaign: &str) {
        self.resets.entry(campaign.to_owned()).or_default().1 += 1;
    }

    /// What went wrong by what was told.
    pub fn verdict(&self) -> Vec<String> {
        let mut wrongs = self.wrongs.clone();
        for (lease, times) in self.accepted.iter().filter(|(_, times)| **times > 1) {
            wrongs.push(format!("lease {lease} was ACCEPTED {times} times"));
        }
        let mut attempts: HashMap<(&str, u64), Vec<&str>> = HashMap::new();
        let limited: HashSet<&str> =
            self.leases.iter().filter(|l| l.campaign_id == self.limited).map(|l| l.lead_id.as_str()).collect();
        for (lead, generation, lease) in &self.counted {
            if limited.contains(lead.as_str()) && !self.not_placed.contains(lease) {
                attempts.entry((lead, *generation)).or_default().push(lease);
            }
        }
        for ((lead, generation), leases) in attempts {
            if leases.len() > super::MAX_ATTEMPTS as usize {
                wrongs.push(format!("lead {lead} was called too often in generation {generation}: {leases:?}"));
            }
        }
        wrongs
    }

    /// The highest rank acknowledged per lease.
    pub fn facts(&self) -> Vec<(Uuid, u8)> {
        self.facts.iter().map(|(lease, rank)| (lease.parse().unwrap(), *rank)).collect()
    }

    pub fn summary(&self) -> String {
        let (leases, permits, reports) = (self.leases.len(), self.permitted.len(), self.reports);
        format!("{leases} leases, {permits} permits, {reports} reports, {} counted for sure", self.counted.len())
    }
}

/// Reports that were acknowledged and are not on record.
pub async fn lost_facts(facts: &[(Uuid, u8)], sql: &Client) -> Vec<String> {
    let ids: Vec<Uuid> = facts.iter().map(|(lease, _)| *lease).collect();
    let rows =
        sql.query("select lease_id, outcome from call_attempt where lease_id = any ($1)", &[&ids]).await.unwrap();
    let held: HashMap<Uuid, Option<i16>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let rank = |code: i16| Outcome::from_code(code).unwrap().rank();
    facts
        .iter()
        .filter(|(lease, said)| held.get(lease).copied().flatten().map(rank) != Some(*said))
        .map(|(lease, said)| format!("lease {lease}: a report of rank {said} is not on record: {:?}", held.get(lease)))
        .collect()
}
