//! What is measured and what it runs on: PostgreSQL, the engine's process, clients of both.

use std::{
    env,
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use dialplane::{
    embedded::{EmbeddedOptions, EmbeddedPostgres},
    pb::{
        CampaignRules, GetServerInfoRequest, campaign_service_client::CampaignServiceClient,
        scheduler_service_client::SchedulerServiceClient,
    },
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};
use tonic::transport::{Channel, Endpoint};

use super::{Fallible, profile};

const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(15);

/// The private cluster and its directory, which goes with it.
pub struct Postgres {
    server: EmbeddedPostgres,
    dir: PathBuf,
}

/// Starts PostgreSQL as `serve --embedded` would: durable.
pub fn start_postgres() -> Fallible<Postgres> {
    let dir = env::temp_dir().join(format!("dialplane-bench-{}", std::process::id()));
    let options = EmbeddedOptions { settings: profile::settings(), ..EmbeddedOptions::default() };
    let server = EmbeddedPostgres::start_with(&dir.join("postgres"), &options)?;
    Ok(Postgres { server, dir })
}

impl Postgres {
    /// A connection to one of its databases.
    pub async fn connect(&self, database: &str) -> Fallible<tokio_postgres::Client> {
        let at = self.server.connection_string(database);
        let (sql, driver) = tokio_postgres::connect(&at, tokio_postgres::NoTls).await?;
        tokio::spawn(driver);
        Ok(sql)
    }

    /// Where pgbench, psql and pg_waldump are.
    pub fn bin_dir(&self) -> &Path {
        self.server.bin_dir()
    }

    /// Stops it and removes its files.
    pub fn stop(self) -> Fallible<()> {
        self.server.stop()?;
        std::fs::remove_dir_all(&self.dir)?;
        Ok(())
    }
}

/// Everything that runs.
pub struct World {
    /// A connection of our own, for what is not the engine's.
    pub sql: tokio_postgres::Client,
    /// The engine's campaigns.
    pub campaigns: CampaignServiceClient<Channel>,
    /// The engine's address.
    pub server: String,
    /// The database, for libpq.
    pub database: String,
    /// Where pgbench and psql are.
    pub bin_dir: PathBuf,
    /// Of campaigns that are created.
    pub rules: CampaignRules,
    /// For files of this run.
    pub dir: PathBuf,
    /// The postmaster.
    pub postgres_pid: u32,
    engine: Child,
}

impl World {
    /// Starts the engine on a database and a free port and waits until it serves.
    pub async fn start(postgres: &Postgres, database: &str) -> Fallible<World> {
        let sql = postgres.connect(database).await?;
        let database = postgres.server.connection_string(database);
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let log = File::create(postgres.dir.join("engine.log"))?;
        let engine = Command::new(env!("CARGO_BIN_EXE_dialplane"))
            .args(["serve", "--stop-with-stdin", "--listen", &address.to_string()])
            .env("DATABASE_URL", &database)
            .env_remove("DIALPLANE_EMBEDDED")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let server = format!("http://{address}");
        let channel = connect(&server).await?;
        let world = World {
            sql,
            campaigns: CampaignServiceClient::new(channel.clone()),
            server,
            rules: CampaignRules::default(),
            database,
            bin_dir: postgres.bin_dir().to_owned(),
            dir: postgres.dir.clone(),
            postgres_pid: postgres.server.pid(),
            engine,
        };
        let mut scheduler = SchedulerServiceClient::new(channel);
        scheduler.get_server_info(GetServerInfoRequest {}).await?;
        profile::prepare(&world).await?;
        Ok(world)
    }

    /// The engine's process.
    pub fn engine_pid(&self) -> u32 {
        self.engine.id().unwrap_or(0)
    }

    /// One number of the database.
    pub async fn number(&self, query: &str) -> Fallible<i64> {
        Ok(self.sql.query_one(query, &[]).await?.try_get(0)?)
    }

    /// What the engine last said.
    pub fn show_log(&self) {
        let text = std::fs::read_to_string(self.dir.join("engine.log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        eprintln!("--- the engine's log\n{}", lines[lines.len().saturating_sub(20)..].join("\n"));
    }

    /// Stops the engine in good order.
    pub async fn stop(mut self) {
        drop(self.engine.stdin.take());
        if tokio::time::timeout(STOP_WITHIN, self.engine.wait()).await.is_err() {
            let _ = self.engine.kill().await;
        }
    }
}

/// A connection to the engine, which may still be starting.
pub async fn connect(server: &str) -> Fallible<Channel> {
    let endpoint = Endpoint::from_shared(server.to_owned())?.tcp_nodelay(true);
    let deadline = Instant::now() + START_WITHIN;
    loop {
        match endpoint.connect().await {
            Ok(channel) => return Ok(channel),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Processor time of a process, in milliseconds; 0 when it is gone. Its ended children count.
pub fn cpu_ms(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    // After the name, which may hold anything: state, then numbers; user and system time, and those of the children.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = fields.split_whitespace().skip(11).take(4).filter_map(|field| field.parse::<f64>().ok()).sum();
    // Linux counts in hundredths of a second for everyone.
    ticks * 10.0
}

/// Processor time of a process and of its living children.
pub fn cpu_ms_of_family(pid: u32) -> f64 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    cpu_ms(pid) + children.split_whitespace().filter_map(|child| child.parse().ok()).map(cpu_ms).sum::<f64>()
}
