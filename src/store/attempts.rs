//! Ended leases: the attempts, and the reports that came late.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::{
    Store, StoreError,
    leads::{Variables, finite, state_of},
    leases::ReportDetails,
    queue::{LeadContext, facts_of},
};
use crate::domain::{
    ids::{CampaignKey, LeadId, LeaseId},
    lead::LeadState,
    outcome::Outcome,
    promise::Promise,
};

/// An attempt, ended or under way.
#[derive(Clone)]
pub struct AttemptRow {
    /// The lease.
    pub lease: LeaseId,
    /// The campaign, as people know it.
    pub campaign: Uuid,
    /// The lead.
    pub lead: LeadId,
    /// The dialer's own name.
    pub dialer: String,
    /// 1, 2, ... over all generations.
    pub attempt_number: i32,
    /// When the permit was given.
    pub begun_at: Option<DateTime<Utc>>,
    /// When the lease ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// What came of it.
    pub outcome: Option<Outcome>,
    /// Whether it counts.
    pub counted: bool,
    /// As reported.
    pub provider_call_id: Option<String>,
    /// As reported.
    pub occurred_at: Option<DateTime<Utc>>,
    /// As reported, in ms.
    pub talk_ms: Option<i32>,
    /// As reported, in ms.
    pub ring_ms: Option<i32>,
    /// The promised callback.
    pub callback_at: Option<DateTime<Utc>>,
    /// The end of the interval that was asked for.
    pub callback_latest: Option<DateTime<Utc>>,
    /// In what words.
    pub callback_phrase: Option<String>,
    /// As reported.
    pub note: Option<String>,
    /// As reported.
    pub metadata: Variables,
    /// Where more than one came: outcome, verdict's code, when.
    pub reports: Vec<(Outcome, i16, DateTime<Utc>)>,
}

/// An ended lease and its lead, for a report that comes late.
#[derive(Clone)]
pub struct EndedLease {
    /// The lease.
    pub lease: LeaseId,
    /// Its place among those of the lead.
    pub seq: i32,
    /// When the attempt began, or was granted.
    pub begun_at: DateTime<Utc>,
    /// The outcome on record.
    pub outcome: Option<Outcome>,
    /// The promised instant on record.
    pub callback_at: Option<DateTime<Utc>>,
    /// In what words it was asked for.
    pub callback_phrase: Option<String>,
    /// Whether the engine said it.
    pub by_engine: bool,
    /// It ended without a permit and without an outcome: what is said of it since counts for nothing.
    pub came_back: bool,
    /// The lead; `facts.last_seq` is that of the newest attempt with an outcome.
    pub context: LeadContext,
    /// The state that people see.
    pub shown_state: LeadState,
    /// Digits of the lead's number.
    pub number: i64,
    /// Attempts of the row's generation are the present one's.
    pub current_generation: bool,
}

fn outcome_of(row: &Row, column: &str) -> Result<Option<Outcome>, StoreError> {
    Ok(row.try_get::<_, Option<i16>>(column)?.and_then(Outcome::from_code))
}

/// What is known of ended leases; ids that no lease ever had are left out. The caller holds the fence when it means to
/// change something by it.
///
/// # Errors
/// [`StoreError`].
pub async fn ended(client: &impl GenericClient, leases: &[LeaseId]) -> Result<Vec<EndedLease>, StoreError> {
    let statement = client.prepare_cached(include_str!("sql/ended_leases.sql")).await?;
    let rows = client.query(&statement, &[&leases]).await?;
    rows.iter()
        .map(|row| {
            let mut facts = facts_of(row)?;
            facts.last_seq = row.try_get("newest_seq")?;
            Ok(EndedLease {
                lease: row.try_get("lease_id")?,
                seq: row.try_get("attempt_seq")?,
                begun_at: row.try_get("attempt_begun_at")?,
                outcome: outcome_of(row, "outcome")?,
                callback_at: finite(row, "attempt_callback_at")?,
                callback_phrase: row.try_get("callback_phrase")?,
                by_engine: row.try_get("by_engine")?,
                came_back: row.try_get("came_back")?,
                context: LeadContext {
                    campaign: row.try_get("campaign_id")?,
                    lead: row.try_get("lead_id")?,
                    version: row.try_get("version")?,
                    facts,
                    state: state_of(row, "state")?,
                    attempts: row.try_get("attempts")?,
                },
                shown_state: state_of(row, "shown_state")?,
                number: row.try_get("number")?,
                current_generation: row.try_get("current_generation")?,
            })
        })
        .collect()
}

/// Writes the outcome that now stands for an ended lease.
///
/// # Errors
/// [`StoreError`].
pub async fn set_outcome(
    client: &impl GenericClient,
    lease: LeaseId,
    outcome: Outcome,
    counted: bool,
    promise: Option<Promise>,
    details: &ReportDetails,
) -> Result<(), StoreError> {
    let statement = client.prepare_cached(include_str!("sql/attempt_set_outcome.sql")).await?;
    client
        .execute(
            &statement,
            &[
                &lease,
                &outcome.code(),
                &counted,
                &promise.map(|promise| promise.at),
                &details.occurred_at,
                &details.provider_call_id,
                &stored_ms(details.talk),
                &stored_ms(details.ring),
                &details.note,
                &details.metadata.as_ref().map(Json),
                &details.callback_phrase,
                &promise.and_then(|promise| promise.latest),
            ],
        )
        .await?;
    Ok(())
}

