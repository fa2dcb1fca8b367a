//! Bad input that names the wrong thing: ids that are none, leads of other campaigns, leases of other sessions, streams that do
//! not begin with Open. A typed error, and nothing changed.

use dialplane::pb::{self, Outcome, lease_calls_request::Message};
use tonic::{Code, Status};

use crate::support::{
    World,
    asks::{QUIET, Refusal, one_lead, refusal, taken_apart},
    lead, new_id, number, rules,
};

macro_rules! bad {
    ($client:expr, $call:ident, $request:expr, $($field:expr),+) => {
        refusal($client.$call($request).await).is_bad_input(&[$($field),+])
    };
}

/// Calls with these ids, and wants this reason.
macro_rules! refused {
    ($client:expr, $code:expr, $reason:expr, $($call:ident($request:expr)),+ $(,)?) => {
        $(refusal($client.$call($request).await).is($code, $reason);)+
    };
}

fn callback(campaign: &str, lead: &str) -> pb::ScheduleCallbackRequest {
    let at = Some(prost_types::Timestamp { seconds: chrono::Utc::now().timestamp() + 60, nanos: 0 });
    pb::ScheduleCallbackRequest {
        campaign_id: campaign.into(),
        lead_id: lead.into(),
        callback_at: at,
        ..Default::default()
    }
}

fn update(campaign: &str, lead: &str) -> pb::UpdateLeadRequest {
    let update_mask = Some(prost_types::FieldMask { paths: vec!["score".into()] });
    pb::UpdateLeadRequest {
        campaign_id: campaign.into(),
        lead_id: lead.into(),
        score: 1,
        update_mask,
        ..Default::default()
    }
}

fn cancel(campaign: &str, lead: &str) -> pb::CancelCallbackRequest {
    pb::CancelCallbackRequest { campaign_id: campaign.into(), lead_id: lead.into(), ..Default::default() }
}

