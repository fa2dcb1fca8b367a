//! Calls per second: counted at the permit, exact over replicas, evenly spaced, and really reached.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::{
    domain::settings::SchedulerSettings,
    pb::{
        self, BeginVerdict, Outcome, lease_calls_response::Message, scheduler_service_client::SchedulerServiceClient,
    },
};
use tokio::task::JoinSet;
use tonic::{Code, transport::Channel};

use crate::support::{
    World,
    asks::{instant, one_lead, refusal},
    dialer::Dialer,
    eventually, lead, number, rules, seconds, settings,
};

fn rate(calls: f64) -> pb::SchedulerSettings {
    pb::SchedulerSettings { max_calls_per_second: Some(calls), ..Default::default() }
}

fn wait(result: &pb::BeginResult) -> Duration {
    result.retry_after.expect("WAIT says how long").try_into().unwrap()
}

/// Dialers that ask flat out: one call after the other, each as soon as it may. Returns how often they had to wait.
struct Crew {
    over: Arc<AtomicBool>,
    dialers: JoinSet<usize>,
}

impl Crew {
    fn new() -> Crew {
        Crew { over: Arc::default(), dialers: JoinSet::new() }
    }

    fn add(&mut self, dialers: usize, client: &SchedulerServiceClient<Channel>, campaign: &str) {
        for _ in 0..dialers {
            self.dialers.spawn(ask_flat_out(client.clone(), campaign.to_owned(), Arc::clone(&self.over)));
        }
    }

    async fn stop(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.dialers.join_all().await.into_iter().sum()
    }
}

async fn ask_flat_out(client: SchedulerServiceClient<Channel>, campaign: String, over: Arc<AtomicBool>) -> usize {
    let mut dialer = Dialer::open(client, &[&campaign], 1).await;
    let mut waits = 0;
    while !over.load(Ordering::Relaxed) {
        let Ok(lease) = tokio::time::timeout(Duration::from_millis(200), dialer.lease()).await else { continue };
        while !over.load(Ordering::Relaxed) {
            let result = dialer.begin(&lease).await;
            match result.verdict() {
                BeginVerdict::Permitted => {
                    dialer.report(&lease.lease_id, Outcome::IntentNo).await;
                    break;
                }
                BeginVerdict::Wait => {
                    waits += 1;
                    assert!(wait(&result) > Duration::ZERO);
                    tokio::time::sleep(wait(&result)).await;
                }
                _ => break,
            }
        }
    }
    waits
}

/// Instants of permits, by campaign, in order.
async fn permits(world: &World) -> BTreeMap<String, Vec<DateTime<Utc>>> {
    let sql = "select c.public_id::text, x.begun_at from (select campaign_id, begun_at from call_attempt \
               union all select campaign_id, begun_at from lease) as x join campaign c using (campaign_id) \
               where x.begun_at is not null order by x.begun_at";
    let mut all: BTreeMap<String, Vec<DateTime<Utc>>> = BTreeMap::new();
    for row in world.database.sql.query(sql, &[]).await.unwrap() {
        all.entry(row.get(0)).or_default().push(row.get(1));
    }
    all
}

async fn permits_of_all(world: &World) -> Vec<DateTime<Utc>> {
    let mut all: Vec<_> = permits(world).await.into_values().flatten().collect();
    all.sort_unstable();
    all
}

/// No closed second, wherever it starts, holds more than `most`.
fn check_seconds(begun: &[DateTime<Utc>], most: usize) {
    for window in begun.windows(most + 1) {
        let span = window[most] - window[0];
        assert!(span > TimeDelta::seconds(1), "{} permits within {span} from {} on", most + 1, window[0]);
    }
}

/// Calls per second from the first to the last.
/// Whoever waits in line gets turn after turn, however slow the machine is: many follow each other at the very gap of the limit.
fn check_evenly(begun: &[DateTime<Utc>], per_second: i32) {
    let gap = TimeDelta::seconds(1) / per_second + TimeDelta::milliseconds(1);
    let next = begun.windows(2).filter(|two| two[1] - two[0] <= gap).count();
    assert!(next * 10 >= begun.len(), "{next} of {} follow each other within {gap}", begun.len());
}

