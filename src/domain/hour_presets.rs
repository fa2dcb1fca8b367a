//! Owns the presets that a campaign may name: hours and number rules of laws and codes, as dated data
//! (`data/hour_presets.json`, where each names its source). Does not own how they are put together: that is
//! `calling_calendar`. Not legal advice.

use std::{sync::LazyLock, time::Duration};

use chrono::NaiveDate;
use serde::Deserialize;

use crate::domain::{
    calling_hours::CallingHours,
    number_rules::{self, Limit, NumberRules, RollingCap},
    outcome::Outcome,
};

/// Most presets of one campaign.
pub const PRESETS_MAX: usize = 20;

/// Rules by the name under which a campaign takes them over.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HourPreset {
    /// As `us-tcpa`.
    pub name: String,
    /// Where the rule stands.
    pub source: String,
    /// By the day from which they hold, oldest first; at least one.
    versions: Vec<PresetVersion>,
}

/// A preset as it stands from a day on.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PresetVersion {
    /// The first local day.
    pub from: NaiveDate,
    /// The hours in which it allows calls.
    pub hours: CallingHours,
    /// Rolling caps of calls to one number.
    #[serde(default)]
    pub number_caps: Vec<NumberCap>,
    /// Silence after an outcome.
    #[serde(default)]
    pub cool_downs: Vec<CoolDown>,
    /// Silence after a conversation, in hours.
    #[serde(default)]
    conversation_gap_hours: Option<u32>,
}

/// At most so many calls to a number in any period of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberCap {
    /// Calls.
    pub max_calls: i32,
    period_hours: u32,
}

/// No call to a number for a time after an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoolDown {
    /// The outcome.
    pub outcome: Outcome,
    period_hours: u32,
}

impl PresetVersion {
    /// Its number rules.
    fn number_rules(&self) -> NumberRules {
        let caps =
            self.number_caps.iter().map(|cap| RollingCap { max_calls: cap.max_calls, period: hours(cap.period_hours) });
        let cool_downs = self
            .cool_downs
            .iter()
            .map(|one| number_rules::CoolDown { outcome: one.outcome, lasts: hours(one.period_hours) });
        NumberRules {
            caps: caps.collect(),
            min_gap: None,
            gap_after_conversation: self.conversation_gap_hours.map(hours),
            cool_downs: cool_downs.collect(),
        }
    }
}

fn hours(hours: u32) -> Duration {
    Duration::from_secs(u64::from(hours) * 3600)
}

/// Empty if the data are broken, which a test would notice: then every name is unknown, and nobody is called.
static PRESETS: LazyLock<Vec<HourPreset>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../data/hour_presets.json")).unwrap_or_default());

impl HourPreset {
    /// Every preset.
    pub fn all() -> &'static [HourPreset] {
        &PRESETS
    }

    /// The preset of a name, letter for letter.
    pub fn find(name: &str) -> Option<&'static HourPreset> {
        PRESETS.iter().find(|preset| preset.name == name)
    }

    /// Its number rules: those of every version together, whatever the day. Statements hold them against calls of the past,
    /// and the stricter one is the safe one.
    pub fn limits(&self) -> impl Iterator<Item = Limit> {
        self.versions.iter().flat_map(|version| version.number_rules().limits().collect::<Vec<_>>())
    }

    /// What holds on a local day; before its first version the first.
    pub fn on(&self, day: NaiveDate) -> Option<&PresetVersion> {
        self.versions.iter().rev().find(|version| version.from <= day).or(self.versions.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn every_preset_has_a_source_and_versions_in_order() {
        let names: Vec<&str> = HourPreset::all().iter().map(|preset| preset.name.as_str()).collect();
        for named in ["us-tcpa", "us-fl", "ca-crtc", "in-trai", "in-rbi", "uk"] {
            assert!(names.contains(&named), "{named}");
        }
        for preset in HourPreset::all() {
            assert!(!preset.source.is_empty() && !preset.versions.is_empty(), "{}", preset.name);
            assert!(preset.versions.is_sorted_by(|one, next| one.from < next.from), "{}", preset.name);
            assert_eq!(names.iter().filter(|name| **name == preset.name).count(), 1);
        }
        assert!(names.len() <= PRESETS_MAX);
        let documented = include_str!("../../docs/CALLING_HOURS.md");
        assert!(names.iter().all(|name| documented.contains(&format!("| `{name}` |"))));
        assert_eq!(HourPreset::find("US-TCPA"), None);
    }

    #[test]
    fn presets_carry_the_number_rules_of_their_law() {
        use crate::domain::number_rules::NumberRule;
        let hours = |of: Duration| of.as_secs() / 3600;
        let rules = |name: &str| {
            let limits = HourPreset::find(name).unwrap().limits();
            limits.map(|limit| (limit.rule, limit.at_most, hours(limit.lasts))).collect::<Vec<_>>()
        };
        for name in ["us-fl", "us-ok", "us-md"] {
            assert!(matches!(rules(name).as_slice(), [(NumberRule::Cap(_), 3, 24)]));
        }
        assert!(matches!(
            rules("us-reg-f").as_slice(),
            [(NumberRule::Cap(_), 7, 168), (NumberRule::GapAfterConversation(_), 1, 168)]
        ));
        assert_eq!(rules("us-tcpa"), []);
        let cool_downs: Vec<_> =
            HourPreset::find("uk").unwrap().limits().map(|one| (one.outcomes.unwrap()[0], hours(one.lasts))).collect();
        assert_eq!(cool_downs, [(Outcome::Abandoned, 72), (Outcome::Voicemail, 24)]);
    }

    #[test]
    fn a_version_holds_from_its_day_on_and_the_first_also_before() {
        let text = r#"{"name": "x", "source": "y", "versions": [
            {"from": "2026-01-01", "hours": [{"weekdays": ["Mon"], "start": "08:00", "end": "20:00"}]},
            {"from": "2027-01-01", "hours": [{"weekdays": ["Mon"], "start": "09:00", "end": "19:00"}]}]}"#;
        let preset: HourPreset = serde_json::from_str(text).unwrap();
        let from = |text: &str| preset.on(day(text)).unwrap().from;
        assert_eq!(from("2000-06-01"), day("2026-01-01"));
        assert_eq!(from("2026-12-31"), day("2026-01-01"));
        assert_eq!(from("2027-01-01"), day("2027-01-01"));
        assert!(serde_json::from_str::<HourPreset>(&text.replace("hours", "times")).is_err());
    }
}
