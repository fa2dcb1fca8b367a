//! Owns the way from tokens to elements: which words are times, and which remain words.

use super::cursor::Cursor;
use super::items::{Bound, Day, Element, Item, Part};
use super::tokens::Token;
use super::{clocks, days, durations};

/// Finds the times.
pub fn elements(tokens: &[Token]) -> Vec<Element> {
    let cursor = Cursor(tokens);
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(token) = cursor.token(at) {
        let (element, next) = element(cursor, at, token, &out);
        out.push(element);
        at = next.max(at + 1);
    }
    out
}

fn element(cursor: Cursor<'_>, at: usize, token: &Token, before: &[Element]) -> (Element, usize) {
    if let Some(next) = greeting(cursor, at) {
        return (Element::Word("hello".to_owned()), next);
    }
    let found = bound_before_day(cursor, at)
        .or_else(|| durations::item(cursor, at))
        .or_else(|| after_lunch(cursor, at))
        .or_else(|| last(cursor, at))
        .or_else(|| dated(cursor, at))
        .or_else(|| clocks::item(cursor, at))
        .or_else(|| days::item(cursor, at))
        .or_else(|| later(cursor, at, before));
    if let Some((item, next)) = found {
        return (Element::Item(item), next);
    }
    let element = match token {
        Token::Word(word) => Element::Word(word.clone()),
        // A telephone number or the like.
        Token::Number(number) if number.digits >= 5 => Element::Word("digits".to_owned()),
        Token::Number(_) | Token::Ordinal(_) | Token::Decimal(..) | Token::Date(..) | Token::Face { .. } => {
            Element::Quantity
        }
        Token::Comma | Token::Dash => Element::Comma,
        Token::Stop => Element::Stop,
    };
    (element, at + 1)
}

/// "Good morning" greets, unless something "is good"; "have a nice weekend" takes leave.
fn greeting(cursor: Cursor<'_>, at: usize) -> Option<usize> {
    let nice =
        matches!(cursor.word(at + 2), "good" | "nice" | "great" | "lovely" | "pleasant" | "wonderful" | "blessed");
    let own = matches!(cursor.word_before(at), "i" | "we");
    let span =
        matches!(cursor.word(at + 3), "morning" | "afternoon" | "evening" | "night" | "day" | "weekend" | "week");
    if cursor.is(at, "have a") && nice && span && !own {
        return Some(at + 4);
    }
    let part = matches!(cursor.word(at + 1), "morning" | "afternoon" | "evening" | "night" | "day");
    let said = matches!(cursor.word_before(at), "is" | "are" | "be" | "look" | "looks" | "sounds" | "s" | "a");
    (part && cursor.word(at) == "good" && !said).then_some(at + 2)
}

fn after_lunch(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    days::item(cursor, at).filter(|(item, _)| matches!(item, Item::Part(Part::AfterLunch | Part::EndOfDay, _)))
}

/// Dates come before clock times: "the 5th", "5 May", "December 3".
fn dated(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    days::item(cursor, at).filter(|(item, _)| matches!(item, Item::Day(Day::Date { .. } | Day::OfMonth { .. })))
}

/// "last week", "last Monday", "the past month".
fn last(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    if !matches!(cursor.word(at), "last" | "past" | "previous") || cursor.number(at + 1).is_some() {
        return None;
    }
    let next = days::item(cursor, at + 1).map_or(at + 1, |(_, next)| next);
    Some((Item::Past, next))
}

/// "by tomorrow 5 pm": the clock time stands behind the day.
fn bound_before_day(cursor: Cursor<'_>, at: usize) -> Option<(Item, usize)> {
    let bound = match cursor.word(at) {
        "by" => Bound::By,
        "before" => Bound::Before,
        "after" | "post" => Bound::After,
        "until" | "till" => Bound::Until,
        _ => return None,
    };
    if cursor.word_before(at) == "day" && cursor.word(at) == "after" {
        return None;
    }
    let day = cursor.skip(at + 1, &["this", "the"]);
    let found = [at + 1, day].into_iter().find_map(|at| days::item(cursor, at));
    let (item, _) = found.filter(|(item, _)| !matches!(item, Item::Habit | Item::Past))?;
    let lunch = matches!(item, Item::Part(Part::Noon, _)) && matches!(bound, Bound::After);
    let noon = cursor.word(at + 1) == "noon";
    (!lunch && !noon).then_some((Item::Bound(bound), at + 1))
}

fn later(cursor: Cursor<'_>, at: usize, before: &[Element]) -> Option<(Item, usize)> {
    if cursor.word(at) != "later" {
        return None;
    }
    // "sooner or later", "see you later", "a later date": no time.
    let farewell =
        matches!(before.last(), Some(Element::Word(word)) if word == "you") && cursor.word(at.wrapping_sub(2)) == "see";
    let adjective = matches!(cursor.word(at + 1), "date" | "time" | "stage" | "point" | "than");
    let either = cursor.word_before(at) == "or" || cursor.word_before(at) == "much";
    let part = matches!(cursor.word(at + 3), "morning" | "afternoon" | "evening" | "day");
    let in_the =
        (cursor.is(at + 1, "in the") && !part) || cursor.is(at + 1, "this week") || cursor.is(at + 1, "this month");
    let next = if cursor.word(at + 1) == "on" { at + 2 } else { at + 1 };
    Some((if farewell || adjective || either || in_the { Item::Bad } else { Item::Later }, next))
}
