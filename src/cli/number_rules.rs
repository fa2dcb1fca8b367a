//! Number rules as flags: `--number-cap 3/24h --min-gap 2h --gap-after-conversation 7d --cool-down ABANDONED=72h`.

use std::str::FromStr;

use prost_types::Duration;
use serde_json::{Value, json};

use super::{rules::duration, views};
use crate::pb::{CoolDown, NumberRules, Outcome, RollingCap};

/// Flags for rules per phone number.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Number rules, counted per phone number over all campaigns")]
pub struct NumberRulesArgs {
    /// Calls within any span of a length, as 3/24h; repeat for more
    #[arg(long, value_name = "CALLS/PERIOD")]
    pub number_cap: Vec<Cap>,
    /// From one call to the next, as 2h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub min_gap: Option<Duration>,
    /// After somebody was talked to, as 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub gap_after_conversation: Option<Duration>,
    /// After an outcome, as ABANDONED=72h; repeat for more outcomes
    #[arg(long, value_name = "OUTCOME=DURATION")]
    pub cool_down: Vec<Pause>,
}

impl NumberRulesArgs {
    /// The rules, if any flag was given: together they replace those in force.
    pub fn build(self) -> Option<NumberRules> {
        let rules = NumberRules {
            caps: self.number_cap.into_iter().map(|cap| cap.0).collect(),
            min_gap: self.min_gap,
            gap_after_conversation: self.gap_after_conversation,
            cool_downs: self.cool_down.into_iter().map(|pause| pause.0).collect(),
        };
        (rules != NumberRules::default()).then_some(rules)
    }
}

/// A rolling cap.
#[derive(Clone, Debug, PartialEq)]
pub struct Cap(pub RollingCap);

impl FromStr for Cap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (calls, period) = text.split_once('/').ok_or("not CALLS/PERIOD, as 3/24h")?;
        let max_calls = calls.trim().parse().map_err(|_| format!("\"{calls}\" is no number of calls"))?;
        Ok(Self(RollingCap { max_calls, period: Some(duration(period)?) }))
    }
}

/// A cool-down.
#[derive(Clone, Debug, PartialEq)]
pub struct Pause(pub CoolDown);

impl FromStr for Pause {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (outcome, lasts) = text.split_once('=').ok_or("not OUTCOME=DURATION, as ABANDONED=72h")?;
        let name = format!("OUTCOME_{}", outcome.trim().to_uppercase());
        let outcome = Outcome::from_str_name(&name).ok_or(format!("\"{outcome}\" is no outcome"))?;
        Ok(Self(CoolDown { outcome: outcome.into(), lasts: Some(duration(lasts)?) }))
    }
}

/// As flags write them; nothing without rules.
pub fn lines(rules: &NumberRules) -> Vec<String> {
    let length = |of| views::length(of).unwrap_or_default();
    let caps = rules.caps.iter().map(|cap| format!("{} calls in {}", cap.max_calls, length(cap.period)));
    let gap = rules.min_gap.map(|gap| format!("{} between calls", length(Some(gap))));
    let talked = rules.gap_after_conversation.map(|gap| format!("{} after a conversation", length(Some(gap))));
    let pauses =
        rules.cool_downs.iter().map(|one| format!("{} after {}", length(one.lasts), views::outcome(one.outcome)));
    caps.chain(gap).chain(talked).chain(pauses).collect()
}

/// As JSON, by the names of the contract.
pub fn view(rules: &NumberRules) -> Value {
    let caps = rules.caps.iter().map(|cap| json!({"max_calls": cap.max_calls, "period": views::length(cap.period)}));
    let cool_downs = rules
        .cool_downs
        .iter()
        .map(|one| json!({"outcome": views::outcome(one.outcome), "lasts": views::length(one.lasts)}));
    json!({
        "caps": caps.collect::<Vec<_>>(),
        "min_gap": views::length(rules.min_gap),
        "gap_after_conversation": views::length(rules.gap_after_conversation),
        "cool_downs": cool_downs.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_rules_are_read_as_people_write_them() {
        let cap: Cap = "3/24h".parse().expect("valid");
        assert_eq!(cap.0, RollingCap { max_calls: 3, period: Some(Duration { seconds: 86_400, nanos: 0 }) });
        let pause: Pause = "abandoned=72h".parse().expect("valid");
        assert_eq!(pause.0.outcome(), Outcome::Abandoned);
        assert!("24h".parse::<Cap>().is_err());
        assert!("x/24h".parse::<Cap>().is_err());
        assert!("BUSY".parse::<Pause>().is_err());
        assert!(NumberRulesArgs::default().build().is_none());
        let args = NumberRulesArgs { number_cap: vec![cap], cool_down: vec![pause], ..NumberRulesArgs::default() };
        let rules = args.build().expect("given");
        assert_eq!(lines(&rules), ["3 calls in 24h", "72h after ABANDONED"]);
    }
}
