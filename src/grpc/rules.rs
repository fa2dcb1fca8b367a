//! Campaign rules from and to the wire.

use std::time::Duration;

use super::{
    calendar_rules,
    convert::{self, wire_duration},
    number_rules,
    status::Violations,
};
use crate::{
    domain::{
        calling_hours::{CallingHours, CallingHoursError},
        calling_span::{CallingSpan, WeekdaySet, format_clock, parse_clock},
        campaign::{
            BEGIN_WITHIN, BREAKER_AFTER, BREAKER_PROBE_INTERVAL, CampaignRules, MAX_ATTEMPTS, MAX_CONCURRENCY,
            MAX_DURATION, WEIGHT,
        },
        outcome::Outcome,
        phone_number::is_known_region,
        promise::{CALLBACK_TOLERANCE, MissedCallback, UnclearCallback},
        retry_policy::{LIMIT, RETRIED, RetryPolicy, RetryRule},
        time_zone::TimeZone,
    },
    engine::campaigns::CampaignChange,
    pb,
};

const WEEKDAYS: [chrono::Weekday; 7] = [
    chrono::Weekday::Mon,
    chrono::Weekday::Tue,
    chrono::Weekday::Wed,
    chrono::Weekday::Thu,
    chrono::Weekday::Fri,
    chrono::Weekday::Sat,
    chrono::Weekday::Sun,
];

fn region(text: &str, bad: &mut Violations) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let upper = text.to_ascii_uppercase();
    if is_known_region(&upper) {
        Some(upper)
    } else {
        bad.none("rules.default_region", "must be an ISO 3166 region of two letters")
    }
}

fn zone(text: &str, bad: &mut Violations) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    match TimeZone::parse(text) {
        Ok(zone) => Some(zone.name().to_owned()),
        Err(error) => bad.none("rules.default_time_zone", error.to_string()),
    }
}

fn hours(hours: &pb::CallingHours, bad: &mut Violations) -> Option<CallingHours> {
    let mut spans = Vec::with_capacity(hours.spans.len().min(64));
    for (index, span) in hours.spans.iter().enumerate().take(64) {
        let field = |name: &str| format!("rules.calling_hours.spans[{index}].{name}");
        let mut weekdays = WeekdaySet::default();
        for (day_index, day) in span.weekdays.iter().enumerate().take(8) {
            let name = format!("{}[{day_index}]", field("weekdays"));
            let known = |code: i16| WEEKDAYS.get(usize::try_from(code - 1).ok()?).copied();
            if let Some(day) = convert::code(*day, known, &name, bad)
                && !weekdays.insert(day)
            {
                bad.add(name, "is repeated");
            }
        }
        let mut clock = |text: &str, is_end: bool| {
            let name = field(if is_end { "end" } else { "start" });
            parse_clock(text, is_end).map_err(|error| bad.add(name, error.to_string())).ok()
        };
        let (start, end) = (clock(&span.start, false), clock(&span.end, true));
        if let (Some(start_minute), Some(end_minute)) = (start, end) {
            spans.push(CallingSpan { weekdays, start_minute, end_minute });
        }
    }
    if spans.len() < hours.spans.len() && hours.spans.len() <= 50 {
        return None;
    }
    match CallingHours::new(spans) {
        Ok(hours) => Some(hours),
        Err(CallingHoursError::Span { index, error }) => {
            bad.none(format!("rules.calling_hours.spans[{index}].{}", error.field()), error.to_string())
        }
        Err(error) => bad.none("rules.calling_hours.spans", error.to_string()),
    }
}

fn retries(rules: &[pb::RetryRule], bad: &mut Violations) -> Option<RetryPolicy> {
    let mut overrides = Vec::new();
    let mut whole = true;
    for (index, rule) in rules.iter().enumerate().take(16) {
        let field = format!("rules.retry_rules[{index}]");
        let outcome = convert::code(rule.outcome, Outcome::from_code, &format!("{field}.outcome"), bad);
        let mut delays = Vec::new();
        for (nth, delay) in rule.delays.iter().enumerate().take(32) {
            let any = Duration::ZERO..=Duration::MAX;
            let one = convert::duration(*delay, &any, &format!("{field}.delays[{nth}]"), bad);
            whole &= one.is_some();
            delays.extend(one);
        }
        let bounds = i32::try_from(*LIMIT.start()).unwrap_or(1)..=i32::try_from(*LIMIT.end()).unwrap_or(1);
        let limit = rule.limit.map(|limit| convert::number(limit, &bounds, &format!("{field}.limit"), bad));
        let limit = limit.map(|limit| u32::try_from(limit).ok().filter(|limit| LIMIT.contains(limit)));
        whole &= outcome.is_some() && limit != Some(None);
        overrides.extend(outcome.map(|outcome| RetryRule { outcome, delays, limit: limit.flatten() }));
    }
    if !whole {
        return None;
    }
    RetryPolicy::new(overrides).map_err(|error| bad.add("rules.retry_rules", error.to_string())).ok()
}

