//! The lease protocol: receipts, permits, sessions, slots, drain, revocation.

use std::{collections::HashSet, time::Duration};

use dialplane::{
    domain::settings::SchedulerSettings,
    pb::{self, LeadState, Outcome, lease_calls_response::Message},
};
use tonic::Code;

use crate::support::{
    World,
    asks::{QUIET, one_lead, taken_apart},
    dialer::Dialer,
    lead, new_id, number, rules, seconds, settings,
};

/// The next grant, without a receipt.
async fn granted_unreceived(dialer: &mut Dialer) -> pb::Lease {
    loop {
        if let Message::Granted(mut granted) = dialer.next().await.unwrap() {
            return granted.leases.remove(0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_without_a_receipt_is_back_within_seconds_and_granted_again() {
    let mut world = World::with(SchedulerSettings { receipt_within: Duration::from_secs(1), ..settings() }).await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 1).await;
    let mut deaf = world.dialer(&campaign, 1).await;
    let lost = granted_unreceived(&mut deaf).await;
    assert_eq!(deaf.revoked(&lost.lease_id).await, pb::RevokeReason::NotReceived);
    let mut dialer = world.dialer(&campaign, 1).await;
    let again = dialer.call().await;
    assert_eq!((again.lead_id.as_str(), again.attempt_number), (leads[0].as_str(), 1));
    assert_eq!(deaf.begin(&lost).await.reason(), pb::RefusalReason::LeaseLost);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_counts_as_a_receipt() {
    let mut world = World::with(SchedulerSettings { receipt_within: Duration::from_secs(1), ..settings() }).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 1).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = granted_unreceived(&mut dialer).await;
    assert_eq!(dialer.begin(&lease).await.verdict(), pb::BeginVerdict::Permitted);
    assert!(dialer.gets_nothing_for(Duration::from_secs(2)).await);
    let result = dialer.report(&lease.lease_id, Outcome::IntentNo).await;
    assert_eq!(result.verdict(), pb::ReportVerdict::Accepted);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_is_not_begun_in_time_goes_back() {
    let mut world = World::with(SchedulerSettings { receipt_within: Duration::from_secs(1), ..settings() }).await;
    let short = pb::CampaignRules { begin_within: seconds(1), ..rules() };
    let campaign = world.campaign(short).await;
    let leads = world.add_some(&campaign, 1).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    assert_eq!(lease.begin_within, seconds(1));
    assert_eq!(dialer.revoked(&lease.lease_id).await, pb::RevokeReason::NotBegun);
    assert_eq!(dialer.begin(&lease).await.reason(), pb::RefusalReason::LeaseLost);
    let again = dialer.call().await;
    assert_eq!((again.lead_id.as_str(), again.attempt_number), (leads[0].as_str(), 1));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_comes_back_five_times_in_a_row_backs_off_and_is_flagged() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    for _ in 0..5 {
        let lease = dialer.lease().await;
        assert_eq!(dialer.release(&lease.lease_id).await, pb::ReleaseVerdict::Released);
    }
    assert!(dialer.gets_nothing_for(QUIET).await);
    let back = world.lead(&campaign, &lead).await;
    assert_eq!((back.returned_in_a_row, back.waiting_reason()), (5, pb::WaitingReason::BackOff));
    world.advance(Duration::from_secs(3600)).await;
    dialer.call_with(Outcome::NoAnswer).await;
    assert_eq!(world.lead(&campaign, &lead).await.returned_in_a_row, 0);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_session_is_lost_its_leases_go_back_and_begun_ones_stay() {
    let mut world = World::with(SchedulerSettings { session_ttl: Duration::from_secs(1), ..settings() }).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let begun = dialer.call().await;
    let waiting = dialer.lease().await;
    let lost = loop {
        if let Err(status) = dialer.next().await {
            break taken_apart(&status);
        }
    };
    lost.is(Code::Aborted, "SESSION_LOST");
    world.lead_in(&campaign, &waiting.lead_id, LeadState::Eligible).await;
    assert_eq!(world.lead(&campaign, &begun.lead_id).await.state(), LeadState::DialingIntent);
    let result = dialer.report(&begun.lease_id, Outcome::IntentYes).await;
    assert_eq!(result.verdict(), pb::ReportVerdict::Accepted);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_is_answered_and_keeps_the_session() {
    let mut world = World::with(SchedulerSettings { session_ttl: Duration::from_secs(2), ..settings() }).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 1).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    let opened = std::time::Instant::now();
    while opened.elapsed() < Duration::from_secs(4) {
        dialer.heartbeat().await;
        while !matches!(dialer.next().await.unwrap(), Message::HeartbeatAck(_)) {}
        let _ = dialer.gets_nothing_for(Duration::from_millis(200)).await;
    }
    assert_eq!(dialer.begin(&lease).await.verdict(), pb::BeginVerdict::Permitted);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_stream_gives_its_leases_back_at_once() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.lease().await;
    drop(dialer);
    let mut other = world.dialer(&campaign, 1).await;
    let again = other.lease().await;
    assert_eq!(again.lead_id, lead);
    assert_ne!(again.lease_id, lease.lease_id);
    assert!(world.attempts(&campaign, &lead).await.is_empty());
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_nonce_gives_the_same_permit_and_another_none() {
    let (world, _, _, mut dialer) = one_lead(rules()).await;
    let lease = dialer.lease().await;
    let nonce = new_id();
    let first = dialer.begin_with(&lease, &nonce).await;
    assert_eq!(first.verdict(), pb::BeginVerdict::Permitted);
    assert_eq!(first.dial_within, seconds(5));
    assert_eq!(dialer.begin_with(&lease, &nonce).await, first);
    let other = dialer.begin(&lease).await;
    assert_eq!((other.verdict(), other.reason()), (pb::BeginVerdict::Refused, pb::RefusalReason::AlreadyBegun));
    let result = dialer.report(&lease.lease_id, Outcome::IntentNo).await;
    assert_eq!(result.verdict(), pb::ReportVerdict::Accepted, "the refusal has not ended the begun lease");
    assert_eq!(dialer.begin_with(&lease, &nonce).await.reason(), pb::RefusalReason::LeaseLost);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_permits_asked_at_once_for_one_lease_one_is_given() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 5).await;
    let mut dialer = world.dialer(&campaign, 5).await;
    for lease in dialer.leases(5).await {
        // So many that they are gathered into batches.
        let asked = (0..40).map(|_| {
            let (mut client, session_id) = (world.scheduler.clone(), dialer.session_id.clone());
            let lease_ids = vec![lease.lease_id.clone()];
            async move {
                let request = pb::BeginCallsRequest { session_id, lease_ids, nonce: new_id() };
                client.begin_calls(request).await.unwrap().into_inner().results.remove(0)
            }
        });
        let answers = futures::future::join_all(asked).await;
        let (given, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|one| one.verdict() == pb::BeginVerdict::Permitted);
        assert_eq!(given.len(), 1, "{given:?}");
        assert!(refused.iter().all(|one| one.reason() == pb::RefusalReason::AlreadyBegun), "{refused:?}");
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begun_lease_cannot_be_released() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    assert_eq!(dialer.release(&lease.lease_id).await, pb::ReleaseVerdict::Begun);
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::DialingIntent);
    dialer.report(&lease.lease_id, Outcome::NotPlaced).await;
    assert_eq!(dialer.release(&lease.lease_id).await, pb::ReleaseVerdict::NotHeld);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_never_holds_more_leases_than_its_slots_and_the_next_comes_unasked() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 10).await;
    let mut dialer = world.dialer(&campaign, 3).await;
    let leases = dialer.leases(3).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    dialer.begin(&leases[0]).await;
    dialer.report(&leases[0].lease_id, Outcome::IntentNo).await;
    dialer.lease().await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    dialer.slots(1).await;
    for lease in &leases[1..] {
        dialer.release(&lease.lease_id).await;
    }
    assert!(dialer.gets_nothing_for(QUIET).await, "lowered slots withdraw demand");
    let request = pb::ListLeasesRequest { session_id: dialer.session_id.clone(), ..Default::default() };
    assert_eq!(world.scheduler.list_leases(request).await.unwrap().into_inner().leases.len(), 1);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drained_session_gets_nothing_more_and_ends_when_nothing_is_held() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 3).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.call().await;
    dialer.drain().await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    dialer.report(&lease.lease_id, Outcome::IntentNo).await;
    let end = loop {
        match dialer.next().await {
            Ok(Message::Granted(granted)) => panic!("{granted:?} after Drain"),
            Ok(_) => {}
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::Ok);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_takes_a_lease_back_and_a_begun_one_is_unknown() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let begun = dialer.call().await;
    let waiting = dialer.lease().await;
    dialer.slots(0).await;
    let revoked = world.revoke(&waiting.lease_id).await;
    assert_eq!((revoked.revoked, revoked.begun), (true, false));
    assert_eq!(dialer.revoked(&waiting.lease_id).await, pb::RevokeReason::ByOperator);
    let revoked = world.revoke(&begun.lease_id).await;
    assert_eq!((revoked.revoked, revoked.begun), (true, true));
    assert_eq!(dialer.revoked(&begun.lease_id).await, pb::RevokeReason::ByOperator);
    assert_eq!(world.attempt(&begun.lease_id).await.unwrap().outcome(), Outcome::Unknown);
    assert!(world.attempt(&waiting.lease_id).await.is_none());
    let again = world.revoke(&begun.lease_id).await;
    assert_eq!((again.revoked, again.begun), (false, false));
    assert_eq!(world.status().await.active_calls, 0);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_stops_grants_and_permits_at_once_and_begun_calls_go_on() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 6).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let begun = dialer.call().await;
    let waiting = dialer.lease().await;
    world.pause(&campaign).await;
    assert_eq!(dialer.begin(&waiting).await.verdict(), pb::BeginVerdict::Refused);
    assert_eq!(dialer.revoked(&waiting.lease_id).await, pb::RevokeReason::CampaignChanged);
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.count(&campaign, LeadState::Ready).await, 0);
    assert_eq!(world.count(&campaign, LeadState::DialingIntent).await, 1);
    let result = dialer.report(&begun.lease_id, Outcome::IntentYes).await;
    assert_eq!(result.verdict(), pb::ReportVerdict::Accepted);
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.run(&campaign).await;
    dialer.leases(2).await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_leases_that_end_together_are_told_in_one_message_and_the_session_lives_on() {
    const LEASES: usize = 600;
    let mut world = World::with(SchedulerSettings { max_concurrency: 1_000, ..settings() }).await;
    let campaign = world.campaign(pb::CampaignRules { begin_within: seconds(120), ..rules() }).await;
    world.add_some(&campaign, LEASES).await;
    let mut dialer = world.dialer(&campaign, 600).await;
    let held: HashSet<String> = dialer.leases(LEASES).await.into_iter().map(|lease| lease.lease_id).collect();
    world.pause(&campaign).await;
    let (mut messages, mut over) = (0, HashSet::new());
    while over.len() < LEASES {
        if let Message::Revoked(revoked) = dialer.next().await.unwrap() {
            assert_eq!(revoked.reason(), pb::RevokeReason::CampaignChanged);
            messages += 1;
            over.extend(revoked.lease_ids);
        }
    }
    assert_eq!((messages, over), (1, held.clone()));
    world.run(&campaign).await;
    assert!(dialer.leases(LEASES).await.iter().all(|lease| !held.contains(&lease.lease_id)));
    dialer.heartbeat().await;
    while !matches!(dialer.next().await.unwrap(), Message::HeartbeatAck(_)) {}
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suppression_revokes_a_lease_without_a_permit_and_lets_a_begun_call_go_on() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let begun = dialer.call().await;
    let waiting = dialer.lease().await;
    let answer = world.suppress(&[number(0), number(1)]).await;
    assert_eq!((answer.added, answer.leads), (2, 2));
    assert_eq!(dialer.revoked(&waiting.lease_id).await, pb::RevokeReason::Suppressed);
    assert_eq!(dialer.begin(&waiting).await.verdict(), pb::BeginVerdict::Refused);
    assert_eq!(world.count(&campaign, LeadState::DialingIntent).await, 1);
    let result = dialer.report(&begun.lease_id, Outcome::NoAnswer).await;
    assert_eq!(result.verdict(), pb::ReportVerdict::Accepted);
    world.advance(Duration::from_secs(24 * 3600)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.stats(&campaign).await.suppressed, 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_has_at_most_one_live_lease_over_all_campaigns() {
    let mut world = World::start().await;
    let (one, two) = (world.campaign(rules()).await, world.campaign(rules()).await);
    world.add(&one, vec![lead(0)]).await;
    let twin = world.add(&two, vec![lead(0)]).await.remove(0);
    let mut first = world.dialer(&one, 1).await;
    let lease = first.call().await;
    let mut second = world.dialer(&two, 1).await;
    assert!(second.gets_nothing_for(QUIET).await);
    let busy = world.lead(&two, &twin).await;
    assert_eq!((busy.state(), busy.waiting_reason()), (LeadState::Eligible, pb::WaitingReason::NumberBusy));
    first.report(&lease.lease_id, Outcome::IntentNo).await;
    world.advance(Duration::from_secs(61)).await;
    assert_eq!(second.lease().await.lead_id, twin);
    world.check().await;
    world.stop().await;
}
