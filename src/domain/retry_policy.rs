//! Owns how long a lead waits after an attempt that did not reach anybody. Does not own whether it
//! is called again at all: attempt limits, number rules and calling hours stand elsewhere.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::domain::outcome::Outcome;

/// Most delays that one outcome can have.
pub const DELAYS_MAX: usize = 20;
/// Longest delay.
pub const DELAY_MAX: Duration = Duration::from_hours(365 * 24);
/// Shortest delay after UNKNOWN: its call may still be ringing somewhere, so it is never repeated
/// at once.
pub const UNKNOWN_DELAY_MIN: Duration = Duration::from_secs(1);
/// The outcomes that a delay retries, in the order of the product's table.
pub const RETRIED: [Outcome; 7] = [
    Outcome::NoAnswer,
    Outcome::Voicemail,
    Outcome::Busy,
    Outcome::Abandoned,
    Outcome::Failed,
    Outcome::NotPlaced,
    Outcome::Unknown,
];
/// NOT_PLACED in a row after which a lead becomes FAILED instead of waiting again.
pub const NOT_PLACED_IN_A_ROW_MAX: u32 = 20;

/// The delays of a campaign: per outcome a list, of which the last repeats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<StoredDelays>", into = "Vec<StoredDelays>")]
pub struct RetryPolicy {
    overrides: Vec<(Outcome, Vec<Duration>)>,
}

/// Why a retry policy is refused. Each carries the outcome, which names the entry: there is one per
/// outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RetryPolicyError {
    /// The outcome ends the lead's calls, or a promise decides instead.
    #[error("{0} is never retried by a delay")]
    NotRetried(Outcome),
    /// The outcome is listed more than once.
    #[error("{0} has more than one list of delays")]
    Duplicate(Outcome),
    /// No delay, or more than [`DELAYS_MAX`].
    #[error("{0} needs 1 to {DELAYS_MAX} delays")]
    DelayCount(Outcome),
    /// A delay out of bounds, at this index of the outcome's list.
    #[error("delay {1} of {0} is over 365 days, or under 1 s for UNKNOWN")]
    DelayOutOfBounds(Outcome, usize),
    /// A delay that is not a whole number of milliseconds, at this index of the outcome's list.
    #[error("delay {1} of {0} is finer than a millisecond")]
    DelayTooFine(Outcome, usize),
}

impl RetryPolicy {
    /// The defaults, with the lists of these outcomes replaced. Delays are whole milliseconds, 0 to
    /// [`DELAY_MAX`], and at least [`UNKNOWN_DELAY_MIN`] for UNKNOWN.
    ///
    /// # Errors
    /// The first entry that breaks a rule, see [`RetryPolicyError`].
    pub fn new(overrides: Vec<(Outcome, Vec<Duration>)>) -> Result<Self, RetryPolicyError> {
        for (index, (outcome, delays)) in overrides.iter().enumerate() {
            if overrides[..index].iter().any(|(earlier, _)| earlier == outcome) {
                return Err(RetryPolicyError::Duplicate(*outcome));
            }
            check(*outcome, delays)?;
        }
        Ok(Self { overrides })
    }

    /// The delays in force for an outcome, never empty; `None` for outcomes that no delay retries.
    pub fn delays(&self, outcome: Outcome) -> Option<&[Duration]> {
        let own = self.overrides.iter().find(|(listed, _)| *listed == outcome);
        own.map(|(_, delays)| delays.as_slice()).or_else(|| default_delays(outcome))
    }

    /// How long to wait after an outcome that has now occurred `streak` times in a row (from 1; 0
    /// counts as 1). `None` for outcomes that no delay retries.
    ///
    /// Knows no end: [`NOT_PLACED_IN_A_ROW_MAX`] and the attempt limit are the caller's to hold.
    pub fn delay(&self, outcome: Outcome, streak: u32) -> Option<Duration> {
        let delays = self.delays(outcome)?;
        let index = usize::try_from(streak.saturating_sub(1)).unwrap_or(usize::MAX);
        delays.get(index).or(delays.last()).copied()
    }

    /// What the user set, in the user's order; the other outcomes keep their defaults.
    pub fn overrides(&self) -> &[(Outcome, Vec<Duration>)] {
        &self.overrides
    }
}

