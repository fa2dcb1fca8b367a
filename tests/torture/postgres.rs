//! The PostgreSQL that the storm kills: a durable cluster of its own. Engines reach it through links, the storm itself
//! through its socket.

use std::{path::PathBuf, time::Duration};

use dialplane::embedded::{EmbeddedOptions, EmbeddedPostgres};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{sync::Mutex, time::sleep};
use tokio_postgres::{Client, NoTls};

/// Few, so that they can be used up: three engines take up to 54.
const CONNECTIONS_MAX: usize = 80;

pub struct Postgres {
    dir: PathBuf,
    server: Mutex<Option<EmbeddedPostgres>>,
}

fn options() -> EmbeddedOptions {
    let connections = CONNECTIONS_MAX.to_string();
    let settings = [
        ("max_connections", connections.as_str()),
        ("shared_buffers", "64MB"),
        ("max_wal_size", "256MB"),
        ("restart_after_crash", "on"),
    ];
    let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    EmbeddedOptions { durable: true, settings }
}

impl Postgres {
    pub async fn start(dir: PathBuf) -> Postgres {
        let postgres = Postgres { dir, server: Mutex::default() };
        postgres.up().await;
        postgres
    }

    /// Where it listens, as long as it runs.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("socket/.s.PGSQL.5432")
    }

    /// Past all links.
    pub fn url(&self) -> String {
        let socket = self.dir.join("socket");
        format!("host='{}' port=5432 user=dialplane dbname=dialplane application_name=storm", socket.display())
    }

    pub async fn connect(&self) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    async fn up(&self) {
        let mut server = self.server.lock().await;
        if server.is_none() {
            *server = Some(started(self.dir.clone()).await);
        }
    }

    /// Down by a fast shutdown, away for a while, up again.
    pub async fn restart(&self, away: Duration) {
        let mut server = self.server.lock().await;
        if let Some(running) = server.take() {
            tokio::task::spawn_blocking(move || running.stop()).await.unwrap().unwrap();
        }
        sleep(away).await;
        *server = Some(started(self.dir.clone()).await);
    }

    /// kill -9 of the postmaster; up again as soon as its remains are gone.
    pub async fn kill(&self) {
        let mut server = self.server.lock().await;
        if let Some(running) = server.take() {
            let _ = kill(Pid::from_raw(running.pid().cast_signed()), Signal::SIGKILL);
            tokio::task::spawn_blocking(move || drop(running)).await.unwrap();
        }
        *server = Some(started(self.dir.clone()).await);
    }

    /// kill -9 of one session's process: the server throws all sessions out and recovers.
    pub async fn kill_a_backend(&self) -> Result<(), tokio_postgres::Error> {
        let _server = self.server.lock().await;
        let client = self.connect().await?;
        let sql = "select pid from pg_stat_activity where application_name = 'dialplane' order by random() limit 1";
        if let Some(row) = client.query_opt(sql, &[]).await? {
            let _ = kill(Pid::from_raw(row.get(0)), Signal::SIGKILL);
        }
        Ok(())
    }

    /// Ends sessions of engines that this condition picks; answers how many.
    pub async fn terminate(&self, which: &str) -> Result<usize, tokio_postgres::Error> {
        let client = self.connect().await?;
        let sql = format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dialplane' {which}"
        );
        Ok(client.query(&sql, &[]).await?.len())
    }

    /// Takes all connections that are left, and all that become free, for a while.
    pub async fn use_up_connections(&self, during: Duration) {
        let until = tokio::time::Instant::now() + during;
        let mut hoard = Vec::new();
        while tokio::time::Instant::now() < until {
            match self.connect().await {
                Ok(client) => hoard.push(client),
                Err(_) => sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

async fn started(dir: PathBuf) -> EmbeddedPostgres {
    tokio::task::spawn_blocking(move || {
        // The remains of a killed server may be in the way for a moment.
        let mut tries = 0;
        loop {
            match EmbeddedPostgres::start_with(&dir, &options()) {
                Ok(server) => return server,
                Err(error) if tries >= 240 => panic!("PostgreSQL does not come back: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(500)),
            }
            tries += 1;
        }
    })
    .await
    .unwrap()
}
