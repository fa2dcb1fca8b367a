//! Plants among the engine's records: places, generations, attempts, capacity; and storms in which nothing happened.
//! Guarantees 4, 7 and 9, and 0.

use super::{
    fires, silent,
    story::{A, B, C, CAMPAIGN, NOT_PLACED, UNKNOWN, lease_id},
};
use crate::{
    checker::check,
    history::History,
    log::{Event, Micros},
};

pub const ALL: &[(&str, fn())] = &[
    ("planted::a_broken_invariant", a_broken_invariant),
    ("planted::a_lead_that_was_lost", a_lead_that_was_lost),
    ("planted::a_gauge_that_drifted", a_gauge_that_drifted),
    ("planted::a_lease_of_a_lead_that_is_nowhere", a_lease_of_a_lead_that_is_nowhere),
    ("planted::a_lease_that_does_not_fit_its_lead", a_lease_that_does_not_fit_its_lead),
    ("planted::an_attempt_too_many", an_attempt_too_many),
    ("planted::attempts_that_do_not_count", attempts_that_do_not_count),
    ("planted::a_generation_that_nobody_opened", a_generation_that_nobody_opened),
    ("planted::a_reset_at_the_instant_of_a_grant", a_reset_at_the_instant_of_a_grant),
    ("planted::a_reset_that_was_lost", a_reset_that_was_lost),
    ("planted::a_lease_that_never_ended", a_lease_that_never_ended),
    ("planted::gauges_that_never_came_back", gauges_that_never_came_back),
    ("planted::an_empty_storm", an_empty_storm),
    ("planted::the_report_counts", the_report_counts),
    ("planted::a_log_cut_in_its_last_line", a_log_cut_in_its_last_line),
];

fn a_broken_invariant() {
    fires(4, "a lead is in two places", |h| h.records.broken.push("a lead is in two places in campaign 1".into()));
}

fn a_lead_that_was_lost() {
    let lost = |h: &mut History| {
        h.records.leads.pop();
        h.records.campaigns[0].leads = 3;
    };
    fires(4, "has 3 leads, 4 to 4 were imported", lost);
    // An import that was never answered may have made some of its leads, or none.
    silent(|h| {
        h.tell(Event::Imported { campaign: CAMPAIGN, leads: 2, asked: 100, answered: None });
    });
    fires(4, "has 4 leads, 5 to 5 were imported", |h| {
        h.tell(Event::Imported { campaign: CAMPAIGN, leads: 1, asked: 100, answered: Some(110) });
    });
}

fn a_gauge_that_drifted() {
    fires(4, "has 4 leads, its gauges count 5", |h| h.records.campaigns[0].leads = 5);
}

fn a_lease_of_a_lead_that_is_nowhere() {
    fires(4, "of a lead that is nowhere", |h| {
        h.records.leads.remove(B);
        h.records.campaigns[0].leads = 3;
        h.forget(|event| matches!(event, Event::Imported { .. }));
    });
}

fn a_lease_that_does_not_fit_its_lead() {
    fires(4, "another campaign or number than its lead", |h| h.records.leads[B].number += 1000);
}

/// Calls of lead A, after the first one of the clean story.
fn calls(h: &mut History, more: usize) {
    for call in 0..more {
        h.whole_call(10 + call, A, 4000 + 600 * Micros::try_from(call).unwrap());
    }
}

fn an_attempt_too_many() {
    silent(|h| calls(h, 1));
    fires(7, "had 2 attempts of 2 in generation 0", |h| calls(h, 2));
    // A grant at the instant when the attempt before ended: it may not have been there.
    silent(|h| {
        calls(h, 2);
        h.lease(10).ended = Some(4600);
    });
    silent(|h| {
        calls(h, 2);
        h.records.campaigns[0].max_attempts = 3;
    });
}

