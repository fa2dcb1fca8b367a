//! Engines as processes of their own, on fixed ports: killed, stopped, armed with a failpoint, and started again whenever
//! they are gone.

use std::{
    fs::OpenOptions,
    net::TcpListener,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::time::sleep;

use crate::{faults::death, pen::Pen};

/// `abort`, which is how a failpoint kills.
const ABORTED: i32 = 6;
/// A replica drains for 10 s.
const STOP_WITHIN: Duration = Duration::from_secs(15);

#[derive(Default)]
struct State {
    child: Option<Child>,
    /// The end was asked for.
    ending: bool,
    /// `FAILPOINTS` of the next start, and of this one.
    next: Option<String>,
    armed: Option<String>,
}

/// One engine. Its process is killed when it is dropped.
pub struct Engine {
    pub name: String,
    pub port: u16,
    database_url: String,
    log: PathBuf,
    state: Mutex<State>,
}

/// A port that nobody listens on. The system hands out ports in turn, so it stays so for a while.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Engine {
    pub fn new(name: &str, database_url: String, log: PathBuf) -> Engine {
        Engine { name: name.into(), port: free_port(), database_url, log, state: Mutex::default() }
    }

    fn spawn(&self, state: &mut State) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_dialplane"));
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{}", self.port), "--database-url", &self.database_url])
            // It ends with us, however we end.
            .arg("--stop-with-stdin")
            .env_remove("DATABASE_URL")
            .env_remove("FAILPOINTS")
            .env("RUST_LOG", "info,tower_http=warn")
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        state.armed = state.next.take();
        if let Some(armed) = &state.armed {
            command.env("FAILPOINTS", armed);
        }
        state.child = Some(command.spawn().unwrap());
        state.ending = false;
    }

    /// Sends a signal, if there is a process.
    pub fn signal(&self, signal: Signal) {
        let state = self.state.lock().unwrap();
        if let Some(child) = &state.child {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
        }
    }

    /// kill -9. The keeper starts it again, with these failpoints.
    pub fn kill(&self, failpoints: Option<String>) {
        let mut state = self.state.lock().unwrap();
        state.ending = true;
        state.next = failpoints;
        if let Some(child) = &mut state.child {
            let _ = child.kill();
        }
    }

    /// SIGTERM, and its end. The keeper starts it again.
    pub async fn stop(&self) {
        self.state.lock().unwrap().ending = true;
        self.signal(Signal::SIGTERM);
        let asked = Instant::now();
        while self.state.lock().unwrap().ending {
            if asked.elapsed() > STOP_WITHIN {
                self.kill(None);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Whether it died at a failpoint since it was armed, or is not armed.
    pub fn is_disarmed(&self) -> bool {
        let state = self.state.lock().unwrap();
        state.next.is_none() && state.armed.is_none()
    }

    /// Its end, if there was one since the last look; starts it again.
    fn look(&self, pen: &Pen) {
        let mut state = self.state.lock().unwrap();
        let ended = match &mut state.child {
            Some(child) => child.try_wait().unwrap(),
            None => {
                self.spawn(&mut state);
                return;
            }
        };
        let Some(status) = ended else { return };
        self.note(&state, status, pen);
        if status.code() == Some(1) && !state.ending && state.next.is_none() {
            // It never came to life: the failpoint is for the next one.
            state.next = state.armed.take();
        }
        self.spawn(&mut state);
    }

    fn note(&self, state: &State, status: ExitStatus, pen: &Pen) {
        match &state.armed {
            Some(armed) if status.signal() == Some(ABORTED) => {
                let point = armed.split('=').next().unwrap_or_default();
                pen.fault(&death(point), &self.name);
            }
            _ if state.ending => {}
            _ if status.code() == Some(1) => pen.odd("an engine could not start: no database"),
            _ => pen.odd(&format!("{} ended by itself: {status}", self.name)),
        }
    }

    /// Keeps it running until it is aborted.
    pub async fn keep(self: Arc<Self>, pen: Arc<Pen>) {
        loop {
            self.look(&pen);
            sleep(Duration::from_millis(150)).await;
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(child) = &mut state.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
