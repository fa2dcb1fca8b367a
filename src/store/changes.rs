//! Changes outside the hot path, in transactions that hold a campaign's fence exclusively: leads are lifted out of
//! wherever they are and placed where they belong. The statements are in the migrations.

use chrono::{DateTime, Utc};
use deadpool_postgres::GenericClient;
use uuid::Uuid;

use super::{StoreError, callbacks::endless, leads::finite};
use crate::domain::{
    ids::{CampaignKey, LeadId, LeaseId, SessionId},
    lead::{Facts, LeadState},
    outcome::Outcome,
    promise::Promise,
};

/// A lease that is over though its dialer did not end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// The lease.
    pub lease: LeaseId,
    /// Who held it.
    pub session: SessionId,
}

/// A lead that was lifted, or could not be because it is under a permit.
#[derive(Debug, Clone)]
pub struct Lifted {
    /// The lead.
    pub lead: LeadId,
    /// The state it would go back to.
    pub state: LeadState,
    /// Under a permit: left alone.
    pub begun: bool,
    /// From when on it waited.
    pub not_before: Option<DateTime<Utc>>,
    /// The lease without a permit that is over.
    pub revoked: Option<Revoked>,
}

/// Where a lifted lead goes.
#[derive(Debug, Clone, Copy)]
pub struct Placed {
    /// The lead.
    pub lead: LeadId,
    /// Its state.
    pub state: LeadState,
    /// From when on it waits; `None`: it does not; [`HELD`](crate::domain::promise::HELD): nobody knows.
    pub at: Option<DateTime<Utc>>,
    /// Why (code of `WaitingReason`).
    pub reason: i16,
}

/// Waits for everything under way in these campaigns and keeps all else out, to the end of the transaction. First of all
/// locks.
///
/// # Errors
/// [`StoreError`].
pub async fn fence(client: &impl GenericClient, campaigns: &[CampaignKey]) -> Result<(), StoreError> {
    let statement = client.prepare_cached("select fence_exclusive($1::int[])").await?;
    client.execute(&statement, &[&campaigns]).await?;
    Ok(())
}

/// Takes leads out of the queue and out of leases without a permit. Unknown ids are left out.
///
/// # Errors
/// [`StoreError`].
pub async fn lift(
    client: &impl GenericClient,
    campaign: CampaignKey,
    leads: &[LeadId],
) -> Result<Vec<Lifted>, StoreError> {
    let statement = client
        .prepare_cached(
            "select lead_id, state, begun, not_before, lease_id, session_id from lift_leads($1::int, $2::uuid[])",
        )
        .await?;
    let rows = client.query(&statement, &[&campaign, &leads]).await?;
    rows.iter()
        .map(|row| {
            let revoked = match (row.try_get::<_, Option<Uuid>>("lease_id")?, row.try_get("session_id")?) {
                (Some(lease), Some(session)) => Some(Revoked { lease, session }),
                _ => None,
            };
            Ok(Lifted {
                lead: row.try_get("lead_id")?,
                state: super::leads::state_of(row, "state")?,
                begun: row.try_get("begun")?,
                not_before: finite(row, "not_before")?,
                revoked,
            })
        })
        .collect()
}

/// Puts lifted leads where they belong. The same transaction as [`lift`].
///
/// # Errors
/// [`StoreError`].
pub async fn place(client: &impl GenericClient, campaign: CampaignKey, placed: &[Placed]) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached("select place_leads($1::int, $2::uuid[], $3::smallint[], $4::timestamptz[], $5::smallint[])")
        .await?;
    let leads: Vec<Uuid> = placed.iter().map(|p| p.lead).collect();
    let states: Vec<i16> = placed.iter().map(|p| p.state.code()).collect();
    let at: Vec<_> = placed.iter().map(|p| endless(p.at)).collect();
    let reasons: Vec<i16> = placed.iter().map(|p| p.reason).collect();
    client.execute(&statement, &[&campaign, &leads, &states, &at, &reasons]).await?;
    Ok(())
}

