//! What the floor asks of the database, and what comes back: a list of jobs. Whoever runs them decides when, in which order,
//! and what goes wrong.

use std::sync::Arc;

use super::{database::CAMPAIGNS, world::World};
use crate::{
    domain::ids::{CampaignKey, LeaseId, SessionId, StreamNumber},
    engine::leasing::{
        door::Opening,
        events::{Event, outbox},
        floor::Planned,
        messages::{Ending, RevokeReason},
    },
    store::{
        StoreError,
        leases::{GrantItem, GrantVerdict},
        queue::RefillAsk,
        releases::ReleaseVerdict,
    },
};

/// A question to the database, or an answer on its way.
pub(super) enum Job {
    OpenRow(Opening, bool),
    ReadOwn(Opening),
    CloseRow(SessionId, StreamNumber, Vec<LeaseId>),
    Grant(Vec<Planned>, u32),
    /// A grant whose caller gave up, and which commits all the same.
    Ghost(Vec<GrantItem>),
    Release(Vec<LeaseId>, Option<RevokeReason>),
    /// A release when what was granted without an answer cannot be made any more.
    Recall(Vec<LeaseId>),
    Begin(SessionId, Vec<LeaseId>),
    Refill(RefillAsk, u32),
    /// A refill whose caller gave up, and which commits all the same.
    LateRefill(RefillAsk),
    Reload(CampaignKey),
    Peek(CampaignKey),
    FindEnded(Vec<LeaseId>),
    FindLost(Vec<(SessionId, StreamNumber)>),
    Survey,
    News(Event),
}

impl World {
    /// Runs the job at this place; `fault` says what goes wrong, mostly nothing.
    pub(super) fn run(&mut self, at: usize, fault: u8) {
        match self.jobs.remove(at) {
            Job::OpenRow(mut opening, here) => {
                opening.stream = self.db.open(opening.session, here);
                if here {
                    self.ask(Job::ReadOwn(opening));
                } else {
                    self.opened_elsewhere(&opening);
                }
            }
            Job::ReadOwn(mut opening) => {
                opening.own = self.db.own(opening.session);
                self.tell(Event::Open(opening, outbox(1).0));
            }
            Job::CloseRow(..) if fault == 10 => self.lossy = true,
            Job::CloseRow(session, stream, unbegun) => {
                if self.db.close(session, stream) && !unbegun.is_empty() {
                    self.ask(Job::Release(unbegun, Some(RevokeReason::NotBegun)));
                }
            }
            Job::Grant(planned, life) => self.run_grant(planned, life, fault),
            Job::Ghost(items) => drop(self.db.grant(&items, None)),
            Job::Release(..) if fault == 10 => self.lossy = true,
            Job::Release(leases, reason) => self.run_release(&leases, reason),
            Job::Recall(leases) => {
                let gone = |item: &GrantItem| leases.contains(&item.lease);
                self.jobs.retain(|job| match job {
                    Job::Ghost(items) => !items.iter().any(gone),
                    Job::LateRefill(ask) => !ask.slots.iter().any(|slot| leases.contains(&slot.lease)),
                    _ => true,
                });
                drop(self.db.release(&leases));
                self.tell(Event::Recalled(leases));
            }
            Job::Begin(session, leases) => {
                let begun = self.db.begin(session, &leases);
                self.tell(Event::Begun(begun));
            }
            Job::Refill(ask, life) => self.run_refill(ask, life, fault),
            Job::LateRefill(ask) => drop(self.db.refill(&ask, None)),
            Job::Reload(key) => self.tell(Event::Campaign(Arc::clone(&self.db.campaigns[&key]))),
            Job::Peek(key) => self.tell(Event::Promises(vec![key], self.db.promises(key))),
            Job::FindEnded(leases) => {
                let ended = leases.into_iter().filter(|lease| !self.db.leases.contains_key(lease)).collect();
                self.tell(Event::EndedElsewhere(ended, None));
            }
            Job::FindLost(streams) => {
                for (session, stream, taken_over) in self.db.lost(&streams) {
                    let ending = if taken_over { Ending::TakenOver } else { Ending::Lost };
                    self.tell(Event::StreamLost(session, stream, ending));
                }
            }
            Job::Survey => CAMPAIGNS.into_iter().for_each(|key| {
                self.ask(Job::Reload(key));
                self.ask(Job::Peek(key));
                self.floor.settings.max_concurrency = i32::try_from(self.db.engine_cap).unwrap_or(i32::MAX);
                self.floor.wake_all();
            }),
            Job::News(event) => self.take(event),
        }
    }

