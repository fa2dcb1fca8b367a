//! From the wire to values that cannot be wrong, and the bounds of the API. One function per kind of value.

use std::{ops::RangeInclusive, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use prost::Message;
use tonic::Request;
use uuid::Uuid;

use super::status::Violations;
use crate::{
    domain::{campaign::CALLS_PER_SECOND, phone_number::PhoneNumber},
    engine::{audit::Asked, callbacks},
    store::{leads::Variables, requests::RequestKey},
};

/// Characters of a name.
pub const NAME_MAX: usize = 200;
/// Characters of a user's or a provider's key, and of a reason.
pub const KEY_MAX: usize = 200;
/// Items of a batch.
pub const BATCH_MAX: usize = 1000;
/// Numbers of a batch.
pub const NUMBERS_MAX: usize = 10_000;
/// Leads of a chunk.
pub const LEADS_MAX: usize = 5000;
/// How far ahead a callback may be promised.
pub const CALLBACK_AHEAD_MAX: TimeDelta = callbacks::AHEAD_MAX;
/// How far ahead of us a dialer's clock may be.
pub const CLOCK_AHEAD_MAX: TimeDelta = TimeDelta::days(1);
/// Leads on a page.
pub const PAGE_MAX: i32 = 1000;
const PAGE_DEFAULT: i32 = 100;
const VARIABLES_MAX: usize = 64;
const VARIABLE_KEY_MAX: usize = 64;
const VARIABLE_VALUE_MAX: usize = 1024;
const VARIABLES_BYTES_MAX: usize = 8192;

/// A required UUID.
pub fn id(text: &str, field: &str, bad: &mut Violations) -> Uuid {
    match Uuid::try_parse(text) {
        Ok(id) if !id.is_nil() => id,
        _ if text.is_empty() => bad.none(field, "is required").unwrap_or_default(),
        _ => bad.none(field, "must be a UUID").unwrap_or_default(),
    }
}

/// An optional UUID.
pub fn optional_id(text: &str, field: &str, bad: &mut Violations) -> Option<Uuid> {
    if text.is_empty() { None } else { Some(id(text, field, bad)) }
}

/// UUIDs of a batch: `1..=max`, no repetition.
pub fn ids(texts: &[String], field: &str, max: usize, bad: &mut Violations) -> Vec<Uuid> {
    size(texts.len(), max, field, bad);
    let mut seen = std::collections::HashSet::new();
    let mut ids = Vec::with_capacity(texts.len().min(max));
    for (index, text) in texts.iter().take(max).enumerate() {
        let one = id(text, &format!("{field}[{index}]"), bad);
        if !one.is_nil() && !seen.insert(one) {
            bad.add(format!("{field}[{index}]"), "is repeated");
        }
        ids.push(one);
    }
    ids
}

/// The size of a batch: `1..=max`.
pub fn size(len: usize, max: usize, field: &str, bad: &mut Violations) {
    if len == 0 {
        bad.add(field, "must not be empty");
    } else if len > max {
        bad.add(field, format!("must have at most {max} items"));
    }
}

/// Text of `min..=max` characters.
pub fn text(value: &str, range: RangeInclusive<usize>, field: &str, bad: &mut Violations) -> String {
    // Bytes first: a megabyte is not counted.
    let long = value.len() > range.end() * 4 || value.chars().count() > *range.end();
    if long {
        bad.add(field, format!("must have at most {} characters", range.end()));
    } else if value.chars().count() < *range.start() {
        bad.add(field, "must not be empty");
    } else if value.contains('\0') {
        bad.add(field, "must not contain NUL");
    }
    if long { String::new() } else { value.to_owned() }
}

/// The beginning of a word that a message quotes.
pub fn shortened(word: &str) -> String {
    word.chars().filter(|c| c.is_ascii_graphic()).take(40).collect()
}

/// One of two ways to name what is meant: a list, or a filter with at least one condition. `true`: by the filter.
pub fn by_filter(listed: bool, filter: Option<bool>, list: &str, bad: &mut Violations) -> bool {
    match filter {
        Some(_) if listed => bad.add("filter", format!("must not stand beside {list}")),
        Some(false) => bad.add("filter", "must have at least one condition"),
        _ => {}
    }
    filter.is_some()
}

/// Text that may be absent.
pub fn optional_text(value: &str, max: usize, field: &str, bad: &mut Violations) -> Option<String> {
    let value = text(value, 0..=max, field, bad);
    (!value.is_empty()).then_some(value)
}

/// An enum of the wire by its code: known and specified.
pub fn code<T>(value: i32, known: impl Fn(i16) -> Option<T>, field: &str, bad: &mut Violations) -> Option<T> {
    match i16::try_from(value).ok().filter(|code| *code != 0) {
        None if value == 0 => bad.none(field, "must be specified"),
        code => code.and_then(known).or_else(|| bad.none(field, "is not a known value")),
    }
}

/// An enum of the wire where unspecified means any.
pub fn optional_code<T>(value: i32, known: impl Fn(i16) -> Option<T>, field: &str, bad: &mut Violations) -> Option<T> {
    if value == 0 { None } else { code(value, known, field, bad) }
}

/// A number inside its bounds.
pub fn number(value: i32, range: &RangeInclusive<i32>, field: &str, bad: &mut Violations) -> i32 {
    if !range.contains(&value) {
        bad.add(field, format!("must be {} to {}", range.start(), range.end()));
    }
    value
}

/// Calls per second; 0 is no limit.
pub fn call_rate(value: Option<f64>, field: &str, bad: &mut Violations) -> Option<f64> {
    let limited = value.filter(|rate| *rate != 0.0);
    if limited.is_some_and(|rate| !CALLS_PER_SECOND.contains(&rate)) {
        let (least, most) = (CALLS_PER_SECOND.start(), CALLS_PER_SECOND.end());
        return bad.none(field, format!("must be {least} to {most}, or 0 for no limit"));
    }
    limited
}

/// A duration that is not negative, inside its bounds.
pub fn duration(
    value: prost_types::Duration,
    range: &RangeInclusive<Duration>,
    field: &str,
    bad: &mut Violations,
) -> Option<Duration> {
    match Duration::try_from(value) {
        Ok(duration) if range.contains(&duration) => Some(duration),
        Ok(_) => bad.none(field, format!("must be {:?} to {:?}", range.start(), range.end())),
        Err(_) => bad.none(field, "must not be negative"),
    }
}

/// An instant that the calendar knows.
pub fn instant(value: prost_types::Timestamp, field: &str, bad: &mut Violations) -> Option<DateTime<Utc>> {
    let nanos = u32::try_from(value.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let at = nanos.and_then(|nanos| DateTime::from_timestamp(value.seconds, nanos));
    let year = |at: &DateTime<Utc>| (1..=9999).contains(&chrono::Datelike::year(at));
    // PostgreSQL keeps microseconds: what is compared later is what was kept.
    at.filter(year)
        .map(|at| at - TimeDelta::nanoseconds(i64::from(at.timestamp_subsec_nanos() % 1000)))
        .or_else(|| bad.none(field, "is not a valid timestamp"))
}

/// When something was said, if that is told.
pub fn heard_at(
    value: Option<prost_types::Timestamp>,
    now: DateTime<Utc>,
    field: &str,
    bad: &mut Violations,
) -> Option<DateTime<Utc>> {
    let at = value.and_then(|at| instant(at, field, bad))?;
    if at - now > CLOCK_AHEAD_MAX { bad.none(field, "must be at most a day ahead") } else { Some(at) }
}

/// An instant for the wire.
pub fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.timestamp(), nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or(0) }
}

