//! A dialer: leases over a stream or by polls, a permit before each ring, a report after. Honest, but for what
//! [`Behaviour`] switches on; even then it rings by a permit only.

mod call;
mod report;
mod session;
mod stream;
mod talk;

pub use talk::reason;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dialplane::pb::{OutcomeReport, scheduler_service_client::SchedulerServiceClient};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{task::JoinSet, time::sleep};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use crate::{
    behaviour::{Behaviour, Behaviours},
    pen::Pen,
};
use session::Session;

/// Of the storm's settings.
pub const SESSION_TTL: Duration = Duration::from_secs(2);
/// How often a refused session is tried before the dialer takes a new one.
const REFUSALS_MAX: u32 = 30;

/// A dialer and its links, one per engine.
pub struct Dialer {
    pub name: String,
    pub seed: u64,
    pub carrier: SocketAddr,
    /// Leases from these; empty: from all.
    pub campaigns: Vec<String>,
    /// Polls where others hold a stream.
    pub polls: bool,
    pub slots: i32,
    pub behaviours: Behaviours,
    /// Reports that wait for the end of the storm.
    held_back: Mutex<Vec<(Uuid, OutcomeReport)>>,
    pub pen: Arc<Pen>,
    /// The storm is over: short calls, final outcomes.
    pub calm: Arc<AtomicBool>,
    pub stop: Arc<AtomicBool>,
    channels: Vec<Channel>,
}

/// How a stream, or a series of polls, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Elsewhere with the same session.
    Elsewhere,
    /// The session is somebody's: try again.
    Refused,
    /// The session is over.
    Lost,
    TakenOver,
    Died,
    OldSession,
    Stopped,
}

/// A channel that connects when it is used, and notices when nobody answers any more.
pub fn channel(port: u16) -> Channel {
    Endpoint::from_shared(format!("http://127.0.0.1:{port}"))
        .unwrap()
        .connect_timeout(Duration::from_secs(1))
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .tcp_nodelay(true)
        .connect_lazy()
}

/// What tells one dialer from another.
pub struct Part {
    pub number: usize,
    pub seed: u64,
    pub ports: Vec<u16>,
    pub campaigns: Vec<String>,
}

impl Dialer {
    pub fn new(
        part: Part,
        carrier: SocketAddr,
        pen: Arc<Pen>,
        calm: Arc<AtomicBool>,
        stop: Arc<AtomicBool>,
    ) -> Arc<Dialer> {
        let mut rng = StdRng::seed_from_u64(part.seed);
        Arc::new(Dialer {
            name: format!("dialer-{}", part.number),
            seed: part.seed,
            channels: part.ports.iter().map(|port| channel(*port)).collect(),
            carrier,
            campaigns: part.campaigns,
            polls: part.number % 4 == 3,
            slots: rng.random_range(6..=12),
            behaviours: Behaviours::default(),
            held_back: Mutex::default(),
            pen,
            calm,
            stop,
        })
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Some replica.
    fn client(&self, rng: &mut StdRng) -> SchedulerServiceClient<Channel> {
        SchedulerServiceClient::new(self.channels[rng.random_range(0..self.channels.len())].clone())
    }

    /// Dials until it is told to stop, in one life after the other.
    pub async fn run(self: Arc<Self>) {
        let mut rng = StdRng::seed_from_u64(self.seed ^ 1);
        let mut twin = JoinSet::new();
        let mut session = Session::new();
        let mut old = None;
        let mut calls = JoinSet::new();
        let mut refusals = 0;
        loop {
            if self.behaviours.is(Behaviour::RunsTwice) && twin.try_join_next().is_some() | twin.is_empty() {
                twin.spawn(Arc::clone(&self).twin(session.twin(), rng.random()));
            }
            let end = self.once(&session, &mut calls, &mut rng).await;
            refusals = if end == End::Refused { refusals + 1 } else { 0 };
            match end {
                End::Stopped => break,
                End::Elsewhere => {}
                End::Refused if refusals < REFUSALS_MAX => {}
                // Against the rules: it fights for its session.
                End::TakenOver if self.behaviours.is(Behaviour::RunsTwice) => sleep(Duration::from_millis(400)).await,
                End::Refused | End::Lost | End::TakenOver => {
                    session.forget_waiting(&self.pen);
                    old = Some(std::mem::replace(&mut session, Session::new()));
                }
                End::Died => {
                    calls.shutdown().await;
                    session.forget_all(&self.pen);
                    old = Some(std::mem::replace(&mut session, Session::new()));
                }
                End::OldSession => {
                    let before = old.take().unwrap_or_else(Session::new);
                    old = Some(std::mem::replace(&mut session, before));
                }
            }
            sleep(Duration::from_millis(rng.random_range(20..150))).await;
        }
        session.forget_waiting(&self.pen);
        while calls.join_next().await.is_some() {}
        twin.shutdown().await;
    }

    /// The same session a second time.
    async fn twin(self: Arc<Self>, session: Arc<Session>, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut calls = JoinSet::new();
        while self.behaviours.is(Behaviour::RunsTwice) && !self.is_stopping() {
            self.once(&session, &mut calls, &mut rng).await;
            sleep(Duration::from_millis(rng.random_range(100..800))).await;
        }
        session.forget_waiting(&self.pen);
        while calls.join_next().await.is_some() {}
    }

    async fn once(self: &Arc<Self>, session: &Arc<Session>, calls: &mut JoinSet<()>, rng: &mut StdRng) -> End {
        if self.is_stopping() {
            return End::Stopped;
        }
        if self.polls { self.poll_on(session, calls, rng).await } else { self.stream(session, calls, rng).await }
    }
}
