//! Campaigns and their gauges.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use serde::{Deserialize, Serialize};
use tokio_postgres::{Row, types::Json};
use uuid::Uuid;

use super::{Store, StoreError, number_rules};
use crate::domain::{
    campaign::{CampaignRules, CampaignState, StateFilter},
    ids::{CampaignId, CampaignKey},
    lead::LeadState,
    outcome::Outcome,
};

/// An open circuit breaker: the provider refuses every call of a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenBreaker {
    /// Since when.
    pub since: DateTime<Utc>,
    /// When the next lease is granted, to see whether the provider is back.
    pub next_probe_at: DateTime<Utc>,
}

fn breaker(row: &Row) -> Result<Option<OpenBreaker>, StoreError> {
    let since: Option<DateTime<Utc>> = row.try_get("breaker_open_since")?;
    let next_probe_at: Option<DateTime<Utc>> = row.try_get("next_probe_at")?;
    Ok(since.zip(next_probe_at).map(|(since, next_probe_at)| OpenBreaker { since, next_probe_at }))
}

/// A campaign as stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CampaignRow {
    /// As rows carry it.
    pub key: CampaignKey,
    /// As people know it.
    pub id: CampaignId,
    /// Its name.
    pub name: String,
    /// Where its life stands.
    pub state: CampaignState,
    /// Since when.
    pub state_since: DateTime<Utc>,
    /// The rules in force.
    pub rules: CampaignRules,
    /// Counts changes of the rules.
    pub rules_version: i32,
    /// Counts changes of anything.
    pub etag: i64,
    /// Counts resets.
    pub generation: i32,
    /// Its circuit breaker, if that is open.
    pub breaker: Option<OpenBreaker>,
    /// It runs, and nobody is left to be called. Only for people: it was so when this was read.
    #[serde(default)]
    pub completed: bool,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl CampaignRow {
    /// Whether another reading of the same campaign was made before this one.
    pub fn is_newer_than(&self, other: &CampaignRow) -> bool {
        self.etag > other.etag || self.generation > other.generation
    }
}

const SELECT: &str = "select c.campaign_id, c.public_id, c.name, c.state, c.state_since, c.rules, c.rules_version, c.etag, \
     c.breaker_open_since, c.next_probe_at, g.epoch, case when c.state = 2 then campaign_is_complete(c.campaign_id) else false end as completed, \
     c.created_at, c.updated_at from campaign c join gauge g on g.campaign_id = c.campaign_id";

