//! Proves what the facts make of a lead against the product's words and tables; what `Outcome` says of ranks and counts
//! is checked here, never used. Of the digest only `streak` and `callbacks` may depend on the order of reports.

use std::time::Duration;

use CampaignState::{Archived, Draft, Paused, Running};
use LeadState::{Consumed, DialingIntent, Eligible, Failed, IntentNo, IntentNoAnswer, IntentYes, Ready, Scheduled};

use super::*;
use crate::domain::{campaign::CampaignState, retry_policy::RetryRule};

type Instant = DateTime<Utc>;

/// An instant by its minute.
fn at(minute: i64) -> Instant {
    DateTime::from_timestamp(minute * 60, 0).unwrap()
}

/// A report on the attempt `seq`, which began at minute `seq * 100`.
fn said(seq: i32, outcome: Outcome) -> Fact {
    Fact { seq, outcome, begun_at: at(i64::from(seq) * 100), callback_at: None, callback_latest: None }
}

fn callback(seq: i32, minute: i64) -> Fact {
    Fact { callback_at: Some(at(minute)), ..said(seq, Outcome::CallbackRequested) }
}

fn after(facts: &[Fact]) -> Facts {
    facts.iter().fold(Facts::default(), |all, fact| all.merge(*fact))
}

/// `times` attempts from `seq` on that all came to this.
fn in_a_row(seq: i32, times: i32, outcome: Outcome) -> Vec<Fact> {
    (seq..seq + times).map(|seq| said(seq, outcome)).collect()
}

/// What follows from the facts at minute `now`, by the default policy.
fn by_default(facts: &Facts, now: i64) -> Verdict {
    facts.verdict(&RetryPolicy::default(), at(now))
}

fn verdict(state: LeadState, due: Option<i64>) -> Verdict {
    Verdict { state, due_at: due.map(at) }
}

mod every_order_tests;

// ---- Every state x every outcome -----------------------------------------------------------------

/// Leads as they stand in every state that can be leased.
fn leasable() -> Vec<(LeadState, Facts)> {
    let by_hand = |facts: Facts| Facts { callback_at: Some(at(2_000)), ..facts };
    let undialable = after(&in_a_row(1, 20, Outcome::NotPlaced));
    let mut leads = vec![
        (Eligible, Facts::default()),
        (Eligible, after(&in_a_row(1, 3, Outcome::NotPlaced))),
        (Failed, undialable),
        (Scheduled, after(&[callback(1, 2_000)])),
        (Scheduled, after(&[callback(1, 2_000), said(2, Outcome::NotPlaced)])),
        (Scheduled, after(&[callback(1, 150), said(2, Outcome::Busy), callback(3, 2_000)])),
        (Scheduled, by_hand(Facts::default())),
        (Scheduled, by_hand(after(&[said(1, Outcome::Unknown)]))),
    ];
    for outcome in [Outcome::NoAnswer, Outcome::Voicemail, Outcome::Busy, Outcome::Abandoned] {
        leads.push((IntentNoAnswer, after(&[said(1, outcome)])));
    }
    for outcome in [Outcome::Failed, Outcome::InvalidNumber, Outcome::Unknown] {
        leads.push((Failed, after(&in_a_row(1, 2, outcome))));
    }
    leads
}

