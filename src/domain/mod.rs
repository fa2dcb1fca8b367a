//! What is true: the rules of calling as pure functions. No async, no I/O, no clock, no logging.

pub mod callability;
pub mod callback_phrase;
pub mod calling_calendar;
pub mod calling_hours;
pub mod calling_span;
pub mod campaign;
pub mod fair_share;
pub mod holidays;
pub mod hour_presets;
pub mod ids;
pub mod lead;
pub mod lead_zones;
pub mod number_rules;
pub mod outcome;
pub mod phone_number;
pub mod promise;
pub mod retry_policy;
pub mod settings;
pub mod time_zone;
