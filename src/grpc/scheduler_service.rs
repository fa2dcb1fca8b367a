//! `SchedulerService`: parse, call the engine, show.

use std::{sync::Arc, time::Duration};

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{
    convert::{self, BATCH_MAX, CALLBACK_AHEAD_MAX, CLOCK_AHEAD_MAX, KEY_MAX, timestamp, wire_duration},
    lease_messages, lease_stream, number_rules, revocations,
    status::Violations,
    views,
};
use crate::{
    domain::{callback_phrase::PHRASE_CHARS_MAX, campaign::MAX_CONCURRENCY, outcome::Outcome, settings, time_zone},
    engine::{Engine, outcomes::Report, permits::Permit, polls::Poll, settings::SettingsChange},
    pb::{self, scheduler_service_server::SchedulerService},
    store::{leases::ReportDetails, migrations::schema_version, permits::BeginVerdict, releases::ReleaseVerdict},
};

/// Characters of a note.
const NOTE_MAX: usize = 2000;
/// Talk and ring durations.
const CALL_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long a poll waits, unless it says how long.
const POLL_WAIT: Duration = Duration::from_secs(20);
const POLL_WAIT_MAX: Duration = Duration::from_secs(60);

/// The service, on one engine.
pub struct Scheduler {
    engine: Arc<Engine>,
}

impl Scheduler {
    /// On this engine.
    pub fn new(engine: Arc<Engine>) -> Scheduler {
        Scheduler { engine }
    }

    fn report(&self, report: pb::OutcomeReport, index: usize, bad: &mut Violations) -> Option<Report> {
        let field = |name: &str| format!("reports[{index}].{name}");
        let now = self.engine.clock.now();
        let lease = convert::id(&report.lease_id, &field("lease_id"), bad);
        let outcome = convert::code(report.outcome, Outcome::from_code, &field("outcome"), bad);
        if outcome == Some(Outcome::Unknown) {
            bad.add(field("outcome"), "UNKNOWN is the engine's word");
        }
        let callback_at = report.callback_at.and_then(|at| convert::instant(at, &field("callback_at"), bad));
        let wants_callback = outcome == Some(Outcome::CallbackRequested);
        let phrase = convert::optional_text(&report.callback_phrase, PHRASE_CHARS_MAX, &field("callback_phrase"), bad);
        if !report.callback_phrase.is_empty() {
            if !wants_callback {
                bad.add(field("callback_phrase"), "is only for CALLBACK_REQUESTED");
            } else if report.callback_at.is_some() {
                bad.add(field("callback_phrase"), "must not be given with callback_at");
            }
        } else if wants_callback && report.callback_at.is_none() {
            bad.add(field("callback_at"), "is required with CALLBACK_REQUESTED, or callback_phrase");
        }
        if !wants_callback && report.callback_at.is_some() {
            bad.add(field("callback_at"), "is only for CALLBACK_REQUESTED");
        } else if callback_at.is_some_and(|at| at - now > CALLBACK_AHEAD_MAX) {
            bad.add(field("callback_at"), "must be at most 400 days ahead");
        }
        let occurred_at = report.occurred_at.and_then(|at| convert::instant(at, &field("occurred_at"), bad));
        if occurred_at.is_some_and(|at| at - now > CLOCK_AHEAD_MAX) {
            bad.add(field("occurred_at"), "must be at most a day ahead");
        }
        let heard_at = convert::heard_at(report.heard_at, now, &field("heard_at"), bad);
        let mut duration = |value: Option<prost_types::Duration>, name: &str| {
            value.and_then(|value| convert::duration(value, &(Duration::ZERO..=CALL_MAX), &field(name), bad))
        };
        let (talk, ring) =
            (duration(report.talk_duration, "talk_duration"), duration(report.ring_duration, "ring_duration"));
        let metadata = convert::variables(report.metadata, &field("metadata"), bad);
        let details = ReportDetails {
            occurred_at,
            provider_call_id: convert::optional_text(
                &report.provider_call_id,
                KEY_MAX,
                &field("provider_call_id"),
                bad,
            ),
            talk,
            ring,
            note: convert::optional_text(&report.note, NOTE_MAX, &field("note"), bad),
            metadata: (!metadata.is_empty()).then_some(metadata),
            callback_phrase: phrase,
        };
        Some(Report { lease, outcome: outcome?, callback_at, callback_latest: None, heard_at, details })
    }
}

