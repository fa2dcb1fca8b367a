//! Owns days: names, dates, weeks, and parts of a day.

use chrono::Weekday;

use super::cursor::Cursor;
use super::items::{Day, Item, Part};
use super::tokens::{Number, Token};

const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Mon),
    ("tuesday", Weekday::Tue),
    ("wednesday", Weekday::Wed),
    ("thursday", Weekday::Thu),
    ("friday", Weekday::Fri),
    ("saturday", Weekday::Sat),
    ("sunday", Weekday::Sun),
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

fn weekday(word: &str) -> Option<Weekday> {
    WEEKDAYS.iter().find(|(name, _)| *name == word).map(|(_, day)| *day)
}

fn month(word: &str) -> Option<u32> {
    let matches = |name: &str| name == word || (word.len() >= 3 && word.len() <= 4 && name.starts_with(word));
    let index = MONTHS.iter().position(|name| matches(name));
    index.and_then(|index| u32::try_from(index + 1).ok())
}

/// Months that are other words too: only with a day beside them.
fn is_month_only(word: &str) -> bool {
    month(word).is_some() && !matches!(word, "may" | "march" | "mar")
}

/// A day, a week, or a part of a day.
pub fn item(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    named(cursor, at).or_else(|| date(cursor, at)).or_else(|| part(cursor, at))
}

fn named(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    let the = if cursor.word(at) == "the" { at + 1 } else { at };
    if cursor.is(the, "day after") {
        let tomorrow = if cursor.word(the + 2) == "tomorrow" { Item::Day(Day::In(2)) } else { Item::Bad };
        return Some((tomorrow, if tomorrow == Item::Bad { the + 2 } else { the + 3 }));
    }
    if cursor.is(at, "day before") || cursor.is(at, "yesterday") {
        return Some((Item::Past, at + 1));
    }
    match (cursor.word(at), cursor.word(at + 1)) {
        ("today", _) => return Some((Item::Day(Day::In(0)), at + 1)),
        ("tomorrow", _) => return Some((Item::Day(Day::In(1)), at + 1)),
        ("now", _) => return Some((Item::Now, at + 1)),
        ("next" | "coming", "week") if cursor.word_before(at) != "after" && cursor.word(at) == "next" => {
            return Some((Item::NextWeek, at + 2));
        }
        ("this", "week") => return Some((Item::ThisWeek, at + 2)),
        ("this" | "the" | "coming", "weekend") => return Some((Item::Weekend, at + 2)),
        ("this", "coming" | "upcoming") if cursor.word(at + 2) == "weekend" => return Some((Item::Weekend, at + 3)),
        ("weekend", _) if !matches!(cursor.word_before(at), "next" | "any" | "every" | "a") => {
            return Some((Item::Weekend, at + 1));
        }
        ("this" | "same", "time") if cursor.word(at) == "same" || !cursor.is(at, "this time of") => {
            return Some((Item::SameTime, at + 2));
        }
        _ => {}
    }
    let day_at = cursor.skip(at, &["this", "next", "coming", "upcoming", "the"]);
    // "next to next Monday", "this Monday next".
    let twice = cursor.is(at, "next next") || cursor.word_before(at) == "to" && cursor.word(at) == "next";
    let day = weekday(cursor.word(day_at))?;
    if twice || cursor.is(day_at + 1, "after next") || cursor.word(day_at + 1) == "week" {
        return Some((Item::Bad, day_at + 1));
    }
    let next = match cursor.word(day_at + 1) {
        "coming" => day_at + 2,
        "next" if cursor.word(day_at + 2) != "week" => day_at + 2,
        _ => day_at + 1,
    };
    Some((Item::Day(Day::Weekday(day)), next))
}

fn year(cursor: Cursor<'_>, at: usize) -> Option<(u32, usize)> {
    let comma = if cursor.token(at) == Some(&Token::Comma) { at + 1 } else { at };
    let number = cursor.number(comma)?;
    // "twenty twenty seven"; "twenty thirty" is a clock time as well.
    if let (20, 0, Some(Number { value: rest @ 20..=29, digits: 0, .. })) =
        (number.value, number.digits, cursor.number(comma + 1))
    {
        return Some((2000 + rest, comma + 2));
    }
    (matches!(number.digits, 4 | 5) && (2000..2100).contains(&number.value)).then_some((number.value, comma + 1))
}

fn with_year(cursor: Cursor<'_>, (month, day): (u32, u32), at: usize) -> (Item, usize) {
    let (year, next) = year(cursor, at).map_or((None, at), |(year, next)| (Some(year), next));
    (Item::Day(Day::Date { month: Some(month), day, year }), next)
}

/// A day of a month in figures or words, with how it was written.
fn day_number(cursor: Cursor<'_>, at: usize) -> Option<(u32, bool)> {
    match cursor.token(at)? {
        Token::Ordinal(day) => Some((*day, true)),
        Token::Number(number) if number.value <= 99 => Some((number.value, false)),
        Token::Word(word) if word == "second" => Some((2, true)),
        _ => None,
    }
}

