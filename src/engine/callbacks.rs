//! Callbacks: from what a person said to the instant of a promise, and what becomes of promises that nobody could keep.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Engine, EngineError, campaigns, outcomes::Report};
use crate::{
    domain::{
        callback_phrase::{self, Reading},
        calling_calendar::{CallingCalendar, OpenWindow},
        campaign::{CampaignRules, CampaignState},
        ids::{CampaignId, CampaignKey, LeadId, LeaseId},
        lead::LeadState,
        lead_zones::LeadZones,
        outcome::Outcome,
        promise::{HELD, MissedCallback, Promise, UnclearCallback},
        time_zone::TimeZone,
    },
    store::{
        callbacks::{self as stored, MissedPromise, SaidContext},
        changes::{self, Placed},
        queue::waiting,
    },
};

/// How far ahead a callback may be promised.
pub const AHEAD_MAX: TimeDelta = TimeDelta::days(400);
/// Missed promises seen to in one transaction: it holds the campaign's fence.
const AT_ONCE: i64 = 200;

/// When a callback is promised by hand.
#[derive(Clone)]
pub enum When {
    /// At an instant.
    At(DateTime<Utc>),
    /// As the person said it, at an instant; none: now.
    Said(String, Option<DateTime<Utc>>),
}

/// Where the person is who said something.
#[derive(Debug, Clone)]
pub enum Place {
    /// In this zone.
    Zone(TimeZone),
    /// Where this lead is.
    Lead(CampaignId, LeadId),
}

/// What a phrase means.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// The reading.
    pub reading: Reading,
    /// The instant of the promise that it would make; only of a lead.
    pub chosen_at: Option<DateTime<Utc>>,
}

/// Where a lead is, and when it may be called there.
pub(super) struct Whereabouts<'a> {
    zones: LeadZones,
    /// By whose clock its words are read: of several zones the campaign's default, where it names one, else the first.
    pub zone: TimeZone,
    calendar: &'a CallingCalendar,
}

impl<'a> Whereabouts<'a> {
    /// From a lead's zones as they are stored. `None`: nobody knows one.
    pub fn of(stored: Option<&str>, rules: &CampaignRules, calendar: &'a CallingCalendar) -> Option<Whereabouts<'a>> {
        let default = rules.default_time_zone.as_deref();
        let zones = LeadZones::of(stored, default)?;
        let named = default.and_then(|name| TimeZone::parse(name).ok()).filter(|_| zones.zones().len() > 1);
        let zone = named.or_else(|| zones.zones().first().cloned())?;
        Some(Whereabouts { zones, zone, calendar })
    }

    /// The window in which it may be called that holds an instant, else the next one.
    pub fn next_open(&self, at: DateTime<Utc>) -> Option<OpenWindow> {
        self.calendar.window(self.zones.zones(), at)
    }
}

/// Reads what a lead said. Without a zone no time is understood, but a refusal is.
fn hear(
    phrase: &str,
    heard_at: DateTime<Utc>,
    (zones, called_at): (Option<&str>, Option<DateTime<Utc>>),
    rules: &CampaignRules,
    now: DateTime<Utc>,
) -> (Reading, Option<Promise>) {
    let calendar = CallingCalendar::new(rules);
    let Some(place) = Whereabouts::of(zones, rules, &calendar) else {
        let reading = TimeZone::parse("UTC").map(|utc| callback_phrase::parse(phrase, heard_at, &utc));
        return match reading {
            Ok(Reading::OptOut) => (Reading::OptOut, None),
            _ => (Reading::NotUnderstood, None),
        };
    };
    let reading = callback_phrase::parse(phrase, heard_at, &place.zone);
    let Reading::Callback(interval) = &reading else { return (reading, None) };
    let open = |at| place.next_open(at);
    let chosen = callback_phrase::choose_instant(interval, &place.zone, now, called_at, open);
    match chosen.filter(|at| *at - now <= AHEAD_MAX) {
        Some(at) => (reading, Some(Promise { at, latest: Some(interval.latest) })),
        None => (Reading::NotUnderstood, None),
    }
}

/// What a report says once its words are read.
fn heard(mut report: Report, phrase: &str, said: &SaidContext, rules: &CampaignRules, now: DateTime<Utc>) -> Report {
    let heard_at = report.heard_at.or(report.details.occurred_at).unwrap_or(now);
    let place = (said.zones.as_deref(), Some(said.called_at));
    match hear(phrase, heard_at, place, rules, now) {
        (Reading::OptOut, _) => report.outcome = Outcome::DoNotCall,
        (_, Some(promise)) => {
            report.callback_at = Some(promise.at);
            report.callback_latest = promise.latest;
        }
        (_, None) => report.callback_at = (rules.unclear_callback == UnclearCallback::Hold).then_some(HELD),
    }
    report
}

impl Engine {
    /// Reads the words of those reports that ask for a callback in words.
    pub(super) async fn hear_reports(&self, mut reports: Vec<Report>) -> Result<Vec<Report>, EngineError> {
        let spoken = |report: &&Report| report.details.callback_phrase.is_some();
        let leases: Vec<LeaseId> = reports.iter().filter(spoken).map(|report| report.lease).collect();
        if leases.is_empty() {
            return Ok(reports);
        }
        let contexts = self.store.said_contexts(&leases).await.inspect_err(|error| self.outage.note(error))?;
        let contexts: HashMap<LeaseId, SaidContext> = contexts.into_iter().map(|said| (said.lease, said)).collect();
        let now = self.clock.now();
        for report in &mut reports {
            let (Some(phrase), Some(said)) = (report.details.callback_phrase.clone(), contexts.get(&report.lease))
            else {
                continue;
            };
            let campaign = self.campaign_by_key(said.campaign).await?;
            *report = heard(report.clone(), &phrase, said, &campaign.rules, now);
        }
        Ok(reports)
    }

