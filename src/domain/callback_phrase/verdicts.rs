//! Owns which statements offer a time for the call: those that ask for a call, call a time good, or are nothing but a
//! time.

use super::clauses::{Clause, Opening};
use super::items::{Bound, Element, Item, Part, When};
use super::lexicon::{self, Words};
use super::requests::{self, Request};

/// What a clause does with its times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No time in it.
    Nothing,
    /// Its times are told, not offered.
    Told,
    /// A call is asked for, or a time is called good.
    Offer,
    /// Nothing but a time.
    Bare,
}

/// "One thirty, I will still be awake".
const READY: Words =
    Words("awake free available ready waiting home back done finished here around reachable expecting able");

/// A bare time can be the head of the statement behind it: "tomorrow I'm travelling".
pub fn settle(clauses: &[Clause], verdicts: &[Verdict], index: usize) -> Verdict {
    let clause = &clauses[index];
    if verdicts[index] != Verdict::Bare {
        return verdicts[index];
    }
    let part_alone = clause.elements.len() == 1
        && matches!(
            clause.elements[0],
            Element::Item(Item::Part(Part::Morning | Part::Afternoon | Part::Evening, false))
        );
    let unknown = |clause: &Clause| clause.words().any(|word| !lexicon::is_known(word));
    let others = clauses.len() > 1
        && verdicts.iter().enumerate().all(|(other, verdict)| other == index || *verdict == Verdict::Nothing);
    if index == 0
        && part_alone
        && others
        && clauses[1..].iter().any(|clause| unknown(clause) || clause.says(&["who", "is"]))
    {
        return Verdict::Told;
    }
    // "I'm not free on Monday, Tuesday": one more of the same, or the offer?
    let before = index.checked_sub(1).map(|before| &clauses[before]);
    let same = before.is_some_and(|before| same_kind(before, clause) && verdicts[index - 1] == Verdict::Told);
    if same && clause.opening == Opening::Comma {
        return Verdict::Told;
    }
    let Some(next) = clauses.get(index + 1) else { return Verdict::Bare };
    let subject = matches!(next.word(0), "i" | "we" | "he" | "she" | "they" | "it" | "there" | "that");
    // "tomorrow it is".
    let agreed = next.word(0) == "it" && next.word(1) == "is" && only_fillers(&next.elements[2..]) || names_again(next);
    if !subject || agreed || clause.says(&["please", "kindly", "only"]) {
        return Verdict::Bare;
    }
    // "At 5 she is free".
    if lexicon::OTHERS.contains(next.word(0)) && matches!(next.opening, Opening::Soft | Opening::Comma) {
        return Verdict::Told;
    }
    let positive = ready(next)
        || explains(clause, next)
        || verdicts[index + 1] == Verdict::Offer
        || next.says_any(lexicon::OFFERS) && !next.says(&["not", "only"]);
    let negative = next.says(&["not", "never", "busy", "unavailable"]) && !next.items().any(|item| item == Item::Now);
    let about_now = next.items().any(|item| item == Item::Now);
    let later = next.says(&["will", "would"]) || matches!(next.word(0), "it" | "that" | "there");
    let fine = match next.opening {
        Opening::Soft => !negative && (positive || about_now),
        Opening::Comma => !negative && (positive || about_now || !later),
        Opening::Stop | Opening::Joined => true,
    };
    if fine { Verdict::Bare } else { Verdict::Told }
}

/// "I will still be awake", "tomorrow at noon I can", but not "at 5 I go back".
fn ready(next: &Clause) -> bool {
    let state = !next.says(&["work", "office", "meeting", "class", "school"]) || next.says(&["done", "finished"]);
    let up = (1..next.elements.len())
        .any(|at| next.word(at) == "up" && matches!(next.word(at - 1), "am" | "be" | "still" | "stay"));
    let can = next.elements.len() == 2 && matches!(next.word(1), "can" | "could" | "will" | "am" | "do");
    let talk = next.says(&["can", "could", "will"]) && next.says_any(lexicon::TALK_VERBS);
    state && next.says(&["am", "be", "are"]) && next.says_any(READY)
        || up
        || can
        || talk && next.words().all(lexicon::is_known)
}

