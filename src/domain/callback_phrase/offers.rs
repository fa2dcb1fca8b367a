//! Owns which of the times in a phrase are offered for the call, which are turned down, and which only tell something.

use super::clauses::{Clause, Opening};
use super::items::{Bound, Day, Element, Item, Part, When};
use super::lexicon;
use super::requests::{self, Request};

/// What the times of a phrase come to.
#[derive(Debug, Default)]
pub struct Offers {
    /// Offered, in order.
    pub items: Vec<Item>,
    /// Days turned down as a whole.
    pub refused_days: Vec<Day>,
    /// A day is told of as taken, or turned down: a clock time without a day may belong to it.
    pub day_in_doubt: bool,
    /// A choice of two, a remnant that is not understood, or a vague addition.
    pub unclear: bool,
    /// The day alone would be too wide a reading: "tomorrow after work".
    pub blurred: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// No time in it.
    Nothing,
    /// Its times are told, not offered.
    Told,
    /// A call is asked for, or a time is called good.
    Offer,
    /// Nothing but a time.
    Bare,
}

/// Weighs all clauses.
pub fn collect(clauses: &[Clause]) -> Offers {
    let mut offers = Offers::default();
    let mut state = State::default();
    let verdicts: Vec<Verdict> = clauses.iter().map(verdict).collect();
    for (index, clause) in clauses.iter().enumerate() {
        let verdict = settle(clauses, &verdicts, index);
        match verdict {
            Verdict::Nothing => state.words(clause, &mut offers),
            Verdict::Told => told(clause, &mut offers),
            Verdict::Offer | Verdict::Bare => state.take(clause, &mut offers),
        }
    }
    offers
}

/// A bare time can be the head of the statement behind it: "tomorrow I'm travelling".
fn settle(clauses: &[Clause], verdicts: &[Verdict], index: usize) -> Verdict {
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
    if !subject || clause.says(&["please", "kindly", "only"]) {
        return Verdict::Bare;
    }
    let ready = [
        "awake",
        "up",
        "free",
        "available",
        "ready",
        "waiting",
        "home",
        "back",
        "done",
        "finished",
        "here",
        "around",
        "reachable",
        "expecting",
        "able",
    ];
    let positive = next.says(&ready)
        || verdicts[index + 1] == Verdict::Offer
        || next.says(lexicon::OFFERS) && !next.says(&["not", "only"]);
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

fn same_kind(one: &Clause, other: &Clause) -> bool {
    let kinds = |clause: &Clause| clause.items().filter(|item| *item != Item::Now).map(kind).collect::<Vec<_>>();
    kinds(one).last() == kinds(other).last() && kinds(other).len() == 1 && kinds(one).last().is_some()
}

/// What excludes one another in one offer.
fn kind(item: Item) -> u8 {
    match item {
        Item::Day(_) | Item::NextWeek | Item::ThisWeek | Item::Weekend => 0,
        Item::When(_) | Item::SameTime => 1,
        Item::Part(..) => 2,
        Item::Span(_) | Item::BareSpan(_) => 3,
        Item::Later | Item::Bound(_) | Item::Now | Item::Past | Item::Habit | Item::Bad => 4,
    }
}

fn verdict(clause: &Clause) -> Verdict {
    if clause.items().next().is_none() {
        return Verdict::Nothing;
    }
    if clause.items().any(|item| matches!(item, Item::Past | Item::Habit)) || clause.says(lexicon::PAST) && !gap(clause)
    {
        return Verdict::Told;
    }
    let first = clause.words().find(|word| !lexicon::FILLERS.contains(word)).unwrap_or("");
    let about = clause.words().any(|word| word == "about");
    let asks = matches!(first, "who" | "why" | "where" | "which") || (matches!(first, "what" | "how") && !about);
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
    if offers_time(clause) {
        return Verdict::Offer;
    }
    let allowed = |word: &str| {
        lexicon::FILLERS.contains(&word)
            || lexicon::PREPOSITIONS.contains(&word)
            || matches!(word, "not" | "it" | "wait" | "mean" | "i" | "make" | "give" | "me")
    };
    let speaks = clause.says(&["i", "it", "me"]) && !clause.says(&["mean", "make", "give"]);
    if clause.words().all(allowed) && !speaks { Verdict::Bare } else { Verdict::Told }
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
        Element::Word(word) => lexicon::is_known(word) && !lexicon::OTHERS.contains(&word.as_str()),
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
            "about" | "okay" => at == 0 || matches!(before, "how" | "what" | "is" | "be" | "it" | "") || at > last,
            // "it's about": no.
            "how" | "what" => clause.word(at + 1) == "about",
            "do" | "manage" => matches!(before, "can" | "could" | "us" | "will" | "would" | "might" | "may"),
            "work" => matches!(
                before,
                "would" | "will" | "could" | "might" | "may" | "can" | "should" | "does" | "it" | "that"
            ),
            "like" => matches!(before, "would" | "i"),
            "make" => clause.word(at + 1) == "it",
            "only" => clause.word(at + 1) == "time" || clause.word(at + 1) == "free",
            "time" => clause.says(&["have", "got"]) && at < last && after,
            "open" => before == "am" && after,
            "say" => true,
            "around" | "here" => matches!(before, "am" | "be") && after,
            word => lexicon::OFFERS.contains(&word),
        }
    })
}

