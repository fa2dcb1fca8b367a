//! Shares on the floor, one replica or several.

use super::sharing::{MANY, Plan, Sharing, plan};
use crate::domain::ids::CampaignKey;

/// A dialer for all campaigns.
const ANY: &[CampaignKey] = &[];

#[track_caller]
fn near(means: &[f64], wanted: &[f64], part: f64) {
    for (mean, wanted) in means.iter().zip(wanted) {
        assert!((mean - wanted).abs() <= part * wanted, "{means:.2?} where {wanted:.2?} was due");
    }
}

fn weights_1_2_5(call: u64) -> [Plan; 3] {
    [plan(1, call), plan(2, call), plan(5, call)]
}

#[test]
fn weights_1_2_5_share_a_cap_of_80_within_5_percent_of_a_minute() {
    for call in [300, 1_000, 5_000] {
        let mut one = Sharing::new(80, &weights_1_2_5(call), &[&[(ANY, 100)]]);
        near(&one.over(60), &[10.0, 20.0, 50.0], 0.05);
    }
}

#[test]
fn the_slots_of_one_dialer_are_shared_like_a_cap() {
    let mut one = Sharing::new(1_000, &weights_1_2_5(700), &[&[(ANY, 80)]]);
    near(&one.over(60), &[10.0, 20.0, 50.0], 0.05);
}

#[test]
fn a_cap_of_3_is_shared_too() {
    let mut one = Sharing::new(3, &weights_1_2_5(700), &[&[(ANY, 20)]]);
    one.over(10);
    near(&one.over(60), &[0.375, 0.75, 1.875], 0.05);
}

#[test]
fn a_minimum_is_held_and_the_rest_shared() {
    let plans = [Plan { minimum: 20, ..plan(1, 900) }, plan(2, 900), plan(4, 900)];
    let mut one = Sharing::new(50, &plans, &[&[(ANY, 100)]]);
    one.over(2);
    near(&one.over(60), &[20.0, 10.0, 20.0], 0.05);
}

#[test]
fn an_idle_share_is_used_and_given_back_when_there_is_work_again() {
    let mut plans = weights_1_2_5(1_000);
    plans[2].leads = 0;
    let mut one = Sharing::new(80, &plans, &[&[(ANY, 100)]]);
    one.over(2);
    let alone = one.over(30);
    near(&alone, &[80.0 / 3.0, 160.0 / 3.0, 0.0], 0.05);
    assert!(alone.iter().sum::<f64>() > 79.5, "{alone:?}: slots were idle");
    one.add(2, MANY);
    // What is under way ends; nothing is cut off, or the simulation would say so.
    one.over(3);
    near(&one.over(30), &[10.0, 20.0, 50.0], 0.05);
}

#[test]
fn a_campaign_without_a_dialer_leaves_its_share_to_the_others() {
    let mut one = Sharing::new(60, &weights_1_2_5(800), &[&[(&[0, 1], 100)]]);
    one.over(2);
    near(&one.over(30), &[20.0, 40.0, 0.0], 0.05);
}

#[test]
fn a_due_promise_comes_before_every_share() {
    let mut one = Sharing::new(10, &weights_1_2_5(1_000), &[&[(ANY, 50)]]);
    one.over(5);
    // Campaign 0 has its slot, and gets the next ten all the same.
    one.promise(0, 10);
    let mut most = 0;
    for _ in 0..3 {
        one.over(1);
        most = most.max(one.live[&0]);
    }
    assert_eq!(one.kept, 10);
    assert!(most >= 9, "{most} of 10 slots");
}

#[test]
fn the_buffers_of_all_campaigns_together_follow_the_cap() {
    let mut one = Sharing::new(80, &weights_1_2_5(1_000), &[&[(ANY, 500)]]);
    one.over(30);
    assert!(one.ready_max <= 2 * 80 + 20, "{} READY under a cap of 80", one.ready_max);
}

#[test]
fn replicas_that_all_serve_all_share_in_sum() {
    for replicas in [2, 4] {
        for call in [400, 3_000] {
            let dialers: Vec<&[(&[CampaignKey], usize)]> = vec![&[(ANY, 60)]; replicas];
            let mut all = Sharing::new(80, &weights_1_2_5(call), &dialers);
            all.over(10);
            near(&all.over(60), &[10.0, 20.0, 50.0], 0.05);
        }
    }
}

#[test]
fn campaigns_whose_dialers_are_on_different_replicas_share_in_sum() {
    for call in [1_000, 5_000] {
        let split: &[&[(&[CampaignKey], usize)]] = &[&[(&[0], 100)], &[(&[1, 2], 100)]];
        let mut two = Sharing::new(80, &weights_1_2_5(call), split);
        // Calls that all end together would show each replica the others without any.
        two.spread = 30;
        two.over(20);
        let means = two.over(60);
        near(&means, &[10.0, 20.0, 50.0], 0.05);
        assert!(means.iter().sum::<f64>() > 78.0, "{means:?}: slots were idle");
        let split: &[&[(&[CampaignKey], usize)]] = &[&[(&[0, 1], 100)], &[(&[1, 2], 100)]];
        let mut two = Sharing::new(80, &weights_1_2_5(call), split);
        // Calls that all end together would show each replica the others without any.
        two.spread = 30;
        two.over(20);
        near(&two.over(60), &[10.0, 20.0, 50.0], 0.05);
    }
}

#[test]
fn nobody_starves_under_a_small_cap_because_another_replica_fills_its_own_slots() {
    let split: &[&[(&[CampaignKey], usize)]] = &[&[(&[0], 50)], &[(&[1], 50)]];
    let mut two = Sharing::new(4, &[plan(1, 2_000), Plan { leads: 0, ..plan(1, 2_000) }], split);
    near(&two.over(20), &[4.0, 0.0], 0.05);
    two.add(1, MANY);
    two.over(8);
    let means = two.over(60);
    near(&means, &[2.0, 2.0], 0.1);
    assert!(means.iter().sum::<f64>() > 3.8, "{means:?}: slots were idle");
}

#[test]
fn a_promise_on_another_replica_gets_the_next_slot() {
    let split: &[&[(&[CampaignKey], usize)]] = &[&[(&[0], 50)], &[(&[1], 50)]];
    // Two slots are guaranteed to the other, and it has a thousandth of the rest.
    let plans = [Plan { minimum: 2, ..plan(1_000, 1_000) }, Plan { leads: 0, ..plan(1, 1_000) }];
    let mut two = Sharing::new(4, &plans, split);
    two.over(10);
    two.promise(1, 3);
    two.over(5);
    assert_eq!(two.kept, 3);
}

#[test]
fn no_slot_is_left_to_a_campaign_that_cannot_take_it() {
    let split: &[&[(&[CampaignKey], usize)]] = &[&[(&[0], 50)], &[(&[1], 50)]];
    let mut two = Sharing::new(10, &[plan(1, 800), plan(1, 800)], split);
    two.spread = 30;
    two.over(10);
    near(&two.over(30), &[5.0, 5.0], 0.1);
    two.busy = Some(1);
    two.over(4);
    near(&two.over(20), &[10.0], 0.02);
    two.busy = None;
    two.over(6);
    near(&two.over(30), &[5.0, 5.0], 0.1);
}
