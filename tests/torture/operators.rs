//! Operators: what people and internal services do while it storms. Everything is written down as asked and answered.

mod imports;

use std::{future::Future, sync::Arc, time::Duration};

use dialplane::pb::{
    self, campaign_service_client::CampaignServiceClient, scheduler_service_client::SchedulerServiceClient,
};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Response, Status, transport::Channel};
use uuid::Uuid;

use crate::{
    carrier::now,
    dialer::{SESSION_TTL, channel},
    log::{Event, Micros, NumberRules},
    pen::Pen,
};

/// How long one replica is waited for at first, and at most.
const ANSWER_WITHIN: Duration = Duration::from_millis(2_500);
const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(15);
/// How long an act that names a replica is asked of this one alone.
const STICK: Duration = Duration::from_secs(4);
/// How long an act is asked for, over all replicas.
const INSIST: Duration = Duration::from_secs(60);
pub const MAX_DURATION: Duration = Duration::from_secs(5);
pub const MAX_ATTEMPTS: i32 = 3;

/// Rules that bite at times: most calls pass. The period is the shortest there is.
pub const NUMBER_RULES: NumberRules = NumberRules { max_calls: 5, period: 60_000_000, min_gap: 3_000_000 };

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
        limit: None,
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
        // After an outage many dead permits are NOT_PLACED in a row.
        breaker_probe_interval: wire(Duration::from_secs(1)),
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

    /// Asks one replica after the other until there is an answer, or patience is over. The request must be one that may be
    /// repeated: by its request_id, or by its nature. What it does is done between the first question and the answer.
    async fn insist<T, F>(&self, first: Option<usize>, call: impl Fn(Channel) -> F) -> Asked<T>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let (asked, since) = (now(), Instant::now());
        let mut within = ANSWER_WITHIN;
        loop {
            let channel = match first.filter(|_| since.elapsed() < STICK) {
                Some(engine) => self.channel(engine),
                None => self.any(),
            };
            match timeout(within, call(channel)).await {
                Ok(Ok(answer)) => return (asked, Some(now()), Some(answer.into_inner())),
                Ok(Err(status)) => {
                    if !is_doubt(status.code()) {
                        self.pen.odd(&format!("an operator was answered {:?}: {}", status.code(), status.message()));
                        return (asked, None, None);
                    }
                }
                Err(_) => within = (within * 2).min(ANSWER_WITHIN_MAX),
            }
            if since.elapsed() > INSIST {
                self.pen.odd("an operator gave up");
                return (asked, None, None);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn set(&self, settings: pb::SchedulerSettings) -> (Micros, Option<Micros>) {
        let request = pb::UpdateSchedulerSettingsRequest { settings: Some(settings), request_id: fresh() };
        let ask = |channel| {
            let request = request.clone();
            async move { SchedulerServiceClient::new(channel).update_scheduler_settings(request).await }
        };
        let (asked, answered, _) = self.insist(None, ask).await;
        (asked, answered)
    }

    async fn settle(&self, settings: pb::SchedulerSettings) -> bool {
        let cap = settings.max_concurrency();
        let (asked, answered) = self.set(settings).await;
        self.pen.write(&Event::EngineCap { cap, asked, answered });
        answered.is_some()
    }

    /// Answers whether it was done.
    pub async fn engine_cap(&self, cap: i32) -> bool {
        self.settle(settings(cap)).await
    }

    /// Limits permits per second, or lifts the limit; nothing else changes.
    pub async fn call_rate(&self, per_second: Option<i32>) -> bool {
        let limit = Some(per_second.map_or(0.0, f64::from));
        let (asked, answered) =
            self.set(pb::SchedulerSettings { max_calls_per_second: limit, ..Default::default() }).await;
        self.pen.write(&Event::CallRate { per_second, asked, answered });
        answered.is_some()
    }

    /// Sets the engine's number rules, or lifts them; nothing else changes.
    pub async fn number_rules(&self, rules: Option<NumberRules>) -> bool {
        let micros = |micros: Micros| wire(Duration::from_micros(micros.try_into().unwrap()));
        let wired = rules.map_or_else(pb::NumberRules::default, |rules| pb::NumberRules {
            caps: vec![pb::RollingCap { max_calls: rules.max_calls.try_into().unwrap(), period: micros(rules.period) }],
            min_gap: micros(rules.min_gap),
            ..Default::default()
        });
        let (asked, answered) =
            self.set(pb::SchedulerSettings { number_rules: Some(wired), ..Default::default() }).await;
        self.pen.write(&Event::NumberRules { rules, asked, answered });
        answered.is_some()
    }

    /// Times that a starved machine keeps, too.
    pub async fn patient_engine(&self, cap: i32) -> bool {
        let patient = wire(Duration::from_secs(10));
        let settings = settings(cap);
        let settings =
            pb::SchedulerSettings { session_ttl: patient, receipt_within: patient, dial_within: patient, ..settings };
        self.settle(settings).await
    }

    async fn update(&self, campaign: Uuid, rules: pb::CampaignRules, paths: &[&str]) -> bool {
        let cap = rules.max_concurrency;
        let request = pb::UpdateCampaignRequest {
            campaign_id: campaign.to_string(),
            rules: Some(rules),
            update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).into()).collect() }),
            request_id: fresh(),
            ..Default::default()
        };
        let ask = |channel| {
            let request = request.clone();
            async move { CampaignServiceClient::new(channel).update_campaign(request).await }
        };
        let (asked, answered, _) = self.insist(None, ask).await;
        self.pen.write(&Event::CampaignCap { campaign, cap, asked, answered });
        answered.is_some()
    }

    pub async fn campaign_cap(&self, campaign: Uuid, cap: Option<i32>) -> bool {
        let rules = pb::CampaignRules { max_concurrency: cap, ..Default::default() };
        self.update(campaign, rules, &["rules.max_concurrency"]).await
    }

    /// No cap, and times that a starved machine keeps, too.
    pub async fn patient_campaign(&self, campaign: Uuid) -> bool {
        let rules = pb::CampaignRules { begin_within: wire(Duration::from_secs(30)), ..Default::default() };
        self.update(campaign, rules, &["rules.max_concurrency", "rules.begin_within"]).await
    }

    pub async fn run(&self, campaign: Uuid, running: bool) -> bool {
        let (campaign_id, request_id) = (campaign.to_string(), fresh());
        let ask = |channel| {
            let (campaign_id, request_id) = (campaign_id.clone(), request_id.clone());
            async move {
                let mut client = CampaignServiceClient::new(channel);
                if running {
                    let request = pb::StartCampaignRequest { campaign_id, request_id };
                    client.start_campaign(request).await.map(|answer| answer.map(|_| ()))
                } else {
                    let request = pb::PauseCampaignRequest { campaign_id, request_id };
                    client.pause_campaign(request).await.map(|answer| answer.map(|_| ()))
                }
            }
        };
        let (asked, answered, _) = self.insist(None, ask).await;
        self.pen.write(&Event::Running { campaign, running, asked, answered });
        answered.is_some()
    }

    /// Through this engine, or through any.
    pub async fn reset(&self, campaign: Uuid, engine: Option<usize>) -> bool {
        let request =
            pb::ResetCampaignRequest { campaign_id: campaign.to_string(), request_id: fresh(), ..Default::default() };
        let ask = |channel| {
            let request = request.clone();
            async move { CampaignServiceClient::new(channel).reset_campaign(request).await }
        };
        let (asked, answered, _) = self.insist(engine, ask).await;
        self.pen.write(&Event::Reset { campaign, asked, answered });
        answered.is_some()
    }

    pub async fn suppress(&self, numbers: &[String], suppressed: bool) -> bool {
        let request_id = fresh();
        let ask = |channel| {
            let (numbers, reason, request_id) = (numbers.to_vec(), "storm".to_owned(), request_id.clone());
            async move {
                let mut client = CampaignServiceClient::new(channel);
                if suppressed {
                    let request = pb::AddSuppressionsRequest { numbers, reason, request_id, ..Default::default() };
                    client.add_suppressions(request).await.map(|answer| answer.map(|_| ()))
                } else {
                    let request = pb::RemoveSuppressionsRequest { numbers, reason, request_id, ..Default::default() };
                    client.remove_suppressions(request).await.map(|answer| answer.map(|_| ()))
                }
            }
        };
        let (asked, answered, _) = self.insist(None, ask).await;
        for number in numbers {
            self.pen.write(&Event::Suppression { number: number.clone(), suppressed, asked, answered });
        }
        answered.is_some()
    }

    async fn live(&self) -> Vec<pb::LiveLease> {
        let request = pb::ListLeasesRequest { page_size: 200, ..Default::default() };
        let ask = |channel| {
            let request = request.clone();
            async move { SchedulerServiceClient::new(channel).list_leases(request).await }
        };
        let (_, _, answer) = self.insist(None, ask).await;
        answer.map(|answer| answer.leases).unwrap_or_default()
    }

    /// Takes some live leases away, begun or not, through this engine or any; answers how many it asked for.
    pub async fn revoke_some(&self, engine: Option<usize>, rng: &mut StdRng) -> usize {
        let leases: Vec<String> =
            self.live().await.choose_multiple(rng, 5).map(|lease| lease.lease_id.clone()).collect();
        if leases.is_empty() {
            return 0;
        }
        let request = pb::RevokeLeasesRequest { lease_ids: leases.clone(), ..Default::default() };
        let ask = |channel| {
            let request = request.clone();
            async move { SchedulerServiceClient::new(channel).revoke_leases(request).await }
        };
        // A second revocation finds nothing to take away.
        let (asked, answered, _) = self.insist(engine, ask).await;
        for lease in &leases {
            self.pen.write(&Event::Revoked { lease: lease.parse().unwrap(), asked, answered });
        }
        leases.len()
    }

    /// Handles some leads by hand, in mid-flight where there are any.
    pub async fn consume_some(&self, campaign: Uuid, rng: &mut StdRng) -> usize {
        let campaign_id = campaign.to_string();
        let live: Vec<_> = self.live().await.into_iter().filter(|lease| lease.campaign_id == campaign_id).collect();
        let lead_ids: Vec<String> = live.choose_multiple(rng, 3).map(|lease| lease.lead_id.clone()).collect();
        if lead_ids.is_empty() {
            return 0;
        }
        let request = pb::ConsumeLeadsRequest { campaign_id, lead_ids, request_id: fresh(), ..Default::default() };
        let ask = |channel| {
            let request = request.clone();
            async move { CampaignServiceClient::new(channel).consume_leads(request).await }
        };
        let (asked, answered, answer) = self.insist(None, ask).await;
        // Refused under a permit.
        for result in answer.iter().flat_map(|answer| &answer.results).filter(|result| result.consumed) {
            self.pen.write(&Event::Consumed { lead: result.lead_id.parse().unwrap(), asked, answered });
        }
        request.lead_ids.len()
    }

    /// A promise to some lead that is in mid-flight.
    pub async fn promise_some(&self, rng: &mut StdRng) -> usize {
        let live = self.live().await;
        let Some(lease) = live.choose(rng) else { return 0 };
        self.promise(&lease.campaign_id, &lease.lead_id, now() + rng.random_range(0..3_000_000)).await;
        1
    }

    pub async fn promise(&self, campaign: &str, lead: &str, at: Micros) {
        let request = pb::ScheduleCallbackRequest {
            campaign_id: campaign.to_owned(),
            lead_id: lead.to_owned(),
            callback_at: Some(prost_types::Timestamp { seconds: at / 1_000_000 + 1, nanos: 0 }),
            request_id: fresh(),
            ..Default::default()
        };
        // Refused for a lead under a permit, and once its instant is past.
        let mut client = CampaignServiceClient::new(self.any());
        let _ = timeout(ANSWER_WITHIN, client.schedule_callback(request)).await;
    }

    pub async fn create(&self, name: &str) -> Option<Uuid> {
        let request = pb::CreateCampaignRequest { name: name.into(), rules: Some(rules()), request_id: fresh() };
        let ask = |channel| {
            let request = request.clone();
            async move { CampaignServiceClient::new(channel).create_campaign(request).await }
        };
        let (_, _, answer) = self.insist(None, ask).await;
        answer?.campaign?.campaign_id.parse().ok()
    }
}

/// A request_id.
fn fresh() -> String {
    Uuid::new_v4().to_string()
}

/// Whether after this answer nobody knows if it was done.
fn is_doubt(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable | Code::Cancelled | Code::Unknown | Code::DeadlineExceeded | Code::Aborted | Code::Internal
    )
}

/// Asks until it was done.
pub async fn until_done<F: Future<Output = bool>>(work: impl Fn() -> F) {
    while !work().await {
        sleep(Duration::from_millis(200)).await;
    }
}
