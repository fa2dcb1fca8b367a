//! Owns what asks for no more calls.

use super::cursor::Cursor;
use super::lexicon::Words;
use super::tokens::Token;

const CALLS: Words = Words(
    "call calling ring ringing phone phoning contact contacting bother bothering disturb disturbing dial \
     dialing dialling harass harassing pester pestering calls telephone telephoning annoying spamming spam \
     trouble troubling called contacted reach cold communication communications messaging",
);
/// Calls as a thing or a habit, not as a command.
const CALLING: Words = Words(
    "calls calling ringing phoning contacting bothering disturbing dialing dialling harassing pestering telephoning \
     annoying spamming spam troubling called contacted communication communications messaging messages",
);
const FOREVER: Words = Words("again ever anymore future forever whatsoever");
const LISTS: Words =
    Words("list lists database system records record register contacts file files books directory data");
const MINE: Words = Words("me my us our this mine");

/// How far a phrase asks for no more calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptOut {
    /// Not at all.
    No,
    /// "Don't call me" without a time: unless one is offered beside it.
    UnlessOffered,
    /// In so many words.
    Yes,
}

/// Reads a phrase.
pub fn read(tokens: &[Token]) -> OptOut {
    let cursor = Cursor(tokens);
    let mut found = OptOut::No;
    for at in 0..tokens.len() {
        let end = (at..tokens.len()).find(|&at| matches!(tokens[at], Token::Stop)).unwrap_or(tokens.len());
        if ceases(cursor, at, end) || erases(cursor, at, end) || refuses(cursor, at, end) || threatens(cursor, at, end)
        {
            return OptOut::Yes;
        }
        match forbids(cursor, at, end) {
            OptOut::Yes => return OptOut::Yes,
            OptOut::UnlessOffered => found = OptOut::UnlessOffered,
            OptOut::No => {}
        }
    }
    found
}

fn any(cursor: Cursor<'_>, from: usize, to: usize, words: Words) -> Option<usize> {
    (from..to).find(|&at| words.contains(cursor.word(at)))
}

/// Whether a "not" stands shortly before, in the same breath.
fn negated(cursor: Cursor<'_>, at: usize) -> bool {
    let mut before = (at.saturating_sub(3)..at).rev().map(|at| cursor.word(at)).take_while(|word| !word.is_empty());
    before.any(|word| matches!(word, "not" | "never"))
}

/// "stop calling", "quit bothering me", "no more calls".
fn ceases(cursor: Cursor<'_>, at: usize, end: usize) -> bool {
    // "stop calling", "no more calls"; a bare "call" only directly behind: "no more today, call tomorrow".
    let near = |from: usize, gap: usize| {
        any(cursor, from, end.min(from + gap), CALLING).is_some() || CALLS.contains(cursor.word(from))
    };
    match cursor.word(at) {
        "stop" | "quit" | "cease" => {
            let alone = (0..cursor.0.len())
                .all(|other| other == at || FILL.contains(cursor.word(other)) || pause(cursor, other));
            let desist = cursor.is(at, "cease and desist");
            let these = cursor.word_before(at) == "calls"
                && any(cursor, at.saturating_sub(3), at, Words("these your the")).is_some();
            if desist || these {
                return !negated(cursor, at);
            }
            !negated(cursor, at)
                && cursor.word(at + 1) != "by"
                && (near(at + 1, 4) || cursor.is(at + 1, "to call") || alone)
        }
        "no" if cursor.word(at + 1) == "calls" => {
            matches!(cursor.word_before(at), "" | "please" | "just" | "and" | "okay")
                && !restricted(cursor, at + 2, end)
        }
        "no" if matches!(cursor.word(at + 1), "more" | "further" | "longer") => near(at + 2, 6),
        "unsubscribe" | "unsubscribed" | "dnd" | "dnc" => !restricted(cursor, at + 1, end),
        "keep" => cursor.is(at, "keep me off") || cursor.is(at, "keep my number off"),
        "leave" => cursor.is(at + 1, "me alone") || cursor.is(at + 1, "us alone"),
        "opt" | "opting" | "opted" => {
            matches!(cursor.word(at + 1), "out" | "off") || cursor.is(at + 1, "me off") || cursor.is(at + 1, "me out")
        }
        "do" if cursor.is(at, "do not call list")
            || cursor.is(at, "do not call register")
            || cursor.is(at, "do not call registry")
            || cursor.is(at, "do not disturb") =>
        {
            !restricted(cursor, at + 3, end)
        }
        "on" | "to" | "onto" => {
            ["the", "your"].iter().any(|word| cursor.word(at + 1) == *word) && cursor.is(at + 2, "do not call")
        }
        "withdraw" | "revoke" => any(cursor, at, end, Words("consent permission")).is_some(),
        "lose" | "forget" => cursor.is(at + 1, "my number") || cursor.is(at + 1, "this number"),
        _ => false,
    }
}

