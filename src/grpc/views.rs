//! Rows and reports for the wire.

use super::{
    convert::{timestamp, wire_duration},
    number_rules, rules,
};
use crate::{
    domain::{
        campaign::COMPLETED, ids::CampaignId, lead::LeadState, lead_zones, outcome::Outcome, phone_number::PhoneNumber,
        promise::HELD, settings::SchedulerSettings,
    },
    engine::{intake::IntakeReport, leasing::messages::GrantedLease},
    pb,
    store::{
        campaigns::{CampaignRow, GaugeRow},
        leads::LeadRow,
        live_leases::LiveLeaseRow,
    },
};

/// The code of a campaign's state on the wire.
fn shown_state(row: &CampaignRow) -> i32 {
    i32::from(if row.completed { COMPLETED } else { row.state.code() })
}

/// The code of a state on the wire.
pub fn state(state: LeadState) -> i32 {
    i32::from(state.code())
}

fn outcome(outcome: Option<Outcome>) -> i32 {
    outcome.map_or(0, |outcome| i32::from(outcome.code()))
}

/// Digits as E.164.
pub fn e164(digits: i64) -> String {
    PhoneNumber::from_digits(digits).map(PhoneNumber::e164).unwrap_or_default()
}

/// A campaign.
pub fn campaign(row: &CampaignRow) -> pb::Campaign {
    pb::Campaign {
        campaign_id: row.id.to_string(),
        name: row.name.clone(),
        state: shown_state(row),
        rules: Some(rules::wire(&row.rules)),
        etag: row.etag.to_string(),
        generation: row.generation,
        created_at: Some(timestamp(row.created_at)),
        updated_at: Some(timestamp(row.updated_at)),
    }
}

/// A lead.
pub fn lead(row: LeadRow) -> pb::Lead {
    // A retry after UNKNOWN is a retry to everybody else.
    let waiting_reason = match row.waiting_reason {
        Some(crate::store::queue::waiting::UNKNOWN_RETRY) => i32::from(crate::store::queue::waiting::RETRY),
        other => other.map_or(0, i32::from),
    };
    pb::Lead {
        lead_id: row.id.to_string(),
        campaign_id: row.campaign.to_string(),
        number: e164(row.number),
        external_id: row.external_id.unwrap_or_default(),
        score: row.score,
        time_zone: row.zones.as_deref().and_then(lead_zones::own).unwrap_or_default().to_owned(),
        plausible_time_zones: row
            .zones
            .iter()
            .flat_map(|zones| lead_zones::plausible(zones))
            .map(str::to_owned)
            .collect(),
        variables: row.variables,
        state: state(row.state),
        attempts: row.attempts,
        attempts_total: row.attempts_total,
        do_not_call: row.do_not_call,
        suppressed: row.suppressed,
        callback_at: row.callback_at.filter(|at| *at != HELD).map(timestamp),
        not_before: row.not_before.map(timestamp),
        waiting_reason,
        last_outcome: outcome(row.last_outcome),
        last_attempt_at: row.last_attempt_at.map(timestamp),
        returned_in_a_row: i32::from(row.returned_in_a_row),
        lease_id: row.lease.map(|lease| lease.to_string()).unwrap_or_default(),
        created_at: Some(timestamp(row.created_at)),
        updated_at: Some(timestamp(row.updated_at)),
        callback_latest: row.callback_latest.map(timestamp),
    }
}

/// A lease for its dialer.
pub fn lease(granted: GrantedLease) -> pb::Lease {
    let lead = granted.lead;
    let score = if lead.promised.is_some() { 999 } else { 999 - i32::from(lead.rank) };
    pb::Lease {
        lease_id: granted.lease.to_string(),
        campaign_id: granted.campaign.to_string(),
        lead_id: lead.lead.to_string(),
        number: e164(lead.number),
        external_id: lead.external_id.unwrap_or_default(),
        variables: lead.variables,
        attempt_number: lead.attempts_total + 1,
        score,
        not_after: Some(timestamp(granted.not_after)),
        begin_within: Some(wire_duration(granted.begin_within)),
        max_duration: Some(wire_duration(granted.max_duration)),
        traceparent: String::new(),
        callback_at: lead.facts.callback_at.filter(|_| lead.promised.is_some()).map(timestamp),
    }
}

