//! A database that is there and cannot: no connection left, no room on its disk, all processes gone at once. And what the log
//! says of it. Each has a PostgreSQL of its own.

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use dialplane::{
    embedded::{EmbeddedOptions, EmbeddedPostgres},
    pb::{self, ReportVerdict, scheduler_service_client::SchedulerServiceClient},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{task::JoinSet, time::sleep};
use tokio_postgres::NoTls;
use tonic::transport::Endpoint;

use crate::support::{
    World,
    database::{Database, connect},
    dialer::Dialer,
    eventually, new_id,
    outage::{insist_on, is_unavailable, no_answer},
    proxy::{Link, Proxy},
    rules, settings,
};

/// A server of one test.
struct Cluster {
    server: Option<EmbeddedPostgres>,
    dir: PathBuf,
}

impl Cluster {
    async fn start(durable: bool, settings: &[(&str, &str)]) -> Cluster {
        let dir = std::env::temp_dir().join(format!("dialplane-it-full-{}", new_id()));
        let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let options = EmbeddedOptions { durable, settings };
        let of_server = dir.clone();
        let server = tokio::task::spawn_blocking(move || EmbeddedPostgres::start_with(&of_server, &options).unwrap());
        Cluster { server: Some(server.await.unwrap()), dir }
    }

    fn url(&self) -> String {
        self.server.as_ref().unwrap().connection_string("dialplane")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.server.take());
        let _ = fs::remove_dir_all(&self.dir);
    }
}

const ENGINES: &str = "from pg_stat_activity where application_name = 'dialplane'";

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_a_connection_to_spare_is_unavailable_and_recovers() {
    let cluster = Cluster::start(false, &[("max_connections", "30"), ("shared_buffers", "16MB")]).await;
    let url = cluster.url();
    let (mut world, proxy) = World::behind_a_proxy(Database::at(url.clone()).await, settings()).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 3).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.call().await;
    // Others are faster.
    proxy.set(Link::Cut);
    eventually("the engine's connections are gone", || async {
        (world.database.count(&format!("select count(*) {ENGINES}")).await == 0).then_some(())
    })
    .await;
    let mut others = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
        tokio::spawn(connection);
        others.push(client);
    }
    proxy.set(Link::Whole);
    let report = tokio::spawn({
        let (client, lease_id) = (world.scheduler.clone(), lease.lease_id.clone());
        async move { insist_on(client, &lease_id).await }
    });
    dialer.beats_for(Duration::from_secs(7)).await;
    let status = world.campaigns.list_campaigns(pb::ListCampaignsRequest::default()).await.unwrap_err();
    is_unavailable("list_campaigns", &status);
    assert!(!report.is_finished());
    drop(others);
    assert_eq!(report.await.unwrap(), ReportVerdict::Accepted);
    dialer.lease_with_beats().await;
    world.check().await;
    world.replica.running.stop().await.unwrap();
}

/// `/dev/full` in the place of the files of attempts: each write there is refused with ENOSPC, as on a full disk, and nothing
/// else on the machine is harmed. The files come back as they were when room is made.
struct FullDisk(Vec<PathBuf>);

impl FullDisk {
    async fn at(cluster: &Cluster, database: &Database) -> FullDisk {
        let sql = "select pg_relation_filepath(inhrelid) as path, pg_relation_size(inhrelid) as size \
             from pg_inherits where inhparent = 'call_attempt'::regclass";
        let rows = database.sql.query(sql, &[]).await.unwrap();
        assert!(rows.iter().all(|row| row.get::<_, i64>("size") == 0), "no attempt yet: nothing is lost");
        let files: Vec<PathBuf> =
            rows.iter().map(|row| cluster.dir.join("data").join(row.get::<_, String>("path"))).collect();
        for file in &files {
            fs::rename(file, file.with_extension("aside")).unwrap();
            symlink("/dev/full", file).unwrap();
        }
        forget_open_files(database).await;
        FullDisk(files)
    }

    async fn make_room(self, database: &Database) {
        for file in self.0 {
            fs::rename(file.with_extension("aside"), &file).unwrap();
        }
        forget_open_files(database).await;
    }
}

