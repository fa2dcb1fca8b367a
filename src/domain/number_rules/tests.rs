//! The rules of single numbers, by example and against a model that counts.

use proptest::prelude::*;

use super::*;

fn at(minutes: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
}

fn call(minutes: i64, outcome: Outcome) -> Call {
    Call { begun_at: at(minutes), ended_at: Some(at(minutes + 5)), outcome: Some(outcome) }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_mins(minutes)
}

fn cap(max_calls: i32, period: u64) -> RollingCap {
    RollingCap { max_calls, period: minutes(period) }
}

#[test]
fn a_rolling_cap_opens_when_its_oldest_call_leaves_the_period() {
    let rules = NumberRules { caps: vec![cap(3, 1440)], ..NumberRules::default() };
    let calls = [call(0, Outcome::NoAnswer), call(100, Outcome::Busy), call(200, Outcome::NoAnswer)];
    assert_eq!(next_allowed(rules.limits(), &calls[..2], at(201)), None);
    assert_eq!(next_allowed(rules.limits(), &calls, at(201)), Some(at(1440)));
    assert_eq!(next_allowed(rules.limits(), &calls, at(1440) - TimeDelta::milliseconds(1)), Some(at(1440)));
    assert_eq!(next_allowed(rules.limits(), &calls, at(1440)), None);
}

#[test]
fn a_call_that_was_never_placed_is_no_call_and_one_without_an_answer_is() {
    let rules = NumberRules { min_gap: Some(minutes(120)), ..NumberRules::default() };
    assert_eq!(next_allowed(rules.limits(), &[call(0, Outcome::NotPlaced)], at(1)), None);
    assert_eq!(next_allowed(rules.limits(), &[call(0, Outcome::Unknown)], at(1)), Some(at(120)));
    let under_way = Call { begun_at: at(0), ended_at: None, outcome: None };
    assert_eq!(next_allowed(rules.limits(), &[under_way], at(1)), Some(at(120)));
}

#[test]
fn the_gap_after_a_conversation_runs_from_its_end_and_knows_only_conversations() {
    let rules = NumberRules { gap_after_conversation: Some(minutes(60)), ..NumberRules::default() };
    for outcome in Outcome::ALL {
        let until = outcome.is_conversation().then(|| at(65));
        assert_eq!(next_allowed(rules.limits(), &[call(0, outcome)], at(10)), until, "{outcome}");
    }
}

#[test]
fn a_cool_down_follows_its_outcome_alone() {
    let abandoned = CoolDown { outcome: Outcome::Abandoned, lasts: minutes(72 * 60) };
    let rules = NumberRules { cool_downs: vec![abandoned], ..NumberRules::default() };
    assert_eq!(next_allowed(rules.limits(), &[call(0, Outcome::NoAnswer)], at(6)), None);
    assert_eq!(next_allowed(rules.limits(), &[call(0, Outcome::Abandoned)], at(6)), Some(at(72 * 60 + 5)));
}

#[test]
fn a_report_cannot_place_an_outcome_before_its_permit_or_beyond_the_longest_call() {
    let rules = NumberRules { gap_after_conversation: Some(minutes(60)), ..NumberRules::default() };
    let told = |ended_at| Call { begun_at: at(0), ended_at: Some(ended_at), outcome: Some(Outcome::IntentNo) };
    assert_eq!(next_allowed(rules.limits(), &[told(at(-600))], at(1)), Some(at(60)));
    assert_eq!(next_allowed(rules.limits(), &[told(at(99_999))], at(1)), Some(at(60) + CALL_MAX));
}

#[test]
fn every_rule_that_holds_is_named_with_its_own_instant() {
    let engine = NumberRules { caps: vec![cap(1, 300)], ..NumberRules::default() };
    let own = NumberRules { min_gap: Some(minutes(90)), ..NumberRules::default() };
    let held = holds(engine.limits().chain(own.limits()), &[call(0, Outcome::Busy)], at(10));
    let expected = [(NumberRule::Cap(cap(1, 300)), at(300)), (NumberRule::Gap(minutes(90)), at(90))];
    assert_eq!(held, expected.map(|(rule, until)| Hold { rule, until }));
}

