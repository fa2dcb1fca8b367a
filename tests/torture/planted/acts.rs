//! Plants among what operators and dialers told: pauses, suppressions, resets, revocations, outcomes. Guarantees 3, 5, 6.

use super::{
    fires, silent,
    story::{A, B, C, CAMPAIGN, UNKNOWN, lead_id, lease_id, number},
};
use crate::{
    history::{History, digits},
    log::{Event, Micros},
};

pub const ALL: &[(&str, fn())] = &[
    ("planted::a_permit_while_paused", a_permit_while_paused),
    ("planted::a_permit_across_a_pause", a_permit_across_a_pause),
    ("planted::a_pause_that_was_lost", a_pause_that_was_lost),
    ("planted::a_permit_for_a_suppressed_number", a_permit_for_a_suppressed_number),
    ("planted::a_permit_across_a_suppression", a_permit_across_a_suppression),
    ("planted::a_permit_across_a_reset", a_permit_across_a_reset),
    ("planted::a_permit_after_a_revocation", a_permit_after_a_revocation),
    ("planted::a_permit_before_the_grant", a_permit_before_the_grant),
    ("planted::a_permit_after_do_not_call", a_permit_after_do_not_call),
    ("planted::an_outcome_that_was_lost", an_outcome_that_was_lost),
    ("planted::an_outcome_whose_lease_was_lost", an_outcome_whose_lease_was_lost),
    ("planted::an_outcome_whose_lease_lives_on", an_outcome_whose_lease_lives_on),
    ("planted::a_lower_outcome_stands", a_lower_outcome_stands),
    ("planted::an_outranked_outcome_that_was_lost", an_outranked_outcome_that_was_lost),
    ("planted::a_late_outcome_that_was_lost", a_late_outcome_that_was_lost),
    ("planted::two_outcomes_accepted", two_outcomes_accepted),
    ("planted::two_outcomes_accepted_on_record", two_outcomes_accepted_on_record),
    ("planted::a_fact_fenced_off", a_fact_fenced_off),
    ("planted::an_outcome_that_nobody_knows", an_outcome_that_nobody_knows),
    ("planted::a_call_after_yes", a_call_after_yes),
    ("planted::a_yes_that_does_not_stand", a_yes_that_does_not_stand),
    ("planted::a_call_of_a_consumed_lead", a_call_of_a_consumed_lead),
    ("planted::a_consumed_lead_that_came_back", a_consumed_lead_that_came_back),
    ("planted::a_suppression_that_was_lost", a_suppression_that_was_lost),
];

fn running(running: bool, asked: Micros, answered: Option<Micros>) -> Event {
    Event::Running { campaign: CAMPAIGN, running, asked, answered }
}

fn suppression(suppressed: bool, asked: Micros, answered: Option<Micros>) -> Event {
    Event::Suppression { number: number(C), suppressed, asked, answered }
}

/// C begins at 3100. The lease is granted at an instant that no rule of leases taken away concerns.
fn granted_late(h: &mut History) {
    h.lease(C).granted = 3090;
}

fn a_permit_while_paused() {
    let paused = |h: &mut History, answered, started| {
        granted_late(h);
        h.tell(running(false, 2900, Some(answered))).tell(running(true, started, Some(8000)));
    };
    fires(3, "while its campaign did not run", |h| paused(h, 3099, 3101));
    silent(|h| paused(h, 3100, 3101));
    silent(|h| paused(h, 3000, 3100));
    // A start that was never answered may have come at any time.
    silent(|h| {
        granted_late(h);
        h.tell(running(true, 2950, None)).tell(running(false, 2960, Some(3000)));
    });
}

fn a_permit_across_a_pause() {
    let paused = |h: &mut History, asked, answered| {
        h.tell(running(false, asked, answered)).tell(running(true, 3060, Some(3070)));
    };
    fires(3, "paused since the grant", |h| paused(h, 3001, Some(3050)));
    // Granted at 3000: the pause may have been before; or it came never.
    silent(|h| paused(h, 3000, Some(3050)));
    silent(|h| paused(h, 3001, None));
}

fn a_pause_that_was_lost() {
    fires(3, "a change was lost", |h| {
        h.tell(running(false, 8000, Some(8100)));
    });
    silent(|h| {
        h.tell(running(false, 8000, Some(8100)));
        h.records.campaigns[0].state = 3;
    });
    silent(|h| {
        h.tell(running(false, 8000, None));
    });
}

