//! Engine replicas and dialers' sessions: who is alive.

use std::time::Duration;

use super::{Store, StoreError};
use crate::domain::ids::{CampaignKey, ReplicaId, SessionId, StreamNumber};

/// How the whole engine stands: sessions, slots and replicas alive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Presence {
    /// Open sessions on live replicas.
    pub sessions: i64,
    /// Their slots.
    pub slots: i64,
    /// Of these slots, those on other replicas.
    pub slots_elsewhere: i64,
    /// Live replicas.
    pub replicas: i64,
    /// Live leases.
    pub dialing: i64,
    /// READY leads.
    pub ready: i64,
}

/// What a replica, or several together, holds and wants of one campaign.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hand {
    /// The campaign.
    pub campaign: CampaignKey,
    /// Live leases of its sessions.
    pub held: i32,
    /// It has work and dialers for it.
    pub working: bool,
    /// It has leads and free slots, and only the engine's cap keeps them apart.
    pub starved: bool,
    /// Due promises among what waits.
    pub promised: i32,
}

impl Store {
    /// Registers this replica. Facts are numbered anew from then on, if the database was moved.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn join_replica(&self, ttl: Duration) -> Result<ReplicaId, StoreError> {
        let client = self.client().await?;
        client.execute("select open_numbering()", &[]).await?;
        let row = client
            .query_one(
                "insert into replica (started_at, expires_at) \
                 values (engine_now(), engine_now() + make_interval(secs => $1::float8)) returning replica_id",
                &[&ttl.as_secs_f64()],
            )
            .await?;
        Ok(row.try_get("replica_id")?)
    }

    /// Says that this replica lives. `false`: it was taken for dead, and others have what it had.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn keep_replica(&self, replica: ReplicaId, ttl: Duration) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "update replica set expires_at = engine_now() + make_interval(secs => $2::float8) \
                 where replica_id = $1::int",
            )
            .await?;
        Ok(client.execute(&statement, &[&replica, &ttl.as_secs_f64()]).await? == 1)
    }

    /// Ends a replica that leaves, with its sessions: it counts as dead from now on, so that another buries it and inherits
    /// what it had READY.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leave_replica(&self, replica: ReplicaId) -> Result<(), StoreError> {
        let client = self.client().await?;
        client
            .execute(
                "update dialer_session set closed_at = engine_now() where replica_id = $1::int and closed_at is null",
                &[&replica],
            )
            .await?;
        client.execute("update replica set expires_at = '-infinity' where replica_id = $1::int", &[&replica]).await?;
        Ok(())
    }

    /// Buries replicas that are past their time: none of their grants can follow. Their sessions are closed, their
    /// buffers are `heir`'s. Returns whether the heir got any READY lead.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn bury_replicas(&self, heir: ReplicaId) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/replica_bury.sql")).await?;
        client.execute(&statement, &[&heir]).await?;
        let statement = client.prepare_cached(include_str!("sql/replica_inherit.sql")).await?;
        Ok(client.query_one(&statement, &[&heir]).await?.try_get::<_, i64>("inherited")? > 0)
    }

    /// Opens a session on a replica, or takes it over from an older stream. Returns the number of its stream; none: it
    /// belongs to another dialer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_session(
        &self,
        session: SessionId,
        dialer: &str,
        replica: ReplicaId,
        slots: i32,
    ) -> Result<Option<StreamNumber>, StoreError> {
        let client = self.client().await?;
        let statement =
            client.prepare_cached("select open_session($1::uuid, $2::text, $3::int, $4::int) as stream").await?;
        Ok(client.query_one(&statement, &[&session, &dialer, &replica, &slots]).await?.try_get("stream")?)
    }

    /// Notes the slots of sessions, for the status and the other replicas' buffers.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_slots(
        &self,
        replica: ReplicaId,
        sessions: &[SessionId],
        slots: &[i32],
    ) -> Result<(), StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "update dialer_session s set slots = i.slots from unnest($2::uuid[], $3::int[]) as i (id, slots) \
                 where s.session_id = i.id and s.replica_id = $1::int and s.slots <> i.slots",
            )
            .await?;
        client.execute(&statement, &[&replica, &sessions, &slots]).await?;
        Ok(())
    }

    /// Notes what this replica holds and wants.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_hand(&self, replica: ReplicaId, hand: &[Hand]) -> Result<(), StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/hand_note.sql")).await?;
        let campaigns: Vec<CampaignKey> = hand.iter().map(|one| one.campaign).collect();
        let held: Vec<i32> = hand.iter().map(|one| one.held).collect();
        let working: Vec<bool> = hand.iter().map(|one| one.working).collect();
        let starved: Vec<bool> = hand.iter().map(|one| one.starved).collect();
        let promised: Vec<i32> = hand.iter().map(|one| one.promised).collect();
        client.execute(&statement, &[&replica, &campaigns, &held, &working, &starved, &promised]).await?;
        Ok(())
    }

    /// What the other live replicas together hold and want, by campaign.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn hands(&self, here: ReplicaId) -> Result<Vec<Hand>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/hands.sql")).await?;
        let rows = client.query(&statement, &[&here]).await?;
        rows.iter()
            .map(|row| {
                Ok(Hand {
                    campaign: row.try_get("campaign_id")?,
                    held: row.try_get("held")?,
                    working: row.try_get("working")?,
                    starved: row.try_get("starved")?,
                    promised: row.try_get("promised")?,
                })
            })
            .collect()
    }

    /// Closes a session whose newest stream is this one. `false`: a later stream has it, or it is closed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_session(&self, session: SessionId, stream: StreamNumber) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "update dialer_session set closed_at = engine_now(), slots = 0 \
                 where session_id = $1::uuid and stream = $2::int and closed_at is null",
            )
            .await?;
        Ok(client.execute(&statement, &[&session, &stream]).await? == 1)
    }

    /// Closes sessions that this replica has no stream of, opened a while ago: the news of their end was lost.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close_all_but(&self, replica: ReplicaId, sessions: &[SessionId]) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "update dialer_session set closed_at = engine_now(), slots = 0 \
                 where replica_id = $1::int and closed_at is null and session_id <> all ($2::uuid[]) \
                 and opened_at < engine_now() - interval '10 seconds'",
            )
            .await?;
        Ok(client.execute(&statement, &[&replica, &sessions]).await?)
    }

    /// Which of these streams have their sessions no more, and whether a later one has them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lost_streams(
        &self,
        sessions: &[SessionId],
        streams: &[StreamNumber],
    ) -> Result<Vec<(SessionId, StreamNumber, bool)>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/lost_streams.sql")).await?;
        let rows = client.query(&statement, &[&sessions, &streams]).await?;
        rows.iter()
            .map(|row| Ok((row.try_get("session_id")?, row.try_get("stream")?, row.try_get("taken_over")?)))
            .collect()
    }

    /// Forgets sessions closed for longer than any call lasts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_sessions(&self) -> Result<u64, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("delete from dialer_session where closed_at < engine_now() - interval '25 hours'")
            .await?;
        Ok(client.execute(&statement, &[]).await?)
    }

    /// Counts who is there.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn presence(&self, here: ReplicaId) -> Result<Presence, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(include_str!("sql/presence.sql")).await?;
        let row = client.query_one(&statement, &[&here]).await?;
        Ok(Presence {
            slots_elsewhere: row.try_get("slots_elsewhere")?,
            sessions: row.try_get("sessions")?,
            slots: row.try_get("slots")?,
            replicas: row.try_get("replicas")?,
            dialing: row.try_get("dialing")?,
            ready: row.try_get("ready")?,
        })
    }
}
