//! Faults of engines.

use std::time::Duration;

use nix::sys::signal::Signal;
use rand::{Rng as _, rngs::StdRng};
use tokio::{sync::MutexGuard, time::sleep};

use super::{ENGINES_AT_ONCE, Kind, Stage, millis};
use crate::{
    dialer::SESSION_TTL,
    scene::{DIALERS, ENGINES},
};

impl Stage {
    /// An engine that no other fault has.
    async fn some_engine(&self, rng: &mut StdRng) -> (usize, MutexGuard<'_, ()>) {
        let first = rng.random_range(0..ENGINES);
        for number in (first..first + ENGINES).map(|number| number % ENGINES) {
            if let Ok(own) = self.engines[number].try_lock() {
                return (number, own);
            }
        }
        (first, self.engines[first].lock().await)
    }

    pub(super) async fn engine(&self, kind: Kind, rng: &mut StdRng) {
        let needed = if kind == Kind::RollingRestart { ENGINES_AT_ONCE } else { 1 };
        let _lives = self.lives.acquire_many(needed).await.unwrap();
        let (number, _own) = self.some_engine(rng).await;
        if self.is_over() {
            return;
        }
        let engine = &self.scene.engines[number];
        match kind {
            Kind::Failpoint(point) => self.arm(kind, point, number, rng).await,
            Kind::EngineKilled => {
                self.fault(kind, &engine.name);
                engine.kill(None);
            }
            Kind::EngineStopped => {
                let during = SESSION_TTL + millis(rng, 300..4_000);
                self.fault(kind, &format!("{}, {during:?}", engine.name));
                engine.signal(Signal::SIGSTOP);
                sleep(during).await;
                engine.signal(Signal::SIGCONT);
            }
            _ => {
                self.fault(kind, "one after the other");
                for engine in &self.scene.engines {
                    engine.stop().await;
                    sleep(millis(rng, 200..1_500)).await;
                }
            }
        }
        self.recovered().await;
    }

    /// Starts an engine that dies at a point, and gives it reason to pass there.
    async fn arm(&self, kind: Kind, point: &'static str, number: usize, rng: &mut StdRng) {
        let passes = match point.split('_').next() {
            Some("reset" | "import") => 0,
            Some("release" | "refill" | "grant") => rng.random_range(0..3),
            _ => rng.random_range(0..8),
        };
        self.fault(kind, &format!("engine-{number}, after {passes} passes"));
        // `n*off` lets n pass.
        let count = if passes == 0 { String::new() } else { format!("{passes}*off->") };
        self.scene.engines[number].kill(Some(format!("{point}={count}return")));
        for _ in 0..30 {
            sleep(Duration::from_millis(200)).await;
            if self.scene.engines[number].is_disarmed() {
                return;
            }
            self.lure(point, number, rng).await;
        }
    }

    /// Something that leads an engine past a point. Dialers ask for permits and report everywhere anyway.
    async fn lure(&self, point: &str, number: usize, rng: &mut StdRng) {
        let scene = &self.scene;
        let campaign = scene.campaigns[rng.random_range(0..scene.campaigns.len())];
        match point.split('_').next() {
            Some("reset") => {
                scene.operators.reset(campaign, Some(number)).await;
            }
            Some("import") => {
                let first = self.fresh_numbers(10).await;
                scene.operators.import(campaign, first..first + 10, Some(number)).await;
            }
            Some("release") => {
                scene.operators.revoke_some(Some(number), rng).await;
            }
            Some("grant" | "refill") => {
                // A dialer looks for another engine.
                let links = &scene.dialer_links[rng.random_range(0..DIALERS)];
                links.iter().enumerate().filter(|(engine, _)| *engine != number).for_each(|(_, link)| link.cut());
            }
            _ => {}
        }
    }
}
