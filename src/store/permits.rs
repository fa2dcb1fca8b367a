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
                "select lease_ids, verdicts, begun_at, now from begin_calls($1::uuid[], $2::uuid[], $3::uuid[])",
            )
            .await?;
        let sessions: Vec<Uuid> = items.iter().map(|i| i.session).collect();
        let leases: Vec<Uuid> = items.iter().map(|i| i.lease).collect();
        let nonces: Vec<Uuid> = items.iter().map(|i| i.nonce).collect();
        failpoints::pass("begin_before");
        failpoints::midway("begin_midway");
        let row = client.query_one(&statement, &[&sessions, &leases, &nonces]).await?;
        failpoints::pass("begin_after");
        let leases: Vec<Uuid> = row.try_get("lease_ids")?;
        let verdicts: Vec<i16> = row.try_get("verdicts")?;
        let begun: Vec<Option<DateTime<Utc>>> = row.try_get("begun_at")?;
        let now: DateTime<Utc> = row.try_get("now")?;
        leases
            .into_iter()
            .zip(verdicts)
            .zip(begun)
            .map(|((lease, verdict), at)| {
                let verdict = match (verdict, at) {
                    (1, _) => BeginVerdict::Permitted,
                    (2, _) => BeginVerdict::Lost,
                    (3, _) => BeginVerdict::AlreadyBegun,
                    (4, _) => BeginVerdict::NotRunning,
                    (5, _) => BeginVerdict::Suppressed,
                    (6, _) => BeginVerdict::Closed,
                    (7, _) => BeginVerdict::TooLate,
                    (8, _) => BeginVerdict::Wait,
                    (10, Some(until)) => BeginVerdict::NumberRule(until),
                    (11, _) => BeginVerdict::Provider,
                    (other, _) => return Err(unknown_code("begin verdict", other)),
                };
                let ahead = at.and_then(|at| (at - now).to_std().ok()).unwrap_or_default();
                Ok(BeginRow { lease, verdict, at, ahead })
            })
            .collect()
    }
}
