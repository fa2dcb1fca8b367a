//! Two engines on one database lease 20,000 leads to eight dialers: none twice at once, no cap exceeded, all reported.
//! Checked three times: by the dialers' own logs, by the leases on record, and by looking while it goes on.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use dialplane::pb::{
    self, lease_calls_request, lease_calls_response, scheduler_service_client::SchedulerServiceClient,
};
use futures::FutureExt as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::support::{
    Replica, World,
    database::{Database, connect},
    dialer::Dialer,
    lead, new_id, retry, rules, settings,
};

const LEADS: usize = 20_000;
const DIALERS: u64 = 8;
const SLOTS: i32 = 100;
const ENGINE_CAP: i32 = 500;
const CAMPAIGN_CAPS: [i32; 2] = [300, 350];

/// One call as its dialer knows it: from the grant's arrival to before its report is sent.
struct Call {
    campaign: String,
    number: String,
    from: Instant,
    to: Instant,
}

#[derive(Default)]
struct Log {
    calls: Vec<Call>,
    leases: HashSet<String>,
    accepted: usize,
    counted: usize,
    /// Leases that were taken back before their permit, as on a starved machine.
    refused: usize,
}

/// Retries come back within the test; a third of the leads need one.
fn outcome(rng: &mut StdRng) -> pb::Outcome {
    match rng.random_range(0..100) {
        0..40 => pb::Outcome::IntentNo,
        40..65 => pb::Outcome::IntentYes,
        65..80 => pb::Outcome::NoAnswer,
        80..90 => pb::Outcome::Busy,
        90..95 => pb::Outcome::Failed,
        _ => pb::Outcome::NotPlaced,
    }
}

fn campaign_rules(cap: i32) -> pb::CampaignRules {
    let soon = Duration::from_millis(500);
    let outcomes = [pb::Outcome::NoAnswer, pb::Outcome::Busy, pb::Outcome::Failed, pb::Outcome::NotPlaced];
    pb::CampaignRules {
        max_attempts: Some(3),
        max_concurrency: Some(cap),
        retry_rules: outcomes.into_iter().map(|outcome| retry(outcome, soon)).collect(),
        ..rules()
    }
}

/// Calls whoever is granted until `over`: receipt, permits in one call, outcomes in one call.
async fn dial(replica: String, seed: u64, over: Arc<AtomicBool>) -> Log {
    let channel = Endpoint::from_shared(replica).unwrap().connect().await.unwrap();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut log = Log::default();
    let mut dialer = Dialer::open(SchedulerServiceClient::new(channel), &[], SLOTS).await;
    while !over.load(Ordering::Relaxed) {
        let Ok(message) = timeout(Duration::from_millis(50), dialer.next()).await else {
            dialer.heartbeat().await;
            continue;
        };
        let mut leases = granted(message.unwrap());
        // What waits in the stream is taken together.
        while let Some(message) = dialer.next().now_or_never() {
            leases.extend(granted(message.unwrap()));
        }
        if !leases.is_empty() {
            call(&mut dialer, &mut rng, &mut log, leases).await;
        }
    }
    log
}

fn granted(message: lease_calls_response::Message) -> Vec<pb::Lease> {
    match message {
        lease_calls_response::Message::Granted(granted) => granted.leases,
        lease_calls_response::Message::Revoked(revoked) => {
            println!("{} leases revoked: {:?}", revoked.lease_ids.len(), revoked.reason());
            Vec::new()
        }
        _ => Vec::new(),
    }
}

async fn call(dialer: &mut Dialer, rng: &mut StdRng, log: &mut Log, leases: Vec<pb::Lease>) {
    let from = Instant::now();
    let lease_ids: Vec<String> = leases.iter().map(|lease| lease.lease_id.clone()).collect();
    for lease in &lease_ids {
        assert!(log.leases.insert(lease.clone()), "lease {lease} was granted twice");
    }
    dialer.say(lease_calls_request::Message::Received(pb::Received { lease_ids: lease_ids.clone() })).await;
    let request = pb::BeginCallsRequest { session_id: dialer.session_id.clone(), lease_ids, nonce: new_id() };
    let begun = dialer.client.begin_calls(request).await.unwrap().into_inner().results;
    let permitted = |lease: &pb::Lease| {
        begun.iter().any(|one| one.lease_id == lease.lease_id && one.verdict() == pb::BeginVerdict::Permitted)
    };
    let (calls, refused): (Vec<_>, Vec<_>) = leases.into_iter().partition(permitted);
    log.refused += refused.len();
    if !calls.is_empty() {
        report(dialer, rng, log, calls, from).await;
    }
}

