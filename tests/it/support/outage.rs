//! What clients see while the database is away.

use std::{future::Future, time::Duration};

use dialplane::pb::{self, lease_calls_response};
use futures::{FutureExt as _, future::BoxFuture};
use tokio::time::{Instant, timeout};
use tonic::{Response, Status};
use tonic_types::StatusExt as _;

use super::{PATIENCE, World, asks::taken_apart, dialer::Dialer, eventually, lead, new_id, number, timestamp};

/// A call by its name, and what is answered.
pub type Ask = (&'static str, BoxFuture<'static, Result<(), Status>>);

macro_rules! ask {
    ($client:expr, $method:ident, $request:expr) => {{
        let (mut client, request) = ($client.clone(), $request);
        (stringify!($method), async move { client.$method(request).await.map(|_| ()) }.boxed())
    }};
}

/// The error of a database that is away, with advice when to try again.
pub fn is_unavailable(what: &str, status: &Status) {
    let told = taken_apart(status);
    assert_eq!(
        (told.code, told.reason.as_str()),
        (tonic::Code::Unavailable, "DATABASE_UNAVAILABLE"),
        "{what}: {told:?}"
    );
    let details = status.get_error_details();
    assert!(details.retry_info().is_some_and(|info| info.retry_delay.is_some()), "{what}: when to try again?");
}

/// Every call of CampaignService.
pub fn campaign_calls(world: &World, campaign: &str, lead_id: &str) -> Vec<Ask> {
    let mut calls = calls_of_campaigns(world, campaign);
    calls.extend(calls_of_leads(world, campaign, lead_id));
    calls
}

fn mask(path: &str) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: vec![path.into()] })
}

fn calls_of_campaigns(world: &World, campaign: &str) -> Vec<Ask> {
    let client = &world.campaigns;
    let campaign_id = || campaign.to_owned();
    let create = pb::CreateCampaignRequest { name: "away".into(), rules: Some(super::rules()), ..Default::default() };
    let update = pb::UpdateCampaignRequest {
        campaign_id: campaign_id(),
        name: "b".into(),
        update_mask: mask("name"),
        ..Default::default()
    };
    let (numbers, reason) = (vec![number(9)], || "test".to_owned());
    let add = pb::AddSuppressionsRequest { numbers: numbers.clone(), reason: reason(), ..Default::default() };
    let remove = pb::RemoveSuppressionsRequest { numbers: numbers.clone(), reason: reason(), ..Default::default() };
    vec![
        ask!(client, create_campaign, create),
        ask!(client, get_campaign, pb::GetCampaignRequest { campaign_id: campaign_id() }),
        ask!(client, list_campaigns, pb::ListCampaignsRequest::default()),
        ask!(client, list_audit_events, pb::ListAuditEventsRequest::default()),
        ask!(client, update_campaign, update),
        ask!(client, start_campaign, pb::StartCampaignRequest { campaign_id: campaign_id(), ..Default::default() }),
        ask!(client, pause_campaign, pb::PauseCampaignRequest { campaign_id: campaign_id(), ..Default::default() }),
        ask!(client, archive_campaign, pb::ArchiveCampaignRequest { campaign_id: campaign_id(), ..Default::default() }),
        ask!(client, reset_campaign, pb::ResetCampaignRequest { campaign_id: campaign_id(), ..Default::default() }),
        ask!(client, get_campaign_stats, pb::GetCampaignStatsRequest { campaign_id: campaign_id() }),
        ask!(client, add_suppressions, add),
        ask!(client, remove_suppressions, remove),
        ask!(client, check_suppressions, pb::CheckSuppressionsRequest { numbers }),
        ask!(client, list_suppressions, pb::ListSuppressionsRequest::default()),
    ]
}

fn calls_of_leads(world: &World, campaign: &str, lead_id: &str) -> Vec<Ask> {
    let client = &world.campaigns;
    let (campaign_id, lead_id) = (|| campaign.to_owned(), || lead_id.to_owned());
    let chunk = pb::ImportLeadsRequest {
        campaign_id: campaign_id(),
        import_id: new_id(),
        seq: 1,
        leads: vec![lead(7)],
        ..Default::default()
    };
    let mut importer = client.clone();
    let import =
        async move { importer.import_leads(tokio_stream::once(chunk)).await?.into_inner().message().await.map(|_| ()) };
    let create = pb::CreateLeadsRequest { campaign_id: campaign_id(), leads: vec![lead(8)], ..Default::default() };
    let update = pb::UpdateLeadRequest {
        campaign_id: campaign_id(),
        lead_id: lead_id(),
        score: 5,
        update_mask: mask("score"),
        ..Default::default()
    };
    let consume =
        pb::ConsumeLeadsRequest { campaign_id: campaign_id(), lead_ids: vec![lead_id()], ..Default::default() };
    let update_all = pb::UpdateLeadsRequest {
        campaign_id: campaign_id(),
        filter: Some(pb::LeadFilter { min_score: Some(1), ..Default::default() }),
        score: 5,
        update_mask: mask("score"),
        ..Default::default()
    };
    let plan = pb::ScheduleCallbackRequest {
        campaign_id: campaign_id(),
        lead_id: lead_id(),
        callback_at: timestamp(world.engine().clock.now() + Duration::from_secs(60)),
        ..Default::default()
    };
    let cancel = pb::CancelCallbackRequest { campaign_id: campaign_id(), lead_id: lead_id(), ..Default::default() };
    vec![
        ("import_leads", import.boxed()),
        ask!(client, create_leads, create),
        ask!(client, get_lead, pb::GetLeadRequest { campaign_id: campaign_id(), lead_id: lead_id() }),
        ask!(client, list_leads, pb::ListLeadsRequest { campaign_id: campaign_id(), ..Default::default() }),
        ask!(client, update_lead, update),
        ask!(client, update_leads, update_all),
        ask!(client, consume_leads, consume),
        ask!(client, schedule_callback, plan),
        ask!(client, cancel_callback, cancel),
        ask!(client, list_attempts, pb::ListAttemptsRequest { campaign_id: campaign_id(), ..Default::default() }),
    ]
}

