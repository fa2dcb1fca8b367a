//! Owns lengths of time: "an hour and a half", "a couple of days", and what makes one a wait from now.

use super::cursor::Cursor;
use super::items::{Item, Span};
use super::tokens::Token;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Minute,
    Hour,
    Day,
    Week,
    Fortnight,
    /// Seconds, months and years: lengths, but none in the table.
    Other,
}

/// Whether a word names a unit of time.
pub fn is_unit(word: &str) -> bool {
    unit(word).is_some()
}

fn unit(word: &str) -> Option<Unit> {
    Some(match word {
        "minute" | "minutes" => Unit::Minute,
        "hour" | "hours" => Unit::Hour,
        "day" | "days" => Unit::Day,
        "week" | "weeks" => Unit::Week,
        "fortnight" | "fortnights" => Unit::Fortnight,
        "sec" | "secs" | "second" | "seconds" | "moment" | "month" | "months" | "year" | "years" => Unit::Other,
        _ => return None,
    })
}

/// `None` for a unit that the table does not have, and beyond any sense.
fn span(halves: u32, unit: Unit) -> Option<Span> {
    let (minutes, days) = match unit {
        Unit::Minute => (halves.checked_mul(1)? / 2, 0),
        Unit::Hour => (halves.checked_mul(30)?, 0),
        Unit::Day if halves.is_multiple_of(2) => (0, halves / 2),
        Unit::Week if halves.is_multiple_of(2) => (0, (halves / 2).checked_mul(7)?),
        Unit::Fortnight if halves.is_multiple_of(2) => (0, (halves / 2).checked_mul(14)?),
        _ => return None,
    };
    (minutes <= 60 * 24 * 31 && days <= 366 && minutes + days > 0).then_some(Span { minutes, days })
}

/// A length, or `Err` for one that is none of the table's, with the index behind it.
type Length = (Result<Span, ()>, usize);

/// A length that begins here.
fn length(cursor: Cursor<'_>, at: usize) -> Option<Length> {
    let (halves, unit_at) = quantity(cursor, at)?;
    let (halves, unit, mut next) = match halves {
        Quantity::Span(minutes, next) => return Some(more(cursor, Span { minutes, days: 0 }, next)),
        Quantity::Bad => (None, unit(cursor.word(unit_at))?, unit_at + 1),
        Quantity::Few => {
            let unit = unit(cursor.word(unit_at))?;
            ((unit == Unit::Hour).then_some(6), unit, unit_at + 1)
        }
        Quantity::Halves(halves) => (Some(halves), unit(cursor.word(unit_at))?, unit_at + 1),
    };
    let mut halves = halves;
    if let Some(behind) = and_a_half(cursor, next) {
        halves = halves.and_then(|halves| halves.checked_add(1));
        next = behind;
    }
    let Some(span) = halves.and_then(|halves| span(halves, unit)) else { return Some((Err(()), next)) };
    Some(more(cursor, span, next))
}

/// The index behind "and a half", or behind "and half".
fn and_a_half(cursor: Cursor<'_>, at: usize) -> Option<usize> {
    let short = || cursor.is(at, "and half").then_some(at + 2);
    cursor.is(at, "and a half").then_some(at + 3).or_else(short)
}

/// Hours can have minutes behind them: "1 hour 30 minutes", "an hour and a quarter".
fn more(cursor: Cursor<'_>, span: Span, at: usize) -> Length {
    let and = if cursor.word(at) == "and" { at + 1 } else { at };
    if and > at && cursor.is(and, "a quarter") && span.days == 0 && unit(cursor.word(and + 2)).is_none() {
        return (Ok(Span { minutes: span.minutes + 15, ..span }), and + 2);
    }
    if let (Some(number), Some(Unit::Minute)) = (cursor.number(and), unit(cursor.word(and + 1))) {
        let ok = span.days == 0 && span.minutes.is_multiple_of(60) && number.value < 60;
        return (ok.then_some(Span { minutes: span.minutes.saturating_add(number.value), ..span }).ok_or(()), and + 2);
    }
    // "an hour or two", "one hour two hours": two lengths.
    let second = if cursor.word(at) == "or" { at + 1 } else { at };
    if cursor.word(at) == "or" && (cursor.number(second).is_some() || quantity(cursor, second).is_some()) {
        let next = if unit(cursor.word(second + 1)).is_some() { second + 2 } else { second + 1 };
        return (Err(()), next);
    }
    (Ok(span), at)
}

enum Quantity {
    Halves(u32),
    Few,
    Bad,
    /// Minutes, with the unit already read.
    Span(u32, usize),
}

