//! PollLeases: the protocol for clients without streams.

use std::{collections::HashSet, time::Duration};

use dialplane::{
    domain::settings::SchedulerSettings,
    pb::{self, HeldVerdict, LeadState, Outcome},
};
use tonic::{Code, Response, Status};

use crate::support::{
    World,
    asks::{QUIET, refusal, taken_apart},
    dialer::Dialer,
    new_id, number, rules, seconds, settings,
};

type Scheduler = pb::scheduler_service_client::SchedulerServiceClient<tonic::transport::Channel>;

/// A poll of a session that waits up to 20 s.
fn poll(session_id: &str, slots: i32, received: &[&str]) -> pb::PollLeasesRequest {
    pb::PollLeasesRequest {
        dialer_id: "poller".into(),
        session_id: session_id.into(),
        slots,
        received: received.iter().map(|id| (*id).to_owned()).collect(),
        poll_id: new_id(),
        ..Default::default()
    }
}

async fn ask(client: &mut Scheduler, poll: pb::PollLeasesRequest) -> Result<Response<pb::PollLeasesResponse>, Status> {
    client.poll_leases(poll).await
}

/// Polls until there are leases.
async fn leased(client: &mut Scheduler, session: &str, slots: i32, received: &[&str]) -> Vec<pb::Lease> {
    loop {
        let answer = ask(client, poll(session, slots, received)).await.unwrap().into_inner();
        if !answer.leases.is_empty() {
            return answer.leases;
        }
    }
}

