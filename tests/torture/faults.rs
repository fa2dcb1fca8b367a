//! The faults, each a function: where it strikes and for how long comes from the seed, and it heals by itself.

use std::{sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use rand::{Rng as _, rngs::StdRng};
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use dialplane::failpoints;

use crate::{
    behaviour::Behaviour,
    dialer::SESSION_TTL,
    operators::{number, until_done},
    proxy::{Direction, Link},
    scene::{CAP, DIALERS, ENGINES, LEADS, Scene},
};

/// Permits after which the world has recovered from a fault, and how long that is waited for.
const RECOVERED: usize = 15;
const RECOVERY_MAX: Duration = Duration::from_secs(6);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An engine dies at this failpoint.
    Failpoint(&'static str),
    EngineKilled,
    EngineStopped,
    RollingRestart,
    PostgresKilled,
    PostgresRestarted,
    PostgresAway,
    BackendKilled,
    BackendsTerminated,
    OutOfConnections,
    NotifyLost,
    DatabaseLink(Trouble),
    DialerLink(Trouble),
    Dialer(Behaviour),
    EngineCapLowered,
    CampaignCapLowered,
    CampaignPaused,
    CampaignReset,
    NumbersSuppressed,
    LeasesRevoked,
    LeadsConsumed,
    LeadsPromised,
    LeadsImported,
}

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Cut,
    SilentUp,
    SilentDown,
    Slow,
}

const TROUBLES: [Trouble; 4] = [Trouble::Cut, Trouble::SilentUp, Trouble::SilentDown, Trouble::Slow];

impl Kind {
    pub fn all() -> Vec<Kind> {
        use Kind::*;
        let mut kinds = vec![
            EngineKilled,
            EngineStopped,
            RollingRestart,
            PostgresKilled,
            PostgresRestarted,
            PostgresAway,
            BackendKilled,
            BackendsTerminated,
            OutOfConnections,
            NotifyLost,
            EngineCapLowered,
            CampaignCapLowered,
            CampaignPaused,
            CampaignReset,
            NumbersSuppressed,
            LeasesRevoked,
            LeadsConsumed,
            LeadsPromised,
            LeadsImported,
        ];
        kinds.extend(failpoints::POINTS.map(Failpoint));
        kinds.extend(TROUBLES.map(DatabaseLink));
        kinds.extend(TROUBLES.map(DialerLink));
        kinds.extend(Behaviour::ALL.map(Dialer));
        kinds
    }

    pub fn name(self) -> String {
        match self {
            Kind::Failpoint(point) => format!("armed {point}"),
            Kind::DatabaseLink(trouble) => format!("database link {trouble:?}"),
            Kind::DialerLink(trouble) => format!("dialer link {trouble:?}"),
            Kind::Dialer(behaviour) => format!("dialer {behaviour:?}"),
            other => format!("{other:?}"),
        }
    }
}

/// What the faults strike. One at a time may have the database, and one an engine's life.
pub struct Stage {
    pub scene: Arc<Scene>,
    /// Faults that have not begun by then are left out.
    over: Instant,
    database: Mutex<()>,
    engines: Mutex<()>,
    /// One at a time: each ends by restoring what it changed.
    cap: Mutex<()>,
    campaign_cap: Mutex<()>,
    state: Mutex<()>,
    numbers: Mutex<usize>,
}

fn millis(rng: &mut StdRng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.random_range(range))
}

impl Stage {
    pub fn new(scene: Arc<Scene>, over: Instant) -> Stage {
        Stage {
            scene,
            over,
            database: Mutex::default(),
            engines: Mutex::default(),
            cap: Mutex::default(),
            campaign_cap: Mutex::default(),
            state: Mutex::default(),
            numbers: Mutex::new(2 * LEADS),
        }
    }

    fn fault(&self, kind: Kind, what: &str) {
        self.scene.pen.fault(&kind.name(), what);
    }

