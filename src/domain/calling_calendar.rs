//! Owns when a number may be called by the clock on its wall: a campaign's own hours and the presets that it names, all of
//! them together, on the days that it leaves open; and the windows of time that this opens in a zone, or in several at
//! once. Does not own which zones a lead may be in, nor the other reasons that keep it from being called.
//!
//! Days are those of the local calendar: a holiday closes from midnight to midnight, also what began before it.
//!
//! It fails closed where the clock is changed:
//! - A time that occurs twice opens at its second occurrence and closes at its first. So the hours
//!   never depend on whether the person called has set back the clock; a span that lies inside the
//!   repeated hour does not open at all that day.
//! - A time that is skipped opens or closes at the jump, as the clock on the wall does. (Moving it
//!   forward by the gap, as for callbacks, would keep a span open beyond its end.)
//!
//! And where something is not known: a preset or a country that this program lacks (another replica may be newer), or a
//! year beyond what is known of a country's holidays.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc};

use crate::domain::{
    calling_hours::{CallingHours, OpenMinutes},
    calling_span::DAY_MINUTES,
    campaign::CampaignRules,
    holidays::{CountryHolidays, Day},
    hour_presets::HourPreset,
    time_zone::{TimeZone, WallTime},
};

/// How far before and after the instant asked for, or its opening, a window reaches at the most.
pub const AHEAD_MAX: TimeDelta = TimeDelta::days(8);
/// Most dates of a campaign's own that are closed.
pub const HOLIDAYS_MAX: usize = 500;

/// Longer than any change of a clock: Samoa skipped a day in 2011.
const CLOCK_CHANGE_MAX: TimeDelta = TimeDelta::hours(25);
/// A day more than windows reach back.
const DAYS_BACK: Days = Days::new(9);
/// How far ahead the next opening is looked for, at the least: longer than all of a campaign's own holidays in a row.
const DAYS_AHEAD: Days = Days::new(HOLIDAYS_MAX as u64 + 60);
/// The same for several zones, from where the last of them opens.
const TOGETHER_AHEAD: TimeDelta = TimeDelta::days(21);

/// When leads of a campaign may be called.
#[derive(Debug, Clone, PartialEq)]
pub struct CallingCalendar {
    hours: Option<CallingHours>,
    presets: Vec<&'static HourPreset>,
    first_day: Option<NaiveDate>,
    last_day: Option<NaiveDate>,
    holidays: BTreeSet<NaiveDate>,
    countries: Vec<&'static CountryHolidays>,
    /// A rule names what this program does not know.
    unknown: bool,
}

/// A stretch of time that is open: from `opens_at`, included, to `closes_at`, excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenWindow {
    /// The first instant, but not more than [`AHEAD_MAX`] before the one asked for.
    pub opens_at: DateTime<Utc>,
    /// The first instant after it that is closed again, but not more than [`AHEAD_MAX`] ahead.
    pub closes_at: DateTime<Utc>,
}

impl OpenWindow {
    /// Whether the instant is inside.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.opens_at <= at && at < self.closes_at
    }
}