    fn run_grant(&mut self, planned: Vec<Planned>, life: u32, fault: u8) {
        let items: Vec<GrantItem> = planned.iter().map(|planned| planned.item.clone()).collect();
        let away = || StoreError::Unavailable("gone".to_owned());
        let result = match fault {
            _ if life != self.db.life => Err(StoreError::Fenced),
            10 => Err(away()),
            11 => {
                self.db.grant(&items, None);
                Err(away())
            }
            12 => {
                self.lossy = true;
                self.ask(Job::Ghost(items));
                Err(away())
            }
            13 => Ok(self.db.grant(&items, Some(GrantVerdict::Closed))),
            14 => Ok(self.db.grant(&items, Some(GrantVerdict::Suppressed))),
            15 => Ok(self.db.grant(&items, Some(GrantVerdict::Provider))),
            16 => Ok(self.db.grant(&items, items.first().map(|item| GrantVerdict::NumberRule(item.open_until)))),
            _ => Ok(self.db.grant(&items, None)),
        };
        self.tell(Event::Granted(planned, result));
    }

    fn run_refill(&mut self, ask: RefillAsk, life: u32, fault: u8) {
        let away = || StoreError::Unavailable("gone".to_owned());
        let result = match fault {
            _ if life != self.db.life => Err(StoreError::Fenced),
            // What is READY without anybody's knowledge is found by a look once a minute, which nobody takes here.
            _ if ask.slots.is_empty() => self.db.refill(&ask, None),
            10 => Err(away()),
            11 => {
                self.lossy = true;
                drop(self.db.refill(&ask, None));
                Err(away())
            }
            12 => {
                self.lossy = true;
                self.ask(Job::LateRefill(ask.clone()));
                Err(away())
            }
            14 => self.db.refill(&ask, Some(GrantVerdict::Suppressed)),
            15 => self.db.refill(&ask, Some(GrantVerdict::Provider)),
            16 => self.db.refill(&ask, Some(GrantVerdict::NumberRule(self.now.wall))),
            _ => self.db.refill(&ask, None),
        };
        self.tell(Event::Refilled(ask, result));
    }

    fn run_release(&mut self, leases: &[LeaseId], reason: Option<RevokeReason>) {
        let (mut over, mut begun, mut not_held) = (Vec::new(), Vec::new(), Vec::new());
        for (lease, verdict) in self.db.release(leases) {
            match verdict {
                ReleaseVerdict::Released => over.push(lease),
                ReleaseVerdict::Begun => begun.push(lease),
                ReleaseVerdict::NotHeld => not_held.push(lease),
            }
        }
        self.tell(Event::Ended(over, reason));
        self.tell(Event::Begun(begun));
        self.tell(Event::Ended(not_held, None));
    }

    /// The session is on another replica, which gives back what the dialer does not know.
    fn opened_elsewhere(&mut self, opening: &Opening) {
        let own = self.db.own(opening.session);
        let unknown = own.iter().filter(|own| !own.begun && !opening.held.contains(&own.lease)).map(|own| own.lease);
        self.ask(Job::Release(unknown.collect(), Some(RevokeReason::NotReceived)));
        self.tell(Event::TakenOver(opening.session, opening.stream));
    }
}
