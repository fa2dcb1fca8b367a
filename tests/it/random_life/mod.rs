//! Random lives: dialers and operators do whatever they may, all at once, to few leads; then the world must be in order.
//! A failure prints its seed. `DIALPLANE_SEED` lives one seed, `DIALPLANE_STEPS` sets how long.

mod dialers;
mod ledger;
mod operators;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use dialplane::pb::{
    self, campaign_service_client::CampaignServiceClient, scheduler_service_client::SchedulerServiceClient,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tonic::transport::Channel;

use crate::{
    stream_outcomes,
    support::{Replica, World, database::Database, eventually, lead_nowhere, retry, rules, seconds, settings},
};
use ledger::Ledger;

const PHASES: u64 = 3;
/// How long a call may last in these worlds, on the engine's clock.
const MAX_DURATION_SECONDS: i64 = 60;
/// Attempts in the campaign whose rules nobody changes that far.
const MAX_ATTEMPTS: i32 = 2;

type Clients = (CampaignServiceClient<Channel>, SchedulerServiceClient<Channel>);

/// What all who live in one world share.
struct Life {
    clients: Vec<Clients>,
    campaigns: [String; 2],
    ledger: Mutex<Ledger>,
}

impl Life {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn clients(&self, rng: &mut StdRng) -> Clients {
        self.clients[rng.random_range(0..self.clients.len())].clone()
    }

