//! Directories, queries and a process to kill, for the tests of the private PostgreSQL.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use dialplane::embedded::{EmbeddedError, EmbeddedOptions, EmbeddedPostgres};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid};

/// Set for the copy of this test binary that plays the process to be killed.
const OWNER_DIR: &str = "DIALPLANE_TEST_EMBEDDED_OWNER_DIR";

/// A directory of its own, removed at the end. Its parent is open, so that `postgres` may pass.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("dp-embedded-{}-{count}", std::process::id()));
        DirBuilder::new().mode(0o755).create(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Small and durable.
pub fn start(dir: &Path) -> Result<EmbeddedPostgres, EmbeddedError> {
    start_with(dir, true)
}

pub fn start_with(dir: &Path, durable: bool) -> Result<EmbeddedPostgres, EmbeddedError> {
    let settings = vec![("shared_buffers".to_owned(), "16MB".to_owned())];
    EmbeddedPostgres::start_with(dir, &EmbeddedOptions { durable, settings })
}

/// The first column of the first row of the last statement of `sql`.
pub fn query_on(connection_string: &str, sql: &str) -> Result<String, tokio_postgres::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(connection_string, tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        let mut value = String::new();
        for message in client.simple_query(sql).await? {
            if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                value = row.get(0).unwrap_or_default().to_owned();
            }
        }
        drop(client);
        let _ = connection.await;
        Ok(value)
    })
}

pub fn query(server: &EmbeddedPostgres, sql: &str) -> String {
    query_on(&server.connection_string("dialplane"), sql).unwrap()
}

pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

pub fn wait_for(what: &str, limit: Duration, mut is_true: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_true() {
        assert!(begun.elapsed() < limit, "not in {limit:?}: {what}");
        sleep(Duration::from_millis(5));
    }
    begun.elapsed()
}

pub fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

/// Another process that owns a server, told by its pid and connection string.
pub struct Owner {
    pub process: Child,
    pub postmaster: u32,
    pub connection_string: String,
}

impl Owner {
    pub fn start(dir: &Path) -> Self {
        // The path of `plays_the_owner_when_asked` without the crate's name.
        let module = module_path!().split_once("::").map_or(String::new(), |(_, path)| format!("{path}::"));
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", &format!("{module}plays_the_owner_when_asked")])
            .env(OWNER_DIR, dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let told =
            lines.map(Result::unwrap).find_map(|line| line.split_once("server: ").map(|(_, told)| told.to_owned()));
        let told = told.expect("the owner starts a server");
        let (pid, connection_string) = told.split_once(' ').unwrap();
        Self { process, postmaster: pid.parse().unwrap(), connection_string: connection_string.to_owned() }
    }

    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
fn plays_the_owner_when_asked() {
    let Some(dir) = std::env::var_os(OWNER_DIR) else {
        return;
    };
    // On a thread that ends: the server must live as long as the process, not the thread.
    let server = std::thread::spawn(move || start(Path::new(&dir)).unwrap()).join().unwrap();
    println!("\nserver: {} {}", server.pid(), server.connection_string("dialplane"));
    sleep(Duration::from_secs(120));
}
