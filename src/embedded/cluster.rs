//! The cluster in `data/`: made once, configured and served on each start.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::account::Account;
use super::error::{EmbeddedError, last_lines};
use super::installation::Installation;
use super::server::{Server, is_server_process, recorded_pid};
use super::socket_dir::{PORT, SocketDir, random};
use super::{EmbeddedOptions, NAME};

/// The server's log in DIR.
pub(super) const LOG_NAME: &str = "postgres.log";
/// A longer log is set aside on start, as `postgres.log.1`.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// Recovery replays at most about `max_wal_size`.
const START_TIMEOUT: Duration = Duration::from_secs(300);
/// How long the server of an owner that crashed is given to go away.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(12);
const STAGING_PREFIX: &str = "data.new.";

/// Settings for a scheduler: many small writes, hot rows, short plans. `ALTER SYSTEM` beats them.
const DEFAULTS: &str = "\
shared_buffers = 256MB
max_wal_size = 4GB
min_wal_size = 512MB
max_connections = 200
autovacuum_naptime = 10s
random_page_cost = 1.1
jit = off
timezone = UTC
log_timezone = UTC
cluster_name = dialplane
unix_socket_permissions = 0700
";

/// The cluster of one directory. The caller holds the directory's lock.
pub(super) struct Cluster<'a> {
    dir: &'a Path,
    data: PathBuf,
    account: &'a Account,
}

impl<'a> Cluster<'a> {
    pub(super) fn new(dir: &'a Path, account: &'a Account) -> Self {
        Self { dir, data: dir.join("data"), account }
    }

