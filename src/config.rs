//! Settings of a server process. What the engine itself is set to lives in the database, and is only filled from here.

use std::{env, net::SocketAddr, time::Duration};

use thiserror::Error;

use crate::domain::{campaign::MAX_CONCURRENCY, settings::SchedulerSettings};

/// Connections to the database of one process.
pub const CONNECTIONS_MAX: usize = 16;

/// How a server runs.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Where it listens; port 0: any free one.
    pub listen: SocketAddr,
    /// How long dialers have to go elsewhere when this server stops.
    pub drain_within: Duration,
    /// Settings for a database that has none yet.
    pub fill: SchedulerSettings,
}

/// A setting that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// `MAX_CONCURRENCY` is no number, or out of bounds.
    #[error("MAX_CONCURRENCY must be a number from 0 to 1000000")]
    MaxConcurrency,
}

/// Settings for an empty database: the defaults, with `MAX_CONCURRENCY` (live leases, 0 to 1,000,000) from the environment.
///
/// # Errors
/// [`ConfigError`].
pub fn fill_settings() -> Result<SchedulerSettings, ConfigError> {
    let mut settings = SchedulerSettings::default();
    if let Ok(text) = env::var("MAX_CONCURRENCY") {
        let value = text.trim().parse().ok().filter(|value| MAX_CONCURRENCY.contains(value));
        settings.max_concurrency = value.ok_or(ConfigError::MaxConcurrency)?;
    }
    Ok(settings)
}