#[test]
fn every_outcome_of_a_fresh_attempt_does_to_every_leasable_lead_what_the_table_says() {
    const NOW: i64 = 3_005;
    for (state, prior) in leasable() {
        assert_eq!(prior.state(), state, "{prior:?}");
        for outcome in Outcome::ALL {
            let promised = (outcome == Outcome::CallbackRequested).then(|| at(4_000));
            let fact = Fact { callback_at: promised, ..said(30, outcome) };
            let facts = prior.merge(fact);
            let (new_state, due) = match outcome {
                Outcome::IntentYes => (IntentYes, None),
                Outcome::IntentNo | Outcome::DoNotCall => (IntentNo, None),
                Outcome::CallbackRequested => (Scheduled, Some(at(4_000))),
                Outcome::NoAnswer => (IntentNoAnswer, Some(at(NOW + 120))),
                Outcome::Voicemail => (IntentNoAnswer, Some(at(NOW + 240))),
                Outcome::Busy => (IntentNoAnswer, Some(at(NOW + 15))),
                Outcome::Abandoned => (IntentNoAnswer, Some(at(NOW + 72 * 60))),
                Outcome::Failed => (Failed, Some(at(NOW + 10))),
                Outcome::InvalidNumber => (Failed, None),
                Outcome::Unknown => (Failed, Some(at(NOW + 60))),
                Outcome::NotPlaced => {
                    let again = prior.last_outcome == Some(Outcome::NotPlaced);
                    let row = if again { prior.streak + 1 } else { 1 };
                    let seconds = [30, 60, 120, 240].get(row as usize - 1);
                    let due = seconds.map(|s| at(NOW) + TimeDelta::seconds(*s));
                    (
                        if row >= 20 {
                            Failed
                        } else if state == Scheduled {
                            Scheduled
                        } else {
                            Eligible
                        },
                        due,
                    )
                }
            };
            let got = facts.verdict(&RetryPolicy::default(), at(NOW));
            assert_eq!(got, Verdict { state: new_state, due_at: due }, "{outcome:?} of {prior:?}");

            let rang = outcome != Outcome::NotPlaced;
            assert_eq!(outcome.counts(), rang);
            assert_eq!(facts.rang_at, if rang { Some(fact.begun_at) } else { prior.rang_at });
            assert_eq!(facts.callback_at, if rang { promised } else { prior.callback_at });
            assert_eq!((facts.last_seq, facts.last_outcome), (30, Some(outcome)));
        }
    }
}

#[test]
fn a_lead_without_facts_is_eligible_at_once() {
    assert_eq!(by_default(&Facts::default(), 7), verdict(Eligible, Some(7)));
}

#[test]
fn the_twentieth_not_placed_in_a_row_fails_the_lead_and_the_nineteenth_does_not() {
    let facts = after(&in_a_row(1, 19, Outcome::NotPlaced));
    assert_eq!(by_default(&facts, 0), verdict(Eligible, Some(15)));
    let facts = after(&in_a_row(1, 20, Outcome::NotPlaced));
    assert_eq!(by_default(&facts, 0), verdict(Failed, None));
    let broken = facts.merge(said(21, Outcome::Busy)).merge(said(22, Outcome::NotPlaced));
    assert_eq!(by_default(&broken, 0).state, Eligible);
}

#[test]
fn a_promise_sticks_however_often_the_call_was_not_placed() {
    let promised = after(&[callback(1, 150)]);
    let refused = |times| {
        let all = in_a_row(2, times, Outcome::NotPlaced);
        all.into_iter().fold(promised, Facts::merge)
    };
    assert_eq!(by_default(&refused(19), 9_000), verdict(Scheduled, Some(9_015)));
    assert_eq!(by_default(&refused(20), 9_000), verdict(Scheduled, Some(9_015)));
    assert_eq!(refused(20).callback_at, Some(at(150)));
}

#[test]
fn a_promise_that_was_not_placed_waits_for_both_its_instant_and_the_back_off() {
    let facts = after(&[callback(1, 250), said(2, Outcome::NotPlaced)]);
    assert_eq!(by_default(&facts, 210), verdict(Scheduled, Some(250)));
    let facts = facts.merge(said(3, Outcome::NotPlaced));
    assert_eq!(by_default(&facts, 301), verdict(Scheduled, Some(302)));
}

#[test]
fn unknown_is_never_followed_at_once_even_by_a_promise() {
    let late = after(&[said(1, Outcome::Unknown), callback(1, 230), said(2, Outcome::Unknown)]);
    assert_eq!(by_default(&late, 260), verdict(Scheduled, Some(320)));
}

#[test]
fn a_promise_outlives_an_attempt_that_rang_before_its_instant() {
    for outcome in [Outcome::Voicemail, Outcome::Unknown, Outcome::InvalidNumber] {
        assert_eq!(after(&[callback(1, 201), said(2, outcome)]).state(), Scheduled);
        assert_ne!(after(&[callback(1, 200), said(2, outcome)]).state(), Scheduled);
    }
}

