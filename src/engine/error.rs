//! What a use case can answer instead of its result.

use thiserror::Error;

use crate::{
    domain::{campaign::CampaignState, lead::LeadState},
    store::StoreError,
};

/// A refusal, or a failure. The gRPC layer turns it into a status.
#[derive(Debug, Clone, Error)]
pub enum EngineError {
    /// A value that cannot be judged at the edge: field path and rule.
    #[error("{field}: {rule}")]
    BadInput {
        /// Path of the field.
        field: &'static str,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// No campaign has this id.
    #[error("no campaign has this id")]
    CampaignNotFound,
    /// The campaign has no lead with this id.
    #[error("the campaign has no lead with this id")]
    LeadNotFound,
    /// The campaign's state does not allow this.
    #[error("the campaign is {}: {why}", .state.name())]
    CampaignState {
        /// Its state.
        state: CampaignState,
        /// What would have to be.
        why: &'static str,
    },
    /// The lead's state does not allow this.
    #[error("the lead is {}: {why}", .state.name())]
    LeadState {
        /// Its state.
        state: LeadState,
        /// What would have to be.
        why: &'static str,
    },
    /// The etag is stale.
    #[error("the etag is stale: read again")]
    StaleEtag,
    /// The request_id was used for a different call.
    #[error("the request_id was used for a different call")]
    RequestReused,
    /// A chunk is missing.
    #[error("a chunk is missing: go on after {through_seq}")]
    ImportOutOfOrder {
        /// The last durable chunk.
        through_seq: i64,
    },
    /// The session is another dialer's.
    #[error("the session belongs to another dialer")]
    SessionInUse,
    /// A later stream or poll has the session.
    #[error("another stream of the session has taken it over")]
    SessionTakenOver,
    /// Another lead has this external_id.
    #[error("another lead of the campaign has this external_id")]
    ExternalIdTaken,
    /// A cursor of another database, or of a time that this one was put back before.
    #[error("this database does not have all that the cursor has passed: begin anew")]
    CursorLost,
    /// The database cannot be reached.
    #[error("the database is unavailable")]
    Unavailable,
    /// This replica is stopping.
    #[error("this replica is stopping")]
    ShuttingDown,
    /// Too much is under way.
    #[error("too much is under way")]
    Overloaded,
    /// A deadlock: nothing happened, and it is tried again at once.
    #[error("the transaction must be tried again")]
    Again,
    /// A bug. The text goes to the log, never to the caller.
    #[error("internal: {0}")]
    Internal(String),
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::Again) {
            return EngineError::Again;
        }
        if error.is_transient() {
            tracing::debug!(%error, "the database did not answer");
            return EngineError::Unavailable;
        }
        match error {
            StoreError::NotUnique(name) if name == "lead_external_id_is_unique_in_its_campaign" => {
                EngineError::ExternalIdTaken
            }
            other => EngineError::Internal(other.to_string()),
        }
    }
}
