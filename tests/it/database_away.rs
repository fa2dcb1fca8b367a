//! The database is cut off, mute or exhausted for longer than everybody's patience: calls are told, streams stay, nothing
//! piles up, and all goes on by itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use dialplane::{
    domain::{outcome::Outcome, settings::SchedulerSettings},
    engine::{EngineError, outcomes::Report},
    pb::{self, ReportVerdict},
};
use tokio::{runtime::Handle, task::JoinSet, time::sleep};
use uuid::Uuid;

use crate::support::{
    World,
    database::{Database, connect},
    eventually, new_id,
    outage::{all_are_unavailable, campaign_calls, insist_on, is_unavailable, no_answer, scheduler_calls},
    proxy::{Link, Proxy},
    rules, seconds, settings,
};

/// Longer than a replica lives without a sign of life.
const AWAY: Duration = Duration::from_secs(7);

async fn behind_a_proxy(settings: SchedulerSettings) -> (World, Proxy) {
    World::behind_a_proxy(Database::create().await, settings).await
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_calls_are_answered_unavailable_with_retry_advice() {
    let (mut world, proxy) = behind_a_proxy(settings()).await;
    let campaign = world.campaign(rules()).await;
    let lead = world.add_some(&campaign, 1).await.remove(0);
    for link in [Link::Cut, Link::Mute] {
        proxy.set(link);
        let lease = new_id();
        let mut asks = campaign_calls(&world, &campaign, &lead);
        asks.extend(scheduler_calls(&world, &campaign, &lease));
        all_are_unavailable(asks).await;
        proxy.set(Link::Whole);
        world.until_away(false).await;
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_outlive_a_database_that_is_away_longer_than_the_ttl() {
    let ttl = Duration::from_secs(3);
    let (mut world, proxy) = behind_a_proxy(SchedulerSettings { session_ttl: ttl, ..settings() }).await;
    // The call is overdue when the database is back.
    let campaign = world.campaign(pb::CampaignRules { max_duration: seconds(5), ..rules() }).await;
    world.add_some(&campaign, 3).await;
    for link in [Link::Cut, Link::Mute] {
        let mut dialer = world.dialer(&campaign, 1).await;
        let lease = dialer.call().await;
        proxy.set(link);
        // Until the engine knows, time counts: the dialer must be heard.
        dialer.beats_until(world.until_away(true)).await;
        let (client, lease_id) = (dialer.client.clone(), lease.lease_id.clone());
        let report = tokio::spawn(async move { insist_on(client, &lease_id).await });
        dialer.beats_for(AWAY).await;
        assert!(!report.is_finished());
        proxy.set(Link::Whole);
        let next = dialer.lease_with_beats().await;
        assert_ne!(next.lead_id, lease.lead_id);
        // Over a mute link the database may have heard the report before anybody knew: then this was its repetition.
        let verdict = report.await.unwrap();
        assert!(
            verdict == ReportVerdict::Accepted || (link == Link::Mute && verdict == ReportVerdict::Duplicate),
            "{link:?}: {verdict:?}"
        );
        let swept = world.database.count("select count(*) from call_attempt where by_engine").await;
        assert_eq!(swept, 0, "{link:?}: not swept for the outage's sake");
        dialer.release(&next.lease_id).await;
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_swallows_answers_is_given_up_and_replaced() {
    let (mut world, proxy) = behind_a_proxy(settings()).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 20).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let first = dialer.call().await;
    // New links carry; the old ones never do again. What waits on one is told, sooner or later.
    proxy.set(Link::Mute);
    let waiting = tokio::spawn(insist_for(&world, &first.lease_id));
    sleep(Duration::from_millis(200)).await;
    let old = proxy.renew();
    let verdict = waiting.await.unwrap();
    assert!([ReportVerdict::Accepted, ReportVerdict::Duplicate].contains(&verdict), "{verdict:?}");
    eventually("every old link is given up", || async { (old.receiver_count() == 0).then_some(()) }).await;
    let second = dialer.call().await;
    // The same links carry again.
    proxy.set(Link::Mute);
    world.until_away(true).await;
    proxy.set(Link::Whole);
    assert!([ReportVerdict::Accepted, ReportVerdict::Duplicate].contains(&dialer.insist_on(&second.lease_id).await));
    dialer.call().await;
    world.check().await;
    world.stop().await;
}

fn insist_for(world: &World, lease: &str) -> impl Future<Output = ReportVerdict> + Send + 'static {
    let (client, lease) = (world.scheduler.clone(), lease.to_owned());
    async move { insist_on(client, &lease).await }
}

/// Holds what every call needs, so that each keeps its connection waiting.
async fn lock_all(database: &Database) -> tokio_postgres::Client {
    let holder = connect(&database.url).await;
    holder
        .batch_execute("begin; lock table campaign, lead, lease, due, ready_lead in access exclusive mode")
        .await
        .unwrap();
    holder
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exhausted_pool_is_unavailable_and_recovers() {
    let mut world = World::with(SchedulerSettings { session_ttl: Duration::from_secs(3), ..settings() }).await;
    let campaign = world.campaign(rules()).await;
    let lead = world.add_some(&campaign, 3).await.remove(0);
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.call().await;
    let replica = world.engine().replica();
    let holder = lock_all(&world.database).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    for _ in 0..40 {
        let (mut client, campaign_id, lead_id) = (world.campaigns.clone(), campaign.clone(), lead.clone());
        let refused = Arc::clone(&refused);
        calls.spawn(async move {
            if let Err(status) = client.get_lead(pb::GetLeadRequest { campaign_id, lead_id }).await {
                is_unavailable("get_lead", &status);
                refused.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let report = tokio::spawn(insist_for(&world, &lease.lease_id));
    dialer.beats_for(AWAY).await;
    eventually("who waits for a connection is told", || async {
        dialer.heartbeat().await;
        (refused.load(Ordering::Relaxed) >= 20).then_some(())
    })
    .await;
    let alive = "select count(*) from replica where expires_at > engine_now()";
    assert_eq!(world.database.count(alive).await, 1, "a replica without a pool is not dead");
    holder.batch_execute("rollback").await.unwrap();
    let verdict = report.await.unwrap();
    assert!([ReportVerdict::Accepted, ReportVerdict::Duplicate].contains(&verdict), "{verdict:?}");
    dialer.lease_with_beats().await;
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert_eq!(world.engine().replica(), replica);
    world.check().await;
    world.stop().await;
}

/// Hundreds who do not give up: reports, permits, polls of ever new sessions.
fn crowd(world: &World, size: usize, over: &Arc<AtomicBool>) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for n in 0..size {
        let (mut client, over) = (world.scheduler.clone(), Arc::clone(over));
        crowd.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let _ = match n % 3 {
                    0 => client
                        .report_outcomes(pb::ReportOutcomesRequest { reports: vec![no_answer(&new_id())] })
                        .await
                        .map(|_| ()),
                    1 => client
                        .begin_calls(pb::BeginCallsRequest {
                            session_id: new_id(),
                            lease_ids: vec![new_id()],
                            nonce: new_id(),
                        })
                        .await
                        .map(|_| ()),
                    _ => client
                        .poll_leases(pb::PollLeasesRequest {
                            dialer_id: "crowd".into(),
                            session_id: new_id(),
                            poll_id: new_id(),
                            wait: seconds(0),
                            ..Default::default()
                        })
                        .await
                        .map(|_| ()),
                };
                sleep(Duration::from_millis(20)).await;
            }
        });
    }
    crowd
}

/// News of another replica, of which each has this one read something.
const NEWS: &str = "select pg_notify('dialplane', json_build_object('from', 99999, 'signals', json_agg(signal))::text) \
     from (select json_build_object('Campaign', n) as signal from generate_series(1, 40) n \
     union all select json_build_object('Work', n) from generate_series(1, 40) n) news";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_grows_while_the_database_is_away() {
    const CROWD: usize = 300;
    let (mut world, proxy) = behind_a_proxy(settings()).await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 200).await;
    let mut dialers = Vec::new();
    for _ in 0..5 {
        dialers.push(world.dialer(&campaign, 2).await);
    }
    let alive = || Handle::current().metrics().num_alive_tasks();
    let before = alive();
    let over = Arc::new(AtomicBool::new(false));
    let crowd = crowd(&world, CROWD, &over);
    let mut holder = None;
    for link in [Link::Cut, Link::Mute, Link::Whole] {
        proxy.set(link);
        if link == Link::Whole {
            holder = Some(lock_all(&world.database).await);
        }
        for turn in 0..80 {
            if link == Link::Whole {
                world.database.sql.execute(NEWS, &[]).await.unwrap();
            }
            for dialer in &dialers {
                dialer.slots(turn % 3).await;
                dialer.heartbeat().await;
            }
            sleep(Duration::from_millis(100)).await;
            // A client, its call on both sides, and as much again.
            let most = before + 6 * CROWD;
            assert!(alive() < most, "{link:?}: {} tasks, {before} before", alive());
        }
        println!("{link:?}: {} tasks, {before} before", alive());
        if link == Link::Mute {
            reports_beyond_the_queue_are_refused(&world).await;
        }
    }
    drop(holder);
    over.store(true, Ordering::Relaxed);
    crowd.join_all().await;
    eventually("all that waited is gone", || async { (alive() < before + 60).then_some(()) }).await;
    world.until_away(false).await;
    dialers[0].slots(5).await;
    dialers[0].lease_with_beats().await;
    world.check().await;
    world.stop().await;
}

/// More than may wait, in one go.
async fn reports_beyond_the_queue_are_refused(world: &World) {
    let asked = (0..6000).map(|_| world.engine().report_outcomes(vec![Report::new(Uuid::new_v4(), Outcome::NoAnswer)]));
    let mut overloaded = 0;
    for answer in futures::future::join_all(asked).await {
        match answer {
            Err(EngineError::Overloaded) => overloaded += 1,
            Err(EngineError::Unavailable) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(overloaded > 0);
}
