//! The faults, each a function: where it strikes and for how long comes from the seed, and it heals by itself. They come
//! in tracks, side by side, so that slow ones do not hold up the others.

mod acts;
mod engines;

use std::{sync::Arc, time::Duration};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinSet,
    time::{Instant, sleep},
};

use dialplane::failpoints;

use crate::{
    behaviour::Behaviour,
    dialer::SESSION_TTL,
    proxy::{Direction, Link},
    scene::{CAMPAIGNS, DIALERS, ENGINES, LEADS, Scene},
};

/// Permits after which the world has recovered from a fault, and how long that is waited for.
const RECOVERED: usize = 15;
const RECOVERY_MAX: Duration = Duration::from_secs(6);
/// Engines that may be in trouble at once: one is always well.
const ENGINES_AT_ONCE: u32 = 2;

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
    /// For all campaigns.
    CallsPerSecondLimited,
    NumberRulesTightened,
    CampaignPaused,
    CampaignReset,
    NumbersSuppressed,
    LeasesRevoked,
    LeadsConsumed,
    LeadsPromised,
    LeadsImported,
    /// In chunks.
    LeadsStreamed,
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

/// Faults of one sort, side by side with those of other sorts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    Engines,
    Database,
    /// Dialers, and links.
    Edges,
    Operators,
}

impl Track {
    pub const ALL: [Track; 4] = [Track::Engines, Track::Database, Track::Edges, Track::Operators];

    fn kinds(self) -> Vec<Kind> {
        use Kind::*;
        match self {
            // Failpoints have an order of their own.
            Track::Engines => vec![EngineKilled, EngineStopped, RollingRestart],
            Track::Database => vec![
                PostgresKilled,
                PostgresRestarted,
                PostgresAway,
                BackendKilled,
                BackendsTerminated,
                OutOfConnections,
                NotifyLost,
            ],
            Track::Edges => {
                let links = TROUBLES.map(DatabaseLink).into_iter().chain(TROUBLES.map(DialerLink));
                links.chain(Behaviour::ALL.map(Dialer)).collect()
            }
            Track::Operators => vec![
                EngineCapLowered,
                CampaignCapLowered,
                CallsPerSecondLimited,
                NumberRulesTightened,
                CampaignPaused,
                CampaignReset,
                NumbersSuppressed,
                LeasesRevoked,
                LeadsConsumed,
                LeadsPromised,
                LeadsImported,
                LeadsStreamed,
            ],
        }
    }

    /// How many of its faults may be under way.
    fn at_once(self) -> usize {
        match self {
            Track::Engines => ENGINES_AT_ONCE as usize,
            Track::Database => 1,
            Track::Edges | Track::Operators => 10,
        }
    }

    /// Milliseconds between two of its faults.
    fn gap(self) -> std::ops::Range<u64> {
        match self {
            Track::Engines => 100..700,
            Track::Database => 1_500..5_000,
            Track::Edges => 300..1_000,
            Track::Operators => 100..500,
        }
    }
}

impl Kind {
    pub fn name(self) -> String {
        match self {
            Kind::Failpoint(point) => format!("armed:{point}"),
            Kind::DatabaseLink(trouble) => format!("database-link:{trouble:?}"),
            Kind::DialerLink(trouble) => format!("dialer-link:{trouble:?}"),
            Kind::Dialer(behaviour) => format!("dialer:{behaviour:?}"),
            other => format!("{other:?}"),
        }
    }
}

/// How a death at a failpoint is counted.
pub fn death(point: &str) -> String {
    format!("died:{point}")
}

/// Everything that a storm can count.
pub fn names() -> Vec<String> {
    let kinds = Track::ALL.into_iter().flat_map(Track::kinds).map(Kind::name);
    let armed = failpoints::POINTS.map(|point| Kind::Failpoint(point).name());
    kinds.chain(armed).chain(failpoints::POINTS.map(death)).chain(["late-reports".to_owned()]).collect()
}

/// What the faults strike.
pub struct Stage {
    pub scene: Arc<Scene>,
    /// Faults that have not begun by then are left out.
    over: Instant,
    /// One fault at a time has an engine's life.
    engines: [Mutex<()>; ENGINES],
    lives: Semaphore,
    /// One at a time: each ends by restoring what it changed.
    cap: Mutex<()>,
    campaign_caps: [Mutex<()>; CAMPAIGNS],
    rate: Mutex<()>,
    rules: Mutex<()>,
    states: [Mutex<()>; CAMPAIGNS],
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
            engines: Default::default(),
            lives: Semaphore::new(ENGINES_AT_ONCE as usize),
            cap: Mutex::default(),
            campaign_caps: Default::default(),
            rate: Mutex::default(),
            rules: Mutex::default(),
            states: Default::default(),
            numbers: Mutex::new(2 * LEADS),
        }
    }

    fn is_over(&self) -> bool {
        Instant::now() > self.over
    }

    /// One fault after the other, every kind once in the seed's order, then every kind again; returns when all are healed.
    pub async fn follow(self: Arc<Self>, track: Track, mut rng: StdRng) {
        let mut faults = JoinSet::new();
        let mut bag: Vec<Kind> = Vec::new();
        while !self.is_over() {
            if faults.len() >= track.at_once() {
                faults.join_next().await.unwrap().unwrap();
                continue;
            }
            if bag.is_empty() {
                bag = track.kinds();
                bag.shuffle(&mut rng);
            }
            let kind = match track {
                Track::Engines if rng.random_bool(0.8) => self.next_failpoint(&mut rng),
                _ => bag.pop().unwrap(),
            };
            let mut own = StdRng::seed_from_u64(rng.random());
            let stage = Arc::clone(&self);
            faults.spawn(async move { stage.inject(kind, &mut own).await });
            sleep(millis(&mut rng, track.gap())).await;
        }
        while let Some(done) = faults.join_next().await {
            done.unwrap();
        }
    }

    /// The one at which engines died the least, so far.
    fn next_failpoint(&self, rng: &mut StdRng) -> Kind {
        let pen = &self.scene.pen;
        let mut points = failpoints::POINTS;
        points.shuffle(rng);
        let so_far = |point: &'static str| (pen.count(&death(point)), pen.count(&Kind::Failpoint(point).name()));
        Kind::Failpoint(points.into_iter().min_by_key(|point| so_far(point)).unwrap())
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
            _ => self.act(kind, rng).await,
        }
    }

    async fn fresh_numbers(&self, count: usize) -> usize {
        let mut next = self.numbers.lock().await;
        *next += count;
        *next - count
    }

    async fn postgres(&self, kind: Kind, rng: &mut StdRng) {
        if self.is_over() {
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
}
