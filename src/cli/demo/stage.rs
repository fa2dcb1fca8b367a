//! The processes and files of a demo, and their end.

use std::{
    env, fs,
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};
use tonic::transport::Endpoint;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use uuid::Uuid;

use super::Error;

/// initdb on a slow disk takes its time.
const ENGINE_START_WITHIN: Duration = Duration::from_secs(60);
const ENGINE_STOP_WITHIN: Duration = Duration::from_secs(15);
const DIALER_STOP_WITHIN: Duration = Duration::from_secs(10);

/// One child, with the file that takes what it prints.
struct Player {
    name: String,
    child: Child,
    output: PathBuf,
}

/// The directory of a demo and all processes that it started.
pub struct Stage {
    dir: PathBuf,
    temporary: bool,
    server: String,
    engine: Option<Player>,
    dialers: Vec<Player>,
}

impl Stage {
    /// Makes the directory.
    pub fn build(dir: Option<&Path>) -> Result<Self, Error> {
        let (path, temporary) = match dir {
            Some(dir) => (dir.to_owned(), false),
            None => (env::temp_dir().join(format!("dialplane-demo-{}", Uuid::new_v4().simple())), true),
        };
        let made = fs::create_dir_all(&path).and_then(|()| path.canonicalize());
        let dir = made.map_err(Error::io(path.display().to_string()))?;
        Ok(Self { dir, temporary, server: String::new(), engine: None, dialers: Vec::new() })
    }

    /// Where things of this run go.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether all of it goes at the end.
    pub fn is_temporary(&self) -> bool {
        self.temporary
    }

    /// The engine's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Starts the engine on a free port and waits until it says that it serves.
    pub async fn start_engine(&mut self) -> Result<(), Error> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(Error::io("a free port"))?;
        let address = listener.local_addr().map_err(Error::io("a free port"))?;
        // Nobody else is given the port in the moment between: the system hands out ports in turn.
        drop(listener);
        self.server = format!("http://{address}");
        let mut command = ours()?;
        command.args(["serve", "--stop-with-stdin", "--listen", &address.to_string(), "--embedded"]);
        command.arg(self.path("postgres"));
        self.engine = Some(spawn("engine", command, self.path("engine.log"))?);
        let deadline = Instant::now() + ENGINE_START_WITHIN;
        while !self.serves().await {
            self.check()?;
            if Instant::now() > deadline {
                return Err(Error::Failed(format!("the engine does not serve after {ENGINE_START_WITHIN:?}")));
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    async fn serves(&self) -> bool {
        let Ok(endpoint) = Endpoint::from_shared(self.server.clone()) else {
            return false;
        };
        let Ok(channel) = endpoint.connect_timeout(Duration::from_secs(2)).connect().await else {
            return false;
        };
        let answer = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
        answer.is_ok_and(|answer| answer.into_inner().status() == ServingStatus::Serving)
    }

    /// Starts a dialer with these arguments; its log is the answer.
    pub fn start_dialer(&mut self, campaign: &str, slots: i32, seed: u64) -> Result<PathBuf, Error> {
        let name = format!("demo-{}", self.dialers.len() + 1);
        // By campaign: with --dir the logs of earlier demos stay.
        let log = self.path(&format!("{campaign}-{name}.jsonl"));
        let mut command = ours()?;
        command.args(["demo-dialer", "--server", &self.server, "--campaign", campaign, "--name", &name]);
        command.args(["--slots", &slots.to_string(), "--seed", &seed.to_string(), "--log"]).arg(&log);
        let output = self.path(&format!("{name}.log"));
        self.dialers.push(spawn(&name, command, output)?);
        Ok(log)
    }

    /// A child that has ended before it was asked to spoils the demo.
    pub fn check(&mut self) -> Result<(), Error> {
        for player in self.engine.iter_mut().chain(&mut self.dialers) {
            if let Ok(Some(status)) = player.child.try_wait() {
                return Err(Error::Failed(format!("{} ended early: {status}", player.name)));
            }
        }
        Ok(())
    }

    /// Asks the dialers to drain and waits for them; they end what they hold.
    pub async fn stop_dialers(&mut self) -> Result<(), Error> {
        let mut spoilt = None;
        for player in &mut self.dialers {
            // Their sign to drain, for all at once.
            drop(player.child.stdin.take());
        }
        for mut player in self.dialers.drain(..) {
            match timeout(DIALER_STOP_WITHIN, player.child.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                Ok(_) => spoilt = Some(format!("{} failed: {}", player.name, tail(&player.output))),
                Err(_) => {
                    let _ = player.child.kill().await;
                    spoilt = Some(format!("{} did not drain within {DIALER_STOP_WITHIN:?}", player.name));
                }
            }
        }
        spoilt.map_or(Ok(()), |what| Err(Error::Failed(what)))
    }

    /// The last lines of what the children printed, to standard error: the files may be gone in a moment.
    pub fn show_logs(&self) {
        for player in self.engine.iter().chain(&self.dialers) {
            let lines = tail(&player.output);
            if !lines.is_empty() {
                eprintln!("--- {} ({})\n{lines}", player.name, player.output.display());
            }
        }
    }

    /// Stops everything and removes what is temporary.
    pub async fn strike(mut self) {
        let _ = self.stop_dialers().await;
        if let Some(mut engine) = self.engine.take() {
            terminate(&engine.child);
            if timeout(ENGINE_STOP_WITHIN, engine.child.wait()).await.is_err() {
                let _ = engine.child.kill().await;
            }
        }
    }
}

/// Also after a panic; the children are killed when dropped.
impl Drop for Stage {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// This program, without settings from our environment: the demo's engine must not meet a real database.
fn ours() -> Result<Command, Error> {
    let mut command = Command::new(env::current_exe().map_err(Error::io("this program's own path"))?);
    for (name, _) in env::vars_os() {
        if name == "DATABASE_URL" || name.to_string_lossy().starts_with("DIALPLANE_") {
            command.env_remove(name);
        }
    }
    Ok(command)
}

/// In a process group of its own, so that Ctrl-C reaches us alone and we stop the children in order; our end of its
/// standard input tells it when we are gone.
fn spawn(name: &str, mut command: Command, output: PathBuf) -> Result<Player, Error> {
    let file = File::create(&output).and_then(|file| Ok((file.try_clone()?, file)));
    let (out, err) = file.map_err(Error::io(output.display().to_string()))?;
    command.stdin(Stdio::piped()).stdout(out).stderr(err).process_group(0).kill_on_drop(true);
    let child = command.spawn().map_err(Error::io(format!("cannot start {name}")))?;
    Ok(Player { name: name.to_owned(), child, output })
}

fn terminate(child: &Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
