//! One campaign on this replica: its part of the queue's buffer, the promises to come, and when to ask for more.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::{floor::Planned, shares::Share};
use crate::{
    domain::{
        calling_calendar::{CallingCalendar, OpenWindow},
        campaign::CampaignState,
        ids::{LeadId, ZoneId},
        lead_zones::LeadZones,
    },
    store::{
        campaigns::CampaignRow,
        queue::{QueuedLead, Refill, RefillAsk, Slot, Windows},
    },
};

/// READY leads asked for at once: the campaign's gauge is locked meanwhile.
const WANT_MAX: usize = 500;
/// Leads of the list looked at in one refill.
const SCAN_MIN: i32 = 100;
const SCAN_MAX: i32 = 2000;

/// For so long after leads were leased as they were found none are put by.
const HURRY_FOR: Duration = Duration::from_millis(50);
/// How long a lane waits after the database did not answer.
const RETRY_AFTER: TimeDelta = TimeDelta::seconds(1);

/// How often a grant is tried while the circuit breaker is open: the database lets one lead through per probe interval.
const BROKEN_WAIT: TimeDelta = TimeDelta::seconds(1);

/// Room under a cap as one replica knows it: unknown until the cap is met, then counted by the leases that end.
#[derive(Debug, Default, Clone, Copy)]
pub struct Room {
    left: Option<usize>,
    /// Of it, what leases that ended have made, and not a guess.
    counted: usize,
    /// The cap was met, and nothing was granted since.
    met: bool,
}

impl Room {
    /// Leads tried at once after a cap was met, to see whether others have made room.
    const PROBE: usize = 10;

    /// The cap is met.
    pub fn met(&mut self) {
        self.left = Some(0);
        self.counted = 0;
        self.met = true;
    }

    /// A lease has ended.
    pub fn one_more(&mut self) {
        self.left = self.left.map(|room| room + 1);
        self.counted += usize::from(self.is_known());
    }

    /// A lease was granted.
    pub fn granted(&mut self) {
        self.met = false;
    }

    /// Whether the cap is what holds things up.
    pub fn is_met(&self) -> bool {
        self.met
    }

    /// Leases are asked for.
    pub fn used(&mut self, leases: usize) {
        self.left = self.left.map(|room| room.saturating_sub(leases));
        self.counted = self.counted.saturating_sub(leases);
    }

    /// Nobody was found for so many of the leases that were asked for.
    pub fn unused(&mut self, leases: usize) {
        self.left = self.left.map(|room| room + leases);
    }

    /// There may be room that we do not know of.
    pub fn probe(&mut self) {
        self.left = self.left.map(|room| room.max(Self::PROBE));
    }

    /// Whether the cap was met, so that room is counted.
    fn is_known(&self) -> bool {
        self.left.is_some()
    }

    /// Room that leases which ended here have made.
    pub fn counted(&self) -> usize {
        self.counted
    }

    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.left == Some(0)
    }

    /// `most`, or less where there is less room.
    pub fn at_most(&self, most: usize) -> usize {
        self.left.map_or(most, |room| room.min(most))
    }
}

/// A lead that is closed for as far as the calendar is looked through is looked at again after this time: less than the
/// calendar looks ahead, so that no opening is missed.
const LOOK_AGAIN: TimeDelta = TimeDelta::days(7);
/// Windows are reckoned again after this time at the latest.
const WINDOWS_MAX: TimeDelta = TimeDelta::days(1);

/// Zones of leads, by number; 0 is "neither its own nor told by its number".
#[derive(Debug, Default)]
pub struct ZoneBook {
    zones: Vec<Option<LeadZones>>,
}

impl ZoneBook {
    /// From the numbers and names of the database; a name that this binary's zone database does not know is closed.
    pub fn new(rows: &[(ZoneId, String)]) -> ZoneBook {
        let len = rows.iter().map(|(id, _)| usize::from(id.unsigned_abs()) + 1).max().unwrap_or(1);
        let mut zones = vec![None; len];
        for (id, name) in rows {
            zones[usize::from(id.unsigned_abs())] = LeadZones::parse(name);
        }
        ZoneBook { zones }
    }
}

/// One campaign on this replica.
#[derive(Debug)]
pub struct Lane {
    /// The campaign, as last read.
    pub campaign: Arc<CampaignRow>,
    /// READY leads of this replica: by score, then as they came, so that retries do not outrun fresh leads.
    pub buffer: BTreeMap<(i16, u64), QueuedLead>,
    arrivals: u64,
    /// Promises of the near future, by their due keys.
    pub promises: BTreeMap<(DateTime<Utc>, LeadId), QueuedLead>,
    /// There were more promises than were read.
    pub more_promises: bool,
    /// Room under the campaign's cap, as far as this replica knows.
    pub room: Room,
    /// The circuit breaker is open, as far as this replica knows: nothing is asked for before this instant, and then one lead.
    broken_until: Option<DateTime<Utc>>,
    /// Its share of the slots.
    pub(super) share: Share,
    /// Leads of the buffer on their way to a lease.
    pub planned: usize,
    /// A refill is under way.
    pub refilling: bool,
    /// Nothing more is due now.
    pub exhausted: bool,
    /// The first waiting lead, promises aside, when `exhausted`.
    pub next_waiting: Option<DateTime<Utc>>,
    /// Leads that wait for their hours.
    pub waiting_hours: i32,
    /// When leads were last leased as they were found.
    pub(super) hurried_at: Option<Instant>,
    scan: i32,
    zones: Arc<ZoneBook>,
    calendar: CallingCalendar,
    windows: Vec<Option<OpenWindow>>,
    windows_until: Option<DateTime<Utc>>,
}