/// Every call of SchedulerService.
pub fn scheduler_calls(world: &World, campaign: &str, lease: &str) -> Vec<Ask> {
    let client = &world.scheduler;
    let lease_ids = || vec![lease.to_owned()];
    let poll = pb::PollLeasesRequest {
        dialer_id: "poller".into(),
        session_id: new_id(),
        slots: 1,
        poll_id: new_id(),
        ..Default::default()
    };
    let settings = pb::SchedulerSettings { max_concurrency: Some(50), ..Default::default() };
    let (stream, campaign) = (client.clone(), campaign.to_owned());
    let open = async move { Dialer::try_open(stream, &[&campaign], 1, &new_id()).await.map(|_| ()) };
    vec![
        ("lease_calls", open.boxed()),
        ask!(client, poll_leases, poll),
        ask!(
            client,
            begin_calls,
            pb::BeginCallsRequest { session_id: new_id(), lease_ids: lease_ids(), nonce: new_id() }
        ),
        ask!(client, report_outcomes, pb::ReportOutcomesRequest { reports: vec![no_answer(lease)] }),
        ask!(client, release_leases, pb::ReleaseLeasesRequest { session_id: new_id(), lease_ids: lease_ids() }),
        ask!(client, list_leases, pb::ListLeasesRequest::default()),
        ask!(client, revoke_leases, pb::RevokeLeasesRequest { lease_ids: lease_ids(), ..Default::default() }),
        ask!(client, get_scheduler_status, pb::GetSchedulerStatusRequest {}),
        ask!(
            client,
            update_scheduler_settings,
            pb::UpdateSchedulerSettingsRequest { settings: Some(settings), ..Default::default() }
        ),
        ask!(client, get_server_info, pb::GetServerInfoRequest {}),
    ]
}

pub fn no_answer(lease: &str) -> pb::OutcomeReport {
    pb::OutcomeReport { lease_id: lease.into(), outcome: pb::Outcome::NoAnswer.into(), ..Default::default() }
}

/// All are answered, and all alike.
pub async fn all_are_unavailable(asks: Vec<Ask>) {
    let asked = asks.into_iter().map(|(what, ask)| async move { (what, timeout(PATIENCE, ask).await) });
    for (what, answer) in futures::future::join_all(asked).await {
        match answer {
            Ok(Err(status)) => is_unavailable(what, &status),
            Ok(Ok(())) => panic!("{what}: answered without a database"),
            Err(_) => panic!("{what}: no answer"),
        }
    }
}

/// Asks again and again until there is an answer; until then it must be UNAVAILABLE.
pub async fn insist<T, F, Fut>(what: &str, ask: F) -> T
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Response<T>, Status>>,
{
    eventually(what, || async {
        match ask().await {
            Ok(answer) => Some(answer.into_inner()),
            Err(status) => {
                is_unavailable(what, &status);
                tokio::time::sleep(Duration::from_millis(100)).await;
                None
            }
        }
    })
    .await
}

impl World {
    /// Waits until the engine answers that the database is away, or that it is there.
    pub async fn until_away(&self, away: bool) {
        eventually("the engine knows", || async {
            let answer = self.scheduler.clone().get_server_info(pb::GetServerInfoRequest {}).await;
            (answer.is_err() == away).then_some(())
        })
        .await;
    }
}

impl Dialer {
    /// Beats and is answered, for so long.
    pub async fn beats_for(&mut self, long: Duration) {
        let until = Instant::now() + long;
        while Instant::now() < until {
            self.heartbeat().await;
            while !matches!(self.next().await.unwrap(), lease_calls_response::Message::HeartbeatAck(_)) {}
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Beats until something else is done.
    pub async fn beats_until(&mut self, done: impl Future<Output = ()>) {
        tokio::select! {
            () = done => {}
            () = self.beats_for(PATIENCE * 2) => unreachable!("everything ends before this"),
        }
    }

    /// The next lease; beats while it waits.
    pub async fn lease_with_beats(&mut self) -> pb::Lease {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            self.heartbeat().await;
            if let Ok(lease) = timeout(Duration::from_millis(300), self.lease()).await {
                return lease;
            }
        }
        panic!("no lease comes");
    }

    /// Reports until it is answered.
    pub async fn insist_on(&self, lease: &str) -> pb::ReportVerdict {
        insist_on(self.client.clone(), lease).await
    }
}

/// Reports until it is answered.
pub async fn insist_on(
    client: pb::scheduler_service_client::SchedulerServiceClient<tonic::transport::Channel>,
    lease: &str,
) -> pb::ReportVerdict {
    let answer = insist("a report is answered", || {
        let (mut client, reports) = (client.clone(), vec![no_answer(lease)]);
        async move { client.report_outcomes(pb::ReportOutcomesRequest { reports }).await }
    });
    answer.await.results[0].verdict()
}
