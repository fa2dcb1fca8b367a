//! Which leads a command means, and instants that a command line gives.

use clap::Args;

use super::{Error, audit::instant, client::Clients, rules::duration};
use crate::pb::{GetServerInfoRequest, LeadFilter, LeadState, Outcome};

/// Conditions on leads; those that are given hold all.
#[derive(Clone, Args)]
#[command(next_help_heading = "Which leads")]
pub struct LeadFilterArgs {
    /// Only leads in this state, as INTENT_YES; several: in any of them
    #[arg(long, value_parser = state, value_delimiter = ',')]
    pub state: Vec<LeadState>,
    /// Only from this score on
    #[arg(long, value_name = "SCORE")]
    pub min_score: Option<i32>,
    /// Only up to this score
    #[arg(long, value_name = "SCORE")]
    pub max_score: Option<i32>,
    /// Only with this time zone of their own
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ZONE")]
    pub zone: String,
    /// Only after this outcome, as BUSY; several: after any of them
    #[arg(long, value_parser = outcome, value_delimiter = ',')]
    pub outcome: Vec<Outcome>,
    /// Only from this many attempts on
    #[arg(long, value_name = "N")]
    pub min_attempts: Option<i32>,
    /// Only up to this many attempts
    #[arg(long, value_name = "N")]
    pub max_attempts: Option<i32>,
    /// Only created at this instant or later, as 2026-11-20T09:00:00Z
    #[arg(long, value_parser = instant, value_name = "INSTANT")]
    pub created_after: Option<prost_types::Timestamp>,
    /// Only created before this instant
    #[arg(long, value_parser = instant, value_name = "INSTANT", conflicts_with = "older_than")]
    pub created_before: Option<prost_types::Timestamp>,
    /// Only created so long ago, as 90d
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    pub older_than: Option<prost_types::Duration>,
    /// Only with keys of yours that begin so
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub external_id_prefix: String,
}

impl LeadFilterArgs {
    /// The filter; ages count from the server's clock.
    pub async fn resolve(self, clients: &mut Clients) -> Result<LeadFilter, Error> {
        let created_before = match self.older_than {
            Some(age) => Some(from_now(clients, age, -1).await?),
            None => self.created_before,
        };
        Ok(LeadFilter {
            states: self.state.into_iter().map(Into::into).collect(),
            min_score: self.min_score,
            max_score: self.max_score,
            time_zone: self.zone,
            last_outcomes: self.outcome.into_iter().map(Into::into).collect(),
            created_after: self.created_after,
            created_before,
            min_attempts: self.min_attempts,
            max_attempts: self.max_attempts,
            external_id_prefix: self.external_id_prefix,
        })
    }
}

/// The server's clock, so many times a duration further.
pub async fn from_now(
    clients: &mut Clients,
    length: prost_types::Duration,
    times: i64,
) -> Result<prost_types::Timestamp, Error> {
    let now = clients.scheduler.get_server_info(GetServerInfoRequest {}).await?.into_inner().now;
    let now = now.ok_or_else(|| Error::Failed("the server did not tell its clock".into()))?;
    Ok(prost_types::Timestamp { seconds: now.seconds.saturating_add(times * length.seconds), nanos: now.nanos })
}

fn state(text: &str) -> Result<LeadState, String> {
    let name = format!("LEAD_STATE_{}", text.to_uppercase());
    let all = "one of ELIGIBLE, READY, DIALING_INTENT, INTENT_YES, INTENT_NO, INTENT_NO_ANSWER, \
               FAILED, SCHEDULED, CONSUMED";
    LeadState::from_str_name(&name).ok_or(all.into())
}

fn outcome(text: &str) -> Result<Outcome, String> {
    let name = format!("OUTCOME_{}", text.to_uppercase());
    Outcome::from_str_name(&name).ok_or_else(|| "no outcome, as NO_ANSWER or BUSY".into())
}
