//! What happens: the use cases, one file each, and the loops that keep the world in order. Owns transactions; holds no SQL.

mod announcements;
mod aside;
pub mod audit;
pub mod bulk;
pub mod callbacks;
pub mod campaigns;
pub mod error;
pub mod explain;
mod gather;
pub mod intake;
pub mod leads;
pub mod leasing;
pub mod loops;
mod news;
mod number_rules;
mod outage;
pub mod outcomes;
pub mod permits;
pub mod polls;
pub mod requests;
pub mod resets;
pub mod sessions;
pub mod settings;
pub mod suppressions;
pub mod watching;

use std::{
    collections::HashMap,
    sync::{
        Arc, RwLock,
        atomic::{AtomicI32, AtomicI64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use aside::Aside;
pub use error::EngineError;
use gather::Gather;
use leasing::{
    dispatcher::Dispatcher,
    events::{Event, Survey},
    lane::ZoneBook,
};
use loops::signals::Signals;
use news::News;
use outage::Outage;

use crate::{
    clock::{Clock, system},
    domain::{
        ids::{CampaignId, CampaignKey, LeaseId, ReplicaId},
        settings::SchedulerSettings,
    },
    store::{
        Store, StoreError,
        campaigns::{By, CampaignRow},
        leases::{GrantItem, GrantVerdict},
        permits::BeginItem,
        queue::{Parked, QueuedLead, Refill, RefillAsk, waiting},
        releases::Released,
    },
};

/// How far ahead promises are read, and at most how many per campaign.
const PROMISES_AHEAD: TimeDelta = TimeDelta::seconds(65);
pub(crate) const PROMISES_MAX: usize = 1000;
/// Statements that met a deadlock are tried again this often.
const TRIES_MAX: usize = 5;
/// How long after it was planned a grant may be made: a call whose answer was given up must not be, later on.
pub(crate) const GRANT_WITHIN: Duration = Duration::from_secs(5);
/// How long a hot statement may take; a little more than its locks may.
const ANSWER_MAX: Duration = Duration::from_secs(35);

/// One replica of the engine.
pub struct Engine {
    /// All that is stored.
    pub store: Store,
    /// For signs of life: there when the pool is exhausted.
    pub(crate) lifeline: Store,
    /// The database's clock.
    pub clock: Clock,
    /// When this replica started.
    pub started_at: DateTime<Utc>,
    pub(crate) events: mpsc::UnboundedSender<Event>,
    pub(crate) stop: CancellationToken,
    /// Cancelled when this replica begins to leave: no new sessions.
    leaving: CancellationToken,
    /// Cancelled when it leaves and its last stream is over.
    pub(crate) drained: CancellationToken,
    pub(crate) outage: Outage,
    replica: AtomicI32,
    settings: RwLock<SchedulerSettings>,
    campaigns: RwLock<HashMap<CampaignKey, Arc<CampaignRow>>>,
    keys: RwLock<HashMap<CampaignId, CampaignKey>>,
    signals: Signals,
    pub(crate) news: News,
    /// Replicas alive, as last counted.
    replicas: AtomicI64,
    survey_wanted: Notify,
    rejoin_wanted: Notify,
    permits: Gather<BeginItem, permits::Permit>,
    reports: Gather<outcomes::Report, outcomes::ReportAnswer>,
    briefs: outcomes::Briefs,
    polls: polls::Polls,
    reloads: Aside<CampaignKey>,
    peeks: Aside<CampaignKey>,
    questions: Arc<Semaphore>,
}

/// Reads a lock whose holder may have panicked: the data are copies of rows, whole at any instant.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Engine {
    /// Starts a replica on a migrated database: registers it and starts its loops, which end when `stop` is cancelled.
    ///
    /// # Errors
    /// [`EngineError`] when the database does not answer.
    pub async fn start(
        store: Store,
        fill: &SchedulerSettings,
        stop: CancellationToken,
    ) -> Result<Arc<Engine>, EngineError> {
        store.fill_settings(fill).await?;
        store.extend_attempts().await?;
        let settings = store.settings().await?;
        let lifeline = store.lifeline()?;
        let clock = Clock::default();
        let asked_at = system();
        clock.observe(asked_at, store.now().await?.0);
        let replica = store.join_replica(loops::replica_keeper::REPLICA_TTL).await?;
        let (events, inbox) = mpsc::unbounded_channel();
        let engine = Arc::new_cyclic(|weak: &std::sync::Weak<Engine>| {
            let (for_permits, for_reports) = (weak.clone(), weak.clone());
            Engine {
                signals: Signals::new(),
                news: News::default(),
                // Until they are counted there may be others.
                replicas: AtomicI64::new(2),
                started_at: clock.now(),
                clock,
                events,
                outage: Outage::default(),
                replica: AtomicI32::new(replica),
                settings: RwLock::new(settings),
                campaigns: RwLock::default(),
                keys: RwLock::default(),
                survey_wanted: Notify::new(),
                rejoin_wanted: Notify::new(),
                permits: Gather::start(500, 4, move |items| permits::begin_batch(for_permits.clone(), items)),
                reports: Gather::start(500, 4, move |items| outcomes::report_batch(for_reports.clone(), items)),
                leaving: CancellationToken::new(),
                drained: CancellationToken::new(),
                briefs: outcomes::Briefs::default(),
                polls: polls::Polls::default(),
                reloads: Aside::default(),
                peeks: Aside::default(),
                questions: Arc::new(Semaphore::new(aside::QUESTIONS_MAX)),
                lifeline,
                stop,
                store,
            }
        });
        engine.survey().await?;
        engine.outage.over();
        tokio::spawn(Dispatcher::run(Arc::clone(&engine), inbox));
        loops::start(&engine);
        Ok(engine)
    }

    /// This replica's number.
    pub fn replica(&self) -> ReplicaId {
        self.replica.load(Ordering::Relaxed)
    }

    /// The settings in force, as last read.
    pub fn settings(&self) -> SchedulerSettings {
        read(&self.settings).clone()
    }

    /// Tells the dispatcher; it may be gone when the process stops.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// A campaign, from memory or the database.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`]; [`EngineError::Unavailable`].
    pub async fn campaign(&self, id: CampaignId) -> Result<Arc<CampaignRow>, EngineError> {
        let key = read(&self.keys).get(&id).copied();
        if let Some(row) = key.and_then(|key| read(&self.campaigns).get(&key).cloned()) {
            return Ok(row);
        }
        let row = self.store.campaign(By::Id(id)).await?.ok_or(EngineError::CampaignNotFound)?;
        Ok(self.remember(row))
    }

    /// A campaign by its key.
    ///
    /// # Errors
    /// As [`Engine::campaign`].
    pub(crate) async fn campaign_by_key(&self, key: CampaignKey) -> Result<Arc<CampaignRow>, EngineError> {
        if let Some(row) = read(&self.campaigns).get(&key).cloned() {
            return Ok(row);
        }
        let row = self.store.campaign(By::Key(key)).await?.ok_or(EngineError::CampaignNotFound)?;
        Ok(self.remember(row))
    }

    /// Keeps the newer of two readings: they arrive in any order.
    fn remember(&self, row: CampaignRow) -> Arc<CampaignRow> {
        write(&self.keys).insert(row.id, row.key);
        let mut campaigns = write(&self.campaigns);
        match campaigns.get(&row.key) {
            Some(held) if held.is_newer_than(&row) => Arc::clone(held),
            held => {
                log_breaker(held.is_some_and(|held| held.breaker.is_some()), &row);
                let row = Arc::new(row);
                campaigns.insert(row.key, Arc::clone(&row));
                row
            }
        }
    }

    /// Grants, again where a deadlock broke it.
    pub(crate) async fn grant(&self, items: &[GrantItem]) -> Result<Vec<GrantVerdict>, StoreError> {
        let replica = self.replica();
        let until = self.clock.now() + GRANT_WITHIN;
        let granted = again(|| self.store.grant(replica, items, until)).await.map(|(verdicts, _)| verdicts);
        items.iter().for_each(|item| self.news.tell(item.campaign));
        granted
    }

    /// Finds leads for a lane, again where a deadlock broke it.
    pub(crate) async fn refill(&self, ask: &RefillAsk) -> Result<Refill, StoreError> {
        let replica = self.replica();
        let until = self.clock.now() + GRANT_WITHIN;
        let filled = again(|| self.store.refill(replica, ask, until)).await;
        if !ask.slots.is_empty() {
            self.news.tell(ask.campaign);
        }
        filled
    }

    /// Takes back leases without a permit, whoever holds them, and wakes their campaigns.
    pub(crate) async fn give_back(&self, leases: &[LeaseId]) -> Result<Vec<Released>, StoreError> {
        let released = again(|| self.store.release(leases, waiting::BACK_OFF, None)).await?;
        self.wake_for(leases).await;
        Ok(released)
    }

    /// Gives up on what does not end, and on every link with it: one that owes an answer would keep it for ever.
    pub(crate) async fn in_time<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        tokio::time::timeout(ANSWER_MAX, work).await.unwrap_or_else(|_| {
            self.store.cut();
            Err(StoreError::no_answer().into())
        })
    }

    /// Reads everything that the floor needs.
    pub(crate) async fn survey(&self) -> Result<(), StoreError> {
        let settings = self.store.settings().await?;
        *write(&self.settings) = settings.clone();
        let zones = Arc::new(ZoneBook::new(&self.store.zones().await?));
        let running: Vec<_> = self.store.running_campaigns().await?.into_iter().map(|row| self.remember(row)).collect();
        let keys: Vec<CampaignKey> = running.iter().map(|row| row.key).collect();
        let promises = self.promises(&keys).await?;
        self.tell(Event::Survey(Box::new(Survey { running, zones, promises, settings })));
        Ok(())
    }

    async fn promises(&self, campaigns: &[CampaignKey]) -> Result<Vec<QueuedLead>, StoreError> {
        self.store
            .promises(campaigns, self.clock.now() + PROMISES_AHEAD, i64::try_from(PROMISES_MAX).unwrap_or(i64::MAX))
            .await
    }

    /// Asks for a survey now.
    pub(crate) fn survey_soon(&self) {
        self.survey_wanted.notify_one();
    }

    /// Asks for a new life: this replica was taken for dead.
    pub(crate) fn rejoin(&self) {
        self.rejoin_wanted.notify_one();
    }

    /// Sends leads to wait, aside; what fails stays READY and is found again by the replica keeper.
    pub(crate) fn park(self: &Arc<Self>, parked: Vec<Parked>) {
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            match again(|| engine.store.park(&parked)).await {
                Ok(()) => {
                    let campaigns: std::collections::HashSet<_> = parked.iter().map(|p| p.campaign).collect();
                    for campaign in campaigns {
                        engine.tell(Event::Wake(campaign));
                    }
                }
                Err(error) => engine.outage.note(&error),
            }
        });
    }
}

/// Says once that a circuit breaker has opened, or closed.
fn log_breaker(was_open: bool, row: &CampaignRow) {
    match row.breaker {
        Some(breaker) if !was_open => {
            let (since, next_probe_at) = (breaker.since, breaker.next_probe_at);
            tracing::warn!(campaign = %row.id, %since, %next_probe_at, "the provider refuses every call: grants pause");
        }
        None if was_open => tracing::info!(campaign = %row.id, "the provider places calls again: grants go on"),
        _ => {}
    }
}

/// Tries again what met a deadlock, and gives up on a database that neither answers nor breaks the link: what was asked
/// may have happened.
pub(crate) async fn again<T, F, Fut>(work: F) -> Result<T, StoreError>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    let mut tries = 1;
    loop {
        match tokio::time::timeout(ANSWER_MAX, work()).await {
            Err(_) => return Err(StoreError::no_answer()),
            Ok(Err(StoreError::Again)) if tries < TRIES_MAX => tries += 1,
            Ok(done) => return done,
        }
    }
}
