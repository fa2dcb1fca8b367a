//! Callbacks by phrase: from what a person said to the call, and what becomes of those that nobody understood or kept.

mod by_hand;
mod held;
mod missed;

use std::time::Duration;

use chrono::{DateTime, NaiveTime, TimeDelta, Timelike as _, Utc};
use dialplane::pb::{self, LeadState, Outcome, ReportVerdict};

use crate::support::{
    World,
    asks::{QUIET, instant, one_lead, said},
    dialer::Dialer,
    hours, lead, rules, timestamp,
};

/// India is five and a half hours ahead all year.
const KOLKATA: TimeDelta = TimeDelta::minutes(330);

/// What the wall clock in Kolkata shows, as minutes from midnight of the day on which `now` is.
fn kolkata_minutes(at: DateTime<Utc>, now: DateTime<Utc>) -> i64 {
    let midnight = (now + KOLKATA).date_naive().and_time(NaiveTime::MIN).and_utc() - KOLKATA;
    (at - midnight).num_minutes()
}

/// A world whose clock is a minute or so after this hour in UTC; campaigns are made after that.
async fn world_at(hour: u32) -> World {
    let world = World::start().await;
    let now = world.now().await;
    let ahead = (i64::from(hour) * 3600 - i64::from(now.num_seconds_from_midnight())).rem_euclid(24 * 3600);
    world.advance(Duration::from_secs(ahead.unsigned_abs() + 60)).await;
    world
}

/// One lead in Kolkata, called at one past `hour` UTC under these rules.
async fn called_at(hour: u32, rules: pb::CampaignRules) -> (World, String, String, Dialer, pb::Lease) {
    let mut world = world_at(hour).await;
    let campaign = world.campaign(rules).await;
    let here = pb::NewLead { time_zone: "Asia/Kolkata".into(), ..lead(0) };
    let lead_id = world.add(&campaign, vec![here]).await.remove(0);
    let mut dialer = world.dialer(&campaign, 1).await;
    let lease = dialer.call().await;
    (world, campaign, lead_id, dialer, lease)
}

