//! Long lists: leads that are laid straight into the tables, since a million of them would take half a minute through the API.
//! They are what an import would have made; `invariant_violation` is asked whether they are.

use tokio::time::Instant;

use super::{
    Fallible,
    intake::{self, Campaign},
    world::{self, Postgres, World},
};

/// As long as what lives in seconds at a pace.
pub const SHORT: usize = 200_000;

/// The same leads as `intake::lead` makes; ids rise, as those of an import do. Numbers are not those of other campaigns.
const FILL: &str = "
insert into lead (campaign_id, lead_id, number, rank, variables, created_at, updated_at)
select $1, (b.prefix || lpad(to_hex(g), 20, '0'))::uuid, 12010000000 + b.known + g, 999 - ((b.known + g) * 7919) % 64,
    jsonb_build_object('name', 'Lead ' || (b.known + g), 'policy', 'P-' || lpad((b.known + g)::text, 8, '0')), b.at, b.at
from (select lpad(to_hex((extract(epoch from now()) * 1000)::bigint), 12, '0') as prefix, now() as at,
          (select count(*) from lead) as known) as b, generate_series(0, $2::bigint - 1) g";

/// What is slow to keep in order row by row, and made anew afterwards.
const INDEXES: &str = "
select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
from pg_index i where i.indrelid = 'lead'::regclass and not i.indisprimary";

/// Creates a campaign and lays leads into its list; it is not started. Nobody else may use the engine meanwhile.
pub async fn fill_leads(world: &mut World, leads: usize) -> Fallible<Campaign> {
    let campaign = intake::create(world).await?;
    // A list that is there already keeps its indexes.
    let alone = world.sql.query_opt("select from lead limit 1", &[]).await?.is_none();
    let indexes = if alone { world.sql.query(INDEXES, &[]).await? } else { Vec::new() };
    for index in &indexes {
        world.sql.batch_execute(&format!("drop index {}", index.try_get::<_, String>(0)?)).await?;
    }
    world.sql.execute(FILL, &[&campaign.key, &i64::try_from(leads)?]).await?;
    for index in &indexes {
        world.sql.batch_execute(index.try_get(1)?).await?;
    }
    let count = "update gauge set eligible = eligible + $2 where campaign_id = $1";
    world.sql.execute(count, &[&campaign.key, &i32::try_from(leads)?]).await?;
    world.sql.batch_execute("vacuum (analyze) lead").await?;
    Ok(campaign)
}

/// Writes to each page of a list that was not touched since it was filled. The first write to a page after a checkpoint logs the
/// page, and making a database is a checkpoint: a run of seconds would measure that and not lives, of which there are millions
/// between two checkpoints.
pub async fn touch(sql: &tokio_postgres::Client) -> Fallible<()> {
    Ok(sql.batch_execute("vacuum (freeze) lead").await?)
}

/// Every lead is in one place, and the gauges are counts: speed that loses count is no speed.
pub async fn verify(world: &World) -> Fallible<()> {
    let started = Instant::now();
    match world.number("select count(*) from invariant_violation").await? {
        0 => {
            println!("  every lead is in its place ({:.1} s)", started.elapsed().as_secs_f64());
            Ok(())
        }
        violations => Err(format!("{violations} invariants are violated").into()),
    }
}

/// Plays on a stage of its own with a list, which is filled once per run and copied for each that wants it.
pub async fn with_list(
    postgres: &Postgres,
    database: &str,
    leads: usize,
    play: impl AsyncFnOnce(&mut World, &Campaign) -> Fallible<()>,
) -> Fallible<()> {
    let list = prepared(postgres, leads).await?;
    postgres.create(database, Some(&list)).await?;
    world::on(postgres, database, async |world| {
        let campaign = only_campaign(&world.sql).await?;
        play(world, &campaign).await
    })
    .await
}

/// The database with a list of so many leads, which nobody uses.
pub async fn prepared(postgres: &Postgres, leads: usize) -> Fallible<String> {
    let list = format!("list_{leads}");
    if !postgres.has(&list).await? {
        let filling = format!("{list}_filling");
        postgres.create(&filling, None).await?;
        let started = Instant::now();
        world::on_kept(postgres, &filling, async |world| {
            fill_leads(world, leads).await?;
            verify(world).await
        })
        .await?;
        postgres.rename(&filling, &list).await?;
        println!("  a list of {leads} leads: {:.1} s", started.elapsed().as_secs_f64());
    }
    Ok(list)
}

/// The campaign of a copied list.
pub async fn only_campaign(sql: &tokio_postgres::Client) -> Fallible<Campaign> {
    let row = sql.query_one("select public_id::text, campaign_id from campaign", &[]).await?;
    Ok(Campaign { id: row.try_get(0)?, key: row.try_get(1)? })
}
