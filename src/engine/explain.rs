//! Why a lead is (not) called, and how many leads of a campaign for which reason: the predicate of the grant, told in words.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Engine, EngineError, callbacks::Whereabouts};
use crate::{
    domain::{
        callability::{Condition, Failed, Subject, failed, first_callable},
        calling_calendar::{CallingCalendar, Closed},
        campaign::CampaignState,
        ids::{CampaignId, LeadId},
        lead::LeadState,
        lead_zones::LeadZones,
        number_rules::{self, CALL_MAX, Call, Limit, NumberRule},
        phone_number::PhoneNumber,
        promise::{MissedCallback, Promise},
    },
    store::{
        campaigns::{By, CampaignRow, GaugeRow},
        explain::LeadGroup,
        queue::waiting,
    },
};

/// Why one lead is (not) called at an instant.
#[derive(Debug)]
pub struct LeadExplanation {
    /// The instant.
    pub at: DateTime<Utc>,
    /// Where it stands now.
    pub state: LeadState,
    /// What fails; empty: it may be called.
    pub failed: Vec<Failed>,
    /// The first instant from then on at which all holds, room aside; none: time alone does not do it.
    pub first_callable_at: Option<DateTime<Utc>>,
}

/// How many leads fail a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConditionCount {
    /// Which.
    pub condition: Condition,
    /// How many; a lead that fails two is counted twice.
    pub leads: i64,
    /// The earliest instant at which time changes it for one of them.
    pub next: Option<DateTime<Utc>>,
}

/// Why leads of a campaign are (not) called at an instant.
#[derive(Debug)]
pub struct CampaignExplanation {
    /// The instant.
    pub at: DateTime<Utc>,
    /// All of them.
    pub leads: i64,
    /// Those for which everything of their own holds.
    pub callable: i64,
    /// What fails for the campaign as a whole.
    pub failed: Vec<Failed>,
    /// What fails for its leads.
    pub counts: Vec<ConditionCount>,
    /// The first instant from then on at which one of them may be called, room aside.
    pub first_callable_at: Option<DateTime<Utc>>,
}

impl Engine {
    /// Why a lead is (not) called now or at another instant, as if nothing but time changed until then.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`], [`EngineError::LeadNotFound`].
    pub async fn explain_lead(
        &self,
        campaign: CampaignId,
        lead: LeadId,
        at: Option<DateTime<Utc>>,
    ) -> Result<LeadExplanation, EngineError> {
        let row = self.read_campaign(campaign).await?;
        let now = self.clock.now();
        let at = at.unwrap_or(now);
        let groups = self.store.lead_groups(row.key, Some(lead), at, row.rules.callback_tolerance).await?;
        let group = groups.into_iter().next().ok_or(EngineError::LeadNotFound)?;
        let subject = subject(&row, &group, at);
        let calendar = CallingCalendar::new(&row.rules);
        let numbers = self.number_rules(&row, group.number, at.min(now)).await?;
        let closed = |at| {
            let mut closed = closed(&row, &calendar, &group, at);
            closed.extend(numbers.holds(at));
            closed
        };
        let mut failed = failed(&subject, closed, at);
        // Whoever has a lease has room; at another instant nobody knows it.
        if at <= now && group.lease.is_none() {
            failed.extend(self.room(&row).await?);
        }
        Ok(LeadExplanation { at, state: group.state, failed, first_callable_at: first_callable(&subject, closed, at) })
    }

    /// Why leads of a campaign are (not) called now or at another instant. Walks its leads.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`].
    pub async fn explain_campaign(
        &self,
        campaign: CampaignId,
        at: Option<DateTime<Utc>>,
    ) -> Result<CampaignExplanation, EngineError> {
        let row = self.store.campaign(By::Id(campaign)).await?.ok_or(EngineError::CampaignNotFound)?;
        let now = self.clock.now();
        let at = at.unwrap_or(now);
        let mut counts: BTreeMap<Condition, ConditionCount> = BTreeMap::new();
        let (mut leads, mut callable, mut first) = (0, 0, None::<DateTime<Utc>>);
        let calendar = CallingCalendar::new(&row.rules);
        let of_campaign = |one: &Failed| one.condition == Condition::CampaignRunning;
        for group in self.store.lead_groups(row.key, None, at, row.rules.callback_tolerance).await? {
            let subject = subject(&row, &group, at);
            let closed = |at| {
                let mut closed = closed(&row, &calendar, &group, at);
                closed.extend(held_up(&group, at));
                closed
            };
            let failed: Vec<Failed> =
                failed(&subject, closed, at).into_iter().filter(|one| !of_campaign(one)).collect();
            leads += group.leads;
            callable += if failed.is_empty() { group.leads } else { 0 };
            for one in failed {
                let count = counts.entry(one.condition).or_insert(ConditionCount {
                    condition: one.condition,
                    leads: 0,
                    next: None,
                });
                count.leads += group.leads;
                count.next = earlier(count.next, one.next);
            }
            first = earlier(first, first_callable(&subject, closed, at));
        }
        let mut failed = Vec::new();
        if row.state != CampaignState::Running {
            let detail = format!("the campaign is {}", row.state.name());
            failed.push(Failed::new(Condition::CampaignRunning, None, detail));
        }
        if at <= now {
            failed.extend(self.room(&row).await?);
        }
        let counts = counts.into_values().collect();
        Ok(CampaignExplanation { at, leads, callable, failed, counts, first_callable_at: first })
    }

