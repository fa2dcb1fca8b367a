//! Owns one span of calling hours as people set it: weekdays and clock times, and their text form.
//! Does not own what a span means on a given day in a zone: that is `calling_hours`.

use std::fmt;

use chrono::Weekday;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Minutes of a day on a wall clock.
pub const DAY_MINUTES: u16 = 24 * 60;

/// A set of weekdays.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Weekday>", into = "Vec<Weekday>")]
pub struct WeekdaySet(u8);

impl WeekdaySet {
    /// Monday to Sunday.
    pub const EVERY_DAY: Self = Self(0b111_1111);

    /// Adds a day; `false` when it was in the set already.
    pub fn insert(&mut self, day: Weekday) -> bool {
        let before = self.0;
        self.0 |= 1 << day.num_days_from_monday();
        self.0 != before
    }

    /// Whether the day is in the set.
    pub fn contains(self, day: Weekday) -> bool {
        self.0 & (1 << day.num_days_from_monday()) != 0
    }

    /// Whether no day is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The days, from Monday on.
    pub fn iter(self) -> impl Iterator<Item = Weekday> {
        use Weekday::*;
        [Mon, Tue, Wed, Thu, Fri, Sat, Sun].into_iter().filter(move |&day| self.contains(day))
    }
}

impl FromIterator<Weekday> for WeekdaySet {
    fn from_iter<I: IntoIterator<Item = Weekday>>(days: I) -> Self {
        days.into_iter().fold(Self::default(), |mut set, day| {
            set.insert(day);
            set
        })
    }
}

impl From<Vec<Weekday>> for WeekdaySet {
    fn from(days: Vec<Weekday>) -> Self {
        days.into_iter().collect()
    }
}

impl From<WeekdaySet> for Vec<Weekday> {
    fn from(set: WeekdaySet) -> Self {
        set.iter().collect()
    }
}

impl fmt::Debug for WeekdaySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A span of local wall time on some days of the week: from `start_minute`, included, to
/// `end_minute`, excluded. An end that is not after the start is on the next day.
///
/// Stored and shown as `{"weekdays": ["Mon"], "start": "08:00", "end": "21:00"}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "SpanText", into = "SpanText")]
pub struct CallingSpan {
    /// The local days on which the span starts; a span across midnight also reaches into the day
    /// after.
    pub weekdays: WeekdaySet,
    /// Minutes after local midnight, 0 to 1439.
    pub start_minute: u16,
    /// Minutes after local midnight, 1 to 1440. Never equal to the start: the whole day is 0 to
    /// 1440.
    pub end_minute: u16,
}

/// Why a span is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CallingSpanError {
    /// It starts on no day.
    #[error("a span needs at least one weekday")]
    NoWeekdays,
    /// Its start is not a minute of the day.
    #[error("a start is between 00:00 and 23:59")]
    StartOutOfRange,
    /// Its end is not a minute of the day nor the day's end.
    #[error("an end is between 00:01 and 24:00")]
    EndOutOfRange,
    /// It is empty or the whole day, depending on who reads it.
    #[error("start and end are equal; the whole day is 00:00 to 24:00")]
    EndIsStart,
}

impl CallingSpanError {
    /// The field to correct: `weekdays`, `start` or `end`.
    pub fn field(self) -> &'static str {
        match self {
            Self::NoWeekdays => "weekdays",
            Self::StartOutOfRange => "start",
            Self::EndOutOfRange | Self::EndIsStart => "end",
        }
    }
}

impl CallingSpan {
    /// Whether the span keeps its bounds.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(self) -> Result<(), CallingSpanError> {
        if self.weekdays.is_empty() {
            return Err(CallingSpanError::NoWeekdays);
        }
        if self.start_minute >= DAY_MINUTES {
            return Err(CallingSpanError::StartOutOfRange);
        }
        if self.end_minute == 0 || self.end_minute > DAY_MINUTES {
            return Err(CallingSpanError::EndOutOfRange);
        }
        if self.start_minute == self.end_minute {
            return Err(CallingSpanError::EndIsStart);
        }
        Ok(())
    }

    /// Length on the wall clock, 1 to 1440 minutes. Only for a span that passes
    /// [`check`](Self::check).
    pub(crate) fn minutes(self) -> u16 {
        let end = if self.end_minute > self.start_minute { self.end_minute } else { self.end_minute + DAY_MINUTES };
        end - self.start_minute
    }
}

/// Why a text is no clock time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClockError {
    /// Not two digits, a colon and two digits, or no time of a day.
    #[error("a clock time is written HH:MM, from 00:00 to 23:59")]
    Malformed,
    /// `24:00` as a start.
    #[error("a start at midnight is written 00:00")]
    StartAtDaysEnd,
    /// `00:00` as an end.
    #[error("an end at midnight is written 24:00")]
    EndAtDaysStart,
}

