//! Leases without a permit that are taken back, and why their leads wait.

use std::time::Duration;

use deadpool_postgres::GenericClient;

use super::{Store, StoreError, leases::unknown_code};
use crate::{
    domain::ids::{LeaseId, SessionId},
    failpoints,
};

/// A lease that is taken back, or was to be.
#[derive(Debug, Clone, Copy)]
pub struct Released {
    /// The lease.
    pub lease: LeaseId,
    /// What became of it.
    pub verdict: ReleaseVerdict,
    /// Who held it, where known.
    pub session: Option<SessionId>,
}

/// What became of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseVerdict {
    /// The lead is back in the queue.
    Released,
    /// It has a permit.
    Begun,
    /// Nobody, or somebody else, holds it.
    NotHeld,
}

/// From how many returns without an attempt in a row on a lead backs off, and for how long.
const RETURNS_MAX: i32 = 5;
const RETURN_BACK_OFF: Duration = Duration::from_secs(300);

/// Takes back leases without a permit; their leads are due at once, or once the number rules allow a call.
///
/// # Errors
/// [`StoreError`].
pub async fn release(
    client: &impl GenericClient,
    leases: &[LeaseId],
    reason: i16,
    session: Option<SessionId>,
) -> Result<Vec<Released>, StoreError> {
    let statement = client
        .prepare_cached(
            "select lease_id, verdict, session_id from release_leases($1::uuid[], $2::smallint[], $3::uuid, \
             $4::int, make_interval(secs => $5::float8))",
        )
        .await?;
    let reasons = vec![reason; leases.len()];
    let rows =
        client.query(&statement, &[&leases, &reasons, &session, &RETURNS_MAX, &RETURN_BACK_OFF.as_secs_f64()]).await?;
    rows.iter()
        .map(|row| {
            let verdict = match row.try_get::<_, i16>("verdict")? {
                1 => ReleaseVerdict::Released,
                2 => ReleaseVerdict::Begun,
                3 => ReleaseVerdict::NotHeld,
                other => return Err(unknown_code("release verdict", other)),
            };
            Ok(Released { lease: row.try_get("lease_id")?, verdict, session: row.try_get("session_id")? })
        })
        .collect()
}

impl Store {
    /// See [`release`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release(
        &self,
        leases: &[LeaseId],
        reason: i16,
        session: Option<SessionId>,
    ) -> Result<Vec<Released>, StoreError> {
        failpoints::pass("release_before");
        failpoints::midway("release_midway");
        release(&self.client().await?, leases, reason, session).await.inspect(|_| failpoints::pass("release_after"))
    }
}
