//! The circuit breaker: a provider that refuses every call burns no attempts and no leads, and is asked again in time.

use std::time::Duration;

use chrono::TimeDelta;
use dialplane::pb::{self, BeginVerdict, LeadState, Outcome, lease_calls_response::Message};

use crate::support::{
    World,
    asks::{QUIET, instant, one_lead, refusal},
    dialer::Dialer,
    eventually, rules, seconds,
};

/// Opens after so many, and probes every minute.
fn breaker(after: i32) -> pb::CampaignRules {
    pb::CampaignRules { breaker_after: Some(after), ..rules() }
}

async fn refused(dialer: &mut Dialer, times: usize) {
    for _ in 0..times {
        dialer.call_with(Outcome::NotPlaced).await;
    }
}

async fn is_open(world: &mut World, campaign: &str) -> bool {
    let stats = world.stats(campaign).await;
    assert_eq!(stats.breaker_open_since.is_some(), stats.breaker_next_probe_at.is_some());
    stats.breaker_open_since.is_some()
}

/// The next lease of either, and which one got it.
async fn either(one: &mut Dialer, two: &mut Dialer) -> (pb::Lease, usize) {
    tokio::select! {
        lease = one.lease() => (lease, 0),
        lease = two.lease() => (lease, 1),
    }
}