    /// Waits until calls go on: a world that is always down is not stormy.
    async fn recovered(&self) {
        let before = self.scene.pen.permits();
        let since = Instant::now();
        while self.scene.pen.permits() < before + RECOVERED && since.elapsed() < RECOVERY_MAX {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Strikes, and returns when it is healed.
    pub async fn inject(&self, kind: Kind, rng: &mut StdRng) {
        match kind {
            Kind::Failpoint(_) | Kind::EngineKilled | Kind::EngineStopped | Kind::RollingRestart => {
                self.engine(kind, rng).await;
            }
            Kind::PostgresKilled
            | Kind::PostgresRestarted
            | Kind::PostgresAway
            | Kind::BackendKilled
            | Kind::BackendsTerminated
            | Kind::OutOfConnections
            | Kind::NotifyLost => self.postgres(kind, rng).await,
            Kind::DatabaseLink(trouble) => {
                let engine = rng.random_range(0..ENGINES);
                let during = millis(rng, 300..4_500);
                self.fault(kind, &format!("engine-{engine}, {during:?}"));
                self.link(&self.scene.database_links[engine], trouble, during).await;
            }
            Kind::DialerLink(trouble) => {
                let (dialer, engine) = (rng.random_range(0..DIALERS), rng.random_range(0..ENGINES));
                let during = millis(rng, 300..4_500);
                self.fault(kind, &format!("dialer-{dialer} to engine-{engine}, {during:?}"));
                self.link(&self.scene.dialer_links[dialer][engine], trouble, during).await;
            }
            Kind::Dialer(behaviour) => {
                let during = millis(rng, 2_500..6_000);
                // Some at once: each alone is soon healed by the next lease.
                for _ in 0..rng.random_range(1..=3) {
                    let dialer = &self.scene.dialers[rng.random_range(0..DIALERS)];
                    self.fault(kind, &format!("{}, {during:?}", dialer.name));
                    dialer.behaviours.switch_on(behaviour, during);
                }
                sleep(during).await;
            }
            _ => self.operator(kind, rng).await,
        }
    }

    async fn engine(&self, kind: Kind, rng: &mut StdRng) {
        let _one = self.engines.lock().await;
        if Instant::now() > self.over {
            return;
        }
        let number = rng.random_range(0..ENGINES);
        let engine = &self.scene.engines[number];
        match kind {
            Kind::Failpoint(point) => self.arm(kind, point, number, rng).await,
            Kind::EngineKilled => {
                self.fault(kind, &engine.name);
                engine.kill(None);
            }
            Kind::EngineStopped => {
                let during = SESSION_TTL + millis(rng, 300..4_000);
                self.fault(kind, &format!("{}, {during:?}", engine.name));
                engine.signal(Signal::SIGSTOP);
                sleep(during).await;
                engine.signal(Signal::SIGCONT);
            }
            _ => {
                self.fault(kind, "one after the other");
                for engine in &self.scene.engines {
                    engine.stop().await;
                    sleep(millis(rng, 200..1_500)).await;
                }
            }
        }
        self.recovered().await;
    }

    /// Starts an engine that dies at a point, and gives it reason to pass there.
    async fn arm(&self, kind: Kind, point: &'static str, number: usize, rng: &mut StdRng) {
        let scene = &self.scene;
        let passes = match point.split('_').next() {
            Some("reset" | "import") => 0,
            Some("release" | "refill") => rng.random_range(0..3),
            _ => rng.random_range(0..8),
        };
        let campaign = scene.campaigns[rng.random_range(0..scene.campaigns.len())];
        self.fault(kind, &format!("engine-{number}, after {passes} passes"));
        // `n*off` lets n pass.
        let count = if passes == 0 { String::new() } else { format!("{passes}*off->") };
        scene.engines[number].kill(Some(format!("{point}={count}return")));
        for _ in 0..25 {
            sleep(Duration::from_millis(200)).await;
            if scene.engines[number].is_disarmed() {
                return;
            }
            if point.starts_with("reset") {
                scene.operators.reset(campaign, Some(number)).await;
            } else if point.starts_with("import") {
                let first = self.fresh_numbers(10).await;
                scene.operators.import(campaign, first..first + 10, Some(number)).await;
            }
        }
    }

    async fn fresh_numbers(&self, count: usize) -> usize {
        let mut next = self.numbers.lock().await;
        *next += count;
        *next - count
    }

    async fn postgres(&self, kind: Kind, rng: &mut StdRng) {
        let _one = self.database.lock().await;
        if Instant::now() > self.over {
            return;
        }
        let postgres = &self.scene.postgres;
        match kind {
            Kind::PostgresKilled => {
                self.fault(kind, "kill -9 of the postmaster");
                postgres.kill().await;
            }
            Kind::PostgresRestarted => {
                self.fault(kind, "fast shutdown and start");
                postgres.restart(Duration::ZERO).await;
            }
            Kind::PostgresAway => {
                let away = SESSION_TTL + millis(rng, 500..2_500);
                self.fault(kind, &format!("{away:?}"));
                postgres.restart(away).await;
            }
            Kind::BackendKilled => {
                self.fault(kind, "kill -9 of a session's process");
                let _ = postgres.kill_a_backend().await;
            }
            Kind::BackendsTerminated => {
                let ended = postgres.terminate("and random() < 0.4").await;
                self.fault(kind, &format!("{} sessions", ended.unwrap_or_default()));
            }
            Kind::NotifyLost => {
                let ended = postgres.terminate("and query ilike 'listen%'").await;
                self.fault(kind, &format!("{} listeners", ended.unwrap_or_default()));
            }
            _ => {
                let during = millis(rng, 1_500..4_000);
                self.fault(kind, &format!("{during:?}"));
                // Those that have connections lose some of them, and find none.
                let (_, ended) =
                    tokio::join!(postgres.use_up_connections(during), postgres.terminate("and random() < 0.3"));
                let _ = ended;
            }
        }
        self.recovered().await;
    }

    async fn link(&self, link: &Link, trouble: Trouble, during: Duration) {
        match trouble {
            Trouble::Cut => return link.cut(),
            Trouble::SilentUp => link.silence(Direction::Up),
            Trouble::SilentDown => link.silence(Direction::Down),
            Trouble::Slow => link.slow(during / 20),
        }
        sleep(during).await;
        link.heal();
    }

    async fn operator(&self, kind: Kind, rng: &mut StdRng) {
        let operators = &self.scene.operators;
        let campaign = self.scene.campaigns[rng.random_range(0..self.scene.campaigns.len())];
        let during = millis(rng, 500..3_000);
        match kind {
            Kind::EngineCapLowered => {
                let _one = self.cap.lock().await;
                let cap = rng.random_range(0..CAP / 2);
                self.fault(kind, &format!("{cap}, {during:?}"));
                operators.engine_cap(cap).await;
                sleep(during).await;
                until_done(|| operators.engine_cap(CAP)).await;
            }
            Kind::CampaignCapLowered => {
                let _one = self.campaign_cap.lock().await;
                let cap = rng.random_range(0..10);
                self.fault(kind, &format!("{campaign}: {cap}, {during:?}"));
                operators.campaign_cap(campaign, Some(cap)).await;
                sleep(during).await;
                until_done(|| operators.campaign_cap(campaign, None)).await;
            }
            Kind::CampaignPaused => {
                let _one = self.state.lock().await;
                self.fault(kind, &format!("{campaign}, {during:?}"));
                operators.run(campaign, false).await;
                sleep(during).await;
                until_done(|| operators.run(campaign, true)).await;
            }
            Kind::CampaignReset => {
                self.fault(kind, &campaign.to_string());
                operators.reset(campaign, None).await;
            }
            Kind::NumbersSuppressed => self.suppress(kind, during, rng).await,
            Kind::LeasesRevoked => {
                let count = operators.revoke_some(rng).await;
                self.fault(kind, &format!("{count}"));
            }
            Kind::LeadsConsumed => {
                let count = operators.consume_some(campaign, rng).await;
                self.fault(kind, &format!("{count}"));
            }
            Kind::LeadsPromised => {
                let count = operators.promise_some(rng).await;
                self.fault(kind, &format!("{count}"));
            }
            _ => {
                let first = self.fresh_numbers(30).await;
                self.fault(kind, &format!("30 numbers into {campaign}"));
                operators.import(campaign, first..first + 30, None).await;
            }
        }
    }

    /// Numbers that are in both campaigns; most of them may be called again afterwards.
    async fn suppress(&self, kind: Kind, during: Duration, rng: &mut StdRng) {
        let first = rng.random_range(LEADS / 2..LEADS - 40);
        let numbers: Vec<String> = (first..first + 40).map(number).collect();
        self.fault(kind, &format!("{} numbers from {}, {during:?}", numbers.len(), numbers[0]));
        self.scene.operators.suppress(&numbers, true).await;
        sleep(during).await;
        until_done(|| self.scene.operators.suppress(&numbers[2..], false)).await;
    }
}
