//! The world around the floor: a dispatcher without tasks. What it asks of the database becomes jobs.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::{
    database::{CAMPAIGNS, Database},
    jobs::Job,
    promises::Model,
};
use crate::{
    domain::{
        campaign::CampaignState,
        ids::{SessionId, StreamNumber, ZoneId},
        settings::SchedulerSettings,
    },
    engine::leasing::{
        door::Opening,
        events::Event,
        floor::Floor,
        lane::{Lane, ZoneBook},
        messages::{Effect, Ending, Message, Moment},
    },
    store::campaigns::CampaignRow,
};

pub(super) const TTL: Duration = Duration::from_secs(3);
pub(super) const RECEIPT_WITHIN: Duration = Duration::from_secs(1);
/// Messages that may wait for a dialer to read.
const OUTBOX_MAX: usize = 8;

pub(super) struct World {
    pub(super) floor: Floor,
    pub(super) db: Database,
    pub(super) model: Model,
    pub(super) jobs: Vec<Job>,
    /// Messages unread, by session, with the stream that is to read them.
    pub(super) outboxes: BTreeMap<SessionId, (StreamNumber, VecDeque<Message>)>,
    pub(super) now: Moment,
    started: Instant,
    granting: bool,
    /// Campaigns wait on other replicas: slots may be left to them.
    pub(super) others_wait: bool,
    /// Something was lost that only a deadline makes up for.
    pub(super) lossy: bool,
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(12 * 3600, 0).expect("noon")
}

fn zones() -> Arc<ZoneBook> {
    let none: [(ZoneId, String); 0] = [];
    Arc::new(ZoneBook::new(&none))
}

impl World {
    pub(super) fn new() -> World {
        let now = Instant::now();
        let settings =
            SchedulerSettings { session_ttl: TTL, receipt_within: RECEIPT_WITHIN, ..SchedulerSettings::default() };
        let mut world = World {
            floor: Floor::new(settings),
            db: Database::new(),
            model: Model::new(TTL, RECEIPT_WITHIN, now),
            jobs: Vec::new(),
            outboxes: BTreeMap::new(),
            now: Moment { mono: now, wall: noon() },
            started: now,
            granting: false,
            others_wait: false,
            lossy: false,
        };
        world.tick(true);
        CAMPAIGNS.into_iter().for_each(|key| world.campaign(Arc::clone(&world.db.campaigns[&key])));
        world
    }

    pub(super) fn ask(&mut self, job: Job) {
        self.jobs.push(job);
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.jobs.push(Job::News(event));
    }

    // ---- Time --------------------------------------------------------------------------------------

    /// Time passes, and the loop does not turn.
    pub(super) fn pass(&mut self, by: Duration) {
        self.now.mono += by;
        let since = TimeDelta::from_std(self.now.mono - self.started).expect("short");
        self.now.wall = noon() + since;
        self.model.pass(self.now.mono);
    }

    pub(super) fn tick(&mut self, serving: bool) {
        let effects = self.floor.tick(self.now, serving);
        let mut lost = Vec::new();
        let mut unreceived = Vec::new();
        for effect in &effects {
            match effect {
                Effect::Close(id, Ending::Lost) => lost.push(*id),
                Effect::Release(leases, _) => {
                    self.model.releases(leases);
                    unreceived.extend(leases);
                }
                Effect::Send(id, message) => self.model.sent(*id, message),
                _ => {}
            }
        }
        self.model.ticked(serving, &lost, &unreceived);
        self.apply(effects);
        self.check();
    }

    /// What the loop does after every event.
    pub(super) fn proceed(&mut self) {
        let refills = self.floor.refills(self.now);
        self.model.asked(refills.iter().filter_map(|effect| match effect {
            Effect::Refill(ask) => Some(ask),
            _ => None,
        }));
        self.apply(refills);
        if !self.granting {
            let most = self.floor.room.at_most(500);
            let (planned, effects) = self.floor.plan(self.now);
            self.model.planned(&planned, most);
            if planned.len() < most && !self.others_wait {
                self.nobody_waits();
            }
            self.apply(effects);
            if !planned.is_empty() {
                self.granting = true;
                self.ask(Job::Grant(planned, self.db.life));
            }
        }
        self.check();
    }

