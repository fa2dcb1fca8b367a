//! Leads: read, listed, changed, consumed, promised a callback; their attempts; suppressions.

use std::{collections::BTreeMap, time::Duration};

use dialplane::pb::{self, LeadState, Outcome};
use tonic::Code;

use crate::support::{
    World,
    asks::{QUIET, one_lead, refusal},
    hours, lead, number, rules, until,
};

fn change(campaign: &str, lead: &str, paths: &[&str]) -> pb::UpdateLeadRequest {
    pb::UpdateLeadRequest {
        campaign_id: campaign.into(),
        lead_id: lead.into(),
        update_mask: Some(prost_types::FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() }),
        ..Default::default()
    }
}

impl World {
    async fn list(&mut self, request: pb::ListLeadsRequest) -> Vec<String> {
        let page = self.campaigns.list_leads(request).await.unwrap().into_inner();
        page.leads.into_iter().map(|lead| lead.lead_id).collect()
    }

    async fn list_attempts(&mut self, request: pb::ListAttemptsRequest) -> pb::ListAttemptsResponse {
        self.campaigns.list_attempts(request).await.unwrap().into_inner()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_shown_as_it_was_given_and_reaches_the_dialer() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let given = pb::NewLead {
        number: "(201) 555-0123".into(),
        external_id: "crm-7".into(),
        score: Some(42),
        time_zone: "Europe/Vienna".into(),
        variables: BTreeMap::from([("name".into(), "Ada".into())]),
    };
    let id = world.add(&campaign, vec![given.clone()]).await.remove(0);
    let shown = world.lead(&campaign, &id).await;
    assert_eq!((shown.number.as_str(), shown.external_id.as_str(), shown.score), ("+12015550123", "crm-7", 42));
    assert_eq!((shown.time_zone.as_str(), &shown.variables), ("Europe/Vienna", &given.variables));
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    assert_eq!((lease.number, lease.external_id, lease.variables), (shown.number, shown.external_id, shown.variables));
    assert_eq!((lease.score, lease.attempt_number), (42, 1));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_are_listed_by_state_number_external_id_and_in_pages() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let keyed = |n: usize| pb::NewLead { external_id: format!("key-{n}"), ..lead(n) };
    let mut leads = world.add(&campaign, (0..25).map(keyed).collect()).await;
    world.consume(&campaign, &[&leads[3]]).await;
    let all = pb::ListLeadsRequest { campaign_id: campaign.clone(), ..Default::default() };
    let by_number = pb::ListLeadsRequest { number: number(5), ..all.clone() };
    assert_eq!(world.list(by_number).await, [leads[5].clone()]);
    let by_key = pb::ListLeadsRequest { external_id: "key-7".into(), ..all.clone() };
    assert_eq!(world.list(by_key).await, [leads[7].clone()]);
    let by_state = pb::ListLeadsRequest { state: LeadState::Consumed.into(), ..all.clone() };
    assert_eq!(world.list(by_state).await, [leads[3].clone()]);
    let nobody = pb::ListLeadsRequest { number: number(77), ..all.clone() };
    assert!(world.list(nobody).await.is_empty());
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListLeadsRequest { page_size: 10, page_token, ..all.clone() };
        let page = world.campaigns.list_leads(request).await.unwrap().into_inner();
        assert!(page.leads.len() <= 10);
        seen.extend(page.leads.into_iter().map(|lead| lead.lead_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    seen.sort_unstable();
    leads.sort_unstable();
    assert_eq!(seen, leads, "every lead once");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_higher_score_moves_a_lead_to_the_front() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let leads = world.add_some(&campaign, 20).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let first = dialer.call().await;
    world.until_count(&campaign, LeadState::Ready, 2).await;
    for (moved, score) in [(&leads[2], 900), (&leads[15], 998)] {
        let request = pb::UpdateLeadRequest { score, ..change(&campaign, moved, &["score"]) };
        let after = world.campaigns.update_lead(request).await.unwrap().into_inner().lead.unwrap();
        assert_eq!((after.score, after.number), (score, world.lead(&campaign, moved).await.number));
    }
    dialer.report(&first.lease_id, Outcome::IntentNo).await;
    let mut next = Vec::new();
    for _ in 0..4 {
        next.push(dialer.call_with(Outcome::IntentNo).await.0.lead_id);
    }
    assert!(next.contains(&leads[15]) && next.contains(&leads[2]), "re-scored leads are not left behind");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_zone_closes_a_lead_and_revokes_its_lease_without_a_permit() {
    let mut world = World::start().await;
    let now = world.now().await;
    let clock = |minutes: i64| (now + chrono::TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    let narrow = pb::CampaignRules { calling_hours: Some(hours(&clock(-60), &until(&clock(60)))), ..rules() };
    let campaign = world.campaign(narrow).await;
    let id = world.add_some(&campaign, 1).await.remove(0);
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    let request = pb::UpdateLeadRequest { time_zone: "Asia/Tokyo".into(), ..change(&campaign, &id, &["time_zone"]) };
    world.campaigns.update_lead(request).await.unwrap();
    assert_eq!(dialer.revoked(&lease.lease_id).await, pb::RevokeReason::LeadChanged);
    assert!(dialer.gets_nothing_for(QUIET).await);
    let closed = world.lead(&campaign, &id).await;
    assert_eq!((closed.state(), closed.waiting_reason()), (LeadState::Eligible, pb::WaitingReason::CallingHours));
    let request = pb::UpdateLeadRequest { time_zone: "Etc/UTC".into(), ..change(&campaign, &id, &["time_zone"]) };
    world.campaigns.update_lead(request).await.unwrap();
    assert_eq!(dialer.lease().await.lead_id, id);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_never_touches_number_or_state_and_keys_stay_unique() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let leads = world.add_some(&campaign, 2).await;
    for path in ["number", "state", "do_not_call", "lead_id"] {
        let request = change(&campaign, &leads[0], &[path]);
        refusal(world.campaigns.update_lead(request).await).is_bad_input(&["update_mask"]);
    }
    let request = pb::UpdateLeadRequest { external_id: "k".into(), ..change(&campaign, &leads[0], &["external_id"]) };
    world.campaigns.update_lead(request.clone()).await.unwrap();
    let taken = pb::UpdateLeadRequest { lead_id: leads[1].clone(), ..request };
    refusal(world.campaigns.update_lead(taken).await).is(Code::AlreadyExists, "DUPLICATE");
    assert_eq!(world.lead(&campaign, &leads[1]).await.external_id, "");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leads_are_consumed_from_any_state_but_intent_yes_and_a_permit() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 5).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let (yes, _) = dialer.call_with(Outcome::IntentYes).await;
    let (no, _) = dialer.call_with(Outcome::IntentNo).await;
    dialer.slots(2).await;
    let begun = dialer.call().await;
    let waiting = dialer.lease().await;
    let ids = [&yes, &no, &begun, &waiting].map(|lease| lease.lead_id.as_str());
    let results = world.consume(&campaign, &ids).await;
    assert_eq!(results.iter().map(|result| result.consumed).collect::<Vec<_>>(), [false, true, false, true]);
    let states: Vec<_> = results.iter().map(pb::ConsumeResult::previous_state).collect();
    assert_eq!(states, [LeadState::IntentYes, LeadState::IntentNo, LeadState::DialingIntent, LeadState::DialingIntent]);
    assert_eq!(dialer.revoked(&waiting.lease_id).await, pb::RevokeReason::LeadChanged);
    assert_eq!(world.count(&campaign, LeadState::Consumed).await, 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_by_hand_is_promised_moved_and_cancelled() {
    let (mut world, campaign, id, mut dialer) = one_lead(rules()).await;
    let lease = dialer.lease().await;
    let promised = world.promise(&campaign, &id, Duration::from_secs(3600)).await;
    assert_eq!(promised.state(), LeadState::Scheduled);
    assert_eq!(dialer.revoked(&lease.lease_id).await, pb::RevokeReason::LeadChanged);
    let moved = world.promise(&campaign, &id, Duration::from_secs(7200)).await;
    assert!(moved.callback_at.unwrap().seconds > promised.callback_at.unwrap().seconds);
    world.advance(Duration::from_secs(3700)).await;
    assert!(dialer.gets_nothing_for(QUIET).await, "the first instant is no promise any more");
    let cancel = pb::CancelCallbackRequest { campaign_id: campaign.clone(), lead_id: id.clone(), ..Default::default() };
    let back = world.campaigns.cancel_callback(cancel.clone()).await.unwrap().into_inner().lead.unwrap();
    assert_eq!((back.state(), back.callback_at), (LeadState::Eligible, None));
    refusal(world.campaigns.cancel_callback(cancel).await).is_transition("LEAD_STATE");
    assert_ne!(dialer.lease().await.score, 999);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callbacks_by_hand_are_refused_where_nobody_may_call() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let last = world.add(&campaign, vec![pb::NewLead { score: Some(0), ..lead(90) }]).await.remove(0);
    world.add_some(&campaign, 3).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let (yes, _) = dialer.call_with(Outcome::IntentYes).await;
    let (no, _) = dialer.call_with(Outcome::IntentNo).await;
    let begun = dialer.call().await;
    let at = world.now().await + Duration::from_secs(60);
    for lead_id in [&yes.lead_id, &no.lead_id, &begun.lead_id] {
        refusal(world.schedule(&campaign, lead_id, at).await).is_transition("LEAD_STATE");
    }
    dialer.report(&begun.lease_id, Outcome::NoAnswer).await;
    world.consume(&campaign, &[&begun.lead_id]).await;
    refusal(world.schedule(&campaign, &begun.lead_id, at).await).is_transition("LEAD_STATE");
    world.suppress(&[number(90)]).await;
    refusal(world.schedule(&campaign, &last, at).await).is_transition("LEAD_STATE");
    assert_eq!(world.count(&campaign, LeadState::Scheduled).await, 0);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_are_listed_by_id_provider_lead_and_campaign_newest_first() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 3).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let (first, _) = dialer.call_with(Outcome::IntentNo).await;
    let second = dialer.call().await;
    dialer
        .report_all(pb::OutcomeReport {
            lease_id: second.lease_id.clone(),
            outcome: Outcome::Busy.into(),
            provider_call_id: "CA42".into(),
            metadata: BTreeMap::from([("sip".into(), "486".into())]),
            ..Default::default()
        })
        .await;
    let third = dialer.call().await;
    let of = |campaign_id: &str| pb::ListAttemptsRequest { campaign_id: campaign_id.into(), ..Default::default() };
    let all = world.list_attempts(of(&campaign)).await.attempts;
    let ids: Vec<&str> = all.iter().map(|attempt| attempt.lease_id.as_str()).collect();
    assert_eq!(ids, [&third, &second, &first].map(|lease| lease.lease_id.as_str()));
    assert!(all.iter().all(|attempt| attempt.dialer_id == "test" && attempt.begun_at.is_some()));
    let page = world.list_attempts(pb::ListAttemptsRequest { page_size: 2, ..of(&campaign) }).await;
    let rest = pb::ListAttemptsRequest { page_size: 2, page_token: page.next_page_token, ..of(&campaign) };
    assert_eq!(world.list_attempts(rest).await.attempts, all[2..]);
    let by_provider = pb::ListAttemptsRequest { provider_call_id: "CA42".into(), ..Default::default() };
    let found = world.list_attempts(by_provider).await.attempts;
    assert_eq!((found.len(), found[0].lease_id.as_str()), (1, second.lease_id.as_str()));
    assert_eq!(found[0].metadata["sip"], "486");
    assert_eq!(world.attempts(&campaign, &first.lead_id).await.len(), 1);
    assert_eq!(world.attempt(&first.lease_id).await.unwrap().outcome(), Outcome::IntentNo);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_remove_suppressions_with_a_reason_clears_do_not_call() {
    let (mut world, campaign, id, mut dialer) = one_lead(rules()).await;
    let (lease, _) = dialer.call_with(Outcome::NoAnswer).await;
    dialer.report(&lease.lease_id, Outcome::DoNotCall).await;
    let again = pb::CreateLeadsRequest {
        campaign_id: campaign.clone(),
        leads: vec![lead(0)],
        on_duplicate: pb::DuplicateAction::Update.into(),
        ..Default::default()
    };
    assert_eq!(world.campaigns.create_leads(again).await.unwrap().into_inner().updated, 1);
    dialer.report(&lease.lease_id, Outcome::IntentNo).await;
    assert!(world.lead(&campaign, &id).await.do_not_call);
    let mut remove = pb::RemoveSuppressionsRequest { numbers: vec![number(0)], ..Default::default() };
    refusal(world.campaigns.remove_suppressions(remove.clone()).await).is_bad_input(&["reason"]);
    assert!(world.lead(&campaign, &id).await.do_not_call);
    remove.reason = "consent of 3 May".into();
    let removed = world.campaigns.remove_suppressions(remove).await.unwrap().into_inner();
    assert_eq!((removed.removed, removed.leads), (1, 1));
    let after = world.lead(&campaign, &id).await;
    assert!(!after.do_not_call && !after.suppressed);
    assert_eq!(after.state(), LeadState::IntentNo, "what was said stands");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_with_a_new_score_does_not_queue_behind_the_retries() {
    let mut world = World::start().await;
    let quick = pb::CampaignRules {
        max_attempts: Some(100),
        retry_rules: vec![crate::support::retry(Outcome::Failed, Duration::from_secs(60))],
        ..rules()
    };
    let campaign = world.campaign(quick).await;
    world.add_some(&campaign, 60).await;
    let mut dialer = world.dialer(&campaign, 4).await;
    for _ in 0..60 {
        dialer.call_with(Outcome::Failed).await;
    }
    drop(dialer);
    let fresh = world.add(&campaign, (100..120).map(lead).collect()).await;
    world.advance(Duration::from_secs(61)).await;
    let request = pb::UpdateLeadRequest { score: 998, ..change(&campaign, &fresh[19], &["score"]) };
    world.campaigns.update_lead(request).await.unwrap();
    let mut dialer = world.dialer(&campaign, 4).await;
    let mut next = Vec::new();
    for _ in 0..20 {
        next.push(dialer.call_with(Outcome::IntentNo).await.0.lead_id);
    }
    assert!(next.contains(&fresh[19]), "60 due retries were in front of score 998");
    world.check().await;
    world.stop().await;
}
