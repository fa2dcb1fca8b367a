//! Owns which of the times in a phrase are offered for the call, which are turned down, and which only tell something.

use super::clauses::{Clause, Opening};
use super::items::{Bound, Day, Element, Item, When};
use super::lexicon::{self, Words};
use super::negation::{self, Negation};
use super::verdicts::{self, Verdict, kind};

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
    /// A clock time or a part is turned down beside what is offered: "between 3 and 5 but not 4".
    pub pierced: bool,
    /// Only a piece of the part or the day is meant: "early in the morning".
    pub narrowed: bool,
}

/// Weighs all clauses.
pub fn collect(clauses: &[Clause]) -> Offers {
    let mut offers = Offers::default();
    let mut state = State::default();
    let verdicts: Vec<Verdict> = clauses.iter().map(verdicts::verdict).collect();
    for (index, clause) in clauses.iter().enumerate() {
        let verdict = verdicts::settle(clauses, &verdicts, index);
        match verdict {
            Verdict::Nothing => state.words(clause, &mut offers),
            Verdict::Told => told(clause, &mut offers),
            Verdict::Offer | Verdict::Bare => state.take(clause, &mut offers),
        }
    }
    offers
}

/// A told clause can still cast doubt on the day of a time offered beside it.
fn told(clause: &Clause, offers: &mut Offers) {
    if clause.items().any(|item| item == Item::Past) || clause.says_any(lexicon::PAST) {
        return;
    }
    // "Monday, otherwise my wife is in on Tuesday".
    offers.unclear |= !offers.items.is_empty() && clause.says(&["otherwise", "alternatively", "or"]);
    // "Tonight after the kids are asleep, so around nine".
    let heads = matches!(clause.elements.first(), Some(Element::Item(Item::Part(..))));
    offers.day_in_doubt |= heads && clause.says(&["after", "once", "when", "before", "while"]);
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

const CORRECTIONS: Words = Words("no sorry actually mean rather make scratch correction instead");

impl State {
    fn word(&mut self, word: &str, offers: &mut Offers) {
        if matches!(word, "or" | "otherwise" | "alternatively" | "either") && !offers.items.is_empty() {
            self.or = true;
        }
        if CORRECTIONS.contains(word) && !offers.items.is_empty() {
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
                            // "not tomorrow before 10": the day is not turned down either.
                            let days = std::mem::take(&mut negation).days;
                            days.into_iter().for_each(|day| self.add(Item::Day(day), offers));
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
                            offers.pierced |=
                                pierces(item, &offers.items, taken > 0 || clause.opening == Opening::Joined);
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
                    offers.blurred |= word == "or" && clause.word(at + 1) == "so";
                    if negation::turns_down_before(clause, at) && taken > 0 {
                        self.drop_last(taken, offers);
                        taken = 0;
                    } else if matches!(word.as_str(), "not" | "never" | "without")
                        || negation::is_bad(word)
                        || negation::no_before_time(clause, at)
                    {
                        let days = std::mem::take(&mut negation.days);
                        negation = Negation::begin(clause, at);
                        negation.days = days;
                    }
                    // A bound that belongs to no clock time: "in an hour at the earliest".
                    offers.unclear |= matches!(word.as_str(), "earliest" | "latest");
                    offers.unclear |= lexicon::LEFTOVERS.contains(word);
                    let hear = word == "from" && clause.word(at + 1) == "you"
                        || word == "during" && matches!(clause.elements.get(at + 1), Some(Element::Item(_)));
                    offers.blurred |= lexicon::BLURS.contains(word) && !hear;
                    offers.narrowed |= lexicon::NARROWS.contains(word);
                }
                Element::Quantity => offers.unclear |= stray(clause, at),
                Element::Comma | Element::Stop => {}
            }
        }
        if !negation.days.is_empty() && !negation.clocks {
            offers.refused_days.append(&mut negation.days);
        }
        // "tomorrow, but not in the morning".
        offers.blurred |= negation.clocks && (taken > 0 || clause.opening == Opening::Joined);
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

/// Whether what is turned down may lie inside of what is offered already; of two parts of the day neither does.
fn pierces(item: Item, offered: &[Item], beside: bool) -> bool {
    let part = matches!(item, Item::Part(..));
    beside && offered.iter().any(|other| matches!(other, Item::When(_)) || !part && matches!(other, Item::Part(..)))
}

const BESIDE_LENGTH: Words = Words("please just okay yes sir call me back again ring maybe about around in try say");

/// A length alone is a wait if nothing else is said.
fn unwaited(item: Item, clause: &Clause) -> Item {
    let Item::BareSpan(span) = item else { return item };
    let alone = clause.words().all(|word| BESIDE_LENGTH.contains(word));
    if alone && span.minutes > 1 { Item::Span(span) } else { Item::Bad }
}

/// A number without a noun: part of a time that we did not understand.
fn stray(clause: &Clause, at: usize) -> bool {
    let next = clause.word(at + 1);
    next.is_empty() || lexicon::is_known(next) || lexicon::LEFTOVERS.contains(next)
}
