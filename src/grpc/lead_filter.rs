//! Which leads a request means.

use std::ops::RangeInclusive;

use super::{
    convert::{self, KEY_MAX},
    status::Violations,
};
use crate::{
    domain::{lead::LeadState, outcome::Outcome, time_zone::TimeZone},
    engine::intake::SCORE_MAX,
    pb,
    store::lead_filter::{ATTEMPTS_MAX, LeadFilter},
};

/// The filter, and whether it has a condition at all.
pub fn parse(given: &pb::LeadFilter, bad: &mut Violations) -> (LeadFilter, bool) {
    let (least, most) =
        bounds((given.min_score, given.max_score), &(0..=SCORE_MAX), ["filter.min_score", "filter.max_score"], bad);
    let zone = match given.time_zone.as_str() {
        "" => None,
        name => match TimeZone::parse(name) {
            Ok(zone) => Some(zone.name().to_owned()),
            Err(error) => bad.none("filter.time_zone", error.to_string()),
        },
    };
    let rank = |score: i32| i16::try_from(999 - score).unwrap_or_default();
    let filter = LeadFilter {
        states: codes(&given.states, LeadState::from_code, LeadState::code, "filter.states", bad),
        ranks: (rank(most), rank(least)),
        zone,
        last_outcomes: codes(&given.last_outcomes, Outcome::from_code, Outcome::code, "filter.last_outcomes", bad),
        created_after: given.created_after.and_then(|at| convert::instant(at, "filter.created_after", bad)),
        created_before: given.created_before.and_then(|at| convert::instant(at, "filter.created_before", bad)),
        attempts: bounds(
            (given.min_attempts, given.max_attempts),
            &(0..=ATTEMPTS_MAX),
            ["filter.min_attempts", "filter.max_attempts"],
            bad,
        ),
        external_id_prefix: convert::optional_text(
            &given.external_id_prefix,
            KEY_MAX,
            "filter.external_id_prefix",
            bad,
        ),
    };
    (filter, *given != pb::LeadFilter::default())
}

/// Codes of an enum: each known, none twice.
fn codes<T: Copy>(
    given: &[i32],
    known: impl Fn(i16) -> Option<T> + Copy,
    code: impl Fn(T) -> i16,
    field: &str,
    bad: &mut Violations,
) -> Vec<i16> {
    let mut codes = Vec::new();
    for (index, value) in given.iter().enumerate() {
        let field = format!("{field}[{index}]");
        let Some(one) = convert::code(*value, known, &field, bad).map(&code) else { continue };
        if codes.contains(&one) {
            bad.add(field, "is repeated");
        } else {
            codes.push(one);
        }
    }
    codes
}

/// Two bounds inside their range, in order; absent: those of the range.
fn bounds(
    given: (Option<i32>, Option<i32>),
    range: &RangeInclusive<i32>,
    fields: [&str; 2],
    bad: &mut Violations,
) -> (i32, i32) {
    let mut bound = |value: Option<i32>, otherwise, field: &str| match value {
        Some(value) => convert::number(value, range, field, bad),
        None => otherwise,
    };
    let least = bound(given.0, *range.start(), fields[0]);
    let most = bound(given.1, *range.end(), fields[1]);
    if least > most && range.contains(&least) && range.contains(&most) {
        bad.add(fields[1], format!("must not be under {}", fields[0].trim_start_matches("filter.")));
    }
    (least, most)
}
