//! A world per test: a database of its own, an engine on it, clients, dialers.

pub mod asks;
pub mod database;
pub mod dialer;
pub mod outage;
pub mod proxy;

use std::{future::Future, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use dialplane::{
    app::{self, Running},
    config::ServerConfig,
    domain::{ids::CampaignKey, settings::SchedulerSettings},
    engine::Engine,
    pb::{self, campaign_service_client::CampaignServiceClient, scheduler_service_client::SchedulerServiceClient},
    store::queue::{RefillAsk, Windows},
};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use database::Database;
use dialer::Dialer;

/// How long a test waits for a state before it fails. Generous: a starved machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An engine and its clients.
pub struct Replica {
    pub running: Running,
    pub campaigns: CampaignServiceClient<Channel>,
    pub scheduler: SchedulerServiceClient<Channel>,
}

/// A database, one engine on it, and clients.
pub struct World {
    pub database: Database,
    pub replica: Replica,
    pub campaigns: CampaignServiceClient<Channel>,
    pub scheduler: SchedulerServiceClient<Channel>,
}

/// Settings of tests: short ticks, room for a hundred calls, patience with dialers of a starved machine.
pub fn settings() -> SchedulerSettings {
    SchedulerSettings {
        max_concurrency: 100,
        tick_interval: Duration::from_millis(500),
        session_ttl: Duration::from_secs(300),
        receipt_within: Duration::from_secs(60),
        ..SchedulerSettings::default()
    }
}

/// What is asked of a queue, without slots that wait.
pub fn ask(campaign: CampaignKey, rules_version: i32, want: i32, scan: i32, windows: &Windows) -> RefillAsk {
    RefillAsk { campaign, rules_version, want, scan, windows: windows.clone(), slots: Vec::new() }
}

/// Rules of tests: UTC, open around the clock.
pub fn rules() -> pb::CampaignRules {
    pb::CampaignRules {
        default_region: "US".into(),
        default_time_zone: "Etc/UTC".into(),
        calling_hours: Some(always()),
        ..Default::default()
    }
}

pub fn always() -> pb::CallingHours {
    hours("00:00", "24:00")
}

/// Every day between two clock times.
pub fn hours(start: &str, end: &str) -> pb::CallingHours {
    pb::CallingHours {
        spans: vec![pb::CallingSpan { weekdays: (1..=7).collect(), start: start.into(), end: end.into() }],
    }
}

/// A clock time as the end of a span: a day does not end where the next one begins.
pub fn until(clock: &str) -> String {
    clock.replace("00:00", "24:00")
}

/// The nth fictional number: +1 2xx 555 01yy.
pub fn number(n: usize) -> String {
    format!("+1{}555{:04}", 201 + n / 10_000, n % 10_000)
}

/// A lead whose own zone is UTC: by its number it would be in New Jersey.
pub fn lead(n: usize) -> pb::NewLead {
    pb::NewLead { number: number(n), time_zone: "Etc/UTC".into(), ..Default::default() }
}

/// A lead that neither names a zone nor has a number that tells one: the campaign's default is left.
pub fn lead_nowhere(n: usize) -> pb::NewLead {
    pb::NewLead { number: number_nowhere(n), ..Default::default() }
}

/// The nth number of an international network, in no country.
pub fn number_nowhere(n: usize) -> String {
    format!("+88351000{n:07}")
}

pub fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

pub fn timestamp(at: DateTime<Utc>) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds: at.timestamp(), nanos: at.timestamp_subsec_nanos() as i32 })
}

/// One delay for an outcome.
pub fn retry(outcome: pb::Outcome, after: Duration) -> pb::RetryRule {
    pb::RetryRule { outcome: outcome.into(), delays: vec![after.try_into().unwrap()], limit: None }
}

pub async fn start_engine(url: &str, fill: SchedulerSettings) -> Replica {
    let drain_within = Duration::from_millis(100);
    let config = ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), drain_within, fill };
    let running = app::start(url, config).await.unwrap();
    let channel = Endpoint::from_shared(format!("http://{}", running.address)).unwrap().connect().await.unwrap();
    Replica {
        campaigns: CampaignServiceClient::new(channel.clone()),
        scheduler: SchedulerServiceClient::new(channel),
        running,
    }
}

impl World {
    pub async fn start() -> World {
        World::with(settings()).await
    }

    pub async fn with(settings: SchedulerSettings) -> World {
        let database = Database::create().await;
        let replica = start_engine(&database.url, settings).await;
        let (campaigns, scheduler) = (replica.campaigns.clone(), replica.scheduler.clone());
        World { database, replica, campaigns, scheduler }
    }

    /// Another engine on the same database.
    pub async fn another_engine(&self) -> Replica {
        start_engine(&self.database.url, settings()).await
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.replica.running.engine
    }

    /// A campaign in DRAFT.
    pub async fn draft(&mut self, rules: pb::CampaignRules) -> String {
        let request = pb::CreateCampaignRequest { name: "test".into(), rules: Some(rules), ..Default::default() };
        self.campaigns.create_campaign(request).await.unwrap().into_inner().campaign.unwrap().campaign_id
    }

