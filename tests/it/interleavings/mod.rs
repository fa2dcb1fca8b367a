//! Interleavings: every pair of mutations, one held open in its transaction while the other runs, in both orders. What two
//! make of a database at once, they would have made one after the other; and no rule is ever broken.

mod actions;
mod changes;
mod checks;
mod line;
mod pairs;
mod scene;
mod stage;

use std::time::Instant;

use actions::Action;
use checks::difference;
use dialplane::store::leases::{BeginVerdict, GrantVerdict};
use scene::{End, Met, Theatre};

/// Pairs whose second waited for the first, at least: else this proves nothing.
const WAITED_MIN: usize = 300;

/// Pairs that end otherwise at once than one by one, each with its reason.
const OTHERWISE: [(Action, Action, &str); 2] =
    [(Action::Import, Action::SuppressNew, UNKNOWN_NUMBER), (Action::SuppressNew, Action::Import, UNKNOWN_NUMBER)];
const UNKNOWN_NUMBER: &str =
    "neither sees a number that is new to both: its lead is not blocked, but every grant of it is refused";

/// What a matrix found out.
#[derive(Default)]
struct Report {
    wrong: Vec<String>,
    waited: Vec<(Action, Action)>,
}

/// Rules of single pairs that hold besides the picture.
fn promises_broken(first: Action, second: Action, met: &Met) -> Option<&'static str> {
    let permitted = met.second.permit == Some(BeginVerdict::Permitted);
    if second == Action::Begin && Action::ENDING_LEASED.contains(&first) && permitted {
        return Some("a permit for a lease that was over");
    }
    let granted = met.second.grants.contains(&GrantVerdict::Granted);
    if first == Action::EngineCap && granted {
        return Some("a grant above the cap in force");
    }
    if [Action::Pause, Action::CampaignCap, Action::Bury].contains(&first) && second == Action::Grant && granted {
        return Some("a grant that was forbidden");
    }
    None
}

async fn play_pair(theatre: &Theatre, first: Action, second: Action, alone: &[String], report: &mut Report) {
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
            if picture != alone {
                say(end, format!("it should be as if the second were alone\n{}", difference(alone, &picture)));
            }
            continue;
        }
        if let Some(promise) = promises_broken(first, second, &met).filter(|_| met.waited) {
            say(end, promise.into());
        }
        let in_order = theatre.one_by_one(&[first, second]).await.unwrap();
        let excused = OTHERWISE.iter().any(|(one, other, _)| (*one, *other) == (first, second));
        let other_way = !met.waited && picture == theatre.one_by_one(&[second, first]).await.unwrap();
        if (picture != in_order && !other_way) != excused {
            say(end, format!("it should be as one by one\n{}", difference(&in_order, &picture)));
        }
        if met.waited {
            report.waited.push((first, second));
        }
    }
}

/// The pairs whose first is one of every `of`th action from `from` on.
async fn play_some(from: usize, of: usize) -> Report {
    let theatre = Theatre::open().await;
    let mut report = Report::default();
    let mut alone = Vec::new();
    for action in Action::ALL {
        alone.push(theatre.one_by_one(&[action]).await.unwrap());
    }
    for first in Action::ALL.into_iter().skip(from).step_by(of) {
        for (second, alone) in Action::ALL.into_iter().zip(&alone) {
            play_pair(&theatre, first, second, alone, &mut report).await;
        }
        theatre.stage.sweep().await;
    }
    theatre.close().await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_mutations_keeps_the_invariants() {
    let started = Instant::now();
    let parts = (tokio::spawn(play_some(0, 2)), tokio::spawn(play_some(1, 2)));
    let (mut report, other) = (parts.0.await.unwrap(), parts.1.await.unwrap());
    report.wrong.extend(other.wrong);
    report.waited.extend(other.waited);
    let pairs = Action::ALL.len() * Action::ALL.len();
    println!("{pairs} pairs, {} of them waited, in {:?}", report.waited.len(), started.elapsed());
    assert!(report.wrong.is_empty(), "{} of {pairs}:\n{}", report.wrong.len(), report.wrong.join("\n"));
    assert!(report.waited.len() >= WAITED_MIN, "only {} pairs waited", report.waited.len());
}
