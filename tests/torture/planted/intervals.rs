//! Plants among intervals: caps, lives, permits and their rings. Guarantees 1, 2 and 3.

use uuid::Uuid;

use super::{
    fires, silent,
    story::{A, B, C, CAMPAIGN, SESSION, UNKNOWN, lead_id, lease_id, number},
};
use crate::{
    history::{History, digits},
    log::{Event, Micros, Ring},
};

pub const ALL: &[(&str, fn())] = &[
    ("planted::a_clean_history_is_silent", || silent(|_| {})),
    ("planted::a_grant_above_the_engines_cap", a_grant_above_the_engines_cap),
    ("planted::a_cap_lowered_under_live_leases", a_cap_lowered_under_live_leases),
    ("planted::a_cap_that_may_have_been_raised", a_cap_that_may_have_been_raised),
    ("planted::a_grant_above_the_campaigns_cap", a_grant_above_the_campaigns_cap),
    ("planted::a_cap_that_was_lost", a_cap_that_was_lost),
    ("planted::two_leases_of_a_number", two_leases_of_a_number),
    ("planted::two_leases_of_a_lead", two_leases_of_a_lead),
    ("planted::a_long_lease_around_short_ones", a_long_lease_around_short_ones),
    ("planted::two_rings_of_a_number", two_rings_of_a_number),
    ("planted::a_ring_that_outlives_its_lease", a_ring_that_outlives_its_lease),
    ("planted::a_ring_without_a_lease", a_ring_without_a_lease),
    ("planted::a_ring_without_a_permit", a_ring_without_a_permit),
    ("planted::a_ring_of_another_number", a_ring_of_another_number),
    ("planted::a_ring_before_its_permit", a_ring_before_its_permit),
    ("planted::a_ring_too_late_for_its_permit", a_ring_too_late_for_its_permit),
    ("planted::a_ring_after_its_lease", a_ring_after_its_lease),
    ("planted::a_ring_after_the_engine_ended_its_lease", a_ring_after_the_engine_ended_its_lease),
    ("planted::two_rings_by_a_permit", two_rings_by_a_permit),
    ("planted::a_permit_for_no_lease", a_permit_for_no_lease),
    ("planted::a_permit_that_was_forgotten", a_permit_that_was_forgotten),
    ("planted::two_permits_for_a_lease", two_permits_for_a_lease),
    ("planted::a_lease_of_another_lead", a_lease_of_another_lead),
    ("planted::a_lease_of_another_session", a_lease_of_another_session),
];

fn cap(cap: i32, asked: Micros, answered: Option<Micros>) -> Event {
    Event::EngineCap { cap, asked, answered }
}

/// The campaign's cap, that it may not be in the way.
fn no_campaign_cap(history: &mut History) {
    history.forget(|event| matches!(event, Event::CampaignCap { .. }));
    history.records.campaigns[0].cap = None;
}

fn a_grant_above_the_engines_cap() {
    fires(1, "the engine's cap was 1", |h| {
        h.records.engine_cap = 1;
        h.tell(cap(1, 100, Some(999)));
    });
    // Answered at the instant of the grant, or later: uncertain.
    silent(|h| {
        h.records.engine_cap = 1;
        h.tell(cap(1, 100, Some(1000)));
    });
}

fn a_cap_lowered_under_live_leases() {
    let lowered = |h: &mut History, granted| {
        no_campaign_cap(h);
        h.records.engine_cap = 1;
        h.tell(cap(1, 1300, Some(1400))).whole_call(9, 3, granted);
    };
    // Two live on, nothing is granted; B ends at 1790, A at 1880.
    silent(|h| lowered(h, 1880));
    fires(1, "2 leases live at 1879, the engine's cap was 1", |h| {
        lowered(h, 1879);
    });
}

fn a_cap_that_may_have_been_raised() {
    let third = |h: &mut History, granted| {
        no_campaign_cap(h);
        h.forget(|event| matches!(event, Event::Slots { .. }));
        h.whole_call(9, 3, granted);
    };
    silent(|h| {
        third(h, 1300);
        h.tell(cap(3, 1300, None));
    });
    fires(1, "3 leases live at 1299", |h| {
        third(h, 1299);
        h.tell(cap(3, 1300, None));
    });
    // The higher cap, set before: the lower one was asked for at the instant of its answer, or after it.
    silent(|h| {
        third(h, 1300);
        h.tell(cap(3, 100, Some(200))).tell(cap(2, 200, Some(300)));
    });
    fires(1, "3 leases live at 1300", |h| {
        third(h, 1300);
        h.tell(cap(3, 100, Some(200))).tell(cap(2, 201, Some(300)));
    });
    // By the carrier as well.
    fires(1, "3 phones ring at 1449", |h| {
        third(h, 1299);
        h.tell(cap(3, 1300, None));
    });
}

