//! A database in memory, without SQL and with the same answers: what the floor's questions mean to the queue, the leases and
//! the rows of sessions.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    domain::{
        campaign::{CampaignRules, CampaignState},
        ids::{CampaignKey, LeadId, LeaseId, SessionId, StreamNumber},
        lead::Facts,
    },
    store::{
        StoreError,
        campaigns::CampaignRow,
        leases::{GrantItem, GrantVerdict},
        live_leases::OwnLease,
        queue::{Parked, QueuedLead, Refill, RefillAsk, Slot},
        releases::ReleaseVerdict,
    },
};

/// Campaigns 1 and 2, with so many leads each.
pub(super) const CAMPAIGNS: [CampaignKey; 2] = [1, 2];
const LEADS: u32 = 30;
/// Fewer numbers than leads: some leads share one.
const NUMBERS: u32 = 50;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    List,
    Ready,
    Promised(DateTime<Utc>),
    Leased,
    Blocked,
}

struct Lead {
    campaign: CampaignKey,
    number: i64,
    place: Place,
}

/// A live lease.
pub(super) struct Live {
    pub(super) session: SessionId,
    campaign: CampaignKey,
    lead: LeadId,
    number: i64,
    pub(super) begun: bool,
}

/// The row of a session.
pub(super) struct Row {
    pub(super) stream: StreamNumber,
    pub(super) here: bool,
    pub(super) closed: bool,
}

pub(super) struct Database {
    pub(super) campaigns: BTreeMap<CampaignKey, Arc<CampaignRow>>,
    pub(super) engine_cap: usize,
    leads: BTreeMap<LeadId, Lead>,
    pub(super) leases: BTreeMap<LeaseId, Live>,
    pub(super) rows: BTreeMap<SessionId, Row>,
    /// Moves when this replica is taken for dead and joins anew.
    pub(super) life: u32,
}