/// A duration for the wire; the bounds of all of ours fit.
pub fn wire_duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration::try_from(duration).unwrap_or_default()
}

/// Milliseconds for the wire.
pub fn wire_ms(ms: i32) -> prost_types::Duration {
    wire_duration(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

/// Variables or metadata inside their bounds.
pub fn variables(map: Variables, field: &str, bad: &mut Violations) -> Variables {
    if let Some(rule) = variables_rule(&map) {
        bad.add(field, rule);
    }
    map
}

/// The rule that variables break, if any.
pub fn variables_rule(map: &Variables) -> Option<&'static str> {
    let bytes: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
    if map.len() > VARIABLES_MAX {
        Some("must have at most 64 entries")
    } else if bytes > VARIABLES_BYTES_MAX {
        Some("must have at most 8,192 bytes in all")
    } else if map.keys().any(|key| key.is_empty() || key.chars().count() > VARIABLE_KEY_MAX) {
        Some("keys must have 1 to 64 characters")
    } else if map.values().any(|value| value.chars().count() > VARIABLE_VALUE_MAX) {
        Some("values must have at most 1,024 characters")
    } else if map.iter().any(|(key, value)| key.contains('\0') || value.contains('\0')) {
        Some("must not contain NUL")
    } else {
        None
    }
}

/// International numbers of a batch.
pub fn numbers(texts: &[String], field: &str, bad: &mut Violations) -> Vec<PhoneNumber> {
    size(texts.len(), NUMBERS_MAX, field, bad);
    texts
        .iter()
        .take(NUMBERS_MAX)
        .enumerate()
        .filter_map(|(index, text)| {
            PhoneNumber::parse(text, None).map_err(|error| bad.add(format!("{field}[{index}]"), error.to_string())).ok()
        })
        .collect()
}

/// The size of a page.
pub fn page_size(value: i32, bad: &mut Violations) -> i64 {
    if value == 0 { i64::from(PAGE_DEFAULT) } else { i64::from(number(value, &(1..=PAGE_MAX), "page_size", bad)) }
}

/// Where a page begins: opaque to clients, text parts to us.
pub fn page_token<T>(token: &str, parse: impl Fn(&str) -> Option<T>, bad: &mut Violations) -> Option<T> {
    if token.is_empty() { None } else { parse(token).or_else(|| bad.none("page_token", "was not given by this call")) }
}

/// Who sent a request.
pub struct Actor(String);

/// A request, and the address of who sent it.
pub fn actor<M>(request: Request<M>) -> (Actor, M) {
    let address = request.remote_addr().map_or_else(|| "local".to_owned(), |address| address.ip().to_string());
    (Actor(address), request.into_inner())
}

impl Actor {
    /// A change that this request asks for. It is named by its request_id and a digest of the rest of it.
    pub fn asks<M: Message + Clone>(
        self,
        method: &'static str,
        request: &M,
        request_id: impl Fn(&mut M) -> &mut String,
        bad: &mut Violations,
    ) -> Asked {
        let mut rest = request.clone();
        let text = std::mem::take(request_id(&mut rest));
        let key = optional_id(&text, "request_id", bad).map(|id| RequestKey { id, method, fingerprint: digest(&rest) });
        Asked { actor: self.0, method, key }
    }

    /// A change that this request asks for, named by its place in a stream.
    pub fn asks_at<M: Message>(&self, place: Uuid, method: &'static str, request: &M) -> Asked {
        let key = RequestKey { id: place, method, fingerprint: digest(request) };
        Asked { actor: self.0.clone(), method, key: Some(key) }
    }
}

fn digest(request: &impl Message) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &request.encode_to_vec())
}

/// An etag as given out.
pub fn etag(text: &str, field: &str, bad: &mut Violations) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    text.parse().ok().or_else(|| bad.none(field, "was not given by this service"))
}
