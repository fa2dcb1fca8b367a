//! Windows of plain hours case by case.

use chrono::Weekday::{self, *};

use super::*;
use crate::domain::calling_span::{CallingSpan, parse_clock};

pub(super) fn zone(name: &str) -> TimeZone {
    TimeZone::parse(name).unwrap()
}

pub(super) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn span(days: &[Weekday], start: &str, end: &str) -> CallingSpan {
    CallingSpan {
        weekdays: days.iter().copied().collect(),
        start_minute: parse_clock(start, false).unwrap(),
        end_minute: parse_clock(end, true).unwrap(),
    }
}

pub(super) const ALL: [Weekday; 7] = [Mon, Tue, Wed, Thu, Fri, Sat, Sun];

pub(super) fn hours(spans: &[(&[Weekday], &str, &str)]) -> CallingCalendar {
    let spans = spans.iter().map(|(days, start, end)| span(days, start, end));
    CallingHours::new(spans.collect()).unwrap().into()
}

/// The window asked for at an instant, in UTC as people write it.
pub(super) fn window(calendar: &CallingCalendar, name: &str, from: &str) -> [String; 2] {
    let window = calendar.window(&[zone(name)], at(from)).unwrap();
    [window.opens_at, window.closes_at].map(|at| at.format("%m-%d %H:%M").to_string())
}

#[test]
fn without_hours_of_its_own_a_campaign_calls_every_day_from_8_to_21() {
    let hours = CallingCalendar::new(&CampaignRules::default());
    let name = "America/New_York";
    assert_eq!(window(&hours, name, "2026-07-01T11:59:59Z"), ["07-01 12:00", "07-02 01:00"]);
    assert_eq!(window(&hours, name, "2026-07-02T00:59:59Z"), ["07-01 12:00", "07-02 01:00"]);
    assert_eq!(window(&hours, name, "2026-07-02T01:00:00Z"), ["07-02 12:00", "07-03 01:00"]);
}

#[test]
fn a_window_is_open_at_its_first_instant_and_closed_at_its_last() {
    let (hours, zone) = (CallingCalendar::from(CallingHours::default()), [zone("Asia/Kolkata")]);
    assert!(hours.is_open(&zone, at("2026-07-01T02:30:00Z")));
    assert!(hours.is_open(&zone, at("2026-07-01T15:29:59.999Z")));
    assert!(!hours.is_open(&zone, at("2026-07-01T15:30:00Z")));
    assert!(!hours.is_open(&zone, at("2026-07-01T02:29:59.999Z")));
}

#[test]
fn canadian_hours_differ_between_weekdays_and_weekend() {
    let hours = hours(&[(&[Mon, Tue, Wed, Thu, Fri], "09:00", "21:30"), (&[Sat, Sun], "10:00", "18:00")]);
    let name = "America/St_Johns";
    assert_eq!(window(&hours, name, "2026-07-04T00:00:00Z"), ["07-04 12:30", "07-04 20:30"]);
    assert_eq!(window(&hours, name, "2026-07-05T22:00:00Z"), ["07-06 11:30", "07-07 00:00"]);
}

#[test]
fn a_span_across_midnight_belongs_to_the_day_on_which_it_starts() {
    let hours = hours(&[(&[Sun], "22:00", "02:00")]);
    // 2026-07-05 is a Sunday.
    assert_eq!(window(&hours, "UTC", "2026-07-05T00:30:00Z"), ["07-05 22:00", "07-06 02:00"]);
    assert_eq!(window(&hours, "UTC", "2026-07-06T01:00:00Z"), ["07-05 22:00", "07-06 02:00"]);
    assert_eq!(window(&hours, "UTC", "2026-07-06T02:00:00Z"), ["07-12 22:00", "07-13 02:00"]);
}

#[test]
fn spans_that_touch_or_overlap_are_one_window() {
    let across = hours(&[(&[Sun], "22:00", "24:00"), (&[Mon], "00:00", "02:00")]);
    assert_eq!(window(&across, "UTC", "2026-07-06T01:00:00Z"), ["07-05 22:00", "07-06 02:00"]);
    let overlap = hours(&[(&[Mon], "09:00", "12:00"), (&[Mon], "11:00", "15:00"), (&[Mon], "15:00", "16:00")]);
    assert_eq!(window(&overlap, "UTC", "2026-07-06T10:00:00Z"), ["07-06 09:00", "07-06 16:00"]);
    let nearly_always = hours(&[(&[Mon], "00:01", "24:00"), (&[Tue, Wed, Thu, Fri, Sat, Sun], "00:00", "24:00")]);
    assert_eq!(window(&nearly_always, "UTC", "2026-07-09T00:00:00Z"), ["07-06 00:01", "07-13 00:00"]);
}

