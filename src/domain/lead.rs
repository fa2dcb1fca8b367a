//! The states of a lead, and what the facts about its attempts make of it. Order of arrival does not matter.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{
    outcome::Outcome,
    retry_policy::{NOT_PLACED_IN_A_ROW_MAX, RetryPolicy},
};

/// Callbacks promised to one lead at the most; one more is treated as no answer.
pub const CALLBACKS_MAX: i16 = 5;

/// Where a lead stands. The discriminants are the codes of the proto and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(i16)]
pub enum LeadState {
    /// Fresh, waiting to be queued.
    Eligible = 1,
    /// In the queue's small buffer.
    Ready = 2,
    /// Under a lease.
    DialingIntent = 3,
    /// Interested; complete.
    IntentYes = 4,
    /// Refused; complete.
    IntentNo = 5,
    /// Not reached.
    IntentNoAnswer = 6,
    /// Technical failure, or the attempt was lost.
    Failed = 7,
    /// A callback is promised.
    Scheduled = 8,
    /// Handled by hand.
    Consumed = 9,
}

impl LeadState {
    /// Every state, in the order of the codes.
    pub const ALL: [LeadState; 9] = [
        LeadState::Eligible,
        LeadState::Ready,
        LeadState::DialingIntent,
        LeadState::IntentYes,
        LeadState::IntentNo,
        LeadState::IntentNoAnswer,
        LeadState::Failed,
        LeadState::Scheduled,
        LeadState::Consumed,
    ];

    /// The code of the proto and of the database.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The state with this code.
    pub fn from_code(code: i16) -> Option<LeadState> {
        LeadState::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The name that stands in the proto and the docs.
    pub fn name(self) -> &'static str {
        match self {
            LeadState::Eligible => "ELIGIBLE",
            LeadState::Ready => "READY",
            LeadState::DialingIntent => "DIALING_INTENT",
            LeadState::IntentYes => "INTENT_YES",
            LeadState::IntentNo => "INTENT_NO",
            LeadState::IntentNoAnswer => "INTENT_NO_ANSWER",
            LeadState::Failed => "FAILED",
            LeadState::Scheduled => "SCHEDULED",
            LeadState::Consumed => "CONSUMED",
        }
    }

    /// No fact moves a lead out of here.
    pub fn is_final(self) -> bool {
        matches!(self, LeadState::IntentYes | LeadState::Consumed)
    }

    /// Whether a callback may be promised by hand from here (a begun call aside).
    pub fn allows_callback_by_hand(self) -> bool {
        !matches!(self, LeadState::IntentYes | LeadState::IntentNo | LeadState::Consumed)
    }

    /// What a reset does to leads of this state: `true` for those that are called again.
    pub fn is_reset(self) -> bool {
        matches!(
            self,
            LeadState::Eligible
                | LeadState::Ready
                | LeadState::DialingIntent
                | LeadState::IntentNoAnswer
                | LeadState::Failed
        )
    }
}

/// One report about one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// Orders the attempts of a lead.
    pub seq: i32,
    /// What came of it.
    pub outcome: Outcome,
    /// When the attempt began.
    pub begun_at: DateTime<Utc>,
    /// With CALLBACK_REQUESTED: the promised instant, [`HELD`](super::promise::HELD) where nobody knows it; none: no promise
    /// was understood, and none is made.
    pub callback_at: Option<DateTime<Utc>>,
    /// The end of the interval that was asked for.
    pub callback_latest: Option<DateTime<Utc>>,
}

/// The digest of all facts about a lead: enough to say its state, whatever the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// The newest attempt that has an outcome; 0 before the first.
    pub last_seq: i32,
    /// Its outcome.
    pub last_outcome: Option<Outcome>,
    /// How often in a row that outcome has come. Reports out of order start it anew.
    pub streak: i16,
    /// When the newest attempt that rang had begun.
    pub rang_at: Option<DateTime<Utc>>,
    /// The conversation that decides: INTENT_YES of any attempt, else the newest one.
    pub conversation: Option<(i32, Outcome)>,
    /// The promise, until an attempt for it rang; [`HELD`](super::promise::HELD): nobody knows for when, so no attempt can be
    /// for it.
    pub callback_at: Option<DateTime<Utc>>,
    /// The end of the interval that was asked for, as long as the promise stands.
    pub callback_latest: Option<DateTime<Utc>>,
    /// Callbacks promised so far, but for those that came after a newer conversation.
    pub callbacks: i16,
}

/// What follows from the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The state of the lead.
    pub state: LeadState,
    /// When it is due again, if it is; whether attempts are left, or a limit is met, is not decided here.
    pub due_at: Option<DateTime<Utc>>,
}