/// The promise after these phrases, each said by another lead at about 09:31 in Kolkata: minutes of the day there.
async fn promises(rules: pb::CampaignRules, phrases: &[(&str, i64)]) {
    let mut world = world_at(4).await;
    let campaign = world.campaign(rules).await;
    let people = (0..phrases.len()).map(|n| pb::NewLead { time_zone: "Asia/Kolkata".into(), ..lead(n) });
    world.add(&campaign, people.collect()).await;
    let mut dialer = world.dialer(&campaign, 1).await;
    for (phrase, minutes) in phrases {
        let lease = dialer.call().await;
        let result = dialer.report_phrase(&lease.lease_id, phrase).await;
        assert_eq!(
            (result.verdict(), result.lead_state()),
            (ReportVerdict::Accepted, LeadState::Scheduled),
            "{phrase}"
        );
        let now = world.now().await;
        let lead = world.lead(&campaign, &lease.lead_id).await;
        let promised = instant(lead.callback_at.unwrap_or_else(|| panic!("{phrase} has no instant")));
        assert_eq!(kolkata_minutes(promised, now), *minutes, "{phrase}: {promised}");
        assert_eq!(lead.not_before, lead.callback_at, "{phrase}");
        let attempt = world.attempt(&lease.lease_id).await.unwrap();
        assert_eq!((attempt.callback_phrase.as_str(), attempt.callback_at), (*phrase, lead.callback_at));
        assert_eq!(attempt.callback_latest, lead.callback_latest);
        assert!(lead.callback_latest.is_some(), "{phrase}");
    }
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phrase_is_read_in_the_leads_zone_and_its_instant_is_the_one_meant() {
    let phrases = [
        ("call me back at 5pm", 17 * 60),
        ("around 5 in the evening", 17 * 60),
        ("any time by 5 pm", 16 * 60),
        ("tomorrow morning at 10", 34 * 60),
        ("between 2 and 4", 14 * 60),
    ];
    promises(rules(), &phrases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_the_hours_the_promise_is_the_next_open_instant() {
    let working = pb::CampaignRules { calling_hours: Some(hours("09:00", "18:00")), ..rules() };
    let phrases = [
        ("at 8 pm", 33 * 60),
        ("tomorrow after 7 in the morning", 33 * 60),
        ("between 5 and 7 in the evening", 17 * 60),
    ];
    promises(working, &phrases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_without_a_time_takes_the_clock_time_of_the_call() {
    let (mut world, campaign, lead, mut dialer, lease) = called_at(4, rules()).await;
    dialer.report_phrase(&lease.lease_id, "can we speak tomorrow").await;
    let called = instant(world.attempt(&lease.lease_id).await.unwrap().begun_at.unwrap());
    let promised = world.lead(&campaign, &lead).await;
    assert_eq!(instant(promised.callback_at.unwrap()), called + TimeDelta::days(1));
    world.advance(Duration::from_secs(24 * 3600)).await;
    let again = dialer.call().await;
    assert_eq!((again.score, again.callback_at), (999, promised.callback_at));
    dialer.report(&again.lease_id, Outcome::NoAnswer).await;
    let rang = world.lead(&campaign, &lead).await;
    assert_eq!((rang.callback_at, rang.callback_latest), (None, None), "the promise is kept, and over");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_counts_from_when_it_was_heard() {
    for by_heard_at in [true, false] {
        let (mut world, campaign, lead, mut dialer, lease) = called_at(4, rules()).await;
        let heard = world.now().await - TimeDelta::hours(2);
        let mut report = said(&lease.lease_id, "in three hours");
        if by_heard_at {
            (report.heard_at, report.occurred_at) = (timestamp(heard), timestamp(heard - TimeDelta::hours(1)));
        } else {
            report.occurred_at = timestamp(heard);
        }
        dialer.report_all(report).await;
        let promised = instant(world.lead(&campaign, &lead).await.callback_at.unwrap());
        assert_eq!((promised - heard).num_minutes(), 180);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phrase_whose_time_is_past_when_it_is_reported_is_due_at_once() {
    let (mut world, campaign, lead, mut dialer, lease) = called_at(4, rules()).await;
    let heard_at = timestamp(world.now().await - TimeDelta::hours(5));
    let result = dialer.report_all(pb::OutcomeReport { heard_at, ..said(&lease.lease_id, "in ten minutes") }).await;
    assert_eq!(result.lead_state(), LeadState::Scheduled);
    let again = dialer.call().await;
    assert_eq!((again.lead_id, again.score), (lead.clone(), 999));
    assert!(instant(world.lead(&campaign, &lead).await.callback_at.unwrap()) <= world.now().await);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_phrase_moves_the_lead_like_any_conversation() {
    let (mut world, campaign, lead, mut dialer, lease) = called_at(4, rules()).await;
    world.revoke(&lease.lease_id).await;
    assert_eq!(world.lead(&campaign, &lead).await.state(), LeadState::Failed);
    let result = dialer.report_phrase(&lease.lease_id, "at 5pm").await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Late, LeadState::Scheduled));
    let promised = world.lead(&campaign, &lead).await;
    let now = world.now().await;
    assert_eq!(kolkata_minutes(instant(promised.callback_at.unwrap()), now), 17 * 60);
    assert!(promised.callback_latest.is_some());
    assert_eq!(world.attempt(&lease.lease_id).await.unwrap().callback_phrase, "at 5pm");
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_phrase_again_is_a_duplicate_and_another_is_outranked() {
    let (mut world, campaign, lead, mut dialer, lease) = called_at(4, rules()).await;
    let verdicts = [
        ("in an hour", ReportVerdict::Accepted),
        ("in an hour", ReportVerdict::Duplicate),
        ("in two hours", ReportVerdict::Outranked),
    ];
    let mut first = None;
    for (phrase, verdict) in verdicts {
        assert_eq!(dialer.report_phrase(&lease.lease_id, phrase).await.verdict(), verdict, "{phrase}");
        world.advance(Duration::from_secs(60)).await;
        let callback_at = world.lead(&campaign, &lead).await.callback_at;
        assert_eq!(*first.get_or_insert(callback_at), callback_at, "{phrase}");
    }
    assert_eq!(world.attempt(&lease.lease_id).await.unwrap().reports.len(), 2);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_heard_in_a_phrase_is_do_not_call_with_everything_it_entails() {
    let (mut world, campaign, lead_id, mut dialer) = one_lead(rules()).await;
    let elsewhere = world.campaign(rules()).await;
    let twin = world.add(&elsewhere, vec![lead(0)]).await.remove(0);
    let lease = dialer.call().await;
    let result = dialer.report_phrase(&lease.lease_id, "please never call me again").await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Accepted, LeadState::IntentNo));
    let refused = world.lead(&campaign, &lead_id).await;
    assert!(refused.do_not_call && refused.suppressed && refused.callback_at.is_none());
    assert!(world.lead(&elsewhere, &twin).await.suppressed);
    let mut anyone = world.dialer(&elsewhere, 1).await;
    assert!(anyone.gets_nothing_for(QUIET).await);
    let attempt = world.attempt(&lease.lease_id).await.unwrap();
    assert_eq!(
        (attempt.outcome(), attempt.callback_phrase.as_str()),
        (Outcome::DoNotCall, "please never call me again")
    );
    let again = dialer.report_phrase(&lease.lease_id, "please never call me again").await;
    assert_eq!(again.verdict(), ReportVerdict::Duplicate);
    world.check().await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_that_comes_after_a_promise_takes_its_place() {
    let (mut world, campaign, lead, mut dialer, lease) = called_at(4, rules()).await;
    dialer.report_phrase(&lease.lease_id, "at 5pm").await;
    let result = dialer.report_phrase(&lease.lease_id, "take me off your list").await;
    assert_eq!((result.verdict(), result.lead_state()), (ReportVerdict::Superseded, LeadState::IntentNo));
    let refused = world.lead(&campaign, &lead).await;
    assert!(refused.do_not_call && refused.suppressed && refused.callback_at.is_none());
    world.check().await;
    world.stop().await;
}
