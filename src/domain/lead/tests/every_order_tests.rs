//! Every order of reports: what is true of a lead does not depend on it.

use proptest::{prelude::*, sample::subsequence};

use super::*;

/// The ranks of the product, lowest first.
const RANKS: [&[Outcome]; 5] = [
    &[Outcome::Unknown],
    &[
        Outcome::NoAnswer,
        Outcome::Voicemail,
        Outcome::Busy,
        Outcome::Abandoned,
        Outcome::Failed,
        Outcome::InvalidNumber,
        Outcome::NotPlaced,
    ],
    &[Outcome::CallbackRequested],
    &[Outcome::IntentNo, Outcome::DoNotCall],
    &[Outcome::IntentYes],
];

/// The reports on one attempt, lowest rank first: one per rank, since of two the first would win.
type Attempt = Vec<Fact>;

/// Attempts that begin 10 to 30 minutes apart, with up to `reports_max` reports; promises fall before, between, on and
/// after their beginnings.
fn history(attempts_max: usize, reports_max: usize) -> impl Strategy<Value = Vec<Attempt>> {
    let ranks = subsequence((0..RANKS.len()).collect::<Vec<_>>(), 1..=reports_max);
    let attempt = (1..=2_i32, 1..=3_i64, ranks, 0..42_usize, 0..=16_i64);
    prop::collection::vec(attempt, 1..=attempts_max).prop_map(|attempts| {
        let (mut seq, mut begun) = (0, 0);
        let report = |(seq_gap, gap, ranks, which, promised): (i32, i64, Vec<usize>, usize, i64)| {
            seq += seq_gap;
            begun += gap;
            let fact = |rank: usize| {
                let outcome = RANKS[rank][which % RANKS[rank].len()];
                let callback_at = (rank == 2).then(|| at(promised * 10));
                Fact { seq, outcome, begun_at: at(begun * 10), callback_at, callback_latest: None }
            };
            ranks.into_iter().map(fact).collect()
        };
        attempts.into_iter().map(report).collect()
    })
}

/// Histories whose reports have at most 720 orders.
fn few_reports() -> impl Strategy<Value = Vec<Attempt>> {
    history(4, 3).prop_filter("too many orders", |history| history.concat().len() <= 6)
}

/// What must not depend on order.
type Told = (LeadState, Option<(i32, Outcome)>, Option<Instant>, i32, Option<Outcome>, Option<Instant>);

fn told(facts: &Facts) -> Told {
    let Facts { conversation, callback_at, last_seq, last_outcome, rang_at, .. } = *facts;
    (facts.state(), conversation, callback_at, last_seq, last_outcome, rang_at)
}

/// The product's words, with the whole history at hand.
fn by_the_words(history: &[Attempt]) -> Told {
    let standing: Vec<Fact> = history.iter().map(|reports| *reports.last().unwrap()).collect();
    let newest_of = |outcomes: &[Outcome]| standing.iter().rev().find(|fact| outcomes.contains(&fact.outcome)).copied();
    let spoken = [Outcome::IntentNo, Outcome::CallbackRequested, Outcome::DoNotCall];
    let decides = newest_of(&[Outcome::IntentYes]).or_else(|| newest_of(&spoken));

    let rang: Vec<Fact> = history
        .iter()
        .filter(|reports| reports.iter().any(|fact| fact.outcome != Outcome::NotPlaced))
        .map(|reports| reports[0])
        .collect();
    let promise = decides.and_then(|by| {
        let instant = by.callback_at?;
        let kept = rang.iter().any(|call| call.seq > by.seq && call.begun_at >= instant);
        (!kept).then_some(instant)
    });

    let newest = standing[standing.len() - 1];
    let state = match (decides.map(|fact| fact.outcome), newest.outcome) {
        (Some(Outcome::IntentYes), _) => IntentYes,
        (Some(Outcome::IntentNo | Outcome::DoNotCall), _) => IntentNo,
        _ if promise.is_some() => Scheduled,
        (_, Outcome::NotPlaced) => Eligible,
        (_, Outcome::Failed | Outcome::InvalidNumber | Outcome::Unknown) => Failed,
        _ => IntentNoAnswer,
    };
    let conversation = decides.map(|fact| (fact.seq, fact.outcome));
    let rang_at = rang.last().map(|fact| fact.begun_at);
    (state, conversation, promise, newest.seq, Some(newest.outcome), rang_at)
}

/// Calls `seen` with the facts of every order of `rest`.
fn every_order(facts: Facts, rest: &mut Vec<Fact>, seen: &mut impl FnMut(Facts)) {
    if rest.is_empty() {
        seen(facts);
    }
    for next in 0..rest.len() {
        let fact = rest.remove(next);
        every_order(facts.merge(fact), rest, seen);
        rest.insert(next, fact);
    }
}

