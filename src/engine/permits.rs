//! The permit: the last check before the phone rings.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Weak},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep, sleep_until};
use uuid::Uuid;

use super::{Engine, EngineError, again, leasing::events::Event};
use crate::{
    domain::ids::{LeaseId, SessionId},
    store::{
        permits::{BeginItem, BeginRow, BeginVerdict},
        queue::waiting,
        releases::ReleaseVerdict,
    },
};

/// How far ahead a turn may lie that is given now, where calls per second are limited; `take_turns` has the same.
const TURN_AHEAD: Duration = Duration::from_millis(250);

/// The shortest time for which anybody is told to wait.
const RETRY_AFTER_MIN: Duration = Duration::from_millis(1);

/// The answer for one lease.
#[derive(Debug, Clone, Copy)]
pub struct Permit {
    /// What it is.
    pub verdict: BeginVerdict,
    /// When the attempt began, by the record.
    pub begun_at: Option<DateTime<Utc>>,
    /// Not before its turn, whatever the engine's copy of the database's clock says: the answer was on its way that long more.
    pub due: Instant,
    /// When to ask again, for who has to wait.
    pub retry_after: Option<Duration>,
}

impl Engine {
    /// Asks for permits; answers per lease, in order. Where calls per second are limited, a turn that was given is answered
    /// at its instant: the phone does not ring before.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`]: ask again with the same nonce.
    pub async fn begin_calls(
        &self,
        session: SessionId,
        leases: &[LeaseId],
        nonce: Uuid,
    ) -> Result<Vec<Permit>, EngineError> {
        self.tell(Event::Heard(session));
        let items = leases.iter().map(|lease| BeginItem { session, lease: *lease, nonce }).collect();
        let permits = self.permits.call(items).await?;
        if let Some(turn) = permits.iter().filter(|one| one.verdict == BeginVerdict::Permitted).map(|one| one.due).max()
        {
            sleep_until(turn.min(Instant::now() + TURN_AHEAD)).await;
        }
        Ok(permits)
    }

    /// Waits until the turns that were given are over, by whichever replica: what is answered afterwards (a pause, a
    /// suppression, another limit) holds for every call that begins then. Asks the record: a replica that has not heard of a
    /// limit yet, or has heard that it was lifted, would not wait for turns that are still to come.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`]: it is done, and not answered.
    pub(super) async fn outlast_turns(&self) -> Result<(), EngineError> {
        let ahead = again(|| self.store.turns_ahead()).await?;
        sleep(ahead.min(TURN_AHEAD)).await;
        Ok(())
    }

    /// "I did not dial": leads are back in the queue at once.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`].
    pub async fn release_leases(
        self: &Arc<Self>,
        session: SessionId,
        leases: &[LeaseId],
    ) -> Result<Vec<ReleaseVerdict>, EngineError> {
        self.tell(Event::Heard(session));
        let released = again(|| self.store.release(leases, waiting::BACK_OFF, Some(session))).await?;
        let verdicts: HashMap<LeaseId, ReleaseVerdict> = released.iter().map(|one| (one.lease, one.verdict)).collect();
        let over: Vec<LeaseId> =
            released.iter().filter(|one| one.verdict == ReleaseVerdict::Released).map(|one| one.lease).collect();
        if !over.is_empty() {
            self.announce_ended(over.iter().copied(), None);
            self.wake_for(&over).await;
        }
        Ok(leases.iter().map(|lease| verdicts.get(lease).copied().unwrap_or(ReleaseVerdict::NotHeld)).collect())
    }
}

/// One gathered batch. Requests for one lease are answered one after the other: they may name different decisions to dial.
pub(super) async fn begin_batch(engine: Weak<Engine>, items: Vec<BeginItem>) -> Result<Vec<Permit>, EngineError> {
    let engine = engine.upgrade().ok_or(EngineError::ShuttingDown)?;
    let mut answers = vec![None; items.len()];
    let mut waiting: Vec<(usize, BeginItem)> = items.into_iter().enumerate().collect();
    while !waiting.is_empty() {
        let mut seen = HashSet::new();
        let (round, rest): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, item)| seen.insert(item.lease));
        begin_round(&engine, round, &mut answers).await?;
        waiting = rest;
    }
    answers
        .into_iter()
        .map(|answer| answer.ok_or_else(|| EngineError::Internal("a permit has no answer".into())))
        .collect()
}

/// One request per lease. A refused lease is over before the refusal is answered.
async fn begin_round(
    engine: &Arc<Engine>,
    mut round: Vec<(usize, BeginItem)>,
    answers: &mut [Option<Permit>],
) -> Result<(), EngineError> {
    // In id order: two batches with common leases cannot lock them crosswise.
    round.sort_unstable_by_key(|(_, item)| item.lease);
    let items: Vec<BeginItem> = round.iter().map(|(_, item)| *item).collect();
    let places: HashMap<LeaseId, usize> = round.iter().map(|(index, item)| (item.lease, *index)).collect();
    let rows = again(|| engine.store.begin(&items)).await.inspect_err(|error| engine.outage.note(error))?;
    let mut refused: HashMap<BeginVerdict, Vec<LeaseId>> = HashMap::new();
    let mut begun = Vec::with_capacity(rows.len());
    let mut waiting = Vec::new();
    let answered = Instant::now();
    let permitted = rows.iter().filter(|row| row.verdict == BeginVerdict::Permitted);
    engine.briefs.begun(permitted.filter_map(|row| Some((row.lease, row.at?))));
    for BeginRow { lease, verdict, at, ahead } in rows {
        match verdict {
            BeginVerdict::Permitted => begun.push(lease),
            BeginVerdict::Wait => waiting.push(lease),
            BeginVerdict::Lost | BeginVerdict::AlreadyBegun => {}
            other => refused.entry(other).or_default().push(lease),
        }
        if let Some(index) = places.get(&lease) {
            let waits = verdict == BeginVerdict::Wait;
            let retry_after = waits.then(|| ahead.max(RETRY_AFTER_MIN));
            let begun_at = at.filter(|_| !waits);
            answers[*index] = Some(Permit { verdict, begun_at, due: answered + ahead, retry_after });
        }
    }
    engine.tell(Event::Begun(begun));
    if !waiting.is_empty() {
        engine.tell(Event::Waiting(waiting));
    }
    for (verdict, leases) in refused {
        engine.in_time(end_refused(engine, verdict, &leases)).await?;
    }
    Ok(())
}

async fn end_refused(engine: &Arc<Engine>, verdict: BeginVerdict, leases: &[LeaseId]) -> Result<(), EngineError> {
    let reason = match verdict {
        // The release asks again until when.
        BeginVerdict::NumberRule(_) => waiting::NUMBER_RULE,
        // Its lead is looked at again by the queue, which knows the hours and the rules.
        _ => waiting::BACK_OFF,
    };
    let released = again(|| engine.store.release(leases, reason, None)).await?;
    let over: Vec<LeaseId> =
        released.iter().filter(|one| one.verdict == ReleaseVerdict::Released).map(|one| one.lease).collect();
    engine.announce_ended(over.iter().copied(), None);
    if verdict == BeginVerdict::Suppressed {
        let ended = engine.store.ended_leases(&over).await?;
        engine.block_again(ended.iter().map(|one| one.number).collect());
    }
    engine.wake_for(&over).await;
    Ok(())
}
