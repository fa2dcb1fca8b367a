//! Owns where one statement ends and the next begins; speech recognisers leave out the punctuation.

use super::items::{Element, Item};
use super::lexicon::{self, Words};

/// How a clause is parted from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// By a full stop, or it is the first.
    Stop,
    /// By a comma.
    Comma,
    /// By nothing but its own first words.
    Soft,
    /// By "but", "because", "so", "and".
    Joined,
}

/// One statement.
#[derive(Debug, Clone)]
pub struct Clause {
    /// How it begins.
    pub opening: Opening,
    /// What it says, without pauses.
    pub elements: Vec<Element>,
}

impl Clause {
    /// The word at an index, or "".
    pub fn word(&self, at: usize) -> &str {
        if let Some(Element::Word(word)) = self.elements.get(at) { word } else { "" }
    }

    /// All words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.elements
            .iter()
            .filter_map(|element| if let Element::Word(word) = element { Some(word.as_str()) } else { None })
    }

    /// All times.
    pub fn items(&self) -> impl Iterator<Item = Item> {
        self.elements.iter().filter_map(|element| if let Element::Item(item) = element { Some(*item) } else { None })
    }

    /// Whether a word of the list is said.
    pub fn says_any(&self, list: Words) -> bool {
        self.words().any(|word| list.contains(word))
    }

    /// Whether one of these words is said.
    pub fn says(&self, words: &[&str]) -> bool {
        self.words().any(|word| words.contains(&word))
    }
}

/// Parts the elements of a phrase.
pub fn split(elements: Vec<Element>) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = Vec::new();
    let mut current = Clause { opening: Opening::Stop, elements: Vec::new() };
    let mut pending = Opening::Stop;
    for (at, element) in elements.iter().enumerate() {
        let opening = match element {
            Element::Stop => Some(Opening::Stop),
            Element::Comma => Some(Opening::Comma),
            Element::Word(word) => soft_opening(&elements, at, word, &current),
            _ => None,
        };
        if let Some(opening) = opening {
            if current.elements.is_empty() {
                pending = if pending == Opening::Stop { pending } else { opening };
            } else {
                clauses.push(std::mem::replace(&mut current, Clause { opening, elements: Vec::new() }));
                pending = opening;
            }
            current.opening = pending;
        }
        if !matches!(element, Element::Stop | Element::Comma) {
            current.elements.push(element.clone());
            // "I can't talk right now tomorrow is better".
            if *element == Element::Item(Item::Now) && current.elements.len() > 1 {
                clauses.push(std::mem::replace(&mut current, Clause { opening: Opening::Soft, elements: Vec::new() }));
                pending = Opening::Soft;
            }
        }
    }
    if !current.elements.is_empty() {
        clauses.push(current);
    }
    clauses
}

/// Words between a subject and its verb, or before what they belong to: no new clause begins behind them.
const HOLD_SUBJECT: Words = Words(
    "time day that when if as than what because before after once until till how where which while like can \
     could would should may might will shall do did does am is are have whenever unless think guess and but \
     so since said",
);

/// Words that the verb of calling belongs to.
const HOLD_VERB: Words = Words(
    "to you can could will would should may might shall must not do does did we i they he she people guys let \
     us a an the your my our another this that no any one these those conference video for of from by someone \
     somebody anyone anybody everybody everyone nobody never ever just only again please kindly about than is \
     are am keep stop mind try always also phone more further quick missed and or then in on \
     at them with have be cannot quit don me been get who next",
);

fn soft_opening(elements: &[Element], at: usize, word: &str, current: &Clause) -> Option<Opening> {
    let word_at = |at: usize| if let Some(Element::Word(word)) = elements.get(at) { word.as_str() } else { "" };
    let before = at.checked_sub(1).map_or("", word_at);
    let next = word_at(at + 1);
    let has_item = current.items().next().is_some();
    let has_content = has_item || current.words().any(|word| !lexicon::FILLERS.contains(word));
    let has_call = current.words().any(lexicon::is_call_verb);
    match word {
        "but" | "because" | "since" | "although" | "however" | "unless" | "while" | "whereas" | "when"
        | "otherwise" | "if"
            if !(word == "since" && has_item && !matches!(next, "i" | "we" | "my" | "it")
                || word == "when" && matches!(before, "is" | "was")) =>
        {
            return Some(Opening::Joined);
        }
        "so" if has_content && before != "or" => return Some(Opening::Joined),
        "and" if matches!(next, "i" | "we" | "you" | "can" | "please" | "then" | "not" | "he" | "she" | "my") => {
            return Some(Opening::Joined);
        }
        "and" if lexicon::CALL_VERBS.contains(next) => return Some(Opening::Joined),
        "as" if matches!(next, "i" | "we" | "it" | "my" | "he" | "she") => return Some(Opening::Joined),
        _ => {}
    }
    let held = HOLD_SUBJECT.contains(before);
    let subject = matches!(word, "i" | "we" | "he" | "she" | "they")
        || (matches!(word, "it" | "there" | "that") && matches!(next, "is" | "will" | "would"))
        || (word == "you" && (matches!(next, "can" | "could" | "may" | "should" | "must") || next == "call"));
    if subject && !held && (has_item || has_call || (word == "you" && has_content)) {
        return Some(Opening::Soft);
    }
    let question = matches!(word, "can" | "could" | "would" | "will" | "shall") && matches!(next, "you" | "we" | "i");
    let request = word == "howabout" || word == "let" && next == "us";
    let asked_time = before == "time" && !matches!(at.checked_sub(3).map_or("", word_at), "not" | "a" | "bad" | "good");
    let asked_time = asked_time && !matches!(at.checked_sub(2).map_or("", word_at), "good" | "bad" | "great" | "right");
    if (question || request)
        && has_content
        && !asked_time
        && !matches!(before, "when" | "what" | "why" | "where" | "and" | "so")
    {
        return Some(Opening::Soft);
    }
    let verb = lexicon::CALL_VERBS.contains(word) && !lexicon::is_gerund(word)
        || matches!(word, "give" | "drop") && next == "me"
        || word == "make" && matches!(next, "it" | "that") && has_item
        || word == "get" && matches!(next, "me" | "back" | "in" | "hold")
        || matches!(word, "please" | "kindly") && lexicon::CALL_VERBS.contains(next);
    // "bad for me call after 3", but "let me call".
    let for_me = before == "me" && matches!(at.checked_sub(2).map_or("", word_at), "for" | "with");
    (verb && has_content && (for_me || !HOLD_VERB.contains(before))).then_some(Opening::Soft)
}