/// Writes a promise, or takes it back, on a lead that was lifted.
///
/// # Errors
/// [`StoreError`].
pub async fn set_callback(
    client: &impl GenericClient,
    campaign: CampaignKey,
    lead: LeadId,
    promise: Option<Promise>,
) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached(
            "update lead set callback_at = $3::timestamptz, callback_latest = $4::timestamptz, \
             state = case when state = 8 then 1 else state end, version = version + 1, updated_at = engine_now() \
             where campaign_id = $1::int and lead_id = $2::uuid",
        )
        .await?;
    let latest = promise.and_then(|promise| promise.latest);
    client.execute(&statement, &[&campaign, &lead, &endless(promise.map(|promise| promise.at)), &latest]).await?;
    Ok(())
}

/// Takes the promises of lifted leads back.
///
/// # Errors
/// [`StoreError`].
pub async fn clear_callbacks(
    client: &impl GenericClient,
    campaign: CampaignKey,
    leads: &[LeadId],
) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached(
            "update lead set callback_at = null, callback_latest = null, state = case when state = 8 then 1 else state end \
             where campaign_id = $1::int and lead_id = any ($2::uuid[]) and callback_at is not null",
        )
        .await?;
    client.execute(&statement, &[&campaign, &leads]).await?;
    Ok(())
}

/// Writes the digest of a lead's facts; its state is placed, not written here. `counted` attempts more ever, `counted_now` more in
/// this generation.
///
/// # Errors
/// [`StoreError`].
pub async fn set_facts(
    client: &impl GenericClient,
    campaign: CampaignKey,
    lead: LeadId,
    facts: &Facts,
    counted: i32,
    counted_now: i32,
) -> Result<(), StoreError> {
    let statement = client.prepare_cached(include_str!("sql/lead_set_facts.sql")).await?;
    client
        .execute(
            &statement,
            &[
                &campaign,
                &lead,
                &facts.last_outcome.map(crate::domain::outcome::Outcome::code),
                &facts.streak,
                &facts.rang_at,
                &facts.conversation.map_or(0, |(seq, _)| seq),
                &facts.conversation.map(|(_, outcome)| outcome.code()),
                &endless(facts.callback_at),
                &facts.callbacks,
                &counted,
                &counted_now,
                &facts.callback_latest,
            ],
        )
        .await?;
    Ok(())
}

fn revoked(rows: &[tokio_postgres::Row]) -> Result<Vec<Revoked>, StoreError> {
    rows.iter()
        .map(|row| Ok(Revoked { lease: row.try_get("lease_id")?, session: row.try_get("session_id")? }))
        .collect()
}

/// Marks a lead: the person asked never to be called again. Its number is suppressed in the same transaction.
///
/// # Errors
/// [`StoreError`].
pub async fn set_do_not_call(
    client: &impl GenericClient,
    campaign: CampaignKey,
    lead: LeadId,
) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached("update lead set do_not_call = true where campaign_id = $1::int and lead_id = $2::uuid")
        .await?;
    client.execute(&statement, &[&campaign, &lead]).await?;
    Ok(())
}

/// Counts attempts of a campaign.
///
/// # Errors
/// [`StoreError`].
pub async fn count_attempts(client: &impl GenericClient, campaign: CampaignKey, more: i64) -> Result<(), StoreError> {
    let statement =
        client.prepare_cached("update gauge set attempts = attempts + $2::bigint where campaign_id = $1::int").await?;
    client.execute(&statement, &[&campaign, &more]).await?;
    Ok(())
}

