//! What can go wrong between us and the database.

use thiserror::Error;
use tokio_postgres::error::SqlState;

/// An answer of the database that is no answer.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Away, out of connections, shutting down, out of disk: try again later. What was sent may have happened.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A deadlock or a lock time-out: nothing happened, try again at once.
    #[error("the transaction must be tried again")]
    Again,
    /// DP001: the campaign does not run.
    #[error("the campaign does not run")]
    NotRunning,
    /// DP002: the campaign's rules are newer than the caller's.
    #[error("the campaign's rules have changed")]
    StaleRules,
    /// DP003: zones or windows are out of date.
    #[error("the zones are out of date")]
    StaleZones,
    /// DP004: this replica was taken for dead, and others have what it had.
    #[error("this replica is fenced")]
    Fenced,
    /// DP005: the call came when its answer had been given up.
    #[error("the call came too late")]
    Late,
    /// A unique constraint, by its name.
    #[error("the constraint {0} is violated")]
    NotUnique(String),
    /// The schema wants a newer binary.
    #[error("the schema needs a binary of generation {needed} or newer, this one is {ours}")]
    BinaryTooOld {
        /// What the schema asks for.
        needed: i32,
        /// What this binary is.
        ours: i32,
    },
    /// A task died.
    #[error("a database task panicked: {0}")]
    Panicked(String),
    /// A statement or a row that cannot be: a bug. The text carries codes and names, never parameters.
    #[error("a statement failed: {0}")]
    Bug(String),
}

impl StoreError {
    /// Nothing came back in time: what was asked may have happened.
    pub fn no_answer() -> StoreError {
        StoreError::Unavailable("no answer".into())
    }

    /// Whether waiting helps.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Unavailable(_) | StoreError::Again | StoreError::Fenced | StoreError::Late)
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return if error.is_closed() || std::error::Error::source(&error).is_some_and(|s| s.is::<std::io::Error>()) {
                StoreError::Unavailable(error.to_string())
            } else {
                StoreError::Bug(error.to_string())
            };
        };
        match db.code().code() {
            "DP001" => return StoreError::NotRunning,
            "DP002" => return StoreError::StaleRules,
            "DP003" => return StoreError::StaleZones,
            "DP004" => return StoreError::Fenced,
            "DP005" => return StoreError::Late,
            _ => {}
        }
        let code = db.code();
        if *code == SqlState::T_R_DEADLOCK_DETECTED || *code == SqlState::T_R_SERIALIZATION_FAILURE {
            StoreError::Again
        } else if *code == SqlState::UNIQUE_VIOLATION {
            StoreError::NotUnique(db.constraint().unwrap_or_default().to_owned())
        } else if ["55P03", "25P03"].contains(&code.code())
            || ["08", "53", "57", "58"].iter().any(|class| code.code().starts_with(class))
        {
            StoreError::Unavailable(format!("{} ({})", db.message(), code.code()))
        } else {
            // The detail of an error may quote a row: it stays out.
            StoreError::Bug(format!("{} ({}) {}", db.message(), code.code(), db.where_().unwrap_or_default()))
        }
    }
}

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => match StoreError::from(error) {
                StoreError::Bug(text) => StoreError::Unavailable(text),
                other => other,
            },
            other => StoreError::Unavailable(other.to_string()),
        }
    }
}
