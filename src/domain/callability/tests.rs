use chrono::TimeZone as _;
use proptest::prelude::*;

use super::*;

fn at(hour: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 12, 1, 0, 0, 0).unwrap() + TimeDelta::hours(hour)
}

fn callable() -> Subject {
    Subject {
        campaign: CampaignState::Running,
        state: LeadState::Eligible,
        do_not_call: false,
        suppressed: None,
        attempts: 0,
        max_attempts: 3,
        last_outcome: None,
        retries_spent: false,
        waits_until: None,
        callback_at: None,
        lease: None,
        number_busy_until: None,
    }
}

/// Open from 9 to 17 each day.
fn office(now: DateTime<Utc>) -> Vec<Failed> {
    let hour = (now - at(0)).num_hours().rem_euclid(24);
    let midnight = now - TimeDelta::hours(hour) - (now - at(0)) + TimeDelta::hours((now - at(0)).num_hours());
    let opens = if hour < 9 { 9 } else { 33 };
    if (9..17).contains(&hour) {
        return Vec::new();
    }
    vec![Failed::new(Condition::CallingHours, Some(midnight + TimeDelta::hours(opens)), "closed")]
}

fn conditions(subject: &Subject, now: DateTime<Utc>) -> Vec<Condition> {
    failed(subject, office, now).into_iter().map(|one| one.condition).collect()
}

#[test]
fn a_fresh_lead_inside_its_hours_may_be_called() {
    assert_eq!(conditions(&callable(), at(10)), []);
    assert_eq!(first_callable(&callable(), office, at(10)), Some(at(10)));
}

#[test]
fn every_condition_that_fails_is_named_and_not_only_the_first() {
    let subject = Subject {
        campaign: CampaignState::Paused,
        suppressed: Some(None),
        attempts: 3,
        waits_until: Some(Some(at(30))),
        ..callable()
    };
    use Condition::{AttemptsLeft, CallingHours, CampaignRunning, NotBefore, NotSuppressed};
    let all = [CampaignRunning, NotSuppressed, AttemptsLeft, NotBefore, CallingHours];
    assert_eq!(conditions(&subject, at(20)), all);
    assert_eq!(first_callable(&subject, office, at(20)), None, "time alone does not start a campaign");
}

#[test]
fn the_first_instant_is_found_through_delays_and_closed_hours() {
    let retry =
        Subject { state: LeadState::IntentNoAnswer, attempts: 1, waits_until: Some(Some(at(18))), ..callable() };
    assert_eq!(first_callable(&retry, office, at(10)), Some(at(33)));
    let suppressed = Subject { suppressed: Some(Some(at(34))), ..retry };
    assert_eq!(first_callable(&suppressed, office, at(10)), Some(at(34)));
}

#[test]
fn a_promise_is_exempt_from_the_number_of_attempts_and_from_nothing_else() {
    let promise = Subject {
        state: LeadState::Scheduled,
        attempts: 3,
        callback_at: Some(at(12)),
        waits_until: Some(Some(at(12))),
        ..callable()
    };
    assert_eq!(conditions(&promise, at(10)), [Condition::CallbackDue]);
    assert_eq!(first_callable(&promise, office, at(10)), Some(at(12)));
    assert_eq!(conditions(&promise, at(18)), [Condition::CallingHours]);
    let held = Subject { waits_until: Some(None), ..promise };
    assert_eq!(first_callable(&held, office, at(10)), None);
}

#[test]
fn what_is_complete_is_complete_whatever_else_fails() {
    for state in [LeadState::IntentYes, LeadState::IntentNo, LeadState::Consumed] {
        let done = Subject { state, attempts: 3, ..callable() };
        assert_eq!(conditions(&done, at(10)), [Condition::NotComplete]);
    }
}

#[test]
fn an_outcome_that_is_not_tried_again_waits_for_a_reset() {
    let spent = Subject {
        state: LeadState::Failed,
        last_outcome: Some(Outcome::InvalidNumber),
        attempts: 1,
        retries_spent: true,
        ..callable()
    };
    assert_eq!(conditions(&spent, at(10)), [Condition::Retried]);
    assert_eq!(first_callable(&spent, office, at(10)), None);
}

proptest! {
    #[test]
    fn everything_holds_at_the_first_instant_and_something_fails_before(
        start in 0_i64..100, delay in prop::option::of(0_i64..100), ban in prop::option::of(0_i64..100), attempts in 0..4,
    ) {
        let subject = Subject {
            attempts,
            waits_until: delay.map(|hour| Some(at(hour))),
            suppressed: ban.map(|hour| Some(at(hour))),
            ..callable()
        };
        let first = first_callable(&subject, office, at(start));
        prop_assert_eq!(first.is_none(), attempts >= 3);
        if let Some(first) = first {
            prop_assert!(failed(&subject, office, first).is_empty());
            for hour in start..(first - at(0)).num_hours() {
                prop_assert!(!failed(&subject, office, at(hour)).is_empty(), "hour {}", hour);
            }
        }
    }
}
