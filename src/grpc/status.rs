//! Errors on the wire: one ErrorInfo each, with field paths, preconditions and retry advice where they help. No internal text
//! leaves the process; it is logged here, once.

use std::{collections::HashMap, time::Duration};

use tonic::{Code, Status, body::Body, codegen::http::Response};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{engine::EngineError, pb::ErrorReason};

const DOMAIN: &str = "dialplane";
/// Violations told at once.
const VIOLATIONS_MAX: usize = 20;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is wrong with a request: a field's path and the rule that it breaks.
#[derive(Debug, Default)]
pub struct Violations(Vec<(String, String)>);

impl Violations {
    /// Notes a violation.
    pub fn add(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        self.0.push((field.into(), rule.into()));
    }

    /// Notes a violation and answers nothing.
    pub fn none<T>(&mut self, field: impl Into<String>, rule: impl Into<String>) -> Option<T> {
        self.add(field, rule);
        None
    }

    /// Refuses the request when there is any.
    ///
    /// # Errors
    /// INVALID_ARGUMENT with all of them.
    pub fn check(self) -> Result<(), Status> {
        if self.0.is_empty() { Ok(()) } else { Err(bad_input(&self.0)) }
    }
}

fn details(reason: ErrorReason, metadata: HashMap<String, String>) -> ErrorDetails {
    let reason = reason.as_str_name().trim_start_matches("ERROR_REASON_").to_owned();
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, DOMAIN, metadata);
    details
}

fn bad_input(violations: &[(String, String)]) -> Status {
    let mut details = details(ErrorReason::BadInput, HashMap::new());
    // Details travel in a header, which clients bound at 8 KB.
    for (field, rule) in violations.iter().take(VIOLATIONS_MAX) {
        details.add_bad_request_violation(field, rule);
    }
    let (field, rule) = &violations[0];
    let message = match violations.len() {
        1 => format!("{field}: {rule}"),
        more => format!("{field}: {rule} (and {} more)", more - 1),
    };
    Status::with_error_details(Code::InvalidArgument, message, details)
}

fn simple(code: Code, reason: ErrorReason, error: &EngineError) -> Status {
    Status::with_error_details(code, error.to_string(), details(reason, HashMap::new()))
}

fn precondition(reason: ErrorReason, subject: &str, error: &EngineError) -> Status {
    let mut details = details(reason, HashMap::new());
    details.add_precondition_failure_violation("STATE", subject, error.to_string());
    Status::with_error_details(Code::FailedPrecondition, error.to_string(), details)
}

fn retryable(code: Code, reason: ErrorReason, error: &EngineError) -> Status {
    let mut details = details(reason, HashMap::new());
    details.set_retry_info(Some(RETRY_AFTER));
    Status::with_error_details(code, error.to_string(), details)
}

/// The status of an error that is ours alone.
pub fn status(code: Code, reason: ErrorReason, message: &str) -> Status {
    Status::with_error_details(code, message, details(reason, HashMap::new()))
}

impl From<EngineError> for Status {
    fn from(error: EngineError) -> Self {
        match &error {
            EngineError::BadInput { field, rule } => bad_input(&[((*field).to_owned(), (*rule).to_owned())]),
            EngineError::CampaignNotFound => simple(Code::NotFound, ErrorReason::CampaignNotFound, &error),
            EngineError::LeadNotFound => simple(Code::NotFound, ErrorReason::LeadNotFound, &error),
            EngineError::CampaignState { .. } => precondition(ErrorReason::CampaignState, "campaign", &error),
            EngineError::LeadState { .. } => precondition(ErrorReason::LeadState, "lead", &error),
            EngineError::StaleEtag => simple(Code::Aborted, ErrorReason::StaleEtag, &error),
            EngineError::RequestReused => simple(Code::AlreadyExists, ErrorReason::RequestIdReused, &error),
            EngineError::ImportOutOfOrder { through_seq } => {
                let metadata = HashMap::from([("through_seq".to_owned(), through_seq.to_string())]);
                let details = details(ErrorReason::ImportOutOfOrder, metadata);
                Status::with_error_details(Code::FailedPrecondition, error.to_string(), details)
            }
            EngineError::SessionInUse => simple(Code::AlreadyExists, ErrorReason::SessionInUse, &error),
            EngineError::SessionTakenOver => simple(Code::Aborted, ErrorReason::SessionTakenOver, &error),
            EngineError::ExternalIdTaken => simple(Code::AlreadyExists, ErrorReason::Duplicate, &error),
            EngineError::CursorLost => precondition(ErrorReason::CursorLost, "cursor", &error),
            EngineError::Unavailable | EngineError::Again => {
                retryable(Code::Unavailable, ErrorReason::DatabaseUnavailable, &EngineError::Unavailable)
            }
            EngineError::ShuttingDown => retryable(Code::Unavailable, ErrorReason::ShuttingDown, &error),
            EngineError::Overloaded => retryable(Code::ResourceExhausted, ErrorReason::Overloaded, &error),
            EngineError::Internal(_) => {
                tracing::error!(%error, "a request failed");
                status(Code::Internal, ErrorReason::Internal, "an internal error; the server's log has the details")
            }
        }
    }
}

/// Gives errors that were made before our services were reached a reason, and keeps their texts inside.
pub fn typed(response: Response<Body>) -> Response<Body> {
    let headers = response.headers();
    if headers.contains_key("grpc-status-details-bin") {
        return response;
    }
    let Some(refused) = Status::from_header_map(headers).filter(|status| status.code() != Code::Ok) else {
        return response;
    };
    let typed = match refused.code() {
        Code::Unimplemented => {
            status(Code::Unimplemented, ErrorReason::Unimplemented, "no such service, method or compression here")
        }
        Code::OutOfRange | Code::ResourceExhausted => {
            status(Code::ResourceExhausted, ErrorReason::MessageTooLarge, "a message has more than 16 MiB")
        }
        Code::Internal | Code::InvalidArgument | Code::Unknown => {
            status(Code::InvalidArgument, ErrorReason::BadInput, "the message cannot be decoded")
        }
        _ => return response,
    };
    typed.into_http()
}