impl Facts {
    /// Takes in one more fact. Facts of one attempt are ranked; of several attempts INTENT_YES wins, else the newest
    /// conversation, else the newest. An attempt has rung once anything but NOT_PLACED was said of it, UNKNOWN
    /// included: NOT_PLACED that comes late undoes neither `rang_at` nor what became of a promise.
    pub fn merge(mut self, fact: Fact) -> Facts {
        self.merge_last(fact);
        if fact.outcome.counts() && self.rang_at.is_none_or(|at| at < fact.begun_at) {
            self.rang_at = Some(fact.begun_at);
        }
        if fact.outcome.is_conversation() && self.conversation.is_none_or(|held| outdoes(fact, held)) {
            self.conversation = Some((fact.seq, fact.outcome));
            self.callback_at = None;
            if fact.outcome == Outcome::CallbackRequested {
                self.callbacks += i16::from(fact.callback_at.is_some());
                if self.callbacks <= CALLBACKS_MAX {
                    // An attempt that rang since, at or after the promised instant, was the callback.
                    self.callback_at = fact
                        .callback_at
                        .filter(|at| !self.rang_at.is_some_and(|rang| rang > fact.begun_at && rang >= *at));
                    self.callback_latest = fact.callback_latest;
                }
            }
        } else if fact.outcome.counts() && self.conversation.is_none_or(|(seq, _)| seq < fact.seq) {
            self.callback_at = self.callback_at.filter(|at| fact.begun_at < *at);
        }
        self.callback_latest = self.callback_latest.filter(|_| self.callback_at.is_some());
        self
    }

    fn merge_last(&mut self, fact: Fact) {
        match self.last_outcome {
            Some(last) if fact.seq == self.last_seq && fact.outcome.rank() <= last.rank() => {}
            Some(_) if fact.seq < self.last_seq => {}
            last => {
                let again = fact.seq > self.last_seq && last == Some(fact.outcome);
                self.streak = if again { self.streak.saturating_add(1) } else { 1 };
                self.last_seq = fact.seq;
                self.last_outcome = Some(fact.outcome);
            }
        }
    }

    /// The state that the facts make. A promise by hand counts as one.
    pub fn state(&self) -> LeadState {
        match self.conversation {
            Some((_, Outcome::IntentYes)) => return LeadState::IntentYes,
            Some((_, Outcome::IntentNo | Outcome::DoNotCall)) => return LeadState::IntentNo,
            _ => {}
        }
        match self.last_outcome {
            // Promises stick, however often the provider refuses.
            _ if self.callback_at.is_some() => LeadState::Scheduled,
            Some(Outcome::NotPlaced) if times(self.streak) >= NOT_PLACED_IN_A_ROW_MAX => LeadState::Failed,
            None | Some(Outcome::NotPlaced) => LeadState::Eligible,
            Some(Outcome::Failed | Outcome::InvalidNumber | Outcome::Unknown) => LeadState::Failed,
            Some(_) => LeadState::IntentNoAnswer,
        }
    }

    /// Whether the lead is not retried before a reset, however many attempts are left: its outcome is at its limit.
    pub fn is_retry_over(&self, policy: &RetryPolicy) -> bool {
        let waits_for_a_retry = matches!(self.state(), LeadState::IntentNoAnswer | LeadState::Failed);
        waits_for_a_retry && self.last_outcome.is_some_and(|outcome| policy.is_over(outcome, times(self.streak)))
    }

    /// State and next instant after a fact was taken in at `now`, by the campaign's policy. A promise is due at its
    /// instant; after NOT_PLACED and UNKNOWN not before their delay either.
    pub fn verdict(&self, policy: &RetryPolicy, now: DateTime<Utc>) -> Verdict {
        let state = self.state();
        let after = |outcome: Outcome| {
            let delay = match outcome {
                // Not understood, and not held: as if nobody had been there to talk.
                Outcome::CallbackRequested if self.callbacks <= CALLBACKS_MAX => {
                    policy.delay(Outcome::Voicemail, times(self.streak))
                }
                // One too many: as if nobody had answered. Those that were promised are not in this row.
                Outcome::CallbackRequested => {
                    let unanswered = self.streak.min(self.callbacks - CALLBACKS_MAX);
                    policy.delay(Outcome::NoAnswer, times(unanswered))
                }
                _ => policy.delay(outcome, times(self.streak)),
            }?;
            Some(now + TimeDelta::from_std(delay).unwrap_or(TimeDelta::MAX))
        };
        let due_at = match state {
            LeadState::Scheduled => {
                let waits = |last: &Outcome| matches!(last, Outcome::NotPlaced | Outcome::Unknown);
                let until = self.last_outcome.filter(waits).and_then(after);
                self.callback_at.max(until)
            }
            LeadState::Eligible | LeadState::IntentNoAnswer | LeadState::Failed => match self.last_outcome {
                None => Some(now),
                Some(Outcome::NotPlaced) if state == LeadState::Failed => None,
                Some(outcome) => after(outcome),
            },
            _ => None,
        };
        Verdict { state, due_at }
    }
}

/// A count that is stored signed.
fn times(count: i16) -> u32 {
    u32::try_from(count).unwrap_or(0)
}

/// Whether a new conversation decides instead of the one held: INTENT_YES first, then the newer, then the rank.
fn outdoes(fact: Fact, held: (i32, Outcome)) -> bool {
    let weight = |(seq, outcome): (i32, Outcome)| (outcome == Outcome::IntentYes, seq, outcome.rank());
    weight((fact.seq, fact.outcome)) > weight(held)
}

#[cfg(test)]
mod tests;