    /// A plan that leaves room has used every lead that is there, or every slot that takes it.
    fn nobody_waits(&self) {
        for (key, _) in
            self.floor.lanes.iter().filter(|(_, lane)| lane.is_open(self.now.wall) && !lane.buffer.is_empty())
        {
            for (id, session) in self.floor.sessions.iter().filter(|(_, session)| session.serves(*key)) {
                let doubtful = self.model.doubtful.values().filter(|of| *of == id).count();
                assert_eq!(session.free(self.floor.served, doubtful), 0, "a slot and a lead wait for nothing");
            }
        }
    }

    pub(super) fn check(&self) {
        self.model.check(&self.floor);
    }

    // ---- The dispatcher, as `dispatcher.rs` and `effects.rs` have it -------------------------------

    pub(super) fn take(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Open(opening, _) => self.open(opening),
            Event::Closed(id, stream) if self.has(id, stream) => self.close(id),
            Event::TakenOver(id, stream) if self.floor.stream_of(id).is_some_and(|own| own < stream) => self.close(id),
            Event::StreamLost(id, stream, _) if self.has(id, stream) => self.close(id),
            Event::Heartbeat(id, stream) if self.has(id, stream) => {
                self.model.heard(id);
                let effects = self.floor.heartbeat(id, now);
                self.apply(effects);
            }
            Event::Heard(id) => {
                self.model.heard(id);
                self.floor.heard(id);
            }
            Event::Slots(id, stream, slots) if self.has(id, stream) => {
                self.model.heard(id);
                self.model.open.get_mut(&id).into_iter().for_each(|open| open.slots = slots);
                self.floor.set_slots(id, slots);
            }
            Event::Received(id, stream, leases) if self.has(id, stream) => {
                self.model.heard(id);
                self.model.received(&leases, false);
                self.floor.heard(id);
                self.floor.received(&leases, false);
            }
            Event::Recalled(leases) => {
                self.model.doubtful.retain(|lease, _| !leases.contains(lease));
                self.floor.recalled(&leases);
            }
            Event::Begun(leases) => {
                self.model.received(&leases, true);
                self.floor.received(&leases, true);
            }
            Event::Drain(id, stream) if self.has(id, stream) => {
                self.model.heard(id);
                self.model.open.get_mut(&id).into_iter().for_each(|open| open.draining = true);
                let effects = self.floor.drain(id);
                self.apply(effects);
            }
            Event::Leave(within) => {
                self.model.leaving = true;
                self.model.open.values_mut().for_each(|open| open.draining = true);
                let effects = self.floor.leave(within, now);
                self.apply(effects);
            }
            Event::Ended(leases, reason) | Event::EndedElsewhere(leases, reason) => {
                leases.iter().for_each(|lease| self.model.ended(*lease));
                let effects = self.floor.ended(&leases, reason);
                self.apply(effects);
            }
            other => self.take_news(other),
        }
    }

    fn has(&self, id: SessionId, stream: StreamNumber) -> bool {
        self.floor.stream_of(id) == Some(stream)
    }

    fn take_news(&mut self, event: Event) {
        match event {
            Event::Campaign(row) => self.campaign(row),
            Event::Fenced => {
                self.model.fenced();
                let effects = self.floor.fenced();
                for effect in effects {
                    let Effect::Close(id, Ending::Leaving) = effect else { panic!("a fenced floor only closes") };
                    self.close(id);
                }
                assert!(self.floor.sessions.is_empty() && self.floor.ledger.len() == 0 && self.floor.lanes.is_empty());
            }
            Event::Granted(planned, result) => {
                self.granting = false;
                self.model.answered(planned.iter().map(|planned| planned.item.lease));
                let effects = match result {
                    Ok(verdicts) => self.floor.granted(planned, &verdicts, self.now),
                    Err(error) => {
                        let made = matches!(error, crate::store::StoreError::Unavailable(_));
                        if made {
                            self.model.doubtful(&planned);
                        }
                        self.floor.grant_failed(planned, made)
                    }
                };
                self.apply(effects);
            }
            Event::Refilled(ask, result) => {
                self.model.answered(ask.slots.iter().map(|slot| slot.lease));
                let effects = match result {
                    Ok(refill) => self.floor.refilled(&ask, refill, self.now),
                    Err(error) => {
                        let made = matches!(error, crate::store::StoreError::Unavailable(_));
                        if made {
                            let doubtful = ask.slots.iter().map(|slot| (slot.lease, slot.session));
                            self.model.doubtful.extend(doubtful);
                        }
                        self.ask(Job::Reload(ask.campaign));
                        self.floor.refill_failed(&ask, made, self.now)
                    }
                };
                self.apply(effects);
            }
            Event::Promises(keys, leads) => {
                for key in keys {
                    self.floor.lanes.get_mut(&key).into_iter().for_each(|lane| lane.promises.clear());
                }
                for lead in leads {
                    if let (Some(lane), Some(at)) = (self.floor.lanes.get_mut(&lead.campaign), lead.promised) {
                        lane.promises.insert((at, lead.lead), lead);
                    }
                }
            }
            _ => {}
        }
    }

    fn open(&mut self, opening: Opening) {
        let (id, stream) = (opening.session, opening.stream);
        if self.floor.leaving() {
            self.ask(Job::CloseRow(id, stream, Vec::new()));
            return;
        }
        if self.floor.stream_of(id).is_some_and(|current| current > stream) {
            return;
        }
        self.outboxes.insert(id, (stream, VecDeque::new()));
        let (answers, unknown) = self.model.opens(&opening);
        let effects = self.floor.open(opening, self.now);
        let Some(Effect::Send(to, Message::Opened { held, .. })) = effects.first() else {
            panic!("Opened comes first")
        };
        assert_eq!((*to, held), (id, &answers), "what is kept");
        let released = effects.iter().filter_map(|effect| match effect {
            Effect::Release(leases, _) => Some(leases.iter().copied()),
            _ => None,
        });
        assert_eq!(released.flatten().collect::<BTreeSet<_>>(), unknown, "what the dialer does not know");
        self.apply(effects);
    }

    fn campaign(&mut self, row: Arc<CampaignRow>) {
        let (key, running) = (row.key, row.state == CampaignState::Running);
        match self.floor.lanes.get_mut(&key) {
            Some(lane) if lane.campaign.is_newer_than(&row) => {}
            Some(lane) => {
                lane.update(row, zones());
                if !running {
                    self.floor.lanes.remove(&key);
                }
            }
            None if running => drop(self.floor.lanes.insert(key, Lane::new(row, zones()))),
            None => {}
        }
    }

    fn close(&mut self, id: SessionId) {
        let Some(stream) = self.floor.stream_of(id) else { return };
        self.outboxes.remove(&id);
        let mut unbegun = self.floor.closed(id);
        unbegun.sort_unstable();
        self.model.closed(id, &unbegun);
        self.ask(Job::CloseRow(id, stream, unbegun));
    }

    pub(super) fn apply(&mut self, mut effects: Vec<Effect>) {
        // Maps have no order; a failing case must fail again.
        effects.sort_by_key(|effect| match effect {
            Effect::Send(id, _) | Effect::Close(id, _) => Some(*id),
            _ => None,
        });
        for effect in effects {
            match effect {
                Effect::Send(id, message) => self.send(id, message),
                Effect::Close(id, ending) => {
                    if matches!(ending, Ending::Done | Ending::Leaving) && self.floor.stream_of(id).is_some() {
                        self.model.drained(id, ending);
                    }
                    self.close(id);
                }
                Effect::Release(mut leases, reason) => {
                    self.model.releases(&leases);
                    leases.sort_unstable();
                    self.ask(Job::Release(leases, reason));
                }
                Effect::Recall(leases) => self.ask(Job::Recall(leases)),
                Effect::Park(parked) => self.db.park(&parked),
                Effect::Refill(ask) => self.ask(Job::Refill(ask, self.db.life)),
                Effect::Reload(key) => self.ask(Job::Reload(key)),
                Effect::Peek(key) => self.ask(Job::Peek(key)),
                Effect::CheckStreams => self.find_lost(),
                Effect::Block(numbers) => self.db.block(&numbers),
            }
        }
    }

    pub(super) fn find_lost(&mut self) {
        let (ids, streams) = self.floor.streams();
        let mut all: Vec<_> = ids.into_iter().zip(streams).collect();
        all.sort_unstable();
        self.ask(Job::FindLost(all));
    }

    fn send(&mut self, id: SessionId, message: Message) {
        self.floor.told(id, self.now);
        self.model.sent(id, &message);
        let Some((_, outbox)) = self.outboxes.get_mut(&id) else { return };
        if outbox.len() < OUTBOX_MAX {
            outbox.push_back(message);
        } else {
            self.close(id);
        }
    }
}
