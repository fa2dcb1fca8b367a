//! When a lead may be called: presets, holidays, dates, and the zones of its number.

use std::time::Duration;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use dialplane::{
    domain::{calling_calendar::CallingCalendar, campaign::CampaignRules, time_zone::TimeZone},
    pb::{self, LeadState, Outcome, WaitingReason},
    store::queue::{Parked, Windows, waiting},
};

use crate::support::{
    World, ask,
    asks::{QUIET, instant, refusal},
    database::{Database, connect},
    eventually, hours, lead, lead_nowhere, retry, rules, until,
};

fn day(at: DateTime<Utc>, days: u64) -> String {
    (at.date_naive() + Days::new(days)).to_string()
}

fn zoned(n: usize, zone: &str) -> pb::NewLead {
    pb::NewLead { time_zone: zone.into(), ..lead(n) }
}

/// A lead of area code 212, New York.
fn new_yorker() -> pb::NewLead {
    pb::NewLead { number: "+12125550100".into(), ..Default::default() }
}

/// A lead of a toll-free number, anywhere from Guam to Newfoundland.
fn toll_free() -> pb::NewLead {
    pb::NewLead { number: "+18005550199".into(), ..Default::default() }
}

async fn rules_of(world: &mut World, campaign_id: &str) -> pb::CampaignRules {
    let request = pb::GetCampaignRequest { campaign_id: campaign_id.into() };
    world.campaigns.get_campaign(request).await.unwrap().into_inner().campaign.unwrap().rules.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_of_days_are_kept_shown_and_changed_one_by_one() {
    let mut world = World::start().await;
    let given = pb::CampaignRules {
        calling_hours: None,
        start_date: "2026-12-01".into(),
        end_date: "2026-12-31".into(),
        hour_presets: vec!["us-tcpa".into(), "us-fl".into()],
        holiday_countries: vec!["us".into()],
        holidays: vec!["2026-12-31".into(), "2026-12-24".into()],
        ..rules()
    };
    let campaign = world.draft(given.clone()).await;
    let shown = rules_of(&mut world, &campaign).await;
    assert_eq!((&shown.start_date, &shown.end_date), (&given.start_date, &given.end_date));
    assert_eq!((&shown.hour_presets, shown.calling_hours.as_ref()), (&given.hour_presets, None));
    assert_eq!(
        (shown.holiday_countries, shown.holidays),
        (vec!["US".into()], vec!["2026-12-24".into(), "2026-12-31".into()])
    );
    world.change(&campaign, "rules.hour_presets", rules()).await;
    let shown = rules_of(&mut world, &campaign).await;
    assert_eq!((shown.hour_presets.len(), shown.calling_hours), (0, Some(hours("08:00", "21:00"))));
    assert_eq!(shown.holidays.len(), 2, "what is not named stays");
    for mask in ["rules.holidays", "rules.holiday_countries", "rules.start_date", "rules.end_date"] {
        world.change(&campaign, mask, rules()).await;
    }
    let shown = rules_of(&mut world, &campaign).await;
    assert!(shown.holidays.is_empty() && shown.holiday_countries.is_empty());
    assert!(shown.start_date.is_empty() && shown.end_date.is_empty());
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_the_rules_of_days_is_refused_by_its_field() {
    let mut world = World::start().await;
    let bad = [
        (pb::CampaignRules { start_date: "2026-2-1".into(), ..rules() }, "rules.start_date"),
        (pb::CampaignRules { end_date: "31.12.2026".into(), ..rules() }, "rules.end_date"),
        (
            pb::CampaignRules { start_date: "2026-12-02".into(), end_date: "2026-12-01".into(), ..rules() },
            "rules.end_date",
        ),
        (pb::CampaignRules { hour_presets: vec!["uk".into(), "us".into()], ..rules() }, "rules.hour_presets[1]"),
        (pb::CampaignRules { hour_presets: vec!["uk".into(), "uk".into()], ..rules() }, "rules.hour_presets[1]"),
        (pb::CampaignRules { hour_presets: vec!["uk".into(); 21], ..rules() }, "rules.hour_presets"),
        (pb::CampaignRules { holiday_countries: vec!["XX".into()], ..rules() }, "rules.holiday_countries[0]"),
        (
            pb::CampaignRules { holidays: vec!["2026-12-24".into(), "2026-02-30".into()], ..rules() },
            "rules.holidays[1]",
        ),
    ];
    for (rules, field) in bad {
        let request = pb::CreateCampaignRequest { name: "test".into(), rules: Some(rules), ..Default::default() };
        let refused = refusal(world.campaigns.create_campaign(request).await);
        assert_eq!((refused.reason.as_str(), refused.fields.first().map(String::as_str)), ("BAD_INPUT", Some(field)));
    }
    // Each date is good; together with the other, which was there, it is not.
    let campaign = world.draft(pb::CampaignRules { end_date: "2026-12-01".into(), ..rules() }).await;
    let request = pb::UpdateCampaignRequest {
        campaign_id: campaign,
        rules: Some(pb::CampaignRules { start_date: "2026-12-02".into(), ..rules() }),
        update_mask: Some(prost_types::FieldMask { paths: vec!["rules.start_date".into()] }),
        ..Default::default()
    };
    refusal(world.campaigns.update_campaign(request).await).is_bad_input(&["rules.end_date"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_called_before_the_first_day_on_a_holiday_or_after_the_last_day() {
    let mut world = World::start().await;
    let now = world.now().await;
    let other_days =
        pb::CampaignRules { start_date: day(now, 3), end_date: day(now, 4), holidays: vec![day(now, 3)], ..rules() };
    let campaign = world.campaign(other_days).await;
    let leads = world.add_some(&campaign, 2).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    let waiting = world.lead(&campaign, &leads[0]).await;
    assert_eq!(waiting.waiting_reason(), WaitingReason::CallingHours);
    // The first day is a holiday: the day after it is left.
    let opens = instant(waiting.not_before.unwrap());
    assert_eq!(opens, (now.date_naive() + Days::new(4)).and_hms_opt(0, 0, 0).unwrap().and_utc());
    let wait = opens - world.now().await;
    world.advance(wait.to_std().unwrap() + Duration::from_secs(5)).await;
    let (lease, _) = dialer.call_with(pb::Outcome::IntentNo).await;
    let end = opens + TimeDelta::days(1);
    assert_eq!(instant(lease.not_after.unwrap()), end, "a lease ends with the campaign's last day");
    drop(dialer);
    let wait = end - world.now().await;
    world.advance(wait.to_std().unwrap() + Duration::from_secs(5)).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_ends_with_the_hours_of_the_narrowest_preset() {
    let mut world = World::start().await;
    let campaign =
        world.campaign(pb::CampaignRules { hour_presets: vec!["us-tcpa".into(), "us-fl".into()], ..rules() }).await;
    // Somewhere it is between 8 and 20 o'clock.
    let now = world.now().await;
    let offset = (12 - i64::from(chrono::Timelike::hour(&now))).clamp(-11, 11);
    let zone = format!("Etc/GMT{:+}", -offset);
    let leads = world.add(&campaign, vec![zoned(0, &zone)]).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.lease().await;
    assert_eq!(lease.lead_id, leads[0]);
    let local = TimeZone::parse(&zone).unwrap().local(instant(lease.not_after.unwrap()));
    assert_eq!(local.time().to_string(), "20:00:00");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_without_a_zone_is_where_its_number_says_and_open_when_all_of_it_is() {
    let mut world = World::start().await;
    let presets = pb::CampaignRules { calling_hours: None, hour_presets: vec!["us-tcpa".into()], ..rules() };
    let campaign = world.campaign(presets).await;
    let leads = world.add(&campaign, vec![new_yorker(), toll_free(), lead_nowhere(0), lead(0)]).await;
    let mut plausible = Vec::new();
    for lead in &leads {
        let shown = world.lead(&campaign, lead).await;
        assert_eq!(shown.time_zone.is_empty(), lead != &leads[3]);
        plausible.push(shown.plausible_time_zones);
    }
    assert_eq!(
        (&plausible[0][..], plausible[2].len(), plausible[3].len()),
        (&["America/New_York".to_owned()][..], 0, 0)
    );
    for zone in ["America/New_York", "Pacific/Honolulu", "America/St_Johns", "Pacific/Guam"] {
        assert!(plausible[1].contains(&zone.to_owned()), "{zone}");
    }
    // The number comes before the default, which is UTC; the number of no country has nothing else.
    let calendar = CallingCalendar::new(&CampaignRules { hour_presets: vec!["us-tcpa".into()], ..Default::default() });
    let zones = |names: &[String]| names.iter().map(|name| TimeZone::parse(name).unwrap()).collect::<Vec<_>>();
    let utc = vec!["Etc/UTC".to_owned()];
    let mut dialer = world.dialer(&campaign, 4).await;
    let now = world.now().await;
    let wanted = [&plausible[0], &plausible[1], &utc, &utc].map(|names| calendar.window(&zones(names), now).unwrap());
    for _ in wanted.iter().filter(|window| window.contains(now)) {
        dialer.lease().await;
    }
    assert!(dialer.gets_nothing_for(QUIET).await);
    for (lead, window) in leads.iter().zip(wanted) {
        let shown = world.lead(&campaign, lead).await;
        if window.contains(now) {
            assert_eq!(shown.state(), LeadState::DialingIntent);
        } else {
            assert_eq!(shown.waiting_reason(), WaitingReason::CallingHours);
            assert_eq!(instant(shown.not_before.unwrap()), window.opens_at);
        }
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_of_its_own_comes_before_the_number_and_is_given_up_again() {
    let mut world = World::start().await;
    let campaign = world.draft(rules()).await;
    let id = world.add(&campaign, vec![new_yorker()]).await.remove(0);
    for (zone, told) in [("Asia/Tokyo", 0), ("", 1), ("Europe/Paris", 0), ("", 1)] {
        let request = pb::UpdateLeadRequest {
            campaign_id: campaign.clone(),
            lead_id: id.clone(),
            time_zone: zone.into(),
            update_mask: Some(prost_types::FieldMask { paths: vec!["time_zone".into()] }),
            ..Default::default()
        };
        let shown = world.campaigns.update_lead(request).await.unwrap().into_inner().lead.unwrap();
        assert_eq!((shown.time_zone.as_str(), shown.plausible_time_zones.len()), (zone, told));
    }
    // A row that names its zone again, and one that does not.
    for (zone, told) in [("Asia/Tokyo", 0), ("", 1)] {
        let request = pb::CreateLeadsRequest {
            campaign_id: campaign.clone(),
            leads: vec![pb::NewLead { time_zone: zone.into(), ..new_yorker() }],
            on_duplicate: pb::DuplicateAction::Update.into(),
            ..Default::default()
        };
        assert_eq!(world.campaigns.create_leads(request).await.unwrap().into_inner().updated, 1);
        let shown = world.lead(&campaign, &id).await;
        assert_eq!((shown.time_zone.as_str(), shown.plausible_time_zones.len()), (zone, told));
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_whose_head_is_closed_for_the_night_is_looked_at_once() {
    let mut world = World::start().await;
    let now = world.now().await;
    let clock = |minutes: i64| (now + TimeDelta::minutes(minutes)).format("%H:%M").to_string();
    let night = pb::CampaignRules { calling_hours: Some(hours(&clock(120), &until(&clock(180)))), ..rules() };
    let campaign = world.campaign(night).await;
    let leads = 2_500;
    for first in (0..leads).step_by(500) {
        world.add(&campaign, (first..first + 500).map(lead).collect()).await;
    }
    let dialer = world.dialer(&campaign, 5).await;
    world.until_waiting(&campaign, leads as i64).await;
    let row = world.engine().campaign(campaign.parse().unwrap()).await.unwrap();
    let tomorrow = Some(now + TimeDelta::hours(24));
    let closed = vec![tomorrow; 50];
    let windows = Windows { opens: closed.clone(), closes: closed.clone() };
    for _ in 0..3 {
        let ask = ask(row.key, row.rules_version, 100, 2_000, &windows);
        let refill = world.engine().store.refill(world.engine().replica(), &ask, now).await.unwrap();
        // The cursor stands on the last lead.
        assert!(refill.scanned <= 1 && refill.waiting_seen == 0, "{} and {}", refill.scanned, refill.waiting_seen);
        assert!(refill.next_waiting.is_some_and(|at| at > now), "it is known when to look again");
    }
    drop(dialer);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_zone_database_in_use_is_shown_and_knows_vancouver() {
    let mut world = World::start().await;
    let info = world.scheduler.get_server_info(pb::GetServerInfoRequest {}).await.unwrap().into_inner();
    assert!(info.time_zone_database.as_str() >= "2026f", "{}", info.time_zone_database);
    let winter: DateTime<Utc> = "2026-12-15T20:00:00Z".parse().unwrap();
    let vancouver = TimeZone::parse("America/Vancouver").unwrap().local(winter);
    assert_eq!(vancouver, NaiveDate::from_ymd_opt(2026, 12, 15).unwrap().and_hms_opt(13, 0, 0).unwrap());
    world.stop().await;
}

impl World {
    /// Waits until so many leads wait for their hours.
    async fn until_waiting(&mut self, campaign_id: &str, leads: i64) {
        let client = self.campaigns.clone();
        eventually("the leads wait for their hours", || {
            let (mut client, campaign_id) = (client.clone(), campaign_id.to_owned());
            async move {
                let stats = client.get_campaign_stats(pb::GetCampaignStatsRequest { campaign_id }).await.unwrap();
                (stats.into_inner().waiting_for_calling_hours == leads).then_some(())
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_zones_appear_in_the_order_of_their_numbers() {
    let database = Database::create().await;
    let mut first = connect(&database.url).await;
    let second = connect(&database.url).await;
    let ask = "select zone_id from zone_ids($1)";
    let transaction = first.transaction().await.unwrap();
    let lower: i16 = transaction.query_one(ask, &[&vec!["~Europe/Berlin"]]).await.unwrap().get(0);
    let other =
        tokio::spawn(async move { second.query_one(ask, &[&vec!["~Europe/Paris"]]).await.unwrap().get::<_, i16>(0) });
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
    eventually("the second waits for the first", || async { (database.count(waiting).await == 1).then_some(()) }).await;
    transaction.commit().await.unwrap();
    assert!(other.await.unwrap() > lower);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_made_the_same_day_while_the_hours_last_and_else_when_they_open() {
    let mut world = World::start().await;
    let now = world.now().await;
    let at = |hours: i64| (now + TimeDelta::hours(hours)).format("%H:00").to_string();
    let open = pb::CampaignRules {
        calling_hours: Some(hours(&at(-1), &until(&at(3)))),
        retry_rules: vec![
            retry(Outcome::Busy, Duration::from_secs(900)),
            retry(Outcome::NoAnswer, Duration::from_secs(4 * 3600)),
        ],
        ..rules()
    };
    let campaign = world.campaign(open).await;
    let lead_id = world.add(&campaign, vec![zoned(1, "Etc/UTC")]).await.remove(0);
    let mut dialer = world.dialer(&campaign, 1).await;
    dialer.call_with(Outcome::Busy).await;
    world.advance(Duration::from_secs(900)).await;
    dialer.call_with(Outcome::NoAnswer).await;
    // Its delay ends when the hours are over: it waits for the next day's.
    world.advance(Duration::from_secs(4 * 3600)).await;
    assert!(dialer.gets_nothing_for(QUIET).await);
    let told =
        world.campaigns.explain_lead(pb::ExplainLeadRequest { campaign_id: campaign.clone(), lead_id, at: None }).await;
    let first = told.unwrap().into_inner().first_callable_at.map(instant).unwrap();
    assert_eq!(first.format("%H:%M").to_string(), at(-1));
    let left = first - world.now().await;
    world.advance(left.to_std().unwrap()).await;
    dialer.call_with(Outcome::IntentYes).await;
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_sent_to_wait_by_rules_that_have_changed_is_looked_at_again() {
    let mut world = World::start().await;
    let campaign = world.campaign(rules()).await;
    let lead_id = world.add(&campaign, vec![zoned(1, "Etc/UTC")]).await.remove(0);
    let row = world.engine().campaign(campaign.parse().unwrap()).await.unwrap();
    let now = world.now().await;
    let ever = |at: TimeDelta| vec![Some(now + at); 50];
    let windows = Windows { opens: ever(-TimeDelta::days(1)), closes: ever(TimeDelta::days(1)) };
    let engine = std::sync::Arc::clone(world.engine());
    for (rules_version, waits) in [(row.rules_version, true), (row.rules_version - 1, false)] {
        let ask = ask(row.key, row.rules_version, 1, 100, &windows);
        let refill = engine.store.refill(engine.replica(), &ask, now).await.unwrap();
        assert_eq!(refill.ready.len(), 1);
        let parked = Parked {
            campaign: row.key,
            lead: refill.ready[0].lead,
            promised: None,
            until: waits.then_some(now),
            reason: waiting::NO_TIME_ZONE,
            rules_version: Some(rules_version),
        };
        engine.store.park(&[parked]).await.unwrap();
        let shown = world.lead(&campaign, &lead_id).await;
        assert!(shown.not_before.is_some(), "not for ever");
        assert_eq!(shown.waiting_reason() == WaitingReason::NoTimeZone, waits, "{:?}", shown.waiting_reason());
    }
    world.check().await;
    world.stop().await;
}
