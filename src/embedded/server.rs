//! The running server and its watchdog.
//!
//! Parent death: the watchdog, a shell in its own process group, is the server's parent and reads a pipe
//! whose only writer is this process. The kernel closes that end whatever ends us; EOF makes the watchdog
//! stop the server. Unlike PR_SET_PDEATHSIG from us this binds no thread, has no gap before the signal is
//! armed, needs no right to signal another user, and can escalate. The server takes that signal from the
//! watchdog, which has one thread and the same user: a second line, should the watchdog be killed itself.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::account::Account;
use super::error::EmbeddedError;
use super::socket_dir::SocketDir;

/// How long a fast shutdown may take when we ask for it.
const STOP_SECONDS: u64 = 30;
/// How long it may take when we are gone: the next start waits for it.
const ORPHAN_SECONDS: u64 = 4;
/// After an immediate shutdown the postmaster kills what lingers within 5 s.
const IMMEDIATE_SECONDS: u64 = 10;

const POLL: Duration = Duration::from_millis(10);

/// A server under its watchdog; stopped when dropped.
#[derive(Debug)]
pub(super) struct Server {
    watchdog: Child,
    pid: u32,
    is_stopped: bool,
}

impl Server {
    /// Starts `command` (of the account's making) under a watchdog that logs to `log`.
    pub(super) fn launch(account: &Account, command: &Command, socket_dir: &SocketDir, log: File) -> io::Result<Self> {
        let mut shell = account.command(Path::new("/bin/sh"));
        // Through the environment, so that `ps` shows a line and not the script.
        shell.env("DIALPLANE_WATCHDOG", include_str!("watchdog.sh"));
        shell.args(["-c", "eval \"$DIALPLANE_WATCHDOG\"", "dialplane-watchdog"]);
        shell.arg(socket_dir.scratch());
        shell.args([STOP_SECONDS.to_string(), ORPHAN_SECONDS.to_string()]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        // Its own process group: Ctrl-C at a terminal is for us, who drain before the database goes.
        shell.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut watchdog = shell.spawn()?;
        let mut line = String::new();
        if let Some(stdout) = watchdog.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let pid = line.trim().parse().map_err(|_| io::Error::other("the watchdog told no process id"))?;
        Ok(Self { watchdog, pid, is_stopped: false })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// The second look is for a watchdog that was killed from outside.
    pub(super) fn is_running(&mut self) -> bool {
        matches!(self.watchdog.try_wait(), Ok(None)) || is_server_process(self.pid)
    }

    /// Waits until the server of `data` accepts connections.
    ///
    /// # Errors
    /// The reason, if the server ended or `timeout` passed.
    pub(super) fn wait_until_ready(&mut self, data: &Path, timeout: Duration) -> Result<(), String> {
        let deadline = Instant::now() + timeout;
        while !is_ready(data, self.pid) {
            if let Ok(Some(status)) = self.watchdog.try_wait() {
                return Err(format!("the server ended with {status}"));
            }
            if Instant::now() >= deadline {
                return Err(format!("not ready after {} s", timeout.as_secs()));
            }
            sleep(POLL);
        }
        Ok(())
    }

    /// Fast shutdown; does nothing the second time.
    pub(super) fn stop(&mut self) -> Result<(), EmbeddedError> {
        if std::mem::replace(&mut self.is_stopped, true) {
            return Ok(());
        }
        let asked_at = Instant::now();
        if let Some(mut pipe) = self.watchdog.stdin.take() {
            // A watchdog that is gone reads nothing, and closing the pipe is a request as well.
            let _ = pipe.write_all(b"stop\n");
        }
        let patience = Duration::from_secs(STOP_SECONDS);
        while self.is_running() && asked_at.elapsed() < patience + Duration::from_secs(IMMEDIATE_SECONDS) {
            sleep(POLL);
        }
        if asked_at.elapsed() < patience { Ok(()) } else { Err(EmbeddedError::StopTimedOut { seconds: STOP_SECONDS }) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is left to tell; the data is safe either way.
        let _ = self.stop();
    }
}

/// The process named in the cluster's `postmaster.pid`, if that file exists. The process may be long gone,
/// and its number another's.
pub(super) fn recorded_pid(data: &Path) -> Option<u32> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    // Negative: a single-user server.
    text.lines().next()?.trim().parse().ok().map(i32::unsigned_abs)
}

/// Whether `pid` is a live PostgreSQL process, not a zombie and not a stranger with a reused number.
pub(super) fn is_server_process(pid: u32) -> bool {
    if !Path::new("/proc/self/stat").exists() {
        return i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None).is_ok());
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = ["(postgres) ", "(postmaster) "].iter().find_map(|name| stat.split_once(name));
    state.is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// As `pg_ctl -w` does: the server writes its state into the eighth line of its own `postmaster.pid`.
fn is_ready(data: &Path, pid: u32) -> bool {
    let text = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready")
}