/// The delays of an outcome unless a campaign sets its own; `None` for outcomes that no delay
/// retries.
///
/// ABANDONED: 72 h after a call that reached a person and no agent (UK guidance). NOT_PLACED
/// doubles, so that an outage of the provider is probed ever more gently.
pub fn default_delays(outcome: Outcome) -> Option<&'static [Duration]> {
    const NOT_PLACED: [Duration; 6] = [
        Duration::from_secs(30),
        Duration::from_mins(1),
        Duration::from_mins(2),
        Duration::from_mins(4),
        Duration::from_mins(8),
        Duration::from_mins(15),
    ];
    match outcome {
        Outcome::NoAnswer => Some(const { &[Duration::from_hours(2)] }),
        Outcome::Voicemail => Some(const { &[Duration::from_hours(4)] }),
        Outcome::Busy => Some(const { &[Duration::from_mins(15)] }),
        Outcome::Failed => Some(const { &[Duration::from_mins(10)] }),
        Outcome::Unknown => Some(const { &[Duration::from_hours(1)] }),
        Outcome::Abandoned => Some(const { &[Duration::from_hours(72)] }),
        Outcome::NotPlaced => Some(const { &NOT_PLACED }),
        Outcome::IntentYes
        | Outcome::IntentNo
        | Outcome::CallbackRequested
        | Outcome::DoNotCall
        | Outcome::InvalidNumber => None,
    }
}

fn check(outcome: Outcome, delays: &[Duration]) -> Result<(), RetryPolicyError> {
    if default_delays(outcome).is_none() {
        return Err(RetryPolicyError::NotRetried(outcome));
    }
    if delays.is_empty() || delays.len() > DELAYS_MAX {
        return Err(RetryPolicyError::DelayCount(outcome));
    }
    let delay_min = if outcome == Outcome::Unknown { UNKNOWN_DELAY_MIN } else { Duration::ZERO };
    for (index, delay) in delays.iter().enumerate() {
        if !(delay_min..=DELAY_MAX).contains(delay) {
            return Err(RetryPolicyError::DelayOutOfBounds(outcome, index));
        }
        if delay.subsec_nanos() % 1_000_000 != 0 {
            return Err(RetryPolicyError::DelayTooFine(outcome, index));
        }
    }
    Ok(())
}

/// One entry as stored: `{"outcome": "BUSY", "delays_ms": [900000]}`. Unknown fields are refused:
/// one that a newer replica wrote could be a rule that this one would break.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredDelays {
    outcome: Outcome,
    delays_ms: Vec<u64>,
}

impl From<RetryPolicy> for Vec<StoredDelays> {
    fn from(policy: RetryPolicy) -> Self {
        // Lossless: whole milliseconds, at most a year of them.
        let millis = |delay: &Duration| delay.as_millis() as u64;
        let entries = policy.overrides.into_iter();
        entries
            .map(|(outcome, delays)| StoredDelays { outcome, delays_ms: delays.iter().map(millis).collect() })
            .collect()
    }
}

impl TryFrom<Vec<StoredDelays>> for RetryPolicy {
    type Error = RetryPolicyError;

    fn try_from(stored: Vec<StoredDelays>) -> Result<Self, RetryPolicyError> {
        let delays = |ms: Vec<u64>| ms.into_iter().map(Duration::from_millis).collect();
        Self::new(stored.into_iter().map(|entry| (entry.outcome, delays(entry.delays_ms))).collect())
    }
}

#[cfg(test)]
mod tests {
    use Outcome::*;
    use proptest::prelude::*;

    use super::*;

    const NOT_RETRIED: [Outcome; 5] = [IntentYes, IntentNo, CallbackRequested, DoNotCall, InvalidNumber];

    #[test]
    fn the_defaults_are_those_of_the_product() {
        let policy = RetryPolicy::default();
        for (outcome, minutes) in
            [(NoAnswer, 120), (Voicemail, 240), (Busy, 15), (Failed, 10), (Unknown, 60), (Abandoned, 4320)]
        {
            for streak in [0, 1, 2, u32::MAX] {
                assert_eq!(policy.delay(outcome, streak), Some(Duration::from_mins(minutes)));
            }
        }
    }

    #[test]
    fn not_placed_doubles_from_thirty_seconds_to_a_quarter_of_an_hour() {
        let delay = |streak| RetryPolicy::default().delay(NotPlaced, streak).unwrap().as_secs();
        let delays: Vec<u64> = (1..=8).map(delay).collect();
        assert_eq!(delays, [30, 60, 120, 240, 480, 900, 900, 900]);
        assert_eq!(delay(NOT_PLACED_IN_A_ROW_MAX), 900);
    }

    #[test]
    fn outcomes_that_end_a_lead_or_promise_a_callback_have_no_delay_and_take_none() {
        for outcome in NOT_RETRIED {
            assert_eq!(RetryPolicy::default().delay(outcome, 1), None);
            let refused = RetryPolicy::new(vec![(outcome, vec![Duration::from_secs(1)])]);
            assert_eq!(refused, Err(RetryPolicyError::NotRetried(outcome)));
        }
    }