/// "In two days, I work nights": a habit tells why, and not what is done then.
fn explains(clause: &Clause, next: &Clause) -> bool {
    let day = clause.items().any(|item| kind(item) == 0);
    let habit = next.items().any(|item| item == Item::Habit);
    let wait = clause.items().all(|item| kind(item) == 3);
    habit || !day && next.says(&["shift"]) || wait && next.says(&["am"]) && next.says(&["just", "still"])
}

/// "Tomorrow, that is Thursday": the time once more, in other words.
fn names_again(clause: &Clause) -> bool {
    matches!(clause.word(0), "that" | "which" | "so")
        && clause.word(1) == "is"
        && clause.elements.len() == 3
        && clause.items().count() == 1
}

fn same_kind(one: &Clause, other: &Clause) -> bool {
    let kinds = |clause: &Clause| clause.items().filter(|item| *item != Item::Now).map(kind).collect::<Vec<_>>();
    kinds(one).last() == kinds(other).last() && kinds(other).len() == 1 && kinds(one).last().is_some()
}

/// What excludes one another in one offer.
pub fn kind(item: Item) -> u8 {
    match item {
        Item::Day(_) | Item::NextWeek | Item::ThisWeek | Item::Weekend => 0,
        Item::When(_) | Item::SameTime => 1,
        Item::Part(..) => 2,
        Item::Span(_) | Item::BareSpan(_) => 3,
        Item::Later | Item::Bound(_) | Item::Now | Item::Past | Item::Habit | Item::Bad => 4,
    }
}

/// Words that leave a bare time a bare time.
const BESIDE: Words =
    Words("not never but otherwise alternatively it latest earliest wait mean i make give me early late bit little");

/// Weighs a clause by itself.
pub fn verdict(clause: &Clause) -> Verdict {
    if clause.items().next().is_none() {
        return Verdict::Nothing;
    }
    if clause.items().any(|item| matches!(item, Item::Past | Item::Habit))
        || clause.says_any(lexicon::PAST) && !gap(clause)
    {
        return Verdict::Told;
    }
    let first = clause.words().find(|word| !lexicon::FILLERS.contains(word)).unwrap_or("");
    // "See you tomorrow" takes leave.
    let leaves = (0..clause.elements.len()).any(|at| {
        clause.word(at) == "see" && clause.word(at + 1) == "you" && clause.elements[at..].iter().any(is_time)
    });
    if leaves {
        return Verdict::Told;
    }
    if names_again(clause) {
        return Verdict::Bare;
    }
    let asks = matches!(first, "who" | "why" | "where" | "which" | "what" | "how");
    let subordinate =
        matches!(first, "when" | "while" | "unless" | "whenever" | "if" | "because" | "since" | "although");
    if asks || subordinate {
        return Verdict::Told;
    }
    match requests::read(clause) {
        Request::Told => return Verdict::Told,
        Request::Asked => return Verdict::Offer,
        Request::None => {}
    }
    if free_by(clause) {
        return Verdict::Told;
    }
    if offers_time(clause) || reachable(clause) {
        return Verdict::Offer;
    }
    let lists = [lexicon::FILLERS, lexicon::PREPOSITIONS, BESIDE];
    let allowed = |word: &str| lists.iter().any(|list| list.contains(word));
    let speaks = clause.says(&["i", "it", "me"]) && !clause.says(&["mean", "make", "give"]);
    // "At lunch now" tells where someone is.
    let present = clause.items().any(|item| item == Item::Now) && !clause.says(&["not"]);
    // "on my mobile", "at this number".
    let phone = |at: usize| {
        let (on, my) = (clause.word(at.wrapping_sub(2)), clause.word(at.wrapping_sub(1)));
        lexicon::PHONES.contains(clause.word(at)) && matches!((on, my), ("on", "my" | "this" | "the") | ("at", "this"))
    };
    let beside =
        (0..clause.elements.len()).all(|at| clause.word(at).is_empty() || allowed(clause.word(at)) || phone(at));
    if beside && !speaks && !present { Verdict::Bare } else { Verdict::Told }
}

/// "I'll be free by 6": free from then on, not until then.
fn free_by(clause: &Clause) -> bool {
    let by = clause.items().any(|item| {
        matches!(item, Item::When(When::Clock(Bound::By | Bound::Until, _)) | Item::Bound(Bound::By | Bound::Until))
    });
    by && clause.says(&["i", "we"]) && clause.says(&["be", "am", "are"])
}