/// What closes an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// Neither the lead nor its number nor the campaign tells a zone.
    NoTimeZone,
    /// The campaign's first day has not come.
    BeforeStart(NaiveDate),
    /// The campaign's last day is over.
    AfterEnd(NaiveDate),
    /// A holiday; with its country and name unless it is the campaign's own.
    Holiday(NaiveDate, Option<(&'static str, &'static str)>),
    /// The holidays of this country are not known for this day.
    HolidaysUnknown(NaiveDate, &'static str),
    /// Outside the campaign's own hours.
    Hours,
    /// Outside the hours of the preset of this name.
    Preset(&'static str),
    /// A rule names a preset or a country that this program does not know.
    UnknownRule,
}

impl From<CallingHours> for CallingCalendar {
    /// Every day the same hours.
    fn from(hours: CallingHours) -> Self {
        Self::new(&CampaignRules { calling_hours: Some(hours), ..CampaignRules::default() })
    }
}

impl CallingCalendar {
    /// The calendar of a campaign. Without hours of its own the presets alone hold; without these either, every day from
    /// 08:00 to 21:00.
    pub fn new(rules: &CampaignRules) -> Self {
        let presets: Vec<_> = rules.hour_presets.iter().filter_map(|name| HourPreset::find(name)).collect();
        let countries: Vec<_> = rules.holiday_countries.iter().filter_map(|code| CountryHolidays::of(code)).collect();
        CallingCalendar {
            unknown: presets.len() < rules.hour_presets.len() || countries.len() < rules.holiday_countries.len(),
            hours: rules.effective_hours(),
            presets,
            first_day: rules.start_date,
            last_day: rules.end_date,
            holidays: rules.holidays.clone(),
            countries,
        }
    }

    /// Whether a number may be called at the instant, in whichever of these zones it is.
    pub fn is_open(&self, zones: &[TimeZone], at: DateTime<Utc>) -> bool {
        self.window(zones, at).is_some_and(|window| window.contains(at))
    }

    /// Whether the last day is over in every zone on Earth.
    pub fn is_over(&self, at: DateTime<Utc>) -> bool {
        self.last_day.and_then(|day| day.succ_opt()).is_some_and(|after| {
            // The last clocks are twelve hours behind.
            at >= after.and_time(NaiveTime::MIN).and_utc() + TimeDelta::hours(12)
        })
    }

    /// The stretch that is open in all these zones and contains the instant, else the next one after it. Windows are as
    /// long as they can be: spans that touch or overlap, across midnight too, are one.
    ///
    /// What is open for longer than [`AHEAD_MAX`] is answered in parts, and the caller asks again at their end. `None`
    /// when nothing opens for a year and a half, or for three weeks after the last of several zones has opened: ask
    /// again before that. Also without any zone.
    pub fn window(&self, zones: &[TimeZone], at: DateTime<Utc>) -> Option<OpenWindow> {
        let mut from = at;
        let mut until = None;
        loop {
            let mut together: Option<OpenWindow> = None;
            for zone in zones {
                let one = self.window_in(zone, from)?;
                let both = together.map_or(one, |held| OpenWindow {
                    opens_at: held.opens_at.max(one.opens_at),
                    closes_at: held.closes_at.min(one.closes_at),
                });
                together = Some(both);
                if both.opens_at >= both.closes_at {
                    break;
                }
            }
            let found = together?;
            if found.opens_at < found.closes_at {
                return Some(found);
            }
            // Somewhere it is closed until then.
            from = found.opens_at;
            if *until.get_or_insert(from.checked_add_signed(TOGETHER_AHEAD)?) < from {
                return None;
            }
        }
    }

    fn window_in(&self, zone: &TimeZone, at: DateTime<Utc>) -> Option<OpenWindow> {
        let wall = zone.local(at);
        let mut runs = self.runs(wall.date())?;
        // The first run that is not over, and before it whatever a change of the clock could join to it.
        let mut near: Vec<(NaiveDateTime, NaiveDateTime)> = Vec::new();
        while near.last().is_none_or(|&(_, end)| end <= wall) {
            let next = runs.next()?;
            let from = next.0.checked_sub_signed(CLOCK_CHANGE_MAX)?;
            near.retain(|&(_, end)| end > from);
            near.push(next);
        }
        let mut found: Option<OpenWindow> = None;
        for (start, end) in near.into_iter().chain(runs) {
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
            if found.is_some_and(|window| window.closes_at - at.max(window.opens_at) > AHEAD_MAX) {
                break;
            }
        }
        let whole = found.filter(|window| window.closes_at > at)?;
        // Long ago, not now: whoever compares may have a clock that is a moment behind.
        let opens_at = whole.opens_at.max(at.checked_sub_signed(AHEAD_MAX)?);
        let ahead = at.max(opens_at).checked_add_signed(AHEAD_MAX)?;
        Some(OpenWindow { opens_at, closes_at: whole.closes_at.min(ahead) })
    }

    /// Starts and ends on the wall clock, in order, from some days before a day on. What never closes comes in parts.
    fn runs(&self, around: NaiveDate) -> Option<impl Iterator<Item = (NaiveDateTime, NaiveDateTime)>> {
        let first = around.checked_sub_days(DAYS_BACK)?;
        let first = self.first_day.map_or(first, |day| day.max(first));
        let last = first.max(around).checked_add_days(DAYS_AHEAD)?;
        let last = self.last_day.map_or(last, |day| day.min(last));
        let days = first.iter_days().take_while(move |day| *day <= last);
        let mut spans = days.flat_map(|day| {
            let midnight = day.and_time(NaiveTime::MIN);
            let at = move |minute: u16| midnight + TimeDelta::minutes(minute.into());
            self.open_minutes(day).into_iter().map(move |(start, end)| (at(start), at(end)))
        });
        let mut next = spans.next();
        Some(std::iter::from_fn(move || {
            let (start, mut end) = next?;
            loop {
                next = spans.next();
                match next {
                    Some((same, later)) if same == end && end - start < AHEAD_MAX * 2 => end = later,
                    _ => return Some((start, end)),
                }
            }
        }))
    }

    /// When all hours are open on a local day: disjoint and in order.
    fn open_minutes(&self, day: NaiveDate) -> Vec<OpenMinutes> {
        if self.unknown || self.closed_day(day).is_some() {
            return Vec::new();
        }
        let mut open = vec![(0, DAY_MINUTES)];
        for (_, hours) in self.sets(day) {
            let allowed = hours.map_or(&[] as &[_], |hours| hours.on(day.weekday()));
            let cut = |&(start, end): &OpenMinutes| {
                let within = allowed.iter().map(move |&(from, to)| (start.max(from), end.min(to)));
                within.filter(|(start, end)| start < end)
            };
            open = open.iter().flat_map(cut).collect();
        }
        open
    }

    /// The sets of hours that hold on a day, with the names of presets.
    fn sets(&self, day: NaiveDate) -> impl Iterator<Item = (Option<&'static str>, Option<&CallingHours>)> {
        let presets = self.presets.iter().map(move |preset| {
            let preset: &'static HourPreset = preset;
            (Some(preset.name.as_str()), preset.on(day).map(|version| &version.hours))
        });
        self.hours.iter().map(|hours| (None, Some(hours))).chain(presets)
    }

    /// What closes a whole local day, if anything: the campaign's dates, its own holidays, those of countries.
    fn closed_day(&self, day: NaiveDate) -> Option<Closed> {
        if let Some(first) = self.first_day.filter(|first| day < *first) {
            return Some(Closed::BeforeStart(first));
        }
        if let Some(last) = self.last_day.filter(|last| day > *last) {
            return Some(Closed::AfterEnd(last));
        }
        if self.holidays.contains(&day) {
            return Some(Closed::Holiday(day, None));
        }
        self.countries.iter().find_map(|country| match country.on(day) {
            Day::Working => None,
            Day::Holiday(name) => Some(Closed::Holiday(day, Some((country.country, name)))),
            Day::Unknown => Some(Closed::HolidaysUnknown(day, country.country)),
        })
    }

    /// Everything that closes the instant, with the zone in which it does; empty exactly when it is open.
    pub fn why_closed(&self, zones: &[TimeZone], at: DateTime<Utc>) -> Vec<(Option<TimeZone>, Closed)> {
        if zones.is_empty() {
            return vec![(None, Closed::NoTimeZone)];
        }
        if self.unknown {
            return vec![(None, Closed::UnknownRule)];
        }
        let mut reasons = Vec::new();
        for zone in zones.iter().filter(|zone| !self.window_in(zone, at).is_some_and(|window| window.contains(at))) {
            let wall = zone.local(at);
            let day = wall.date();
            let minute = (wall.hour() * 60 + wall.minute()) as u16;
            let outside = self.sets(day).filter(|(_, hours)| {
                let open = hours.map_or(&[] as &[_], |hours| hours.on(day.weekday()));
                !open.iter().any(|(start, end)| (*start..*end).contains(&minute))
            });
            let outside = outside.map(|(preset, _)| preset.map_or(Closed::Hours, Closed::Preset));
            let mut here: Vec<Closed> = self.closed_day(day).into_iter().chain(outside).collect();
            if here.is_empty() {
                // The clock shows an open time, but shows it twice today.
                here.extend(self.sets(day).map(|(preset, _)| preset.map_or(Closed::Hours, Closed::Preset)));
            }
            reasons.extend(here.into_iter().map(|closed| (Some(zone.clone()), closed)));
        }
        reasons
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

#[cfg(test)]
mod day_tests;
#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wall_clock_tests;