async fn report(dialer: &mut Dialer, rng: &mut StdRng, log: &mut Log, leases: Vec<pb::Lease>, from: Instant) {
    let to = Instant::now();
    let outcomes: Vec<pb::Outcome> = leases.iter().map(|_| outcome(rng)).collect();
    let report = |(lease, outcome): (&pb::Lease, &pb::Outcome)| pb::OutcomeReport {
        lease_id: lease.lease_id.clone(),
        outcome: (*outcome).into(),
        ..Default::default()
    };
    let reports = leases.iter().zip(&outcomes).map(report).collect();
    let answer = dialer.client.report_outcomes(pb::ReportOutcomesRequest { reports }).await.unwrap().into_inner();
    assert!(answer.results.iter().all(|one| one.verdict() == pb::ReportVerdict::Accepted), "{:?}", answer.results);
    log.accepted += answer.results.len();
    log.counted += outcomes.iter().filter(|outcome| **outcome != pb::Outcome::NotPlaced).count();
    log.calls.extend(leases.into_iter().map(|lease| Call {
        campaign: lease.campaign_id,
        number: lease.number,
        from,
        to,
    }));
}

/// The most that ever went on at once. Ends come before starts of the same instant.
fn peak<T: Ord + Copy>(spans: impl Iterator<Item = (T, T)>) -> i64 {
    let mut steps: BTreeMap<(T, bool), i64> = BTreeMap::new();
    for (from, to) in spans {
        *steps.entry((from, true)).or_default() += 1;
        *steps.entry((to, false)).or_default() -= 1;
    }
    let (mut now, mut most) = (0, 0);
    for step in steps.values() {
        now += step;
        most = most.max(now);
    }
    most
}

