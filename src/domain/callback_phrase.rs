//! Owns what a person means who says when to be called again: from a phrase, as heard, to an interval of time.
//!
//! The rules are those of `docs/CALLBACK_PHRASES.md`. A guess is worse than a refusal: a time counts only if the
//! phrase offers it for the call, and every word that could be about time is understood.
//!
//! A phrase goes through tokens (words, numbers), elements (times and other words), clauses, offers and the resolver.

use chrono::{DateTime, Utc};

use crate::domain::time_zone::TimeZone;

mod choice;
mod clauses;
mod clocks;
mod cursor;
mod days;
mod durations;
mod grammar;
mod halves;
mod items;
mod lexicon;
mod negation;
mod numbers;
mod offers;
mod opt_out;
mod requests;
mod resolver;
mod set_phrases;
mod spelling;
mod tokens;
mod verdicts;

pub use choice::choose_instant;

/// Longest phrase that is read, in characters; longer ones are not understood.
pub const PHRASE_CHARS_MAX: usize = 1_000;

/// What a phrase says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// When to call.
    Callback(Interval),
    /// The person asks for no more calls.
    OptOut,
    /// Everything else.
    NotUnderstood,
}

impl Reading {
    /// The kind's name in the protocol and on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Callback(_) => "CALLBACK",
            Self::OptOut => "OPT_OUT",
            Self::NotUnderstood => "NOT_UNDERSTOOD",
        }
    }
}

/// When to call: from `earliest`, included, to `latest`, excluded. Never in the past: `now <= earliest < latest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The first instant.
    pub earliest: DateTime<Utc>,
    /// The first instant that is too late.
    pub latest: DateTime<Utc>,
    /// How exactly the time was said.
    pub grain: Grain,
    /// The instant meant, within the interval: t of "around t", an hour before t of "by t", else `earliest`.
    pub preferred: DateTime<Utc>,
}

/// How exactly a time was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// A clock time or a wait.
    Minute,
    /// "later".
    Hour,
    /// A part of a day.
    Daypart,
    /// A day, or a weekend.
    Day,
    /// A week.
    Week,
}

impl Grain {
    /// The name in the protocol and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "MINUTE",
            Self::Hour => "HOUR",
            Self::Daypart => "DAYPART",
            Self::Day => "DAY",
            Self::Week => "WEEK",
        }
    }
}

/// Reads a phrase said at `now` by a person whose clock is the zone's. Never fails: what is not understood is a reading
/// too.
pub fn parse(phrase: &str, now: DateTime<Utc>, zone: &TimeZone) -> Reading {
    if phrase.chars().nth(PHRASE_CHARS_MAX).is_some() {
        return Reading::NotUnderstood;
    }
    let tokens = tokens::tokens(phrase);
    let opt_out = opt_out::read(&tokens);
    if opt_out == opt_out::OptOut::Yes {
        return Reading::OptOut;
    }
    let clauses = clauses::split(grammar::elements(&tokens));
    let offers = offers::collect(&clauses);
    match resolver::resolve(&offers, now, zone) {
        Some(interval) => Reading::Callback(interval),
        None if opt_out == opt_out::OptOut::UnlessOffered => Reading::OptOut,
        None => Reading::NotUnderstood,
    }
}

#[cfg(test)]
mod tests;
