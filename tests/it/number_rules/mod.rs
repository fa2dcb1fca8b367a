//! Number rules through gRPC: what they forbid, until when, and that nobody waits longer.

mod model;
mod oracle;
mod random;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::pb::{self, LeadState, Outcome, WaitingReason};
use tonic::Code;

use crate::support::{
    World,
    asks::{QUIET, instant, refusal},
    dialer::Dialer,
    eventually, lead, retry, rules, seconds, timestamp,
};
use model::Rules;

const HOUR: Duration = Duration::from_secs(3600);

fn hours(hours: i64) -> TimeDelta {
    TimeDelta::hours(hours)
}

/// Retries at once, so that nothing but number rules holds anybody up.
fn eager() -> pb::CampaignRules {
    let outcomes =
        [Outcome::NoAnswer, Outcome::Voicemail, Outcome::Busy, Outcome::Abandoned, Outcome::Failed, Outcome::NotPlaced];
    pb::CampaignRules {
        max_attempts: Some(100),
        retry_rules: outcomes
            .into_iter()
            .map(|outcome| retry(outcome, Duration::ZERO))
            .chain([retry(Outcome::Unknown, Duration::from_secs(1))])
            .collect(),
        begin_within: seconds(600),
        max_duration: seconds(60),
        ..rules()
    }
}

async fn hold(world: &mut World, rules: &Rules) {
    world.set(pb::SchedulerSettings { number_rules: Some(rules.wire()), ..Default::default() }).await;
}

/// Waits until a lead waits for a number rule; answers until when.
async fn held_until(world: &World, campaign_id: &str, lead_id: &str) -> DateTime<Utc> {
    let client = world.campaigns.clone();
    eventually("the lead waits for a number rule", || {
        let (mut client, campaign_id, lead_id) = (client.clone(), campaign_id.to_owned(), lead_id.to_owned());
        async move {
            let lead = client.get_lead(pb::GetLeadRequest { campaign_id, lead_id }).await.unwrap().into_inner().lead;
            let lead = lead.unwrap();
            (lead.waiting_reason() == WaitingReason::NumberRule).then(|| instant(lead.not_before.unwrap()))
        }
    })
    .await
}

/// Calls the next lead; answers the lease and when the call began.
async fn call(dialer: &mut Dialer, outcome: Outcome) -> (pb::Lease, DateTime<Utc>) {
    let lease = dialer.lease().await;
    let begun = dialer.begin(&lease).await;
    assert_eq!(begun.verdict(), pb::BeginVerdict::Permitted, "{begun:?}");
    dialer.report(&lease.lease_id, outcome).await;
    (lease, instant(begun.begun_at.unwrap()))
}