/// Keeps the outcome on record as the first report of its attempt, before one that came after it; once.
///
/// # Errors
/// [`StoreError`].
pub async fn keep_first_report(client: &impl GenericClient, lease: LeaseId, verdict: i16) -> Result<(), StoreError> {
    let statement = client.prepare_cached(include_str!("sql/attempt_keep_first.sql")).await?;
    client.execute(&statement, &[&lease, &verdict]).await?;
    Ok(())
}

/// Keeps a report that came after the first one, or after the end of its lease.
///
/// # Errors
/// [`StoreError`].
pub async fn keep_report(
    client: &impl GenericClient,
    lease: LeaseId,
    outcome: Outcome,
    verdict: i16,
    callback_at: Option<DateTime<Utc>>,
    details: &ReportDetails,
) -> Result<(), StoreError> {
    let statement = client.prepare_cached(include_str!("sql/attempt_keep.sql")).await?;
    client
        .execute(
            &statement,
            &[
                &lease,
                &outcome.code(),
                &verdict,
                &callback_at,
                &details.occurred_at,
                &stored_ms(details.talk),
                &stored_ms(details.ring),
                &details.provider_call_id,
                &details.note,
                &details.metadata.as_ref().map(Json),
                &details.callback_phrase,
            ],
        )
        .await?;
    Ok(())
}

fn stored_ms(duration: Option<std::time::Duration>) -> Option<i32> {
    duration.map(|d| i32::try_from(d.as_millis()).unwrap_or(i32::MAX))
}

/// Which attempts are listed.
#[derive(Debug, Clone, Default)]
pub struct AttemptFilter {
    /// The attempt itself.
    pub lease: Option<LeaseId>,
    /// By the provider's id.
    pub provider_call_id: Option<String>,
    /// Of a campaign.
    pub campaign: Option<CampaignKey>,
    /// Of a lead.
    pub lead: Option<LeadId>,
}

fn from_row(row: &Row) -> Result<AttemptRow, StoreError> {
    Ok(AttemptRow {
        lease: row.try_get("lease_id")?,
        campaign: row.try_get("public_id")?,
        lead: row.try_get("lead_id")?,
        dialer: row.try_get("dialer_id")?,
        attempt_number: row.try_get("attempt_number")?,
        begun_at: row.try_get("begun_at")?,
        ended_at: row.try_get("ended_at")?,
        outcome: outcome_of(row, "outcome")?,
        counted: row.try_get("counted")?,
        provider_call_id: row.try_get("provider_call_id")?,
        occurred_at: row.try_get("occurred_at")?,
        talk_ms: row.try_get("talk_ms")?,
        ring_ms: row.try_get("ring_ms")?,
        callback_at: finite(row, "callback_at")?,
        callback_latest: row.try_get("callback_latest")?,
        callback_phrase: row.try_get("callback_phrase")?,
        note: row.try_get("note")?,
        metadata: row.try_get::<_, Option<Json<Variables>>>("metadata")?.map(|json| json.0).unwrap_or_default(),
        reports: Vec::new(),
    })
}

impl Store {
    /// See [`ended`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ended_leases(&self, leases: &[LeaseId]) -> Result<Vec<EndedLease>, StoreError> {
        ended(&self.client().await?, leases).await
    }

    /// Attempts, newest first, below `before`, with their later reports.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn attempts(
        &self,
        filter: &AttemptFilter,
        before: Option<LeaseId>,
        limit: i64,
    ) -> Result<Vec<AttemptRow>, StoreError> {
        let client = self.client().await?;
        // Each filter has its own way in: one statement for all would walk the whole history for a single attempt.
        let way_in = match filter {
            AttemptFilter { lease: Some(_), .. } => "x.lease_id = $1::uuid",
            AttemptFilter { provider_call_id: Some(_), .. } => "x.provider_call_id = $2::text",
            AttemptFilter { lead: Some(_), .. } => "x.campaign_id = $3::int and x.lead_id = $4::uuid",
            _ => "x.campaign_id = $3::int",
        };
        let sql = include_str!("sql/attempts.sql").replace("true /* way in */", way_in);
        let statement = client.prepare_cached(&sql).await?;
        let rows = client
            .query(
                &statement,
                &[&filter.lease, &filter.provider_call_id, &filter.campaign, &filter.lead, &before, &limit],
            )
            .await?;
        let mut attempts = rows.iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
        let leases: Vec<LeaseId> = attempts.iter().map(|attempt| attempt.lease).collect();
        let statement = client
            .prepare_cached(
                "select lease_id, outcome, verdict, received_at from attempt_report where lease_id = any ($1::uuid[]) \
                 order by report_id",
            )
            .await?;
        let mut later: HashMap<LeaseId, Vec<(Outcome, i16, DateTime<Utc>)>> = HashMap::new();
        for row in client.query(&statement, &[&leases]).await? {
            if let Some(outcome) = outcome_of(&row, "outcome")? {
                later.entry(row.try_get("lease_id")?).or_default().push((
                    outcome,
                    row.try_get("verdict")?,
                    row.try_get("received_at")?,
                ));
            }
        }
        for attempt in &mut attempts {
            attempt.reports = later.remove(&attempt.lease).unwrap_or_default();
        }
        Ok(attempts)
    }

    /// Makes sure that this month and the next have their partitions.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn extend_attempts(&self) -> Result<(), StoreError> {
        let client = self.client().await?;
        client.execute("select extend_call_attempt(engine_now())", &[]).await?;
        Ok(())
    }
}
