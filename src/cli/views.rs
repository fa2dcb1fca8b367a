//! Messages of the protocol as JSON and as text. Names of fields are those of the contract; enums lose their prefix.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::number_rules;
use crate::pb::{
    CallingHours, Campaign, CampaignActivity, CampaignState, Condition, GetCampaignStatsResponse,
    GetSchedulerStatusResponse, GetServerInfoResponse, Lead, LeadState, MissedCallback, Outcome, OutcomeEvent,
    RefusedRowCode, ReportVerdict, ResetCampaignResponse, SchedulerSettings, UnclearCallback, WaitingReason, Weekday,
};

/// `LEAD_STATE_READY` is READY. A number that this build does not know stays a number.
macro_rules! names {
    ($($function:ident: $enum:ty, $prefix:literal;)*) => { $(
        #[doc = concat!("The name of a value of `", stringify!($enum), "`; empty when unspecified.")]
        pub fn $function(value: i32) -> String {
            match <$enum>::try_from(value) {
                Ok(_) if value == 0 => String::new(),
                Ok(known) => known.as_str_name().trim_start_matches($prefix).to_owned(),
                Err(_) => value.to_string(),
            }
        }
    )* };
}

names! {
    lead_state: LeadState, "LEAD_STATE_";
    campaign_state: CampaignState, "CAMPAIGN_STATE_";
    outcome: Outcome, "OUTCOME_";
    verdict: ReportVerdict, "REPORT_VERDICT_";
    waiting_reason: WaitingReason, "WAITING_REASON_";
    refused_code: RefusedRowCode, "REFUSED_ROW_CODE_";
    weekday: Weekday, "WEEKDAY_";
    condition: Condition, "CONDITION_";
    missed_callback: MissedCallback, "MISSED_CALLBACK_";
    unclear_callback: UnclearCallback, "UNCLEAR_CALLBACK_";
}

/// RFC 3339 in UTC, to the millisecond; nothing for an absent instant.
pub fn instant(at: Option<prost_types::Timestamp>) -> Option<String> {
    let at = at?;
    Timestamp::new(at.seconds, at.nanos).ok().map(|at| format!("{at:.3}"))
}

/// As people write it: `2h 30m`.
pub fn length(of: Option<prost_types::Duration>) -> Option<String> {
    of.map(|of| format!("{:#}", SignedDuration::new(of.seconds, of.nanos)))
}

/// Calls per second, or in words that there is no limit.
pub fn rate(of: Option<f64>, none: &str) -> String {
    of.map_or_else(|| none.to_owned(), |rate| rate.to_string())
}

/// How a campaign stands with its provider.
pub fn provider(open_since: Option<prost_types::Timestamp>, next_probe_at: Option<prost_types::Timestamp>) -> String {
    match (instant(open_since), instant(next_probe_at)) {
        (Some(since), Some(next)) => format!("refuses every call since {since}; next tried {next}"),
        (Some(since), None) => format!("refuses every call since {since}"),
        _ => "places calls".to_owned(),
    }
}

/// A campaign with its rules.
pub fn campaign(campaign: &Campaign) -> Value {
    let rules = campaign.rules.clone().unwrap_or_default();
    let retries = rules.retry_rules.iter().map(|rule| {
        let delays: Vec<_> = rule.delays.iter().map(|delay| length(Some(*delay))).collect();
        json!({"outcome": outcome(rule.outcome), "delays": delays, "limit": rule.limit})
    });
    json!({
        "campaign_id": campaign.campaign_id,
        "name": campaign.name,
        "state": campaign_state(campaign.state),
        "generation": campaign.generation,
        "etag": campaign.etag,
        "created_at": instant(campaign.created_at),
        "updated_at": instant(campaign.updated_at),
        "rules": {
            "default_region": rules.default_region,
            "default_time_zone": rules.default_time_zone,
            "calling_hours": rules.calling_hours.as_ref().map(hours),
            "hour_presets": rules.hour_presets,
            "start_date": rules.start_date,
            "end_date": rules.end_date,
            "holiday_countries": rules.holiday_countries,
            "holidays": rules.holidays,
            "max_attempts": rules.max_attempts,
            "max_concurrency": rules.max_concurrency,
            "max_calls_per_second": rules.max_calls_per_second,
            "weight": rules.weight,
            "min_concurrency": rules.min_concurrency,
            "retry_rules": retries.collect::<Vec<_>>(),
            "begin_within": length(rules.begin_within),
            "max_duration": length(rules.max_duration),
            "breaker_after": rules.breaker_after,
            "breaker_probe_interval": length(rules.breaker_probe_interval),
            "number_rules": rules.number_rules.as_ref().map(number_rules::view),
            "missed_callback": missed_callback(rules.missed_callback),
            "callback_tolerance": length(rules.callback_tolerance),
            "unclear_callback": unclear_callback(rules.unclear_callback),
        },
    })
}

/// `MONDAY,TUESDAY 09:00-17:00` per span; every day is `daily`.
pub fn hours(hours: &CallingHours) -> Vec<String> {
    let span = |span: &crate::pb::CallingSpan| {
        let names = || span.weekdays.iter().map(|day| weekday(*day).to_lowercase()[..3].to_owned()).collect::<Vec<_>>();
        let days = if span.weekdays.len() == 7 { "daily".to_owned() } else { names().join(",") };
        format!("{days} {}-{}", span.start, span.end)
    };
    hours.spans.iter().map(span).collect()
}

