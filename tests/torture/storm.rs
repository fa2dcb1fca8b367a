//! A storm from its seed to its verdict: faults for so many minutes, then calm, in which every lead must be able to finish.
//!
//! Verdicts are about safety. The only patience is with progress: leads that finish, however slowly, are waited for; when
//! none does for long, and the machine is well, one of them never will. A starved machine is never a verdict: it is told.

use std::{
    convert::Infallible,
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    carrier::now,
    checker,
    faults::{self, Stage, Track},
    history::History,
    log::Event,
    operators::until_done,
    postgres::Postgres,
    scene::{CAP, Scene},
};

/// When nothing has finished for so many turns of waiting, in which the machine was well, nothing will.
const TURNS_MAX: u32 = 180;
const TURN: Duration = Duration::from_millis(500);
/// A turn that took longer was one of a starved machine.
const STARVED: Duration = Duration::from_secs(2);
/// On a starved machine nothing finished for so long: no verdict about that.
const STARVED_MAX: Duration = Duration::from_secs(1_200);
/// How long dialers may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(120);
/// How often it is told what is waited for.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// Permits before the first fault.
const FIRST_PERMITS: usize = 30;

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
        let storm = Storm { seed, length: Duration::from_secs(35), pinned_snapshot: false };
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
            let mut terminated = signal(SignalKind::terminate()).unwrap();
            tokio::select! {
                findings = self.blow() => findings,
                _ = tokio::signal::ctrl_c() => vec!["interrupted".to_owned()],
                _ = terminated.recv() => vec!["terminated".to_owned()],
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
        let mut findings = calm(&scene, dialers).await;
        if let Some(pin) = pin {
            pin.abort();
        }
        findings.extend(scene.pen.findings());
        scene.pen.sum_up(&faults::names());
        findings.extend(self.verdict(&scene).await);
        scene.files.keep.store(!findings.is_empty(), Ordering::Relaxed);
        findings
    }

    /// All tracks side by side, until the time is over and everything is healed.
    async fn strike(self, scene: &Arc<Scene>) {
        // A slow machine takes its time before the first calls; a broken engine never makes them.
        let since = Instant::now();
        while scene.pen.permits() < FIRST_PERMITS && since.elapsed() < STARVED_MAX {
            sleep(Duration::from_millis(100)).await;
        }
        let mut rng = StdRng::seed_from_u64(self.seed);
        let stage = Arc::new(Stage::new(Arc::clone(scene), Instant::now() + self.length));
        let mut tracks = JoinSet::new();
        for track in Track::ALL {
            tracks.spawn(Arc::clone(&stage).follow(track, StdRng::seed_from_u64(rng.random())));
        }
        while let Some(done) = tracks.join_next().await {
            done.unwrap();
        }
        scene.pen.say("no more faults");
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

/// How waiting ended.
enum Waited {
    Done,
    /// Nothing went on, and the machine was to blame.
    Starved,
    Stuck(String),
}

/// Waits until `open` answers nothing. Progress is that fewer are left than ever.
async fn wait_for_none(scene: &Scene, what: &str, open: &str) -> Waited {
    let (mut fewest, mut since, mut turns, mut told) = (usize::MAX, Instant::now(), 0, Instant::now());
    loop {
        let turn = Instant::now();
        let left = ask(&scene.postgres, open).await;
        if left.is_empty() {
            return Waited::Done;
        }
        sleep(TURN).await;
        if left.len() < fewest {
            (fewest, since, turns) = (left.len(), Instant::now(), 0);
        } else if turn.elapsed() > STARVED {
            scene.pen.odd("the machine is starved");
        } else {
            turns += 1;
        }
        if told.elapsed() > TELL_EVERY {
            scene.pen.say(&format!("{what}: {} left, such as {}", left.len(), left[0]));
            told = Instant::now();
        }
        if turns > TURNS_MAX {
            let shown: Vec<&str> = left.iter().take(10).map(String::as_str).collect();
            return Waited::Stuck(format!("{what}: {} left\n  {}", left.len(), shown.join("\n  ")));
        }
        if since.elapsed() > STARVED_MAX {
            return Waited::Starved;
        }
    }
}

/// Faults are over: everybody is back, and every lead that may be called is called until it is finished.
async fn calm(scene: &Scene, mut dialers: JoinSet<()>) -> Findings {
    scene.heal().await;
    let operators = &scene.operators;
    until_done(|| operators.patient_engine(CAP)).await;
    until_done(|| operators.call_rate(None)).await;
    // A number may be due in a minute by the rules: they have been under way for long enough.
    until_done(|| operators.number_rules(None)).await;
    for campaign in &scene.campaigns {
        until_done(|| operators.patient_campaign(*campaign)).await;
        until_done(|| operators.run(*campaign, true)).await;
    }
    scene.pen.say("calm");
    scene.calm.store(true, Ordering::Relaxed);
    // Back-offs and spent attempts are of the generation before.
    for campaign in &scene.campaigns {
        until_done(|| operators.reset(*campaign, None)).await;
    }
    for dialer in &scene.dialers {
        dialer.tell_what_was_held_back().await;
    }
    let open = "select v::text from lead_view v where not blocked and not do_not_call \
                and (state in (1, 2, 3, 8) or state in (6, 7) and not_before is not null)";
    let mut findings = Findings::new();
    let waited = tokio::select! {
        waited = wait_for_none(scene, "leads that are not finished", open) => waited,
        never = keep_promises_near(scene) => match never {},
    };
    match waited {
        Waited::Done => {}
        Waited::Stuck(leads) => findings.push(leads),
        Waited::Starved => {
            scene.pen.say("STARVED: nothing goes on; what is judged is safety, not whether all came to an end");
            scene.stop.store(true, Ordering::Relaxed);
            return findings;
        }
    }
    findings.extend(finish(scene, &mut dialers).await);
    findings
}

/// A promise that came back from dialers five times in a row backs off for minutes, and no reset touches it: operators
/// promise it anew.
async fn keep_promises_near(scene: &Scene) -> Infallible {
    let far = "select c.public_id || ' ' || v.lead_id from lead_view v join campaign c using (campaign_id) \
               where v.state = 8 and not v.blocked and v.not_before > now() + interval '10 seconds'";
    loop {
        for row in ask(&scene.postgres, far).await {
            let (campaign, lead) = row.split_once(' ').unwrap();
            scene.operators.promise(campaign, lead, now() + 1_000_000).await;
        }
        sleep(TELL_EVERY).await;
    }
}

/// Dialers stop; what they held ends by itself; the books are balanced.
async fn finish(scene: &Scene, dialers: &mut JoinSet<()>) -> Findings {
    scene.stop.store(true, Ordering::Relaxed);
    if timeout(STOP_WITHIN, async { while dialers.join_next().await.is_some() {} }).await.is_err() {
        scene.pen.odd("a dialer did not stop");
    }
    let mut findings = Findings::new();
    match wait_for_none(scene, "leases that do not end", "select z::text from lease z").await {
        Waited::Done => scene.pen.write(&Event::Calm { at: now() }),
        Waited::Stuck(leases) => findings.push(leases),
        Waited::Starved => return findings,
    }
    let broken = ask(&scene.postgres, "select v::text from invariant_violation v").await;
    findings.extend(broken.into_iter().map(|row| format!("invariant broken: {row}")));
    let gauges = "select g::text from gauge g where dialing <> 0";
    findings.extend(ask(&scene.postgres, gauges).await.into_iter().map(|row| format!("a gauge is left over: {row}")));
    let calls = "select count(*)::text || ' leases ended, ' || count(*) filter (where outcome is not null) || ' calls'\
                 from call_attempt";
    scene.pen.say(&ask(&scene.postgres, calls).await.join(""));
    findings
}
