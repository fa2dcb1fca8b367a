//! Operators who change whatever they may, on any engine, while calls go on.

use std::{sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use dialplane::pb::{
    self, campaign_service_client::CampaignServiceClient, scheduler_service_client::SchedulerServiceClient,
};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use tonic::{Code, Status, transport::Channel};

use super::{Life, MAX_ATTEMPTS, dialers::expected, life_rules};
use crate::support::{always, database::connect, hours, lead_nowhere, number_nowhere, timestamp};

type Campaigns = CampaignServiceClient<Channel>;

pub async fn live(life: Arc<Life>, url: String, mut rng: StdRng, steps: usize) {
    let sql = connect(&url).await;
    for _ in 0..steps {
        let (mut campaigns, mut scheduler) = life.clients(&mut rng);
        let done = match rng.random_range(0..100) {
            0..28 => of_campaign(&life, &mut rng, &mut campaigns).await,
            28..44 => suppressions(&life, &mut rng, &mut campaigns).await,
            44..80 => of_lead(&life, &mut rng, &mut campaigns).await,
            80..90 => of_engine(&life, &mut rng, &mut scheduler).await,
            _ => {
                let by = match rng.random_range(0..10) {
                    0..7 => rng.random_range(1..8),
                    7..9 => rng.random_range(8..120),
                    _ => rng.random_range(600..40_000),
                };
                let ahead = "update test_clock set ahead = ahead + make_interval(secs => $1)";
                sql.execute(ahead, &[&f64::from(by)]).await.unwrap();
                Ok(())
            }
        };
        if let Err(status) = done {
            let known = expected(&status) || matches!(status.code(), Code::InvalidArgument | Code::NotFound);
            assert!(known, "{status:?}");
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..12))).await;
    }
}

async fn of_campaign(life: &Life, rng: &mut StdRng, client: &mut Campaigns) -> Result<(), Status> {
    let campaign_id = life.campaign(rng);
    match rng.random_range(0..10) {
        0 => {
            client
                .pause_campaign(pb::PauseCampaignRequest { campaign_id: campaign_id.clone(), ..Default::default() })
                .await?;
            if rng.random_bool(0.5) {
                client.start_campaign(pb::StartCampaignRequest { campaign_id, ..Default::default() }).await?;
            }
        }
        1..5 => {
            for campaign_id in life.campaigns.clone() {
                client.start_campaign(pb::StartCampaignRequest { campaign_id, ..Default::default() }).await?;
            }
        }
        5 | 6 => {
            let validate_only = rng.random_bool(0.2);
            if !validate_only {
                life.ledger().resetting(&campaign_id);
            }
            let request =
                pb::ResetCampaignRequest { campaign_id: campaign_id.clone(), validate_only, ..Default::default() };
            let done = client.reset_campaign(request).await;
            if !validate_only && done.is_ok() {
                life.ledger().reset(&campaign_id);
            }
            done?;
        }
        _ => change_rules(life, rng, client, campaign_id).await?,
    }
    Ok(())
}

async fn change_rules(
    life: &Life,
    rng: &mut StdRng,
    client: &mut Campaigns,
    campaign_id: String,
) -> Result<(), Status> {
    let limited = life.campaigns[1] == campaign_id;
    let mut rules = life_rules(if limited { MAX_ATTEMPTS } else { rng.random_range(1..5) });
    rules.calling_hours = Some(match rng.random_range(0..6) {
        0 => hours("09:00", "17:00"),
        1 => hours("20:00", "06:30"),
        _ => always(),
    });
    if rng.random_bool(0.15) {
        rules.default_time_zone = String::new();
    }
    rules.max_concurrency = [None, None, Some(0), Some(2), Some(5)].choose(rng).copied().flatten();
    let paths = ["rules.max_attempts", "rules.calling_hours", "rules.default_time_zone", "rules.max_concurrency"];
    let update_mask = Some(prost_types::FieldMask { paths: paths.map(str::to_owned).to_vec() });
    let request = pb::UpdateCampaignRequest { campaign_id, rules: Some(rules), update_mask, ..Default::default() };
    client.update_campaign(request).await.map(drop)
}

async fn suppressions(life: &Life, rng: &mut StdRng, client: &mut Campaigns) -> Result<(), Status> {
    let number = number_nowhere(rng.random_range(0..25));
    let (numbers, reason) = (vec![number.clone()], "a test".to_owned());
    if rng.random_bool(0.4) {
        let removals = life.ledger().suppressing(&number);
        client.add_suppressions(pb::AddSuppressionsRequest { numbers, reason, ..Default::default() }).await?;
        life.ledger().suppressed(&number, removals);
    } else {
        life.ledger().removing(&number);
        let done =
            client.remove_suppressions(pb::RemoveSuppressionsRequest { numbers, reason, ..Default::default() }).await;
        life.ledger().removed(&number);
        done?;
    }
    Ok(())
}

