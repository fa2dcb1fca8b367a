//! ParseCallback, ScheduleCallback by phrase, and bad input of all three calls.

use chrono::TimeDelta;
use dialplane::pb::{self, CallbackGrain, CallbackKind, LeadState, MissedCallback, Outcome, UnclearCallback};
use tonic::Code;

use super::{called_at, kolkata_minutes};
use crate::support::{
    World,
    asks::{instant, one_lead, refusal, said},
    hours, lead, lead_nowhere, new_id, rules, seconds, timestamp,
};

fn ask(phrase: &str) -> pb::ParseCallbackRequest {
    pb::ParseCallbackRequest { phrase: phrase.into(), ..Default::default() }
}

impl World {
    async fn parse(&mut self, request: pb::ParseCallbackRequest) -> pb::ParseCallbackResponse {
        self.campaigns.parse_callback(request).await.unwrap().into_inner()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parse_callback_answers_the_interval_in_a_zone_and_refusals_as_kinds() {
    let mut world = World::start().await;
    let heard_at = timestamp("2026-10-14T11:20:00+05:30".parse().unwrap());
    let in_kolkata = |phrase| pb::ParseCallbackRequest { heard_at, time_zone: "Asia/Kolkata".into(), ..ask(phrase) };
    let told = world.parse(in_kolkata("tomorrow evening")).await;
    assert_eq!((told.kind(), told.grain(), told.chosen_at), (CallbackKind::Callback, CallbackGrain::Daypart, None));
    assert_eq!(told.earliest, timestamp("2026-10-15T17:00:00+05:30".parse().unwrap()));
    assert_eq!(told.latest, timestamp("2026-10-15T20:00:00+05:30".parse().unwrap()));
    for (phrase, kind) in [("stop calling me", CallbackKind::OptOut), ("4 or 5", CallbackKind::NotUnderstood)] {
        let told = world.parse(in_kolkata(phrase)).await;
        assert_eq!((told.kind(), told.earliest, told.latest), (kind, None, None), "{phrase}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parse_callback_of_a_lead_tells_the_instant_that_a_promise_would_have_and_changes_nothing() {
    let working = pb::CampaignRules { calling_hours: Some(hours("09:00", "18:00")), ..rules() };
    let (mut world, campaign, lead, _dialer, _lease) = called_at(4, working).await;
    let before = world.lead(&campaign, &lead).await;
    let now = world.now().await;
    for (phrase, minutes) in [("at 8 pm", 33 * 60), ("by 4 pm", 15 * 60)] {
        let request = pb::ParseCallbackRequest { campaign_id: campaign.clone(), lead_id: lead.clone(), ..ask(phrase) };
        let told = world.parse(request).await;
        assert_eq!(kolkata_minutes(instant(told.chosen_at.unwrap()), now), minutes, "{phrase}");
    }
    assert_eq!(world.lead(&campaign, &lead).await, before);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_zone_no_time_is_understood_but_a_refusal_is() {
    let mut world = World::start().await;
    let nowhere = pb::CampaignRules { default_time_zone: String::new(), ..rules() };
    let campaign = world.campaign(nowhere).await;
    let lead = world.add(&campaign, vec![lead_nowhere(0)]).await.remove(0);
    for (phrase, kind) in [("at 5pm", CallbackKind::NotUnderstood), ("stop calling me", CallbackKind::OptOut)] {
        let request = pb::ParseCallbackRequest { campaign_id: campaign.clone(), lead_id: lead.clone(), ..ask(phrase) };
        assert_eq!(world.parse(request).await.kind(), kind, "{phrase}");
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_several_zones_is_read_in_the_campaigns_default_and_called_when_all_are_open() {
    let mut world = World::start().await;
    let chicago = pb::CampaignRules {
        default_time_zone: "America/Chicago".into(),
        calling_hours: Some(hours("08:00", "21:00")),
        ..rules()
    };
    let campaign = world.campaign(chicago).await;
    let toll_free = pb::NewLead { number: "+18005550199".into(), ..Default::default() };
    let lead_id = world.add(&campaign, vec![toll_free]).await.remove(0);
    assert!(world.lead(&campaign, &lead_id).await.plausible_time_zones.len() > 1);
    let heard_at = timestamp(world.now().await);
    let here = pb::ParseCallbackRequest {
        campaign_id: campaign.clone(),
        lead_id: lead_id.clone(),
        heard_at,
        ..ask("tomorrow morning at 9")
    };
    let there =
        pb::ParseCallbackRequest { time_zone: "America/Chicago".into(), heard_at, ..ask("tomorrow morning at 9") };
    let (told, in_chicago) = (world.parse(here).await, world.parse(there).await);
    assert_eq!((told.earliest, told.latest), (in_chicago.earliest, in_chicago.latest));
    let chosen = instant(told.chosen_at.unwrap());
    assert!(chosen > instant(told.latest.unwrap()), "it is still night in Honolulu");
    let request = pb::ExplainLeadRequest { campaign_id: campaign, lead_id, at: timestamp(chosen) };
    let why_not = world.campaigns.explain_lead(request).await.unwrap().into_inner().failed;
    assert!(why_not.is_empty(), "{why_not:?}");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_is_scheduled_by_phrase_and_what_is_no_time_is_refused() {
    let (mut world, campaign, lead, mut dialer, lease) = called_at(4, rules()).await;
    dialer.report(&lease.lease_id, Outcome::NoAnswer).await;
    let schedule = |phrase: &str| pb::ScheduleCallbackRequest {
        campaign_id: campaign.clone(),
        lead_id: lead.clone(),
        callback_phrase: phrase.into(),
        ..Default::default()
    };
    let promised = world.campaigns.schedule_callback(schedule("at 5pm")).await.unwrap().into_inner().lead.unwrap();
    assert_eq!(promised.state(), LeadState::Scheduled);
    let now = world.now().await;
    assert_eq!(kolkata_minutes(instant(promised.callback_at.unwrap()), now), 17 * 60);
    let latest = promised.callback_latest.map(instant).unwrap();
    assert_eq!(latest, instant(promised.callback_at.unwrap()) + TimeDelta::minutes(15));
    let heard_at = timestamp(now - TimeDelta::hours(1));
    let request = pb::ScheduleCallbackRequest { heard_at, ..schedule("in three hours") };
    let moved = world.campaigns.schedule_callback(request).await.unwrap().into_inner().lead.unwrap();
    assert_eq!((instant(moved.callback_at.unwrap()) - now).num_minutes(), 120);
    for phrase in ["whenever", "never call me again"] {
        let refused = refusal(world.campaigns.schedule_callback(schedule(phrase)).await);
        refused.is_bad_input(&["callback_phrase"]);
    }
    assert_eq!(world.lead(&campaign, &lead).await.callback_at, moved.callback_at, "nothing changed");
    assert!(!world.lead(&campaign, &lead).await.do_not_call);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_has_an_instant_or_a_phrase_and_never_both_or_neither() {
    let (mut world, campaign, lead_id, mut dialer) = one_lead(rules()).await;
    let lease = dialer.call().await;
    let soon = timestamp(world.now().await + TimeDelta::hours(1));
    let mut report = async |report: pb::OutcomeReport, fields: &[&str]| {
        let request = pb::ReportOutcomesRequest { reports: vec![report] };
        refusal(dialer.client.report_outcomes(request).await).is_bad_input(fields);
    };
    let good = said(&lease.lease_id, "at 5pm");
    report(pb::OutcomeReport { callback_at: soon, ..good.clone() }, &["reports[0].callback_phrase"]).await;
    report(pb::OutcomeReport { callback_phrase: String::new(), ..good.clone() }, &["reports[0].callback_at"]).await;
    let busy = Outcome::Busy.into();
    report(pb::OutcomeReport { outcome: busy, ..good.clone() }, &["reports[0].callback_phrase"]).await;
    let long = pb::OutcomeReport { callback_phrase: "x".repeat(1001), ..good.clone() };
    report(long, &["reports[0].callback_phrase"]).await;
    let ahead = timestamp(world.now().await + TimeDelta::days(2));
    report(pb::OutcomeReport { heard_at: ahead, ..good }, &["reports[0].heard_at"]).await;
    let schedule = pb::ScheduleCallbackRequest {
        campaign_id: campaign.clone(),
        lead_id: lead_id.clone(),
        callback_at: soon,
        callback_phrase: "at 5pm".into(),
        ..Default::default()
    };
    let both = refusal(world.campaigns.schedule_callback(schedule.clone()).await);
    both.is_bad_input(&["callback_phrase"]);
    let neither = pb::ScheduleCallbackRequest { callback_at: None, callback_phrase: String::new(), ..schedule };
    refusal(world.campaigns.schedule_callback(neither).await).is_bad_input(&["callback_at"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parse_callback_wants_a_phrase_and_one_place() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    world.add(&campaign, vec![lead(0)]).await;
    let zone = || "Etc/UTC".to_owned();
    let requests = [
        (ask("at 5pm"), vec!["campaign_id", "lead_id"]),
        (pb::ParseCallbackRequest { time_zone: zone(), ..ask("") }, vec!["phrase"]),
        (pb::ParseCallbackRequest { time_zone: "+05:30".into(), ..ask("at 5pm") }, vec!["time_zone"]),
        (
            pb::ParseCallbackRequest { time_zone: zone(), campaign_id: campaign.clone(), ..ask("at 5pm") },
            vec!["time_zone"],
        ),
        (pb::ParseCallbackRequest { campaign_id: campaign.clone(), ..ask("at 5pm") }, vec!["lead_id"]),
    ];
    for (request, fields) in requests {
        refusal(world.campaigns.parse_callback(request).await).is_bad_input(&fields);
    }
    let nobody = pb::ParseCallbackRequest { campaign_id: campaign, lead_id: new_id(), ..ask("at 5pm") };
    assert_eq!(refusal(world.campaigns.parse_callback(nobody).await).code, Code::NotFound);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_for_callbacks_have_defaults_bounds_and_masks_of_their_own() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let get = pb::GetCampaignRequest { campaign_id: campaign.clone() };
    let told = async |world: &mut World| {
        let rules =
            world.campaigns.get_campaign(get.clone()).await.unwrap().into_inner().campaign.unwrap().rules.unwrap();
        (rules.missed_callback(), rules.callback_tolerance, rules.unclear_callback())
    };
    let defaults = (MissedCallback::CallLate, seconds(900), UnclearCallback::Hold);
    assert_eq!(told(&mut world).await, defaults);
    let other = pb::CampaignRules {
        missed_callback: MissedCallback::Release.into(),
        callback_tolerance: seconds(60),
        unclear_callback: UnclearCallback::Retry.into(),
        ..rules()
    };
    world.change(&campaign, "rules.missed_callback", other.clone()).await;
    assert_eq!(told(&mut world).await, (MissedCallback::Release, defaults.1, defaults.2));
    world.change(&campaign, "rules.callback_tolerance", other.clone()).await;
    world.change(&campaign, "rules.unclear_callback", other).await;
    assert_eq!(told(&mut world).await, (MissedCallback::Release, seconds(60), UnclearCallback::Retry));
    world.change(&campaign, "rules", rules()).await;
    assert_eq!(told(&mut world).await, defaults);
    let bad = pb::CampaignRules {
        missed_callback: 9,
        callback_tolerance: seconds(24 * 3600 + 1),
        unclear_callback: -1,
        ..rules()
    };
    let request = pb::CreateCampaignRequest { name: "test".into(), rules: Some(bad), ..Default::default() };
    let fields = ["rules.missed_callback", "rules.callback_tolerance", "rules.unclear_callback"];
    refusal(world.campaigns.create_campaign(request).await).is_bad_input(&fields);
    world.stop().await;
}