/// Reads `HH:MM` (24 hours, always two digits each) into minutes after midnight. Midnight is
/// `00:00` as a start and `24:00` as an end, never the other way round, so that a day cannot turn
/// into nothing.
///
/// # Errors
/// [`ClockError`] for every other text.
pub fn parse_clock(text: &str, is_end: bool) -> Result<u16, ClockError> {
    let &[h1, h2, b':', m1, m2] = text.as_bytes() else {
        return Err(ClockError::Malformed);
    };
    let two_digits = |tens: u8, ones: u8| {
        let both = tens.is_ascii_digit() && ones.is_ascii_digit();
        both.then(|| u16::from(tens - b'0') * 10 + u16::from(ones - b'0'))
    };
    let hour = two_digits(h1, h2).ok_or(ClockError::Malformed)?;
    let minute = two_digits(m1, m2).ok_or(ClockError::Malformed)?;
    match (hour, minute) {
        (0, 0) if is_end => Err(ClockError::EndAtDaysStart),
        (24, 0) if !is_end => Err(ClockError::StartAtDaysEnd),
        (0..=23, 0..=59) | (24, 0) => Ok(hour * 60 + minute),
        _ => Err(ClockError::Malformed),
    }
}

/// Writes minutes after midnight as [`parse_clock`] reads them.
pub fn format_clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// The stored form. Unknown fields are refused: one that a newer replica wrote could close hours
/// that this one would open.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpanText {
    weekdays: WeekdaySet,
    start: String,
    end: String,
}

impl From<CallingSpan> for SpanText {
    fn from(span: CallingSpan) -> Self {
        Self { weekdays: span.weekdays, start: format_clock(span.start_minute), end: format_clock(span.end_minute) }
    }
}

impl TryFrom<SpanText> for CallingSpan {
    type Error = ClockError;

    fn try_from(text: SpanText) -> Result<Self, ClockError> {
        Ok(Self {
            weekdays: text.weekdays,
            start_minute: parse_clock(&text.start, false)?,
            end_minute: parse_clock(&text.end, true)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use Weekday::*;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clock_time_is_two_digits_a_colon_and_two_digits() {
        for (text, minute) in [("00:00", 0), ("08:30", 510), ("23:59", 1439)] {
            assert_eq!(parse_clock(text, false), Ok(minute));
        }
        for text in ["", "8:30", "08:3", "08.30", "0830", "08:60", "25:00", "24:01", "+8:30", "08:30 ", "٠8:3"] {
            assert_eq!(parse_clock(text, false), Err(ClockError::Malformed), "{text}");
            assert_eq!(parse_clock(text, true), Err(ClockError::Malformed), "{text}");
        }
    }

    #[test]
    fn midnight_is_0000_as_a_start_and_2400_as_an_end() {
        assert_eq!(parse_clock("24:00", true), Ok(1440));
        assert_eq!(parse_clock("24:00", false), Err(ClockError::StartAtDaysEnd));
        assert_eq!(parse_clock("00:00", true), Err(ClockError::EndAtDaysStart));
    }

    #[test]
    fn each_refusal_of_a_span_names_its_field() {
        let good = CallingSpan { weekdays: WeekdaySet::EVERY_DAY, start_minute: 480, end_minute: 1260 };
        assert_eq!(good.check(), Ok(()));
        for (span, error, field) in [
            (CallingSpan { weekdays: WeekdaySet::default(), ..good }, CallingSpanError::NoWeekdays, "weekdays"),
            (CallingSpan { start_minute: 1440, ..good }, CallingSpanError::StartOutOfRange, "start"),
            (CallingSpan { end_minute: 0, ..good }, CallingSpanError::EndOutOfRange, "end"),
            (CallingSpan { end_minute: 1441, ..good }, CallingSpanError::EndOutOfRange, "end"),
            (CallingSpan { end_minute: 480, ..good }, CallingSpanError::EndIsStart, "end"),
        ] {
            assert_eq!(span.check(), Err(error));
            assert_eq!(error.field(), field);
        }
    }

    #[test]
    fn a_span_whose_end_is_not_after_its_start_ends_on_the_next_day() {
        let minutes = |start_minute, end_minute| {
            CallingSpan { weekdays: WeekdaySet::EVERY_DAY, start_minute, end_minute }.minutes()
        };
        assert_eq!(minutes(480, 1260), 780);
        assert_eq!(minutes(22 * 60, 6 * 60), 480);
        assert_eq!(minutes(0, 1440), 1440);
        assert_eq!(minutes(1439, 1438), 1439);
    }

    #[test]
    fn the_stored_form_is_readable() {
        let weekdays = [Fri, Mon].into_iter().collect();
        let span = CallingSpan { weekdays, start_minute: 570, end_minute: 1440 };
        let stored = r#"{"weekdays":["Mon","Fri"],"start":"09:30","end":"24:00"}"#;
        assert_eq!(serde_json::to_string(&span).unwrap(), stored);
        assert_eq!(serde_json::from_str::<CallingSpan>(stored).unwrap(), span);
        let unknown = r#"{"weekdays":["Mon"],"start":"09:30","end":"24:00","except":["2026-12-25"]}"#;
        assert!(serde_json::from_str::<CallingSpan>(unknown).is_err());
    }

    proptest! {
        #[test]
        fn every_minute_survives_writing_and_reading(minute in 1_u16..1440) {
            prop_assert_eq!(parse_clock(&format_clock(minute), false), Ok(minute));
            prop_assert_eq!(parse_clock(&format_clock(minute), true), Ok(minute));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), is_end: bool) {
            let _ = parse_clock(&text, is_end);
        }

        #[test]
        fn a_set_has_the_days_put_into_it(bits in 0_u8..128) {
            let set = WeekdaySet(bits);
            prop_assert_eq!(set.iter().collect::<WeekdaySet>(), set);
            prop_assert_eq!(set.iter().count(), bits.count_ones() as usize);
            for day in set.iter() {
                prop_assert!(set.contains(day) && !set.clone().insert(day));
            }
        }
    }
}