/// A campaign whose breaker has opened after three, with so many leads and a dialer.
async fn open_breaker(leads: usize) -> (World, String, Vec<String>, Dialer) {
    let mut world = World::start().await;
    let campaign = world.campaign(breaker(3)).await;
    let ids = world.add_some(&campaign, leads).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    refused(&mut dialer, 3).await;
    assert!(is_open(&mut world, &campaign).await);
    (world, campaign, ids, dialer)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_lets_one_lease_per_interval_through_over_all_engines_and_one_placed_call_closes_it() {
    let (mut world, campaign, _, mut first) = open_breaker(20).await;
    let other = world.another_engine().await;
    let mut second = Dialer::open(other.scheduler.clone(), &[&campaign], 1).await;
    assert!(first.gets_nothing_for(QUIET).await && second.gets_nothing_for(QUIET).await);
    for _ in 0..2 {
        let shown = world.status().await.campaigns.remove(0);
        let next = instant(shown.breaker_next_probe_at.unwrap());
        let wait = next - world.now().await;
        assert!(wait > TimeDelta::seconds(30) && wait <= TimeDelta::seconds(60), "{wait}");
        assert!(instant(shown.breaker_open_since.unwrap()) < next);
        world.advance(Duration::from_secs(61)).await;
        let (probe, by) = either(&mut first, &mut second).await;
        let (prober, idle) = if by == 0 { (&mut first, &mut second) } else { (&mut second, &mut first) };
        assert!(idle.gets_nothing_for(QUIET).await);
        assert_eq!(prober.begin(&probe).await.verdict(), BeginVerdict::Permitted);
        prober.report(&probe.lease_id, Outcome::NotPlaced).await;
        assert!(first.gets_nothing_for(QUIET).await && second.gets_nothing_for(QUIET).await);
    }
    assert_eq!(world.stats(&campaign).await.attempts, 0, "an outage burns no attempts");
    world.advance(Duration::from_secs(61)).await;
    let (probe, by) = either(&mut first, &mut second).await;
    let prober = if by == 0 { &mut first } else { &mut second };
    prober.begin(&probe).await;
    prober.report(&probe.lease_id, Outcome::NoAnswer).await;
    assert!(!is_open(&mut world, &campaign).await);
    for dialer in [&mut first, &mut second] {
        dialer.call_with(Outcome::IntentNo).await;
        dialer.call().await;
    }
    world.check().await;
    other.running.stop().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_from_before_the_breaker_opened_is_refused_and_its_lead_waits_in_the_queue() {
    let mut world = World::start().await;
    let campaign = world.campaign(breaker(3)).await;
    world.add_some(&campaign, 8).await;
    let mut dialer = world.dialer(&campaign, 4).await;
    let leases = dialer.leases(4).await;
    for lease in &leases[..3] {
        dialer.begin(lease).await;
        dialer.report(&lease.lease_id, Outcome::NotPlaced).await;
    }
    // One of those that came since may be in the same case.
    let late = dialer.begin(&leases[3]).await;
    assert_eq!((late.verdict(), late.reason()), (BeginVerdict::Refused, pb::RefusalReason::Provider));
    let lead = world.lead(&campaign, &leases[3].lead_id).await;
    assert_eq!(lead.attempts, 0);
    assert!([LeadState::Eligible, LeadState::Ready].contains(&lead.state()), "{lead:?}");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dialers_are_told_that_it_is_the_provider() {
    let (world, _, _, mut dialer) = open_breaker(20).await;
    loop {
        if let Message::Throttled(throttled) = dialer.next().await.unwrap()
            && throttled.reason() == pb::ThrottleReason::Provider
        {
            break;
        }
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_placed_in_between_starts_the_row_anew_and_one_from_before_proves_nothing() {
    let mut world = World::start().await;
    let campaign = world.campaign(pb::CampaignRules { max_duration: seconds(3600), ..breaker(3) }).await;
    world.add_some(&campaign, 20).await;
    let mut dialer = world.dialer(&campaign, 4).await;
    let long = dialer.call().await;
    let silent = dialer.call().await;
    refused(&mut dialer, 2).await;
    dialer.call_with(Outcome::Voicemail).await;
    refused(&mut dialer, 2).await;
    assert!(!is_open(&mut world, &campaign).await);
    dialer.report(&long.lease_id, Outcome::IntentNo).await;
    refused(&mut dialer, 1).await;
    assert!(is_open(&mut world, &campaign).await, "the conversation began before the row");
    assert!(world.revoke(&silent.lease_id).await.begun);
    assert!(is_open(&mut world, &campaign).await, "UNKNOWN says nothing about the provider");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_report_counts() {
    let mut world = World::start().await;
    let campaign = world.campaign(breaker(2)).await;
    world.add_some(&campaign, 9).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    dialer.call_with(Outcome::NotPlaced).await;
    let (wrong, _) = dialer.call_with(Outcome::NotPlaced).await;
    assert!(is_open(&mut world, &campaign).await);
    let corrected = dialer.report(&wrong.lease_id, Outcome::IntentYes).await;
    assert_eq!(corrected.verdict(), pb::ReportVerdict::Superseded);
    assert!(!is_open(&mut world, &campaign).await);
    dialer.call().await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promise_waits_for_the_provider_and_is_the_first_to_probe() {
    let (mut world, campaign, leads, mut dialer) = open_breaker(20).await;
    let promised = leads.last().unwrap();
    world.promise(&campaign, promised, Duration::from_secs(5)).await;
    world.advance(Duration::from_secs(6)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, promised).await.state(), LeadState::Scheduled);
    world.advance(Duration::from_secs(61)).await;
    let probe = dialer.lease().await;
    assert_eq!((&probe.lead_id, probe.score), (promised, 999));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_campaigns_go_on_while_one_has_no_provider() {
    let (mut world, broken, _, dialer) = open_breaker(20).await;
    drop(dialer);
    let well = world.campaign(breaker(3)).await;
    world.add(&well, (50..60).map(crate::support::lead).collect()).await;
    let mut anyone = Dialer::open(world.scheduler.clone(), &[&broken, &well], 2).await;
    for lease in anyone.leases(2).await {
        assert_eq!(lease.campaign_id, well);
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_breaker_nothing_pauses_and_one_that_is_switched_off_is_closed() {
    let (mut world, campaign, _, mut dialer) = open_breaker(20).await;
    world.change(&campaign, "rules.breaker_after", breaker(0)).await;
    assert!(!is_open(&mut world, &campaign).await);
    refused(&mut dialer, 8).await;
    assert!(!is_open(&mut world, &campaign).await);
    world.change(&campaign, "rules.breaker_after", breaker(8)).await;
    assert!(is_open(&mut world, &campaign).await, "eleven were refused in a row");
    eventually("nothing is granted", || async {
        (world.database.count("select count(*) from lease where begun_at is null").await == 0).then_some(())
    })
    .await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_twenty_in_a_row_open_it() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 30).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    refused(&mut dialer, 19).await;
    assert!(!is_open(&mut world, &campaign).await);
    refused(&mut dialer, 1).await;
    assert!(is_open(&mut world, &campaign).await);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breaker_out_of_bounds_is_refused() {
    let (mut world, _, _, _) = one_lead(rules()).await;
    for (after, interval) in [(-1, 0), (1001, 3601)] {
        let rules = pb::CampaignRules { breaker_probe_interval: seconds(interval), ..breaker(after) };
        let request = pb::CreateCampaignRequest { name: "bad".into(), rules: Some(rules), ..Default::default() };
        let fields = ["rules.breaker_after", "rules.breaker_probe_interval"];
        refusal(world.campaigns.create_campaign(request).await).is_bad_input(&fields);
    }
    world.stop().await;
}
