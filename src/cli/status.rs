//! `dialplane status`: versions, caps, what goes on.

use super::{
    Client, Error,
    output::{Format, facts, say, say_json, table},
    views,
};
use crate::pb::{
    CampaignActivity, GetSchedulerStatusRequest, GetSchedulerStatusResponse, GetServerInfoRequest,
    GetServerInfoResponse,
};

/// Asks and prints.
pub async fn run(client: &Client) -> Result<(), Error> {
    let mut scheduler = client.connect().await?.scheduler;
    let info = scheduler.get_server_info(GetServerInfoRequest {}).await?.into_inner();
    let status = scheduler.get_scheduler_status(GetSchedulerStatusRequest {}).await?.into_inner();
    if client.format == Format::Json {
        return say_json(&views::status(&status, &info));
    }
    show_facts(&status, &info, &client.server)?;
    show_campaigns(status.campaigns)
}

fn show_facts(status: &GetSchedulerStatusResponse, info: &GetServerInfoResponse, server: &str) -> Result<(), Error> {
    let settings = status.settings.clone().unwrap_or_default();
    let cap = settings.max_concurrency.unwrap_or_default();
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".into());
    let database = format!("PostgreSQL {}, schema {}", info.postgres_version, info.schema_version);
    let rows = [
        ("server", format!("dialplane {} at {server}", info.version)),
        ("database", database),
        ("time zones", info.time_zone_database.clone()),
        ("replicas", format!("{}, this is {}", status.replicas, info.replica_id)),
        ("started", or_none(views::instant(info.started_at))),
        ("slots in use", format!("{} of {cap}", status.active_calls)),
        ("calls per second", views::rate(settings.max_calls_per_second, "no limit")),
        ("calls under way", status.begun_calls.to_string()),
        ("dialers", format!("{} sessions with {} slots", status.sessions, status.slots)),
        ("ready in the queue", status.ready.to_string()),
        ("next wake-up", or_none(views::instant(status.next_wake_at))),
        ("queue warmer", format!("every {}", or_none(views::length(settings.tick_interval)))),
        ("session ttl", or_none(views::length(settings.session_ttl))),
    ];
    say(facts(rows).to_string())
}

fn show_campaigns(campaigns: Vec<CampaignActivity>) -> Result<(), Error> {
    if campaigns.is_empty() {
        return say("no campaign is running");
    }
    let mut rows = table(["running campaign", "name", ">slots in use", ">cap", ">ready", "provider"]);
    for campaign in campaigns {
        let cap = campaign.max_concurrency.map_or("-".to_owned(), |cap| cap.to_string());
        let (active, ready) = (campaign.active_calls.to_string(), campaign.ready.to_string());
        let provider = views::provider(campaign.breaker_open_since, campaign.breaker_next_probe_at);
        rows.add_row([campaign.campaign_id, campaign.name, active, cap, ready, provider]);
    }
    say(rows.to_string())
}
