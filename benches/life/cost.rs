//! What a life costs the database, with all rules on and with those of the baseline alone: bytes and records of WAL, and
//! buffers. Counted, not timed: they say what the rules cost even where a clock says nothing, and hardly depend on the
//! machine. What does vary is how many leases travel together, and commit together: batches repeat within 3 %, single
//! lives, which the engine gathers as they come, within 10 %: read those beside `rules.off_single_...` of the same run.
//!
//! So that only lives are counted, and the same ones each time:
//! - **Always as many leads in a database of their own**: no run has deeper indexes than another, QUICK or not, and rules
//!   that were once on are on nowhere else.
//! - **The engine is gone whenever counters are read**: a backend reports its buffers once a second at the most, late when it
//!   idles, and for certain when it ends.
//! - **A checkpoint before the import, none after it**: the import is then the first to touch each page since the
//!   checkpoint, and the lives write hardly any page images. Under a real load images come by the clock, so many per
//!   checkpoint and not per life. They are counted, and told apart from the records.
//! - **No autovacuum**: its passes, too, come by the clock and would fall into one run and not into another.
//! - **Buffers of tables and indexes alone**: a fresh backend reads much of the catalog, once.

use std::time::Duration;

use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use super::{
    Fallible, Scale,
    crew::{Crew, Shape},
    intake, lives, profile,
    report::Report,
    rules,
    world::{Postgres, World},
};

/// Per life before there were number rules and calls per second: medians of three runs at 7122cba, PostgreSQL 15, two
/// cores. Then small answers waited in TCP for each other; without that single lives gather less and differ by 2 % in WAL and
/// 5 % in buffers: `rules.off_single_...`. The bar stays.
const BASELINE: [(&str, f64); 4] =
    [("wal_bytes", 1_417.0), ("buffers", 88.5), ("single_wal_bytes", 1_616.0), ("single_buffers", 115.0)];

/// How much of it the rules may cost.
const RATIO_MAX: f64 = 1.3;

/// Leads that live in batches, and one at a time.
const LEADS: usize = 30_000;
const SINGLE_LEADS: usize = 6_000;

const LOOK_EVERY: Duration = Duration::from_millis(20);
const GONE_WITHIN: Duration = Duration::from_secs(15);

/// Counters of the cluster and of one database.
pub struct Counters {
    /// The end of the WAL.
    pub lsn: String,
    /// Buffers found or read, of tables and indexes.
    pub buffers: i64,
}

/// WAL of a stretch.
struct Wal {
    records: f64,
    /// Without page images.
    bytes: f64,
    image_bytes: f64,
}

/// Takes the costs with all rules and without, and compares them with the baseline.
pub async fn measure(postgres: &Postgres, scale: Scale, report: &mut Report) -> Fallible<()> {
    let sql = postgres.connect(super::DATABASE).await?;
    autovacuum(&sql, "alter system set autovacuum = off").await?;
    let kinds = [(true, "rules."), (false, "rules.off_")];
    // Without rules is a control of the baseline: no goal hangs on it.
    let kinds = if scale.quick { &kinds[..1] } else { &kinds[..] };
    for round in 1..=scale.cost_rounds {
        println!("costs, round {round} of {}", scale.cost_rounds);
        for &(all_rules, prefix) in kinds {
            let database = format!("{}_{round}", prefix.replace('.', "_"));
            postgres.create(&database, None).await?;
            lives_of(postgres, &database, all_rules, prefix, report).await?;
            postgres.drop(&database).await?;
        }
    }
    autovacuum(&sql, "alter system reset autovacuum").await?;
    for (_, prefix) in kinds {
        for (key, before) in BASELINE {
            let name = format!("{prefix}{}_ratio", key.trim_end_matches("_bytes"));
            let ratio = report.ratio_to(&name, &format!("{prefix}{key}"), before);
            let verdict = if ratio <= RATIO_MAX { "within" } else { "NOT WITHIN" };
            println!("  {name}: {ratio:.3}, {verdict} {RATIO_MAX}");
        }
    }
    Ok(())
}

async fn autovacuum(sql: &tokio_postgres::Client, setting: &str) -> Fallible<()> {
    sql.batch_execute(setting).await?;
    sql.batch_execute("select pg_reload_conf()").await?;
    Ok(())
}