/// Looks at live leases and caps, each time in one statement, that is in one snapshot. Returns looks and the fullest one.
async fn sample(url: String, over: Arc<AtomicBool>) -> (usize, i64) {
    let sql = connect(&url).await;
    let look = sql
        .prepare(
            "select (select count(*) from lease) as live, (select max_concurrency from setting)::bigint as cap, \
                 (select g.dialing::bigint from gauge g where g.campaign_id = 0) as gauge, \
                 (select count(*) from campaign c where c.max_concurrency < \
                     (select count(*) from lease z where z.campaign_id = c.campaign_id)) as above, \
                 (select count(*) from gauge g where g.campaign_id > 0 and g.dialing <> \
                     (select count(*) from lease z where z.campaign_id = g.campaign_id)) as drifted, \
                 (select count(*) - count(distinct number) from lease) as twice",
        )
        .await
        .unwrap();
    let (mut looks, mut most) = (0, 0);
    while !over.load(Ordering::Relaxed) {
        let row = sql.query_one(&look, &[]).await.unwrap();
        let (live, cap, gauge): (i64, i64, i64) = (row.get("live"), row.get("cap"), row.get("gauge"));
        assert!(live <= cap, "{live} live leases under a cap of {cap}");
        assert_eq!(live, gauge, "the engine's gauge");
        for wrong in ["above", "drifted", "twice"] {
            assert_eq!(row.get::<_, i64>(wrong), 0, "campaigns or leases {wrong}");
        }
        looks += 1;
        most = most.max(live);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (looks, most)
}

async fn fill(world: &mut World) -> [String; 2] {
    let mut campaigns = Vec::new();
    for (index, cap) in CAMPAIGN_CAPS.into_iter().enumerate() {
        let campaign = world.draft(campaign_rules(cap)).await;
        let half = LEADS / 2;
        for first in (index * half..(index + 1) * half).step_by(1000) {
            world.add(&campaign, (first..first + 1000).map(lead).collect()).await;
        }
        campaigns.push(campaign);
    }
    [campaigns.remove(0), campaigns.remove(0)]
}

/// Waits until no lead can be called any more: whoever is left has had their attempts. As long as calls end, it waits.
async fn all_done(database: &Database) {
    let open = "select count(*) from lead_view v join campaign c using (campaign_id) \
                where v.state in (2, 3, 8) or v.state in (1, 6, 7) and v.attempts < c.max_attempts";
    let (mut ended, mut since) = (0, Instant::now());
    // Cheap first: the view walks every lead.
    let busy = "select sum(eligible + ready + dialing)::bigint from gauge where campaign_id > 0";
    while database.count(busy).await > 0 || database.count(open).await > 0 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = database.count("select count(*) from call_attempt").await;
        if now > ended {
            (ended, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < crate::support::PATIENCE, "nothing goes on after {ended} calls");
    }
}

fn check_logs(logs: &[Log], campaigns: &[String; 2]) {
    let calls: Vec<&Call> = logs.iter().flat_map(|log| &log.calls).collect();
    let most = peak(calls.iter().map(|call| (call.from, call.to)));
    assert!(most <= i64::from(ENGINE_CAP), "the dialers held {most} at once");
    for (campaign, cap) in campaigns.iter().zip(CAMPAIGN_CAPS) {
        let most = peak(calls.iter().filter(|call| call.campaign == *campaign).map(|call| (call.from, call.to)));
        assert!(most <= i64::from(cap), "the dialers held {most} of a campaign with a cap of {cap}");
    }
    let mut numbers: HashMap<&str, Vec<(Instant, Instant)>> = HashMap::new();
    for call in &calls {
        numbers.entry(&call.number).or_default().push((call.from, call.to));
    }
    assert_eq!(numbers.len(), LEADS, "everyone was called");
    assert!(numbers.values().all(|spans| peak(spans.iter().copied()) == 1), "a number was called twice at once");
}

async fn check_record(database: &Database, logs: &[Log]) {
    let accepted: usize = logs.iter().map(|log| log.accepted).sum();
    let counted: usize = logs.iter().map(|log| log.counted).sum();
    assert_eq!(database.count("select count(*) from call_attempt where outcome is not null").await, accepted as i64);
    assert_eq!(database.count("select sum(attempts)::bigint from gauge").await, counted as i64);
    assert_eq!(database.count("select sum(attempts_total)::bigint from lead").await, counted as i64);
    let rows = database
        .sql
        .query(
            "select campaign_id, number, granted_at, ended_at from call_attempt join lead using (campaign_id, lead_id)",
            &[],
        )
        .await
        .unwrap();
    let spans: Vec<(i32, i64, std::time::SystemTime, std::time::SystemTime)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
    let most = peak(spans.iter().map(|span| (span.2, span.3)));
    assert!(most <= i64::from(ENGINE_CAP), "{most} leases lived at once");
    for (key, cap) in (1..).zip(CAMPAIGN_CAPS) {
        let most = peak(spans.iter().filter(|span| span.0 == key).map(|span| (span.2, span.3)));
        assert!(most <= i64::from(cap), "{most} leases of a campaign with a cap of {cap} lived at once");
    }
    let mut numbers: HashMap<i64, Vec<_>> = HashMap::new();
    for span in &spans {
        numbers.entry(span.1).or_default().push((span.2, span.3));
    }
    assert!(numbers.values().all(|spans| peak(spans.iter().copied()) == 1), "a number was leased twice at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_engines_lease_twenty_thousand_leads_to_eight_dialers_none_twice_and_within_all_caps() {
    let seed: u64 = rand::rng().random_range(0..1_000_000);
    println!("seed {seed}");
    if std::env::var("RUST_LOG").is_ok() {
        dialplane::telemetry::start(false);
    }
    let fill_settings = dialplane::domain::settings::SchedulerSettings { max_concurrency: ENGINE_CAP, ..settings() };
    let mut world = World::with(fill_settings).await;
    let other: Replica = world.another_engine().await;
    let campaigns = fill(&mut world).await;
    let over = Arc::new(AtomicBool::new(false));
    let sampled = tokio::spawn(sample(world.database.url.clone(), Arc::clone(&over)));
    let addresses = [world.replica.running.address, other.running.address];
    let mut dialers = tokio::task::JoinSet::new();
    for n in 0..DIALERS {
        let address = format!("http://{}", addresses[n as usize % 2]);
        dialers.spawn(dial(address, seed + n, Arc::clone(&over)));
    }
    let started = Instant::now();
    for campaign in &campaigns {
        world.run(campaign).await;
    }
    all_done(&world.database).await;
    let took = started.elapsed();
    over.store(true, Ordering::Relaxed);
    let logs: Vec<Log> = dialers.join_all().await;
    let (looks, most) = sampled.await.unwrap();
    let accepted: usize = logs.iter().map(|log| log.accepted).sum();
    let refused: usize = logs.iter().map(|log| log.refused).sum();
    println!(
        "{accepted} calls, {refused} leases without a permit in {took:?}, {:.0}/s; {looks} looks, at most {most} live",
        accepted as f64 / took.as_secs_f64()
    );
    assert!(logs.iter().all(|log| log.accepted > 0), "every dialer had work");
    check_logs(&logs, &campaigns);
    check_record(&world.database, &logs).await;
    world.check().await;
    other.running.stop().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_engine_that_leaves_had_ready_is_leased_by_another() {
    let mut world = World::start().await;
    let other = world.another_engine().await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 5).await;
    let first = Dialer::open(other.scheduler.clone(), &[&campaign], 1).await;
    let ready = "select count(*) from ready_lead";
    crate::support::eventually("the buffer is full", || async {
        (world.database.count(ready).await > 0).then_some(())
    })
    .await;
    other.running.stop().await.unwrap();
    drop(first);
    let mut second = world.dialer(&campaign, 5).await;
    let leased = second.leases(leads.len()).await;
    assert_eq!(leased.iter().map(|lease| &lease.lead_id).collect::<HashSet<_>>().len(), leads.len());
    world.check().await;
    world.stop().await;
}
