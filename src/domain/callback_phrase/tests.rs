//! The rule table in our own words, and the worked examples.

use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::domain::{
    calling_calendar::{CallingCalendar, OpenWindow},
    calling_hours::CallingHours,
};

mod rules;

/// Sets of worked examples under `tests/phrases/`.
const SETS: [&str; 2] = ["dev.jsonl", "own.jsonl"];

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(text).unwrap().to_utc()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::parse(name).unwrap()
}

/// A Wednesday before noon.
const NOW: &str = "2026-10-14T11:20:00+05:30";

fn reading_at(phrase: &str, now: &str, name: &str) -> String {
    let zone = zone(name);
    match parse(phrase, at(now), &zone) {
        Reading::Callback(interval) => {
            let shown = |at| zone.shown(at).format("%m-%d %H:%M").to_string();
            format!("{} to {} {}", shown(interval.earliest), shown(interval.latest), interval.grain.name())
        }
        other => other.name().to_owned(),
    }
}

fn reading(phrase: &str) -> String {
    reading_at(phrase, NOW, "Asia/Kolkata")
}

#[test]
fn every_worked_example_is_read_as_written() {
    let mut wrong = Vec::new();
    for set in SETS {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/phrases").join(set);
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| row[name].as_str().unwrap();
            let zone = zone(text("zone"));
            let shown = |at: DateTime<Utc>| zone.shown(at).to_rfc3339();
            let reading = parse(text("phrase"), at(text("now")), &zone);
            let mut found = serde_json::json!({ "kind": reading.name() });
            if let Reading::Callback(interval) = reading {
                found["earliest"] = shown(interval.earliest).into();
                found["latest"] = shown(interval.latest).into();
                found["grain"] = interval.grain.name().into();
            }
            if found != row["expect"] {
                wrong.push(format!("{}: {} gave {found}, not {}", text("id"), text("phrase"), row["expect"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_longer_phrase_than_the_bound_is_not_understood() {
    let longest = format!("call me at 5 {}", "o".repeat(PHRASE_CHARS_MAX - 13));
    assert_eq!(longest.chars().count(), PHRASE_CHARS_MAX);
    assert_eq!(
        reading(&format!("{}, call me at 5", "é".repeat(PHRASE_CHARS_MAX - 14))),
        "10-14 17:00 to 10-14 17:15 MINUTE"
    );
    assert_eq!(reading(&format!("{}, call me at 5", "é".repeat(PHRASE_CHARS_MAX))), "NOT_UNDERSTOOD");
}

const ZONES: [&str; 6] =
    ["Asia/Kolkata", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo", "UTC"];

const WORDS: [&str; 74] = [
    "call",
    "me",
    "at",
    "5",
    "five",
    "thirty",
    "pm",
    "a",
    "m",
    "half",
    "past",
    "to",
    "quarter",
    "tomorrow",
    "today",
    "not",
    "don't",
    "monday",
    "friday",
    "next",
    "week",
    "in",
    "two",
    "hours",
    "an",
    "hour",
    "and",
    "or",
    "between",
    "from",
    "by",
    "before",
    "after",
    "until",
    "morning",
    "evening",
    "this",
    "tonight",
    "noon",
    "lunch",
    "end",
    "of",
    "day",
    "the",
    "28th",
    "december",
    "3rd",
    "february",
    "29th",
    "2028",
    "same",
    "time",
    "later",
    "weekend",
    ",",
    ".",
    "?",
    "-",
    "12:30",
    "17.45",
    "25",
    "99999999999",
    "5/12",
    "2026-12-03",
    "every",
    "now",
    "ago",
    "couple",
    "few",
    "minutes",
    "days",
    "midnight",
    "o'clock",
    "1530",
];

fn check(phrase: &str, second: i64, nanos: u32, index: usize) -> Result<(), TestCaseError> {
    let now = DateTime::from_timestamp(second, nanos).unwrap();
    if let Reading::Callback(found) = parse(phrase, now, &zone(ZONES[index])) {
        prop_assert!(now <= found.earliest && found.earliest < found.latest, "{phrase:?}: {found:?}");
        prop_assert!(found.earliest <= found.preferred && found.preferred < found.latest, "{phrase:?}: {found:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_panics_and_no_callback_is_past(
        text in any::<String>(), second in 0_i64..4_000_000_000, nanos in 0_u32..1_000_000_000, index in 0..ZONES.len(),
    ) {
        check(&text, second, nanos, index)?;
    }

    #[test]
    fn no_row_of_time_words_panics_and_no_callback_is_past(
        words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..9),
        second in 0_i64..4_000_000_000, nanos in 0_u32..1_000_000_000, index in 0..ZONES.len(),
    ) {
        check(&words.join(" "), second, nanos, index)?;
    }
}

#[test]
fn numbers_of_any_size_do_not_panic() {
    for number in ["99999999999", "4294967295", "2147483648", "99.9", "9,999", "nine hundred thousand million"] {
        for phrase in
            ["5 to #", "# to 5", "in # hours", "in # weeks", "half past #", "on the #th", "# hundred", "#/#/#", "#:#"]
        {
            let _ = reading(&phrase.replace('#', number));
        }
    }
}

#[test]
fn the_ends_of_time_do_not_panic() {
    let phrases = [
        "in 2 weeks",
        "later",
        "tomorrow",
        "next week",
        "this weekend",
        "at 5",
        "around midnight",
        "by 5",
        "february 29th",
        "same time tomorrow",
        "in 20 minutes",
        "tonight",
        "between 11 pm and 1 am",
        "on the 31st at 12 am",
    ];
    for now in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        for (phrase, name) in phrases.iter().flat_map(|phrase| ZONES.iter().map(move |name| (phrase, name))) {
            let _ = parse(phrase, now, &zone(name));
        }
    }
}

fn interval(phrase: &str) -> Interval {
    let Reading::Callback(interval) = parse(phrase, at(NOW), &zone("Asia/Kolkata")) else { panic!("{phrase}") };
    interval
}

/// When the callback is due under the default hours, 08:00 to 21:00; the first call was at 10:05 of the day before.
fn due(phrase: &str) -> String {
    let (zone, hours) = (zone("Asia/Kolkata"), CallingCalendar::from(CallingHours::default()));
    let first_call = at(NOW) - TimeDelta::minutes(24 * 60 + 75);
    let next_open = |at: DateTime<Utc>| -> Option<OpenWindow> { hours.window(std::slice::from_ref(&zone), at) };
    let chosen = choose_instant(&interval(phrase), &zone, at(NOW), Some(first_call), next_open).unwrap();
    zone.local(chosen).format("%m-%d %H:%M").to_string()
}

#[test]
fn a_callback_is_due_at_the_first_open_instant_of_its_interval() {
    assert_eq!(due("at 5 pm"), "10-14 17:00");
    assert_eq!(due("between 6 am and 10 am tomorrow"), "10-15 08:00");
    assert_eq!(due("tomorrow morning"), "10-15 09:00");
    assert_eq!(due("next week"), "10-19 08:00");
}

#[test]
fn around_t_is_due_at_t_and_by_t_an_hour_before_or_now() {
    assert_eq!(due("around 5"), "10-14 17:00");
    assert_eq!(due("by 5"), "10-14 16:00");
    assert_eq!(due("by 12"), "10-14 11:20");
    // An hour before is closed already, but the interval is open before it.
    assert_eq!(due("by 11 tonight"), "10-14 11:20");
}

#[test]
fn with_no_open_instant_in_its_interval_a_callback_is_due_at_the_next_one() {
    assert_eq!(due("at 10 tonight"), "10-15 08:00");
    assert_eq!(due("at 4 in the morning"), "10-15 08:00");
}

#[test]
fn a_day_without_a_time_is_due_at_the_clock_time_of_the_first_call() {
    assert_eq!(due("on friday"), "10-16 10:05");
    assert_eq!(due("over the weekend"), "10-17 10:05");
    let (zone, hours) = (zone("Asia/Kolkata"), CallingCalendar::from(CallingHours::default()));
    let next_open = |at: DateTime<Utc>| hours.window(std::slice::from_ref(&zone), at);
    let at_night = Some(at("2026-10-13T23:00:00+05:30"));
    let chosen = choose_instant(&interval("on friday"), &zone, at(NOW), at_night, next_open);
    assert_eq!(chosen, Some(at("2026-10-16T08:00:00+05:30")), "closed at that time: the day's first open instant");
    let chosen = choose_instant(&interval("on friday"), &zone, at(NOW), None, next_open);
    assert_eq!(chosen, Some(at("2026-10-16T08:00:00+05:30")), "no first call");
    let never = choose_instant(&interval("on friday"), &zone, at(NOW), None, |_| None);
    assert_eq!(never, None);
}

#[test]
fn a_promise_looked_at_late_is_due_no_earlier_than_now() {
    let (zone, hours) = (zone("Asia/Kolkata"), CallingCalendar::from(CallingHours::default()));
    let late = at("2026-10-14T18:30:00+05:30");
    let chosen =
        choose_instant(&interval("at 5 pm"), &zone, late, None, |at| hours.window(std::slice::from_ref(&zone), at));
    assert_eq!(chosen, Some(late));
}