const FILL: Words = Words("please just now it this okay sir yes hey stop i said");

const ERASE: Words = Words(
    "remove delete erase strike scrub take get cross drop wipe block removed \
     deleted blacklist purge clear unlist deregister",
);

/// "take me off your list", "delete my number".
fn erases(cursor: Cursor<'_>, at: usize, end: usize) -> bool {
    let verb = ERASE.contains(cursor.word(at));
    if !verb || negated(cursor, at) {
        return false;
    }
    let passive = cursor.word(at).ends_with('d');
    let before = at.saturating_sub(4);
    if passive
        && any(cursor, before, at, Words("my me")).is_some()
        && any(cursor, before, at, Words("number name be")).is_some()
    {
        return true;
    }
    let mine = any(cursor, at + 1, end.min(at + 4), MINE).is_some();
    let number = any(cursor, at + 1, end.min(at + 6), Words("number details name data contact information info entry"));
    let list = any(cursor, at + 1, end, LISTS).is_some();
    let off = any(cursor, at + 1, end, Words("off from")).is_some();
    match cursor.word(at) {
        "take" | "get" | "cross" | "drop" | "strike" => {
            mine && off
                && (list
                    || cursor.word(at + 2) == "off" && any(cursor, at + 3, end, LISTS).is_some()
                    || ["take me off", "take us off", "take my name off", "take my number off", "take this number off"]
                        .iter()
                        .any(|words| cursor.is(at, words)))
        }
        "block" | "clear" => number.is_some() && mine && !cursor.is(at + 1, "your"),
        _ => {
            mine && (number.is_some() || list || matches!(cursor.word(at + 1), "me" | "us"))
                || (number.is_some() && list)
        }
    }
}

/// "I don't want any more calls", "I do not wish to be contacted".
fn refuses(cursor: Cursor<'_>, at: usize, end: usize) -> bool {
    if !matches!(cursor.word(at), "not" | "never" | "longer" | "nor") {
        return false;
    }
    let Some(want) = any(cursor, at + 1, end.min(at + 4), Words("want wish like need care desire interested")) else {
        return false;
    };
    if cursor.is(want + 1, "to hear from") {
        return true;
    }
    let found = any(cursor, want + 1, end.min(want + 8), CALLING);
    let Some(call) = found.or_else(|| any(cursor, want + 1, end.min(want + 5), Words("call contact"))) else {
        return false;
    };
    let between: Vec<&str> = (want + 1..call).map(|at| cursor.word(at)).collect();
    let more = ["more", "any", "further", "these", "your", "receive", "such", "you", "another"]
        .iter()
        .any(|word| between.contains(word))
        || any(cursor, call, end, FOREVER).is_some()
        || cursor.is(call + 1, "any more")
        || (cursor.word(call + 1) == "from" && matches!(cursor.word(call + 2), "you" | "your" | "this" | "these"))
        || matches!(cursor.word(call), "called" | "contacted");
    more && !restricted(cursor, call + 1, end)
}

/// "If you call me again I will complain".
fn threatens(cursor: Cursor<'_>, at: usize, end: usize) -> bool {
    cursor.word(at) == "you"
        && CALLS.contains(cursor.word(at + 1))
        && (cursor.is(at + 2, "me again") || cursor.word(at + 2) == "again")
        && any(cursor, 0, end, Words("report complain complaint police sue lawyer block legal")).is_some()
}

fn pause(cursor: Cursor<'_>, at: usize) -> bool {
    matches!(cursor.token(at), Some(Token::Comma | Token::Stop))
}

