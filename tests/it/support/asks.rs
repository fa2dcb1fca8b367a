//! Questions that many tests ask, and errors taken apart.

use std::{collections::HashMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::pb;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

use super::{World, dialer::Dialer, eventually, rules, timestamp};

/// How long a test watches that nothing comes.
pub const QUIET: Duration = Duration::from_millis(400);

/// A world with one running campaign, one lead and one dialer with one slot.
pub async fn one_lead(rules: pb::CampaignRules) -> (World, String, String, Dialer) {
    let mut world = World::start().await;
    let campaign = world.campaign(rules).await;
    let lead = world.add_some(&campaign, 1).await.remove(0);
    let dialer = world.dialer(&campaign, 1).await;
    (world, campaign, lead, dialer)
}

/// Rules of tests with these bounds on attempts.
pub fn attempts(max: i32) -> pb::CampaignRules {
    pb::CampaignRules { max_attempts: Some(max), ..rules() }
}

/// The report of a callback that was asked for in words.
pub fn said(lease_id: &str, phrase: &str) -> pb::OutcomeReport {
    pb::OutcomeReport {
        lease_id: lease_id.into(),
        outcome: pb::Outcome::CallbackRequested.into(),
        callback_phrase: phrase.into(),
        ..Default::default()
    }
}

/// An instant of the wire.
pub fn instant(at: prost_types::Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).unwrap()).unwrap()
}

/// An error as clients see it.
#[derive(Debug)]
pub struct Refusal {
    pub code: Code,
    pub reason: String,
    pub domain: String,
    pub fields: Vec<String>,
    pub preconditions: Vec<String>,
    pub metadata: HashMap<String, String>,
}

/// Takes a refused answer apart.
pub fn refusal<T: std::fmt::Debug>(answer: Result<Response<T>, Status>) -> Refusal {
    taken_apart(&answer.expect_err("it should have been refused"))
}

pub fn taken_apart(status: &Status) -> Refusal {
    let details = status.get_error_details();
    let info = details.error_info().cloned();
    Refusal {
        code: status.code(),
        reason: info.as_ref().map(|info| info.reason.clone()).unwrap_or_default(),
        domain: info.as_ref().map(|info| info.domain.clone()).unwrap_or_default(),
        fields: details
            .bad_request()
            .map(|bad| bad.field_violations.iter().map(|violation| violation.field.clone()).collect())
            .unwrap_or_default(),
        preconditions: details
            .precondition_failure()
            .map(|failure| failure.violations.iter().map(|violation| violation.subject.clone()).collect())
            .unwrap_or_default(),
        metadata: info.map(|info| info.metadata).unwrap_or_default(),
    }
}

impl Refusal {
    /// An error with this code and reason of ours.
    pub fn is(&self, code: Code, reason: &str) {
        assert_eq!((self.code, self.reason.as_str(), self.domain.as_str()), (code, reason, "dialplane"), "{self:?}");
    }

    /// A refused transition, with its PreconditionFailure.
    pub fn is_transition(&self, reason: &str) {
        self.is(Code::FailedPrecondition, reason);
        assert_eq!(self.preconditions.len(), 1, "{self:?}");
    }

    /// Bad input in exactly these fields.
    pub fn is_bad_input(&self, fields: &[&str]) {
        self.is(Code::InvalidArgument, "BAD_INPUT");
        assert_eq!(self.fields, fields, "{self:?}");
    }
}

impl World {
    /// The engine's clock.
    pub async fn now(&self) -> DateTime<Utc> {
        let info = self.scheduler.clone().get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
        instant(info.now.unwrap())
    }

    /// Promises a callback by hand.
    pub async fn promise(&mut self, campaign_id: &str, lead_id: &str, after: Duration) -> pb::Lead {
        let at = self.now().await + after;
        self.schedule(campaign_id, lead_id, at).await.unwrap().into_inner().lead.unwrap()
    }

    pub async fn schedule(
        &mut self,
        campaign_id: &str,
        lead_id: &str,
        at: DateTime<Utc>,
    ) -> Result<Response<pb::ScheduleCallbackResponse>, Status> {
        let request = pb::ScheduleCallbackRequest {
            campaign_id: campaign_id.into(),
            lead_id: lead_id.into(),
            callback_at: timestamp(at),
            ..Default::default()
        };
        self.campaigns.schedule_callback(request).await
    }

