//! Requests about attempts: parse, call the engine, show.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    attempt_views,
    convert::{self, KEY_MAX},
    status::Violations,
};
use crate::{engine::Engine, pb, store::attempts::AttemptFilter};

pub async fn list(
    engine: &Arc<Engine>,
    request: Request<pb::ListAttemptsRequest>,
) -> Result<Response<pb::ListAttemptsResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let filter = AttemptFilter {
        lease: convert::optional_id(&request.lease_id, "lease_id", &mut bad),
        provider_call_id: convert::optional_text(&request.provider_call_id, KEY_MAX, "provider_call_id", &mut bad),
        campaign: None,
        lead: convert::optional_id(&request.lead_id, "lead_id", &mut bad),
    };
    let campaign = convert::optional_id(&request.campaign_id, "campaign_id", &mut bad);
    if filter.lead.is_some() && campaign.is_none() {
        bad.add("campaign_id", "is required with lead_id");
    } else if filter.lease.is_none() && filter.provider_call_id.is_none() && campaign.is_none() {
        bad.add("campaign_id", "one of lease_id, provider_call_id and campaign_id is required");
    }
    let limit = convert::page_size(request.page_size, &mut bad);
    let before = convert::page_token(&request.page_token, |token| token.parse().ok(), &mut bad);
    bad.check()?;
    let (rows, next) = engine.list_attempts(filter, campaign, before, limit).await?;
    Ok(Response::new(pb::ListAttemptsResponse {
        attempts: rows.into_iter().map(attempt_views::attempt).collect(),
        next_page_token: next.map(|lease| lease.to_string()).unwrap_or_default(),
    }))
}
