//! Numbers that nobody may call: suppressed for all campaigns at once, effective when answered.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    Engine, EngineError,
    audit::{Asked, Audit},
    bulk::BATCH,
    leasing::messages::RevokeReason,
};
use crate::{
    domain::{ids::CampaignKey, phone_number::PhoneNumber},
    store::{
        Transaction,
        changes::{self, Revoked},
        suppressions::{self as stored, SuppressionFilter, SuppressionRow},
    },
};

/// What a suppression did.
#[derive(Debug, Default)]
pub(super) struct Suppressed {
    /// Numbers that were not suppressed before.
    pub added: i64,
    /// Numbers that were, and are for longer now.
    pub extended: i64,
    /// Leads that may no longer be called.
    pub leads: i32,
    /// Leases without a permit that are over.
    pub revoked: Vec<Revoked>,
}

impl Suppressed {
    /// Adds what another suppression of the same transaction did.
    pub fn extend(&mut self, more: Suppressed) {
        self.added += more.added;
        self.extended += more.extended;
        self.leads += more.leads;
        self.revoked.extend(more.revoked);
    }
}

/// What AddSuppressions or RemoveSuppressions answers.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct SuppressionReport {
    /// Numbers that are suppressed now and were not, or the other way round.
    pub numbers: i64,
    /// Numbers that are suppressed for longer.
    #[serde(default)]
    pub extended: i64,
    /// Leads that changed.
    pub leads: i64,
}

/// Suppresses numbers until an instant, or for good, and blocks their leads. The caller holds `stored::fence`.
pub(super) async fn suppress(
    tx: &Transaction<'_>,
    numbers: &[PhoneNumber],
    reason: &str,
    until: Option<DateTime<Utc>>,
) -> Result<Suppressed, EngineError> {
    let (added, extended) = stored::insert(tx, numbers, reason, until).await?;
    let mut suppressed = Suppressed { added, extended, ..Suppressed::default() };
    for (campaign, leads) in stored::leads_of(tx, numbers).await? {
        let (blocked, revoked) = changes::block(tx, campaign, &leads).await?;
        suppressed.leads += blocked;
        suppressed.revoked.extend(revoked);
    }
    Ok(suppressed)
}

/// Suppresses numbers for good: somebody asked never to be called again.
pub(super) async fn suppress_for_good(
    tx: &Transaction<'_>,
    numbers: &[PhoneNumber],
) -> Result<Suppressed, EngineError> {
    suppress(tx, numbers, "DO_NOT_CALL", None).await
}

/// Unblocks the leads of numbers that are suppressed no more. `pardon`: those with do_not_call, too.
async fn unblock(
    tx: &Transaction<'_>,
    numbers: &[PhoneNumber],
    pardon: bool,
) -> Result<(i64, Vec<CampaignKey>), EngineError> {
    let (mut leads, mut campaigns) = (0, Vec::new());
    for (campaign, of) in stored::leads_of(tx, numbers).await? {
        leads += i64::from(changes::unblock(tx, campaign, &of, pardon).await?);
        campaigns.push(campaign);
    }
    Ok((leads, campaigns))
}

/// Numbers of people who asked for a change.
fn audit(numbers: &[PhoneNumber], reason: &str) -> Audit {
    let numbers = stored::digits(numbers);
    Audit::default().with("numbers", numbers.len()).with("reason", reason).naming(numbers)
}

fn parsed(digits: Vec<i64>) -> Vec<PhoneNumber> {
    digits.into_iter().filter_map(PhoneNumber::from_digits).collect()
}

