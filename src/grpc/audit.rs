//! Requests about the audit log: parse, call the engine, show.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    convert::{self, KEY_MAX, timestamp},
    status::Violations,
    views,
};
use crate::{
    domain::phone_number::PhoneNumber,
    engine::Engine,
    pb,
    store::audit::{AuditFilter, AuditRow},
};

pub async fn list(
    engine: &Arc<Engine>,
    request: Request<pb::ListAuditEventsRequest>,
) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let campaign = convert::optional_id(&request.campaign_id, "campaign_id", &mut bad);
    let number = match request.number.as_str() {
        "" => None,
        text => PhoneNumber::parse(text, None).map_err(|error| bad.add("number", error.to_string())).ok(),
    };
    let filter = AuditFilter {
        campaign: None,
        lead: convert::optional_id(&request.lead_id, "lead_id", &mut bad),
        number: number.map(PhoneNumber::digits),
        method: convert::optional_text(&request.method, KEY_MAX, "method", &mut bad),
        actor: convert::optional_text(&request.actor, KEY_MAX, "actor", &mut bad),
        since: request.since.and_then(|at| convert::instant(at, "since", &mut bad)),
        until: request.until.and_then(|at| convert::instant(at, "until", &mut bad)),
    };
    let limit = convert::page_size(request.page_size, &mut bad);
    let before = convert::page_token(&request.page_token, |token| token.parse().ok(), &mut bad);
    bad.check()?;
    let (rows, next) = engine.list_audit_events(filter, campaign, before, limit).await?;
    Ok(Response::new(pb::ListAuditEventsResponse {
        events: rows.into_iter().map(event).collect(),
        next_page_token: next.map(|event| event.to_string()).unwrap_or_default(),
    }))
}

fn event(row: AuditRow) -> pb::AuditEvent {
    let id = |id: Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
    pb::AuditEvent {
        event_id: row.event.to_string(),
        at: Some(timestamp(row.at)),
        actor: row.actor,
        method: row.method,
        request_id: id(row.request),
        campaign_id: id(row.campaign),
        lead_id: id(row.lead),
        numbers: row.numbers.into_iter().map(views::e164).collect(),
        details: row.details,
    }
}
