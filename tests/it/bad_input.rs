//! Bad input: a typed error that names the field, and nothing written.

use std::{collections::BTreeMap, time::Duration};

use dialplane::pb::{self, Outcome};
use tonic::Code;

use crate::support::{
    World,
    asks::{one_lead, refusal},
    database::Database,
    hours, lead, new_id, number, rules, seconds, timestamp,
};

/// Calls, and wants INVALID_ARGUMENT BAD_INPUT for exactly these fields.
macro_rules! bad {
    ($client:expr, $call:ident, $request:expr, $($field:expr),+) => {
        refusal($client.$call($request).await).is_bad_input(&[$($field),+])
    };
}

/// A megabyte.
fn megabyte() -> String {
    "x".repeat(1 << 20)
}

impl Database {
    /// All that a request could have written.
    async fn written(&self) -> Vec<i64> {
        let mut counts = Vec::new();
        for what in [
            "count(*) from campaign",
            "sum(etag)::bigint from campaign",
            "count(*) from lead",
            "sum(version)::bigint from lead",
            "count(*) from lease",
            "count(begun_at) from lease",
            "count(*) from call_attempt",
            "count(*) from attempt_report",
            "count(*) from suppression",
            "count(*) from import",
            "count(*) from request",
            "etag from setting",
            "count(*) from due where lane = 0",
            "count(*) from dialer_session",
        ] {
            counts.push(self.count(&format!("select coalesce((select {what}), 0)")).await);
        }
        counts
    }
}

fn spans(start: &str, end: &str) -> pb::CampaignRules {
    pb::CampaignRules { calling_hours: Some(hours(start, end)), ..rules() }
}

fn new_campaign(rules: pb::CampaignRules) -> pb::CreateCampaignRequest {
    pb::CreateCampaignRequest { name: "x".into(), rules: Some(rules), ..Default::default() }
}

fn outcome(lease_id: &str) -> pb::OutcomeReport {
    pb::OutcomeReport { lease_id: lease_id.into(), outcome: Outcome::NoAnswer.into(), ..Default::default() }
}

fn report(report: pb::OutcomeReport) -> pb::ReportOutcomesRequest {
    pb::ReportOutcomesRequest { reports: vec![report] }
}

