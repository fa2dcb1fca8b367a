//! How campaigns, their counts and their resets are printed.

use serde_json::json;

use super::{
    Error, number_rules,
    output::{Format, facts, say, say_json, table},
    views,
};
use crate::pb::{Campaign, GetCampaignStatsResponse, ResetCampaignResponse};

/// Campaigns, one a line.
pub fn show_list(found: Vec<Campaign>, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        return say_json(&json!({ "campaigns": found.iter().map(views::campaign).collect::<Vec<_>>() }));
    }
    let mut rows = table(["campaign", "name", "state", ">generation", "created"]);
    for campaign in found {
        let state = views::campaign_state(campaign.state);
        let created = views::instant(campaign.created_at).unwrap_or_default();
        rows.add_row([campaign.campaign_id, campaign.name, state, campaign.generation.to_string(), created]);
    }
    say(rows.to_string())
}

/// One campaign with its rules.
pub fn show(campaign: &Campaign, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        return say_json(&views::campaign(campaign));
    }
    let rules = campaign.rules.clone().unwrap_or_default();
    let retries = rules.retry_rules.iter().map(|rule| {
        let delays: Vec<_> = rule.delays.iter().filter_map(|delay| views::length(Some(*delay))).collect();
        let limit = rule.limit.map(|limit| format!(", up to {limit} in a row")).unwrap_or_default();
        format!("{} after {}{limit}", views::outcome(rule.outcome), delays.join(", "))
    });
    let or = |text: String, other: &str| {
        if text.is_empty() { other.to_owned() } else { text }
    };
    let concurrency = rules.max_concurrency.map_or("the engine's cap".to_owned(), |cap| cap.to_string());
    let own = rules.number_rules.clone().unwrap_or_default();
    let hours = rules.calling_hours.as_ref().map(views::hours).unwrap_or_default();
    let breaker = match rules.breaker_after.unwrap_or_default() {
        0 => "none".to_owned(),
        after => {
            let probes = views::length(rules.breaker_probe_interval).unwrap_or_default();
            format!("after {after} NOT_PLACED in a row; one call every {probes}")
        }
    };
    say(facts([
        ("campaign", campaign.campaign_id.clone()),
        ("name", campaign.name.clone()),
        ("state", views::campaign_state(campaign.state)),
        ("generation", campaign.generation.to_string()),
        ("default region", or(rules.default_region.clone(), "none: numbers start with +")),
        ("default time zone", or(rules.default_time_zone.clone(), "none: leads whose number tells no zone are closed")),
        ("calling hours", or(hours.join("\n"), "those of the presets")),
        ("presets", or(rules.hour_presets.join(", "), "none")),
        ("first day", or(rules.start_date.clone(), "any")),
        ("last day", or(rules.end_date.clone(), "none")),
        ("holidays of", or(rules.holiday_countries.join(", "), "no country")),
        ("holidays", or(rules.holidays.join(", "), "none")),
        ("attempts", rules.max_attempts.unwrap_or_default().to_string()),
        ("calls at once", concurrency),
        ("calls per second", views::rate(rules.max_calls_per_second, "only the engine's limit")),
        ("weight", rules.weight.unwrap_or_default().to_string()),
        ("guaranteed at once", rules.min_concurrency.unwrap_or_default().to_string()),
        ("retries", retries.collect::<Vec<_>>().join("\n")),
        ("begin within", views::length(rules.begin_within).unwrap_or_default()),
        ("max duration", views::length(rules.max_duration).unwrap_or_default()),
        ("circuit breaker", breaker),
        ("number rules", or(number_rules::lines(&own).join("\n"), "only the engine's")),
        ("missed callbacks", views::missed_callback(rules.missed_callback)),
        ("in time until", views::length(rules.callback_tolerance).unwrap_or_default()),
        ("unclear callbacks", views::unclear_callback(rules.unclear_callback)),
        ("etag", campaign.etag.clone()),
    ])
    .to_string())
}

/// Prints what a reset did, or would do. The demo prints the same table.
pub fn show_reset(reset: &ResetCampaignResponse, validate_only: bool, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        return say_json(&views::reset(reset, validate_only));
    }
    let mut rows = table(["state before", ">reset", ">kept"]);
    for count in &reset.counts {
        rows.add_row([views::lead_state(count.state), count.reset.to_string(), count.kept.to_string()]);
    }
    say(rows.to_string())?;
    say(match validate_only {
        true => "nothing was changed".to_owned(),
        false => format!("generation {} is open", reset.generation),
    })
}

/// Counts per state.
pub fn show_stats(stats: &GetCampaignStatsResponse, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        return say_json(&views::stats(stats));
    }
    let mut rows = table(["state", ">leads"]);
    for count in &stats.counts {
        rows.add_row([views::lead_state(count.state), count.leads.to_string()]);
    }
    rows.add_row(["all".to_owned(), stats.leads.to_string()]);
    say(rows.to_string())?;
    let due = views::instant(stats.next_due_at);
    say(facts([
        ("state", views::campaign_state(stats.state)),
        ("calls under way", stats.calls_under_way.to_string()),
        ("waiting for their calling hours", stats.waiting_for_calling_hours.to_string()),
        ("waiting for a time zone", stats.waiting_for_time_zone.to_string()),
        ("held: promised without an instant", stats.held.to_string()),
        ("suppressed", stats.suppressed.to_string()),
        ("due within 5 minutes", stats.due_soon.to_string()),
        ("attempts ever", stats.attempts.to_string()),
        ("next due", due.unwrap_or_else(|| "nothing waits for an instant".into())),
        ("provider", views::provider(stats.breaker_open_since, stats.breaker_next_probe_at)),
        ("in this state for", views::length(stats.state_age).unwrap_or_default()),
    ])
    .to_string())
}