fn from_row(row: &Row) -> Result<CampaignRow, StoreError> {
    let state: i16 = row.try_get("state")?;
    Ok(CampaignRow {
        key: row.try_get("campaign_id")?,
        id: row.try_get("public_id")?,
        name: row.try_get("name")?,
        state: CampaignState::from_code(state).ok_or_else(|| StoreError::Bug(format!("campaign state {state}")))?,
        state_since: row.try_get("state_since")?,
        rules: row.try_get::<_, Json<CampaignRules>>("rules")?.0,
        rules_version: row.try_get("rules_version")?,
        etag: row.try_get("etag")?,
        generation: row.try_get("epoch")?,
        breaker: breaker(row)?,
        completed: row.try_get("completed")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

/// Which campaign is meant.
#[derive(Debug, Clone, Copy)]
pub enum By {
    /// As people know it.
    Id(CampaignId),
    /// As rows carry it.
    Key(CampaignKey),
}

/// Reads one campaign.
///
/// # Errors
/// [`StoreError`].
pub async fn find(client: &impl GenericClient, by: By) -> Result<Option<CampaignRow>, StoreError> {
    let row = match by {
        By::Id(id) => {
            let statement = client.prepare_cached(&format!("{SELECT} where c.public_id = $1::uuid")).await?;
            client.query_opt(&statement, &[&id]).await?
        }
        By::Key(key) => {
            let statement = client.prepare_cached(&format!("{SELECT} where c.campaign_id = $1::int")).await?;
            client.query_opt(&statement, &[&key]).await?
        }
    };
    row.as_ref().map(from_row).transpose()
}

/// Limits of retries by the code of their outcome, as statements compare them.
fn retry_limits(rules: &CampaignRules) -> Vec<Option<i16>> {
    Outcome::ALL
        .into_iter()
        .map(|outcome| rules.retry_policy.limit(outcome).and_then(|limit| i16::try_from(limit).ok()))
        .collect()
}

/// Creates a campaign in DRAFT, with its gauge.
///
/// # Errors
/// [`StoreError`].
pub async fn insert(
    client: &impl GenericClient,
    id: CampaignId,
    name: &str,
    rules: &CampaignRules,
) -> Result<CampaignRow, StoreError> {
    let statement = client.prepare_cached(include_str!("sql/campaign_insert.sql")).await?;
    client
        .execute(
            &statement,
            &[
                &id,
                &name,
                &Json(rules),
                &rules.max_attempts,
                &rules.max_concurrency,
                &rules.begin_within.as_secs_f64(),
                &rules.max_duration.as_secs_f64(),
                &retry_limits(rules),
                &rules.max_calls_per_second,
                &rules.breaker_after,
                &rules.breaker_probe_interval.as_secs_f64(),
            ],
        )
        .await?;
    let row = find(client, By::Id(id)).await?.ok_or_else(|| StoreError::Bug("an inserted campaign is gone".into()))?;
    number_rules::write(client, row.key, rules.limits()).await?;
    Ok(row)
}

/// Writes name and rules. The caller holds the fence exclusively.
///
/// # Errors
/// [`StoreError`].
pub async fn update(
    client: &impl GenericClient,
    key: CampaignKey,
    name: &str,
    rules: &CampaignRules,
) -> Result<(), StoreError> {
    let statement = client.prepare_cached(include_str!("sql/campaign_update.sql")).await?;
    client
        .execute(
            &statement,
            &[
                &key,
                &name,
                &Json(rules),
                &rules.max_attempts,
                &rules.max_concurrency,
                &rules.begin_within.as_secs_f64(),
                &rules.max_duration.as_secs_f64(),
                &retry_limits(rules),
                &rules.max_calls_per_second,
                &rules.breaker_after,
                &rules.breaker_probe_interval.as_secs_f64(),
            ],
        )
        .await?;
    client.execute("select set_breakers(array[$1::int])", &[&key]).await?;
    number_rules::write(client, key, rules.limits()).await
}

/// Writes the state. The caller holds the fence exclusively and has checked that the change is allowed.
///
/// # Errors
/// [`StoreError`].
pub async fn set_state(client: &impl GenericClient, key: CampaignKey, state: CampaignState) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached(
            "update campaign set state = $2::smallint, state_since = engine_now(), etag = etag + 1, \
             updated_at = engine_now() where campaign_id = $1::int",
        )
        .await?;
    client.execute(&statement, &[&key, &state.code()]).await?;
    Ok(())
}

/// What is counted for one campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GaugeRow {
    /// Leads per state.
    pub counts: Vec<(LeadState, i64)>,
    /// Suppressed leads among the states that a reset would free.
    pub blocked: Vec<(LeadState, i64)>,
    /// All suppressed leads.
    pub blocked_total: i64,
    /// Leads that wait only for their hours.
    pub waiting_hours: i64,
    /// Leads without a zone.
    pub waiting_zone: i64,
    /// Attempts counted ever.
    pub attempts: i64,
    /// Counts resets.
    pub epoch: i32,
    /// The first due row.
    pub next_due_at: Option<DateTime<Utc>>,
    /// Leads that are due within five minutes, promises included; up to 1,000 promises and 250 others are looked at.
    pub due_soon: i64,
    /// Promises without an instant, up to 10,000.
    pub held: i64,
    /// Live leases with a permit.
    pub begun: i64,
    /// Of these, those past their deadline.
    pub overdue: i64,
    /// Live leases without a permit whose lead has no promise.
    pub unbegun: i64,
}

/// Reads the gauge: costs the same for any size of the campaign.
///
/// # Errors
/// [`StoreError`].
pub async fn gauge(client: &impl GenericClient, key: CampaignKey) -> Result<GaugeRow, StoreError> {
    let statement = client.prepare_cached(include_str!("sql/gauge.sql")).await?;
    let row = client.query_one(&statement, &[&key]).await?;
    let count = |name: &str| -> Result<i64, StoreError> { Ok(i64::from(row.try_get::<_, i32>(name)?)) };
    Ok(GaugeRow {
        counts: vec![
            (LeadState::Eligible, count("eligible")?),
            (LeadState::Ready, count("ready")?),
            (LeadState::DialingIntent, count("dialing")?),
            (LeadState::IntentYes, count("intent_yes")?),
            (LeadState::IntentNo, count("intent_no")?),
            (LeadState::IntentNoAnswer, count("no_answer")?),
            (LeadState::Failed, count("failed")?),
            (LeadState::Scheduled, count("scheduled")?),
            (LeadState::Consumed, count("consumed")?),
        ],
        blocked: vec![
            (LeadState::Eligible, count("blocked_eligible")?),
            (LeadState::IntentNoAnswer, count("blocked_no_answer")?),
            (LeadState::Failed, count("blocked_failed")?),
        ],
        blocked_total: count("blocked_eligible")?
            + count("blocked_dialing")?
            + count("blocked_no_answer")?
            + count("blocked_failed")?
            + count("blocked_other")?,
        waiting_hours: count("waiting_hours")?,
        waiting_zone: count("waiting_zone")?,
        attempts: row.try_get("attempts")?,
        epoch: row.try_get("epoch")?,
        next_due_at: row.try_get("next_due_at")?,
        due_soon: row.try_get("due_soon")?,
        held: row.try_get("held")?,
        begun: row.try_get("begun")?,
        overdue: row.try_get("overdue")?,
        unbegun: row.try_get("unbegun")?,
    })
}

/// One running campaign, for the status.
#[derive(Debug, Clone)]
pub struct ActivityRow {
    /// As people know it.
    pub id: CampaignId,
    /// Its name.
    pub name: String,
    /// Live leases.
    pub dialing: i64,
    /// READY leads.
    pub ready: i64,
    /// Its cap.
    pub max_concurrency: Option<i32>,
    /// Its circuit breaker, if that is open.
    pub breaker: Option<OpenBreaker>,
    /// The first due row.
    pub next_due_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Reads one campaign.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn campaign(&self, by: By) -> Result<Option<CampaignRow>, StoreError> {
        find(&self.client().await?, by).await
    }

    /// Lists campaigns, newest first, below `before`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn campaigns(
        &self,
        filter: StateFilter,
        before: Option<CampaignKey>,
        limit: i64,
    ) -> Result<Vec<CampaignRow>, StoreError> {
        let client = self.client().await?;
        let sql = format!(
            "select * from ({SELECT}) as c where ($1::smallint is null or c.state = $1::smallint) and \
             ($2::int is null or c.campaign_id < $2::int) and ($4::boolean is null or c.completed = $4::boolean) \
             order by c.campaign_id desc limit $3::bigint"
        );
        let statement = client.prepare_cached(&sql).await?;
        let state = filter.state.map(CampaignState::code);
        let rows = client.query(&statement, &[&state, &before, &limit, &filter.completed]).await?;
        rows.iter().map(from_row).collect()
    }

    /// All running campaigns.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn running_campaigns(&self) -> Result<Vec<CampaignRow>, StoreError> {
        let client = self.client().await?;
        // The engine does not ask who is complete: it offers leads, and there are none.
        let sql = SELECT.replace("campaign_is_complete(c.campaign_id)", "false");
        let statement = client.prepare_cached(&format!("{sql} where c.state = 2 order by c.campaign_id desc")).await?;
        client.query(&statement, &[]).await?.iter().map(from_row).collect()
    }

    /// Reads the gauge of one campaign.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn gauge(&self, key: CampaignKey) -> Result<GaugeRow, StoreError> {
        gauge(&self.client().await?, key).await
    }

    /// What goes on in running campaigns, oldest first, up to `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn activity(&self, limit: i64) -> Result<Vec<ActivityRow>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/activity.sql")).await?;
        let rows = client.query(&statement, &[&limit]).await?;
        rows.iter()
            .map(|row| {
                Ok(ActivityRow {
                    id: row.try_get::<_, Uuid>("public_id")?,
                    name: row.try_get("name")?,
                    dialing: i64::from(row.try_get::<_, i32>("dialing")?),
                    ready: i64::from(row.try_get::<_, i32>("ready")?),
                    max_concurrency: row.try_get("max_concurrency")?,
                    breaker: breaker(row)?,
                    next_due_at: row.try_get("next_due_at")?,
                })
            })
            .collect()
    }
}
