//! The queue of the first seed: a small buffer, MAX_CONCURRENCY, order, callbacks in front.

use std::time::Duration;

use dialplane::{
    domain::settings::SchedulerSettings,
    pb::{self, LeadState, Outcome},
};

use crate::support::{World, asks::QUIET, dialer::Dialer, lead, rules, settings};

fn scored(n: usize, score: i32) -> pb::NewLead {
    pb::NewLead { score: Some(score), ..lead(n) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_buffer_is_about_twice_the_slots_and_never_the_list() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 200).await;
    let mut dialer = world.dialer(&campaign, 5).await;
    for _ in 0..30 {
        dialer.call_with(Outcome::IntentNo).await;
        let ready = world.count(&campaign, LeadState::Ready).await;
        // Those on their way to a lease are READY still, and replaced already: as many as there are slots.
        assert!(ready <= 10 + 5, "{ready} leads are READY for 5 slots");
    }
    assert!(world.count(&campaign, LeadState::Eligible).await >= 150);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_buffer_follows_the_cap_where_the_cap_is_less_than_the_slots() {
    let mut world = World::with(SchedulerSettings { max_concurrency: 3, ..settings() }).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 100).await;
    let mut dialer = world.dialer(&campaign, 50).await;
    let leases = dialer.leases(3).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    let ready = world.count(&campaign, LeadState::Ready).await;
    assert!((1..=6).contains(&ready), "{ready} leads are READY under a cap of 3");
    dialer.release(&leases[0].lease_id).await;
    dialer.lease().await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_cap_is_held_over_all_campaigns() {
    let mut world = World::with(SchedulerSettings { max_concurrency: 4, ..settings() }).await;
    let (one, two) = (world.campaign(rules()).await, world.campaign(rules()).await);
    world.add(&one, (0..20).map(lead).collect()).await;
    world.add(&two, (20..40).map(lead).collect()).await;
    let mut a = world.dialer(&one, 10).await;
    let mut b = world.dialer(&two, 10).await;
    world.until_active(4).await;
    assert!(a.gets_nothing_more(QUIET).await && b.gets_nothing_more(QUIET).await);
    assert_eq!(world.status().await.active_calls, 4);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engines_cap_is_ten_by_default() {
    let mut world =
        World::with(SchedulerSettings { tick_interval: Duration::from_millis(500), ..SchedulerSettings::default() })
            .await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 30).await;
    let mut dialer = world.dialer(&campaign, 30).await;
    dialer.leases(10).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.status().await.active_calls, 10);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaigns_cap_is_held_and_a_freed_slot_is_filled_at_once() {
    let mut world = World::start().await;
    let capped = pb::CampaignRules { max_concurrency: Some(2), ..rules() };
    let campaign = world.campaign(capped).await;
    world.add_some(&campaign, 20).await;
    let mut dialer = world.dialer(&campaign, 10).await;
    let first = dialer.call().await;
    dialer.call().await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    dialer.report(&first.lease_id, Outcome::IntentNo).await;
    dialer.lease().await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.count(&campaign, LeadState::DialingIntent).await, 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cap_of_zero_grants_nothing() {
    let mut world = World::with(SchedulerSettings { max_concurrency: 0, ..settings() }).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.set(pb::SchedulerSettings { max_concurrency: Some(1), ..Default::default() }).await;
    dialer.lease().await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_engine_cap_revokes_leases_without_a_permit_above_it() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 10).await;
    let mut dialer = world.dialer(&campaign, 4).await;
    let begun = dialer.call().await;
    let waiting = dialer.leases(3).await;
    world.set(pb::SchedulerSettings { max_concurrency: Some(2), ..Default::default() }).await;
    assert_eq!(world.status().await.active_calls, 2);
    let mut lost = 0;
    for lease in &waiting {
        let permit = dialer.begin(lease).await;
        lost += usize::from(permit.reason() == pb::RefusalReason::LeaseLost);
    }
    assert_eq!(lost, 2);
    let result = dialer.report(&begun.lease_id, Outcome::IntentYes).await;
    assert_eq!(result.verdict(), pb::ReportVerdict::Accepted);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_cap_ends_no_call() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 5).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let calls = [dialer.call().await, dialer.call().await];
    world.set(pb::SchedulerSettings { max_concurrency: Some(1), ..Default::default() }).await;
    assert_eq!(world.status().await.active_calls, 2);
    dialer.report(&calls[0].lease_id, Outcome::IntentNo).await;
    assert!(dialer.gets_nothing_for(QUIET).await, "one is still at the cap");
    dialer.report(&calls[1].lease_id, Outcome::IntentNo).await;
    dialer.lease().await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lowered_campaign_cap_revokes_leases_without_a_permit_above_it() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 10).await;
    let mut dialer = world.dialer(&campaign, 3).await;
    let begun = dialer.call().await;
    dialer.leases(2).await;
    let capped = pb::CampaignRules { max_concurrency: Some(1), ..rules() };
    world.change(&campaign, "rules.max_concurrency", capped).await;
    world.until_active(1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    dialer.report(&begun.lease_id, Outcome::IntentNo).await;
    dialer.lease().await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_callback_has_score_999_and_is_in_front_of_everything() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let callback = world.add(&campaign, vec![scored(0, 0)]).await.remove(0);
    world.add(&campaign, (1..9).map(|n| scored(n, 998)).collect()).await;
    world.promise(&campaign, &callback, Duration::from_secs(30)).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let (first, _) = dialer.call_with(Outcome::IntentNo).await;
    assert_ne!(first.lead_id, callback);
    let holding = dialer.call().await;
    world.until_count(&campaign, LeadState::Ready, 2).await;
    world.advance(Duration::from_secs(31)).await;
    dialer.report(&holding.lease_id, Outcome::IntentNo).await;
    let next = dialer.lease().await;
    assert_eq!((next.lead_id.as_str(), next.score), (callback.as_str(), 999));
    assert!(next.callback_at.is_some());
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_callback_is_in_front_of_the_leads_of_other_campaigns() {
    let mut world = World::start().await;
    let (other, mine) = (world.campaign(rules()).await, world.campaign(rules()).await);
    world.add(&other, (1..9).map(|n| scored(n, 998)).collect()).await;
    let callback = world.add(&mine, vec![scored(0, 0)]).await.remove(0);
    world.promise(&mine, &callback, Duration::from_secs(30)).await;
    let mut dialer = Dialer::open(world.scheduler.clone(), &[&other, &mine], 1).await;
    let holding = dialer.call().await;
    assert_eq!(holding.campaign_id, other);
    world.advance(Duration::from_secs(31)).await;
    dialer.report(&holding.lease_id, Outcome::IntentNo).await;
    assert_eq!(dialer.lease().await.lead_id, callback);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promised_callback_is_leased_without_waiting_for_a_tick() {
    let mut world = World::with(SchedulerSettings { tick_interval: Duration::from_secs(60), ..settings() }).await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 1).await;
    world.promise(&campaign, &leads[0], Duration::from_secs(2)).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let promised = std::time::Instant::now();
    assert_eq!(dialer.lease().await.lead_id, leads[0]);
    assert!(promised.elapsed() < Duration::from_secs(20), "{:?}", promised.elapsed());
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_are_called_by_score_and_then_in_the_order_they_came() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let scores = [100, 900, 500, 900, 500];
    let leads = world.add(&campaign, scores.iter().enumerate().map(|(n, score)| scored(n, *score)).collect()).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let mut order = Vec::new();
    for _ in 0..5 {
        order.push(dialer.call_with(Outcome::IntentNo).await.0.lead_id);
    }
    let wanted: Vec<String> = [1, 3, 2, 4, 0].iter().map(|n: &usize| leads[*n].clone()).collect();
    assert_eq!(order, wanted);
    world.check().await;
    world.stop().await;
}

impl World {
    async fn until_active(&mut self, calls: i64) {
        let client = self.scheduler.clone();
        crate::support::eventually("the calls are as many as the cap allows", || {
            let mut client = client.clone();
            async move {
                let status = client.get_scheduler_status(pb::GetSchedulerStatusRequest {}).await.unwrap().into_inner();
                (status.active_calls == calls).then_some(())
            }
        })
        .await;
    }
}

impl Dialer {
    /// Takes in what was granted already; whether anything more comes.
    async fn gets_nothing_more(&mut self, quiet: Duration) -> bool {
        let _ = self.gets_nothing_for(quiet).await;
        self.gets_nothing_for(quiet).await
    }
}