    /// A running campaign.
    pub async fn campaign(&mut self, rules: pb::CampaignRules) -> String {
        let campaign_id = self.draft(rules).await;
        self.run(&campaign_id).await;
        campaign_id
    }

    pub async fn run(&mut self, campaign_id: &str) {
        let request = pb::StartCampaignRequest { campaign_id: campaign_id.into(), ..Default::default() };
        self.campaigns.start_campaign(request).await.unwrap();
    }

    pub async fn pause(&mut self, campaign_id: &str) {
        let request = pb::PauseCampaignRequest { campaign_id: campaign_id.into(), ..Default::default() };
        self.campaigns.pause_campaign(request).await.unwrap();
    }

    /// Creates leads; all must be good. Returns their ids.
    pub async fn add(&mut self, campaign_id: &str, leads: Vec<pb::NewLead>) -> Vec<String> {
        let request = pb::CreateLeadsRequest { campaign_id: campaign_id.into(), leads, ..Default::default() };
        let answer = self.campaigns.create_leads(request).await.unwrap().into_inner();
        assert!(answer.refused.is_empty(), "{:?}", answer.refused);
        answer.lead_ids
    }

    /// Creates the leads numbered 0..n.
    pub async fn add_some(&mut self, campaign_id: &str, n: usize) -> Vec<String> {
        self.add(campaign_id, (0..n).map(lead).collect()).await
    }

    pub async fn lead(&mut self, campaign_id: &str, lead_id: &str) -> pb::Lead {
        let request = pb::GetLeadRequest { campaign_id: campaign_id.into(), lead_id: lead_id.into() };
        self.campaigns.get_lead(request).await.unwrap().into_inner().lead.unwrap()
    }

    /// Waits until a lead has a state.
    pub async fn lead_in(&mut self, campaign_id: &str, lead_id: &str, state: pb::LeadState) -> pb::Lead {
        let mut client = self.campaigns.clone();
        eventually(&format!("the lead is {state:?}"), || {
            let request = pb::GetLeadRequest { campaign_id: campaign_id.into(), lead_id: lead_id.into() };
            let mut client = client.clone();
            async move {
                let lead = client.get_lead(request).await.unwrap().into_inner().lead.unwrap();
                (lead.state() == state).then_some(lead)
            }
        })
        .await;
        let request = pb::GetLeadRequest { campaign_id: campaign_id.into(), lead_id: lead_id.into() };
        client.get_lead(request).await.unwrap().into_inner().lead.unwrap()
    }

    pub async fn stats(&mut self, campaign_id: &str) -> pb::GetCampaignStatsResponse {
        let request = pb::GetCampaignStatsRequest { campaign_id: campaign_id.into() };
        self.campaigns.get_campaign_stats(request).await.unwrap().into_inner()
    }

    /// Leads in a state, by the stats.
    pub async fn count(&mut self, campaign_id: &str, state: pb::LeadState) -> i64 {
        let stats = self.stats(campaign_id).await;
        stats.counts.iter().find(|count| count.state() == state).map_or(0, |count| count.leads)
    }

    pub async fn reset(&mut self, campaign_id: &str) -> pb::ResetCampaignResponse {
        let request = pb::ResetCampaignRequest { campaign_id: campaign_id.into(), ..Default::default() };
        self.campaigns.reset_campaign(request).await.unwrap().into_inner()
    }

    pub async fn suppress(&mut self, numbers: &[String]) -> pb::AddSuppressionsResponse {
        let request =
            pb::AddSuppressionsRequest { numbers: numbers.to_vec(), reason: "test".into(), ..Default::default() };
        self.campaigns.add_suppressions(request).await.unwrap().into_inner()
    }

    /// A dialer on this campaign.
    pub async fn dialer(&self, campaign_id: &str, slots: i32) -> Dialer {
        Dialer::open(self.scheduler.clone(), &[campaign_id], slots).await
    }

    /// Moves the engine's clock ahead, for all replicas; this one's memory has followed when it returns.
    pub async fn advance(&self, by: Duration) {
        let target = self.engine().clock.now() + by;
        self.database.advance(by).await;
        eventually("the engine's memory follows the clock", || async {
            (self.engine().clock.now() >= target - Duration::from_millis(500)).then_some(())
        })
        .await;
    }

    /// Nothing is out of order: gauges are counts, every lead is in one place.
    pub async fn check(&self) {
        let violations = self.database.violations().await;
        assert!(violations.is_empty(), "{violations:#?}");
    }

    pub async fn stop(self) {
        self.replica.running.stop().await.unwrap();
        self.database.drop().await;
    }
}

/// Waits for a state, however long it takes a starved machine.
pub async fn eventually<T, F, Fut>(what: &str, probe: F) -> T
where
    F: Fn() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never happened: {what}"))
}

pub fn new_id() -> String {
    Uuid::new_v4().to_string()
}
