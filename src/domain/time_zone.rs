//! Owns zone rules: names, and the way between instants and local wall time. The only module that
//! uses jiff. Does not own which zone a lead is in, nor what may be done at an hour.

use std::fmt;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime, Offset as _, TimeDelta, Timelike, Utc};
use jiff::tz::{AmbiguousOffset, Offset};
use thiserror::Error;

mod database;

pub use database::database_version;

/// Longest accepted zone name, in bytes; the longest in the database has 32.
pub const NAME_BYTES_MAX: usize = 64;

/// A place's rules for its clocks, known by its IANA name. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct TimeZone(jiff::tz::TimeZone);

/// Why a text names no zone. Does not repeat the text: a column mix-up can put a phone number
/// there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TimeZoneError {
    /// No text.
    #[error("the time zone is empty")]
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    #[error("the time zone is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    /// An offset, a POSIX rule, or a name that the database in use does not have.
    #[error("the time zone is not an IANA name such as America/New_York")]
    Unknown,
}

/// When a wall clock shows a certain time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WallTime {
    /// At one instant: all year but at the changes of the clock.
    Once(DateTime<Utc>),
    /// Twice, because the clock was set back over it. `first < second`.
    Twice {
        /// Before the clock was set back.
        first: DateTime<Utc>,
        /// After it.
        second: DateTime<Utc>,
    },
    /// Never, because the clock was set forward over it. `jump <= shifted`.
    Skipped {
        /// The instant at which the clock jumped over it.
        jump: DateTime<Utc>,
        /// The instant at which a clock that was not set forward shows it: later than the jump by
        /// as much as the time lies inside the gap.
        shifted: DateTime<Utc>,
    },
}

impl TimeZone {
    /// The zone of an IANA name, aliases such as `Asia/Calcutta` included; letter case is
    /// corrected.
    ///
    /// # Errors
    /// [`TimeZoneError`] for everything else: offsets (`+05:30`), POSIX rules (`EST5EDT4`),
    /// `local`, and the database's own entries that are no place (`Factory`, `posixrules`,
    /// `right/UTC`).
    pub fn parse(name: &str) -> Result<Self, TimeZoneError> {
        // Not places: an unset clock, this machine, files that are no zones, and seconds counted
        // with leaps.
        const NOT_PLACES: [&str; 4] = ["factory", "localtime", "posixrules", "etc/unknown"];
        if name.is_empty() {
            return Err(TimeZoneError::Empty);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(TimeZoneError::TooLong);
        }
        let lower = name.to_ascii_lowercase();
        if NOT_PLACES.contains(&lower.as_str())
            || lower.starts_with("posix/")
            || lower.starts_with("right/")
            || !name.starts_with(|first: char| first.is_ascii_alphabetic())
        {
            return Err(TimeZoneError::Unknown);
        }
        database::find(name).map(Self).ok_or(TimeZoneError::Unknown)
    }

    /// Its IANA name in the database's letter case.
    pub fn name(&self) -> &str {
        // Every value comes from a database lookup and so has a name.
        self.0.iana_name().unwrap_or("UTC")
    }

    /// What the wall clock shows at an instant. Instants outside the years -9999 to 9999 are read
    /// as the nearest one inside.
    pub fn local(&self, at: DateTime<Utc>) -> NaiveDateTime {
        let nearest = if at.timestamp() < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        let timestamp = jiff::Timestamp::from_second(at.timestamp());
        let (timestamp, at) = match timestamp {
            Ok(timestamp) => (timestamp, at.naive_utc()),
            Err(_) => {
                let second = DateTime::from_timestamp(nearest.as_second(), 0);
                (nearest, second.unwrap_or(at).naive_utc())
            }
        };
        at + seconds(self.0.to_offset(timestamp))
    }

    /// The instant with the offset that its wall clock has then.
    pub fn shown(&self, at: DateTime<Utc>) -> DateTime<FixedOffset> {
        let ahead = i32::try_from((self.local(at) - at.naive_utc()).num_seconds());
        let offset = ahead.ok().and_then(FixedOffset::east_opt);
        at.with_timezone(&offset.unwrap_or_else(|| Utc.fix()))
    }

    /// When the wall clock shows `wall`. Times outside the years -9998 to 9998 are taken as read in
    /// UTC.
    pub fn wall_time(&self, wall: NaiveDateTime) -> WallTime {
        let Some(civil) = civil(wall) else {
            return WallTime::Once(wall.and_utc());
        };
        let at = |offset: Offset| (wall - seconds(offset)).and_utc();
        match self.0.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => WallTime::Once(at(offset)),
            AmbiguousOffset::Fold { before, after } => WallTime::Twice { first: at(before), second: at(after) },
            AmbiguousOffset::Gap { before, after } => {
                let shifted = at(before);
                let jump = self.change_to(after, at(after)).unwrap_or(shifted);
                WallTime::Skipped { jump, shifted }
            }
        }
    }

    /// The instant that people mean by a wall time, as for a promised callback: one that occurs
    /// twice is the first, one that is skipped moves forward by the gap.
    pub fn instant(&self, wall: NaiveDateTime) -> DateTime<Utc> {
        match self.wall_time(wall) {
            WallTime::Once(at) | WallTime::Twice { first: at, .. } => at,
            WallTime::Skipped { shifted, .. } => shifted,
        }
    }

    /// The next change of the clock to `offset` after an instant.
    fn change_to(&self, offset: Offset, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = jiff::Timestamp::from_second(after.timestamp()).ok()?;
        // A change of name alone can lie between; more than a few changes within one gap do not
        // exist.
        let change = self.0.following(after).take(4).find(|change| change.offset() == offset)?;
        DateTime::from_timestamp(change.timestamp().as_second(), 0)
    }
}

