//! Reset: every state of the first seed, kept or called again.

use std::time::Duration;

use dialplane::pb::{self, LeadState, Outcome};

use crate::support::{
    World,
    asks::{QUIET, attempts, one_lead},
    lead, number, rules, seconds,
};

/// What a reset did to the leads of one state: reset, kept.
fn of(answer: &pb::ResetCampaignResponse, state: LeadState) -> (i64, i64) {
    answer.counts.iter().find(|count| count.state() == state).map_or((0, 0), |count| (count.reset, count.kept))
}

/// A lead whose call came to this is left alone by a reset.
async fn is_kept(outcome: Outcome, state: LeadState) {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    dialer.call_with(outcome).await;
    let answer = world.reset(&campaign).await;
    assert_eq!(of(&answer, state), (0, 1));
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &lead).await.state(), state);
    world.check().await;
    world.stop().await;
}

/// A lead whose call came to this is called again at once, with a new budget.
async fn is_reset(outcome: Outcome, state: LeadState) {
    let (mut world, campaign, lead, mut dialer) = one_lead(attempts(1)).await;
    dialer.call_with(outcome).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    dialer.slots(0).await;
    let answer = world.reset(&campaign).await;
    assert_eq!(of(&answer, state), (1, 0));
    let after = world.lead(&campaign, &lead).await;
    assert_eq!((after.state(), after.attempts, after.attempts_total), (LeadState::Eligible, 0, 1));
    assert_eq!(after.not_before, None, "no retry delay is left");
    dialer.slots(1).await;
    assert_eq!(dialer.call().await.attempt_number, 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intent_yes_is_kept() {
    is_kept(Outcome::IntentYes, LeadState::IntentYes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intent_no_is_kept() {
    is_kept(Outcome::IntentNo, LeadState::IntentNo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn do_not_call_is_kept() {
    is_kept(Outcome::DoNotCall, LeadState::IntentNo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intent_no_answer_is_reset() {
    is_reset(Outcome::NoAnswer, LeadState::IntentNoAnswer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_is_reset() {
    is_reset(Outcome::Failed, LeadState::Failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_number_is_reset_with_the_failed() {
    is_reset(Outcome::InvalidNumber, LeadState::Failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_is_kept_with_its_promise() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let at = world.now().await + Duration::from_secs(3600);
    dialer.report_callback(&lease.lease_id, at).await;
    let before = world.lead(&campaign, &lead).await;
    let answer = world.reset(&campaign).await;
    assert_eq!(of(&answer, LeadState::Scheduled), (0, 1));
    let after = world.lead(&campaign, &lead).await;
    assert_eq!((after.state(), after.callback_at), (LeadState::Scheduled, before.callback_at));
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumed_is_kept() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 1).await;
    assert!(world.consume(&campaign, &[&leads[0]]).await[0].consumed);
    let answer = world.reset(&campaign).await;
    assert_eq!(of(&answer, LeadState::Consumed), (0, 1));
    let mut dialer = world.dialer(&campaign, 1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &leads[0]).await.state(), LeadState::Consumed);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suppressed_lead_is_kept_in_any_state() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    dialer.call_with(Outcome::NoAnswer).await;
    dialer.call_with(Outcome::Failed).await;
    drop(dialer);
    world.add(&campaign, vec![lead(7)]).await;
    world.suppress(&[number(0), number(1), number(7)]).await;
    let answer = world.reset(&campaign).await;
    assert_eq!(of(&answer, LeadState::IntentNoAnswer), (0, 1));
    assert_eq!(of(&answer, LeadState::Failed), (0, 1));
    let eligible: Vec<_> = answer.counts.iter().filter(|count| count.state() == LeadState::Eligible).collect();
    assert_eq!(eligible.iter().map(|count| (count.reset, count.kept)).collect::<Vec<_>>(), [(0, 1)]);
    let mut dialer = world.dialer(&campaign, 2).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn eligible_and_ready_are_reset_and_called() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 10).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.call().await;
    world.until_count(&campaign, LeadState::Ready, 2).await;
    let answer = world.reset(&campaign).await;
    assert_eq!(of(&answer, LeadState::Ready), (2, 0));
    assert_eq!(of(&answer, LeadState::Eligible), (7, 0));
    assert_eq!(of(&answer, LeadState::DialingIntent), (0, 1));
    dialer.report(&lease.lease_id, Outcome::IntentYes).await;
    for _ in 0..9 {
        assert_ne!(dialer.call_with(Outcome::IntentNo).await.0.lead_id, lease.lead_id);
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_dialing_intent_without_a_permit_is_revoked_and_reset() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let stuck = dialer.lease().await;
    let answer = world.reset(&campaign).await;
    assert_eq!(of(&answer, LeadState::DialingIntent), (1, 0));
    assert_eq!(dialer.revoked(&stuck.lease_id).await, pb::RevokeReason::CampaignChanged);
    let refused = dialer.begin(&stuck).await;
    assert_eq!(refused.reason(), pb::RefusalReason::LeaseLost);
    let again = dialer.call().await;
    assert_eq!((again.lead_id, again.attempt_number), (lead, 1));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begun_call_inside_max_duration_is_kept_and_its_outcome_accepted() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let answer = world.reset(&campaign).await;
    assert_eq!(of(&answer, LeadState::DialingIntent), (0, 1));
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::DialingIntent);
    let result = dialer.report(&lease.lease_id, Outcome::IntentNo).await;
    assert_eq!((result.verdict(), result.lead_state()), (pb::ReportVerdict::Accepted, LeadState::IntentNo));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_begun_call_past_max_duration_is_unknown_and_reset_with_its_delay_kept() {
    let short = pb::CampaignRules { max_duration: seconds(60), ..attempts(1) };
    let (mut world, campaign, lead, mut dialer) = one_lead(short).await;
    let lease = dialer.call().await;
    world.advance(Duration::from_secs(61)).await;
    let answer = world.reset(&campaign).await;
    // The sweeper may have been quicker.
    let (stuck, failed) = (of(&answer, LeadState::DialingIntent), of(&answer, LeadState::Failed));
    assert!(stuck == (1, 0) || failed == (1, 0), "{answer:?}");
    assert_eq!(world.attempt(&lease.lease_id).await.unwrap().outcome(), Outcome::Unknown);
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::Eligible);
    let (wait, _) = world.waits(&campaign, &lead).await;
    assert!((3500..=3600).contains(&wait.num_seconds()), "{wait}");
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.advance(Duration::from_secs(3601)).await;
    assert_eq!(dialer.call().await.lead_id, lead);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_that_waits_after_unknown_is_called_in_its_time_though_a_reset_lies_between() {
    let mut world = World::start().await;
    let campaign = world.campaign(pb::CampaignRules { max_duration: seconds(60), ..attempts(1) }).await;
    let leads = world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    assert_eq!(dialer.call().await.lead_id, leads[0]);
    world.advance(Duration::from_secs(61)).await;
    world.reset(&campaign).await;
    // The queue passes the one that waits.
    let (next, _) = dialer.call_with(Outcome::IntentNo).await;
    assert_eq!(next.lead_id, leads[1]);
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.advance(Duration::from_secs(3601)).await;
    assert_eq!(dialer.call().await.lead_id, leads[0]);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_the_calls_of_a_lost_dialer_and_resets_them() {
    let (mut world, campaign, lead, mut dialer) = one_lead(attempts(1)).await;
    let lease = dialer.call().await;
    let revoked = world.revoke(&lease.lease_id).await;
    assert!(revoked.revoked && revoked.begun);
    let answer = world.reset(&campaign).await;
    assert_eq!(of(&answer, LeadState::Failed), (1, 0));
    let after = world.lead(&campaign, &lead).await;
    assert_eq!((after.state(), after.attempts), (LeadState::Eligible, 0));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_report_from_before_a_reset_is_a_fact_that_spends_no_new_budget() {
    let (mut world, campaign, lead, mut dialer) = one_lead(attempts(1)).await;
    let lease = dialer.call().await;
    world.revoke(&lease.lease_id).await;
    dialer.slots(0).await;
    world.reset(&campaign).await;
    let result = dialer.report(&lease.lease_id, Outcome::NoAnswer).await;
    assert_eq!(result.verdict(), pb::ReportVerdict::Late);
    let after = world.lead(&campaign, &lead).await;
    assert_eq!((after.attempts, after.attempts_total), (0, 1));
    let result = dialer.report(&lease.lease_id, Outcome::IntentYes).await;
    assert_eq!(result.lead_state(), LeadState::IntentYes);
    dialer.slots(1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn validate_only_answers_the_same_counts_and_changes_nothing() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 12).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    for outcome in [Outcome::IntentYes, Outcome::IntentNo, Outcome::NoAnswer, Outcome::Failed, Outcome::DoNotCall] {
        dialer.call_with(outcome).await;
    }
    let lease = dialer.call().await;
    dialer.slots(0).await;
    world.promise(&campaign, &leads[10], Duration::from_secs(3600)).await;
    world.consume(&campaign, &[&leads[11]]).await;
    world.until_count(&campaign, LeadState::Ready, 0).await;
    let generation = world.reset_generation(&campaign).await;
    let before = world.stats(&campaign).await.counts;
    let request = pb::ResetCampaignRequest { campaign_id: campaign.clone(), validate_only: true, ..Default::default() };
    let said = world.campaigns.reset_campaign(request).await.unwrap().into_inner();
    assert_eq!(said.generation, generation);
    assert_eq!(world.stats(&campaign).await.counts, before);
    let done = world.reset(&campaign).await;
    assert_eq!(said.counts, done.counts);
    assert_eq!(done.generation, generation + 1);
    assert_eq!(done.counts.iter().map(|count| count.reset + count.kept).sum::<i64>(), 12);
    assert_eq!(of(&done, LeadState::IntentNoAnswer), (1, 0));
    assert_eq!(of(&done, LeadState::IntentNo), (0, 2));
    dialer.report(&lease.lease_id, Outcome::NoAnswer).await;
    world.check().await;
    world.stop().await;
}

impl World {
    async fn reset_generation(&mut self, campaign_id: &str) -> i32 {
        let request = pb::GetCampaignRequest { campaign_id: campaign_id.into() };
        self.campaigns.get_campaign(request).await.unwrap().into_inner().campaign.unwrap().generation
    }
}
