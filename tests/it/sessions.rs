//! Sessions that outlive their streams and their replicas: take-over, held leases, a replica that leaves.

use std::time::Duration;

use dialplane::{
    domain::settings::SchedulerSettings,
    pb::{self, HeldVerdict, LeadState, Outcome, lease_calls_response::Message},
};
use tonic::Code;

use crate::support::{
    Replica, World,
    asks::{QUIET, one_lead, taken_apart},
    dialer::Dialer,
    eventually, lead, new_id, rules, settings,
};

/// An Open that comes back to a session, holding these leases; with `true` the dialer believes in a permit.
fn back(dialer: &Dialer, slots: i32, held: &[(&str, bool)]) -> pb::Open {
    pb::Open {
        dialer_id: "test".into(),
        session_id: dialer.session_id.clone(),
        slots,
        held: held.iter().map(|(id, begun)| pb::HeldLease { lease_id: (*id).into(), begun: *begun }).collect(),
        ..Default::default()
    }
}

/// The lease ends; its lead may be READY again at once.
async fn goes_back(world: &World, lease: &pb::Lease) {
    let live = format!("select count(*) from lease where lease_id = '{}'", lease.lease_id);
    eventually("the lease goes back", || async { (world.database.count(&live).await == 0).then_some(()) }).await;
}

