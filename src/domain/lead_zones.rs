//! Owns in which time zones a lead may be: its own zone, or those that its number's prefix allows
//! (`data/number_zones.txt`). Does not own a campaign's default, nor what several zones mean for its hours.
//!
//! Traps of the data: numbers that are no place (mobile, toll-free) have prefixes like others, +61 4 is in no town; and
//! an area code that they do not have yet would be found under a shorter, wrong one. Both get the zones of the whole
//! country.

use std::{borrow::Cow, collections::HashMap, sync::LazyLock};

use crate::domain::{phone_number::PhoneNumber, time_zone::TimeZone};

/// Marks stored names that were told by the number, not by a person. No IANA name begins with it.
const BY_NUMBER: char = '~';

/// The zones in which a lead may be, at least one: it may be called when all of them are open.
#[derive(Debug, Clone, PartialEq)]
pub struct LeadZones(Vec<TimeZone>);

impl LeadZones {
    /// From the stored form; `None` when this program's zone database lacks one of them.
    pub fn parse(stored: &str) -> Option<LeadZones> {
        let names = stored.strip_prefix(BY_NUMBER).unwrap_or(stored);
        let zones: Result<Vec<_>, _> = names.split(',').map(TimeZone::parse).collect();
        zones.ok().map(LeadZones)
    }

    /// The zones of a lead of a campaign with this default; `None`: there is none, and the lead is closed.
    pub fn of(stored: Option<&str>, default: Option<&str>) -> Option<LeadZones> {
        // One that cannot be read is no reason to take another.
        stored.or(default).and_then(LeadZones::parse)
    }

    /// The zones.
    pub fn zones(&self) -> &[TimeZone] {
        &self.0
    }
}

/// The stored form of a lead's zones: its own, else those of its number; `None`: the number tells nothing.
///
/// As `Europe/Berlin`, or `~America/Chicago,America/New_York`.
pub fn stored(own: Option<&TimeZone>, number: PhoneNumber) -> Option<Cow<'static, str>> {
    match own {
        Some(zone) => Some(Cow::Owned(zone.name().to_owned())),
        None => of_number(number).map(Cow::Borrowed),
    }
}

/// The lead's own zone in a stored form.
pub fn own(stored: &str) -> Option<&str> {
    (!stored.starts_with(BY_NUMBER)).then_some(stored)
}

/// The zones in a stored form that its number told.
pub fn plausible(stored: &str) -> impl Iterator<Item = &str> {
    stored.strip_prefix(BY_NUMBER).into_iter().flat_map(|names| names.split(','))
}

/// The stored form: names of zones, sorted, with commas between them.
fn of_number(number: PhoneNumber) -> Option<&'static str> {
    let longest = |digits: u64| {
        let mut prefixes = std::iter::successors(Some(digits), |digits| Some(digits / 10).filter(|rest| *rest > 0));
        prefixes.find_map(|prefix| BY_PREFIX.get(&prefix).copied())
    };
    match number.place() {
        (_, true) => longest(number.digits().unsigned_abs()),
        (code, false) => BY_PREFIX.get(&code).copied(),
    }
}

static BY_PREFIX: LazyLock<HashMap<u64, &'static str>> = LazyLock::new(|| {
    let lines = include_str!("../../data/number_zones.txt").lines();
    let entries = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('|'));
    // Made once, for as long as the program runs: most leads of an import need one.
    entries
        .map(|(zones, prefixes)| (&*format!("{BY_NUMBER}{zones}").leak(), prefixes))
        .flat_map(|(zones, prefixes)| prefixes.split(' ').filter_map(move |text| Some((text.parse().ok()?, zones))))
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(number: &str) -> Option<&'static str> {
        of_number(PhoneNumber::parse(number, None).unwrap()).and_then(|stored| stored.strip_prefix(BY_NUMBER))
    }

    #[test]
    fn a_number_with_an_area_code_is_in_the_zones_of_its_longest_prefix() {
        for (number, names) in [
            ("+1 202 555 0100", "America/New_York"),
            ("+1 213 555 0100", "America/Los_Angeles"),
            ("+44 20 7946 0008", "Europe/London"),
            ("+44 1534 555000", "Europe/Jersey"),
            ("+39 02 3030 0100", "Europe/Rome"),
            ("+49 30 23125 123", "Europe/Berlin"),
        ] {
            assert_eq!(zones(number), Some(names), "{number}");
        }
    }

    #[test]
    fn a_number_that_is_no_place_is_anywhere_in_its_country() {
        // Indian mobiles need no more: the country has one zone.
        assert_eq!(zones("+91 98765 43210"), Some("Asia/Kolkata"));
        for (number, somewhere) in [
            ("+61 491 570 156", ["Australia/Perth", "Australia/Sydney", "Australia/Darwin"]),
            ("+1 800 555 0199", ["America/New_York", "Pacific/Honolulu", "America/St_Johns"]),
            ("+7 912 345 67 89", ["Europe/Kaliningrad", "Europe/Moscow", "Asia/Vladivostok"]),
        ] {
            let found = zones(number).unwrap();
            assert!(somewhere.iter().all(|name| found.split(',').any(|zone| zone == *name)), "{number}: {found}");
        }
    }

    #[test]
    fn an_area_code_that_is_not_assigned_is_no_place_either() {
        assert_eq!(zones("+1 555 220 1111"), zones("+1 800 555 0199"));
    }

    #[test]
    fn moroccan_numbers_are_not_on_the_canaries() {
        assert_eq!(zones("+212 522 123456"), Some("Africa/Casablanca,Africa/El_Aaiun"));
    }

    #[test]
    fn numbers_of_no_country_tell_no_zone() {
        for number in ["+800 1234 5678", "+883 5100 0000 0000", "+881 612 345 678"] {
            assert_eq!(zones(number), None, "{number}");
        }
    }

    #[test]
    fn every_zone_of_the_data_is_known_and_can_be_stored() {
        assert!(BY_PREFIX.len() > 3000);
        for stored in BY_PREFIX.values() {
            let zones = LeadZones::parse(stored).unwrap();
            let names = stored.strip_prefix(BY_NUMBER).unwrap();
            assert!(stored.len() < 2000 && names.split(',').is_sorted() && !zones.zones().is_empty(), "{names}");
        }
    }

    #[test]
    fn zones_told_by_the_number_never_show_as_the_leads_own() {
        let number = PhoneNumber::parse("+1 202 555 0100", None).unwrap();
        let told = stored(None, number).unwrap();
        assert_eq!(told, "~America/New_York");
        assert_eq!((own(&told), plausible(&told).collect::<Vec<_>>()), (None, vec!["America/New_York"]));
        let berlin = TimeZone::parse("europe/berlin").unwrap();
        let own_zone = stored(Some(&berlin), number).unwrap();
        assert_eq!((own(&own_zone), plausible(&own_zone).count()), (Some("Europe/Berlin"), 0));
        assert_eq!(LeadZones::parse(&own_zone).unwrap().zones(), [berlin]);
        assert_eq!(LeadZones::parse("~Europe/Berlin,Mars/Olympus"), None);
        assert_eq!(LeadZones::parse("~"), None);
        let of = |stored, default| LeadZones::of(stored, default).map(|zones| zones.zones()[0].name().to_owned());
        assert_eq!(of(Some(&told), Some("UTC")).as_deref(), Some("America/New_York"));
        assert_eq!(of(None, Some("UTC")).as_deref(), Some("UTC"));
        assert_eq!((of(Some("Mars/Olympus"), Some("UTC")), of(None, None)), (None, None));
    }
}