#[test]
fn hours_that_never_close_are_answered_for_eight_days() {
    let now = at("2026-10-30T12:34:56Z");
    for always in [hours(&[(&ALL, "00:00", "24:00")]), hours(&[(&ALL, "08:00", "20:00"), (&ALL, "20:00", "08:00")])] {
        let window = always.window(&[zone("America/Havana")], now).unwrap();
        assert_eq!(window, OpenWindow { opens_at: now - AHEAD_MAX, closes_at: now + AHEAD_MAX });
    }
}

#[test]
fn an_end_in_a_repeated_hour_closes_at_its_first_occurrence() {
    // New York, 2026-11-01: 02:00 becomes 01:00 at 06:00 UTC.
    let hours = hours(&[(&ALL, "22:00", "01:30")]);
    let name = "America/New_York";
    assert_eq!(window(&hours, name, "2026-11-01T05:00:00Z"), ["11-01 02:00", "11-01 05:30"]);
    assert_eq!(window(&hours, name, "2026-11-01T05:30:00Z"), ["11-02 03:00", "11-02 06:30"]);
}

#[test]
fn a_start_in_a_repeated_hour_opens_at_its_second_occurrence() {
    let hours = hours(&[(&ALL, "01:30", "09:00")]);
    assert_eq!(window(&hours, "America/New_York", "2026-11-01T05:00:00Z"), ["11-01 06:30", "11-01 14:00"]);
}

#[test]
fn a_span_inside_a_repeated_hour_does_not_open() {
    let hours = hours(&[(&ALL, "01:15", "01:45")]);
    assert_eq!(window(&hours, "America/New_York", "2026-11-01T05:00:00Z"), ["11-02 06:15", "11-02 06:45"]);
}

#[test]
fn a_window_across_a_repeated_hour_lasts_an_hour_longer() {
    let hours = hours(&[(&ALL, "22:00", "06:00")]);
    assert_eq!(window(&hours, "America/New_York", "2026-11-01T06:30:00Z"), ["11-01 02:00", "11-01 11:00"]);
}

#[test]
fn a_skipped_time_opens_and_closes_at_the_jump() {
    // New York, 2026-03-08: 02:00 becomes 03:00 at 07:00 UTC.
    let name = "America/New_York";
    let start = hours(&[(&ALL, "02:30", "05:00")]);
    assert_eq!(window(&start, name, "2026-03-08T06:00:00Z"), ["03-08 07:00", "03-08 09:00"]);
    let end = hours(&[(&ALL, "01:00", "02:30")]);
    assert_eq!(window(&end, name, "2026-03-08T06:30:00Z"), ["03-08 06:00", "03-08 07:00"]);
    let inside = hours(&[(&ALL, "02:10", "02:50")]);
    assert_eq!(window(&inside, name, "2026-03-08T06:30:00Z"), ["03-09 06:10", "03-09 06:50"]);
    let around = hours(&[(&ALL, "01:00", "02:15"), (&ALL, "02:45", "04:00")]);
    assert_eq!(window(&around, name, "2026-03-08T07:30:00Z"), ["03-08 06:00", "03-08 08:00"]);
}

#[test]
fn days_after_a_skipped_time_its_window_still_began_before_it() {
    let joined = hours(&[(&[Sat], "20:00", "02:15"), (&[Sun], "02:45", "24:00"), (&[Mon, Tue, Wed], "00:00", "24:00")]);
    let name = "America/New_York";
    let whole = ["03-08 01:00", "03-12 04:00"];
    for at in ["2026-03-08T01:00:00Z", "2026-03-08T07:00:00Z", "2026-03-12T03:59:59Z"] {
        assert_eq!(window(&joined, name, at), whole);
    }
}

#[test]
fn a_skipped_day_is_skipped() {
    // Samoa had no Friday 2011-12-30.
    let hours = hours(&[(&[Fri], "09:00", "17:00")]);
    assert_eq!(window(&hours, "Pacific/Apia", "2011-12-30T00:00:00Z"), ["01-05 19:00", "01-06 03:00"]);
}

#[test]
fn the_ends_of_time_do_not_panic() {
    for hours in [CallingHours::default().into(), hours(&[(&ALL, "00:00", "24:00")])] {
        for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC, at("9999-12-31T23:59:59Z")] {
            hours.window(&[zone("Pacific/Auckland")], at);
            hours.why_closed(&[zone("Pacific/Auckland")], at);
        }
    }
}
