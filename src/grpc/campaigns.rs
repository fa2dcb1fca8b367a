//! Requests about campaigns: parse, call the engine, show.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{
    convert::{self, NAME_MAX},
    rules,
    status::Violations,
    views,
};
use crate::{domain::campaign::CampaignState, engine::Engine, pb, store::requests::RequestKey};

async fn set_state(
    engine: &Arc<Engine>,
    campaign_id: &str,
    state: CampaignState,
    key: Option<RequestKey>,
    mut bad: Violations,
) -> Result<pb::Campaign, Status> {
    let id = convert::id(campaign_id, "campaign_id", &mut bad);
    bad.check()?;
    Ok(views::campaign(&engine.set_campaign_state(id, state, key).await?))
}

pub async fn create(
    engine: &Arc<Engine>,
    request: Request<pb::CreateCampaignRequest>,
) -> Result<Response<pb::CreateCampaignResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let key = convert::request_key(&request.request_id, "CreateCampaign", &request, |r| r.request_id.clear(), &mut bad);
    let name = convert::text(&request.name, 1..=NAME_MAX, "name", &mut bad);
    let rules = rules::new_rules(request.rules, &mut bad);
    bad.check()?;
    let row = engine.create_campaign(name, rules, key).await?;
    Ok(Response::new(pb::CreateCampaignResponse { campaign: Some(views::campaign(&row)) }))
}

pub async fn get(
    engine: &Arc<Engine>,
    request: Request<pb::GetCampaignRequest>,
) -> Result<Response<pb::GetCampaignResponse>, Status> {
    let mut bad = Violations::default();
    let id = convert::id(&request.get_ref().campaign_id, "campaign_id", &mut bad);
    bad.check()?;
    let row = engine.read_campaign(id).await?;
    Ok(Response::new(pb::GetCampaignResponse { campaign: Some(views::campaign(&row)) }))
}

pub async fn list(
    engine: &Arc<Engine>,
    request: Request<pb::ListCampaignsRequest>,
) -> Result<Response<pb::ListCampaignsResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let state = convert::optional_code(request.state, CampaignState::from_code, "state", &mut bad);
    let limit = convert::page_size(request.page_size, &mut bad);
    let before = convert::page_token(&request.page_token, |token| token.parse().ok(), &mut bad);
    bad.check()?;
    let (rows, next) = engine.list_campaigns(state, before, limit).await?;
    Ok(Response::new(pb::ListCampaignsResponse {
        campaigns: rows.iter().map(views::campaign).collect(),
        next_page_token: next.map(|key| key.to_string()).unwrap_or_default(),
    }))
}

pub async fn update(
    engine: &Arc<Engine>,
    request: Request<pb::UpdateCampaignRequest>,
) -> Result<Response<pb::UpdateCampaignResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let key = convert::request_key(&request.request_id, "UpdateCampaign", &request, |r| r.request_id.clear(), &mut bad);
    let id = convert::id(&request.campaign_id, "campaign_id", &mut bad);
    let change = rules::masked_change(&request, &mut bad);
    let etag = convert::etag(&request.etag, "etag", &mut bad);
    bad.check()?;
    let row = engine.update_campaign(id, change, etag, key).await?;
    Ok(Response::new(pb::UpdateCampaignResponse { campaign: Some(views::campaign(&row)) }))
}

pub async fn start(
    engine: &Arc<Engine>,
    request: Request<pb::StartCampaignRequest>,
) -> Result<Response<pb::StartCampaignResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let key = convert::request_key(&request.request_id, "StartCampaign", &request, |r| r.request_id.clear(), &mut bad);
    let campaign = set_state(engine, &request.campaign_id, CampaignState::Running, key, bad).await?;
    Ok(Response::new(pb::StartCampaignResponse { campaign: Some(campaign) }))
}

pub async fn pause(
    engine: &Arc<Engine>,
    request: Request<pb::PauseCampaignRequest>,
) -> Result<Response<pb::PauseCampaignResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let key = convert::request_key(&request.request_id, "PauseCampaign", &request, |r| r.request_id.clear(), &mut bad);
    let campaign = set_state(engine, &request.campaign_id, CampaignState::Paused, key, bad).await?;
    Ok(Response::new(pb::PauseCampaignResponse { campaign: Some(campaign) }))
}

pub async fn archive(
    engine: &Arc<Engine>,
    request: Request<pb::ArchiveCampaignRequest>,
) -> Result<Response<pb::ArchiveCampaignResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let key =
        convert::request_key(&request.request_id, "ArchiveCampaign", &request, |r| r.request_id.clear(), &mut bad);
    let campaign = set_state(engine, &request.campaign_id, CampaignState::Archived, key, bad).await?;
    Ok(Response::new(pb::ArchiveCampaignResponse { campaign: Some(campaign) }))
}

pub async fn reset(
    engine: &Arc<Engine>,
    request: Request<pb::ResetCampaignRequest>,
) -> Result<Response<pb::ResetCampaignResponse>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let key = convert::request_key(&request.request_id, "ResetCampaign", &request, |r| r.request_id.clear(), &mut bad);
    let id = convert::id(&request.campaign_id, "campaign_id", &mut bad);
    bad.check()?;
    let report = engine.reset_campaign(id, request.validate_only, key).await?;
    let counts = report.counts.iter().map(|(state, reset, kept)| pb::ResetCount {
        state: views::state(*state),
        reset: *reset,
        kept: *kept,
    });
    Ok(Response::new(pb::ResetCampaignResponse { counts: counts.collect(), generation: report.generation }))
}

pub async fn stats(
    engine: &Arc<Engine>,
    request: Request<pb::GetCampaignStatsRequest>,
) -> Result<Response<pb::GetCampaignStatsResponse>, Status> {
    let mut bad = Violations::default();
    let id = convert::id(&request.get_ref().campaign_id, "campaign_id", &mut bad);
    bad.check()?;
    let (row, gauge) = engine.campaign_stats(id).await?;
    Ok(Response::new(views::stats(&row, &gauge, engine.clock.now())))
}
