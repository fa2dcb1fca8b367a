//! Which PostgreSQL is installed, and which of several to use.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::error::EmbeddedError;

/// The oldest major version that dialplane supports.
const MAJOR_MIN: u32 = 14;

/// One set of server binaries.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) bin_dir: PathBuf,
    /// As the binary tells it, such as `15.14`.
    pub(super) version: String,
    major: u32,
    minor: u32,
}

impl Installation {
    /// The newest installation, or the newest of `major` if a cluster of that version exists: a server opens
    /// no other version's data.
    pub(super) fn find(dir: &Path, major: Option<u32>) -> Result<Self, EmbeddedError> {
        let mut found: Vec<Self> = candidates().into_iter().filter_map(probe).collect();
        found.sort_by_key(|installation| (installation.major, installation.minor));
        if let Some(major) = major {
            found.retain(|installation| installation.major == major);
            return found.pop().ok_or_else(|| EmbeddedError::VersionMissing { dir: dir.to_owned(), major });
        }
        match found.pop() {
            Some(newest) if newest.major >= MAJOR_MIN => Ok(newest),
            older => Err(EmbeddedError::NotInstalled { newest_found: older.map(|older| older.version) }),
        }
    }
}

/// Where server binaries are by custom: Debian and PGDG keep them off `PATH`.
fn candidates() -> Vec<PathBuf> {
    let entries = |dir: &str| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let pgdg = entries("/usr").filter(|path| path.to_string_lossy().starts_with("/usr/pgsql-"));
    let mut dirs: Vec<PathBuf> = entries("/usr/lib/postgresql").chain(pgdg).map(|dir| dir.join("bin")).collect();
    dirs.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    dirs
}

fn probe(bin_dir: PathBuf) -> Option<Installation> {
    if !["initdb", "postgres", "psql"].iter().all(|name| bin_dir.join(name).is_file()) {
        return None;
    }
    let output = Command::new(bin_dir.join("postgres")).arg("--version").output().ok()?;
    let (version, major, minor) = parse_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Installation { bin_dir, version, major, minor })
}

/// Reads `postgres (PostgreSQL) 15.14 (Debian ...)`; `18beta1` counts as 18.0.
fn parse_version(text: &str) -> Option<(String, u32, u32)> {
    let version = text.split_whitespace().nth(2)?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|digits| digits.parse().ok());
    let major = numbers.next()??;
    let minor = if version.contains('.') { numbers.next()?? } else { 0 };
    Some((version.to_owned(), major, minor))
}

#[cfg(test)]
mod tests {
    use super::parse_version;

    #[test]
    fn versions_are_read_from_releases_and_betas() {
        let debian = "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some(("15.14".to_owned(), 15, 14)));
        assert_eq!(parse_version("postgres (PostgreSQL) 19beta1"), Some(("19beta1".to_owned(), 19, 0)));
        assert_eq!(parse_version("zsh: not found"), None);
    }
}