fn begin_result(lease: &str, permit: Permit, dial_within: Duration) -> pb::BeginResult {
    use pb::RefusalReason as Why;
    let refused = |reason: Why| pb::BeginResult {
        lease_id: lease.to_owned(),
        verdict: pb::BeginVerdict::Refused.into(),
        reason: reason.into(),
        ..Default::default()
    };
    match permit.verdict {
        BeginVerdict::Permitted => pb::BeginResult {
            lease_id: lease.to_owned(),
            verdict: pb::BeginVerdict::Permitted.into(),
            dial_within: Some(wire_duration(dial_within)),
            begun_at: permit.begun_at.map(timestamp),
            ..Default::default()
        },
        BeginVerdict::Wait => pb::BeginResult {
            lease_id: lease.to_owned(),
            verdict: pb::BeginVerdict::Wait.into(),
            retry_after: permit.retry_after.map(wire_duration),
            ..Default::default()
        },
        BeginVerdict::Lost | BeginVerdict::TooLate => refused(Why::LeaseLost),
        BeginVerdict::AlreadyBegun => refused(Why::AlreadyBegun),
        BeginVerdict::NotRunning => refused(Why::CampaignNotRunning),
        BeginVerdict::Suppressed => refused(Why::Suppressed),
        BeginVerdict::Closed => refused(Why::CallingHours),
        BeginVerdict::Provider => refused(Why::Provider),
        BeginVerdict::NumberRule(_) => refused(Why::NumberRule),
    }
}

fn settings_change(given: &pb::SchedulerSettings, bad: &mut Violations) -> SettingsChange {
    let field = |name: &str| format!("settings.{name}");
    let mut change = SettingsChange {
        max_concurrency: given
            .max_concurrency
            .map(|value| convert::number(value, &MAX_CONCURRENCY, &field("max_concurrency"), bad)),
        buffer_factor: given
            .buffer_factor
            .map(|value| convert::number(value, &settings::BUFFER_FACTOR, &field("buffer_factor"), bad)),
        batch_size: given
            .batch_size
            .map(|value| convert::number(value, &settings::BATCH_SIZE, &field("batch_size"), bad)),
        max_calls_per_second: given
            .max_calls_per_second
            .map(|value| convert::call_rate(Some(value), &field("max_calls_per_second"), bad)),
        ..SettingsChange::default()
    };
    change.number_rules =
        given.number_rules.as_ref().and_then(|rules| number_rules::parse(rules, &field("number_rules"), bad));
    let mut duration = |value: Option<prost_types::Duration>, range, name: &str| {
        value.and_then(|value| convert::duration(value, range, &field(name), bad))
    };
    change.tick_interval = duration(given.tick_interval, &settings::TICK_INTERVAL, "tick_interval");
    change.session_ttl = duration(given.session_ttl, &settings::SESSION_TTL, "session_ttl");
    change.receipt_within = duration(given.receipt_within, &settings::RECEIPT_WITHIN, "receipt_within");
    change.dial_within = duration(given.dial_within, &settings::DIAL_WITHIN, "dial_within");
    change
}

#[tonic::async_trait]
impl SchedulerService for Scheduler {
    type LeaseCallsStream = ReceiverStream<Result<pb::LeaseCallsResponse, Status>>;

    async fn lease_calls(
        &self,
        request: Request<Streaming<pb::LeaseCallsRequest>>,
    ) -> Result<Response<Self::LeaseCallsStream>, Status> {
        let outgoing = lease_stream::serve(&self.engine, request.into_inner()).await?;
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn poll_leases(
        &self,
        request: Request<pb::PollLeasesRequest>,
    ) -> Result<Response<pb::PollLeasesResponse>, Status> {
        let pb::PollLeasesRequest { dialer_id, session_id, campaign_ids, slots, held, received, wait, poll_id } =
            request.into_inner();
        let mut bad = Violations::default();
        let open = pb::Open { dialer_id, session_id, campaign_ids, slots, held };
        let poll = Poll {
            demand: lease_messages::demand(&open, "", &mut bad),
            received: match received.as_slice() {
                [] => Vec::new(),
                ids => lease_messages::leases(ids, "received", &mut bad),
            },
            wait: wait
                .map_or(Some(POLL_WAIT), |wait| {
                    convert::duration(wait, &(Duration::ZERO..=POLL_WAIT_MAX), "wait", &mut bad)
                })
                .unwrap_or_default(),
            id: convert::id(&poll_id, "poll_id", &mut bad),
        };
        bad.check()?;
        Ok(Response::new(lease_messages::polled(self.engine.poll(poll).await?)))
    }

    async fn begin_calls(
        &self,
        request: Request<pb::BeginCallsRequest>,
    ) -> Result<Response<pb::BeginCallsResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let session = convert::id(&request.session_id, "session_id", &mut bad);
        let leases = convert::ids(&request.lease_ids, "lease_ids", BATCH_MAX, &mut bad);
        let nonce = convert::id(&request.nonce, "nonce", &mut bad);
        bad.check()?;
        let permits = self.engine.begin_calls(session, &leases, nonce).await?;
        let dial_within = self.engine.settings().dial_within;
        let results =
            request.lease_ids.iter().zip(permits).map(|(lease, permit)| begin_result(lease, permit, dial_within));
        Ok(Response::new(pb::BeginCallsResponse { results: results.collect() }))
    }

