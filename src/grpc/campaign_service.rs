//! `CampaignService`: each method has its room by what it is about.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::{attempts, audit, bulk, callbacks, campaigns, explain, leads, outcomes, suppressions};
use crate::{
    engine::Engine,
    pb::{self, campaign_service_server::CampaignService},
};

/// The service, on one engine.
pub struct Campaigns {
    engine: Arc<Engine>,
}

impl Campaigns {
    /// On this engine.
    pub fn new(engine: Arc<Engine>) -> Campaigns {
        Campaigns { engine }
    }
}

#[tonic::async_trait]
impl CampaignService for Campaigns {
    type ImportLeadsStream = leads::ImportLeads;
    type WatchCampaignStatsStream = campaigns::WatchCampaignStats;
    type StreamOutcomesStream = outcomes::StreamOutcomes;

    async fn create_campaign(
        &self,
        request: Request<pb::CreateCampaignRequest>,
    ) -> Result<Response<pb::CreateCampaignResponse>, Status> {
        campaigns::create(&self.engine, request).await
    }

    async fn get_campaign(
        &self,
        request: Request<pb::GetCampaignRequest>,
    ) -> Result<Response<pb::GetCampaignResponse>, Status> {
        campaigns::get(&self.engine, request).await
    }

    async fn list_campaigns(
        &self,
        request: Request<pb::ListCampaignsRequest>,
    ) -> Result<Response<pb::ListCampaignsResponse>, Status> {
        campaigns::list(&self.engine, request).await
    }

    async fn update_campaign(
        &self,
        request: Request<pb::UpdateCampaignRequest>,
    ) -> Result<Response<pb::UpdateCampaignResponse>, Status> {
        campaigns::update(&self.engine, request).await
    }

    async fn start_campaign(
        &self,
        request: Request<pb::StartCampaignRequest>,
    ) -> Result<Response<pb::StartCampaignResponse>, Status> {
        campaigns::start(&self.engine, request).await
    }

    async fn pause_campaign(
        &self,
        request: Request<pb::PauseCampaignRequest>,
    ) -> Result<Response<pb::PauseCampaignResponse>, Status> {
        campaigns::pause(&self.engine, request).await
    }

    async fn archive_campaign(
        &self,
        request: Request<pb::ArchiveCampaignRequest>,
    ) -> Result<Response<pb::ArchiveCampaignResponse>, Status> {
        campaigns::archive(&self.engine, request).await
    }

    async fn reset_campaign(
        &self,
        request: Request<pb::ResetCampaignRequest>,
    ) -> Result<Response<pb::ResetCampaignResponse>, Status> {
        campaigns::reset(&self.engine, request).await
    }

    async fn import_leads(
        &self,
        request: Request<Streaming<pb::ImportLeadsRequest>>,
    ) -> Result<Response<Self::ImportLeadsStream>, Status> {
        leads::import(&self.engine, request).await
    }

    async fn create_leads(
        &self,
        request: Request<pb::CreateLeadsRequest>,
    ) -> Result<Response<pb::CreateLeadsResponse>, Status> {
        leads::create(&self.engine, request).await
    }

    async fn get_lead(&self, request: Request<pb::GetLeadRequest>) -> Result<Response<pb::GetLeadResponse>, Status> {
        leads::get(&self.engine, request).await
    }

    async fn list_leads(
        &self,
        request: Request<pb::ListLeadsRequest>,
    ) -> Result<Response<pb::ListLeadsResponse>, Status> {
        leads::list(&self.engine, request).await
    }

    async fn update_lead(
        &self,
        request: Request<pb::UpdateLeadRequest>,
    ) -> Result<Response<pb::UpdateLeadResponse>, Status> {
        leads::update(&self.engine, request).await
    }

    async fn update_leads(
        &self,
        request: Request<pb::UpdateLeadsRequest>,
    ) -> Result<Response<pb::UpdateLeadsResponse>, Status> {
        bulk::update(&self.engine, request).await
    }

    async fn consume_leads(
        &self,
        request: Request<pb::ConsumeLeadsRequest>,
    ) -> Result<Response<pb::ConsumeLeadsResponse>, Status> {
        bulk::consume(&self.engine, request).await
    }

    async fn schedule_callback(
        &self,
        request: Request<pb::ScheduleCallbackRequest>,
    ) -> Result<Response<pb::ScheduleCallbackResponse>, Status> {
        leads::schedule_callback(&self.engine, request).await
    }

    async fn cancel_callback(
        &self,
        request: Request<pb::CancelCallbackRequest>,
    ) -> Result<Response<pb::CancelCallbackResponse>, Status> {
        leads::cancel_callback(&self.engine, request).await
    }

    async fn list_attempts(
        &self,
        request: Request<pb::ListAttemptsRequest>,
    ) -> Result<Response<pb::ListAttemptsResponse>, Status> {
        attempts::list(&self.engine, request).await
    }

    async fn get_campaign_stats(
        &self,
        request: Request<pb::GetCampaignStatsRequest>,
    ) -> Result<Response<pb::GetCampaignStatsResponse>, Status> {
        campaigns::stats(&self.engine, request).await
    }

    async fn add_suppressions(
        &self,
        request: Request<pb::AddSuppressionsRequest>,
    ) -> Result<Response<pb::AddSuppressionsResponse>, Status> {
        suppressions::add(&self.engine, request).await
    }

    async fn remove_suppressions(
        &self,
        request: Request<pb::RemoveSuppressionsRequest>,
    ) -> Result<Response<pb::RemoveSuppressionsResponse>, Status> {
        suppressions::remove(&self.engine, request).await
    }

    async fn list_suppressions(
        &self,
        request: Request<pb::ListSuppressionsRequest>,
    ) -> Result<Response<pb::ListSuppressionsResponse>, Status> {
        suppressions::list(&self.engine, request).await
    }

    async fn check_suppressions(
        &self,
        request: Request<pb::CheckSuppressionsRequest>,
    ) -> Result<Response<pb::CheckSuppressionsResponse>, Status> {
        suppressions::check(&self.engine, request).await
    }

    async fn list_audit_events(
        &self,
        request: Request<pb::ListAuditEventsRequest>,
    ) -> Result<Response<pb::ListAuditEventsResponse>, Status> {
        audit::list(&self.engine, request).await
    }

    async fn explain_lead(
        &self,
        request: Request<pb::ExplainLeadRequest>,
    ) -> Result<Response<pb::ExplainLeadResponse>, Status> {
        explain::lead(&self.engine, request).await
    }

    async fn explain_campaign(
        &self,
        request: Request<pb::ExplainCampaignRequest>,
    ) -> Result<Response<pb::ExplainCampaignResponse>, Status> {
        explain::campaign(&self.engine, request).await
    }

    async fn stream_outcomes(
        &self,
        request: Request<pb::StreamOutcomesRequest>,
    ) -> Result<Response<Self::StreamOutcomesStream>, Status> {
        outcomes::stream(&self.engine, request).await
    }

    async fn watch_campaign_stats(
        &self,
        request: Request<pb::WatchCampaignStatsRequest>,
    ) -> Result<Response<Self::WatchCampaignStatsStream>, Status> {
        campaigns::watch_stats(&self.engine, request).await
    }

    async fn parse_callback(
        &self,
        request: Request<pb::ParseCallbackRequest>,
    ) -> Result<Response<pb::ParseCallbackResponse>, Status> {
        callbacks::parse(&self.engine, request).await
    }
}
