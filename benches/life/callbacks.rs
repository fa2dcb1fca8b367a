//! How long after its instant a promised callback is at the dialer, on an idle engine.

use std::time::Duration;

use chrono::TimeDelta;
use dialplane::{
    clock::system,
    pb::{ListLeadsRequest, ScheduleCallbackRequest, StartCampaignRequest},
};
use tokio::time::sleep;

use super::{
    Fallible, Scale,
    crew::{Crew, Shape},
    intake, lives,
    report::{Report, percentile},
    world::{Postgres, World, on_stage},
};

/// From the last ScheduleCallback to the first instant.
const LEAD_TIME: TimeDelta = TimeDelta::seconds(2);
/// Between two instants: no multiple of any period of the engine.
const APART: TimeDelta = TimeDelta::milliseconds(67);
/// After the last instant.
const GRACE: Duration = Duration::from_secs(1);

/// Times them on an engine that has nothing else to do.
pub async fn measure(postgres: &Postgres, scale: Scale, report: &mut Report) -> Fallible<()> {
    on_stage(postgres, "callbacks", async |world| time(world, scale, report).await).await
}

/// Schedules callbacks one after another and takes each one's delay at the dialer. Both read this host's clock.
#[allow(clippy::cast_precision_loss)]
async fn time(world: &mut World, scale: Scale, report: &mut Report) -> Fallible<()> {
    let (campaign, _) = intake::fill(world, scale.callbacks).await?;
    let request =
        ListLeadsRequest { campaign_id: campaign.id.clone(), page_size: 1_000, ..ListLeadsRequest::default() };
    let leads = world.campaigns.list_leads(request).await?.into_inner().leads;
    if leads.len() != scale.callbacks {
        return Err(format!("{} leads are listed, {} were imported", leads.len(), scale.callbacks).into());
    }
    let mut at = system() + LEAD_TIME;
    for lead in leads {
        let callback_at =
            prost_types::Timestamp { seconds: at.timestamp(), nanos: i32::try_from(at.timestamp_subsec_nanos())? };
        let request = ScheduleCallbackRequest {
            campaign_id: campaign.id.clone(),
            lead_id: lead.lead_id,
            callback_at: Some(callback_at),
            request_id: String::new(),
            ..ScheduleCallbackRequest::default()
        };
        world.campaigns.schedule_callback(request).await?;
        at += APART;
    }
    let shape = Shape { slots: 10, batch: 10, ..Shape::PLAIN };
    let crew = Crew::open(world, &campaign.id, &shape).await?;
    let request = StartCampaignRequest { campaign_id: campaign.id.clone(), ..StartCampaignRequest::default() };
    world.campaigns.start_campaign(request).await?;
    sleep((at - system()).to_std().unwrap_or_default() + GRACE).await;
    let tally = crew.close().await?;
    let mut delays: Vec<f64> = tally.callback_us.iter().map(|us| *us as f64 / 1_000.0).collect();
    if delays.len() != scale.callbacks {
        return Err(format!("{} of {} callbacks came", delays.len(), scale.callbacks).into());
    }
    report.sample("latency.callback_ms.p50", percentile(&mut delays, 50.0));
    report.sample("latency.callback_ms.p99", percentile(&mut delays, 99.0));
    lives::pause(world, &campaign).await
}
