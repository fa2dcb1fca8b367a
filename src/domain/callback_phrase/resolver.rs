//! Owns the way from offered times to instants: which day, which half of the day, and what has passed.

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday};

use super::items::{Bound, Clock, Day, Item, Part, Span, When};
use super::offers::Offers;
use super::{Grain, Interval, halves};
use crate::domain::time_zone::TimeZone;

const MOMENT: TimeDelta = TimeDelta::minutes(15);
const AFTER: TimeDelta = TimeDelta::hours(2);
const BY_LEAD: TimeDelta = TimeDelta::hours(1);
/// The next February 29th is at most eight years ahead.
const MONTHS_AHEAD_MAX: u32 = 12 * 8 + 1;

/// The offered times, sorted by what they are.
#[derive(Default)]
struct Spec {
    days: Vec<Day>,
    when: Option<When>,
    part: Option<(Part, bool)>,
    span: Option<Span>,
    bound: Option<Bound>,
    later: bool,
    same_time: bool,
    next_week: bool,
    this_week: bool,
    weekend: bool,
}

/// The interval, if the offers make one and only one.
pub fn resolve(offers: &Offers, now: DateTime<Utc>, zone: &TimeZone) -> Option<Interval> {
    if offers.unclear {
        return None;
    }
    let spec = Spec::of(&offers.items)?;
    let wall = zone.local(now);
    let resolver = Resolver { now, zone, today: wall.date(), clock: wall.time(), local: wall };
    let interval = resolver.interval(&spec)?;
    let day_free = spec.days.is_empty() && !spec.next_week && !spec.weekend && spec.span.is_none() && !spec.later;
    let today_part = matches!(spec.part, Some((_, true)));
    if offers.day_in_doubt && day_free && !today_part {
        return None;
    }
    if offers.blurred && matches!(interval.grain, Grain::Day | Grain::Week) {
        return None;
    }
    let exact = spec.span.is_some() || matches!(spec.when, Some(When::Clock(Bound::At | Bound::Around, _)));
    if offers.pierced && !exact {
        return None;
    }
    if offers.narrowed && interval.grain != Grain::Minute {
        return None;
    }
    let date = zone.local(interval.earliest).date();
    let refused = offers.refused_days.iter().any(|day| resolver.date(*day, false) == Some(date));
    (!refused && interval.earliest >= now && interval.earliest < interval.latest).then_some(interval)
}

impl Spec {
    fn of(items: &[Item]) -> Option<Self> {
        let mut spec = Self::default();
        for item in items {
            match *item {
                Item::Day(day) => spec.days.push(day),
                Item::When(when) => spec.when = Some(spec.when.map_or(Some(when), |known| one(known, when))?),
                Item::Part(part, this) => match spec.part {
                    Some((known, known_this)) if known == part => spec.part = Some((part, this || known_this)),
                    Some(_) => return None,
                    None => spec.part = Some((part, this)),
                },
                Item::Span(span) => once(&mut spec.span, span)?,
                Item::Bound(bound) => once(&mut spec.bound, bound)?,
                Item::Later => spec.later = true,
                Item::SameTime => spec.same_time = true,
                Item::NextWeek => spec.next_week = true,
                Item::ThisWeek => spec.this_week = true,
                Item::Weekend => spec.weekend = true,
                Item::Now => {}
                Item::BareSpan(_) | Item::Past | Item::Habit | Item::Bad => return None,
            }
        }
        spec.join_bound()?;
        spec.join_span()?;
        spec.fits().then_some(spec)
    }

    /// "by tomorrow 5 pm".
    fn join_bound(&mut self) -> Option<()> {
        let Some(bound) = self.bound else { return Some(()) };
        let (Some(When::Clock(Bound::At, clock)), true) = (self.when, self.days.len() == 1) else { return None };
        self.when = Some(When::Clock(bound, clock));
        Some(())
    }

    /// "in 3 days at 5 pm": the days are a day then.
    fn join_span(&mut self) -> Option<()> {
        let Some(span) = self.span else { return Some(()) };
        let timed = self.when.is_some() || self.part.is_some();
        if span.minutes > 0 {
            let today = self.days.iter().all(|day| *day == Day::In(0));
            return (!timed && today).then(|| self.days.clear());
        }
        if !self.days.is_empty() {
            return None;
        }
        if timed || self.same_time {
            self.days.push(Day::In(span.days));
            self.span = None;
        }
        Some(())
    }

    /// Whether what was said goes together.
    fn fits(&self) -> bool {
        let timed = self.when.is_some() || self.part.is_some();
        // "later tomorrow" says no more than "tomorrow", and less than we need.
        let today = self.days.iter().all(|day| *day == Day::In(0)) && !self.next_week && !self.weekend;
        let later = !self.later || timed || self.span.is_some() || today;
        let weekdays = self.days.iter().any(|day| matches!(day, Day::Weekday(_)));
        let weekend_day = self.days.iter().any(|day| matches!(day, Day::Weekday(Weekday::Sat | Weekday::Sun)));
        let span_alone =
            self.span.is_none() || !(timed || self.same_time || self.next_week || self.weekend || self.this_week);
        let week = !self.next_week || weekdays || !timed;
        let weekend = !self.weekend || weekend_day || (!timed && self.days.is_empty());
        let same = !self.same_time || (!timed && (!self.days.is_empty() || self.next_week) && !self.weekend);
        let part_later = !self.later || !matches!(self.part, Some((Part::Noon, _)));
        later
            && part_later
            && span_alone
            && week
            && weekend
            && same
            && (!self.this_week || weekdays)
            && !(self.next_week && self.weekend)
    }
}