    fn campaign(&self, rng: &mut StdRng) -> String {
        self.campaigns[rng.random_range(0..2)].clone()
    }
}

fn life_rules(max_attempts: i32) -> pb::CampaignRules {
    let soon = Duration::from_secs(2);
    let outcomes = [
        pb::Outcome::NoAnswer,
        pb::Outcome::Voicemail,
        pb::Outcome::Busy,
        pb::Outcome::Failed,
        pb::Outcome::NotPlaced,
        pb::Outcome::Unknown,
        pb::Outcome::Abandoned,
    ];
    pb::CampaignRules {
        max_attempts: Some(max_attempts),
        retry_rules: outcomes.into_iter().map(|outcome| retry(outcome, soon)).collect(),
        begin_within: seconds(5),
        max_duration: seconds(MAX_DURATION_SECONDS),
        ..rules()
    }
}

async fn watch(url: String, over: Arc<AtomicBool>) -> Vec<String> {
    let sql = crate::support::database::connect(&url).await;
    while !over.load(Ordering::Relaxed) {
        let rows = sql.query("select violation, campaign_id, detail from invariant_violation", &[]).await.unwrap();
        if !rows.is_empty() {
            return rows
                .iter()
                .map(|row| format!("{} {} {}", row.get::<_, String>(0), row.get::<_, i32>(1), row.get::<_, String>(2)))
                .collect();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Vec::new()
}

async fn phase(life: &Arc<Life>, database: &Database, seed: u64, number: u64) {
    let steps = std::env::var("DIALPLANE_STEPS").ok().and_then(|steps| steps.parse().ok()).unwrap_or(60);
    let over = Arc::new(AtomicBool::new(false));
    let watched = tokio::spawn(watch(database.url.clone(), Arc::clone(&over)));
    let mut actors = tokio::task::JoinSet::new();
    for actor in 0..4 {
        actors.spawn(dialers::live(
            Arc::clone(life),
            StdRng::seed_from_u64(seed * 1000 + number * 100 + actor),
            4 * steps,
        ));
    }
    for actor in 10..12 {
        let rng = StdRng::seed_from_u64(seed * 1000 + number * 100 + actor);
        actors.spawn(operators::live(Arc::clone(life), database.url.clone(), rng, steps));
    }
    while let Some(done) = actors.join_next().await {
        done.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    over.store(true, Ordering::Relaxed);
    let violations = watched.await.unwrap();
    assert!(violations.is_empty(), "seed {seed}, while it lived: {violations:#?}");
}

/// Nobody lives here any more: every lease ends by time.
async fn quiesce(database: &Database) {
    database.advance(Duration::from_secs(MAX_DURATION_SECONDS as u64 + 30)).await;
    eventually("all leases end", || async { (database.count("select count(*) from lease").await == 0).then_some(()) })
        .await;
}

async fn check(life: &Life, database: &Database, seed: u64) {
    let violations = database.violations().await;
    assert!(violations.is_empty(), "seed {seed}: {violations:#?}");
    let wrongs = life.ledger().verdict();
    assert!(wrongs.is_empty(), "seed {seed}: {wrongs:#?}");
    let facts = life.ledger().facts();
    let lost = ledger::lost_facts(&facts, &database.sql).await;
    assert!(lost.is_empty(), "seed {seed}: {lost:#?}");
    let too_early = format!(
        "select count(*) from (select distinct campaign_id {OPEN} and v.waiting_reason is distinct from 5) as o \
         where campaign_is_complete(o.campaign_id)"
    );
    assert_eq!(database.count(&too_early).await, 0, "seed {seed}: complete, and somebody may yet be called");
    let streamed = stream_outcomes::until_final(&life.clients[0].0, database).await;
    let wrong = life.ledger().wrong_events(&streamed);
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    let undecided = "with said as (select distinct on (a.campaign_id, a.lead_id) a.campaign_id, a.lead_id, a.outcome \
         from call_attempt a where a.outcome in (1, 2, 3, 4) order by a.campaign_id, a.lead_id, a.outcome = 1 desc, a.seq desc) \
         select count(*) from said join lead l using (campaign_id, lead_id) \
         where (said.outcome = 1 and l.state not in (4, 9)) or (said.outcome in (2, 4) and l.state not in (5, 9))";
    assert_eq!(database.count(undecided).await, 0, "seed {seed}: what was said does not decide");
}

/// Leads that may yet be called.
const OPEN: &str = "from lead_view v join campaign c using (campaign_id) where not v.blocked and (v.state in (2, 3, 8) \
     or v.attempts < c.max_attempts and (v.state = 1 or v.state in (6, 7) and v.last_outcome not in (10, 11)))";

/// With time and dialers enough every lead that may be called is called: none was lost on the way.
async fn drain(world: &mut World, life: &Life, seed: u64) {
    operators::open_all(life, &mut world.campaigns, &mut world.scheduler).await;
    for _ in 0..25 {
        world.advance(Duration::from_secs(24 * 3600)).await;
        dialers::call_all(life, world).await;
        if world.database.count(&format!("select count(*) {OPEN}")).await == 0 {
            let incomplete = "select count(*) from campaign c where not campaign_is_complete(c.campaign_id)";
            assert_eq!(
                world.database.count(incomplete).await,
                0,
                "seed {seed}: nobody is left, and it is not complete"
            );
            return;
        }
    }
    let left = format!(
        "select format('%s state %s attempts %s not before %s reason %s last %s', v.lead_id, v.state, v.attempts, v.not_before, v.waiting_reason, v.last_outcome) {OPEN}"
    );
    let left: Vec<String> = world.database.sql.query(&left, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    panic!("seed {seed}: leads that nobody ever calls: {left:#?}");
}

async fn live(seed: u64, engines: usize) {
    println!("seed {seed}, {engines} engines");
    if std::env::var("RUST_LOG").is_ok() {
        dialplane::telemetry::start(false);
    }
    let mut world = World::with(settings()).await;
    let mut others: Vec<Replica> = Vec::new();
    for _ in 1..engines {
        others.push(world.another_engine().await);
    }
    let first = world.campaign(life_rules(3)).await;
    let second = world.campaign(life_rules(MAX_ATTEMPTS)).await;
    world.add(&first, (0..14).map(lead_nowhere).collect()).await;
    world.add(&second, (7..21).map(lead_nowhere).collect()).await;
    let mut clients = vec![(world.campaigns.clone(), world.scheduler.clone())];
    clients.extend(others.iter().map(|other| (other.campaigns.clone(), other.scheduler.clone())));
    let ledger = Ledger::new(&second);
    let life = Arc::new(Life { clients, campaigns: [first, second], ledger: Mutex::new(ledger) });
    for number in 0..PHASES {
        phase(&life, &world.database, seed, number).await;
        quiesce(&world.database).await;
        check(&life, &world.database, seed).await;
    }
    drain(&mut world, &life, seed).await;
    quiesce(&world.database).await;
    check(&life, &world.database, seed).await;
    println!("seed {seed}: {}", life.ledger().summary());
    for other in others {
        other.running.stop().await.unwrap();
    }
    world.stop().await;
}

/// The seed asked for, or some fixed ones and a new one.
fn seeds(base: u64) -> Vec<u64> {
    match std::env::var("DIALPLANE_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => vec![base, base + 1, rand::rng().random_range(1000..1_000_000)],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_on_one_engine_the_world_stays_in_order() {
    for seed in seeds(1) {
        live(seed, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_on_two_engines_the_world_stays_in_order() {
    for seed in seeds(101) {
        live(seed, 2).await;
    }
}
