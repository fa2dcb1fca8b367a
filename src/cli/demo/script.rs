//! The play itself: import, first run, reset, second run, and what came of it.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    CAMPAIGN_CAPS, Clients, DemoArgs, ENGINE_CAP, Error,
    hours::CLOSED_ZONE,
    interrupted,
    log::{self, CallRecord, now_us},
    progress::{Progress, count},
    report::{Caps, conclude, examine},
    say,
    setup::{create, import_leads, introduce, settle},
    stage::Stage,
};
use crate::{
    cli::{
        campaign_tables::show_reset,
        client::connect,
        leads::show_refused,
        output::{Format, table},
        views,
    },
    pb::{
        CampaignRules, GetCampaignStatsRequest, GetCampaignStatsResponse, GetSchedulerStatusRequest, LeadState,
        ResetCampaignRequest, StartCampaignRequest, UpdateCampaignRequest,
    },
};

/// Over all dialers, more than any cap.
const SLOTS: i32 = 60;
const RUN_SECONDS_MAX: [u64; 2] = [20, 15];

/// Plays it all; an error when the engine broke a promise.
pub async fn play(stage: &mut Stage, args: &DemoArgs) -> Result<(), Error> {
    let seed = args.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    say("starting the engine on a private PostgreSQL ...")?;
    stage.start_engine().await?;
    let mut clients = connect(stage.server()).await?;
    introduce(&mut clients, stage, args, seed).await?;
    settle(&mut clients).await?;
    let campaign_id = create(&mut clients).await?;
    let imported = import_leads(&clients, stage, &campaign_id).await?;
    let start = StartCampaignRequest { campaign_id: campaign_id.clone(), ..Default::default() };
    clients.campaigns.start_campaign(start).await?;
    let mut logs = Vec::new();
    for dialer in 0..u64::from(args.dialers) {
        let slots = (SLOTS / i32::from(args.dialers)).max(1);
        logs.push(stage.start_dialer(&campaign_id, slots, seed.wrapping_add(dialer))?);
    }
    say(format!("\nFirst run: the campaign's cap of {} binds.", CAMPAIGN_CAPS[0]))?;
    let first = watch(&mut clients, stage, &campaign_id, imported.created, RUN_SECONDS_MAX[0]).await?;
    say("\nReset: whoever was not reached is called again.")?;
    let switched_us = reset(&mut clients, &campaign_id).await?;
    say(format!(
        "\nSecond run: the campaign may take {}, so the engine's cap of {ENGINE_CAP} binds.",
        CAMPAIGN_CAPS[1]
    ))?;
    watch(&mut clients, stage, &campaign_id, imported.created, RUN_SECONDS_MAX[1]).await?;
    stage.stop_dialers().await?;
    let last = stats(&mut clients, &campaign_id).await?;
    show_states(&first, &last)?;
    say("\nRefused rows of the file, bad on purpose:")?;
    show_refused(&imported, 20)?;
    let records = logs.iter().map(|log| log::read(log)).collect::<Result<Vec<_>, _>>()?.concat();
    let kept = conclude_with(&records, switched_us, last.attempts);
    if args.keep {
        keep(stage, &campaign_id).await?;
    }
    kept
}

fn conclude_with(records: &[CallRecord], switched_us: u64, attempts: i64) -> Result<(), Error> {
    let [engine, first_run, second_run] = [ENGINE_CAP, CAMPAIGN_CAPS[0], CAMPAIGN_CAPS[1]].map(|cap| cap as usize);
    say(format!("\n{} permits, each written down by the dialer that used it:", records.len()))?;
    conclude(&examine(records, Caps { engine, first_run, second_run, switched_us }, attempts))
}

/// Shows a run until nothing is left to do, or its time is over.
async fn watch(
    clients: &mut Clients,
    stage: &mut Stage,
    campaign_id: &str,
    leads: u64,
    seconds_max: u64,
) -> Result<GetCampaignStatsResponse, Error> {
    let began = Instant::now();
    let mut progress = Progress::new(leads);
    let mut quiet = 0;
    loop {
        stage.check()?;
        let now = stats(clients, campaign_id).await?;
        let status = clients.scheduler.get_scheduler_status(GetSchedulerStatusRequest {}).await?.into_inner();
        progress.show(&now, &status)?;
        quiet = if is_quiet(&now) { quiet + 1 } else { 0 };
        let over = began.elapsed() > Duration::from_secs(seconds_max);
        if quiet == 2 || over {
            progress.finish();
            let seconds = began.elapsed().as_secs_f64();
            say(format!("{seconds:.1} s{}", if over { ", cut short" } else { ", nothing left to do" }))?;
            return Ok(now);
        }
        sleep(Duration::from_millis(250)).await;
    }
}

