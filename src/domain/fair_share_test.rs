//! Shares over simulated calls: slots freed one by one, each given to whose turn it is.

use std::collections::BinaryHeap;

use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;

/// A campaign of the simulation: its rules, and how long its calls last in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Plan {
    weight: i32,
    minimum: i32,
    call: (u64, u64),
    /// Has work from here to there, in seconds.
    works: (u64, u64),
}

fn plan(weight: i32, call: (u64, u64)) -> Plan {
    Plan { weight, minimum: 0, call, works: (0, u64::MAX) }
}

/// One engine with a cap, in steps of 10 ms.
struct Sim {
    cap: usize,
    plans: Vec<Plan>,
    rng: StdRng,
    /// Live calls: their ends, the next first, and their campaigns.
    calls: BinaryHeap<std::cmp::Reverse<(u64, usize)>>,
    claims: Vec<Claim>,
    length: CallLength,
    ended: usize,
    now: u64,
}

impl Sim {
    fn new(cap: usize, plans: &[Plan]) -> Sim {
        let claim =
            |plan: &Plan| Claim { weight: plan.weight, minimum: plan.minimum, promised: 0, held: 0.0, debt: 0.0 };
        Sim {
            cap,
            plans: plans.to_vec(),
            rng: StdRng::seed_from_u64(1),
            calls: BinaryHeap::new(),
            claims: plans.iter().map(claim).collect(),
            length: CallLength::default(),
            ended: 0,
            now: 0,
        }
    }

    fn works(&self, index: usize) -> bool {
        let (from, to) = self.plans[index].works;
        (from..to).contains(&(self.now / 1000))
    }

    fn step(&mut self) {
        self.now += 10;
        while self.calls.peek().is_some_and(|call| call.0.0 <= self.now) {
            let of = self.calls.pop().expect("a call").0.1;
            self.claims[of].held -= 1.0;
            self.ended += 1;
        }
        let working: Vec<usize> = (0..self.plans.len()).filter(|index| self.works(*index)).collect();
        while self.calls.len() < self.cap {
            let Some(at) = turn(working.iter().map(|index| &self.claims[*index])) else { break };
            let (least, most) = self.plans[working[at]].call;
            let ends = self.now + self.rng.random_range(least..=most);
            self.claims[working[at]].take();
            self.calls.push(std::cmp::Reverse((ends, working[at])));
        }
        if self.now.is_multiple_of(100) {
            self.account();
        }
    }

    fn account(&mut self) {
        let most = |index: usize| if self.works(index) { f64::INFINITY } else { self.claims[index].held };
        let all: Vec<Bounded> =
            self.claims.iter().enumerate().map(|(i, c)| Bounded { claim: *c, most: most(i) }).collect();
        let held: f64 = self.claims.iter().map(|claim| claim.held).sum();
        self.length.note(held, std::mem::take(&mut self.ended), 0.1);
        for (index, fair) in split(held, &all).into_iter().enumerate() {
            let works = self.works(index);
            let claim = &mut self.claims[index];
            claim.debt = if works { owed(claim.debt, claim.held, fair, 0.1, self.length.seconds()) } else { 0.0 };
        }
    }

    /// The mean number of slots that each holds over so many seconds.
    fn over(&mut self, seconds: u64) -> Vec<f64> {
        let mut sums = vec![0.0; self.plans.len()];
        for _ in 0..seconds * 100 {
            self.step();
            for (sum, claim) in sums.iter_mut().zip(&self.claims) {
                *sum += claim.held / (seconds * 100) as f64;
            }
        }
        sums
    }
}

#[track_caller]
fn near(means: &[f64], wanted: &[f64], part: f64) {
    for (mean, wanted) in means.iter().zip(wanted) {
        assert!((mean - wanted).abs() <= part * wanted, "{means:.2?}");
    }
}

#[test]
fn weights_1_2_5_under_a_cap_of_80_get_their_shares_within_5_percent_of_a_minute() {
    for call in [(500, 500), (3_000, 3_000), (1_000, 5_000)] {
        let mut sim = Sim::new(80, &[plan(1, call), plan(2, call), plan(5, call)]);
        near(&sim.over(60), &[10.0, 20.0, 50.0], 0.05);
    }
}

#[test]
fn shares_are_counted_in_slot_time_not_in_calls() {
    let plans = [plan(1, (2_000, 8_000)), plan(1, (300, 700)), plan(2, (100, 2_000))];
    let mut sim = Sim::new(80, &plans);
    sim.over(20);
    near(&sim.over(60), &[20.0, 20.0, 40.0], 0.05);
}