/// A told clause can still cast doubt on the day of a time offered beside it.
fn told(clause: &Clause, offers: &mut Offers) {
    if clause.items().any(|item| item == Item::Past) || clause.says(lexicon::PAST) {
        return;
    }
    let own = clause.says(&["i", "we", "not", "busy", "unavailable"]) || clause.words().all(lexicon::is_known);
    let turned_down = clause.says(&["not", "busy", "unavailable", "booked"]);
    for item in clause.items() {
        match item {
            Item::Day(Day::In(0)) if turned_down => offers.refused_days.push(Day::In(0)),
            Item::Day(Day::In(0)) => {}
            Item::Day(day) if own => {
                offers.day_in_doubt = true;
                if turned_down {
                    offers.refused_days.push(day);
                }
            }
            Item::NextWeek | Item::Weekend if own => offers.day_in_doubt = true,
            _ => {}
        }
    }
}

/// What is carried from clause to clause.
#[derive(Default)]
struct State {
    /// "or" was said behind an offer.
    or: bool,
    /// "no", "sorry", "I mean": the next time of a kind replaces the last one.
    correction: bool,
}

const CORRECTIONS: &[&str] = &["no", "sorry", "actually", "mean", "rather", "make", "scratch", "correction", "instead"];

impl State {
    fn word(&mut self, word: &str, offers: &mut Offers) {
        if matches!(word, "or" | "otherwise" | "alternatively" | "either") && !offers.items.is_empty() {
            self.or = true;
        }
        if CORRECTIONS.contains(&word) && !offers.items.is_empty() {
            self.correction = true;
        }
        if self.or && matches!(word, "any" | "whenever" | "something" | "anything" | "before" | "after" | "sometime") {
            offers.unclear = true;
        }
    }

    fn words(&mut self, clause: &Clause, offers: &mut Offers) {
        clause.words().for_each(|word| self.word(word, offers));
        if clause.says(&["once", "when", "after", "before", "until", "while"]) && !clause.says(&["mind", "that"]) {
            offers.blurred = true;
        }
    }

    /// Takes the offered times of a clause.
    fn take(&mut self, clause: &Clause, offers: &mut Offers) {
        let mut negation = Negation::default();
        let mut taken = 0;
        for at in 0..clause.elements.len() {
            match &clause.elements[at] {
                Element::Item(Item::Now) => negation = Negation::default(),
                Element::Item(item) => {
                    let item = match (negation.covers(clause, at, *item), *item) {
                        (true, Item::When(When::Clock(Bound::Before | Bound::Until, clock))) => {
                            Some(Item::When(When::Clock(Bound::After, clock)))
                        }
                        (true, Item::Bound(Bound::Before | Bound::Until)) => {
                            negation = Negation::default();
                            Some(Item::Bound(Bound::After))
                        }
                        (true, Item::Day(day)) => {
                            negation.days.push(day);
                            None
                        }
                        (true, item) => {
                            negation.clocks |= kind(item) == 1 || kind(item) == 2;
                            None
                        }
                        (false, item) => Some(item),
                    };
                    if let Some(item) = item {
                        self.add(unwaited(item, clause), offers);
                        taken += 1;
                    }
                }
                Element::Word(word) => {
                    self.word(word, offers);
                    if turns_down_before(clause, at) && taken > 0 {
                        self.drop_last(taken, offers);
                        taken = 0;
                    } else if matches!(word.as_str(), "not" | "never" | "without" | "unable")
                        || no_before_time(clause, at)
                    {
                        negation = Negation::begin(clause, at);
                    }
                    let behind = matches!(clause.elements.get(at + 1), Some(Element::Item(_)));
                    offers.unclear |=
                        lexicon::LEFTOVERS.contains(&word.as_str()) && !(word == "next" && !behind && false);
                    offers.blurred |= lexicon::BLURS.contains(&word.as_str());
                }
                Element::Quantity => offers.unclear |= stray(clause, at),
                Element::Comma | Element::Stop => {}
            }
        }
        if !negation.days.is_empty() && !negation.clocks {
            offers.refused_days.append(&mut negation.days);
        }
        offers.day_in_doubt |= !offers.refused_days.iter().all(|day| *day == Day::In(0));
    }

