//! Attempts for the wire.

use super::convert::{timestamp, wire_ms};
use crate::{pb, store::attempts::AttemptRow};

/// An attempt, ended or under way.
pub fn attempt(row: AttemptRow) -> pb::Attempt {
    pb::Attempt {
        lease_id: row.lease.to_string(),
        campaign_id: row.campaign.to_string(),
        lead_id: row.lead.to_string(),
        dialer_id: row.dialer,
        attempt_number: row.attempt_number,
        begun_at: row.begun_at.map(timestamp),
        ended_at: row.ended_at.map(timestamp),
        outcome: row.outcome.map_or(0, |outcome| i32::from(outcome.code())),
        counted: row.counted,
        without_permit: row.begun_at.is_none(),
        provider_call_id: row.provider_call_id.unwrap_or_default(),
        occurred_at: row.occurred_at.map(timestamp),
        talk_duration: row.talk_ms.map(wire_ms),
        ring_duration: row.ring_ms.map(wire_ms),
        callback_at: row.callback_at.map(timestamp),
        note: row.note.unwrap_or_default(),
        metadata: row.metadata,
        reports: row
            .reports
            .into_iter()
            .map(|(outcome, verdict, received_at)| pb::AttemptReport {
                outcome: i32::from(outcome.code()),
                verdict: i32::from(verdict),
                received_at: Some(timestamp(received_at)),
            })
            .collect(),
        callback_phrase: row.callback_phrase.unwrap_or_default(),
        callback_latest: row.callback_latest.map(timestamp),
    }
}