const LIMITS: Words = Words(
    "before until till after when while now early late today tomorrow tonight at during between in on by this \
     if from unless because around so morning evening afternoon night next without as too always twice for \
     over monday tuesday wednesday thursday friday saturday sunday lunch",
);

/// Whether only some times are refused: "before 10", "at night", "when I work".
fn restricted(cursor: Cursor<'_>, from: usize, end: usize) -> bool {
    let from_you = |at: usize| {
        cursor.word(at) == "from"
            && matches!(
                cursor.word(at + 1),
                "you" | "your" | "this" | "the" | "these" | "those" | "all" | "any" | "such"
            )
    };
    (from..end).any(|at| LIMITS.contains(cursor.word(at)) && !this_number(cursor, at) && !from_you(at))
}

/// "on this number", "in future", "at all" restrict nothing.
fn this_number(cursor: Cursor<'_>, at: usize) -> bool {
    let here = [
        "on this number",
        "at this number",
        "this number",
        "on my number",
        "at all",
        "in future",
        "in the future",
        "on this line",
        "this phone",
        "on this phone",
        "by phone",
        "at my number",
    ];
    here.iter().any(|words| cursor.is(at, words))
}

/// "don't call me again", "never ring this number", "nobody should call me any more".
fn forbids(cursor: Cursor<'_>, at: usize, end: usize) -> OptOut {
    let negation = cursor.word(at);
    if !matches!(negation, "not" | "never" | "nobody") {
        return OptOut::No;
    }
    let gap = Words(
        "you ever dare please even try to bother be keep should must people guys just again want and make anyone cold",
    );
    let verb = (at + 1..end).find(|&at| {
        !gap.contains(cursor.word(at)) && cursor.token(at) != Some(&Token::Comma)
            || cursor.word(at) == "bother" && !CALLS.contains(cursor.word(at + 1))
    });
    let Some(verb) = verb.filter(|&verb| CALLS.contains(cursor.word(verb)) && cursor.word(verb) != "reach") else {
        return OptOut::No;
    };
    let helper = cursor.word_before(at);
    // "I couldn't call", "he did not call".
    let own = (at.saturating_sub(3)..at)
        .any(|at| matches!(cursor.word(at), "i" | "he" | "she" | "we" | "they" | "did" | "has" | "have"));
    let told = cursor.word(at + 1) == "to" && any(cursor, 0, at, Words("asked told said ask tell want")).is_some();
    if own && negation != "nobody" && !told {
        return OptOut::No;
    }
    let command = matches!(helper, "" | "do" | "must" | "should" | "please" | "and" | "you" | "can" | "may" | "just")
        || negation != "not"
        || at == 0
        || told;
    if !command {
        return OptOut::No;
    }
    let limits = Words("before until till early late hour unless when while");
    let limited = any(cursor, verb + 1, end, limits).is_some();
    let always = any(cursor, at + 1, end, FOREVER).is_some_and(|found| found != verb)
        || (verb..end).any(|at| {
            cursor.is(at, "any more")
                || cursor.is(at, "any day")
                || cursor.is(at, "any other")
                || cursor.is(at, "any time")
                || cursor.is(at, "at all")
        });
    if always && !limited {
        return OptOut::Yes;
    }
    let object = cursor.skip(
        verb + 1,
        &[
            "me", "us", "back", "here", "please", "sir", "okay", "my", "this", "number", "phone", "on", "at", "the",
            "house", "home", "mobile", "all", "calling",
        ],
    );
    let pure = object >= end || pause(cursor, object);
    // "Don't call me, I'm driving" speaks of now.
    let comma_reason =
        cursor.token(object) == Some(&Token::Comma) && matches!(cursor.word(object + 1), "i" | "it" | "because" | "we");
    // "At 5 don't call", "tomorrow don't call me".
    let times = Words(
        "tomorrow today tonight morning afternoon evening night noon lunch weekend monday tuesday wednesday thursday \
         friday saturday sunday",
    );
    let is_time =
        |token: &Token| matches!(token, Token::Number(_) | Token::Face { .. }) || times.contains(token.word());
    let breath = cursor.0[..at].iter().rev().take_while(|token| !matches!(token, Token::Comma | Token::Stop));
    let limited = limited || breath.take(4).any(is_time);
    if pure && !comma_reason && !limited { OptOut::UnlessOffered } else { OptOut::No }
}
