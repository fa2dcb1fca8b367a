//! The telephone network of the demo: nobody is called, the answers are drawn.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::pb::Outcome;

/// What is drawn how often, in thousandths: what campaigns of cold calls see, roughly.
const OUTCOMES: [(Outcome, u32); 11] = [
    (Outcome::IntentYes, 100),
    (Outcome::IntentNo, 150),
    (Outcome::NoAnswer, 400),
    (Outcome::Voicemail, 100),
    (Outcome::Busy, 80),
    (Outcome::Failed, 50),
    (Outcome::NotPlaced, 50),
    (Outcome::CallbackRequested, 50),
    (Outcome::DoNotCall, 15),
    (Outcome::InvalidNumber, 3),
    (Outcome::Abandoned, 2),
];

/// How far ahead a callback is asked for.
pub const CALLBACK_AHEAD: Duration = Duration::from_secs(3);

/// One call, as it will go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// What comes of it.
    pub outcome: Outcome,
    /// How long it rings, or how long the provider takes to refuse.
    pub ring: Duration,
    /// How long is talked.
    pub talk: Duration,
}

/// Draws calls; the same seed draws the same ones in the same order.
pub struct Carrier(StdRng);

impl Carrier {
    /// A carrier with this seed.
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// The next call: 20 to 600 ms.
    pub fn place(&mut self) -> Call {
        let mut drawn = self.0.random_range(0..1_000);
        let mut outcome = Outcome::NoAnswer;
        for (candidate, weight) in OUTCOMES {
            if drawn < weight {
                outcome = candidate;
                break;
            }
            drawn -= weight;
        }
        let (ring, talk) = match outcome {
            Outcome::NotPlaced => (20..60, 0..1),
            Outcome::NoAnswer => (300..600, 0..1),
            Outcome::Busy | Outcome::Failed | Outcome::InvalidNumber | Outcome::Abandoned => (50..150, 0..1),
            Outcome::Voicemail => (150..300, 50..200),
            _ => (100..250, 150..350),
        };
        let mut millis = |range| Duration::from_millis(self.0.random_range(range));
        Call { outcome, ring: millis(ring), talk: millis(talk) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rates_add_up_and_every_outcome_is_drawn() {
        assert_eq!(OUTCOMES.iter().map(|(_, weight)| weight).sum::<u32>(), 1_000);
        let mut carrier = Carrier::new(7);
        let calls: Vec<_> = (0..20_000).map(|_| carrier.place()).collect();
        for (outcome, weight) in OUTCOMES {
            let drawn = calls.iter().filter(|call| call.outcome == outcome).count();
            assert!(drawn.abs_diff(weight as usize * 20) < 300 && drawn > 0, "{outcome:?}: {drawn}");
        }
        assert!(calls.iter().all(|call| call.ring + call.talk <= Duration::from_millis(600)));
    }

    #[test]
    fn a_seed_repeats_its_calls() {
        let (mut one, mut other) = (Carrier::new(9), Carrier::new(9));
        assert!((0..100).all(|_| one.place() == other.place()));
    }
}
