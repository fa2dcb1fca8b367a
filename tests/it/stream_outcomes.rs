//! StreamOutcomes: every accepted report once, in the order of acceptance, none missed.

use std::{collections::HashMap, time::Duration};

use dialplane::pb::{self, campaign_service_client::CampaignServiceClient};
use tonic::{Code, Response, Status, Streaming, transport::Channel};
use tonic_types::StatusExt as _;

use crate::support::{
    PATIENCE, World,
    database::{Database, connect},
    eventually,
    outage::{insist, insist_on, is_unavailable},
    proxy::Link,
    rules, seconds, settings,
};

type Client = CampaignServiceClient<Channel>;

/// What a test knows an event by.
fn told(event: &pb::OutcomeEvent) -> (String, pb::Outcome, pb::ReportVerdict) {
    (event.lease_id.clone(), event.outcome(), event.verdict())
}

async fn open(
    client: &Client,
    cursor: &str,
    campaign_id: &str,
    follow: bool,
) -> Result<Streaming<pb::StreamOutcomesResponse>, Status> {
    let request = pb::StreamOutcomesRequest { cursor: cursor.into(), campaign_id: campaign_id.into(), follow };
    Ok(client.clone().stream_outcomes(request).await?.into_inner())
}

/// All events up to the present, with their cursors, and the last cursor.
pub async fn read(client: &Client, cursor: &str, campaign_id: &str) -> (Vec<(String, pb::OutcomeEvent)>, String) {
    let mut stream = open(client, cursor, campaign_id, false).await.unwrap();
    let (mut events, mut last) = (Vec::new(), cursor.to_owned());
    while let Some(message) = stream.message().await.unwrap() {
        last.clone_from(&message.cursor);
        events.extend(message.event.map(|event| (message.cursor, event)));
    }
    (events, last)
}

/// The next event of a stream that follows.
async fn next(stream: &mut Streaming<pb::StreamOutcomesResponse>) -> Result<pb::StreamOutcomesResponse, Status> {
    loop {
        let message = tokio::time::timeout(PATIENCE, stream.message()).await.expect("an event comes")?;
        let message = message.ok_or_else(|| Status::ok("the stream ended"))?;
        if message.event.is_some() {
            return Ok(message);
        }
    }
}

