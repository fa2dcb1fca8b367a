//! What stands before the first call: settings, a campaign, its leads.

use jiff::{Timestamp, tz::TimeZone};

use super::{
    CAMPAIGN_CAPS, Clients, DemoArgs, ENGINE_CAP, Error,
    hours::{CLOSED_ZONE, hours_without_now},
    log::now_us,
    say,
    stage::Stage,
};
use crate::{
    cli::{
        csv_import::CsvSource,
        import_stream::{ImportOptions, Summary, import},
        leads::import_bar,
        views,
    },
    pb::{
        CampaignRules, CreateCampaignRequest, DuplicateAction, GetServerInfoRequest, Outcome, RetryRule,
        SchedulerSettings, UpdateSchedulerSettingsRequest,
    },
};

const LEADS: &str = include_str!("../../../examples/leads.csv");

/// Says who serves what.
pub async fn introduce(clients: &mut Clients, stage: &Stage, args: &DemoArgs, seed: u64) -> Result<(), Error> {
    let info = clients.scheduler.get_server_info(GetServerInfoRequest {}).await?.into_inner();
    say(format!(
        "dialplane {} serves {} on PostgreSQL {}, tz database {}\n{} dialers; --seed {seed}",
        info.version,
        stage.server(),
        info.postgres_version,
        info.time_zone_database,
        args.dialers,
    ))
}

/// Settings of the engine at the pace of a demo.
pub async fn settle(clients: &mut Clients) -> Result<(), Error> {
    let settings = SchedulerSettings {
        max_concurrency: Some(ENGINE_CAP),
        tick_interval: Some(millis(1_000)),
        session_ttl: Some(millis(8_000)),
        ..SchedulerSettings::default()
    };
    let request = UpdateSchedulerSettingsRequest { settings: Some(settings), request_id: String::new() };
    clients.scheduler.update_scheduler_settings(request).await?;
    Ok(())
}

/// Creates the campaign, with retries that are due in seconds; answers its id.
pub async fn create(clients: &mut Clients) -> Result<String, Error> {
    let closed = TimeZone::get(CLOSED_ZONE).map_err(|error| Error::Failed(error.to_string()))?;
    let now = Timestamp::from_microsecond(now_us() as i64).unwrap_or_default();
    let retry =
        |outcome: Outcome, delay| RetryRule { outcome: outcome.into(), delays: vec![millis(delay)], limit: None };
    let rules = CampaignRules {
        default_time_zone: "Europe/London".into(),
        calling_hours: Some(hours_without_now(&closed, now)),
        max_attempts: Some(3),
        max_concurrency: Some(CAMPAIGN_CAPS[0]),
        retry_rules: vec![
            retry(Outcome::NoAnswer, 2_000),
            retry(Outcome::Busy, 1_000),
            retry(Outcome::Voicemail, 3_000),
            retry(Outcome::Failed, 1_000),
            retry(Outcome::NotPlaced, 200),
        ],
        ..CampaignRules::default()
    };
    let open = rules.calling_hours.as_ref().map(views::hours).unwrap_or_default().join(" and ");
    let request = CreateCampaignRequest { name: "Demo".into(), rules: Some(rules), request_id: String::new() };
    let campaign = clients.campaigns.create_campaign(request).await?.into_inner().campaign.unwrap_or_default();
    say(format!("campaign {}\ncalling hours {open}: open everywhere now but in {CLOSED_ZONE}", campaign.campaign_id))?;
    Ok(campaign.campaign_id)
}

/// Imports the file as `leads import` does.
pub async fn import_leads(clients: &Clients, stage: &Stage, campaign_id: &str) -> Result<Summary, Error> {
    let source = CsvSource::open(LEADS.as_bytes(), b',', &[], 100)?;
    let options = ImportOptions {
        campaign_id: campaign_id.to_owned(),
        import_id: uuid::Uuid::new_v4().to_string(),
        on_duplicate: DuplicateAction::Report,
        refused_file: stage.path("leads.refused.csv"),
    };
    let bar = import_bar(LEADS.len() as u64);
    let imported = import(clients.campaigns.clone(), source, options, &bar).await;
    bar.finish_and_clear();
    let mut imported = imported?;
    if stage.is_temporary() {
        // Nobody could open it after the end.
        imported.refused_file = None;
    }
    say(format!(
        "imported examples/leads.csv: {} rows, {} created, {} refused",
        imported.rows, imported.created, imported.refused
    ))?;
    Ok(imported)
}

fn millis(of: i64) -> prost_types::Duration {
    prost_types::Duration { seconds: of / 1_000, nanos: (of % 1_000 * 1_000_000) as i32 }
}
