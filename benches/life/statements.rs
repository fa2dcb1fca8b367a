//! The engine's own hot statements without the engine: pgbench calls them with arrays of a hundred, each in a transaction of its
//! own as the engine does, on a copy of the same list under the same rules. What a life takes there is what it must take.
//!
//! The texts are the engine's where they stand in files; a script of pgbench passes arrays as text between them. What builds the
//! arrays belongs to the bench and is kept in the same statements where it can be.

use std::{fmt::Write as _, fs, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    Fallible,
    floor::Pgbench,
    intake::Campaign,
    lists, lives, profile,
    report::Report,
    world::{Postgres, cpu_ms, cpu_ms_of_family},
};

const DATABASE: &str = "statements";
const CLIENTS: usize = 2;
/// Replicas and sessions of the clients, above all that an engine has made.
const CLIENT_ROWS: &str = "
insert into replica (replica_id, started_at, expires_at) overriding system value
select 1000 + g, now(), now() + interval '1 day' from generate_series(0, 1) g;
insert into dialer_session (session_id, dialer_id, replica_id, slots, opened_at)
select ('00000000-0000-7000-8000-00000000000' || g)::uuid, 'bench', 1000 + g, 4000, now() from generate_series(0, 1) g;
update campaign set state = 2, state_since = now()";

