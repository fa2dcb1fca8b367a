//! Who may be called, and else why not: the predicate of grant and permit with a reason for each condition that fails. Owns
//! the list of conditions and how they add up over time; each condition itself stands in its own module.

use chrono::{DateTime, TimeDelta, Utc};

use super::{campaign::CampaignState, ids::LeaseId, lead::LeadState, outcome::Outcome};

/// How far ahead the first instant at which all holds is looked for.
pub const AHEAD_MAX: TimeDelta = TimeDelta::days(400);
/// Changes looked at on the way there.
const STEPS_MAX: usize = 2000;

/// A condition of the predicate. The discriminants are the codes of the proto.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Condition {
    /// The campaign is RUNNING.
    CampaignRunning = 1,
    /// Inside the campaign's dates.
    CampaignDates = 2,
    /// The person has not asked never to be called.
    NotDoNotCall = 3,
    /// The number is not suppressed.
    NotSuppressed = 4,
    /// The lead is not complete.
    NotComplete = 5,
    /// The lead is not under a lease.
    NotLeased = 6,
    /// Attempts are left in this generation.
    AttemptsLeft = 7,
    /// The last outcome is tried again by itself.
    Retried = 8,
    /// A retry's delay, or a back-off, is over.
    NotBefore = 9,
    /// A promised callback is due.
    CallbackDue = 10,
    /// Inside the calling hours.
    CallingHours = 11,
    /// No holiday.
    NoHoliday = 12,
    /// Somebody knows the lead's zone.
    TimeZoneKnown = 13,
    /// The number is on no live lease of another lead.
    NumberFree = 14,
    /// The number rules allow a call.
    NumberRules = 15,
    /// There is room under the engine's cap.
    EngineRoom = 16,
    /// There is room under the campaign's cap.
    CampaignRoom = 17,
    /// The provider takes calls: the circuit breaker is closed.
    ProviderUp = 18,
    /// A dialer is connected.
    DialerConnected = 19,
}

impl Condition {
    /// Whether it is about room, of which only the present is known; the others are about who may be called.
    pub fn is_room(self) -> bool {
        matches!(
            self,
            Condition::EngineRoom | Condition::CampaignRoom | Condition::ProviderUp | Condition::DialerConnected
        )
    }
}

/// A condition that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Which.
    pub condition: Condition,
    /// In words, for people; without numbers and names.
    pub detail: String,
    /// The next instant at which time alone could change it; none: time alone does not.
    pub next: Option<DateTime<Utc>>,
}

impl Failed {
    /// A condition that fails until `next`.
    pub fn new(condition: Condition, next: Option<DateTime<Utc>>, detail: impl Into<String>) -> Failed {
        Failed { condition, detail: detail.into(), next }
    }
}

/// What the predicate looks at, but for what the calendar, the number's history and room say.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Of the campaign.
    pub campaign: CampaignState,
    /// As everybody sees it, a reset included.
    pub state: LeadState,
    /// See [`super::lead::Facts`].
    pub do_not_call: bool,
    /// Since when and until when the number is suppressed, where it is; the inner `None`: for good.
    pub suppressed: Option<Option<DateTime<Utc>>>,
    /// Of this generation.
    pub attempts: i32,
    /// The campaign's bound.
    pub max_attempts: i32,
    /// The newest.
    pub last_outcome: Option<Outcome>,
    /// It is not tried again before a reset ([`super::retry_policy::RetryPolicy::is_over`]).
    pub retries_spent: bool,
    /// The instant from which it may be queued, where it waits; the inner `None`: not by time alone.
    pub waits_until: Option<Option<DateTime<Utc>>>,
    /// A promise that no attempt has rung for.
    pub callback_at: Option<DateTime<Utc>>,
    /// A live lease of the lead, and its deadline.
    pub lease: Option<(LeaseId, DateTime<Utc>)>,
    /// The deadline of a live lease of another lead with this number.
    pub number_busy_until: Option<DateTime<Utc>>,
}

