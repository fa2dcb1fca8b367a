//! The loop around the floor: takes in events, asks the database, tells dialers. Holds streams; decides nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender},
    time::Instant,
};

use super::{
    alarm::Alarm,
    door::Opening,
    events::{Event, Outbox, Survey},
    floor::{Floor, Planned},
    lane::{Lane, ZoneBook},
    messages::{Effect, Ending, Moment},
};
use crate::{
    domain::{
        campaign::CampaignState,
        ids::{CampaignKey, SessionId, StreamNumber},
    },
    engine::{Engine, PROMISES_MAX},
    store::{
        StoreError,
        campaigns::CampaignRow,
        leases::GrantVerdict,
        queue::{QueuedLead, Refill, RefillAsk},
        sessions::{Hand, Presence},
    },
};

/// How often caps that were met are tried again.
const PROBE_EVERY: Duration = Duration::from_millis(100);
/// How often the floor looks at its sessions and receipts.
const TICK_EVERY: Duration = Duration::from_millis(100);
/// How long nothing is granted after a grant failed: the database is away, or contended.
const RESUME_AFTER: Duration = Duration::from_millis(200);
/// Events taken in before the floor plans again.
const EVENTS_MAX: usize = 1024;

/// The loop around the floor.
pub struct Dispatcher {
    pub(super) engine: Arc<Engine>,
    pub(super) events: UnboundedSender<Event>,
    pub(super) floor: Floor,
    zones: Arc<ZoneBook>,
    pub(super) outboxes: HashMap<SessionId, (StreamNumber, Outbox)>,
    granting: bool,
    ticked_at: Instant,
    probed_at: Instant,
    /// No grant before this: the last one failed.
    resume_at: Instant,
}