#[test]
fn a_promise_in_the_past_is_due_at_its_instant() {
    let facts = after(&[callback(1, 90)]);
    assert_eq!(by_default(&facts, 105), verdict(Scheduled, Some(90)));
}

#[test]
fn a_sixth_callback_is_as_if_nobody_had_answered_for_the_first_time() {
    let hours = Duration::from_hours;
    let policy = RetryPolicy::new(vec![(Outcome::NoAnswer, vec![hours(1), hours(2), hours(3)])]);
    let policy = policy.unwrap();
    let promises: Vec<Fact> = (1..=7).map(|seq| callback(seq, i64::from(seq) * 100 + 50)).collect();
    let told = |n: usize| after(&promises[..n]).verdict(&policy, at(1_000));
    assert_eq!(told(5), verdict(Scheduled, Some(550)));
    assert_eq!(told(6), verdict(IntentNoAnswer, Some(1_060)));
    assert_eq!(told(7), verdict(IntentNoAnswer, Some(1_120)));
    let anew = after(&promises).merge(said(8, Outcome::Busy)).merge(callback(9, 950));
    assert_eq!(anew.verdict(&policy, at(1_000)), verdict(IntentNoAnswer, Some(1_060)));
}

#[test]
fn a_lead_at_the_limit_of_its_outcome_is_not_retried_and_another_outcome_or_a_promise_frees_it() {
    let rule = RetryRule { outcome: Outcome::Busy, delays: vec![Duration::from_secs(1)], limit: Some(2) };
    let policy = RetryPolicy::new(vec![rule]).unwrap();
    let over = |facts: &Facts| facts.is_retry_over(&policy);
    assert!(!over(&after(&in_a_row(1, 1, Outcome::Busy))));
    let two = after(&in_a_row(1, 2, Outcome::Busy));
    assert!(over(&two) && over(&two.merge(said(3, Outcome::Busy))));
    assert!(!over(&two.merge(said(3, Outcome::NoAnswer))));
    assert!(!over(&two.merge(callback(3, 900))), "promises stick");
    assert!(!over(&Facts { callback_at: Some(at(900)), ..two }), "those by hand, too");
    assert!(over(&after(&[said(1, Outcome::InvalidNumber)])));
    assert!(over(&after(&in_a_row(1, 20, Outcome::NotPlaced))) && !over(&after(&in_a_row(1, 19, Outcome::NotPlaced))));
}

#[test]
fn each_delay_follows_how_often_in_a_row_its_own_outcome_came() {
    let minutes = Duration::from_mins;
    let policy = RetryPolicy::new(vec![(Outcome::Busy, vec![minutes(1), minutes(2)])]).unwrap();
    let mut facts = Facts::default();
    for (seq, outcome, due) in [
        (1, Outcome::Busy, 1),
        (2, Outcome::Busy, 2),
        (3, Outcome::Busy, 2),
        (4, Outcome::Failed, 10),
        (5, Outcome::Busy, 1),
    ] {
        facts = facts.merge(said(seq, outcome));
        assert_eq!(facts.verdict(&policy, at(0)).due_at, Some(at(due)));
    }
}

#[test]
fn a_reset_calls_again_whoever_was_not_reached_and_leaves_alone_whoever_has_spoken() {
    for (state, reset) in [
        (Eligible, true),
        (Ready, true),
        (DialingIntent, true),
        (IntentYes, false),
        (IntentNo, false),
        (IntentNoAnswer, true),
        (Failed, true),
        (Scheduled, false),
        (Consumed, false),
    ] {
        assert_eq!(state.is_reset(), reset, "{state:?}");
        assert_eq!(state.is_final(), matches!(state, IntentYes | Consumed));
        let closed = matches!(state, IntentYes | IntentNo | Consumed);
        assert_eq!(state.allows_callback_by_hand(), !closed, "{state:?}");
        assert_eq!(LeadState::from_code(state.code()), Some(state));
    }
}

