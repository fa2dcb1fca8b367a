//! Owns clock times: "half past three", "17:30", "1530 hours", "around 5", "between 2 and 4".

use super::cursor::Cursor;
use super::items::{Bound, Clock, Item, When};
use super::lexicon;
use super::tokens::{Number, Token};

/// A clock time that begins at an index.
struct Found {
    clock: Clock,
    next: usize,
    /// Only a number: a time if its neighbours allow it.
    bare: bool,
    around: bool,
}

/// A clock face, or `Err` for one that does not exist.
type Face = Result<Clock, ()>;

fn exact(hour: u32, minute: u32) -> Face {
    if hour <= 23 && minute <= 59 { Ok(Clock { hour, minute, plain: false }) } else { Err(()) }
}

/// Hours as said: 1 to 12 are plain, larger ones stand as they are.
fn said(hour: u32, minute: u32, zero: bool) -> Face {
    if zero || hour == 0 || hour > 12 {
        return exact(hour, minute);
    }
    if minute <= 59 { Ok(Clock { hour, minute, plain: true }) } else { Err(()) }
}

/// Takes in "am" or "pm".
fn marked(face: Face, mark: &str) -> Face {
    let clock = face?;
    match (mark, clock.plain) {
        ("am", true) => exact(clock.hour % 12, clock.minute),
        ("pm", true) => exact(clock.hour % 12 + 12, clock.minute),
        // "17:30 pm" is said twice; "17:30 am" does not exist.
        // "07:30 pm".
        ("pm", false) if (1..=12).contains(&clock.hour) => exact(clock.hour % 12 + 12, clock.minute),
        ("pm", false) if (13..=23).contains(&clock.hour) => Ok(clock),
        ("am", false) if clock.hour < 12 => Ok(clock),
        _ => Err(()),
    }
}

/// "oclock", "hours", "am", "ish" and the like behind a time.
fn behind(cursor: Cursor<'_>, mut found: Found, face: Face) -> (Face, Found) {
    let (mut face, mut is_marked) = (face, false);
    loop {
        match cursor.word(found.next) {
            "oclock" => {
                found.bare = false;
                // "0 o'clock" to "12 o'clock", and what a 24-hour clock shows.
                found.next += 1;
            }
            mark @ ("am" | "pm") => {
                // "13 pm" does not exist; "13:30 pm" is said twice.
                if found.bare && face.is_ok_and(|clock| !clock.plain && clock.hour > 12) {
                    face = Err(());
                }
                // "5 am pm" reads two ways.
                face = if is_marked { Err(()) } else { marked(face, mark) };
                is_marked = true;
                found.bare = false;
                found.next += 1;
            }
            "ish" => {
                (found.around, found.next) = (true, found.next + 1);
            }
            "or" if matches!(cursor.word(found.next + 1), "so" | "thereabouts") => {
                (found.around, found.next) = (true, found.next + 2);
            }
            _ => return (face, found),
        }
    }
}

fn is_minutes(cursor: Cursor<'_>, at: usize) -> bool {
    matches!(cursor.word(at), "minute" | "minutes")
}

/// An hour behind "past" or "to".
fn hour(cursor: Cursor<'_>, at: usize) -> Option<(u32, usize)> {
    match cursor.number(at) {
        Some(Number { value: hour @ 1..=12, .. }) => Some((hour, at + 1)),
        _ => matches!(cursor.word(at), "noon" | "midnight").then_some((12, at + 1)),
    }
}

/// "half past three", "quarter to six", "ten past two", "half two".
fn spoken(cursor: Cursor<'_>, at: usize) -> Option<(Face, usize)> {
    let start = if matches!(cursor.word(at), "a" | "the") { at + 1 } else { at };
    let (minutes, mark) = match (cursor.word(start), cursor.number(start)) {
        ("half", _) => {
            let past = if matches!(cursor.word(start + 1), "past" | "after") { start + 2 } else { start + 1 };
            let (hour, next) = hour(cursor, past)?;
            let is_length = super::durations::is_unit(cursor.word(next)) || cursor.word(next) == "percent";
            return (!is_length).then_some((said(hour, 30, false), next));
        }
        ("quarter", _) => (15, start + 1),
        (_, Some(number)) if is_minutes(cursor, start + 1) && number.value < 60 => (number.value, start + 2),
        // "fifteen to seven"; "15 to 19" is a range. "30 past".
        (_, Some(Number { value: 15, digits: 0, .. })) => (15, start + 1),
        (_, Some(Number { value: 30, .. })) if cursor.word(start + 1) == "past" => (30, start + 1),
        (_, Some(Number { value: minutes @ (5 | 10 | 20 | 25), .. })) => (minutes, start + 1),
        _ => return None,
    };
    let past = match cursor.word(mark) {
        "past" | "after" => true,
        "to" | "till" => false,
        "of" if cursor.word(start) == "quarter" => false,
        "before" if mark > start + 1 || cursor.word(start) == "quarter" => false,
        _ => return None,
    };
    let (hour, next) = hour(cursor, mark + 1)?;
    let face = match (past, hour) {
        (true, hour) => said(hour, minutes, false),
        (false, 1) => said(12, 60 - minutes, false),
        (false, hour) => said(hour - 1, 60 - minutes, false),
    };
    Some((face, next))
}

