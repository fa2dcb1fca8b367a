//! Whole lives of leads per second: queued, granted, received, begun, outcome. Only a part of a long list lives: lives are
//! counted in the database between two instants in the middle of a run, so neither its start nor its end counts.

use std::time::Duration;

use dialplane::pb::{
    GetCampaignStatsRequest, GetCampaignStatsResponse, LeadState, PauseCampaignRequest, StartCampaignRequest,
};
use tokio::time::{Instant, sleep};

use super::{
    Fallible, Scale, cost,
    crew::{Crew, Shape},
    floor::Floor,
    intake::Campaign,
    lists, profile,
    report::Report,
    statements::Statements,
    world::{Postgres, World, cpu_ms_of_family},
};

const LOOK_EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(300);
/// Of every run, before its window: backends map the shared buffers page by page as they meet them.
pub const WARM_UP: Duration = Duration::from_secs(2);
/// Of the floor beside lives one at a time, where the size of the table says nothing.
const SINGLE_FLOOR_LEADS: usize = 100_000;

/// Eight dialers of 500 slots, up to 500 leases a call.
pub const IN_BATCHES: Shape = Shape { processes: 8, slots: 500, batch: 500, ..Shape::PLAIN };
/// Sixty-four dialers that hold one call at a time, one unary call per step.
pub const ONE_AT_A_TIME: Shape = Shape { processes: 4, sessions: 16, ..Shape::PLAIN };

/// What happened in a window.
pub struct Window {
    /// Outcomes accepted per second.
    pub per_second: f64,
    /// WAL per life, page images and all.
    pub wal_bytes: f64,
    /// Processor time of dialers, engines, PostgreSQL per life, in microseconds.
    pub cpu_us: [f64; 3],
}

/// Lives in batches, beside the floors.
pub async fn measure(postgres: &Postgres, scale: Scale, report: &mut Report) -> Fallible<()> {
    lists::with_list(postgres, "lives", scale.leads, async |world, campaign| {
        let floor = Floor::fill(world, scale.leads, scale.floor_seconds).await?;
        let statements = Statements::prepare(postgres, scale.leads, scale.floor_seconds).await?;
        // After the last database was made.
        lists::touch(&world.sql).await?;
        lists::touch(statements.sql()).await?;
        // They may not keep up with the engine: all else is told all the same.
        let mut alone = Ok(());
        for round in 1..=scale.rounds {
            println!("round {round} of {}", scale.rounds);
            floor.batches(world, report).await?;
            beside(world, campaign, &IN_BATCHES, scale, "", report).await?;
            if alone.is_ok() {
                alone = statements.measure(report).await;
            }
        }
        report.ratio("life.reference_ratio", "life.per_second", "floor.reference_per_second");
        report.ratio("life.reference_cpu_ratio", "floor.reference_cpu_us", "life.cpu_us");
        if alone.is_ok() {
            report.ratio("life.ratio", "life.per_second", "floor.statements_per_second");
            report.ratio("life.cpu_ratio", "floor.statements_cpu_us", "life.cpu_us");
        }
        counts(world, campaign, report).await?;
        lists::verify(world).await?;
        alone.and(statements.finish(postgres).await)
    })
    .await
}

/// Lives one at a time, beside the floor.
pub async fn measure_single(postgres: &Postgres, scale: Scale, report: &mut Report) -> Fallible<()> {
    lists::with_list(postgres, "single", scale.single_leads, async |world, campaign| {
        lists::touch(&world.sql).await?;
        let floor = Floor::fill(world, SINGLE_FLOOR_LEADS, scale.floor_seconds).await?;
        for round in 1..=scale.rounds {
            println!("round {round} of {}", scale.rounds);
            floor.single(world, report).await?;
            beside(world, campaign, &ONE_AT_A_TIME, scale, "single_", report).await?;
        }
        report.ratio("life.single_ratio", "life.single_per_second", "floor.single_per_second");
        report.ratio("life.single_cpu_ratio", "floor.single_cpu_us", "life.single_cpu_us");
        lists::verify(world).await
    })
    .await
}

