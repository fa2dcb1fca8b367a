//! Live counts: bars on a terminal, else at most one plain line a second.

use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::{Error, say};
use crate::{
    cli::views,
    pb::{GetCampaignStatsResponse, GetSchedulerStatusResponse, LeadState},
};

const LINE_EVERY: Duration = Duration::from_secs(1);

/// States in the order of a lead's life; nothing in the demo is CONSUMED.
const SHOWN: [(LeadState, &str); 8] = [
    (LeadState::Eligible, "eligible"),
    (LeadState::Ready, "ready"),
    (LeadState::DialingIntent, "dialing"),
    (LeadState::IntentNoAnswer, "no answer"),
    (LeadState::Failed, "failed"),
    (LeadState::Scheduled, "scheduled"),
    (LeadState::IntentNo, "no"),
    (LeadState::IntentYes, "yes"),
];

/// The leads in one state.
pub fn count(stats: &GetCampaignStatsResponse, state: LeadState) -> i64 {
    stats.counts.iter().find(|count| count.state() == state).map_or(0, |count| count.leads)
}

/// What is shown of one run.
pub struct Progress {
    began: Instant,
    bars: Option<(ProgressBar, Vec<ProgressBar>)>,
    line_at: Instant,
    attempts: Option<(Instant, i64)>,
}

impl Progress {
    /// For a campaign of that many leads.
    pub fn new(leads: u64) -> Self {
        let bars = io::stdout().is_terminal().then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
            let style =
                |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let head = all.add(ProgressBar::no_length().with_style(style("{msg}")));
            let bar = |name| {
                all.add(ProgressBar::new(leads).with_style(style("{prefix:>17} {bar:50} {pos:>4}")).with_prefix(name))
            };
            let states = SHOWN.map(|(state, _)| bar(views::lead_state(state.into()))).into();
            (head, states)
        });
        let now = Instant::now();
        Self { began: now, bars, line_at: now, attempts: None }
    }

    /// Shows the present counts.
    pub fn show(&mut self, stats: &GetCampaignStatsResponse, status: &GetSchedulerStatusResponse) -> Result<(), Error> {
        let now = Instant::now();
        if self.bars.is_none() && now < self.line_at {
            return Ok(());
        }
        let (since, before) = self.attempts.unwrap_or((now, stats.attempts));
        let seconds = (now - since).as_secs_f64();
        let rate = if seconds > 0.0 { (stats.attempts - before) as f64 / seconds } else { 0.0 };
        let cap = status.settings.as_ref().and_then(|settings| settings.max_concurrency).unwrap_or_default();
        let head = format!(
            "{:5.1} s  {:2} slots of {cap} taken, {:2} calls under way, {rate:3.0} attempts/s",
            (now - self.began).as_secs_f64(),
            status.active_calls,
            stats.calls_under_way,
        );
        match &self.bars {
            Some((line, bars)) => {
                line.set_message(head);
                for (bar, (state, _)) in bars.iter().zip(SHOWN) {
                    bar.set_position(u64::try_from(count(stats, state)).unwrap_or_default());
                }
                // A rate over a quarter of a second jumps; it is renewed once a second.
                if seconds < LINE_EVERY.as_secs_f64() && self.attempts.is_some() {
                    return Ok(());
                }
            }
            None => {
                let counts = SHOWN.map(|(state, name)| format!("{name} {}", count(stats, state)));
                say(format!("{head}  |  {}", counts.join(", ")))?;
                self.line_at = now + LINE_EVERY;
            }
        }
        self.attempts = Some((now, stats.attempts));
        Ok(())
    }

    /// Takes the bars away; the tables that follow say it all.
    pub fn finish(self) {
        if let Some((head, bars)) = self.bars {
            head.finish_and_clear();
            bars.iter().for_each(ProgressBar::finish_and_clear);
        }
    }
}
