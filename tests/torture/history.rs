//! What is known after a storm: the two logs, and the engine's own records, read from its database once all is calm.
//! Owns no judgement: see `checker`.

use std::{collections::BTreeSet, error::Error, fs, io, path::Path};

use serde::de::DeserializeOwned;
use tokio_postgres::{Client, NoTls, Row};
use uuid::Uuid;

use crate::log::{Event, Micros, Ring};

/// Everything that the checker reads.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub rings: Vec<Ring>,
    pub events: Vec<Event>,
    pub records: Records,
}

/// The engine's own records.
#[derive(Debug, Clone, Default)]
pub struct Records {
    /// Live and ended.
    pub leases: Vec<Lease>,
    pub reports: Vec<Filed>,
    pub leads: Vec<Lead>,
    pub campaigns: Vec<Campaign>,
    pub suppressed: BTreeSet<i64>,
    pub engine_cap: i32,
    /// The engine's gauge of live leases.
    pub engine_dialing: i32,
    /// Rows of the view `invariant_violation`.
    pub broken: Vec<String>,
}

/// A lease; `ended` none: it is live.
#[derive(Debug, Clone)]
pub struct Lease {
    pub id: Uuid,
    pub campaign: Uuid,
    pub lead: Uuid,
    pub session: Uuid,
    pub number: i64,
    pub granted: Micros,
    pub begun: Option<Micros>,
    pub ended: Option<Micros>,
    /// Of a live lease only: an ended one's is not kept.
    pub nonce: Option<Uuid>,
    pub outcome: Option<i16>,
    pub counted: bool,
    pub by_engine: bool,
    pub generation: i32,
}

/// A row of attempt_report.
#[derive(Debug, Clone)]
pub struct Filed {
    pub lease: Uuid,
    pub outcome: i16,
    pub verdict: i16,
}

#[derive(Debug, Clone)]
pub struct Lead {
    pub id: Uuid,
    pub campaign: Uuid,
    pub number: i64,
    pub state: i16,
}

#[derive(Debug, Clone)]
pub struct Campaign {
    pub id: Uuid,
    pub state: i16,
    pub cap: Option<i32>,
    pub max_attempts: i16,
    pub max_duration_micros: i64,
    pub generation: i32,
    /// The gauge of live leases.
    pub dialing: i32,
    /// The gauges of all states together.
    pub leads: i64,
}

/// The records of a log. Its last line may be cut: its writer was killed.
pub fn read_log<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    let bytes = fs::read(path)?;
    let mut lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    // After the last line feed comes nothing, or a cut line.
    lines.pop();
    lines.into_iter().map(|line| serde_json::from_slice(line).map_err(io::Error::from)).collect()
}

/// Digits of a number as written, `+` and all; -1 for what is no number.
pub fn digits(number: &str) -> i64 {
    number.trim_start_matches('+').parse().unwrap_or(-1)
}

impl History {
    pub async fn read(carrier: &Path, events: &[impl AsRef<Path>], database: &str) -> Result<Self, Box<dyn Error>> {
        let mut told = Vec::new();
        for path in events {
            told.extend(read_log::<Event>(path.as_ref())?);
        }
        Ok(Self { rings: read_log(carrier)?, events: told, records: Records::read(database).await? })
    }
}

/// Every lease, live and ended; ended rows have no number of their own, and a lead's never changes.
const LEASES: &str = "\
select x.lease_id, c.public_id, x.lead_id, x.session_id, coalesce(x.number, l.number, -1) as number, \
    micros(x.granted_at) as granted, micros(x.begun_at) as begun, micros(x.ended_at) as ended, x.nonce, x.outcome, \
    x.counted, x.by_engine, x.epoch \
from (select lease_id, campaign_id, lead_id, session_id, number, granted_at, begun_at, null::timestamptz as ended_at, nonce, \
        null::smallint as outcome, false as counted, false as by_engine, epoch from lease \
    union all select lease_id, campaign_id, lead_id, session_id, null, granted_at, begun_at, ended_at, null, \
        outcome, counted, by_engine, epoch from call_attempt) as x \
join campaign c on c.campaign_id = x.campaign_id \
left join lead l on l.campaign_id = x.campaign_id and l.lead_id = x.lead_id \
order by x.granted_at";