impl Engine {
    /// Suppresses numbers for all campaigns, until an instant or for good.
    ///
    /// # Errors
    /// [`EngineError::BadInput`] when the instant is over; [`EngineError::RequestReused`]; [`EngineError::Unavailable`].
    pub async fn add_suppressions(
        self: &Arc<Self>,
        numbers: Vec<PhoneNumber>,
        reason: String,
        until: Option<DateTime<Utc>>,
        asked: Asked,
    ) -> Result<SuppressionReport, EngineError> {
        if until.is_some_and(|at| at <= self.clock.now()) {
            return Err(EngineError::BadInput { field: "expires_at", rule: "must be in the future" });
        }
        let done = self
            .change(asked, move |tx| {
                let (numbers, reason) = (numbers.clone(), reason.clone());
                Box::pin(async move {
                    stored::fence(tx, &numbers, &[]).await?;
                    let done = suppress(tx, &numbers, &reason, until).await?;
                    let mut audit = audit(&numbers, &reason);
                    if let Some(at) = until {
                        audit = audit.with("expires_at", at.to_rfc3339());
                    }
                    let leads = i64::from(done.leads);
                    Ok((SuppressionReport { numbers: done.added, extended: done.extended, leads }, done, Some(audit)))
                })
            })
            .await?;
        if let Some(suppressed) = done.aftermath {
            self.announce_suppressed(&suppressed);
        }
        self.outlast_turns().await?;
        Ok(done.answer)
    }

    /// Lifts suppressions of these numbers, and the do_not_call flags of their leads.
    ///
    /// # Errors
    /// [`EngineError::RequestReused`]; [`EngineError::Unavailable`].
    pub async fn remove_suppressions(
        self: &Arc<Self>,
        numbers: Vec<PhoneNumber>,
        reason: String,
        asked: Asked,
    ) -> Result<SuppressionReport, EngineError> {
        self.remove_batch(numbers, SuppressionFilter::default(), reason, asked).await
    }

