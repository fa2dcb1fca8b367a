//! Number rules by their definition: a call is allowed when no span that ends now holds as many calls as a rule allows. Counts,
//! and knows nothing of how the engine reckons.

use chrono::{DateTime, TimeDelta, Utc};
use dialplane::pb;

/// One call as its dialer knows it.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub begun_at: DateTime<Utc>,
    /// When its outcome happened, by the report.
    pub happened_at: DateTime<Utc>,
    /// None: nothing was said yet.
    pub outcome: Option<pb::Outcome>,
}

/// Rules of the engine or of a campaign.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    pub caps: Vec<(usize, TimeDelta)>,
    pub gap: Option<TimeDelta>,
    pub after_conversation: Option<TimeDelta>,
    pub cool_downs: Vec<(pb::Outcome, TimeDelta)>,
}

const CONVERSATIONS: [pb::Outcome; 4] =
    [pb::Outcome::IntentYes, pb::Outcome::IntentNo, pb::Outcome::CallbackRequested, pb::Outcome::DoNotCall];

fn length(of: TimeDelta) -> Option<prost_types::Duration> {
    Some(of.to_std().unwrap().try_into().unwrap())
}

impl Rules {
    pub fn wire(&self) -> pb::NumberRules {
        pb::NumberRules {
            caps: self
                .caps
                .iter()
                .map(|(calls, period)| pb::RollingCap { max_calls: *calls as i32, period: length(*period) })
                .collect(),
            min_gap: self.gap.and_then(length),
            gap_after_conversation: self.after_conversation.and_then(length),
            cool_downs: self
                .cool_downs
                .iter()
                .map(|(outcome, lasts)| pb::CoolDown { outcome: (*outcome).into(), lasts: length(*lasts) })
                .collect(),
        }
    }

    /// Whether a call is allowed now, after these.
    pub fn allow(&self, calls: &[Call], now: DateTime<Utc>) -> bool {
        let rang: Vec<&Call> = calls.iter().filter(|call| call.outcome != Some(pb::Outcome::NotPlaced)).collect();
        let within = |span: TimeDelta| rang.iter().filter(|call| now - call.begun_at < span).count();
        let said = |of: &[pb::Outcome], span: TimeDelta| {
            rang.iter().any(|call| call.outcome.is_some_and(|o| of.contains(&o)) && now - call.happened_at < span)
        };
        self.caps.iter().all(|(most, period)| within(*period) < *most)
            && self.gap.is_none_or(|gap| within(gap) == 0)
            && self.after_conversation.is_none_or(|gap| !said(&CONVERSATIONS, gap))
            && self.cool_downs.iter().all(|(outcome, lasts)| !said(&[*outcome], *lasts))
    }

    fn spans(&self) -> impl Iterator<Item = TimeDelta> {
        let caps = self.caps.iter().map(|(_, period)| *period);
        let cool_downs = self.cool_downs.iter().map(|(_, lasts)| *lasts);
        caps.chain(self.gap).chain(self.after_conversation).chain(cool_downs)
    }
}

/// The first instant from now on at which all of these rules allow a call: one at which some call leaves some span.
pub fn first_allowed(rules: &[&Rules], calls: &[Call], now: DateTime<Utc>) -> DateTime<Utc> {
    let mut instants = vec![now];
    for span in rules.iter().flat_map(|rules| rules.spans()) {
        instants.extend(calls.iter().flat_map(|call| [call.begun_at + span, call.happened_at + span]));
    }
    instants.retain(|at| *at >= now);
    instants.sort_unstable();
    instants.into_iter().find(|at| rules.iter().all(|rules| rules.allow(calls, *at))).unwrap()
}