fn a_grant_above_the_campaigns_cap() {
    let lowered = |h: &mut History, answered| {
        h.records.campaigns[0].cap = Some(1);
        h.tell(Event::CampaignCap { campaign: CAMPAIGN, cap: Some(1), asked: 900, answered: Some(answered) });
    };
    fires(1, "its cap was 1", |h| lowered(h, 950));
    silent(|h| lowered(h, 1000));
}

fn a_cap_that_was_lost() {
    fires(1, "a change was lost", |h| h.records.engine_cap = 7);
    fires(1, "a change was lost", |h| h.records.campaigns[0].cap = None);
    silent(|h| {
        h.records.engine_cap = 7;
        h.tell(cap(7, 8000, None));
    });
}

fn two_leases_of_a_number() {
    let again = |h: &mut History, granted| {
        h.records.leads[3].number = digits(&number(A));
        h.call(9, 3, granted).ring(9, granted + 150, granted + 400);
        h.lease(9).number = digits(&number(A));
        h.report(9, "BUSY", 7, granted + 500);
        let Some(Event::Granted { number: told, .. }) =
            h.events.iter_mut().rfind(|event| matches!(event, Event::Granted { .. }))
        else {
            unreachable!()
        };
        *told = number(A);
        for ring in &mut h.rings {
            if let Ring::Start { permit, number: told, .. } = ring
                && *permit == lease_id(9)
            {
                *told = number(A);
            }
        }
    };
    fires(2, "of one number live at 1879", |h| again(h, 1879));
    silent(|h| again(h, 1880));
}

fn two_leases_of_a_lead() {
    fires(2, "of one lead live at 1850", |h| {
        h.whole_call(9, A, 1850);
    });
    silent(|h| {
        h.whole_call(9, A, 1880);
    });
}

fn a_long_lease_around_short_ones() {
    // A's lease lives until 1880; a short one within it hides nothing of it.
    let short = |h: &mut History, call, granted, ended| {
        h.call(call, A, granted).lease(call).ended = Some(ended);
        h.lease(call).begun = None;
        h.forget(|event| matches!(event, Event::Permitted { lease, .. } if *lease == lease_id(call)));
    };
    fires(2, "00000000-0000-0000-0000-000000010009 of one lead live at 1830", |h| {
        h.records.engine_cap = 9;
        h.tell(cap(9, 30, Some(40))).tell(Event::Slots { session: SESSION, slots: 9, at: 91 });
        no_campaign_cap(h);
        short(h, 8, 1800, 1805);
        short(h, 9, 1830, 1835);
    });
}

fn two_rings_of_a_number() {
    // A's lease lives until 1880; the ring of C is moved onto A's number, and into its time.
    let rings = |h: &mut History, start| {
        no_campaign_cap(h);
        h.call(9, 3, 1500).ring(9, start, start + 10).report(9, "BUSY", 7, 2200);
        h.forget(|event| matches!(event, Event::Slots { .. }));
        h.records.engine_cap = 9;
        h.tell(cap(9, 30, Some(40)));
        for ring in &mut h.rings {
            if let Ring::Start { permit, number: told, .. } = ring
                && *permit == lease_id(9)
            {
                *told = number(A);
            }
        }
    };
    let mut history = super::story::clean();
    rings(&mut history, 1799);
    let found = crate::checker::check(&history).violations;
    assert!(found.iter().any(|v| v.guarantee == 2 && v.text.contains("of one number at 1799")), "{found:?}");
    let mut history = super::story::clean();
    rings(&mut history, 1800);
    let found = crate::checker::check(&history).violations;
    assert!(found.iter().all(|v| v.guarantee == 3), "the wrong number alone: {found:?}");
}

fn a_ring_that_outlives_its_lease() {
    // The engine ended A at max_duration; its phone rings on while the number is called again.
    silent(|h| {
        h.rings[1] = Ring::End { ring: 0, at: 5000 };
        h.whole_call(9, A, 2000);
    });
}

fn a_ring_without_a_lease() {
    fires(3, "without a lease on record", |h| {
        h.ring(99, 5000, 5100);
    });
}

fn a_ring_without_a_permit() {
    let without = |h: &mut History| {
        h.forget(|event| matches!(event, Event::Permitted { lease, .. } if *lease == lease_id(C)));
    };
    fires(3, "without a permit on record", |h| {
        without(h);
        h.lease(C).begun = None;
    });
    // The dialer died before it wrote down its permit: the record is enough.
    silent(without);
}

