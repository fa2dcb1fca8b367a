//! `dialplane explain lead|campaign`: why (not).

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    Client, Error, audit,
    output::{Format, facts, say, say_json, table},
    views,
};
use crate::pb::{
    ExplainCampaignRequest, ExplainCampaignResponse, ExplainLeadRequest, ExplainLeadResponse, FailedCondition,
};

/// Why a lead is called, or not, and how many leads of a campaign for which reason
#[derive(Clone, Subcommand)]
pub enum ExplainCommand {
    /// One lead: every condition that fails, and when that may change
    #[command(after_help = "Example:\n  dialplane explain lead 0190b3d1-... --campaign 0190b3c2-...")]
    Lead {
        /// The lead's id
        lead_id: String,
        /// The campaign's id
        #[arg(long = "campaign", value_name = "CAMPAIGN")]
        campaign_id: String,
        /// At this instant instead of now, as 2026-11-20T09:00:00Z
        #[arg(long, value_parser = audit::instant)]
        at: Option<prost_types::Timestamp>,
    },
    /// A campaign: how many leads fail which condition
    #[command(after_help = "Example:\n  dialplane explain campaign 0190b3c2-... --at 2026-12-24T18:00:00Z")]
    Campaign {
        /// The campaign's id
        campaign_id: String,
        /// At this instant instead of now, as 2026-11-20T09:00:00Z
        #[arg(long, value_parser = audit::instant)]
        at: Option<prost_types::Timestamp>,
    },
}

/// Runs one of them.
pub async fn run(command: ExplainCommand, client: &Client) -> Result<(), Error> {
    let mut campaigns = client.connect().await?.campaigns;
    match command {
        ExplainCommand::Lead { lead_id, campaign_id, at } => {
            let request = ExplainLeadRequest { campaign_id, lead_id, at };
            show_lead(&campaigns.explain_lead(request).await?.into_inner(), client.format)
        }
        ExplainCommand::Campaign { campaign_id, at } => {
            let request = ExplainCampaignRequest { campaign_id, at };
            show_campaign(&campaigns.explain_campaign(request).await?.into_inner(), client.format)
        }
    }
}

fn show_lead(told: &ExplainLeadResponse, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        return say_json(&json!({
            "at": views::instant(told.at),
            "callable": told.callable,
            "state": views::lead_state(told.state),
            "failed": told.failed.iter().map(failed).collect::<Vec<_>>(),
            "first_callable_at": views::instant(told.first_callable_at),
        }));
    }
    let may = if told.callable { "yes, as soon as its turn comes" } else { "no" };
    let head = facts([
        ("at", views::instant(told.at).unwrap_or_default()),
        ("state", views::lead_state(told.state)),
        ("may be called", may.to_owned()),
        ("first possible", first(told.first_callable_at)),
    ]);
    say(head.to_string())?;
    show_failed(&told.failed)
}

fn show_campaign(told: &ExplainCampaignResponse, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        let counts = told.counts.iter().map(|count| {
            let (condition, next) = (views::condition(count.condition), views::instant(count.next_change_at));
            json!({"condition": condition, "leads": count.leads, "next_change_at": next})
        });
        return say_json(&json!({
            "at": views::instant(told.at),
            "leads": told.leads,
            "callable": told.callable,
            "failed": told.failed.iter().map(failed).collect::<Vec<_>>(),
            "counts": counts.collect::<Vec<_>>(),
            "first_callable_at": views::instant(told.first_callable_at),
        }));
    }
    let head = facts([
        ("at", views::instant(told.at).unwrap_or_default()),
        ("leads", told.leads.to_string()),
        ("may be called", told.callable.to_string()),
        ("first possible", first(told.first_callable_at)),
    ]);
    say(head.to_string())?;
    show_failed(&told.failed)?;
    if told.counts.is_empty() {
        return Ok(());
    }
    let mut rows = table(["leads that fail", ">leads", "may change at"]);
    for count in &told.counts {
        let next = views::instant(count.next_change_at).unwrap_or_default();
        rows.add_row([views::condition(count.condition), count.leads.to_string(), next]);
    }
    say(rows.to_string())
}

fn show_failed(all: &[FailedCondition]) -> Result<(), Error> {
    if all.is_empty() {
        return Ok(());
    }
    let mut rows = table(["fails", "because", "may change at"]);
    for one in all {
        let next = views::instant(one.next_change_at).unwrap_or_default();
        rows.add_row([views::condition(one.condition), one.detail.clone(), next]);
    }
    say(rows.to_string())
}

fn first(at: Option<prost_types::Timestamp>) -> String {
    views::instant(at).unwrap_or_else(|| "not by time alone".to_owned())
}

fn failed(one: &FailedCondition) -> Value {
    json!({
        "condition": views::condition(one.condition),
        "detail": one.detail,
        "next_change_at": views::instant(one.next_change_at),
    })
}
