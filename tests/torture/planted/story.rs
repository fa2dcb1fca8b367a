//! A clean story, and words to change it. Two calls side by side, a third one after them, everything as it should be:
//!
//! | call | granted | begun | rings | ended | |
//! |---|---|---|---|---|---|
//! | A | 1000 | 1100 | 1150-1800 | 1880 | NO_ANSWER |
//! | B | 1000 | 1200 | 1250-1700 | 1790 | BUSY |
//! | C | 3000 | 3100 | 3150-3500 | 3600 | INTENT_YES |
//!
//! The caps of engine and campaign, and the slots, are 2; the campaign allows 2 attempts. Calm from 9000 on.

use uuid::Uuid;

use crate::{
    history::{Campaign, Filed, History, Lead, Lease, Records, digits},
    log::{Event, Micros, Ring},
};

pub const CAMPAIGN: Uuid = Uuid::from_u128(0xc);
pub const SESSION: Uuid = Uuid::from_u128(0x5);
pub const A: usize = 0;
pub const B: usize = 1;
pub const C: usize = 2;

pub const NOT_PLACED: i16 = 11;
pub const UNKNOWN: i16 = 12;

pub fn number(lead: usize) -> String {
    format!("+1202555010{lead}")
}

/// The lease of a call.
pub fn lease_id(call: usize) -> Uuid {
    Uuid::from_u128(0x1_0000 + call as u128)
}

pub fn lead_id(lead: usize) -> Uuid {
    Uuid::from_u128(0x2_0000 + lead as u128)
}

pub fn clean() -> History {
    let leads =
        (0..4).map(|lead| Lead { id: lead_id(lead), campaign: CAMPAIGN, number: digits(&number(lead)), state: 6 });
    let campaign = Campaign {
        id: CAMPAIGN,
        state: 2,
        cap: Some(2),
        max_attempts: 2,
        max_duration_micros: 2000,
        generation: 0,
        dialing: 0,
        leads: 4,
    };
    let records = Records { leads: leads.collect(), campaigns: vec![campaign], engine_cap: 2, ..Records::default() };
    let events = vec![
        Event::EngineCap { cap: 2, asked: 10, answered: Some(20) },
        Event::CampaignCap { campaign: CAMPAIGN, cap: Some(2), asked: 30, answered: Some(40) },
        Event::Imported { campaign: CAMPAIGN, leads: 4, asked: 50, answered: Some(60) },
        Event::Running { campaign: CAMPAIGN, running: true, asked: 70, answered: Some(80) },
        Event::Slots { session: SESSION, slots: 2, at: 90 },
        Event::Calm { at: 9000 },
    ];
    let mut history = History { rings: Vec::new(), events, records };
    history.call(A, A, 1000).ring(A, 1150, 1800).report(A, "NO_ANSWER", 5, 1880);
    history.call(B, B, 1000).ring(B, 1250, 1700).report(B, "BUSY", 7, 1790);
    history.call(C, C, 3000).ring(C, 3150, 3500).report(C, "INTENT_YES", 1, 3600);
    history.lease(B).begun = Some(1200);
    history.records.leads[C].state = 4;
    history
}

impl History {
    /// A lease of a lead, granted then and begun 100 after, live.
    pub fn call(&mut self, call: usize, lead: usize, granted: Micros) -> &mut Self {
        let (lease, number) = (lease_id(call), number(lead));
        self.records.leases.push(Lease {
            id: lease,
            campaign: CAMPAIGN,
            lead: lead_id(lead),
            session: SESSION,
            number: digits(&number),
            granted,
            begun: Some(granted + 100),
            ended: None,
            nonce: None,
            outcome: None,
            counted: false,
            by_engine: false,
            generation: 0,
        });
        let (campaign, lead, session) = (CAMPAIGN, lead_id(lead), SESSION);
        let (attempt, promised) = (1, false);
        self.events.push(Event::Granted {
            lease,
            session,
            campaign,
            lead,
            number,
            attempt,
            promised,
            at: granted + 10,
        });
        self.permit(call, lease, granted + 90, granted + 100)
    }

    /// A permit for a call, good for 500.
    pub fn permit(&mut self, call: usize, nonce: Uuid, asked: Micros, begun: Micros) -> &mut Self {
        let (lease, session, dial_within_micros, answered) = (lease_id(call), SESSION, 500, asked + 40);
        self.tell(Event::Permitted { lease, session, nonce, begun, dial_within_micros, asked, answered })
    }

    /// A ring by the permit of a call.
    pub fn ring(&mut self, call: usize, start: Micros, end: Micros) -> &mut Self {
        let (ring, permit) = (self.rings.len() as u64, lease_id(call));
        let number = self.records.leases.iter().find(|lease| lease.id == permit).map_or(0, |lease| lease.number);
        let (number, dialer) = (format!("+{number}"), String::new());
        self.rings.push(Ring::Start { ring, permit, number, dialer, at: start });
        self.rings.push(Ring::End { ring, at: end });
        self
    }

    /// The end of a call, acknowledged 20 after.
    pub fn report(&mut self, call: usize, outcome: &str, code: i16, ended: Micros) -> &mut Self {
        let lease = self.lease(call);
        (lease.ended, lease.outcome, lease.counted) = (Some(ended), Some(code), code != NOT_PLACED);
        self.answer(call, outcome, "ACCEPTED", ended + 20)
    }

    /// A report that was answered then, asked 40 before.
    pub fn answer(&mut self, call: usize, outcome: &str, verdict: &str, at: Micros) -> &mut Self {
        let (outcome, verdict) = (outcome.to_owned(), Some(format!("REPORT_VERDICT_{verdict}")));
        self.tell(Event::Reported { lease: lease_id(call), outcome, verdict, asked: at - 40, answered: Some(at) })
    }

    /// A row of attempt_report.
    pub fn file(&mut self, call: usize, outcome: i16, verdict: i16) -> &mut Self {
        self.records.reports.push(Filed { lease: lease_id(call), outcome, verdict });
        self
    }

    pub fn tell(&mut self, event: Event) -> &mut Self {
        self.events.push(event);
        self
    }

    pub fn lease(&mut self, call: usize) -> &mut Lease {
        self.records.leases.iter_mut().find(|lease| lease.id == lease_id(call)).unwrap()
    }

    /// A whole call, one second long, of which nothing is wrong.
    pub fn whole_call(&mut self, call: usize, lead: usize, granted: Micros) -> &mut Self {
        self.call(call, lead, granted).ring(call, granted + 150, granted + 400).report(
            call,
            "NO_ANSWER",
            5,
            granted + 500,
        )
    }

    pub fn forget(&mut self, what: impl Fn(&Event) -> bool) -> &mut Self {
        self.events.retain(|event| !what(event));
        self
    }
}