/// Every rule that is given; each is checked, and what is absent takes its default.
fn change(rules: &pb::CampaignRules, bad: &mut Violations) -> CampaignChange {
    let defaults = CampaignRules::default();
    let attempts = rules.max_attempts.map_or(i32::from(defaults.max_attempts), |given| {
        convert::number(given, &MAX_ATTEMPTS, "rules.max_attempts", bad)
    });
    let cap = rules.max_concurrency.map(|given| convert::number(given, &MAX_CONCURRENCY, "rules.max_concurrency", bad));
    let weight = rules.weight.map_or(defaults.weight, |given| convert::number(given, &WEIGHT, "rules.weight", bad));
    let minimum = rules.min_concurrency.map_or(defaults.min_concurrency, |given| {
        convert::number(given, &MAX_CONCURRENCY, "rules.min_concurrency", bad)
    });
    let begin_within = rules.begin_within.map_or(Some(defaults.begin_within), |given| {
        convert::duration(given, &BEGIN_WITHIN, "rules.begin_within", bad)
    });
    let max_duration = rules.max_duration.map_or(Some(defaults.max_duration), |given| {
        convert::duration(given, &MAX_DURATION, "rules.max_duration", bad)
    });
    let breaker_after = rules
        .breaker_after
        .map_or(defaults.breaker_after, |given| convert::number(given, &BREAKER_AFTER, "rules.breaker_after", bad));
    let breaker_probe_interval = rules.breaker_probe_interval.map_or(Some(defaults.breaker_probe_interval), |given| {
        convert::duration(given, &BREAKER_PROBE_INTERVAL, "rules.breaker_probe_interval", bad)
    });
    CampaignChange {
        name: None,
        default_region: Some(region(&rules.default_region, bad)),
        default_time_zone: Some(zone(&rules.default_time_zone, bad)),
        calling_hours: Some(rules.calling_hours.as_ref().and_then(|given| hours(given, bad))),
        max_attempts: i16::try_from(attempts).ok(),
        max_concurrency: Some(cap),
        max_calls_per_second: Some(convert::call_rate(rules.max_calls_per_second, "rules.max_calls_per_second", bad)),
        weight: Some(weight),
        min_concurrency: Some(minimum),
        retry_policy: retries(&rules.retry_rules, bad),
        begin_within,
        max_duration,
        start_date: Some(calendar_rules::date(&rules.start_date, "rules.start_date", bad)),
        end_date: Some(calendar_rules::date(&rules.end_date, "rules.end_date", bad)),
        hour_presets: Some(calendar_rules::presets(&rules.hour_presets, bad)),
        holiday_countries: Some(calendar_rules::countries(&rules.holiday_countries, bad)),
        holidays: Some(calendar_rules::holidays(&rules.holidays, bad)),
        breaker_after: Some(breaker_after),
        breaker_probe_interval,
        number_rules: match &rules.number_rules {
            Some(given) => number_rules::parse(given, "rules.number_rules", bad),
            None => Some(defaults.number_rules),
        },
        missed_callback: convert::optional_code(
            rules.missed_callback,
            MissedCallback::from_code,
            "rules.missed_callback",
            bad,
        )
        .or(Some(defaults.missed_callback)),
        callback_tolerance: rules.callback_tolerance.map_or(Some(defaults.callback_tolerance), |given| {
            convert::duration(given, &CALLBACK_TOLERANCE, "rules.callback_tolerance", bad)
        }),
        unclear_callback: convert::optional_code(
            rules.unclear_callback,
            UnclearCallback::from_code,
            "rules.unclear_callback",
            bad,
        )
        .or(Some(defaults.unclear_callback)),
    }
}

/// The rules of a new campaign.
pub fn new_rules(rules: Option<pb::CampaignRules>, bad: &mut Violations) -> CampaignRules {
    change(&rules.unwrap_or_default(), bad).apply(&CampaignRules::default())
}

