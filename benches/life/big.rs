//! Whether the length of a list matters: to the rate of lives, to statistics, to the engine's memory.
//!
//! Rates are taken on both lists by turns, of equally many lives from an equally warm start. The dialers hold so few calls
//! that most of the short list lives while there is more to hand out. Scores are spread, so that leads which follow each
//! other in the campaign's order lie on different pages: the long list is touched all over.

use tokio::time::{Duration, Instant, sleep};

use super::{
    Fallible, Scale,
    crew::{Crew, Shape},
    intake::Campaign,
    lists, lives, profile,
    report::Report,
    world::{Postgres, World},
};

/// Leads of the short list.
const SHORT: usize = 10_000;
/// Lives of a run that are not timed: dialers find their pace, and what the last run gave back lives first.
const WARM_UP: i64 = 2_000;
/// Lives of a run until which it is timed; then the short list runs dry.
const END: i64 = 9_000;
/// Of the runs.
const DIALERS: Shape = Shape { processes: 8, slots: 100, batch: 100, ..Shape::PLAIN };
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Runs on each list, by turns: they are short.
const RUNS_PER_ROUND: usize = 3;
const STATS_CALLS: usize = 200;

/// Two thousand dialers.
const CROWD: Shape = Shape { processes: 2, sessions: 1_000, slots: 2, batch: 2, ..Shape::PLAIN };
const CROWD_WORKS: Duration = Duration::from_secs(3);

/// The short list as it was, with no history. The engine is paused, and knows nothing of it.
const RENEW: &str = "
truncate lead, due, call_attempt, attempt_report;
insert into lead select * from kept;
delete from gauge where campaign_id > 0;
insert into gauge (campaign_id, eligible) select campaign_id, count(*) from lead group by 1;";

/// Rates, statistics and memory beside a long list.
pub async fn measure(postgres: &Postgres, scale: Scale, report: &mut Report) -> Fallible<()> {
    let leads = if scale.long { 10_000_000 } else { 1_000_000 };
    #[allow(clippy::cast_precision_loss)]
    report.sample("flat.leads", leads as f64);
    lists::with_list(postgres, "long", leads, async |long, of_long| {
        lists::with_list(postgres, "short", SHORT, async |short, of_short| {
            short.sql.batch_execute("create table kept as table lead").await?;
            // No database is made from here on: that is a checkpoint.
            lists::touch(&long.sql).await?;
            // The first run of an engine makes plans and fills caches.
            run(long, of_long).await?;
            run(short, of_short).await?;
            for _ in 0..scale.rounds * RUNS_PER_ROUND {
                report.sample("flat.long_per_second", run(long, of_long).await?);
                renew(short).await?;
                report.sample("flat.short_per_second", run(short, of_short).await?);
            }
            report.ratio("flat.ratio", "flat.long_per_second", "flat.short_per_second");
            lists::verify(short).await
        })
        .await?;
        statistics(long, of_long, report).await?;
        memory(long, of_long, report).await?;
        lists::verify(long).await
    })
    .await
}

async fn renew(world: &World) -> Fallible<()> {
    world.sql.batch_execute(RENEW).await?;
    Ok(world.sql.batch_execute("vacuum analyze lead").await?)
}

/// How many live per second, between the first and the last lives of a run.
async fn run(world: &mut World, campaign: &Campaign) -> Fallible<f64> {
    profile::reset(&world.sql).await?;
    let crew = Crew::open(world, &campaign.id, &DIALERS).await?;
    let (before, _) = attempts(world, campaign).await?;
    lives::start(world, campaign).await?;
    let from = until(world, campaign, before + WARM_UP).await?;
    let to = until(world, campaign, before + END).await?;
    lives::pause(world, campaign).await?;
    crew.close().await?;
    profile::show(&world.sql).await?;
    Ok(per_second(from, to))
}

/// Attempts so far, and when that was. By a look at one row, so that looking costs the engine nothing.
pub async fn attempts(world: &World, campaign: &Campaign) -> Fallible<(i64, Instant)> {
    let asked = Instant::now();
    let query = format!("select attempts from gauge where campaign_id = {}", campaign.key);
    Ok((world.number(&query).await?, asked + asked.elapsed() / 2))
}

/// Attempts per second between two looks.
#[allow(clippy::cast_precision_loss)]
pub fn per_second(from: (i64, Instant), to: (i64, Instant)) -> f64 {
    (to.0 - from.0) as f64 / (to.1 - from.1).as_secs_f64()
}

/// The first look that finds so many attempts.
async fn until(world: &World, campaign: &Campaign, many: i64) -> Fallible<(i64, Instant)> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let look = attempts(world, campaign).await?;
        if look.0 >= many {
            return Ok(look);
        }
        if Instant::now() > deadline {
            return Err(format!("{} attempts of {many} within {PATIENCE:?}", look.0).into());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Of a running campaign that has lived, which nobody dials for.
async fn statistics(world: &mut World, campaign: &Campaign, report: &mut Report) -> Fallible<()> {
    lives::start(world, campaign).await?;
    profile::reset(&world.sql).await?;
    for _ in 0..STATS_CALLS {
        let asked = Instant::now();
        lives::stats(world, campaign).await?;
        report.sample("stats.ms", asked.elapsed().as_secs_f64() * 1_000.0);
    }
    profile::show(&world.sql).await?;
    lives::pause(world, campaign).await
}

/// Of the engine, with many streams open: at rest, and after all of them have worked.
async fn memory(world: &mut World, campaign: &Campaign, report: &mut Report) -> Fallible<()> {
    report.sample("memory.alone_mb", world.engine_memory_mb());
    let crew = Crew::open(world, &campaign.id, &CROWD).await?;
    report.sample("memory.at_rest_mb", world.engine_memory_mb());
    lives::start(world, campaign).await?;
    sleep(CROWD_WORKS).await;
    report.sample("memory.mb", world.engine_memory_mb());
    lives::pause(world, campaign).await?;
    println!("  {}", crew.close().await?);
    Ok(())
}
