//! News between replicas by NOTIFY, on connections of their own and coalesced: it takes a cluster-wide lock at commit. A signal
//! only shortens a wait; one that is lost is made up for by the next tick.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::{AsyncMessage, NoTls};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    domain::ids::{CampaignKey, LeaseId, SessionId, StreamNumber},
    engine::{
        Engine,
        leasing::{events::Event, messages::RevokeReason},
    },
    store::StoreError,
};

const CHANNEL: &str = "dialplane";
/// Signals gather for this long.
const GATHER: Duration = Duration::from_millis(5);
/// PostgreSQL takes payloads below 8,000 bytes; a signal has up to 90.
const SIGNALS_PER_PAYLOAD: usize = 80;
/// Signals that may wait; beyond, they are dropped, and the tick makes up for them.
const WAITING_MAX: usize = 20_000;
const RECONNECT: Duration = Duration::from_secs(1);
/// How often the listener asks whether its link still carries: else a dead one would look like silence.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long a link may owe an answer.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// What other replicas should know at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Signal {
    /// A campaign's state or rules changed.
    Campaign(CampaignKey),
    /// Leads of a campaign may be due that were not.
    Work(CampaignKey),
    /// A lead of a campaign is due then.
    Due(CampaignKey, DateTime<Utc>),
    /// A lease is over.
    Ended(LeaseId, Option<RevokeReason>),
    /// Settings changed.
    Settings,
    /// This stream has the session now.
    TakenOver(SessionId, StreamNumber),
    /// A call named the session.
    Heard(SessionId),
}

#[derive(Serialize, Deserialize)]
struct Payload {
    from: i32,
    signals: Vec<Signal>,
}

/// Signals on their way out.
pub struct Signals {
    sender: mpsc::Sender<Signal>,
    waiting: Mutex<mpsc::Receiver<Signal>>,
}

impl Signals {
    /// None yet.
    pub(crate) fn new() -> Signals {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        Signals { sender, waiting: Mutex::new(waiting) }
    }

    /// Sends, sooner or later.
    pub(crate) fn send(&self, signal: Signal) {
        let _ = self.sender.try_send(signal);
    }
}

/// Delivers this replica's signals until the engine stops.
pub async fn deliver(engine: Arc<Engine>) {
    let mut waiting = engine.signals.waiting.lock().await;
    let mut connection = None;
    loop {
        let first = tokio::select! {
            () = engine.stop.cancelled() => return,
            first = waiting.recv() => match first { Some(first) => first, None => return },
        };
        tokio::time::sleep(GATHER).await;
        let mut all = vec![first];
        while let Ok(signal) = waiting.try_recv() {
            all.push(signal);
        }
        let signals = coalesce(all);
        // Alone, there is nobody to tell; but one who has just come may have had a session.
        let moved = signals.iter().any(|signal| matches!(signal, Signal::TakenOver(..)));
        if engine.replicas.load(Ordering::Relaxed) <= 1 && !moved {
            connection = None;
            continue;
        }
        if let Err(error) = in_time(notify(&engine, &mut connection, signals)).await {
            engine.outage.note(&error);
            connection = None;
        }
    }
}

/// Each thing once; of the due leads of a campaign the first.
fn coalesce(all: Vec<Signal>) -> HashSet<Signal> {
    let mut first: HashMap<CampaignKey, DateTime<Utc>> = HashMap::new();
    let mut signals = HashSet::new();
    for signal in all {
        match signal {
            Signal::Due(key, at) => {
                first.entry(key).and_modify(|held| *held = at.min(*held)).or_insert(at);
            }
            other => {
                signals.insert(other);
            }
        }
    }
    signals.extend(first.into_iter().map(|(key, at)| Signal::Due(key, at)));
    signals
}

async fn notify(
    engine: &Engine,
    connection: &mut Option<(tokio_postgres::Client, AbortOnDropHandle<()>)>,
    signals: HashSet<Signal>,
) -> Result<(), StoreError> {
    let (client, _) = match connection {
        Some(connection) => connection,
        None => {
            let (client, driver) = engine.store.connection_config().connect(NoTls).await?;
            // By itself it would wait for ever for what it is owed.
            let driver = tokio::spawn(async move { drop(driver.await) });
            connection.insert((client, AbortOnDropHandle::new(driver)))
        }
    };
    let signals: Vec<Signal> = signals.into_iter().collect();
    for part in signals.chunks(SIGNALS_PER_PAYLOAD) {
        let payload = Payload { from: engine.replica(), signals: part.to_vec() };
        let text = serde_json::to_string(&payload).map_err(|error| StoreError::Bug(error.to_string()))?;
        client.execute("select pg_notify($1, $2)", &[&CHANNEL, &text]).await?;
    }
    Ok(())
}

async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let done = tokio::time::timeout(ANSWER_MAX, work).await;
    done.unwrap_or_else(|_| Err(StoreError::no_answer()))
}

/// Takes in the other replicas' signals until the engine stops.
pub async fn listen(engine: Arc<Engine>) {
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            done = listen_once(&engine) => if let Err(error) = done { engine.outage.note(&error) },
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

async fn listen_once(engine: &Arc<Engine>) -> Result<(), StoreError> {
    let config = engine.store.connection_config();
    let (client, mut connection) = in_time(async { Ok(config.connect(NoTls).await?) }).await?;
    let (messages, mut inbox) = mpsc::unbounded_channel();
    let _driver = AbortOnDropHandle::new(tokio::spawn(async move {
        let mut stream = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = stream.next().await {
            if messages.send(message).is_err() {
                return;
            }
        }
    }));
    in_time(async { Ok(client.batch_execute(&format!("listen {CHANNEL}")).await?) }).await?;
    // Whatever was said while nobody listened.
    engine.survey_soon();
    loop {
        let message = tokio::select! {
            message = inbox.recv() => message,
            () = tokio::time::sleep(PING_EVERY) => {
                in_time(async { Ok(client.batch_execute("").await?) }).await?;
                continue;
            }
        };
        let Some(message) = message else { return Ok(()) };
        let AsyncMessage::Notification(note) = message else { continue };
        match serde_json::from_str::<Payload>(note.payload()) {
            Ok(payload) if payload.from != engine.replica() => take(engine, payload.signals),
            Ok(_) => {}
            // A newer replica may say what we do not know.
            Err(error) => tracing::debug!(%error, "a signal was not understood"),
        }
    }
}

fn take(engine: &Arc<Engine>, signals: Vec<Signal>) {
    let mut ended: HashMap<Option<RevokeReason>, Vec<LeaseId>> = HashMap::new();
    for signal in signals {
        if let Signal::Campaign(key) | Signal::Work(key) | Signal::Due(key, _) = signal {
            engine.news.tell(key);
        }
        match signal {
            Signal::Campaign(key) => engine.reload(key),
            Signal::Due(key, at) => engine.tell(Event::Due(key, at)),
            Signal::Work(key) => engine.tell(Event::Wake(key)),
            Signal::Ended(lease, reason) => ended.entry(reason).or_default().push(lease),
            Signal::Settings => engine.survey_soon(),
            Signal::TakenOver(session, stream) => engine.tell(Event::TakenOver(session, stream)),
            Signal::Heard(session) => engine.tell(Event::HeardElsewhere(session)),
        }
    }
    for (reason, leases) in ended {
        engine.tell(Event::EndedElsewhere(leases, reason));
    }
}