/// What an update's mask names.
pub fn masked_change(request: &pb::UpdateCampaignRequest, bad: &mut Violations) -> CampaignChange {
    let mask = request.update_mask.clone().unwrap_or_default().paths;
    if mask.is_empty() {
        bad.add("update_mask", "must name at least one field");
    }
    let given = change(&request.rules.clone().unwrap_or_default(), bad);
    let mut masked = CampaignChange::default();
    for path in &mask {
        match path.as_str() {
            "name" => masked.name = Some(convert::text(&request.name, 1..=convert::NAME_MAX, "name", bad)),
            "rules" => masked = CampaignChange { name: masked.name, ..given.clone() },
            "rules.default_region" => masked.default_region.clone_from(&given.default_region),
            "rules.default_time_zone" => masked.default_time_zone.clone_from(&given.default_time_zone),
            "rules.calling_hours" => masked.calling_hours.clone_from(&given.calling_hours),
            "rules.max_attempts" => masked.max_attempts = given.max_attempts,
            "rules.max_concurrency" => masked.max_concurrency = given.max_concurrency,
            "rules.max_calls_per_second" => masked.max_calls_per_second = given.max_calls_per_second,
            "rules.weight" => masked.weight = given.weight,
            "rules.min_concurrency" => masked.min_concurrency = given.min_concurrency,
            "rules.retry_rules" => masked.retry_policy.clone_from(&given.retry_policy),
            "rules.begin_within" => masked.begin_within = given.begin_within,
            "rules.max_duration" => masked.max_duration = given.max_duration,
            "rules.start_date" => masked.start_date = given.start_date,
            "rules.end_date" => masked.end_date = given.end_date,
            "rules.hour_presets" => masked.hour_presets.clone_from(&given.hour_presets),
            "rules.holiday_countries" => masked.holiday_countries.clone_from(&given.holiday_countries),
            "rules.holidays" => masked.holidays.clone_from(&given.holidays),
            "rules.breaker_after" => masked.breaker_after = given.breaker_after,
            "rules.breaker_probe_interval" => masked.breaker_probe_interval = given.breaker_probe_interval,
            "rules.number_rules" => masked.number_rules.clone_from(&given.number_rules),
            "rules.missed_callback" => masked.missed_callback = given.missed_callback,
            "rules.callback_tolerance" => masked.callback_tolerance = given.callback_tolerance,
            "rules.unclear_callback" => masked.unclear_callback = given.unclear_callback,
            other => bad.add("update_mask", format!("`{}` cannot be changed", convert::shortened(other))),
        }
    }
    masked
}

/// Rules for the wire, with every default filled in.
pub fn wire(rules: &CampaignRules) -> pb::CampaignRules {
    let span = |span: &CallingSpan| pb::CallingSpan {
        weekdays: WEEKDAYS
            .iter()
            .zip(1..)
            .filter(|(day, _)| span.weekdays.contains(**day))
            .map(|(_, code)| code)
            .collect(),
        start: format_clock(span.start_minute),
        end: format_clock(span.end_minute),
    };
    let hours = rules.effective_hours();
    let dates = |day: &chrono::NaiveDate| day.to_string();
    let retry_rules = RETRIED.iter().map(|outcome| pb::RetryRule {
        outcome: i32::from(outcome.code()),
        delays: rules
            .retry_policy
            .delays(*outcome)
            .unwrap_or_default()
            .iter()
            .map(|delay| wire_duration(*delay))
            .collect(),
        limit: rules.retry_policy.limit(*outcome).and_then(|limit| i32::try_from(limit).ok()),
    });
    pb::CampaignRules {
        default_region: rules.default_region.clone().unwrap_or_default(),
        default_time_zone: rules.default_time_zone.clone().unwrap_or_default(),
        calling_hours: hours.map(|hours| pb::CallingHours { spans: hours.spans().iter().map(span).collect() }),
        max_attempts: Some(i32::from(rules.max_attempts)),
        max_concurrency: rules.max_concurrency,
        max_calls_per_second: rules.max_calls_per_second,
        weight: Some(rules.weight),
        min_concurrency: Some(rules.min_concurrency),
        retry_rules: retry_rules.collect(),
        begin_within: Some(wire_duration(rules.begin_within)),
        max_duration: Some(wire_duration(rules.max_duration)),
        start_date: rules.start_date.as_ref().map(dates).unwrap_or_default(),
        end_date: rules.end_date.as_ref().map(dates).unwrap_or_default(),
        hour_presets: rules.hour_presets.clone(),
        holiday_countries: rules.holiday_countries.clone(),
        holidays: rules.holidays.iter().map(dates).collect(),
        breaker_after: Some(rules.breaker_after),
        breaker_probe_interval: Some(wire_duration(rules.breaker_probe_interval)),
        number_rules: Some(number_rules::wire(&rules.number_rules)),
        missed_callback: i32::from(rules.missed_callback as i16),
        callback_tolerance: Some(wire_duration(rules.callback_tolerance)),
        unclear_callback: i32::from(rules.unclear_callback as i16),
    }
}
