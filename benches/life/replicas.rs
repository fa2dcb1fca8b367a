//! Two engines on one database beside one: the same dialers, spread over both.

use std::time::Duration;

use super::{Fallible, Scale, lists, lives, report::Report, world::Postgres};

/// So that a list of a million is long enough for both.
const ROUNDS: usize = 3;
const WINDOW: Duration = Duration::from_secs(2);

/// Life rates of one engine and of two, by turns.
pub async fn measure(postgres: &Postgres, scale: Scale, report: &mut Report) -> Fallible<()> {
    lists::with_list(postgres, "replicas", scale.leads, async |world, campaign| {
        lists::touch(&world.sql).await?;
        for _ in 0..ROUNDS {
            let one = lives::window(world, campaign, &lives::IN_BATCHES, WINDOW).await?;
            report.sample("replicas.one_per_second", one.per_second);
            world.add_engine().await?;
            let two = lives::window(world, campaign, &lives::IN_BATCHES, WINDOW).await?;
            report.sample("replicas.two_per_second", two.per_second);
            world.drop_engine().await;
        }
        report.ratio("replicas.ratio", "replicas.two_per_second", "replicas.one_per_second");
        lists::verify(world).await
    })
    .await
}
