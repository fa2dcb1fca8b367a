//! A storm from its seed to its verdict: faults for so many minutes, then calm, in which every lead must be able to finish.
//!
//! Verdicts are about safety. The only patience is with progress: what changes, however slowly, is waited for.

use std::{
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use tokio::{
    runtime::Runtime,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    carrier::now,
    checker,
    faults::{Kind, Stage},
    history::History,
    log::Event,
    operators::until_done,
    postgres::Postgres,
    scene::{CAP, Scene},
};

/// When nothing has changed for as long, nothing will.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it is told what is waited for.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Between two faults.
const GAP: std::ops::Range<u64> = 100..1_100;

/// Which storm.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    pub seed: u64,
    pub length: Duration,
    /// A transaction holds a snapshot for all of it.
    pub pinned_snapshot: bool,
}

/// Part of every run of the tests: two minutes in all.
pub fn on_fixed_seeds() {
    for seed in [1, 2] {
        let storm = Storm { seed, length: Duration::from_secs(30), pinned_snapshot: false };
        storm.run().unwrap_or_else(|report| panic!("{report}"));
    }
}

type Findings = Vec<String>;

impl Storm {
    /// The storm as a program: its verdict is its exit status.
    pub fn main(self) -> ExitCode {
        match self.run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(report) => {
                eprintln!("{report}");
                ExitCode::FAILURE
            }
        }
    }

    /// Storms; the findings, if there are any, name the seed.
    pub fn run(self) -> Result<(), String> {
        let runtime = Runtime::new().unwrap();
        let findings = runtime.block_on(async {
            tokio::select! {
                findings = self.blow() => findings,
                _ = tokio::signal::ctrl_c() => vec!["interrupted".to_owned()],
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
        if findings.is_empty() {
            println!("SEED={}: nothing is broken", self.seed);
            return Ok(());
        }
        let minutes = self.length.as_secs_f64() / 60.0;
        Err(format!("{}\nfailed with SEED={} MINUTES={minutes:.2}", findings.join("\n"), self.seed))
    }

    async fn blow(self) -> Findings {
        println!("SEED={}: a storm of {:?}", self.seed, self.length);
        let scene = Arc::new(Scene::build(self.seed).await);
        let pin = self.pinned_snapshot.then(|| tokio::spawn(pin(Arc::clone(&scene))).abort_handle());
        let dialers = scene.dial();
        self.strike(&scene).await;
        let mut findings = calm(&scene).await;
        if let Some(pin) = pin {
            pin.abort();
        }
        findings.extend(finish(&scene, dialers).await);
        scene.pen.sum_up();
        findings.extend(self.verdict(&scene).await);
        scene.files.keep.store(!findings.is_empty(), Ordering::Relaxed);
        findings
    }

    /// Every kind once, in the seed's order, then every kind again, until the time is over.
    async fn strike(self, scene: &Arc<Scene>) {
        let mut rng = StdRng::seed_from_u64(self.seed);
        let mut faults = JoinSet::new();
        let mut bag: Vec<Kind> = Vec::new();
        // The first calls are under way.
        sleep(Duration::from_secs(2)).await;
        let over = Instant::now() + self.length;
        let stage = Arc::new(Stage::new(Arc::clone(scene), over));
        while Instant::now() < over {
            if bag.is_empty() {
                bag = Kind::all();
                bag.shuffle(&mut rng);
            }
            let kind = bag.pop().unwrap();
            let mut own = StdRng::seed_from_u64(rng.random());
            let stage = Arc::clone(&stage);
            faults.spawn(async move { stage.inject(kind, &mut own).await });
            sleep(Duration::from_millis(rng.random_range(GAP))).await;
        }
        scene.pen.say("no more faults; the last ones heal");
        while let Some(done) = faults.join_next().await {
            done.unwrap();
        }
    }

    /// What the oracle, who knows nothing of the engine, says of the logs.
    async fn verdict(&self, scene: &Scene) -> Findings {
        let events = scene.events();
        let events = [events.to_str().unwrap()];
        let history = loop {
            match History::read(&scene.rings(), &events, &scene.postgres.url()).await {
                Ok(history) => break history,
                Err(error) => scene.pen.odd(&format!("the history cannot be read: {error}")),
            }
            sleep(Duration::from_secs(1)).await;
        };
        let verdict = checker::check(&history);
        println!("\n{verdict}");
        verdict.violations.iter().map(|one| format!("guarantee {}: {}", one.guarantee, one.text)).collect()
    }
}

/// Holds a snapshot, again after each end of the database.
async fn pin(scene: Arc<Scene>) {
    loop {
        if let Ok(client) = scene.postgres.connect().await
            && client.batch_execute("begin isolation level repeatable read; select count(*) from lead").await.is_ok()
        {
            scene.pen.fault("SnapshotPinned", "until the database ends it");
            while client.simple_query("select 1").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// One row of the database, however often it must be asked.
async fn ask(postgres: &Postgres, sql: &str) -> Vec<String> {
    loop {
        if let Ok(client) = postgres.connect().await
            && let Ok(rows) = client.query(sql, &[]).await
        {
            return rows.iter().map(|row| row.get::<_, Option<String>>(0).unwrap_or_default()).collect();
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until `open` answers nothing; gives up when `progress` stands still.
async fn wait_for_none(scene: &Scene, what: &str, open: &str, progress: &str) -> Findings {
    let (mut seen, mut since, mut told) = (Vec::new(), Instant::now(), Instant::now());
    loop {
        let left = ask(&scene.postgres, open).await;
        if left.is_empty() {
            return Findings::new();
        }
        let state = ask(&scene.postgres, progress).await;
        if state != seen {
            (seen, since) = (state, Instant::now());
        }
        if told.elapsed() > TELL_EVERY {
            scene.pen.say(&format!("{what}: {} left, such as {}", left.len(), left[0]));
            told = Instant::now();
        }
        if since.elapsed() > PATIENCE {
            let shown: Vec<&str> = left.iter().take(10).map(String::as_str).collect();
            return vec![format!("{what}: {} left; {seen:?}\n  {}", left.len(), shown.join("\n  "))];
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// Faults are over: everybody is back, and every lead that may be called is called until it is finished.
async fn calm(scene: &Scene) -> Findings {
    scene.heal().await;
    let operators = &scene.operators;
    until_done(|| operators.engine_cap(CAP)).await;
    for campaign in &scene.campaigns {
        until_done(|| operators.campaign_cap(*campaign, None)).await;
        until_done(|| operators.run(*campaign, true)).await;
    }
    scene.pen.say("calm");
    scene.pen.write(&Event::Calm { at: now() });
    scene.calm.store(true, Ordering::Relaxed);
    // Back-offs and spent attempts are of the generation before.
    for campaign in &scene.campaigns {
        until_done(|| operators.reset(*campaign, None)).await;
    }
    let open = "select v::text from lead_view v where not blocked and not do_not_call \
                and (state in (1, 2, 3, 8) or state in (6, 7) and not_before is not null)";
    let progress = "select concat_ws(' ', campaign_id, eligible, ready, dialing, intent_no, no_answer, failed, scheduled, \
                    (select count(*) from call_attempt)) from gauge order by 1";
    wait_for_none(scene, "leads that are not finished", open, progress).await
}

/// Dialers stop; what they held ends by itself; the books are balanced.
async fn finish(scene: &Scene, mut dialers: JoinSet<()>) -> Findings {
    scene.stop.store(true, Ordering::Relaxed);
    let stopped = timeout(PATIENCE, async { while dialers.join_next().await.is_some() {} }).await;
    let mut findings = Findings::new();
    if stopped.is_err() {
        scene.pen.odd("a dialer did not stop");
    }
    let live = "select z::text from lease z";
    findings.extend(wait_for_none(scene, "leases that do not end", live, "select count(*)::text from lease").await);
    let broken = ask(&scene.postgres, "select v::text from invariant_violation v").await;
    findings.extend(broken.into_iter().map(|row| format!("invariant broken: {row}")));
    let gauges = "select g::text from gauge g where dialing <> 0";
    findings.extend(ask(&scene.postgres, gauges).await.into_iter().map(|row| format!("a gauge is left over: {row}")));
    let calls = "select count(*)::text || ' leases ended, ' || count(*) filter (where outcome is not null) || ' calls'\
                 from call_attempt";
    scene.pen.say(&ask(&scene.postgres, calls).await.join(""));
    findings
}
