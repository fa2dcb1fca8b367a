//! Owns when a number may be called by the clock on its wall: calling hours, and the windows of
//! time that they open in a zone. Does not own which zone a lead is in, nor the other reasons that
//! close it.
//!
//! Hours fail closed where the clock is changed:
//! - A time that occurs twice opens at its second occurrence and closes at its first. So the hours
//!   never depend on whether the person called has set back the clock; a span that lies inside the
//!   repeated hour does not open at all that day.
//! - A time that is skipped opens or closes at the jump, as the clock on the wall does. (Moving it
//!   forward by the gap, as for callbacks, would keep a span open beyond its end.)

use chrono::{DateTime, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::calling_span::{CallingSpan, CallingSpanError, DAY_MINUTES, WeekdaySet};
use crate::domain::time_zone::{TimeZone, WallTime};

/// Most spans of one set of hours.
pub const SPANS_MAX: usize = 50;
/// How far ahead hours that never close are answered for.
pub const AHEAD_MAX: TimeDelta = TimeDelta::days(8);

/// Longer than any change of a clock: Samoa skipped a day in 2011.
const CLOCK_CHANGE_MAX: TimeDelta = TimeDelta::hours(25);
const WEEK_MINUTES: u16 = 7 * DAY_MINUTES;

/// Spans of local wall time; a number may be called inside any of them.
///
/// Stored as the list of its spans, and checked when read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<CallingSpan>", into = "Vec<CallingSpan>")]
pub struct CallingHours {
    spans: Vec<CallingSpan>,
    /// The spans joined: disjoint, not touching, by start. Derived from `spans`.
    week: Vec<OpenMinutes>,
}

/// Minutes of the wall clock after Monday 00:00, half-open. The last may run past the week's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OpenMinutes {
    start: u16,
    end: u16,
}

/// Why hours are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CallingHoursError {
    /// No span, or more than [`SPANS_MAX`].
    #[error("calling hours need 1 to {SPANS_MAX} spans")]
    SpanCount,
    /// A span that breaks a rule; [`CallingSpanError::field`] names its field.
    #[error("spans[{index}].{field}: {error}", field = error.field())]
    Span {
        /// Which span, from 0.
        index: usize,
        /// The rule that it breaks.
        error: CallingSpanError,
    },
}

/// A stretch of time during which the hours are open: from `opens_at`, included, to `closes_at`,
/// excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenWindow {
    /// The first instant.
    pub opens_at: DateTime<Utc>,
    /// The first instant after it that is closed again, but for hours that never close.
    pub closes_at: DateTime<Utc>,
}

impl OpenWindow {
    /// Whether the instant is inside.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.opens_at <= at && at < self.closes_at
    }
}

impl Default for CallingHours {
    /// Every day from 08:00 to 21:00, the hours of the US TCPA.
    fn default() -> Self {
        let (start_minute, end_minute) = (8 * 60, 21 * 60);
        let span = CallingSpan { weekdays: WeekdaySet::EVERY_DAY, start_minute, end_minute };
        Self { spans: vec![span], week: join(&[span]) }
    }
}

impl CallingHours {
    /// Hours of 1 to [`SPANS_MAX`] spans, which may overlap.
    ///
    /// # Errors
    /// [`CallingHoursError`], with the first span that breaks a rule.
    pub fn new(spans: Vec<CallingSpan>) -> Result<Self, CallingHoursError> {
        if spans.is_empty() || spans.len() > SPANS_MAX {
            return Err(CallingHoursError::SpanCount);
        }
        for (index, span) in spans.iter().enumerate() {
            span.check().map_err(|error| CallingHoursError::Span { index, error })?;
        }
        Ok(Self { week: join(&spans), spans })
    }

    /// The spans as they were set.
    pub fn spans(&self) -> &[CallingSpan] {
        &self.spans
    }

    /// Whether a number in the zone may be called at the instant.
    pub fn is_open(&self, zone: &TimeZone, at: DateTime<Utc>) -> bool {
        self.window(zone, at).is_some_and(|window| window.contains(at))
    }

