//! How long a free slot waits for its next lease on a full engine, and what the reset of a long list does to that: from the
//! answer of ReportOutcomes to the Granted that refills the slot, at the dialer.

use std::time::Duration;

use dialplane::{clock::system, pb::ResetCampaignRequest};
use tokio::time::{Instant, sleep};

use super::{
    Fallible, Scale,
    crew::{Crew, Shape},
    intake::Campaign,
    lists, lives,
    report::{Report, percentile},
    world::{Postgres, World},
};

/// Eight dialers of 500 slots whose calls last 0.8 s: 5,000 outcomes a second, if the engine keeps up.
const PACED: Shape = Shape { processes: 8, slots: 500, batch: 500, call_ms: 790, ..Shape::PLAIN };
/// Dialers of the campaign that is reset: it is at work all the time, and disturbs nobody.
const BESIDE: Shape = Shape { slots: 100, batch: 100, call_ms: 1_000, ..Shape::PLAIN };
/// Until calls of a crew end evenly.
const WARM_UP: Duration = Duration::from_secs(3);
/// What counts as meanwhile: from the request of a reset on.
const RESET_WINDOW: Duration = Duration::from_millis(500);
/// Between two resets, for leads to live in part again.
const BETWEEN_RESETS: Duration = Duration::from_millis(1_500);
/// The campaign that is served while another is reset.
const SERVED_LEADS: usize = 120_000;

/// Instants in microseconds, from and to.
type Span = (i64, i64);

/// Grant latency on a full engine.
pub async fn measure(postgres: &Postgres, scale: Scale, report: &mut Report) -> Fallible<()> {
    lists::with_list(postgres, "grants", lists::SHORT, async |world, campaign| {
        lists::touch(&world.sql).await?;
        let crew = Crew::open(world, &campaign.id, &PACED).await?;
        lives::start(world, campaign).await?;
        sleep(WARM_UP).await;
        let from = system().timestamp_micros();
        let lived = lives::stats(world, campaign).await?.attempts;
        let started = Instant::now();
        sleep(2 * scale.window).await;
        let until = system().timestamp_micros();
        let lived = lives::stats(world, campaign).await?.attempts - lived;
        #[allow(clippy::cast_precision_loss)]
        let offered = lived as f64 / started.elapsed().as_secs_f64();
        lives::pause(world, campaign).await?;
        let tally = crew.close().await?;
        println!("  {tally}");
        let mut took = within(&tally.grants_us, &[(from, until)])?;
        report.sample("latency.grant_per_second", offered);
        for (name, percent) in [("p50", 50.0), ("p90", 90.0), ("p99", 99.0)] {
            report.sample(&format!("latency.grant_ms.{name}"), percentile(&mut took, percent));
        }
        lists::verify(world).await
    })
    .await
}

/// Resets of a long list that has lived in part and is at work, while another campaign is served.
pub async fn measure_reset(postgres: &Postgres, scale: Scale, report: &mut Report) -> Fallible<()> {
    lists::with_list(postgres, "reset", scale.leads, async |world, long| {
        let served = lists::fill_leads(world, SERVED_LEADS).await?;
        lists::touch(&world.sql).await?;
        lives::window(world, long, &lives::IN_BATCHES, scale.window).await?;
        let beside = Crew::open(world, &long.id, &BESIDE).await?;
        lives::start(world, long).await?;
        let crew = Crew::open(world, &served.id, &PACED).await?;
        lives::start(world, &served).await?;
        sleep(WARM_UP).await;
        let from = system().timestamp_micros();
        sleep(2 * scale.window).await;
        let without = (from, system().timestamp_micros());
        let mut meanwhile = Vec::new();
        for _ in 0..scale.rounds {
            sleep(BETWEEN_RESETS).await;
            let from = system().timestamp_micros();
            report.sample("reset.ms", reset(world, long).await?);
            sleep(RESET_WINDOW).await;
            meanwhile.push((from, from + i64::try_from(RESET_WINDOW.as_micros())?));
        }
        lives::pause(world, &served).await?;
        lives::pause(world, long).await?;
        beside.close().await?;
        let tally = crew.close().await?;
        println!("  {tally}");
        for (key, spans) in [("reset.grant_ms.without", &[without][..]), ("reset.grant_ms.meanwhile", &meanwhile[..])] {
            report.sample(key, percentile(&mut within(&tally.grants_us, spans)?, 99.0));
        }
        report.ratio("reset.stall", "reset.grant_ms.meanwhile", "reset.grant_ms.without");
        lists::verify(world).await
    })
    .await
}

async fn reset(world: &mut World, campaign: &Campaign) -> Fallible<f64> {
    let started = Instant::now();
    let request = ResetCampaignRequest { campaign_id: campaign.id.clone(), ..ResetCampaignRequest::default() };
    world.campaigns.reset_campaign(request).await?;
    Ok(started.elapsed().as_secs_f64() * 1_000.0)
}

/// In milliseconds, of the grants in these spans.
#[allow(clippy::cast_precision_loss)]
fn within(grants: &[(i64, i64)], spans: &[Span]) -> Fallible<Vec<f64>> {
    let inside = |at: i64| spans.iter().any(|(from, until)| (*from..*until).contains(&at));
    let took: Vec<f64> = grants.iter().filter(|(at, _)| inside(*at)).map(|(_, us)| *us as f64 / 1_000.0).collect();
    if took.is_empty() { Err("no slot was refilled".into()) } else { Ok(took) }
}