fn attempts_that_do_not_count() {
    let after = |change: fn(&mut History)| {
        silent(|h| {
            calls(h, 2);
            change(h);
        });
    };
    // NOT_PLACED never rang; a promise is exempt; so is one of which nobody wrote down whether it was a promise.
    after(|h| {
        h.forget(|event| matches!(event, Event::Reported { lease, .. } if *lease == lease_id(10)));
        (h.lease(10).outcome, h.lease(10).counted) = (Some(NOT_PLACED), false);
    });
    after(|h| {
        for event in &mut h.events {
            if let Event::Granted { lease, promised, .. } = event {
                *promised = *lease == lease_id(11);
            }
        }
    });
    after(|h| {
        h.forget(|event| matches!(event, Event::Granted { lease, .. } if *lease == lease_id(11)));
    });
    // It came to count by a later report, nobody knows when.
    after(|h| {
        h.file(10, NOT_PLACED, 1).file(10, 5, 3);
    });
    // It ended without an outcome: what came late is history only, whatever came after.
    after(|h| {
        h.forget(|event| matches!(event, Event::Reported { lease, .. } if *lease == lease_id(10)));
        h.file(10, 7, 5).file(10, 5, 3);
    });
    // Told without a permit, it counts all the same.
    fires(7, "had 2 attempts of 2", |h| {
        calls(h, 2);
        h.rings.truncate(6);
        h.lease(10).begun = None;
        h.forget(|event| matches!(event, Event::Permitted { lease, .. } if *lease == lease_id(10)));
    });
    // UNKNOWN counts, and what came late counts as it did.
    fires(7, "had 2 attempts of 2", |h| {
        calls(h, 2);
        h.file(10, UNKNOWN, 1).file(10, 5, 5);
    });
    // A new generation has a new budget.
    after(|h| {
        h.tell(Event::Reset { campaign: CAMPAIGN, asked: 4550, answered: Some(4560) });
        h.lease(11).generation = 1;
        h.records.campaigns[0].generation = 1;
    });
}

fn a_generation_that_nobody_opened() {
    fires(7, "is of generation 1, resets make it 0..=0", |h| h.lease(B).generation = 1);
    fires(7, "is at generation 1, resets make it 0..=0", |h| h.records.campaigns[0].generation = 1);
    // In flight when B was granted: it counts to either.
    silent(|h| {
        h.tell(Event::Reset { campaign: CAMPAIGN, asked: 900, answered: None });
        h.lease(B).generation = 1;
    });
}

/// At the same microsecond nobody knows which came first.
fn a_reset_at_the_instant_of_a_grant() {
    let reset = |h: &mut History, asked, answered| {
        h.tell(Event::Reset { campaign: CAMPAIGN, asked, answered: Some(answered) });
        h.records.campaigns[0].generation = 1;
        h.lease(C).generation = 1;
    };
    silent(|h| reset(h, 2000, 3000));
    silent(|h| {
        reset(h, 2000, 3000);
        h.lease(C).generation = 0;
    });
    silent(|h| reset(h, 3000, 3010));
    fires(7, "is of generation 0, resets make it 1..=1", |h| {
        reset(h, 2000, 2999);
        h.lease(C).generation = 0;
    });
}

fn a_reset_that_was_lost() {
    fires(7, "is at generation 0, resets make it 1..=1", |h| {
        h.tell(Event::Reset { campaign: CAMPAIGN, asked: 8000, answered: Some(8010) });
    });
}

fn a_lease_that_never_ended() {
    fires(9, "is live when all is calm", |h| {
        h.call(9, 3, 5000);
    });
    silent(|h| {
        h.call(9, 3, 5000).forget(|event| matches!(event, Event::Calm { .. }));
    });
}

fn gauges_that_never_came_back() {
    fires(9, "the engine's gauge is 1", |h| h.records.engine_dialing = 1);
    fires(9, "is 1 when all is calm", |h| h.records.campaigns[0].dialing = 1);
}

fn an_empty_storm() {
    let violations = check(&History::default()).violations;
    assert_eq!(violations.len(), 5, "{violations:?}");
    assert!(violations.iter().all(|v| v.guarantee == 0));
    fires(0, "nothing was checked: no rings", |h| h.rings.clear());
    fires(0, "nothing was checked: no outcomes", |h| {
        h.forget(|event| matches!(event, Event::Reported { .. }));
    });
}

fn the_report_counts() {
    let report = check(&super::story::clean()).report;
    let counts = [report.leads, report.leases, report.begun, report.permits, report.rings, report.outcomes];
    assert_eq!(counts, [4, 3, 3, 3, 3, 3]);
    assert_eq!((report.cap_changes, report.unanswered, report.calm), (2, 0, true));
}

fn a_log_cut_in_its_last_line() {
    let path = std::env::temp_dir().join(format!("cut-{}.jsonl", uuid::Uuid::new_v4()));
    let calm = serde_json::to_string(&Event::Calm { at: 1 }).unwrap();
    std::fs::write(&path, format!("{calm}\n{}", &calm[..5])).unwrap();
    assert_eq!(crate::history::read_log::<Event>(&path).unwrap(), [Event::Calm { at: 1 }]);
    // A line that is broken in the middle is no cut: it is an error.
    std::fs::write(&path, format!("{}\n{calm}\n", &calm[..5])).unwrap();
    assert!(crate::history::read_log::<Event>(&path).is_err());
    std::fs::remove_file(&path).unwrap();
}
