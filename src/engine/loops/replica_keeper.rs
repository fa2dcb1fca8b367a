//! Keeps this replica alive in the database, buries those that are dead, and takes over what they had. Follows the database's
//! clock, and tells the floor who else is there.

use std::{sync::Arc, sync::atomic::Ordering, time::Duration};

use super::jittered;
use crate::{
    clock::system,
    engine::{Engine, leasing::events::Event},
    store::StoreError,
};

/// A replica silent for this long is dead.
pub const REPLICA_TTL: Duration = Duration::from_secs(5);
const PERIOD: Duration = Duration::from_secs(1);
/// How long a turn may take once the database has answered: the next must come before this replica has expired.
const TURN_MAX: Duration = Duration::from_secs(3);
/// Turns after which READY leads are compared with memory: a failed hand-over would else be lost till the end.
const COMPARE_EVERY: u32 = 15;

/// What a turn is to do besides keeping alive.
#[derive(Debug, Clone, Copy)]
pub struct Duties {
    /// Bury the dead. Only who has itself been alive for as long as it takes to die may say who is: after an outage of the
    /// database everybody looks dead.
    pub bury: bool,
    /// Compare READY leads and live leases with memory.
    pub compare: bool,
}

/// One turn. `false`: this replica was taken for dead.
///
/// # Errors
/// [`StoreError`].
pub async fn run_once(engine: &Arc<Engine>, duties: Duties) -> Result<bool, StoreError> {
    // Not by the pool: it may be exhausted, and that is no death.
    if !engine.lifeline.keep_replica(engine.replica(), REPLICA_TTL).await? {
        return Ok(false);
    }
    let inherited = duties.bury && engine.store.bury_replicas(engine.replica()).await?;
    if inherited || duties.compare {
        engine.tell(Event::Inherited(engine.store.buffer_of(engine.replica()).await?));
    }
    if duties.compare {
        engine.tell(Event::Reconcile);
    }
    let presence = engine.store.presence(engine.replica()).await?;
    engine.replicas.store(presence.replicas, Ordering::Relaxed);
    engine.tell(Event::Presence(presence));
    Ok(true)
}

/// Whether the database answers, and its clock.
async fn look(engine: &Engine) -> Result<(), StoreError> {
    let asked_at = system();
    let looked = tokio::time::timeout(REPLICA_TTL, engine.lifeline.now()).await;
    let (now, _) = looked.unwrap_or_else(|_| {
        // A link on which nothing comes back would never break by itself.
        engine.store.cut();
        Err(no_answer())
    })?;
    engine.clock.observe(asked_at, now);
    Ok(())
}

fn no_answer() -> StoreError {
    StoreError::Unavailable("no answer".into())
}

async fn rejoin(engine: &Arc<Engine>) -> Result<(), StoreError> {
    tracing::warn!(replica = engine.replica(), "this replica was taken for dead; its sessions end and it starts anew");
    engine.tell(Event::Fenced);
    let replica = engine.store.join_replica(REPLICA_TTL).await?;
    engine.replica.store(replica, Ordering::Relaxed);
    engine.survey().await
}

/// Runs until the engine stops.
pub async fn run(engine: Arc<Engine>) {
    let mut turn = 0_u32;
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = engine.rejoin_wanted.notified() => {}
            () = tokio::time::sleep(jittered(PERIOD)) => {}
        }
        turn = turn.wrapping_add(1);
        let duties =
            Duties { bury: engine.outage.served_for() >= REPLICA_TTL, compare: turn.is_multiple_of(COMPARE_EVERY) };
        if duties.compare {
            engine.polls.forget_closed();
        }
        let done = match look(&engine).await {
            Ok(()) => tokio::time::timeout(TURN_MAX, async {
                if run_once(&engine, duties).await? { Ok(()) } else { rejoin(&engine).await }
            })
            .await
            .unwrap_or_else(|_| Err(no_answer())),
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => engine.outage.over(),
            Err(error) => {
                engine.outage.broken();
                engine.outage.note(&error);
            }
        }
    }
}
