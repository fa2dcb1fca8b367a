//! A private PostgreSQL in a directory: created on first use, durable, gone when this process is gone.
//!
//! Owns DIR: `data/` (the cluster), `socket/` (0700, the only way in), `postgres.log`, `dialplane.lock`.
//! Uses the server binaries that are installed. Does not own the schema or the pool.
//!
//! Three promises, and who keeps each:
//! - one owner per DIR: a `flock` on `dialplane.lock`, released by the kernel with this process;
//! - no orphan: the server is a child of `watchdog.sh`, which stops it when its pipe from us reaches EOF;
//! - no half-made cluster: `initdb` works beside `data/`, which then appears by one rename.

// Starts and stops outside the runtime, on the calling thread: waiting blocks, and no test pauses it.
#![allow(clippy::disallowed_methods)]

mod account;
mod cluster;
mod error;
mod installation;
mod lock;
mod server;
mod socket_dir;

use std::path::{Path, PathBuf};

use account::Account;
use cluster::Cluster;
pub use error::EmbeddedError;
use installation::Installation;
use nix::fcntl::Flock;
use server::Server;
use socket_dir::SocketDir;

/// The superuser of the private cluster and the name of the database made in it.
const NAME: &str = "dialplane";

/// How the private server runs.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// `true` (the default): a commit survives a power cut. `false` turns `fsync`, `synchronous_commit` and
    /// `full_page_writes` off: for tests only, data may be lost when the machine stops.
    pub durable: bool,
    /// Server settings (`name`, `value`), stronger than the defaults and than `ALTER SYSTEM`; they cannot
    /// move the socket, open a TCP port or undo `durable`.
    pub settings: Vec<(String, String)>,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self { durable: true, settings: Vec::new() }
    }
}

/// A running private PostgreSQL. Dropping it stops the server as [`EmbeddedPostgres::stop`] does.
///
/// It may be started, moved to, and dropped on any thread. Should this process end in any way, `kill -9`
/// included, the server stops by itself within seconds.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    // Order matters: fields drop from the top, and the lock must outlive the server.
    server: Server,
    socket_dir: SocketDir,
    installation: Installation,
    log_path: PathBuf,
    _lock: Flock<std::fs::File>,
}

impl EmbeddedPostgres {
    /// Starts the durable private server of `dir` with the default settings; see [`Self::start_with`].
    ///
    /// # Errors
    /// As [`Self::start_with`].
    pub fn start(dir: &Path) -> Result<Self, EmbeddedError> {
        Self::start_with(dir, &EmbeddedOptions::default())
    }

    /// Starts the private server of `dir`, creating its cluster and the database `dialplane` if they are
    /// missing. Blocks: about a second the first time, longer after a crash (recovery, at most 300 s); in
    /// async code call it through `spawn_blocking`.
    ///
    /// `dir` is created if missing. A new or empty one becomes 0700 and belongs to the server's user: the
    /// caller, or `postgres` if the caller is root. One with files in it keeps its owner and mode.
    ///
    /// # Errors
    /// [`EmbeddedError`] says what is missing and what to do; a failed start carries the log's last lines.
    pub fn start_with(dir: &Path, options: &EmbeddedOptions) -> Result<Self, EmbeddedError> {
        let account = Account::for_dir(dir)?;
        let dir = account.prepare(dir)?;
        let lock = lock::acquire(&dir)?;
        let cluster = Cluster::new(&dir, &account);
        cluster.wait_until_free()?;
        let installation = Installation::find(&dir, cluster.major()?)?;
        cluster.create_if_missing(&installation, options.durable)?;
        cluster.write_defaults()?;
        let (server, socket_dir) = cluster.serve(&installation, options)?;
        cluster.create_database(&installation, &socket_dir, NAME)?;
        Ok(Self { server, socket_dir, installation, log_path: dir.join(cluster::LOG_NAME), _lock: lock })
    }

    /// Stops the server (fast shutdown: sessions end, a checkpoint is written) and waits for it. Blocks.
    ///
    /// # Errors
    /// [`EmbeddedError::StopTimedOut`] if it took longer than 30 s and was ended at once; nothing committed
    /// is lost, the next start recovers.
    pub fn stop(mut self) -> Result<(), EmbeddedError> {
        self.server.stop()
    }

    /// The connection string of `dbname` for tokio-postgres and libpq, in key=value form.
    pub fn connection_string(&self, dbname: &str) -> String {
        let dbname = dbname.replace('\\', r"\\").replace('\'', r"\'");
        format!("host={} port={} user={NAME} dbname='{dbname}'", self.socket_dir.as_str(), socket_dir::PORT)
    }

    /// The directory with `postgres`, `psql`, `pg_dump` and so on of the running version.
    pub fn bin_dir(&self) -> &Path {
        &self.installation.bin_dir
    }

    /// The version of the server binaries, such as `15.14`.
    pub fn version(&self) -> &str {
        &self.installation.version
    }

    /// The process id of the postmaster.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Where the server logs.
    pub fn log_path(&self) -> &Path {
        &self.log_path
    }

    /// Whether the server still runs. It is not started again if it ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.server.is_running()
    }
}
