//! Owns who asks whom for a call: "could you ring me" asks, "my son will call me" tells.

use super::clauses::Clause;
use super::items::Element;
use super::lexicon::{self, Words};

/// What a clause says about calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Nothing.
    None,
    /// A call is asked for.
    Asked,
    /// A call is told of, or is another's.
    Told,
}

/// Words that may stand before the verb of a request.
const BEFORE: Words = Words(
    "can could will would should may might shall must do to want need like prefer appreciate request have ask \
     tell get let it is be if someone somebody anyone anybody one feel possible i me we us your try give drop \
     how about what am are not never up back pm does don grateful glad appreciated because but as wait \
     waiting expect expecting await missed quick set help with off go ahead when ever even more team \
     supervisor senior colleague representative rep executive specialist person advisor adviser department \
     sales support agent manager care plan hope suggest recommend wish require able while got has from by \
     idea way thing option bet guess think again unable cannot now busy put take receive phone video follow \
     make keep sure mind chance looking forward",
);

/// "I'd like you to call".
const WISHES: Words = Words("want need like prefer appreciate request rather expect hope wish suggest ask forward");

/// "Give me a call".
const ASKING: Words = Words(
    "give drop need want like appreciate expect expecting await schedule book arrange set get request make place put \
     waiting for receive take prefer do chance forward love",
);

fn allowed(word: &str) -> bool {
    BEFORE.contains(word)
        || [lexicon::FILLERS, lexicon::PREPOSITIONS, lexicon::OFFERS].iter().any(|list| list.contains(word))
        || lexicon::is_call_verb(word)
}

/// Reads a clause.
pub fn read(clause: &Clause) -> Request {
    let mut found = Request::None;
    for at in 0..clause.elements.len() {
        match verb(clause, at) {
            Request::None => {}
            Request::Told => return Request::Told,
            Request::Asked => found = Request::Asked,
        }
    }
    found
}

/// The words before an index.
fn before(clause: &Clause, at: usize) -> impl Iterator<Item = &str> {
    clause.elements[..at].iter().filter_map(
        |element| {
            if let Element::Word(word) = element { Some(word.as_str()) } else { None }
        },
    )
}

/// What the word at an index says, if it is a verb of calling, talking or arranging.
fn verb(clause: &Clause, at: usize) -> Request {
    let (word, next) = (clause.word(at), clause.word(at + 1));
    let previous = at.checked_sub(1).map_or("", |at| clause.word(at));
    let is_noun = matches!(word, "call" | "ring" | "buzz" | "calls")
        && matches!(previous, "a" | "your" | "the" | "quick" | "another" | "an");
    if is_noun {
        return noun(clause, at);
    }
    let get = matches!(word, "get") && matches!(next, "me" | "back" | "us" | "in" | "hold" | "through");
    let come = word == "come" && next == "back";
    let hear = matches!(word, "hear" | "hearing") && (next == "back" || next == "from" && clause.word(at + 2) == "you");
    if !(get || hear || come || lexicon::is_call_verb(word)) {
        return Request::None;
    }
    if hear {
        let wished = before(clause, at).all(allowed) && before(clause, at).any(|word| WISHES.contains(word));
        return if wished { Request::Asked } else { Request::Told };
    }
    // "my phone", "at work", "on the phone", "in touch".
    if matches!(previous, "my" | "the" | "on" | "in" | "your" | "by" | "this")
        || (word == "make" && !matches!(next, "it" | "that"))
    {
        return Request::None;
    }
    // "I can make it to the bank" is no appointment.
    if word == "make" && matches!(clause.word(at + 2), "to" | "home" | "there") && !clause.word(at + 3).is_empty() {
        return Request::Told;
    }
    let talk = lexicon::TALK_VERBS.contains(word);
    if word == "touch" && next != "base" || word == "follow" && next != "up" || word == "set" && next == "off" {
        return Request::None;
    }
    let words: Vec<&str> = before(clause, at).collect();
    // "Thanks for calling this morning".
    let thanked = previous == "for" && words.iter().any(|word| matches!(*word, "thanks" | "thank"));
    if thanked && lexicon::is_gerund(word) {
        return Request::Told;
    }
    if !words.iter().all(|word| allowed(word)) || !object(clause, at, talk) {
        return Request::Told;
    }
    let has = |word: &str| words.contains(&word);
    let wished = words.iter().any(|word| WISHES.contains(word)) && (has("you") || has("someone") || has("somebody"));
    let mine = has("i") || has("we") && !talk;
    let told = mine && !wished && !talk && !(lexicon::ARRANGE_VERBS.contains(word) && (has("can") || has("could")));
    // "you keep calling me", "who is calling".
    let going_on = lexicon::is_gerund(word) && ["are", "is", "am", "been", "keep", "who"].iter().any(|word| has(word));
    if told || going_on && word != "talking" {
        return Request::Told;
    }
    // "happy to talk", "let us keep it", but not "keep well".
    let arranges = lexicon::ARRANGE_VERBS.contains(word)
        && !matches!(next, "it" | "me" | "a" | "this" | "that" | "us" | "the" | "to" | "for" | "");
    if arranges { Request::None } else { Request::Asked }
}

/// "a call": asked for by whoever gives, wants or books one.
fn noun(clause: &Clause, at: usize) -> Request {
    let words: Vec<&str> = before(clause, at).collect();
    let asked = words.iter().any(|word| ASKING.contains(word)) && words.iter().all(|word| allowed(word));
    let told = words.iter().any(|word| matches!(*word, "have" | "got" | "on" | "had" | "another" | "be" | "in"));
    match (asked && !words.contains(&"another") && !words.contains(&"on"), told) {
        (true, _) => Request::Asked,
        (false, true) => Request::Told,
        (false, false) => Request::None,
    }
}

/// Whether whom the verb takes is the person called.
fn object(clause: &Clause, at: usize, talk: bool) -> bool {
    let skip = ["back", "again", "up", "out", "calling", "to", "with", "base", "hold", "of", "in", "touch"];
    let next = (at + 1..).find(|&at| !skip.contains(&clause.word(at))).unwrap_or(at + 1);
    let to_someone = matches!(clause.word(at + 1), "to" | "with");
    match clause.word(next) {
        "you" | "your" if talk => true,
        "you" | "your" | "u" | "him" | "her" | "them" | "his" | "their" | "everyone" | "everybody" | "people" => false,
        "my" | "the" | "this" | "our" => {
            let noun = clause.word(next + 1);
            // "Call me, brother" is not "call my brother".
            let person = lexicon::PEOPLE.contains(noun);
            noun.is_empty()
                || !person && lexicon::PHONES.contains(noun)
                || (!talk && !person && lexicon::is_known(noun))
        }
        word if talk && to_someone => matches!(word, "me" | "us" | "someone" | "somebody" | ""),
        "" | "me" | "us" | "it" | "anyone" => true,
        word => lexicon::is_known(word) || talk || !lexicon::CALL_VERBS.contains(clause.word(at)),
    }
}
