//! Plants among the rules of how soon: number rules (guarantee 7) and calls per second (guarantee 10).

use uuid::Uuid;

use super::{
    fires, silent,
    story::{A, B, C, CAMPAIGN, NOT_PLACED, SESSION, lead_id},
};
use crate::{
    history::{Campaign, History},
    log::{Event, Micros, NumberRules},
};

pub const ALL: &[(&str, fn())] = &[
    ("planted::a_call_inside_the_gap", a_call_inside_the_gap),
    ("planted::a_call_above_a_rolling_cap", a_call_above_a_rolling_cap),
    ("planted::a_number_that_two_campaigns_share", a_number_that_two_campaigns_share),
    ("planted::calls_that_number_rules_do_not_count", calls_that_number_rules_do_not_count),
    ("planted::number_rules_that_change", number_rules_that_change),
    ("planted::a_permit_above_the_rate", a_permit_above_the_rate),
    ("planted::a_rate_that_may_not_have_held", a_rate_that_may_not_have_held),
];

fn rules(max_calls: usize, period: Micros, min_gap: Micros, asked: Micros, answered: Option<Micros>) -> Event {
    Event::NumberRules { rules: Some(NumberRules { max_calls, period, min_gap }), asked, answered }
}

/// A second call of A, begun at 4100; the first one began at 1100.
fn again(h: &mut History, event: Event) {
    h.whole_call(10, A, 4000).tell(event);
}

fn a_call_inside_the_gap() {
    fires(7, "less than 3001 after the call of 1100", |h| again(h, rules(9, 1, 3001, 100, Some(110))));
    silent(|h| again(h, rules(9, 1, 3000, 100, Some(110))));
}

fn a_call_above_a_rolling_cap() {
    let third = |h: &mut History, period| {
        h.records.campaigns[0].max_attempts = 3;
        again(h, rules(2, period, 1, 100, Some(110)));
        h.whole_call(11, A, 5000);
    };
    fires(7, "after 2 calls since 1100, within 4001", |h| third(h, 4001));
    silent(|h| third(h, 4000));
    // A cap of one is a gap.
    fires(7, "after 1 calls since 1100, within 3001", |h| again(h, rules(1, 3001, 1, 100, Some(110))));
}

fn a_number_that_two_campaigns_share() {
    let other = Uuid::from_u128(0xd);
    fires(7, "less than 3001", |h| {
        again(h, rules(9, 1, 3001, 100, Some(110)));
        // As if the second call were of another campaign's lead with the same number.
        let lead = lead_id(20);
        let mut twin = h.records.leads[A].clone();
        (twin.id, twin.campaign) = (lead, other);
        h.records.leads.push(twin);
        let campaign = Campaign { id: other, leads: 1, ..h.records.campaigns[0].clone() };
        h.records.campaigns.push(campaign);
        h.tell(Event::CampaignCap { campaign: other, cap: Some(2), asked: 30, answered: Some(40) });
        (h.lease(10).lead, h.lease(10).campaign) = (lead, other);
        for event in &mut h.events {
            if let Event::Granted { lease, campaign, lead: of, .. } = event
                && *lease == super::story::lease_id(10)
            {
                (*campaign, *of) = (other, lead);
            }
        }
    });
    // Other numbers are none of its business.
    silent(|h| {
        h.tell(rules(1, 3001, 3001, 100, Some(110)));
    });
}

fn calls_that_number_rules_do_not_count() {
    let event = || rules(1, 60_000, 60_000, 100, Some(110));
    // It was never placed, or may not have been for a while.
    silent(|h| {
        again(h, event());
        (h.lease(A).outcome, h.lease(A).counted) = (Some(NOT_PLACED), false);
        h.forget(|event| matches!(event, Event::Reported { lease, .. } if *lease == super::story::lease_id(A)));
    });
    silent(|h| {
        again(h, event());
        h.file(A, NOT_PLACED, 1).file(A, 5, 2);
    });
    // A report that was outranked never stood.
    fires(7, "less than 60000", |h| {
        again(h, event());
        h.file(A, 5, 1).file(A, NOT_PLACED, 4);
    });
    // Nor is a lease without a permit a call.
    silent(|h| {
        again(h, event());
        h.lease(A).begun = None;
        h.rings.clear();
        h.ring(B, 1250, 1700).ring(C, 3150, 3500).ring(10, 4150, 4400);
        h.forget(|event| matches!(event, Event::Permitted { lease, .. } if *lease == super::story::lease_id(A)));
    });
}

