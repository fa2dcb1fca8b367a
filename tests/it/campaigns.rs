//! Campaigns: created, read, changed, started, paused, archived; repeated requests; counts.

use std::time::Duration;

use dialplane::pb::{self, CampaignState, LeadState, Outcome};
use tonic::Code;

use crate::support::{
    World,
    asks::{QUIET, one_lead, refusal},
    hours, lead, new_id, number, rules, seconds, until,
};

impl World {
    async fn read(&mut self, campaign_id: &str) -> pb::Campaign {
        let request = pb::GetCampaignRequest { campaign_id: campaign_id.into() };
        self.campaigns.get_campaign(request).await.unwrap().into_inner().campaign.unwrap()
    }
}

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() })
}

fn archive(campaign_id: &str) -> pb::ArchiveCampaignRequest {
    pb::ArchiveCampaignRequest { campaign_id: campaign_id.into(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_campaign_is_a_draft_with_every_default_filled_in() {
    let mut world = World::start().await;
    let request = pb::CreateCampaignRequest { name: "spring".into(), ..Default::default() };
    let created = world.campaigns.create_campaign(request).await.unwrap().into_inner().campaign.unwrap();
    assert_eq!((created.name.as_str(), created.state(), created.generation), ("spring", CampaignState::Draft, 0));
    let filled = created.rules.clone().unwrap();
    assert_eq!((filled.max_attempts, filled.max_concurrency), (Some(3), None));
    assert_eq!((filled.weight, filled.min_concurrency), (Some(1), Some(0)));
    assert_eq!((filled.begin_within, filled.max_duration), (seconds(30), seconds(3600)));
    assert_eq!(filled.calling_hours, Some(hours("08:00", "21:00")));
    assert_eq!(filled.retry_rules.len(), 7);
    assert_eq!(world.read(&created.campaign_id).await, created);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn campaigns_are_listed_newest_first_by_state_and_in_pages() {
    let mut world = World::start().await;
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(world.draft(rules()).await);
    }
    world.run(&made[1]).await;
    made.reverse();
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListCampaignsRequest { page_size: 2, page_token, ..Default::default() };
        let page = world.campaigns.list_campaigns(request).await.unwrap().into_inner();
        assert!(page.campaigns.len() <= 2);
        seen.extend(page.campaigns.into_iter().map(|campaign| campaign.campaign_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, made);
    let request = pb::ListCampaignsRequest { state: CampaignState::Running.into(), ..Default::default() };
    let running = world.campaigns.list_campaigns(request).await.unwrap().into_inner().campaigns;
    assert_eq!(running.iter().map(|campaign| campaign.campaign_id.as_str()).collect::<Vec<_>>(), [made[3].as_str()]);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_its_mask_names_and_nothing_else() {
    let mut world = World::start().await;
    let campaign = world.draft(pb::CampaignRules { max_concurrency: Some(7), ..rules() }).await;
    let before = world.read(&campaign).await;
    let request = pb::UpdateCampaignRequest {
        campaign_id: campaign.clone(),
        name: "renamed".into(),
        rules: Some(pb::CampaignRules { max_attempts: Some(9), begin_within: seconds(99), ..Default::default() }),
        update_mask: mask(&["rules.max_attempts"]),
        etag: before.etag.clone(),
        ..Default::default()
    };
    let after = world.campaigns.update_campaign(request.clone()).await.unwrap().into_inner().campaign.unwrap();
    assert_ne!(after.etag, before.etag);
    let wanted = pb::CampaignRules { max_attempts: Some(9), ..before.rules.clone().unwrap() };
    assert_eq!((after.name.as_str(), after.rules.clone()), (before.name.as_str(), Some(wanted)));
    refusal(world.campaigns.update_campaign(request).await).is(Code::Aborted, "STALE_ETAG");
    let request = pb::UpdateCampaignRequest {
        campaign_id: campaign.clone(),
        name: "renamed".into(),
        update_mask: mask(&["name", "rules.max_concurrency"]),
        ..Default::default()
    };
    let renamed = world.campaigns.update_campaign(request).await.unwrap().into_inner().campaign.unwrap();
    assert_eq!((renamed.name.as_str(), renamed.rules.unwrap().max_concurrency), ("renamed", None));
    let shares = pb::CampaignRules { weight: Some(5), min_concurrency: Some(2), ..Default::default() };
    world.change(&campaign, "rules.weight", shares.clone()).await;
    world.change(&campaign, "rules.min_concurrency", shares).await;
    let cap = pb::CampaignRules { max_concurrency: Some(1), ..Default::default() };
    let request = pb::UpdateCampaignRequest {
        campaign_id: campaign.clone(),
        rules: Some(cap),
        update_mask: mask(&["rules.max_concurrency"]),
        ..Default::default()
    };
    refusal(world.campaigns.update_campaign(request).await).is_bad_input(&["rules.min_concurrency"]);
    let shared = world.read(&campaign).await.rules.unwrap();
    assert_eq!((shared.weight, shared.min_concurrency, shared.max_concurrency), (Some(5), Some(2), None));
    for paths in [&["state"] as &[&str], &[]] {
        let request =
            pb::UpdateCampaignRequest { campaign_id: campaign.clone(), update_mask: mask(paths), ..Default::default() };
        refusal(world.campaigns.update_campaign(request).await).is_bad_input(&["update_mask"]);
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_hours_open_and_close_leads_at_once() {
    let mut world = World::start().await;
    let now = world.now().await;
    let clock = |minutes: i64| (now + chrono::TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    let closed = pb::CampaignRules { calling_hours: Some(hours(&clock(120), &until(&clock(180)))), ..rules() };
    let campaign = world.campaign(closed.clone()).await;
    let leads = world.add_some(&campaign, 1).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &leads[0]).await.waiting_reason(), pb::WaitingReason::CallingHours);
    world.change(&campaign, "rules.calling_hours", rules()).await;
    let lease = dialer.lease().await;
    assert_eq!(world.stats(&campaign).await.waiting_for_calling_hours, 0);
    world.change(&campaign, "rules.calling_hours", closed).await;
    assert_eq!(dialer.revoked(&lease.lease_id).await, pb::RevokeReason::CampaignChanged);
    assert!(dialer.gets_nothing_for(QUIET).await);
    assert_eq!(world.lead(&campaign, &leads[0]).await.state(), LeadState::Eligible);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_changes_of_state_say_why() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let pause = pb::PauseCampaignRequest { campaign_id: campaign.clone(), ..Default::default() };
    refusal(world.campaigns.pause_campaign(pause.clone()).await).is_transition("CAMPAIGN_STATE");
    world.run(&campaign).await;
    world.run(&campaign).await;
    refusal(world.campaigns.archive_campaign(archive(&campaign)).await).is_transition("CAMPAIGN_STATE");
    assert_eq!(world.read(&campaign).await.state(), CampaignState::Running);
    world.pause(&campaign).await;
    world.pause(&campaign).await;
    world.campaigns.archive_campaign(archive(&campaign)).await.unwrap();
    assert_eq!(world.read(&campaign).await.state(), CampaignState::Archived);
    let start = pb::StartCampaignRequest { campaign_id: campaign.clone(), ..Default::default() };
    refusal(world.campaigns.start_campaign(start).await).is_transition("CAMPAIGN_STATE");
    refusal(world.campaigns.pause_campaign(pause).await).is_transition("CAMPAIGN_STATE");
    let reset = pb::ResetCampaignRequest { campaign_id: campaign.clone(), ..Default::default() };
    refusal(world.campaigns.reset_campaign(reset.clone()).await).is_transition("CAMPAIGN_STATE");
    let validate = pb::ResetCampaignRequest { validate_only: true, ..reset };
    refusal(world.campaigns.reset_campaign(validate).await).is_transition("CAMPAIGN_STATE");
    let create = pb::CreateLeadsRequest { campaign_id: campaign.clone(), leads: vec![lead(0)], ..Default::default() };
    refusal(world.campaigns.create_leads(create).await).is_transition("CAMPAIGN_STATE");
    let update = pb::UpdateCampaignRequest {
        campaign_id: campaign.clone(),
        name: "x".into(),
        update_mask: mask(&["name"]),
        ..Default::default()
    };
    refusal(world.campaigns.update_campaign(update).await).is_transition("CAMPAIGN_STATE");
    assert_eq!(world.stats(&campaign).await.leads, 0);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_with_calls_under_way_is_not_archived() {
    let (mut world, campaign, _, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    world.pause(&campaign).await;
    refusal(world.campaigns.archive_campaign(archive(&campaign)).await).is_transition("CAMPAIGN_STATE");
    dialer.report(&lease.lease_id, Outcome::IntentNo).await;
    world.campaigns.archive_campaign(archive(&campaign)).await.unwrap();
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_id_answers_the_first_answer_and_changes_nothing() {
    let mut world = World::start().await;
    let create = pb::CreateCampaignRequest { name: "once".into(), rules: Some(rules()), request_id: new_id() };
    let first = world.campaigns.create_campaign(create.clone()).await.unwrap().into_inner();
    assert_eq!(world.campaigns.create_campaign(create.clone()).await.unwrap().into_inner(), first);
    let other = pb::CreateCampaignRequest { name: "twice".into(), ..create.clone() };
    refusal(world.campaigns.create_campaign(other).await).is(Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(world.database.count("select count(*) from campaign").await, 1);
    let campaign_id = first.campaign.unwrap().campaign_id;

    let leads = vec![lead(0), lead(0), lead(1)];
    let add =
        pb::CreateLeadsRequest { campaign_id: campaign_id.clone(), leads, request_id: new_id(), ..Default::default() };
    let first = world.campaigns.create_leads(add.clone()).await.unwrap().into_inner();
    assert_eq!((first.created, first.refused.len()), (2, 1));
    assert_eq!(world.campaigns.create_leads(add.clone()).await.unwrap().into_inner(), first);
    let other = pb::CreateLeadsRequest { leads: vec![lead(2)], ..add };
    refusal(world.campaigns.create_leads(other).await).is(Code::AlreadyExists, "REQUEST_ID_REUSED");

    let suppress = pb::AddSuppressionsRequest {
        numbers: vec![number(1)],
        reason: "asked".into(),
        request_id: new_id(),
        ..Default::default()
    };
    let first = world.campaigns.add_suppressions(suppress.clone()).await.unwrap().into_inner();
    assert_eq!((first.added, first.leads), (1, 1));
    assert_eq!(world.campaigns.add_suppressions(suppress.clone()).await.unwrap().into_inner(), first);
    let other = pb::AddSuppressionsRequest { numbers: vec![number(0)], ..suppress };
    refusal(world.campaigns.add_suppressions(other).await).is(Code::AlreadyExists, "REQUEST_ID_REUSED");

    let reset =
        pb::ResetCampaignRequest { campaign_id: campaign_id.clone(), request_id: new_id(), ..Default::default() };
    let first = world.campaigns.reset_campaign(reset.clone()).await.unwrap().into_inner();
    assert_eq!(world.campaigns.reset_campaign(reset.clone()).await.unwrap().into_inner(), first);
    let other = pb::ResetCampaignRequest { campaign_id: new_id(), ..reset };
    assert!(world.campaigns.reset_campaign(other).await.is_err());
    assert_eq!(world.read(&campaign_id).await.generation, 1);
    assert_eq!(world.stats(&campaign_id).await.suppressed, 1);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_cannot_be_used_for_two_methods() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let request_id = new_id();
    let start = pb::StartCampaignRequest { campaign_id: campaign.clone(), request_id: request_id.clone() };
    world.campaigns.start_campaign(start).await.unwrap();
    let pause = pb::PauseCampaignRequest { campaign_id: campaign.clone(), request_id };
    refusal(world.campaigns.pause_campaign(pause).await).is(Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(world.read(&campaign).await.state(), CampaignState::Running);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stats_are_the_counts_of_the_leads() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 12).await;
    world.promise(&campaign, &leads[11], Duration::from_secs(3600)).await;
    world.consume(&campaign, &[&leads[10]]).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    for outcome in [Outcome::IntentYes, Outcome::IntentNo, Outcome::NoAnswer, Outcome::Failed, Outcome::DoNotCall] {
        dialer.call_with(outcome).await;
    }
    dialer.call().await;
    world.until_count(&campaign, LeadState::Ready, 2).await;
    let stats = world.stats(&campaign).await;
    assert_eq!((stats.leads, stats.calls_under_way, stats.suppressed), (12, 1, 1));
    assert!(stats.next_due_at.is_some());
    assert_eq!(stats.attempts, 5);
    for state in 1..=9 {
        let request = pb::ListLeadsRequest { campaign_id: campaign.clone(), state, ..Default::default() };
        let listed = world.campaigns.list_leads(request).await.unwrap().into_inner().leads;
        assert!(listed.iter().all(|lead| i32::from(lead.state()) == state));
        let counted = stats.counts.iter().find(|count| count.state == state).map_or(0, |count| count.leads);
        assert_eq!(i64::try_from(listed.len()).unwrap(), counted, "state {state}");
    }
    world.check().await;
    world.stop().await;
}