impl Lane {
    /// An empty lane.
    pub fn new(campaign: Arc<CampaignRow>, zones: Arc<ZoneBook>) -> Lane {
        Lane {
            calendar: CallingCalendar::new(&campaign.rules),
            campaign,
            buffer: BTreeMap::new(),
            arrivals: 0,
            promises: BTreeMap::new(),
            more_promises: false,
            room: Room::default(),
            broken_until: None,
            share: Share::default(),
            planned: 0,
            refilling: false,
            exhausted: false,
            next_waiting: None,
            waiting_hours: 0,
            hurried_at: None,
            scan: SCAN_MIN,
            zones,
            windows: Vec::new(),
            windows_until: None,
        }
    }

    /// Takes in the campaign as it is now; new rules empty the lane, as they have emptied READY.
    pub fn update(&mut self, campaign: Arc<CampaignRow>, zones: Arc<ZoneBook>) {
        // Not for a reset: what was refilled since is here already, and what was before is found gone.
        if campaign.rules_version != self.campaign.rules_version {
            self.buffer.clear();
            self.calendar = CallingCalendar::new(&campaign.rules);
            self.windows_until = None;
            self.broken_until = None;
        }
        // Zones are only ever added: as many are the same.
        if zones.zones.len() != self.zones.zones.len() {
            self.windows_until = None;
        }
        self.campaign = campaign;
        self.zones = zones;
        self.wake();
    }

    /// Something may be due that was not.
    pub fn wake(&mut self) {
        self.exhausted = false;
        self.room = Room::default();
    }

    /// A grant was refused because the circuit breaker is open. `true`: that is news.
    pub fn broken(&mut self, now: DateTime<Utc>) -> bool {
        self.broken_until.replace(now + BROKEN_WAIT).is_none()
    }

    /// A grant was made: a probe, or the breaker is closed, which the next refusal tells. `true`: it was open before.
    pub fn mended(&mut self) -> bool {
        self.broken_until.take().is_some()
    }

    /// Whether the circuit breaker is open, as far as this replica knows.
    pub fn is_broken(&self) -> bool {
        self.broken_until.is_some()
    }

    /// A lead is on its way to a lease.
    pub fn asked(&mut self, now: DateTime<Utc>) {
        self.room.used(1);
        self.broken_until = self.broken_until.map(|_| now + BROKEN_WAIT);
    }

    /// Whether leads may be leased now.
    pub fn is_open(&self, now: DateTime<Utc>) -> bool {
        let runs = self.campaign.state == CampaignState::Running;
        runs && !self.room.is_none() && self.broken_until.is_none_or(|until| until <= now)
    }

    /// A waiting lead is due then.
    pub fn due_at(&mut self, at: DateTime<Utc>) {
        self.next_waiting = Some(self.next_waiting.map_or(at, |held| held.min(at)));
    }

    /// The window of a zone that holds `now` or comes next; one that opens and closes at the same instant is when to look
    /// again. `None`: there is no zone.
    pub fn window(&mut self, zone: ZoneId, now: DateTime<Utc>) -> Option<OpenWindow> {
        self.reckon_windows(now);
        self.windows.get(usize::from(zone.unsigned_abs())).copied().flatten()
    }

    fn reckon_windows(&mut self, now: DateTime<Utc>) {
        // A second ahead: the database compares a little later than we reckon.
        if self.windows_until.is_some_and(|until| now + TimeDelta::seconds(1) < until) {
            return;
        }
        let default = LeadZones::of(None, self.campaign.rules.default_time_zone.as_deref());
        let at = now + TimeDelta::seconds(1);
        let window = |zones: &LeadZones| {
            let window = self.calendar.window(zones.zones(), now);
            // A window that closes within the second counts as closed.
            let window =
                window.filter(|window| window.closes_at > at).or_else(|| self.calendar.window(zones.zones(), at));
            let again = now + LOOK_AGAIN;
            window.unwrap_or(OpenWindow { opens_at: again, closes_at: again })
        };
        self.windows = (0..self.zones.zones.len())
            .map(|id| if id == 0 { default.as_ref() } else { self.zones.zones.get(id).and_then(Option::as_ref) })
            .map(|zones| zones.map(window))
            .collect();
        let first_end = self.windows.iter().flatten().map(|window| window.closes_at).min();
        self.windows_until = Some(first_end.map_or(now + WINDOWS_MAX, |end| end.min(now + WINDOWS_MAX)));
    }

