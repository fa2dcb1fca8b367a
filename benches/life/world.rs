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

use super::{Fallible, profile, rules};

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

    /// The postmaster.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// For files of this run.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where one of its databases is, for libpq.
    pub fn connection_string(&self, database: &str) -> String {
        self.server.connection_string(database)
    }

    /// A new database, empty or a copy of one that nobody uses.
    pub async fn create(&self, database: &str, template: Option<&str>) -> Fallible<()> {
        let sql = self.connect(super::DATABASE).await?;
        let version: String = sql.query_one("show server_version_num", &[]).await?.try_get(0)?;
        // By files where there is a choice: through the WAL it takes much longer.
        let how = match template {
            Some(template) if version.as_str() >= "150000" => format!("template {template} strategy file_copy"),
            Some(template) => format!("template {template}"),
            None => String::new(),
        };
        Ok(sql.batch_execute(&format!("create database {database} {how}")).await?)
    }

    /// Whether it has a database.
    pub async fn has(&self, database: &str) -> Fallible<bool> {
        let sql = self.connect(super::DATABASE).await?;
        Ok(sql.query_opt("select from pg_database where datname = $1", &[&database]).await?.is_some())
    }

    /// Renames a database, once those who are leaving it have left.
    pub async fn rename(&self, database: &str, name: &str) -> Fallible<()> {
        let sql = self.connect(super::DATABASE).await?;
        let deadline = Instant::now() + STOP_WITHIN;
        loop {
            match sql.batch_execute(&format!("alter database {database} rename to {name}")).await {
                Err(_) if Instant::now() < deadline => sleep(Duration::from_millis(50)).await,
                done => return Ok(done?),
            }
        }
    }

    /// Drops a database, whoever uses it.
    pub async fn drop(&self, database: &str) -> Fallible<()> {
        let sql = self.connect(super::DATABASE).await?;
        Ok(sql.batch_execute(&format!("drop database if exists {database} with (force)")).await?)
    }

    /// Stops it and removes its files.
    pub fn stop(self) -> Fallible<()> {
        self.server.stop()?;
        std::fs::remove_dir_all(&self.dir)?;
        Ok(())
    }
}

/// Plays on a stage of its own: an empty database, an engine, all rules on but turns. Afterwards both are gone.
pub async fn on_stage(
    postgres: &Postgres,
    database: &str,
    play: impl AsyncFnOnce(&mut World) -> Fallible<()>,
) -> Fallible<()> {
    postgres.create(database, None).await?;
    on(postgres, database, play).await
}

/// The same on a database that is there; it goes, too.
pub async fn on(
    postgres: &Postgres,
    database: &str,
    play: impl AsyncFnOnce(&mut World) -> Fallible<()>,
) -> Fallible<()> {
    let played = on_kept(postgres, database, play).await;
    postgres.drop(database).await?;
    played
}

/// The same, and the database stays, with nobody in it.
pub async fn on_kept(
    postgres: &Postgres,
    database: &str,
    play: impl AsyncFnOnce(&mut World) -> Fallible<()>,
) -> Fallible<()> {
    let mut world = World::start(postgres, database).await?;
    let played = match rules::all_rules_but_turns(&mut world).await {
        Ok(()) => Box::pin(play(&mut world)).await,
        Err(error) => Err(error),
    };
    if played.is_err() {
        world.show_log();
    }
    world.stop().await;
    played
}

/// Everything that runs.
pub struct World {
    /// A connection of our own, for what is not the engine's.
    pub sql: tokio_postgres::Client,
    /// The engine's campaigns.
    pub campaigns: CampaignServiceClient<Channel>,
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
    engines: Vec<Engine>,
}

/// The real program.
struct Engine {
    process: Child,
    address: String,
}

impl World {
    /// Starts an engine on a database and waits until it serves.
    pub async fn start(postgres: &Postgres, database: &str) -> Fallible<World> {
        let sql = postgres.connect(database).await?;
        let database = postgres.server.connection_string(database);
        let engine = Engine::start(&database, File::create(postgres.dir.join("engine.log"))?)?;
        let channel = engine.serving().await?;
        let world = World {
            sql,
            campaigns: CampaignServiceClient::new(channel),
            rules: CampaignRules::default(),
            database,
            bin_dir: postgres.bin_dir().to_owned(),
            dir: postgres.dir.clone(),
            postgres_pid: postgres.server.pid(),
            engines: vec![engine],
        };
        profile::prepare(&world.sql).await?;
        Ok(world)
    }

    /// Starts one more engine on the same database.
    pub async fn add_engine(&mut self) -> Fallible<()> {
        let engine = Engine::start(&self.database, File::options().append(true).open(self.dir.join("engine.log"))?)?;
        engine.serving().await?;
        self.engines.push(engine);
        Ok(())
    }

    /// Stops the engine that came last.
    pub async fn drop_engine(&mut self) {
        if let Some(engine) = self.engines.pop() {
            engine.stop().await;
        }
    }

    /// Where the engines are.
    pub fn servers(&self) -> Vec<&str> {
        self.engines.iter().map(|engine| engine.address.as_str()).collect()
    }

    /// Processor time of the engines, in milliseconds.
    pub fn engine_cpu_ms(&self) -> f64 {
        self.engines.iter().filter_map(|engine| engine.process.id()).map(cpu_ms).sum()
    }

    /// Resident memory of the engines, in MB.
    pub fn engine_memory_mb(&self) -> f64 {
        self.engines.iter().filter_map(|engine| engine.process.id()).map(memory_mb).sum()
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

    /// Stops the engines in good order.
    pub async fn stop(mut self) {
        self.stop_engines().await;
    }

    /// Stops them and stays.
    pub async fn stop_engines(&mut self) {
        while !self.engines.is_empty() {
            self.drop_engine().await;
        }
    }
}

impl Engine {
    fn start(database: &str, log: File) -> Fallible<Engine> {
        let address = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let process = Command::new(env!("CARGO_BIN_EXE_dialplane"))
            .args(["serve", "--stop-with-stdin", "--listen", &address.to_string()])
            .env("DATABASE_URL", database)
            .env_remove("DIALPLANE_EMBEDDED")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Engine { process, address: format!("http://{address}") })
    }

    async fn serving(&self) -> Fallible<Channel> {
        let channel = connect(&self.address).await?;
        SchedulerServiceClient::new(channel.clone()).get_server_info(GetServerInfoRequest {}).await?;
        Ok(channel)
    }

    async fn stop(mut self) {
        drop(self.process.stdin.take());
        if tokio::time::timeout(STOP_WITHIN, self.process.wait()).await.is_err() {
            let _ = self.process.kill().await;
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

/// Processor time that a stretch takes in PostgreSQL and in programs that are started and waited for meanwhile.
pub async fn cpu_ms_meanwhile<T>(postgres_pid: u32, stretch: impl Future<Output = T>) -> (T, f64) {
    let used = || cpu_ms_of_family(postgres_pid) + cpu_ms(std::process::id());
    let before = used();
    let done = stretch.await;
    (done, used() - before)
}

/// Resident memory of a process, in MB; 0 when it is gone.
pub fn memory_mb(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    kilobytes.unwrap_or(0.0) / 1_024.0
}

/// Processor time of a process and of its living children.
pub fn cpu_ms_of_family(pid: u32) -> f64 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    cpu_ms(pid) + children.split_whitespace().filter_map(|child| child.parse().ok()).map(cpu_ms).sum::<f64>()
}
