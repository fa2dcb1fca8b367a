//! The history, put in order by what the checks ask for. Judges nothing.

use std::collections::HashMap;

use uuid::Uuid;

use super::register::{Change, Register};
use crate::{
    history::{Campaign, Filed, History, Lead, Lease, Records, digits},
    log::{Event, Micros, NumberRules, Ring},
};

/// A ring as the carrier heard it; `end` none: it was never heard to end.
#[derive(Debug, Clone)]
pub struct Rang {
    pub ring: u64,
    pub permit: Uuid,
    pub number: i64,
    pub start: Micros,
    pub end: Option<Micros>,
}

/// A permit in a dialer's hands.
#[derive(Debug, Clone)]
pub struct Permit {
    pub lease: Uuid,
    pub nonce: Uuid,
    pub begun: Micros,
    /// The last instant to dial.
    pub until: Micros,
    pub answered: Micros,
}

/// An outcome that was reported and answered.
#[derive(Debug, Clone)]
pub struct Told<'a> {
    pub lease: Uuid,
    pub outcome: &'a str,
    pub verdict: &'a str,
    pub asked: Micros,
    pub answered: Micros,
}

/// A lease in a dialer's hands.
pub struct InHand {
    pub session: Uuid,
    pub campaign: Uuid,
    pub lead: Uuid,
    pub number: i64,
    pub promised: bool,
}

/// What dialers told of a session, in order.
#[derive(Default)]
pub struct Demand {
    pub slots: Vec<(Micros, i32)>,
    /// `asked` and `answered` of heartbeats.
    pub heard: Vec<(Micros, Micros)>,
}

/// Everything, by what one asks for.
pub struct Facts<'a> {
    pub records: &'a Records,
    pub leases: HashMap<Uuid, &'a Lease>,
    pub leads: HashMap<Uuid, &'a Lead>,
    pub campaigns: HashMap<Uuid, &'a Campaign>,
    /// Rows of attempt_report by lease.
    pub filed: HashMap<Uuid, Vec<&'a Filed>>,
    pub rings: Vec<Rang>,
    pub permits: Vec<Permit>,
    pub told: Vec<Told<'a>>,
    pub in_hand: HashMap<Uuid, InHand>,
    pub demand: HashMap<Uuid, Demand>,
    pub engine_cap: Register<i32>,
    pub campaign_caps: HashMap<Uuid, Register<Option<i32>>>,
    pub call_rate: Register<Option<i32>>,
    pub number_rules: Register<Option<NumberRules>>,
    pub running: HashMap<Uuid, Register<bool>>,
    /// By number; a DO_NOT_CALL that was acknowledged is among them.
    pub suppressed: HashMap<i64, Register<bool>>,
    pub resets: HashMap<Uuid, Vec<Change<()>>>,
    pub revoked: HashMap<Uuid, Vec<Change<()>>>,
    /// Leads handled by hand, and since when surely.
    pub consumed: HashMap<Uuid, Micros>,
    /// Leads imported per campaign: surely, and at most.
    pub imported: HashMap<Uuid, (i64, i64)>,
    pub calm: bool,
}

/// The name without the wire's prefix.
fn bare<'a>(name: &'a str, prefix: &str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}

impl<'a> Facts<'a> {
    pub fn of(history: &'a History) -> Self {
        let records = &history.records;
        let mut facts = Self {
            records,
            leases: records.leases.iter().map(|lease| (lease.id, lease)).collect(),
            leads: records.leads.iter().map(|lead| (lead.id, lead)).collect(),
            campaigns: records.campaigns.iter().map(|campaign| (campaign.id, campaign)).collect(),
            filed: HashMap::new(),
            rings: rings(&history.rings),
            permits: Vec::new(),
            told: Vec::new(),
            in_hand: HashMap::new(),
            demand: HashMap::new(),
            engine_cap: Register::default(),
            campaign_caps: HashMap::new(),
            call_rate: Register::default(),
            number_rules: Register::default(),
            running: HashMap::new(),
            suppressed: HashMap::new(),
            resets: HashMap::new(),
            revoked: HashMap::new(),
            consumed: HashMap::new(),
            imported: HashMap::new(),
            calm: false,
        };
        for filed in &records.reports {
            facts.filed.entry(filed.lease).or_default().push(filed);
        }
        for event in &history.events {
            facts.take(event);
        }
        facts.finish();
        facts
    }

