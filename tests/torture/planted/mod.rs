//! Tests of the checker: a small clean history, on which it is silent, and violations planted into it one by one, each of
//! which it must find, alone. Beside each plant its boundary: just inside is silent.

mod acts;
mod intervals;
mod paces;
mod records;
mod slots;
mod story;

use crate::{checker::check, history::History};

/// Every trial, by name.
pub fn all() -> impl Iterator<Item = &'static (&'static str, fn())> {
    intervals::ALL.iter().chain(acts::ALL).chain(records::ALL).chain(slots::ALL).chain(paces::ALL)
}

/// The checker finds exactly this guarantee broken, and says so in these words.
#[track_caller]
fn fires(guarantee: u8, words: &str, plant: impl FnOnce(&mut History)) {
    let mut history = story::clean();
    plant(&mut history);
    let violations = check(&history).violations;
    assert!(violations.iter().all(|v| v.guarantee == guarantee), "only {guarantee} is broken: {violations:#?}");
    assert!(violations.iter().any(|v| v.text.contains(words)), "nobody says {words:?}: {violations:#?}");
}

/// The checker finds nothing.
#[track_caller]
fn silent(change: impl FnOnce(&mut History)) {
    let mut history = story::clean();
    change(&mut history);
    let violations = check(&history).violations;
    assert!(violations.is_empty(), "{violations:#?}");
}
