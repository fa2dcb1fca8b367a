//! What the same cluster could do at most: pgbench on the leanest tables that could hold a lease and an outcome, and psql's
//! `\copy` into tables like the engine's list of leads.

use std::{fs, path::PathBuf, process::Stdio};

use tokio::{
    process::{Child, Command},
    time::Instant,
};

use super::{
    Fallible,
    report::Report,
    world::{World, cpu_ms_meanwhile},
};

/// Leases and outcomes, nothing else: no queue, caps, permits, sessions, rules. Every change of a lead is HOT.
const TABLES: &str = "
create schema floor;
create table floor.lead (id bigint primary key, number bigint not null, state smallint not null default 0,
    attempts smallint not null default 0, updated_at timestamptz not null default now(), variables jsonb)
    with (fillfactor = 75, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);
create table floor.attempt (id bigint generated always as identity primary key, lead_id bigint not null,
    attempt_number smallint not null, begun_at timestamptz not null default now(), ended_at timestamptz, outcome smallint)
    with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);";

const COPIES: &str = "
create schema if not exists floor;
create table if not exists floor.indexed (like public.lead including all);
create table if not exists floor.unindexed (like public.lead);";

/// The client names the leads: clients never meet, and nobody looks for work.
const LEASE: &str = "\
\\set r random(0, 100000000)
with u as (
    update floor.lead l set state = 1, attempts = (l.attempts + 1) % 1000, updated_at = now()
    where l.id = any (array(select 1 + ((:client_id + g * 8 + :r * 8) * 7919::bigint) % :leads from generate_series(1, :k) g))
        and l.state = 0
    returning l.id, l.attempts, l.number
), a as (insert into floor.attempt (lead_id, attempt_number) select id, attempts from u returning id, lead_id)
select coalesce(array_agg(a.id)::text, '{}') as attempts, coalesce(array_agg(a.lead_id)::text, '{}') as leads_taken,
    (select max(number) from u) as number from a \\gset
";

const OUTCOME: &str = "\
with a as (
    update floor.attempt a set ended_at = now(), outcome = 6
    from unnest(:attempts::bigint[]) as o (id) where a.id = o.id and a.ended_at is null returning a.lead_id
)
update floor.lead l set state = 0, updated_at = now() from a where l.id = a.lead_id and l.state = 1;
";

/// The floor's tables, filled.
pub struct Floor {
    script: PathBuf,
    leads: usize,
    seconds: usize,
}

impl Floor {
    /// Makes the tables and as many leads as the campaign beside it has.
    pub async fn fill(world: &World, leads: usize, seconds: usize) -> Fallible<Floor> {
        let script = world.dir.join("floor.sql");
        fs::write(&script, format!("{LEASE}{OUTCOME}"))?;
        world.sql.batch_execute(TABLES).await?;
        let fill = format!(
            "insert into floor.lead (id, number, variables) select g, 12010000000 + g,
                 jsonb_build_object('name', 'Lead ' || g, 'policy', 'P-' || g) from generate_series(1, {leads}) g"
        );
        world.sql.batch_execute(&fill).await?;
        world.sql.batch_execute("vacuum analyze floor.lead").await?;
        Ok(Floor { script, leads, seconds })
    }

    /// Lease and outcome by hundreds, two clients.
    pub async fn batches(&self, world: &World, report: &mut Report) -> Fallible<()> {
        let (per_second, cpu_us) = self.pgbench(world, 100, 2).await?;
        report.sample("floor.reference_per_second", per_second);
        report.sample("floor.reference_cpu_us", cpu_us);
        Ok(())
    }

    /// Lease and outcome one at a time, four clients.
    pub async fn single(&self, world: &World, report: &mut Report) -> Fallible<()> {
        let (per_second, cpu_us) = self.pgbench(world, 1, 4).await?;
        report.sample("floor.single_cpu_us", cpu_us);
        report.sample("floor.single_per_second", per_second);
        Ok(())
    }

    /// Outcomes per second, counted in the table, and processor time of each in microseconds, pgbench's included.
    #[allow(clippy::cast_precision_loss)]
    async fn pgbench(&self, world: &World, k: usize, clients: usize) -> Fallible<(f64, f64)> {
        world.sql.batch_execute("truncate floor.attempt; update floor.lead set state = 0 where state <> 0").await?;
        world.sql.batch_execute("vacuum floor.lead").await?;
        let pgbench = Pgbench {
            bin_dir: world.bin_dir.clone(),
            database: world.database.clone(),
            script: self.script.clone(),
            clients,
            seconds: self.seconds,
            defines: vec![format!("k={k}"), format!("leads={}", self.leads)],
        };
        let process = pgbench.start()?;
        let (done, cpu_ms) = cpu_ms_meanwhile(world.postgres_pid, Pgbench::end(process)).await;
        done?;
        let ended = world.number("select count(*) from floor.attempt where ended_at is not null").await?;
        let lives = ended.max(1) as f64;
        Ok((lives / self.seconds as f64, cpu_ms * 1_000.0 / lives))
    }
}

/// A script over and over, in prepared statements.
pub struct Pgbench {
    /// Where the program is.
    pub bin_dir: PathBuf,
    /// For libpq.
    pub database: String,
    /// What each client does.
    pub script: PathBuf,
    /// Connections.
    pub clients: usize,
    /// How long.
    pub seconds: usize,
    /// `name=value`, for the script.
    pub defines: Vec<String>,
}

impl Pgbench {
    /// Starts it.
    pub fn start(&self) -> Fallible<Child> {
        let process = Command::new(self.bin_dir.join("pgbench"))
            .args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--file"])
            .arg(&self.script)
            .args(["--client", &self.clients.to_string(), "--time", &self.seconds.to_string()])
            .args(self.defines.iter().flat_map(|define| ["--define", define]))
            .arg(&self.database)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        Ok(process)
    }

    /// Waits for its end; no client may have failed.
    pub async fn end(process: Child) -> Fallible<()> {
        let output = process.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() && !said.contains("aborted") {
            Ok(())
        } else {
            Err(format!("pgbench: {said}").into())
        }
    }
}

/// Rows per second of `\copy` of a campaign's leads: into a copy of the lead table with its constraints and indexes, and
/// into one without any.
#[allow(clippy::cast_precision_loss)]
pub async fn copy(world: &World, campaign: i32, leads: usize, report: &mut Report) -> Fallible<()> {
    world.sql.batch_execute(COPIES).await?;
    let file = world.dir.join("leads.copy");
    let file = file.display();
    psql(world, &format!("\\copy (select * from lead where campaign_id = {campaign}) to '{file}'")).await?;
    for (table, key) in [("indexed", "floor.copy_per_second"), ("unindexed", "floor.copy_unindexed_per_second")] {
        let started = Instant::now();
        psql(world, &format!("\\copy floor.{table} from '{file}'")).await?;
        report.sample(key, leads as f64 / started.elapsed().as_secs_f64());
        world.sql.batch_execute(&format!("truncate floor.{table}")).await?;
    }
    Ok(())
}

async fn psql(world: &World, command: &str) -> Fallible<()> {
    let output = Command::new(world.bin_dir.join("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &world.database, "-c", command])
        .output()
        .await?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("psql: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}