/// "five", "five thirty", "seventeen hundred hours", "1530".
fn numbers(cursor: Cursor<'_>, at: usize) -> Option<(Face, Found)> {
    let number = cursor.number(at)?;
    let found = |next, bare| Found { clock: Clock { hour: 0, minute: 0, plain: false }, next, bare, around: false };
    let hours = |at: usize| cursor.word(at) == "hours";
    if number.value >= 100 || (number.zero && number.digits == 4) {
        let year = (2000..2100).contains(&number.value) && cursor.word_before(at) == "in";
        if number.digits > 4 || number.value > 2400 || year {
            return None;
        }
        let (hour, minute) = (number.value / 100, number.value % 100);
        let is_military = hours(at + 1);
        let spoken_hundred = number.digits == 0;
        let face = if is_military { exact(hour, minute) } else { said(hour, minute, number.zero) };
        // "five hundred" alone is an amount.
        if spoken_hundred && !is_military && hour < 10 && !number.zero {
            return None;
        }
        return Some((face, found(if is_military { at + 2 } else { at + 1 }, !is_military)));
    }
    if let Some(minute) = cursor.number(at + 1) {
        let two = minute.zero || (10..=59).contains(&minute.value);
        let free = cursor.number(at + 2).is_none() && !super::durations::is_unit(cursor.word(at + 2));
        let military = hours(at + 2);
        if two && number.value <= 23 && minute.value <= 59 && (free || military) {
            let zero = number.zero || military;
            return Some((said(number.value, minute.value, zero), found(at + 2 + usize::from(military), true)));
        }
    }
    if hours(at + 1) && (13..=23).contains(&number.value) && cursor.word_before(at) == "at" {
        return Some((exact(number.value, 0), found(at + 2, false)));
    }
    Some((said(number.value, 0, number.zero && number.digits == 2), found(at + 1, true)))
}

/// A clock time without a preposition.
fn clock(cursor: Cursor<'_>, at: usize) -> Option<Result<Found, usize>> {
    let found = |next, bare| Found { clock: Clock { hour: 0, minute: 0, plain: false }, next, bare, around: false };
    let (face, found) = if let Some((face, next)) = spoken(cursor, at) {
        (face, found(next, false))
    } else if let Some(&Token::Face { hour, minute, zero }) = cursor.token(at) {
        let hours = cursor.word(at + 1) == "hours";
        (said(hour, minute, zero || hours), found(at + 1 + usize::from(hours), false))
    } else if cursor.word(at) == "midnight" {
        (Ok(Clock { hour: 24, minute: 0, plain: false }), found(at + 1, false))
    } else {
        numbers(cursor, at)?
    };
    let twelve = cursor.number(at).is_some_and(|number| number.value == 12) && found.next == at + 1;
    if twelve && matches!(cursor.word(found.next), "noon" | "midnight") {
        let hour = if cursor.word(found.next) == "noon" { 12 } else { 24 };
        let clock = Clock { hour, minute: 0, plain: false };
        return Some(Ok(Found { clock, next: found.next + 1, bare: false, around: false }));
    }
    let (face, found) = behind(cursor, found, face);
    Some(face.map(|clock| Found { clock, ..found }).map_err(|()| found.next))
}

/// Noon beside a preposition is a clock time.
fn noon_or_clock(cursor: Cursor<'_>, at: usize) -> Option<Result<Found, usize>> {
    if cursor.word(at) == "noon" {
        let clock = Clock { hour: 12, minute: 0, plain: false };
        return Some(Ok(Found { clock, next: at + 1, bare: false, around: false }));
    }
    clock(cursor, at)
}

const APPROXIMATELY: [&str; 3] = ["around", "about", "near"];
const AT: [&str; 12] =
    ["at", "say", "maybe", "perhaps", "probably", "like", "exactly", "just", "well", "soon", "shortly", "precisely"];

