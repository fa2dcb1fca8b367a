//! `dialplane campaign watch`: the counts, drawn again whenever they change.

use std::{io::IsTerminal as _, time::Duration};

use super::{
    Client, Error,
    campaign_tables::show_stats,
    output::{Format, say},
    views,
};
use crate::pb::{GetCampaignStatsResponse, WatchCampaignStatsRequest};

const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Clears the screen of a terminal.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Watches until the campaign is archived, over restarts of the server.
pub async fn run(campaign_id: String, client: &Client) -> Result<(), Error> {
    let mut seen = None;
    loop {
        match watch(&campaign_id, client, &mut seen).await {
            Err(error) if error.is_transient() && seen.is_some() => {
                tokio::time::sleep(error.retry_after().unwrap_or(RETRY_AFTER)).await;
            }
            done => return done,
        }
    }
}

async fn watch(campaign_id: &str, client: &Client, seen: &mut Option<GetCampaignStatsResponse>) -> Result<(), Error> {
    let mut campaigns = client.connect().await?.campaigns;
    let request = WatchCampaignStatsRequest { campaign_id: campaign_id.to_owned(), min_interval: None };
    let mut stream = campaigns.watch_campaign_stats(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let Some(stats) = message.stats else { continue };
        let now = GetCampaignStatsResponse { state_age: None, ..stats.clone() };
        // A sign of life says the same again.
        if seen.replace(now.clone()) != Some(now) {
            draw(&stats, client.format)?;
        }
    }
    Ok(())
}

fn draw(stats: &GetCampaignStatsResponse, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        return say(views::stats(stats).to_string());
    }
    if std::io::stdout().is_terminal() {
        say(CLEAR)?;
    }
    show_stats(stats, format)
}
