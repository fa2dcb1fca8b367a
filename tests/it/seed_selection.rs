//! The four selection criteria of the second seed, and the campaign's own state: who is leased, who is not.

use std::time::Duration;

use dialplane::pb::{self, LeadState, Outcome};

use crate::support::{
    World,
    asks::{QUIET, attempts, one_lead},
    hours, lead, lead_nowhere, number, retry, rules, until,
};

#[tokio::test(flavor = "multi_thread")]
async fn only_pending_and_not_reached_leads_are_selected() {
    let mut world = World::start().await;
    let long = pb::CampaignRules { max_duration: crate::support::seconds(86_400), ..rules() };
    let campaign = world.campaign(long).await;
    let leads = world.add_some(&campaign, 6).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    dialer.call_with(Outcome::IntentYes).await;
    dialer.call_with(Outcome::IntentNo).await;
    let (missed, _) = dialer.call_with(Outcome::NoAnswer).await;
    let calling = dialer.call().await;
    let rest: Vec<&str> = leads[4..].iter().map(String::as_str).collect();
    assert!(world.consume(&campaign, &rest[..1]).await[0].consumed);
    world.promise(&campaign, rest[1], Duration::from_secs(100 * 3600)).await;
    dialer.slots(10).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.advance(Duration::from_secs(2 * 3600)).await;
    assert_eq!(dialer.lease().await.lead_id, missed.lead_id);
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_ne!(calling.lead_id, missed.lead_id);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_made_while_they_are_under_the_maximum() {
    let quick = pb::CampaignRules { retry_rules: vec![retry(Outcome::NoAnswer, Duration::ZERO)], ..attempts(3) };
    let (mut world, campaign, lead, mut dialer) = one_lead(quick).await;
    for attempt in 1..=3 {
        let (lease, _) = dialer.call_with(Outcome::NoAnswer).await;
        assert_eq!(lease.attempt_number, attempt);
    }
    assert!(dialer.gets_nothing_for(QUIET).await);
    let exhausted = world.lead(&campaign, &lead).await;
    assert_eq!((exhausted.state(), exhausted.attempts), (LeadState::IntentNoAnswer, 3));
    let more = pb::CampaignRules { max_attempts: Some(4), ..rules() };
    world.change(&campaign, "rules.max_attempts", more).await;
    assert_eq!(dialer.call().await.attempt_number, 4);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promised_callback_is_exempt_from_the_maximum_alone() {
    let (mut world, campaign, _, mut dialer) = one_lead(attempts(1)).await;
    let lease = dialer.call().await;
    let at = world.now().await + Duration::from_secs(20);
    dialer.report_callback(&lease.lease_id, at).await;
    world.advance(Duration::from_secs(21)).await;
    let (again, _) = dialer.call_with(Outcome::NoAnswer).await;
    assert_eq!((again.score, again.attempt_number), (999, 2));
    world.advance(Duration::from_secs(3 * 3600)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.count(&campaign, LeadState::IntentNoAnswer).await, 1);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn do_not_call_leads_are_never_selected() {
    let (mut world, campaign, lead_id, mut dialer) = one_lead(rules()).await;
    dialer.call_with(Outcome::DoNotCall).await;
    let flagged = world.lead(&campaign, &lead_id).await;
    assert!(flagged.do_not_call && flagged.suppressed);
    let other = world.campaign(rules()).await;
    world.add(&other, vec![lead(0)]).await;
    let mut everywhere = world.dialer(&other, 1).await;
    assert!(everywhere.gets_nothing_for(QUIET).await);
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suppressed_numbers_are_not_selected_until_the_suppression_is_removed() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.suppress(&[number(0)]).await;
    let leads = world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    assert_eq!(dialer.lease().await.lead_id, leads[1]);
    assert!(dialer.gets_nothing_for(QUIET).await);
    let request =
        pb::RemoveSuppressionsRequest { numbers: vec![number(0)], reason: "asked".into(), ..Default::default() };
    let removed = world.campaigns.remove_suppressions(request).await.unwrap().into_inner();
    assert_eq!((removed.removed, removed.leads), (1, 1));
    assert_eq!(dialer.lease().await.lead_id, leads[0]);
    world.check().await;
    world.stop().await;
}

/// Rules that are open around a clock time, and closed now.
async fn closed_now(world: &mut World) -> pb::CampaignRules {
    let now = world.now().await;
    let clock = |minutes: i64| (now + chrono::TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    pb::CampaignRules { calling_hours: Some(hours(&clock(120), &until(&clock(180)))), ..rules() }
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_the_window_nobody_is_selected_and_inside_it_everybody() {
    let mut world = World::start().await;
    let closed = closed_now(&mut world).await;
    let campaign = world.campaign(closed).await;
    let leads = world.add_some(&campaign, 1).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    let waiting = world.lead(&campaign, &leads[0]).await;
    assert_eq!(waiting.state(), LeadState::Eligible);
    assert_eq!(waiting.waiting_reason(), pb::WaitingReason::CallingHours);
    let (wait, _) = world.waits(&campaign, &leads[0]).await;
    assert!((118 * 60..=120 * 60).contains(&wait.num_seconds()), "{wait}");
    assert_eq!(world.stats(&campaign).await.waiting_for_calling_hours, 1);
    world.advance(Duration::from_secs(125 * 60)).await;
    let lease = dialer.lease().await;
    assert_eq!(lease.lead_id, leads[0]);
    let left = crate::support::asks::instant(lease.not_after.unwrap()) - world.now().await;
    assert!((50 * 60..=55 * 60).contains(&left.num_seconds()), "{left}");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_permit_is_given_when_the_hours_are_over() {
    let mut world = World::start().await;
    let now = world.now().await;
    let clock = |minutes: i64| (now + chrono::TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    let mut ending = rules();
    ending.calling_hours = Some(hours(&clock(-60), &until(&clock(5))));
    ending.begin_within = crate::support::seconds(600);
    let campaign = world.campaign(ending).await;
    let leads = world.add_some(&campaign, 1).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    world.advance(Duration::from_secs(301)).await;
    let refused = dialer.begin(&lease).await;
    assert_eq!(refused.verdict(), pb::BeginVerdict::Refused);
    assert_eq!(refused.reason(), pb::RefusalReason::CallingHours);
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert!(world.attempts(&campaign, &leads[0]).await.is_empty());
    let waiting = world.lead(&campaign, &leads[0]).await;
    assert_eq!((waiting.state(), waiting.attempts), (LeadState::Eligible, 0));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_window_is_read_in_the_leads_own_zone() {
    let mut world = World::start().await;
    let now = world.now().await;
    let clock = |minutes: i64| (now + chrono::TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    let mut narrow = rules();
    narrow.calling_hours = Some(hours(&clock(-60), &until(&clock(60))));
    let campaign = world.campaign(narrow).await;
    let zoned = |n: usize, zone: &str| pb::NewLead { time_zone: zone.into(), ..lead(n) };
    let leads = world.add(&campaign, vec![zoned(0, "Asia/Tokyo"), zoned(1, "Africa/Abidjan")]).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    assert_eq!(dialer.lease().await.lead_id, leads[1], "Abidjan keeps UTC");
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &leads[0]).await.waiting_reason(), pb::WaitingReason::CallingHours);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_without_any_zone_is_closed_and_says_so() {
    let mut world = World::start().await;
    let mut zoneless = rules();
    zoneless.default_time_zone.clear();
    let campaign = world.campaign(zoneless).await;
    let leads = world.add(&campaign, vec![lead_nowhere(0)]).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    let closed = world.lead(&campaign, &leads[0]).await;
    assert_eq!((closed.state(), closed.waiting_reason()), (LeadState::Eligible, pb::WaitingReason::NoTimeZone));
    assert_eq!(world.stats(&campaign).await.waiting_for_time_zone, 1);
    world.change(&campaign, "rules.default_time_zone", rules()).await;
    assert_eq!(dialer.lease().await.lead_id, leads[0]);
    assert_eq!(world.stats(&campaign).await.waiting_for_time_zone, 0);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_running_campaigns_are_called() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.run(&campaign).await;
    dialer.call_with(Outcome::IntentNo).await;
    // What was on its way to this dialer goes back; the next one hears of nothing.
    drop(dialer);
    world.pause(&campaign).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.run(&campaign).await;
    dialer.call_with(Outcome::IntentNo).await;
    world.check().await;
    world.stop().await;
}
