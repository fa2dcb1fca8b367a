//! The process of some dialers: what a dialer in any language does, as fast as it can. A call takes no time here, so that
//! nothing but the engine is measured.

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
        BeginCallsRequest, BeginVerdict, Heartbeat, Lease, LeaseCallsRequest, LeaseCallsResponse, Open, Outcome,
        OutcomeReport, Received, ReportOutcomesRequest, ReportVerdict, lease_calls_request::Message as Say,
        lease_calls_response::Message as Heard, scheduler_service_client::SchedulerServiceClient,
    },
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::AsyncReadExt as _,
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use uuid::Uuid;

use super::{Fallible, world};

/// The first argument of a dialers' process.
pub const ARGUMENT: &str = "play-dialers";
/// What it says when all its sessions are open.
pub const OPEN: &str = "open";

const HEARTBEAT_EVERY: Duration = Duration::from_secs(4);
const LINGER: Duration = Duration::from_millis(300);

/// What a process has done.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Outcomes accepted.
    pub lives: usize,
    /// Permits and outcomes that were not given or not accepted.
    pub refused: usize,
    /// Permits that were asked for too early for the calls per second, and asked for again.
    pub waits: usize,
    /// Messages and calls that it took.
    pub grants: usize,
    /// Calls of BeginCalls.
    pub begins: usize,
    /// Calls of ReportOutcomes.
    pub reports: usize,
    /// Per promised callback: instant due to Granted, in microseconds.
    pub callback_us: Vec<i64>,
}

/// What the sessions of a process share.
#[derive(Default)]
struct Desk {
    tally: Mutex<Tally>,
    calls: AtomicUsize,
}

impl fmt::Display for Tally {
    #[allow(clippy::cast_precision_loss)]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { lives, refused, waits, .. } = self;
        let per = |calls: usize| *lives as f64 / calls.max(1) as f64;
        let [grant, permit, outcome] = [self.grants, self.begins, self.reports].map(per);
        write!(f, "{lives} lives, {refused} refused, {waits} told to wait; leases per grant {grant:.1}, ")?;
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

/// Plays dialers until standard input closes; then says what they did. Arguments: server, campaign, sessions, slots,
/// leases per call.
pub async fn play(args: &[String]) -> Fallible<()> {
    let [server, campaign, sessions, slots, batch] = args else { return Err("five arguments".into()) };
    let (sessions, slots, batch): (usize, i32, usize) = (sessions.parse()?, slots.parse()?, batch.parse()?);
    let desk = Arc::new(Desk::default());
    let mut running = JoinSet::new();
    for _ in 0..sessions {
        // A connection each, as dialers have.
        let client = SchedulerServiceClient::new(world::connect(server).await?);
        let open = Open {
            dialer_id: "bench".into(),
            session_id: Uuid::new_v4().to_string(),
            campaign_ids: vec![campaign.clone()],
            slots,
            held: Vec::new(),
        };
        let (opened, is_open) = tokio::sync::oneshot::channel();
        running.spawn(dial(client, open, batch, Arc::clone(&desk), opened));
        if is_open.await.is_err() {
            break;
        }
    }
    if running.len() == sessions {
        println!("{OPEN}");
    }
    let mut nothing = [0; 1];
    let mut stdin = tokio::io::stdin();
    tokio::select! {
        // The last answers are on their way.
        () = async { let _ = stdin.read(&mut nothing).await; tokio::time::sleep(LINGER).await } => {}
        // None of them ends by itself.
        Some(ended) = running.join_next() => ended??,
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
    opened: tokio::sync::oneshot::Sender<()>,
) -> Fallible<()> {
    let session_id = open.session_id.clone();
    let (sender, outgoing) = mpsc::channel(256);
    let say = |message| LeaseCallsRequest { message: Some(message) };
    sender.send(say(Say::Open(open))).await?;
    let mut stream = client.lease_calls(ReceiverStream::new(outgoing)).await?.into_inner();
    let (leased, to_begin) = mpsc::unbounded_channel();
    let (begun, to_report) = mpsc::unbounded_channel();
    let mut opened = Some(opened);
    let mut heartbeat = tokio::time::interval(HEARTBEAT_EVERY);
    let listen = async {
        loop {
            tokio::select! {
                message = stream.message() => match message? {
                    None => return Err("the engine ended the stream".into()),
                    Some(LeaseCallsResponse { message: Some(Heard::Opened(_)) }) => {
                        if let Some(opened) = opened.take() {
                            let _ = opened.send(());
                        }
                    }
                    Some(LeaseCallsResponse { message: Some(Heard::Granted(granted)) }) => {
                        note_promises(&desk, &granted.leases);
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
    let report = report(client.clone(), to_report, batch, &desk);
    tokio::try_join!(listen, begin, report).map(|((), (), ())| ())
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
                (BeginVerdict::Permitted, _) => begun.send(result.lease_id)?,
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
) -> Fallible<()> {
    loop {
        let mut lease_ids = Vec::new();
        if calls.recv_many(&mut lease_ids, batch).await == 0 {
            return Ok(());
        }
        let report = |lease_id| OutcomeReport { lease_id, outcome: desk.outcome().into(), ..OutcomeReport::default() };
        let request = ReportOutcomesRequest { reports: lease_ids.into_iter().map(report).collect() };
        let results = client.report_outcomes(request).await?.into_inner().results;
        let accepted = results.iter().filter(|result| result.verdict() == ReportVerdict::Accepted).count();
        desk.note(|tally| {
            tally.reports += 1;
            tally.lives += accepted;
            tally.refused += results.len() - accepted;
        });
    }
}
