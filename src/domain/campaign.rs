//! A campaign's life and its rules, with defaults and bounds. Callability of a lead is decided elsewhere.

use std::{collections::BTreeSet, time::Duration};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::{
    calling_hours::CallingHours,
    hour_presets::HourPreset,
    number_rules::{Limit, NumberRules},
    promise::{MissedCallback, UnclearCallback},
    retry_policy::RetryPolicy,
};

/// The life of a campaign. The discriminants are the codes of the proto and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(i16)]
pub enum CampaignState {
    /// Created, not started.
    Draft = 1,
    /// Leads are leased.
    Running = 2,
    /// No grants and no permits.
    Paused = 3,
    /// Over for good.
    Archived = 4,
}

impl CampaignState {
    /// Every state, in the order of the codes.
    pub const ALL: [CampaignState; 4] =
        [CampaignState::Draft, CampaignState::Running, CampaignState::Paused, CampaignState::Archived];

    /// The code of the proto and of the database.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The state with this code.
    pub fn from_code(code: i16) -> Option<CampaignState> {
        CampaignState::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The name that stands in the proto and the docs.
    pub fn name(self) -> &'static str {
        match self {
            CampaignState::Draft => "DRAFT",
            CampaignState::Running => "RUNNING",
            CampaignState::Paused => "PAUSED",
            CampaignState::Archived => "ARCHIVED",
        }
    }

    /// Whether the campaign may go from here to `next`. Going where it is already is allowed and changes nothing.
    pub fn may_become(self, next: CampaignState) -> bool {
        use CampaignState::{Archived, Draft, Paused, Running};
        matches!(
            (self, next),
            (Draft | Paused | Running, Running) | (Running | Paused, Paused) | (Draft | Paused | Archived, Archived)
        )
    }
}

/// COMPLETED on the wire: RUNNING, with nobody left to be called. It is never stored: new leads or a reset end it.
pub const COMPLETED: i16 = 5;

/// Which campaigns are meant, by what people see of their state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateFilter {
    /// Where their life stands; none: anywhere.
    pub state: Option<CampaignState>,
    /// Whether nobody is left to be called; none: either.
    pub completed: Option<bool>,
}

impl StateFilter {
    /// Those that are shown with this code. RUNNING is not COMPLETED.
    pub fn shown_as(code: i16) -> Option<StateFilter> {
        if code == COMPLETED {
            return Some(StateFilter { state: Some(CampaignState::Running), completed: Some(true) });
        }
        let state = CampaignState::from_code(code)?;
        Some(StateFilter { state: Some(state), completed: (state == CampaignState::Running).then_some(false) })
    }
}

/// Attempts per lead and generation: bounds.
pub const MAX_ATTEMPTS: std::ops::RangeInclusive<i32> = 1..=100;
/// Live leases of one campaign, and of the engine: bounds.
pub const MAX_CONCURRENCY: std::ops::RangeInclusive<i32> = 0..=1_000_000;
/// Permits per second of one campaign, and of the engine: bounds.
pub const CALLS_PER_SECOND: std::ops::RangeInclusive<f64> = 0.01..=10_000.0;
/// A campaign's share of the slots: bounds.
pub const WEIGHT: std::ops::RangeInclusive<i32> = 1..=1_000;
/// How long a lease may wait for its permit: bounds.
pub const BEGIN_WITHIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(600);
/// How long a begun call may last: bounds.
pub const MAX_DURATION: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(24 * 3600);

/// NOT_PLACED in a row after which the circuit breaker opens: bounds. 0: never.
pub const BREAKER_AFTER: std::ops::RangeInclusive<i32> = 0..=1000;
/// How often an open breaker lets one lease through: bounds.
pub const BREAKER_PROBE_INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);