/// Nothing in the queue, nothing under way, nothing due soon; whoever waits for calling hours waits on.
fn is_quiet(stats: &GetCampaignStatsResponse) -> bool {
    let soon = (now_us() / 1_000_000) as i64 + 4;
    count(stats, LeadState::Ready) == 0
        && count(stats, LeadState::DialingIntent) == 0
        && count(stats, LeadState::Eligible) <= stats.waiting_for_calling_hours
        && stats.next_due_at.is_none_or(|due| due.seconds > soon)
}

/// Resets and moves the campaign's cap; answers the instant from which the new cap holds.
async fn reset(clients: &mut Clients, campaign_id: &str) -> Result<u64, Error> {
    let switched_us = now_us();
    let rules = CampaignRules { max_concurrency: Some(CAMPAIGN_CAPS[1]), ..CampaignRules::default() };
    let update = UpdateCampaignRequest {
        campaign_id: campaign_id.to_owned(),
        rules: Some(rules),
        update_mask: Some(prost_types::FieldMask { paths: vec!["rules.max_concurrency".into()] }),
        ..UpdateCampaignRequest::default()
    };
    clients.campaigns.update_campaign(update).await?;
    let request = ResetCampaignRequest { campaign_id: campaign_id.to_owned(), ..Default::default() };
    let reset = clients.campaigns.reset_campaign(request).await?.into_inner();
    show_reset(&reset, false, Format::Table)?;
    Ok(switched_us)
}

async fn stats(clients: &mut Clients, campaign_id: &str) -> Result<GetCampaignStatsResponse, Error> {
    let request = GetCampaignStatsRequest { campaign_id: campaign_id.to_owned() };
    Ok(clients.campaigns.get_campaign_stats(request).await?.into_inner())
}

fn show_states(first: &GetCampaignStatsResponse, last: &GetCampaignStatsResponse) -> Result<(), Error> {
    let mut rows = table(["leads", ">after the first run", ">after the second"]);
    for state in first.counts.iter().map(|count| count.state()) {
        rows.add_row([
            views::lead_state(state.into()),
            count(first, state).to_string(),
            count(last, state).to_string(),
        ]);
    }
    let waiting = [first, last].map(|stats| stats.waiting_for_calling_hours.to_string());
    let [before, after] = waiting;
    rows.add_row([format!("{CLOSED_ZONE}: waiting for their calling hours"), before, after]);
    rows.add_row(["suppressed".to_owned(), first.suppressed.to_string(), last.suppressed.to_string()]);
    rows.add_row(["attempts".to_owned(), first.attempts.to_string(), last.attempts.to_string()]);
    say(format!("\n{rows}"))
}

/// Goes on serving until Ctrl-C.
async fn keep(stage: &mut Stage, campaign_id: &str) -> Result<(), Error> {
    let server = stage.server().to_owned();
    let address = server.trim_start_matches("http://");
    let call = |method: &str, fields: &str| {
        format!(
            "  grpcurl -plaintext -d '{{\"campaign_id\": \"{campaign_id}\"{fields}}}' {address} dialplane.v1.CampaignService/{method}"
        )
    };
    let lines = [
        "\nStill serving; Ctrl-C ends. To paste:".to_owned(),
        format!("  grpcurl -plaintext {address} list"),
        call("GetCampaignStats", ""),
        call("ListLeads", ", \"state\": \"LEAD_STATE_INTENT_YES\", \"page_size\": 3"),
        call("ResetCampaign", ", \"validate_only\": true"),
        format!("  dialplane --server {server} campaign stats {campaign_id}"),
    ];
    say(lines.join("\n"))?;
    let mut stop = std::pin::pin!(interrupted());
    loop {
        stage.check()?;
        tokio::select! {
            _ = &mut stop => return Ok(()),
            () = sleep(Duration::from_secs(1)) => {}
        }
    }
}