/// A live lease for operators.
pub fn live_lease(row: LiveLeaseRow) -> pb::LiveLease {
    pb::LiveLease {
        lease_id: row.lease.to_string(),
        campaign_id: row.campaign.to_string(),
        lead_id: row.lead.to_string(),
        session_id: row.session.to_string(),
        dialer_id: row.dialer,
        granted_at: Some(timestamp(row.granted_at)),
        begun_at: row.begun_at.map(timestamp),
        deadline: Some(timestamp(row.deadline)),
    }
}

/// What is counted for a campaign.
pub fn stats(row: &CampaignRow, gauge: &GaugeRow, now: chrono::DateTime<chrono::Utc>) -> pb::GetCampaignStatsResponse {
    pb::GetCampaignStatsResponse {
        counts: gauge.counts.iter().map(|(of, leads)| pb::StateCount { state: state(*of), leads: *leads }).collect(),
        leads: gauge.counts.iter().map(|(_, leads)| leads).sum(),
        calls_under_way: gauge.begun,
        waiting_for_calling_hours: gauge.waiting_hours,
        waiting_for_time_zone: gauge.waiting_zone,
        suppressed: gauge.blocked_total,
        next_due_at: gauge.next_due_at.map(timestamp),
        attempts: gauge.attempts,
        state: shown_state(row),
        due_soon: gauge.due_soon,
        held: gauge.held,
        state_age: (now - row.state_since).to_std().ok().map(wire_duration),
        breaker_open_since: row.breaker.map(|breaker| timestamp(breaker.since)),
        breaker_next_probe_at: row.breaker.map(|breaker| timestamp(breaker.next_probe_at)),
    }
}

/// Rows that did not become leads.
pub fn refused(report: &IntakeReport) -> Vec<pb::RefusedRow> {
    report
        .refused
        .iter()
        .map(|refused| pb::RefusedRow {
            row: i32::try_from(refused.row).unwrap_or(i32::MAX),
            reason: refused.reason.clone(),
            code: refused.code as i32,
            lead_id: refused.lead.map(|lead| lead.to_string()).unwrap_or_default(),
        })
        .collect()
}

/// The engine's settings.
pub fn settings(settings: &SchedulerSettings) -> pb::SchedulerSettings {
    pb::SchedulerSettings {
        max_concurrency: Some(settings.max_concurrency),
        tick_interval: Some(wire_duration(settings.tick_interval)),
        buffer_factor: Some(settings.buffer_factor),
        batch_size: Some(settings.batch_size),
        session_ttl: Some(wire_duration(settings.session_ttl)),
        receipt_within: Some(wire_duration(settings.receipt_within)),
        dial_within: Some(wire_duration(settings.dial_within)),
        etag: settings.etag.to_string(),
        max_calls_per_second: settings.max_calls_per_second,
        number_rules: Some(number_rules::wire(&settings.number_rules)),
    }
}

/// A running campaign in the status.
pub fn activity(row: &crate::store::campaigns::ActivityRow) -> pb::CampaignActivity {
    let id: CampaignId = row.id;
    pb::CampaignActivity {
        campaign_id: id.to_string(),
        name: row.name.clone(),
        active_calls: row.dialing,
        ready: row.ready,
        max_concurrency: row.max_concurrency,
        breaker_open_since: row.breaker.map(|breaker| timestamp(breaker.since)),
        breaker_next_probe_at: row.breaker.map(|breaker| timestamp(breaker.next_probe_at)),
    }
}
