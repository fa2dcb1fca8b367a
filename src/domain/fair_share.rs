//! How campaigns share slots: whose turn the next one is, and what each of them should hold. Slot-time is what counts, so
//! whoever makes long calls gets fewer of them.
//!
//! A live lease is a slot, so equal occupancy by weight is equal slot-time by weight. What whole slots cannot show (a share
//! of 0.4 slots under a cap of 3) goes to an account of slots held too long or too little, which is bounded: it says
//! who is next, and never lets a campaign save up.

use std::cmp::Ordering;

/// Slots of debt, and of credit, at the most. More would make campaigns swing: a slot comes back only when its call ends.
const DEBT_MAX: f64 = 2.0;
/// Steps of the search for a level: enough for a millionth of a slot.
const STEPS: usize = 48;

/// A campaign that shares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// Its share among others: 1 to 1,000.
    pub weight: i32,
    /// Slots that come before the shares of others.
    pub minimum: i32,
    /// Due promises that wait for a slot: they come before everything.
    pub promised: usize,
    /// Slots that it holds.
    pub held: f64,
    /// Slots too many (or too few, if negative) that it has held lately.
    pub debt: f64,
}

impl Claim {
    /// What the claims are ordered by: the class, then the level reached in it.
    fn rank(&self) -> (u8, f64) {
        if self.promised > 0 {
            (0, 0.0)
        } else if self.held < f64::from(self.minimum) {
            (1, self.held / f64::from(self.minimum))
        } else {
            // Half a slot: by what it would hold on the whole with the next one, as in Webster's method.
            (2, (self.held + 0.5 + self.debt) / f64::from(self.weight.max(1)))
        }
    }

    /// Takes the next slot.
    pub fn take(&mut self) {
        self.promised = self.promised.saturating_sub(1);
        self.held += 1.0;
    }
}

/// Whose turn the next slot is: due promises, then whoever is furthest below its minimum, then whoever has least by its
/// weight. Of equals the first.
pub fn turn<'a>(claims: impl Iterator<Item = &'a Claim>) -> Option<usize> {
    let order = |one: &(u8, f64), other: &(u8, f64)| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1));
    let ranked = claims.map(Claim::rank).enumerate();
    ranked.min_by(|(_, one), (_, other)| order(one, other)).map(|(index, _)| index)
}

/// What a campaign may hold at the most, beside its claim.
#[derive(Debug, Clone, Copy)]
pub struct Bounded {
    /// The claim.
    pub claim: Claim,
    /// Slots that it could use; if it has no work, those that it holds.
    pub most: f64,
}

/// What each should hold of so many slots: minimums first, the rest by weight, and what one cannot use is the others'.
pub fn split(slots: f64, all: &[Bounded]) -> Vec<f64> {
    let least = |one: &Bounded| f64::from(one.claim.minimum).min(one.most);
    let minimums: f64 = all.iter().map(least).sum();
    if minimums >= slots {
        let part = if minimums > 0.0 { slots / minimums } else { 0.0 };
        return all.iter().map(|one| least(one) * part).collect();
    }
    let at = |level: f64| {
        all.iter().map(move |one| (level * f64::from(one.claim.weight.max(1))).max(least(one)).min(one.most))
    };
    // At the level `slots` the lightest has all of them, if it can use them.
    let (mut low, mut high) = (0.0, slots);
    for _ in 0..STEPS {
        let level = f64::midpoint(low, high);
        match at(level).sum::<f64>().total_cmp(&slots) {
            Ordering::Less => low = level,
            _ => high = level,
        }
    }
    at(high).collect()
}

/// The debt after some time in which `held` slots were held where `fair` were due. `call` is how long a slot is usually
/// held: a slot too many for so long is a debt of one.
pub fn owed(debt: f64, held: f64, fair: f64, seconds: f64, call: f64) -> f64 {
    (debt + (held - fair) * seconds / call).clamp(-DEBT_MAX, DEBT_MAX)
}

/// How long slots are usually held, by Little's law: slots held over calls ended, of the last minute or so.
#[derive(Debug, Clone, Copy)]
pub struct CallLength {
    slot_seconds: f64,
    ended: f64,
}

impl Default for CallLength {
    fn default() -> Self {
        CallLength { slot_seconds: 10.0, ended: 1.0 }
    }
}

impl CallLength {
    /// The past fades by this factor in so many seconds.
    const FADES_IN: f64 = 60.0;
    /// Bounds of the answer, in seconds.
    const BOUNDS: (f64, f64) = (1.0, 600.0);

    /// Takes in what went on for some seconds.
    pub fn note(&mut self, held: f64, ended: usize, seconds: f64) {
        let stays = (-seconds / Self::FADES_IN).exp();
        self.slot_seconds = self.slot_seconds * stays + held * seconds;
        self.ended = self.ended * stays + f64::from(u32::try_from(ended).unwrap_or(u32::MAX));
    }

    /// In seconds.
    pub fn seconds(&self) -> f64 {
        let (least, most) = Self::BOUNDS;
        (self.slot_seconds / self.ended.max(1e-9)).clamp(least, most)
    }
}

#[cfg(test)]
#[path = "fair_share_test.rs"]
mod tests;
