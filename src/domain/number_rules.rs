//! How often and how soon one phone number may be called, over all campaigns. Owns the rules and what follows from a
//! history of calls; the history is the record of attempts, and no reset touches it.
//!
//! Every rule comes down to a [`Limit`]: of the calls with certain outcomes, at most so many within a rolling span. A call
//! that was never placed is no call; one without an answer is.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::outcome::Outcome;

/// Rolling caps at the most.
pub const CAPS_MAX: usize = 8;
/// Calls that a rolling cap allows: bounds.
pub const CAP_CALLS: RangeInclusive<i32> = 1..=100;
/// The period of a rolling cap: bounds.
pub const CAP_PERIOD: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(366 * 24);
/// Gaps and cool-downs: bounds.
pub const GAP: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(366 * 24);
/// How long after its permit an outcome can have happened: no call lasts longer (`campaign::MAX_DURATION`).
pub const CALL_MAX: TimeDelta = TimeDelta::hours(24);

/// At most so many calls within any span of this length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollingCap {
    /// Calls.
    pub max_calls: i32,
    /// Within this span.
    pub period: Duration,
}

/// No call for so long after an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoolDown {
    /// The outcome.
    pub outcome: Outcome,
    /// How long.
    pub lasts: Duration,
}

/// The rules of the engine, or those that a campaign adds. The default is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NumberRules {
    /// Rolling caps; all of them hold.
    pub caps: Vec<RollingCap>,
    /// From permit to permit.
    pub min_gap: Option<Duration>,
    /// From the end of a call in which somebody was talked to.
    pub gap_after_conversation: Option<Duration>,
    /// One per outcome.
    pub cool_downs: Vec<CoolDown>,
}

/// Which rule a [`Limit`] stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberRule {
    /// A rolling cap.
    Cap(RollingCap),
    /// The gap between calls.
    Gap(Duration),
    /// The gap after a conversation.
    GapAfterConversation(Duration),
    /// A cool-down.
    CoolDown(CoolDown),
}

/// The common form of all rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// What it stands for.
    pub rule: NumberRule,
    /// The calls that count: those with one of these outcomes; none: every one that rang.
    pub outcomes: Option<Vec<Outcome>>,
    /// So many of them are allowed ...
    pub at_most: i32,
    /// ... within this span.
    pub lasts: Duration,
}

/// One call to a number, of whichever campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// When its permit was given; without one, when its lease was granted.
    pub begun_at: DateTime<Utc>,
    /// When what came of it happened, or was recorded; none: it is under way.
    pub ended_at: Option<DateTime<Utc>>,
    /// What came of it; none: it is under way.
    pub outcome: Option<Outcome>,
}

/// A rule that forbids a call, and from when on it does no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The rule.
    pub rule: NumberRule,
    /// The first instant that it allows.
    pub until: DateTime<Utc>,
}

/// Why number rules are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NumberRulesError {
    /// Too many caps.
    #[error("must have at most {CAPS_MAX} caps")]
    CapCount,
    /// A cap's number of calls is out of bounds.
    #[error("must be 1 to 100")]
    CapCalls(usize),
    /// A cap's period is out of bounds.
    #[error("must be whole milliseconds, 1 min to 366 d")]
    CapPeriod(usize),
    /// The gap between calls is out of bounds.
    #[error("must be whole milliseconds, 1 s to 366 d")]
    Gap,
    /// The gap after a conversation is out of bounds.
    #[error("must be whole milliseconds, 1 s to 366 d")]
    GapAfterConversation,
    /// A cool-down's length is out of bounds.
    #[error("must be whole milliseconds, 1 s to 366 d")]
    CoolDown(usize),
    /// An outcome without a call, or one that has a cool-down already.
    #[error("must be an outcome of a call that was placed, each at most once")]
    CoolDownOutcome(usize),
}

/// Whole milliseconds inside bounds: what is compared in statements is what was given.
fn is_within(lasts: Duration, bounds: &RangeInclusive<Duration>) -> bool {
    bounds.contains(&lasts) && lasts.subsec_nanos().is_multiple_of(1_000_000)
}