/// Two campaigns with the same number, and a dialer on both.
async fn twins(rules: [pb::CampaignRules; 2]) -> (World, [String; 2], [String; 2], Dialer) {
    let mut world = World::start().await;
    let mut campaigns = Vec::new();
    let mut leads = Vec::new();
    for rules in rules {
        let campaign = world.campaign(rules).await;
        leads.push(world.add_some(&campaign, 1).await.remove(0));
        campaigns.push(campaign);
    }
    let dialer = Dialer::open(world.scheduler.clone(), &[], 5).await;
    (world, campaigns.try_into().unwrap(), leads.try_into().unwrap(), dialer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_counts_the_calls_of_all_campaigns_and_opens_at_its_exact_instant() {
    let mut world = World::start().await;
    hold(&mut world, &Rules { caps: vec![(2, hours(24))], ..Rules::default() }).await;
    let one = world.campaign(eager()).await;
    let other = world.campaign(eager()).await;
    let first = world.add_some(&one, 1).await.remove(0);
    let mut dialer = Dialer::open(world.scheduler.clone(), &[], 1).await;
    let (_, began) = call(&mut dialer, Outcome::NoAnswer).await;
    let second = world.add_some(&other, 1).await.remove(0);
    call(&mut dialer, Outcome::Busy).await;
    for (campaign, lead) in [(&one, &first), (&other, &second)] {
        assert_eq!(held_until(&world, campaign, lead).await, began + hours(24));
    }
    world.advance(HOUR * 24 - Duration::from_secs(60)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.advance(Duration::from_secs(61)).await;
    dialer.lease().await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_never_placed_counts_for_nothing_also_when_that_is_told_late() {
    let mut world = World::start().await;
    hold(&mut world, &Rules { gap: Some(hours(20)), ..Rules::default() }).await;
    let campaign = world.campaign(eager()).await;
    let twin = world.campaign(eager()).await;
    let lead_id = world.add_some(&campaign, 1).await.remove(0);
    let mut dialer = Dialer::open(world.scheduler.clone(), &[], 1).await;
    call(&mut dialer, Outcome::NotPlaced).await;
    // Silence counts ...
    let silent = dialer.lease().await;
    let began = instant(dialer.begin(&silent).await.begun_at.unwrap());
    world.advance(Duration::from_secs(70)).await;
    world.lead_in(&campaign, &lead_id, LeadState::Failed).await;
    world.advance(Duration::from_secs(2)).await;
    assert_eq!(held_until(&world, &campaign, &lead_id).await, began + hours(20));
    let other = world.add_some(&twin, 1).await.remove(0);
    assert_eq!(held_until(&world, &twin, &other).await, began + hours(20));
    // ... until somebody says that nothing rang: then both campaigns may call at once.
    dialer.report(&silent.lease_id, Outcome::NotPlaced).await;
    let lease = dialer.lease().await;
    assert_eq!(dialer.begin(&lease).await.verdict(), pb::BeginVerdict::Permitted);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_to_a_ring_counts_again_at_the_permit() {
    let (mut world, campaigns, leads, mut dialer) = twins([eager(), eager()]).await;
    hold(&mut world, &Rules { after_conversation: Some(hours(100)), ..Rules::default() }).await;
    let (first, began) = call(&mut dialer, Outcome::NotPlaced).await;
    world.advance(Duration::from_secs(11)).await;
    // The one of the other campaign may have been granted: whoever comes, its number is free.
    let mut lease = dialer.lease().await;
    if lease.campaign_id == first.campaign_id {
        dialer.report(&lease.lease_id, Outcome::InvalidNumber).await;
        world.advance(Duration::from_secs(11)).await;
        lease = dialer.lease().await;
    }
    let corrected = dialer
        .report_all(pb::OutcomeReport {
            lease_id: first.lease_id.clone(),
            outcome: Outcome::IntentNo.into(),
            occurred_at: timestamp(began),
            ..Default::default()
        })
        .await;
    assert_eq!(corrected.verdict(), pb::ReportVerdict::Superseded);
    let refused = dialer.begin(&lease).await;
    assert_eq!((refused.verdict(), refused.reason()), (pb::BeginVerdict::Refused, pb::RefusalReason::NumberRule));
    let place = campaigns.iter().position(|id| *id == lease.campaign_id).unwrap();
    assert_eq!(held_until(&world, &campaigns[place], &leads[place]).await, began + hours(100));
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cool_down_follows_its_outcome_in_every_campaign() {
    let (mut world, campaigns, leads, mut dialer) = twins([eager(), eager()]).await;
    hold(&mut world, &Rules { cool_downs: vec![(Outcome::Abandoned, hours(72))], ..Rules::default() }).await;
    let lease = dialer.call().await;
    let now = world.now().await;
    let report = pb::OutcomeReport {
        lease_id: lease.lease_id,
        outcome: Outcome::Abandoned.into(),
        occurred_at: timestamp(now),
        ..Default::default()
    };
    dialer.report_all(report).await;
    world.advance(Duration::from_secs(11)).await;
    for (campaign, lead) in campaigns.iter().zip(&leads) {
        assert_eq!(held_until(&world, campaign, lead).await, now + hours(72));
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promised_callback_waits_for_the_gap_after_the_conversation_that_promised_it() {
    let mut world = World::start().await;
    hold(&mut world, &Rules { after_conversation: Some(hours(4)), ..Rules::default() }).await;
    let campaign = world.campaign(eager()).await;
    let lead_id = world.add_some(&campaign, 1).await.remove(0);
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.call().await;
    let now = world.now().await;
    dialer
        .report_all(pb::OutcomeReport {
            lease_id: lease.lease_id,
            outcome: Outcome::CallbackRequested.into(),
            callback_at: timestamp(now + hours(1)),
            occurred_at: timestamp(now),
            ..Default::default()
        })
        .await;
    world.advance(HOUR + Duration::from_secs(1)).await;
    assert_eq!(held_until(&world, &campaign, &lead_id).await, now + hours(4));
    assert_eq!(world.lead(&campaign, &lead_id).await.state(), LeadState::Scheduled);
    world.advance(HOUR * 3).await;
    assert_eq!(dialer.lease().await.score, 999);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_touches_no_number_rule() {
    let mut world = World::start().await;
    hold(&mut world, &Rules { caps: vec![(1, hours(24))], ..Rules::default() }).await;
    let campaign = world.campaign(eager()).await;
    let lead_id = world.add_some(&campaign, 1).await.remove(0);
    let mut dialer = world.dialer(&campaign, 1).await;
    let (_, began) = call(&mut dialer, Outcome::NoAnswer).await;
    assert_eq!(held_until(&world, &campaign, &lead_id).await, began + hours(24));
    for _ in 0..3 {
        world.reset(&campaign).await;
        assert!(dialer.gets_nothing_for(QUIET).await);
        assert_eq!(held_until(&world, &campaign, &lead_id).await, began + hours(24));
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaigns_own_rules_bind_it_alone_but_count_the_calls_of_all() {
    let strict = Rules { caps: vec![(1, hours(24))], ..Rules::default() };
    let own = pb::CampaignRules { number_rules: Some(strict.wire()), ..eager() };
    let mut world = World::start().await;
    let plain = world.campaign(eager()).await;
    world.add_some(&plain, 1).await;
    let mut dialer = Dialer::open(world.scheduler.clone(), &[], 1).await;
    let (_, began) = call(&mut dialer, Outcome::NoAnswer).await;
    let again = dialer.lease().await;
    assert_eq!(again.campaign_id, plain, "it has no rule of its own");
    world.pause(&plain).await;
    let strict = world.campaign(own).await;
    let held = world.add_some(&strict, 1).await.remove(0);
    assert_eq!(held_until(&world, &strict, &held).await, began + hours(24));
    // The rule goes: who waits for it looks again.
    world.change(&strict, "rules.number_rules", pb::CampaignRules::default()).await;
    assert_eq!(dialer.lease().await.lead_id, held);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_knows_the_calls_from_before_it_and_lets_go_when_it_is_lifted() {
    let mut world = World::start().await;
    let campaign = world.campaign(eager()).await;
    let lead_id = world.add_some(&campaign, 1).await.remove(0);
    let mut dialer = world.dialer(&campaign, 1).await;
    call(&mut dialer, Outcome::NoAnswer).await;
    let (_, began) = call(&mut dialer, Outcome::NoAnswer).await;
    let granted = dialer.lease().await;
    hold(&mut world, &Rules { gap: Some(hours(5)), ..Rules::default() }).await;
    // Granted under the old rules, refused under the new ones.
    assert_eq!(dialer.begin(&granted).await.reason(), pb::RefusalReason::NumberRule);
    assert_eq!(held_until(&world, &campaign, &lead_id).await, began + hours(5));
    hold(&mut world, &Rules { gap: Some(hours(7)), ..Rules::default() }).await;
    eventually("it waits longer", async || {
        (held_until(&world, &campaign, &lead_id).await == began + hours(7)).then_some(())
    })
    .await;
    hold(&mut world, &Rules::default()).await;
    dialer.lease().await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_without_a_permit_counts_as_a_call() {
    let mut world = World::start().await;
    hold(&mut world, &Rules { gap: Some(hours(6)), ..Rules::default() }).await;
    let campaign = world.campaign(eager()).await;
    let lead_id = world.add_some(&campaign, 1).await.remove(0);
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    // It takes the lease back; but the phone rang all the same.
    world.pause(&campaign).await;
    let told = dialer.report(&lease.lease_id, Outcome::Voicemail).await;
    assert_eq!(told.verdict(), pb::ReportVerdict::Late);
    world.run(&campaign).await;
    let until = held_until(&world, &campaign, &lead_id).await;
    assert!((world.now().await + hours(6) - until).num_seconds() < 60, "{until}");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_engines_and_two_campaigns_call_each_number_as_often_as_the_cap_allows() {
    const NUMBERS: usize = 60;
    let mut world = World::start().await;
    hold(&mut world, &Rules { caps: vec![(2, hours(24))], ..Rules::default() }).await;
    let other = world.another_engine().await;
    for _ in 0..2 {
        let campaign = world.campaign(eager()).await;
        world.add(&campaign, (0..NUMBERS).map(lead).collect()).await;
    }
    let mut dialers = tokio::task::JoinSet::new();
    for scheduler in [&world.scheduler, &other.scheduler, &world.scheduler, &other.scheduler] {
        let mut dialer = Dialer::open(scheduler.clone(), &[], 25).await;
        dialers.spawn(async move {
            let mut nth = 0;
            loop {
                let lease = dialer.lease().await;
                nth += 1;
                if dialer.begin(&lease).await.verdict() == pb::BeginVerdict::Permitted {
                    let never = nth % 7 == 0;
                    dialer.report(&lease.lease_id, if never { Outcome::NotPlaced } else { Outcome::NoAnswer }).await;
                }
            }
        });
    }
    let rings = "select count(*) from call_attempt where outcome <> 11";
    // Leads that met their twin on the line look again after ten seconds.
    while world.database.count(rings).await < 2 * NUMBERS as i64 {
        world.advance(Duration::from_secs(11)).await;
    }
    let held = "select count(*) from due where reason = 8";
    eventually("everybody waits", || async {
        let waits = world.database.count(held).await == 2 * NUMBERS as i64;
        if !waits {
            world.advance(Duration::from_secs(11)).await;
        }
        waits.then_some(())
    })
    .await;
    dialers.abort_all();
    assert_eq!(world.database.count(rings).await, 2 * NUMBERS as i64);
    let often = "select count(*) from (select l.number from call_attempt a join lead l using (campaign_id, lead_id) \
                 where a.outcome <> 11 group by l.number having count(*) <> 2) as n";
    assert_eq!(world.database.count(often).await, 0);
    world.check().await;
    other.running.stop().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn number_rules_outside_their_bounds_are_refused_by_field() {
    let mut world = World::start().await;
    let cap = |max_calls, period| pb::RollingCap { max_calls, period: seconds(period) };
    let bad = [
        (pb::NumberRules { caps: vec![cap(0, 60)], ..Default::default() }, "caps[0].max_calls"),
        (pb::NumberRules { caps: vec![cap(1, 59)], ..Default::default() }, "caps[0].period"),
        (pb::NumberRules { caps: vec![cap(1, 60); 9], ..Default::default() }, "caps"),
        (pb::NumberRules { min_gap: seconds(0), ..Default::default() }, "min_gap"),
        (pb::NumberRules { min_gap: seconds(-1), ..Default::default() }, "min_gap"),
        (
            pb::NumberRules { gap_after_conversation: seconds(367 * 86_400), ..Default::default() },
            "gap_after_conversation",
        ),
        (
            pb::NumberRules {
                cool_downs: vec![pb::CoolDown { outcome: Outcome::NotPlaced.into(), lasts: seconds(60) }],
                ..Default::default()
            },
            "cool_downs[0].outcome",
        ),
    ];
    for (rules, field) in bad {
        let settings = pb::SchedulerSettings { number_rules: Some(rules.clone()), ..Default::default() };
        let request = pb::UpdateSchedulerSettingsRequest { settings: Some(settings), ..Default::default() };
        let refused = refusal(world.scheduler.update_scheduler_settings(request).await);
        refused.is_bad_input(&[&format!("settings.number_rules.{field}")]);
        let request = pb::CreateCampaignRequest {
            name: "test".into(),
            rules: Some(pb::CampaignRules { number_rules: Some(rules), ..Default::default() }),
            ..Default::default()
        };
        let refused = refusal(world.campaigns.create_campaign(request).await);
        refused.is_bad_input(&[&format!("rules.number_rules.{field}")]);
        assert_eq!(refused.code, Code::InvalidArgument);
    }
    let rules = Rules { caps: vec![(3, hours(24)), (7, hours(168))], gap: Some(hours(2)), ..Rules::default() };
    hold(&mut world, &rules).await;
    world.set(pb::SchedulerSettings { max_concurrency: Some(50), ..Default::default() }).await;
    let settings = world.status().await.settings.unwrap();
    assert_eq!(settings.number_rules, Some(rules.wire()), "absent is unchanged");
    world.stop().await;
}