    /// What a phrase means that was said at an instant (none: now), somewhere. Changes nothing.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`], [`EngineError::LeadNotFound`].
    pub async fn parse_callback(
        &self,
        phrase: &str,
        heard_at: Option<DateTime<Utc>>,
        place: Place,
    ) -> Result<Parsed, EngineError> {
        let now = self.clock.now();
        let heard_at = heard_at.unwrap_or(now);
        match place {
            Place::Zone(zone) => {
                Ok(Parsed { reading: callback_phrase::parse(phrase, heard_at, &zone), chosen_at: None })
            }
            Place::Lead(campaign, lead) => {
                let rules = &self.campaign(campaign).await?.rules;
                let row = self.lead(campaign, lead).await?;
                let place = (row.zones.as_deref(), row.last_attempt_at);
                let (reading, promise) = hear(phrase, heard_at, place, rules, now);
                Ok(Parsed { reading, chosen_at: promise.map(|promise| promise.at) })
            }
        }
    }

    /// The promise that somebody makes by hand.
    ///
    /// # Errors
    /// [`EngineError::BadInput`]: in the past, or not understood.
    pub(super) async fn promise_by_hand(
        &self,
        campaign: CampaignId,
        lead: LeadId,
        when: &When,
    ) -> Result<Promise, EngineError> {
        let refuse = |field, rule| Err(EngineError::BadInput { field, rule });
        match when {
            When::At(at) if *at <= self.clock.now() => refuse("callback_at", "must be in the future"),
            When::At(at) => Ok(Promise { at: *at, latest: None }),
            When::Said(phrase, heard_at) => {
                let rules = &self.campaign(campaign).await?.rules;
                let row = self.lead(campaign, lead).await?;
                let now = self.clock.now();
                let place = (row.zones.as_deref(), row.last_attempt_at);
                match hear(phrase, heard_at.unwrap_or(now), place, rules, now) {
                    (_, Some(promise)) => Ok(promise),
                    (Reading::OptOut, _) => {
                        refuse("callback_phrase", "asks for no more calls: AddSuppressions is the call for that")
                    }
                    _ => refuse("callback_phrase", "is not understood: give callback_at"),
                }
            }
        }
    }

    /// Moves or drops the missed promises of all campaigns that run and want it; returns how many. Any number of replicas
    /// may do so at once: each looks again under the campaign's fence.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub(crate) async fn sweep_missed(self: &Arc<Self>) -> Result<usize, EngineError> {
        let mut all = 0;
        let campaigns: Vec<_> = super::read(&self.campaigns).values().cloned().collect();
        for campaign in campaigns {
            let rules = &campaign.rules;
            if campaign.state != CampaignState::Running || rules.missed_callback == MissedCallback::CallLate {
                continue;
            }
            let seen = self.in_time(self.store.missed_promises(campaign.key, rules.callback_tolerance, 1)).await?;
            if !seen.is_empty() {
                all += self.in_time(self.see_to_missed(campaign.key)).await?;
            }
        }
        Ok(all)
    }

    async fn see_to_missed(self: &Arc<Self>, key: CampaignKey) -> Result<usize, EngineError> {
        let now = self.clock.now();
        let done = self
            .mutate(None, move |tx| {
                Box::pin(async move {
                    let campaign = campaigns::lock(tx, key).await?;
                    let rules = &campaign.rules;
                    if campaign.state != CampaignState::Running || rules.missed_callback == MissedCallback::CallLate {
                        return Ok((0, ()));
                    }
                    let missed = stored::missed(tx, key, rules.callback_tolerance, AT_ONCE).await?;
                    let calendar = CallingCalendar::new(rules);
                    let fates: HashMap<LeadId, Option<Promise>> = missed
                        .into_iter()
                        .filter_map(|missed| Some((missed.lead, fate(&missed, rules, &calendar, now)?)))
                        .collect();
                    let leads: Vec<LeadId> = fates.keys().copied().collect();
                    let mut placed = Vec::new();
                    // They wait, so no lease is among them.
                    for lifted in changes::lift(tx, key, &leads).await? {
                        let promise = fates.get(&lifted.lead).copied().flatten();
                        changes::set_callback(tx, key, lifted.lead, promise).await?;
                        placed.push(match promise {
                            Some(promise) => Placed {
                                lead: lifted.lead,
                                state: LeadState::Scheduled,
                                at: Some(promise.at),
                                reason: waiting::CALLBACK,
                            },
                            None => Placed {
                                lead: lifted.lead,
                                state: LeadState::Eligible,
                                at: Some(now),
                                reason: waiting::BACK_OFF,
                            },
                        });
                    }
                    changes::place(tx, key, &placed).await?;
                    Ok((placed.len(), ()))
                })
            })
            .await?;
        self.announce_work(key);
        Ok(done.answer)
    }
}

/// What becomes of a missed promise: the one that takes its place, or none. `None`: it has nowhere to go, and stays uncalled.
fn fate(
    missed: &MissedPromise,
    rules: &CampaignRules,
    calendar: &CallingCalendar,
    now: DateTime<Utc>,
) -> Option<Option<Promise>> {
    match rules.missed_callback {
        MissedCallback::CallLate => None,
        MissedCallback::Release => Some(None),
        MissedCallback::NextDay => {
            let place = Whereabouts::of(missed.zones.as_deref(), rules, calendar)?;
            missed.promise.next_day(now, &place.zone, |at| place.next_open(at)).map(Some)
        }
    }
}
