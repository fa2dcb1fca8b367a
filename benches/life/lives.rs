//! Whole lives of leads: queued, granted, received, begun, outcome; and what an operator asks of a list that has lived.

use std::time::Duration;

use dialplane::pb::{GetCampaignStatsRequest, PauseCampaignRequest, ResetCampaignRequest, StartCampaignRequest};
use tokio::time::{Instant, sleep};

use super::{
    Fallible,
    crew::{Crew, Shape},
    intake::Campaign,
    report::Report,
    world::{World, cpu_ms, cpu_ms_of_family},
};

const LOOK_EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(300);
const STATS_CALLS: usize = 20;

/// Eight dialers of 500 slots, up to 500 leases a call.
pub const IN_BATCHES: Shape = Shape { processes: 8, sessions: 1, slots: 500, batch: 500 };
/// Sixty-four dialers that hold one call at a time, one unary call per step.
pub const ONE_AT_A_TIME: Shape = Shape { processes: 4, sessions: 16, slots: 1, batch: 1 };

/// Lives in batches.
pub async fn in_batches(world: &mut World, campaign: &Campaign, report: &mut Report) -> Fallible<()> {
    live(world, campaign, &IN_BATCHES, "life", "per_second", report).await
}

/// Lives one at a time.
pub async fn one_at_a_time(world: &mut World, campaign: &Campaign, report: &mut Report) -> Fallible<()> {
    live(world, campaign, &ONE_AT_A_TIME, "life", "single_per_second", report).await?;
    pause(world, campaign).await
}

#[allow(clippy::cast_precision_loss)]
async fn live(
    world: &mut World,
    campaign: &Campaign,
    shape: &Shape,
    area: &str,
    key: &str,
    report: &mut Report,
) -> Fallible<()> {
    let crew = Crew::open(world, &campaign.id, shape).await?;
    let wal = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    let wal_before = world.number(wal).await?;
    let used =
        |crew: &Crew, world: &World| [crew.cpu_ms(), cpu_ms(world.engine_pid()), cpu_ms_of_family(world.postgres_pid)];
    let used_before = used(&crew, world);
    let seconds = start_and_wait(world, campaign).await?;
    let used_after = used(&crew, world);
    let wal_after = world.number(wal).await?;
    let tally = crew.close().await?;
    let lives = tally.lives.max(1) as f64;
    let prefix = key.trim_end_matches("per_second");
    report.sample(&format!("{area}.{key}"), lives / seconds);
    report.sample(&format!("{area}.{prefix}wal_bytes"), (wal_after - wal_before) as f64 / lives);
    for (who, (before, after)) in ["dialers", "engine", "postgres"].iter().zip(used_before.iter().zip(used_after)) {
        report.sample(&format!("{area}.{prefix}{who}_cpu_us"), (after - before) * 1_000.0 / lives);
    }
    println!("  {area}.{key}: {tally}, in {seconds:.2} s");
    Ok(())
}

/// Starts a campaign; how many seconds it then took until no lead of it was left to call.
pub async fn start_and_wait(world: &mut World, campaign: &Campaign) -> Fallible<f64> {
    let started = Instant::now();
    let request = StartCampaignRequest { campaign_id: campaign.id.clone(), ..StartCampaignRequest::default() };
    world.campaigns.start_campaign(request).await?;
    // By a look at one row, so that looking costs the engine nothing.
    let open = format!("select (eligible + ready + dialing)::bigint from gauge where campaign_id = {}", campaign.key);
    while world.number(&open).await? > 0 {
        if started.elapsed() > PATIENCE {
            return Err("the campaign does not end".into());
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Statistics and the reset of a list that has lived; then it is out of the way. Speed that loses count is no speed: every
/// lead must be in one place, and the gauges must be counts.
pub async fn after(world: &mut World, campaign: &Campaign, report: &mut Report) -> Fallible<()> {
    let violations = world.number("select count(*) from invariant_violation").await?;
    if violations > 0 {
        return Err(format!("{violations} invariants are violated").into());
    }
    for _ in 0..STATS_CALLS {
        let started = Instant::now();
        let request = GetCampaignStatsRequest { campaign_id: campaign.id.clone() };
        world.campaigns.get_campaign_stats(request).await?;
        report.sample("stats.ms", started.elapsed().as_secs_f64() * 1_000.0);
    }
    let started = Instant::now();
    let request = ResetCampaignRequest { campaign_id: campaign.id.clone(), ..ResetCampaignRequest::default() };
    world.campaigns.reset_campaign(request).await?;
    report.sample("reset.ms", started.elapsed().as_secs_f64() * 1_000.0);
    pause(world, campaign).await
}

/// Pauses a campaign.
pub async fn pause(world: &mut World, campaign: &Campaign) -> Fallible<()> {
    let request = PauseCampaignRequest { campaign_id: campaign.id.clone(), ..PauseCampaignRequest::default() };
    world.campaigns.pause_campaign(request).await?;
    Ok(())
}
