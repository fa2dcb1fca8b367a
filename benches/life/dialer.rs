//! The process of some dialers: what a dialer in any language does, as fast as it can. A call takes no time, so that nothing
//! but the engine is measured, or lasts for a while, so that dialers are full and the engine is asked at a pace.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dialplane::{
    clock::system,
    pb::{
        BeginCallsRequest, BeginVerdict, Heartbeat, Lease, LeaseCallsRequest, LeaseCallsResponse, Open, Opened,
        Outcome, OutcomeReport, Received, ReportOutcomesRequest, ReportVerdict, lease_calls_request::Message as Say,
        lease_calls_response::Message as Heard, scheduler_service_client::SchedulerServiceClient,
    },
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncReadExt as _,
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use uuid::Uuid;

use super::{Fallible, crew::Shape, world};

/// The first argument of a dialers' process.
pub const ARGUMENT: &str = "play-dialers";
/// What it says when all its sessions are open.
pub const OPEN: &str = "open";

/// Until the engine tells how long a silent session lives.
const HEARTBEAT_AT_FIRST: Duration = Duration::from_millis(250);
const LINGER: Duration = Duration::from_millis(300);
/// Sessions that open at the same time.
const OPENING: usize = 50;

/// What a process of dialers is to do.
#[derive(Serialize, Deserialize)]
pub struct Order {
    /// The engine.
    pub server: String,
    /// The campaign.
    pub campaign: String,
    /// How they are.
    pub shape: Shape,
}

/// What a process has done.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Outcomes accepted.
    pub lives: usize,
    /// Permits and outcomes that were not given or not accepted.
    pub refused: usize,
    /// Permits that were asked for too early for the calls per second, and asked for again.
    pub waits: usize,
    /// Sessions that the engine ended.
    pub lost: usize,
    /// Messages and calls that it took.
    pub grants: usize,
    /// Calls of BeginCalls.
    pub begins: usize,
    /// Calls of ReportOutcomes.
    pub reports: usize,
    /// Per promised callback: instant due to Granted, in microseconds.
    pub callback_us: Vec<i64>,
    /// Per slot that was free again: when its next lease came, and how long after its outcome was acknowledged, both in
    /// microseconds. Only where calls last.
    pub grants_us: Vec<(i64, i64)>,
}

/// The slots of a session that are free, first those that never held a call. A lease that is here before the outcome is
/// acknowledged came at once.
struct Slots {
    fresh: usize,
    freed: VecDeque<Instant>,
    early: usize,
}

impl Slots {
    /// How long the slots that these leases take had been free.
    fn take(&mut self, leases: usize) -> Vec<Duration> {
        let fresh = leases.min(self.fresh);
        self.fresh -= fresh;
        let refilled = (leases - fresh).min(self.freed.len());
        self.early += leases - fresh - refilled;
        self.freed.drain(..refilled).map(|at| at.elapsed()).collect()
    }

    /// So many outcomes were acknowledged; how many of their slots have a lease already.
    fn free(&mut self, slots: usize) -> usize {
        let early = slots.min(self.early);
        self.early -= early;
        self.freed.extend(std::iter::repeat_n(Instant::now(), slots - early));
        early
    }
}

/// What the sessions of a process share.
#[derive(Default)]
struct Desk {
    call_ms: u64,
    tally: Mutex<Tally>,
    calls: AtomicUsize,
}

impl fmt::Display for Tally {
    #[allow(clippy::cast_precision_loss)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { lives, refused, waits, lost, .. } = self;
        let per = |calls: usize| *lives as f64 / calls.max(1) as f64;
        let [grant, permit, outcome] = [self.grants, self.begins, self.reports].map(per);
        write!(
            f,
            "{lives} lives, {refused} refused, {waits} told to wait, {lost} sessions lost; leases per grant {grant:.1}, "
        )?;
        write!(f, "permit call {permit:.1}, outcome call {outcome:.1}")
    }
}