#[test]
fn shares_that_are_no_whole_slots_come_out_right_in_the_end() {
    let call = (800, 1_200);
    for cap in [3, 5, 10] {
        let mut sim = Sim::new(cap, &[plan(1, call), plan(2, call), plan(5, call)]);
        sim.over(20);
        let part = cap as f64 / 8.0;
        near(&sim.over(60), &[part, 2.0 * part, 5.0 * part], 0.05);
    }
}

#[test]
fn long_calls_under_a_small_cap_share_as_well() {
    let call = (20_000, 60_000);
    let mut sim = Sim::new(3, &[plan(1, call), plan(2, call), plan(5, call)]);
    sim.over(600);
    near(&sim.over(7_200), &[0.375, 0.75, 1.875], 0.05);
}

#[test]
fn a_guaranteed_minimum_is_met_and_the_rest_shared_by_weight() {
    let call = (500, 1_500);
    let plans = [Plan { minimum: 20, ..plan(1, call) }, plan(2, call), plan(4, call)];
    let mut sim = Sim::new(50, &plans);
    sim.over(5);
    near(&sim.over(60), &[20.0, 10.0, 20.0], 0.05);
}

#[test]
fn minimums_beyond_the_cap_shrink_in_proportion() {
    let call = (500, 1_500);
    let plans = [Plan { minimum: 30, ..plan(1, call) }, Plan { minimum: 10, ..plan(1, call) }, plan(9, call)];
    let mut sim = Sim::new(20, &plans);
    sim.over(5);
    near(&sim.over(60), &[15.0, 5.0, 0.0], 0.05);
}

#[test]
fn an_idle_share_is_used_and_given_back_and_nothing_is_saved_up() {
    let call = (1_000, 3_000);
    let back = Plan { works: (60, u64::MAX), ..plan(3, call) };
    let mut sim = Sim::new(40, &[plan(1, call), back]);
    near(&sim.over(58), &[40.0, 0.0], 0.05);
    // Two seconds to go, and a call's length and a half for what is under way to end.
    sim.over(7);
    near(&sim.over(20), &[10.0, 30.0], 0.1);
    assert!(sim.claims.iter().all(|claim| claim.debt.abs() <= DEBT_MAX));
}

#[test]
fn due_promises_come_before_minimums_and_these_before_shares() {
    let claim = |promised, minimum, held| Claim { weight: 1, minimum, promised, held, debt: 0.0 };
    let mut claims = [claim(0, 0, 0.0), claim(0, 5, 3.0), claim(2, 0, 50.0), claim(0, 4, 1.0)];
    let mut turns = Vec::new();
    for _ in 0..8 {
        let next = turn(claims.iter()).expect("a claim");
        claims[next].take();
        turns.push(next);
    }
    assert_eq!(turns, [2, 2, 3, 3, 1, 3, 1, 0]);
    assert_eq!(turn([].iter()), None);
}

proptest! {
    #[test]
    fn a_split_hands_out_every_slot_that_can_be_used_and_no_more(
        slots in 0_u32..500,
        all in prop::collection::vec((1..=1_000_i32, 0..100_i32, 0_u32..200), 1..12),
    ) {
        let bounded: Vec<Bounded> = all
            .iter()
            .map(|(weight, minimum, most)| Bounded {
                claim: Claim { weight: *weight, minimum: *minimum, promised: 0, held: 0.0, debt: 0.0 },
                most: f64::from(*most),
            })
            .collect();
        let parts = split(f64::from(slots), &bounded);
        let usable: f64 = bounded.iter().map(|one| one.most).sum::<f64>().min(f64::from(slots));
        prop_assert!((parts.iter().sum::<f64>() - usable).abs() < 1e-3);
        for (part, one) in parts.iter().zip(&bounded) {
            prop_assert!(*part <= one.most + 1e-9);
        }
        // Of two that could use more than they get, beyond their minimums, each has its weight's part.
        let free = |i: usize| parts[i] > f64::from(all[i].1) + 1e-6 && parts[i] < bounded[i].most - 1e-6;
        for (i, j) in (0..all.len()).flat_map(|i| (0..i).map(move |j| (i, j))).filter(|(i, j)| free(*i) && free(*j)) {
            let level = |i: usize| parts[i] / f64::from(all[i].0);
            prop_assert!((level(i) - level(j)).abs() < 1e-3);
        }
    }
}