/// The rules of a campaign. Stored as JSON; parsed and bounded at the edge, so a value of this type is valid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CampaignRules {
    /// ISO 3166 region by which national numbers are read.
    pub default_region: Option<String>,
    /// IANA zone of leads that name none and whose number tells none; without it such leads are closed.
    pub default_time_zone: Option<String>,
    /// Local hours of the campaign's own; see [`CampaignRules::effective_hours`].
    pub calling_hours: Option<CallingHours>,
    /// Attempts per lead and generation, default 3.
    pub max_attempts: i16,
    /// Live leases of this campaign; none: bounded by the engine's cap alone.
    pub max_concurrency: Option<i32>,
    /// Permits per second of this campaign; none: bounded by the engine's alone.
    pub max_calls_per_second: Option<f64>,
    /// Its share of the slots among campaigns that have work, default 1.
    pub weight: i32,
    /// Live leases that come before the shares of others, default 0; at most `max_concurrency`.
    pub min_concurrency: i32,
    /// Delays per outcome.
    pub retry_policy: RetryPolicy,
    /// How long a lease may wait for its permit, default 30 s.
    pub begin_within: Duration,
    /// How long a begun call may last, default 1 h.
    pub max_duration: Duration,
    /// The first day on which leads are called, by the calendar of their zone.
    pub start_date: Option<NaiveDate>,
    /// The last day, included.
    pub end_date: Option<NaiveDate>,
    /// Names of presets whose hours hold too, at most `hour_presets::PRESETS_MAX`.
    pub hour_presets: Vec<String>,
    /// ISO 3166 codes of countries on whose public holidays nobody is called.
    pub holiday_countries: Vec<String>,
    /// Days of its own on which nobody is called, at most `calling_calendar::HOLIDAYS_MAX`.
    pub holidays: BTreeSet<NaiveDate>,
    /// The circuit breaker: after so many permits in a row that were all NOT_PLACED grants pause, default 20; 0: never.
    pub breaker_after: i32,
    /// How often one lease is granted all the same, to see whether the provider is back; default 1 min.
    pub breaker_probe_interval: Duration,
    /// What it adds to the engine's number rules; counted over the calls of all campaigns.
    pub number_rules: NumberRules,
    /// What becomes of a promise that could not be called in time.
    pub missed_callback: MissedCallback,
    /// How late a promised call still counts as in time, default 15 min.
    pub callback_tolerance: Duration,
    /// What becomes of a lead whose callback phrase is not understood.
    pub unclear_callback: UnclearCallback,
}

impl CampaignRules {
    /// The campaign's own hours. Without any, and without presets: every day from 08:00 to 21:00; presets stand alone.
    pub fn effective_hours(&self) -> Option<CallingHours> {
        let default = || self.hour_presets.is_empty().then(CallingHours::default);
        self.calling_hours.clone().or_else(default)
    }

    /// The number rules that hold beside the engine's: its own, and those of its presets.
    pub fn limits(&self) -> Vec<Limit> {
        let presets = self.hour_presets.iter().filter_map(|name| HourPreset::find(name));
        self.number_rules.limits().chain(presets.flat_map(HourPreset::limits)).collect()
    }
}

impl Default for CampaignRules {
    fn default() -> Self {
        CampaignRules {
            default_region: None,
            default_time_zone: None,
            calling_hours: None,
            max_attempts: 3,
            max_concurrency: None,
            max_calls_per_second: None,
            weight: 1,
            min_concurrency: 0,
            retry_policy: RetryPolicy::default(),
            begin_within: Duration::from_secs(30),
            max_duration: Duration::from_secs(3600),
            start_date: None,
            end_date: None,
            hour_presets: Vec::new(),
            holiday_countries: Vec::new(),
            holidays: BTreeSet::new(),
            breaker_after: 20,
            breaker_probe_interval: Duration::from_secs(60),
            number_rules: NumberRules::default(),
            missed_callback: MissedCallback::CallLate,
            callback_tolerance: Duration::from_secs(15 * 60),
            unclear_callback: UnclearCallback::Hold,
        }
    }
}

impl CampaignRules {
    /// Whether the same leads may be called under both: shares do not matter for that.
    pub fn allow_the_same(&self, other: &CampaignRules) -> bool {
        let other = CampaignRules { weight: self.weight, min_concurrency: self.min_concurrency, ..other.clone() };
        *self == other
    }

    /// Whether the guaranteed minimum fits under the campaign's own cap.
    pub fn minimum_fits(&self) -> bool {
        self.max_concurrency.is_none_or(|cap| self.min_concurrency <= cap)
    }
}