/// The event is there as soon as no older transaction runs; other tests' may, on the same server.
async fn until(client: &Client, events: usize) -> Vec<pb::OutcomeEvent> {
    eventually("the order is final", || async {
        let (read, _) = read(client, "", "").await;
        (read.len() >= events).then(|| read.into_iter().map(|(_, event)| event).collect())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_accepted_report_is_one_event_as_it_was_told_and_a_duplicate_is_none() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let new = pb::NewLead { number: "+12015550177".into(), external_id: "crm-7".into(), ..Default::default() };
    let leads = world.add(&campaign, vec![new]).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.call().await;
    let first = pb::OutcomeReport {
        lease_id: lease.lease_id.clone(),
        outcome: pb::Outcome::NoAnswer.into(),
        provider_call_id: "call-1".into(),
        ring_duration: seconds(20),
        note: "rang out".into(),
        metadata: [("trunk".to_owned(), "a".to_owned())].into(),
        ..Default::default()
    };
    dialer.report_all(first.clone()).await;
    let before = until(&world.campaigns, 1).await;
    assert_eq!(dialer.report_all(first).await.verdict(), pb::ReportVerdict::Duplicate);
    let better = pb::OutcomeReport {
        lease_id: lease.lease_id.clone(),
        outcome: pb::Outcome::IntentNo.into(),
        talk_duration: seconds(30),
        note: "picked up after all".into(),
        ..Default::default()
    };
    dialer.report_all(better).await;
    dialer.report(&lease.lease_id, pb::Outcome::Busy).await;
    let events = until(&world.campaigns, 3).await;
    let expected = [
        (pb::Outcome::NoAnswer, pb::ReportVerdict::Accepted),
        (pb::Outcome::IntentNo, pb::ReportVerdict::Superseded),
        (pb::Outcome::Busy, pb::ReportVerdict::Outranked),
    ];
    assert_eq!(events.iter().map(|event| (event.outcome(), event.verdict())).collect::<Vec<_>>(), expected);
    // What came later has not changed what was told before.
    assert_eq!(events[0], before[0]);
    assert_eq!(
        (events[0].note.as_str(), events[0].ring_duration, events[0].talk_duration),
        ("rang out", seconds(20), None)
    );
    assert_eq!(events[0].metadata["trunk"], "a");
    assert_eq!((events[1].note.as_str(), events[1].talk_duration), ("picked up after all", seconds(30)));
    for event in &events {
        assert_eq!((event.lead_id.as_str(), event.external_id.as_str()), (leads[0].as_str(), "crm-7"));
        assert_eq!((event.number.as_str(), event.attempt_number), ("+12015550177", 1));
        assert_eq!((event.campaign_id.as_str(), event.dialer_id.as_str()), (campaign.as_str(), "test"));
        assert!(event.begun_at.is_some() && event.accepted_at.is_some() && event.occurred_at.is_some());
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_engine_says_itself_and_what_is_said_of_a_lost_lease_are_events_too() {
    let mut world = World::start().await;
    let rules = pb::CampaignRules { max_duration: seconds(60), ..rules() };
    let campaign = world.campaign(rules).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let (silent, returned) = (dialer.call().await, dialer.lease().await);
    dialer.slots(0).await;
    dialer.release(&returned.lease_id).await;
    world.advance(Duration::from_secs(90)).await;
    dialer.revoked(&silent.lease_id).await;
    dialer.report(&returned.lease_id, pb::Outcome::Voicemail).await;
    dialer.report(&silent.lease_id, pb::Outcome::IntentYes).await;
    let events = until(&world.campaigns, 3).await;
    let expected = [
        (silent.lease_id.clone(), pb::Outcome::Unknown, pb::ReportVerdict::Accepted),
        (returned.lease_id.clone(), pb::Outcome::Voicemail, pb::ReportVerdict::Late),
        (silent.lease_id.clone(), pb::Outcome::IntentYes, pb::ReportVerdict::Late),
    ];
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_each_cursor_comes_exactly_the_rest() {
    let mut world = World::start().await;
    let (one, two) = (world.campaign(rules()).await, world.campaign(rules()).await);
    world.add_some(&one, 10).await;
    world.add(&two, (10..20).map(crate::support::lead).collect()).await;
    for campaign in [&one, &two] {
        let mut dialer = world.dialer(campaign, 5).await;
        for _ in 0..10 {
            let (lease, _) = dialer.call_with(pb::Outcome::NoAnswer).await;
            dialer.report(&lease.lease_id, pb::Outcome::IntentNo).await;
        }
    }
    until(&world.campaigns, 40).await;
    let (all, last) = read(&world.campaigns, "", "").await;
    assert_eq!(all.len(), 40);
    for (at, (cursor, _)) in all.iter().enumerate() {
        let (rest, end) = read(&world.campaigns, cursor, "").await;
        assert_eq!(rest, all[at + 1..], "behind event {at}");
        assert_eq!(end, last);
    }
    let (of_two, end) = read(&world.campaigns, "", &two).await;
    assert_eq!(of_two, all[20..], "one campaign's events, with the same cursors");
    assert_eq!(end, last);
    // The cursor passes what others had to say: the next time it is not read again.
    let (of_one, end) = read(&world.campaigns, "", &one).await;
    assert_eq!((of_one.len(), end), (20, last));
    world.stop().await;
}

/// Waits until a statement of the world's database waits for a lock.
async fn somebody_waits(sql: &tokio_postgres::Client) {
    eventually("a report waits for a lock", || async {
        let row = sql
            .query_one(
                "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
                &[],
            )
            .await
            .unwrap();
        (row.get::<_, i64>(0) > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_that_commits_late_is_not_skipped_by_those_that_overtook_it() {
    let mut world = World::start().await;
    let (slow, quick) = (world.campaign(rules()).await, world.campaign(rules()).await);
    world.add_some(&slow, 1).await;
    world.add(&quick, vec![crate::support::lead(1)]).await;
    let mut dialer = world.dialer(&quick, 1).await;
    let (done, _) = dialer.call_with(pb::Outcome::IntentNo).await;
    let mut slow_dialer = world.dialer(&slow, 1).await;
    let held = slow_dialer.call().await;
    until(&world.campaigns, 1).await;
    let (_, cursor) = read(&world.campaigns, "", "").await;
    let mut follower = open(&world.campaigns, &cursor, "", true).await.unwrap();
    // The settlement has its number and waits for its campaign's gauge.
    let blocker = connect(&world.database.url).await;
    let lock = "begin; select from gauge where campaign_id = (select max(campaign_id) - 1 from campaign) for update";
    blocker.batch_execute(lock).await.unwrap();
    let slow_lease = held.lease_id.clone();
    let settling = tokio::spawn(async move { slow_dialer.report(&slow_lease, pb::Outcome::NoAnswer).await });
    somebody_waits(&world.database.sql).await;
    // A later fact of another campaign is accepted and acknowledged.
    assert_eq!(dialer.report(&done.lease_id, pb::Outcome::Busy).await.verdict(), pb::ReportVerdict::Outranked);
    let (early, end) = read(&world.campaigns, &cursor, "").await;
    assert!(early.is_empty(), "{early:?}");
    blocker.batch_execute("commit").await.unwrap();
    assert_eq!(settling.await.unwrap().verdict(), pb::ReportVerdict::Accepted);
    let events = until(&world.campaigns, 3).await;
    assert_eq!(
        events[1..].iter().map(|event| event.lease_id.as_str()).collect::<Vec<_>>(),
        [&held.lease_id, &done.lease_id]
    );
    let (behind, _) = read(&world.campaigns, &end, "").await;
    assert_eq!(behind.into_iter().map(|(_, event)| event).collect::<Vec<_>>(), events[1..]);
    for event in &events[1..] {
        assert_eq!(next(&mut follower).await.unwrap().event.as_ref(), Some(event), "who follows sees the same");
    }
    drop(follower);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_one_replica_sees_what_is_reported_to_another_and_goes_on_there_when_it_leaves() {
    let mut world = World::start().await;
    let other = world.another_engine().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 20).await;
    let mut follower = open(&other.campaigns, "", &campaign, true).await.unwrap();
    let mut dialer = world.dialer(&campaign, 3).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    let mut reported = Vec::new();
    for _ in 0..10 {
        reported.push(dialer.call_with(pb::Outcome::IntentNo).await.0.lease_id);
        let message = next(&mut follower).await.unwrap();
        cursor = message.cursor;
        seen.push(message.event.unwrap().lease_id);
    }
    assert_eq!(seen, reported);
    let leaving = tokio::spawn(other.running.stop());
    let end = next(&mut follower).await.unwrap_err();
    assert_eq!(end.code(), Code::Unavailable);
    assert_eq!(end.get_details_error_info().unwrap().reason, "SHUTTING_DOWN");
    assert!(end.get_details_retry_info().unwrap().retry_delay.is_some());
    leaving.await.unwrap().unwrap();
    let more = dialer.call_with(pb::Outcome::IntentYes).await.0.lease_id;
    let mut follower = open(&world.campaigns, &cursor, &campaign, true).await.unwrap();
    assert_eq!(next(&mut follower).await.unwrap().event.unwrap().lease_id, more);
    drop(follower);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_ends_the_stream_with_retry_advice_and_the_cursor_goes_on() {
    let (mut world, proxy) = World::behind_a_proxy(Database::create().await, settings()).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let mut follower = open(&world.campaigns, "", &campaign, true).await.unwrap();
    let lease = dialer.call().await.lease_id;
    dialer.call_with(pb::Outcome::IntentNo).await;
    let cursor = next(&mut follower).await.unwrap().cursor;
    proxy.set(Link::Cut);
    is_unavailable("StreamOutcomes", &next(&mut follower).await.unwrap_err());
    proxy.set(Link::Whole);
    world.until_away(false).await;
    insist_on(dialer.client.clone(), &lease).await;
    let client = world.campaigns.clone();
    let (client, cursor, campaign) = (&client, cursor.as_str(), campaign.as_str());
    let mut follower =
        insist("the stream opens", || async { open(client, cursor, campaign, true).await.map(Response::new) }).await;
    assert_eq!(next(&mut follower).await.unwrap().event.unwrap().lease_id, lease);
    drop(follower);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_database_is_refused_rather_than_followed() {
    let mut cursors = Vec::new();
    let mut worlds = [World::start().await, World::start().await];
    for world in &mut worlds {
        let campaign = world.campaign(rules()).await;
        world.add_some(&campaign, 1).await;
        let mut dialer = world.dialer(&campaign, 1).await;
        dialer.call_with(pb::Outcome::IntentNo).await;
        until(&world.campaigns, 1).await;
        cursors.push(read(&world.campaigns, "", "").await.1);
    }
    let refused = open(&worlds[1].campaigns, &cursors[0], "", false).await.err().unwrap();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(refused.get_details_error_info().unwrap().reason, "CURSOR_LOST");
    // So is one of a time that the database was put back before.
    let ahead: i64 = cursors[0].split('.').nth(1).unwrap().parse().unwrap();
    let ahead = cursors[0].replace(&ahead.to_string(), &(ahead + 1_000_000).to_string());
    let refused = open(&worlds[0].campaigns, &ahead, "", false).await.err().unwrap();
    assert_eq!(refused.get_details_error_info().unwrap().reason, "CURSOR_LOST");
    for wrong in ["x", "1.2.3.4", &cursors[0][1..]] {
        let refused = open(&worlds[0].campaigns, wrong, "", false).await.err().unwrap();
        assert_eq!(refused.code(), Code::InvalidArgument, "{wrong}");
    }
    let nowhere = open(&worlds[0].campaigns, "", &crate::support::new_id(), false).await.err().unwrap();
    assert_eq!(nowhere.code(), Code::NotFound);
    for world in worlds {
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_elsewhere_goes_on_behind_the_cursors_of_before() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 3).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    for _ in 0..2 {
        dialer.call_with(pb::Outcome::IntentNo).await;
    }
    until(&world.campaigns, 2).await;
    // As if all of it had come from a cluster that was a billion transactions ahead of this one.
    let ahead: i64 = 1_000_000_000;
    let moved = format!(
        "update call_attempt set accepted_no = accepted_no + {ahead}; update fact_numbering set base = base + {ahead}, \
         first_no = first_no + {ahead}, origin = 'elsewhere' where origin <> ''"
    );
    world.database.sql.batch_execute(&moved).await.unwrap();
    let second = world.another_engine().await;
    until(&second.campaigns, 2).await;
    let (before, _) = read(&second.campaigns, "", "").await;
    let (first, _) = before[0].clone();
    let lease = dialer.call_with(pb::Outcome::IntentYes).await.0.lease_id;
    until(&second.campaigns, 3).await;
    let (rest, _) = read(&second.campaigns, &first, "").await;
    assert_eq!(
        rest.iter().map(|(_, event)| event.lease_id.clone()).collect::<Vec<_>>(),
        [before[1].1.lease_id.clone(), lease]
    );
    second.running.stop().await.unwrap();
    world.stop().await;
}

/// All events, counted per (lease, outcome, verdict), once they are all there are on record.
pub async fn until_final(
    client: &Client,
    database: &Database,
) -> HashMap<(String, pb::Outcome, pb::ReportVerdict), u32> {
    const FACTS: &str = "select (select count(*) from attempt_report) + (select count(*) from call_attempt a \
         where a.outcome is not null and not exists (select from attempt_report r where r.lease_id = a.lease_id))";
    let facts = usize::try_from(database.count(FACTS).await).unwrap();
    let mut counts = HashMap::new();
    let events = until(client, facts).await;
    assert_eq!(events.len(), facts);
    for event in events {
        *counts.entry(told(&event)).or_default() += 1;
    }
    counts
}