    /// What the number rules hold against a number.
    async fn number_rules(&self, row: &CampaignRow, number: i64, at: DateTime<Utc>) -> Result<Numbers, EngineError> {
        let mut limits: Vec<Limit> = self.store.settings().await?.number_rules.limits().collect();
        limits.extend(row.rules.limits());
        let longest = limits.iter().map(|limit| limit.lasts).max();
        let since = longest.and_then(|longest| at.checked_sub_signed(TimeDelta::from_std(longest).ok()? + CALL_MAX));
        let calls = match (PhoneNumber::from_digits(number), since) {
            (Some(number), Some(since)) => self.store.calls_to(number, since).await?,
            _ => Vec::new(),
        };
        Ok(Numbers { limits, calls })
    }

    /// What room there is now for one more lease of a campaign.
    async fn room(&self, row: &CampaignRow) -> Result<Vec<Failed>, EngineError> {
        let (settings, presence) = (self.store.settings().await?, self.store.presence(self.replica()).await?);
        let gauge = self.store.gauge(row.key).await?;
        let mut failed = Vec::new();
        let mut full = |condition, live: i64, cap: i32| {
            if live >= i64::from(cap) {
                failed.push(Failed::new(condition, None, format!("{live} leases are live, the cap is {cap}")));
            }
        };
        full(Condition::EngineRoom, presence.dialing, settings.max_concurrency);
        if let Some(cap) = row.rules.max_concurrency {
            full(Condition::CampaignRoom, dialing(&gauge), cap);
        }
        if let Some(breaker) = row.breaker {
            let detail = "the provider refused the last calls: the circuit breaker is open";
            failed.push(Failed::new(Condition::ProviderUp, Some(breaker.next_probe_at), detail));
        }
        if presence.slots == 0 {
            failed.push(Failed::new(Condition::DialerConnected, None, "no dialer with slots is connected"));
        }
        Ok(failed)
    }
}

/// The rules for a number, and the calls to it.
struct Numbers {
    limits: Vec<Limit>,
    calls: Vec<Call>,
}

impl Numbers {
    fn holds(&self, at: DateTime<Utc>) -> impl Iterator<Item = Failed> {
        let holds = number_rules::holds(self.limits.iter().cloned(), &self.calls, at);
        holds.into_iter().map(|hold| Failed::new(Condition::NumberRules, Some(hold.until), named(hold.rule)))
    }
}

fn named(rule: NumberRule) -> String {
    let hours = |of: Duration| format!("{} h", of.as_secs_f64() / 3600.0);
    match rule {
        NumberRule::Cap(cap) => format!("{} calls to the number in {}", cap.max_calls, hours(cap.period)),
        NumberRule::Gap(gap) => format!("the last call to the number was less than {} ago", hours(gap)),
        NumberRule::GapAfterConversation(gap) => format!("somebody was talked to less than {} ago", hours(gap)),
        NumberRule::CoolDown(one) => format!("{} less than {} ago", one.outcome, hours(one.lasts)),
    }
}

/// Of many leads only those are known to be held up by a number rule that were refused for it.
fn held_up(group: &LeadGroup, at: DateTime<Utc>) -> Option<Failed> {
    let until = group.waits_until.flatten().filter(|until| at < *until)?;
    let waits = group.reason == Some(waiting::NUMBER_RULE);
    waits.then(|| Failed::new(Condition::NumberRules, Some(until), "a number rule"))
}

fn dialing(gauge: &GaugeRow) -> i64 {
    gauge.counts.iter().find(|(state, _)| *state == LeadState::DialingIntent).map_or(0, |(_, leads)| *leads)
}

fn earlier(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    one.into_iter().chain(other).min()
}

