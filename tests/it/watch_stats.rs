//! WatchCampaignStats: the counts at once, and again when they change.

use std::time::Duration;

use dialplane::pb::{self, CampaignState, LeadState, Outcome, campaign_service_client::CampaignServiceClient};
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::support::{
    PATIENCE, World,
    asks::{QUIET, taken_apart},
    new_id, rules,
};

type Stream = Streaming<pb::WatchCampaignStatsResponse>;

async fn watch(client: &CampaignServiceClient<Channel>, campaign_id: &str, ms: i32) -> Result<Stream, Status> {
    let min_interval = Some(prost_types::Duration { seconds: 0, nanos: ms * 1_000_000 });
    let request = pb::WatchCampaignStatsRequest { campaign_id: campaign_id.into(), min_interval };
    Ok(client.clone().watch_campaign_stats(request).await?.into_inner())
}

/// The next counts for which `holds`.
async fn until(
    stream: &mut Stream,
    holds: impl Fn(&pb::GetCampaignStatsResponse) -> bool,
) -> pb::GetCampaignStatsResponse {
    let found = async {
        loop {
            let stats = stream.message().await.unwrap().expect("the stream goes on").stats.unwrap();
            if holds(&stats) {
                return stats;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("the counts come")
}

fn count(stats: &pb::GetCampaignStatsResponse, state: LeadState) -> i64 {
    stats.counts.iter().find(|count| count.state() == state).map_or(0, |count| count.leads)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_counts_come_at_once_and_again_when_they_change_and_end_with_the_archive() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let mut stream = watch(&world.campaigns, &campaign, 100).await.unwrap();
    let first = stream.message().await.unwrap().unwrap().stats.unwrap();
    assert_eq!((first.leads, first.state()), (0, CampaignState::Running));
    assert!(tokio::time::timeout(QUIET, stream.message()).await.is_err(), "nothing has changed");
    world.add_some(&campaign, 1).await;
    until(&mut stream, |stats| stats.leads == 1).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.call().await;
    until(&mut stream, |stats| stats.calls_under_way == 1).await;
    dialer.report(&lease.lease_id, Outcome::IntentYes).await;
    let done = until(&mut stream, |stats| count(stats, LeadState::IntentYes) == 1).await;
    assert_eq!(done.state(), CampaignState::Completed);
    world.pause(&campaign).await;
    until(&mut stream, |stats| stats.state() == CampaignState::Paused).await;
    let request = pb::ArchiveCampaignRequest { campaign_id: campaign.clone(), ..Default::default() };
    world.campaigns.archive_campaign(request).await.unwrap();
    until(&mut stream, |stats| stats.state() == CampaignState::Archived).await;
    assert!(stream.message().await.unwrap().is_none(), "it ends in peace");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_on_another_replica_are_seen_and_a_leaving_replica_ends_the_stream() {
    let mut world = World::start().await;
    let other = world.another_engine().await;
    let campaign = world.campaign(rules()).await;
    let mut stream = watch(&other.campaigns, &campaign, 100).await.unwrap();
    world.add_some(&campaign, 3).await;
    until(&mut stream, |stats| stats.leads == 3).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    dialer.call_with(Outcome::IntentNo).await;
    until(&mut stream, |stats| count(stats, LeadState::IntentNo) == 1).await;
    let leaving = tokio::spawn(other.running.stop());
    let end = loop {
        if let Err(end) = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap() {
            break end;
        }
    };
    taken_apart(&end).is(Code::Unavailable, "SHUTTING_DOWN");
    leaving.await.unwrap().unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interval_out_of_bounds_and_an_unknown_campaign_are_refused() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let min_interval = prost_types::Duration::try_from(Duration::from_secs(61)).unwrap();
    let request = pb::WatchCampaignStatsRequest { campaign_id: campaign.clone(), min_interval: Some(min_interval) };
    let refused = world.campaigns.watch_campaign_stats(request).await.err().unwrap();
    taken_apart(&refused).is_bad_input(&["min_interval"]);
    let refused = watch(&world.campaigns, &campaign, 99).await.err().unwrap();
    taken_apart(&refused).is_bad_input(&["min_interval"]);
    let refused = watch(&world.campaigns, &new_id(), 500).await.err().unwrap();
    taken_apart(&refused).is(Code::NotFound, "CAMPAIGN_NOT_FOUND");
    world.stop().await;
}
