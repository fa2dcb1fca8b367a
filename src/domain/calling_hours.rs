//! Owns calling hours as a campaign or a preset sets them: spans of local wall time, joined per weekday. Does not own what
//! they mean in a zone on a date: that is `calling_calendar`.

use chrono::Weekday;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::calling_span::{CallingSpan, CallingSpanError, DAY_MINUTES, WeekdaySet};

/// Most spans of one set of hours.
pub const SPANS_MAX: usize = 50;

const WEEK_MINUTES: u16 = 7 * DAY_MINUTES;

/// Minutes of a local day, half-open: from the first, included, to the second, excluded.
pub type OpenMinutes = (u16, u16);

/// Spans of local wall time; a number may be called inside any of them.
///
/// Stored as the list of its spans, and checked when read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<CallingSpan>", into = "Vec<CallingSpan>")]
pub struct CallingHours {
    spans: Vec<CallingSpan>,
    /// Per weekday from Monday on the spans joined: disjoint, not touching, in order. Derived from `spans`.
    week: [Vec<OpenMinutes>; 7],
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

    /// When it is open on a local day of the week; the next day's part of a span across midnight is the next day's.
    pub fn on(&self, day: Weekday) -> &[OpenMinutes] {
        &self.week[day.num_days_from_monday() as usize]
    }
}

/// Joins spans on the clock of the week, which is a circle: Sunday's night runs into Monday.
fn join(spans: &[CallingSpan]) -> [Vec<OpenMinutes>; 7] {
    let mut is_open = [false; WEEK_MINUTES as usize];
    for span in spans {
        for day in span.weekdays.iter() {
            let start = day.num_days_from_monday() as u16 * DAY_MINUTES + span.start_minute;
            for minute in start..start + span.minutes() {
                is_open[usize::from(minute % WEEK_MINUTES)] = true;
            }
        }
    }
    std::array::from_fn(|day| {
        let day = &is_open[day * usize::from(DAY_MINUTES)..][..usize::from(DAY_MINUTES)];
        let mut joined: Vec<OpenMinutes> = Vec::new();
        for minute in (0..DAY_MINUTES).filter(|minute| day[usize::from(*minute)]) {
            match joined.last_mut() {
                Some((_, end)) if *end == minute => *end += 1,
                _ => joined.push((minute, minute + 1)),
            }
        }
        joined
    })
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
mod tests {
    use super::*;
    use crate::domain::calling_span::parse_clock;

    fn span(days: &[Weekday], start: &str, end: &str) -> CallingSpan {
        CallingSpan {
            weekdays: days.iter().copied().collect(),
            start_minute: parse_clock(start, false).unwrap(),
            end_minute: parse_clock(end, true).unwrap(),
        }
    }

    #[test]
    fn a_span_across_midnight_is_open_on_both_days_and_sunday_runs_into_monday() {
        let hours = CallingHours::new(vec![span(&[Weekday::Sun], "22:00", "02:00")]).unwrap();
        assert_eq!(hours.on(Weekday::Sun), [(22 * 60, DAY_MINUTES)]);
        assert_eq!(hours.on(Weekday::Mon), [(0, 2 * 60)]);
        assert_eq!(hours.on(Weekday::Tue), []);
    }

    #[test]
    fn each_refusal_names_its_span_and_field() {
        let good = span(&[Weekday::Mon], "09:00", "10:00");
        for count in [0, SPANS_MAX + 1] {
            assert_eq!(CallingHours::new(vec![good; count]), Err(CallingHoursError::SpanCount));
        }
        assert!(CallingHours::new(vec![good; SPANS_MAX]).is_ok());
        let error = CallingHours::new(vec![good, CallingSpan { end_minute: 540, ..good }]).unwrap_err();
        let expected = "spans[1].end: start and end are equal; the whole day is 00:00 to 24:00";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn the_stored_form_is_the_list_of_spans_and_is_checked_when_read() {
        let stored = r#"[{"weekdays":["Sat","Sun"],"start":"08:00","end":"21:00"}]"#;
        let weekend = CallingHours::new(vec![span(&[Weekday::Sun, Weekday::Sat], "08:00", "21:00")]).unwrap();
        assert_eq!(serde_json::to_string(&weekend).unwrap(), stored);
        let read: CallingHours = serde_json::from_str(stored).unwrap();
        assert_eq!(read, weekend);
        for bad in ["[]", r#"[{"weekdays":[],"start":"08:00","end":"21:00"}]"#, &stored.replace("21:00", "08:00")] {
            assert!(serde_json::from_str::<CallingHours>(bad).is_err(), "{bad}");
        }
    }
}