impl NumberRules {
    /// These rules, when they keep the bounds.
    ///
    /// # Errors
    /// The first that does not.
    pub fn checked(self) -> Result<NumberRules, NumberRulesError> {
        if self.caps.len() > CAPS_MAX {
            return Err(NumberRulesError::CapCount);
        }
        for (index, cap) in self.caps.iter().enumerate() {
            if !CAP_CALLS.contains(&cap.max_calls) {
                return Err(NumberRulesError::CapCalls(index));
            }
            if !is_within(cap.period, &CAP_PERIOD) {
                return Err(NumberRulesError::CapPeriod(index));
            }
        }
        if self.min_gap.is_some_and(|gap| !is_within(gap, &GAP)) {
            return Err(NumberRulesError::Gap);
        }
        if self.gap_after_conversation.is_some_and(|gap| !is_within(gap, &GAP)) {
            return Err(NumberRulesError::GapAfterConversation);
        }
        for (index, cool_down) in self.cool_downs.iter().enumerate() {
            if !is_within(cool_down.lasts, &GAP) {
                return Err(NumberRulesError::CoolDown(index));
            }
            let again = self.cool_downs[..index].iter().any(|earlier| earlier.outcome == cool_down.outcome);
            if again || !cool_down.outcome.counts() {
                return Err(NumberRulesError::CoolDownOutcome(index));
            }
        }
        Ok(self)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == NumberRules::default()
    }

    /// The rules in their common form. Those in force for a campaign are the engine's and its own.
    pub fn limits(&self) -> impl Iterator<Item = Limit> {
        let caps = self.caps.iter().map(|cap| Limit {
            rule: NumberRule::Cap(*cap),
            outcomes: None,
            at_most: cap.max_calls,
            lasts: cap.period,
        });
        let gap = self.min_gap.iter().map(|gap| Limit {
            rule: NumberRule::Gap(*gap),
            outcomes: None,
            at_most: 1,
            lasts: *gap,
        });
        let conversation = self.gap_after_conversation.iter().map(|gap| Limit {
            rule: NumberRule::GapAfterConversation(*gap),
            outcomes: Some(Outcome::ALL.into_iter().filter(|outcome| outcome.is_conversation()).collect()),
            at_most: 1,
            lasts: *gap,
        });
        let cool_downs = self.cool_downs.iter().map(|cool_down| Limit {
            rule: NumberRule::CoolDown(*cool_down),
            outcomes: Some(vec![cool_down.outcome]),
            at_most: 1,
            lasts: cool_down.lasts,
        });
        caps.chain(gap).chain(conversation).chain(cool_downs)
    }
}

impl Limit {
    /// From when on a call counts here; none: it does not. An outcome counts from when it happened, which is told by
    /// others: neither before the permit nor after the record, and within the longest call.
    fn counts_from(&self, call: &Call) -> Option<DateTime<Utc>> {
        match (&self.outcomes, call.outcome) {
            (None, outcome) => outcome.is_none_or(Outcome::counts).then_some(call.begun_at),
            (Some(outcomes), Some(outcome)) => {
                let at = call.ended_at.unwrap_or(call.begun_at).min(call.begun_at + CALL_MAX).max(call.begun_at);
                outcomes.contains(&outcome).then_some(at)
            }
            (Some(_), None) => None,
        }
    }

    /// From when on it allows a call, by the calls so far; none: it always did.
    fn allows_from(&self, calls: &[Call]) -> Option<DateTime<Utc>> {
        let mut counted: Vec<DateTime<Utc>> = calls.iter().filter_map(|call| self.counts_from(call)).collect();
        counted.sort_unstable_by(|one, other| other.cmp(one));
        let last = usize::try_from(self.at_most - 1).ok().and_then(|place| counted.get(place))?;
        Some(*last + TimeDelta::from_std(self.lasts).unwrap_or(TimeDelta::MAX))
    }
}

/// Every rule that forbids a call to a number at an instant, by the calls to it so far, in any order.
pub fn holds(limits: impl IntoIterator<Item = Limit>, calls: &[Call], at: DateTime<Utc>) -> Vec<Hold> {
    limits
        .into_iter()
        .filter_map(|limit| {
            let until = limit.allows_from(calls).filter(|until| *until > at)?;
            Some(Hold { rule: limit.rule, until })
        })
        .collect()
}

/// The first instant after `at` at which all rules allow a call, if nobody calls meanwhile. `None`: they do at `at`.
pub fn next_allowed(
    limits: impl IntoIterator<Item = Limit>,
    calls: &[Call],
    at: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    holds(limits, calls, at).into_iter().map(|hold| hold.until).max()
}

#[cfg(test)]
mod tests;
