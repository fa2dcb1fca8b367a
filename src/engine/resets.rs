//! Reset: calls again whoever was not reached and leaves alone whoever has spoken.

use std::{collections::HashMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Engine, EngineError,
    audit::{Asked, Audit},
    campaigns,
    leasing::messages::RevokeReason,
    outcomes::{Brief, Report, settlement},
};
use crate::{
    domain::{
        ids::{CampaignId, LeaseId},
        lead::LeadState,
        outcome::Outcome,
    },
    failpoints,
    store::{
        campaigns::{self as stored, GaugeRow},
        changes::{self, Revoked},
        leases, live_leases,
    },
};

/// What a reset did, or would do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResetReport {
    /// Per former state: reset, kept.
    pub counts: Vec<(LeadState, i64, i64)>,
    /// The generation in force afterwards.
    pub generation: i32,
}

/// Leases that a reset ended: those without a permit, and those that were silent too long.
struct Aftermath {
    revoked: Vec<Revoked>,
    unknown: Vec<LeaseId>,
}

/// Counts per former state, by the gauge alone: they cost the same for any size.
fn counts(gauge: &GaugeRow) -> Vec<(LeadState, i64, i64)> {
    let blocked: HashMap<LeadState, i64> = gauge.blocked.iter().copied().collect();
    gauge
        .counts
        .iter()
        .filter(|(_, leads)| *leads > 0)
        .map(|(state, leads)| {
            let reset = match state {
                LeadState::DialingIntent => gauge.unbegun + gauge.overdue,
                state if state.is_reset() => leads - blocked.get(state).copied().unwrap_or(0),
                _ => 0,
            };
            (*state, reset, leads - reset)
        })
        .collect()
}

impl Engine {
    /// Resets a campaign, or says what that would do.
    ///
    /// # Errors
    /// [`EngineError::CampaignNotFound`], [`EngineError::CampaignState`] when archived, [`EngineError::RequestReused`].
    pub async fn reset_campaign(
        self: &Arc<Self>,
        id: CampaignId,
        validate_only: bool,
        asked: Asked,
    ) -> Result<ResetReport, EngineError> {
        let key = self.campaign(id).await?.key;
        if validate_only {
            let row = self.read_campaign(id).await?;
            campaigns::refuse_archived(&row)?;
            let gauge = self.store.gauge(key).await?;
            return Ok(ResetReport { counts: counts(&gauge), generation: gauge.epoch });
        }
        let now = self.clock.now();
        failpoints::pass("reset_before");
        let done = self
            .change(asked, move |tx| {
                Box::pin(async move {
                    let campaign = campaigns::lock(tx, key).await?;
                    campaigns::refuse_archived(&campaign)?;
                    let gauge = stored::gauge(tx, key).await?;
                    let overdue = changes::overdue_begun(tx, key).await?;
                    let settlements: Vec<_> = live_leases::contexts(tx, &overdue)
                        .await?
                        .iter()
                        .map(|context| {
                            let report = Report::new(context.lease, Outcome::Unknown);
                            settlement(&Brief::from(context), &report, &campaign.rules.retry_policy, now)
                        })
                        .collect();
                    let unknown = if settlements.is_empty() {
                        Vec::new()
                    } else {
                        leases::settle(tx, &settlements, true).await?.into_iter().map(|(lease, _, _)| lease).collect()
                    };
                    failpoints::midway("reset_midway");
                    let revoked = changes::reset(tx, key).await?;
                    let report = ResetReport { counts: counts(&gauge), generation: gauge.epoch + 1 };
                    let reset: i64 = report.counts.iter().map(|(_, reset, _)| reset).sum();
                    let audit = Audit::campaign(key).with("reset", reset).with("generation", report.generation);
                    Ok((report, Aftermath { revoked, unknown }, Some(audit)))
                })
            })
            .await?;
        failpoints::pass("reset_after");
        if let Some(aftermath) = done.aftermath {
            self.announce_revoked(&aftermath.revoked, RevokeReason::CampaignChanged);
            self.announce_ended(aftermath.unknown, Some(RevokeReason::MaxDuration));
            self.announce(key);
        }
        self.outlast_turns().await?;
        Ok(done.answer)
    }
}
