//! What a dialer hears from the engine, by stream or by poll, and the polls.

use std::{str::FromStr as _, sync::Arc, time::Duration};

use dialplane::pb::{self, HeldVerdict};
use rand::{Rng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{Dialer, End, SESSION_TTL, session::Session};
use crate::{behaviour::Behaviour, carrier::now, log::Event};

/// The machine-readable reason of an error.
pub fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map_or_else(String::new, |info| info.reason.clone())
}

impl Dialer {
    pub(super) fn opened(&self, session: &Session, opened: &pb::Opened) {
        for held in opened.held.iter().filter(|held| held.verdict() == HeldVerdict::Drop) {
            session.is_over(id(&held.lease_id), &self.pen);
        }
    }

    /// Starts a call for each; answers their ids.
    pub(super) fn granted(
        self: &Arc<Self>,
        session: &Arc<Session>,
        leases: Vec<pb::Lease>,
        calls: &mut JoinSet<()>,
    ) -> Vec<String> {
        let mut ids = Vec::new();
        for lease in leases {
            ids.push(lease.lease_id.clone());
            let Some(over) = session.take(id(&lease.lease_id)) else { continue };
            self.pen.write(&Event::Granted {
                lease: id(&lease.lease_id),
                session: session.id,
                campaign: id(&lease.campaign_id),
                lead: id(&lease.lead_id),
                number: lease.number.clone(),
                attempt: lease.attempt_number,
                promised: lease.callback_at.is_some(),
                at: now(),
            });
            calls.spawn(Arc::clone(self).call(Arc::clone(session), lease, over));
        }
        while calls.try_join_next().is_some() {}
        ids
    }

    pub(super) fn revoked(&self, session: &Session, revoked: &pb::Revoked) {
        for lease in &revoked.lease_ids {
            session.is_over(id(lease), &self.pen);
        }
    }

    /// How an error ends a stream or a poll.
    pub(super) fn failed(&self, status: &Status) -> End {
        match reason(status).as_str() {
            "SESSION_IN_USE" => End::Refused,
            "SESSION_LOST" => End::Lost,
            "SESSION_TAKEN_OVER" => End::TakenOver,
            _ => {
                if matches!(status.code(), Code::Internal | Code::InvalidArgument | Code::FailedPrecondition) {
                    self.pen.odd(&format!("a dialer was answered {:?}: {}", status.code(), status.message()));
                }
                End::Elsewhere
            }
        }
    }

    /// What befalls a dialer between two words. A hung one is silent here, and then goes on with what it holds.
    pub(super) async fn mishap(&self) -> Option<End> {
        if self.is_stopping() {
            return Some(End::Stopped);
        }
        if self.behaviours.take(Behaviour::Dies) {
            return Some(End::Died);
        }
        if self.behaviours.take(Behaviour::OldSession) {
            return Some(End::OldSession);
        }
        if self.behaviours.is(Behaviour::Hangs) {
            self.behaviours.wait_out(Behaviour::Hangs).await;
            // Its calls wake up first: zombies ask for permits.
            sleep(Duration::from_millis(200)).await;
        }
        None
    }

    /// Polls one replica after the other.
    pub(super) async fn poll_on(
        self: &Arc<Self>,
        session: &Arc<Session>,
        calls: &mut JoinSet<()>,
        rng: &mut StdRng,
    ) -> End {
        let mut client = self.client(rng);
        let mut received = Vec::new();
        self.pen.write(&Event::Slots { session: session.id, slots: self.slots, at: now() });
        loop {
            if let Some(end) = self.mishap().await {
                return end;
            }
            let request = pb::PollLeasesRequest {
                dialer_id: self.name.clone(),
                session_id: session.id.to_string(),
                campaign_ids: self.campaigns.clone(),
                slots: self.slots,
                held: session.held(),
                received: std::mem::take(&mut received),
                wait: Some(Duration::from_millis(rng.random_range(0..800)).try_into().unwrap()),
                poll_id: Uuid::new_v4().to_string(),
            };
            let mut answer = timeout(SESSION_TTL, client.poll_leases(request.clone())).await;
            if answer.is_err() || rng.random_bool(0.05) {
                answer = timeout(SESSION_TTL, client.poll_leases(request)).await;
            }
            let answer = match answer {
                Err(_) => return End::Elsewhere,
                Ok(Err(status)) if status.code() == Code::Unimplemented => {
                    return self.stream(session, calls, rng).await;
                }
                Ok(Err(status)) => return self.failed(&status),
                Ok(Ok(answer)) => answer.into_inner(),
            };
            if let Some(opened) = &answer.opened {
                self.opened(session, opened);
            }
            answer.revoked.iter().for_each(|revoked| self.revoked(session, revoked));
            let ids = self.granted(session, answer.leases, calls);
            if !self.behaviours.is(Behaviour::NeverAnswers) {
                received = ids;
            }
            if answer.go_away.is_some() {
                return End::Elsewhere;
            }
            if self.behaviours.is(Behaviour::NeverReads) {
                let asleep = Instant::now();
                while self.behaviours.is(Behaviour::NeverReads) && asleep.elapsed() < SESSION_TTL * 3 / 4 {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// An id as the engine writes it.
pub fn id(text: &str) -> Uuid {
    Uuid::from_str(text).unwrap()
}
