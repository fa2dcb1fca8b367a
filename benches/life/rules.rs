//! Which rules the bench keeps. Everything a campaign or the engine can be told is told here.

use dialplane::pb::{
    CallingHours, CallingSpan, CampaignRules, CoolDown, NumberRules, Outcome, RetryRule, RollingCap, SchedulerSettings,
    UpdateSchedulerSettingsRequest, scheduler_service_client::SchedulerServiceClient,
};
use prost_types::Duration;

use super::{
    Fallible,
    world::{World, connect},
};

/// The caps of the engine and of each campaign: above all slots, so that they are kept, counted and never the limit.
const ENGINE_CAP: i32 = 6_000;
const CAMPAIGN_CAP: i32 = 5_000;

/// The most there is. Who is told to wait all the same asks again; the tally tells.
const CALLS_PER_SECOND: f64 = 10_000.0;

const MINUTE: i64 = 60;
const DAY: i64 = 24 * 60 * MINUTE;

/// Every rule there is, each so wide that it is kept and counted for every call and never the limit: a limit that bites
/// would measure the limit. **A new rule gets its line here**: in the settings if it is the engine's, in the rules if it is
/// the campaign's.
pub async fn all_rules_on(world: &mut World) -> Fallible<()> {
    set_all(world, Some(CALLS_PER_SECOND)).await
}

/// All but calls per second, for what is timed: the most that can be set is not far above what the engine does, and each
/// permit is answered at its turn.
pub async fn all_rules_but_turns(world: &mut World) -> Fallible<()> {
    set_all(world, None).await
}

async fn set_all(world: &mut World, max_calls_per_second: Option<f64>) -> Fallible<()> {
    let settings = SchedulerSettings { max_calls_per_second, number_rules: Some(number_rules()), ..plain_settings() };
    let rules = CampaignRules {
        start_date: "2020-01-01".into(),
        end_date: "2999-12-31".into(),
        // Long ago, and no country's: the bench runs on Sundays and at Christmas too. Presets could close as well.
        holidays: (1..=28).map(|day| format!("2020-02-{day:02}")).collect(),
        retry_rules: [Outcome::NoAnswer, Outcome::Voicemail, Outcome::Busy, Outcome::Failed].map(retry).into(),
        weight: Some(3),
        min_concurrency: Some(100),
        max_calls_per_second,
        breaker_after: Some(20),
        number_rules: Some(number_rules()),
        ..plain_rules()
    };
    set(world, settings, rules).await
}

/// What there was when `cost::BASELINE` was taken: hours, caps, one attempt per lead. The breaker is on by default now; here it
/// is off.
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
        breaker_after: Some(0),
        ..CampaignRules::default()
    }
}

/// All kinds of them, over a year. Nothing here calls a number twice within the gaps.
fn number_rules() -> NumberRules {
    let cap = |max_calls, seconds| RollingCap { max_calls, period: span(seconds) };
    let cool_down = |outcome: Outcome| CoolDown { outcome: outcome.into(), lasts: span(1) };
    NumberRules {
        caps: vec![cap(50, DAY), cap(75, 7 * DAY), cap(100, 366 * DAY)],
        min_gap: span(1),
        gap_after_conversation: span(1),
        cool_downs: [Outcome::NoAnswer, Outcome::Voicemail, Outcome::Busy].map(cool_down).into(),
    }
}

fn retry(outcome: Outcome) -> RetryRule {
    let delays = [30, 60, 120].iter().filter_map(|minutes| span(minutes * MINUTE)).collect();
    RetryRule { outcome: outcome.into(), delays, limit: Some(100) }
}

#[allow(clippy::unnecessary_wraps)] // Messages are optional.
fn span(seconds: i64) -> Option<Duration> {
    Some(Duration { seconds, nanos: 0 })
}

/// Sets the engine's; the campaign's hold for campaigns created from now on.
async fn set(world: &mut World, settings: SchedulerSettings, rules: CampaignRules) -> Fallible<()> {
    let request = UpdateSchedulerSettingsRequest { settings: Some(settings), request_id: String::new() };
    SchedulerServiceClient::new(connect(world.servers().first().ok_or("no engine")?).await?)
        .update_scheduler_settings(request)
        .await?;
    world.rules = rules;
    Ok(())
}
