//! Reports: until they are answered, on any replica; and, where the dialer is faulty, again, late, out of order, or not of
//! one mind.

use std::{sync::Arc, time::Duration};

use dialplane::pb::{self, Outcome};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use super::{
    Dialer,
    call::{ANSWER_WITHIN, ANSWER_WITHIN_MAX},
};
use crate::{
    behaviour::Behaviour,
    carrier::now,
    log::{Event, Micros},
};

const HOUR: Micros = 3_600_000_000;
/// Longer than a call may last.
const LATE: std::ops::Range<u64> = 5_500..9_000;
/// How long a report is told. Then it is given up: the engine settles the call by itself.
const TELL_FOR: Duration = Duration::from_secs(180);
/// How many of those that are held back are told at once as well.
const TOLD_AT_ONCE: f64 = 0.3;

fn timestamp(at: Micros) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.div_euclid(1_000_000),
        nanos: i32::try_from(at.rem_euclid(1_000_000) * 1_000).unwrap(),
    }
}

impl Dialer {
    /// Tells an outcome, in as many ways as its behaviour has.
    pub(super) async fn report(self: &Arc<Self>, lease: Uuid, outcome: Outcome, rng: &mut StdRng) {
        let copies = if self.behaviours.is(Behaviour::Duplicates) { rng.random_range(2..=4) } else { 1 };
        let dissents = usize::from(self.behaviours.is(Behaviour::Contradicts));
        if self.behaviours.is(Behaviour::Withholds) && !self.is_calm() {
            let report = self.composed(lease, outcome, rng);
            self.held_back.lock().unwrap().push((lease, report));
            if !rng.random_bool(TOLD_AT_ONCE) {
                return;
            }
        }
        let mut reports = JoinSet::new();
        for copy in 0..copies + dissents {
            let outcome = if copy < copies { outcome } else { Outcome::Busy };
            let mut delay = Duration::ZERO;
            if self.behaviours.is(Behaviour::Reorders) || copy > 0 {
                delay += Duration::from_millis(rng.random_range(0..1_500));
            }
            if self.behaviours.is(Behaviour::Delays) {
                delay += Duration::from_millis(rng.random_range(LATE));
            }
            let report = self.composed(lease, outcome, rng);
            let rng = StdRng::seed_from_u64(rng.random());
            reports.spawn(Arc::clone(self).tell(lease, report, delay, rng));
        }
        while reports.join_next().await.is_some() {}
    }

    /// Tells what was held back.
    pub async fn tell_what_was_held_back(self: &Arc<Self>) {
        let held_back = std::mem::take(&mut *self.held_back.lock().unwrap());
        if held_back.is_empty() {
            return;
        }
        self.pen.fault("late-reports", &format!("{} of {}", held_back.len(), self.name));
        let mut reports = JoinSet::new();
        for (lease, report) in held_back {
            let rng = StdRng::seed_from_u64(self.seed ^ lease.as_u64_pair().1);
            reports.spawn(Arc::clone(self).tell(lease, report, Duration::ZERO, rng));
        }
        while reports.join_next().await.is_some() {}
    }

    fn composed(&self, lease: Uuid, outcome: Outcome, rng: &mut StdRng) -> pb::OutcomeReport {
        let mut occurred = now();
        if self.behaviours.is(Behaviour::Skewed) {
            occurred += if rng.random() { HOUR } else { -HOUR };
        }
        let callback = occurred + rng.random_range(0..3_000_000);
        pb::OutcomeReport {
            lease_id: lease.to_string(),
            outcome: outcome.into(),
            occurred_at: Some(timestamp(occurred)),
            provider_call_id: format!("storm-{lease}"),
            // An hour off is an hour's wait for a promise: the instant itself is told right.
            callback_at: (outcome == Outcome::CallbackRequested).then(|| timestamp(callback.min(now() + 3_000_000))),
            ..Default::default()
        }
    }

    /// Tells it until it is answered, to one replica or another; one event, from the first time to the answer.
    async fn tell(self: Arc<Self>, lease: Uuid, report: pb::OutcomeReport, delay: Duration, mut rng: StdRng) {
        sleep(delay).await;
        let outcome = report.outcome().as_str_name().to_owned();
        let (asked, since) = (now(), Instant::now());
        let mut within = ANSWER_WITHIN;
        while since.elapsed() < TELL_FOR {
            let request = pb::ReportOutcomesRequest { reports: vec![report.clone()] };
            match timeout(within, self.client(&mut rng).report_outcomes(request)).await {
                Ok(Ok(answer)) => {
                    let answered = Some(now());
                    let result = answer.into_inner().results.into_iter().next().unwrap_or_default();
                    let verdict = Some(result.verdict().as_str_name().to_owned());
                    return self.pen.write(&Event::Reported { lease, outcome, verdict, asked, answered });
                }
                Ok(Err(status)) => {
                    self.failed(&status);
                }
                Err(_) => within = (within * 2).min(ANSWER_WITHIN_MAX),
            }
            sleep(Duration::from_millis(rng.random_range(20..300))).await;
        }
        self.pen.odd("a report was given up");
        self.pen.write(&Event::Reported { lease, outcome, verdict: None, asked, answered: None });
    }
}