    /// The open window that contains the instant, else the next one after it. Windows are as long
    /// as they can be: spans that touch or overlap, across midnight too, are one.
    ///
    /// Hours that never close answer the [`AHEAD_MAX`] from `at`, and the caller asks again at
    /// their end. `None` when nothing opens within three weeks: only near the end of the calendar
    /// (year 9998).
    pub fn window(&self, zone: &TimeZone, at: DateTime<Utc>) -> Option<OpenWindow> {
        if self.never_close() {
            // Long ago, not now: whoever compares may have a clock that is a moment behind.
            let (opens_at, closes_at) = (at.checked_sub_signed(AHEAD_MAX)?, at.checked_add_signed(AHEAD_MAX)?);
            return Some(OpenWindow { opens_at, closes_at });
        }
        let mut found: Option<OpenWindow> = None;
        for (start, end) in self.wall_spans(zone.local(at))? {
            let opens_at = opening(zone.wall_time(start));
            let closes_at = closing(zone.wall_time(end));
            if opens_at >= closes_at {
                continue; // Skipped, or inside a repeated hour.
            }
            match &mut found {
                Some(window) if opens_at <= window.closes_at => window.closes_at = closes_at,
                Some(window) if window.closes_at > at => break,
                _ => found = Some(OpenWindow { opens_at, closes_at }),
            }
        }
        found.filter(|window| window.closes_at > at)
    }

    fn never_close(&self) -> bool {
        matches!(self.week.as_slice(), [OpenMinutes { start: 0, end: WEEK_MINUTES }])
    }

    /// Starts and ends on the wall clock, in order: what is open at or after `wall`, three weeks of
    /// it, and before it whatever a change of the clock could join to it.
    fn wall_spans(&self, wall: NaiveDateTime) -> Option<impl Iterator<Item = (NaiveDateTime, NaiveDateTime)>> {
        let week = wall.date().week(Weekday::Mon);
        let monday = week.checked_first_day()?.and_time(NaiveTime::MIN);
        let spans = (-2..=3).flat_map(move |week| {
            let minute = move |minute: u16| {
                let since_monday = TimeDelta::weeks(week) + TimeDelta::minutes(minute.into());
                monday.checked_add_signed(since_monday)
            };
            let week = self.week.iter();
            week.filter_map(move |open| Some((minute(open.start)?, minute(open.end)?)))
        });
        let (first, _) = spans.clone().find(|&(_, end)| end > wall)?;
        let from = first.checked_sub_signed(CLOCK_CHANGE_MAX)?;
        Some(spans.skip_while(move |&(_, end)| end <= from))
    }
}

fn opening(wall: WallTime) -> DateTime<Utc> {
    match wall {
        WallTime::Once(at) | WallTime::Twice { second: at, .. } | WallTime::Skipped { jump: at, .. } => at,
    }
}

fn closing(wall: WallTime) -> DateTime<Utc> {
    match wall {
        WallTime::Once(at) | WallTime::Twice { first: at, .. } | WallTime::Skipped { jump: at, .. } => at,
    }
}

/// Joins spans on the clock of the week, which is a circle: Sunday's night runs into Monday.
fn join(spans: &[CallingSpan]) -> Vec<OpenMinutes> {
    let mut is_open = [false; WEEK_MINUTES as usize];
    for span in spans {
        for day in span.weekdays.iter() {
            let start = day.num_days_from_monday() as u16 * DAY_MINUTES + span.start_minute;
            for minute in start..start + span.minutes() {
                is_open[usize::from(minute % WEEK_MINUTES)] = true;
            }
        }
    }
    let is_open = |minute: u16| is_open[usize::from(minute % WEEK_MINUTES)];
    let open_from = |start: u16| (start..start + WEEK_MINUTES).take_while(|&minute| is_open(minute)).count();
    if open_from(0) == usize::from(WEEK_MINUTES) {
        return vec![OpenMinutes { start: 0, end: WEEK_MINUTES }];
    }
    (0..WEEK_MINUTES)
        .filter(|&minute| is_open(minute) && !is_open(minute + WEEK_MINUTES - 1))
        .map(|start| OpenMinutes { start, end: start + open_from(start) as u16 })
        .collect()
}

impl TryFrom<Vec<CallingSpan>> for CallingHours {
    type Error = CallingHoursError;

    fn try_from(spans: Vec<CallingSpan>) -> Result<Self, CallingHoursError> {
        Self::new(spans)
    }
}

impl From<CallingHours> for Vec<CallingSpan> {
    fn from(hours: CallingHours) -> Self {
        hours.spans
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod wall_clock_tests;
