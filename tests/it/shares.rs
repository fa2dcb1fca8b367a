//! Campaigns share the slots: by weight in slot-time, minimums first, idle shares handed on and given back; over one engine
//! and two. What is counted is the time that leases were live, by the records.

use std::time::Duration;

use dialplane::{
    domain::settings::SchedulerSettings,
    pb::{self, LeadState, Outcome, scheduler_service_client::SchedulerServiceClient},
};
use tokio::task::JoinSet;
use tonic::transport::Channel;

use crate::support::{World, asks::QUIET, dialer::Dialer, eventually, lead, new_id, rules, settings};

/// How long calls last; how many are over before the count begins, and how many are counted.
#[derive(Clone, Copy)]
struct Run {
    call: Duration,
    warm: i64,
    counted: i64,
}

const ONE_ENGINE: Run = Run { call: Duration::from_millis(300), warm: 300, counted: 2_400 };
/// Engines tell each other each second: it takes some until they agree, and shares are promised over a minute.
const TWO_ENGINES: Run = Run { call: Duration::from_millis(600), warm: 1_200, counted: 5_000 };

fn weighted(weight: i32) -> pb::CampaignRules {
    pb::CampaignRules { weight: Some(weight), ..rules() }
}

/// Places every call that is granted, for ever.
async fn dial(mut dialer: Dialer, length: Duration) {
    let mut calls = JoinSet::new();
    loop {
        let lease = dialer.lease().await;
        calls.spawn(call(dialer.client.clone(), dialer.session_id.clone(), lease.lease_id, length));
        while calls.try_join_next().is_some() {}
    }
}

async fn call(mut client: SchedulerServiceClient<Channel>, session_id: String, lease_id: String, length: Duration) {
    let begin = pb::BeginCallsRequest { session_id, lease_ids: vec![lease_id.clone()], nonce: new_id() };
    client.begin_calls(begin).await.unwrap();
    // The conversation.
    tokio::time::sleep(length).await;
    let report = pb::OutcomeReport { lease_id, outcome: Outcome::IntentNo.into(), ..Default::default() };
    client.report_outcomes(pb::ReportOutcomesRequest { reports: vec![report] }).await.unwrap();
}

async fn until_attempts(world: &World, attempts: i64) {
    eventually(&format!("{attempts} calls are over"), || async {
        let done = world.database.count("select sum(attempts)::bigint from gauge where campaign_id <> 0").await;
        (done >= attempts).then_some(())
    })
    .await;
}