fn a_ring_of_another_number() {
    fires(3, "of another number than lease", |h| {
        let Ring::Start { number: told, .. } = &mut h.rings[4] else { unreachable!() };
        *told = number(3);
    });
}

fn a_ring_before_its_permit() {
    let at = |h: &mut History, start| {
        let Ring::Start { at, .. } = &mut h.rings[4] else { unreachable!() };
        *at = start;
    };
    fires(3, "before its permit at 3100", |h| at(h, 3099));
    silent(|h| at(h, 3100));
}

fn a_ring_too_late_for_its_permit() {
    let at = |h: &mut History, start| {
        let (Ring::Start { at, .. }, _) = h.rings.split_at_mut(5).0.split_last_mut().unwrap() else { unreachable!() };
        *at = start;
        h.rings[5] = Ring::End { ring: 2, at: 3595 };
    };
    // Asked at 3090, good for 500.
    fires(3, "its permit was good until 3590", |h| at(h, 3591));
    silent(|h| at(h, 3590));
    // The same nonce asked again: its time counts anew.
    silent(|h| {
        at(h, 3591);
        h.permit(C, lease_id(C), 3200, 3100);
    });
}

fn a_ring_after_its_lease() {
    let ended = |h: &mut History, ended| h.lease(C).ended = Some(ended);
    fires(3, "was over at 3149", |h| ended(h, 3149));
    silent(|h| ended(h, 3150));
}

fn a_ring_after_the_engine_ended_its_lease() {
    let unknown = |h: &mut History, after: Micros| {
        h.lease(C).ended = Some(3100 + after);
        h.file(C, UNKNOWN, 1).file(C, 1, 5);
    };
    // Nobody asked for it, and max_duration (2000) had not passed.
    fires(3, "was over at 3140", |h| unknown(h, 40));
    // A report ended it, whatever an operator asked for.
    fires(3, "was over at 3140", |h| {
        h.file(C, 1, 1).tell(Event::Revoked { lease: lease_id(C), asked: 3120, answered: None });
        h.lease(C).ended = Some(3140);
    });
    silent(|h| {
        unknown(h, 40);
        h.tell(Event::Revoked { lease: lease_id(C), asked: 3120, answered: None });
    });
    silent(|h| {
        unknown(h, 40);
        h.records.campaigns[0].max_duration_micros = 40;
    });
}

fn two_rings_by_a_permit() {
    fires(3, "by one permit", |h| {
        h.ring(C, 3510, 3550);
    });
}

fn a_permit_for_no_lease() {
    fires(3, "of which the engine knows nothing", |h| {
        h.permit(99, Uuid::nil(), 5000, 5010);
    });
}

fn a_permit_that_was_forgotten() {
    fires(3, "which never began on record", |h| {
        h.lease(C).begun = None;
        h.rings.truncate(4);
    });
    // The wire may be coarser.
    silent(|h| {
        h.permit(B, lease_id(B), 2190, 2200);
    });
    fires(3, "the record Some(1200)", |h| {
        h.permit(B, lease_id(B), 2190, 2201);
    });
    // A grant that a crash forgot was never permitted: nothing is wrong.
    silent(|h| {
        let (session, campaign, lead, number) = (SESSION, CAMPAIGN, lead_id(3), number(3));
        let (lease, attempt, promised, at) = (lease_id(99), 1, false, 5000);
        h.tell(Event::Granted { lease, session, campaign, lead, number, attempt, promised, at });
    });
}

fn two_permits_for_a_lease() {
    fires(3, "two permits for lease", |h| {
        h.permit(C, Uuid::nil(), 3200, 3100);
    });
    silent(|h| {
        h.permit(C, lease_id(C), 3200, 3100);
    });
    let live = |h: &mut History, nonce| {
        h.forget(|event| matches!(event, Event::Calm { .. }));
        h.call(9, 3, 5000).lease(9).nonce = Some(nonce);
    };
    fires(3, "another nonce on record", |h| live(h, Uuid::nil()));
    silent(|h| live(h, lease_id(9)));
}

fn a_lease_of_another_lead() {
    fires(3, "another lead or number", |h| {
        for event in &mut h.events {
            if let Event::Granted { lead, .. } = event
                && *lead == lead_id(C)
            {
                *lead = lead_id(3);
            }
        }
    });
}

fn a_lease_of_another_session() {
    fires(3, "the record says", |h| h.lease(C).session = Uuid::nil());
}
