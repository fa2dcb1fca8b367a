//! What nobody understood: held for a person, or retried, as the campaign wants.

use std::time::Duration;

use chrono::TimeDelta;
use dialplane::pb::{self, Condition, LeadState, Outcome, ReportVerdict, UnclearCallback, WaitingReason};

use crate::support::{
    World,
    asks::{QUIET, one_lead},
    dialer::Dialer,
    number, rules, timestamp,
};

/// Nobody can say when that is.
const UNCLEAR: &str = "sometime when the kids are out maybe";

async fn held(world: &mut World, campaign: &str, lead: &str) {
    let lead = world.lead(campaign, lead).await;
    let shown = (lead.state(), lead.callback_at, lead.not_before, lead.waiting_reason());
    assert_eq!(shown, (LeadState::Scheduled, None, None, WaitingReason::Held));
}

/// A world with one lead whose promise is held.
async fn one_held() -> (World, String, String, Dialer) {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let result = dialer.report_phrase(&lease.lease_id, UNCLEAR).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Accepted, LeadState::Scheduled));
    held(&mut world, &campaign, &lead).await;
    (world, campaign, lead, dialer)
}

async fn listed(world: &mut World, campaign: &str) -> Vec<String> {
    let request = pb::ListLeadsRequest { campaign_id: campaign.into(), held: true, ..Default::default() };
    let page = world.campaigns.list_leads(request).await.unwrap().into_inner();
    page.leads.into_iter().map(|lead| lead.lead_id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phrase_not_understood_is_accepted_frees_its_slot_and_is_held_for_ever() {
    let (mut world, campaign, lead, mut dialer) = one_held().await;
    let other = world.add(&campaign, vec![crate::support::lead(1)]).await.remove(0);
    assert_eq!(dialer.call_with(Outcome::IntentNo).await.0.lead_id, other, "the slot is free");
    assert_eq!(world.status().await.active_calls, 0);
    world.advance(Duration::from_secs(400 * 24 * 3600)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    held(&mut world, &campaign, &lead).await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_promise_outlives_a_reset_a_pause_a_change_and_a_suppression_that_is_lifted() {
    let (mut world, campaign, lead, mut dialer) = one_held().await;
    world.reset(&campaign).await;
    held(&mut world, &campaign, &lead).await;
    world.pause(&campaign).await;
    world.run(&campaign).await;
    world.change(&campaign, "rules.max_attempts", pb::CampaignRules { max_attempts: Some(9), ..rules() }).await;
    let request = pb::UpdateLeadRequest {
        campaign_id: campaign.clone(),
        lead_id: lead.clone(),
        score: 900,
        time_zone: "Asia/Kolkata".into(),
        update_mask: Some(prost_types::FieldMask { paths: vec!["score".into(), "time_zone".into()] }),
        ..Default::default()
    };
    world.campaigns.update_lead(request).await.unwrap();
    held(&mut world, &campaign, &lead).await;
    world.suppress(&[number(0)]).await;
    world.check().await;
    let request =
        pb::RemoveSuppressionsRequest { numbers: vec![number(0)], reason: "test".into(), ..Default::default() };
    world.campaigns.remove_suppressions(request).await.unwrap();
    held(&mut world, &campaign, &lead).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_promises_are_listed_and_resolved_by_schedule_cancel_or_consume() {
    let (mut world, campaign, _, mut dialer) = one_lead(rules()).await;
    world.add(&campaign, (1..5).map(crate::support::lead).collect()).await;
    let mut leads = Vec::new();
    for phrase in [UNCLEAR, UNCLEAR, UNCLEAR, "in two hours"] {
        let lease = dialer.call().await;
        dialer.report_phrase(&lease.lease_id, phrase).await;
        leads.push(lease.lead_id);
    }
    dialer.call_with(Outcome::IntentNo).await;
    let mut all = listed(&mut world, &campaign).await;
    all.sort_unstable();
    let mut expected = leads[..3].to_vec();
    expected.sort_unstable();
    assert_eq!(all, expected);
    let promised = world.promise(&campaign, &leads[0], Duration::from_secs(3600)).await;
    assert_eq!((promised.state(), promised.waiting_reason()), (LeadState::Scheduled, WaitingReason::Callback));
    assert_eq!(promised.not_before, promised.callback_at);
    let request =
        pb::CancelCallbackRequest { campaign_id: campaign.clone(), lead_id: leads[1].clone(), ..Default::default() };
    let canceled = world.campaigns.cancel_callback(request).await.unwrap().into_inner().lead.unwrap();
    assert_eq!(canceled.state(), LeadState::Eligible);
    assert!(world.consume(&campaign, &[leads[2].as_str()]).await[0].consumed);
    assert!(listed(&mut world, &campaign).await.is_empty());
    assert_eq!(dialer.call().await.lead_id, leads[1]);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_promise_is_explained_without_an_instant() {
    let (mut world, campaign, lead, _dialer) = one_held().await;
    for later in [TimeDelta::zero(), TimeDelta::days(100)] {
        let at = timestamp(world.now().await + later);
        let request = pb::ExplainLeadRequest { campaign_id: campaign.clone(), lead_id: lead.clone(), at };
        let told = world.campaigns.explain_lead(request).await.unwrap().into_inner();
        let failed: Vec<_> = told.failed.iter().map(|one| (one.condition(), one.next_change_at)).collect();
        assert_eq!((failed, told.first_callable_at), (vec![(Condition::CallbackDue, None)], None));
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_may_have_what_is_unclear_retried_like_voicemail() {
    let retried = pb::CampaignRules { unclear_callback: UnclearCallback::Retry.into(), ..rules() };
    let (mut world, campaign, lead, mut dialer) = one_lead(retried).await;
    let lease = dialer.call().await;
    let result = dialer.report_phrase(&lease.lease_id, UNCLEAR).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Accepted, LeadState::IntentNoAnswer));
    let (wait, reason) = world.waits(&campaign, &lead).await;
    assert_eq!(reason, WaitingReason::Retry);
    assert!((4 * 3600 - 20..=4 * 3600).contains(&wait.num_seconds()), "{wait}");
    assert!(listed(&mut world, &campaign).await.is_empty());
    let attempt = world.attempt(&lease.lease_id).await.unwrap();
    assert_eq!((attempt.outcome(), attempt.callback_phrase.as_str()), (Outcome::CallbackRequested, UNCLEAR));
    world.advance(Duration::from_secs(4 * 3600 + 1)).await;
    assert_eq!(dialer.call().await.attempt_number, 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sixth_callback_is_as_no_answer_held_or_not() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    for _ in 0..5 {
        let lease = dialer.call().await;
        let at = world.now().await;
        assert_eq!(dialer.report_callback(&lease.lease_id, at).await.lead_state(), LeadState::Scheduled);
    }
    let lease = dialer.call().await;
    let result = dialer.report_phrase(&lease.lease_id, UNCLEAR).await;
    assert_eq!(result.lead_state(), LeadState::IntentNoAnswer);
    assert!(listed(&mut world, &campaign).await.is_empty());
    assert_eq!(world.lead(&campaign, &lead).await.callback_at, None);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclear_phrase_that_comes_late_and_twice_is_held_once() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    world.revoke(&lease.lease_id).await;
    assert_eq!(dialer.report_phrase(&lease.lease_id, UNCLEAR).await.verdict(), ReportVerdict::Late);
    assert_eq!(dialer.report_phrase(&lease.lease_id, UNCLEAR).await.verdict(), ReportVerdict::Duplicate);
    held(&mut world, &campaign, &lead).await;
    let yes = dialer.report(&lease.lease_id, Outcome::IntentYes).await;
    assert_eq!((yes.verdict(), yes.lead_state()), (ReportVerdict::Superseded, LeadState::IntentYes));
    world.check().await;
    world.stop().await;
}
