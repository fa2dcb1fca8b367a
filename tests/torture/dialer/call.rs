//! One lease: a permit, a ring, a report.

use std::{sync::Arc, time::Duration};

use dialplane::pb::{self, BeginVerdict, Outcome, RefusalReason};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Dialer,
    session::{Session, Stage},
    talk::id,
};
use crate::{
    behaviour::Behaviour,
    carrier::{Carrier, now},
    log::{Event, Micros},
};

/// How long an answer to one request is waited for at first: less than a permit is good for. And at most.
pub const ANSWER_WITHIN: Duration = Duration::from_millis(700);
pub const ANSWER_WITHIN_MAX: Duration = Duration::from_secs(10);
/// How long a permit is asked for. By then its lease is over, whatever the answer was.
const ASK_FOR: Duration = Duration::from_secs(90);
const RING_MAX: Duration = Duration::from_millis(1_800);
const CALM_RING_MAX: Duration = Duration::from_millis(100);
/// How often a lease goes back without a call.
const RELEASES: f64 = 0.04;

/// A permit, and the last instant to dial by it.
struct Permit {
    until: Micros,
}

impl Dialer {
    pub(super) async fn call(self: Arc<Self>, session: Arc<Session>, lease: pb::Lease, over: CancellationToken) {
        let key = id(&lease.lease_id);
        let mut rng = StdRng::seed_from_u64(self.seed ^ key.as_u64_pair().1);
        let think = if self.is_calm() { 20 } else { 250 };
        tokio::select! {
            () = sleep(Duration::from_millis(rng.random_range(0..think))) => {}
            () = over.cancelled() => return,
        }
        tokio::select! {
            () = self.behaviours.wait_out(Behaviour::NeverAnswers) => {}
            () = over.cancelled() => return,
        }
        self.behaviours.wait_out(Behaviour::Hangs).await;
        if !self.is_calm() && rng.random_bool(RELEASES) {
            return self.release(&session, key, &mut rng).await;
        }
        if !session.advance(key, Stage::Asked) {
            return;
        }
        let permit = if self.behaviours.is(Behaviour::RunsTwice) {
            // The other process has heard of the lease, too. At most one of them may dial.
            let mut other = StdRng::seed_from_u64(rng.random());
            let (mine, others) =
                tokio::join!(self.permit(&session, key, &mut rng), self.permit(&session, key, &mut other));
            mine.or(others)
        } else {
            self.permit(&session, key, &mut rng).await
        };
        let Some(permit) = permit else {
            session.finish(key);
            return;
        };
        session.advance(key, Stage::Begun);
        if self.behaviours.take(Behaviour::DiesAfterPermit) {
            self.behaviours.switch_on(Behaviour::Dies, Duration::from_secs(5));
            // Its death may have been called off since: the storm is over.
            while !self.is_stopping() {
                sleep(Duration::from_millis(100)).await;
            }
            return session.finish(key);
        }
        let outcome = self.ring(&lease, permit, &over, &mut rng).await;
        self.behaviours.wait_out(Behaviour::Hangs).await;
        self.report(key, outcome, &mut rng).await;
        session.finish(key);
    }

    async fn release(&self, session: &Session, lease: Uuid, rng: &mut StdRng) {
        if session.let_go(lease, &self.pen) {
            let request =
                pb::ReleaseLeasesRequest { session_id: session.id.to_string(), lease_ids: vec![lease.to_string()] };
            // Not answered, it goes back by itself.
            let _ = timeout(ANSWER_WITHIN, self.client(rng).release_leases(request)).await;
        }
    }

