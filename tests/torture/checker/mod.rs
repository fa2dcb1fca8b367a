//! The oracle: reads what was written down and finds every broken guarantee. Pure: no clock, no database, and nothing of
//! the engine's code.
//!
//! Verdicts are about safety, never about wall time: a starved machine must not fail them. What is uncertain (no answer
//! came) never gives an alarm; what is certain always does. Whatever may have happened at the same microsecond is taken
//! as uncertain.
//!
//! | guarantee | file |
//! |---|---|
//! | 1 caps, 8 slots | `caps` |
//! | 2 one life at a time, 3 permits and rings | `lives`, `permits` |
//! | 4 places, 7 attempts, 9 capacity | `counts` |
//! | 7 number rules, 10 calls per second | `paces` |
//! | 5 outcomes, 6 never again | `outcomes` |

mod caps;
mod counts;
mod facts;
mod lives;
mod outcomes;
mod paces;
mod permits;
mod register;

use std::fmt;

use crate::{
    history::History,
    log::{Event, Ring},
};
use facts::Facts;

/// A broken guarantee, by its number in the design; 0: the storm itself was empty.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    pub guarantee: u8,
    pub text: String,
}

/// What was checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    pub leads: usize,
    pub leases: usize,
    pub begun: usize,
    pub permits: usize,
    pub rings: usize,
    pub outcomes: usize,
    pub cap_changes: usize,
    pub rate_changes: usize,
    pub rule_changes: usize,
    /// Permits that surely were under number rules and came after another call of the number; under a rate.
    pub ruled: usize,
    pub paced: usize,
    pub pauses: usize,
    pub resets: usize,
    pub suppressions: usize,
    pub revocations: usize,
    pub consumed: usize,
    pub faults: usize,
    /// Acts of ours that were never answered: the less of them, the sharper the verdict.
    pub unanswered: usize,
    /// Whether the storm said that it was over; only then capacity is checked.
    pub calm: bool,
}

#[derive(Debug, Clone)]
pub struct Verdict {
    pub violations: Vec<Violation>,
    pub report: Report,
}

/// Where checks put what they find.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, guarantee: u8, text: impl Into<String>) {
        self.0.push(Violation { guarantee, text: text.into() });
    }
}

pub fn check(history: &History) -> Verdict {
    let facts = Facts::of(history);
    let mut report = count(history);
    let mut found = Found::default();
    something_happened(&report, &mut found);
    caps::check(&facts, &mut found);
    lives::check(&facts, &mut found);
    permits::check(&facts, &mut found);
    counts::check(&facts, &mut found);
    let (ruled, paced) = paces::check(&facts, &mut found);
    (report.ruled, report.paced) = (ruled, paced);
    outcomes::check(&facts, &mut found);
    Verdict { violations: found.0, report }
}

/// A storm in which nothing happened proves nothing.
fn something_happened(report: &Report, found: &mut Found) {
    let counts = [
        ("leads", report.leads),
        ("leases", report.leases),
        ("permits", report.permits),
        ("rings", report.rings),
        ("outcomes", report.outcomes),
    ];
    for (what, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
        found.add(0, format!("nothing was checked: no {what}"));
    }
}

fn count(history: &History) -> Report {
    let records = &history.records;
    let mut report = Report {
        leads: records.leads.len(),
        leases: records.leases.len(),
        begun: records.leases.iter().filter(|lease| lease.begun.is_some()).count(),
        rings: history.rings.iter().filter(|ring| matches!(ring, Ring::Start { .. })).count(),
        ..Report::default()
    };
    for event in &history.events {
        let (counter, answered) = match event {
            Event::Permitted { .. } => (&mut report.permits, true),
            Event::Reported { answered, .. } => (&mut report.outcomes, answered.is_some()),
            Event::EngineCap { answered, .. } | Event::CampaignCap { answered, .. } => {
                (&mut report.cap_changes, answered.is_some())
            }
            Event::CallRate { answered, .. } => (&mut report.rate_changes, answered.is_some()),
            Event::NumberRules { answered, .. } => (&mut report.rule_changes, answered.is_some()),
            Event::Running { running: false, answered, .. } => (&mut report.pauses, answered.is_some()),
            Event::Reset { answered, .. } => (&mut report.resets, answered.is_some()),
            Event::Suppression { answered, .. } => (&mut report.suppressions, answered.is_some()),
            Event::Revoked { answered, .. } => (&mut report.revocations, answered.is_some()),
            Event::Consumed { answered, .. } => (&mut report.consumed, answered.is_some()),
            Event::Fault { .. } => (&mut report.faults, true),
            Event::NotPermitted { answered: None, .. } | Event::Imported { answered: None, .. } => {
                report.unanswered += 1;
                continue;
            }
            Event::Calm { .. } => {
                report.calm = true;
                continue;
            }
            _ => continue,
        };
        *counter += 1;
        report.unanswered += usize::from(!answered);
    }
    report
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "checked: {:?}", self.report)?;
        for Violation { guarantee, text } in &self.violations {
            writeln!(f, "guarantee {guarantee} is broken: {text}")?;
        }
        write!(f, "{} violations", self.violations.len())
    }
}
