//! Owns what "not" and its like turn down: what stands before ("tomorrow is no good") or behind ("not today").

use super::clauses::Clause;
use super::items::{Day, Element, Item};
use super::lexicon;
use super::verdicts::kind;

/// "no" before a time or a call turns it down; else it only answers.
pub fn no_before_time(clause: &Clause, at: usize) -> bool {
    clause.word(at) == "no" && matches!(clause.word(at + 1), "calls" | "good" | "point" | "use" | "chance" | "way")
}

/// "busy today", "today is bad".
pub fn is_bad(word: &str) -> bool {
    matches!(
        word,
        "bad" | "busy" | "impossible" | "inconvenient" | "difficult" | "tough" | "tricky" | "unavailable" | "unable"
    )
}

/// "tomorrow is not good", "5 is too late": words that turn down what stands before them.
pub fn turns_down_before(clause: &Clause, at: usize) -> bool {
    let (word, next) = (clause.word(at), clause.word(at + 1));
    if is_bad(word) {
        return true;
    }
    if word == "too" && matches!(next, "early" | "late" | "soon") {
        return true;
    }
    // "5 is a bit early".
    let bit = matches!(word, "bit" | "little") && matches!(clause.word(at.wrapping_sub(2)), "is" | "s");
    if bit && matches!(next, "early" | "late" | "soon" | "tight") {
        return true;
    }
    if word == "no" {
        return matches!(next, "good" | "use" | "chance" | "way" | "go") || at + 1 == clause.elements.len();
    }
    // "At 5 do not call", "Mondays never work": nothing is asked for before, and no time follows.
    let forbids = matches!(word, "not" | "never")
        && (lexicon::CALL_VERBS.contains(next) || matches!(next, "work" | "works" | "suits"))
        && !clause.elements[at..].iter().any(|element| matches!(element, Element::Item(_)))
        && !clause.elements[..at]
            .iter()
            .any(|element| matches!(element, Element::Word(word) if lexicon::is_call_verb(word)));
    if forbids {
        return true;
    }
    let verb = matches!(
        next,
        "work"
            | "good"
            | "fine"
            | "suit"
            | "possible"
            | "okay"
            | "convenient"
            | "great"
            | "ideal"
            | "best"
            | "suitable"
            | "free"
            | "available"
            | "a"
            | "be"
            | "really"
            | "very"
            | "going"
            | ""
            | "for"
            | "do"
            | "so"
            | "feasible"
            | "any"
    );
    let no_item_next = !matches!(clause.elements.get(at + 1), Some(Element::Item(_)));
    word == "not" && verb && no_item_next && clause.word(at.wrapping_sub(1)) != "why"
}

/// How far a "not" reaches.
#[derive(Default)]
pub struct Negation {
    active: bool,
    /// "not Monday": the next day said is the offer.
    direct: bool,
    /// "not a good time".
    no_time: bool,
    kinds: Vec<u8>,
    /// Days turned down.
    pub days: Vec<Day>,
    /// Clock times or parts turned down: the days are then refused only with them.
    pub clocks: bool,
}

impl Negation {
    /// Begins at a word.
    pub fn begin(clause: &Clause, at: usize) -> Self {
        let next = (at + 1..clause.elements.len())
            .find(|&at| !matches!(clause.word(at), "at" | "on" | "in" | "the" | "for" | "this" | "around"));
        let direct = next.is_some_and(|at| matches!(clause.elements[at], Element::Item(_)));
        let no_time = (at + 1..at + 5).any(|at| clause.word(at) == "time");
        Self { active: true, direct, no_time, ..Self::default() }
    }

    /// Whether the time at an index is turned down.
    pub fn covers(&mut self, clause: &Clause, at: usize, item: Item) -> bool {
        if !self.active {
            return false;
        }
        let joined = matches!(at.checked_sub(1).map_or("", |at| clause.word(at)), "or" | "and" | "nor");
        let again = self.kinds.contains(&kind(item));
        let praised = (at + 1..clause.elements.len()).any(|at| {
            let word = clause.word(at);
            lexicon::OFFERS.contains(word) || word == "please" || word == "does" || lexicon::CALL_VERBS.contains(word)
        });
        // "not a good time 2:15 is better".
        if self.no_time && praised {
            self.active = false;
            return false;
        }
        if again && !joined && (self.direct || praised) {
            self.active = false;
            return false;
        }
        self.kinds.push(kind(item));
        true
    }
}