fn verdicts(opened: &pb::Opened) -> Vec<(&str, HeldVerdict)> {
    opened.held.iter().map(|held| (held.lease_id.as_str(), held.verdict())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_stream_takes_the_session_over_and_the_first_is_told() {
    let (mut world, _, lead, mut first) = one_lead(rules()).await;
    let lease = first.lease().await;
    let held = [(lease.lease_id.as_str(), false)];
    let (mut second, opened) = Dialer::open_as(world.scheduler.clone(), back(&first, 1, &held)).await.unwrap();
    assert_eq!(verdicts(&opened), [(lease.lease_id.as_str(), HeldVerdict::Keep)]);
    taken_apart(&first.end().await).is(Code::Aborted, "SESSION_TAKEN_OVER");
    assert_eq!(world.status().await.sessions, 1);
    assert_eq!(second.begin(&lease).await.verdict(), pb::BeginVerdict::Permitted);
    let result = second.report(&lease.lease_id, Outcome::IntentYes).await;
    assert_eq!((result.verdict(), lease.lead_id), (pb::ReportVerdict::Accepted, lead));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_another_dialer_is_refused() {
    let (world, _, lead, mut first) = one_lead(rules()).await;
    let open = pb::Open { dialer_id: "another".into(), ..back(&first, 1, &[]) };
    let refused = taken_apart(&Dialer::open_as(world.scheduler.clone(), open).await.err().unwrap());
    refused.is(Code::AlreadyExists, "SESSION_IN_USE");
    assert_eq!(first.call().await.lead_id, lead);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_leases_live_on_or_are_dropped_and_an_unknown_one_goes_back() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 4).await;
    let mut first = world.dialer(&campaign, 4).await;
    let begun = first.call().await;
    let (kept, forgotten, over) = (first.lease().await, first.lease().await, first.lease().await);
    first.slots(3).await;
    first.release(&over.lease_id).await;
    let never = new_id();
    let held = [
        (kept.lease_id.as_str(), false),
        (begun.lease_id.as_str(), true),
        (over.lease_id.as_str(), false),
        (never.as_str(), true),
    ];
    let (mut second, opened) = Dialer::open_as(world.scheduler.clone(), back(&first, 2, &held)).await.unwrap();
    let answers: Vec<HeldVerdict> = opened.held.iter().map(pb::HeldResult::verdict).collect();
    assert_eq!(answers, [HeldVerdict::Keep, HeldVerdict::Keep, HeldVerdict::Drop, HeldVerdict::Drop]);
    goes_back(&world, &forgotten).await;
    // Two of two slots are taken.
    assert!(second.gets_nothing_for(QUIET).await);
    assert_eq!(second.begin(&kept).await.verdict(), pb::BeginVerdict::Permitted);
    second.report(&begun.lease_id, Outcome::IntentNo).await;
    second.call().await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_takes_a_session_over_with_all_it_holds_and_the_old_one_grants_it_nothing() {
    let mut world = World::start().await;
    let other = world.another_engine().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 6).await;
    let mut first = world.dialer(&campaign, 3).await;
    let begun = first.call().await;
    let (kept, forgotten) = (first.lease().await, first.lease().await);
    let held = [(kept.lease_id.as_str(), false), (begun.lease_id.as_str(), true)];
    let (mut second, opened) = Dialer::open_as(other.scheduler.clone(), back(&first, 3, &held)).await.unwrap();
    assert_eq!(verdicts(&opened).iter().filter(|(_, verdict)| *verdict == HeldVerdict::Keep).count(), 2);
    taken_apart(&first.end().await).is(Code::Aborted, "SESSION_TAKEN_OVER");
    goes_back(&world, &forgotten).await;
    let third = second.lease().await;
    assert_ne!(third.lease_id, forgotten.lease_id);
    assert!(second.gets_nothing_for(QUIET).await, "three slots are taken");
    assert_eq!(second.begin(&kept).await.verdict(), pb::BeginVerdict::Permitted);
    assert_eq!(second.report(&begun.lease_id, Outcome::IntentNo).await.verdict(), pb::ReportVerdict::Accepted);
    assert_eq!(world.status().await.sessions, 1);
    world.check().await;
    other.running.stop().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_comes_back_under_its_name_with_its_calls() {
    let mut world = World::with(SchedulerSettings { session_ttl: Duration::from_secs(1), ..settings() }).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 2).await;
    let mut first = world.dialer(&campaign, 2).await;
    let begun = first.call().await;
    let waiting = first.lease().await;
    taken_apart(&first.end().await).is(Code::Aborted, "SESSION_LOST");
    world.lead_in(&campaign, &waiting.lead_id, LeadState::Eligible).await;
    let held = [(begun.lease_id.as_str(), true), (waiting.lease_id.as_str(), false)];
    let (_second, opened) = Dialer::open_as(world.scheduler.clone(), back(&first, 2, &held)).await.unwrap();
    let answers: Vec<HeldVerdict> = opened.held.iter().map(pb::HeldResult::verdict).collect();
    assert_eq!(answers, [HeldVerdict::Keep, HeldVerdict::Drop]);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_asked_through_another_replica_keeps_the_session_alive() {
    let short = SchedulerSettings { session_ttl: Duration::from_secs(2), ..settings() };
    let mut world = World::with(short).await;
    let other = world.another_engine().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 1).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    let mut elsewhere = other.scheduler.clone();
    // Nothing is said on the stream for twice the ttl.
    let nonce = new_id();
    for _ in 0..20 {
        let request = pb::BeginCallsRequest {
            session_id: dialer.session_id.clone(),
            lease_ids: vec![lease.lease_id.clone()],
            nonce: nonce.clone(),
        };
        let result = elsewhere.begin_calls(request).await.unwrap().into_inner().results.remove(0);
        assert_eq!(result.verdict(), pb::BeginVerdict::Permitted);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(world.status().await.sessions, 1);
    other.running.stop().await.unwrap();
    world.stop().await;
}

/// The next GoAway.
async fn told_to_go(dialer: &mut Dialer) -> pb::GoAway {
    loop {
        if let Message::GoAway(go_away) = dialer.next().await.unwrap() {
            return go_away;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dialers_of_a_leaving_replica_go_elsewhere_with_what_they_hold() {
    let mut world = World::start().await;
    let Replica { running: mut leaving, scheduler, .. } = world.another_engine().await;
    leaving.drain_within = Duration::from_secs(60);
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 3).await;
    let mut idle = Dialer::open(scheduler.clone(), &[&campaign], 0).await;
    let mut busy = Dialer::open(scheduler.clone(), &[&campaign], 2).await;
    let (begun, waiting) = (busy.call().await, busy.lease().await);
    let stopped = tokio::spawn(leaving.stop());
    let go_away = told_to_go(&mut busy).await;
    assert_eq!(go_away.drain_within, Some(prost_types::Duration { seconds: 60, nanos: 0 }));
    // Whoever holds nothing need not wait.
    taken_apart(&idle.end().await).is(Code::Unavailable, "SHUTTING_DOWN");
    let refused = Dialer::try_open(scheduler, &[&campaign], 1, &new_id()).await.err().unwrap();
    taken_apart(&refused).is(Code::Unavailable, "SHUTTING_DOWN");
    // Its stream goes on while it holds something.
    busy.heartbeat().await;
    while !matches!(busy.next().await.unwrap(), Message::HeartbeatAck(_)) {}
    // Permits are still given while it drains.
    assert_eq!(busy.begin(&waiting).await.verdict(), pb::BeginVerdict::Permitted);
    let held = [(begun.lease_id.as_str(), true), (waiting.lease_id.as_str(), true)];
    let (mut second, opened) = Dialer::open_as(world.scheduler.clone(), back(&busy, 3, &held)).await.unwrap();
    assert!(opened.held.iter().all(|held| held.verdict() == HeldVerdict::Keep));
    // Its last stream is gone: it need not wait for its deadline.
    stopped.await.unwrap().unwrap();
    let third = second.call().await;
    for lease in [begun, waiting, third] {
        assert_eq!(second.report(&lease.lease_id, Outcome::IntentNo).await.verdict(), pb::ReportVerdict::Accepted);
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaving_replica_waits_for_nobody_longer_than_its_deadline() {
    let mut world = World::start().await;
    let Replica { mut running, scheduler, .. } = world.another_engine().await;
    running.drain_within = Duration::from_millis(300);
    let campaign = world.campaign(rules()).await;
    world.add(&campaign, vec![lead(0)]).await;
    let mut stubborn = Dialer::open(scheduler, &[&campaign], 1).await;
    let begun = stubborn.call().await;
    running.stop().await.unwrap();
    taken_apart(&stubborn.end().await).is(Code::Unavailable, "SHUTTING_DOWN");
    let mut anyone = world.dialer(&campaign, 1).await;
    assert_eq!(anyone.report(&begun.lease_id, Outcome::IntentYes).await.verdict(), pb::ReportVerdict::Accepted);
    assert_eq!(world.status().await.sessions, 1, "its session is closed");
    world.check().await;
    world.stop().await;
}