fn subject(row: &CampaignRow, group: &LeadGroup, at: DateTime<Utc>) -> Subject {
    // By then it is dropped, and the lead is ELIGIBLE.
    let released = row.rules.missed_callback == MissedCallback::Release
        && promise(group).is_some_and(|promise| promise.is_missed(row.rules.callback_tolerance, at));
    // Who was taken out of the queue for his number's sake stays out until he is put back, whatever the list says.
    let blocked = group.blocked && !group.do_not_call;
    // Hours and zone, a busy number, number rules: these are judged by themselves.
    let judged = [waiting::CALLING_HOURS, waiting::NO_TIME_ZONE, waiting::NUMBER_RULE];
    Subject {
        campaign: row.state,
        state: group.state,
        do_not_call: group.do_not_call,
        suppressed: group.suppressed.or(blocked.then_some(None)),
        attempts: group.attempts,
        max_attempts: i32::from(row.rules.max_attempts),
        last_outcome: group.last_outcome,
        retries_spent: group.retries_spent,
        waits_until: group
            .waits_until
            .filter(|_| !released && !group.reason.is_some_and(|reason| judged.contains(&reason))),
        callback_at: group.callback_at.filter(|_| !released),
        lease: group.lease,
        number_busy_until: group.number_busy_until,
    }
}

fn promise(group: &LeadGroup) -> Option<Promise> {
    group.callback_at.map(|at| Promise { at, latest: group.callback_latest })
}

/// A promise that was missed by an instant, and moved to a later one.
fn moved(row: &CampaignRow, calendar: &CallingCalendar, group: &LeadGroup, at: DateTime<Utc>) -> Option<Failed> {
    let rules = &row.rules;
    let promise = promise(group).filter(|_| rules.missed_callback == MissedCallback::NextDay)?;
    if group.lease.is_some() || !promise.is_missed(rules.callback_tolerance, at) {
        return None;
    }
    let place = Whereabouts::of(group.zone_name.as_deref(), rules, calendar)?;
    let stands = promise.moved_until(at, rules.callback_tolerance, &place.zone, |at| place.next_open(at));
    let stands = stands.map(|promise| promise.at);
    let detail = "the promised callback was missed, and moves to another day";
    if stands.is_some_and(|stands| stands <= at) {
        None
    } else {
        Some(Failed::new(Condition::CallbackDue, stands, detail))
    }
}

/// What the calendar says of a group at an instant.
fn closed(row: &CampaignRow, calendar: &CallingCalendar, group: &LeadGroup, at: DateTime<Utc>) -> Vec<Failed> {
    let zones = LeadZones::of(group.zone_name.as_deref(), row.rules.default_time_zone.as_deref());
    let zones = zones.as_ref().map(LeadZones::zones).unwrap_or_default();
    let mut failed: Vec<Failed> = moved(row, calendar, group, at).into_iter().collect();
    let why = calendar.why_closed(zones, at);
    if why.is_empty() {
        return failed;
    }
    let opens = calendar.window(zones, at).map(|window| window.opens_at);
    failed.extend(why.into_iter().map(|(zone, why)| {
        let place = zone.map(|zone| format!(" in {}", zone.name())).unwrap_or_default();
        let (condition, detail) = told(&why);
        let next = opens.filter(|_| !matches!(why, Closed::AfterEnd(_) | Closed::NoTimeZone | Closed::UnknownRule));
        Failed::new(condition, next, format!("{detail}{place}"))
    }));
    failed
}

fn told(why: &Closed) -> (Condition, String) {
    match why {
        Closed::NoTimeZone => {
            (Condition::TimeZoneKnown, "neither the lead nor its number nor the campaign tells a zone".to_owned())
        }
        Closed::BeforeStart(day) => (Condition::CampaignDates, format!("the campaign's first day is {day}")),
        Closed::AfterEnd(day) => (Condition::CampaignDates, format!("the campaign's last day was {day}")),
        Closed::Holiday(day, None) => (Condition::NoHoliday, format!("{day} is a holiday of the campaign")),
        Closed::Holiday(day, Some((country, name))) => {
            (Condition::NoHoliday, format!("{day} is a holiday of {country}: {name}"))
        }
        Closed::HolidaysUnknown(day, country) => {
            (Condition::NoHoliday, format!("the holidays of {country} are not known for {day}"))
        }
        Closed::Hours => (Condition::CallingHours, "outside the calling hours".to_owned()),
        Closed::Preset(name) => (Condition::CallingHours, format!("outside the hours of {name}")),
        Closed::UnknownRule => (Condition::CallingHours, "a rule names what this program does not know".to_owned()),
    }
}