/// The part that each campaign has of all slot-time since then, in the order they were made.
async fn parts(world: &World, since: &str) -> Vec<f64> {
    let sql = format!(
        "with held as ( \
             select campaign_id, granted_at, ended_at from call_attempt \
             union all select campaign_id, granted_at, engine_now() from lease) \
         select (sum(extract(epoch from ended_at - greatest(granted_at, '{since}'::timestamptz))) \
             / sum(sum(extract(epoch from ended_at - greatest(granted_at, '{since}'::timestamptz)))) over ())::float8 \
         from held where ended_at > '{since}'::timestamptz group by campaign_id order by campaign_id"
    );
    world.database.sql.query(&sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Weights 1, 2 and 5 under a cap of 80, with shares in slot-time as near to them as `within`. `dialers`: per dialer its engine (0 or 1),
/// and its campaigns; none: all. Who stops one of two engines for seconds spoils a count; shares that are wrong are wrong again.
async fn share(run: Run, dialers: &[(usize, &[usize])], within: f64) {
    let mut world = World::with(SchedulerSettings { max_concurrency: 80, ..settings() }).await;
    let other = world.another_engine().await;
    let mut campaigns = Vec::new();
    for (index, weight) in [1, 2, 5].into_iter().enumerate() {
        let campaign = world.draft(weighted(weight)).await;
        for first in (index * 12_000..(index + 1) * 12_000).step_by(3_000) {
            world.add(&campaign, (first..first + 3_000).map(lead).collect()).await;
        }
        campaigns.push(campaign);
    }
    let mut dialing = JoinSet::new();
    for (engine, only) in dialers {
        let client = if *engine == 0 { world.scheduler.clone() } else { other.scheduler.clone() };
        let names: Vec<&str> = only.iter().map(|index| campaigns[*index].as_str()).collect();
        dialing.spawn(dial(Dialer::open(client, &names, 100).await, run.call));
    }
    for campaign in &campaigns {
        world.run(campaign).await;
    }
    until_attempts(&world, run.warm).await;
    let mut shares = Vec::new();
    for count in 1..=2 {
        let since: String = world.database.sql.query_one("select engine_now()::text", &[]).await.unwrap().get(0);
        until_attempts(&world, run.warm + count * run.counted).await;
        shares = parts(&world, &since).await;
        println!("{shares:.3?}");
        if are_near(&shares, within) {
            break;
        }
    }
    for campaign in &campaigns {
        assert!(world.count(campaign, LeadState::Eligible).await > 0, "each has work to the end");
    }
    dialing.shutdown().await;
    world.check().await;
    other.running.stop().await.unwrap();
    world.stop().await;
    assert!(are_near(&shares, within), "{shares:.3?} of the slot-time for weights 1, 2 and 5");
}

fn are_near(parts: &[f64], within: f64) -> bool {
    let near = |(part, weight): (&f64, f64)| (part - weight / 8.0).abs() <= within * weight / 8.0;
    parts.iter().zip([1.0, 2.0, 5.0]).all(near)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_campaigns_of_weights_1_2_and_5_share_a_cap_within_5_percent() {
    share(ONE_ENGINE, &[(0, &[])], 0.05).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_engines_with_dialers_for_all_campaigns_share_in_sum() {
    share(TWO_ENGINES, &[(0, &[]), (1, &[])], 0.1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_whose_dialers_are_on_different_engines_share_in_sum() {
    share(TWO_ENGINES, &[(0, &[0]), (1, &[1, 2])], 0.2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_weight_takes_no_lease_back() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 10).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    let shares = pb::CampaignRules { min_concurrency: Some(1), ..weighted(7) };
    world.change(&campaign, "rules.weight", shares.clone()).await;
    world.change(&campaign, "rules.min_concurrency", shares).await;
    assert_eq!(dialer.begin(&lease).await.verdict(), pb::BeginVerdict::Permitted);
    dialer.report(&lease.lease_id, Outcome::IntentNo).await;
    // What is READY is leased under the new rules.
    for _ in 0..9 {
        dialer.call_with(Outcome::IntentNo).await;
    }
    world.check().await;
    world.stop().await;
}

/// Two campaigns and one dialer for both, under a cap of 6. The first has work.
async fn cap_of_six(first: pb::CampaignRules, second: pb::CampaignRules) -> (World, [String; 2], Dialer) {
    let mut world = World::with(SchedulerSettings { max_concurrency: 6, ..settings() }).await;
    let campaigns = [world.campaign(first).await, world.campaign(second).await];
    world.add(&campaigns[0], (0..100).map(lead).collect()).await;
    let dialer = Dialer::open(world.scheduler.clone(), &[], 20).await;
    (world, campaigns, dialer)
}

/// Gives the second campaign work, and waits until it is at hand.
async fn wake(world: &mut World, campaign: &str) {
    world.add(campaign, (100..200).map(lead).collect()).await;
    let ready = "select count(*) from ready_lead q join campaign c using (campaign_id) where c.public_id::text = ";
    let ready = format!("{ready}'{campaign}'");
    eventually("the second campaign has leads at hand", || async {
        (world.database.count(&ready).await > 0).then_some(())
    })
    .await;
    // The engine hears of them after they are there.
    tokio::time::sleep(QUIET).await;
}

/// Ends a call, and says which campaign gets its slot.
async fn next_after(dialer: &mut Dialer, calls: &mut Vec<pb::Lease>, campaign: &str) -> String {
    let at = calls.iter().position(|lease| lease.campaign_id == campaign).unwrap();
    let ended = calls.swap_remove(at);
    dialer.report(&ended.lease_id, Outcome::IntentNo).await;
    calls.push(dialer.call().await);
    calls.last().unwrap().campaign_id.clone()
}

async fn six_calls(dialer: &mut Dialer) -> Vec<pb::Lease> {
    let mut calls = Vec::new();
    for _ in 0..6 {
        calls.push(dialer.call().await);
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_share_is_used_and_given_back_call_by_call() {
    let (mut world, [first, second], mut dialer) = cap_of_six(rules(), rules()).await;
    let mut calls = six_calls(&mut dialer).await;
    assert!(calls.iter().all(|lease| lease.campaign_id == first), "nobody else wants the slots");
    wake(&mut world, &second).await;
    for _ in 0..2 {
        assert_eq!(next_after(&mut dialer, &mut calls, &first).await, second);
    }
    // No call was cut off: those that were under way still are.
    assert_eq!(calls.iter().filter(|lease| lease.campaign_id == first).count(), 4);
    for lease in calls {
        assert_eq!(dialer.report(&lease.lease_id, Outcome::IntentNo).await.verdict(), pb::ReportVerdict::Accepted);
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guaranteed_minimum_comes_before_shares_and_a_due_promise_before_both() {
    let light = pb::CampaignRules { min_concurrency: Some(2), ..weighted(1) };
    let (mut world, [first, second], mut dialer) = cap_of_six(weighted(1_000), light).await;
    let mut calls = six_calls(&mut dialer).await;
    wake(&mut world, &second).await;
    for _ in 0..2 {
        assert_eq!(next_after(&mut dialer, &mut calls, &first).await, second);
    }
    // By weight alone it would have none.
    assert_eq!(next_after(&mut dialer, &mut calls, &first).await, first);
    assert_eq!(next_after(&mut dialer, &mut calls, &second).await, second);
    let promised = world.add(&second, vec![lead(500)]).await.remove(0);
    let at = world.now().await + Duration::from_secs(5);
    world.schedule(&second, &promised, at).await.unwrap();
    world.advance(Duration::from_secs(6)).await;
    assert_eq!(next_after(&mut dialer, &mut calls, &first).await, second);
    assert_eq!(calls.last().unwrap().lead_id, promised);
    world.check().await;
    world.stop().await;
}
