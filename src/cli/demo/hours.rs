//! Calling hours under which one zone is closed at this moment and the others of the demo are open, at any time of
//! any day.
//!
//! Spans are local wall time, so all zones share one set of hours; what differs is where each zone stands in it.
//! The hours leave out four around the present local time of the closed zone. Sydney is at least four and a half
//! hours of the day away from every other zone in the file, in every season.

use jiff::{Timestamp, tz::TimeZone};

use crate::pb::{CallingHours, CallingSpan, Weekday};

/// The zone whose leads must wait.
pub const CLOSED_ZONE: &str = "Australia/Sydney";

const MINUTES_PER_DAY: i32 = 24 * 60;
const CLOSED_BEFORE_MINUTES: i32 = 60;
const CLOSED_AFTER_MINUTES: i32 = 180;

/// All day, except from an hour ago until three hours from now on the clock of `closed`.
pub fn hours_without_now(closed: &TimeZone, now: Timestamp) -> CallingHours {
    let local = now.to_zoned(closed.clone()).time();
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    let from = (minute - CLOSED_BEFORE_MINUTES).rem_euclid(MINUTES_PER_DAY);
    let to = (minute + CLOSED_AFTER_MINUTES).rem_euclid(MINUTES_PER_DAY);
    let open = if from < to { vec![(0, from), (to, MINUTES_PER_DAY)] } else { vec![(to, from)] };
    let spans = open.into_iter().filter(|(start, end)| start < end);
    CallingHours { spans: spans.map(|(start, end)| span(start, end)).collect() }
}

fn span(start: i32, end: i32) -> CallingSpan {
    let clock = |minute: i32| format!("{:02}:{:02}", minute / 60, minute % 60);
    let weekdays = (Weekday::Monday as i32..=Weekday::Sunday as i32).collect();
    CallingSpan { weekdays, start: clock(start), end: clock(end) }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    fn is_open(hours: &CallingHours, zone: &TimeZone, at: Timestamp) -> bool {
        let clock = at.to_zoned(zone.clone()).strftime("%H:%M").to_string();
        hours.spans.iter().any(|span| span.start <= clock && clock < span.end)
    }

    fn zones_of_the_file() -> Vec<String> {
        let file = include_str!("../../../examples/leads.csv");
        let mut zones: Vec<_> = file.lines().skip(1).filter_map(|line| line.split(',').nth(4)).collect();
        zones.sort_unstable();
        zones.dedup();
        // Wrong on purpose; the empty one is the campaign's default.
        zones.retain(|zone| !["", "Europe/Atlantis", "GMT+25"].contains(zone));
        zones.into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn exactly_one_zone_of_the_file_is_closed_whenever_the_demo_runs() {
        let zones = zones_of_the_file();
        assert!(zones.len() >= 7 && zones.iter().any(|zone| zone == CLOSED_ZONE));
        let zones: Vec<_> = zones.iter().map(|name| (name, TimeZone::get(name).expect("a zone"))).collect();
        let closed = TimeZone::get(CLOSED_ZONE).expect("a zone");
        let first: Timestamp = "2026-01-01T00:07:00Z".parse().expect("an instant");
        for hour in 0..2 * 366 * 24 {
            let now = first + hour.hours();
            let hours = hours_without_now(&closed, now);
            // From the start of the demo to an hour into --keep.
            for at in [now, now + 1.minute(), now + 1.hour()] {
                for (name, zone) in &zones {
                    assert_eq!(is_open(&hours, zone, at), *name != CLOSED_ZONE, "{name} at {at}, hours of {now}");
                }
            }
        }
    }
}