    pub async fn consume(&mut self, campaign_id: &str, lead_ids: &[&str]) -> Vec<pb::ConsumeResult> {
        let request = pb::ConsumeLeadsRequest {
            campaign_id: campaign_id.into(),
            lead_ids: lead_ids.iter().map(|id| (*id).to_owned()).collect(),
            ..Default::default()
        };
        self.campaigns.consume_leads(request).await.unwrap().into_inner().results
    }

    /// The attempt under this lease, if any is on record.
    pub async fn attempt(&mut self, lease_id: &str) -> Option<pb::Attempt> {
        let request = pb::ListAttemptsRequest { lease_id: lease_id.into(), ..Default::default() };
        self.campaigns.list_attempts(request).await.unwrap().into_inner().attempts.pop()
    }

    /// The attempts of a lead, newest first.
    pub async fn attempts(&mut self, campaign_id: &str, lead_id: &str) -> Vec<pb::Attempt> {
        let request =
            pb::ListAttemptsRequest { campaign_id: campaign_id.into(), lead_id: lead_id.into(), ..Default::default() };
        self.campaigns.list_attempts(request).await.unwrap().into_inner().attempts
    }

    /// How long a lead waits from now on, and why.
    pub async fn waits(&mut self, campaign_id: &str, lead_id: &str) -> (TimeDelta, pb::WaitingReason) {
        let lead = self.lead(campaign_id, lead_id).await;
        let at = instant(lead.not_before.expect("the lead waits"));
        (at - self.now().await, lead.waiting_reason())
    }

    pub async fn status(&mut self) -> pb::GetSchedulerStatusResponse {
        self.scheduler.get_scheduler_status(pb::GetSchedulerStatusRequest {}).await.unwrap().into_inner()
    }

    pub async fn set(&mut self, settings: pb::SchedulerSettings) {
        let request = pb::UpdateSchedulerSettingsRequest { settings: Some(settings), ..Default::default() };
        self.scheduler.update_scheduler_settings(request).await.unwrap();
    }

    /// Changes single rules of a campaign.
    pub async fn change(&mut self, campaign_id: &str, mask: &str, rules: pb::CampaignRules) {
        let request = pb::UpdateCampaignRequest {
            campaign_id: campaign_id.into(),
            rules: Some(rules),
            update_mask: Some(prost_types::FieldMask { paths: vec![mask.into()] }),
            ..Default::default()
        };
        self.campaigns.update_campaign(request).await.unwrap();
    }

    pub async fn revoke(&mut self, lease_id: &str) -> pb::RevokeResult {
        let request = pb::RevokeLeasesRequest { lease_ids: vec![lease_id.into()], ..Default::default() };
        self.scheduler.revoke_leases(request).await.unwrap().into_inner().results.remove(0)
    }

    /// Waits until a campaign has so many leads in a state.
    pub async fn until_count(&mut self, campaign_id: &str, state: pb::LeadState, leads: i64) {
        let client = self.campaigns.clone();
        eventually(&format!("{leads} leads are {state:?}"), || {
            let (mut client, campaign_id) = (client.clone(), campaign_id.to_owned());
            async move {
                let request = pb::GetCampaignStatsRequest { campaign_id };
                let stats = client.get_campaign_stats(request).await.unwrap().into_inner();
                let found = stats.counts.iter().find(|count| count.state() == state).map_or(0, |count| count.leads);
                (found == leads).then_some(())
            }
        })
        .await;
    }
}

impl Dialer {
    /// Reports what the person said about a callback.
    pub async fn report_phrase(&mut self, lease_id: &str, phrase: &str) -> pb::ReportResult {
        self.report_all(said(lease_id, phrase)).await
    }

    /// Reports that a callback was asked for.
    pub async fn report_callback(&mut self, lease_id: &str, at: DateTime<Utc>) -> pb::ReportResult {
        self.report_all(pb::OutcomeReport {
            lease_id: lease_id.into(),
            outcome: pb::Outcome::CallbackRequested.into(),
            callback_at: timestamp(at),
            ..Default::default()
        })
        .await
    }
}