/// "I'll be home after 6", "I'll be waiting at 5".
fn reachable(clause: &Clause) -> bool {
    let state = |at: usize| matches!(clause.word(at), "am" | "be" | "are" | "should");
    let home = (1..clause.elements.len()).any(|at| matches!(clause.word(at), "home" | "back") && state(at - 1));
    let waiting = (1..clause.elements.len()).any(|at| clause.word(at) == "waiting" && state(at - 1));
    let known = |word: &str| lexicon::is_known(word) || matches!(word, "home" | "back" | "waiting");
    let wide = clause.items().all(|item| match item {
        Item::When(When::Clock(bound, _)) => bound == Bound::After,
        Item::When(When::Range(..)) | Item::Part(..) => true,
        item => waiting || kind(item) == 0 && clause.items().count() > 1,
    });
    let timed = clause.items().any(|item| kind(item) == 1 || kind(item) == 2);
    let own = clause.says(&["i", "we"]) && !clause.says(&["not", "never", "work", "until", "till", "if"]);
    own && clause.words().all(known) && (waiting || home && wide && timed)
}

fn only_fillers(elements: &[Element]) -> bool {
    elements.iter().all(|element| matches!(element, Element::Word(word) if lexicon::FILLERS.contains(word)))
}

fn is_time(element: &Element) -> bool {
    matches!(element, Element::Item(_))
}

/// "I've got a gap at 3": here "got" is no past.
fn gap(clause: &Clause) -> bool {
    clause.says(&["gap", "slot", "window", "time", "free"])
        && clause.words().filter(|word| lexicon::PAST.contains(word)).all(|word| word == "got")
}

/// Whether a time is called good in words that we know up to it.
fn offers_time(clause: &Clause) -> bool {
    let is_item = |element: &Element| matches!(element, Element::Item(item) if *item != Item::Now);
    let Some(last) = clause.elements.iter().rposition(is_item) else { return false };
    let known = |element: &Element| match element {
        Element::Word(word) => lexicon::is_known(word) && !lexicon::OTHERS.contains(word),
        Element::Quantity => false,
        _ => true,
    };
    if !clause.elements[..last].iter().all(known) {
        return false;
    }
    let after = clause.elements[last..].iter().all(known);
    (0..clause.elements.len()).any(|at| {
        let before = at.checked_sub(1).map_or("", |at| clause.word(at));
        match clause.word(at) {
            "about" | "okay" => at == 0 || matches!(before, "is" | "be" | "it" | "") || at > last,
            // "it's about": no.
            "do" | "manage" => {
                let willing = matches!(before, "will" | "would") && at > last;
                willing
                    || matches!(before, "can" | "could" | "us" | "might" | "may")
                    || (matches!(before, "we" | "you") && clause.says(&["can", "could", "shall"]))
            }
            // "Tuesday isn't good but Wednesday is".
            "is" => at + 1 == clause.elements.len() && at == last + 1,
            "work" => {
                let before_time = at > last && clause.says(&["would", "will", "does", "can", "could", "might"]);
                let helpers = ["would", "will", "could", "might", "may", "can", "should", "does", "it", "that"];
                before_time || helpers.contains(&before)
            }
            // "I'll pick up at 5", but not "pick it up".
            "pick" | "answer" if before == "will" => {
                let behind = if clause.word(at + 1) == "up" { at + 2 } else { at + 1 };
                matches!(clause.elements.get(behind), None | Some(Element::Item(_))) && after
            }
            "pick" | "answer" => matches!(before, "can" | "could") && after,
            "like" => matches!(before, "would" | "i"),
            "make" => clause.word(at + 1) == "it",
            "only" => clause.word(at + 1) == "time" || clause.word(at + 1) == "free",
            "time" => clause.says(&["have", "got"]) && at < last && after,
            "open" => matches!(before, "am" | "is" | "s" | "wide") && !clause.says(&["it", "we"]) && after,
            "say" => true,
            "around" | "here" => matches!(before, "am" | "be") && after,
            word => lexicon::OFFERS.contains(word),
        }
    })
}