/// The preposition before a time: its bound, whether "around" was said, and where the time begins.
fn bound(cursor: Cursor<'_>, at: usize) -> (Option<Bound>, bool, usize) {
    let (mut bound, mut around, mut next) = (None, false, at);
    loop {
        let word = cursor.word(next);
        match word {
            word if APPROXIMATELY.contains(&word) => around = true,
            // "at like five", but "I'd like five".
            "like" if next == at => return (bound, around, next),
            word if AT.contains(&word) => bound = bound.or(Some(Bound::At)),
            "by" | "latest" => bound = Some(Bound::By),
            "earliest" => bound = Some(Bound::After),
            "before" => bound = Some(Bound::Before),
            "after" | "post" | "past" if bound == Some(Bound::Until) => {}
            "after" | "post" | "past" => bound = Some(Bound::After),
            "until" | "till" => bound = Some(Bound::Until),
            _ => return (bound, around, next),
        }
        next += 1;
    }
}

/// A range, a bound clock time or a bare one.
pub fn item(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    if let Some(found) = range(cursor, at) {
        return Some(found);
    }
    // "I am around at 5".
    let present = cursor.word(at) == "around" && matches!(cursor.word_before(at), "am" | "be" | "are");
    if present && matches!(cursor.word(at + 1), "at" | "after" | "by" | "from" | "until" | "till" | "before") {
        return None;
    }
    let (bound, around, start) = bound(cursor, at);
    let from = start == at && matches!(cursor.word(at), "from" | "onward");
    let start = if from { super::clocks::bound(cursor, at + 1).2 } else { start };
    // Only the words of a preposition begin a time; "say" and "time" alone do not.
    let found = match if start > at { noon_or_clock(cursor, start) } else { clock(cursor, at) }? {
        Ok(found) => found,
        Err(next) => return Some((Item::Bad, next)),
    };
    // "in 5", "give me 10" may be minutes.
    let given = cursor.word_before(at) == "me" && cursor.word_before(at - 1) == "give";
    if found.bare && start == at && (cursor.word_before(at) == "in" || given) {
        return None;
    }
    if found.bare && !bare_is_time(cursor, at, found.next) {
        return None;
    }
    let noon_part = cursor.word(start) == "noon" && matches!(bound, None | Some(Bound::At));
    if noon_part && !from {
        return None;
    }
    let bound = if from { Bound::After } else { bound.unwrap_or(Bound::At) };
    let bound = if (around || found.around) && bound == Bound::At { Bound::Around } else { bound };
    let (bound, next) = trailing(cursor, bound, found.next);
    Some((Item::When(When::Clock(bound, found.clock)), next))
}

/// "or later", "at the latest".
fn trailing(cursor: Cursor<'_>, bound: Bound, at: usize) -> (Bound, usize) {
    // "5 or after 6", "by 6 or later" are choices.
    let choice = matches!(cursor.token(at + 2), Some(Token::Number(_) | Token::Face { .. }))
        || !matches!(bound, Bound::At | Bound::Around | Bound::After);
    if !choice && cursor.word(at) == "or" && matches!(cursor.word(at + 1), "later" | "after" | "onward") {
        return (Bound::After, at + 2);
    }
    let earlier = cursor.number(at + 2).is_none() && bound != Bound::After;
    if earlier && cursor.word(at) == "or" && matches!(cursor.word(at + 1), "earlier" | "before" | "sooner") {
        return (Bound::By, at + 2);
    }
    let and = if matches!(cursor.word(at), "and" | "the") { at + 1 } else { at };
    match cursor.word(and) {
        "onward" | "earliest" => (Bound::After, and + 1),
        "latest" => (Bound::By, and + 1),
        _ => (bound, at),
    }
}

/// A bare number is a time only among words that we know: "5 kids" is none.
fn bare_is_time(cursor: Cursor<'_>, at: usize, next: usize) -> bool {
    let known = |token: Option<&Token>| match token {
        None | Some(Token::Comma | Token::Stop) => true,
        Some(Token::Word(word)) => lexicon::is_known(word),
        Some(Token::Ordinal(_)) => true,
        Some(_) => false,
    };
    let strong = matches!(
        cursor.word(at),
        "at" | "around" | "by" | "after" | "before" | "till" | "until" | "post" | "between" | "from"
    );
    let before = at.checked_sub(1).and_then(|at| cursor.token(at));
    let currency = cursor.word_before(at) == "currency" || cursor.word_before(at) == "number";
    // "call 911" is no 9:11.
    let dialled = cursor.number(at).is_some_and(|number| number.digits > 2)
        && lexicon::CALL_VERBS.contains(cursor.word_before(at));
    // "two of us", "five to".
    let to_call = cursor.word(next) == "to" && lexicon::is_call_verb(cursor.word(next + 1));
    let some_of = matches!(cursor.word(next), "of" | "to" | "past" | "till") && !to_call;
    let followed = known(cursor.token(next)) || named(cursor, at, next);
    !currency && !dialled && !some_of && followed && (strong || known(before))
}

