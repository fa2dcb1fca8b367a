//! Interleavings: every pair of mutations, one held open in its transaction while the other runs, in both orders. What two
//! make of a database at once, they would have made one after the other; and no rule is ever broken.

mod actions;
mod at_once;
mod changes;
mod checks;
mod line;
mod numbers;
mod pairs;
mod scene;
mod stage;

use std::time::Instant;

use actions::Action;
use checks::difference;
use dialplane::store::{leases::GrantVerdict, permits::BeginVerdict};
use scene::{End, Met, Theatre};
use stage::{Stage, Who};

/// Pairs whose second waited for the first, at least: else this proves nothing.
const WAITED_MIN: usize = 400;
/// Scenes in which the first was stopped half way, at least.
const STOPPED_MIN: usize = 1200;

/// What a matrix found out.
#[derive(Default)]
struct Report {
    wrong: Vec<String>,
    waited: Vec<(Action, Action)>,
    again: usize,
}

/// Rules of single pairs that hold besides the picture.
fn promises_broken(first: Action, second: Action, met: &Met) -> Option<&'static str> {
    let permitted = met.second.permit == Some(BeginVerdict::Permitted);
    if second == Action::Begin && Action::ENDING_LEASED.contains(&first) && permitted {
        return Some("a permit for a lease that was over");
    }
    if first == Action::NumberRules && permitted {
        return Some("a permit against a number rule");
    }
    let granted = met.second.grants.contains(&GrantVerdict::Granted);
    if first == Action::EngineCap && granted {
        return Some("a grant above the cap in force");
    }
    let grants = [Action::Grant, Action::LeaseAtOnce].contains(&second);
    if [Action::Pause, Action::CampaignCap, Action::Bury].contains(&first) && grants && granted {
        return Some("a grant that was forbidden");
    }
    None
}

async fn play_pair(theatre: &Theatre, first: Action, second: Action, report: &mut Report) {
    let mut say = |end: End, what: String| report.wrong.push(format!("{first:?}, {second:?}, {end:?}: {what}"));
    for end in [End::Commit, End::Rollback] {
        let met = match theatre.meet(first, second, end).await {
            Ok(met) => met,
            Err(error) => {
                say(end, error.to_string());
                continue;
            }
        };
        let broken = theatre.stage.broken(&met.granted).await;
        if !broken.is_empty() {
            say(end, format!("{broken:#?}"));
        }
        let picture = theatre.stage.picture().await;
        if end == End::Rollback {
            let alone = &theatre.one_by_one(&[second]).await.unwrap();
            if picture != *alone {
                say(end, format!("it should be as if the second were alone\n{}", difference(alone, &picture)));
            }
            continue;
        }
        if let Some(promise) = promises_broken(first, second, &met).filter(|_| met.waited) {
            say(end, promise.into());
        }
        let in_order = theatre.one_by_one(&[first, second]).await.unwrap();
        // A search for leads waits for nobody until it is counted: it may not have seen what it waited for then.
        let searched = [Action::Refill, Action::LeaseAtOnce].contains(&second);
        let other_way = (!met.waited || searched) && picture == theatre.one_by_one(&[second, first]).await.unwrap();
        if picture != in_order && !other_way {
            say(end, format!("it should be as one by one\n{}", difference(&in_order, &picture)));
        }
        if met.waited {
            report.waited.push((first, second));
        }
    }
}

/// Plays a scene for every first action, half of them on one stage and half on another.
async fn in_two_parts(play: impl AsyncFn(&Theatre, Action, &mut Report)) -> Report {
    let part = async |from: usize| {
        let theatre = Theatre::open().await;
        let mut report = Report::default();
        for first in Action::ALL.into_iter().skip(from).step_by(2) {
            play(&theatre, first, &mut report).await;
            theatre.stage.sweep().await;
        }
        report.again = theatre.tried_again();
        theatre.close().await;
        report
    };
    let (mut report, other) = tokio::join!(part(0), part(1));
    report.wrong.extend(other.wrong);
    report.waited.extend(other.waited);
    report.again += other.again;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_mutations_keeps_the_invariants() {
    let started = Instant::now();
    let report = in_two_parts(async |theatre, first, report| {
        for second in Action::ALL {
            play_pair(theatre, first, second, report).await;
        }
    })
    .await;
    let pairs = Action::ALL.len() * Action::ALL.len();
    println!("{pairs} pairs, {} of them waited, in {:?}", report.waited.len(), started.elapsed());
    assert!(report.wrong.is_empty(), "{} of {pairs}:\n{}", report.wrong.len(), report.wrong.join("\n"));
    assert!(report.waited.len() >= WAITED_MIN, "only {} pairs waited", report.waited.len());
}

/// Rows at which the first of two is stopped half way.
fn rows(stage: &Stage) -> [String; 4] {
    let gauge = |campaign| format!("select from gauge where campaign_id = {campaign} for update");
    let lead = |who| format!("select from lead where lead_id = '{}' for update", stage.lead(who));
    let lease = |who| format!("select from lease where lease_id = '{}' for update", stage.lease(who));
    [gauge(0), gauge(stage.one), lead(Who::Leased), lease(Who::Leased)]
}

async fn hold_up_pair(theatre: &Theatre, first: Action, second: Action, report: &mut Report) {
    let mut expected = Vec::new();
    for row in rows(&theatre.stage) {
        let mut say = |what: String| report.wrong.push(format!("{first:?}, {second:?}, {row}: {what}"));
        let granted = match theatre.hold_up(&row, first, second).await {
            Ok(None) => continue,
            Ok(Some(granted)) => granted,
            Err(error) => {
                say(error.to_string());
                continue;
            }
        };
        let broken = theatre.stage.broken(&granted).await;
        if !broken.is_empty() {
            say(format!("{broken:#?}"));
        }
        let picture = theatre.stage.picture().await;
        let orders = [[first, second], [second, first]];
        while !expected.contains(&picture) && expected.len() < orders.len() {
            expected.push(theatre.one_by_one(&orders[expected.len()]).await.unwrap());
        }
        if !expected.contains(&picture) {
            say(format!("it is neither order\n{}", difference(&expected[0], &picture)));
        }
        report.waited.push((first, second));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_mutations_that_meets_half_way_ends_as_one_by_one() {
    let started = Instant::now();
    let report = in_two_parts(async |theatre, first, report| {
        for second in Action::ALL {
            hold_up_pair(theatre, first, second, report).await;
        }
    })
    .await;
    println!("{} scenes, {} again, in {:?}", report.waited.len(), report.again, started.elapsed());
    assert!(report.wrong.is_empty(), "{}:\n{}", report.wrong.len(), report.wrong.join("\n"));
    assert!(report.waited.len() >= STOPPED_MIN, "only {} were stopped half way", report.waited.len());
}
