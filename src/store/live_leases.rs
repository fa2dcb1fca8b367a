//! Questions about live leases: what is overdue, above a cap, over, or to be listed.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::{
    Store, StoreError,
    leads::state_of,
    queue::{LeadContext, facts_of},
};
use crate::domain::ids::{CampaignKey, LeadId, LeaseId, SessionId, StreamNumber};

/// A live lease and what the core must know to end it.
#[derive(Debug, Clone)]
pub struct LeaseContext {
    /// The lease.
    pub lease: LeaseId,
    /// Its place among those of the lead.
    pub seq: i32,
    /// When the permit was given.
    pub begun_at: Option<DateTime<Utc>>,
    /// When it was granted.
    pub granted_at: DateTime<Utc>,
    /// The generation of its campaign.
    pub epoch: i32,
    /// The lead.
    pub context: LeadContext,
}

/// A live lease, as operators see it.
#[derive(Debug, Clone)]
pub struct LiveLeaseRow {
    /// The lease.
    pub lease: LeaseId,
    /// The campaign, as people know it.
    pub campaign: Uuid,
    /// The lead.
    pub lead: LeadId,
    /// Who holds it.
    pub session: SessionId,
    /// The dialer's own name.
    pub dialer: String,
    /// When it was granted.
    pub granted_at: DateTime<Utc>,
    /// When the permit was given.
    pub begun_at: Option<DateTime<Utc>>,
    /// When it ends by itself.
    pub deadline: DateTime<Utc>,
}

/// Which live leases are meant; all conditions that are given hold.
#[derive(Debug, Clone, Default)]
pub struct LeaseFilter {
    /// Of this campaign.
    pub campaign: Option<CampaignKey>,
    /// Of this session.
    pub session: Option<SessionId>,
    /// Of this dialer.
    pub dialer: Option<String>,
    /// With a permit, or without.
    pub begun: Option<bool>,
}

impl LeaseFilter {
    /// The conditions by name, but for the campaign.
    pub fn told(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("session_id", self.session.map(|session| session.to_string())),
            ("dialer_id", self.dialer.clone()),
            ("begun", self.begun.map(|begun| begun.to_string())),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// A live lease of a session that opens anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OwnLease {
    /// The lease.
    pub lease: LeaseId,
    /// Its campaign.
    pub campaign: CampaignKey,
    /// Whether it has a permit.
    pub begun: bool,
}

fn own_lease(row: &tokio_postgres::Row, lease: LeaseId) -> Result<OwnLease, StoreError> {
    Ok(OwnLease { lease, campaign: row.try_get("campaign_id")?, begun: row.try_get("begun")? })
}

/// What the core must know of these live leases; those that are over are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn contexts(client: &impl GenericClient, leases: &[LeaseId]) -> Result<Vec<LeaseContext>, StoreError> {
    let statement = client.prepare_cached(include_str!("sql/lease_contexts.sql")).await?;
    let rows = client.query(&statement, &[&leases]).await?;
    rows.iter()
        .map(|row| {
            Ok(LeaseContext {
                lease: row.try_get("lease_id")?,
                seq: row.try_get("lease_seq")?,
                begun_at: row.try_get("begun_at")?,
                granted_at: row.try_get("granted_at")?,
                epoch: row.try_get("epoch")?,
                context: LeadContext {
                    campaign: row.try_get("campaign_id")?,
                    lead: row.try_get("lead_id")?,
                    version: row.try_get("version")?,
                    facts: facts_of(row)?,
                    state: state_of(row, "state")?,
                    attempts: row.try_get("attempts")?,
                },
            })
        })
        .collect()
}

impl Store {
    /// See [`contexts`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lease_contexts(&self, leases: &[LeaseId]) -> Result<Vec<LeaseContext>, StoreError> {
        contexts(&self.client().await?, leases).await
    }

    /// Live leases past their deadline, with or without a permit, and those without one whose session is over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn overdue_leases(&self, limit: i64) -> Result<Vec<(LeaseId, bool)>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/overdue_leases.sql")).await?;
        let rows = client.query(&statement, &[&limit]).await?;
        rows.iter().map(|row| Ok((row.try_get("lease_id")?, row.try_get("begun")?))).collect()
    }

    /// How many live leases have a permit. Walks them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begun_calls(&self) -> Result<i64, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached("select count(*) as n from lease where begun_at is not null").await?;
        Ok(client.query_one(&statement, &[]).await?.try_get("n")?)
    }

    /// Leases without a permit above the engine's cap, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leases_above_cap(&self) -> Result<Vec<LeaseId>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/leases_above_cap.sql")).await?;
        let rows = client.query(&statement, &[]).await?;
        rows.iter().map(|row| Ok(row.try_get("lease_id")?)).collect()
    }

    /// Digits of the numbers of these live leases.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn numbers_of_leases(&self, leases: &[LeaseId]) -> Result<Vec<i64>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached("select number from lease where lease_id = any ($1::uuid[])").await?;
        let rows = client.query(&statement, &[&leases]).await?;
        rows.iter().map(|row| Ok(row.try_get("number")?)).collect()
    }

    /// Which of these leases are over.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ended(&self, leases: &[LeaseId]) -> Result<Vec<LeaseId>, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select i.lease_id from unnest($1::uuid[]) as i (lease_id) \
                 where not exists (select from lease z where z.lease_id = i.lease_id)",
            )
            .await?;
        let rows = client.query(&statement, &[&leases]).await?;
        rows.iter().map(|row| Ok(row.try_get("lease_id")?)).collect()
    }

    /// Live leases of a session. None: this stream is not its newest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leases_of(
        &self,
        session: SessionId,
        stream: StreamNumber,
    ) -> Result<Option<Vec<OwnLease>>, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select z.lease_id, z.campaign_id, z.begun_at is not null as begun from dialer_session s \
                 left join lease z on z.session_id = s.session_id \
                 where s.session_id = $1::uuid and s.stream = $2::int",
            )
            .await?;
        let rows = client.query(&statement, &[&session, &stream]).await?;
        let leases = rows.iter().filter_map(|row| match row.try_get::<_, Option<LeaseId>>("lease_id") {
            Ok(None) => None,
            Ok(Some(lease)) => Some(own_lease(row, lease)),
            Err(error) => Some(Err(error.into())),
        });
        if rows.is_empty() { Ok(None) } else { Ok(Some(leases.collect::<Result<_, _>>()?)) }
    }

    /// Live leases, oldest first, above `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn live_leases(
        &self,
        filter: &LeaseFilter,
        after: Option<LeaseId>,
        limit: i64,
    ) -> Result<Vec<LiveLeaseRow>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/live_leases.sql")).await?;
        let LeaseFilter { campaign, session, dialer, begun } = filter;
        let rows = client.query(&statement, &[campaign, session, &after, &limit, dialer, begun]).await?;
        rows.iter()
            .map(|row| {
                Ok(LiveLeaseRow {
                    lease: row.try_get("lease_id")?,
                    campaign: row.try_get("public_id")?,
                    lead: row.try_get("lead_id")?,
                    session: row.try_get("session_id")?,
                    dialer: row.try_get("dialer_id")?,
                    granted_at: row.try_get("granted_at")?,
                    begun_at: row.try_get("begun_at")?,
                    deadline: row.try_get("deadline")?,
                })
            })
            .collect()
    }
}
