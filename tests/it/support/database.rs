//! One private PostgreSQL per run of the tests; a template with all migrations and a clock that can be moved; a database per
//! test from it.

use std::{
    path::PathBuf,
    sync::{Mutex, OnceLock},
    time::Duration,
};

use dialplane::{
    embedded::{EmbeddedOptions, EmbeddedPostgres},
    store::Store,
};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// Kept to the end of the process; the server ends with it.
static SERVER: OnceLock<(EmbeddedPostgres, PathBuf)> = OnceLock::new();
static TEMPLATE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
/// `CREATE DATABASE` wants its template for itself.
static CREATING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
static STARTING: Mutex<()> = Mutex::new(());

fn server() -> &'static EmbeddedPostgres {
    let _one = STARTING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    &SERVER
        .get_or_init(|| {
            sweep_leftovers();
            let dir = std::env::temp_dir().join(format!("dialplane-it-{}", std::process::id()));
            let settings = [("max_connections", "500"), ("shared_buffers", "128MB"), ("max_wal_size", "1GB")];
            let options = EmbeddedOptions {
                // Durability has tests of its own.
                durable: false,
                settings: settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            };
            (EmbeddedPostgres::start_with(&dir, &options).expect("PostgreSQL 14 or newer is needed"), dir)
        })
        .0
}

/// Directories of runs whose process is gone.
fn sweep_leftovers() {
    for entry in std::fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix("dialplane-it-").and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !PathBuf::from(format!("/proc/{pid}")).exists() {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// A database of one test.
pub struct Database {
    pub url: String,
    pub sql: Client,
    name: String,
}

async fn template() -> String {
    TEMPLATE
        .get_or_init(|| async {
            let name = "template_dialplane".to_owned();
            let admin = connect(&server().connection_string("dialplane")).await;
            admin.batch_execute(&format!("create database {name}")).await.unwrap();
            let url = server().connection_string(&name);
            Store::new(&url, 1).unwrap().migrate().await.unwrap();
            let client = connect(&url).await;
            client
                .batch_execute(
                    "create unlogged table test_clock (ahead interval not null); \
                     insert into test_clock values ('0'); \
                     create or replace function engine_now() returns timestamptz language sql volatile as \
                         'select clock_timestamp() + ahead from test_clock'",
                )
                .await
                .unwrap();
            name
        })
        .await
        .clone()
}

impl Database {
    pub async fn create() -> Database {
        // Starting blocks.
        tokio::task::spawn_blocking(|| {
            server();
        })
        .await
        .unwrap();
        let template = template().await;
        let name = format!("test_{}", Uuid::new_v4().simple());
        let _one = CREATING.lock().await;
        let admin = connect(&server().connection_string("dialplane")).await;
        // The template's last connection may take a moment to go.
        super::eventually("the template is free", || async {
            admin.batch_execute(&format!("create database {name} template {template}")).await.ok()
        })
        .await;
        let url = server().connection_string(&name);
        Database { sql: connect(&url).await, url, name }
    }

    /// The one of this URL, for an engine to migrate: with the real clock.
    pub async fn at(url: String) -> Database {
        Database { sql: connect(&url).await, url, name: String::new() }
    }

    /// Replicas live on: it is the clock that jumps, not they who were silent.
    pub async fn advance(&self, by: Duration) {
        self.sql
            .execute(
                "with moved as (update replica set expires_at = expires_at + make_interval(secs => $1)) \
                 update test_clock set ahead = ahead + make_interval(secs => $1)",
                &[&by.as_secs_f64()],
            )
            .await
            .unwrap();
    }

    pub async fn violations(&self) -> Vec<String> {
        let rows = self.sql.query("select violation, campaign_id, detail from invariant_violation", &[]).await.unwrap();
        rows.iter()
            .map(|row| {
                let (what, campaign, detail): (String, i32, String) = (row.get(0), row.get(1), row.get(2));
                format!("{what} (campaign {campaign}): {detail}")
            })
            .collect()
    }

    /// One number.
    pub async fn count(&self, sql: &str) -> i64 {
        self.sql.query_one(sql, &[]).await.unwrap().get(0)
    }

    pub async fn drop(self) {
        let admin = connect(&server().connection_string("dialplane")).await;
        let _ = admin.batch_execute(&format!("drop database {} with (force)", self.name)).await;
    }
}
