//! A campaign's rules as flags: `--hours "mon-fri 09:00-17:30" --retry NO_ANSWER=2h,4h`.
//!
//! Only the shape is checked here; bounds are the server's, which names each field that breaks one.

use std::str::FromStr;

use jiff::{Span, SpanRelativeTo};
use prost_types::Duration;

use super::number_rules::NumberRulesArgs;
use crate::pb::{
    CallingHours, CallingSpan, CampaignRules, MissedCallback, Outcome, RetryRule, UnclearCallback, Weekday,
};

/// Flags for the rules of a campaign.
#[derive(Clone, Default, clap::Args)]
#[command(next_help_heading = "Rules")]
pub struct RulesArgs {
    /// Region by which national numbers are read at import, as US; without it numbers start with +
    #[arg(long, value_name = "REGION")]
    pub default_region: Option<String>,
    /// IANA zone of leads that name none and whose number tells none; without it such leads are not called
    #[arg(long, value_name = "ZONE")]
    pub default_time_zone: Option<String>,
    /// Local hours for calls, as "mon-fri 09:00-17:30"; repeat for more [default: daily 08:00-21:00, or the presets alone]
    #[arg(long, value_name = "SPAN")]
    pub hours: Vec<Hours>,
    /// Hours of a law that must be open too, as us-tcpa, us-fl, ca-crtc, in-trai, in-rbi, uk; repeat for more
    #[arg(long, value_name = "PRESET")]
    pub preset: Vec<String>,
    /// First day on which leads are called, as 2026-11-02, by the calendar of their zone
    #[arg(long, value_name = "DAY")]
    pub start_date: Option<String>,
    /// Last day on which leads are called, included
    #[arg(long, value_name = "DAY")]
    pub end_date: Option<String>,
    /// Country on whose public holidays nobody is called, as US; repeat for more
    #[arg(long, value_name = "COUNTRY")]
    pub holidays_of: Vec<String>,
    /// Day on which nobody is called, as 2026-12-24; repeat for more
    #[arg(long, value_name = "DAY")]
    pub holiday: Vec<String>,
    /// Attempts per lead until the next reset [default: 3]
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<i32>,
    /// Calls of this campaign at once [default: only the engine's cap]
    #[arg(long, value_name = "N")]
    pub max_concurrency: Option<i32>,
    /// Calls of this campaign per second, evenly spaced; 0 for no limit of its own
    #[arg(long, value_name = "N")]
    pub max_calls_per_second: Option<f64>,
    /// Delays before the next attempt after an outcome, as NO_ANSWER=2h,4h; with the most times in a row that are
    /// retried at all, as BUSY=5m,15m/3; repeat for more outcomes
    #[arg(long, value_name = "OUTCOME=DELAYS[/LIMIT]")]
    /// Share of the slots among campaigns that have work [default: 1]
    #[arg(long, value_name = "N")]
    pub weight: Option<i32>,
    /// Calls of this campaign at once that come before the shares of others [default: 0]
    #[arg(long, value_name = "N")]
    pub min_concurrency: Option<i32>,
    /// Delays before the next attempt after an outcome, as NO_ANSWER=2h,4h; repeat for more outcomes
    #[arg(long, value_name = "OUTCOME=DELAYS")]
    pub retry: Vec<Retry>,
    /// How long a lease may wait for its permit, as 30s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub begin_within: Option<Duration>,
    /// How long a call may last, as 1h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_duration: Option<Duration>,
    /// Calls in a row that the provider refused (NOT_PLACED) after which grants pause; 0 for never [default: 20]
    #[arg(long, value_name = "N")]
    pub breaker_after: Option<i32>,
    /// How often one call is tried while grants pause so, as 1m [default: 1m]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub breaker_probe_interval: Option<Duration>,
    /// Added to the engine's.
    #[command(flatten)]
    pub number_rules: NumberRulesArgs,
    /// What becomes of a promised callback that could not be called in time: CALL_LATE, NEXT_DAY or RELEASE
    #[arg(long, value_name = "RULE", value_parser = missed)]
    pub missed_callback: Option<MissedCallback>,
    /// How late a promised call is still in time, as 15m
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub callback_tolerance: Option<Duration>,
    /// What becomes of a lead whose callback phrase is not understood: HOLD or RETRY
    #[arg(long, value_name = "RULE", value_parser = unclear)]
    pub unclear_callback: Option<UnclearCallback>,
}