#[test]
fn a_campaign_goes_from_draft_to_running_to_and_from_paused_and_is_archived_when_it_does_not_run() {
    // The targets are those of StartCampaign, PauseCampaign and ArchiveCampaign: nothing becomes DRAFT.
    for (from, allowed) in [
        (Draft, [false, true, false, true]),
        (Running, [false, true, true, false]),
        (Paused, [false, true, true, true]),
        (Archived, [false, false, false, true]),
    ] {
        for (to, allowed) in CampaignState::ALL.into_iter().zip(allowed) {
            assert_eq!(from.may_become(to), allowed, "{from:?} to {to:?}");
        }
    }
}

// ---- Late, repeated and contradicting reports ----------------------------------------------------

#[test]
fn within_an_attempt_a_later_report_wins_only_if_it_ranks_higher() {
    for (first, second, stands) in [
        (Outcome::Unknown, Outcome::NotPlaced, Eligible),
        (Outcome::Unknown, Outcome::Busy, IntentNoAnswer),
        (Outcome::NoAnswer, Outcome::Failed, IntentNoAnswer),
        (Outcome::Failed, Outcome::NoAnswer, Failed),
        (Outcome::Voicemail, Outcome::Unknown, IntentNoAnswer),
        (Outcome::Voicemail, Outcome::DoNotCall, IntentNo),
        (Outcome::IntentNo, Outcome::Voicemail, IntentNo),
        (Outcome::DoNotCall, Outcome::IntentYes, IntentYes),
        (Outcome::IntentYes, Outcome::IntentNo, IntentYes),
    ] {
        assert_eq!(after(&[said(1, first), said(1, second)]).state(), stands, "{first:?}");
    }
}

#[test]
fn a_callback_that_turns_out_to_be_a_refusal_is_a_refusal_in_either_order() {
    for refusal in [Outcome::IntentNo, Outcome::DoNotCall] {
        for reports in [[callback(1, 900), said(1, refusal)], [said(1, refusal), callback(1, 900)]] {
            let facts = after(&reports);
            assert_eq!(by_default(&facts, 105), verdict(IntentNo, None));
            assert_eq!((facts.callback_at, facts.conversation), (None, Some((1, refusal))));
        }
    }
}

#[test]
fn a_second_callback_of_one_attempt_neither_moves_the_promise_nor_counts() {
    let facts = after(&[callback(1, 900), callback(1, 900), callback(1, 950)]);
    assert_eq!((facts.callback_at, facts.callbacks, facts.streak), (Some(at(900)), 1, 1));
    let facts = facts.merge(callback(2, 980)).merge(callback(1, 900));
    assert_eq!((facts.callback_at, facts.callbacks), (Some(at(980)), 2));
}

#[test]
fn a_late_promise_is_spent_if_an_attempt_rang_for_it_meanwhile() {
    let late = |promised, meanwhile| after(&[said(1, Outcome::Unknown), meanwhile, callback(1, promised)]);
    assert_eq!(late(200, said(2, Outcome::Busy)).state(), IntentNoAnswer);
    assert_eq!(late(201, said(2, Outcome::Busy)).state(), Scheduled);
    assert_eq!(late(200, said(2, Outcome::NotPlaced)).state(), Scheduled);
}

/// The digest does not remember what was before: an attempt that was UNKNOWN once has rung for good.
#[test]
fn a_promise_spent_on_unknown_stays_spent_when_not_placed_comes_late() {
    for reports in [[Outcome::Unknown, Outcome::NotPlaced], [Outcome::NotPlaced, Outcome::Unknown]] {
        let facts = after(&[callback(1, 150), said(2, reports[0]), said(2, reports[1])]);
        assert_eq!((facts.state(), facts.callback_at), (Eligible, None));
    }
}

#[test]
fn an_interest_of_any_attempt_beats_every_newer_refusal() {
    let newer = [said(2, Outcome::IntentNo), said(3, Outcome::DoNotCall), callback(4, 900)];
    assert_eq!(after(&newer).merge(said(1, Outcome::IntentYes)).state(), IntentYes);
}
