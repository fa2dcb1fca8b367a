//! Changes by a filter: they act on all that match, and say what they would do.

use std::time::Duration;

use dialplane::pb::{self, LeadFilter, LeadState, Outcome};
use tonic::Code;

use crate::support::{
    World,
    asks::{instant, refusal},
    eventually, lead, new_id, number, rules, timestamp,
};

fn in_states(states: &[LeadState]) -> LeadFilter {
    LeadFilter { states: states.iter().map(|state| (*state).into()).collect(), ..Default::default() }
}

fn by(campaign: &str, filter: LeadFilter) -> pb::ConsumeLeadsRequest {
    pb::ConsumeLeadsRequest { campaign_id: campaign.into(), filter: Some(filter), ..Default::default() }
}

impl World {
    /// Creates the leads numbered 0..n, however many.
    async fn add_many(&mut self, campaign: &str, n: usize) {
        for first in (0..n).step_by(5000) {
            self.add(campaign, (first..n.min(first + 5000)).map(lead).collect()).await;
        }
    }

    async fn consume_by(&mut self, request: pb::ConsumeLeadsRequest) -> pb::ConsumeLeadsResponse {
        self.campaigns.consume_leads(request).await.unwrap().into_inner()
    }

    async fn events(&mut self, method: &str) -> Vec<pb::AuditEvent> {
        let request = pb::ListAuditEventsRequest { method: method.into(), ..Default::default() };
        self.campaigns.list_audit_events(request).await.unwrap().into_inner().events
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn consuming_by_a_filter_acts_on_all_matches_and_says_before_what_it_would_do() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_many(&campaign, 2_300).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    dialer.call_with(Outcome::IntentYes).await;
    let (no, _) = dialer.call_with(Outcome::IntentNo).await;
    world.consume(&campaign, &[&no.lead_id]).await;
    let call = dialer.call().await;
    let all =
        [LeadState::Eligible, LeadState::Ready, LeadState::DialingIntent, LeadState::IntentYes, LeadState::Consumed];
    let request = by(&campaign, in_states(&all));
    let dry = world.consume_by(pb::ConsumeLeadsRequest { validate_only: true, ..request.clone() }).await;
    assert_eq!((dry.matched, dry.consumed), (2_300, 2_297));
    let mut refused: Vec<_> = dry.refused.iter().map(|count| (count.state(), count.leads)).collect();
    refused.sort_by_key(|(state, _)| *state as i32);
    assert_eq!(refused, [(LeadState::DialingIntent, 1), (LeadState::IntentYes, 1), (LeadState::Consumed, 1)]);
    assert_eq!(world.count(&campaign, LeadState::Consumed).await, 1, "nothing was changed");
    let request = pb::ConsumeLeadsRequest { request_id: new_id(), ..request };
    let done = world.consume_by(request.clone()).await;
    assert_eq!(done, dry);
    assert_eq!(world.consume_by(request.clone()).await, done, "a repetition is answered alike");
    let reused = pb::ConsumeLeadsRequest { filter: Some(in_states(&[LeadState::Failed])), ..request };
    refusal(world.campaigns.consume_leads(reused).await).is(Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(world.count(&campaign, LeadState::Consumed).await, 2_298);
    let events = world.events("ConsumeLeads").await;
    assert_eq!(events.len(), 2, "one per call");
    assert_eq!((events[0].details["leads"].as_str(), events[0].campaign_id.as_str()), ("2297", campaign.as_str()));
    dialer.report(&call.lease_id, Outcome::NoAnswer).await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_change_that_broke_off_does_the_rest_when_it_is_repeated() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    world.add_many(&campaign, 2_500).await;
    let request = pb::ConsumeLeadsRequest { request_id: new_id(), ..by(&campaign, in_states(&[LeadState::Eligible])) };
    // The last lead is held, so the last batch waits.
    let hold = "begin; select from lead where lead_id = (select max(lead_id::text)::uuid from lead) for update";
    world.database.sql.batch_execute(hold).await.unwrap();
    let mut client = world.campaigns.clone();
    let first = tokio::spawn({
        let request = request.clone();
        async move { client.consume_leads(request).await }
    });
    eventually("two batches are durable", || async {
        let consumed = "select consumed::bigint from gauge where campaign_id > 0";
        (world.database.count(consumed).await >= 2_000).then_some(())
    })
    .await;
    first.abort();
    assert!(first.await.is_err_and(|error| error.is_cancelled()));
    world.database.sql.batch_execute("rollback").await.unwrap();
    let rest = world.consume_by(request.clone()).await;
    assert!(rest.matched <= 500 && rest.consumed == rest.matched, "{rest:?}");
    assert_eq!(world.consume_by(request).await, rest);
    assert_eq!(world.count(&campaign, LeadState::Consumed).await, 2_500);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_means_the_same_to_a_list_and_to_a_bulk_change() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let given = |n: usize| pb::NewLead {
        score: Some(i32::try_from(n).unwrap() * 100),
        external_id: format!("{}-{n}", if n < 3 { "crm" } else { "web" }),
        time_zone: if n.is_multiple_of(2) { "Europe/Vienna".into() } else { String::new() },
        ..lead(n)
    };
    world.add(&campaign, (0..5).map(given).collect()).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    for outcome in [Outcome::Busy, Outcome::IntentNo, Outcome::Failed] {
        dialer.call_with(outcome).await;
    }
    drop(dialer);
    let held = world.database.count("select count(*) from lease").await;
    assert!(held <= 1);
    let newest = "select max(extract(epoch from created_at))::bigint from lead";
    let later = instant(prost_types::Timestamp { seconds: world.database.count(newest).await + 10, nanos: 0 });
    let any = LeadFilter::default;
    let cases = [
        (LeadFilter { min_score: Some(100), max_score: Some(300), ..any() }, vec![1, 2, 3]),
        (LeadFilter { min_score: Some(400), ..any() }, vec![4]),
        (LeadFilter { time_zone: "Europe/Vienna".into(), ..any() }, vec![0, 2, 4]),
        (LeadFilter { external_id_prefix: "crm-".into(), ..any() }, vec![0, 1, 2]),
        (LeadFilter { last_outcomes: vec![Outcome::Busy.into(), Outcome::Failed.into()], ..any() }, vec![2, 4]),
        (in_states(&[LeadState::IntentNo, LeadState::Failed]), vec![2, 3]),
        (LeadFilter { min_attempts: Some(1), ..any() }, vec![2, 3, 4]),
        (LeadFilter { max_attempts: Some(0), ..any() }, vec![0, 1]),
        (LeadFilter { created_before: timestamp(later), ..any() }, vec![0, 1, 2, 3, 4]),
        (LeadFilter { created_after: timestamp(later), ..any() }, vec![]),
        (LeadFilter { min_attempts: Some(1), external_id_prefix: "crm".into(), ..any() }, vec![2]),
    ];
    for (filter, expected) in cases {
        let list =
            pb::ListLeadsRequest { campaign_id: campaign.clone(), filter: Some(filter.clone()), ..Default::default() };
        let found = world.campaigns.list_leads(list).await.unwrap().into_inner().leads;
        let mut numbers: Vec<String> = found.into_iter().map(|lead| lead.number).collect();
        numbers.sort();
        assert_eq!(numbers, expected.iter().map(|n| number(*n)).collect::<Vec<_>>(), "{filter:?}");
        let count = pb::ConsumeLeadsRequest { validate_only: true, ..by(&campaign, filter.clone()) };
        let matched = world.consume_by(count).await.matched;
        assert_eq!(usize::try_from(matched).unwrap(), expected.len(), "{filter:?}");
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn score_and_zone_of_all_matches_are_changed_at_once() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_many(&campaign, 1_200).await;
    let mut dialer = world.dialer(&campaign, 2).await;
    let begun = dialer.call().await;
    let waiting = dialer.lease().await;
    let request = pb::UpdateLeadsRequest {
        campaign_id: campaign.clone(),
        filter: Some(LeadFilter { max_score: Some(500), ..Default::default() }),
        score: 100,
        time_zone: "Europe/Vienna".into(),
        update_mask: Some(prost_types::FieldMask { paths: vec!["score".into(), "time_zone".into()] }),
        validate_only: true,
        ..Default::default()
    };
    let dry = world.campaigns.update_leads(request.clone()).await.unwrap().into_inner();
    assert_eq!((dry.matched, dry.updated), (1_200, 1_200));
    let request = pb::UpdateLeadsRequest { validate_only: false, ..request };
    dialer.slots(1).await;
    // They come later in the campaign's order now, and still match: they are not met again.
    assert_eq!(world.campaigns.update_leads(request).await.unwrap().into_inner(), dry);
    assert_eq!(dialer.revoked(&waiting.lease_id).await, pb::RevokeReason::LeadChanged);
    let changed = "select count(*) from lead_view where rank = 899 and zone = 'Europe/Vienna'";
    assert_eq!(world.database.count(changed).await, 1_200);
    dialer.slots(2).await;
    assert_eq!(dialer.lease().await.score, 100);
    let events = world.events("UpdateLeads").await;
    assert_eq!((events.len(), events[0].details["filter.score"].as_str()), (1, "0 to 500"));
    dialer.report(&begun.lease_id, Outcome::IntentNo).await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_that_match_are_revoked_and_calls_among_them_are_unknown() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add_some(&campaign, 3).await;
    let mut dialer = world.dialer(&campaign, 3).await;
    let begun = dialer.call().await;
    let waiting = dialer.leases(2).await;
    let revoke = |filter: pb::LeaseFilter, validate_only| pb::RevokeLeasesRequest {
        filter: Some(filter),
        validate_only,
        ..Default::default()
    };
    let other = pb::LeaseFilter { dialer_id: "somebody else".into(), ..Default::default() };
    let of = pb::LeaseFilter { campaign_id: campaign.clone(), dialer_id: "test".into(), ..Default::default() };
    let mut ask = async |filter: &pb::LeaseFilter, validate_only| {
        let answer = world.scheduler.revoke_leases(revoke(filter.clone(), validate_only)).await.unwrap().into_inner();
        (answer.matched, answer.revoked, answer.unknown)
    };
    assert_eq!(ask(&other, false).await, (0, 0, 0));
    assert_eq!(ask(&of, true).await, (3, 3, 1));
    dialer.slots(0).await;
    let without_permit = pb::LeaseFilter { begun: Some(false), ..of.clone() };
    assert_eq!(ask(&without_permit, false).await, (2, 2, 0));
    for lease in &waiting {
        assert_eq!(dialer.revoked(&lease.lease_id).await, pb::RevokeReason::ByOperator);
    }
    assert_eq!(ask(&of, false).await, (1, 1, 1));
    assert_eq!(world.attempt(&begun.lease_id).await.unwrap().outcome(), Outcome::Unknown);
    let events = world.events("RevokeLeases").await;
    assert_eq!(events.len(), 2, "what matched nothing is no event");
    assert_eq!((events[1].details["leases"].as_str(), events[1].details["filter.begun"].as_str()), ("2", "false"));
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_filters_is_refused_by_its_field() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    world.add_some(&campaign, 2).await;
    let odd = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    let nonsense = LeadFilter {
        states: vec![1, 0, 1, 99],
        min_score: Some(-1),
        max_score: Some(999),
        time_zone: "Mars/Olympus".into(),
        last_outcomes: vec![77],
        created_after: odd,
        created_before: odd,
        min_attempts: Some(-1),
        max_attempts: Some(2_000_000),
        external_id_prefix: "x".repeat(201),
    };
    let mut fields: Vec<String> = ["min_score", "max_score", "time_zone", "states[1]", "states[2]", "states[3]"]
        .into_iter()
        .chain(["last_outcomes[0]", "created_after", "created_before", "min_attempts", "max_attempts"])
        .chain(["external_id_prefix"])
        .map(|field| format!("filter.{field}"))
        .collect();
    let answer = refusal(world.campaigns.consume_leads(by(&campaign, nonsense.clone())).await);
    answer.is_bad_input(&fields.iter().map(String::as_str).collect::<Vec<_>>());
    let list =
        pb::ListLeadsRequest { campaign_id: campaign.clone(), filter: Some(nonsense.clone()), ..Default::default() };
    refusal(world.campaigns.list_leads(list).await)
        .is_bad_input(&fields.iter().map(String::as_str).collect::<Vec<_>>());
    fields.push("update_mask".into());
    let update = pb::UpdateLeadsRequest { campaign_id: campaign.clone(), filter: Some(nonsense), ..Default::default() };
    refusal(world.campaigns.update_leads(update.clone()).await)
        .is_bad_input(&fields.iter().map(String::as_str).collect::<Vec<_>>());
    let crossed = LeadFilter { min_score: Some(5), max_score: Some(4), ..Default::default() };
    refusal(world.campaigns.consume_leads(by(&campaign, crossed)).await).is_bad_input(&["filter.max_score"]);
    refusal(world.campaigns.consume_leads(by(&campaign, LeadFilter::default())).await).is_bad_input(&["filter"]);
    let both = pb::ConsumeLeadsRequest { lead_ids: vec![new_id()], ..by(&campaign, in_states(&[LeadState::Eligible])) };
    refusal(world.campaigns.consume_leads(both).await).is_bad_input(&["filter"]);
    for path in ["external_id", "variables", "number"] {
        let mask = prost_types::FieldMask { paths: vec![path.into()] };
        let filter = Some(in_states(&[LeadState::Eligible]));
        let update = pb::UpdateLeadsRequest { filter, update_mask: Some(mask), ..update.clone() };
        refusal(world.campaigns.update_leads(update).await).is_bad_input(&["update_mask"]);
    }
    let filter = pb::LeaseFilter { campaign_id: "7".into(), session_id: "x".into(), ..Default::default() };
    let revoke = pb::RevokeLeasesRequest { filter: Some(filter), ..Default::default() };
    refusal(world.scheduler.revoke_leases(revoke).await).is_bad_input(&["filter.session_id", "filter.campaign_id"]);
    let revoke = pb::RevokeLeasesRequest { filter: Some(pb::LeaseFilter::default()), ..Default::default() };
    refusal(world.scheduler.revoke_leases(revoke).await).is_bad_input(&["filter"]);
    let gone = by(&new_id(), in_states(&[LeadState::Eligible]));
    refusal(world.campaigns.consume_leads(gone).await).is(Code::NotFound, "CAMPAIGN_NOT_FOUND");
    world.advance(Duration::from_secs(1)).await;
    assert_eq!(world.count(&campaign, LeadState::Eligible).await, 2);
    world.stop().await;
}
