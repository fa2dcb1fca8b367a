//! Campaigns and their leads, imported through the public API as a client would.

use dialplane::pb::{CreateCampaignRequest, ImportLeadsRequest, NewLead};
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::{
    Fallible, Scale, floor,
    report::Report,
    world::{Postgres, World, on_stage},
};

/// Rows of a chunk, and chunks under way at once.
const CHUNK_ROWS: usize = 2_000;
const CHUNKS_IN_FLIGHT: usize = 4;

/// A campaign, not started.
pub struct Campaign {
    /// As clients know it.
    pub id: String,
    /// As the database knows it.
    pub key: i32,
}

/// Imports by ImportLeads, beside `\copy` of the same leads.
pub async fn measure(postgres: &Postgres, scale: Scale, report: &mut Report) -> Fallible<()> {
    on_stage(postgres, "intake", async |world| {
        for _ in 0..scale.rounds {
            let (campaign, per_second) = fill(world, scale.imported).await?;
            report.sample("import.rows_per_second", per_second);
            floor::copy(world, campaign.key, scale.imported, report).await?;
        }
        report.ratio("import.ratio", "import.rows_per_second", "floor.copy_per_second");
        report.ratio("import.unindexed_ratio", "import.rows_per_second", "floor.copy_unindexed_per_second");
        Ok(())
    })
    .await
}

/// Creates a campaign with the world's rules and imports leads.
pub async fn fill(world: &mut World, leads: usize) -> Fallible<(Campaign, f64)> {
    let campaign = create(world).await?;
    let known = world.number("select count(*) from lead").await?;
    let rows: Vec<NewLead> = (usize::try_from(known)?..).take(leads).map(lead).collect();
    let import_id = Uuid::new_v4().to_string();
    let mut chunks: Vec<ImportLeadsRequest> = rows
        .chunks(CHUNK_ROWS)
        .zip(1..)
        .map(|(leads, seq)| ImportLeadsRequest {
            campaign_id: campaign.id.clone(),
            import_id: import_id.clone(),
            seq,
            leads: leads.to_vec(),
            ..ImportLeadsRequest::default()
        })
        .collect();
    chunks.reverse();
    let started = Instant::now();
    let (sender, receiver) = mpsc::channel(CHUNKS_IN_FLIGHT);
    for chunk in (0..CHUNKS_IN_FLIGHT).map_while(|_| chunks.pop()) {
        sender.send(chunk).await?;
    }
    let mut answers = world.campaigns.import_leads(ReceiverStream::new(receiver)).await?.into_inner();
    let mut created = 0;
    while created < leads {
        let answer = answers.message().await?.ok_or("the import ended early")?;
        created += usize::try_from(answer.created)?;
        if let Some(refused) = answer.refused.first() {
            return Err(format!("a lead was refused: {}", refused.reason).into());
        }
        if let Some(chunk) = chunks.pop() {
            sender.send(chunk).await?;
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let per_second = leads as f64 / started.elapsed().as_secs_f64();
    Ok((campaign, per_second))
}

/// Creates a campaign with the world's rules.
pub async fn create(world: &mut World) -> Fallible<Campaign> {
    let rules = Some(world.rules.clone());
    let request = CreateCampaignRequest { name: "Bench".into(), rules, request_id: String::new() };
    let campaign = world.campaigns.create_campaign(request).await?.into_inner().campaign.unwrap_or_default();
    let id: Uuid = campaign.campaign_id.parse()?;
    let row = world.sql.query_one("select campaign_id from campaign where public_id = $1", &[&id]).await?;
    Ok(Campaign { id: campaign.campaign_id, key: row.try_get(0)? })
}

/// The nth lead: a number of its own, a score that has nothing to do with its place, two variables.
fn lead(n: usize) -> NewLead {
    let score = i32::try_from(n.wrapping_mul(7_919) % 64).unwrap_or(0);
    NewLead {
        number: format!("+1{}{:07}", 201 + n / 10_000_000, n % 10_000_000),
        score: Some(score),
        variables: [("name".to_owned(), format!("Lead {n}")), ("policy".to_owned(), format!("P-{n:08}"))].into(),
        ..NewLead::default()
    }
}