async fn beside(
    world: &mut World,
    campaign: &Campaign,
    shape: &Shape,
    scale: Scale,
    how: &str,
    report: &mut Report,
) -> Fallible<()> {
    profile::reset(&world.sql).await?;
    let Window { per_second, wal_bytes, cpu_us } = window(world, campaign, shape, scale.window).await?;
    profile::show(&world.sql).await?;
    report.sample(&format!("life.{how}per_second"), per_second);
    report.sample(&format!("life.{how}cpu_us"), cpu_us.iter().sum());
    report.sample(&format!("life.{how}wal_bytes"), wal_bytes);
    for (who, cpu_us) in ["dialers", "engine", "postgres"].iter().zip(cpu_us) {
        report.sample(&format!("life.{how}{who}_cpu_us"), cpu_us);
    }
    Ok(())
}

/// Lets a campaign live for a while, and pauses it.
#[allow(clippy::cast_precision_loss)]
pub async fn window(world: &mut World, campaign: &Campaign, shape: &Shape, lasts: Duration) -> Fallible<Window> {
    let wal = "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint";
    let crew = Crew::open(world, &campaign.id, shape).await?;
    start(world, campaign).await?;
    sleep(WARM_UP).await;
    let used =
        |crew: &Crew, world: &World| [crew.cpu_ms(), world.engine_cpu_ms(), cpu_ms_of_family(world.postgres_pid)];
    let before = (lived(world, campaign).await?, world.number(wal).await?, used(&crew, world));
    sleep(lasts).await;
    let after = (lived(world, campaign).await?, world.number(wal).await?, used(&crew, world));
    let left = stats(world, campaign).await?;
    pause(world, campaign).await?;
    let tally = crew.close().await?;
    if tally.lost > 0 {
        // The figure stands for what happened; the log may say why.
        world.show_log();
    }
    if count(&left, LeadState::Eligible) == 0 {
        return Err("the list ran out in the window".into());
    }
    let lives = (after.0.0 - before.0.0).max(1) as f64;
    let window = Window {
        per_second: lives / (after.0.1 - before.0.1).as_secs_f64(),
        wal_bytes: (after.1 - before.1) as f64 / lives,
        cpu_us: std::array::from_fn(|who| (after.2[who] - before.2[who]) * 1_000.0 / lives),
    };
    println!("  {:.0} lives per second; {tally}", window.per_second);
    Ok(window)
}

/// Attempts so far, and when that was.
async fn lived(world: &mut World, campaign: &Campaign) -> Fallible<(i64, Instant)> {
    let asked = Instant::now();
    let stats = stats(world, campaign).await?;
    Ok((stats.attempts, asked + asked.elapsed() / 2))
}

/// What is counted per life, exact once the engine is gone; it is gone then.
#[allow(clippy::cast_precision_loss)]
async fn counts(world: &mut World, campaign: &Campaign, report: &mut Report) -> Fallible<()> {
    let lives = stats(world, campaign).await?.attempts.max(1) as f64;
    world.stop_engines().await;
    report.sample("life.buffers", cost::counters(&world.sql).await?.buffers as f64 / lives);
    let hot = "select (sum(n_tup_hot_upd) / greatest(sum(n_tup_upd), 1))::float8 from pg_stat_user_tables
        where schemaname = 'public'";
    report.sample("life.hot_share", world.sql.query_one(hot, &[]).await?.try_get(0)?);
    Ok(())
}

/// The campaign's counts.
pub async fn stats(world: &mut World, campaign: &Campaign) -> Fallible<GetCampaignStatsResponse> {
    let request = GetCampaignStatsRequest { campaign_id: campaign.id.clone() };
    Ok(world.campaigns.get_campaign_stats(request).await?.into_inner())
}

/// Leads in a state.
pub fn count(stats: &GetCampaignStatsResponse, state: LeadState) -> i64 {
    stats.counts.iter().filter(|row| row.state() == state).map(|row| row.leads).sum()
}

/// Starts a campaign.
pub async fn start(world: &mut World, campaign: &Campaign) -> Fallible<()> {
    let request = StartCampaignRequest { campaign_id: campaign.id.clone(), ..StartCampaignRequest::default() };
    world.campaigns.start_campaign(request).await?;
    Ok(())
}

/// Starts a campaign; how many seconds it then took until no lead of it was left to call.
pub async fn start_and_wait(world: &mut World, campaign: &Campaign) -> Fallible<f64> {
    let started = Instant::now();
    start(world, campaign).await?;
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

/// Pauses a campaign.
pub async fn pause(world: &mut World, campaign: &Campaign) -> Fallible<()> {
    let request = PauseCampaignRequest { campaign_id: campaign.id.clone(), ..PauseCampaignRequest::default() };
    world.campaigns.pause_campaign(request).await?;
    Ok(())
}
