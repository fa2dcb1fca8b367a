//! Number rules between two mutations: a call is counted, or undone, before the next one of its number is allowed; in both
//! campaigns, at the grant and at the permit.

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::store::{
    Store,
    leases::GrantVerdict::{self, Granted, NumberBusy},
    permits::BeginVerdict::{self, Permitted},
    queue::{Parked, waiting},
};

use super::{
    actions::Action,
    scene::{End, Met, Theatre},
    stage::Who,
};

/// A rule of the engine, in every scene from now on.
async fn rule(theatre: &Theatre, outcomes: &str, at_most: i32, lasts: &str) {
    let insert = format!("insert into kept.number_rule values (0, 1, {outcomes}, {at_most}, '{lasts}')");
    theatre.stage.database.sql.batch_execute(&format!("delete from kept.number_rule; {insert}")).await.unwrap();
}

/// Calls of the last minute count: of all that rang before, none lies so near.
async fn a_minute_between_calls(theatre: &Theatre) {
    rule(theatre, "null", 1, "1 minute").await;
}

const CONVERSATIONS: &str = "'{1,2,3,4}'";

async fn meet(theatre: &Theatre, first: Action, second: Action) -> Met {
    let met = theatre.meet(first, second, End::Commit).await.unwrap();
    assert!(met.waited, "{second:?} should have waited for {first:?}");
    assert_eq!(theatre.stage.broken(&met.granted).await, Vec::<String>::new());
    met
}

/// Which of the twins of `Queued`, `Leased` and `Begun` a number rule holds up.
fn held(grants: &[GrantVerdict]) -> Vec<bool> {
    grants.iter().map(|verdict| matches!(verdict, GrantVerdict::NumberRule(_))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_waited_for_the_end_of_a_call_counts_it() {
    let theatre = Theatre::open().await;
    a_minute_between_calls(&theatre).await;
    // `Leased` was reported without a permit: it rang at its grant, just now; `Begun` did more than a minute ago.
    let met = meet(&theatre, Action::Settle, Action::GrantTwins).await;
    assert_eq!(held(&met.second.grants), [false, true, false], "{:?}", met.second.grants);
    let met = theatre.meet(Action::Settle, Action::GrantTwins, End::Rollback).await.unwrap();
    assert_eq!(met.second.grants, [Granted, NumberBusy, NumberBusy]);
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_waited_for_a_call_that_was_never_placed_does_not_count_it() {
    let theatre = Theatre::open().await;
    a_minute_between_calls(&theatre).await;
    let met = meet(&theatre, Action::SettleNotPlaced, Action::GrantTwins).await;
    assert_eq!(met.second.grants, [Granted, Granted, Granted]);
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_and_the_grant_of_its_number_elsewhere_exclude_each_other() {
    let theatre = Theatre::open().await;
    a_minute_between_calls(&theatre).await;
    for end in [End::Commit, End::Rollback] {
        let met = theatre.meet(Action::Begin, Action::GrantTwins, end).await.unwrap();
        assert_eq!((met.first.permit, met.second.grants[1]), (Some(Permitted), NumberBusy));
        let met = theatre.meet(Action::GrantTwins, Action::Begin, end).await.unwrap();
        assert_eq!((met.first.grants[1], met.second.permit), (NumberBusy, Some(Permitted)));
    }
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_waited_for_a_late_conversation_counts_it() {
    let theatre = Theatre::open().await;
    rule(&theatre, CONVERSATIONS, 1, "1 hour").await;
    let met = meet(&theatre, Action::LateReport, Action::GrantTwins).await;
    assert!(held(&met.second.grants)[0], "{:?}", met.second.grants);
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_after_a_late_conversation_is_refused_where_the_grant_came_first() {
    let theatre = Theatre::open().await;
    rule(&theatre, CONVERSATIONS, 1, "1 hour").await;
    let met = meet(&theatre, Action::GrantTwins, Action::LateReport).await;
    assert_eq!(met.first.grants[0], Granted);
    let permit = theatre.permit(met.first.granted[0]).await;
    assert!(matches!(permit, BeginVerdict::NumberRule(_)), "{permit:?}");
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permit_that_waited_for_a_new_number_rule_obeys_it() {
    let theatre = Theatre::open().await;
    let met = meet(&theatre, Action::NumberRules, Action::Begin).await;
    assert!(matches!(met.second.permit, Some(BeginVerdict::NumberRule(_))), "{:?}", met.second.permit);
    assert_eq!(theatre.leases_of(Who::Leased).await, 1, "to be taken back by whoever asked");
    let met = meet(&theatre, Action::Begin, Action::NumberRules).await;
    assert_eq!(met.first.permit, Some(Permitted));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_waited_for_a_new_number_rule_obeys_it() {
    let theatre = Theatre::open().await;
    let met = meet(&theatre, Action::NumberRules, Action::Grant).await;
    assert_eq!(held(&met.second.grants), [true, true], "{:?}", met.second.grants);
    theatre.close().await;
}

/// A number rule refused a lead, and another a permit; before they are put away, something else becomes known. Until when they wait.
async fn put_away(theatre: &Theatre, until: DateTime<Utc>) -> [DateTime<Utc>; 2] {
    let stage = &theatre.stage;
    stage.put_back().await;
    let store = Store::new(&stage.database.url, 1).unwrap();
    let lead = stage.queued.iter().find(|lead| lead.lead == stage.lead(Who::Queued)).unwrap();
    let parked = Parked {
        campaign: lead.campaign,
        lead: lead.lead,
        promised: None,
        until: Some(until),
        reason: waiting::NUMBER_RULE,
        rules_version: None,
    };
    store.park(&[parked]).await.unwrap();
    store.release(&[stage.lease(Who::Leased)], waiting::NUMBER_RULE, None).await.unwrap();
    let mut wait = Vec::new();
    for who in [Who::Queued, Who::Leased] {
        let sql =
            "select q.at from due q join lead l on q.lead_id = l.lead_id and q.at = l.not_before where q.lead_id = $1";
        wait.push(stage.database.sql.query_one(sql, &[&stage.lead(who)]).await.unwrap().get(0));
    }
    assert_eq!(stage.broken(&[]).await, Vec::<String>::new());
    wait.try_into().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_refused_waits_by_what_is_known_when_it_is_put_away() {
    let theatre = Theatre::open().await;
    let now = theatre.stage.now;
    let soon = now + TimeDelta::minutes(1);
    let told = now + TimeDelta::hours(1);
    // The rule was lifted since: nobody waits for the instant that it named.
    let [parked, released] = put_away(&theatre, told).await;
    assert!(parked < soon && released < soon, "{parked}, {released}");
    // It was made longer.
    rule(&theatre, "null", 1, "100 days").await;
    let [parked, released] = put_away(&theatre, told).await;
    assert!(parked > told && released > told, "{parked}, {released}");
    theatre.close().await;
}
