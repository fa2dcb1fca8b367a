//! What may happen, and how often.

use proptest::prelude::*;

pub(super) const DIALERS: u8 = 3;

/// What happens next. `u8`s choose among what is there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A dialer opens its session, or opens it again; of what it holds it names those in the mask.
    Open {
        who: u8,
        slots: u8,
        named: u8,
        here: bool,
    },
    Slots {
        who: u8,
        slots: u8,
    },
    /// A dialer reads, confirms and gives a sign of life.
    Talk {
        who: u8,
    },
    Read {
        who: u8,
    },
    Confirm {
        who: u8,
        which: u8,
    },
    Heartbeat {
        who: u8,
    },
    Drain {
        who: u8,
    },
    /// The stream breaks.
    Cut {
        who: u8,
    },
    Begin {
        who: u8,
        which: u8,
    },
    /// An outcome, or a lease handed back.
    Finish {
        who: u8,
        which: u8,
    },
    /// An operator, or a deadline.
    Revoke {
        which: u8,
    },
    /// Time passes, and the loop does not turn: it sleeps.
    Sleep {
        millis: u16,
    },
    Ticks {
        times: u8,
        millis: u16,
        serving: bool,
    },
    Run {
        job: u8,
        fault: u8,
    },
    RunAll,
    /// News are lost.
    Lose {
        job: u8,
    },
    Pause {
        campaign: u8,
    },
    Resume {
        campaign: u8,
    },
    NewRules {
        campaign: u8,
    },
    Caps {
        engine: u8,
        campaign: u8,
    },
    Probe,
    Promise {
        campaign: u8,
        seconds: u8,
    },
    Sweep,
    Reconcile,
    /// Other replicas tell what they hold and want.
    Others {
        held: u8,
        starved: u8,
        promised: u8,
    },
    /// New weights and minimums.
    Share {
        campaign: u8,
        weight: u8,
        minimum: u8,
    },
    Fence,
    Leave,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let who = || 0..DIALERS;
    let fault = prop_oneof![12 => Just(0_u8), 1 => 10..16_u8];
    let talk = prop_oneof![
        8 => (who(), 0..6_u8, any::<u8>(), prop::bool::weighted(0.85))
            .prop_map(|(who, slots, named, here)| Step::Open { who, slots, named, here }),
        3 => (who(), 0..6_u8).prop_map(|(who, slots)| Step::Slots { who, slots }),
        14 => who().prop_map(|who| Step::Talk { who }),
        3 => who().prop_map(|who| Step::Read { who }),
        3 => (who(), any::<u8>()).prop_map(|(who, which)| Step::Confirm { who, which }),
        4 => who().prop_map(|who| Step::Heartbeat { who }),
        2 => who().prop_map(|who| Step::Drain { who }),
        2 => who().prop_map(|who| Step::Cut { who }),
        8 => (who(), any::<u8>()).prop_map(|(who, which)| Step::Begin { who, which }),
        6 => (who(), any::<u8>()).prop_map(|(who, which)| Step::Finish { who, which }),
    ]
    .boxed();
    let time = prop_oneof![
        1 => (1..60_000_u16).prop_map(|millis| Step::Sleep { millis }),
        2 => (1..450_u16).prop_map(|millis| Step::Sleep { millis }),
        4 => (1..8_u8, 50..450_u16, prop::bool::weighted(0.85))
            .prop_map(|(times, millis, serving)| Step::Ticks { times, millis, serving }),
        30 => (any::<u8>(), fault).prop_map(|(job, fault)| Step::Run { job, fault }),
        6 => Just(Step::RunAll),
    ]
    .boxed();
    let rest = prop_oneof![
        6 => any::<u8>().prop_map(|which| Step::Revoke { which }),
        3 => any::<u8>().prop_map(|job| Step::Lose { job }),
        2 => (0..2_u8).prop_map(|campaign| Step::Pause { campaign }),
        6 => (0..2_u8).prop_map(|campaign| Step::Resume { campaign }),
        2 => (0..2_u8).prop_map(|campaign| Step::NewRules { campaign }),
        4 => (0..12_u8, 0..8_u8).prop_map(|(engine, campaign)| Step::Caps { engine, campaign }),
        4 => Just(Step::Probe),
        4 => (0..2_u8, 0..9_u8).prop_map(|(campaign, seconds)| Step::Promise { campaign, seconds }),
        3 => Just(Step::Sweep),
        4 => Just(Step::Reconcile),
        4 => (0..20_u8, 0..4_u8, 0..3_u8)
            .prop_map(|(held, starved, promised)| Step::Others { held, starved, promised }),
        2 => (0..2_u8, 1..20_u8, 0..4_u8)
            .prop_map(|(campaign, weight, minimum)| Step::Share { campaign, weight, minimum }),
        1 => Just(Step::Fence),
        1 => Just(Step::Leave),
    ]
    .boxed();
    prop_oneof![8 => talk, 8 => time, 2 => rest]
}