    async fn report_outcomes(
        &self,
        request: Request<pb::ReportOutcomesRequest>,
    ) -> Result<Response<pb::ReportOutcomesResponse>, Status> {
        let given = request.into_inner().reports;
        let mut bad = Violations::default();
        convert::size(given.len(), BATCH_MAX, "reports", &mut bad);
        let ids: Vec<String> = given.iter().take(BATCH_MAX).map(|report| report.lease_id.clone()).collect();
        let reports: Vec<Report> = given
            .into_iter()
            .take(BATCH_MAX)
            .enumerate()
            .filter_map(|(index, report)| self.report(report, index, &mut bad))
            .collect();
        bad.check()?;
        let answers = self.engine.report_outcomes(reports).await?;
        let results = ids.into_iter().zip(answers).map(|(lease_id, answer)| pb::ReportResult {
            lease_id,
            verdict: i32::from(answer.verdict as i16),
            lead_state: answer.state.map_or(0, views::state),
        });
        Ok(Response::new(pb::ReportOutcomesResponse { results: results.collect() }))
    }

    async fn release_leases(
        &self,
        request: Request<pb::ReleaseLeasesRequest>,
    ) -> Result<Response<pb::ReleaseLeasesResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let session = convert::id(&request.session_id, "session_id", &mut bad);
        let leases = convert::ids(&request.lease_ids, "lease_ids", BATCH_MAX, &mut bad);
        bad.check()?;
        let verdicts = self.engine.release_leases(session, &leases).await?;
        let results = leases.iter().zip(verdicts).map(|(lease, verdict)| pb::ReleaseResult {
            lease_id: lease.to_string(),
            verdict: match verdict {
                ReleaseVerdict::Released => pb::ReleaseVerdict::Released.into(),
                ReleaseVerdict::Begun => pb::ReleaseVerdict::Begun.into(),
                ReleaseVerdict::NotHeld => pb::ReleaseVerdict::NotHeld.into(),
            },
        });
        Ok(Response::new(pb::ReleaseLeasesResponse { results: results.collect() }))
    }

    async fn list_leases(
        &self,
        request: Request<pb::ListLeasesRequest>,
    ) -> Result<Response<pb::ListLeasesResponse>, Status> {
        let request = request.into_inner();
        let mut bad = Violations::default();
        let campaign = convert::optional_id(&request.campaign_id, "campaign_id", &mut bad);
        let session = convert::optional_id(&request.session_id, "session_id", &mut bad);
        let limit = convert::page_size(request.page_size, &mut bad);
        let after = convert::page_token(&request.page_token, |token| token.parse().ok(), &mut bad);
        bad.check()?;
        let (rows, next) = self.engine.list_leases(campaign, session, after, limit).await?;
        Ok(Response::new(pb::ListLeasesResponse {
            leases: rows.into_iter().map(views::live_lease).collect(),
            next_page_token: next.map(|lease| lease.to_string()).unwrap_or_default(),
        }))
    }

    async fn revoke_leases(
        &self,
        request: Request<pb::RevokeLeasesRequest>,
    ) -> Result<Response<pb::RevokeLeasesResponse>, Status> {
        let (actor, request) = convert::actor(request);
        let mut bad = Violations::default();
        let asked = actor.asks("RevokeLeases", &request, |r| &mut r.request_id, &mut bad);
        revocations::revoke(&self.engine, request, asked, bad).await
    }

    async fn get_scheduler_status(
        &self,
        _: Request<pb::GetSchedulerStatusRequest>,
    ) -> Result<Response<pb::GetSchedulerStatusResponse>, Status> {
        let status = self.engine.status().await?;
        let presence = status.presence;
        Ok(Response::new(pb::GetSchedulerStatusResponse {
            settings: Some(views::settings(&status.settings)),
            active_calls: presence.dialing,
            begun_calls: status.begun_calls,
            ready: presence.ready,
            sessions: i32::try_from(presence.sessions).unwrap_or(i32::MAX),
            slots: presence.slots,
            replicas: i32::try_from(presence.replicas).unwrap_or(i32::MAX),
            next_wake_at: status.campaigns.iter().filter_map(|row| row.next_due_at).min().map(timestamp),
            campaigns: status.campaigns.iter().map(views::activity).collect(),
        }))
    }

    async fn update_scheduler_settings(
        &self,
        request: Request<pb::UpdateSchedulerSettingsRequest>,
    ) -> Result<Response<pb::UpdateSchedulerSettingsResponse>, Status> {
        let (actor, request) = convert::actor(request);
        let mut bad = Violations::default();
        let asked = actor.asks("UpdateSchedulerSettings", &request, |r| &mut r.request_id, &mut bad);
        let given = request.settings.unwrap_or_default();
        let change = settings_change(&given, &mut bad);
        let etag = convert::etag(&given.etag, "settings.etag", &mut bad);
        bad.check()?;
        let settings = self.engine.update_settings(change, etag, asked).await?;
        Ok(Response::new(pb::UpdateSchedulerSettingsResponse { settings: Some(views::settings(&settings)) }))
    }

    async fn get_server_info(
        &self,
        _: Request<pb::GetServerInfoRequest>,
    ) -> Result<Response<pb::GetServerInfoResponse>, Status> {
        let (now, postgres_version) = self.engine.database().await?;
        Ok(Response::new(pb::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            schema_version: schema_version(),
            postgres_version,
            time_zone_database: time_zone::database_version(),
            replica_id: self.engine.replica(),
            started_at: Some(timestamp(self.engine.started_at)),
            now: Some(timestamp(now)),
        }))
    }
}
