//! Days, presets, several zones.

use chrono::Weekday;
use proptest::prelude::*;

use super::{
    tests::{ALL, at, hours, window, zone},
    *,
};

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn presets(names: &[&str]) -> CampaignRules {
    CampaignRules { hour_presets: names.iter().map(|&name| name.to_owned()).collect(), ..CampaignRules::default() }
}

fn is_open(rules: &CampaignRules, name: &str, wall: &str) -> bool {
    let zone = zone(name);
    CallingCalendar::new(rules).is_open(std::slice::from_ref(&zone), zone.instant(wall.parse().unwrap()))
}

/// 2026-11-16 is a Monday.
fn november(weekday: Weekday) -> NaiveDate {
    day("2026-11-16") + Days::new(weekday.num_days_from_monday().into())
}

#[test]
fn each_preset_opens_and_closes_at_its_edges() {
    use Weekday::{Fri, Mon, Sat, Sun};
    for (name, zone, weekday, opens, closes) in [
        ("us-tcpa", "America/New_York", Mon, "08:00", "21:00"),
        ("us-tcpa", "Pacific/Honolulu", Sun, "08:00", "21:00"),
        ("us-fl", "America/New_York", Mon, "08:00", "20:00"),
        ("us-fl", "America/Chicago", Sun, "08:00", "20:00"),
        ("us-ok", "America/Chicago", Mon, "08:00", "20:00"),
        ("us-md", "America/New_York", Mon, "08:00", "20:00"),
        ("us-reg-f", "America/Denver", Mon, "08:00", "21:00"),
        ("ca-crtc", "America/Toronto", Mon, "09:00", "21:30"),
        ("ca-crtc", "America/Vancouver", Fri, "09:00", "21:30"),
        ("ca-crtc", "America/St_Johns", Sat, "10:00", "18:00"),
        ("ca-crtc", "America/Toronto", Sun, "10:00", "18:00"),
        ("in-trai", "Asia/Kolkata", Mon, "09:00", "21:00"),
        ("in-trai", "Asia/Kolkata", Sun, "09:00", "21:00"),
        ("in-rbi", "Asia/Kolkata", Mon, "08:00", "19:00"),
        ("in-rbi", "Asia/Kolkata", Sun, "08:00", "19:00"),
        ("uk", "Europe/London", Mon, "08:00", "21:00"),
        ("uk", "Europe/London", Fri, "08:00", "21:00"),
        ("uk", "Europe/London", Sat, "09:00", "21:00"),
        ("uk", "Europe/London", Sun, "09:00", "21:00"),
    ] {
        let rules = presets(&[name]);
        let clock = |text: &str, seconds: i64| {
            let edge = november(weekday).and_time(text.parse().unwrap()) + TimeDelta::seconds(seconds);
            is_open(&rules, zone, &edge.format("%Y-%m-%dT%H:%M:%S").to_string())
        };
        let edges = [clock(opens, -1), clock(opens, 0), clock(closes, -1), clock(closes, 0)];
        assert_eq!(edges, [false, true, true, false], "{name} {zone} {weekday}");
    }
}

