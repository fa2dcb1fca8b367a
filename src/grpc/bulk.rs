//! Requests that change many leads: parse, call the engine, show.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    convert::{self, BATCH_MAX},
    lead_filter, lead_requests,
    status::Violations,
    views,
};
use crate::{
    domain::{ids::LeadId, lead::LeadState},
    engine::{
        Engine,
        bulk::{BulkChange, BulkReport},
    },
    pb,
};

pub async fn consume(
    engine: &Arc<Engine>,
    request: Request<pb::ConsumeLeadsRequest>,
) -> Result<Response<pb::ConsumeLeadsResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("ConsumeLeads", &request, |r| &mut r.request_id, &mut bad);
    let campaign = convert::id(&request.campaign_id, "campaign_id", &mut bad);
    let filter = request.filter.as_ref().map(|given| lead_filter::parse(given, &mut bad));
    let listed = !request.lead_ids.is_empty();
    let matching = convert::by_filter(listed, filter.as_ref().map(|(_, any)| *any), "lead_ids", &mut bad);
    let leads = if matching { Vec::new() } else { convert::ids(&request.lead_ids, "lead_ids", BATCH_MAX, &mut bad) };
    bad.check()?;
    let Some((filter, _)) = filter else {
        let results = engine.consume_leads(campaign, leads, request.validate_only, asked).await?;
        return Ok(Response::new(named(results)));
    };
    let change = BulkChange::Consume;
    let report = engine.change_matching_leads(campaign, filter, change, request.validate_only, asked).await?;
    Ok(Response::new(pb::ConsumeLeadsResponse { results: Vec::new(), ..counted(&report) }))
}

fn counted(report: &BulkReport) -> pb::ConsumeLeadsResponse {
    let refused = report.refused.iter().filter_map(|(code, leads)| Some((LeadState::from_code(*code)?, *leads)));
    pb::ConsumeLeadsResponse {
        results: Vec::new(),
        matched: report.matched,
        consumed: report.changed,
        refused: refused.map(|(state, leads)| pb::StateCount { state: views::state(state), leads }).collect(),
    }
}

/// The same counts for leads that were named.
fn named(results: Vec<(LeadId, Option<LeadState>, bool)>) -> pb::ConsumeLeadsResponse {
    let mut report = BulkReport::default();
    for (state, consumed) in results.iter().filter_map(|(_, state, consumed)| Some(((*state)?, *consumed))) {
        report.add(state, consumed);
    }
    let results = results.into_iter().map(|(lead, before, consumed)| pb::ConsumeResult {
        lead_id: lead.to_string(),
        consumed,
        previous_state: before.map_or(0, views::state),
    });
    pb::ConsumeLeadsResponse { results: results.collect(), ..counted(&report) }
}

pub async fn update(
    engine: &Arc<Engine>,
    request: Request<pb::UpdateLeadsRequest>,
) -> Result<Response<pb::UpdateLeadsResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("UpdateLeads", &request, |r| &mut r.request_id, &mut bad);
    let campaign = convert::id(&request.campaign_id, "campaign_id", &mut bad);
    let (filter, any) = lead_filter::parse(&request.filter.clone().unwrap_or_default(), &mut bad);
    if !any {
        bad.add("filter", "must have at least one condition");
    }
    let patch = lead_requests::bulk_patch(&request, &mut bad);
    bad.check()?;
    let change = BulkChange::Update(patch);
    let report = engine.change_matching_leads(campaign, filter, change, request.validate_only, asked).await?;
    Ok(Response::new(pb::UpdateLeadsResponse { matched: report.matched, updated: report.changed }))
}
