//! Each row of the table of outcomes, and promises that stick.

use std::time::Duration;

use chrono::TimeDelta;
use dialplane::pb::{self, LeadState, Outcome};

use crate::support::{
    World,
    asks::{QUIET, instant, one_lead},
    lead, number, retry, rules, seconds,
};

const HOUR: i64 = 3600;

/// An outcome that is retried: its state, counted or not, not a moment before its delay, and then at once.
async fn is_retried(outcome: Outcome, state: LeadState, after_seconds: i64) {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let (lease, result) = dialer.call_with(outcome).await;
    assert_eq!((result.verdict(), result.lead_state()), (pb::ReportVerdict::Accepted, state));
    let after = world.lead(&campaign, &lead).await;
    let counted = i32::from(outcome != Outcome::NotPlaced);
    assert_eq!((after.state(), after.attempts, after.last_outcome()), (state, counted, outcome));
    assert_eq!(world.attempt(&lease.lease_id).await.unwrap().counted, counted == 1);
    let (wait, _) = world.waits(&campaign, &lead).await;
    assert!((after_seconds - 20..=after_seconds).contains(&wait.num_seconds()), "{wait}");
    world.advance(Duration::from_secs(after_seconds.unsigned_abs() - 25)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.advance(Duration::from_secs(26)).await;
    let again = dialer.call().await;
    assert_eq!((again.lead_id, again.attempt_number), (lead, counted + 1));
    world.check().await;
    world.stop().await;
}

/// An outcome after which nobody calls again, however long one waits.
async fn is_over(outcome: Outcome, state: LeadState) {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let (lease, result) = dialer.call_with(outcome).await;
    assert_eq!((result.verdict(), result.lead_state()), (pb::ReportVerdict::Accepted, state));
    assert!(world.attempt(&lease.lease_id).await.unwrap().counted);
    world.advance(Duration::from_secs(400 * 24 * 3600)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    let after = world.lead(&campaign, &lead).await;
    assert_eq!((after.state(), after.attempts, after.not_before), (state, 1, None));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intent_yes_is_over() {
    is_over(Outcome::IntentYes, LeadState::IntentYes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn intent_no_is_over() {
    is_over(Outcome::IntentNo, LeadState::IntentNo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_number_is_failed_without_a_retry() {
    is_over(Outcome::InvalidNumber, LeadState::Failed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_retried_after_two_hours() {
    is_retried(Outcome::NoAnswer, LeadState::IntentNoAnswer, 2 * HOUR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn voicemail_is_retried_after_four_hours() {
    is_retried(Outcome::Voicemail, LeadState::IntentNoAnswer, 4 * HOUR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn busy_is_retried_after_a_quarter_of_an_hour() {
    is_retried(Outcome::Busy, LeadState::IntentNoAnswer, 900).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_is_retried_after_three_days() {
    is_retried(Outcome::Abandoned, LeadState::IntentNoAnswer, 72 * HOUR).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_is_retried_after_ten_minutes() {
    is_retried(Outcome::Failed, LeadState::Failed, 600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn not_placed_is_retried_after_half_a_minute_and_not_counted() {
    is_retried(Outcome::NotPlaced, LeadState::Eligible, 30).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_campaigns_own_delays_are_taken_in_turn_and_the_last_repeats() {
    let delays = [60, 120].map(|s| prost_types::Duration { seconds: s, nanos: 0 }).to_vec();
    let mut own = rules();
    own.max_attempts = Some(10);
    own.retry_rules = vec![pb::RetryRule { outcome: Outcome::Busy.into(), delays, limit: None }];
    let (mut world, campaign, lead, mut dialer) = one_lead(own).await;
    for delay in [60, 120, 120] {
        dialer.call_with(Outcome::Busy).await;
        let (wait, reason) = world.waits(&campaign, &lead).await;
        assert_eq!(reason, pb::WaitingReason::Retry);
        assert!((delay - 15..=delay).contains(&wait.num_seconds()), "{delay}: {wait}");
        world.advance(Duration::from_secs(delay.unsigned_abs() + 1)).await;
    }
    world.check().await;
    world.stop().await;
}

/// BUSY is retried after a minute, up to this limit.
fn busy_up_to(limit: i32) -> pb::CampaignRules {
    let rule = pb::RetryRule { limit: Some(limit), ..retry(Outcome::Busy, Duration::from_secs(60)) };
    pb::CampaignRules { max_attempts: Some(10), retry_rules: vec![rule], ..rules() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_at_its_limit_in_a_row_is_not_retried_until_a_reset_or_a_higher_limit() {
    let (mut world, campaign, limited, mut dialer) = one_lead(busy_up_to(2)).await;
    for _ in 0..2 {
        dialer.call_with(Outcome::Busy).await;
        world.advance(Duration::from_secs(61)).await;
    }
    assert!(dialer.gets_nothing_for(QUIET).await);
    let over = world.lead(&campaign, &limited).await;
    assert_eq!((over.state(), over.attempts, over.not_before), (LeadState::IntentNoAnswer, 2, None));
    // A better lead moves the cursor before it.
    let better = world.add(&campaign, vec![pb::NewLead { score: Some(900), ..lead(1) }]).await.remove(0);
    let (first, _) = dialer.call_with(Outcome::IntentNo).await;
    assert_eq!(first.lead_id, better);
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.change(&campaign, "rules.retry_rules", busy_up_to(3)).await;
    let (again, _) = dialer.call_with(Outcome::Busy).await;
    assert_eq!((again.lead_id.as_str(), again.attempt_number), (limited.as_str(), 3));
    world.advance(Duration::from_secs(61)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.reset(&campaign).await;
    assert_eq!(dialer.call_with(Outcome::Busy).await.0.lead_id, limited);
    world.advance(Duration::from_secs(61)).await;
    assert_eq!(dialer.call().await.lead_id, limited, "a reset counts anew");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_outcome_between_starts_the_count_to_a_limit_anew() {
    let (world, _, limited, mut dialer) = one_lead(busy_up_to(2)).await;
    for outcome in [Outcome::Busy, Outcome::NoAnswer, Outcome::Busy] {
        dialer.call_with(outcome).await;
        world.advance(Duration::from_secs(2 * 3600 + 1)).await;
    }
    assert_eq!(dialer.call().await.lead_id, limited);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn do_not_call_is_a_refusal_and_suppresses_the_number_for_all_campaigns() {
    let (mut world, campaign, lead_id, mut dialer) = one_lead(rules()).await;
    let elsewhere = world.draft(rules()).await;
    let twin = world.add(&elsewhere, vec![lead(0)]).await.remove(0);
    let (lease, result) = dialer.call_with(Outcome::DoNotCall).await;
    assert_eq!(result.lead_state(), LeadState::IntentNo);
    assert!(world.attempt(&lease.lease_id).await.unwrap().counted);
    let refused = world.lead(&campaign, &lead_id).await;
    assert!(refused.do_not_call && refused.suppressed);
    assert!(world.lead(&elsewhere, &twin).await.suppressed);
    let request = pb::CheckSuppressionsRequest { numbers: vec![number(0), number(1)] };
    let checks = world.campaigns.check_suppressions(request).await.unwrap().into_inner().checks;
    assert_eq!(checks.iter().map(|check| check.suppressed).collect::<Vec<_>>(), [true, false]);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn do_not_call_in_the_only_campaign_of_a_number_holds_for_campaigns_to_come() {
    let (mut world, _, _, mut dialer) = one_lead(rules()).await;
    dialer.call_with(Outcome::DoNotCall).await;
    let later = world.campaign(rules()).await;
    let twin = world.add(&later, vec![lead(0)]).await.remove(0);
    assert!(world.lead(&later, &twin).await.suppressed);
    let mut anyone = world.dialer(&later, 1).await;
    assert!(anyone.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_callback_is_scheduled_counted_and_due_at_its_instant() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let at = world.now().await + TimeDelta::hours(5);
    let result = dialer.report_callback(&lease.lease_id, at).await;
    assert_eq!(result.lead_state(), LeadState::Scheduled);
    let promised = world.lead(&campaign, &lead).await;
    assert_eq!(promised.attempts, 1);
    let kept = instant(promised.callback_at.unwrap());
    assert!((at - kept).num_microseconds().unwrap() < 1, "{kept}");
    assert_eq!(promised.not_before, promised.callback_at);
    world.advance(Duration::from_secs(5 * 3600 + 1)).await;
    let again = dialer.call().await;
    assert_eq!((again.score, again.callback_at), (999, promised.callback_at));
    dialer.report(&again.lease_id, Outcome::NoAnswer).await;
    let rang = world.lead(&campaign, &lead).await;
    assert_eq!((rang.state(), rang.callback_at), (LeadState::IntentNoAnswer, None));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixth_callback_is_as_if_nobody_had_answered() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    for nth in 1..=6 {
        let lease = dialer.call().await;
        let at = world.now().await;
        let result = dialer.report_callback(&lease.lease_id, at).await;
        let wanted = if nth == 6 { LeadState::IntentNoAnswer } else { LeadState::Scheduled };
        assert_eq!(result.lead_state(), wanted, "callback {nth}");
    }
    let after = world.lead(&campaign, &lead).await;
    assert_eq!((after.callback_at, after.attempts), (None, 6));
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}

/// A lead whose promised callback is leased now.
async fn leased_callback(
    rules: pb::CampaignRules,
) -> (World, String, String, crate::support::dialer::Dialer, pb::Lease) {
    let (world, campaign, lead, mut dialer) = one_lead(rules).await;
    let lease = dialer.call().await;
    let at = world.now().await;
    dialer.report_callback(&lease.lease_id, at).await;
    let lease = dialer.lease().await;
    assert_eq!(lease.score, 999);
    dialer.slots(0).await;
    (world, campaign, lead, dialer, lease)
}

/// The promise is still there, and leased again in front.
async fn sticks(
    (mut world, campaign, lead, mut dialer, before): (World, String, String, crate::support::dialer::Dialer, pb::Lease),
) {
    let kept = world.lead_in(&campaign, &lead, LeadState::Scheduled).await;
    assert_eq!(kept.callback_at, before.callback_at);
    world.advance(Duration::from_secs(31)).await;
    dialer.slots(1).await;
    let again = dialer.call().await;
    assert_eq!((again.score, again.callback_at), (999, before.callback_at));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_sticks_when_its_lease_is_released() {
    let mut promised = leased_callback(rules()).await;
    let lease = promised.4.lease_id.clone();
    assert_eq!(promised.3.release(&lease).await, pb::ReleaseVerdict::Released);
    sticks(promised).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_sticks_when_its_lease_is_lost() {
    let mut promised = leased_callback(rules()).await;
    promised.3 = promised.0.dialer(&promised.1, 0).await;
    sticks(promised).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_sticks_when_the_provider_refuses() {
    let mut promised = leased_callback(rules()).await;
    let lease = promised.4.clone();
    promised.3.begin(&lease).await;
    let result = promised.3.report(&lease.lease_id, Outcome::NotPlaced).await;
    assert_eq!(result.lead_state(), LeadState::Scheduled);
    let (wait, _) = promised.0.waits(&promised.1, &promised.2).await;
    assert!((10..=30).contains(&wait.num_seconds()), "not before its back-off: {wait}");
    sticks(promised).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_sticks_when_the_campaign_is_reset() {
    let mut promised = leased_callback(rules()).await;
    promised.0.reset(&promised.1).await;
    sticks(promised).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_sticks_when_the_campaign_is_paused() {
    let mut promised = leased_callback(rules()).await;
    promised.0.pause(&promised.1).await;
    let kept = promised.0.lead(&promised.1, &promised.2).await;
    assert_eq!(kept.state(), LeadState::Scheduled);
    promised.0.run(&promised.1).await;
    sticks(promised).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_until_max_duration_is_unknown_counted_and_retried_after_an_hour() {
    let short = pb::CampaignRules { max_duration: seconds(60), ..rules() };
    let (mut world, campaign, lead, mut dialer) = one_lead(short).await;
    let lease = dialer.call().await;
    world.advance(Duration::from_secs(61)).await;
    assert_eq!(dialer.revoked(&lease.lease_id).await, pb::RevokeReason::MaxDuration);
    let after = world.lead(&campaign, &lead).await;
    assert_eq!((after.state(), after.attempts, after.last_outcome()), (LeadState::Failed, 1, Outcome::Unknown));
    let (wait, reason) = world.waits(&campaign, &lead).await;
    assert_eq!(reason, pb::WaitingReason::Retry);
    // The clock jumped: the delay may run from before it.
    assert!((3500..=3600).contains(&wait.num_seconds()), "{wait}");
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.advance(Duration::from_secs(3601)).await;
    assert_eq!(dialer.call().await.attempt_number, 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_is_never_retried_at_once_even_without_other_delays() {
    let quick = pb::CampaignRules { retry_rules: vec![retry(Outcome::Unknown, Duration::from_secs(40))], ..rules() };
    let (mut world, campaign, lead, mut dialer) = one_lead(quick).await;
    let lease = dialer.call().await;
    assert!(world.revoke(&lease.lease_id).await.begun);
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::Failed);
    world.advance(Duration::from_secs(41)).await;
    dialer.call().await;
    world.check().await;
    world.stop().await;
}