#[test]
fn own_hours_are_only_narrowed_by_presets() {
    let mut rules = presets(&["us-tcpa", "us-fl"]);
    rules.calling_hours = Some(CallingHours::default());
    assert!(is_open(&rules, "America/New_York", "2026-11-16T19:59:59"));
    assert!(!is_open(&rules, "America/New_York", "2026-11-16T20:00:00"));
    let mut both = presets(&["in-trai", "in-rbi"]);
    assert!(!is_open(&both, "Asia/Kolkata", "2026-11-16T08:59:59"));
    assert!(is_open(&both, "Asia/Kolkata", "2026-11-16T09:00:00"));
    assert!(!is_open(&both, "Asia/Kolkata", "2026-11-16T19:00:00"));
    // Nothing is left of it.
    both.calling_hours = serde_json::from_str(r#"[{"weekdays":["Mon"],"start":"19:00","end":"08:00"}]"#).unwrap();
    assert_eq!(CallingCalendar::new(&both).window(&[zone("Asia/Kolkata")], at("2026-11-16T00:00:00Z")), None);
}

#[test]
fn a_preset_stands_alone_where_a_campaign_has_no_hours() {
    assert!(is_open(&presets(&["ca-crtc"]), "America/Toronto", "2026-11-16T21:15:00"));
    assert!(!is_open(&CampaignRules::default(), "America/Toronto", "2026-11-16T21:15:00"));
}

#[test]
fn what_this_program_does_not_know_is_closed() {
    let zones = [zone("UTC")];
    let noon = at("2026-11-16T12:00:00Z");
    let country = CampaignRules { holiday_countries: vec!["XX".into()], ..CampaignRules::default() };
    for rules in [presets(&["us-tcpa", "mars"]), country] {
        let calendar = CallingCalendar::new(&rules);
        assert_eq!(calendar.window(&zones, noon), None);
        assert_eq!(calendar.why_closed(&zones, noon), [(None, Closed::UnknownRule)]);
    }
}

#[test]
fn a_campaign_runs_from_its_first_day_to_its_last_in_the_calendar_of_the_lead() {
    let rules = CampaignRules {
        start_date: Some(day("2026-11-18")),
        end_date: Some(day("2026-11-19")),
        calling_hours: serde_json::from_str(r#"[{"weekdays":["Wed","Thu","Fri"],"start":"20:00","end":"04:00"}]"#)
            .unwrap(),
        ..CampaignRules::default()
    };
    let calendar = CallingCalendar::new(&rules);
    assert_eq!(window(&calendar, "UTC", "2026-01-01T00:00:00Z"), ["11-18 20:00", "11-19 04:00"]);
    assert_eq!(window(&calendar, "Asia/Tokyo", "2026-01-01T00:00:00Z"), ["11-18 11:00", "11-18 19:00"]);
    // The night of the last day ends at midnight.
    assert_eq!(window(&calendar, "UTC", "2026-11-19T04:00:00Z"), ["11-19 20:00", "11-20 00:00"]);
    assert_eq!(calendar.window(&[zone("UTC")], at("2026-11-20T00:00:00Z")), None);
    let why =
        |text: &str| calendar.why_closed(&[zone("UTC")], at(text)).into_iter().map(|(_, why)| why).collect::<Vec<_>>();
    assert_eq!(why("2026-11-17T12:00:00Z"), [Closed::BeforeStart(day("2026-11-18")), Closed::Hours]);
    assert_eq!(why("2026-11-20T01:00:00Z"), [Closed::AfterEnd(day("2026-11-19"))]);
    assert_eq!(why("2026-11-18T20:00:00Z"), []);
    assert!(!calendar.is_over(at("2026-11-20T11:59:59Z")) && calendar.is_over(at("2026-11-20T12:00:00Z")));
    assert!(!CallingCalendar::new(&CampaignRules::default()).is_over(at("2999-01-01T00:00:00Z")));
}

#[test]
fn holidays_close_their_local_day_and_are_named() {
    let rules = CampaignRules {
        holiday_countries: vec!["US".into(), "GB".into()],
        holidays: [day("2026-12-24")].into(),
        ..CampaignRules::default()
    };
    let calendar = CallingCalendar::new(&rules);
    // Thanksgiving, the 26th of November.
    let name = "America/New_York";
    assert_eq!(window(&calendar, name, "2026-11-26T02:00:00Z"), ["11-27 13:00", "11-28 02:00"]);
    // A Thursday of the campaign's own, Christmas, Boxing Day of 2026 a Saturday, its substitute on Monday.
    assert_eq!(window(&calendar, name, "2026-12-24T12:00:00Z"), ["12-27 13:00", "12-28 02:00"]);
    let why = |text: &str| {
        let zone = zone(name);
        let reasons = calendar.why_closed(std::slice::from_ref(&zone), zone.instant(text.parse().unwrap()));
        reasons.into_iter().map(|(_, why)| why).collect::<Vec<_>>()
    };
    let thanksgiving = Closed::Holiday(day("2026-11-26"), Some(("US", "Thanksgiving Day")));
    assert_eq!(why("2026-11-26T12:00:00"), std::slice::from_ref(&thanksgiving));
    assert_eq!(why("2026-11-26T22:00:00"), [thanksgiving, Closed::Hours]);
    assert_eq!(why("2026-12-24T12:00:00"), [Closed::Holiday(day("2026-12-24"), None)]);
    assert_eq!(why("2040-01-05T12:00:00"), [Closed::HolidaysUnknown(day("2040-01-05"), "US")]);
    assert_eq!(calendar.window(&[zone(name)], at("2040-01-05T12:00:00Z")), None);
}

#[test]
fn a_holiday_cuts_a_night_at_midnight_and_what_follows_it_opens_there() {
    let mut rules = CampaignRules { holidays: [day("2026-11-18")].into(), ..CampaignRules::default() };
    rules.calling_hours = serde_json::from_str(
        r#"[{"weekdays":["Mon","Tue","Wed","Thu","Fri","Sat","Sun"],"start":"22:00","end":"02:00"}]"#,
    )
    .unwrap();
    let calendar = CallingCalendar::new(&rules);
    assert_eq!(window(&calendar, "UTC", "2026-11-17T12:00:00Z"), ["11-17 22:00", "11-18 00:00"]);
    assert_eq!(window(&calendar, "UTC", "2026-11-18T00:00:00Z"), ["11-19 00:00", "11-19 02:00"]);
}

#[test]
fn a_whole_list_of_holidays_in_a_row_is_looked_beyond() {
    let first = day("2026-11-18");
    let rules = CampaignRules { holidays: first.iter_days().take(HOLIDAYS_MAX).collect(), ..CampaignRules::default() };
    let calendar = CallingCalendar::new(&rules);
    let opens = calendar.window(&[zone("UTC")], at("2026-11-18T00:00:00Z")).unwrap().opens_at;
    assert_eq!(opens.date_naive(), first + Days::new(HOLIDAYS_MAX as u64));
}

#[test]
fn several_zones_are_open_when_all_of_them_are() {
    let zones = [zone("America/New_York"), zone("America/Los_Angeles")];
    let calendar = CallingCalendar::new(&presets(&["us-tcpa"]));
    let found = calendar.window(&zones, at("2026-11-16T00:00:00Z")).unwrap();
    let both = OpenWindow { opens_at: at("2026-11-15T16:00:00Z"), closes_at: at("2026-11-16T02:00:00Z") };
    assert_eq!(found, both);
    assert_eq!(calendar.window(&zones, at("2026-11-16T02:00:00Z")).unwrap().opens_at, at("2026-11-16T16:00:00Z"));
    let why = calendar.why_closed(&zones, at("2026-11-16T15:00:00Z"));
    assert_eq!(why, [(Some(zones[1].clone()), Closed::Preset("us-tcpa"))]);
    // Halfway around the Earth they never are.
    let far = [zone("America/New_York"), zone("Asia/Shanghai")];
    assert_eq!(
        calendar.window(&far, at("2026-11-16T00:00:00Z")).map(|window| window.opens_at),
        Some(at("2026-11-16T00:00:00Z"))
    );
    let narrow = hours(&[(&ALL, "09:00", "17:00")]);
    assert_eq!(narrow.window(&far, at("2026-11-16T00:00:00Z")), None);
    assert_eq!(narrow.window(&[], at("2026-11-16T12:00:00Z")), None);
    assert_eq!(narrow.why_closed(&[], at("2026-11-16T12:00:00Z")), [(None, Closed::NoTimeZone)]);
}

#[test]
fn an_open_time_that_occurs_twice_is_closed_for_its_hours() {
    let calendar = hours(&[(&ALL, "00:30", "01:30")]);
    // New York, 2026-11-01: half past one is the end, and a quarter past one comes again.
    let again = at("2026-11-01T06:15:00Z");
    assert!(!calendar.is_open(&[zone("America/New_York")], again));
    let why = calendar.why_closed(&[zone("America/New_York")], again);
    assert_eq!(why, [(Some(zone("America/New_York")), Closed::Hours)]);
}

fn any_rules() -> impl Strategy<Value = CampaignRules> {
    let own = prop::option::of((0_u16..1400, 1_u16..1440));
    let names = prop::collection::vec(0..HourPreset::all().len(), 0..3);
    let days = prop::collection::btree_set(0_u64..60, 0..12);
    (own, names, days, prop::option::of(0_u64..20), prop::option::of(20_u64..60), any::<bool>()).prop_map(
        |(own, names, days, start, end, us)| {
            let first = day("2026-10-20");
            let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            let span = own.filter(|(start, end)| start != end).map(|(start, end)| {
                let text = format!(
                    r#"[{{"weekdays":["Mon","Tue","Wed","Thu","Sat"],"start":"{}","end":"{}"}}]"#,
                    clock(start),
                    clock(end)
                );
                serde_json::from_str::<CallingHours>(&text).unwrap()
            });
            CampaignRules {
                calling_hours: span,
                hour_presets: names.iter().map(|index| HourPreset::all()[*index].name.clone()).collect(),
                holidays: days.iter().map(|days| first + Days::new(*days)).collect(),
                start_date: start.map(|days| first + Days::new(days)),
                end_date: end.map(|days| first + Days::new(days)),
                holiday_countries: if us { vec!["US".into()] } else { Vec::new() },
                ..CampaignRules::default()
            }
        },
    )
}

const PLACES: [&str; 6] =
    ["America/New_York", "America/Los_Angeles", "America/Havana", "Europe/London", "America/Sao_Paulo", "Asia/Kolkata"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn together_is_inside_each_set_and_each_zone_and_as_long_as_it_can_be(
        rules in any_rules(), places in prop::collection::btree_set(0_usize..6, 1..4), minutes in 0_i64..60 * 1440,
    ) {
        let zones: Vec<TimeZone> = places.iter().map(|index| zone(PLACES[*index])).collect();
        let calendar = CallingCalendar::new(&rules);
        let parts: Vec<CallingCalendar> = rules.hour_presets.iter().map(|name| CallingCalendar::new(&presets(&[name])))
            .chain(rules.effective_hours().map(CallingCalendar::from)).collect();
        let start = at("2026-10-18T00:00:00Z") + TimeDelta::minutes(minutes);
        let mut from = start;
        for _ in 0..6 {
            let Some(window) = calendar.window(&zones, from) else { break };
            prop_assert!(window.opens_at < window.closes_at && window.closes_at > from);
            let last = window.closes_at - TimeDelta::nanoseconds(1);
            for inside in [window.opens_at, last] {
                prop_assert_eq!(calendar.window(&zones, inside), Some(window));
                prop_assert!(calendar.why_closed(&zones, inside).is_empty());
                for zone in &zones {
                    let one = [zone.clone()];
                    let local = zone.local(inside).date();
                    prop_assert!(calendar.is_open(&one, inside) && parts.iter().all(|part| part.is_open(&one, inside)));
                    prop_assert!(calendar.closed_day(local).is_none(), "{} is closed", local);
                }
            }
            for outside in [window.opens_at - TimeDelta::nanoseconds(1), window.closes_at] {
                prop_assert!(!calendar.is_open(&zones, outside));
                prop_assert!(!calendar.why_closed(&zones, outside).is_empty());
            }
            from = window.closes_at;
        }
    }

    #[test]
    fn the_next_opening_never_comes_earlier_when_asked_later(
        rules in any_rules(), places in prop::collection::btree_set(0_usize..6, 1..3),
        first in 0_i64..50 * 1440, later in 0_i64..3 * 1440,
    ) {
        let zones: Vec<TimeZone> = places.iter().map(|index| zone(PLACES[*index])).collect();
        let calendar = CallingCalendar::new(&rules);
        let start = at("2026-10-18T00:00:00Z") + TimeDelta::minutes(first);
        let next = |at: DateTime<Utc>| calendar.window(&zones, at).map(|window| window.opens_at.max(at));
        if let Some(after) = next(start + TimeDelta::minutes(later)) {
            let before = next(start).unwrap();
            prop_assert!(before <= after);
            // Nothing was missed between them.
            prop_assert!(before == after || before < start + TimeDelta::minutes(later));
        }
    }
}