    /// Waits until no server runs on the data. One may: its owner was killed and it is shutting down.
    pub(super) fn wait_until_free(&self) -> Result<(), EmbeddedError> {
        let deadline = Instant::now() + ORPHAN_TIMEOUT;
        while let Some(pid) = recorded_pid(&self.data).filter(|pid| is_server_process(*pid)) {
            if Instant::now() >= deadline {
                return Err(EmbeddedError::AlreadyRunning { dir: self.dir.to_owned(), pid: Some(pid) });
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The major version that wrote the data; `None` if there is no data yet.
    pub(super) fn major(&self) -> Result<Option<u32>, EmbeddedError> {
        let path = self.data.join("PG_VERSION");
        let foreign = || EmbeddedError::ForeignData { path: self.data.clone() };
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| foreign()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if self.data.exists() {
                    Err(foreign())
                } else {
                    Ok(None)
                }
            }
            Err(error) => Err(EmbeddedError::io("read", &path)(error)),
        }
    }

    /// Runs `initdb` beside `data` and renames: a crash leaves either no cluster or a whole one.
    pub(super) fn create_if_missing(&self, installation: &Installation, durable: bool) -> Result<(), EmbeddedError> {
        self.remove_staging();
        if self.data.exists() {
            return Ok(());
        }
        // A fresh name each time: the `initdb` of a killed owner may still be writing into its own.
        let staging = self.dir.join(format!("{STAGING_PREFIX}{:016x}", random()));
        let created = self.init(installation, &staging, durable);
        if created.is_err() {
            self.remove_staging();
        }
        created?;
        fs::rename(&staging, &self.data).map_err(EmbeddedError::io("rename", &staging))?;
        let synced = File::open(self.dir).and_then(|dir| dir.sync_all());
        synced.map_err(EmbeddedError::io("sync", self.dir))
    }

    fn init(&self, installation: &Installation, staging: &Path, durable: bool) -> Result<(), EmbeddedError> {
        DirBuilder::new().mode(0o700).create(staging).map_err(EmbeddedError::io("create", staging))?;
        self.account.own(staging)?;
        let initdb = |locale: &[&str]| {
            let mut command = self.account.command(&installation.bin_dir.join("initdb"));
            command.args(["--encoding=UTF8", "--data-checksums", "--no-instructions"]).args(locale);
            command.args(["--auth-local=trust", "--auth-host=reject"]).arg(format!("--username={NAME}"));
            command.args((!durable).then_some("--no-sync")).arg("--pgdata").arg(staging);
            self.account.run(&mut command, "")
        };
        // Byte order for speed, Unicode letters for lower(); not every libc knows C.UTF-8.
        initdb(&["--locale=C.UTF-8", "--lc-collate=C"]).or_else(|_| initdb(&["--locale=C"]))?;
        self.write_as_server(
            "cat >> \"$1\"",
            &staging.join("postgresql.conf"),
            "include_if_exists = 'dialplane.conf'\n",
        )
    }

    /// Leftovers of an `initdb` that was cut short. Best effort: they are in nobody's way.
    fn remove_staging(&self) {
        for entry in fs::read_dir(self.dir).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(STAGING_PREFIX) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Writes the default settings, in a file of their own so that `ALTER SYSTEM` still has the last word.
    pub(super) fn write_defaults(&self) -> Result<(), EmbeddedError> {
        self.write_as_server("cat > \"$1\"", &self.data.join("dialplane.conf"), DEFAULTS)
    }

    /// As the server's user, who owns `data`: root must not write through links of that user's making.
    fn write_as_server(&self, script: &str, path: &Path, text: &str) -> Result<(), EmbeddedError> {
        let mut command = self.account.command(Path::new("/bin/sh"));
        self.account.run(command.args(["-c", script, "sh"]).arg(path), text)
    }

    /// Starts the server and waits until it accepts connections.
    pub(super) fn serve(
        &self,
        installation: &Installation,
        options: &EmbeddedOptions,
    ) -> Result<(Server, SocketDir), EmbeddedError> {
        let log_path = self.dir.join(LOG_NAME);
        if fs::symlink_metadata(&log_path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            let aside = self.dir.join(format!("{LOG_NAME}.1"));
            fs::rename(&log_path, aside).map_err(EmbeddedError::io("rename", &log_path))?;
        }
        let deadline = Instant::now() + ORPHAN_TIMEOUT;
        loop {
            let mut log = super::lock::open_private(&log_path, OpenOptions::new().read(true).append(true))?;
            let start = log.seek(SeekFrom::End(0)).map_err(EmbeddedError::io("read", &log_path))?;
            let handle = log.try_clone().map_err(EmbeddedError::io("open", &log_path))?;
            let socket_dir = SocketDir::create(self.dir, self.account)?;
            let mut command = self.account.command(&installation.bin_dir.join("postgres"));
            command.arg("-D").arg(&self.data).args(arguments(&socket_dir, options));
            if let Some(stale) = recorded_pid(&self.data) {
                // A number of a past life (`wait_until_free` has looked) may be in use again, even by one
                // of our threads; the server would then refuse. This variable names a process to ignore.
                command.env("PG_GRANDPARENT_PID", stale.to_string());
            }
            let mut server = Server::launch(self.account, &command, &socket_dir, handle)
                .map_err(EmbeddedError::io("start", &installation.bin_dir))?;
            let Err(reason) = server.wait_until_ready(&self.data, START_TIMEOUT) else {
                return Ok((server, socket_dir));
            };
            let text = read_from(&mut log, start);
            // Backends outlive a killed postmaster until they next look up from their work.
            if text.contains("pre-existing shared memory block") && Instant::now() < deadline {
                sleep(Duration::from_millis(200));
                continue;
            }
            return Err(EmbeddedError::StartFailed { reason, log_path, log: last_lines(&text) });
        }
    }

    /// Creates the database `name` if it is missing.
    pub(super) fn create_database(
        &self,
        installation: &Installation,
        socket_dir: &SocketDir,
        name: &str,
    ) -> Result<(), EmbeddedError> {
        let mut command = self.account.command(&installation.bin_dir.join("psql"));
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-U", NAME, "-h", socket_dir.as_str()]);
        command.args(["-p", &PORT.to_string()]);
        let sql = format!(
            "SELECT 'CREATE DATABASE {name}' \
             WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}') \\gexec\n"
        );
        self.account.run(&mut command, &sql)
    }
}

/// The server's `-c` arguments. The last word wins, so what we rely on comes last.
fn arguments(socket_dir: &SocketDir, options: &EmbeddedOptions) -> Vec<OsString> {
    let on_off = if options.durable { "on" } else { "off" };
    let fixed = [
        ("fsync", on_off),
        ("synchronous_commit", on_off),
        ("full_page_writes", on_off),
        ("listen_addresses", ""),
        ("unix_socket_directories", socket_dir.as_str()),
        ("port", &PORT.to_string()),
        // The log is stderr, whatever postgresql.conf says.
        ("logging_collector", "off"),
        ("log_destination", "stderr"),
    ];
    let chosen = options.settings.iter().map(|(name, value)| format!("{name}={value}"));
    let fixed = fixed.map(|(name, value)| format!("{name}={value}"));
    chosen.chain(fixed).flat_map(|setting| ["-c".into(), setting.into()]).collect()
}

fn read_from(log: &mut File, start: u64) -> String {
    let mut bytes = Vec::new();
    let read = log.seek(SeekFrom::Start(start)).and_then(|_| log.read_to_end(&mut bytes));
    read.map(|_| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_else(|error| error.to_string())
}
