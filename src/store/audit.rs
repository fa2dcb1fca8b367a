//! Events of changes by people. Never changed once written.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::{Store, StoreError};
use crate::domain::ids::{CampaignId, CampaignKey, LeadId};

/// Which events are wanted; nothing given: all.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this campaign.
    pub campaign: Option<CampaignKey>,
    /// Of this lead.
    pub lead: Option<LeadId>,
    /// Naming this number; digits.
    pub number: Option<i64>,
    /// By this method.
    pub method: Option<String>,
    /// By this actor.
    pub actor: Option<String>,
    /// Not before this.
    pub since: Option<DateTime<Utc>>,
    /// Before this.
    pub until: Option<DateTime<Utc>>,
}

/// One event.
#[derive(Debug, Clone)]
pub struct AuditRow {
    /// Counts events; gaps are possible.
    pub event: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// By which method.
    pub method: String,
    /// Named so.
    pub request: Option<Uuid>,
    /// Of this campaign.
    pub campaign: Option<CampaignId>,
    /// Of this lead.
    pub lead: Option<LeadId>,
    /// Digits.
    pub numbers: Vec<i64>,
    /// What.
    pub details: BTreeMap<String, String>,
}

/// An event to be written.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct NewEvent<'a> {
    pub actor: &'a str,
    pub method: &'a str,
    pub request: Option<Uuid>,
    pub campaign: Option<CampaignKey>,
    pub lead: Option<LeadId>,
    pub numbers: &'a [i64],
    pub details: &'a BTreeMap<String, String>,
}

/// Writes one event.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(client: &impl GenericClient, event: &NewEvent<'_>) -> Result<(), StoreError> {
    let statement = client.prepare_cached(include_str!("sql/audit_insert.sql")).await?;
    let NewEvent { actor, method, request, campaign, lead, numbers, details } = event;
    client.execute(&statement, &[actor, method, request, campaign, lead, numbers, &Json(details)]).await?;
    Ok(())
}

impl Store {
    /// Events, newest first, below `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn audit_events(
        &self,
        filter: &AuditFilter,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/audit_events.sql")).await?;
        let AuditFilter { campaign, lead, number, method, actor, since, until } = filter;
        let rows =
            client.query(&statement, &[campaign, lead, number, method, actor, since, until, &before, &limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(AuditRow {
                    event: row.try_get("event_id")?,
                    at: row.try_get("at")?,
                    actor: row.try_get("actor")?,
                    method: row.try_get("method")?,
                    request: row.try_get("request_id")?,
                    campaign: row.try_get("public_id")?,
                    lead: row.try_get("lead_id")?,
                    numbers: row.try_get("numbers")?,
                    details: row.try_get::<_, Json<BTreeMap<String, String>>>("details")?.0,
                })
            })
            .collect()
    }
}