fn duration(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_numbers_and_zones_are_refused_by_their_fields() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let lead_id = world.add_some(&campaign, 1).await.remove(0);
    let before = world.database.written().await;
    let numbers = vec![number(1), "12".into(), "zzz".into()];
    let add = pb::AddSuppressionsRequest { numbers: numbers.clone(), reason: "r".into(), ..Default::default() };
    bad!(world.campaigns, add_suppressions, add, "numbers[1]", "numbers[2]");
    let remove = pb::RemoveSuppressionsRequest { numbers: numbers.clone(), reason: "r".into(), ..Default::default() };
    bad!(world.campaigns, remove_suppressions, remove, "numbers[1]", "numbers[2]");
    bad!(world.campaigns, check_suppressions, pb::CheckSuppressionsRequest { numbers }, "numbers[1]", "numbers[2]");
    let list = pb::ListLeadsRequest { campaign_id: campaign.clone(), number: "zzz".into(), ..Default::default() };
    bad!(world.campaigns, list_leads, list, "number");
    let zone = pb::CampaignRules { default_time_zone: "Mars/Olympus".into(), ..rules() };
    bad!(world.campaigns, create_campaign, new_campaign(zone), "rules.default_time_zone");
    let region = pb::CampaignRules { default_region: "XX".into(), ..rules() };
    bad!(world.campaigns, create_campaign, new_campaign(region), "rules.default_region");
    let update = pb::UpdateLeadRequest {
        campaign_id: campaign.clone(),
        lead_id,
        time_zone: "Mars/Olympus".into(),
        score: 2000,
        update_mask: Some(prost_types::FieldMask { paths: vec!["time_zone".into(), "score".into()] }),
        ..Default::default()
    };
    bad!(world.campaigns, update_lead, update, "time_zone", "score");
    assert_eq!(world.database.written().await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_calling_hours_is_refused_by_its_field() {
    let mut world = World::start().await;
    let before = world.database.written().await;
    for (start, end, field) in [
        ("* * * * *", "21:00", "start"),
        ("25:00", "26:00", "start"),
        ("8", "21:00", "start"),
        ("24:00", "21:00", "start"),
        ("08:60", "21:00", "start"),
        ("08:00", "24:01", "end"),
        ("08:00", "", "end"),
        ("08:00", "00:00", "end"),
        ("09:00", "09:00", "end"),
        ("-1:00", "09:00", "start"),
    ] {
        let answer = refusal(world.campaigns.create_campaign(new_campaign(spans(start, end))).await);
        let mut fields = answer.fields.clone();
        fields.retain(|name| name == &format!("rules.calling_hours.spans[0].{field}"));
        assert_eq!(fields.len(), 1, "{start}-{end}: {answer:?}");
        answer.is(Code::InvalidArgument, "BAD_INPUT");
    }
    let days = |weekdays: Vec<i32>| {
        let span = pb::CallingSpan { weekdays, start: "08:00".into(), end: "21:00".into() };
        new_campaign(pb::CampaignRules { calling_hours: Some(pb::CallingHours { spans: vec![span] }), ..rules() })
    };
    bad!(world.campaigns, create_campaign, days(vec![]), "rules.calling_hours.spans[0].weekdays");
    let none = "rules.calling_hours.spans[0].weekdays";
    bad!(world.campaigns, create_campaign, days(vec![0]), "rules.calling_hours.spans[0].weekdays[0]", none);
    bad!(world.campaigns, create_campaign, days(vec![1, 8]), "rules.calling_hours.spans[0].weekdays[1]");
    bad!(world.campaigns, create_campaign, days(vec![2, 2]), "rules.calling_hours.spans[0].weekdays[1]");
    let none = pb::CampaignRules { calling_hours: Some(pb::CallingHours { spans: vec![] }), ..rules() };
    bad!(world.campaigns, create_campaign, new_campaign(none), "rules.calling_hours.spans");
    let one = hours("08:00", "09:00").spans.remove(0);
    let many = pb::CampaignRules { calling_hours: Some(pb::CallingHours { spans: vec![one; 51] }), ..rules() };
    bad!(world.campaigns, create_campaign, new_campaign(many), "rules.calling_hours.spans");
    assert_eq!(world.database.written().await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_oversized_batches_are_refused() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let before = world.database.written().await;
    for n in [0, 5001] {
        let leads = (0..n).map(lead).collect();
        let create = pb::CreateLeadsRequest { campaign_id: campaign.clone(), leads, ..Default::default() };
        bad!(world.campaigns, create_leads, create, "leads");
    }
    for n in [0, 1001] {
        let ids: Vec<String> = (0..n).map(|_| new_id()).collect();
        let consume =
            pb::ConsumeLeadsRequest { campaign_id: campaign.clone(), lead_ids: ids.clone(), ..Default::default() };
        bad!(world.campaigns, consume_leads, consume, "lead_ids");
        let begin = pb::BeginCallsRequest { session_id: new_id(), lease_ids: ids.clone(), nonce: new_id() };
        bad!(world.scheduler, begin_calls, begin, "lease_ids");
        let release = pb::ReleaseLeasesRequest { session_id: new_id(), lease_ids: ids.clone() };
        bad!(world.scheduler, release_leases, release, "lease_ids");
        bad!(
            world.scheduler,
            revoke_leases,
            pb::RevokeLeasesRequest { lease_ids: ids.clone(), ..Default::default() },
            "lease_ids"
        );
        let reports = ids.iter().map(|id| outcome(id)).collect();
        bad!(world.scheduler, report_outcomes, pb::ReportOutcomesRequest { reports }, "reports");
        let numbers: Vec<String> = (0..n * 10).map(number).collect();
        let add = pb::AddSuppressionsRequest { numbers: numbers.clone(), reason: "r".into(), ..Default::default() };
        bad!(world.campaigns, add_suppressions, add, "numbers");
        bad!(world.campaigns, check_suppressions, pb::CheckSuppressionsRequest { numbers }, "numbers");
    }
    let twice = new_id();
    let begin = pb::BeginCallsRequest { session_id: new_id(), lease_ids: vec![twice.clone(), twice], nonce: new_id() };
    bad!(world.scheduler, begin_calls, begin, "lease_ids[1]");
    for page_size in [-1, 1001] {
        let list = pb::ListLeadsRequest { campaign_id: campaign.clone(), page_size, ..Default::default() };
        bad!(world.campaigns, list_leads, list, "page_size");
    }
    assert_eq!(world.database.written().await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_and_unspecified_enum_values_are_refused() {
    let (mut world, campaign, _, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let before = world.database.written().await;
    for value in [0, 12, 13, 99, -1, i32::MAX] {
        let one = pb::OutcomeReport { outcome: value, ..outcome(&lease.lease_id) };
        bad!(world.scheduler, report_outcomes, report(one), "reports[0].outcome");
    }
    for state in [10, -1] {
        let list = pb::ListLeadsRequest { campaign_id: campaign.clone(), state, ..Default::default() };
        bad!(world.campaigns, list_leads, list, "state");
        bad!(world.campaigns, list_campaigns, pb::ListCampaignsRequest { state, ..Default::default() }, "state");
    }
    let create = pb::CreateLeadsRequest {
        campaign_id: campaign.clone(),
        leads: vec![lead(9)],
        on_duplicate: 9,
        ..Default::default()
    };
    bad!(world.campaigns, create_leads, create, "on_duplicate");
    let retry = |outcome: i32| {
        let rule = pb::RetryRule { outcome, delays: vec![duration(1)], limit: None };
        new_campaign(pb::CampaignRules { retry_rules: vec![rule], ..rules() })
    };
    bad!(world.campaigns, create_campaign, retry(0), "rules.retry_rules[0].outcome");
    bad!(world.campaigns, create_campaign, retry(77), "rules.retry_rules[0].outcome");
    let never_retried = refusal(world.campaigns.create_campaign(retry(Outcome::IntentYes.into())).await);
    never_retried.is(Code::InvalidArgument, "BAD_INPUT");
    assert_eq!(world.database.written().await, before);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn negative_and_unbounded_durations_are_refused() {
    let (mut world, _, _, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let before = world.database.written().await;
    for value in [-1, 0, 601] {
        let within = pb::CampaignRules { begin_within: seconds(value), ..rules() };
        bad!(world.campaigns, create_campaign, new_campaign(within), "rules.begin_within");
    }
    for value in [-1, 0, 86_401, i64::MAX] {
        let longest = pb::CampaignRules { max_duration: seconds(value), ..rules() };
        bad!(world.campaigns, create_campaign, new_campaign(longest), "rules.max_duration");
    }
    let delays = vec![duration(5), duration(-5)];
    let rule = pb::RetryRule { outcome: Outcome::Busy.into(), delays, limit: None };
    let retries = pb::CampaignRules { retry_rules: vec![rule], ..rules() };
    bad!(world.campaigns, create_campaign, new_campaign(retries), "rules.retry_rules[0].delays[1]");
    for value in [-1, 86_401] {
        let one = pb::OutcomeReport {
            talk_duration: seconds(value),
            ring_duration: seconds(value),
            ..outcome(&lease.lease_id)
        };
        bad!(world.scheduler, report_outcomes, report(one), "reports[0].talk_duration", "reports[0].ring_duration");
    }
    let settings = pb::SchedulerSettings {
        tick_interval: seconds(-1),
        session_ttl: seconds(0),
        receipt_within: seconds(61),
        dial_within: seconds(-9),
        ..Default::default()
    };
    let update = pb::UpdateSchedulerSettingsRequest { settings: Some(settings), ..Default::default() };
    bad!(
        world.scheduler,
        update_scheduler_settings,
        update,
        "settings.tick_interval",
        "settings.session_ttl",
        "settings.receipt_within",
        "settings.dial_within"
    );
    assert_eq!(world.database.written().await, before);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_out_of_bounds_are_refused() {
    let mut world = World::start().await;
    let before = world.database.written().await;
    for value in [0, -1, 101] {
        let rules = pb::CampaignRules { max_attempts: Some(value), ..rules() };
        bad!(world.campaigns, create_campaign, new_campaign(rules), "rules.max_attempts");
    }
    for value in [0, -1, 101] {
        let rule = pb::RetryRule { limit: Some(value), ..crate::support::retry(Outcome::Busy, Duration::ZERO) };
        let rules = pb::CampaignRules { retry_rules: vec![rule], ..rules() };
        bad!(world.campaigns, create_campaign, new_campaign(rules), "rules.retry_rules[0].limit");
    }
    for value in [0, -1, 1_001] {
        let rules = pb::CampaignRules { weight: Some(value), ..rules() };
        bad!(world.campaigns, create_campaign, new_campaign(rules), "rules.weight");
    }
    for (minimum, cap) in [(-1, None), (1_000_001, None), (3, Some(2))] {
        let rules = pb::CampaignRules { min_concurrency: Some(minimum), max_concurrency: cap, ..rules() };
        bad!(world.campaigns, create_campaign, new_campaign(rules), "rules.min_concurrency");
    }
    for value in [-1, 1_000_001] {
        let rules = pb::CampaignRules { max_concurrency: Some(value), ..rules() };
        bad!(world.campaigns, create_campaign, new_campaign(rules), "rules.max_concurrency");
        let settings = pb::SchedulerSettings {
            max_concurrency: Some(value),
            buffer_factor: Some(11),
            batch_size: Some(0),
            ..Default::default()
        };
        let update = pb::UpdateSchedulerSettingsRequest { settings: Some(settings), ..Default::default() };
        let fields = ["settings.max_concurrency", "settings.buffer_factor", "settings.batch_size"];
        refusal(world.scheduler.update_scheduler_settings(update).await).is_bad_input(&fields);
    }
    assert_eq!(world.database.written().await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_in_the_past_or_out_of_reach_are_refused() {
    let (mut world, campaign, lead_id, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let before = world.database.written().await;
    let now = world.now().await;
    for at in [now - Duration::from_secs(60), now + Duration::from_secs(401 * 86_400)] {
        refusal(world.schedule(&campaign, &lead_id, at).await).is_bad_input(&["callback_at"]);
    }
    let schedule = pb::ScheduleCallbackRequest { campaign_id: campaign, lead_id, ..Default::default() };
    bad!(world.campaigns, schedule_callback, schedule.clone(), "callback_at");
    let never = Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 });
    bad!(
        world.campaigns,
        schedule_callback,
        pb::ScheduleCallbackRequest { callback_at: never, ..schedule },
        "callback_at"
    );
    let odd = pb::OutcomeReport { occurred_at: never, ..outcome(&lease.lease_id) };
    bad!(world.scheduler, report_outcomes, report(odd), "reports[0].occurred_at");
    let ahead = timestamp(now + Duration::from_secs(2 * 86_400));
    let early = pb::OutcomeReport { occurred_at: ahead, callback_at: ahead, ..outcome(&lease.lease_id) };
    bad!(world.scheduler, report_outcomes, report(early), "reports[0].callback_at", "reports[0].occurred_at");
    let callback = Outcome::CallbackRequested.into();
    let without = pb::OutcomeReport { outcome: callback, ..outcome(&lease.lease_id) };
    bad!(world.scheduler, report_outcomes, report(without), "reports[0].callback_at");
    let far = timestamp(now + Duration::from_secs(401 * 86_400));
    let far = pb::OutcomeReport { outcome: callback, callback_at: far, ..outcome(&lease.lease_id) };
    bad!(world.scheduler, report_outcomes, report(far), "reports[0].callback_at");
    assert_eq!(world.database.written().await, before);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strings_of_a_megabyte_and_nul_characters_are_refused() {
    let (mut world, campaign, lead_id, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let before = world.database.written().await;
    for text in [megabyte(), "nul\0".into()] {
        let named = pb::CreateCampaignRequest { name: text.clone(), ..Default::default() };
        bad!(world.campaigns, create_campaign, named, "name");
        let one = pb::OutcomeReport {
            note: text.clone(),
            provider_call_id: text.clone(),
            metadata: BTreeMap::from([("k".into(), text.clone())]),
            ..outcome(&lease.lease_id)
        };
        let fields = ["reports[0].metadata", "reports[0].provider_call_id", "reports[0].note"];
        refusal(world.scheduler.report_outcomes(report(one)).await).is_bad_input(&fields);
        let add = pb::AddSuppressionsRequest { numbers: vec![number(1)], reason: text.clone(), ..Default::default() };
        bad!(world.campaigns, add_suppressions, add, "reason");
        let update = pb::UpdateLeadRequest {
            campaign_id: campaign.clone(),
            lead_id: lead_id.clone(),
            external_id: text.clone(),
            variables: BTreeMap::from([("k".into(), text.clone())]),
            update_mask: Some(prost_types::FieldMask { paths: vec!["external_id".into(), "variables".into()] }),
            ..Default::default()
        };
        bad!(world.campaigns, update_lead, update, "external_id", "variables");
        let list =
            pb::ListLeadsRequest { campaign_id: campaign.clone(), external_id: text.clone(), ..Default::default() };
        bad!(world.campaigns, list_leads, list, "external_id");
        let campaign_id = campaign.clone();
        let list = pb::ListAttemptsRequest { provider_call_id: text.clone(), campaign_id, ..Default::default() };
        bad!(world.campaigns, list_attempts, list, "provider_call_id");
        bad!(
            world.campaigns,
            list_campaigns,
            pb::ListCampaignsRequest { page_token: text, ..Default::default() },
            "page_token"
        );
    }
    assert_eq!(world.database.written().await, before);
    world.check().await;
    world.stop().await;
}
