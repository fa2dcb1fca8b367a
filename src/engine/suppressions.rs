//! Numbers that nobody may call: suppressed for all campaigns at once, effective when answered.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Engine, EngineError,
    audit::{Asked, Audit},
    leasing::messages::RevokeReason,
};
use crate::{
    domain::{ids::CampaignKey, phone_number::PhoneNumber},
    store::{
        Transaction,
        changes::{self, Revoked},
        suppressions as stored,
    },
};

/// What a suppression did.
#[derive(Debug, Default)]
pub(super) struct Suppressed {
    /// Numbers that were not suppressed before.
    pub added: u64,
    /// Leads that may no longer be called.
    pub leads: i32,
    /// Leases without a permit that are over.
    pub revoked: Vec<Revoked>,
}

impl Suppressed {
    /// Adds what another suppression of the same transaction did.
    pub fn extend(&mut self, more: Suppressed) {
        self.added += more.added;
        self.leads += more.leads;
        self.revoked.extend(more.revoked);
    }
}

/// What AddSuppressions or RemoveSuppressions answers.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SuppressionReport {
    /// Numbers that changed.
    pub numbers: u64,
    /// Leads that changed.
    pub leads: i32,
}

/// The campaigns that have these numbers.
pub(super) async fn campaigns_of(
    tx: &Transaction<'_>,
    numbers: &[PhoneNumber],
) -> Result<Vec<CampaignKey>, EngineError> {
    Ok(stored::leads_of(tx, numbers).await?.into_iter().map(|(campaign, _)| campaign).collect())
}

/// Holds the fences of all campaigns that have these numbers.
pub(super) async fn fence_numbers(tx: &Transaction<'_>, numbers: &[PhoneNumber]) -> Result<(), EngineError> {
    let campaigns = campaigns_of(tx, numbers).await?;
    Ok(changes::fence(tx, &campaigns).await?)
}

/// Suppresses numbers and blocks their leads. The caller holds the fences of their campaigns.
pub(super) async fn suppress(
    tx: &Transaction<'_>,
    numbers: &[PhoneNumber],
    reason: &str,
) -> Result<Suppressed, EngineError> {
    let mut suppressed = Suppressed { added: stored::insert(tx, numbers, reason).await?, ..Suppressed::default() };
    for (campaign, leads) in stored::leads_of(tx, numbers).await? {
        let (blocked, revoked) = changes::block(tx, campaign, &leads).await?;
        suppressed.leads += blocked;
        suppressed.revoked.extend(revoked);
    }
    Ok(suppressed)
}

fn audit(numbers: &[PhoneNumber], reason: &str) -> Audit {
    let numbers = stored::digits(numbers);
    Audit::default().with("numbers", numbers.len()).with("reason", reason).naming(numbers)
}

impl Engine {
    /// Suppresses numbers for all campaigns.
    ///
    /// # Errors
    /// [`EngineError::RequestReused`]; [`EngineError::Unavailable`].
    pub async fn add_suppressions(
        self: &Arc<Self>,
        numbers: Vec<PhoneNumber>,
        reason: String,
        asked: Asked,
    ) -> Result<SuppressionReport, EngineError> {
        let done = self
            .change(asked, move |tx| {
                let (numbers, reason) = (numbers.clone(), reason.clone());
                Box::pin(async move {
                    fence_numbers(tx, &numbers).await?;
                    let done = suppress(tx, &numbers, &reason).await?;
                    let audit = audit(&numbers, &reason);
                    Ok((SuppressionReport { numbers: done.added, leads: done.leads }, done, Some(audit)))
                })
            })
            .await?;
        if let Some(suppressed) = done.aftermath {
            self.announce_suppressed(&suppressed);
        }
        self.outlast_turns().await;
        Ok(done.answer)
    }

    /// Lifts suppressions, and the do_not_call flags of their leads.
    ///
    /// # Errors
    /// As [`Engine::add_suppressions`].
    pub async fn remove_suppressions(
        self: &Arc<Self>,
        numbers: Vec<PhoneNumber>,
        reason: String,
        asked: Asked,
    ) -> Result<SuppressionReport, EngineError> {
        let (count, of_change) = (numbers.len(), reason.clone());
        let done = self
            .change(asked, move |tx| {
                let (numbers, reason) = (numbers.clone(), of_change.clone());
                Box::pin(async move {
                    fence_numbers(tx, &numbers).await?;
                    let removed = stored::delete(tx, &numbers).await?;
                    let mut report = SuppressionReport { numbers: removed, leads: 0 };
                    let mut campaigns = Vec::new();
                    for (campaign, leads) in stored::leads_of(tx, &numbers).await? {
                        report.leads += changes::unblock(tx, campaign, &leads).await?;
                        campaigns.push(campaign);
                    }
                    Ok((report, campaigns, Some(audit(&numbers, &reason))))
                })
            })
            .await?;
        tracing::info!(count, reason, "suppressions lifted");
        for campaign in done.aftermath.unwrap_or_default() {
            self.announce_work(campaign);
        }
        Ok(done.answer)
    }

    /// Blocks the leads of numbers that are suppressed already.
    async fn block_suppressed(self: &Arc<Self>, numbers: Vec<PhoneNumber>) -> Result<(), EngineError> {
        let done = self
            .mutate(None, move |tx| {
                let numbers = numbers.clone();
                Box::pin(async move {
                    fence_numbers(tx, &numbers).await?;
                    Ok(((), suppress(tx, &numbers, "").await?))
                })
            })
            .await?;
        if let Some(suppressed) = done.aftermath {
            self.announce_suppressed(&suppressed);
        }
        Ok(())
    }

    pub(super) fn announce_suppressed(&self, suppressed: &Suppressed) {
        self.announce_revoked(&suppressed.revoked, RevokeReason::Suppressed);
    }

    /// Blocks leads of numbers that are suppressed already: an import met the suppression half way.
    pub(crate) fn block_again(self: &Arc<Self>, digits: Vec<i64>) {
        let numbers: Vec<PhoneNumber> = digits.into_iter().filter_map(PhoneNumber::from_digits).collect();
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = engine.block_suppressed(numbers).await {
                tracing::warn!(%error, "leads of suppressed numbers could not be blocked; they stay refused one by one");
            }
        });
    }
}

impl Engine {
    /// Which of these numbers are suppressed (digits), why, and since when.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn check_suppressions(
        &self,
        numbers: &[PhoneNumber],
    ) -> Result<Vec<(i64, String, chrono::DateTime<chrono::Utc>)>, EngineError> {
        Ok(self.store.suppressions(numbers).await?)
    }
}