#[test]
fn rules_outside_their_bounds_are_refused_by_name() {
    let with = |rules: NumberRules| rules.checked().err();
    let none = NumberRules::default;
    assert_eq!(with(NumberRules { caps: vec![cap(1, 1); 9], ..none() }), Some(NumberRulesError::CapCount));
    assert_eq!(with(NumberRules { caps: vec![cap(1, 1), cap(0, 1)], ..none() }), Some(NumberRulesError::CapCalls(1)));
    assert_eq!(with(NumberRules { caps: vec![cap(101, 1)], ..none() }), Some(NumberRulesError::CapCalls(0)));
    let over = vec![cap(1, 366 * 1440 + 1)];
    assert_eq!(with(NumberRules { caps: over, ..none() }), Some(NumberRulesError::CapPeriod(0)));
    assert_eq!(with(NumberRules { min_gap: Some(Duration::ZERO), ..none() }), Some(NumberRulesError::Gap));
    let fine = Some(Duration::from_micros(2_000_001));
    let refused = Some(NumberRulesError::GapAfterConversation);
    assert_eq!(with(NumberRules { gap_after_conversation: fine, ..none() }), refused);
    let cool_down = |outcome| CoolDown { outcome, lasts: minutes(1) };
    let twice = vec![cool_down(Outcome::Busy), cool_down(Outcome::Busy)];
    assert_eq!(with(NumberRules { cool_downs: twice, ..none() }), Some(NumberRulesError::CoolDownOutcome(1)));
    let never = vec![cool_down(Outcome::NotPlaced)];
    assert_eq!(with(NumberRules { cool_downs: never, ..none() }), Some(NumberRulesError::CoolDownOutcome(0)));
    assert_eq!(with(NumberRules { caps: vec![cap(100, 1); 8], min_gap: Some(minutes(1)), ..none() }), None);
}

/// Whether a call is allowed, by counting: no span that ends now holds as many calls as a rule allows.
fn may_call(rules: &NumberRules, calls: &[Call], now: DateTime<Utc>) -> bool {
    let within = |then: DateTime<Utc>, span: Duration| now < then + TimeDelta::from_std(span).unwrap();
    let rang: Vec<&Call> = calls.iter().filter(|call| call.outcome != Some(Outcome::NotPlaced)).collect();
    let recent = |span| rang.iter().filter(|call| within(call.begun_at, span)).count();
    let after = |span, of: &dyn Fn(Outcome) -> bool| {
        rang.iter().any(|call| call.outcome.is_some_and(of) && within(call.ended_at.unwrap(), span))
    };
    rules.caps.iter().all(|cap| recent(cap.period) < usize::try_from(cap.max_calls).unwrap())
        && rules.min_gap.is_none_or(|gap| recent(gap) == 0)
        && rules.gap_after_conversation.is_none_or(|gap| !after(gap, &|outcome| (1..=4).contains(&outcome.code())))
        && rules.cool_downs.iter().all(|one| !after(one.lasts, &|outcome| outcome == one.outcome))
}

fn some_rules() -> impl Strategy<Value = NumberRules> {
    let caps = proptest::collection::vec((1..5_i32, 1..400_u64).prop_map(|(calls, period)| cap(calls, period)), 0..3);
    let gap = || proptest::option::of((1..200_u64).prop_map(minutes));
    let cool_downs = proptest::collection::btree_map(0..12_usize, 1..400_u64, 0..3);
    (caps, gap(), gap(), cool_downs).prop_map(|(caps, min_gap, gap_after_conversation, cool_downs)| NumberRules {
        caps,
        min_gap,
        gap_after_conversation,
        cool_downs: cool_downs
            .into_iter()
            .map(|(outcome, lasts)| CoolDown { outcome: Outcome::ALL[outcome], lasts: minutes(lasts) })
            .filter(|cool_down| cool_down.outcome.counts())
            .collect(),
    })
}

fn some_calls() -> impl Strategy<Value = Vec<Call>> {
    let one = (0..600_i64, 0..60_i64, 0..13_usize).prop_map(|(begun, lasted, outcome)| Call {
        begun_at: at(begun),
        ended_at: (outcome < 12).then(|| at(begun + lasted)),
        outcome: Outcome::ALL.get(outcome).copied(),
    });
    proptest::collection::vec(one, 0..12)
}

proptest! {
    /// The first instant that is allowed is found, and no later one: every minute is looked at.
    #[test]
    fn the_next_allowed_instant_is_the_first_that_a_count_allows(rules in some_rules(), calls in some_calls()) {
        let now = 660;
        let first = (now..2000).map(at).find(|instant| may_call(&rules, &calls, *instant)).unwrap();
        prop_assert_eq!(next_allowed(rules.limits(), &calls, at(now)).unwrap_or(at(now)), first);
        prop_assert_eq!(rules.clone().checked(), Ok(rules));
    }
}