impl RulesArgs {
    /// The rules, and the paths of those that were given, for an update mask.
    pub fn build(self) -> (CampaignRules, Vec<String>) {
        let number_rules = self.number_rules.build();
        let given = [
            ("default_region", self.default_region.is_some()),
            ("default_time_zone", self.default_time_zone.is_some()),
            ("calling_hours", !self.hours.is_empty()),
            ("max_attempts", self.max_attempts.is_some()),
            ("max_concurrency", self.max_concurrency.is_some()),
            ("max_calls_per_second", self.max_calls_per_second.is_some()),
            ("weight", self.weight.is_some()),
            ("min_concurrency", self.min_concurrency.is_some()),
            ("retry_rules", !self.retry.is_empty()),
            ("begin_within", self.begin_within.is_some()),
            ("max_duration", self.max_duration.is_some()),
            ("start_date", self.start_date.is_some()),
            ("end_date", self.end_date.is_some()),
            ("hour_presets", !self.preset.is_empty()),
            ("holiday_countries", !self.holidays_of.is_empty()),
            ("holidays", !self.holiday.is_empty()),
            ("breaker_after", self.breaker_after.is_some()),
            ("breaker_probe_interval", self.breaker_probe_interval.is_some()),
            ("number_rules", number_rules.is_some()),
            ("missed_callback", self.missed_callback.is_some()),
            ("callback_tolerance", self.callback_tolerance.is_some()),
            ("unclear_callback", self.unclear_callback.is_some()),
        ];
        let paths = given.iter().filter(|(_, given)| *given).map(|(name, _)| format!("rules.{name}")).collect();
        let spans: Vec<_> = self.hours.into_iter().map(|hours| hours.0).collect();
        let rules = CampaignRules {
            default_region: self.default_region.unwrap_or_default(),
            default_time_zone: self.default_time_zone.unwrap_or_default(),
            calling_hours: (!spans.is_empty()).then_some(CallingHours { spans }),
            max_attempts: self.max_attempts,
            max_concurrency: self.max_concurrency,
            max_calls_per_second: self.max_calls_per_second,
            weight: self.weight,
            min_concurrency: self.min_concurrency,
            retry_rules: self.retry.into_iter().map(|retry| retry.0).collect(),
            begin_within: self.begin_within,
            max_duration: self.max_duration,
            start_date: self.start_date.unwrap_or_default(),
            end_date: self.end_date.unwrap_or_default(),
            hour_presets: self.preset,
            holiday_countries: self.holidays_of,
            holidays: self.holiday,
            breaker_after: self.breaker_after,
            breaker_probe_interval: self.breaker_probe_interval,
            number_rules,
            missed_callback: self.missed_callback.unwrap_or_default().into(),
            callback_tolerance: self.callback_tolerance,
            unclear_callback: self.unclear_callback.unwrap_or_default().into(),
        };
        (rules, paths)
    }
}

/// One rule by name, to be put back to its default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum RuleName {
    DefaultRegion,
    DefaultTimeZone,
    CallingHours,
    MaxAttempts,
    MaxConcurrency,
    MaxCallsPerSecond,
    Weight,
    MinConcurrency,
    RetryRules,
    BeginWithin,
    MaxDuration,
    StartDate,
    EndDate,
    HourPresets,
    HolidayCountries,
    Holidays,
    BreakerAfter,
    BreakerProbeInterval,
    NumberRules,
    MissedCallback,
    CallbackTolerance,
    UnclearCallback,
}

fn missed(text: &str) -> Result<MissedCallback, String> {
    let name = format!("MISSED_CALLBACK_{}", text.to_uppercase());
    MissedCallback::from_str_name(&name).ok_or("one of CALL_LATE, NEXT_DAY, RELEASE".into())
}

fn unclear(text: &str) -> Result<UnclearCallback, String> {
    let name = format!("UNCLEAR_CALLBACK_{}", text.to_uppercase());
    UnclearCallback::from_str_name(&name).ok_or("one of HOLD, RETRY".into())
}

impl RuleName {
    /// The path in an update mask.
    pub fn path(self) -> String {
        use clap::ValueEnum as _;
        self.to_possible_value().map(|value| format!("rules.{}", value.get_name())).unwrap_or_default()
    }
}

/// One span of calling hours: days, then hours.
#[derive(Clone, Debug, PartialEq)]
pub struct Hours(pub CallingSpan);

impl FromStr for Hours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (days, hours) =
            text.trim().rsplit_once(' ').ok_or("not \"DAYS HH:MM-HH:MM\", as \"mon-fri 09:00-17:30\"")?;
        let (start, end) = hours.split_once('-').ok_or("the hours are not HH:MM-HH:MM")?;
        let mut weekdays = Vec::new();
        for part in days.split(',') {
            for day in day_range(part.trim())? {
                if !weekdays.contains(&day) {
                    weekdays.push(day);
                }
            }
        }
        weekdays.sort_unstable();
        Ok(Self(CallingSpan { weekdays, start: start.to_owned(), end: end.to_owned() }))
    }
}

