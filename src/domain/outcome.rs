//! What came of an attempt, and how outcomes of one attempt rank. Owns no lead state: see `lead`.

use serde::{Deserialize, Serialize};

/// What came of an attempt. The discriminants are the codes of the proto and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(i16)]
pub enum Outcome {
    /// Interested.
    IntentYes = 1,
    /// Refused.
    IntentNo = 2,
    /// Asked to be called back at an instant.
    CallbackRequested = 3,
    /// Asked never to be called again.
    DoNotCall = 4,
    /// Nobody picked up.
    NoAnswer = 5,
    /// A machine picked up.
    Voicemail = 6,
    /// The line was busy.
    Busy = 7,
    /// The person picked up and nobody was there to talk.
    Abandoned = 8,
    /// Technical failure.
    Failed = 9,
    /// The number does not exist.
    InvalidNumber = 10,
    /// The provider refused before anything rang.
    NotPlaced = 11,
    /// A permit was given, then silence. Said only by the engine.
    Unknown = 12,
}

impl Outcome {
    /// Every outcome, in the order of the codes.
    pub const ALL: [Outcome; 12] = [
        Outcome::IntentYes,
        Outcome::IntentNo,
        Outcome::CallbackRequested,
        Outcome::DoNotCall,
        Outcome::NoAnswer,
        Outcome::Voicemail,
        Outcome::Busy,
        Outcome::Abandoned,
        Outcome::Failed,
        Outcome::InvalidNumber,
        Outcome::NotPlaced,
        Outcome::Unknown,
    ];

    /// The code of the proto and of the database.
    pub fn code(self) -> i16 {
        self as i16
    }

    /// The outcome with this code.
    pub fn from_code(code: i16) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| outcome.code() == code)
    }

    /// Precedence within one attempt: a later, different report wins only if it ranks higher.
    pub fn rank(self) -> u8 {
        match self {
            Outcome::IntentYes => 4,
            Outcome::IntentNo | Outcome::DoNotCall => 3,
            Outcome::CallbackRequested => 2,
            Outcome::Unknown => 0,
            _ => 1,
        }
    }

    /// Somebody was talked to, so the outcome outlives attempts that came to nothing.
    pub fn is_conversation(self) -> bool {
        self.rank() >= 2
    }

    /// Whether the attempt spends the budget. NOT_PLACED never rang.
    pub fn counts(self) -> bool {
        self != Outcome::NotPlaced
    }
}

impl std::fmt::Display for Outcome {
    /// The name that stands in the proto and the docs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Outcome::IntentYes => "INTENT_YES",
            Outcome::IntentNo => "INTENT_NO",
            Outcome::CallbackRequested => "CALLBACK_REQUESTED",
            Outcome::DoNotCall => "DO_NOT_CALL",
            Outcome::NoAnswer => "NO_ANSWER",
            Outcome::Voicemail => "VOICEMAIL",
            Outcome::Busy => "BUSY",
            Outcome::Abandoned => "ABANDONED",
            Outcome::Failed => "FAILED",
            Outcome::InvalidNumber => "INVALID_NUMBER",
            Outcome::NotPlaced => "NOT_PLACED",
            Outcome::Unknown => "UNKNOWN",
        })
    }
}