    /// What lifting them would do.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn would_remove_suppressions(&self, numbers: &[PhoneNumber]) -> Result<SuppressionReport, EngineError> {
        let (numbers, leads) = self.store.count_suppressed(numbers).await?;
        Ok(SuppressionReport { numbers, leads, ..SuppressionReport::default() })
    }

    /// Lifts those of these suppressions that match, all in one transaction.
    async fn remove_batch(
        self: &Arc<Self>,
        numbers: Vec<PhoneNumber>,
        filter: SuppressionFilter,
        reason: String,
        asked: Asked,
    ) -> Result<SuppressionReport, EngineError> {
        let of_change = reason.clone();
        let done = self
            .change(asked, move |tx| {
                let (numbers, filter, reason) = (numbers.clone(), filter.clone(), of_change.clone());
                Box::pin(async move {
                    stored::fence(tx, &numbers, &[]).await?;
                    let removed = stored::delete(tx, &numbers, &filter).await?;
                    let count = i64::try_from(removed.len()).unwrap_or(i64::MAX);
                    // By name also those that are not suppressed: their leads are as if they never were.
                    let meant = if filter.is_empty() { numbers } else { parsed(removed) };
                    let (leads, campaigns) = unblock(tx, &meant, true).await?;
                    let report = SuppressionReport { numbers: count, leads, ..SuppressionReport::default() };
                    Ok((report, campaigns, (!meant.is_empty()).then(|| audit(&meant, &reason))))
                })
            })
            .await?;
        tracing::info!(count = done.answer.numbers, reason, "suppressions lifted");
        for campaign in done.aftermath.unwrap_or_default() {
            self.announce_work(campaign);
        }
        Ok(done.answer)
    }

    /// Lifts all suppressions that match, batch by batch, or counts them. Each batch is an event of its own, which names its
    /// numbers. A repeated request_id answers the first answer; after a call that broke off it does the rest, and counts that.
    ///
    /// # Errors
    /// [`EngineError::RequestReused`]; [`EngineError::Unavailable`].
    pub async fn remove_matching_suppressions(
        self: &Arc<Self>,
        filter: SuppressionFilter,
        reason: String,
        validate_only: bool,
        asked: Asked,
    ) -> Result<SuppressionReport, EngineError> {
        if validate_only {
            let (numbers, leads) = self.store.count_suppressions(&filter).await?;
            return Ok(SuppressionReport { numbers, leads, ..SuppressionReport::default() });
        }
        if let Some(report) = self.answered(asked.key).await? {
            return Ok(report);
        }
        let mut report = SuppressionReport::default();
        let mut after = Some(0);
        while let Some(number) = after {
            let (rows, next) = self.list_suppressions(&filter, Some(number), BATCH).await?;
            let numbers = parsed(rows.into_iter().map(|row| row.number).collect());
            if !numbers.is_empty() {
                // The request_id is for the whole of it.
                let asked = Asked { key: None, ..asked.clone() };
                let batch = self.remove_batch(numbers, filter.clone(), reason.clone(), asked).await?;
                report.numbers += batch.numbers;
                report.leads += batch.leads;
            }
            after = next;
        }
        Ok(self.mutate(asked.key, move |_| Box::pin(async move { Ok((report, ())) })).await?.answer)
    }

    /// Lifts suppressions whose time is over, at most `limit` of them; returns how many. Leads that asked never to be called
    /// stay blocked.
    pub(super) async fn lift_expired(self: &Arc<Self>, limit: i64) -> Result<usize, EngineError> {
        let over = parsed(self.store.expired_suppressions(limit).await?);
        if over.is_empty() {
            return Ok(0);
        }
        let done = self
            .mutate(None, move |tx| {
                let over = over.clone();
                Box::pin(async move {
                    stored::fence(tx, &over, &[]).await?;
                    // Somebody may have made them last longer since, or lifted them.
                    let lifted = parsed(stored::delete_expired(tx, &over).await?);
                    Ok((lifted.len(), unblock(tx, &lifted, false).await?.1))
                })
            })
            .await?;
        for campaign in done.aftermath.unwrap_or_default() {
            self.announce_work(campaign);
        }
        Ok(done.answer)
    }

    /// Blocks leads of numbers that are suppressed: an import met the suppression half way, once upon a time.
    async fn block_suppressed(self: &Arc<Self>, numbers: Vec<PhoneNumber>) -> Result<(), EngineError> {
        let done = self
            .mutate(None, move |tx| {
                let numbers = numbers.clone();
                Box::pin(async move {
                    stored::fence(tx, &numbers, &[]).await?;
                    let still = stored::find(tx, &numbers).await?.into_iter().map(|row| row.number).collect();
                    let mut suppressed = Suppressed::default();
                    for (campaign, leads) in stored::leads_of(tx, &parsed(still)).await? {
                        suppressed.revoked.extend(changes::block(tx, campaign, &leads).await?.1);
                    }
                    Ok(((), suppressed))
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

    /// Blocks leads of numbers that a grant found suppressed.
    pub(crate) fn block_again(self: &Arc<Self>, digits: Vec<i64>) {
        let numbers = parsed(digits);
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = engine.block_suppressed(numbers).await {
                tracing::warn!(%error, "leads of suppressed numbers could not be blocked; they stay refused one by one");
            }
        });
    }

    /// Which of these numbers are suppressed, why, since and until when.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn check_suppressions(&self, numbers: &[PhoneNumber]) -> Result<Vec<SuppressionRow>, EngineError> {
        Ok(self.store.suppressions(numbers).await?)
    }

    /// Suppressions by number; the second part is after which number the next page begins.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn list_suppressions(
        &self,
        filter: &SuppressionFilter,
        after: Option<i64>,
        limit: i64,
    ) -> Result<(Vec<SuppressionRow>, Option<i64>), EngineError> {
        let mut rows = self.store.list_suppressions(filter, after.unwrap_or(0), limit + 1).await?;
        let more = rows.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        if more {
            rows.pop();
        }
        let next = rows.last().map(|row| row.number).filter(|_| more);
        Ok((rows, next))
    }
}