fn get(campaign: &str, lead: &str) -> pb::GetLeadRequest {
    pb::GetLeadRequest { campaign_id: campaign.into(), lead_id: lead.into() }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_are_no_uuids_are_refused_by_their_fields() {
    let mut world = World::start().await;
    for id in ["", "7", "no uuid", "'; drop table lead; --", "00000000-0000-0000-0000-000000000000"] {
        let ids = vec![id.to_owned()];
        bad!(world.campaigns, get_campaign, pb::GetCampaignRequest { campaign_id: id.into() }, "campaign_id");
        bad!(world.campaigns, get_lead, get(id, id), "campaign_id", "lead_id");
        bad!(world.campaigns, update_lead, update(id, id), "campaign_id", "lead_id");
        bad!(world.campaigns, schedule_callback, callback(id, id), "campaign_id", "lead_id");
        bad!(world.campaigns, cancel_callback, cancel(id, id), "campaign_id", "lead_id");
        let consume = pb::ConsumeLeadsRequest { campaign_id: id.into(), lead_ids: ids.clone(), ..Default::default() };
        bad!(world.campaigns, consume_leads, consume, "campaign_id", "lead_ids[0]");
        let start = pb::StartCampaignRequest { campaign_id: id.into(), ..Default::default() };
        bad!(world.campaigns, start_campaign, start, "campaign_id");
        let reset = pb::ResetCampaignRequest { campaign_id: id.into(), ..Default::default() };
        bad!(world.campaigns, reset_campaign, reset, "campaign_id");
        bad!(
            world.campaigns,
            get_campaign_stats,
            pb::GetCampaignStatsRequest { campaign_id: id.into() },
            "campaign_id"
        );
        let begin = pb::BeginCallsRequest { session_id: id.into(), lease_ids: ids.clone(), nonce: id.into() };
        bad!(world.scheduler, begin_calls, begin, "session_id", "lease_ids[0]", "nonce");
        let release = pb::ReleaseLeasesRequest { session_id: id.into(), lease_ids: ids.clone() };
        bad!(world.scheduler, release_leases, release, "session_id", "lease_ids[0]");
        bad!(
            world.scheduler,
            revoke_leases,
            pb::RevokeLeasesRequest { lease_ids: ids, ..Default::default() },
            "lease_ids[0]"
        );
        let report = pb::OutcomeReport { lease_id: id.into(), outcome: Outcome::Busy.into(), ..Default::default() };
        bad!(
            world.scheduler,
            report_outcomes,
            pb::ReportOutcomesRequest { reports: vec![report] },
            "reports[0].lease_id"
        );
    }
    let odd = pb::CreateCampaignRequest { name: "x".into(), request_id: "7".into(), ..Default::default() };
    bad!(world.campaigns, create_campaign, odd, "request_id");
    bad!(world.campaigns, list_attempts, pb::ListAttemptsRequest::default(), "campaign_id");
    let lead_only = pb::ListAttemptsRequest { lead_id: new_id(), ..Default::default() };
    bad!(world.campaigns, list_attempts, lead_only, "campaign_id");
    assert_eq!(world.database.count("select count(*) from campaign").await, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_that_is_not_there_is_not_found() {
    let mut world = World::start().await;
    let (no, lead_id) = (new_id(), new_id());
    let id = || no.clone();
    let mask = Some(prost_types::FieldMask { paths: vec!["name".into()] });
    refused!(
        world.campaigns,
        Code::NotFound,
        "CAMPAIGN_NOT_FOUND",
        get_campaign(pb::GetCampaignRequest { campaign_id: id() }),
        update_campaign(pb::UpdateCampaignRequest {
            campaign_id: id(),
            name: "x".into(),
            update_mask: mask,
            ..Default::default()
        }),
        start_campaign(pb::StartCampaignRequest { campaign_id: id(), ..Default::default() }),
        pause_campaign(pb::PauseCampaignRequest { campaign_id: id(), ..Default::default() }),
        archive_campaign(pb::ArchiveCampaignRequest { campaign_id: id(), ..Default::default() }),
        reset_campaign(pb::ResetCampaignRequest { campaign_id: id(), ..Default::default() }),
        create_leads(pb::CreateLeadsRequest { campaign_id: id(), leads: vec![lead(0)], ..Default::default() }),
        get_lead(get(&no, &lead_id)),
        list_leads(pb::ListLeadsRequest { campaign_id: id(), ..Default::default() }),
        update_lead(update(&no, &lead_id)),
        consume_leads(pb::ConsumeLeadsRequest { campaign_id: id(), lead_ids: vec![new_id()], ..Default::default() }),
        schedule_callback(callback(&no, &lead_id)),
        cancel_callback(cancel(&no, &lead_id)),
        list_attempts(pb::ListAttemptsRequest { campaign_id: id(), ..Default::default() }),
        get_campaign_stats(pb::GetCampaignStatsRequest { campaign_id: id() }),
    );
    refused!(
        world.scheduler,
        Code::NotFound,
        "CAMPAIGN_NOT_FOUND",
        list_leases(pb::ListLeasesRequest { campaign_id: id(), ..Default::default() }),
    );
    assert_eq!(world.database.count("select count(*) from lead").await, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_of_another_campaign_is_not_found() {
    let mut world = World::start().await;
    let (mine, other) = (world.draft(rules()).await, world.draft(rules()).await);
    let theirs = world.add_some(&other, 1).await.remove(0);
    let before = world.lead(&other, &theirs).await;
    refused!(
        world.campaigns,
        Code::NotFound,
        "LEAD_NOT_FOUND",
        get_lead(get(&mine, &theirs)),
        update_lead(update(&mine, &theirs)),
        schedule_callback(callback(&mine, &theirs)),
        cancel_callback(cancel(&mine, &theirs)),
    );
    let results = world.consume(&mine, &[&theirs]).await;
    assert_eq!((results[0].consumed, results[0].previous_state()), (false, pb::LeadState::Unspecified));
    assert!(world.attempts(&mine, &theirs).await.is_empty());
    assert_eq!(world.lead(&other, &theirs).await, before);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_does_not_hold_a_lease_can_neither_begin_nor_release_it() {
    let (mut world, campaign, lead_id, mut dialer) = one_lead(rules()).await;
    let lease = dialer.lease().await;
    let mut thief = world.dialer(&campaign, 1).await;
    let refused = thief.begin(&lease).await;
    assert_eq!((refused.verdict(), refused.reason()), (pb::BeginVerdict::Refused, pb::RefusalReason::LeaseLost));
    assert_eq!(thief.release(&lease.lease_id).await, pb::ReleaseVerdict::NotHeld);
    assert_eq!(thief.release(&new_id()).await, pb::ReleaseVerdict::NotHeld);
    assert!(world.attempt(&lease.lease_id).await.is_none());
    assert_eq!(world.lead(&campaign, &lead_id).await.lease_id, lease.lease_id);
    assert_eq!(dialer.begin(&lease).await.verdict(), pb::BeginVerdict::Permitted);
    assert_eq!(thief.release(&lease.lease_id).await, pb::ReleaseVerdict::NotHeld);
    let refused = thief.begin(&lease).await;
    assert_eq!(refused.reason(), pb::RefusalReason::LeaseLost);
    world.check().await;
    world.stop().await;
}

fn open(slots: i32) -> pb::Open {
    pb::Open { dialer_id: "d".into(), session_id: new_id(), campaign_ids: Vec::new(), slots, held: Vec::new() }
}

impl World {
    /// What becomes of a stream of these messages.
    async fn stream_of(&mut self, messages: Vec<Option<Message>>) -> Refusal {
        let (sender, outgoing) = tokio::sync::mpsc::channel(16);
        for message in messages {
            sender.send(pb::LeaseCallsRequest { message }).await.unwrap();
        }
        let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
        let status: Status = match self.scheduler.lease_calls(outgoing).await {
            Err(status) => status,
            Ok(answer) => {
                let mut stream = answer.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("the stream ended without an error"),
                        Err(status) => break status,
                    }
                }
            }
        };
        drop(sender);
        taken_apart(&status)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_must_begin_with_open_and_only_once() {
    let mut world = World::start().await;
    let heartbeat = Some(Message::Heartbeat(pb::Heartbeat {}));
    world.stream_of(vec![heartbeat.clone()]).await.is(Code::InvalidArgument, "OPEN_EXPECTED");
    world
        .stream_of(vec![Some(Message::Slots(pb::Slots { slots: 1 }))])
        .await
        .is(Code::InvalidArgument, "OPEN_EXPECTED");
    world.stream_of(vec![None]).await.is(Code::InvalidArgument, "OPEN_EXPECTED");
    assert_eq!(world.database.count("select count(*) from dialer_session").await, 0);
    let twice = vec![Some(Message::Open(open(1))), Some(Message::Open(open(1)))];
    world.stream_of(twice).await.is(Code::InvalidArgument, "OPEN_EXPECTED");
    world.stream_of(vec![Some(Message::Open(open(1))), None]).await.is_bad_input(&["message"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_with_bad_fields_opens_nothing() {
    let mut world = World::start().await;
    for slots in [-1, 10_001, i32::MIN] {
        world.stream_of(vec![Some(Message::Open(open(slots)))]).await.is_bad_input(&["open.slots"]);
    }
    let nameless = pb::Open { dialer_id: String::new(), session_id: "7".into(), ..open(1) };
    world.stream_of(vec![Some(Message::Open(nameless))]).await.is_bad_input(&["open.dialer_id", "open.session_id"]);
    let long = pb::Open { dialer_id: "x".repeat(1 << 20), ..open(1) };
    world.stream_of(vec![Some(Message::Open(long))]).await.is_bad_input(&["open.dialer_id"]);
    let many = pb::Open { campaign_ids: (0..101).map(|_| new_id()).collect(), ..open(1) };
    world.stream_of(vec![Some(Message::Open(many))]).await.is_bad_input(&["open.campaign_ids"]);
    let odd = pb::Open { campaign_ids: vec!["7".into()], ..open(1) };
    world.stream_of(vec![Some(Message::Open(odd))]).await.is_bad_input(&["open.campaign_ids[0]"]);
    let unknown = pb::Open { campaign_ids: vec![new_id()], ..open(1) };
    world.stream_of(vec![Some(Message::Open(unknown))]).await.is(Code::NotFound, "CAMPAIGN_NOT_FOUND");
    assert_eq!(world.database.count("select count(*) from dialer_session").await, 0);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_messages_on_a_stream_end_it_and_its_leases_go_back() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 1).await;
    let first = || Some(Message::Open(pb::Open { campaign_ids: vec![campaign.clone()], ..open(1) }));
    let slots = Some(Message::Slots(pb::Slots { slots: -1 }));
    world.stream_of(vec![first(), slots]).await.is_bad_input(&["slots.slots"]);
    let received = Some(Message::Received(pb::Received { lease_ids: vec!["7".into()] }));
    world.stream_of(vec![first(), received]).await.is_bad_input(&["received.lease_ids[0]"]);
    let mut dialer = world.dialer(&campaign, 1).await;
    assert_eq!(dialer.lease().await.number, number(0));
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}