    fn add(&mut self, item: Item, offers: &mut Offers) {
        if self.or {
            offers.unclear = true;
        }
        if self.correction {
            offers.items.retain(|other| kind(*other) != kind(item));
            self.correction = false;
        }
        offers.items.push(item);
    }

    fn drop_last(&mut self, count: usize, offers: &mut Offers) {
        let keep = offers.items.len().saturating_sub(count);
        for item in offers.items.drain(keep..) {
            if let Item::Day(day) = item {
                offers.refused_days.push(day);
            }
        }
        self.correction = false;
    }
}

/// A length alone is a wait if nothing else is said.
fn unwaited(item: Item, clause: &Clause) -> Item {
    let Item::BareSpan(span) = item else { return item };
    let alone = clause.words().all(|word| {
        matches!(
            word,
            "please"
                | "just"
                | "okay"
                | "yes"
                | "sir"
                | "call"
                | "me"
                | "back"
                | "again"
                | "ring"
                | "maybe"
                | "about"
                | "around"
                | "in"
                | "try"
                | "say"
        )
    });
    if alone && span.minutes != 1 && span.minutes + span.days > 0 { Item::Span(span) } else { Item::Bad }
}

/// A number without a noun: part of a time that we did not understand.
fn stray(clause: &Clause, at: usize) -> bool {
    let next = clause.word(at + 1);
    next.is_empty() || lexicon::is_known(next) || lexicon::LEFTOVERS.contains(&next)
}

/// "no" before a time or a call turns it down; else it only answers.
fn no_before_time(clause: &Clause, at: usize) -> bool {
    clause.word(at) == "no"
        && matches!(clause.word(at + 1), "calls" | "call" | "good" | "point" | "use" | "chance" | "way")
}

/// "tomorrow is not good", "5 is too late": words that turn down what stands before them.
fn turns_down_before(clause: &Clause, at: usize) -> bool {
    let (word, next) = (clause.word(at), clause.word(at + 1));
    if word == "too" && matches!(next, "early" | "late" | "soon") {
        return true;
    }
    if word == "no" {
        return matches!(next, "good" | "use" | "chance" | "way" | "go") || at + 1 == clause.elements.len();
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
struct Negation {
    active: bool,
    /// "not Monday": the next day said is the offer.
    direct: bool,
    kinds: Vec<u8>,
    days: Vec<Day>,
    clocks: bool,
}

impl Negation {
    fn begin(clause: &Clause, at: usize) -> Self {
        let next = (at + 1..clause.elements.len())
            .find(|&at| !matches!(clause.word(at), "at" | "on" | "in" | "the" | "for" | "this" | "around"));
        let direct = next.is_some_and(|at| matches!(clause.elements[at], Element::Item(_)));
        Self { active: true, direct, ..Self::default() }
    }

    /// Whether the time at an index is turned down.
    fn covers(&mut self, clause: &Clause, at: usize, item: Item) -> bool {
        if !self.active {
            return false;
        }
        let joined = matches!(at.checked_sub(1).map_or("", |at| clause.word(at)), "or" | "and" | "nor");
        let again = self.kinds.contains(&kind(item));
        let praised = (at + 1..clause.elements.len()).any(|at| {
            let word = clause.word(at);
            lexicon::OFFERS.contains(&word) || word == "please" || word == "does" || lexicon::CALL_VERBS.contains(&word)
        });
        if again && !joined && (self.direct || praised) {
            self.active = false;
            return false;
        }
        self.kinds.push(kind(item));
        true
    }
}