/// Lease ids are of the time, as the engine's. One in ten says yes, four say no, five do not answer and are due again in half an
/// hour, as the dialers' calls and the rules have it.
const REFILL: &str = "\
\\set owner 1000 + :client_id
\\set r random(1, 8796093000000)
select array_agg((b.prefix || '7' || lpad(to_hex(:r::bigint + i), 11, '0') || '8000000' || :client_id::text)::uuid)::text as ids
from (select lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') as prefix) b, generate_series(1, 100) i \\gset
select array_agg((:ids::uuid[])[q.place])::text as leases, array_agg(q.epoch)::text as epochs, array_agg(q.version)::text as versions,
    count(q.variables) as variables, array_agg(q.outcome)::text as outcomes,
    array_agg(case q.outcome when 5 then 6 else 3 + q.outcome end)::text as states,
    array_agg(case q.outcome when 5 then now() + interval '30 minutes' end)::text as due,
    array_agg(case q.outcome when 5 then 0 else q.seq + 1 end)::text as talked_seqs,
    array_agg(case q.outcome when 5 then null else q.outcome end)::text as talked
from (
    select x.*, case x.place % 10 when 0 then 1 when 1 then 2 when 2 then 2 when 3 then 2 when 4 then 2 else 5 end as outcome
    from (
        select (row_number() over ())::int as place, y.*
        from refill(:campaign::int, :owner::int, :rules::int, 100, 113, array_fill('2020-01-01'::timestamptz, array[:zones::int]),
            array_fill('2999-01-01'::timestamptz, array[:zones::int]), :ids::uuid[], {sessions}, 'infinity') y
        where y.verdict = 1
    ) x
) q \\gset
";

const BEGIN: &str = "
select lease_ids, verdicts, begun_at, now from begin_calls({sessions}, :leases::uuid[], array_fill(gen_random_uuid(), {n}));
";

/// A copy of the list without an engine.
pub struct Statements {
    pgbench: Pgbench,
    lasts: Duration,
    sql: tokio_postgres::Client,
    postgres_pid: u32,
}

impl Statements {
    /// Copies the list and writes the script.
    pub async fn prepare(postgres: &Postgres, leads: usize, seconds: usize) -> Fallible<Statements> {
        let list = lists::prepared(postgres, leads).await?;
        postgres.create(DATABASE, Some(&list)).await?;
        let sql = postgres.connect(DATABASE).await?;
        profile::prepare(&sql).await?;
        sql.batch_execute(CLIENT_ROWS).await?;
        let Campaign { key, .. } = lists::only_campaign(&sql).await?;
        let row = sql
            .query_one("select rules_version, (select coalesce(max(zone_id), 0) + 1 from zone)::int from campaign", &[])
            .await?;
        let [rules, zones]: [i32; 2] = [row.try_get(0)?, row.try_get(1)?];
        let defines = [("campaign", key), ("rules", rules), ("zones", zones)];
        let script = postgres.dir().join("statements.sql");
        fs::write(&script, text()?)?;
        let pgbench = Pgbench {
            bin_dir: postgres.bin_dir().to_owned(),
            database: postgres.connection_string(DATABASE),
            script,
            clients: CLIENTS,
            // A second more, so that it does not end before the window does.
            seconds: seconds + 1 + usize::try_from(lives::WARM_UP.as_secs())?,
            defines: defines.map(|(name, value)| format!("{name}={value}")).into(),
        };
        let lasts = Duration::from_secs(u64::try_from(seconds)?);
        Ok(Statements { pgbench, lasts, sql, postgres_pid: postgres.pid() })
    }

    /// A connection to the copy.
    pub fn sql(&self) -> &tokio_postgres::Client {
        &self.sql
    }

    /// Whole lives per second and processor time of each, pgbench's included, between two instants: the first calls of a
    /// connection plan, which the engine's connections did long ago.
    #[allow(clippy::cast_precision_loss)]
    pub async fn measure(&self, report: &mut Report) -> Fallible<()> {
        profile::reset(&self.sql).await?;
        let process = self.pgbench.start()?;
        let pid = process.id().unwrap_or(0);
        let used = || cpu_ms(pid) + cpu_ms_of_family(self.postgres_pid);
        sleep(lives::WARM_UP).await;
        let (before, used_before, started) = (self.lived().await?, used(), Instant::now());
        sleep(self.lasts).await;
        let lives = (self.lived().await? - before).max(1) as f64;
        report.sample("floor.statements_per_second", lives / started.elapsed().as_secs_f64());
        report.sample("floor.statements_cpu_us", (used() - used_before) * 1_000.0 / lives);
        Pgbench::end(process).await?;
        profile::show(&self.sql).await
    }

    async fn lived(&self) -> Fallible<i64> {
        Ok(self.sql.query_one("select sum(attempts)::bigint from gauge", &[]).await?.try_get(0)?)
    }

    /// The copy goes.
    pub async fn finish(self, postgres: &Postgres) -> Fallible<()> {
        postgres.drop(DATABASE).await
    }
}

fn text() -> Fallible<String> {
    let n = "array[cardinality(:leases::uuid[])]";
    let session = "('00000000-0000-7000-8000-00000000000' || :client_id::text)::uuid";
    let sessions = format!("array_fill({session}, {n})");
    let all = |value: &str| format!("array_fill({value}, {n})");
    let [no_instant, no_text, no_number] = ["null::timestamptz", "null::text", "null::int"].map(all);
    let settle = with(
        include_str!("../../src/store/sql/settle.sql"),
        &[
            &all(":campaign::int"),
            ":leases",
            ":versions",
            ":epochs",
            ":outcomes",
            ":states",
            ":due",
            &no_instant,
            &no_instant,
            &all("1::smallint"),
            &all("0::smallint"),
            ":talked_seqs",
            ":talked",
            &no_instant,
            &no_text,
            &no_number,
            &no_number,
            &no_text,
            &all("null::jsonb"),
            "true",
            &no_instant,
            &no_text,
        ],
    );
    let mut script = REFILL.replace("{sessions}", &format!("array_fill({session}, array[100])"));
    write!(script, "{}", BEGIN.replace("{sessions}", &sessions).replace("{n}", n))?;
    write!(script, "{settle};")?;
    writeln!(script)?;
    Ok(script)
}

/// A statement with values in the place of its parameters.
fn with(statement: &str, values: &[&str]) -> String {
    let numbered = values.iter().enumerate().rev();
    numbered.fold(statement.trim_end().to_owned(), |text, (n, value)| text.replace(&format!("${}", n + 1), value))
}