/// The call ends with INTENT_NO.
async fn refuses(client: &mut Scheduler, lease: pb::Lease) {
    let report =
        pb::OutcomeReport { lease_id: lease.lease_id, outcome: Outcome::IntentNo.into(), ..Default::default() };
    client.report_outcomes(pb::ReportOutcomesRequest { reports: vec![report] }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dialer_without_streams_leases_calls_and_reports() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 2).await;
    let session = new_id();
    let mut client = world.scheduler.clone();
    let first = ask(&mut client, poll(&session, 1, &[])).await.unwrap().into_inner();
    assert_eq!(first.opened.unwrap().session_ttl, Some(settings().session_ttl.try_into().unwrap()));
    let mut received: Vec<String> = Vec::new();
    for expected in leads {
        let known: Vec<&str> = received.iter().map(String::as_str).collect();
        let lease = leased(&mut client, &session, 1, &known).await.remove(0);
        assert_eq!((lease.lead_id.as_str(), lease.campaign_id.as_str()), (expected.as_str(), campaign.as_str()));
        received = vec![lease.lease_id.clone()];
        // One slot: nothing more while it is held.
        let quiet = pb::PollLeasesRequest { wait: seconds(0), ..poll(&session, 1, &[&lease.lease_id]) };
        assert!(ask(&mut client, quiet).await.unwrap().into_inner().leases.is_empty());
        let request = pb::BeginCallsRequest {
            session_id: session.clone(),
            lease_ids: vec![lease.lease_id.clone()],
            nonce: new_id(),
        };
        let begun = client.begin_calls(request).await.unwrap().into_inner().results.remove(0);
        assert_eq!(begun.verdict(), pb::BeginVerdict::Permitted);
        refuses(&mut client, lease).await;
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_poll_replays_its_answer() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 3).await;
    let session = new_id();
    let mut client = world.scheduler.clone();
    ask(&mut client, poll(&session, 0, &[])).await.unwrap();
    let asked = poll(&session, 2, &[]);
    let mut answer = ask(&mut client, asked.clone()).await.unwrap().into_inner();
    while answer.leases.is_empty() {
        answer = ask(&mut client, asked.clone()).await.unwrap().into_inner();
    }
    let again = ask(&mut client, asked).await.unwrap().into_inner();
    assert_eq!(again, answer);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_waits_for_what_comes_and_gives_way_to_a_later_one() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let session = new_id();
    let mut client = world.scheduler.clone();
    ask(&mut client, poll(&session, 1, &[])).await.unwrap();
    // What is told once: there is nothing to give.
    let told = ask(&mut client, poll(&session, 1, &[])).await.unwrap().into_inner();
    assert_eq!(told.throttled.unwrap().reason(), pb::ThrottleReason::Empty);
    let (mut one, mut two) = (client.clone(), client.clone());
    let (first, second) = (poll(&session, 1, &[]), poll(&session, 1, &[]));
    let first = tokio::spawn(async move { ask(&mut one, first).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!first.is_finished());
    let second = tokio::spawn(async move { ask(&mut two, second).await });
    let gave_way = first.await.unwrap().unwrap().into_inner();
    assert!(gave_way.leases.is_empty());
    world.add_some(&campaign, 1).await;
    assert_eq!(second.await.unwrap().unwrap().into_inner().leases.len(), 1);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poller_that_is_silent_loses_its_session_and_opens_it_anew_with_the_next_poll() {
    let mut world = World::with(SchedulerSettings { session_ttl: Duration::from_secs(1), ..settings() }).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 1).await;
    let session = new_id();
    let mut client = world.scheduler.clone();
    let lease = leased(&mut client, &session, 1, &[]).await.remove(0);
    // A poll that waits longer than the ttl keeps it.
    let long = pb::PollLeasesRequest { wait: seconds(3), ..poll(&session, 1, &[&lease.lease_id]) };
    let answer = ask(&mut client, long).await.unwrap().into_inner();
    assert!(answer.opened.is_none() && answer.revoked.is_empty(), "{answer:?}");
    world.lead_in(&campaign, &lease.lead_id, LeadState::Eligible).await;
    let held = vec![pb::HeldLease { lease_id: lease.lease_id.clone(), begun: false }];
    let back = pb::PollLeasesRequest { held, ..poll(&session, 1, &[]) };
    let opened = ask(&mut client, back).await.unwrap().into_inner().opened.unwrap();
    assert_eq!(opened.held[0].verdict(), HeldVerdict::Drop);
    assert_eq!(leased(&mut client, &session, 1, &[]).await[0].lead_id, lease.lead_id);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_moves_between_polls_and_streams_and_replicas() {
    let mut world = World::start().await;
    let other = world.another_engine().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 2).await;
    let session = new_id();
    let (mut here, mut there) = (world.scheduler.clone(), other.scheduler.clone());
    let lease = leased(&mut here, &session, 1, &[]).await.remove(0);
    let held = vec![pb::HeldLease { lease_id: lease.lease_id.clone(), begun: false }];
    let moved = pb::PollLeasesRequest { held: held.clone(), ..poll(&session, 1, &[&lease.lease_id]) };
    let opened = ask(&mut there, moved).await.unwrap().into_inner().opened.unwrap();
    assert_eq!(opened.held[0].verdict(), HeldVerdict::Keep);
    // One that waits when the session goes is told; the next would fetch it back.
    let again = session.clone();
    let waiting = tokio::spawn(async move {
        loop {
            if let Err(status) = ask(&mut there, poll(&again, 1, &[])).await {
                break status;
            }
        }
    });
    tokio::time::sleep(QUIET).await;
    let open =
        pb::Open { dialer_id: "poller".into(), session_id: session.clone(), slots: 1, held, ..Default::default() };
    let (mut dialer, opened) = Dialer::open_as(here, open).await.unwrap();
    assert_eq!(opened.held[0].verdict(), HeldVerdict::Keep);
    taken_apart(&waiting.await.unwrap()).is(Code::Aborted, "SESSION_TAKEN_OVER");
    assert_eq!(dialer.begin(&lease).await.verdict(), pb::BeginVerdict::Permitted);
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    other.running.stop().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_leases_that_another_replica_ends_between_two_polls_are_told_and_the_session_lives_on() {
    const LEASES: usize = 600;
    let mut world = World::with(SchedulerSettings { max_concurrency: 1_000, ..settings() }).await;
    let mut other = world.another_engine().await;
    let campaign = world.campaign(pb::CampaignRules { begin_within: seconds(120), ..rules() }).await;
    world.add_some(&campaign, LEASES).await;
    let session = new_id();
    let mut client = world.scheduler.clone();
    let mut held = HashSet::new();
    let mut received: Vec<String> = Vec::new();
    while held.len() < LEASES {
        let known: Vec<&str> = received.iter().map(String::as_str).collect();
        let leases = leased(&mut client, &session, 600, &known).await;
        received = leases.into_iter().map(|lease| lease.lease_id).collect();
        held.extend(received.clone());
    }
    let pause = pb::PauseCampaignRequest { campaign_id: campaign.clone(), ..Default::default() };
    other.campaigns.pause_campaign(pause).await.unwrap();
    // All of it comes while nobody polls.
    tokio::time::sleep(QUIET).await;
    let mut over = HashSet::new();
    while over.len() < LEASES {
        let answer = ask(&mut client, poll(&session, 600, &[])).await.unwrap().into_inner();
        assert!(answer.opened.is_none(), "the session was lost");
        over.extend(answer.revoked.into_iter().flat_map(|revoked| revoked.lease_ids));
    }
    assert_eq!(over, held);
    world.run(&campaign).await;
    assert!(!held.contains(&leased(&mut client, &session, 600, &[]).await[0].lease_id));
    world.check().await;
    other.running.stop().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_polls_nor_streams_starve() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 20).await;
    let session = new_id();
    let mut client = world.scheduler.clone();
    ask(&mut client, poll(&session, 1, &[])).await.unwrap();
    let mut stream = world.dialer(&campaign, 1).await;
    let mut received: Vec<String> = Vec::new();
    for _ in 0..10 {
        let known: Vec<&str> = received.iter().map(String::as_str).collect();
        let lease = leased(&mut client, &session, 1, &known).await.remove(0);
        received = vec![lease.lease_id.clone()];
        stream.call_with(Outcome::IntentNo).await;
        refuses(&mut client, lease).await;
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_of_nonsense_is_refused() {
    let world = World::start().await;
    let mut client = world.scheduler.clone();
    let good = || poll(&new_id(), 1, &[]);
    let odd = [
        (pb::PollLeasesRequest { poll_id: String::new(), ..good() }, "poll_id"),
        (pb::PollLeasesRequest { session_id: "7".into(), ..good() }, "session_id"),
        (pb::PollLeasesRequest { dialer_id: String::new(), ..good() }, "dialer_id"),
        (pb::PollLeasesRequest { slots: -1, ..good() }, "slots"),
        (pb::PollLeasesRequest { wait: seconds(61), ..good() }, "wait"),
        (pb::PollLeasesRequest { received: vec![number(0)], ..good() }, "received[0]"),
        (
            pb::PollLeasesRequest { held: vec![pb::HeldLease { lease_id: "x".into(), begun: true }], ..good() },
            "held[0]",
        ),
    ];
    for (request, field) in odd {
        let refused = refusal(ask(&mut client, request).await);
        assert_eq!((refused.code, refused.fields), (Code::InvalidArgument, vec![field.to_owned()]));
    }
    let owned = poll(&new_id(), 0, &[]);
    ask(&mut client, owned.clone()).await.unwrap();
    let stolen = pb::PollLeasesRequest { dialer_id: "another".into(), poll_id: new_id(), ..owned };
    refusal(ask(&mut client, stolen).await).is(Code::AlreadyExists, "SESSION_IN_USE");
    world.stop().await;
}
