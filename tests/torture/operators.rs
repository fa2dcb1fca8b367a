//! Operators: what people and internal services do while it storms. Everything is written down as asked and answered.

use std::{future::Future, sync::Arc, time::Duration};

use dialplane::pb::{
    self, campaign_service_client::CampaignServiceClient, scheduler_service_client::SchedulerServiceClient,
};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::{sleep, timeout};
use tonic::{Code, Status, transport::Channel};
use uuid::Uuid;

use crate::{
    carrier::now,
    dialer::{SESSION_TTL, channel},
    log::{Event, Micros},
    pen::Pen,
};

const ANSWER_WITHIN: Duration = Duration::from_secs(4);
pub const MAX_DURATION: Duration = Duration::from_secs(5);
pub const MAX_ATTEMPTS: i32 = 3;

pub fn wire(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}

/// The nth fictional number: +1 2xx 555 01yy.
pub fn number(n: usize) -> String {
    format!("+1{}555{:04}", 201 + n / 10_000, n % 10_000)
}

/// Short times, so that a storm of minutes has seen each of them pass often.
pub fn settings(max_concurrency: i32) -> pb::SchedulerSettings {
    pb::SchedulerSettings {
        max_concurrency: Some(max_concurrency),
        tick_interval: wire(Duration::from_millis(500)),
        session_ttl: wire(SESSION_TTL),
        receipt_within: wire(Duration::from_secs(1)),
        dial_within: wire(Duration::from_secs(1)),
        ..Default::default()
    }
}

pub fn rules() -> pb::CampaignRules {
    use pb::Outcome::{Abandoned, Busy, Failed, NoAnswer, NotPlaced, Unknown, Voicemail};
    let retry = |outcome: pb::Outcome, seconds| pb::RetryRule {
        outcome: outcome.into(),
        delays: vec![prost_types::Duration { seconds, nanos: 0 }],
    };
    let around_the_clock = pb::CallingSpan { weekdays: (1..=7).collect(), start: "00:00".into(), end: "24:00".into() };
    pb::CampaignRules {
        default_region: "US".into(),
        default_time_zone: "Etc/UTC".into(),
        calling_hours: Some(pb::CallingHours { spans: vec![around_the_clock] }),
        max_attempts: Some(MAX_ATTEMPTS),
        retry_rules: [NoAnswer, Voicemail, Busy, Abandoned, Failed, NotPlaced]
            .into_iter()
            .map(|outcome| retry(outcome, 1))
            .chain([retry(Unknown, 2)])
            .collect(),
        begin_within: wire(Duration::from_secs(2)),
        max_duration: wire(MAX_DURATION),
        ..Default::default()
    }
}

pub struct Operators {
    channels: Vec<Channel>,
    pen: Arc<Pen>,
}

type Asked<T> = (Micros, Option<Micros>, Option<T>);

impl Operators {
    pub fn new(ports: &[u16], pen: Arc<Pen>) -> Operators {
        Operators { channels: ports.iter().map(|port| channel(*port)).collect(), pen }
    }

    pub fn channel(&self, engine: usize) -> Channel {
        self.channels[engine].clone()
    }

    fn any(&self) -> Channel {
        self.channels.choose(&mut rand::rng()).unwrap().clone()
    }

    fn campaigns(&self) -> CampaignServiceClient<Channel> {
        CampaignServiceClient::new(self.any())
    }

    fn scheduler(&self) -> SchedulerServiceClient<Channel> {
        SchedulerServiceClient::new(self.any())
    }