fn a_permit_for_a_suppressed_number() {
    let suppressed = |h: &mut History, answered, lifted| {
        granted_late(h);
        h.tell(suppression(true, 2900, Some(answered))).tell(suppression(false, lifted, Some(8000)));
    };
    fires(3, "while its number was suppressed", |h| suppressed(h, 3099, 3101));
    silent(|h| suppressed(h, 3100, 3101));
    silent(|h| suppressed(h, 3000, 3100));
}

fn a_permit_across_a_suppression() {
    let suppressed = |h: &mut History, asked| {
        h.tell(suppression(true, asked, Some(3050))).tell(suppression(false, 3060, Some(3070)));
    };
    fires(3, "suppressed since the grant", |h| suppressed(h, 3001));
    silent(|h| suppressed(h, 3000));
}

fn a_permit_across_a_reset() {
    let reset = |h: &mut History, asked, answered| {
        h.records.campaigns[0].generation = 1;
        h.tell(Event::Reset { campaign: CAMPAIGN, asked, answered });
    };
    fires(3, "reset since the grant", |h| reset(h, 3001, Some(3099)));
    silent(|h| reset(h, 3001, Some(3100)));
    silent(|h| reset(h, 3000, Some(3099)));
    silent(|h| reset(h, 3001, None));
}

fn a_permit_after_a_revocation() {
    let revoked = |h: &mut History, answered| {
        h.tell(Event::Revoked { lease: lease_id(C), asked: 3050, answered });
    };
    fires(3, "an operator had revoked it", |h| revoked(h, Some(3099)));
    silent(|h| revoked(h, Some(3100)));
    silent(|h| revoked(h, None));
}

fn a_permit_before_the_grant() {
    fires(3, "before it was granted", |h| h.lease(C).granted = 3101);
    silent(|h| h.lease(C).granted = 3100);
}

fn a_permit_after_do_not_call() {
    // A's person says it at 1840 to 1880; the same lead is called again all the same.
    let again = |h: &mut History, verdict: &str| {
        h.answer(A, "DO_NOT_CALL", verdict, 1880).lease(A).outcome = Some(4);
        h.file(A, 5, 1).file(A, 4, 4);
        h.records.suppressed.insert(digits(&number(A)));
        h.whole_call(9, A, 2000);
    };
    fires(3, "while its number was suppressed", |h| again(h, "SUPERSEDED"));
    fires(3, "while its number was suppressed", |h| again(h, "OUTRANKED"));
    // It changes nothing: a suppression that was lifted since stays lifted.
    silent(|h| again(h, "DUPLICATE"));
    silent(|h| {
        again(h, "SUPERSEDED");
        h.tell(Event::Suppression { number: number(A), suppressed: false, asked: 1990, answered: None });
    });
}

fn an_outcome_that_was_lost() {
    fires(5, "was ACCEPTED and is not on record", |h| h.lease(A).outcome = Some(7));
    // It was replaced since, and is kept.
    silent(|h| {
        h.lease(A).outcome = Some(3);
        h.file(A, 5, 1).file(A, 3, 3);
    });
}

fn an_outcome_whose_lease_was_lost() {
    fires(5, "the lease is gone", |h| {
        h.answer(99, "BUSY", "ACCEPTED", 5000);
    });
    // A grant that a crash forgot.
    silent(|h| {
        h.answer(99, "BUSY", "NOT_FOUND", 5000);
    });
}

fn an_outcome_whose_lease_lives_on() {
    fires(5, "the lease lives on", |h| {
        h.forget(|event| matches!(event, Event::Calm { .. }));
        h.call(9, 3, 5000).answer(9, "BUSY", "ACCEPTED", 5500);
    });
}

fn a_lower_outcome_stands() {
    fires(5, "a lower one stands: Some(5)", |h| {
        h.answer(A, "INTENT_NO", "SUPERSEDED", 2500).file(A, 5, 1).file(A, 2, 3);
    });
    silent(|h| {
        h.answer(A, "INTENT_NO", "SUPERSEDED", 2500).file(A, 5, 1).file(A, 2, 3).lease(A).outcome = Some(2);
    });
}

