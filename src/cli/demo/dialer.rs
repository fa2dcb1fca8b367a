//! One simulated dialer, a process of its own: leases over the stream, a permit before each ring, a report after.
//!
//! Nothing here knows the engine: this is what a dialer in any language does.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout_at},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, transport::Channel};
use uuid::Uuid;

use super::{
    Client, Error,
    carrier::{CALLBACK_AHEAD, Call, Carrier},
    log::{self, CallRecord, now_us},
    stop_requested,
};
use crate::pb::{
    BeginCallsRequest, BeginResult, BeginVerdict, Drain, Heartbeat, HeldLease, Lease, LeaseCallsRequest,
    LeaseCallsResponse, Open, Outcome, OutcomeReport, Received, ReportOutcomesRequest,
    lease_calls_request::Message as Say, lease_calls_response::Message as Heard,
    scheduler_service_client::SchedulerServiceClient,
};

/// Tries for a call to the server before the dialer gives up.
const TRIES_MAX: u32 = 6;
/// The session's ttl until the engine tells it.
const FIRST_TTL: Duration = Duration::from_secs(5);

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
    /// Leases, and whether they have a permit.
    held: Mutex<HashMap<String, bool>>,
    log: Mutex<File>,
}

/// Dials until it is asked to stop, then ends what it holds. A stream that breaks, or on which the engine is silent, is opened
/// anew with what is held.
pub async fn run(args: DialerArgs, client: &Client) -> Result<(), Error> {
    let log = OpenOptions::new().create(true).append(true).open(&args.log);
    let dialer = Arc::new(Dialer {
        scheduler: client.connect().await?.scheduler,
        session_id: Uuid::new_v4().to_string(),
        carrier: Mutex::new(Carrier::new(args.seed)),
        held: Mutex::default(),
        log: Mutex::new(log.map_err(Error::io(args.log.display().to_string()))?),
    });
    let mut calls = JoinSet::new();
    let mut stop = std::pin::pin!(stop_requested());
    let mut draining = false;
    let mut tries = 0;
    loop {
        match dialer.listen(&args, &mut calls, &mut stop, &mut draining, &mut tries).await {
            Err(error) if error.is_transient() && tries < TRIES_MAX => {
                sleep(Duration::from_millis(100 << tries)).await;
                tries += 1;
            }
            done => {
                while let Some(done) = calls.join_next().await {
                    ended(done)?;
                }
                return done;
            }
        }
    }
}

fn heartbeats(ttl: Duration) -> Interval {
    let mut heartbeat = interval((ttl / 4).max(Duration::from_millis(100)));
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat
}

fn silent() -> Status {
    Status::unavailable("the engine was silent for session_ttl")
}

fn leaving() -> Error {
    Status::unavailable("the engine is leaving").into()
}

/// A send that fails means that the stream is over, which the receiving side reports.
async fn say(sender: &mpsc::Sender<LeaseCallsRequest>, message: Say) {
    let _ = sender.send(LeaseCallsRequest { message: Some(message) }).await;
}

fn ended(done: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    done.unwrap_or_else(|error| Err(Error::Failed(error.to_string())))
}

impl Dialer {
    /// One stream, to its end.
    async fn listen(
        self: &Arc<Self>,
        args: &DialerArgs,
        calls: &mut JoinSet<Result<(), Error>>,
        stop: &mut (impl Future<Output = ()> + Unpin),
        draining: &mut bool,
        tries: &mut u32,
    ) -> Result<(), Error> {
        let (sender, receiver) = mpsc::channel(64);
        let held =
            lock(&self.held).iter().map(|(id, begun)| HeldLease { lease_id: id.clone(), begun: *begun }).collect();
        let open = Open {
            dialer_id: args.name.clone(),
            session_id: self.session_id.clone(),
            campaign_ids: vec![args.campaign.clone()],
            slots: args.slots,
            held,
        };
        say(&sender, Say::Open(open)).await;
        if *draining {
            say(&sender, Say::Drain(Drain {})).await;
        }
        let mut stream = self.scheduler.clone().lease_calls(ReceiverStream::new(receiver)).await?.into_inner();
        let mut ttl = FIRST_TTL;
        let mut heartbeat = heartbeats(ttl);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                message = timeout_at(heard + ttl, stream.message()) => {
                heard = Instant::now();
                match message.unwrap_or_else(|_| Err(silent()))? {
                    None if *draining => return Ok(()),
                    None => return Err(Error::Failed("the engine ended the stream".into())),
                    Some(LeaseCallsResponse { message: Some(Heard::Opened(opened)) }) => {
                        ttl = opened.session_ttl.and_then(|ttl| Duration::try_from(ttl).ok()).unwrap_or(ttl);
                        heartbeat = heartbeats(ttl);
                        *tries = 0;
                    }
                    Some(LeaseCallsResponse { message: Some(Heard::Granted(granted)) }) => {
                        let granted_us = now_us();
                        let lease_ids: Vec<String> = granted.leases.iter().map(|lease| lease.lease_id.clone()).collect();
                        lock(&self.held).extend(lease_ids.iter().map(|id| (id.clone(), false)));
                        say(&sender, Say::Received(Received { lease_ids })).await;
                        for lease in granted.leases {
                            calls.spawn(self.clone().work(lease, granted_us));
                        }
                    }
                    Some(LeaseCallsResponse { message: Some(Heard::GoAway(_)) }) => return Err(leaving()),
                    // A lease that was revoked or dropped gets no permit, so its task hears of it. The others need no
                    // answer.
                    Some(_) => {}
                }},
                _ = heartbeat.tick() => say(&sender, Say::Heartbeat(Heartbeat {})).await,
                () = &mut *stop, if !*draining => {
                    *draining = true;
                    say(&sender, Say::Drain(Drain {})).await;
                }
                Some(done) = calls.join_next() => ended(done)?,
            }
        }
    }

    /// One lease, to its end.
    async fn work(self: Arc<Self>, lease: Lease, granted_us: u64) -> Result<(), Error> {
        let done = self.call(&lease, granted_us).await;
        lock(&self.held).remove(&lease.lease_id);
        done
    }

    /// Permit, ring, report.
    async fn call(&self, lease: &Lease, granted_us: u64) -> Result<(), Error> {
        let Some(dead_at) = self.permit(lease).await? else {
            return Ok(());
        };
        lock(&self.held).insert(lease.lease_id.clone(), true);
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
        self.report(lease, &call, ended_us, promises_us).await
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
