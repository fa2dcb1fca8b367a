//! The states of the first seed: what each means, and what leaves it.

use std::time::Duration;

use dialplane::pb::{self, LeadState, Outcome};

use crate::support::{
    World,
    asks::{QUIET, attempts, one_lead},
    eventually, lead, rules, settings, start_engine,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_eligible_lead_waits_to_be_queued_until_a_dialer_has_room() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 1).await;
    assert_eq!(world.lead(&campaign, &leads[0]).await.state(), LeadState::Eligible);
    let mut dialer = world.dialer(&campaign, 0).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &leads[0]).await.state(), LeadState::Eligible);
    dialer.slots(1).await;
    assert_eq!(dialer.lease().await.lead_id, leads[0]);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_lead_is_queued_and_goes_back_when_the_dialers_leave() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 10).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    dialer.leases(2).await;
    world.until_count(&campaign, LeadState::Ready, 4).await;
    drop(dialer);
    world.until_count(&campaign, LeadState::Eligible, 10).await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_under_a_lease_is_dialing_intent_and_a_release_puts_it_back_uncounted() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.lease().await;
    let under = world.lead(&campaign, &lead).await;
    assert_eq!((under.state(), under.lease_id.as_str()), (LeadState::DialingIntent, lease.lease_id.as_str()));
    dialer.slots(0).await;
    assert_eq!(dialer.release(&lease.lease_id).await, pb::ReleaseVerdict::Released);
    let back = world.lead(&campaign, &lead).await;
    assert!(matches!(back.state(), LeadState::Eligible | LeadState::Ready), "{back:?}");
    assert_eq!((back.attempts, back.attempts_total), (0, 0));
    assert!(world.attempts(&campaign, &lead).await.is_empty());
    dialer.slots(1).await;
    assert_eq!(dialer.lease().await.attempt_number, 1);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_yes_is_complete_and_leaves_the_pool_for_good() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    dialer.call_with(Outcome::IntentYes).await;
    world.reset(&campaign).await;
    world.advance(Duration::from_secs(100 * 3600)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::IntentYes);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_no_is_complete() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    dialer.call_with(Outcome::IntentNo).await;
    world.advance(Duration::from_secs(100 * 3600)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::IntentNo);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_attempt_an_unanswered_lead_is_retried_only_by_a_reset() {
    let (mut world, campaign, _, mut dialer) = one_lead(attempts(1)).await;
    dialer.call_with(Outcome::NoAnswer).await;
    world.advance(Duration::from_secs(100 * 3600)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.reset(&campaign).await;
    assert_eq!(dialer.lease().await.attempt_number, 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_attempt_a_failed_lead_is_retried_only_by_a_reset() {
    let (mut world, campaign, lead, mut dialer) = one_lead(attempts(1)).await;
    dialer.call_with(Outcome::Failed).await;
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::Failed);
    world.advance(Duration::from_secs(100 * 3600)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.reset(&campaign).await;
    assert_eq!(dialer.lease().await.attempt_number, 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_lead_is_protected_and_wakes_up_at_its_time() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let at = world.now().await + Duration::from_secs(3600);
    dialer.report_callback(&lease.lease_id, at).await;
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::Scheduled);
    world.reset(&campaign).await;
    world.advance(Duration::from_secs(3590)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::Scheduled);
    world.advance(Duration::from_secs(11)).await;
    assert_eq!(dialer.lease().await.score, 999);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_puts_the_attempt_on_record_before_any_report() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.lease().await;
    assert!(world.attempt(&lease.lease_id).await.is_none(), "a lease without a permit is no attempt");
    let begun = dialer.begin(&lease).await;
    let attempt = world.attempt(&lease.lease_id).await.unwrap();
    assert_eq!((attempt.lead_id.as_str(), attempt.attempt_number), (lead.as_str(), 1));
    assert_eq!(attempt.begun_at, begun.begun_at);
    assert_eq!((attempt.ended_at, attempt.outcome()), (None, Outcome::Unspecified));
    assert_eq!(world.lead(&campaign, &lead).await.attempts, 1);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_before_the_ring_survives_the_engine() {
    let (world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    drop(dialer);
    let World { database, replica, .. } = world;
    replica.running.stop().await.unwrap();
    let replica = start_engine(&database.url, settings()).await;
    let mut world =
        World { campaigns: replica.campaigns.clone(), scheduler: replica.scheduler.clone(), database, replica };
    let attempt = world.attempt(&lease.lease_id).await.unwrap();
    assert!(attempt.begun_at.is_some());
    assert_eq!(attempt.outcome(), Outcome::Unspecified);
    let mut dialer = world.dialer(&campaign, 1).await;
    assert!(dialer.gets_nothing_for(QUIET).await, "someone may be talking");
    let result = dialer.report(&lease.lease_id, Outcome::IntentYes).await;
    assert_eq!(result.verdict(), pb::ReportVerdict::Accepted);
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::IntentYes);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_failure_puts_the_lead_back_and_counts_no_attempt() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let (lease, result) = dialer.call_with(Outcome::NotPlaced).await;
    assert_eq!(result.lead_state(), LeadState::Eligible);
    let back = world.lead(&campaign, &lead).await;
    assert_eq!((back.state(), back.attempts, back.attempts_total), (LeadState::Eligible, 0, 0));
    let attempt = world.attempt(&lease.lease_id).await.unwrap();
    assert_eq!((attempt.outcome(), attempt.counted), (Outcome::NotPlaced, false));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_back_off_after_provider_failures_doubles_up_to_a_quarter_of_an_hour() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    for seconds in [30, 60, 120, 240, 480, 900, 900] {
        dialer.call_with(Outcome::NotPlaced).await;
        let (wait, reason) = world.waits(&campaign, &lead).await;
        assert_eq!(reason, pb::WaitingReason::BackOff);
        assert!((seconds - 5..=seconds).contains(&wait.num_seconds()), "{seconds}: {wait}");
        world.advance(Duration::from_secs(seconds.unsigned_abs() + 1)).await;
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_the_provider_refused_twenty_times_in_a_row_is_failed() {
    // Its provider refuses this lead alone, so to speak.
    let mut quick = pb::CampaignRules { breaker_after: Some(0), ..rules() };
    quick.retry_rules = vec![crate::support::retry(Outcome::NotPlaced, Duration::ZERO)];
    let (mut world, campaign, lead, mut dialer) = one_lead(quick).await;
    for _ in 0..19 {
        let (_, result) = dialer.call_with(Outcome::NotPlaced).await;
        assert_eq!(result.lead_state(), LeadState::Eligible);
    }
    let (_, result) = dialer.call_with(Outcome::NotPlaced).await;
    assert_eq!(result.lead_state(), LeadState::Failed);
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &lead).await.attempts_total, 0);
    world.reset(&campaign).await;
    assert_eq!(dialer.lease().await.lead_id, lead);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_goes_on_after_single_failures() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add(&campaign, (0..30).map(lead).collect()).await;
    let mut dialer = world.dialer(&campaign, 3).await;
    for n in 0..30 {
        let outcome = [Outcome::Failed, Outcome::NotPlaced, Outcome::InvalidNumber][n % 3];
        let (_, result) = dialer.call_with(outcome).await;
        assert_eq!(result.verdict(), pb::ReportVerdict::Accepted);
    }
    assert_eq!(world.count(&campaign, LeadState::Failed).await, 20);
    eventually("nothing is held any more", || {
        let mut scheduler = world.scheduler.clone();
        async move {
            let status = scheduler.get_scheduler_status(pb::GetSchedulerStatusRequest {}).await.unwrap();
            (status.into_inner().active_calls == 0).then_some(())
        }
    })
    .await;
    world.check().await;
    world.stop().await;
}