fn seconds(offset: Offset) -> TimeDelta {
    TimeDelta::seconds(i64::from(offset.seconds()))
}

/// `None` outside the years -9998 to 9998, where an offset could lead out of jiff's range.
fn civil(wall: NaiveDateTime) -> Option<jiff::civil::DateTime> {
    let year = i16::try_from(wall.year()).ok().filter(|year| (-9998..=9998).contains(year))?;
    jiff::civil::DateTime::new(
        year,
        i8::try_from(wall.month()).ok()?,
        i8::try_from(wall.day()).ok()?,
        i8::try_from(wall.hour()).ok()?,
        i8::try_from(wall.minute()).ok()?,
        i8::try_from(wall.second()).ok()?,
        // A leap second's nanoseconds run past the second's end.
        i32::try_from(wall.nanosecond().min(999_999_999)).ok()?,
    )
    .ok()
}

impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::parse(name).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn wall(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    #[test]
    fn names_are_accepted_in_any_case_and_corrected() {
        for (text, name) in [
            ("America/New_York", "America/New_York"),
            ("asia/kolkata", "Asia/Kolkata"),
            ("AUSTRALIA/LORD_HOWE", "Australia/Lord_Howe"),
            ("Asia/Calcutta", "Asia/Calcutta"),
            ("America/Argentina/ComodRivadavia", "America/Argentina/ComodRivadavia"),
            ("utc", "UTC"),
            ("Etc/GMT+5", "Etc/GMT+5"),
        ] {
            assert_eq!(zone(text).name(), name);
            assert_eq!(format!("{:?}", zone(text)), name);
        }
    }

    #[test]
    fn what_is_not_an_iana_name_is_refused() {
        for text in [
            "+05:30",
            "-0500",
            "EST5EDT4,M3.2.0,M11.1.0",
            "local",
            "localtime",
            "Factory",
            "Etc/Unknown",
            "posixrules",
            "posix/UTC",
            "right/UTC",
            "tzdata.zi",
            "../UTC",
            "/usr/share/zoneinfo/UTC",
            " UTC",
            "America/",
            "12025550100",
            "Amérique/Paris",
        ] {
            assert_eq!(TimeZone::parse(text), Err(TimeZoneError::Unknown), "{text}");
        }
        assert_eq!(TimeZone::parse(""), Err(TimeZoneError::Empty));
        assert_eq!(TimeZone::parse(&"a".repeat(65)), Err(TimeZoneError::TooLong));
    }

    #[test]
    fn vancouver_keeps_its_summer_time_since_2026() {
        let winter = at("2026-12-15T20:00:00Z");
        assert_eq!(zone("America/Vancouver").local(winter), wall("2026-12-15T13:00:00"));
    }

    #[test]
    fn havana_kept_its_summer_time_in_2026() {
        let winter = at("2026-12-15T20:00:00Z");
        for name in ["America/Havana", "cuba"] {
            assert_eq!(zone(name).local(winter), wall("2026-12-15T16:00:00"));
        }
    }

    #[test]
    fn a_repeated_time_occurs_twice_and_means_the_first() {
        let zone = zone("America/New_York");
        let half_past_one = wall("2026-11-01T01:30:00");
        let first = at("2026-11-01T05:30:00Z");
        let second = at("2026-11-01T06:30:00Z");
        assert_eq!(zone.wall_time(half_past_one), WallTime::Twice { first, second });
        assert_eq!(zone.instant(half_past_one), first);
    }

    #[test]
    fn a_skipped_time_moves_forward_by_the_gap_and_knows_the_jump() {
        let zone = zone("Australia/Lord_Howe");
        let skipped = wall("2026-10-04T02:10:00");
        let jump = at("2026-10-03T15:30:00Z");
        let shifted = at("2026-10-03T15:40:00Z");
        assert_eq!(zone.wall_time(skipped), WallTime::Skipped { jump, shifted });
        assert_eq!(zone.local(zone.instant(skipped)), wall("2026-10-04T02:40:00"));
    }

    #[test]
    fn a_skipped_day_has_its_jump_too() {
        let skipped = zone("Pacific/Apia").wall_time(wall("2011-12-30T12:00:00"));
        let jump = at("2011-12-30T10:00:00Z");
        assert_eq!(skipped, WallTime::Skipped { jump, shifted: at("2011-12-30T22:00:00Z") });
    }

    #[test]
    fn the_ends_of_time_do_not_panic() {
        let zone = zone("Pacific/Auckland");
        for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            zone.wall_time(zone.local(at));
            zone.wall_time(at.naive_utc());
        }
    }

    proptest! {
        #[test]
        fn a_wall_time_leads_back_to_its_instant(
            second in 0_i64..4_000_000_000, index in 0_usize..8,
        ) {
            let zone = zone([
                "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu",
                "America/New_York", "Africa/Casablanca", "America/Sao_Paulo", "Antarctica/Troll",
            ][index]);
            let instant = DateTime::from_timestamp(second, 0).unwrap();
            match zone.wall_time(zone.local(instant)) {
                WallTime::Once(at) => prop_assert_eq!(at, instant),
                WallTime::Twice { first, second } => {
                    prop_assert!(first < second && (first == instant || second == instant));
                }
                WallTime::Skipped { .. } => prop_assert!(false, "a shown time cannot be skipped"),
            }
        }

        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = TimeZone::parse(&text);
        }
    }
}
