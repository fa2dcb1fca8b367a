//! Owns what becomes of a promised callback in time: held while nobody knows when, missed when it could not be called.
//! Does not own how a promise is made: see `callback_phrase` and `lead`.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{calling_calendar::OpenWindow, time_zone::TimeZone};

/// The instant of a promise of which nobody knows when it is due: later than every other. The database says infinity.
pub const HELD: DateTime<Utc> = match DateTime::from_timestamp(253_402_300_799, 0) {
    Some(at) => at,
    None => DateTime::<Utc>::MAX_UTC,
};
/// How late a promised call still counts as in time: bounds.
pub const CALLBACK_TOLERANCE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);
/// Days looked at for one on which hours open.
const DAYS_MAX: usize = 400;

/// What becomes of a promise that could not be called in time. The discriminants are the codes of the proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(i16)]
pub enum MissedCallback {
    /// It is called as soon as that is possible.
    #[default]
    CallLate = 1,
    /// It moves to the next day.
    NextDay = 2,
    /// It is dropped: the lead is ELIGIBLE.
    Release = 3,
}

impl MissedCallback {
    /// The one with this code.
    pub fn from_code(code: i16) -> Option<MissedCallback> {
        [Self::CallLate, Self::NextDay, Self::Release].into_iter().find(|one| *one as i16 == code)
    }
}

/// What becomes of a lead whose callback phrase is not understood. The discriminants are the codes of the proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(i16)]
pub enum UnclearCallback {
    /// Its promise is held until a person says when.
    #[default]
    Hold = 1,
    /// It is tried again by the delay of VOICEMAIL.
    Retry = 2,
}

impl UnclearCallback {
    /// The one with this code.
    pub fn from_code(code: i16) -> Option<UnclearCallback> {
        [Self::Hold, Self::Retry].into_iter().find(|one| *one as i16 == code)
    }
}

/// A promised callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promise {
    /// When it is due; [`HELD`]: nobody knows.
    pub at: DateTime<Utc>,
    /// The end of the interval that was asked for, where one was.
    pub latest: Option<DateTime<Utc>>,
}

impl Promise {
    /// The last instant at which a call is in time.
    pub fn in_time_until(&self, tolerance: Duration) -> DateTime<Utc> {
        let tolerance = TimeDelta::from_std(tolerance).unwrap_or(TimeDelta::MAX);
        let until = self.at.checked_add_signed(tolerance).unwrap_or(DateTime::<Utc>::MAX_UTC);
        self.latest.map_or(until, |latest| latest.max(until))
    }

    /// Whether a call at `now` is too late for it.
    pub fn is_missed(&self, tolerance: Duration, now: DateTime<Utc>) -> bool {
        self.at != HELD && now > self.in_time_until(tolerance)
    }

    /// Where a missed promise goes at `now`: to the next day's same clock time if that is open, else to that day's first
    /// open instant. Days that are over, and those on which nothing opens, are passed over. `None`: nothing ever opens.
    ///
    /// `next_open` answers the open window that contains an instant, else the next one after it.
    pub fn next_day(
        &self,
        now: DateTime<Utc>,
        zone: &TimeZone,
        next_open: impl Fn(DateTime<Utc>) -> Option<OpenWindow>,
    ) -> Option<Promise> {
        let first_open = |from: DateTime<Utc>| next_open(from).map(|window| window.opens_at.max(from));
        let midnight = |day: NaiveDate| zone.instant(day.and_time(NaiveTime::MIN));
        let local = zone.local(self.at);
        let mut day = local.date().succ_opt()?.max(zone.local(now).date());
        for _ in 0..DAYS_MAX {
            let tomorrow = day.succ_opt()?;
            let same_clock = zone.instant(day.and_time(local.time()));
            let at = if same_clock >= now && first_open(same_clock)? == same_clock {
                same_clock
            } else {
                first_open(midnight(day).max(now))?
            };
            if at < midnight(tomorrow) {
                return Some(Promise { at, latest: None });
            }
            day = tomorrow;
        }
        None
    }

