//! The days of a campaign's rules from the wire: dates, presets, holidays. Formatting is in `rules`.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use super::{convert, status::Violations};
use crate::domain::{
    calling_calendar::HOLIDAYS_MAX,
    holidays::CountryHolidays,
    hour_presets::{HourPreset, PRESETS_MAX},
};

/// Most countries of one campaign.
const COUNTRIES_MAX: usize = 20;

fn day(text: &str, field: &str, bad: &mut Violations) -> Option<NaiveDate> {
    // The library reads 2026-1-5 and signs, too.
    let written = text.len() == "YYYY-MM-DD".len() && text.starts_with(|first: char| first.is_ascii_digit());
    let read = text.parse().ok().filter(|_| written);
    if read.is_none() {
        bad.add(field, "must be a day, YYYY-MM-DD");
    }
    read
}

/// A day, or none.
pub fn date(text: &str, field: &str, bad: &mut Violations) -> Option<NaiveDate> {
    if text.is_empty() { None } else { day(text, field, bad) }
}

/// A list without repetition, each item read by itself.
fn list<T: PartialEq>(
    given: &[String],
    max: usize,
    field: &str,
    bad: &mut Violations,
    read: impl Fn(&str, &str, &mut Violations) -> Option<T>,
) -> Vec<T> {
    if given.len() > max {
        bad.add(field, format!("must have at most {max} items"));
    }
    let mut items = Vec::new();
    for (index, text) in given.iter().enumerate().take(max) {
        let name = format!("{field}[{index}]");
        match read(text, &name, bad) {
            Some(item) if items.contains(&item) => bad.add(name, "is repeated"),
            item => items.extend(item),
        }
    }
    items
}

/// Names of presets.
pub fn presets(given: &[String], bad: &mut Violations) -> Vec<String> {
    list(given, PRESETS_MAX, "rules.hour_presets", bad, |text, field, bad| {
        if HourPreset::find(text).is_none() {
            let known: Vec<&str> = HourPreset::all().iter().map(|preset| preset.name.as_str()).collect();
            bad.add(field, format!("`{}` is not one of {}", convert::shortened(text), known.join(", ")));
        }
        HourPreset::find(text).map(|preset| preset.name.clone())
    })
}

/// Countries whose holidays are known.
pub fn countries(given: &[String], bad: &mut Violations) -> Vec<String> {
    list(given, COUNTRIES_MAX, "rules.holiday_countries", bad, |text, field, bad| {
        let found = CountryHolidays::of(&text.to_ascii_uppercase());
        if found.is_none() {
            bad.add(field, "is no country (ISO 3166) whose holidays are known: list its days in rules.holidays");
        }
        found.map(|known| known.country.to_owned())
    })
}

/// Days of the campaign's own.
pub fn holidays(given: &[String], bad: &mut Violations) -> BTreeSet<NaiveDate> {
    list(given, HOLIDAYS_MAX, "rules.holidays", bad, day).into_iter().collect()
}
