//! What can go wrong with the private server, and what the operator can do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the private PostgreSQL did not start or stop. Each message names the remedy where there is one.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No server binaries of version 14 or newer, neither in the usual places nor on `PATH`.
    #[error(
        "no PostgreSQL server 14 or newer found (newest: {}): install PostgreSQL 14 or newer, on \
         Debian/Ubuntu `sudo apt-get install postgresql`",
        newest_found.as_deref().unwrap_or("none")
    )]
    NotInstalled {
        /// The newest version found, if any.
        newest_found: Option<String>,
    },

    /// The cluster was made by a major version whose binaries are not installed.
    #[error(
        "the data in {} is of PostgreSQL {major}, which is not installed: install it (on Debian/Ubuntu \
         `sudo apt-get install postgresql-{major}`) or move the data with pg_upgrade", dir.display()
    )]
    VersionMissing {
        /// The directory given.
        dir: PathBuf,
        /// The major version that wrote the data.
        major: u32,
    },

    /// The caller is root, which PostgreSQL refuses, and there is no user `postgres` to run it as.
    #[error(
        "PostgreSQL does not run as root and there is no user `postgres`: create it \
         (`sudo useradd --system postgres`) or start dialplane as a normal user"
    )]
    NoServerUser,

    /// The user that runs the server may not enter a directory on the way to the data.
    #[error(
        "PostgreSQL does not run as root but as `{user}`, which may not enter {}: choose a directory \
         outside it, such as /var/lib/dialplane, or run `chmod a+x {}`",
        barrier.display(), barrier.display()
    )]
    NotTraversable {
        /// The directory that bars the way.
        barrier: PathBuf,
        /// The user that runs the server.
        user: String,
    },

    /// The directory holds something that is not a private cluster.
    #[error("{} holds other files than a private cluster: choose a new or empty directory", path.display())]
    ForeignData {
        /// What stands in the way.
        path: PathBuf,
    },

    /// Another live process owns the directory.
    #[error(
        "{} is in use by {}: stop it first, or choose another directory",
        dir.display(), pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    AlreadyRunning {
        /// The directory given.
        dir: PathBuf,
        /// The owner: a dialplane, or a postmaster that nobody watches.
        pid: Option<u32>,
    },

    /// `initdb` or `psql` failed.
    #[error("{program} failed:\n{output}")]
    CommandFailed {
        /// The program's name.
        program: String,
        /// The last lines it wrote.
        output: String,
    },

    /// The server ended or did not get ready in time.
    #[error("PostgreSQL did not start: {reason}; the end of {}:\n{log}", log_path.display())]
    StartFailed {
        /// What was seen.
        reason: String,
        /// The whole log.
        log_path: PathBuf,
        /// The last lines of the log that this start wrote.
        log: String,
    },

    /// The server did not end its sessions in time and was ended at once; the next start recovers.
    #[error("PostgreSQL did not stop within {seconds} s and was ended at once; the next start recovers its data")]
    StopTimedOut {
        /// How long it was given.
        seconds: u64,
    },

    /// A file or process operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl EmbeddedError {
    /// For `map_err`: tells what was tried on which path.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}

/// The last 20 lines of `text`.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
