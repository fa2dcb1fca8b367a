//! `docs/STATE_MACHINES.md` says what the code does: its tables are read and compared.

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::domain::{
    campaign::CampaignState,
    lead::{Fact, Facts, LeadState},
    outcome::Outcome,
    retry_policy::RetryPolicy,
};

const DOCUMENT: &str = include_str!("../../docs/STATE_MACHINES.md");

/// The rows of the one table with these headings.
fn table<const N: usize>(headings: [&str; N]) -> Vec<[&'static str; N]> {
    let cells = |line: &'static str| -> Option<[&'static str; N]> {
        let inner = line.strip_prefix('|')?.strip_suffix('|')?;
        inner.split('|').map(str::trim).collect::<Vec<_>>().try_into().ok()
    };
    let mut lines = DOCUMENT.lines().skip_while(|line| cells(line) != Some(headings));
    assert!(lines.next().is_some(), "no table with the headings {headings:?}");
    assert!(lines.next().is_some_and(|line| line.starts_with("|-")), "no rule under {headings:?}");
    let rows: Vec<_> = lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| cells(line).unwrap_or_else(|| panic!("not {N} cells: {line}")))
        .collect();
    assert!(!rows.is_empty(), "no rows under {headings:?}");
    rows
}

/// The documented name of an enum's variant: `IntentNoAnswer` is INTENT_NO_ANSWER.
fn name(variant: impl std::fmt::Debug) -> String {
    let mut name = String::new();
    for (index, letter) in format!("{variant:?}").chars().enumerate() {
        if index > 0 && letter.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

fn named<T: std::fmt::Debug + Copy, const N: usize>(all: [T; N], text: &str) -> T {
    all.into_iter().find(|one| name(one) == text).unwrap_or_else(|| panic!("{text} is no name of the code"))
}

fn outcome(text: &str) -> Outcome {
    named(Outcome::ALL, text)
}

fn lead_state(text: &str) -> LeadState {
    named(LeadState::ALL, text)
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

fn start() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

/// The nth attempt, an hour after the one before; a callback is promised for half an hour later.
fn attempt(seq: i32, outcome: Outcome) -> Fact {
    let begun_at = start() + TimeDelta::hours(seq.into());
    let callback_at = (outcome == Outcome::CallbackRequested).then(|| begun_at + TimeDelta::minutes(30));
    Fact { seq, outcome, begun_at, callback_at, callback_latest: None }
}

fn facts(attempts: impl IntoIterator<Item = Fact>) -> Facts {
    attempts.into_iter().fold(Facts::default(), Facts::merge)
}

#[test]
fn the_campaign_goes_where_the_document_says_and_nowhere_else() {
    let documented: BTreeSet<(i16, i16)> = table(["Campaign from", "To", "Cause"])
        .iter()
        .map(|[from, to, _]| (named(CampaignState::ALL, from).code(), named(CampaignState::ALL, to).code()))
        .collect();
    let mut allowed = BTreeSet::new();
    for from in CampaignState::ALL {
        for to in CampaignState::ALL {
            if from != to && from.may_become(to) {
                allowed.insert((from.code(), to.code()));
            }
        }
    }
    assert_eq!(documented, allowed);
}

#[test]
fn every_outcome_makes_of_a_fresh_lead_what_the_document_says() {
    let rows = table(["Outcome", "Lead becomes", "Due again after", "Counts", "Rank"]);
    assert_eq!(rows.iter().map(|row| outcome(row[0])).collect::<Vec<_>>(), Outcome::ALL);
    let now = start() + TimeDelta::minutes(61);
    for [outcome_name, state, due, counts, rank] in rows {
        let outcome = outcome(outcome_name);
        let fact = attempt(1, outcome);
        let verdict = facts([fact]).verdict(&RetryPolicy::default(), now);
        assert_eq!(verdict.state, lead_state(state), "{outcome_name}");
        let due_at = match due {
            "never" => None,
            "the promise" => fact.callback_at,
            delay => {
                let (count, unit) = delay.split_once(' ').unwrap();
                let seconds = match unit {
                    "s" => 1,
                    "min" => 60,
                    "h" => 3600,
                    other => panic!("{other} is no unit"),
                };
                Some(now + Duration::from_secs(count.parse::<u64>().unwrap() * seconds))
            }
        };
        assert_eq!(verdict.due_at, due_at, "{outcome_name}");
        assert_eq!(yes_or_no(outcome.counts()), counts, "{outcome_name}");
        assert_eq!(outcome.rank().to_string(), rank, "{outcome_name}");
    }
}

#[test]
fn an_outcome_in_a_row_comes_to_its_documented_end() {
    for [outcome_name, times, state] in table(["Outcome in a row", "Times", "Lead becomes"]) {
        let attempts = (1..=times.parse().unwrap()).map(|seq| attempt(seq, outcome(outcome_name)));
        assert_eq!(facts(attempts).state(), lead_state(state), "{outcome_name} {times} times");
    }
}

#[test]
fn a_promise_ends_as_documented_when_its_call_is_made() {
    let rows = table(["Outcome of the callback", "Lead becomes"]);
    assert_eq!(rows.iter().map(|row| outcome(row[0])).collect::<Vec<_>>(), Outcome::ALL);
    for [outcome_name, state] in rows {
        // The second attempt begins after the promised instant.
        let made = facts([attempt(1, Outcome::CallbackRequested), attempt(2, outcome(outcome_name))]);
        assert_eq!(made.state(), lead_state(state), "{outcome_name}");
    }
}

#[test]
fn two_attempts_make_the_documented_state_in_either_order_of_their_reports() {
    for [older, newer, state] in table(["Older attempt", "Newer attempt", "Lead is"]) {
        let (first, second) = (attempt(1, outcome(older)), attempt(2, outcome(newer)));
        for order in [[first, second], [second, first]] {
            assert_eq!(facts(order).state(), lead_state(state), "{older}, then {newer}");
        }
    }
}

#[test]
fn resets_final_states_and_callbacks_by_hand_are_as_documented() {
    let rows = table(["State", "Reset", "Final", "ScheduleCallback"]);
    assert_eq!(rows.iter().map(|row| lead_state(row[0])).collect::<Vec<_>>(), LeadState::ALL);
    for [state_name, reset, last, callback] in rows {
        let state = lead_state(state_name);
        assert_eq!(if state.is_reset() { "reset" } else { "kept" }, reset, "{state_name}");
        assert_eq!(yes_or_no(state.is_final()), last, "{state_name}");
        assert_eq!(yes_or_no(state.allows_callback_by_hand()), callback, "{state_name}");
    }
}

#[test]
fn no_documented_edge_leaves_a_final_state_and_outcomes_have_theirs() {
    let edges = table(["Lead from", "To", "Cause"]);
    let mut seen = BTreeSet::new();
    let mut by_outcome = BTreeSet::new();
    for [from, to, cause] in edges {
        let (from, to) = (lead_state(from), lead_state(to));
        assert!(!from.is_final(), "{from:?} is final");
        assert!(from != to && seen.insert((from, to)), "{from:?} to {to:?} stands twice, or is no edge");
        if cause.split(';').any(|one| one.trim() == "outcome") {
            assert_eq!(from, LeadState::DialingIntent);
            by_outcome.insert(to);
        }
        if cause.contains("ScheduleCallback") {
            assert!(from.allows_callback_by_hand() && to == LeadState::Scheduled, "{from:?}");
        }
        if cause.split([';', ' ']).any(|word| word == "reset") {
            assert!(from.is_reset() && to == LeadState::Eligible, "{from:?}");
        }
    }
    let made: BTreeSet<LeadState> = Outcome::ALL.iter().map(|outcome| facts([attempt(1, *outcome)]).state()).collect();
    assert_eq!(by_outcome, made);
}
