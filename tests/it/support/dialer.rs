//! A dialer as a test plays it: says what it is told to, and nothing by itself but heartbeats.

use std::time::Duration;

use dialplane::pb::{
    self, lease_calls_request, lease_calls_response, scheduler_service_client::SchedulerServiceClient,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

use super::{PATIENCE, new_id};

pub struct Dialer {
    pub client: SchedulerServiceClient<Channel>,
    pub session_id: String,
    to_engine: mpsc::Sender<pb::LeaseCallsRequest>,
    from_engine: Streaming<pb::LeaseCallsResponse>,
    granted: std::collections::VecDeque<pb::Lease>,
    /// What was revoked: one message may name several leases.
    revoked: Vec<pb::Revoked>,
}

fn message(message: lease_calls_request::Message) -> pb::LeaseCallsRequest {
    pb::LeaseCallsRequest { message: Some(message) }
}

impl Dialer {
    pub async fn open(client: SchedulerServiceClient<Channel>, campaigns: &[&str], slots: i32) -> Dialer {
        Dialer::try_open(client, campaigns, slots, &new_id()).await.unwrap()
    }

    pub async fn try_open(
        client: SchedulerServiceClient<Channel>,
        campaigns: &[&str],
        slots: i32,
        session_id: &str,
    ) -> Result<Dialer, Status> {
        let open = pb::Open {
            dialer_id: "test".into(),
            session_id: session_id.into(),
            campaign_ids: campaigns.iter().map(|id| (*id).to_owned()).collect(),
            slots,
            held: Vec::new(),
        };
        Dialer::open_as(client, open).await.map(|(dialer, _)| dialer)
    }

    /// A stream that opens so, and how it was opened.
    pub async fn open_as(
        mut client: SchedulerServiceClient<Channel>,
        open: pb::Open,
    ) -> Result<(Dialer, pb::Opened), Status> {
        let (to_engine, outgoing) = mpsc::channel(64);
        let session_id = open.session_id.clone();
        to_engine.send(message(lease_calls_request::Message::Open(open))).await.unwrap();
        let from_engine = client.lease_calls(ReceiverStream::new(outgoing)).await?.into_inner();
        let mut dialer =
            Dialer { client, session_id, to_engine, from_engine, granted: Default::default(), revoked: Vec::new() };
        match dialer.next().await? {
            lease_calls_response::Message::Opened(opened) => Ok((dialer, opened)),
            other => panic!("expected Opened, got {other:?}"),
        }
    }

    /// How the stream ends, whatever comes before.
    pub async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.next().await {
                return status;
            }
        }
    }

    /// The next message, whatever it is.
    pub async fn next(&mut self) -> Result<lease_calls_response::Message, Status> {
        let next = tokio::time::timeout(PATIENCE, self.from_engine.message()).await.expect("the engine is silent");
        match next? {
            Some(next) => Ok(next.message.unwrap()),
            None => Err(Status::ok("the stream ended")),
        }
    }

    /// The next lease, received; other messages are passed over.
    pub async fn lease(&mut self) -> pb::Lease {
        loop {
            if let Some(lease) = self.granted.pop_front() {
                return lease;
            }
            if let lease_calls_response::Message::Granted(granted) = self.next().await.unwrap() {
                let lease_ids = granted.leases.iter().map(|lease| lease.lease_id.clone()).collect();
                self.say(lease_calls_request::Message::Received(pb::Received { lease_ids })).await;
                self.granted.extend(granted.leases);
            }
        }
    }

    /// `n` leases.
    pub async fn leases(&mut self, n: usize) -> Vec<pb::Lease> {
        let mut leases = Vec::new();
        while leases.len() < n {
            leases.push(self.lease().await);
        }
        leases
    }

    /// Whether nothing is granted for a while. For what must not happen; keep it short.
    pub async fn gets_nothing_for(&mut self, quiet: Duration) -> bool {
        self.granted.is_empty()
            && tokio::time::timeout(quiet, async {
                loop {
                    if let lease_calls_response::Message::Granted(granted) = self.next().await.unwrap() {
                        return granted;
                    }
                }
            })
            .await
            .is_err()
    }

    /// Waits for the revocation of a lease.
    pub async fn revoked(&mut self, lease_id: &str) -> pb::RevokeReason {
        loop {
            if let Some(told) = self.revoked.iter().find(|told| told.lease_ids.iter().any(|id| id == lease_id)) {
                return told.reason();
            }
            if let lease_calls_response::Message::Revoked(revoked) = self.next().await.unwrap() {
                self.revoked.push(revoked);
            }
        }
    }

    pub async fn say(&self, what: lease_calls_request::Message) {
        self.to_engine.send(message(what)).await.unwrap();
    }

    /// Says it, if the stream is still there.
    pub async fn try_say(&self, what: lease_calls_request::Message) {
        let _ = self.to_engine.send(message(what)).await;
    }

    pub async fn slots(&self, slots: i32) {
        self.try_say(lease_calls_request::Message::Slots(pb::Slots { slots })).await;
    }

    pub async fn heartbeat(&self) {
        self.try_say(lease_calls_request::Message::Heartbeat(pb::Heartbeat {})).await;
    }

    pub async fn drain(&self) {
        self.try_say(lease_calls_request::Message::Drain(pb::Drain {})).await;
    }

    /// Asks for a permit.
    pub async fn begin(&mut self, lease: &pb::Lease) -> pb::BeginResult {
        self.begin_with(lease, &new_id()).await
    }

    pub async fn begin_with(&mut self, lease: &pb::Lease, nonce: &str) -> pb::BeginResult {
        let request = pb::BeginCallsRequest {
            session_id: self.session_id.clone(),
            lease_ids: vec![lease.lease_id.clone()],
            nonce: nonce.into(),
        };
        self.client.begin_calls(request).await.unwrap().into_inner().results.remove(0)
    }

    /// The next lease, with its permit.
    pub async fn call(&mut self) -> pb::Lease {
        let lease = self.lease().await;
        let begun = self.begin(&lease).await;
        assert_eq!(begun.verdict(), pb::BeginVerdict::Permitted, "{begun:?}");
        lease
    }

    /// Reports an outcome without details.
    pub async fn report(&mut self, lease_id: &str, outcome: pb::Outcome) -> pb::ReportResult {
        self.report_all(pb::OutcomeReport { lease_id: lease_id.into(), outcome: outcome.into(), ..Default::default() })
            .await
    }

    pub async fn report_all(&mut self, report: pb::OutcomeReport) -> pb::ReportResult {
        let request = pb::ReportOutcomesRequest { reports: vec![report] };
        self.client.report_outcomes(request).await.unwrap().into_inner().results.remove(0)
    }

    /// Calls the next lead and reports.
    pub async fn call_with(&mut self, outcome: pb::Outcome) -> (pb::Lease, pb::ReportResult) {
        let lease = self.call().await;
        let result = self.report(&lease.lease_id, outcome).await;
        (lease, result)
    }

    pub async fn release(&mut self, lease_id: &str) -> pb::ReleaseVerdict {
        let request =
            pb::ReleaseLeasesRequest { session_id: self.session_id.clone(), lease_ids: vec![lease_id.into()] };
        self.client.release_leases(request).await.unwrap().into_inner().results.remove(0).verdict()
    }
}
