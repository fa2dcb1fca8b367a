//! Leads that are leased as they are found: the same checks as a grant's, and what is not leased is READY. `Retry` and a fresh lead
//! have slots that wait, the other fresh lead has none.

use std::mem::{Discriminant, discriminant};

use dialplane::store::leases::GrantVerdict::{
    self, CampaignCap, EngineCap, Granted, Moved, NumberBusy, NumberRule, Provider, Suppressed,
};

use super::{
    actions::{Action, Answer},
    pairs::{LIVE, meet},
    scene::{End, Theatre},
    stage::Who,
};

/// READY when a scene begins.
const READY: i64 = 4;
/// Found by a refill.
const FOUND: i64 = 3;

impl Theatre {
    async fn ready(&self) -> i64 {
        self.count("select count(*) from ready_lead").await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lead_is_found_and_leased_once() {
    let theatre = Theatre::open().await;
    for other in [Action::LeaseAtOnce, Action::Refill] {
        let met = meet(&theatre, Action::LeaseAtOnce, other).await;
        assert_eq!((met.first.grants, met.first.leads), (vec![Granted, Granted], 1));
        assert_eq!((met.second.grants, met.second.leads), (Vec::new(), 0));
        assert_eq!((theatre.slots().await, theatre.ready().await), (LIVE + 2, READY + 1));
        assert_eq!((theatre.leases_of(Who::Retry).await, theatre.leases_of(Who::Queued).await), (1, 0));
    }
    let met = theatre.meet(Action::LeaseAtOnce, Action::LeaseAtOnce, End::Rollback).await.unwrap();
    assert_eq!((met.second.grants, met.second.leads), (vec![Granted, Granted], 1));
    assert_eq!((theatre.slots().await, theatre.ready().await), (LIVE + 2, READY + 1));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waited_leases_nothing_that_was_taken_away() {
    let theatre = Theatre::open().await;
    let met = meet(&theatre, Action::EngineCap, Action::LeaseAtOnce).await;
    assert_eq!((met.second.grants, theatre.ready().await), (vec![EngineCap, EngineCap], READY + FOUND));
    let met = meet(&theatre, Action::TakeOver, Action::LeaseAtOnce).await;
    assert_eq!((met.second.grants, theatre.ready().await), (vec![Moved, Moved], READY + FOUND));
    for change in [Action::CampaignCap, Action::Pause, Action::Bury] {
        let met = meet(&theatre, change, Action::LeaseAtOnce).await;
        assert_eq!(met.second, Answer::refused("no refill"), "{change:?}");
    }
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_waits_gets_nobody_whom_a_grant_would_refuse() {
    let theatre = Theatre::open().await;
    let number = Who::Fresh.number().digits();
    let later = NumberRule(theatre.stage.now);
    let cases = [
        ("update setting set max_concurrency = 5".to_owned(), [Granted, EngineCap]),
        ("update campaign set max_concurrency = 5".to_owned(), [Granted, CampaignCap]),
        (format!("insert into suppression values ({number}, 'TEST', now())"), [Granted, Suppressed]),
        (
            format!(
                "update lease set number = {number} where ctid = (select min(ctid) from lease where begun_at is null)"
            ),
            [Granted, NumberBusy],
        ),
        ("insert into number_rule values (0, 1, null, 1, '1 day')".to_owned(), [later, Granted]),
        (
            "update campaign set breaker_open_since = now(), next_probe_at = now() - interval '1 s'".to_owned(),
            [Provider, Provider],
        ),
    ];
    for (change, expected) in cases {
        let met = theatre.changed(&change, Action::LeaseAtOnce).await.unwrap();
        let kinds = |verdicts: &[GrantVerdict]| verdicts.iter().map(discriminant).collect::<Vec<Discriminant<_>>>();
        assert_eq!(kinds(&met.grants), kinds(&expected), "{change}: {:?}", met.grants);
        let granted = i64::try_from(met.granted.len()).unwrap();
        assert_eq!(
            (theatre.slots().await, theatre.ready().await),
            (LIVE + granted, READY + FOUND - granted),
            "{change}"
        );
    }
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_given_up_leases_nothing() {
    let theatre = Theatre::open().await;
    let refill = theatre.asks_too_late().await.unwrap();
    assert_eq!((refill.tried.len(), refill.ready.len()), (0, 3));
    assert_eq!((theatre.slots().await, theatre.ready().await), (LIVE, READY + FOUND));
    theatre.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_begins_again_when_a_lead_changed_before_it_was_leased() {
    let theatre = Theatre::open().await;
    let change = format!("update lead set updated_at = now() where lead_id = '{}'", theatre.stage.lead(Who::Fresh));
    let answer = theatre.overtaken(&change, Action::LeaseAtOnce).await.unwrap();
    assert_eq!((answer.grants, answer.leads, theatre.tried_again()), (vec![Granted, Granted], 1, 1));
    assert_eq!((theatre.slots().await, theatre.ready().await), (LIVE + 2, READY + 1));
    assert_eq!(theatre.stage.broken(&answer.granted).await, Vec::<String>::new());
    theatre.close().await;
}

/// A row that somebody files while the search is on, due before what was found: the next search must begin at it.
#[tokio::test(flavor = "multi_thread")]
async fn the_bound_of_the_due_rows_passes_nothing_that_was_filed_during_the_search() {
    let theatre = Theatre::open().await;
    let file = format!(
        "insert into due (campaign_id, lane, at, lead_id, epoch, state, reason) \
         select campaign_id, 1, min(at) - interval '1 millisecond', '{}', 0, 6, 1 from due \
         where campaign_id = {} and lane = 1 group by campaign_id",
        theatre.stage.lead(Who::Blocked),
        theatre.stage.one
    );
    let answer = theatre.overtaken(&file, Action::LeaseAtOnce).await.unwrap();
    assert_eq!((answer.grants, answer.leads), (vec![Granted, Granted], 1));
    let filed = "select count(*) from due q join gauge g using (campaign_id) where lane = 1 and at >= waiting_from and reason = 1";
    let below = "select count(*) from due q join gauge g using (campaign_id) where lane = 1 and at < waiting_from";
    assert_eq!((theatre.count(filed).await, theatre.count(below).await), (1, 0));
    theatre.close().await;
}
