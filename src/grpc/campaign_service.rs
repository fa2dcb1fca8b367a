//! `CampaignService`: parse, call the engine, show.

use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use std::pin::Pin;
use tonic::{Request, Response, Status, Streaming};

use super::{
    attempt_views,
    convert::{self, KEY_MAX, LEADS_MAX, NAME_MAX},
    lead_requests, rules,
    status::Violations,
    views,
};
use crate::{
    domain::{campaign::CampaignState, lead::LeadState, phone_number::PhoneNumber},
    engine::{Engine, intake::IntakeReport},
    pb::{self, campaign_service_server::CampaignService},
    store::{attempts::AttemptFilter, leads::LeadFilter, requests::RequestKey},
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

    async fn set_state(
        &self,
        campaign_id: &str,
        state: CampaignState,
        key: Option<RequestKey>,
        mut bad: Violations,
    ) -> Result<pb::Campaign, Status> {
        let id = convert::id(campaign_id, "campaign_id", &mut bad);
        bad.check()?;
        Ok(views::campaign(&self.engine.set_campaign_state(id, state, key).await?))
    }
}

#[tonic::async_trait]
impl CampaignService for Campaigns {
    type ImportLeadsStream = Pin<Box<dyn Stream<Item = Result<pb::ImportLeadsResponse, Status>> + Send>>;