/// What fails at an instant, as if nothing but time changed until then. `closed` tells what the calendar and the number rules
/// say at an instant.
pub fn failed(subject: &Subject, closed: impl Fn(DateTime<Utc>) -> Vec<Failed>, at: DateTime<Utc>) -> Vec<Failed> {
    let mut failed = of_campaign(subject.campaign);
    failed.extend(of_lead(subject, at));
    failed.extend(closed(at));
    failed.sort_by_key(|one| one.condition);
    failed
}

/// The first instant from `at` on at which everything holds, as far as time decides it; room is left aside. `None`: something
/// else must change first, or nothing opens for [`AHEAD_MAX`].
pub fn first_callable(
    subject: &Subject,
    closed: impl Fn(DateTime<Utc>) -> Vec<Failed>,
    at: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    let mut now = at;
    for _ in 0..STEPS_MAX {
        let failed = failed(subject, &closed, now);
        if failed.is_empty() {
            return Some(now);
        }
        let mut latest = now;
        for one in failed {
            latest = latest.max(one.next?);
        }
        // What fails and changes now would be asked for ever.
        now = latest.max(now + TimeDelta::microseconds(1));
        if now - at > AHEAD_MAX {
            return None;
        }
    }
    None
}

fn of_campaign(state: CampaignState) -> Vec<Failed> {
    if state == CampaignState::Running {
        return Vec::new();
    }
    vec![Failed::new(Condition::CampaignRunning, None, format!("the campaign is {}", state.name()))]
}

fn of_lead(subject: &Subject, at: DateTime<Utc>) -> Vec<Failed> {
    let mut failed = Vec::new();
    if subject.do_not_call {
        failed.push(Failed::new(Condition::NotDoNotCall, None, "the person asked never to be called again"));
    }
    match subject.suppressed {
        Some(None) => failed.push(Failed::new(Condition::NotSuppressed, None, "the number is suppressed for good")),
        Some(Some(until)) if at < until => {
            failed.push(Failed::new(Condition::NotSuppressed, Some(until), "the number is suppressed for a time"));
        }
        _ => {}
    }
    if matches!(subject.state, LeadState::IntentYes | LeadState::IntentNo | LeadState::Consumed) {
        failed.push(Failed::new(Condition::NotComplete, None, format!("the lead is {}", subject.state.name())));
        return failed;
    }
    if let Some((lease, deadline)) = subject.lease {
        failed.push(Failed::new(
            Condition::NotLeased,
            Some(deadline).filter(|end| at < *end),
            format!("lease {lease} is live"),
        ));
    }
    if let Some(until) = subject.number_busy_until {
        let next = Some(until).filter(|until| at < *until);
        failed.push(Failed::new(Condition::NumberFree, next, "the number is on a live lease of another campaign"));
    }
    if subject.callback_at.is_some() {
        failed.extend(waits(subject, Condition::CallbackDue, "the promised callback is not due", at));
        return failed;
    }
    if subject.attempts >= subject.max_attempts {
        let detail = format!("{} of {} attempts are spent", subject.attempts, subject.max_attempts);
        failed.push(Failed::new(Condition::AttemptsLeft, None, detail));
    }
    if subject.retries_spent {
        let last = subject.last_outcome.map(|outcome| outcome.to_string()).unwrap_or_default();
        failed.push(Failed::new(Condition::Retried, None, format!("{last} is not tried again before a reset")));
    }
    failed.extend(waits(subject, Condition::NotBefore, "a delay or a back-off runs", at));
    failed
}

fn waits(subject: &Subject, condition: Condition, detail: &str, at: DateTime<Utc>) -> Option<Failed> {
    match subject.waits_until? {
        None => Some(Failed::new(condition, None, "nobody knows when: it is held for an operator")),
        Some(until) if at < until => Some(Failed::new(condition, Some(until), detail)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
