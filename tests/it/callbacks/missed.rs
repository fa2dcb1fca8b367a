//! Promises that could not be called in time.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::pb::{self, Condition, LeadState, MissedCallback, Outcome};

use crate::support::{
    World,
    asks::{QUIET, instant, one_lead},
    dialer::Dialer,
    eventually, rules, seconds, timestamp,
};

fn missed(rule: MissedCallback) -> pb::CampaignRules {
    pb::CampaignRules { missed_callback: rule.into(), ..rules() }
}

/// A lead that asked to be called in an hour (in time for a quarter of an hour), and was not for `late` minutes after.
async fn late_by(rule: MissedCallback, late: u64) -> (World, String, String, Dialer, DateTime<Utc>) {
    let (mut world, campaign, lead, mut dialer) = one_lead(missed(rule)).await;
    let lease = dialer.call().await;
    dialer.slots(0).await;
    dialer.report_phrase(&lease.lease_id, "in an hour").await;
    let promised = instant(world.lead(&campaign, &lead).await.callback_at.unwrap());
    world.advance(Duration::from_secs((60 + late) * 60)).await;
    dialer.slots(1).await;
    (world, campaign, lead, dialer, promised)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_callback_is_called_late_by_default() {
    let (mut world, campaign, lead, mut dialer, promised) = late_by(MissedCallback::CallLate, 300).await;
    let again = dialer.call().await;
    assert_eq!((again.lead_id, again.score), (lead.clone(), 999));
    assert_eq!(instant(world.lead(&campaign, &lead).await.callback_at.unwrap()), promised);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn within_its_tolerance_no_callback_is_missed() {
    for rule in [MissedCallback::NextDay, MissedCallback::Release] {
        let (world, _, lead, mut dialer, _) = late_by(rule, 10).await;
        let again = dialer.call().await;
        assert_eq!((again.lead_id, again.score), (lead, 999));
        world.check().await;
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_callback_moves_to_the_next_day_and_is_never_called_in_between() {
    let (world, campaign, lead, mut dialer, promised) = late_by(MissedCallback::NextDay, 16).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    let moved = eventually("it is moved", || {
        let (mut client, campaign_id, lead_id) = (world.campaigns.clone(), campaign.clone(), lead.clone());
        async move {
            let request = pb::GetLeadRequest { campaign_id, lead_id };
            let lead = client.get_lead(request).await.unwrap().into_inner().lead.unwrap();
            (instant(lead.callback_at.unwrap()) != promised).then_some(lead)
        }
    })
    .await;
    assert_eq!(moved.state(), LeadState::Scheduled);
    assert_eq!(instant(moved.callback_at.unwrap()), promised + TimeDelta::days(1));
    assert_eq!((moved.not_before, moved.callback_latest), (moved.callback_at, None));
    world.check().await;
    world.advance(Duration::from_secs(24 * 3600 - 15 * 60)).await;
    let again = dialer.call().await;
    assert_eq!((again.score, again.callback_at), (999, moved.callback_at));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_callback_may_be_released_and_is_then_a_lead_like_any_other() {
    let (mut world, campaign, lead, mut dialer, _) = late_by(MissedCallback::Release, 16).await;
    let again = dialer.call().await;
    assert_eq!((again.lead_id.as_str(), again.score, again.callback_at), (lead.as_str(), 500, None));
    dialer.report(&again.lease_id, Outcome::NoAnswer).await;
    let after = world.lead(&campaign, &lead).await;
    assert_eq!((after.state(), after.attempts, after.callback_at), (LeadState::IntentNoAnswer, 2, None));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_callback_without_attempts_left_is_called_no_more() {
    let spent = pb::CampaignRules { max_attempts: Some(1), ..missed(MissedCallback::Release) };
    let (mut world, campaign, lead, mut dialer) = one_lead(spent).await;
    let lease = dialer.call().await;
    dialer.slots(0).await;
    dialer.report_phrase(&lease.lease_id, "in an hour").await;
    world.advance(Duration::from_secs(80 * 60)).await;
    dialer.slots(1).await;
    world.lead_in(&campaign, &lead, LeadState::Eligible).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missed_callback_is_explained_by_where_it_goes() {
    let (mut world, campaign, lead, mut dialer) = one_lead(missed(MissedCallback::NextDay)).await;
    let lease = dialer.call().await;
    dialer.report_phrase(&lease.lease_id, "in an hour").await;
    let promised = instant(world.lead(&campaign, &lead).await.callback_at.unwrap());
    let mut explain = async |at: DateTime<Utc>| {
        let request =
            pb::ExplainLeadRequest { campaign_id: campaign.clone(), lead_id: lead.clone(), at: timestamp(at) };
        world.campaigns.explain_lead(request).await.unwrap().into_inner()
    };
    assert!(explain(promised + TimeDelta::minutes(15)).await.callable);
    let late = explain(promised + TimeDelta::minutes(16)).await;
    assert_eq!(late.failed[0].condition(), Condition::CallbackDue);
    assert_eq!(late.failed[0].next_change_at.map(instant), Some(promised + TimeDelta::days(1)));
    assert_eq!(late.first_callable_at, late.failed[0].next_change_at);
    assert!(explain(promised + TimeDelta::days(1)).await.callable);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_replicas_move_a_missed_callback_once() {
    let mut world = World::start().await;
    let other = world.another_engine().await;
    let campaign = world.campaign(missed(MissedCallback::NextDay)).await;
    let mut promised = HashMap::new();
    for lead in world.add_some(&campaign, 30).await {
        let row = world.promise(&campaign, &lead, Duration::from_secs(600)).await;
        promised.insert(lead, instant(row.callback_at.unwrap()));
    }
    world.advance(Duration::from_secs(3600)).await;
    let still = "select count(*) from lead where callback_at < engine_now()";
    eventually("all are moved", || async { (world.database.count(still).await == 0).then_some(()) }).await;
    for (lead, at) in promised {
        let moved = world.lead(&campaign, &lead).await;
        assert_eq!(instant(moved.callback_at.unwrap()), at + TimeDelta::days(1));
    }
    world.check().await;
    other.running.stop().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn grants_and_the_sweep_share_missed_promises_and_each_lead_is_called_once() {
    let mut world = World::start().await;
    let other = world.another_engine().await;
    let short = pb::CampaignRules {
        callback_tolerance: seconds(600),
        max_concurrency: Some(8),
        ..missed(MissedCallback::Release)
    };
    let campaign = world.campaign(short).await;
    let leads = world.add_some(&campaign, 60).await;
    let due = world.now().await + TimeDelta::hours(1);
    for lead in &leads {
        world.schedule(&campaign, lead, due).await.unwrap();
    }
    let mut here = world.dialer(&campaign, 10).await;
    let mut there = Dialer::open(other.scheduler.clone(), &[&campaign], 10).await;
    world.advance(Duration::from_secs(3600)).await;
    let (mut calls, mut promised) = (0, 0);
    while calls < leads.len() {
        let lease = tokio::select! { lease = here.lease() => lease, lease = there.lease() => lease };
        let dialer = if calls % 2 == 0 { &mut here } else { &mut there };
        promised += usize::from(lease.callback_at.is_some());
        if calls == 10 {
            // All the rest is missed from now on, while slots become free.
            world.advance(Duration::from_secs(601)).await;
        }
        dialer.report(&lease.lease_id, Outcome::IntentNo).await;
        calls += 1;
    }
    assert!((11..60).contains(&promised), "{promised} of {calls} were called in time");
    assert!(here.gets_nothing_for(QUIET).await);
    for lead in &leads {
        let after = world.lead(&campaign, lead).await;
        assert_eq!((after.state(), after.callback_at), (LeadState::IntentNo, None));
        assert_eq!(world.attempts(&campaign, lead).await.len(), 1);
    }
    world.check().await;
    drop((here, there));
    other.running.stop().await.unwrap();
    world.stop().await;
}