    async fn create_campaign(
        &self,
        request: Request<pb::CreateCampaignRequest>,
    ) -> Result<Response<pb::CreateCampaignResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "CreateCampaign", &request, |r| r.request_id.clear(), &mut bad);
        let name = convert::text(&request.name, 1..=NAME_MAX, "name", &mut bad);
        let rules = rules::new_rules(request.rules, &mut bad);
        bad.check()?;
        let row = self.engine.create_campaign(name, rules, key).await?;
        Ok(Response::new(pb::CreateCampaignResponse { campaign: Some(views::campaign(&row)) }))
    }

    async fn get_campaign(
        &self,
        request: Request<pb::GetCampaignRequest>,
    ) -> Result<Response<pb::GetCampaignResponse>, Status> {
        let mut bad = Violations::default();
        let id = convert::id(&request.get_ref().campaign_id, "campaign_id", &mut bad);
        bad.check()?;
        let row = self.engine.read_campaign(id).await?;
        Ok(Response::new(pb::GetCampaignResponse { campaign: Some(views::campaign(&row)) }))
    }

    async fn list_campaigns(
        &self,
        request: Request<pb::ListCampaignsRequest>,
    ) -> Result<Response<pb::ListCampaignsResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let state = convert::optional_code(request.state, CampaignState::from_code, "state", &mut bad);
        let limit = convert::page_size(request.page_size, &mut bad);
        let before = convert::page_token(&request.page_token, |token| token.parse().ok(), &mut bad);
        bad.check()?;
        let (rows, next) = self.engine.list_campaigns(state, before, limit).await?;
        Ok(Response::new(pb::ListCampaignsResponse {
            campaigns: rows.iter().map(views::campaign).collect(),
            next_page_token: next.map(|key| key.to_string()).unwrap_or_default(),
        }))
    }

    async fn update_campaign(
        &self,
        request: Request<pb::UpdateCampaignRequest>,
    ) -> Result<Response<pb::UpdateCampaignResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "UpdateCampaign", &request, |r| r.request_id.clear(), &mut bad);
        let id = convert::id(&request.campaign_id, "campaign_id", &mut bad);
        let change = rules::masked_change(&request, &mut bad);
        let etag = convert::etag(&request.etag, "etag", &mut bad);
        bad.check()?;
        let row = self.engine.update_campaign(id, change, etag, key).await?;
        Ok(Response::new(pb::UpdateCampaignResponse { campaign: Some(views::campaign(&row)) }))
    }

    async fn start_campaign(
        &self,
        request: Request<pb::StartCampaignRequest>,
    ) -> Result<Response<pb::StartCampaignResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "StartCampaign", &request, |r| r.request_id.clear(), &mut bad);
        let campaign = self.set_state(&request.campaign_id, CampaignState::Running, key, bad).await?;
        Ok(Response::new(pb::StartCampaignResponse { campaign: Some(campaign) }))
    }

    async fn pause_campaign(
        &self,
        request: Request<pb::PauseCampaignRequest>,
    ) -> Result<Response<pb::PauseCampaignResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "PauseCampaign", &request, |r| r.request_id.clear(), &mut bad);
        let campaign = self.set_state(&request.campaign_id, CampaignState::Paused, key, bad).await?;
        Ok(Response::new(pb::PauseCampaignResponse { campaign: Some(campaign) }))
    }

    async fn archive_campaign(
        &self,
        request: Request<pb::ArchiveCampaignRequest>,
    ) -> Result<Response<pb::ArchiveCampaignResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "ArchiveCampaign", &request, |r| r.request_id.clear(), &mut bad);
        let campaign = self.set_state(&request.campaign_id, CampaignState::Archived, key, bad).await?;
        Ok(Response::new(pb::ArchiveCampaignResponse { campaign: Some(campaign) }))
    }

    async fn reset_campaign(
        &self,
        request: Request<pb::ResetCampaignRequest>,
    ) -> Result<Response<pb::ResetCampaignResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "ResetCampaign", &request, |r| r.request_id.clear(), &mut bad);
        let id = convert::id(&request.campaign_id, "campaign_id", &mut bad);
        bad.check()?;
        let report = self.engine.reset_campaign(id, request.validate_only, key).await?;
        let counts = report.counts.iter().map(|(state, reset, kept)| pb::ResetCount {
            state: views::state(*state),
            reset: *reset,
            kept: *kept,
        });
        Ok(Response::new(pb::ResetCampaignResponse { counts: counts.collect(), generation: report.generation }))
    }

    async fn import_leads(
        &self,
        request: Request<Streaming<pb::ImportLeadsRequest>>,
    ) -> Result<Response<Self::ImportLeadsStream>, Status> {
        let engine = Arc::clone(&self.engine);
        let chunks = request.into_inner();
        // One chunk after the other: the first that is refused ends the stream.
        let acks = chunks
            .then(move |chunk| {
                let engine = Arc::clone(&engine);
                async move { lead_requests::import_chunk(&engine, chunk?).await }
            })
            .scan(false, |failed, ack| {
                let over = std::mem::replace(failed, ack.is_err());
                futures::future::ready((!over).then_some(ack))
            });
        Ok(Response::new(Box::pin(acks)))
    }

    async fn create_leads(
        &self,
        request: Request<pb::CreateLeadsRequest>,
    ) -> Result<Response<pb::CreateLeadsResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "CreateLeads", &request, |r| r.request_id.clear(), &mut bad);
        let campaign = convert::id(&request.campaign_id, "campaign_id", &mut bad);
        let update = lead_requests::wants_update(request.on_duplicate, &mut bad);
        convert::size(request.leads.len(), LEADS_MAX, "leads", &mut bad);
        bad.check()?;
        let rows = request.leads.into_iter().map(lead_requests::row).collect();
        let report: IntakeReport = self.engine.create_leads(campaign, rows, update, None, key).await?;
        Ok(Response::new(pb::CreateLeadsResponse {
            created: lead_requests::count(report.created),
            updated: lead_requests::count(report.updated),
            refused: views::refused(&report),
            lead_ids: report.leads.iter().map(|lead| lead.map(|id| id.to_string()).unwrap_or_default()).collect(),
        }))
    }

    async fn get_lead(&self, request: Request<pb::GetLeadRequest>) -> Result<Response<pb::GetLeadResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let (campaign, lead) = lead_requests::lead_ids(&request.campaign_id, &request.lead_id, &mut bad);
        bad.check()?;
        let row = self.engine.lead(campaign, lead).await?;
        Ok(Response::new(pb::GetLeadResponse { lead: Some(views::lead(row)) }))
    }

    async fn list_leads(
        &self,
        request: Request<pb::ListLeadsRequest>,
    ) -> Result<Response<pb::ListLeadsResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let campaign = convert::id(&request.campaign_id, "campaign_id", &mut bad);
        let number = match request.number.as_str() {
            "" => None,
            text => PhoneNumber::parse(text, None).map_err(|error| bad.add("number", error.to_string())).ok(),
        };
        let filter = LeadFilter {
            state: convert::optional_code(request.state, LeadState::from_code, "state", &mut bad),
            number,
            external_id: convert::optional_text(&request.external_id, KEY_MAX, "external_id", &mut bad),
        };
        let limit = convert::page_size(request.page_size, &mut bad);
        let after = convert::page_token(&request.page_token, lead_requests::lead_token, &mut bad);
        bad.check()?;
        let (rows, next) = self.engine.list_leads(campaign, &filter, after, limit).await?;
        Ok(Response::new(pb::ListLeadsResponse {
            leads: rows.into_iter().map(views::lead).collect(),
            next_page_token: next.map(|(rank, lead)| format!("{rank}.{lead}")).unwrap_or_default(),
        }))
    }

    async fn update_lead(
        &self,
        request: Request<pb::UpdateLeadRequest>,
    ) -> Result<Response<pb::UpdateLeadResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key = convert::request_key(&request.request_id, "UpdateLead", &request, |r| r.request_id.clear(), &mut bad);
        let (campaign, lead) = lead_requests::lead_ids(&request.campaign_id, &request.lead_id, &mut bad);
        let patch = lead_requests::lead_patch(&request, &mut bad);
        bad.check()?;
        let row = self.engine.update_lead(campaign, lead, patch, key).await?;
        Ok(Response::new(pb::UpdateLeadResponse { lead: Some(views::lead(row)) }))
    }

    async fn consume_leads(
        &self,
        request: Request<pb::ConsumeLeadsRequest>,
    ) -> Result<Response<pb::ConsumeLeadsResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "ConsumeLeads", &request, |r| r.request_id.clear(), &mut bad);
        let campaign = convert::id(&request.campaign_id, "campaign_id", &mut bad);
        let leads = convert::ids(&request.lead_ids, "lead_ids", convert::BATCH_MAX, &mut bad);
        bad.check()?;
        let results = self.engine.consume_leads(campaign, leads, key).await?;
        let results = results.into_iter().map(|(lead, before, consumed)| pb::ConsumeResult {
            lead_id: lead.to_string(),
            consumed,
            previous_state: before.map_or(0, views::state),
        });
        Ok(Response::new(pb::ConsumeLeadsResponse { results: results.collect() }))
    }

    async fn schedule_callback(
        &self,
        request: Request<pb::ScheduleCallbackRequest>,
    ) -> Result<Response<pb::ScheduleCallbackResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "ScheduleCallback", &request, |r| r.request_id.clear(), &mut bad);
        let (campaign, lead) = lead_requests::lead_ids(&request.campaign_id, &request.lead_id, &mut bad);
        let at = match request.callback_at {
            Some(at) => convert::instant(at, "callback_at", &mut bad),
            None => bad.none("callback_at", "is required"),
        };
        if at.is_some_and(|at| at - self.engine.clock.now() > convert::CALLBACK_AHEAD_MAX) {
            bad.add("callback_at", "must be at most 400 days ahead");
        }
        bad.check()?;
        let row = self.engine.schedule_callback(campaign, lead, at.unwrap_or_default(), key).await?;
        Ok(Response::new(pb::ScheduleCallbackResponse { lead: Some(views::lead(row)) }))
    }

    async fn cancel_callback(
        &self,
        request: Request<pb::CancelCallbackRequest>,
    ) -> Result<Response<pb::CancelCallbackResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "CancelCallback", &request, |r| r.request_id.clear(), &mut bad);
        let (campaign, lead) = lead_requests::lead_ids(&request.campaign_id, &request.lead_id, &mut bad);
        bad.check()?;
        let row = self.engine.cancel_callback(campaign, lead, key).await?;
        Ok(Response::new(pb::CancelCallbackResponse { lead: Some(views::lead(row)) }))
    }

    async fn list_attempts(
        &self,
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
        let (rows, next) = self.engine.list_attempts(filter, campaign, before, limit).await?;
        Ok(Response::new(pb::ListAttemptsResponse {
            attempts: rows.into_iter().map(attempt_views::attempt).collect(),
            next_page_token: next.map(|lease| lease.to_string()).unwrap_or_default(),
        }))
    }

    async fn get_campaign_stats(
        &self,
        request: Request<pb::GetCampaignStatsRequest>,
    ) -> Result<Response<pb::GetCampaignStatsResponse>, Status> {
        let mut bad = Violations::default();
        let id = convert::id(&request.get_ref().campaign_id, "campaign_id", &mut bad);
        bad.check()?;
        let (row, gauge) = self.engine.campaign_stats(id).await?;
        Ok(Response::new(views::stats(&row, &gauge, self.engine.clock.now())))
    }

    async fn add_suppressions(
        &self,
        request: Request<pb::AddSuppressionsRequest>,
    ) -> Result<Response<pb::AddSuppressionsResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key =
            convert::request_key(&request.request_id, "AddSuppressions", &request, |r| r.request_id.clear(), &mut bad);
        let numbers = convert::numbers(&request.numbers, "numbers", &mut bad);
        let reason = convert::text(&request.reason, 0..=KEY_MAX, "reason", &mut bad);
        bad.check()?;
        let report = self.engine.add_suppressions(numbers, reason, key).await?;
        let added = i32::try_from(report.numbers).unwrap_or(i32::MAX);
        Ok(Response::new(pb::AddSuppressionsResponse { added, leads: report.leads }))
    }

    async fn remove_suppressions(
        &self,
        request: Request<pb::RemoveSuppressionsRequest>,
    ) -> Result<Response<pb::RemoveSuppressionsResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let key = convert::request_key(
            &request.request_id,
            "RemoveSuppressions",
            &request,
            |r| r.request_id.clear(),
            &mut bad,
        );
        let numbers = convert::numbers(&request.numbers, "numbers", &mut bad);
        let reason = convert::text(&request.reason, 1..=KEY_MAX, "reason", &mut bad);
        bad.check()?;
        let report = self.engine.remove_suppressions(numbers, reason, key).await?;
        let removed = i32::try_from(report.numbers).unwrap_or(i32::MAX);
        Ok(Response::new(pb::RemoveSuppressionsResponse { removed, leads: report.leads }))
    }

    async fn check_suppressions(
        &self,
        request: Request<pb::CheckSuppressionsRequest>,
    ) -> Result<Response<pb::CheckSuppressionsResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let numbers = convert::numbers(&request.numbers, "numbers", &mut bad);
        bad.check()?;
        let known = self.engine.check_suppressions(&numbers).await?;
        let checks = numbers.iter().map(|number| views::suppression(*number, &known));
        Ok(Response::new(pb::CheckSuppressionsResponse { checks: checks.collect() }))
    }
}