/// The server's processes keep files open.
async fn forget_open_files(database: &Database) {
    let sql = format!("select pg_terminate_backend(pid) {ENGINES}");
    database.sql.execute(&sql, &[]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_unavailable_and_recovers() {
    let cluster = Cluster::start(true, &[("shared_buffers", "16MB")]).await;
    let url = cluster.url();
    let (mut world, _proxy) = World::behind_a_proxy(Database::at(url.clone()).await, settings()).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 5).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let lease = dialer.call().await;
    let full = FullDisk::at(&cluster, &world.database).await;
    world.until_away(false).await;
    for _ in 0..5 {
        let reports = vec![no_answer(&lease.lease_id)];
        let answer = dialer.client.report_outcomes(pb::ReportOutcomesRequest { reports }).await;
        is_unavailable("report_outcomes", &answer.unwrap_err());
    }
    // What needs no room goes on.
    dialer.lease_with_beats().await;
    full.make_room(&world.database).await;
    assert_eq!(dialer.insist_on(&lease.lease_id).await, ReportVerdict::Accepted);
    // No room for WAL is a PANIC: the process aborts, and the server ends all the others and starts again.
    let lease = dialer.call().await;
    let pid: i32 = world.database.sql.query_one(&format!("select min(pid) {ENGINES}"), &[]).await.unwrap().get(0);
    kill(Pid::from_raw(pid), Signal::SIGABRT).unwrap();
    let verdict = dialer.insist_on(&lease.lease_id).await;
    assert_eq!(verdict, ReportVerdict::Accepted);
    dialer.lease_with_beats().await;
    world.database.sql = connect(&url).await;
    world.check().await;
    world.replica.running.stop().await.unwrap();
}

/// The program, and what it says.
struct Program {
    child: Child,
    log: PathBuf,
    url: String,
}

impl Program {
    fn start(database_url: &str) -> Program {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = std::env::temp_dir().join(format!("dialplane-it-log-{}", new_id()));
        let child = Command::new(env!("CARGO_BIN_EXE_dialplane"))
            .args(["serve", "--listen", &format!("127.0.0.1:{port}"), "--database-url", database_url])
            .env_remove("DATABASE_URL")
            .env_remove("RUST_LOG")
            .stderr(Stdio::from(File::create(&log).unwrap()))
            .spawn()
            .unwrap();
        Program { child, log, url: format!("http://127.0.0.1:{port}") }
    }

    fn lines(&self, with: &str) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap();
        text.lines().filter(|line| line.contains(with)).map(str::to_owned).collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}

/// Who goes on asking, and beats.
async fn restless(client: SchedulerServiceClient<tonic::transport::Channel>) {
    let dialer = Dialer::open(client, &[], 2).await;
    loop {
        dialer.heartbeat().await;
        let (mut client, mut another) = (dialer.client.clone(), dialer.client.clone());
        let begin = pb::BeginCallsRequest { session_id: new_id(), lease_ids: vec![new_id()], nonce: new_id() };
        let reports = vec![no_answer(&new_id())];
        let (begun, reported) =
            tokio::join!(client.begin_calls(begin), another.report_outcomes(pb::ReportOutcomesRequest { reports }));
        drop((begun, reported));
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_outage_is_one_warning() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database.url).await;
    let program = Program::start(&proxy.url);
    let endpoint = Endpoint::from_shared(program.url.clone()).unwrap();
    let channel = eventually("the program listens", || async { endpoint.connect().await.ok() }).await;
    let client = SchedulerServiceClient::new(channel);
    let mut dialers = JoinSet::new();
    for _ in 0..20 {
        dialers.spawn(restless(client.clone()));
    }
    eventually("all dialers are there", || async {
        (database.count("select count(*) from dialer_session where closed_at is null").await == 20).then_some(())
    })
    .await;
    // Away, mute, there but for what is locked, away again: to those who ask it is one.
    for link in [Link::Cut, Link::Mute, Link::Whole, Link::Cut] {
        proxy.set(link);
        let holder = connect(&database.url).await;
        if link == Link::Whole {
            let lock = "begin; lock table campaign, lead, lease, due, call_attempt in access exclusive mode";
            holder.batch_execute(lock).await.unwrap();
        }
        sleep(Duration::from_secs(8)).await;
    }
    proxy.set(Link::Whole);
    eventually("it is over", || async { (!program.lines("the database is back").is_empty()).then_some(()) }).await;
    let told: Vec<String> = [" WARN ", " ERROR "].iter().flat_map(|level| program.lines(level)).collect();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].contains("the database is away; trying on"), "{told:?}");
    assert_eq!(program.lines("the database is back").len(), 1);
    dialers.shutdown().await;
    drop(program);
    database.drop().await;
}
