//! Owns how long a lead waits after an attempt that did not reach anybody. Does not own whether it
//! is called again at all: attempt limits, number rules and calling hours stand elsewhere.

use std::{ops::RangeInclusive, time::Duration};

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

/// How often in a row one outcome may come before it is not retried any more: bounds.
pub const LIMIT: RangeInclusive<u32> = 1..=100;

/// The retries of a campaign: per outcome a list of delays, of which the last repeats, and perhaps a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<StoredRule>", into = "Vec<StoredRule>")]
pub struct RetryPolicy {
    overrides: Vec<RetryRule>,
}

/// When one outcome is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryRule {
    /// The outcome.
    pub outcome: Outcome,
    /// After the first, second, ... time in a row; the last repeats.
    pub delays: Vec<Duration>,
    /// From so many in a row on it is not retried before a reset ([`LIMIT`]); none: `max_attempts` alone counts.
    pub limit: Option<u32>,
}

impl From<(Outcome, Vec<Duration>)> for RetryRule {
    fn from((outcome, delays): (Outcome, Vec<Duration>)) -> RetryRule {
        RetryRule { outcome, delays, limit: None }
    }
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
    /// A limit out of bounds, or one for NOT_PLACED, whose limit is [`NOT_PLACED_IN_A_ROW_MAX`].
    #[error("the limit of {0} is not 1 to 100, or it is NOT_PLACED, whose limit is fixed")]
    LimitOutOfBounds(Outcome),
}

impl RetryPolicy {
    /// The defaults, with the rules of these outcomes replaced. Delays are whole milliseconds, 0 to
    /// [`DELAY_MAX`], and at least [`UNKNOWN_DELAY_MIN`] for UNKNOWN.
    ///
    /// # Errors
    /// The first entry that breaks a rule, see [`RetryPolicyError`].
    pub fn new(overrides: Vec<impl Into<RetryRule>>) -> Result<Self, RetryPolicyError> {
        let overrides: Vec<RetryRule> = overrides.into_iter().map(Into::into).collect();
        for (index, rule) in overrides.iter().enumerate() {
            if overrides[..index].iter().any(|earlier| earlier.outcome == rule.outcome) {
                return Err(RetryPolicyError::Duplicate(rule.outcome));
            }
            check(rule)?;
        }
        Ok(Self { overrides })
    }

    fn own(&self, outcome: Outcome) -> Option<&RetryRule> {
        self.overrides.iter().find(|rule| rule.outcome == outcome)
    }

    /// The delays in force for an outcome, never empty; `None` for outcomes that no delay retries.
    pub fn delays(&self, outcome: Outcome) -> Option<&[Duration]> {
        self.own(outcome).map(|rule| rule.delays.as_slice()).or_else(|| default_delays(outcome))
    }

    /// From how many in a row on an outcome is not retried any more; `None`: as long as attempts are left.
    pub fn limit(&self, outcome: Outcome) -> Option<u32> {
        self.own(outcome).and_then(|rule| rule.limit)
    }

    /// Whether an outcome that came `streak` times in a row is not retried before a reset. The queue's statements
    /// decide the same by `retry_is_over`.
    pub fn is_over(&self, outcome: Outcome, streak: u32) -> bool {
        match outcome {
            Outcome::InvalidNumber => true,
            Outcome::NotPlaced => streak >= NOT_PLACED_IN_A_ROW_MAX,
            _ => self.limit(outcome).is_some_and(|limit| streak >= limit),
        }
    }

    /// Whether this policy retries an outcome more often than another one.
    pub fn goes_beyond(&self, other: &RetryPolicy) -> bool {
        let longer = |outcome| match (self.limit(outcome), other.limit(outcome)) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(own), Some(others)) => own > others,
        };
        RETRIED.into_iter().any(longer)
    }

    /// How long to wait after an outcome that has now occurred `streak` times in a row (from 1; 0
    /// counts as 1). `None` for outcomes that no delay retries.
    ///
    /// Knows no end: [`RetryPolicy::is_over`] and the attempt limit are the caller's to hold.
    pub fn delay(&self, outcome: Outcome, streak: u32) -> Option<Duration> {
        let delays = self.delays(outcome)?;
        let index = usize::try_from(streak.saturating_sub(1)).unwrap_or(usize::MAX);
        delays.get(index).or(delays.last()).copied()
    }

    /// What the user set, in the user's order; the other outcomes keep their defaults.
    pub fn overrides(&self) -> &[RetryRule] {
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

fn check(rule: &RetryRule) -> Result<(), RetryPolicyError> {
    let RetryRule { outcome, ref delays, limit } = *rule;
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
    if limit.is_some_and(|limit| outcome == Outcome::NotPlaced || !LIMIT.contains(&limit)) {
        return Err(RetryPolicyError::LimitOutOfBounds(outcome));
    }
    Ok(())
}

/// One entry as stored: `{"outcome": "BUSY", "delays_ms": [900000], "limit": 3}`. Unknown fields are refused:
/// one that a newer replica wrote could be a rule that this one would break.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredRule {
    outcome: Outcome,
    delays_ms: Vec<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
}

