//! What can go wrong in a command, how it is told to a person, and the exit code it ends with.

use std::{error::Error as _, io, process::ExitCode, time::Duration};

use serde_json::{Map, Value, json};
use tonic::{Code, Status, transport};
use tonic_types::StatusExt as _;

use super::output::Format;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The command line, the configuration or an input file is wrong. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// The server answered with an error. Exit code 1; 3 when it says that it is unavailable.
    #[error("{}", said(.0))]
    Server(Box<Status>),
    /// No connection. Exit code 3.
    #[error("cannot reach {server}: {}", root_cause(.source))]
    Unreachable {
        /// Where the server was expected.
        server: String,
        /// What the transport said.
        source: transport::Error,
    },
    /// A file or a child process failed. Exit code 1.
    #[error("{what}: {source}")]
    Io {
        /// What was attempted, with the path.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// An import broke off; it can go on. Exit code of its cause.
    #[error("the import broke off after chunk {through_seq}: {source}")]
    ImportBroken {
        /// Names the import.
        import_id: String,
        /// The last acknowledged chunk.
        through_seq: i64,
        /// The last of several failures.
        source: Box<Error>,
    },
    /// The command ran and its result is bad. Exit code 1.
    #[error("{0}")]
    Failed(String),
    /// Standard output is closed. Exit code 0: `| head` is no error.
    #[error("standard output is closed")]
    OutputClosed,
    /// Ctrl-C. Exit code 130.
    #[error("interrupted")]
    Interrupted,
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Server(Box::new(status))
    }
}

impl Error {
    /// An input/output error with what was attempted.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what: what.into(), source }
    }

    /// Whether the same call may succeed later, or on a new connection.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Server(status) => {
                matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::Cancelled)
                    // A broken connection has no code of its own; it comes with its cause.
                    || status.source().is_some()
            }
            _ => false,
        }
    }

    /// How long the server asks to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Server(status) => status.get_details_retry_info().and_then(|info| info.retry_delay),
            _ => None,
        }
    }

    /// 0 ok, 1 refused, 2 usage, 3 unavailable, 130 interrupted.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Usage(_) => 2,
            Self::Unreachable { .. } => 3,
            Self::Server(status) if status.code() == Code::Unavailable || status.source().is_some() => 3,
            Self::ImportBroken { source, .. } => source.exit_code(),
            Self::Interrupted => 130,
            Self::Server(_) | Self::Io { .. } | Self::Failed(_) => 1,
        }
    }

    /// Prints the error to standard error in the chosen format and gives the exit code.
    pub fn report(&self, format: Format) -> ExitCode {
        if !matches!(self, Self::OutputClosed) {
            match format {
                Format::Json => eprintln!("{}", self.to_json()),
                Format::Table => eprintln!("{}", self.to_text()),
            }
        }
        ExitCode::from(self.exit_code())
    }

    fn to_text(&self) -> String {
        let mut text = format!("error: {self}");
        if let Some(status) = self.status() {
            let details = status.get_error_details();
            if let Some(info) = details.error_info() {
                text.push_str(&format!("\n  reason: {}", info.reason));
            }
            for field in details.bad_request().into_iter().flat_map(|bad| &bad.field_violations) {
                text.push_str(&format!("\n  {}: {}", field.field, field.description));
            }
            for refusal in details.precondition_failure().into_iter().flat_map(|refused| &refused.violations) {
                text.push_str(&format!("\n  {}: {}", refusal.subject, refusal.description));
            }
        }
        if let Some(delay) = self.retry_after() {
            text.push_str(&format!("\n  try again in {delay:?}"));
        }
        if let Self::ImportBroken { import_id, .. } = self {
            text.push_str(&format!("\n  go on with the same command and --import-id {import_id}"));
        }
        text
    }

    fn to_json(&self) -> Value {
        let mut error = Map::new();
        error.insert("message".into(), json!(self.to_string()));
        if let Some(status) = self.status() {
            let details = status.get_error_details();
            error.insert("code".into(), json!(format!("{:?}", status.code())));
            error.insert("reason".into(), json!(details.error_info().map(|info| &info.reason)));
            let fields = details.bad_request().into_iter().flat_map(|bad| &bad.field_violations);
            let fields = fields.map(|field| json!({"field": field.field, "description": field.description}));
            error.insert("fields".into(), fields.collect());
        }
        if self.exit_code() == 3 {
            error.insert("code".into(), json!("Unavailable"));
        }
        if let Self::ImportBroken { import_id, .. } = self {
            error.insert("import_id".into(), json!(import_id));
        }
        json!({ "error": error })
    }

    fn status(&self) -> Option<&Status> {
        match self {
            Self::Server(status) => Some(status),
            Self::ImportBroken { source, .. } => source.status(),
            _ => None,
        }
    }
}

/// The server's message, or the code where it sent none.
fn said(status: &Status) -> String {
    match (status.message(), status.source()) {
        ("", None) => status.code().description().to_owned(),
        (message, None) => message.to_owned(),
        (message, Some(cause)) => format!("{message}: {}", root_cause(cause)),
    }
}

/// The innermost cause: transports wrap "connection refused" into several layers of "transport error".
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn refused() -> Error {
        let mut details = ErrorDetails::with_error_info("BAD_INPUT", "dialplane", [("a".to_owned(), "b".to_owned())]);
        details.add_bad_request_violation("rules.max_attempts", "must be 1 to 100");
        Status::with_error_details(Code::InvalidArgument, "1 field is wrong", details).into()
    }

    #[test]
    fn a_refusal_names_its_reason_and_each_wrong_field() {
        let text = refused().to_text();
        assert_eq!(text, "error: 1 field is wrong\n  reason: BAD_INPUT\n  rules.max_attempts: must be 1 to 100");
        assert_eq!(refused().to_json()["error"]["fields"][0]["field"], "rules.max_attempts");
    }

    #[test]
    fn exit_codes_tell_refused_from_usage_from_unavailable() {
        assert_eq!(refused().exit_code(), 1);
        assert_eq!(Error::Usage(String::new()).exit_code(), 2);
        assert_eq!(Error::from(Status::unavailable("gone")).exit_code(), 3);
        let broken = Error::ImportBroken {
            import_id: "i".into(),
            through_seq: 3,
            source: Box::new(Status::unavailable("gone").into()),
        };
        assert_eq!(broken.exit_code(), 3);
    }
}