/// Counts of a campaign.
pub fn stats(stats: &GetCampaignStatsResponse) -> Value {
    let counts = stats.counts.iter().map(|count| (lead_state(count.state), json!(count.leads)));
    json!({
        "counts": Value::Object(counts.collect()),
        "leads": stats.leads,
        "calls_under_way": stats.calls_under_way,
        "waiting_for_calling_hours": stats.waiting_for_calling_hours,
        "waiting_for_time_zone": stats.waiting_for_time_zone,
        "suppressed": stats.suppressed,
        "next_due_at": instant(stats.next_due_at),
        "attempts": stats.attempts,
        "due_soon": stats.due_soon,
        "held": stats.held,
        "state": campaign_state(stats.state),
        "state_age": length(stats.state_age),
        "breaker_open_since": instant(stats.breaker_open_since),
        "breaker_next_probe_at": instant(stats.breaker_next_probe_at),
    })
}

/// What a reset did, or would do.
pub fn reset(reset: &ResetCampaignResponse, validate_only: bool) -> Value {
    let counts = reset
        .counts
        .iter()
        .map(|count| json!({"state": lead_state(count.state), "reset": count.reset, "kept": count.kept}));
    json!({
        "validate_only": validate_only,
        "generation": reset.generation,
        "counts": counts.collect::<Vec<_>>(),
    })
}

/// A lead.
pub fn lead(lead: &Lead) -> Value {
    json!({
        "lead_id": lead.lead_id,
        "campaign_id": lead.campaign_id,
        "number": lead.number,
        "external_id": lead.external_id,
        "score": lead.score,
        "time_zone": lead.time_zone,
        "plausible_time_zones": lead.plausible_time_zones,
        "variables": lead.variables,
        "state": lead_state(lead.state),
        "attempts": lead.attempts,
        "attempts_total": lead.attempts_total,
        "do_not_call": lead.do_not_call,
        "suppressed": lead.suppressed,
        "callback_at": instant(lead.callback_at),
        "callback_latest": instant(lead.callback_latest),
        "not_before": instant(lead.not_before),
        "waiting_reason": waiting_reason(lead.waiting_reason),
        "last_outcome": outcome(lead.last_outcome),
        "last_attempt_at": instant(lead.last_attempt_at),
        "returned_in_a_row": lead.returned_in_a_row,
        "lease_id": lead.lease_id,
        "created_at": instant(lead.created_at),
        "updated_at": instant(lead.updated_at),
    })
}

/// An outcome, as it was told.
pub fn outcome_event(event: &OutcomeEvent) -> Value {
    let seconds =
        |of: Option<prost_types::Duration>| of.map(|of| SignedDuration::new(of.seconds, of.nanos).as_secs_f64());
    json!({
        "accepted_at": instant(event.accepted_at),
        "campaign_id": event.campaign_id,
        "lead_id": event.lead_id,
        "external_id": event.external_id,
        "number": event.number,
        "lease_id": event.lease_id,
        "attempt_number": event.attempt_number,
        "outcome": outcome(event.outcome),
        "verdict": verdict(event.verdict),
        "begun_at": instant(event.begun_at),
        "occurred_at": instant(event.occurred_at),
        "talk_seconds": seconds(event.talk_duration),
        "ring_seconds": seconds(event.ring_duration),
        "callback_at": instant(event.callback_at),
        "dialer_id": event.dialer_id,
        "provider_call_id": event.provider_call_id,
        "note": event.note,
        "metadata": event.metadata,
    })
}

/// The engine's settings.
pub fn settings(settings: &SchedulerSettings) -> Value {
    json!({
        "max_concurrency": settings.max_concurrency,
        "tick_interval": length(settings.tick_interval),
        "buffer_factor": settings.buffer_factor,
        "batch_size": settings.batch_size,
        "session_ttl": length(settings.session_ttl),
        "receipt_within": length(settings.receipt_within),
        "dial_within": length(settings.dial_within),
        "max_calls_per_second": settings.max_calls_per_second,
        "number_rules": settings.number_rules.as_ref().map(number_rules::view),
        "etag": settings.etag,
    })
}

/// The engine: versions, settings, what goes on.
pub fn status(status: &GetSchedulerStatusResponse, info: &GetServerInfoResponse) -> Value {
    let settings = status.settings.clone().unwrap_or_default();
    json!({
        "server": {
            "version": info.version,
            "schema_version": info.schema_version,
            "postgres_version": info.postgres_version,
            "time_zone_database": info.time_zone_database,
            "replica_id": info.replica_id,
            "started_at": instant(info.started_at),
            "now": instant(info.now),
        },
        "settings": self::settings(&settings),
        "active_calls": status.active_calls,
        "begun_calls": status.begun_calls,
        "ready": status.ready,
        "sessions": status.sessions,
        "slots": status.slots,
        "replicas": status.replicas,
        "next_wake_at": instant(status.next_wake_at),
        "campaigns": status.campaigns.iter().map(activity).collect::<Vec<_>>(),
    })
}

fn activity(campaign: &CampaignActivity) -> Value {
    json!({
        "campaign_id": campaign.campaign_id,
        "name": campaign.name,
        "active_calls": campaign.active_calls,
        "ready": campaign.ready,
        "max_concurrency": campaign.max_concurrency,
        "breaker_open_since": instant(campaign.breaker_open_since),
        "breaker_next_probe_at": instant(campaign.breaker_next_probe_at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enums_lose_their_prefix_and_unknown_ones_stay_numbers() {
        assert_eq!(lead_state(LeadState::IntentNoAnswer as i32), "INTENT_NO_ANSWER");
        assert_eq!(outcome(0), "");
        assert_eq!(outcome(77), "77");
    }

    #[test]
    fn instants_and_lengths_are_readable() {
        let at = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 5_000_000 };
        assert_eq!(instant(Some(at)).as_deref(), Some("2023-11-14T22:13:20.005Z"));
        let of = prost_types::Duration { seconds: 9_000, nanos: 0 };
        assert_eq!(length(Some(of)).as_deref(), Some("2h 30m"));
    }
}
