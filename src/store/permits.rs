//! Permits: the last check before the phone rings. One function call per batch; the statements are in the migrations.

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

impl Store {
    /// Gives permits, on disk before it answers. The instant is when the call begins; with
    /// [`BeginVerdict::Wait`] it is when to ask again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(
        &self,
        items: &[BeginItem],
    ) -> Result<Vec<(LeaseId, Uuid, BeginVerdict, Option<DateTime<Utc>>)>, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "select lease_id, session_id, verdict, begun_at from begin_calls($1::uuid[], $2::uuid[], $3::uuid[])",
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
                Ok((row.try_get("lease_id")?, row.try_get("session_id")?, verdict, row.try_get("begun_at")?))
            })
            .collect()
    }
}