/// Imports with one engine, lets live with others.
async fn lives_of(
    postgres: &Postgres,
    database: &str,
    all_rules: bool,
    prefix: &str,
    report: &mut Report,
) -> Fallible<()> {
    let sql = postgres.connect(database).await?;
    let mut world = World::start(postgres, database).await?;
    if all_rules {
        rules::all_rules_on(&mut world).await?;
    } else {
        rules::all_rules_off(&mut world).await?;
    }
    sql.batch_execute("checkpoint").await?;
    let batches = intake::fill(&mut world, LEADS).await?.0;
    let single = intake::fill(&mut world, SINGLE_LEADS).await?.0;
    world.stop().await;
    sql.batch_execute("vacuum analyze").await?;
    for (campaign, shape, how) in [(batches, lives::IN_BATCHES, ""), (single, lives::ONE_AT_A_TIME, "single_")] {
        let before = counters(&sql).await?;
        let lives = live(postgres, database, &campaign, &shape).await?;
        let after = counters(&sql).await?;
        let wal = wal(postgres, &sql, &before.lsn, &after.lsn).await?;
        #[allow(clippy::cast_precision_loss)]
        let buffers = (after.buffers - before.buffers) as f64;
        let counted = [
            ("wal_bytes", wal.bytes),
            ("wal_image_bytes", wal.image_bytes),
            ("wal_records", wal.records),
            ("buffers", buffers),
        ];
        for (key, value) in counted {
            report.sample(&format!("{prefix}{how}{key}"), value / lives);
        }
    }
    Ok(())
}

/// From the start of an engine to its end; how many lived.
#[allow(clippy::cast_precision_loss)]
async fn live(postgres: &Postgres, database: &str, campaign: &intake::Campaign, shape: &Shape) -> Fallible<f64> {
    let mut world = World::start(postgres, database).await?;
    let crew = Crew::open(&world, &campaign.id, shape).await?;
    profile::reset(&world.sql).await?;
    lives::start_and_wait(&mut world, campaign).await?;
    let tally = crew.close().await?;
    profile::show(&world.sql).await?;
    world.stop().await;
    println!("  {tally}");
    Ok(tally.lives.max(1) as f64)
}

/// The engine must have been stopped; its backends may still be ending.
pub async fn counters(sql: &tokio_postgres::Client) -> Fallible<Counters> {
    let others = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    let deadline = Instant::now() + GONE_WITHIN;
    while sql.query_one(others, &[]).await?.try_get::<_, i64>(0)? > 0 {
        if Instant::now() > deadline {
            return Err("the engine's backends do not end".into());
        }
        sleep(LOOK_EVERY).await;
    }
    // The message is on disk, and all before it, when it is answered: pg_waldump reads files.
    let lsn = sql.query_one("select pg_logical_emit_message(true, 'bench', 'here')::text", &[]).await?.try_get(0)?;
    let buffers = "select sum(heap_blks_hit + heap_blks_read + coalesce(idx_blks_hit + idx_blks_read, 0)
        + coalesce(toast_blks_hit + toast_blks_read + tidx_blks_hit + tidx_blks_read, 0))::bigint
        from pg_statio_user_tables";
    Ok(Counters { lsn, buffers: sql.query_one(buffers, &[]).await?.try_get(0)? })
}

/// By pg_waldump, because pg_stat_wal knows how many images there are and not how large.
async fn wal(postgres: &Postgres, sql: &tokio_postgres::Client, from: &str, to: &str) -> Fallible<Wal> {
    let data: String = sql.query_one("show data_directory", &[]).await?.try_get(0)?;
    let output = Command::new(postgres.bin_dir().join("pg_waldump"))
        .args(["--stats", "--path", &format!("{data}/pg_wal"), "--start", from, "--end", to])
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    // Count, bytes of records, of images, of both; each with its share in brackets.
    let total = text.lines().rev().find_map(|line| line.strip_prefix("Total"));
    let numbers: Vec<f64> = total.unwrap_or_default().split_whitespace().filter_map(|word| word.parse().ok()).collect();
    match numbers[..] {
        [records, bytes, image_bytes, _] if output.status.success() => Ok(Wal { records, bytes, image_bytes }),
        _ => Err(format!("pg_waldump: {text}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
