//! Leads and chunks of leads from the wire.

use std::sync::Arc;

use tonic::Status;
use uuid::Uuid;

use super::{
    convert::{self, KEY_MAX, LEADS_MAX},
    status::Violations,
    views,
};
use crate::{
    domain::time_zone::TimeZone,
    engine::{
        Engine,
        audit::Asked,
        intake::{Chunk, ReadRows, RefusedCode, Row, SCORE_MAX},
        leads::LeadPatch,
    },
    pb,
    store::leads::LeadChange,
};

/// Refuses campaign_id with lead_id, parsed.
pub fn lead_ids(campaign_id: &str, lead_id: &str, bad: &mut Violations) -> (Uuid, Uuid) {
    (convert::id(campaign_id, "campaign_id", bad), convert::id(lead_id, "lead_id", bad))
}

/// A row as given; what the wire alone can judge is judged here, row by row.
pub fn row(lead: pb::NewLead) -> Row {
    let refused = if lead.external_id.chars().count() > KEY_MAX || lead.external_id.contains('\0') {
        Some((RefusedCode::BadExternalId, "external_id: must have at most 200 characters"))
    } else {
        convert::variables_rule(&lead.variables).map(|rule| (RefusedCode::BadVariables, rule))
    };
    Row {
        number: lead.number,
        external_id: (!lead.external_id.is_empty()).then_some(lead.external_id),
        score: lead.score,
        time_zone: (!lead.time_zone.is_empty()).then_some(lead.time_zone),
        variables: lead.variables,
        refused,
    }
}

pub fn wants_update(action: i32, bad: &mut Violations) -> bool {
    match pb::DuplicateAction::try_from(action) {
        Ok(pb::DuplicateAction::Update) => true,
        Ok(_) => false,
        Err(_) => bad.none("on_duplicate", "is not a known value").unwrap_or(false),
    }
}

pub fn count(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

/// A chunk of an import that was read, and is not written yet.
pub struct ReadChunk {
    campaign: Uuid,
    import: Uuid,
    /// With a seq above 0.
    seq: i64,
    rows: Option<ReadRows>,
    update: bool,
    asked: Asked,
}

/// Reads a chunk. Needs nothing of those before it, and may be done while they are written.
pub async fn read_chunk(
    engine: &Arc<Engine>,
    actor: &convert::Actor,
    chunk: pb::ImportLeadsRequest,
) -> Result<ReadChunk, Status> {
    let mut bad = Violations::default();
    let campaign = convert::id(&chunk.campaign_id, "campaign_id", &mut bad);
    let import = convert::id(&chunk.import_id, "import_id", &mut bad);
    let update = wants_update(chunk.on_duplicate, &mut bad);
    if chunk.seq < 0 {
        bad.add("seq", "must not be negative");
    } else if chunk.seq == 0 && !chunk.leads.is_empty() {
        bad.add("leads", "must be empty with seq 0");
    } else if chunk.seq > 0 {
        convert::size(chunk.leads.len(), LEADS_MAX, "leads", &mut bad);
    }
    bad.check()?;
    let seq = chunk.seq;
    // A chunk is a request by its place: sent twice it is answered alike.
    let asked = actor.asks_at(Uuid::new_v5(&import, &seq.to_be_bytes()), "ImportLeads", &chunk);
    let rows = if seq == 0 {
        None
    } else {
        Some(engine.read_rows(campaign, chunk.leads.into_iter().map(row).collect()).await?)
    };
    Ok(ReadChunk { campaign, import, seq, rows, update, asked })
}

/// Writes a chunk; answers once it is durable.
pub async fn import_chunk(engine: &Arc<Engine>, chunk: ReadChunk) -> Result<pb::ImportLeadsResponse, Status> {
    let ReadChunk { campaign, import, seq, rows, update, asked } = chunk;
    let Some(rows) = rows else {
        let through_seq = engine.import_through(campaign, import).await?;
        return Ok(pb::ImportLeadsResponse { through_seq, ..Default::default() });
    };
    let (report, through_seq) = engine.import_chunk(rows, update, Chunk { import, seq }, asked).await?;
    Ok(pb::ImportLeadsResponse {
        through_seq,
        seq,
        created: count(report.created),
        updated: count(report.updated),
        refused: views::refused(&report),
    })
}

pub fn lead_patch(request: &pb::UpdateLeadRequest, bad: &mut Violations) -> LeadPatch {
    let mask = request.update_mask.clone().unwrap_or_default().paths;
    if mask.is_empty() {
        bad.add("update_mask", "must name at least one field");
    }
    let mut patch = LeadPatch { change: LeadChange::default(), time_zone: None };
    for path in &mask {
        match path.as_str() {
            "score" => {
                let score = convert::number(request.score, &(0..=SCORE_MAX), "score", bad);
                patch.change.rank = i16::try_from(999 - score).ok();
            }
            "time_zone" if request.time_zone.is_empty() => patch.time_zone = Some(None),
            "time_zone" => match TimeZone::parse(&request.time_zone) {
                Ok(zone) => patch.time_zone = Some(Some(zone)),
                Err(error) => bad.add("time_zone", error.to_string()),
            },
            "external_id" => {
                patch.change.external_id =
                    Some(convert::optional_text(&request.external_id, KEY_MAX, "external_id", bad));
            }
            "variables" => {
                patch.change.variables = Some(convert::variables(request.variables.clone(), "variables", bad));
            }
            other => bad.add("update_mask", format!("`{}` cannot be changed", convert::shortened(other))),
        }
    }
    patch
}

/// What is changed of many leads at once: nothing that is one lead's own.
pub fn bulk_patch(request: &pb::UpdateLeadsRequest, bad: &mut Violations) -> LeadPatch {
    let own = ["external_id", "variables"];
    let paths = request.update_mask.clone().unwrap_or_default().paths;
    for path in paths.iter().filter(|path| own.contains(&path.as_str())) {
        bad.add("update_mask", format!("`{path}` cannot be changed of many leads at once"));
    }
    let rest = paths.into_iter().filter(|path| !own.contains(&path.as_str())).collect::<Vec<_>>();
    if rest.is_empty() && request.update_mask.as_ref().is_some_and(|mask| !mask.paths.is_empty()) {
        return LeadPatch::default();
    }
    let one = pb::UpdateLeadRequest {
        score: request.score,
        time_zone: request.time_zone.clone(),
        update_mask: Some(prost_types::FieldMask { paths: rest }),
        ..Default::default()
    };
    lead_patch(&one, bad)
}

pub fn lead_token(token: &str) -> Option<(i16, Uuid)> {
    let (rank, lead) = token.split_once('.')?;
    Some((rank.parse().ok()?, lead.parse().ok()?))
}
