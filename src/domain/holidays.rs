//! Owns the public holidays of countries (`data/holidays.txt`) and how far they are known. Does not own what a holiday
//! closes: that is `calling_calendar`.

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

use chrono::{Datelike, NaiveDate};

/// The first year of the data.
const FIRST_YEAR: i32 = 2026;

/// A country's public holidays, national ones only, with the days on which they are observed.
#[derive(Debug, PartialEq)]
pub struct CountryHolidays {
    /// ISO 3166, as `US`.
    pub country: &'static str,
    last_year: i32,
    days: BTreeMap<NaiveDate, &'static str>,
}

/// What is known of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    /// No holiday.
    Working,
    /// A holiday, by its name.
    Holiday(&'static str),
    /// The data do not reach so far.
    Unknown,
}

impl CountryHolidays {
    /// Those of a country (ISO 3166, two letters in capitals); `None`: not known.
    pub fn of(country: &str) -> Option<&'static CountryHolidays> {
        COUNTRIES.get(country)
    }

    /// What is known of a local day of the country's calendar.
    pub fn on(&self, day: NaiveDate) -> Day {
        match self.days.get(&day) {
            Some(name) => Day::Holiday(name),
            None if (FIRST_YEAR..=self.last_year).contains(&day.year()) => Day::Working,
            None => Day::Unknown,
        }
    }

    /// The last year that is known.
    pub fn last_year(&self) -> i32 {
        self.last_year
    }
}

static COUNTRIES: LazyLock<HashMap<&'static str, CountryHolidays>> =
    LazyLock::new(|| read(include_str!("../../data/holidays.txt")).unwrap_or_default());

/// `None` when a line cannot be read, which a test would notice: then no country is known.
fn read(text: &'static str) -> Option<HashMap<&'static str, CountryHolidays>> {
    let mut countries = HashMap::new();
    let mut open: Option<CountryHolidays> = None;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("= ") {
            let (country, last_year) = head.split_once(' ')?;
            let next = CountryHolidays { country, last_year: last_year.parse().ok()?, days: BTreeMap::new() };
            countries.extend(open.replace(next).map(|done| (done.country, done)));
            continue;
        }
        let country = open.as_mut()?;
        let (name, days) = line.split_once('|')?;
        for day in days.split(' ') {
            if day.len() == "MM-DD".len() {
                for year in FIRST_YEAR..=country.last_year {
                    country.days.insert(format!("{year}-{day}").parse().ok()?, name);
                }
            } else {
                country.days.insert(day.parse().ok()?, name);
            }
        }
    }
    countries.extend(open.map(|done| (done.country, done)));
    Some(countries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(country: &str, day: &str) -> Day {
        CountryHolidays::of(country).unwrap().on(day.parse().unwrap())
    }

    #[test]
    fn the_holidays_of_many_countries_are_known_by_name() {
        assert!(COUNTRIES.len() > 200);
        assert_eq!(on("US", "2026-11-26"), Day::Holiday("Thanksgiving Day"));
        assert_eq!(on("US", "2026-11-27"), Day::Working);
        assert_eq!(on("IN", "2027-01-26"), Day::Holiday("Republic Day"));
        assert_eq!(on("GB", "2026-12-25"), Day::Holiday("Christmas Day"));
        for country in ["XX", "us", "", "USA"] {
            assert_eq!(CountryHolidays::of(country), None, "{country}");
        }
    }

    #[test]
    fn a_day_beyond_the_data_is_unknown_rather_than_working() {
        let known = CountryHolidays::of("US").unwrap().last_year();
        assert!(known >= 2032);
        assert_eq!(on("US", &format!("{known}-12-30")), Day::Working);
        assert_eq!(on("US", &format!("{}-06-01", known + 1)), Day::Unknown);
        assert_eq!(on("US", "2025-06-02"), Day::Unknown);
    }
}
