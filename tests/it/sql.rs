//! Statements: each is understood by a migrated database, and calls never walk a whole table, whatever the statistics say.

use std::{collections::BTreeMap, fs, time::Duration};

use dialplane::pb;

use crate::support::{World, database::Database, eventually, lead, rules, seconds};

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_file_is_understood_by_the_database() {
    let database = Database::create().await;
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/sql");
    let mut seen = 0;
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap();
        database.sql.prepare(&text).await.unwrap_or_else(|error| panic!("{:?}: {error:?}", entry.file_name()));
        seen += 1;
    }
    assert!(seen > 20, "{seen} files");
    database.drop().await;
}

/// Sequential scans of the tables that grow, so far.
async fn scans(database: &Database) -> BTreeMap<String, i64> {
    let sql = "select relname::text, seq_scan from pg_stat_user_tables \
               where relname in ('lead', 'due') or relname like 'call\\_attempt%'";
    database.sql.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_walk_no_table_that_grows_even_without_statistics() {
    let mut world = World::start().await;
    // On a slow machine it would come along, and find that a partition of one page is best read whole.
    let off = "do $$ declare t text; begin for t in select relid::regclass::text from pg_stat_user_tables \
               where relname in ('lead', 'due') or relname like 'call\\_attempt\\_%' \
               loop execute format('alter table %s set (autovacuum_enabled = off)', t); end loop; end $$";
    world.database.sql.batch_execute(off).await.unwrap();
    // A number rule that holds nobody up, and reads what each of them was called before.
    let cap = pb::RollingCap { max_calls: 100, period: seconds(60) };
    let number_rules = Some(pb::NumberRules { caps: vec![cap], ..Default::default() });
    world.set(pb::SchedulerSettings { number_rules, ..Default::default() }).await;
    let campaign = world.campaign(rules()).await;
    for first in (0..10_000).step_by(1000) {
        world.add(&campaign, (first..first + 1000).map(lead).collect()).await;
    }
    let mut dialer = world.dialer(&campaign, 20).await;
    dialer.call_with(pb::Outcome::NoAnswer).await;
    let flushed = "select count(*) from pg_stat_user_tables where relname = 'lead' and n_tup_ins >= 10000";
    eventually("the counters are there", || async { (world.database.count(flushed).await > 0).then_some(()) }).await;
    // Making a partition reads the default one, and an idle connection tells after ten seconds only.
    eventually("what the migration read is counted", || async {
        (scans(&world.database).await["call_attempt_default"] > 0).then_some(())
    })
    .await;
    let before = scans(&world.database).await;
    for outcome in [pb::Outcome::NoAnswer, pb::Outcome::Busy, pb::Outcome::NotPlaced, pb::Outcome::IntentYes] {
        for _ in 0..20 {
            let (lease, _) = dialer.call_with(outcome).await;
            dialer.report(&lease.lease_id, pb::Outcome::IntentNo).await;
        }
    }
    let lease = dialer.lease().await;
    dialer.release(&lease.lease_id).await;
    world.advance(Duration::from_secs(1)).await;
    let settled = "select count(*) from pg_stat_user_tables where relname = 'lead' and n_tup_upd >= 80";
    eventually("the counters have followed", || async { (world.database.count(settled).await > 0).then_some(()) })
        .await;
    assert_eq!(scans(&world.database).await, before);
    world.stop().await;
}