fn an_outranked_outcome_that_was_lost() {
    fires(5, "was OUTRANKED and is not on record", |h| {
        h.answer(C, "BUSY", "OUTRANKED", 4000);
    });
    fires(5, "was OUTRANKED and is not on record", |h| {
        h.answer(C, "BUSY", "OUTRANKED", 4000).file(C, 1, 1).file(C, 5, 4);
    });
    silent(|h| {
        h.answer(C, "BUSY", "OUTRANKED", 4000).file(C, 1, 1).file(C, 7, 4);
    });
}

fn a_late_outcome_that_was_lost() {
    let late = |h: &mut History, outcome| {
        h.whole_call(9, 3, 5000)
            .forget(|event| matches!(event, Event::Reported { lease, .. } if *lease == lease_id(9)));
        h.lease(9).outcome = Some(outcome);
        h.file(9, UNKNOWN, 1).answer(9, "BUSY", "LATE", 6000);
    };
    fires(5, "was LATE and is not on record", |h| late(h, UNKNOWN));
    silent(|h| late(h, 7));
}

fn two_outcomes_accepted() {
    fires(5, "two outcomes of lease", |h| {
        h.answer(A, "NO_ANSWER", "ACCEPTED", 2500);
    });
    silent(|h| {
        h.answer(A, "NO_ANSWER", "DUPLICATE", 2500);
    });
}

fn two_outcomes_accepted_on_record() {
    fires(5, "are ACCEPTED on record", |h| {
        h.file(A, 5, 1).file(A, 5, 1);
    });
}

fn a_fact_fenced_off() {
    fires(5, "a report of it was NOT_FOUND", |h| {
        h.answer(B, "BUSY", "NOT_FOUND", 2500);
    });
}

fn an_outcome_that_nobody_knows() {
    fires(5, "an outcome that nobody knows", |h| {
        h.answer(B, "MAYBE", "OUTRANKED", 2500);
    });
}

fn a_call_after_yes() {
    // C's yes is answered at 3620; the next lease begins 100 after its grant.
    fires(6, "said INTENT_YES at 3620", |h| {
        h.whole_call(9, C, 3600).lease(9).begun = Some(3621);
        h.forget(|event| matches!(event, Event::Permitted { lease, .. } if *lease == lease_id(9)));
    });
    silent(|h| {
        h.whole_call(9, C, 3600).lease(9).begun = Some(3620);
        h.forget(|event| matches!(event, Event::Permitted { lease, .. } if *lease == lease_id(9)));
    });
}

fn a_yes_that_does_not_stand() {
    fires(6, "is in state 7", |h| h.records.leads[C].state = 7);
    silent(|h| h.records.leads[C].state = 9);
}

fn consumed(h: &mut History, lead: usize, asked: Micros, answered: Option<Micros>) {
    h.records.leads[lead].state = 9;
    h.tell(Event::Consumed { lead: lead_id(lead), asked, answered });
}

fn a_call_of_a_consumed_lead() {
    // C begins at 3100.
    fires(6, "was CONSUMED at 3099", |h| consumed(h, C, 2000, Some(3099)));
    silent(|h| consumed(h, C, 2000, Some(3100)));
    silent(|h| consumed(h, C, 2000, None));
}

fn a_consumed_lead_that_came_back() {
    fires(6, "was CONSUMED and is in state 6", |h| {
        consumed(h, A, 8000, Some(8010));
        h.records.leads[A].state = 6;
    });
    silent(|h| consumed(h, A, 8000, Some(8010)));
    // Nobody knows whether it was done.
    silent(|h| {
        consumed(h, A, 8000, None);
        h.records.leads[A].state = 6;
    });
    // A late yes is a fact.
    silent(|h| {
        consumed(h, A, 8000, Some(8010));
        h.records.leads[A].state = 4;
    });
}

fn a_suppression_that_was_lost() {
    fires(6, "the suppression of a number is gone", |h| {
        h.tell(suppression(true, 8000, Some(8010)));
    });
    silent(|h| {
        h.tell(suppression(true, 8000, Some(8010))).records.suppressed.insert(digits(&number(C)));
    });
    silent(|h| {
        h.tell(suppression(true, 8000, Some(8010))).tell(suppression(false, 8020, None));
    });
    silent(|h| {
        h.tell(suppression(true, 8000, None));
    });
}
