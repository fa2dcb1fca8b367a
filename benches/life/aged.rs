//! Whether the engine grows slow: after minutes at full speed, and while somebody holds an old snapshot open, so that nothing
//! that died since can be swept away. Takes minutes, so only with LONG=1. For a try, AGED_MINUTE=5 makes minutes of five
//! seconds.

use std::env;

use tokio::time::{Duration, Instant, sleep};

use super::{
    Fallible, Scale, big,
    crew::Crew,
    intake::Campaign,
    lists, lives, profile,
    report::Report,
    world::{Postgres, World},
};

/// Enough for ten minutes at 25,000 lives a second.
const LEADS: usize = 15_000_000;
/// In a try.
const LEADS_OF_A_TRY: usize = 1_000_000;

const MINUTES: usize = 10;
/// Under the snapshot, before the minute that counts.
const SNAPSHOT_MINUTES: usize = 5;

/// What each try has; a run has real ones.
fn minute() -> Duration {
    Duration::from_secs(env::var("AGED_MINUTE").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(60))
}

/// Age without and with an old snapshot, each on a list of its own.
pub async fn measure(postgres: &Postgres, scale: Scale, report: &mut Report) -> Fallible<()> {
    if !scale.long {
        println!("only with LONG=1");
        return Ok(());
    }
    let leads = if minute() < Duration::from_secs(60) { LEADS_OF_A_TRY } else { LEADS };
    lists::with_list(postgres, "aged", leads, async |world, campaign| {
        let rates = age(world, campaign, async |minutes| {
            let mut rates = Vec::new();
            for _ in 0..MINUTES {
                rates.push(minutes.next().await?);
            }
            Ok(rates)
        })
        .await?;
        report.sample("aged.minute_2_per_second", rates[1]);
        report.sample("aged.minute_10_per_second", rates[MINUTES - 1]);
        report.ratio("aged.ratio", "aged.minute_10_per_second", "aged.minute_2_per_second");
        lists::verify(world).await
    })
    .await?;
    lists::with_list(postgres, "snapshot", leads, async |world, campaign| {
        let reader = postgres.connect("snapshot").await?;
        let [before, after] = age(world, campaign, async |minutes| {
            minutes.next().await?;
            let before = minutes.next().await?;
            reader.batch_execute("begin isolation level repeatable read; select count(*) from setting").await?;
            for _ in 0..SNAPSHOT_MINUTES {
                minutes.next().await?;
            }
            let after = minutes.next().await?;
            reader.batch_execute("commit").await?;
            Ok([before, after])
        })
        .await?;
        report.sample("aged.snapshot_before_per_second", before);
        report.sample("aged.snapshot_after_per_second", after);
        report.ratio("aged.snapshot_ratio", "aged.snapshot_after_per_second", "aged.snapshot_before_per_second");
        lists::verify(world).await
    })
    .await
}

/// The minutes of a run.
struct Minutes<'a> {
    world: &'a World,
    campaign: &'a Campaign,
    now: (i64, Instant),
}

impl Minutes<'_> {
    /// Lives per second in the next one.
    async fn next(&mut self) -> Fallible<f64> {
        sleep(minute()).await;
        let then = std::mem::replace(&mut self.now, big::attempts(self.world, self.campaign).await?);
        let rate = big::per_second(then, self.now);
        let eligible = format!("select eligible::bigint from gauge where campaign_id = {}", self.campaign.key);
        let left = self.world.number(&eligible).await?;
        let pages = "select (pg_relation_size('lease') + pg_relation_size('ready_lead') + pg_relation_size('gauge')
            + pg_indexes_size('lease') + pg_indexes_size('ready_lead') + pg_indexes_size('gauge')) / 1048576";
        let hot_mb = self.world.number(pages).await?;
        println!("  {rate:.0} lives per second, {left} left; {hot_mb} MB of leases, READY leads and gauges");
        if left == 0 {
            return Err("the list ran out".into());
        }
        Ok(rate)
    }
}

/// Lets a campaign live at full speed for some minutes.
async fn age<T>(
    world: &mut World,
    campaign: &Campaign,
    watch: impl AsyncFnOnce(&mut Minutes) -> Fallible<T>,
) -> Fallible<T> {
    // Else the early minutes would write an image of each page, and the late ones none.
    lists::touch(&world.sql).await?;
    profile::reset(&world.sql).await?;
    let crew = Crew::open(world, &campaign.id, &lives::IN_BATCHES).await?;
    lives::start(world, campaign).await?;
    let now = big::attempts(world, campaign).await?;
    let watched = watch(&mut Minutes { world, campaign, now }).await?;
    lives::pause(world, campaign).await?;
    println!("  {}", crew.close().await?);
    profile::show(&world.sql).await?;
    Ok(watched)
}