/// Two of a kind are a choice, unless they are the same.
fn once<T: PartialEq>(slot: &mut Option<T>, value: T) -> Option<()> {
    if slot.as_ref().is_some_and(|known| *known != value) {
        return None;
    }
    *slot = Some(value);
    Some(())
}

/// "five, five pm": the fuller of two that are the same.
fn one(known: When, when: When) -> Option<When> {
    let (When::Clock(bound, a), When::Clock(other, b)) = (known, when) else { return (known == when).then_some(known) };
    let same = bound == other && a.minute == b.minute && a.hour % 12 == b.hour % 12;
    match (a.plain, b.plain) {
        // "after 3 but before 5".
        _ if bound == Bound::After && matches!(other, Bound::Before | Bound::By) => Some(When::Range(a, b)),
        _ if other == Bound::After && matches!(bound, Bound::Before | Bound::By) => Some(When::Range(b, a)),
        _ if known == when => Some(known),
        (true, false) if same => Some(when),
        (false, true) if same => Some(known),
        _ => None,
    }
}

struct Resolver<'a> {
    now: DateTime<Utc>,
    zone: &'a TimeZone,
    today: NaiveDate,
    clock: NaiveTime,
    local: NaiveDateTime,
}

impl Resolver<'_> {
    fn interval(&self, spec: &Spec) -> Option<Interval> {
        if let Some(span) = spec.span {
            return self.span(span);
        }
        let day = self.day(spec)?;
        if spec.same_time {
            let day = day.or_else(|| self.ahead(7).filter(|_| spec.next_week))?;
            let start = self.zone.instant(day.and_time(self.clock));
            return self.moment(start, start.checked_add_signed(MOMENT)?).filter(|_| day > self.today);
        }
        if let Some(when) = spec.when {
            return self.when(when, spec.part, day);
        }
        if let Some((part, this)) = spec.part {
            return self.part(part, this, day);
        }
        if let Some(day) = day.filter(|_| !spec.later) {
            return self.days(day, 1, Grain::Day);
        }
        if spec.next_week {
            return self.days(self.next_monday()?, 5, Grain::Week);
        }
        if spec.weekend {
            let monday = self.next_monday()?;
            return self.days(monday.checked_sub_days(chrono::Days::new(2))?, 2, Grain::Day);
        }
        let (earliest, latest) = (self.after_now(AFTER)?, self.after_now(AFTER * 2)?);
        spec.later.then_some(Interval { earliest, latest, grain: Grain::Hour, preferred: earliest })
    }

    fn after_now(&self, delta: TimeDelta) -> Option<DateTime<Utc>> {
        self.now.checked_add_signed(delta)
    }

    fn ahead(&self, days: u32) -> Option<NaiveDate> {
        self.today.checked_add_days(chrono::Days::new(days.into()))
    }

    fn next_monday(&self) -> Option<NaiveDate> {
        self.ahead(7 - self.today.weekday().num_days_from_monday())
    }

    fn span(&self, span: Span) -> Option<Interval> {
        let start = if span.minutes > 0 {
            self.after_now(TimeDelta::minutes(span.minutes.into()))?
        } else {
            let wall = self.local.checked_add_days(chrono::Days::new(span.days.into()))?;
            self.zone.instant(wall)
        };
        let latest = start.checked_add_signed(MOMENT)?;
        Some(Interval { earliest: start, latest, grain: Grain::Minute, preferred: start })
    }

    /// The one day that all named days agree on; `Some(None)`: no day was named.
    fn day(&self, spec: &Spec) -> Option<Option<NaiveDate>> {
        let dated = spec.days.iter().any(|day| matches!(day, Day::Date { .. } | Day::OfMonth { .. }));
        let mut found = None;
        for day in &spec.days {
            match day {
                // "Friday the 25th": checked below.
                Day::Weekday(_) if dated => {}
                day => once(&mut found, self.date(*day, spec.next_week)?)?,
            }
        }
        let mut weekdays =
            spec.days.iter().filter_map(|day| if let Day::Weekday(day) = day { Some(*day) } else { None });
        let sunday = self.next_monday()?.pred_opt()?;
        let fits = found.is_none_or(|day| {
            (!dated || weekdays.all(|weekday| day.weekday() == weekday))
                && !(spec.this_week && day > sunday)
                && !(spec.next_week && (day <= sunday || (day - sunday).num_days() > 7))
        });
        fits.then_some(found)
    }

    fn date(&self, day: Day, next_week: bool) -> Option<NaiveDate> {
        match day {
            Day::In(days) => self.ahead(days),
            Day::Weekday(weekday) if next_week => {
                self.next_monday()?.checked_add_days(chrono::Days::new(weekday.num_days_from_monday().into()))
            }
            Day::Weekday(weekday) => {
                let ahead = (7 + weekday.num_days_from_monday() - self.today.weekday().num_days_from_monday()) % 7;
                self.ahead(if ahead == 0 { 7 } else { ahead })
            }
            Day::Date { month: Some(month), day, year: Some(year) } => {
                NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day).filter(|date| *date > self.today)
            }
            Day::Date { month, day, year: _ } => (0..=MONTHS_AHEAD_MAX).find_map(|ahead| {
                let date = self.of_month(day, ahead)?;
                (date > self.today && month.is_none_or(|month| date.month() == month)).then_some(date)
            }),
            Day::OfMonth { day, ahead } => self.of_month(day, ahead).filter(|date| *date > self.today),
        }
    }

    fn of_month(&self, day: u32, ahead: u32) -> Option<NaiveDate> {
        self.today.with_day(1)?.checked_add_months(Months::new(ahead))?.with_day(day)
    }

    fn midnight(&self, day: NaiveDate) -> DateTime<Utc> {
        self.zone.instant(day.and_time(NaiveTime::MIN))
    }

    fn days(&self, first: NaiveDate, count: u64, grain: Grain) -> Option<Interval> {
        let end = first.checked_add_days(chrono::Days::new(count))?;
        let (earliest, latest) = (self.midnight(first).max(self.now), self.midnight(end));
        (earliest < latest).then_some(Interval { earliest, latest, grain, preferred: earliest })
    }

    fn at(&self, day: NaiveDate, clock: (u32, u32)) -> Option<DateTime<Utc>> {
        let day = if clock.0 == 24 { day.succ_opt()? } else { day };
        Some(self.zone.instant(day.and_hms_opt(clock.0 % 24, clock.1, 0)?))
    }

    fn part(&self, part: Part, this: bool, day: Option<NaiveDate>) -> Option<Interval> {
        if part == Part::Night || (part == Part::Tonight && day.is_some_and(|day| day != self.today)) {
            return None;
        }
        let (from, to) = halves::hours(part)?;
        let on = |day: NaiveDate| -> Option<Interval> {
            let (earliest, latest) = (self.at(day, (from, 0))?.max(self.now), self.at(day, (to, 0))?);
            (earliest < latest).then_some(Interval { earliest, latest, grain: Grain::Daypart, preferred: earliest })
        };
        match day {
            Some(day) if !this || day == self.today => on(day),
            Some(_) => None,
            None if this => on(self.today),
            None => on(self.today).or_else(|| on(self.today.succ_opt()?)),
        }
    }

    /// A clock time or a range: on its day, or on the first day from today on which it is ahead.
    fn when(&self, when: When, part: Option<(Part, bool)>, day: Option<NaiveDate>) -> Option<Interval> {
        let this = part.is_some_and(|(_, this)| this);
        if this && day.is_some_and(|day| day != self.today) {
            return None;
        }
        let part = part.map(|(part, _)| part);
        match (day, this) {
            (Some(day), _) => self.when_on(when, part, day),
            (None, true) => self.when_on(when, part, self.today),
            (None, false) => {
                let on = |day| self.when_on(when, part, day);
                // After a clock was set back over it, or near the end of time, the second day may fail as well.
                on(self.today).or_else(|| on(self.today.succ_opt()?))
            }
        }
    }

    fn when_on(&self, when: When, part: Option<Part>, day: NaiveDate) -> Option<Interval> {
        let (bound, clock) = match when {
            When::Range(from, to) => {
                let (from, to) = halves::range(from, to, part)?;
                let next = if to < from { day.succ_opt()? } else { day };
                let (start, end) = (self.at(day, from)?, self.at(next, to)?);
                return self.moment(start, end);
            }
            When::Clock(bound, clock) => (bound, clock),
        };
        let midnight = clock == Clock { hour: 24, minute: 0, plain: false };
        if midnight && day != self.today {
            return None;
        }
        let t = self.at(day, halves::clock(clock, part)?)?;
        match bound {
            Bound::At => self.moment(t, t.checked_add_signed(MOMENT)?).filter(|_| t > self.now),
            Bound::Around => {
                let (start, end) = (t.checked_sub_signed(MOMENT)?, t.checked_add_signed(MOMENT)?);
                self.moment(start, end).map(|found| Interval { preferred: t.max(self.now), ..found })
            }
            Bound::By | Bound::Before => {
                let preferred = t.checked_sub_signed(BY_LEAD)?.max(self.now);
                self.moment(self.now, t).map(|found| Interval { preferred, ..found })
            }
            Bound::After => self.moment(t, t.checked_add_signed(AFTER)?),
            Bound::Until => None,
        }
    }

    /// From the start, or from now if it has begun; none when it is over.
    fn moment(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> Option<Interval> {
        let earliest = start.max(self.now);
        let found = Interval { earliest, latest: end, grain: Grain::Minute, preferred: earliest };
        (earliest < end).then_some(found)
    }
}
