//! Settings of the engine that live in the database, with defaults and bounds.

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};

use super::number_rules::NumberRules;

/// Settings of the engine: one row in the database, the same for all replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SchedulerSettings {
    /// Live leases over all campaigns (`campaign::MAX_CONCURRENCY`), default 10.
    pub max_concurrency: i32,
    /// The queue warmer's period, default 60 s.
    pub tick_interval: Duration,
    /// READY leads per slot, default 2.
    pub buffer_factor: i32,
    /// READY leads added per campaign and tick unless demand outruns it, default 50.
    pub batch_size: i32,
    /// A session silent for this long is lost, default 20 s.
    pub session_ttl: Duration,
    /// A lease without a receipt for this long is taken back, default 5 s.
    pub receipt_within: Duration,
    /// A permit is dead this long after BeginCalls was sent, default 5 s.
    pub dial_within: Duration,
    /// Permits per second over all campaigns (`campaign::CALLS_PER_SECOND`); none, the default: no limit.
    pub max_calls_per_second: Option<f64>,
    /// Number rules of all campaigns, default none.
    #[serde(default)]
    pub number_rules: NumberRules,
    /// Counts changes.
    pub etag: i64,
}

/// Bounds of `tick_interval`.
pub const TICK_INTERVAL: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// Bounds of `buffer_factor`.
pub const BUFFER_FACTOR: RangeInclusive<i32> = 1..=10;
/// Bounds of `batch_size`.
pub const BATCH_SIZE: RangeInclusive<i32> = 1..=5000;
/// Bounds of `session_ttl`.
pub const SESSION_TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// Bounds of `receipt_within`.
pub const RECEIPT_WITHIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);
/// Bounds of `dial_within`.
pub const DIAL_WITHIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

impl Default for SchedulerSettings {
    fn default() -> Self {
        SchedulerSettings {
            max_concurrency: 10,
            tick_interval: Duration::from_secs(60),
            buffer_factor: 2,
            batch_size: 50,
            session_ttl: Duration::from_secs(20),
            receipt_within: Duration::from_secs(5),
            dial_within: Duration::from_secs(5),
            max_calls_per_second: None,
            number_rules: NumberRules::default(),
            etag: 1,
        }
    }
}