impl Dispatcher {
    /// Runs until the engine's token is cancelled.
    pub async fn run(engine: Arc<Engine>, mut inbox: UnboundedReceiver<Event>) {
        let now = Instant::now();
        let mut dispatcher = Dispatcher {
            events: engine.events.clone(),
            floor: Floor::new(engine.settings()),
            zones: Arc::default(),
            outboxes: HashMap::new(),
            granting: false,
            ticked_at: now,
            probed_at: now,
            resume_at: now,
            engine,
        };
        let stop = dispatcher.engine.stop.clone();
        let alarm = Alarm::start();
        loop {
            let idle = dispatcher.floor.idle_for(dispatcher.now());
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                event = inbox.recv() => match event {
                    Some(event) => dispatcher.take(event),
                    None => break,
                },
                () = alarm.wait(idle) => {}
            }
            for _ in 0..EVENTS_MAX {
                let Ok(event) = inbox.try_recv() else { break };
                dispatcher.take(event);
            }
            dispatcher.proceed();
        }
        for (_, (_, outbox)) in dispatcher.outboxes.drain() {
            outbox.end(Ending::Leaving);
        }
    }

    pub(super) fn now(&self) -> Moment {
        Moment { mono: Instant::now(), wall: self.engine.clock.now() }
    }

    fn take(&mut self, event: Event) {
        let now = self.now();
        let effects = match event {
            Event::Open(opening, outbox) => self.open(opening, outbox, now),
            Event::Closed(session, stream) if self.has(session, stream) => {
                vec![Effect::Close(session, Ending::Done)]
            }
            Event::Closed(session, stream) => {
                // It may have died before it came here: nobody has the session then.
                self.engine.close_session(session, stream, Vec::new());
                Vec::new()
            }
            Event::TakenOver(session, stream) if self.floor.stream_of(session).is_some_and(|own| own < stream) => {
                vec![Effect::Close(session, Ending::TakenOver)]
            }
            Event::StreamLost(session, stream, ending) if self.has(session, stream) => {
                vec![Effect::Close(session, ending)]
            }
            Event::Heartbeat(session, stream) if self.has(session, stream) => self.floor.heartbeat(session, now),
            Event::Drain(session, stream) if self.has(session, stream) => self.floor.drain(session),
            Event::Leave(within) => self.floor.leave(within, now),
            Event::Ended(leases, reason) => {
                let elsewhere = leases.iter().filter(|lease| !self.floor.holds(**lease));
                elsewhere.for_each(|lease| self.engine.signal_ended(*lease, reason));
                self.floor.ended(&leases, reason)
            }
            Event::EndedElsewhere(leases, reason) => {
                self.engine.briefs.ended(leases.iter().copied());
                self.floor.ended(&leases, reason)
            }
            Event::Granted(planned, result) => {
                self.granting = false;
                self.granted(planned, result, now)
            }
            other => {
                self.take_word(other, now);
                Vec::new()
            }
        };
        self.apply(effects);
    }

    /// Whether the session is this stream's: what an older one still has to say does not count.
    fn has(&self, session: SessionId, stream: StreamNumber) -> bool {
        self.floor.stream_of(session) == Some(stream)
    }

    /// A later stream gets the session; one that lost the race does not.
    fn open(&mut self, opening: Opening, outbox: Outbox, now: Moment) -> Vec<Effect> {
        let (session, stream) = (opening.session, opening.stream);
        if self.floor.leaving() {
            outbox.end(Ending::Leaving);
            self.engine.close_session(session, stream, Vec::new());
            return Vec::new();
        }
        if self.floor.stream_of(session).is_some_and(|current| current > stream) {
            outbox.end(Ending::TakenOver);
            return Vec::new();
        }
        if let Some((_, older)) = self.outboxes.insert(session, (stream, outbox)) {
            older.end(Ending::TakenOver);
        }
        self.floor.open(opening, now)
    }

    /// What dialers say that wants no answer.
    fn take_word(&mut self, event: Event, now: Moment) {
        match event {
            Event::Slots(session, stream, slots) if self.has(session, stream) => self.floor.set_slots(session, slots),
            Event::Received(session, stream, leases) if self.has(session, stream) => {
                self.floor.heard(session);
                self.floor.received(&leases, false);
            }
            Event::Begun(leases) => self.floor.received(&leases, true),
            Event::Waiting(leases) => self.floor.received(&leases, false),
            Event::Recalled(leases) => self.floor.recalled(&leases),
            Event::Heard(session) if self.floor.stream_of(session).is_none() => self.engine.signal_heard(session),
            Event::Heard(session) | Event::HeardElsewhere(session) => self.floor.heard(session),
            other => self.take_news(other, now),
        }
    }

    /// News from the database.
    fn take_news(&mut self, event: Event, now: Moment) {
        match event {
            Event::Wake(campaign) => {
                match self.floor.lanes().get_mut(&campaign) {
                    Some(lane) => lane.wake(),
                    None => self.apply(vec![Effect::Reload(campaign)]),
                }
                self.engine.peek_promises(vec![campaign]);
            }
            Event::Due(campaign, at) => {
                if let Some(lane) = self.floor.lanes().get_mut(&campaign) {
                    lane.due_at(at);
                }
            }
            Event::Campaign(row) => self.campaign(row),
            Event::Reconcile => {
                self.engine.find_ended(self.floor.leases());
                self.engine.find_lost_streams(self.floor.streams());
            }
            Event::Survey(survey) => self.survey(*survey),
            Event::Presence(presence, hands) => self.presence(presence, hands, now),
            Event::Fenced => {
                let effects = self.floor.fenced();
                self.apply(effects);
            }
            Event::Inherited(leads) => {
                let mut by_campaign: HashMap<CampaignKey, Vec<QueuedLead>> = HashMap::new();
                for lead in leads {
                    by_campaign.entry(lead.campaign).or_default().push(lead);
                }
                for (campaign, leads) in by_campaign {
                    if let Some(lane) = self.floor.lanes().get_mut(&campaign) {
                        lane.inherit(leads);
                    }
                }
            }
            Event::Refilled(ask, result) => self.refilled(&ask, result, now),
            Event::Promises(campaigns, leads) => {
                for campaign in campaigns {
                    if let Some(lane) = self.floor.lanes().get_mut(&campaign) {
                        lane.promises.clear();
                    }
                }
                for lead in leads {
                    if let (Some(lane), Some(at)) = (self.floor.lanes().get_mut(&lead.campaign), lead.promised) {
                        lane.promises.insert((at, lead.lead), lead);
                        lane.more_promises = lane.promises.len() >= PROMISES_MAX;
                    }
                }
            }
            _ => {}
        }
    }

    fn campaign(&mut self, row: Arc<CampaignRow>) {
        let zones = Arc::clone(&self.zones);
        let running = row.state == CampaignState::Running;
        let key = row.key;
        let lanes = self.floor.lanes();
        match lanes.get_mut(&row.key) {
            // Readings arrive in any order.
            Some(lane) if lane.campaign.is_newer_than(&row) => {}
            Some(lane) => {
                lane.update(row, zones);
                if !running {
                    // Its READY leads have gone back in the database.
                    lanes.remove(&key);
                }
            }
            None if running => {
                lanes.insert(row.key, Lane::new(row, zones));
            }
            None => {}
        }
    }

    fn survey(&mut self, survey: Survey) {
        self.zones = survey.zones;
        self.floor.settings = survey.settings;
        let running: HashSet<CampaignKey> = survey.running.iter().map(|row| row.key).collect();
        // A lane that the survey does not know may be newer than the survey, or over: its campaign tells.
        let unknown: Vec<_> = self.floor.lanes().keys().filter(|key| !running.contains(key)).copied().collect();
        self.apply(unknown.into_iter().map(Effect::Reload).collect());
        for row in survey.running {
            self.campaign(row);
        }
        self.take_news(Event::Promises(running.into_iter().collect(), survey.promises), self.now());
        self.floor.wake_all();
    }

    fn presence(&mut self, presence: Presence, hands: Vec<Hand>, now: Moment) {
        self.floor.slots_elsewhere = usize::try_from(presence.slots_elsewhere).unwrap_or(0);
        let (sessions, slots) = self.floor.slots();
        let mine: i64 = slots.iter().map(|slots| i64::from(*slots)).sum();
        // Compared with what is stored: a note that failed is made again.
        if mine != presence.slots - presence.slots_elsewhere {
            self.engine.note_slots(sessions, slots);
        }
        self.floor.hands(hands);
        if presence.replicas > 1 {
            self.engine.note_hand(self.floor.hand(now));
        }
    }

    fn refilled(&mut self, ask: &RefillAsk, result: Result<Refill, StoreError>, now: Moment) {
        let effects = match result {
            Ok(refill) => {
                let granted = refill.tried.iter().zip(&ask.slots).filter(|((_, one), _)| *one == GrantVerdict::Granted);
                granted.for_each(|((lead, _), slot)| self.engine.briefs.granted(slot.lease, lead));
                self.floor.refilled(ask, refill, now)
            }
            Err(error) => {
                let made = matches!(error, StoreError::Unavailable(_));
                match error {
                    StoreError::NotRunning | StoreError::StaleRules => {
                        self.apply(vec![Effect::Reload(ask.campaign)]);
                    }
                    StoreError::StaleZones => self.engine.survey_soon(),
                    StoreError::Fenced => self.engine.rejoin(),
                    error => self.engine.outage.note(&error),
                }
                self.floor.refill_failed(ask, made, now)
            }
        };
        self.apply(effects);
    }

    fn granted(
        &mut self,
        planned: Vec<Planned>,
        result: Result<Vec<GrantVerdict>, StoreError>,
        now: Moment,
    ) -> Vec<Effect> {
        match result {
            Ok(verdicts) => {
                let granted = planned.iter().zip(&verdicts).filter(|(_, verdict)| **verdict == GrantVerdict::Granted);
                granted.for_each(|(planned, _)| self.engine.briefs.granted(planned.item.lease, &planned.lead));
                self.floor.granted(planned, &verdicts, now)
            }
            Err(error) => {
                if matches!(error, StoreError::Fenced) {
                    self.engine.rejoin();
                }
                self.engine.outage.note(&error);
                self.resume_at = now.mono + RESUME_AFTER;
                // What the database itself refused was not done.
                self.floor.grant_failed(planned, matches!(error, StoreError::Unavailable(_)))
            }
        }
    }

    fn proceed(&mut self) {
        let now = self.now();
        if now.mono.duration_since(self.probed_at) >= PROBE_EVERY {
            self.probed_at = now.mono;
            self.floor.probe_caps();
        }
        if now.mono.duration_since(self.ticked_at) >= TICK_EVERY {
            self.ticked_at = now.mono;
            let effects = self.floor.tick(now, self.engine.outage.serving());
            self.apply(effects);
            if self.floor.leaving() && self.outboxes.is_empty() {
                self.engine.drained.cancel();
            }
        }
        let refills = self.floor.refills(now);
        self.apply(refills);
        if self.granting || now.mono < self.resume_at {
            return;
        }
        let (planned, effects) = self.floor.plan(now);
        self.apply(effects);
        if !planned.is_empty() {
            self.granting = true;
            let (engine, events) = (Arc::clone(&self.engine), self.events.clone());
            tokio::spawn(async move {
                let items: Vec<_> = planned.iter().map(|planned| planned.item.clone()).collect();
                let result = engine.grant(&items).await;
                let _ = events.send(Event::Granted(planned, result));
            });
        }
    }
}