    /// What dialers wrote.
    fn take(&mut self, event: &'a Event) {
        match event {
            Event::Granted { lease, session, campaign, lead, number, promised, .. } => {
                let (session, campaign, lead, number) = (*session, *campaign, *lead, digits(number));
                self.in_hand.insert(*lease, InHand { session, campaign, lead, number, promised: *promised });
            }
            Event::Slots { session, slots, at } => self.demand.entry(*session).or_default().slots.push((*at, *slots)),
            Event::Heard { session, asked, answered } => {
                self.demand.entry(*session).or_default().heard.push((*asked, *answered));
            }
            Event::Permitted { lease, nonce, begun, dial_within_micros, asked, answered, .. } => {
                let (until, answered) = (asked + dial_within_micros, *answered);
                self.permits.push(Permit { lease: *lease, nonce: *nonce, begun: *begun, until, answered });
            }
            Event::Reported { lease, outcome, verdict: Some(verdict), asked, answered: Some(answered) } => {
                let (outcome, verdict) = (bare(outcome, "OUTCOME_"), bare(verdict, "REPORT_VERDICT_"));
                self.told.push(Told { lease: *lease, outcome, verdict, asked: *asked, answered: *answered });
            }
            other => self.take_act(other),
        }
    }

    /// What operators wrote.
    fn take_act(&mut self, event: &Event) {
        match event {
            Event::EngineCap { cap, asked, answered } => self.engine_cap.change(*cap, *asked, *answered),
            Event::CampaignCap { campaign, cap, asked, answered } => {
                self.campaign_caps.entry(*campaign).or_default().change(*cap, *asked, *answered);
            }
            Event::CallRate { per_second, asked, answered } => self.call_rate.change(*per_second, *asked, *answered),
            Event::NumberRules { rules, asked, answered } => self.number_rules.change(*rules, *asked, *answered),
            Event::Running { campaign, running, asked, answered } => {
                self.running.entry(*campaign).or_default().change(*running, *asked, *answered);
            }
            Event::Suppression { number, suppressed, asked, answered } => {
                self.suppressed.entry(digits(number)).or_default().change(*suppressed, *asked, *answered);
            }
            Event::Reset { campaign, asked, answered } => {
                let reset = Change { value: (), asked: *asked, answered: *answered };
                self.resets.entry(*campaign).or_default().push(reset);
            }
            Event::Revoked { lease, asked, answered } => {
                let revoked = Change { value: (), asked: *asked, answered: *answered };
                self.revoked.entry(*lease).or_default().push(revoked);
            }
            Event::Consumed { lead, answered: Some(answered), .. } => {
                let since = self.consumed.entry(*lead).or_insert(*answered);
                *since = (*since).min(*answered);
            }
            Event::Imported { campaign, leads, answered, .. } => {
                let (surely, at_most) = self.imported.entry(*campaign).or_default();
                *surely += if answered.is_some() { *leads } else { 0 };
                *at_most += leads;
            }
            Event::Calm { .. } => self.calm = true,
            _ => {}
        }
    }

    /// What follows only from all of them together.
    fn finish(&mut self) {
        for demand in self.demand.values_mut() {
            demand.slots.sort_by_key(|(at, _)| *at);
        }
        // A cap that nobody changed was always the one that stands at the end.
        if self.engine_cap.changes.is_empty() {
            self.engine_cap.before = Some(self.records.engine_cap);
        }
        for campaign in &self.records.campaigns {
            let cap = self.campaign_caps.entry(campaign.id).or_default();
            if cap.changes.is_empty() {
                cap.before = Some(campaign.cap);
            }
        }
        for told in self.told.iter().filter(|told| told.outcome == "DO_NOT_CALL") {
            // A DUPLICATE changes nothing: the suppression may have been lifted since the first one.
            if !matches!(told.verdict, "ACCEPTED" | "LATE" | "SUPERSEDED" | "OUTRANKED") {
                continue;
            }
            if let Some(lease) = self.leases.get(&told.lease) {
                self.suppressed.entry(lease.number).or_default().change(true, told.asked, Some(told.answered));
            }
        }
    }
}

fn rings(log: &[Ring]) -> Vec<Rang> {
    let mut rings = Vec::new();
    let mut places = HashMap::new();
    for record in log {
        match record {
            Ring::Start { ring, permit, number, at, .. } => {
                places.insert(*ring, rings.len());
                let (ring, permit, number) = (*ring, *permit, digits(number));
                rings.push(Rang { ring, permit, number, start: *at, end: None });
            }
            Ring::End { ring, at } => {
                if let Some(rang) = places.get(ring).and_then(|place: &usize| rings.get_mut(*place)) {
                    rang.end = Some(*at);
                }
            }
        }
    }
    rings
}