fn number_rules_that_change() {
    let loose = |asked, answered| rules(9, 1, 10, asked, answered);
    let tight = |asked, answered| rules(9, 1, 3001, asked, answered);
    // The call began at 4100: the tight ones were surely there before, ...
    fires(7, "less than 3001", |h| {
        h.tell(loose(100, Some(110)));
        again(h, tight(4000, Some(4099)));
    });
    // ... or perhaps not.
    silent(|h| {
        h.tell(loose(100, Some(110)));
        again(h, tight(4000, Some(4100)));
    });
    silent(|h| {
        h.tell(loose(100, Some(110)));
        again(h, tight(4000, None));
    });
    // Lifted from then on, perhaps.
    silent(|h| {
        h.tell(tight(100, Some(110)));
        again(h, Event::NumberRules { rules: None, asked: 4100, answered: Some(4300) });
    });
    fires(7, "less than 3001", |h| {
        h.tell(tight(100, Some(110)));
        again(h, Event::NumberRules { rules: None, asked: 4101, answered: Some(4300) });
    });
    // Whichever held, it was too soon.
    fires(7, "less than 3001 after the call of 1100; or less than 3500", |h| {
        h.tell(tight(100, Some(110)));
        again(h, rules(9, 1, 3500, 4000, None));
    });
}

fn rate(per_second: Option<i32>, asked: Micros, answered: Option<Micros>) -> Event {
    Event::CallRate { per_second, asked, answered }
}

/// Calls far from the clean ones, begun at these instants, each answered 40 after its question and over 500 after its grant.
fn calls(h: &mut History, begun: &[Micros]) {
    h.forget(|event| matches!(event, Event::Slots { session, .. } if *session == SESSION));
    h.forget(|event| matches!(event, Event::EngineCap { .. } | Event::CampaignCap { campaign: CAMPAIGN, .. }));
    (h.records.engine_cap, h.records.campaigns[0].cap, h.records.campaigns[0].max_attempts) = (99, None, 99);
    for (call, begun) in begun.iter().enumerate() {
        h.whole_call(10 + call, call % 4, begun - 100);
    }
    h.forget(|event| matches!(event, Event::Reported { outcome, .. } if outcome == "INTENT_YES"));
    h.lease(C).outcome = Some(5);
    h.records.leads[C].state = 6;
}

fn a_permit_above_the_rate() {
    let two = |h: &mut History| {
        h.tell(rate(Some(2), 1_000_000, Some(1_000_100)));
    };
    // A closed second: both its ends belong to it.
    fires(10, "3 permits within the second up to 3000000, 2 were allowed", |h| {
        calls(h, &[2_000_000, 2_400_000, 3_000_000]);
        two(h);
    });
    silent(|h| {
        calls(h, &[2_000_000, 2_400_000, 3_000_001, 3_400_001]);
        two(h);
    });
    // Before the limit anything goes: those of the clean story, and these.
    silent(|h| {
        calls(h, &[900_000, 910_000, 920_000, 1_200_000]);
        two(h);
    });
}

fn a_rate_that_may_not_have_held() {
    let three = [2_000_000, 2_400_000, 3_000_000];
    let held = |h: &mut History| {
        calls(h, &three);
        h.tell(rate(Some(2), 1_000_000, Some(1_000_100)));
    };
    // The answer of the last one came 30 after it began: by then the limit may have been lifted.
    silent(|h| {
        held(h);
        h.tell(rate(None, 3_000_030, Some(3_100_000)));
    });
    fires(10, "3 permits within the second", |h| {
        held(h);
        h.tell(rate(None, 3_000_031, Some(3_100_000)));
    });
    // Raised, perhaps: the higher one counts.
    silent(|h| {
        held(h);
        h.tell(rate(Some(3), 2_500_000, None));
    });
    // Lowered, but for the first one perhaps not yet.
    silent(|h| {
        calls(h, &three);
        h.tell(rate(Some(3), 1_000_000, Some(1_000_100))).tell(rate(Some(2), 1_900_000, Some(2_000_000)));
    });
    fires(10, "2 were allowed", |h| {
        calls(h, &three);
        h.tell(rate(Some(3), 1_000_000, Some(1_000_100))).tell(rate(Some(2), 1_900_000, Some(1_999_999)));
    });
}