/// A history of up to five attempts, and its reports in some order; some of them come twice.
fn shuffled() -> impl Strategy<Value = (Vec<Attempt>, Vec<Fact>)> {
    (history(5, 3), any::<u16>()).prop_flat_map(|(history, twice)| {
        let reports = history.concat();
        let again = reports.iter().enumerate().filter(|(i, _)| twice >> i & 1 == 1).map(|(_, fact)| *fact);
        let all: Vec<Fact> = reports.iter().copied().chain(again).collect();
        (Just(history), Just(all).prop_shuffle())
    })
}

/// Lists of delays as short as they may be, and others.
fn policy() -> impl Strategy<Value = RetryPolicy> {
    let list = |seconds_min| prop::collection::vec(seconds_min..=86_400_u64, 1..=3);
    (list(1), list(0), list(0)).prop_map(|(unknown, no_answer, not_placed)| {
        let list = |seconds: Vec<u64>| seconds.into_iter().map(Duration::from_secs).collect();
        RetryPolicy::new(vec![
            (Outcome::Unknown, list(unknown)),
            (Outcome::NoAnswer, list(no_answer)),
            (Outcome::NotPlaced, list(not_placed)),
        ])
        .unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    #[test]
    fn every_order_of_a_few_reports_makes_of_a_lead_what_the_words_say(history in few_reports()) {
        let words = by_the_words(&history);
        every_order(Facts::default(), &mut history.concat(), &mut |facts| {
            assert_eq!(told(&facts), words);
        });
    }

    #[test]
    fn any_order_of_many_reports_makes_of_a_lead_what_the_words_say((history, reports) in shuffled()) {
        prop_assert_eq!(told(&after(&reports)), by_the_words(&history));
    }

    #[test]
    fn a_report_that_does_not_win_within_its_attempt_changes_nothing((_, reports) in shuffled()) {
        let rank = |outcome| RANKS.iter().position(|outcomes| outcomes.contains(&outcome));
        let mut facts = Facts::default();
        for (i, fact) in reports.iter().enumerate() {
            let before = facts;
            facts = facts.merge(*fact);
            let known: Vec<Outcome> =
                reports[..i].iter().filter(|known| known.seq == fact.seq).map(|known| known.outcome).collect();
            let wins = known.iter().all(|known| rank(*known) < rank(fact.outcome));
            // The engine never says UNKNOWN of an attempt that was reported.
            if !wins && fact.outcome != Outcome::Unknown {
                prop_assert_eq!(facts, before);
            }
        }
    }

    #[test]
    fn no_fact_leads_away_from_interest((_, reports) in shuffled()) {
        let mut interested = false;
        let mut facts = Facts::default();
        for fact in reports {
            facts = facts.merge(fact);
            interested |= fact.outcome == Outcome::IntentYes;
            prop_assert_eq!(facts.state() == IntentYes, interested);
        }
    }

    #[test]
    fn a_refusal_is_left_only_by_interest_or_by_a_newer_attempt_that_promised((_, reports) in shuffled()) {
        let mut facts = Facts::default();
        for fact in reports {
            let (refused, before) = (facts.state() == IntentNo, facts.conversation);
            facts = facts.merge(fact);
            if refused && facts.state() != IntentNo {
                let newer = before.is_some_and(|(seq, _)| fact.seq > seq);
                let promised = newer && fact.outcome == Outcome::CallbackRequested;
                prop_assert!(fact.outcome == Outcome::IntentYes || promised);
            }
        }
    }

    #[test]
    fn complete_leads_are_never_due_promises_never_early_and_unknown_never_at_once(
        (_, reports) in shuffled(), policy in policy(), now in 0..400_i64,
    ) {
        let facts = after(&reports);
        let Verdict { state, due_at } = facts.verdict(&policy, at(now));
        prop_assert_eq!(state, facts.state());
        match state {
            IntentYes | IntentNo => prop_assert_eq!(due_at, None),
            Scheduled => {
                prop_assert!(due_at >= facts.callback_at);
                let waits = matches!(facts.last_outcome, Some(Outcome::NotPlaced | Outcome::Unknown));
                prop_assert!(waits || due_at == facts.callback_at);
            }
            _ => {
                let invalid = facts.last_outcome == Some(Outcome::InvalidNumber);
                prop_assert_eq!(due_at.is_none(), invalid);
                prop_assert!(due_at.is_none_or(|due| due >= at(now)));
            }
        }
        if facts.last_outcome == Some(Outcome::Unknown) {
            prop_assert!(due_at.is_none_or(|due| due > at(now)));
        }
    }
}