/// Says what a late fact about a begun call says about the campaign's provider.
///
/// # Errors
/// [`StoreError`].
pub async fn note_provider(
    client: &impl GenericClient,
    campaign: CampaignKey,
    outcome: Outcome,
    begun_at: DateTime<Utc>,
) -> Result<(), StoreError> {
    let statement = client
        .prepare_cached("select note_provider(array[$1::int], array[$2::smallint], array[$3::timestamptz])")
        .await?;
    client.execute(&statement, &[&campaign, &outcome.code(), &begun_at]).await?;
    Ok(())
}

/// Lets the warmer walk the list from its head again.
///
/// # Errors
/// [`StoreError`].
pub async fn rewind_cursor(client: &impl GenericClient, campaign: CampaignKey) -> Result<(), StoreError> {
    let statement = client.prepare_cached("select rewind_cursor($1::int)").await?;
    client.execute(&statement, &[&campaign]).await?;
    Ok(())
}

/// Sends back everything that was queued or leased without a permit.
///
/// # Errors
/// [`StoreError`].
pub async fn recall(client: &impl GenericClient, campaign: CampaignKey) -> Result<Vec<Revoked>, StoreError> {
    let statement = client.prepare_cached("select lease_id, session_id from recall_campaign($1::int)").await?;
    revoked(&client.query(&statement, &[&campaign]).await?)
}

/// Lets leads that wait for hours or a zone look again.
///
/// # Errors
/// [`StoreError`].
pub async fn recheck_hours(client: &impl GenericClient, campaign: CampaignKey) -> Result<(), StoreError> {
    let statement = client.prepare_cached("select recheck_hours($1::int)").await?;
    client.execute(&statement, &[&campaign]).await?;
    Ok(())
}

/// Opens a new generation.
///
/// # Errors
/// [`StoreError`].
pub async fn reset(client: &impl GenericClient, campaign: CampaignKey) -> Result<Vec<Revoked>, StoreError> {
    let statement = client.prepare_cached("select lease_id, session_id from reset_campaign($1::int)").await?;
    revoked(&client.query(&statement, &[&campaign]).await?)
}

/// Begun leases of a campaign that are past max_duration.
///
/// # Errors
/// [`StoreError`].
pub async fn overdue_begun(client: &impl GenericClient, campaign: CampaignKey) -> Result<Vec<LeaseId>, StoreError> {
    let statement = client
        .prepare_cached(
            "select lease_id from lease where campaign_id = $1::int and begun_at is not null and deadline <= engine_now()",
        )
        .await?;
    let rows = client.query(&statement, &[&campaign]).await?;
    rows.iter().map(|row| Ok(row.try_get("lease_id")?)).collect()
}

/// Blocks leads whose number is suppressed; returns how many, and the leases that are over.
///
/// # Errors
/// [`StoreError`].
pub async fn block(
    client: &impl GenericClient,
    campaign: CampaignKey,
    leads: &[LeadId],
) -> Result<(i32, Vec<Revoked>), StoreError> {
    let statement =
        client.prepare_cached("select leads, leases, sessions from block_leads($1::int, $2::uuid[])").await?;
    let row = client.query_one(&statement, &[&campaign, &leads]).await?;
    let leases: Vec<Uuid> = row.try_get("leases")?;
    let sessions: Vec<Uuid> = row.try_get("sessions")?;
    let revoked = leases.into_iter().zip(sessions).map(|(lease, session)| Revoked { lease, session }).collect();
    Ok((row.try_get("leads")?, revoked))
}

/// Unblocks leads whose number is suppressed no more; returns how many. `pardon`: those with do_not_call, too.
///
/// # Errors
/// [`StoreError`].
pub async fn unblock(
    client: &impl GenericClient,
    campaign: CampaignKey,
    leads: &[LeadId],
    pardon: bool,
) -> Result<i32, StoreError> {
    let statement = client.prepare_cached("select unblock_leads($1::int, $2::uuid[], $3::boolean) as leads").await?;
    Ok(client.query_one(&statement, &[&campaign, &leads, &pardon]).await?.try_get("leads")?)
}