    #[test]
    fn an_own_list_replaces_the_default_and_its_last_delay_repeats() {
        let delays = vec![Duration::ZERO, Duration::from_secs(5)];
        let policy = RetryPolicy::new(vec![(Busy, delays)]).unwrap();
        let seconds = |streak| policy.delay(Busy, streak).unwrap().as_secs();
        assert_eq!([1, 2, 3, 99].map(seconds), [0, 5, 5, 5]);
        assert_eq!(policy.delay(NoAnswer, 1), RetryPolicy::default().delay(NoAnswer, 1));
    }

    #[test]
    fn unknown_is_never_retried_at_once() {
        let policy = |delay| RetryPolicy::new(vec![(Unknown, vec![UNKNOWN_DELAY_MIN, delay])]);
        let refused = RetryPolicyError::DelayOutOfBounds(Unknown, 1);
        assert_eq!(policy(Duration::ZERO), Err(refused));
        assert_eq!(policy(Duration::from_millis(999)), Err(refused));
        assert!(policy(UNKNOWN_DELAY_MIN).is_ok());
    }

    #[test]
    fn each_refusal_names_its_outcome() {
        let second = Duration::from_secs(1);
        for (overrides, error) in [
            (vec![(Busy, vec![])], RetryPolicyError::DelayCount(Busy)),
            (vec![(Busy, vec![second; 21])], RetryPolicyError::DelayCount(Busy)),
            (vec![(Busy, vec![second]); 2], RetryPolicyError::Duplicate(Busy)),
            (vec![(Failed, vec![second, DELAY_MAX + second])], RetryPolicyError::DelayOutOfBounds(Failed, 1)),
            (vec![(Failed, vec![Duration::from_nanos(1)])], RetryPolicyError::DelayTooFine(Failed, 0)),
        ] {
            assert_eq!(RetryPolicy::new(overrides), Err(error));
        }
        assert!(RetryPolicy::new(vec![(Busy, vec![DELAY_MAX; 20])]).is_ok());
    }

    #[test]
    fn the_stored_form_is_readable_and_checked_when_read() {
        let policy = RetryPolicy::new(vec![(Busy, vec![Duration::from_millis(1500)])]).unwrap();
        let stored = r#"[{"outcome":"BUSY","delays_ms":[1500]}]"#;
        assert_eq!(serde_json::to_string(&policy).unwrap(), stored);
        assert_eq!(serde_json::to_string(&RetryPolicy::default()).unwrap(), "[]");
        for bad in [
            r#"[{"outcome":"UNKNOWN","delays_ms":[0]}]"#,
            r#"[{"outcome":"BUSY","delays_ms":[]}]"#,
            r#"[{"outcome":"BUSY","delays_ms":[1],"limit":2}]"#,
        ] {
            assert!(serde_json::from_str::<RetryPolicy>(bad).is_err(), "{bad}");
        }
    }

    fn lists() -> impl Strategy<Value = Vec<(Outcome, Vec<Duration>)>> {
        let delay = (1_000_u64..=365 * 86_400_000).prop_map(Duration::from_millis);
        let list = prop::collection::vec(delay, 1..=DELAYS_MAX);
        let outcomes = prop::sample::subsequence(RETRIED.to_vec(), 0..=RETRIED.len());
        (outcomes.prop_shuffle(), prop::collection::vec(list, RETRIED.len()))
            .prop_map(|(outcomes, lists)| outcomes.into_iter().zip(lists).collect())
    }

    proptest! {
        #[test]
        fn every_policy_is_shown_and_stored_as_it_was_set(overrides in lists()) {
            let policy = RetryPolicy::new(overrides.clone()).unwrap();
            prop_assert_eq!(policy.overrides(), overrides.as_slice());
            let stored = serde_json::to_string(&policy).unwrap();
            prop_assert_eq!(serde_json::from_str::<RetryPolicy>(&stored).unwrap(), policy);
        }

        #[test]
        fn every_retried_outcome_always_has_a_delay(overrides in lists(), streak in any::<u32>()) {
            let policy = RetryPolicy::new(overrides.clone()).unwrap();
            for outcome in RETRIED {
                prop_assert!(policy.delay(outcome, streak).is_some());
                prop_assert!(!policy.delays(outcome).unwrap().is_empty());
            }
            for (outcome, delays) in overrides {
                let index = (streak.max(1) as usize - 1).min(delays.len() - 1);
                prop_assert_eq!(policy.delay(outcome, streak), Some(delays[index]));
            }
        }
    }
}
