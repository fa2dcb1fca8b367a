//! The windows of a lane.

use uuid::Uuid;

use super::*;
use crate::domain::campaign::{CampaignRules, CampaignState};

fn row(rules: CampaignRules, rules_version: i32) -> Arc<CampaignRow> {
    Arc::new(CampaignRow {
        key: 1,
        id: Uuid::nil(),
        name: "test".to_owned(),
        state: CampaignState::Running,
        state_since: DateTime::UNIX_EPOCH,
        rules,
        rules_version,
        etag: 1,
        breaker: None,
        completed: false,
        generation: 0,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    })
}

fn book(names: &[&str]) -> Arc<ZoneBook> {
    let rows: Vec<(ZoneId, String)> = (1..).zip(names.iter().map(|&name| name.to_owned())).collect();
    Arc::new(ZoneBook::new(&rows))
}

fn presets(names: &[&str]) -> CampaignRules {
    CampaignRules { hour_presets: names.iter().map(|&name| name.to_owned()).collect(), ..CampaignRules::default() }
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn windows_are_kept_until_one_closes_or_rules_or_zones_change() {
    let now = at("2026-11-16T15:00:00Z");
    let zones = book(&["America/New_York", "Asia/Kolkata"]);
    let mut lane = Lane::new(row(presets(&["us-tcpa"]), 1), Arc::clone(&zones));
    lane.windows(now);
    let until = lane.windows_until;
    assert_eq!(until, Some(at("2026-11-16T15:30:00Z")), "India closes first");
    lane.update(row(presets(&["us-tcpa"]), 1), book(&["America/New_York", "Asia/Kolkata"]));
    assert_eq!(lane.windows_until, until, "a survey that finds nothing new");
    lane.windows(at("2026-11-16T15:29:59.5Z"));
    assert!(lane.windows_until > until, "they would close on the way to the database");
    lane.update(row(presets(&["us-fl"]), 2), zones);
    assert_eq!(lane.windows_until, None);
    assert_eq!(lane.window(1, now).unwrap().closes_at, at("2026-11-17T01:00:00Z"));
    let zones = book(&["America/New_York", "Asia/Kolkata", "~America/Los_Angeles,America/New_York"]);
    lane.update(row(presets(&["us-fl"]), 2), zones);
    assert_eq!(
        lane.windows(now).opens,
        [None, Some(at("2026-11-16T13:00:00Z")), Some(at("2026-11-17T02:30:00Z")), Some(at("2026-11-16T16:00:00Z"))]
    );
}

#[test]
fn a_lead_that_does_not_open_is_closed_and_looked_at_again_within_a_week() {
    let now = at("2026-11-16T15:00:00Z");
    let over = CampaignRules { end_date: "2026-11-15".parse().ok(), ..CampaignRules::default() };
    let mut lane = Lane::new(row(over, 1), book(&["America/New_York", "Mars/Olympus"]));
    let again = OpenWindow { opens_at: now + LOOK_AGAIN, closes_at: now + LOOK_AGAIN };
    assert_eq!((lane.window(0, now), lane.window(1, now), lane.window(2, now)), (None, Some(again), None));
    // Reckoned anew long before that instant comes, it never counts as open.
    for hours in 0..400 {
        let now = now + TimeDelta::hours(hours);
        assert!(lane.window(1, now).is_some_and(|window| window.opens_at > now && !window.contains(window.opens_at)));
    }
}
