//! Facts are never lost: verdicts, precedence, and reports that come late, twice, or from elsewhere.

use std::time::Duration;

use dialplane::pb::{self, LeadState, Outcome, ReportVerdict};

use crate::support::{
    World,
    asks::{QUIET, attempts, one_lead},
    lead, new_id, number, retry, rules, seconds,
};

/// The lead's state after reports of one attempt, each with its verdict.
async fn one_attempt(reports: &[(Outcome, ReportVerdict)], state: LeadState) {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    for (outcome, verdict) in reports {
        let result = dialer.report(&lease.lease_id, *outcome).await;
        assert_eq!(result.verdict(), *verdict, "{outcome:?}");
    }
    let after = world.lead(&campaign, &lead).await;
    assert_eq!((after.state(), after.attempts, after.attempts_total), (state, 1, 1));
    let attempt = world.attempt(&lease.lease_id).await.unwrap();
    let kept: Vec<(Outcome, ReportVerdict)> =
        attempt.reports.iter().map(|report| (report.outcome(), report.verdict())).collect();
    let told: Vec<_> = reports.iter().copied().filter(|(_, verdict)| *verdict != ReportVerdict::Duplicate).collect();
    if told.len() > 1 {
        assert_eq!(kept, told, "every report is in the history");
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_report_again_is_a_duplicate() {
    let reports = [(Outcome::IntentNo, ReportVerdict::Accepted), (Outcome::IntentNo, ReportVerdict::Duplicate)];
    one_attempt(&reports, LeadState::IntentNo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_outcome_supersedes() {
    let reports = [
        (Outcome::NoAnswer, ReportVerdict::Accepted),
        (Outcome::IntentNo, ReportVerdict::Superseded),
        (Outcome::IntentYes, ReportVerdict::Superseded),
    ];
    one_attempt(&reports, LeadState::IntentYes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_or_equal_outcome_is_outranked_and_kept_in_the_history() {
    let reports = [
        (Outcome::IntentYes, ReportVerdict::Accepted),
        (Outcome::IntentNo, ReportVerdict::Outranked),
        (Outcome::NoAnswer, ReportVerdict::Outranked),
    ];
    one_attempt(&reports, LeadState::IntentYes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_do_not_outrank_each_other() {
    let reports = [(Outcome::NoAnswer, ReportVerdict::Accepted), (Outcome::Failed, ReportVerdict::Outranked)];
    one_attempt(&reports, LeadState::IntentNoAnswer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_intent_yes_moves_intent_no_to_intent_yes() {
    let reports = [(Outcome::IntentNo, ReportVerdict::Accepted), (Outcome::IntentYes, ReportVerdict::Superseded)];
    one_attempt(&reports, LeadState::IntentYes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_never_was_is_not_found() {
    let (world, _, _, mut dialer) = one_lead(rules()).await;
    let result = dialer.report(&new_id(), Outcome::IntentYes).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::NotFound, LeadState::Unspecified));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_of_one_batch_are_answered_in_order_each_by_itself() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let (a, b) = (dialer.call().await, dialer.call().await);
    let of = |lease_id: &str, outcome: Outcome| pb::OutcomeReport {
        lease_id: lease_id.into(),
        outcome: outcome.into(),
        ..Default::default()
    };
    let reports = vec![
        of(&a.lease_id, Outcome::NoAnswer),
        of(&new_id(), Outcome::Busy),
        of(&b.lease_id, Outcome::IntentNo),
        of(&a.lease_id, Outcome::IntentYes),
        of(&b.lease_id, Outcome::IntentNo),
    ];
    let answer = dialer.client.report_outcomes(pb::ReportOutcomesRequest { reports }).await.unwrap().into_inner();
    let verdicts: Vec<_> = answer.results.iter().map(pb::ReportResult::verdict).collect();
    use ReportVerdict::{Accepted, Duplicate, NotFound, Superseded};
    assert_eq!(verdicts, [Accepted, NotFound, Accepted, Superseded, Duplicate]);
    assert_eq!(world.count(&campaign, LeadState::IntentYes).await, 1);
    assert_eq!(world.count(&campaign, LeadState::IntentNo).await, 1);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_process_that_knows_the_lease_may_report_on_any_replica() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let mut other = world.another_engine().await;
    let report = pb::OutcomeReport {
        lease_id: lease.lease_id.clone(),
        outcome: Outcome::IntentYes.into(),
        provider_call_id: "CA1".into(),
        note: "yes!".into(),
        talk_duration: seconds(42),
        ..Default::default()
    };
    let request = pb::ReportOutcomesRequest { reports: vec![report] };
    let result = other.scheduler.report_outcomes(request).await.unwrap().into_inner().results.remove(0);
    assert_eq!(result.verdict(), ReportVerdict::Accepted);
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::IntentYes);
    let attempt = world.attempt(&lease.lease_id).await.unwrap();
    assert_eq!((attempt.provider_call_id.as_str(), attempt.note.as_str()), ("CA1", "yes!"));
    assert_eq!(attempt.talk_duration, seconds(42));
    world.check().await;
    other.running.stop().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_without_a_permit_is_accepted_counted_and_flagged() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.lease().await;
    let result = dialer.report(&lease.lease_id, Outcome::IntentNo).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Accepted, LeadState::IntentNo));
    let attempt = world.attempt(&lease.lease_id).await.unwrap();
    assert!(attempt.counted && attempt.without_permit);
    assert_eq!(world.lead(&campaign, &lead).await.attempts, 1);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_reported_on_a_lease_that_was_released_is_applied() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.lease().await;
    dialer.slots(0).await;
    dialer.release(&lease.lease_id).await;
    let result = dialer.report(&lease.lease_id, Outcome::IntentYes).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Late, LeadState::IntentYes));
    dialer.slots(1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::IntentYes);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_came_back_counts_for_nothing_however_often_it_is_reported() {
    let (mut world, campaign, lead, mut dialer) = one_lead(rules()).await;
    let lease = dialer.lease().await;
    dialer.slots(0).await;
    dialer.release(&lease.lease_id).await;
    for (outcome, verdict) in
        [(Outcome::NoAnswer, ReportVerdict::Late), (Outcome::IntentYes, ReportVerdict::Superseded)]
    {
        assert_eq!(dialer.report(&lease.lease_id, outcome).await.verdict(), verdict);
    }
    assert_eq!(world.lead(&campaign, &lead).await.attempts_total, 0);
    assert_eq!(world.database.count("select count(*) from call_attempt where counted").await, 0);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_report_after_unknown_decides() {
    for (outcome, state) in [(Outcome::IntentYes, LeadState::IntentYes), (Outcome::NoAnswer, LeadState::IntentNoAnswer)]
    {
        let short = pb::CampaignRules { max_duration: seconds(60), ..rules() };
        let (mut world, campaign, lead, mut dialer) = one_lead(short).await;
        let lease = dialer.call().await;
        world.advance(Duration::from_secs(61)).await;
        dialer.revoked(&lease.lease_id).await;
        let result = dialer.report(&lease.lease_id, outcome).await;
        assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Late, state));
        let after = world.lead(&campaign, &lead).await;
        assert_eq!((after.state(), after.attempts), (state, 1));
        assert_eq!(world.attempt(&lease.lease_id).await.unwrap().outcome(), outcome);
        world.check().await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intent_yes_of_an_older_attempt_revokes_the_lease_of_the_newer() {
    let quick = pb::CampaignRules { retry_rules: vec![retry(Outcome::NoAnswer, Duration::ZERO)], ..rules() };
    let (mut world, campaign, lead, mut dialer) = one_lead(quick).await;
    let (first, _) = dialer.call_with(Outcome::NoAnswer).await;
    let second = dialer.lease().await;
    let result = dialer.report(&first.lease_id, Outcome::IntentYes).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Superseded, LeadState::IntentYes));
    assert_eq!(dialer.revoked(&second.lease_id).await, pb::RevokeReason::LeadChanged);
    assert_eq!(dialer.begin(&second).await.reason(), pb::RefusalReason::LeaseLost);
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::IntentYes);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fact_on_a_lead_that_is_begun_now_waits_for_the_end_of_the_call() {
    let quick = pb::CampaignRules { retry_rules: vec![retry(Outcome::NoAnswer, Duration::ZERO)], ..rules() };
    let (mut world, campaign, lead, mut dialer) = one_lead(quick).await;
    let (first, _) = dialer.call_with(Outcome::NoAnswer).await;
    let second = dialer.call().await;
    let result = dialer.report(&first.lease_id, Outcome::IntentYes).await;
    assert_eq!(result.lead_state(), LeadState::DialingIntent);
    let result = dialer.report(&second.lease_id, Outcome::IntentNo).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Accepted, LeadState::IntentYes));
    let after = world.lead(&campaign, &lead).await;
    assert_eq!((after.state(), after.attempts_total), (LeadState::IntentYes, 2));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_no_answer_does_not_move_a_lead_that_has_spoken_since() {
    let quick = pb::CampaignRules { retry_rules: vec![retry(Outcome::Unknown, Duration::from_secs(1))], ..rules() };
    let (mut world, campaign, lead, mut dialer) = one_lead(quick).await;
    let first = dialer.call().await;
    world.revoke(&first.lease_id).await;
    world.advance(Duration::from_secs(2)).await;
    dialer.call_with(Outcome::IntentNo).await;
    let result = dialer.report(&first.lease_id, Outcome::NoAnswer).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Late, LeadState::IntentNo));
    assert_eq!(world.lead(&campaign, &lead).await.attempts_total, 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_conversation_decides_in_whatever_order_reports_come() {
    let quick = pb::CampaignRules { retry_rules: vec![retry(Outcome::Unknown, Duration::from_secs(1))], ..rules() };
    let (mut world, campaign, lead, mut dialer) = one_lead(quick).await;
    let first = dialer.call().await;
    world.revoke(&first.lease_id).await;
    world.advance(Duration::from_secs(2)).await;
    dialer.call_with(Outcome::IntentNo).await;
    let at = world.now().await + Duration::from_secs(3600);
    let result = dialer.report_callback(&first.lease_id, at).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Late, LeadState::IntentNo));
    assert_eq!(world.lead(&campaign, &lead).await.callback_at, None);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_do_not_call_still_suppresses_the_number_and_revokes_leases_elsewhere() {
    let (mut world, campaign, lead_id, mut dialer) = one_lead(attempts(1)).await;
    let (first, _) = dialer.call_with(Outcome::NoAnswer).await;
    let elsewhere = world.campaign(rules()).await;
    let twin = world.add(&elsewhere, vec![lead(0)]).await.remove(0);
    let mut other = world.dialer(&elsewhere, 1).await;
    let lease = other.lease().await;
    let result = dialer.report(&first.lease_id, Outcome::DoNotCall).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Superseded, LeadState::IntentNo));
    assert_eq!(other.revoked(&lease.lease_id).await, pb::RevokeReason::Suppressed);
    assert_eq!(other.begin(&lease).await.verdict(), pb::BeginVerdict::Refused);
    assert!(other.gets_nothing_for(QUIET).await);
    assert!(world.lead(&campaign, &lead_id).await.do_not_call);
    let twin = world.lead(&elsewhere, &twin).await;
    assert!(twin.suppressed && !twin.do_not_call);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outranked_do_not_call_adds_its_flag_to_an_intent_yes() {
    let (mut world, campaign, lead_id, mut dialer) = one_lead(rules()).await;
    let (lease, _) = dialer.call_with(Outcome::IntentYes).await;
    let result = dialer.report(&lease.lease_id, Outcome::DoNotCall).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Outranked, LeadState::IntentYes));
    let after = world.lead(&campaign, &lead_id).await;
    assert!(after.do_not_call && after.suppressed);
    assert_eq!(after.state(), LeadState::IntentYes);
    let request = pb::CheckSuppressionsRequest { numbers: vec![number(0)] };
    assert!(world.campaigns.check_suppressions(request).await.unwrap().into_inner().checks[0].suppressed);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumed_lead_is_final_but_the_fact_is_kept() {
    let (mut world, campaign, lead_id, mut dialer) = one_lead(rules()).await;
    let (lease, _) = dialer.call_with(Outcome::NoAnswer).await;
    assert!(world.consume(&campaign, &[&lead_id]).await[0].consumed);
    let result = dialer.report(&lease.lease_id, Outcome::IntentYes).await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Superseded, LeadState::Consumed));
    assert_eq!(world.attempt(&lease.lease_id).await.unwrap().outcome(), Outcome::IntentYes);
    world.check().await;
    world.stop().await;
}
