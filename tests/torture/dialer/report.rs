//! Reports: until they are answered, on any replica; and, where the dialer is faulty, again, late, out of order, or not of
//! one mind.

use std::{sync::Arc, time::Duration};

use dialplane::pb::{self, Outcome};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{Dialer, call::ANSWER_WITHIN};
use crate::{
    behaviour::Behaviour,
    carrier::now,
    log::{Event, Micros},
};

const HOUR: Micros = 3_600_000_000;
/// Longer than a call may last.
const LATE: std::ops::Range<u64> = 5_500..9_000;
/// After so many unanswered requests it is given up: the engine settles the call by itself.
const TRIES_MAX: u32 = 200;

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

    async fn tell(self: Arc<Self>, lease: Uuid, report: pb::OutcomeReport, delay: Duration, mut rng: StdRng) {
        sleep(delay).await;
        let outcome = report.outcome().as_str_name().to_owned();
        for _ in 0..TRIES_MAX {
            let request = pb::ReportOutcomesRequest { reports: vec![report.clone()] };
            let asked = now();
            let answer = timeout(ANSWER_WITHIN, self.client(&mut rng).report_outcomes(request)).await;
            let told =
                |verdict, answered| Event::Reported { lease, outcome: outcome.clone(), verdict, asked, answered };
            match answer {
                Ok(Ok(answer)) => {
                    let result = answer.into_inner().results.into_iter().next().unwrap_or_default();
                    let verdict = result.verdict().as_str_name().to_owned();
                    self.pen.write(&told(Some(verdict), Some(now())));
                    return;
                }
                Ok(Err(status)) => {
                    self.failed(&status);
                    self.pen.write(&told(None, None));
                }
                Err(_) => self.pen.write(&told(None, None)),
            }
            sleep(Duration::from_millis(rng.random_range(20..300))).await;
        }
        self.pen.odd("a report was given up");
    }
}
