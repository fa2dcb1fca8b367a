//! The audit log: every change by a person leaves one event, with who and what, in the transaction that makes it.

use dialplane::pb::{self, AuditEvent};
use tonic::Code;

use crate::support::{World, asks::refusal, lead, new_id, number, rules};

impl World {
    async fn audit(&mut self, request: pb::ListAuditEventsRequest) -> Vec<AuditEvent> {
        self.campaigns.list_audit_events(request).await.unwrap().into_inner().events
    }

    async fn newest(&mut self) -> AuditEvent {
        self.audit(pb::ListAuditEventsRequest { page_size: 1, ..Default::default() }).await.remove(0)
    }
}

fn detail<'a>(event: &'a AuditEvent, name: &str) -> &'a str {
    event.details.get(name).map_or("", String::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_campaign_by_a_person_is_an_event() {
    let mut world = World::start().await;
    let campaign = world.draft(pb::CampaignRules { max_attempts: Some(5), ..rules() }).await;
    let created = world.newest().await;
    assert_eq!((created.method.as_str(), created.actor.as_str()), ("CreateCampaign", "127.0.0.1"));
    assert_eq!(created.campaign_id, campaign);
    assert_eq!(detail(&created, "rules.max_attempts"), "3 -> 5");
    world.run(&campaign).await;
    let started = world.newest().await;
    assert_eq!((started.method.as_str(), detail(&started, "state")), ("StartCampaign", "DRAFT -> RUNNING"));
    world.run(&campaign).await;
    assert_eq!(world.newest().await, started, "what changes nothing is no event");
    let request_id = new_id();
    let reset = pb::ResetCampaignRequest {
        campaign_id: campaign.clone(),
        request_id: request_id.clone(),
        ..Default::default()
    };
    for _ in 0..2 {
        world.campaigns.reset_campaign(reset.clone()).await.unwrap();
    }
    world
        .campaigns
        .reset_campaign(pb::ResetCampaignRequest { validate_only: true, request_id: String::new(), ..reset })
        .await
        .unwrap();
    let events = world.audit(pb::ListAuditEventsRequest { campaign_id: campaign.clone(), ..Default::default() }).await;
    let methods: Vec<_> = events.iter().map(|event| event.method.as_str()).collect();
    assert_eq!(
        methods,
        ["ResetCampaign", "StartCampaign", "CreateCampaign"],
        "a repetition is none, nor what only validates"
    );
    assert_eq!(events[0].request_id, request_id);
    let settings = pb::SchedulerSettings { max_concurrency: Some(11), ..Default::default() };
    let update = pb::UpdateSchedulerSettingsRequest { settings: Some(settings), ..Default::default() };
    let before = world.scheduler.get_scheduler_status(pb::GetSchedulerStatusRequest {}).await.unwrap().into_inner();
    world.scheduler.update_scheduler_settings(update).await.unwrap();
    let cap = before.settings.unwrap().max_concurrency.unwrap();
    assert_eq!(detail(&world.newest().await, "max_concurrency"), format!("{cap} -> 11"));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_leads_numbers_and_leases_are_events_and_refused_ones_are_none() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 3).await;
    let added = world.newest().await;
    assert_eq!((added.method.as_str(), detail(&added, "created")), ("CreateLeads", "3"));
    let update = pb::UpdateLeadRequest {
        campaign_id: campaign.clone(),
        lead_id: leads[0].clone(),
        score: 7,
        update_mask: Some(prost_types::FieldMask { paths: vec!["score".into()] }),
        ..Default::default()
    };
    world.campaigns.update_lead(update).await.unwrap();
    let updated = world.newest().await;
    assert_eq!((updated.lead_id.as_str(), detail(&updated, "fields")), (leads[0].as_str(), "score"));
    let consume = pb::ConsumeLeadsRequest {
        campaign_id: campaign.clone(),
        lead_ids: vec![leads[1].clone()],
        ..Default::default()
    };
    world.campaigns.consume_leads(consume.clone()).await.unwrap();
    let consumed = world.newest().await;
    assert_eq!((consumed.method.as_str(), consumed.lead_id.as_str()), ("ConsumeLeads", leads[1].as_str()));
    let cancel =
        pb::CancelCallbackRequest { campaign_id: campaign.clone(), lead_id: leads[2].clone(), ..Default::default() };
    let refused = world.campaigns.cancel_callback(cancel).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(world.newest().await, consumed, "what was refused is no event");
    let add =
        pb::AddSuppressionsRequest { numbers: vec![number(70)], reason: "asked by post".into(), ..Default::default() };
    world.campaigns.add_suppressions(add).await.unwrap();
    let of_number = pb::ListAuditEventsRequest { number: number(70), ..Default::default() };
    let suppressed = world.audit(of_number).await;
    assert_eq!(suppressed.len(), 1);
    assert_eq!((suppressed[0].method.as_str(), detail(&suppressed[0], "reason")), ("AddSuppressions", "asked by post"));
    assert_eq!(suppressed[0].numbers, [number(70)]);
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    let revoke = pb::RevokeLeasesRequest { lease_ids: vec![lease.lease_id.clone()], ..Default::default() };
    world.scheduler.revoke_leases(revoke).await.unwrap();
    assert_eq!(detail(&world.newest().await, "lease_ids"), lease.lease_id);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_read_in_pages_by_what_is_asked_and_nonsense_is_refused() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    for n in 0..5 {
        world.add(&campaign, vec![lead(n)]).await;
    }
    let mut request = pb::ListAuditEventsRequest { method: "CreateLeads".into(), page_size: 2, ..Default::default() };
    let mut ids = Vec::new();
    loop {
        let page = world.campaigns.list_audit_events(request.clone()).await.unwrap().into_inner();
        ids.extend(page.events.iter().map(|event| event.event_id.parse::<i64>().unwrap()));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    assert_eq!(ids.len(), 5);
    assert!(ids.is_sorted_by(|a, b| a > b));
    let by_nobody = pb::ListAuditEventsRequest { actor: "10.9.8.7".into(), ..Default::default() };
    assert!(world.audit(by_nobody).await.is_empty());
    let first = world.audit(pb::ListAuditEventsRequest::default()).await.pop().unwrap();
    let until = pb::ListAuditEventsRequest { until: first.at, ..Default::default() };
    assert!(world.audit(until).await.is_empty());
    let wrong = pb::ListAuditEventsRequest {
        number: "12".into(),
        lead_id: "x".into(),
        page_token: "?".into(),
        ..Default::default()
    };
    let refused = refusal(world.campaigns.list_audit_events(wrong).await);
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(refused.fields, ["number", "lead_id", "page_token"]);
    world.stop().await;
}