/// How many, with the index of the unit.
fn quantity(cursor: Cursor<'_>, at: usize) -> Option<(Quantity, usize)> {
    let article = |at: usize| if matches!(cursor.word(at), "a" | "an" | "another") { at + 1 } else { at };
    let of = |at: usize| if cursor.word(at) == "of" { at + 1 } else { at };
    let hour = |at: usize| unit(cursor.word(at)) == Some(Unit::Hour);
    let start = article(at);
    // "hour and a half from now".
    if hour(at) && and_a_half(cursor, at + 1).is_some() {
        return Some((Quantity::Halves(2), at));
    }
    let fraction = |minutes, hour_at: usize| hour(hour_at).then_some((Quantity::Span(minutes, hour_at + 1), hour_at));
    match cursor.word(start) {
        "half" => return fraction(30, article(of(start + 1))),
        "quarter" => return fraction(15, article(of(start + 1))),
        "couple" => return Some((Quantity::Halves(4), cursor.skip(of(start + 1), &["more"]))),
        "few" => return Some((Quantity::Few, cursor.skip(of(start + 1), &["more"]))),
        "several" | "many" | "some" if start == at && cursor.word(at + 1) != "day" => {
            return Some((Quantity::Bad, start + 1));
        }
        _ if start > at => return Some((Quantity::Halves(2), start)),
        _ => {}
    }
    if let Some(Token::Decimal(whole, tenth)) = cursor.token(at) {
        let halves = whole.checked_mul(2).filter(|_| *tenth == 5).and_then(|whole| whole.checked_add(1));
        return Some((halves.map_or(Quantity::Bad, Quantity::Halves), at + 1));
    }
    // "1530 hours" is a clock time.
    let minutes = unit(cursor.word(at + 1)) == Some(Unit::Minute);
    let number = cursor.number(at).filter(|number| number.value < 100 || minutes && number.value <= 600)?;
    if number.value == 3 && matches!(cursor.word(at + 1), "quarter" | "quarters") {
        return fraction(45, article(of(at + 2)));
    }
    if cursor.is(at + 1, "and a quarter") {
        return fraction(number.value * 60 + 15, at + 4);
    }
    let halves = number.value.checked_mul(2).map_or(Quantity::Bad, Quantity::Halves);
    if let Some(behind) = and_a_half(cursor, at + 1) {
        return Some((Quantity::Halves(number.value * 2 + 1), behind));
    }
    // "10 or 15 minutes", "2 to 3 hours": two lengths.
    let joined = matches!(cursor.word(at + 1), "or" | "to") || cursor.token(at + 1) == Some(&Token::Dash);
    if joined && cursor.number(at + 2).is_some() && unit(cursor.word(at + 3)).is_some() {
        return Some((Quantity::Bad, at + 3));
    }
    let is_small = number.digits == 0 && number.value < 13 && !number.zero;
    if cursor.number(at + 1).is_some() && unit(cursor.word(at + 2)).is_some() && is_small {
        return Some((Quantity::Bad, at + 2));
    }
    Some((halves, cursor.skip(at + 1, &["more", "odd", "full", "whole"])))
}

const VAGUELY: [&str; 12] = [
    "about",
    "around",
    "maybe",
    "like",
    "say",
    "another",
    "just",
    "exactly",
    "perhaps",
    "probably",
    "approximately",
    "only",
];

/// A wait from now, or a length that may be one.
pub fn item(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    let preposition = cursor.word(at);
    let is_wait = matches!(preposition, "in" | "after");
    let is_other = matches!(preposition, "within" | "for" | "during" | "until" | "till" | "by" | "before" | "since");
    let start = if is_wait || is_other { cursor.skip(at + 1, &VAGUELY) } else { at };
    let another = cursor.word_before(start) == "another" && unit(cursor.word(start)).is_some();
    let start = if another { start - 1 } else { start };
    if is_wait && (cursor.is(start, "the next") || cursor.word(start) == "next") {
        let inner = cursor.skip(start, &["the", "next"]);
        let (_, next) = length(cursor, inner)?;
        return Some((Item::Bad, next));
    }
    let (span, next) = length(cursor, start)?;
    let (next, from_now) = behind(cursor, next);
    if matches!(cursor.word(next), "ago" | "back") && cursor.word_before(next) != "call" && !from_now && !is_wait {
        return Some((Item::Past, next + 1));
    }
    // "20 minutes past 3" is a clock time.
    let clock = matches!(cursor.word(next), "past" | "to" | "till" | "before" | "after");
    if clock && !is_wait && cursor.number(next + 1).is_some() && span.is_ok_and(|span| span.minutes < 60) {
        return None;
    }
    // "two hours after lunch": no instant to count from.
    if matches!(cursor.word(next), "before" | "past" | "into") || (cursor.word(next) == "after" && !from_now) {
        return Some((Item::Bad, next + 1));
    }
    Some((meant(cursor, at, span, (is_wait || from_now, is_other)), next))
}

fn meant(cursor: Cursor<'_>, at: usize, span: Result<Span, ()>, (is_wait, is_other): (bool, bool)) -> Item {
    let before = cursor.word_before(at);
    let given = before == "wait" || (before == "me" && at >= 2 && cursor.word_before(at - 1) == "give");
    match span {
        Ok(span) if is_wait => Item::Span(span),
        // "give me a minute" only asks to hold the line.
        Ok(span) if given && !is_other && span.minutes != 1 => Item::Span(span),
        Ok(span) if before == "wait" && cursor.word(at) == "for" && span.minutes != 1 => Item::Span(span),
        Ok(span) => Item::BareSpan(if is_other { Span { minutes: 0, days: 0 } } else { span }),
        Err(()) if is_wait => Item::Bad,
        Err(()) => Item::BareSpan(Span { minutes: 0, days: 0 }),
    }
}

/// "or so", "'s time", "from now".
fn behind(cursor: Cursor<'_>, at: usize) -> (usize, bool) {
    let mut next = if cursor.word(at) == "s" { at + 1 } else { at };
    if cursor.is(next, "or so") {
        next += 2;
    }
    if cursor.word(next) == "time" {
        next += 1;
    }
    if cursor.is(next, "from now") || cursor.is(next, "from today") {
        return (next + 2, true);
    }
    match cursor.word(next) {
        "later" | "hence" => (next + 1, true),
        _ => (next, false),
    }
}
