//! What dialers cost that have nothing to do: streams that are open and heartbeats.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Fallible, Scale,
    crew::{Crew, Shape},
    intake, lives,
    report::Report,
    world::{Postgres, cpu_ms_of_family, on_stage},
};

/// Two thousand dialers, as many streams as a connection bears.
const IDLE: Shape = Shape { sessions: 2_000, slots: 10, channels: 20, ..Shape::PLAIN };
/// After the last one has opened.
const SETTLE: Duration = Duration::from_secs(2);
const LASTS: Duration = Duration::from_secs(10);

/// Percent of a core over a while in which nothing happens: their campaign runs and has no leads.
pub async fn measure(postgres: &Postgres, _: Scale, report: &mut Report) -> Fallible<()> {
    on_stage(postgres, "sessions", async |world| {
        let campaign = intake::create(world).await?;
        lives::start(world, &campaign).await?;
        let crew = Crew::open(world, &campaign.id, &IDLE).await?;
        sleep(SETTLE).await;
        let used = |world: &super::world::World| [world.engine_cpu_ms(), cpu_ms_of_family(world.postgres_pid)];
        let (before, started) = (used(world), Instant::now());
        sleep(LASTS).await;
        let (after, elapsed_ms) = (used(world), started.elapsed().as_secs_f64() * 1_000.0);
        crew.close().await?;
        for (n, key) in ["sessions.cpu", "sessions.postgres_cpu"].into_iter().enumerate() {
            report.sample(key, (after[n] - before[n]) * 100.0 / elapsed_ms);
        }
        Ok(())
    })
    .await
}