async fn any_lead(rng: &mut StdRng, client: &mut Campaigns, campaign_id: &str) -> Result<Option<String>, Status> {
    let request = pb::ListLeadsRequest { campaign_id: campaign_id.into(), page_size: 100, ..Default::default() };
    Ok(client.list_leads(request).await?.into_inner().leads.choose(rng).map(|lead| lead.lead_id.clone()))
}

async fn of_lead(life: &Life, rng: &mut StdRng, client: &mut Campaigns) -> Result<(), Status> {
    let campaign_id = life.campaign(rng);
    let Some(lead_id) = any_lead(rng, client, &campaign_id).await? else { return Ok(()) };
    match rng.random_range(0..20) {
        0 => {
            let request = pb::ConsumeLeadsRequest { campaign_id, lead_ids: vec![lead_id], ..Default::default() };
            for one in client.consume_leads(request).await?.into_inner().results.iter().filter(|one| one.consumed) {
                life.ledger().consumed(&one.lead_id);
            }
        }
        1..6 => {
            let callback_at = timestamp(Utc::now() + TimeDelta::seconds(rng.random_range(1..900)));
            let request = pb::ScheduleCallbackRequest { campaign_id, lead_id, callback_at, ..Default::default() };
            client.schedule_callback(request).await?;
        }
        6..10 => {
            client.cancel_callback(pb::CancelCallbackRequest { campaign_id, lead_id, ..Default::default() }).await?;
        }
        10..16 => {
            let time_zone =
                ["", "Europe/Berlin", "America/New_York", "Asia/Kolkata"].choose(rng).copied().unwrap_or_default();
            let paths: Vec<String> = ["score", "time_zone"].map(str::to_owned).to_vec();
            let request = pb::UpdateLeadRequest {
                campaign_id,
                lead_id,
                score: rng.random_range(0..999),
                time_zone: time_zone.into(),
                update_mask: Some(prost_types::FieldMask { paths }),
                ..Default::default()
            };
            client.update_lead(request).await?;
        }
        _ => {
            let first = rng.random_range(0..25);
            let leads = (first..first + 3)
                .map(|n| pb::NewLead { score: Some(rng.random_range(0..999)), ..lead_nowhere(n) })
                .collect();
            let on_duplicate =
                if rng.random_bool(0.5) { pb::DuplicateAction::Update } else { pb::DuplicateAction::Report };
            let request =
                pb::CreateLeadsRequest { campaign_id, leads, on_duplicate: on_duplicate.into(), ..Default::default() };
            client.create_leads(request).await?;
        }
    }
    Ok(())
}

async fn of_engine(life: &Life, rng: &mut StdRng, client: &mut SchedulerServiceClient<Channel>) -> Result<(), Status> {
    if rng.random_bool(0.5) {
        let max_concurrency = [0, 1, 3, 8, 100, 100].choose(rng).copied();
        return set_cap(client, max_concurrency).await;
    }
    let any = life.ledger().leases.choose(rng).map(|lease| lease.lease_id.clone());
    if let Some(lease) = any {
        client.revoke_leases(pb::RevokeLeasesRequest { lease_ids: vec![lease], ..Default::default() }).await?;
    }
    Ok(())
}

async fn set_cap(client: &mut SchedulerServiceClient<Channel>, max_concurrency: Option<i32>) -> Result<(), Status> {
    let settings = pb::SchedulerSettings { max_concurrency, ..Default::default() };
    let request = pb::UpdateSchedulerSettingsRequest { settings: Some(settings), ..Default::default() };
    client.update_scheduler_settings(request).await.map(drop)
}

/// Everything runs, at any hour, with room for all.
pub async fn open_all(life: &Life, client: &mut Campaigns, scheduler: &mut SchedulerServiceClient<Channel>) {
    set_cap(scheduler, Some(100)).await.unwrap();
    for campaign_id in life.campaigns.clone() {
        let limited = life.campaigns[1] == campaign_id;
        let rules = Some(life_rules(if limited { MAX_ATTEMPTS } else { 3 }));
        let paths = ["rules.max_attempts", "rules.calling_hours", "rules.default_time_zone", "rules.max_concurrency"];
        let update_mask = Some(prost_types::FieldMask { paths: paths.map(str::to_owned).to_vec() });
        let request =
            pb::UpdateCampaignRequest { campaign_id: campaign_id.clone(), rules, update_mask, ..Default::default() };
        client.update_campaign(request).await.unwrap();
        client.start_campaign(pb::StartCampaignRequest { campaign_id, ..Default::default() }).await.unwrap();
    }
}
