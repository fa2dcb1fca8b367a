//! One simulated dialer, a process of its own: leases over the stream, a permit before each ring, a report after.
//!
//! Nothing here knows the engine: this is what a dialer in any language does.

use std::{
    fs::{File, OpenOptions},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use uuid::Uuid;

use super::{
    Client, Error,
    carrier::{CALLBACK_AHEAD, Call, Carrier},
    log::{self, CallRecord, now_us},
    stop_requested,
};
use crate::pb::{
    BeginCallsRequest, BeginResult, BeginVerdict, Drain, Heartbeat, Lease, LeaseCallsRequest, LeaseCallsResponse, Open,
    Outcome, OutcomeReport, Received, ReportOutcomesRequest, lease_calls_request::Message as Say,
    lease_calls_response::Message as Heard, scheduler_service_client::SchedulerServiceClient,
};

/// Tries for a call to the server before the dialer gives up.
const TRIES_MAX: u32 = 6;

/// Arguments of the hidden command.
#[derive(Clone, clap::Args)]
pub struct DialerArgs {
    /// The campaign to lease from
    #[arg(long)]
    pub campaign: String,
    /// Calls at once
    #[arg(long)]
    pub slots: i32,
    /// Where to write the log
    #[arg(long)]
    pub log: PathBuf,
    /// Seed of the simulated carrier
    #[arg(long)]
    pub seed: u64,
    /// The dialer's name
    #[arg(long)]
    pub name: String,
}

/// What all calls of the process share.
struct Dialer {
    scheduler: SchedulerServiceClient<Channel>,
    session_id: String,
    carrier: Mutex<Carrier>,
    log: Mutex<File>,
}

/// Dials until it is asked to stop, then ends what it holds.
pub async fn run(args: DialerArgs, client: &Client) -> Result<(), Error> {
    let mut scheduler = client.connect().await?.scheduler;
    let log = OpenOptions::new().create(true).append(true).open(&args.log);
    let dialer = Arc::new(Dialer {
        scheduler: scheduler.clone(),
        session_id: Uuid::new_v4().to_string(),
        carrier: Mutex::new(Carrier::new(args.seed)),
        log: Mutex::new(log.map_err(Error::io(args.log.display().to_string()))?),
    });
    let (sender, receiver) = mpsc::channel(64);
    let open = Open {
        dialer_id: args.name,
        session_id: dialer.session_id.clone(),
        campaign_ids: vec![args.campaign],
        slots: args.slots,
        held: Vec::new(),
    };
    say(&sender, Say::Open(open)).await;
    let mut stream = scheduler.lease_calls(ReceiverStream::new(receiver)).await?.into_inner();
    let mut calls = JoinSet::new();
    let mut heartbeat = interval(Duration::from_secs(1));
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(stop_requested());
    let mut draining = false;
    loop {
        tokio::select! {
            message = stream.message() => match message? {
                None => break,
                Some(LeaseCallsResponse { message: Some(Heard::Opened(opened)) }) => {
                    let ttl = opened.session_ttl.and_then(|ttl| Duration::try_from(ttl).ok());
                    heartbeat = interval((ttl.unwrap_or_default() / 4).max(Duration::from_millis(100)));
                }
                Some(LeaseCallsResponse { message: Some(Heard::Granted(granted)) }) => {
                    let granted_us = now_us();
                    let lease_ids = granted.leases.iter().map(|lease| lease.lease_id.clone()).collect();
                    say(&sender, Say::Received(Received { lease_ids })).await;
                    for lease in granted.leases {
                        calls.spawn(dialer.clone().work(lease, granted_us));
                    }
                }
                // A revoked lease gets no permit, so its task hears of it. The others need no answer.
                Some(_) => {}
            },
            _ = heartbeat.tick() => say(&sender, Say::Heartbeat(Heartbeat {})).await,
            () = &mut stop, if !draining => {
                draining = true;
                say(&sender, Say::Drain(Drain {})).await;
            }
            Some(done) = calls.join_next() => ended(done)?,
        }
    }
    while let Some(done) = calls.join_next().await {
        ended(done)?;
    }
    if draining { Ok(()) } else { Err(Error::Failed("the engine ended the stream".into())) }
}

/// A send that fails means that the stream is over, which the receiving side reports.
async fn say(sender: &mpsc::Sender<LeaseCallsRequest>, message: Say) {
    let _ = sender.send(LeaseCallsRequest { message: Some(message) }).await;
}

fn ended(done: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    done.unwrap_or_else(|error| Err(Error::Failed(error.to_string())))
}

impl Dialer {
    /// One lease: permit, ring, report.
    async fn work(self: Arc<Self>, lease: Lease, granted_us: u64) -> Result<(), Error> {
        let Some(dead_at) = self.permit(&lease).await? else {
            return Ok(());
        };
        let begun_us = now_us();
        let mut call = lock(&self.carrier).place();
        if Instant::now() >= dead_at {
            // The permit came too late: somebody else may be allowed by now, so nothing rings.
            call = Call { outcome: Outcome::NotPlaced, ring: Duration::ZERO, talk: Duration::ZERO };
        }
        sleep(call.ring + call.talk).await;
        let ended_us = now_us();
        let callback = call.outcome == Outcome::CallbackRequested;
        let promises_us = callback.then(|| ended_us + CALLBACK_AHEAD.as_micros() as u64);
        let record = CallRecord {
            lease_id: lease.lease_id.clone(),
            lead_id: lease.lead_id.clone(),
            granted_us,
            begun_us,
            ended_us,
            outcome: crate::cli::views::outcome(call.outcome.into()),
            promises_us,
            promised_us: lease.callback_at.map(|at| at.seconds as u64 * 1_000_000 + at.nanos as u64 / 1_000),
        };
        log::append(&mut lock(&self.log), &record)?;
        self.report(&lease, &call, ended_us, promises_us).await
    }

    /// Asks until the answer is yes or no. Yes: the instant at which the permit is dead.
    async fn permit(&self, lease: &Lease) -> Result<Option<Instant>, Error> {
        let nonce = Uuid::new_v4().to_string();
        loop {
            let request = BeginCallsRequest {
                session_id: self.session_id.clone(),
                lease_ids: vec![lease.lease_id.clone()],
                nonce: nonce.clone(),
            };
            // Counted from sending: the engine's clock for the permit started later than that.
            let sent = Instant::now();
            let answer = retried(|| begin(self.scheduler.clone(), request.clone())).await?;
            let result = answer.into_iter().next().unwrap_or_default();
            match result.verdict() {
                BeginVerdict::Permitted => {
                    let within = result.dial_within.and_then(|within| Duration::try_from(within).ok());
                    return Ok(Some(sent + within.unwrap_or_default()));
                }
                BeginVerdict::Wait => {
                    let pause = result.retry_after.and_then(|pause| Duration::try_from(pause).ok());
                    sleep(pause.unwrap_or(Duration::from_millis(100))).await;
                }
                BeginVerdict::Refused | BeginVerdict::Unspecified => return Ok(None),
            }
        }
    }

    async fn report(&self, lease: &Lease, call: &Call, ended_us: u64, promises_us: Option<u64>) -> Result<(), Error> {
        let length = |of: Duration| prost_types::Duration::try_from(of).ok();
        let outcome = OutcomeReport {
            lease_id: lease.lease_id.clone(),
            outcome: call.outcome.into(),
            occurred_at: Some(instant(ended_us)),
            provider_call_id: format!("demo-{}", lease.lease_id),
            talk_duration: length(call.talk),
            ring_duration: length(call.ring),
            callback_at: promises_us.map(instant),
            ..OutcomeReport::default()
        };
        retried(|| report(self.scheduler.clone(), outcome.clone())).await
    }
}

async fn begin(
    mut scheduler: SchedulerServiceClient<Channel>,
    request: BeginCallsRequest,
) -> Result<Vec<BeginResult>, Error> {
    Ok(scheduler.begin_calls(request).await?.into_inner().results)
}

async fn report(mut scheduler: SchedulerServiceClient<Channel>, report: OutcomeReport) -> Result<(), Error> {
    let request = ReportOutcomesRequest { reports: vec![report] };
    scheduler.report_outcomes(request).await?;
    Ok(())
}

/// Permits carry a nonce and reports a lease_id, so that either can be sent again without harm.
async fn retried<T, F>(call: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut tries = 0;
    loop {
        match call().await {
            Err(error) if error.is_transient() && tries < TRIES_MAX => {
                sleep(error.retry_after().unwrap_or(Duration::from_millis(100 << tries))).await;
                tries += 1;
            }
            done => return done,
        }
    }
}

fn instant(us: u64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: (us / 1_000_000) as i64, nanos: (us % 1_000_000 * 1_000) as i32 }
}

/// A panic elsewhere leaves a generator and a file that are still good.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
