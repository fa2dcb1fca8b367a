//! kill -9 of the real program under load: what was acknowledged is on record, what was not is not, and capacity returns.

use std::{
    collections::HashSet,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dialplane::{
    embedded::EmbeddedPostgres,
    pb::{
        self, campaign_service_client::CampaignServiceClient, lease_calls_request, lease_calls_response,
        scheduler_service_client::SchedulerServiceClient,
    },
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use crate::support::{
    PATIENCE,
    database::{Database, connect},
    dialer::Dialer,
    eventually, lead, new_id, retry, rules,
};

/// The program, killed when the test ends in whatever way.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    fn start(database: &[&str]) -> Program {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(env!("CARGO_BIN_EXE_dialplane"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .args(database)
            // More than the calls that all kills together may leave begun.
            .env("MAX_CONCURRENCY", "1000")
            .env_remove("DATABASE_URL")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Program { child, url: format!("http://127.0.0.1:{port}") }
    }

    /// kill -9.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(self.url.clone()).unwrap();
        eventually("the program listens", || async { endpoint.connect().await.ok() }).await
    }

    async fn campaigns(&self) -> CampaignServiceClient<Channel> {
        CampaignServiceClient::new(self.channel().await)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a dialer was told before the engine died.
#[derive(Default)]
struct Log {
    permitted: HashSet<Uuid>,
    /// Reports asked for, and those acknowledged.
    asked: HashSet<Uuid>,
    acknowledged: HashSet<Uuid>,
}

impl Log {
    fn extend(&mut self, other: Log) {
        self.permitted.extend(other.permitted);
        self.asked.extend(other.asked);
        self.acknowledged.extend(other.acknowledged);
    }
}

/// Reads outcomes, over as many lives of the engine as there are.
#[derive(Default)]
struct Reader {
    cursor: String,
    seen: Vec<Uuid>,
}

impl Reader {
    /// Follows until the engine is gone.
    async fn follow(self, client: CampaignServiceClient<Channel>) -> Reader {
        self.until(client, usize::MAX).await
    }

    /// Follows until so many were seen, or the engine is gone.
    async fn until(mut self, mut client: CampaignServiceClient<Channel>, events: usize) -> Reader {
        let request = pb::StreamOutcomesRequest { cursor: self.cursor.clone(), follow: true, ..Default::default() };
        let mut stream = client.stream_outcomes(request).await.unwrap().into_inner();
        while self.seen.len() < events {
            let Ok(Some(message)) = stream.message().await else { break };
            self.cursor = message.cursor;
            self.seen.extend(message.event.map(|event| event.lease_id.parse::<Uuid>().unwrap()));
        }
        self
    }
}

/// Leases, begins, reports most and keeps some begun, until the engine is gone or `over`.
async fn dial(client: SchedulerServiceClient<Channel>, seed: u64, silent: f64, over: Arc<AtomicBool>) -> Log {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut log = Log::default();
    let Ok(mut dialer) = Dialer::try_open(client, &[], 20, &new_id()).await else { return log };
    while !over.load(Ordering::Relaxed) {
        let message = match tokio::time::timeout(Duration::from_millis(100), dialer.next()).await {
            Ok(Ok(message)) => message,
            Ok(Err(_)) => break,
            Err(_) => continue,
        };
        let lease_calls_response::Message::Granted(granted) = message else { continue };
        let lease_ids: Vec<String> = granted.leases.iter().map(|lease| lease.lease_id.clone()).collect();
        dialer.try_say(lease_calls_request::Message::Received(pb::Received { lease_ids: lease_ids.clone() })).await;
        let request = pb::BeginCallsRequest { session_id: dialer.session_id.clone(), lease_ids, nonce: new_id() };
        let Ok(begun) = dialer.client.begin_calls(request).await else { break };
        let permitted =
            begun.into_inner().results.into_iter().filter(|one| one.verdict() == pb::BeginVerdict::Permitted);
        let permitted: Vec<String> = permitted.map(|one| one.lease_id).collect();
        log.permitted.extend(permitted.iter().map(|lease| lease.parse::<Uuid>().unwrap()));
        let reports: Vec<pb::OutcomeReport> = permitted
            .into_iter()
            .filter(|_| !rng.random_bool(silent))
            .map(|lease_id| pb::OutcomeReport { lease_id, outcome: pb::Outcome::NoAnswer.into(), ..Default::default() })
            .collect();
        if reports.is_empty() {
            continue;
        }
        let leases: Vec<Uuid> = reports.iter().map(|report| report.lease_id.parse().unwrap()).collect();
        log.asked.extend(&leases);
        let Ok(answer) = dialer.client.report_outcomes(pb::ReportOutcomesRequest { reports }).await else { break };
        assert!(answer.into_inner().results.iter().all(|one| one.verdict() == pb::ReportVerdict::Accepted));
        log.acknowledged.extend(&leases);
    }
    log
}

async fn create(campaigns: &mut CampaignServiceClient<Channel>, leads: usize) {
    let rules =
        pb::CampaignRules { retry_rules: vec![retry(pb::Outcome::NoAnswer, Duration::from_secs(1))], ..rules() };
    let rules = pb::CampaignRules { max_attempts: Some(100), ..rules };
    let request = pb::CreateCampaignRequest { name: "crash".into(), rules: Some(rules), ..Default::default() };
    let campaign_id = campaigns.create_campaign(request).await.unwrap().into_inner().campaign.unwrap().campaign_id;
    let leads = (0..leads).map(lead).collect();
    campaigns
        .create_leads(pb::CreateLeadsRequest { campaign_id: campaign_id.clone(), leads, ..Default::default() })
        .await
        .unwrap();
    campaigns.start_campaign(pb::StartCampaignRequest { campaign_id, ..Default::default() }).await.unwrap();
}

/// What dialers know and what the database knows are the same.
async fn check(sql: &tokio_postgres::Client, log: &Log, seed: u64) {
    let ids = |rows: Vec<tokio_postgres::Row>| rows.iter().map(|row| row.get(0)).collect::<HashSet<Uuid>>();
    let settled = ids(sql.query("select lease_id from call_attempt where outcome = 5", &[]).await.unwrap());
    let begun = ids(sql.query("select lease_id from lease where begun_at is not null", &[]).await.unwrap());
    let lost: Vec<_> = log.acknowledged.difference(&settled).collect();
    assert!(lost.is_empty(), "seed {seed}: acknowledged and lost: {lost:?}");
    let invented: Vec<_> = settled.difference(&log.asked).collect();
    assert!(invented.is_empty(), "seed {seed}: nobody said so: {invented:?}");
    let vanished: Vec<_> = log.permitted.iter().filter(|one| !settled.contains(one) && !begun.contains(one)).collect();
    assert!(vanished.is_empty(), "seed {seed}: permits without a begun lease: {vanished:?}");
    let twice = sql.query_one("select count(*) - count(distinct lease_id) from call_attempt", &[]).await.unwrap();
    assert_eq!(twice.get::<_, i64>(0), 0);
    let rows = sql.query("select violation, detail from invariant_violation", &[]).await.unwrap();
    assert!(rows.is_empty(), "seed {seed}: {rows:?}");
}

async fn unbegun_leases_end(sql: &tokio_postgres::Client) {
    eventually("leases without a permit go back", || async {
        let row = sql.query_one("select count(*) from lease where begun_at is null", &[]).await.unwrap();
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
}

fn dialers(channel: &Channel, seed: u64, silent: f64, over: &Arc<AtomicBool>) -> tokio::task::JoinSet<Log> {
    let mut dialers = tokio::task::JoinSet::new();
    for n in 0..3 {
        dialers.spawn(dial(SchedulerServiceClient::new(channel.clone()), seed + n, silent, Arc::clone(over)));
    }
    dialers
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_of_the_engine() {
    let seed: u64 = rand::rng().random_range(0..1_000_000);
    println!("seed {seed}");
    let dir = std::env::temp_dir().join(format!("dialplane-it-crash-{}", new_id()));
    let path = dir.to_str().unwrap().to_owned();
    let mut program = Program::start(&["--embedded", &path]);
    create(&mut program.campaigns().await, 400).await;
    let mut log = Log::default();
    let over = Arc::new(AtomicBool::new(false));
    let mut reader = Reader::default();
    for round in 0..4 {
        let before = log.acknowledged.len();
        let reading = tokio::spawn(reader.follow(program.campaigns().await));
        let running = dialers(&program.channel().await, seed + round * 10, 0.02, &over);
        // Under load: some hundred calls are on record before the blow, wherever it falls.
        let sql = url_of(&dir).await;
        let sql = connect(&sql).await;
        eventually("calls are under way", || async {
            let row = sql.query_one("select count(*) from call_attempt where outcome = 5", &[]).await.unwrap();
            (row.get::<_, i64>(0) > before as i64 + 300).then_some(())
        })
        .await;
        program.kill();
        drop(sql);
        running.join_all().await.into_iter().for_each(|one| log.extend(one));
        reader = reading.await.unwrap();
        program = Program::start(&["--embedded", &path]);
        program.channel().await;
        let sql = connect(&url_of(&dir).await).await;
        unbegun_leases_end(&sql).await;
        check(&sql, &log, seed).await;
    }
    println!("{} permits, {} of {} reports acknowledged", log.permitted.len(), log.acknowledged.len(), log.asked.len());
    let sql = connect(&url_of(&dir).await).await;
    let settled = sql.query_one("select count(*) from call_attempt where outcome is not null", &[]).await.unwrap();
    let settled = usize::try_from(settled.get::<_, i64>(0)).unwrap();
    println!("{} of {settled} events seen before the last blow", reader.seen.len());
    let reading = tokio::spawn(reader.until(program.campaigns().await, settled));
    let reader = tokio::time::timeout(PATIENCE, reading).await.expect("every outcome is streamed").unwrap();
    let once: HashSet<&Uuid> = reader.seen.iter().collect();
    assert_eq!((once.len(), reader.seen.len()), (settled, settled), "each outcome is streamed once");
    drop(sql);
    program.kill();
    stop_postgres(dir).await;
}

/// Where the program's private PostgreSQL listens.
async fn url_of(dir: &std::path::Path) -> String {
    let pid = dir.join("data/postmaster.pid");
    let lines = eventually("PostgreSQL is up", || async {
        let text = std::fs::read_to_string(&pid).ok()?;
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        (lines.len() >= 5).then_some(lines)
    })
    .await;
    format!("host='{}' port={} user=dialplane dbname=dialplane", lines[4], lines[3])
}

/// PostgreSQL outlives a killed engine; who comes next ends it.
async fn stop_postgres(dir: PathBuf) {
    tokio::task::spawn_blocking(move || {
        EmbeddedPostgres::start(&dir).unwrap().stop().unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_engine_takes_over_all_that_a_killed_one_had() {
    let seed: u64 = rand::rng().random_range(0..1_000_000);
    println!("seed {seed}");
    let database = Database::create().await;
    let mut first = Program::start(&["--database-url", &database.url]);
    create(&mut first.campaigns().await, 200).await;
    let second = Program::start(&["--database-url", &database.url]);
    let survivor = second.channel().await;
    let over = Arc::new(AtomicBool::new(false));
    let running = dialers(&first.channel().await, seed, 0.02, &over);
    eventually("the first engine has a buffer and calls", || async {
        let buffered = database.count("select count(*) from ready_lead").await;
        (buffered > 0 && database.count("select count(*) from call_attempt").await > 50).then_some(())
    })
    .await;
    first.kill();
    let killed_at: String = database.sql.query_one("select engine_now()::text", &[]).await.unwrap().get(0);
    let mut log = Log::default();
    running.join_all().await.into_iter().for_each(|one| log.extend(one));
    unbegun_leases_end(&database.sql).await;
    let running = dialers(&survivor, seed + 50, 0.0, &over);
    let passed_by = format!(
        "select count(*) from lead l where not exists (select from lease z where z.lead_id = l.lead_id) and not exists \
             (select from call_attempt a where a.lead_id = l.lead_id and a.outcome = 5 and a.granted_at > '{killed_at}')"
    );
    let everyone = eventually("the second engine leases everyone", || async {
        (database.count(&passed_by).await == 0).then_some(())
    });
    if tokio::time::timeout(PATIENCE * 9 / 10, everyone).await.is_err() {
        let left = passed_by.replace(
            "count(*) from lead l",
            "string_agg(v::text, E'\\n') from lead l join lead_view v using (lead_id)",
        );
        let left: Option<String> = database.sql.query_one(&left, &[]).await.unwrap().get(0);
        panic!("seed {seed}: passed by: {left:?}");
    }
    over.store(true, Ordering::Relaxed);
    running.join_all().await.into_iter().for_each(|one| log.extend(one));
    unbegun_leases_end(&database.sql).await;
    check(&database.sql, &log, seed).await;
    drop(second);
    database.drop().await;
}
