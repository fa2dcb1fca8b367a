//! `dialplane audit`: who changed what.

use clap::Args;
use serde_json::{Value, json};

use super::{
    Client, Error,
    output::{Format, say, say_json, table},
    views,
};
use crate::pb::{AuditEvent, ListAuditEventsRequest};

/// Arguments of `audit`.
#[derive(Clone, Args)]
pub struct AuditArgs {
    /// Only changes of this campaign
    #[arg(long = "campaign", default_value = "", hide_default_value = true, value_name = "CAMPAIGN")]
    pub campaign_id: String,
    /// Only changes of this lead
    #[arg(long = "lead", default_value = "", hide_default_value = true, value_name = "LEAD")]
    pub lead_id: String,
    /// Only changes that name this number, as +12125550100
    #[arg(long, default_value = "", hide_default_value = true)]
    pub number: String,
    /// Only changes by this call, as ResetCampaign
    #[arg(long, default_value = "", hide_default_value = true)]
    pub method: String,
    /// Only changes from this address
    #[arg(long, default_value = "", hide_default_value = true)]
    pub actor: String,
    /// Only changes from this instant on, as 2026-11-20T09:00:00Z
    #[arg(long, value_parser = instant)]
    pub since: Option<prost_types::Timestamp>,
    /// Only changes before this instant
    #[arg(long, value_parser = instant)]
    pub until: Option<prost_types::Timestamp>,
    /// At most this many; 0: all
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// An instant as people write it.
pub fn instant(text: &str) -> Result<prost_types::Timestamp, String> {
    let at: jiff::Timestamp = text.parse().map_err(|_| "not an instant as 2026-11-20T09:00:00Z".to_owned())?;
    Ok(prost_types::Timestamp { seconds: at.as_second(), nanos: at.subsec_nanosecond() })
}

/// Prints the log, newest first.
pub async fn run(args: AuditArgs, client: &Client) -> Result<(), Error> {
    let mut campaigns = client.connect().await?.campaigns;
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut request = ListAuditEventsRequest {
        campaign_id: args.campaign_id,
        lead_id: args.lead_id,
        number: args.number,
        method: args.method,
        actor: args.actor,
        since: args.since,
        until: args.until,
        page_size: i32::try_from(limit.min(1000)).unwrap_or(1000),
        page_token: String::new(),
    };
    let mut events = Vec::new();
    loop {
        let page = campaigns.list_audit_events(request.clone()).await?.into_inner();
        events.extend(page.events);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || events.len() >= limit {
            break;
        }
    }
    events.truncate(limit);
    show(&events, client.format)
}

fn show(events: &[AuditEvent], format: Format) -> Result<(), Error> {
    if format == Format::Json {
        return say_json(&Value::Array(events.iter().map(event).collect()));
    }
    let mut rows = table(["at", "actor", "method", "campaign", "lead", "what"]);
    for event in events {
        let mut what: Vec<_> = event.details.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        what.extend((!event.numbers.is_empty()).then(|| event.numbers.join(" ")));
        rows.add_row([
            views::instant(event.at).unwrap_or_default(),
            event.actor.clone(),
            event.method.clone(),
            event.campaign_id.clone(),
            event.lead_id.clone(),
            what.join("\n"),
        ]);
    }
    say(rows.to_string())
}

fn event(event: &AuditEvent) -> Value {
    json!({
        "event_id": event.event_id,
        "at": views::instant(event.at),
        "actor": event.actor,
        "method": event.method,
        "request_id": event.request_id,
        "campaign_id": event.campaign_id,
        "lead_id": event.lead_id,
        "numbers": event.numbers,
        "details": event.details,
    })
}