/// `mon`, `mon-fri`, `sat-mon` or `daily`, as numbers of [`Weekday`].
fn day_range(text: &str) -> Result<Vec<i32>, String> {
    const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    if text.eq_ignore_ascii_case("daily") {
        return Ok((Weekday::Monday as i32..=Weekday::Sunday as i32).collect());
    }
    let index = |day: &str| {
        let found = DAYS.iter().position(|known| known.eq_ignore_ascii_case(day.trim()));
        found.ok_or(format!("\"{day}\" is not one of {} or daily", DAYS.join(", ")))
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (index(first)?, index(last)?);
    let length = (last + 7 - first) % 7;
    Ok((0..=length).map(|step| ((first + step) % 7) as i32 + Weekday::Monday as i32).collect())
}

/// Delays and limit of one outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry(pub RetryRule);

impl FromStr for Retry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (outcome, delays) = text.split_once('=').ok_or("not OUTCOME=DELAY,DELAY,... or OUTCOME=DELAYS/LIMIT")?;
        let name = format!("OUTCOME_{}", outcome.trim().to_uppercase());
        let outcome = Outcome::from_str_name(&name).ok_or(format!("\"{outcome}\" is no outcome"))?;
        let (delays, limit) = match delays.rsplit_once('/') {
            Some((delays, limit)) => {
                (delays, Some(limit.trim().parse().map_err(|_| format!("\"{limit}\" is no limit, as 3"))?))
            }
            None => (delays, None),
        };
        let delays = delays.split(',').map(duration).collect::<Result<_, _>>()?;
        Ok(Self(RetryRule { outcome: outcome.into(), delays, limit }))
    }
}

/// A duration as people write it: `90s`, `2h`, `1h30m`, `3d`, `200ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |error: jiff::Error| format!("not a duration as 90s, 2h30m or 3d: {error}");
    let span: Span = text.trim().parse().map_err(wrong)?;
    let exact = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(wrong)?;
    Ok(Duration { seconds: exact.as_secs(), nanos: exact.subsec_nanos() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_days_and_a_span() {
        let hours: Hours = "mon-wed,Sat 09:00-17:30".parse().expect("valid");
        assert_eq!(hours.0.weekdays, [1, 2, 3, 6]);
        assert_eq!((hours.0.start.as_str(), hours.0.end.as_str()), ("09:00", "17:30"));
        let over_the_week: Hours = "sat-mon 22:00-02:00".parse().expect("valid");
        assert_eq!(over_the_week.0.weekdays, [1, 6, 7]);
        let daily: Hours = "daily 00:00-24:00".parse().expect("valid");
        assert_eq!(daily.0.weekdays.len(), 7);
        assert!("someday 09:00-10:00".parse::<Hours>().is_err());
        assert!("09:00-10:00".parse::<Hours>().is_err());
    }

    #[test]
    fn a_retry_rule_is_an_outcome_and_its_delays() {
        let retry: Retry = "no_answer=90s,2h30m,3d".parse().expect("valid");
        assert_eq!(retry.0.outcome(), Outcome::NoAnswer);
        let seconds: Vec<_> = retry.0.delays.iter().map(|delay| delay.seconds).collect();
        assert_eq!(seconds, [90, 9000, 259_200]);
        assert_eq!(retry.0.limit, None);
        let limited: Retry = "BUSY=5m,15m/3".parse().expect("valid");
        assert_eq!((limited.0.delays.len(), limited.0.limit), (2, Some(3)));
        assert!("BUSY=5m/often".parse::<Retry>().is_err());
        assert!("NO_IDEA=1s".parse::<Retry>().is_err());
        assert!("BUSY=soon".parse::<Retry>().is_err());
        assert_eq!(duration("200ms"), Ok(Duration { seconds: 0, nanos: 200_000_000 }));
    }

    #[test]
    fn only_rules_that_were_given_are_in_the_mask() {
        let args = RulesArgs { max_attempts: Some(2), ..RulesArgs::default() };
        assert_eq!(args.build().1, ["rules.max_attempts"]);
        let args = RulesArgs { preset: vec!["uk".into()], holiday: vec!["2026-12-24".into()], ..RulesArgs::default() };
        let (rules, paths) = args.build();
        assert_eq!(paths, ["rules.hour_presets", "rules.holidays"]);
        assert_eq!((rules.hour_presets, rules.holidays), (vec!["uk".to_owned()], vec!["2026-12-24".to_owned()]));
        assert_eq!(RuleName::HolidayCountries.path(), "rules.holiday_countries");
        assert_eq!(RuleName::MaxConcurrency.path(), "rules.max_concurrency");
    }
}
