//! What operators do in mid-flight.

use std::time::Duration;

use rand::{Rng as _, rngs::StdRng};
use tokio::time::sleep;

use super::{Kind, Stage, millis};
use crate::{
    log::NumberRules,
    operators::{NUMBER_RULES, number, until_done},
    scene::{CAP, LEADS},
};

const SUPPRESSED: usize = 25;
const IMPORTED: usize = 12;

impl Stage {
    pub(super) async fn act(&self, kind: Kind, rng: &mut StdRng) {
        let operators = &self.scene.operators;
        let place = rng.random_range(0..self.scene.campaigns.len());
        let campaign = self.scene.campaigns[place];
        let during = millis(rng, 200..1_500);
        match kind {
            Kind::EngineCapLowered => {
                let _one = self.cap.lock().await;
                let cap = rng.random_range(0..CAP * 3 / 4);
                self.fault(kind, &format!("{cap}, {during:?}"));
                operators.engine_cap(cap).await;
                sleep(during).await;
                until_done(|| operators.engine_cap(CAP)).await;
            }
            Kind::CampaignCapLowered => {
                let _one = self.campaign_caps[place].lock().await;
                let cap = rng.random_range(0..12);
                self.fault(kind, &format!("{campaign}: {cap}, {during:?}"));
                operators.campaign_cap(campaign, Some(cap)).await;
                sleep(during).await;
                until_done(|| operators.campaign_cap(campaign, None)).await;
            }
            Kind::CallsPerSecondLimited => self.limit_calls(kind, during * 3, rng).await,
            Kind::NumberRulesTightened => self.tighten(kind, during).await,
            Kind::CampaignPaused => {
                let _one = self.states[place].lock().await;
                self.fault(kind, &format!("{campaign}, {during:?}"));
                operators.run(campaign, false).await;
                sleep(during).await;
                until_done(|| operators.run(campaign, true)).await;
            }
            Kind::CampaignReset => {
                self.fault(kind, &campaign.to_string());
                operators.reset(campaign, None).await;
            }
            Kind::NumbersSuppressed => self.suppress(kind, during, rng).await,
            Kind::LeasesRevoked => {
                let count = operators.revoke_some(None, rng).await;
                self.fault(kind, &format!("{count}"));
            }
            Kind::LeadsConsumed => {
                let count = operators.consume_some(campaign, rng).await;
                self.fault(kind, &format!("{count}"));
            }
            Kind::LeadsPromised => {
                let count = operators.promise_some(rng).await;
                self.fault(kind, &format!("{count}"));
            }
            Kind::LeadsStreamed => {
                let first = self.fresh_numbers(IMPORTED).await;
                self.fault(kind, &format!("{IMPORTED} numbers into {campaign}"));
                operators.stream_in(campaign, first..first + IMPORTED, rng).await;
            }
            _ => {
                let first = self.fresh_numbers(IMPORTED).await;
                self.fault(kind, &format!("{IMPORTED} numbers into {campaign}"));
                operators.import(campaign, first..first + IMPORTED, None).await;
            }
        }
    }

    /// Longer than a second, to be seen.
    async fn limit_calls(&self, kind: Kind, during: Duration, rng: &mut StdRng) {
        let _one = self.rate.lock().await;
        let per_second = rng.random_range(12..60);
        self.fault(kind, &format!("{per_second}, {during:?}"));
        self.scene.operators.call_rate(Some(per_second)).await;
        sleep(during).await;
        until_done(|| self.scene.operators.call_rate(None)).await;
    }

    async fn tighten(&self, kind: Kind, during: Duration) {
        let _one = self.rules.lock().await;
        let tight = NumberRules { max_calls: 4, min_gap: 5_000_000, ..NUMBER_RULES };
        self.fault(kind, &format!("{tight:?}, {during:?}"));
        self.scene.operators.number_rules(Some(tight)).await;
        sleep(during).await;
        until_done(|| self.scene.operators.number_rules(Some(NUMBER_RULES))).await;
    }

    /// Most of these numbers may be called again afterwards.
    async fn suppress(&self, kind: Kind, during: Duration, rng: &mut StdRng) {
        let first = rng.random_range(0..LEADS * 3 / 2 - SUPPRESSED);
        let numbers: Vec<String> = (first..first + SUPPRESSED).map(number).collect();
        self.fault(kind, &format!("{} numbers from {}, {during:?}", numbers.len(), numbers[0]));
        self.scene.operators.suppress(&numbers, true).await;
        sleep(during).await;
        until_done(|| self.scene.operators.suppress(&numbers[1..], false)).await;
    }
}
