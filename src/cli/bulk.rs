//! `dialplane leads consume` and `leads update`: many leads by one command.

use clap::Args;
use serde_json::json;

use super::{
    Client, Error,
    filters::LeadFilterArgs,
    output::{Format, say, say_json, table},
    views,
};
use crate::pb::{ConsumeLeadsRequest, LeadFilter, UpdateLeadsRequest};

/// Arguments of `leads consume`.
#[derive(Clone, Args)]
pub struct ConsumeArgs {
    /// The campaign's id
    #[arg(long = "campaign", value_name = "CAMPAIGN")]
    pub campaign_id: String,
    /// This lead, by id; up to 1000 of them
    #[arg(long = "lead", value_name = "LEAD", value_delimiter = ',')]
    pub lead_ids: Vec<String>,
    #[command(flatten)]
    pub filter: LeadFilterArgs,
    /// Only count; change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `leads update`.
#[derive(Clone, Args)]
pub struct UpdateArgs {
    /// The campaign's id
    #[arg(long = "campaign", value_name = "CAMPAIGN")]
    pub campaign_id: String,
    /// The new score
    #[arg(long, value_name = "SCORE")]
    pub set_score: Option<i32>,
    /// The new time zone; '' for the campaign's
    #[arg(long, value_name = "ZONE")]
    pub set_zone: Option<String>,
    #[command(flatten)]
    pub filter: LeadFilterArgs,
    /// Only count; change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Marks leads as handled by hand.
pub async fn consume(args: ConsumeArgs, client: &Client) -> Result<(), Error> {
    let mut clients = client.connect().await?;
    let filter = args.filter.resolve(&mut clients).await?;
    let given = filter != LeadFilter::default();
    if given != args.lead_ids.is_empty() {
        return Err(Error::Usage("name leads by --lead, or give conditions; one of both".into()));
    }
    let request = ConsumeLeadsRequest {
        campaign_id: args.campaign_id,
        lead_ids: args.lead_ids,
        filter: given.then_some(filter),
        validate_only: args.dry_run,
        ..Default::default()
    };
    let answer = clients.campaigns.consume_leads(request).await?.into_inner();
    let refused: Vec<_> = answer.refused.iter().map(|count| (views::lead_state(count.state), count.leads)).collect();
    if client.format == Format::Json {
        let refused: serde_json::Map<_, _> = refused.into_iter().map(|(state, leads)| (state, json!(leads))).collect();
        let results = answer.results.iter().map(|result| {
            let before = views::lead_state(result.previous_state);
            json!({"lead_id": result.lead_id, "consumed": result.consumed, "previous_state": before})
        });
        return say_json(&json!({
            "validate_only": args.dry_run,
            "matched": answer.matched,
            "consumed": answer.consumed,
            "refused": refused,
            "results": results.collect::<Vec<_>>(),
        }));
    }
    let verb = if args.dry_run { "would be consumed" } else { "consumed" };
    say(format!("{} leads matched: {} {verb}", answer.matched, answer.consumed))?;
    if refused.is_empty() {
        return Ok(());
    }
    let mut rows = table(["left as they are", ">leads"]);
    for (state, leads) in refused {
        rows.add_row([state, leads.to_string()]);
    }
    say(rows.to_string())
}

/// Changes score or zone of all leads that match.
pub async fn update(args: UpdateArgs, client: &Client) -> Result<(), Error> {
    let mut clients = client.connect().await?;
    let filter = args.filter.resolve(&mut clients).await?;
    let paths = [("score", args.set_score.is_some()), ("time_zone", args.set_zone.is_some())];
    let paths: Vec<String> = paths.into_iter().filter(|(_, given)| *given).map(|(path, _)| path.into()).collect();
    if paths.is_empty() {
        return Err(Error::Usage("give --set-score or --set-zone".into()));
    }
    let request = UpdateLeadsRequest {
        campaign_id: args.campaign_id,
        filter: Some(filter),
        score: args.set_score.unwrap_or_default(),
        time_zone: args.set_zone.unwrap_or_default(),
        update_mask: Some(prost_types::FieldMask { paths }),
        validate_only: args.dry_run,
        ..Default::default()
    };
    let answer = clients.campaigns.update_leads(request).await?.into_inner();
    if client.format == Format::Json {
        let (matched, updated) = (answer.matched, answer.updated);
        return say_json(&json!({"validate_only": args.dry_run, "matched": matched, "updated": updated}));
    }
    let verb = if args.dry_run { "would be changed" } else { "changed" };
    say(format!("{} leads matched: {} {verb}", answer.matched, answer.updated))
}