const CAMPAIGNS: &str = "\
select c.public_id, c.state, c.max_concurrency, c.max_attempts, (extract(epoch from c.max_duration) * 1000000)::bigint as max_duration, \
    g.epoch, g.dialing, (g.eligible + g.ready + g.dialing + g.intent_yes + g.intent_no + g.no_answer + g.failed \
        + g.scheduled + g.consumed)::bigint as leads \
from campaign c join gauge g on g.campaign_id = c.campaign_id";

impl Records {
    /// One snapshot of everything.
    pub async fn read(database: &str) -> Result<Self, Box<dyn Error>> {
        let (sql, connection) = tokio_postgres::connect(database, NoTls).await?;
        let connection = tokio::spawn(connection);
        sql.batch_execute("begin isolation level repeatable read read only").await?;
        let one =
            sql.query_one("select s.max_concurrency, g.dialing from setting s, gauge g where g.campaign_id = 0", &[]);
        let one = one.await?;
        let suppressed = sql.query("select number from suppression", &[]).await?;
        let records = Self {
            leases: sql.query(&with_micros(LEASES), &[]).await?.iter().map(lease).collect(),
            reports: reports(&sql).await?,
            leads: leads(&sql).await?,
            campaigns: sql.query(CAMPAIGNS, &[]).await?.iter().map(campaign).collect(),
            suppressed: suppressed.iter().map(|row| row.get(0)).collect(),
            engine_cap: one.get(0),
            engine_dialing: one.get(1),
            broken: broken(&sql).await?,
        };
        drop(sql);
        connection.await??;
        Ok(records)
    }
}

/// `micros(x)` written out: the checker leaves nothing in the database.
fn with_micros(sql: &str) -> String {
    let mut parts = sql.split("micros(");
    let mut whole = parts.next().unwrap().to_owned();
    for part in parts {
        let (what, rest) = part.split_once(')').unwrap();
        whole += &format!("(extract(epoch from {what}) * 1000000)::bigint{rest}");
    }
    whole
}

fn lease(row: &Row) -> Lease {
    Lease {
        id: row.get("lease_id"),
        campaign: row.get("public_id"),
        lead: row.get("lead_id"),
        session: row.get("session_id"),
        number: row.get("number"),
        granted: row.get("granted"),
        begun: row.get("begun"),
        ended: row.get("ended"),
        nonce: row.get("nonce"),
        outcome: row.get("outcome"),
        counted: row.get("counted"),
        by_engine: row.get("by_engine"),
        generation: row.get("epoch"),
    }
}

fn campaign(row: &Row) -> Campaign {
    Campaign {
        id: row.get("public_id"),
        state: row.get("state"),
        cap: row.get("max_concurrency"),
        max_attempts: row.get("max_attempts"),
        max_duration_micros: row.get("max_duration"),
        generation: row.get("epoch"),
        dialing: row.get("dialing"),
        leads: row.get("leads"),
    }
}

async fn reports(sql: &Client) -> Result<Vec<Filed>, tokio_postgres::Error> {
    let rows = sql.query("select lease_id, outcome, verdict from attempt_report order by report_id", &[]).await?;
    Ok(rows.iter().map(|row| Filed { lease: row.get(0), outcome: row.get(1), verdict: row.get(2) }).collect())
}

async fn leads(sql: &Client) -> Result<Vec<Lead>, tokio_postgres::Error> {
    let statement =
        "select l.lead_id, c.public_id, l.number, l.state from lead l join campaign c on c.campaign_id = l.campaign_id";
    let rows = sql.query(statement, &[]).await?;
    let lead = |row: &Row| Lead { id: row.get(0), campaign: row.get(1), number: row.get(2), state: row.get(3) };
    Ok(rows.iter().map(lead).collect())
}

async fn broken(sql: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows =
        sql.query("select violation || ' in campaign ' || campaign_id || ': ' || detail from invariant_violation", &[]);
    Ok(rows.await?.iter().map(|row| row.get(0)).collect())
}