fn date(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    if let Some(Token::Date(parts, count)) = cursor.token(at) {
        return Some((figures(*parts, *count), at + 1));
    }
    if let Some(of_month) = month(cursor.word(at)) {
        let day_at = if cursor.word(at + 1) == "the" { at + 2 } else { at + 1 };
        // "may 5 be all right" asks.
        if let Some((day, _)) = day_number(cursor, day_at).filter(|_| cursor.word(day_at + 1) != "be") {
            return Some(with_year(cursor, (of_month, day), day_at + 1));
        }
        return is_month_only(cursor.word(at)).then_some((Item::Bad, at + 1));
    }
    let the = if cursor.word(at) == "the" { at + 1 } else { at };
    let (day, ordinal) = day_number(cursor, the)?;
    let of = if cursor.word(the + 1) == "of" { the + 2 } else { the + 1 };
    if let Some(of_month) = month(cursor.word(of)) {
        let verb = cursor.word(of) == "may" && matches!(cursor.word(of + 1), "be" | "work" | "suit" | "i" | "not");
        if !verb {
            return Some(with_year(cursor, (of_month, day), of + 1));
        }
    }
    if !ordinal {
        return None;
    }
    if of > the + 1 {
        let ahead = match (cursor.word(of), cursor.word(of + 1)) {
            ("next", "month") => Some((Item::Day(Day::OfMonth { day, ahead: 1 }), of + 2)),
            ("this", "month") => Some((Item::Day(Day::OfMonth { day, ahead: 0 }), of + 2)),
            ("the", "month") => Some((Item::Day(Day::Date { month: None, day, year: None }), of + 2)),
            _ => None,
        };
        return ahead;
    }
    // "the first time", "second call": an order, not a date.
    let follower = cursor.word(the + 1);
    let is_written = matches!(cursor.token(the), Some(Token::Ordinal(_)));
    let after_weekday = at.checked_sub(1).is_some_and(|before| weekday(cursor.word(before)).is_some());
    let placed = the > at || after_weekday || matches!(cursor.word_before(at), "on" | "by" | "for");
    let free = follower.is_empty() || super::lexicon::is_known(follower) || month(follower).is_some();
    let order = matches!(follower, "time" | "thing" | "call" | "half" | "one" | "week" | "day" | "calls");
    // "until the 20th call me".
    let command = follower == "call" && matches!(cursor.word(the + 2), "me" | "us" | "back" | "again");
    let order = order && !command;
    let sure = placed || (is_written && day > 3);
    (sure && free && !order && (is_written || cursor.word_before(at) == "on" || placed))
        .then_some((Item::Day(Day::Date { month: None, day, year: None }), the + 1))
}

/// A date in figures counts if it reads only one way.
fn figures(parts: [u32; 3], count: usize) -> Item {
    let [a, b, c] = parts;
    let date = |month, day, year| Item::Day(Day::Date { month: Some(month), day, year });
    if count == 3 && a >= 1000 {
        return if (2000..2100).contains(&a) { date(b, c, Some(a)) } else { Item::Bad };
    }
    let year = match (count, c) {
        (3, 2000..2100) => Some(c),
        (3, 0..100) => Some(2000 + c),
        (3, _) => return Item::Bad,
        _ => None,
    };
    match (a, b) {
        (1..=12, 1..=12) if a == b => date(a, b, year),
        (13..=31, 1..=12) => date(b, a, year),
        (1..=12, 13..=31) => date(a, b, year),
        _ => Item::Bad,
    }
}

fn part(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    let this = cursor.word(at) == "this";
    let start = if this { at + 1 } else { at };
    if matches!(cursor.word(at), "after" | "post") {
        let lunch = cursor.skip(at + 1, &["my", "the"]);
        return (cursor.word(lunch) == "lunch").then(|| (Item::Part(Part::AfterLunch, false), time(cursor, lunch + 1)));
    }
    if cursor.is(start, "end of") {
        let day = cursor.skip(start + 2, &["the", "my"]);
        let next = match (cursor.word(day), cursor.word(day + 1)) {
            ("day", _) => day + 1,
            // The day itself is read next.
            ("today", "s") if cursor.word(day + 2) == "day" => day + 3,
            ("today", _) => day + 1,
            _ => return Some((Item::Bad, start + 2)),
        };
        return Some((Item::Part(Part::EndOfDay, cursor.word(day) == "today"), next));
    }
    let part = match cursor.word(start) {
        "morning" => Part::Morning,
        "afternoon" => Part::Afternoon,
        "evening" => Part::Evening,
        "noon" => Part::Noon,
        "lunch" => Part::Noon,
        "tonight" => Part::Tonight,
        "night" => Part::Night,
        word => {
            let habit = matches!(
                word,
                "mornings"
                    | "evenings"
                    | "afternoons"
                    | "nights"
                    | "weekends"
                    | "weekdays"
                    | "daily"
                    | "every"
                    | "each"
            ) || word.strip_suffix('s').is_some_and(|day| weekday(day).is_some());
            return habit.then_some((Item::Habit, start + 1));
        }
    };
    let next =
        if part == Part::Noon { cursor.skip(start + 1, &["time", "hour", "break"]) } else { time(cursor, start + 1) };
    Some((Item::Part(part, this || part == Part::Tonight), next))
}

fn time(cursor: Cursor<'_>, at: usize) -> usize {
    if cursor.word(at) == "time" { at + 1 } else { at }
}
