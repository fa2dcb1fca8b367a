//! Owns the one instant at which a promised callback is due: the interval heard, and when calls may be made.

use chrono::{DateTime, NaiveTime, Utc};

use super::{Grain, Interval};
use crate::domain::calling_calendar::OpenWindow;
use crate::domain::time_zone::TimeZone;

/// A weekend is the longest interval of grain day; one more for a clock that was changed.
const DAYS_MAX: usize = 3;

/// The instant of a callback, at or after `now`.
///
/// - A day without a time: the clock time of the first call, if that is open, else the day's first open instant.
/// - Else the first open instant from the preferred one on ("around t": t; "by t": an hour before), and where none of
///   those is inside the interval, the interval's first open one.
/// - No open instant in the interval: the next open one.
///
/// `next_open` answers the open window that contains an instant, else the next one after it. `None` when it does.
pub fn choose_instant(
    interval: &Interval,
    zone: &TimeZone,
    now: DateTime<Utc>,
    first_call_at: Option<DateTime<Utc>>,
    next_open: impl Fn(DateTime<Utc>) -> Option<OpenWindow>,
) -> Option<DateTime<Utc>> {
    let first_open = |from: DateTime<Utc>| next_open(from).map(|window| window.opens_at.max(from));
    let inside = |at: &DateTime<Utc>| *at >= interval.earliest.max(now) && *at < interval.latest;
    if let (Grain::Day, Some(first_call)) = (interval.grain, first_call_at) {
        let clock = zone.local(first_call).time();
        let same = same_clock(interval, zone, clock).into_iter().filter(inside).find(|at| first_open(*at) == Some(*at));
        if same.is_some() {
            return same;
        }
    }
    let from_preferred = first_open(interval.preferred.max(now))?;
    if inside(&from_preferred) {
        return Some(from_preferred);
    }
    let from_start = first_open(interval.earliest.max(now)).filter(inside);
    from_start.or_else(|| first_open(interval.latest.max(now)))
}

/// The instants of the interval's days at which the clock shows a time.
fn same_clock(interval: &Interval, zone: &TimeZone, clock: NaiveTime) -> Vec<DateTime<Utc>> {
    let first = zone.local(interval.earliest).date();
    let days = std::iter::successors(Some(first), |day| day.succ_opt());
    days.take(DAYS_MAX).map(|day| zone.instant(day.and_time(clock))).collect()
}
