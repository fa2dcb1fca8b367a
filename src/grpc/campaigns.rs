//! Requests about campaigns: parse, call the engine, show.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, stream};
use tonic::{Request, Response, Status};

use super::{
    convert::{self, NAME_MAX},
    rules,
    status::Violations,
    views,
};
use crate::{
    domain::campaign::{CampaignState, StateFilter},
    engine::{Engine, audit::Asked, watching},
    pb,
};

async fn set_state(
    engine: &Arc<Engine>,
    campaign_id: &str,
    state: CampaignState,
    asked: Asked,
    mut bad: Violations,
) -> Result<pb::Campaign, Status> {
    let id = convert::id(campaign_id, "campaign_id", &mut bad);
    bad.check()?;
    Ok(views::campaign(&engine.set_campaign_state(id, state, asked).await?))
}

pub async fn create(
    engine: &Arc<Engine>,
    request: Request<pb::CreateCampaignRequest>,
) -> Result<Response<pb::CreateCampaignResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("CreateCampaign", &request, |r| &mut r.request_id, &mut bad);
    let name = convert::text(&request.name, 1..=NAME_MAX, "name", &mut bad);
    let rules = rules::new_rules(request.rules, &mut bad);
    bad.check()?;
    let row = engine.create_campaign(name, rules, asked).await?;
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
    let state = convert::optional_code(request.state, StateFilter::shown_as, "state", &mut bad);
    let limit = convert::page_size(request.page_size, &mut bad);
    let before = convert::page_token(&request.page_token, |token| token.parse().ok(), &mut bad);
    bad.check()?;
    let (rows, next) = engine.list_campaigns(state.unwrap_or_default(), before, limit).await?;
    Ok(Response::new(pb::ListCampaignsResponse {
        campaigns: rows.iter().map(views::campaign).collect(),
        next_page_token: next.map(|key| key.to_string()).unwrap_or_default(),
    }))
}

pub async fn update(
    engine: &Arc<Engine>,
    request: Request<pb::UpdateCampaignRequest>,
) -> Result<Response<pb::UpdateCampaignResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("UpdateCampaign", &request, |r| &mut r.request_id, &mut bad);
    let id = convert::id(&request.campaign_id, "campaign_id", &mut bad);
    let change = rules::masked_change(&request, &mut bad);
    let etag = convert::etag(&request.etag, "etag", &mut bad);
    bad.check()?;
    let row = engine.update_campaign(id, change, etag, asked).await?;
    Ok(Response::new(pb::UpdateCampaignResponse { campaign: Some(views::campaign(&row)) }))
}

pub async fn start(
    engine: &Arc<Engine>,
    request: Request<pb::StartCampaignRequest>,
) -> Result<Response<pb::StartCampaignResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("StartCampaign", &request, |r| &mut r.request_id, &mut bad);
    let campaign = set_state(engine, &request.campaign_id, CampaignState::Running, asked, bad).await?;
    Ok(Response::new(pb::StartCampaignResponse { campaign: Some(campaign) }))
}

pub async fn pause(
    engine: &Arc<Engine>,
    request: Request<pb::PauseCampaignRequest>,
) -> Result<Response<pb::PauseCampaignResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("PauseCampaign", &request, |r| &mut r.request_id, &mut bad);
    let campaign = set_state(engine, &request.campaign_id, CampaignState::Paused, asked, bad).await?;
    Ok(Response::new(pb::PauseCampaignResponse { campaign: Some(campaign) }))
}

pub async fn archive(
    engine: &Arc<Engine>,
    request: Request<pb::ArchiveCampaignRequest>,
) -> Result<Response<pb::ArchiveCampaignResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("ArchiveCampaign", &request, |r| &mut r.request_id, &mut bad);
    let campaign = set_state(engine, &request.campaign_id, CampaignState::Archived, asked, bad).await?;
    Ok(Response::new(pb::ArchiveCampaignResponse { campaign: Some(campaign) }))
}

pub async fn reset(
    engine: &Arc<Engine>,
    request: Request<pb::ResetCampaignRequest>,
) -> Result<Response<pb::ResetCampaignResponse>, Status> {
    let (actor, request) = convert::actor(request);
    let mut bad = Violations::default();
    let asked = actor.asks("ResetCampaign", &request, |r| &mut r.request_id, &mut bad);
    let id = convert::id(&request.campaign_id, "campaign_id", &mut bad);
    bad.check()?;
    let report = engine.reset_campaign(id, request.validate_only, asked).await?;
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

/// Counts of a campaign, again and again.
pub type WatchCampaignStats = Pin<Box<dyn Stream<Item = Result<pb::WatchCampaignStatsResponse, Status>> + Send>>;

pub async fn watch_stats(
    engine: &Arc<Engine>,
    request: Request<pb::WatchCampaignStatsRequest>,
) -> Result<Response<WatchCampaignStats>, Status> {
    let request = request.into_inner();
    let mut bad = Violations::default();
    let id = convert::id(&request.campaign_id, "campaign_id", &mut bad);
    let interval = request
        .min_interval
        .and_then(|interval| convert::duration(interval, &watching::INTERVAL, "min_interval", &mut bad))
        .unwrap_or(watching::INTERVAL_DEFAULT);
    bad.check()?;
    let watch = engine.watch_stats(id, interval).await?;
    let stats = stream::try_unfold(watch, async |mut watch| {
        let Some((row, gauge)) = watch.next().await? else { return Ok(None) };
        let stats = Some(views::stats(&row, &gauge, watch.now()));
        Ok(Some((pb::WatchCampaignStatsResponse { stats }, watch)))
    });
    Ok(Response::new(Box::pin(stats)))
}