    /// Asks once; no answer is an answer, too.
    async fn ask<T>(&self, call: impl Future<Output = Result<tonic::Response<T>, Status>>) -> Asked<T> {
        let asked = now();
        match timeout(ANSWER_WITHIN, call).await {
            Ok(Ok(answer)) => (asked, Some(now()), Some(answer.into_inner())),
            Ok(Err(status)) => {
                if !matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::Unknown) {
                    self.pen.odd(&format!("an operator was answered {:?}: {}", status.code(), status.message()));
                }
                (asked, None, None)
            }
            Err(_) => (asked, None, None),
        }
    }

    /// Answers whether it was done.
    pub async fn engine_cap(&self, cap: i32) -> bool {
        let request = pb::UpdateSchedulerSettingsRequest { settings: Some(settings(cap)), ..Default::default() };
        let (asked, answered, _) = self.ask(self.scheduler().update_scheduler_settings(request)).await;
        self.pen.write(&Event::EngineCap { cap, asked, answered });
        answered.is_some()
    }

    pub async fn campaign_cap(&self, campaign: Uuid, cap: Option<i32>) -> bool {
        let request = pb::UpdateCampaignRequest {
            campaign_id: campaign.to_string(),
            rules: Some(pb::CampaignRules { max_concurrency: cap, ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["rules.max_concurrency".into()] }),
            ..Default::default()
        };
        let (asked, answered, _) = self.ask(self.campaigns().update_campaign(request)).await;
        self.pen.write(&Event::CampaignCap { campaign, cap, asked, answered });
        answered.is_some()
    }

    pub async fn run(&self, campaign: Uuid, running: bool) -> bool {
        let campaign_id = campaign.to_string();
        let (asked, answered) = if running {
            let request = pb::StartCampaignRequest { campaign_id, ..Default::default() };
            let (asked, answered, _) = self.ask(self.campaigns().start_campaign(request)).await;
            (asked, answered)
        } else {
            let request = pb::PauseCampaignRequest { campaign_id, ..Default::default() };
            let (asked, answered, _) = self.ask(self.campaigns().pause_campaign(request)).await;
            (asked, answered)
        };
        self.pen.write(&Event::Running { campaign, running, asked, answered });
        answered.is_some()
    }

    /// Through this engine, or through any.
    pub async fn reset(&self, campaign: Uuid, engine: Option<usize>) -> bool {
        let channel = engine.map_or_else(|| self.any(), |engine| self.channel(engine));
        let request = pb::ResetCampaignRequest { campaign_id: campaign.to_string(), ..Default::default() };
        let (asked, answered, _) = self.ask(CampaignServiceClient::new(channel).reset_campaign(request)).await;
        self.pen.write(&Event::Reset { campaign, asked, answered });
        answered.is_some()
    }

    pub async fn suppress(&self, numbers: &[String], suppressed: bool) -> bool {
        let (numbers_, reason) = (numbers.to_vec(), "storm".to_owned());
        let (asked, answered) = if suppressed {
            let request = pb::AddSuppressionsRequest { numbers: numbers_, reason, ..Default::default() };
            let (asked, answered, _) = self.ask(self.campaigns().add_suppressions(request)).await;
            (asked, answered)
        } else {
            let request = pb::RemoveSuppressionsRequest { numbers: numbers_, reason, ..Default::default() };
            let (asked, answered, _) = self.ask(self.campaigns().remove_suppressions(request)).await;
            (asked, answered)
        };
        for number in numbers {
            self.pen.write(&Event::Suppression { number: number.clone(), suppressed, asked, answered });
        }
        answered.is_some()
    }

    async fn live(&self) -> Vec<pb::LiveLease> {
        let request = pb::ListLeasesRequest { page_size: 200, ..Default::default() };
        let (_, _, answer) = self.ask(self.scheduler().list_leases(request)).await;
        answer.map(|answer| answer.leases).unwrap_or_default()
    }

    /// Takes some live leases away, begun or not; answers how many it asked for.
    pub async fn revoke_some(&self, rng: &mut StdRng) -> usize {
        let leases: Vec<String> =
            self.live().await.choose_multiple(rng, 5).map(|lease| lease.lease_id.clone()).collect();
        if leases.is_empty() {
            return 0;
        }
        let request = pb::RevokeLeasesRequest { lease_ids: leases.clone() };
        let (asked, answered, _) = self.ask(self.scheduler().revoke_leases(request)).await;
        for lease in &leases {
            self.pen.write(&Event::Revoked { lease: lease.parse().unwrap(), asked, answered });
        }
        leases.len()
    }

    /// Handles some leads by hand, in mid-flight where there are any.
    pub async fn consume_some(&self, campaign: Uuid, rng: &mut StdRng) -> usize {
        let campaign_id = campaign.to_string();
        let live: Vec<_> = self.live().await.into_iter().filter(|lease| lease.campaign_id == campaign_id).collect();
        let lead_ids: Vec<String> = live.choose_multiple(rng, 2).map(|lease| lease.lead_id.clone()).collect();
        if lead_ids.is_empty() {
            return 0;
        }
        let count = lead_ids.len();
        let request = pb::ConsumeLeadsRequest { campaign_id, lead_ids, ..Default::default() };
        self.ask(self.campaigns().consume_leads(request)).await;
        count
    }

    /// A promise to some lead that is in mid-flight.
    pub async fn promise_some(&self, rng: &mut StdRng) -> usize {
        let live = self.live().await;
        let Some(lease) = live.choose(rng) else { return 0 };
        let at = now() + rng.random_range(0..3_000_000);
        let request = pb::ScheduleCallbackRequest {
            campaign_id: lease.campaign_id.clone(),
            lead_id: lease.lead_id.clone(),
            callback_at: Some(prost_types::Timestamp { seconds: at / 1_000_000 + 1, nanos: 0 }),
            ..Default::default()
        };
        // Refused for a lead under a permit.
        let _ = timeout(ANSWER_WITHIN, self.campaigns().schedule_callback(request)).await;
        1
    }

    pub async fn create(&self, name: &str) -> Option<Uuid> {
        let request = pb::CreateCampaignRequest { name: name.into(), rules: Some(rules()), ..Default::default() };
        let (_, _, answer) = self.ask(self.campaigns().create_campaign(request)).await;
        answer?.campaign?.campaign_id.parse().ok()
    }

    /// Imports numbers as one chunk, through this engine or any.
    pub async fn import(&self, campaign: Uuid, numbers: std::ops::Range<usize>, engine: Option<usize>) -> bool {
        let channel = engine.map_or_else(|| self.any(), |engine| self.channel(engine));
        let count = numbers.len();
        let leads = numbers.map(|n| pb::NewLead { number: number(n), ..Default::default() }).collect();
        let request = pb::CreateLeadsRequest { campaign_id: campaign.to_string(), leads, ..Default::default() };
        let (asked, answered, answer) = self.ask(CampaignServiceClient::new(channel).create_leads(request)).await;
        // Asked again after a doubt, those that were created are refused; none here is an upper bound.
        let leads = answer.map_or(count as i64, |answer| i64::from(answer.created));
        self.pen.write(&Event::Imported { campaign, leads, asked, answered });
        answered.is_some()
    }
}

/// Asks until it was done.
pub async fn until_done<F: Future<Output = bool>>(work: impl Fn() -> F) {
    while !work().await {
        sleep(Duration::from_millis(200)).await;
    }
}