    /// Per zone the window that holds or comes next, for a refill.
    pub fn windows(&mut self, now: DateTime<Utc>) -> Windows {
        self.reckon_windows(now);
        Windows {
            opens: self.windows.iter().map(|window| window.map(|w| w.opens_at)).collect(),
            closes: self.windows.iter().map(|window| window.map(|w| w.closes_at)).collect(),
        }
    }

    /// Whether there are leads, or may be.
    pub fn has_work(&self) -> bool {
        self.campaign.state == CampaignState::Running
            && (!self.buffer.is_empty() || self.planned > 0 || self.refilling || !self.exhausted)
    }

    /// How many leads to ask for, to hold `target` with those that are there; `demand` of them are wanted at once. `step` is
    /// the most that is added unless demand outruns it.
    pub fn want(
        &mut self,
        there: usize,
        target: usize,
        demand: usize,
        step: usize,
        now: DateTime<Utc>,
    ) -> Option<(i32, i32)> {
        if self.next_waiting.is_some_and(|at| at <= now) {
            self.exhausted = false;
            self.next_waiting = None;
        }
        let missing = target.saturating_sub(there);
        let low = there * 2 <= target;
        if self.refilling || self.exhausted || missing == 0 || !low {
            return None;
        }
        let want = missing.min(step.max(demand)).clamp(1, WANT_MAX);
        self.refilling = true;
        let want = i32::try_from(want).unwrap_or(1);
        // Every lead that is looked at costs, and in a fresh list all but the one at the cursor are wanted.
        Some((want, self.scan.max(want + want / 8 + 1)))
    }

    /// Whether so many slots wait for its leads, or did a moment ago, that these are leased as they are found: what would be put by
    /// would be gone at once, and is two more rows written for each lead. Not where few leads of the list are open: slots that
    /// wait are nobody else's while they are searched.
    pub(super) fn hurries(&self, many_wait: bool, now: Instant) -> bool {
        let lately = self.hurried_at.is_some_and(|at| now.duration_since(at) < HURRY_FOR);
        !self.is_broken() && self.scan == SCAN_MIN && (lately || (many_wait && self.buffer.is_empty()))
    }

    /// Puts a READY lead at its place; one that was there before gets its old place back.
    pub fn enqueue(&mut self, mut lead: QueuedLead) {
        if lead.place == 0 {
            self.arrivals += 1;
            lead.place = self.arrivals;
        }
        self.buffer.insert((lead.rank, lead.place), lead);
    }

    /// Takes in READY leads that memory may not know.
    pub fn inherit(&mut self, leads: Vec<QueuedLead>) {
        let known: std::collections::HashSet<LeadId> = self.buffer.values().map(|lead| lead.lead).collect();
        leads.into_iter().filter(|lead| !known.contains(&lead.lead)).for_each(|lead| self.enqueue(lead));
    }

    /// What is asked of the queue.
    pub(super) fn ask(&mut self, want: i32, scan: i32, slots: Vec<Slot>, now: DateTime<Utc>) -> RefillAsk {
        let (campaign, rules_version) = (self.campaign.key, self.campaign.rules_version);
        RefillAsk { campaign, rules_version, want, scan, windows: self.windows(now), slots }
    }

    /// A refill failed.
    pub(super) fn refill_failed(&mut self, now: DateTime<Utc>) {
        self.refilling = false;
        self.exhausted = true;
        self.next_waiting = Some(now + RETRY_AFTER);
    }

    /// Takes in what a refill has brought, beside the leads that are leased.
    pub(super) fn refilled(&mut self, refill: Refill, leased: &[Planned], ask: &RefillAsk, now: DateTime<Utc>) {
        let RefillAsk { want, scan, .. } = *ask;
        self.refilling = false;
        let got = i32::try_from(leased.len() + refill.ready.len()).unwrap_or(i32::MAX);
        // What was known of them before has changed: their score, their zone.
        let leads = leased.iter().map(|planned| &planned.lead).chain(&refill.ready);
        let anew: std::collections::HashSet<LeadId> = leads.map(|lead| lead.lead).collect();
        self.buffer.retain(|_, lead| !anew.contains(&lead.lead));
        for lead in refill.ready {
            self.enqueue(lead);
        }
        self.waiting_hours = refill.waiting_hours;
        self.next_waiting = refill.next_waiting;
        let more_waits = refill.next_waiting.is_some_and(|at| at <= now);
        self.exhausted = got < want && refill.scanned < scan && !more_waits;
        self.scan = if got < want && !self.exhausted { (scan * 2).min(SCAN_MAX) } else { SCAN_MIN };
    }

    /// The next instant at which this lane has something to do.
    pub fn next_instant(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let promise = self.promises.keys().map(|(at, _)| *at).find(|at| *at > now);
        let waiting = self.next_waiting.filter(|_| self.exhausted);
        [promise, waiting].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
