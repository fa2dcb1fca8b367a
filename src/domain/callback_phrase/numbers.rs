//! Owns numbers said in words: "twenty five", "seventeen hundred", "thirty first", and "a m" after one.

use super::tokens::{Number, Token};

const UNITS: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 8] = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const ORDINALS: [&str; 20] = [
    "zeroth",
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
];

/// Words after which "one" is a pronoun.
const BEFORE_PRONOUN: [&str; 12] =
    ["this", "that", "no", "any", "which", "every", "another", "some", "other", "first", "last", "good"];

fn unit(word: &str) -> Option<u32> {
    UNITS.iter().position(|&known| known == word).and_then(|index| u32::try_from(index).ok())
}

/// Whether a word is a small number.
pub fn is_number(word: &str) -> bool {
    unit(word).is_some() || tens(word).is_some()
}

fn tens(word: &str) -> Option<u32> {
    let word = if word == "fourty" { "forty" } else { word };
    TENS.iter().position(|&known| known == word).and_then(|index| u32::try_from(index * 10 + 20).ok())
}

fn ordinal(word: &str) -> Option<u32> {
    match word {
        "twentieth" => Some(20),
        "thirtieth" => Some(30),
        _ => ORDINALS.iter().skip(1).position(|&known| known == word).and_then(|i| u32::try_from(i + 1).ok()),
    }
}

/// Replaces words by the numbers they say.
pub fn join(tokens: Vec<Token>) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while at < tokens.len() {
        let (token, next) = read(&tokens, at, out.last());
        out.push(token);
        at = next;
    }
    out
}

fn read(tokens: &[Token], at: usize, before: Option<&Token>) -> (Token, usize) {
    let word = |at: usize| tokens.get(at).map_or("", Token::word);
    let after_number =
        matches!(before, Some(Token::Number(_) | Token::Face { .. })) || before.map(Token::word) == Some("oclock");
    if after_number && matches!(word(at), "a" | "p") && word(at + 1) == "m" {
        return (Token::Word(format!("{}m", word(at))), at + 2);
    }
    if let Some(tens) = tens(word(at)) {
        return match (unit(word(at + 1)), ordinal(word(at + 1))) {
            (Some(unit @ 1..=9), _) => larger(tokens, tens + unit, 0, at + 2),
            (_, Some(unit @ 1..=9)) => (Token::Ordinal(tens + unit), at + 2),
            _ => larger(tokens, tens, 0, at + 1),
        };
    }
    let pronoun = word(at) == "one" && before.is_some_and(|token| BEFORE_PRONOUN.contains(&token.word()));
    let leading_zero = word(at) == "zero" && unit(word(at + 1)).is_some_and(|unit| (1..=9).contains(&unit));
    if leading_zero && word(at + 2) != "hundred" {
        let value = unit(word(at + 1)).unwrap_or_default();
        return (Token::Number(Number { value, digits: 2, zero: true }), at + 2);
    }
    if let (false, false, Some(value)) = (pronoun, leading_zero, unit(word(at))) {
        return larger(tokens, value, 0, at + 1);
    }
    match (ordinal(word(at)), tokens.get(at)) {
        // A lone "second" is a unit of time as well.
        (Some(value), _) if value != 2 => (Token::Ordinal(value), at + 1),
        (_, Some(Token::Number(number))) => larger(tokens, number.value, number.digits, at + 1),
        _ if word(at) == "hundred" && word(at.wrapping_sub(1)) == "a" => (amount(100, 3), at + 1),
        (_, Some(Token::Word(word))) if matches!(word.as_str(), "oh" | "o" | "zero") => {
            zero_minutes(tokens, at, before)
        }
        (_, token) => (token.cloned().unwrap_or(Token::Stop), at + 1),
    }
}

fn amount(value: u32, digits: usize) -> Token {
    Token::Number(Number { value, digits, zero: false })
}

/// "hundred" and "thousand" behind a number.
fn larger(tokens: &[Token], value: u32, digits: usize, at: usize) -> (Token, usize) {
    let word = |at: usize| tokens.get(at).map_or("", Token::word);
    match word(at) {
        "hundred" => {
            let value = value.saturating_mul(100);
            let small = if word(at + 1) == "and" { at + 2 } else { at + 1 };
            let rest = match (tens(word(small)), unit(word(small)), unit(word(small + 1))) {
                (Some(tens), _, Some(unit @ 1..=9)) => Some((tens + unit, small + 2)),
                (Some(tens), _, _) => Some((tens, small + 1)),
                (_, Some(unit @ 1..), _) => Some((unit, small + 1)),
                _ => None,
            };
            let (rest, next) = rest.unwrap_or((0, at + 1));
            (amount(value.saturating_add(rest), 0), next)
        }
        // A year; five digits, so that it is no clock time.
        "thousand" if value == 2 && year_of_century(tokens, at + 1).is_some() => {
            let (rest, next) = year_of_century(tokens, at + 1).unwrap_or((0, at + 1));
            (amount(2000 + rest, 5), next)
        }
        // Too large for a time; its parts must not look like one.
        "thousand" | "lakh" | "lakhs" | "crore" | "crores" | "million" => {
            let mut next = at + 1;
            while matches!(word(next), "hundred" | "thousand" | "and") || {
                let word = word(next);
                tens(word).is_some() || unit(word).is_some()
            } {
                next += 1;
            }
            (amount(u32::MAX, 9), next)
        }
        _ => match tokens.get(at.saturating_sub(1)) {
            Some(token @ Token::Number(_)) => (token.clone(), at),
            _ => (amount(value, digits), at),
        },
    }
}

/// "twenty eight", "and thirty": the rest of a year said behind "two thousand".
fn year_of_century(tokens: &[Token], at: usize) -> Option<(u32, usize)> {
    let word = |at: usize| tokens.get(at).map_or("", Token::word);
    let at = if word(at) == "and" { at + 1 } else { at };
    let tens = tens(word(at))?;
    let unit = unit(word(at + 1)).filter(|unit| (1..=9).contains(unit));
    let next = at + 1 + usize::from(unit.is_some());
    (!matches!(word(next), "hundred" | "thousand")).then_some((tens + unit.unwrap_or(0), next))
}

/// "oh five" behind an hour, "oh nine hundred" before "hundred".
fn zero_minutes(tokens: &[Token], at: usize, before: Option<&Token>) -> (Token, usize) {
    let next = tokens.get(at + 1);
    let value = match next {
        Some(Token::Number(number)) => Some(number.value),
        next => next.and_then(|token| unit(token.word())),
    };
    let after_hour = matches!(before, Some(Token::Number(_)));
    let hundred = tokens.get(at + 2).map(Token::word) == Some("hundred");
    match value {
        Some(value @ 1..=9) if hundred => (Token::Number(Number { value: value * 100, digits: 0, zero: true }), at + 3),
        Some(value @ 1..=9) if after_hour => (Token::Number(Number { value, digits: 0, zero: true }), at + 2),
        // "oh eight thirty hours"; without "hours" the "oh" may be a sigh.
        Some(value @ 1..=9) if (3..=4).any(|ahead| tokens.get(at + ahead).map(Token::word) == Some("hours")) => {
            (Token::Number(Number { value, digits: 2, zero: true }), at + 2)
        }
        _ => (tokens.get(at).cloned().unwrap_or(Token::Stop), at + 1),
    }
}
