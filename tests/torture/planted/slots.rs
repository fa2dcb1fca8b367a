//! Plants among what sessions hold and asked for. Guarantee 8.

use super::{
    fires, silent,
    story::{A, B, SESSION},
};
use crate::{
    history::History,
    log::{Event, Micros},
};

pub const ALL: &[(&str, fn())] =
    &[("planted::more_leases_than_slots", more_leases_than_slots), ("planted::a_lowered_demand", a_lowered_demand)];

fn more_leases_than_slots() {
    let slots = |h: &mut History, slots, at| {
        h.forget(|event| matches!(event, Event::Slots { .. }));
        h.tell(Event::Slots { session: SESSION, slots, at });
    };
    fires(8, "holds 2 leases at 1000, it asked for 1", |h| slots(h, 1, 90));
    silent(|h| slots(h, 2, 90));
    // Asked for at the very instant of the grant.
    silent(|h| {
        slots(h, 1, 90);
        h.tell(Event::Slots { session: SESSION, slots: 2, at: 1000 });
    });
    // Nothing is known of sessions that never spoke.
    silent(|h| slots(h, 1, 8000));
}

fn a_lowered_demand() {
    let lowered = |h: &mut History, grants: usize| {
        h.records.campaigns[0].max_attempts = 9;
        h.tell(Event::Slots { session: SESSION, slots: 1, at: 4000 });
        for call in 0..grants {
            let granted = 4200 + 600 * Micros::try_from(call).unwrap();
            h.whole_call(10 + call, A, granted).whole_call(20 + call, B, granted);
        }
    };
    // Not heard by the engine, as far as we know: the older demand counts.
    silent(|h| lowered(h, 4));
    let heard = |asked| Event::Heard { session: SESSION, asked, answered: 4100 };
    // Two grants may have been on their way.
    silent(|h| {
        lowered(h, 2);
        h.tell(heard(4050));
    });
    fires(8, "holds 2 leases at 5400, it asked for 1", |h| {
        lowered(h, 3);
        h.tell(heard(4050));
    });
    // It was answered at the instant of the first grant: that one may have been on its way, too, and one more.
    silent(|h| {
        lowered(h, 3);
        h.tell(Event::Heard { session: SESSION, asked: 4050, answered: 4200 });
    });
    // The heartbeat may have gone before the demand.
    silent(|h| {
        lowered(h, 4);
        h.tell(heard(4000));
    });
    // The latest heartbeat tells, not the first.
    fires(8, "holds 2 leases at 5400, it asked for 1", |h| {
        lowered(h, 3);
        h.tell(Event::Heard { session: SESSION, asked: 3990, answered: 3995 }).tell(heard(4050));
    });
}
