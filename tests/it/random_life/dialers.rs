//! Dialers that do whatever a dialer may: begin, report, release, repeat themselves, come late, go silent, vanish.

use std::{sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use dialplane::pb::{self, lease_calls_request, lease_calls_response};
use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::time::timeout;
use tonic::Code;

use super::{Clients, Life};
use crate::support::{World, dialer::Dialer, new_id, timestamp};

/// A lease in the hands of a dialer, with the nonce of its permit.
struct Held {
    lease: pb::Lease,
    nonce: Option<String>,
}

/// Outcomes with their weights.
const OUTCOMES: [(pb::Outcome, u32); 11] = [
    (pb::Outcome::IntentYes, 2),
    (pb::Outcome::IntentNo, 3),
    (pb::Outcome::CallbackRequested, 14),
    (pb::Outcome::DoNotCall, 3),
    (pb::Outcome::NoAnswer, 16),
    (pb::Outcome::Voicemail, 8),
    (pb::Outcome::Busy, 8),
    (pb::Outcome::Abandoned, 4),
    (pb::Outcome::Failed, 8),
    (pb::Outcome::InvalidNumber, 1),
    (pb::Outcome::NotPlaced, 12),
];

/// Errors that any client must expect; any other is a bug.
pub fn expected(status: &tonic::Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::ResourceExhausted | Code::FailedPrecondition | Code::AlreadyExists | Code::Aborted
    )
}

pub async fn live(life: Arc<Life>, mut rng: StdRng, steps: usize) {
    let mut left = steps;
    while left > 0 {
        left -= 1;
        let (_, scheduler) = life.clients(&mut rng);
        let mine = life.campaign(&mut rng);
        let only = if rng.random_bool(0.5) { vec![mine.as_str()] } else { Vec::new() };
        let slots = rng.random_range(1..8);
        match Dialer::try_open(scheduler, &only, slots, &new_id()).await {
            Ok(dialer) => session(&life, &mut rng, dialer, &mut left).await,
            Err(status) => assert!(expected(&status) || status.code() == Code::Ok, "{status:?}"),
        }
    }
}

/// One session, until it is lost or given up.
async fn session(life: &Life, rng: &mut StdRng, mut dialer: Dialer, left: &mut usize) {
    let mut held: Vec<Held> = Vec::new();
    while *left > 0 {
        *left -= 1;
        if !hear(life, rng, &mut dialer, &mut held).await {
            return;
        }
        let one = (!held.is_empty()).then(|| rng.random_range(0..held.len()));
        match (rng.random_range(0..100), one) {
            (0..35, Some(one)) => begin(life, rng, &mut dialer, &mut held[one]).await,
            (35..65, Some(one))
                // Mostly after a permit; a report without one is a fact, too.
                if (held[one].nonce.is_some() || rng.random_bool(0.1)) => {
                    let lease = held[one].lease.clone();
                    if !rng.random_bool(0.1) {
                        held.swap_remove(one);
                    }
                    report(life, rng, &lease).await;
                }
            (65..72, Some(one)) => {
                let lease = held.swap_remove(one).lease.lease_id;
                let request =
                    pb::ReleaseLeasesRequest { session_id: dialer.session_id.clone(), lease_ids: vec![lease] };
                let answer = dialer.client.release_leases(request).await;
                answer.map(drop).unwrap_or_else(|status| assert!(expected(&status), "{status:?}"));
            }
            (72..80, _) => {
                let any = life.ledger().leases.choose(rng).cloned();
                if let Some(lease) = any {
                    report(life, rng, &lease).await;
                }
            }
            (80..84, _) => dialer.slots(rng.random_range(0..8)).await,
            (84..86, _) => dialer.drain().await,
            (86..88, _) => return,
            (88..92, _) => dialer.heartbeat().await,
            _ => {}
        }
    }
}