impl From<RetryPolicy> for Vec<StoredRule> {
    fn from(policy: RetryPolicy) -> Self {
        // Lossless: whole milliseconds, at most a year of them.
        let millis = |delay: &Duration| delay.as_millis() as u64;
        let stored = |rule: RetryRule| StoredRule {
            outcome: rule.outcome,
            delays_ms: rule.delays.iter().map(millis).collect(),
            limit: rule.limit,
        };
        policy.overrides.into_iter().map(stored).collect()
    }
}

impl TryFrom<Vec<StoredRule>> for RetryPolicy {
    type Error = RetryPolicyError;

    fn try_from(stored: Vec<StoredRule>) -> Result<Self, RetryPolicyError> {
        let delays = |ms: Vec<u64>| ms.into_iter().map(Duration::from_millis).collect();
        let rule = |stored: StoredRule| RetryRule {
            outcome: stored.outcome,
            delays: delays(stored.delays_ms),
            limit: stored.limit,
        };
        Self::new(stored.into_iter().map(rule).collect())
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
            (vec![(Busy, Vec::new())], RetryPolicyError::DelayCount(Busy)),
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
            r#"[{"outcome":"BUSY","delays_ms":[1],"limit":0}]"#,
            r#"[{"outcome":"BUSY","delays_ms":[1],"limits":2}]"#,
        ] {
            assert!(serde_json::from_str::<RetryPolicy>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn from_its_limit_in_a_row_on_an_outcome_is_not_retried_and_without_one_always() {
        let busy = |limit| RetryRule { outcome: Busy, delays: vec![Duration::from_secs(5)], limit };
        let policy = RetryPolicy::new(vec![busy(Some(3))]).unwrap();
        assert_eq!([1, 2, 3, 4].map(|streak| policy.is_over(Busy, streak)), [false, false, true, true]);
        assert!(!policy.is_over(NoAnswer, u32::MAX));
        assert!(policy.is_over(NotPlaced, NOT_PLACED_IN_A_ROW_MAX) && !policy.is_over(NotPlaced, 19));
        assert!(policy.is_over(InvalidNumber, 1));
        let stored = r#"[{"outcome":"BUSY","delays_ms":[5000],"limit":3}]"#;
        assert_eq!(serde_json::to_string(&policy).unwrap(), stored);
        assert_eq!(serde_json::from_str::<RetryPolicy>(stored).unwrap(), policy);
        for limit in [0, 101] {
            let refused = RetryPolicy::new(vec![busy(Some(limit))]);
            assert_eq!(refused, Err(RetryPolicyError::LimitOutOfBounds(Busy)));
        }
        let fixed = RetryRule { outcome: NotPlaced, ..busy(Some(5)) };
        assert_eq!(RetryPolicy::new(vec![fixed]), Err(RetryPolicyError::LimitOutOfBounds(NotPlaced)));
    }

    #[test]
    fn a_policy_goes_beyond_another_where_a_limit_is_higher_or_gone() {
        let policy = |limit| RetryPolicy::new(vec![RetryRule { outcome: Busy, delays: vec![Duration::ZERO], limit }]);
        let [none, two, three] = [None, Some(2), Some(3)].map(|limit| policy(limit).unwrap());
        assert!(three.goes_beyond(&two) && none.goes_beyond(&three) && RetryPolicy::default().goes_beyond(&two));
        assert!(!two.goes_beyond(&three) && !two.goes_beyond(&none) && !two.goes_beyond(&two));
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
            let rules: Vec<RetryRule> = overrides.into_iter().map(Into::into).collect();
            prop_assert_eq!(policy.overrides(), rules.as_slice());
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