    /// Where the promise stands at an instant, if it moves to the next day whenever it is missed until then. `None`: it has
    /// nowhere to go.
    pub fn moved_until(
        mut self,
        at: DateTime<Utc>,
        tolerance: Duration,
        zone: &TimeZone,
        next_open: impl Fn(DateTime<Utc>) -> Option<OpenWindow>,
    ) -> Option<Promise> {
        for _ in 0..DAYS_MAX {
            if !self.is_missed(tolerance, at) {
                return Some(self);
            }
            self = self.next_day(self.in_time_until(tolerance), zone, &next_open)?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        calling_calendar::CallingCalendar,
        calling_hours::CallingHours,
        calling_span::{CallingSpan, WeekdaySet},
    };

    const TOLERANCE: Duration = Duration::from_secs(900);

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hours(weekdays: WeekdaySet) -> CallingCalendar {
        let span = CallingSpan { weekdays, start_minute: 540, end_minute: 1080 };
        CallingCalendar::from(CallingHours::new(vec![span]).unwrap())
    }

    fn moved(promise: &str, now: &str, weekdays: WeekdaySet) -> Option<DateTime<Utc>> {
        let zone = TimeZone::parse("America/New_York").unwrap();
        let promise = Promise { at: at(promise), latest: None };
        promise
            .next_day(at(now), &zone, |from| hours(weekdays).window(std::slice::from_ref(&zone), from))
            .map(|moved| moved.at)
    }

    #[test]
    fn a_promise_is_missed_after_its_tolerance_and_its_interval_whichever_is_later() {
        let short = Promise { at: at("2026-10-14T15:00:00Z"), latest: Some(at("2026-10-14T15:05:00Z")) };
        assert!(!short.is_missed(TOLERANCE, at("2026-10-14T15:15:00Z")));
        assert!(short.is_missed(TOLERANCE, at("2026-10-14T15:15:00.000001Z")));
        let long = Promise { latest: Some(at("2026-10-14T18:00:00Z")), ..short };
        assert!(!long.is_missed(TOLERANCE, at("2026-10-14T18:00:00Z")));
        assert!(long.is_missed(TOLERANCE, at("2026-10-14T18:00:01Z")));
    }

    #[test]
    fn a_held_promise_is_never_missed() {
        let held = Promise { at: HELD, latest: None };
        assert!(!held.is_missed(Duration::ZERO, DateTime::<Utc>::MAX_UTC));
    }

    #[test]
    fn a_missed_promise_keeps_its_clock_time_over_a_change_of_the_clock() {
        // 15:00 in summer, 15:00 in winter.
        let winter = moved("2026-10-31T19:00:00Z", "2026-10-31T19:20:00Z", WeekdaySet::EVERY_DAY);
        assert_eq!(winter, Some(at("2026-11-01T20:00:00Z")));
    }

    #[test]
    fn where_its_clock_time_is_closed_it_goes_to_the_days_first_open_instant() {
        // By hand for 23:00; the next day opens at 09:00, which has just gone by.
        let late = moved("2026-10-15T03:00:00Z", "2026-10-15T13:00:01Z", WeekdaySet::EVERY_DAY);
        assert_eq!(late, Some(at("2026-10-15T13:00:01Z")));
        let later = moved("2026-10-15T03:00:00Z", "2026-10-15T03:20:00Z", WeekdaySet::EVERY_DAY);
        assert_eq!(later, Some(at("2026-10-15T13:00:00Z")));
    }

    #[test]
    fn days_on_which_nothing_opens_and_days_that_are_over_are_passed_over() {
        let weekdays = WeekdaySet::from_iter([chrono::Weekday::Mon, chrono::Weekday::Fri]);
        // Friday at 15:00: Monday at 15:00.
        let monday = moved("2026-10-16T19:00:00Z", "2026-10-16T19:20:00Z", weekdays);
        assert_eq!(monday, Some(at("2026-10-19T19:00:00Z")));
        // Nobody was there for a week.
        let late = moved("2026-10-16T19:00:00Z", "2026-10-23T17:00:00Z", weekdays);
        assert_eq!(late, Some(at("2026-10-23T19:00:00Z")));
    }

    #[test]
    fn a_promise_that_is_missed_every_day_stands_on_the_day_in_question() {
        let zone = TimeZone::parse("Etc/UTC").unwrap();
        let promise = Promise { at: at("2026-10-14T15:00:00Z"), latest: Some(at("2026-10-14T16:00:00Z")) };
        let stands = |instant: &str| {
            let open = |from| hours(WeekdaySet::EVERY_DAY).window(std::slice::from_ref(&zone), from);
            promise.moved_until(at(instant), TOLERANCE, &zone, open).map(|promise| promise.at)
        };
        assert_eq!(stands("2026-10-14T16:00:00Z"), Some(promise.at));
        assert_eq!(stands("2026-10-14T16:00:01Z"), Some(at("2026-10-15T15:00:00Z")));
        assert_eq!(stands("2026-10-17T15:15:00Z"), Some(at("2026-10-17T15:00:00Z")));
        assert_eq!(stands("2026-10-17T15:15:01Z"), Some(at("2026-10-18T15:00:00Z")));
    }
}
