//! Which rules the bench keeps. Everything a campaign or the engine can be told is told here.

use dialplane::pb::{
    CallingHours, CallingSpan, CampaignRules, SchedulerSettings, UpdateSchedulerSettingsRequest,
    scheduler_service_client::SchedulerServiceClient,
};

use super::{
    Fallible,
    world::{World, connect},
};

/// The caps of the engine and of each campaign: above all slots, so that they are kept, counted and never the limit.
const ENGINE_CAP: i32 = 6_000;
const CAMPAIGN_CAP: i32 = 5_000;

/// Every rule there is, each so wide that it is kept and counted for every call and never the limit: a limit that bites
/// would measure the limit. **A new rule gets its line here**: in the settings if it is the engine's, in the rules if it is
/// the campaign's.
pub async fn all_rules_on(world: &mut World) -> Fallible<()> {
    let settings = plain_settings();
    let rules = plain_rules();
    set(world, settings, rules).await
}

/// What there was when `cost::BASELINE` was taken: hours, caps, one attempt per lead.
pub async fn all_rules_off(world: &mut World) -> Fallible<()> {
    set(world, plain_settings(), plain_rules()).await
}

fn plain_settings() -> SchedulerSettings {
    SchedulerSettings { max_concurrency: Some(ENGINE_CAP), ..SchedulerSettings::default() }
}

fn plain_rules() -> CampaignRules {
    let always = CallingSpan { weekdays: (1..=7).collect(), start: "00:00".into(), end: "24:00".into() };
    CampaignRules {
        default_time_zone: "Europe/London".into(),
        calling_hours: Some(CallingHours { spans: vec![always] }),
        // Whoever does not answer waits for a reset: a lead has one life in a run.
        max_attempts: Some(1),
        max_concurrency: Some(CAMPAIGN_CAP),
        ..CampaignRules::default()
    }
}

/// Sets the engine's; the campaign's hold for campaigns created from now on.
async fn set(world: &mut World, settings: SchedulerSettings, rules: CampaignRules) -> Fallible<()> {
    let request = UpdateSchedulerSettingsRequest { settings: Some(settings), request_id: String::new() };
    SchedulerServiceClient::new(connect(&world.server).await?).update_scheduler_settings(request).await?;
    world.rules = rules;
    Ok(())
}
