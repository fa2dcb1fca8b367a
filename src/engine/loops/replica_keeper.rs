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
/// How long the database may be silent before its links count as dead. Less than opening one may take: that this fails, too,
/// would else pass for an answer.
const SILENT_MAX: Duration = Duration::from_secs(4);
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

/// The duties of one turn.
///
/// # Errors
/// [`StoreError`].
pub async fn run_once(engine: &Arc<Engine>, duties: Duties) -> Result<(), StoreError> {
    let inherited = duties.bury && engine.store.bury_replicas(engine.replica()).await?;
    if inherited || duties.compare {
        engine.tell(Event::Inherited(engine.store.buffer_of(engine.replica()).await?));
    }
    if duties.compare {
        engine.tell(Event::Reconcile);
    }
    let presence = engine.store.presence(engine.replica()).await?;
    engine.replicas.store(presence.replicas, Ordering::Relaxed);
    let others = if presence.replicas > 1 { engine.store.hands(engine.replica()).await? } else { Vec::new() };
    engine.tell(Event::Presence(presence, others));
    Ok(())
}

/// One turn: a sign of life first, not by the pool, which may be exhausted; that is no death. `silent` counts turns in a row
/// in which the pool's connections did not answer.
async fn turn(engine: &Arc<Engine>, duties: Duties, silent: &mut u32) -> Result<(), StoreError> {
    look(engine).await?;
    let kept = tokio::time::timeout(TURN_MAX, engine.lifeline.keep_replica(engine.replica(), REPLICA_TTL)).await;
    let kept = kept.unwrap_or_else(|_| Err(StoreError::no_answer()))?;
    let done = tokio::time::timeout(TURN_MAX, async {
        if kept { run_once(engine, duties).await } else { rejoin(engine).await }
    });
    let Ok(done) = done.await else {
        *silent += 1;
        // The lifeline lives and these do not: they are dead, or all wait for something that does not come.
        if *silent >= 2 || !engine.store.is_exhausted() {
            *silent = 0;
            engine.store.cut();
        }
        return Err(StoreError::no_answer());
    };
    *silent = 0;
    done
}

/// Whether the database answers, and its clock.
async fn look(engine: &Engine) -> Result<(), StoreError> {
    let asked_at = system();
    let looked = tokio::time::timeout(SILENT_MAX, engine.lifeline.now()).await;
    let (now, _) = looked.unwrap_or_else(|_| {
        // A link on which nothing comes back would never break by itself.
        engine.store.cut();
        Err(StoreError::no_answer())
    })?;
    engine.clock.observe(asked_at, now);
    Ok(())
}

async fn rejoin(engine: &Arc<Engine>) -> Result<(), StoreError> {
    tracing::warn!(replica = engine.replica(), "this replica was taken for dead; its sessions end and it starts anew");
    let replica = engine.store.join_replica(REPLICA_TTL).await?;
    engine.replica.store(replica, Ordering::Relaxed);
    // Now: a session that opens from here on is the new replica's.
    engine.tell(Event::Fenced);
    engine.survey_soon();
    engine.survey().await
}

/// Runs until the engine stops.
pub async fn run(engine: Arc<Engine>) {
    let (mut turns, mut silent) = (0_u32, 0);
    loop {
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = engine.rejoin_wanted.notified() => {}
            () = tokio::time::sleep(jittered(PERIOD)) => {}
        }
        turns = turns.wrapping_add(1);
        let duties =
            Duties { bury: engine.outage.served_for() >= REPLICA_TTL, compare: turns.is_multiple_of(COMPARE_EVERY) };
        if duties.compare {
            engine.polls.forget_closed();
        }
        let done = turn(&engine, duties, &mut silent).await;
        match done {
            Ok(()) => engine.outage.over(),
            Err(error) => {
                engine.outage.broken();
                engine.outage.note(&error);
            }
        }
    }
}
