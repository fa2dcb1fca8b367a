//! Permits: the last check before the phone rings. One function call per batch; the statements are in the migrations.

use std::time::Duration;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Store, StoreError, leases::unknown_code};
use crate::{
    domain::ids::{LeaseId, SessionId},
    failpoints,
};

/// What became of one lease that was to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BeginVerdict {
    /// The phone may ring.
    Permitted,
    /// Gone, or another session's.
    Lost,
    /// Begun by another nonce.
    AlreadyBegun,
    /// The campaign does not run.
    NotRunning,
    /// The number is suppressed.
    Suppressed,
    /// The hours are over.
    Closed,
    /// Its deadline passed.
    TooLate,
    /// The campaign's circuit breaker opened since the grant.
    Provider,
    /// A number rule forbids a call until then.
    NumberRule(DateTime<Utc>),
    /// Calls per second are limited, and its turn has not come. The lease stays.
    Wait,
}

/// One request for a permit.
#[derive(Debug, Clone, Copy)]
pub struct BeginItem {
    /// Who holds the lease.
    pub session: SessionId,
    /// The lease.
    pub lease: LeaseId,
    /// Names the decision to dial.
    pub nonce: Uuid,
}

/// What became of one of them.
#[derive(Debug, Clone, Copy)]
pub struct BeginRow {
    /// The lease.
    pub lease: LeaseId,
    /// Whether it begins.
    pub verdict: BeginVerdict,
    /// The instant of the permit; with [`BeginVerdict::Wait`] when to ask again.
    pub at: Option<DateTime<Utc>>,
    /// How far ahead that was when the database answered, by its own clock; zero: it was over.
    pub ahead: Duration,
}

impl Store {
    /// How far ahead the last turn lies that was given; zero: none is to come. A begin that is under way is not seen: callers
    /// have taken the fence, or a lock on `pace`, since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn turns_ahead(&self) -> Result<Duration, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select greatest(extract(epoch from greatest(max(last_at), n.now) - n.now), 0)::float8 as seconds \
                 from pace cross join (select engine_now() as now) n group by n.now",
            )
            .await?;
        let row = client.query_one(&statement, &[]).await?;
        Ok(Duration::try_from_secs_f64(row.try_get("seconds")?).unwrap_or_default())
    }

    /// Gives permits, on disk before it answers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(&self, items: &[BeginItem]) -> Result<Vec<BeginRow>, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select lease_id, verdict, begun_at, \
                     greatest(extract(epoch from begun_at - engine_now()), 0)::float8 as ahead \
                 from begin_calls($1::uuid[], $2::uuid[], $3::uuid[])",
            )
            .await?;
        let sessions: Vec<Uuid> = items.iter().map(|i| i.session).collect();
        let leases: Vec<Uuid> = items.iter().map(|i| i.lease).collect();
        let nonces: Vec<Uuid> = items.iter().map(|i| i.nonce).collect();
        failpoints::pass("begin_before");
        failpoints::midway("begin_midway");
        let rows = client.query(&statement, &[&sessions, &leases, &nonces]).await?;
        failpoints::pass("begin_after");
        rows.iter()
            .map(|row| {
                let verdict = match row.try_get::<_, i16>("verdict")? {
                    1 => BeginVerdict::Permitted,
                    2 => BeginVerdict::Lost,
                    3 => BeginVerdict::AlreadyBegun,
                    4 => BeginVerdict::NotRunning,
                    5 => BeginVerdict::Suppressed,
                    6 => BeginVerdict::Closed,
                    7 => BeginVerdict::TooLate,
                    8 => BeginVerdict::Wait,
                    10 => BeginVerdict::NumberRule(row.try_get("begun_at")?),
                    11 => BeginVerdict::Provider,
                    other => return Err(unknown_code("begin verdict", other)),
                };
                Ok(BeginRow {
                    lease: row.try_get("lease_id")?,
                    verdict,
                    at: row.try_get("begun_at")?,
                    ahead: Duration::try_from_secs_f64(row.try_get("ahead")?).unwrap_or_default(),
                })
            })
            .collect()
    }
}