    /// Asks until there is an answer, on any replica; one event, from the first time to the answer.
    async fn permit(self: &Arc<Self>, session: &Session, lease: Uuid, rng: &mut StdRng) -> Option<Permit> {
        let since = Instant::now();
        let mut nonce = Uuid::new_v4();
        let mut asked = now();
        let (mut within, mut in_doubt) = (ANSWER_WITHIN, false);
        loop {
            let request = pb::BeginCallsRequest {
                session_id: session.id.to_string(),
                lease_ids: vec![lease.to_string()],
                nonce: nonce.to_string(),
            };
            let answer = timeout(within, self.client(rng).begin_calls(request)).await;
            let answered = now();
            let result = match answer {
                Ok(Ok(answer)) => answer.into_inner().results.into_iter().next().unwrap_or_default(),
                failed => {
                    in_doubt = true;
                    match failed {
                        Ok(Err(status)) => {
                            self.failed(&status);
                        }
                        _ => within = (within * 2).min(ANSWER_WITHIN_MAX),
                    }
                    if since.elapsed() > ASK_FOR {
                        self.not_permitted(lease, nonce, "", asked, None);
                        self.report(lease, Outcome::NotPlaced, rng).await;
                        return None;
                    }
                    sleep(Duration::from_millis(rng.random_range(20..200))).await;
                    self.behaviours.wait_out(Behaviour::Hangs).await;
                    continue;
                }
            };
            match result.verdict() {
                BeginVerdict::Permitted => return Some(self.permitted(session, lease, nonce, asked, &result)),
                BeginVerdict::Wait => {
                    sleep(Duration::from_millis(100)).await;
                    (nonce, asked, in_doubt) = (Uuid::new_v4(), now(), false);
                }
                BeginVerdict::Refused | BeginVerdict::Unspecified => {
                    self.not_permitted(lease, nonce, result.reason().as_str_name(), asked, Some(answered));
                    if in_doubt && result.reason() == RefusalReason::LeaseLost {
                        // There may have been one that is over; nothing rang. The contract's word for that:
                        self.report(lease, Outcome::NotPlaced, rng).await;
                    }
                    return None;
                }
            }
        }
    }

    fn not_permitted(&self, lease: Uuid, nonce: Uuid, reason: &str, asked: Micros, answered: Option<Micros>) {
        self.pen.write(&Event::NotPermitted { lease, nonce, reason: reason.into(), asked, answered });
    }

    fn permitted(
        &self,
        session: &Session,
        lease: Uuid,
        nonce: Uuid,
        asked: Micros,
        result: &pb::BeginResult,
    ) -> Permit {
        let within = result.dial_within.and_then(|within| Duration::try_from(within).ok()).unwrap_or_default();
        let dial_within_micros = i64::try_from(within.as_micros()).unwrap();
        let begun = result.begun_at.map_or(0, |at| at.seconds * 1_000_000 + i64::from(at.nanos) / 1_000);
        let session = session.id;
        self.pen.write(&Event::Permitted { lease, session, nonce, begun, dial_within_micros, asked, answered: now() });
        Permit { until: asked + dial_within_micros }
    }

    /// Lets it ring, if the permit still holds; answers what came of it.
    async fn ring(&self, lease: &pb::Lease, permit: Permit, over: &CancellationToken, rng: &mut StdRng) -> Outcome {
        let length = rng.random_range(Duration::ZERO..if self.is_calm() { CALM_RING_MAX } else { RING_MAX });
        let Ok(mut line) = Carrier::connect(self.carrier).await else {
            return Outcome::NotPlaced;
        };
        match line.dial(id(&lease.lease_id), &lease.number, &self.name, Some(permit.until)).await {
            Ok(None) => return Outcome::NotPlaced,
            Err(_) => return Outcome::Failed,
            Ok(Some(ring)) => {
                tokio::select! { () = sleep(length) => {}, () = over.cancelled() => {} }
                if line.hang_up(ring).await.is_err() {
                    self.pen.odd("the carrier is gone");
                }
            }
        }
        self.outcome(rng)
    }

    fn outcome(&self, rng: &mut StdRng) -> Outcome {
        if self.is_calm() {
            return Outcome::IntentNo;
        }
        match rng.random_range(0..200) {
            0 => Outcome::DoNotCall,
            1..=5 => Outcome::IntentYes,
            6..=11 => Outcome::IntentNo,
            12..=31 => Outcome::CallbackRequested,
            32..=43 => Outcome::NotPlaced,
            44..=63 => Outcome::Busy,
            64..=79 => Outcome::Failed,
            80..=95 => Outcome::Voicemail,
            _ => Outcome::NoAnswer,
        }
    }
}