/// Takes in messages for a moment. `false`: the session is over.
async fn hear(life: &Life, rng: &mut StdRng, dialer: &mut Dialer, held: &mut Vec<Held>) -> bool {
    let moment = Duration::from_millis(rng.random_range(1..12));
    match timeout(moment, dialer.next()).await {
        Err(_) => true,
        Ok(Err(status)) => {
            assert!(expected(&status) || status.code() == Code::Ok, "{status:?}");
            false
        }
        Ok(Ok(lease_calls_response::Message::Granted(granted))) => {
            life.ledger().leases.extend(granted.leases.iter().cloned());
            let lease_ids = granted.leases.iter().map(|lease| lease.lease_id.clone()).collect();
            if rng.random_bool(0.95) {
                // The stream may be over; then the next message says so.
                dialer.try_say(lease_calls_request::Message::Received(pb::Received { lease_ids })).await;
            }
            held.extend(granted.leases.into_iter().map(|lease| Held { lease, nonce: None }));
            true
        }
        Ok(Ok(lease_calls_response::Message::Revoked(revoked))) => {
            // Not every dialer listens.
            if rng.random_bool(0.7) {
                held.retain(|one| !revoked.lease_ids.contains(&one.lease.lease_id));
            }
            true
        }
        Ok(Ok(_)) => true,
    }
}

async fn begin(life: &Life, rng: &mut StdRng, dialer: &mut Dialer, held: &mut Held) {
    let again = held.nonce.clone().filter(|_| rng.random_bool(0.7));
    let nonce = again.unwrap_or_else(new_id);
    let asked = life.ledger().ask(&held.lease);
    let request = pb::BeginCallsRequest {
        session_id: dialer.session_id.clone(),
        lease_ids: vec![held.lease.lease_id.clone()],
        nonce: nonce.clone(),
    };
    match dialer.client.begin_calls(request).await {
        Ok(answer) => {
            let result = answer.into_inner().results.remove(0);
            if result.verdict() == pb::BeginVerdict::Permitted {
                life.ledger().permit(&held.lease, &asked);
                held.nonce = Some(nonce);
            }
        }
        Err(status) => assert!(expected(&status), "{status:?}"),
    }
}

fn outcome(rng: &mut StdRng) -> pb::Outcome {
    OUTCOMES.choose_weighted(rng, |(_, weight)| *weight).unwrap().0
}

/// Reports something, sometimes twice, from any engine.
async fn report(life: &Life, rng: &mut StdRng, lease: &pb::Lease) {
    let outcome = outcome(rng);
    let in_seconds = rng.random_range(-5..600);
    let callback_at =
        timestamp(Utc::now() + TimeDelta::seconds(in_seconds)).filter(|_| outcome == pb::Outcome::CallbackRequested);
    let (_, mut scheduler): Clients = life.clients(rng);
    let one = pb::OutcomeReport {
        lease_id: lease.lease_id.clone(),
        outcome: outcome.into(),
        callback_at,
        ..Default::default()
    };
    let reports = if rng.random_bool(0.1) { vec![one.clone(), one] } else { vec![one] };
    let removals = life.ledger().reporting(lease, outcome);
    match scheduler.report_outcomes(pb::ReportOutcomesRequest { reports }).await {
        Ok(answer) => {
            for result in answer.into_inner().results {
                life.ledger().reported(lease, outcome, &result, removals);
            }
        }
        Err(status) => {
            assert!(expected(&status), "{outcome:?}: {status:?}");
            life.ledger().unanswered(lease);
        }
    }
}

/// Calls everyone who may be called now, and is refused by all.
pub async fn call_all(life: &Life, world: &World) {
    let Ok(mut dialer) = Dialer::try_open(world.scheduler.clone(), &[], 100, &new_id()).await else { return };
    let mut rng = rand::SeedableRng::seed_from_u64(0);
    let mut held = Vec::new();
    let mut quiet = 0;
    while quiet < 30 {
        let before = held.len();
        if !hear_all(life, &mut rng, &mut dialer, &mut held).await {
            return;
        }
        quiet = if held.len() == before { quiet + 1 } else { 0 };
        for mut one in std::mem::take(&mut held) {
            begin(life, &mut rng, &mut dialer, &mut one).await;
            if one.nonce.is_some() {
                let removals = life.ledger().reporting(&one.lease, pb::Outcome::IntentNo);
                let result = dialer.report(&one.lease.lease_id, pb::Outcome::IntentNo).await;
                life.ledger().reported(&one.lease, pb::Outcome::IntentNo, &result, removals);
            }
        }
    }
}

/// As `hear`, but for longer.
async fn hear_all(life: &Life, rng: &mut StdRng, dialer: &mut Dialer, held: &mut Vec<Held>) -> bool {
    for _ in 0..4 {
        if !hear(life, rng, dialer, held).await {
            return false;
        }
    }
    true
}