async fn until_permits(world: &World, wanted: usize) {
    eventually(&format!("{wanted} permits"), || async { (permits_of_all(world).await.len() >= wanted).then_some(()) })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_two_engines_no_second_holds_more_than_fifty_permits_and_fifty_are_reached_evenly() {
    let mut world = World::start().await;
    let other = world.another_engine().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 900).await;
    world.set(rate(50.0)).await;
    let mut crew = Crew::new();
    crew.add(14, &world.scheduler, &campaign);
    crew.add(14, &other.scheduler, &campaign);
    until_permits(&world, 300).await;
    let waits = crew.stop().await;
    let begun = permits_of_all(&world).await;
    check_seconds(&begun, 50);
    assert!(waits > 0, "there were more dialers than turns");
    let closest = begun.windows(2).map(|two| two[1] - two[0]).min().unwrap();
    assert!(closest >= TimeDelta::milliseconds(20), "{closest}");
    check_evenly(&begun, 50);
    world.check().await;
    other.running.stop().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaigns_limit_holds_inside_the_engines_and_costs_the_others_nothing() {
    let mut world = World::start().await;
    let slow = world.campaign(pb::CampaignRules { max_calls_per_second: Some(5.0), ..rules() }).await;
    let free = world.campaign(rules()).await;
    world.add(&slow, (0..200).map(lead).collect()).await;
    world.add(&free, (200..900).map(lead).collect()).await;
    world.set(rate(40.0)).await;
    let mut crew = Crew::new();
    crew.add(6, &world.scheduler, &slow);
    crew.add(22, &world.scheduler, &free);
    until_permits(&world, 200).await;
    crew.stop().await;
    let by_campaign = permits(&world).await;
    check_seconds(&by_campaign[&slow], 5);
    let all = permits_of_all(&world).await;
    check_seconds(&all, 40);
    check_evenly(&all, 40);
    // 1.5 of 40 at the least, as a part: on a slow machine its part only grows.
    let (part, whole) = (by_campaign[&slow].len(), all.len());
    assert!(part * 40 * 2 >= whole * 3, "its part is not taken by the others: {part} of {whole}");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaigns_limit_is_reached_without_one_of_the_engine() {
    let mut world = World::start().await;
    let campaign = world.campaign(pb::CampaignRules { max_calls_per_second: Some(20.0), ..rules() }).await;
    world.add_some(&campaign, 200).await;
    let mut crew = Crew::new();
    crew.add(12, &world.scheduler, &campaign);
    until_permits(&world, 60).await;
    crew.stop().await;
    let begun = permits_of_all(&world).await;
    check_seconds(&begun, 20);
    check_evenly(&begun, 20);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_limit_holds_from_its_answer_on() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 400).await;
    world.set(rate(60.0)).await;
    let mut crew = Crew::new();
    crew.add(20, &world.scheduler, &campaign);
    until_permits(&world, 40).await;
    world.set(rate(8.0)).await;
    let lowered = world.now().await;
    let before = permits_of_all(&world).await.len();
    until_permits(&world, before + 20).await;
    let after: Vec<_> = permits_of_all(&world).await.into_iter().filter(|at| *at >= lowered).collect();
    check_seconds(&after, 8);
    world.set(rate(0.0)).await;
    until_permits(&world, before + 100).await;
    crew.stop().await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_lifted_keeps_nobody_in_a_line_that_was_slow() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 3).await;
    world.set(rate(0.01)).await;
    let mut dialer = world.dialer(&campaign, 3).await;
    let leases = dialer.leases(3).await;
    let asked = tokio::time::Instant::now();
    assert_eq!(dialer.begin(&leases[0]).await.verdict(), BeginVerdict::Permitted);
    let result = dialer.begin(&leases[1]).await;
    assert_eq!(result.verdict(), BeginVerdict::Wait);
    let left = Duration::from_secs(99).saturating_sub(asked.elapsed());
    assert!((left..Duration::from_secs(102)).contains(&wait(&result)), "{:?}", wait(&result));
    world.set(rate(100.0)).await;
    assert_eq!(dialer.begin(&leases[1]).await.verdict(), BeginVerdict::Permitted);
    world.set(rate(0.0)).await;
    assert_eq!(dialer.begin(&leases[2]).await.verdict(), BeginVerdict::Permitted);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_waits_for_its_turn_is_neither_unreceived_nor_too_late() {
    let mut world = World::with(SchedulerSettings { receipt_within: Duration::from_secs(1), ..settings() }).await;
    let short = pb::CampaignRules { begin_within: seconds(1), max_calls_per_second: Some(0.2), ..rules() };
    let campaign = world.campaign(short).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    dialer.call().await;
    dialer.slots(2).await;
    let lease = loop {
        if let Message::Granted(mut granted) = dialer.next().await.unwrap() {
            break granted.leases.remove(0);
        }
    };
    let result = dialer.begin(&lease).await;
    assert_eq!(result.verdict(), BeginVerdict::Wait);
    let mut waited = wait(&result);
    while waited > Duration::ZERO {
        tokio::time::sleep(waited).await;
        let result = dialer.begin(&lease).await;
        assert_ne!(result.verdict(), BeginVerdict::Refused, "{result:?}");
        waited = if result.verdict() == BeginVerdict::Wait { wait(&result) } else { Duration::ZERO };
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_answered_at_its_instant_to_whoever_asks_with_its_nonce() {
    let mut world = World::start().await;
    let campaign = world.campaign(pb::CampaignRules { max_calls_per_second: Some(4.1), ..rules() }).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let leases = dialer.leases(2).await;
    let ids: Vec<String> = leases.iter().map(|lease| lease.lease_id.clone()).collect();
    let (one, two) = (world.scheduler.clone(), world.scheduler.clone());
    let request = pb::BeginCallsRequest {
        session_id: dialer.session_id.clone(),
        lease_ids: ids,
        nonce: crate::support::new_id(),
    };
    let ask = |mut client: SchedulerServiceClient<Channel>| {
        let request = request.clone();
        async move { client.begin_calls(request).await.unwrap().into_inner().results }
    };
    let (first, second) = tokio::join!(ask(one), ask(two));
    assert_eq!(first, second);
    assert!(first.iter().all(|result| result.verdict() == BeginVerdict::Permitted), "{first:?}");
    let begun: Vec<_> = first.iter().map(|result| instant(result.begun_at.unwrap())).collect();
    assert!(begun[1] - begun[0] > TimeDelta::milliseconds(243), "{begun:?}");
    assert!(world.now().await >= begun[1], "answered before its instant");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_is_never_answered_early_by_an_engine_whose_copy_of_the_clock_is_ahead() {
    let mut world = World::start().await;
    let campaign = world.campaign(pb::CampaignRules { max_calls_per_second: Some(20.0), ..rules() }).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let leases = dialer.leases(2).await;
    dialer.begin(&leases[0]).await;
    // The database's clock goes back; the engine has not heard of it.
    world.database.sql.execute("update test_clock set ahead = ahead - interval '150 milliseconds'", &[]).await.unwrap();
    let result = dialer.begin(&leases[1]).await;
    assert_eq!(result.verdict(), BeginVerdict::Permitted);
    assert!(world.now().await >= instant(result.begun_at.unwrap()), "answered before its instant");
    world.check().await;
    world.stop().await;
}

/// A change by one replica, while turns are given by a limit of which it has not heard yet: none is after the answer.
#[tokio::test(flavor = "multi_thread")]
async fn no_turn_outlasts_the_answer_of_a_replica_that_has_not_heard_of_the_limit() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 3).await;
    let mut dialer = world.dialer(&campaign, 3).await;
    let leases = dialer.leases(3).await;
    // As another replica sets it, whose message is on its way: nobody is told.
    world.database.sql.execute("update setting set max_calls_per_second = 4.1", &[]).await.unwrap();
    dialer.begin(&leases[0]).await;
    let ids = leases[1..].iter().map(|lease| lease.lease_id.clone()).collect();
    let (mut scheduler, session_id) = (world.scheduler.clone(), dialer.session_id.clone());
    let request = pb::BeginCallsRequest { session_id, lease_ids: ids, nonce: crate::support::new_id() };
    let asked = tokio::spawn(async move { scheduler.begin_calls(request).await.unwrap() });
    until_permits(&world, 2).await;
    world.reset(&campaign).await;
    let reset = world.now().await;
    let last = permits_of_all(&world).await.pop().unwrap();
    assert!(last <= reset, "{last} is after {reset}");
    asked.await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_that_was_given_is_answered_by_an_engine_that_stops() {
    let mut world = World::start().await;
    let campaign = world.campaign(pb::CampaignRules { max_calls_per_second: Some(4.1), ..rules() }).await;
    world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let leases = dialer.leases(2).await;
    dialer.begin(&leases[0]).await;
    let lease = leases[1].clone();
    let asked = tokio::spawn(async move { dialer.begin(&lease).await });
    until_permits(&world, 2).await;
    let World { replica, database, .. } = world;
    replica.running.stop().await.unwrap();
    assert_eq!(asked.await.unwrap().verdict(), BeginVerdict::Permitted);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_a_pause_or_a_suppression_is_answered_no_turn_is_to_come() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 400).await;
    world.set(rate(50.0)).await;
    let mut crew = Crew::new();
    crew.add(20, &world.scheduler, &campaign);
    until_permits(&world, 30).await;
    let everybody: Vec<String> = (0..400).map(number).collect();
    world.suppress(&everybody[..200]).await;
    let suppressed = world.now().await;
    let blocked = format!(
        "select count(*) from (select lead_id, begun_at from call_attempt union all select lead_id, begun_at from lease) as x \
         join lead l using (lead_id) join suppression s on s.number = l.number where x.begun_at > '{suppressed}'"
    );
    until_permits(&world, 60).await;
    world.pause(&campaign).await;
    let paused = world.now().await;
    crew.stop().await;
    assert_eq!(world.database.count(&blocked).await, 0);
    let last = permits_of_all(&world).await.pop().unwrap();
    assert!(last <= paused, "{last} is after {paused}");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limit_no_row_of_turns_is_touched() {
    let (world, _, _, mut dialer) = one_lead(rules()).await;
    dialer.call().await;
    assert_eq!(world.database.count("select count(*) from pace where last_at > '-infinity'").await, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rates_out_of_bounds_are_refused_and_nought_is_no_limit() {
    let mut world = World::start().await;
    for value in [-1.0, 0.009, 10_001.0, f64::NAN, f64::INFINITY] {
        let rules = pb::CampaignRules { max_calls_per_second: Some(value), ..rules() };
        let request = pb::CreateCampaignRequest { name: "bad".into(), rules: Some(rules), ..Default::default() };
        refusal(world.campaigns.create_campaign(request).await).is_bad_input(&["rules.max_calls_per_second"]);
        let update = pb::UpdateSchedulerSettingsRequest { settings: Some(rate(value)), ..Default::default() };
        let refused = refusal(world.scheduler.update_scheduler_settings(update).await);
        refused.is(Code::InvalidArgument, "BAD_INPUT");
        assert_eq!(refused.fields, ["settings.max_calls_per_second"]);
    }
    world.set(rate(2.5)).await;
    assert_eq!(world.status().await.settings.unwrap().max_calls_per_second, Some(2.5));
    world.set(pb::SchedulerSettings { batch_size: Some(7), ..Default::default() }).await;
    assert_eq!(world.status().await.settings.unwrap().max_calls_per_second, Some(2.5));
    world.set(rate(0.0)).await;
    assert_eq!(world.status().await.settings.unwrap().max_calls_per_second, None);
    world.stop().await;
}