pub(super) fn campaign(key: CampaignKey) -> CampaignRow {
    CampaignRow {
        key,
        id: Uuid::from_u128(u128::from(key.unsigned_abs())),
        name: "of the model".to_owned(),
        state: CampaignState::Running,
        state_since: DateTime::UNIX_EPOCH,
        rules: CampaignRules { default_time_zone: Some("UTC".to_owned()), ..CampaignRules::default() },
        rules_version: 1,
        etag: 1,
        completed: false,
        generation: 0,
        breaker: None,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

impl Database {
    pub(super) fn new() -> Database {
        let lead = |index: u32| {
            let campaign = if index < LEADS { CAMPAIGNS[0] } else { CAMPAIGNS[1] };
            let lead = Lead { campaign, number: i64::from(index % NUMBERS), place: Place::List };
            (Uuid::from_u128(u128::from(index) + 1), lead)
        };
        Database {
            campaigns: CAMPAIGNS.into_iter().map(|key| (key, Arc::new(campaign(key)))).collect(),
            engine_cap: 10,
            leads: (0..2 * LEADS).map(lead).collect(),
            leases: BTreeMap::new(),
            rows: BTreeMap::new(),
            life: 1,
        }
    }

    fn queued(&self, id: LeadId, promised: Option<DateTime<Utc>>) -> QueuedLead {
        let lead = &self.leads[&id];
        QueuedLead {
            campaign: lead.campaign,
            lead: id,
            number: lead.number,
            rank: 500,
            zone: 0,
            attempts: 0,
            epoch: 0,
            attempts_total: 0,
            version: 0,
            facts: Facts { callback_at: promised, ..Facts::default() },
            promised,
            external_id: None,
            variables: BTreeMap::new(),
            place: 0,
        }
    }

    // ---- Sessions ----------------------------------------------------------------------------------

    pub(super) fn open(&mut self, session: SessionId, here: bool) -> StreamNumber {
        let stream = self.rows.get(&session).map_or(1, |row| row.stream + 1);
        self.rows.insert(session, Row { stream, here, closed: false });
        stream
    }

    pub(super) fn close(&mut self, session: SessionId, stream: StreamNumber) -> bool {
        match self.rows.get_mut(&session) {
            Some(row) if row.stream == stream && !row.closed => {
                row.closed = true;
                true
            }
            _ => false,
        }
    }

    pub(super) fn own(&self, session: SessionId) -> Vec<OwnLease> {
        let mine = self.leases.iter().filter(|(_, live)| live.session == session);
        mine.map(|(lease, live)| OwnLease { lease: *lease, campaign: live.campaign, begun: live.begun }).collect()
    }

    /// Whether a session is here, by this stream.
    pub(super) fn has(&self, session: SessionId, stream: StreamNumber) -> bool {
        self.rows.get(&session).is_some_and(|row| row.here && !row.closed && row.stream == stream)
    }

    /// Of these streams, those that have their session no more, and whether a later one has it.
    pub(super) fn lost(&self, streams: &[(SessionId, StreamNumber)]) -> Vec<(SessionId, StreamNumber, bool)> {
        let lost = streams.iter().filter(|(session, stream)| !self.has(*session, *stream));
        lost.map(|(session, stream)| (*session, *stream, self.rows[session].stream > *stream)).collect()
    }

    /// Closes sessions that say they are here and are not.
    pub(super) fn close_all_but(&mut self, open: &[SessionId]) {
        for (session, row) in &mut self.rows {
            row.closed |= row.here && !open.contains(session);
        }
    }

    // ---- The queue ---------------------------------------------------------------------------------

    /// `quirk` befalls the first lead for which a slot waits.
    pub(super) fn refill(&mut self, ask: &RefillAsk, quirk: Option<GrantVerdict>) -> Result<Refill, StoreError> {
        let (key, rules, want) = (ask.campaign, ask.rules_version, ask.want);
        let campaign = &self.campaigns[&key];
        if campaign.state != CampaignState::Running {
            return Err(StoreError::NotRunning);
        }
        if campaign.rules_version != rules {
            return Err(StoreError::StaleRules);
        }
        let listed = self.leads.iter().filter(|(_, lead)| lead.campaign == key && lead.place == Place::List);
        let ids: Vec<LeadId> = listed.map(|(id, _)| *id).take(usize::try_from(want).unwrap_or(0)).collect();
        for id in &ids {
            self.put(*id, Place::Ready);
        }
        let scanned = i32::try_from(ids.len()).unwrap_or(0);
        let mut ready: Vec<QueuedLead> = ids.iter().map(|id| self.queued(*id, None)).collect();
        let rest = ready.split_off(ready.len().min(ask.slots.len()));
        let item = |(lead, slot): (&QueuedLead, &Slot)| GrantItem {
            campaign: key,
            lead: lead.lead,
            lease: slot.lease,
            session: slot.session,
            number: lead.number,
            seq: 1,
            attempts: 0,
            epoch: 0,
            promised: None,
            open_until: DateTime::UNIX_EPOCH,
            rules_version: rules,
        };
        let items: Vec<GrantItem> = ready.iter().zip(&ask.slots).map(item).collect();
        let verdicts = self.grant(&items, quirk);
        Ok(Refill { tried: ready.into_iter().zip(verdicts).collect(), ready: rest, scanned, ..Refill::default() })
    }

    fn put(&mut self, lead: LeadId, place: Place) {
        self.leads.get_mut(&lead).expect("a lead of the model").place = place;
    }

    pub(super) fn park(&mut self, parked: &[Parked]) {
        for one in parked {
            if self.leads[&one.lead].place == one.promised.map_or(Place::Ready, Place::Promised) {
                self.put(one.lead, Place::List);
            }
        }
    }

    pub(super) fn block(&mut self, numbers: &[i64]) {
        for lead in self.leads.values_mut().filter(|lead| numbers.contains(&lead.number) && lead.place != Place::Leased)
        {
            lead.place = Place::Blocked;
        }
    }

    /// Somebody is promised a call at this instant.
    pub(super) fn promise(&mut self, key: CampaignKey, at: DateTime<Utc>) {
        let listed = self.leads.iter().find(|(_, lead)| lead.campaign == key && lead.place == Place::List);
        if let Some(lead) = listed.map(|(id, _)| *id) {
            self.put(lead, Place::Promised(at));
        }
    }

    pub(super) fn promises(&self, key: CampaignKey) -> Vec<QueuedLead> {
        let of = self.leads.iter().filter(|(_, lead)| lead.campaign == key);
        of.filter_map(|(id, lead)| match lead.place {
            Place::Promised(at) => Some(self.queued(*id, Some(at))),
            _ => None,
        })
        .collect()
    }

    /// Changes a campaign, and what that takes away: READY leads, leases without a permit.
    pub(super) fn change(&mut self, key: CampaignKey, change: impl FnOnce(&mut CampaignRow)) -> Vec<LeaseId> {
        let campaign = Arc::make_mut(self.campaigns.get_mut(&key).expect("a campaign of the model"));
        let before = campaign.rules_version;
        change(campaign);
        campaign.etag += 1;
        if campaign.state == CampaignState::Running && campaign.rules_version == before {
            return Vec::new();
        }
        for lead in self.leads.values_mut().filter(|lead| lead.campaign == key && lead.place == Place::Ready) {
            lead.place = Place::List;
        }
        let revoked: Vec<LeaseId> =
            self.leases.iter().filter(|(_, live)| live.campaign == key && !live.begun).map(|(id, _)| *id).collect();
        revoked.iter().for_each(|lease| self.end(*lease));
        revoked
    }

    // ---- Leases ------------------------------------------------------------------------------------

    /// The verdicts of a grant, carried out. `quirk` befalls the first lead.
    pub(super) fn grant(&mut self, items: &[GrantItem], quirk: Option<GrantVerdict>) -> Vec<GrantVerdict> {
        let mut numbers = HashSet::new();
        let mut verdicts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let verdict = match quirk.filter(|_| index == 0) {
                Some(quirk) => quirk,
                None => self.verdict(item, &mut numbers),
            };
            if verdict == GrantVerdict::Granted {
                self.put(item.lead, Place::Leased);
                let (session, campaign, lead, number) = (item.session, item.campaign, item.lead, item.number);
                self.leases.insert(item.lease, Live { session, campaign, lead, number, begun: false });
            }
            verdicts.push(verdict);
        }
        verdicts
    }

    fn verdict(&self, item: &GrantItem, numbers: &mut HashSet<i64>) -> GrantVerdict {
        let campaign = &self.campaigns[&item.campaign];
        let cap = campaign.rules.max_concurrency.and_then(|cap| usize::try_from(cap).ok());
        let of_campaign = self.leases.values().filter(|live| live.campaign == item.campaign).count();
        if campaign.state != CampaignState::Running || campaign.rules_version != item.rules_version {
            GrantVerdict::Stale
        } else if !self.rows.get(&item.session).is_some_and(|row| row.here && !row.closed) {
            GrantVerdict::Moved
        } else if self.leases.values().any(|live| live.number == item.number) || !numbers.insert(item.number) {
            GrantVerdict::NumberBusy
        } else if cap.is_some_and(|cap| of_campaign >= cap) {
            GrantVerdict::CampaignCap
        } else if self.leases.len() >= self.engine_cap {
            GrantVerdict::EngineCap
        } else if self.leads[&item.lead].place != item.promised.map_or(Place::Ready, Place::Promised) {
            GrantVerdict::Gone
        } else {
            GrantVerdict::Granted
        }
    }

    /// A lease is over, its lead back in the list.
    pub(super) fn end(&mut self, lease: LeaseId) {
        if let Some(live) = self.leases.remove(&lease) {
            self.put(live.lead, Place::List);
        }
    }

    pub(super) fn release(&mut self, leases: &[LeaseId]) -> Vec<(LeaseId, ReleaseVerdict)> {
        let one = |lease: &LeaseId| {
            let verdict = match self.leases.get(lease) {
                None => ReleaseVerdict::NotHeld,
                Some(live) if live.begun => ReleaseVerdict::Begun,
                Some(_) => {
                    self.end(*lease);
                    ReleaseVerdict::Released
                }
            };
            (*lease, verdict)
        };
        leases.iter().map(one).collect()
    }

    /// Permits; answers those that were given.
    pub(super) fn begin(&mut self, session: SessionId, leases: &[LeaseId]) -> Vec<LeaseId> {
        let mut begun = Vec::new();
        for lease in leases {
            if let Some(live) = self.leases.get_mut(lease).filter(|live| live.session == session && !live.begun) {
                live.begun = true;
                begun.push(*lease);
            }
        }
        begun
    }

    /// What the sweeper finds: leases without a permit whose session is closed; if `late`, all without a permit.
    pub(super) fn overdue(&self, late: bool) -> Vec<LeaseId> {
        let closed: BTreeSet<SessionId> = self.rows.iter().filter(|(_, row)| row.closed).map(|(id, _)| *id).collect();
        let over = self.leases.iter().filter(|(_, live)| !live.begun && (late || closed.contains(&live.session)));
        over.map(|(lease, _)| *lease).collect()
    }

    /// This replica is taken for dead: its sessions are closed, its buffer is in the list again.
    pub(super) fn fence(&mut self) {
        self.life += 1;
        self.rows.values_mut().filter(|row| row.here).for_each(|row| row.closed = true);
        self.leads.values_mut().filter(|lead| lead.place == Place::Ready).for_each(|lead| lead.place = Place::List);
    }
}
