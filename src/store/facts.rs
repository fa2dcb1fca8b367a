//! Facts in the order of their acceptance: every report that was accepted, as it was told then.

use chrono::{DateTime, Utc};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::{
    Store, StoreError,
    leads::{Variables, finite},
};
use crate::domain::{
    ids::{CampaignKey, LeadId, LeaseId},
    outcome::Outcome,
    phone_number::PhoneNumber,
};

/// Facts read at once. It stands in the statement: plans must know how few they are.
pub const FACTS_PAGE: usize = 200;

/// A place in the order: everything up to a fact has been seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactCursor {
    /// Whose numbers these are: see `fact_numbering`.
    pub numbering: Uuid,
    /// The fact's number, which all facts of its transaction have.
    pub no: i64,
    /// The attempt.
    pub lease: LeaseId,
    /// Counts its reports, from 0.
    pub nth: i32,
}

/// A report that was accepted, as it was told.
#[derive(Clone)]
pub struct FactRow {
    /// The attempt.
    pub lease: LeaseId,
    /// The campaign, as people know it.
    pub campaign: Uuid,
    /// The lead.
    pub lead: LeadId,
    /// The user's own key.
    pub external_id: Option<String>,
    /// The lead's number; none: it is stored no more.
    pub number: Option<PhoneNumber>,
    /// 1, 2, ... over all generations.
    pub attempt_number: i32,
    /// The dialer's own name.
    pub dialer: String,
    /// What it said.
    pub outcome: Outcome,
    /// What became of it, by its code.
    pub verdict: i16,
    /// When it was accepted.
    pub accepted_at: DateTime<Utc>,
    /// When the permit was given.
    pub begun_at: Option<DateTime<Utc>>,
    /// As reported.
    pub occurred_at: Option<DateTime<Utc>>,
    /// As reported.
    pub callback_at: Option<DateTime<Utc>>,
    /// As reported, in ms.
    pub talk_ms: Option<i32>,
    /// As reported, in ms.
    pub ring_ms: Option<i32>,
    /// As reported.
    pub provider_call_id: Option<String>,
    /// As reported.
    pub note: Option<String>,
    /// As reported.
    pub metadata: Variables,
}

fn fact(row: &Row) -> Result<FactRow, StoreError> {
    let outcome: i16 = row.try_get("outcome")?;
    Ok(FactRow {
        lease: row.try_get("lease_id")?,
        campaign: row.try_get("public_id")?,
        lead: row.try_get("lead_id")?,
        external_id: row.try_get("external_id")?,
        number: row.try_get::<_, Option<i64>>("number")?.and_then(PhoneNumber::from_digits),
        attempt_number: row.try_get("attempt_number")?,
        dialer: row.try_get("dialer_id")?,
        outcome: Outcome::from_code(outcome).ok_or_else(|| StoreError::Bug(format!("outcome {outcome}")))?,
        verdict: row.try_get("verdict")?,
        accepted_at: row.try_get("accepted_at")?,
        begun_at: row.try_get("begun_at")?,
        occurred_at: row.try_get("occurred_at")?,
        callback_at: finite(row, "callback_at")?,
        talk_ms: row.try_get("talk_ms")?,
        ring_ms: row.try_get("ring_ms")?,
        provider_call_id: row.try_get("provider_call_id")?,
        note: row.try_get("note")?,
        metadata: row.try_get::<_, Option<Json<Variables>>>("metadata")?.map(|json| json.0).unwrap_or_default(),
    })
}

impl Store {
    /// Up to [`FACTS_PAGE`] facts after a place, each with its own; of other campaigns the place alone. Only those whose order is
    /// final: a transaction under way that may still accept facts holds back all that come after it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn facts_after(
        &self,
        after: Option<FactCursor>,
        campaign: Option<CampaignKey>,
    ) -> Result<Vec<(FactCursor, Option<FactRow>)>, StoreError> {
        let after = after.unwrap_or(FactCursor { numbering: Uuid::nil(), no: 0, lease: Uuid::nil(), nth: 0 });
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/facts.sql")).await?;
        let rows = client.query(&statement, &[&after.no, &after.lease, &after.nth, &campaign]).await?;
        rows.iter()
            .map(|row| {
                let cursor = FactCursor {
                    numbering: row.try_get("numbering_id")?,
                    no: row.try_get("accepted_no")?,
                    lease: row.try_get("lease_id")?,
                    nth: row.try_get("nth")?,
                };
                let wanted: bool = row.try_get("wanted")?;
                Ok((cursor, if wanted { Some(fact(row)?) } else { None }))
            })
            .collect()
    }

    /// Whether this database has all that the cursor has passed: not, when it is another's, or was put back to an earlier
    /// time since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn knows_cursor(&self, cursor: FactCursor) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select $2::bigint < coalesce( \
                     (select min(m.first_no) from fact_numbering m where m.first_no > n.first_no), \
                     n.base + pg_snapshot_xmax(pg_current_snapshot())::text::bigint) as known \
                 from fact_numbering n where n.numbering_id = $1::uuid",
            )
            .await?;
        match client.query_opt(&statement, &[&cursor.numbering, &cursor.no]).await? {
            Some(row) => Ok(row.try_get("known")?),
            None => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_page_is_as_long_as_its_statement_says() {
        let limit = format!("limit {}\n", super::FACTS_PAGE);
        assert_eq!(include_str!("sql/facts.sql").matches(&limit).count(), 3);
    }
}