/// "call me at 5 Raj": an unknown word ends the sentence, and counts nothing.
fn named(cursor: Cursor<'_>, at: usize, next: usize) -> bool {
    let word = cursor.word(next);
    let asked = (at.saturating_sub(3)..at).any(|at| lexicon::is_call_verb(cursor.word(at)));
    let ends = matches!(cursor.token(next + 1), None | Some(Token::Comma | Token::Stop));
    let counts = word.ends_with('s') || super::durations::is_unit(word) || word == "percent";
    cursor.word(at) == "at" && asked && ends && !word.is_empty() && !counts
}

/// "between 2 and 4", "from 10 to 11:30", "2 to 4", "5-6 pm".
fn range(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    let opening = cursor.skip(at, &["any", "time", "sometime", "at"]);
    let word = cursor.word(opening);
    let opened = matches!(word, "between" | "from") || cursor.is(opening, "in between");
    let start = match word {
        "in" if opened => opening + 2,
        _ if opened => opening + 1,
        _ => opening,
    };
    let start = if opened { cursor.skip(start, &["around", "about", "at"]) } else { start };
    let first = range_end(cursor, start, opened)?;
    let (first, joint) = (first.as_ref().ok(), first.as_ref().map_or_else(|next| *next, |found| found.next));
    let is_joint = match cursor.token(joint) {
        Some(Token::Dash) => true,
        Some(Token::Word(word)) => match word.as_str() {
            "to" | "till" | "until" | "through" => word != "until" || opened,
            "and" => opened && cursor.word(opening) != "from",
            _ => false,
        },
        _ => false,
    };
    if !is_joint {
        return None;
    }
    let second_at = cursor.skip(joint + 1, &["around", "about", "at"]);
    let second = range_end(cursor, second_at, true)?;
    let (Some(first), Ok(second)) = (first, second.as_ref()) else {
        return Some((Item::Bad, second.map_or_else(|next| next, |found| found.next)));
    };
    let bare = first.bare && second.bare;
    if (bare && !bare_is_time(cursor, at, second.next)) || (second.bare && !follows(cursor, second.next)) {
        return None;
    }
    Some((Item::When(When::Range(first.clock, second.clock)), second.next))
}

fn follows(cursor: Cursor<'_>, at: usize) -> bool {
    match cursor.token(at) {
        Some(Token::Word(word)) => lexicon::is_known(word),
        Some(Token::Number(_)) => false,
        _ => true,
    }
}

/// One end of a range. "ten to five" is ten minutes before five unless a range was opened.
fn range_end(cursor: Cursor<'_>, at: usize, opened: bool) -> Option<Result<Found, usize>> {
    let number = cursor.number(at);
    let joint = matches!(cursor.word(at + 1), "to" | "till");
    let minutes = matches!(number, Some(Number { value: 5 | 10 | 20 | 25, .. })) && joint;
    if minutes {
        let (first, second) = (number?, cursor.number(at + 2));
        let preposition = matches!(cursor.word_before(at), "at" | "around" | "about" | "by" | "after" | "before");
        let hours = second.map_or(0, |second| (second.value % 12 + 12 - first.value % 12) % 12);
        // "ten to two in the morning": ten and two are not both in it.
        let part = cursor.is(at + 3, "in the") || cursor.is(at + 3, "at night");
        let one_part = part && first.digits == 0 && second.is_some_and(|second| second.value < first.value);
        let is_range =
            opened || (!preposition && !one_part && first.value <= 12 && hours > 0 && (hours <= 4 || first.digits > 0));
        if !is_range {
            return None;
        }
        let face = said(first.value, 0, false);
        let clock = face.ok()?;
        // Said in words "ten to eleven" reads both ways.
        if !opened && first.digits == 0 {
            return Some(Err(at + 1));
        }
        return Some(Ok(Found { clock, next: at + 1, bare: true, around: false }));
    }
    noon_or_clock(cursor, at)
}
