//! What is known after a storm: the two logs, and the engine's own records, read from its database once all is calm.
//! Owns no judgement: see `checker`.

use std::{collections::BTreeSet, error::Error, fs, io, path::Path};

use dialplane::{
    embedded::{EmbeddedOptions, EmbeddedPostgres},
    store::Store,
};
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

/// Rows of every kind, as the engine would write them.
const ROWS: &str = "\
insert into campaign (public_id, name, state, state_since, rules, max_attempts, max_concurrency, begin_within, max_duration, \
    breaker_after, breaker_probe_interval, created_at, updated_at) \
values ('00000000-0000-0000-0000-00000000000c', 'c', 2, now(), '{}', 3, 7, '30 s', '1.5 s', 20, '1 min', now(), now()); \
insert into gauge (campaign_id, epoch, no_answer, dialing) select campaign_id, 4, 1, 1 from campaign; \
insert into lead (campaign_id, lead_id, number, created_at, updated_at, rank, state) \
select campaign_id, ('00000000-0000-0000-0000-00000000000' || n)::uuid, 12025550100 + n, now(), now(), 1, 6 \
from campaign, generate_series(1, 2) as n; \
insert into lease (lease_id, lead_id, session_id, nonce, number, granted_at, not_after, deadline, begun_at, campaign_id, epoch, \
    seq, attempts, state) \
select '00000000-0000-0000-0000-0000000000a2', '00000000-0000-0000-0000-000000000002', gen_random_uuid(), \
    '00000000-0000-0000-0000-0000000000b2', 12025550102, to_timestamp(1), now(), now(), to_timestamp(1.000002), campaign_id, \
    4, 1, 0, 1 from campaign; \
insert into call_attempt (lease_id, lead_id, session_id, campaign_id, seq, attempt_number, granted_at, begun_at, ended_at, \
    outcome, epoch, counted) \
select '00000000-0000-0000-0000-0000000000a1', '00000000-0000-0000-0000-000000000001', gen_random_uuid(), campaign_id, 1, 1, \
    '2026-11-20 12:00:00.123456Z', null, '2026-11-20 12:00:01.123457Z', 5, 3, true from campaign; \
insert into attempt_report (lease_id, nth, received_at, outcome, verdict, accepted_no) \
values ('00000000-0000-0000-0000-0000000000a1', 0, now(), 5, 1, 1); \
insert into suppression (number, reason, created_at) values (12025550101, '', now()); \
insert into setting (max_concurrency, tick_interval_ms, buffer_factor, batch_size, session_ttl_ms, receipt_within_ms, dial_within_ms) \
values (9, 1, 1, 1, 1, 1, 1) on conflict (one) do update set max_concurrency = 9";

/// The history's own test: every record of a real database is read as it stands there.
pub fn reads_the_engines_records() {
    let dir = std::env::temp_dir().join(format!("dialplane-it-{}-{}", std::process::id(), Uuid::new_v4().simple()));
    let options = EmbeddedOptions { durable: false, ..EmbeddedOptions::default() };
    let server = EmbeddedPostgres::start_with(&dir, &options).unwrap();
    let url = server.connection_string("dialplane");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let records = runtime.block_on(async {
        Store::new(&url, 1).unwrap().migrate().await.unwrap();
        let (sql, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        sql.batch_execute(ROWS).await.unwrap();
        Records::read(&url).await.unwrap()
    });
    let id = Uuid::from_u128;
    let [live, ended] = &records.leases[..] else { panic!("{:?}", records.leases) };
    assert_eq!((live.id, live.lead, live.campaign, live.number), (id(0xa2), id(2), id(0xc), 12_025_550_102));
    assert_eq!((live.granted, live.begun, live.ended), (1_000_000, Some(1_000_002), None));
    assert_eq!((live.nonce, live.outcome, live.generation), (Some(id(0xb2)), None, 4));
    // An ended lease has the number of its lead.
    assert_eq!((ended.id, ended.lead, ended.campaign, ended.number), (id(0xa1), id(1), id(0xc), 12_025_550_101));
    assert_eq!((ended.granted, ended.begun, ended.ended), (1_795_176_000_123_456, None, Some(1_795_176_001_123_457)));
    assert_eq!((ended.outcome, ended.counted, ended.by_engine, ended.generation), (Some(5), true, false, 3));
    let [campaign] = &records.campaigns[..] else { panic!("{:?}", records.campaigns) };
    assert_eq!((campaign.id, campaign.state, campaign.cap, campaign.max_attempts), (id(0xc), 2, Some(7), 3));
    assert_eq!((campaign.max_duration_micros, campaign.generation), (1_500_000, 4));
    assert_eq!((campaign.dialing, campaign.leads, records.engine_cap, records.engine_dialing), (1, 2, 9, 0));
    let [report] = &records.reports[..] else { panic!("{:?}", records.reports) };
    assert_eq!((report.lease, report.outcome, report.verdict), (id(0xa1), 5, 1));
    assert_eq!((records.leads.len(), records.leads[0].state, records.suppressed.len()), (2, 6, 1));
    // The engine's gauge was not told of the lease.
    assert!(records.broken.iter().any(|row| row.starts_with("engine gauge differs from live leases")), "{records:?}");
    drop(server);
    std::fs::remove_dir_all(&dir).unwrap();
}
