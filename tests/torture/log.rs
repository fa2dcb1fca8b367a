//! What is written down while the storm lasts, a JSON object per line. Two files, two pens: the carrier writes what rang, in
//! a process of its own; everybody else writes what they asked for and what they were answered. The checker reads both.
//!
//! Instants are microseconds since 1970 of the machine's clock, which the database and every process share. An action of
//! ours has two: before it was asked (`asked`) and after it was answered (`answered`); none when no answer came: then it
//! may have happened at any time since, or never. Only a success is an answer: an error, or a doubt, is none. `at` is
//! taken before the act.
//!
//! The checker takes for granted that a campaign's max_attempts and max_duration never change during a storm, and that
//! each `Reset` is a request of its own. An act without an answer is uncertain for ever, which dulls every later verdict
//! about what it changed. So everybody asks again until there is an answer, with the same request_id, nonce or words, and
//! writes one event, from the first question to the answer: whatever was asked in between, the act happened in between,
//! and a question that arrives afterwards finds it done and changes nothing.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Microseconds since 1970.
pub type Micros = i64;

/// What the carrier writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ring {
    /// A phone begins to ring; `permit` is the lease id that the dialer showed.
    Start { ring: u64, permit: Uuid, number: String, dialer: String, at: Micros },
    /// It is over: hung up, or its dialer's link broke.
    End { ring: u64, at: Micros },
}

/// Number rules, as far as storms have them: so many calls of a number within any such period, and so far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberRules {
    pub max_calls: usize,
    pub period: Micros,
    pub min_gap: Micros,
}

/// What dialers and operators write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// A dialer has a lease in its hands.
    Granted {
        lease: Uuid,
        session: Uuid,
        campaign: Uuid,
        lead: Uuid,
        number: String,
        attempt: i32,
        promised: bool,
        at: Micros,
    },
    /// A session's demand. The engine may know the older one until it is answered by the next heartbeat.
    Slots { session: Uuid, slots: i32, at: Micros },
    /// A heartbeat sent after the latest `Slots` of the session was answered: the engine knows the new demand. Never
    /// written for a session that runs twice. Without it a lowered demand is not checked.
    Heard { session: Uuid, asked: Micros, answered: Micros },
    /// A dialer has let go of a lease without a call: revoked, released, dropped, or forgotten with its process.
    Gone { lease: Uuid, at: Micros },
    /// A permit was asked for and given; `begun` is the engine's instant of it.
    Permitted {
        lease: Uuid,
        session: Uuid,
        nonce: Uuid,
        begun: Micros,
        dial_within_micros: i64,
        asked: Micros,
        answered: Micros,
    },
    /// A permit was refused, or no answer came (`reason` is empty).
    NotPermitted { lease: Uuid, nonce: Uuid, reason: String, asked: Micros, answered: Option<Micros> },
    /// An outcome was reported. `verdict` is the wire's name of it, none when no answer came.
    Reported { lease: Uuid, outcome: String, verdict: Option<String>, asked: Micros, answered: Option<Micros> },
    /// The engine's cap was set.
    EngineCap { cap: i32, asked: Micros, answered: Option<Micros> },
    /// A campaign's cap was set; none: no cap of its own.
    CampaignCap { campaign: Uuid, cap: Option<i32>, asked: Micros, answered: Option<Micros> },
    /// The engine's permits per second were limited; none: no limit.
    CallRate { per_second: Option<i32>, asked: Micros, answered: Option<Micros> },
    /// The engine's number rules were set; none: there are no rules.
    NumberRules { rules: Option<NumberRules>, asked: Micros, answered: Option<Micros> },
    /// A campaign was paused, or started.
    Running { campaign: Uuid, running: bool, asked: Micros, answered: Option<Micros> },
    /// A campaign was reset.
    Reset { campaign: Uuid, asked: Micros, answered: Option<Micros> },
    /// A number was suppressed, or is no more.
    Suppression { number: String, suppressed: bool, asked: Micros, answered: Option<Micros> },
    /// Leads were created; without an answer some of them may have been.
    Imported { campaign: Uuid, leads: i64, asked: Micros, answered: Option<Micros> },
    /// An operator handled a lead by hand; `answered` says that it is CONSUMED.
    Consumed { lead: Uuid, asked: Micros, answered: Option<Micros> },
    /// An operator revoked a lease.
    Revoked { lease: Uuid, asked: Micros, answered: Option<Micros> },
    /// A fault was injected: its kind, and what exactly.
    Fault { kind: String, what: String, at: Micros },
    /// The storm is over, and so is all that was under way: nothing happens from here on.
    Calm { at: Micros },
}