impl Desk {
    fn note(&self, what: impl FnOnce(&mut Tally)) {
        what(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One in ten says yes, four say no, five do not answer.
    fn outcome(&self) -> Outcome {
        match self.calls.fetch_add(1, Ordering::Relaxed) % 10 {
            0 => Outcome::IntentYes,
            1..=4 => Outcome::IntentNo,
            _ => Outcome::NoAnswer,
        }
    }
}

/// Plays dialers until standard input closes; then says what they did. The argument is an [`Order`].
pub async fn play(args: &[String]) -> Fallible<()> {
    let Order { server, campaign, shape } = serde_json::from_str(args.first().ok_or("an order")?)?;
    let desk = Arc::new(Desk { call_ms: shape.call_ms, ..Desk::default() });
    let mut running = JoinSet::new();
    let mut channels = Vec::new();
    let mut opening = Vec::new();
    for n in 0..shape.sessions {
        // A connection each, as dialers have, unless there are too many.
        if channels.len() < shape.channels || shape.channels == 0 {
            channels.push(world::connect(&server).await?);
        }
        let open = Open {
            dialer_id: "bench".into(),
            session_id: Uuid::new_v4().to_string(),
            campaign_ids: vec![campaign.clone()],
            slots: i32::try_from(shape.slots)?,
            held: Vec::new(),
        };
        let (opened, is_open) = oneshot::channel();
        let client = SchedulerServiceClient::new(channels[n % channels.len()].clone());
        running.spawn(dial(client, open, shape.batch, Arc::clone(&desk), opened));
        opening.push(is_open);
        if opening.len() == OPENING || n + 1 == shape.sessions {
            futures::future::join_all(opening.drain(..)).await.into_iter().collect::<Result<(), _>>()?;
        }
    }
    println!("{OPEN}");
    let mut nothing = [0; 1];
    let mut stdin = tokio::io::stdin();
    // The last answers are on their way when input ends.
    let home = async {
        let _ = stdin.read(&mut nothing).await;
        tokio::time::sleep(LINGER).await;
    };
    tokio::pin!(home);
    loop {
        tokio::select! {
            () = &mut home => break,
            // None of them ends by itself.
            Some(ended) = running.join_next() => {
                desk.note(|tally| tally.lost += 1);
                eprintln!("bench: a session ended: {:?}", ended?.err());
            }
        }
    }
    running.shutdown().await;
    let tally = std::mem::take(&mut *desk.tally.lock().unwrap_or_else(PoisonError::into_inner));
    println!("{}", serde_json::to_string(&tally)?);
    Ok(())
}

/// One session: receipts at once, permits and outcomes in the order of the leases, each as many as wait.
async fn dial(
    mut client: SchedulerServiceClient<Channel>,
    open: Open,
    batch: usize,
    desk: Arc<Desk>,
    opened: oneshot::Sender<()>,
) -> Fallible<()> {
    let session_id = open.session_id.clone();
    let slots = Slots { fresh: usize::try_from(open.slots)?, freed: VecDeque::new(), early: 0 };
    let slots = Mutex::new(slots);
    let (sender, outgoing) = mpsc::channel(256);
    let say = |message| LeaseCallsRequest { message: Some(message) };
    sender.send(say(Say::Open(open))).await?;
    let mut stream = client.lease_calls(ReceiverStream::new(outgoing)).await?.into_inner();
    let (leased, to_begin) = mpsc::unbounded_channel();
    let (begun, to_report) = mpsc::unbounded_channel();
    let mut opened = Some(opened);
    let mut heartbeat = tokio::time::interval(HEARTBEAT_AT_FIRST);
    let listen = async {
        loop {
            tokio::select! {
                message = stream.message() => match message? {
                    None => return Err("the engine ended the stream".into()),
                    Some(LeaseCallsResponse { message: Some(Heard::Opened(Opened { session_ttl, .. })) }) => {
                        let ttl = Duration::try_from(session_ttl.unwrap_or_default())?;
                        // As the contract advises.
                        heartbeat = tokio::time::interval(ttl / 4);
                        if let Some(opened) = opened.take() {
                            let _ = opened.send(());
                        }
                    }
                    Some(LeaseCallsResponse { message: Some(Heard::Granted(granted)) }) => {
                        note_promises(&desk, &granted.leases);
                        note_refilled(&desk, &slots, granted.leases.len());
                        let lease_ids: Vec<String> = granted.leases.into_iter().map(|lease| lease.lease_id).collect();
                        sender.send(say(Say::Received(Received { lease_ids: lease_ids.clone() }))).await?;
                        desk.note(|tally| tally.grants += 1);
                        lease_ids.into_iter().try_for_each(|lease| leased.send(lease))?;
                    }
                    Some(_) => {}
                },
                _ = heartbeat.tick() => sender.send(say(Say::Heartbeat(Heartbeat {}))).await?,
            }
        }
    };
    let begin = begin(client.clone(), session_id, to_begin, begun, batch, &desk);
    let report = report(client.clone(), to_report, batch, &desk, &slots);
    tokio::try_join!(listen, begin, report).map(|((), (), ())| ())
}

/// Refills of slots, where calls last; else nobody asks how long they took.
fn note_refilled(desk: &Desk, slots: &Mutex<Slots>, leases: usize) {
    if desk.call_ms > 0 {
        let took = slots.lock().unwrap_or_else(PoisonError::into_inner).take(leases);
        let now = system().timestamp_micros();
        desk.note(|tally| tally.grants_us.extend(took.iter().map(|took| (now, micros(*took)))));
    }
}

fn note_freed(desk: &Desk, slots: &Mutex<Slots>, freed: usize) {
    if desk.call_ms > 0 {
        let early = slots.lock().unwrap_or_else(PoisonError::into_inner).free(freed);
        let now = system().timestamp_micros();
        desk.note(|tally| tally.grants_us.extend(std::iter::repeat_n((now, 0), early)));
    }
}

fn micros(took: Duration) -> i64 {
    i64::try_from(took.as_micros()).unwrap_or(i64::MAX)
}

/// Lets a call last, between two and six quarters of its usual time, and hands it on.
fn ring(desk: &Desk, begun: &UnboundedSender<String>, lease: String) -> Fallible<()> {
    if desk.call_ms == 0 {
        return Ok(begun.send(lease)?);
    }
    let lasts = Duration::from_millis(rand::random_range(desk.call_ms / 2..=desk.call_ms * 3 / 2));
    let begun = begun.clone();
    tokio::spawn(async move {
        tokio::time::sleep(lasts).await;
        // The session may be over.
        let _ = begun.send(lease);
    });
    Ok(())
}

fn note_promises(desk: &Desk, leases: &[Lease]) {
    let now = system();
    for at in leases.iter().filter_map(|lease| lease.callback_at) {
        let due_us = at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000;
        desk.note(|tally| tally.callback_us.push(now.timestamp_micros() - due_us));
    }
}

async fn begin(
    mut client: SchedulerServiceClient<Channel>,
    session_id: String,
    mut leases: UnboundedReceiver<String>,
    begun: UnboundedSender<String>,
    batch: usize,
    desk: &Desk,
) -> Fallible<()> {
    let mut early = VecDeque::new();
    loop {
        let mut lease_ids = Vec::new();
        match early.front() {
            Some(&(at, _)) => tokio::select! {
                () = sleep_until(at) => {
                    let due = early.iter().take(batch).take_while(|(again, _)| *again <= at).count();
                    lease_ids.extend(early.drain(..due).map(|(_, lease_id)| lease_id));
                }
                taken = leases.recv_many(&mut lease_ids, batch) => if taken == 0 { return Ok(()) },
            },
            None => {
                if leases.recv_many(&mut lease_ids, batch).await == 0 {
                    return Ok(());
                }
            }
        }
        let request =
            BeginCallsRequest { session_id: session_id.clone(), lease_ids, nonce: Uuid::new_v4().to_string() };
        let results = client.begin_calls(request).await?.into_inner().results;
        desk.note(|tally| tally.begins += 1);
        for result in results {
            match (result.verdict(), result.retry_after) {
                (BeginVerdict::Permitted, _) => ring(desk, &begun, result.lease_id)?,
                (BeginVerdict::Wait, Some(after)) => {
                    early.push_back((Instant::now() + Duration::try_from(after)?, result.lease_id));
                    desk.note(|tally| tally.waits += 1);
                }
                _ => desk.note(|tally| tally.refused += 1),
            }
        }
    }
}

async fn report(
    mut client: SchedulerServiceClient<Channel>,
    mut calls: UnboundedReceiver<String>,
    batch: usize,
    desk: &Desk,
    slots: &Mutex<Slots>,
) -> Fallible<()> {
    loop {
        let mut lease_ids = Vec::new();
        if calls.recv_many(&mut lease_ids, batch).await == 0 {
            return Ok(());
        }
        let report = |lease_id| OutcomeReport { lease_id, outcome: desk.outcome().into(), ..OutcomeReport::default() };
        let request = ReportOutcomesRequest { reports: lease_ids.into_iter().map(report).collect() };
        let results = client.report_outcomes(request).await?.into_inner().results;
        note_freed(desk, slots, results.len());
        let accepted = results.iter().filter(|result| result.verdict() == ReportVerdict::Accepted).count();
        desk.note(|tally| {
            tally.reports += 1;
            tally.lives += accepted;
            tally.refused += results.len() - accepted;
        });
    }
}
