//! Number rules from and to the wire.

use std::time::Duration;

use super::{
    convert::{self, wire_duration},
    status::Violations,
};
use crate::{
    domain::{
        number_rules::{CAPS_MAX, CoolDown, NumberRules, NumberRulesError, RollingCap},
        outcome::Outcome,
    },
    pb,
};

/// A length whose bounds are checked with the rest of the rules.
fn length(value: Option<prost_types::Duration>, field: &str, bad: &mut Violations) -> Option<Duration> {
    match value {
        Some(value) => convert::duration(value, &(Duration::ZERO..=Duration::MAX), field, bad),
        None => bad.none(field, "is required"),
    }
}

fn path(error: NumberRulesError) -> String {
    match error {
        NumberRulesError::CapCount => "caps".to_owned(),
        NumberRulesError::CapCalls(index) => format!("caps[{index}].max_calls"),
        NumberRulesError::CapPeriod(index) => format!("caps[{index}].period"),
        NumberRulesError::Gap => "min_gap".to_owned(),
        NumberRulesError::GapAfterConversation => "gap_after_conversation".to_owned(),
        NumberRulesError::CoolDown(index) => format!("cool_downs[{index}].lasts"),
        NumberRulesError::CoolDownOutcome(index) => format!("cool_downs[{index}].outcome"),
    }
}

/// Number rules inside their bounds.
pub fn parse(given: &pb::NumberRules, field: &str, bad: &mut Violations) -> Option<NumberRules> {
    let at = |name: &str| format!("{field}.{name}");
    let mut whole = true;
    let mut caps = Vec::new();
    for (index, cap) in given.caps.iter().enumerate().take(CAPS_MAX + 1) {
        let period = length(cap.period, &at(&format!("caps[{index}].period")), bad);
        whole &= period.is_some();
        caps.extend(period.map(|period| RollingCap { max_calls: cap.max_calls, period }));
    }
    let mut gap = |value: Option<prost_types::Duration>, name: &str, bad: &mut Violations| {
        let gap = value.and_then(|_| length(value, &at(name), bad));
        whole &= gap.is_some() == value.is_some();
        gap
    };
    let min_gap = gap(given.min_gap, "min_gap", bad);
    let gap_after_conversation = gap(given.gap_after_conversation, "gap_after_conversation", bad);
    let mut cool_downs = Vec::new();
    for (index, one) in given.cool_downs.iter().enumerate().take(Outcome::ALL.len() + 1) {
        let outcome = convert::code(one.outcome, Outcome::from_code, &at(&format!("cool_downs[{index}].outcome")), bad);
        let lasts = length(one.lasts, &at(&format!("cool_downs[{index}].lasts")), bad);
        whole &= outcome.is_some() && lasts.is_some();
        cool_downs.extend(outcome.zip(lasts).map(|(outcome, lasts)| CoolDown { outcome, lasts }));
    }
    if !whole {
        return None;
    }
    let rules = NumberRules { caps, min_gap, gap_after_conversation, cool_downs };
    rules.checked().map_err(|error| bad.add(at(&path(error)), error.to_string())).ok()
}

/// Number rules for the wire.
pub fn wire(rules: &NumberRules) -> pb::NumberRules {
    pb::NumberRules {
        caps: rules
            .caps
            .iter()
            .map(|cap| pb::RollingCap { max_calls: cap.max_calls, period: Some(wire_duration(cap.period)) })
            .collect(),
        min_gap: rules.min_gap.map(wire_duration),
        gap_after_conversation: rules.gap_after_conversation.map(wire_duration),
        cool_downs: rules
            .cool_downs
            .iter()
            .map(|one| pb::CoolDown { outcome: i32::from(one.outcome.code()), lasts: Some(wire_duration(one.lasts)) })
            .collect(),
    }
}
