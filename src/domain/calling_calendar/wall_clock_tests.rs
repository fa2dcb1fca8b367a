//! Calling hours against a person who reads the wall clock minute by minute, near changes of the
//! clock.

use std::collections::HashMap;

use chrono::{Datelike, Timelike};
use proptest::prelude::*;

use super::tests::{ALL, at, zone};
use super::*;
use crate::domain::calling_span::CallingSpan;

const ZONES: [&str; 12] = [
    "America/New_York",
    "Europe/London",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "America/Sao_Paulo",
    "America/Havana",
    "Africa/Casablanca",
    "Pacific/Auckland",
    "Antarctica/Troll",
];

/// What a person who reads the wall clock would say.
fn reads_open(spans: &[CallingSpan], wall: NaiveDateTime) -> bool {
    let minute = (wall.hour() * 60 + wall.minute()) as u16;
    let (today, yesterday) = (wall.weekday(), wall.weekday().pred());
    spans.iter().any(|span| {
        if span.start_minute < span.end_minute {
            span.weekdays.contains(today) && (span.start_minute..span.end_minute).contains(&minute)
        } else {
            span.weekdays.contains(today) && minute >= span.start_minute
                || span.weekdays.contains(yesterday) && minute < span.end_minute
        }
    })
}

/// The days of a year on which the clock changes, found by looking at it every midnight.
fn changes(zone: &TimeZone, year: i32) -> Vec<DateTime<Utc>> {
    let first = at(&format!("{year}-01-01T00:00:00Z"));
    let offset = |at: DateTime<Utc>| zone.local(at) - at.naive_utc();
    let days = (0..366).map(|day| first + TimeDelta::days(day));
    days.filter(|&day| offset(day) != offset(day + TimeDelta::days(1))).collect()
}

fn any_spans() -> impl Strategy<Value = Vec<CallingSpan>> {
    // Half of the times lie in the small hours, where clocks change.
    let minute = || prop_oneof![0_u16..240, 0_u16..1440, (0_u16..96).prop_map(|quarter| quarter * 15)];
    let days = prop::collection::vec(0_usize..7, 1..8);
    let span = (days, minute(), minute()).prop_map(|(days, start_minute, end)| CallingSpan {
        weekdays: days.into_iter().map(|day| ALL[day]).collect(),
        start_minute,
        end_minute: if end == start_minute || end == 0 { 1440 } else { end },
    });
    prop::collection::vec(span, 1..6)
}

/// A zone and a minute near a change of its clock, or of any day where none is changed.
fn any_place() -> impl Strategy<Value = (TimeZone, DateTime<Utc>)> {
    let change = any::<prop::sample::Index>();
    let places = (0..ZONES.len(), 2008_i32..2037, change, -2000_i64..1000);
    places.prop_map(|(index, year, change, minutes)| {
        let zone = zone(ZONES[index]);
        let mut days = changes(&zone, year);
        if days.is_empty() {
            days.push(at(&format!("{year}-06-15T00:00:00Z")));
        }
        (zone, *change.get(&days) + TimeDelta::minutes(minutes))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn hours_are_what_the_wall_clock_says_and_stricter_in_a_repeated_hour(
        spans in any_spans(), (zone, start) in any_place(),
    ) {
        let hours = CallingCalendar::from(CallingHours::new(spans.clone()).unwrap());
        let zones = [zone.clone()];
        let mut seen: HashMap<NaiveDateTime, u8> = HashMap::new();
        for minute in -200..2 * 1440 + 200 {
            *seen.entry(zone.local(start + TimeDelta::minutes(minute))).or_default() += 1;
        }
        let mut window = hours.window(&zones, start);
        for minute in 0..2 * 1440 {
            let at = start + TimeDelta::minutes(minute);
            if window.is_some_and(|window| window.closes_at <= at) {
                window = hours.window(&zones, at);
            }
            let is_open = window.is_some_and(|window| window.contains(at));
            let wall = zone.local(at);
            let reads_open = reads_open(&spans, wall);
            prop_assert!(reads_open || !is_open, "{zone} {at} {wall}: open outside");
            let is_repeated = seen[&wall] == 2;
            prop_assert!(is_open == reads_open || is_repeated, "{zone} {at} {wall}: closed inside");
        }
    }

    #[test]
    fn windows_hold_what_was_asked_and_follow_each_other_with_a_pause(
        spans in any_spans(), (zone, start) in any_place(), second in 0_i64..60,
    ) {
        let calendar = CallingCalendar::from(CallingHours::new(spans).unwrap());
        let never_closes = ALL.iter().all(|day| calendar.hours.iter().all(|hours| hours.on(*day) == [(0, 1440)]));
        let zones = [zone];
        let start = start + TimeDelta::seconds(second);
        let mut window = calendar.window(&zones, start).unwrap();
        prop_assert!(window.closes_at > start);
        for _ in 0..20 {
            prop_assert!(window.opens_at < window.closes_at);
            for inside in [window.opens_at, window.closes_at - TimeDelta::nanoseconds(1)] {
                prop_assert!(calendar.is_open(&zones, inside));
                if !never_closes {
                    prop_assert_eq!(calendar.window(&zones, inside), Some(window));
                }
            }
            let next = calendar.window(&zones, window.closes_at).unwrap();
            if never_closes {
                prop_assert!(next.opens_at <= window.closes_at && window.closes_at < next.closes_at);
            } else {
                // Maximal: closed just before and at its end; the next starts only after a pause.
                prop_assert!(!calendar.is_open(&zones, window.opens_at - TimeDelta::nanoseconds(1)));
                prop_assert!(!calendar.is_open(&zones, window.closes_at));
                prop_assert!(next.opens_at > window.closes_at);
            }
            window = next;
        }
    }

    #[test]
    fn every_hours_survive_storing(spans in any_spans()) {
        let hours = CallingHours::new(spans).unwrap();
        let stored = serde_json::to_string(&hours).unwrap();
        prop_assert_eq!(serde_json::from_str::<CallingHours>(&stored).unwrap(), hours);
    }
}
