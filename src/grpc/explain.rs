//! Requests for reasons: parse, call the engine, show.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    convert::{self, timestamp},
    lead_requests,
    status::Violations,
    views,
};
use crate::{domain::callability::Failed, engine::Engine, pb};

pub async fn lead(
    engine: &Arc<Engine>,
    request: Request<pb::ExplainLeadRequest>,
) -> Result<Response<pb::ExplainLeadResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let (campaign, lead) = lead_requests::lead_ids(&request.campaign_id, &request.lead_id, &mut bad);
    let at = request.at.and_then(|at| convert::instant(at, "at", &mut bad));
    bad.check()?;
    let told = engine.explain_lead(campaign, lead, at).await?;
    Ok(Response::new(pb::ExplainLeadResponse {
        at: Some(timestamp(told.at)),
        callable: told.failed.is_empty(),
        failed: told.failed.into_iter().map(failed).collect(),
        first_callable_at: told.first_callable_at.map(timestamp),
        state: views::state(told.state),
    }))
}

pub async fn campaign(
    engine: &Arc<Engine>,
    request: Request<pb::ExplainCampaignRequest>,
) -> Result<Response<pb::ExplainCampaignResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let campaign = convert::id(&request.campaign_id, "campaign_id", &mut bad);
    let at = request.at.and_then(|at| convert::instant(at, "at", &mut bad));
    bad.check()?;
    let told = engine.explain_campaign(campaign, at).await?;
    let counts = told.counts.into_iter().map(|count| pb::ConditionCount {
        condition: i32::from(count.condition as i16),
        leads: count.leads,
        next_change_at: count.next.map(timestamp),
    });
    Ok(Response::new(pb::ExplainCampaignResponse {
        at: Some(timestamp(told.at)),
        leads: told.leads,
        callable: told.callable,
        failed: told.failed.into_iter().map(failed).collect(),
        counts: counts.collect(),
        first_callable_at: told.first_callable_at.map(timestamp),
    }))
}

fn failed(one: Failed) -> pb::FailedCondition {
    pb::FailedCondition {
        condition: i32::from(one.condition as i16),
        detail: one.detail,
        next_change_at: one.next.map(timestamp),
    }
}
