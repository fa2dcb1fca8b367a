//! Owns what a word is: contractions spelled out, spellings made one, and set phrases that mean something else than
//! their words ("if you don't mind" is no negation).

use super::{numbers, tokens::Token};

/// Contractions, abbreviations and misspellings, with the words they stand for.
const SPELLINGS: &[(&str, &str)] = &[
    ("can't", "can not"),
    ("cant", "can not"),
    ("cannot", "can not"),
    ("won't", "will not"),
    ("wont", "will not"),
    ("shan't", "will not"),
    ("ain't", "is not"),
    ("dont", "do not"),
    ("doesnt", "does not"),
    ("didnt", "did not"),
    ("isnt", "is not"),
    ("wasnt", "was not"),
    ("arent", "are not"),
    ("havent", "have not"),
    ("shouldnt", "should not"),
    ("couldnt", "could not"),
    ("wouldnt", "would not"),
    ("mustnt", "must not"),
    ("im", "i am"),
    ("ive", "i have"),
    ("its", "it is"),
    ("it's", "it is"),
    ("thats", "that is"),
    ("that's", "that is"),
    ("there's", "there is"),
    ("theres", "there is"),
    ("here's", "here is"),
    ("he's", "he is"),
    ("she's", "she is"),
    ("hes", "he is"),
    ("shes", "she is"),
    ("what's", "what is"),
    ("whats", "what is"),
    ("who's", "who is"),
    ("whos", "who is"),
    ("how's", "howabout"),
    ("hows", "howabout"),
    ("let's", "let us"),
    ("lets", "let us"),
    ("youre", "you are"),
    ("ill", "i will"),
    ("id", "i would"),
    ("u", "you"),
    ("ur", "your"),
    ("gonna", "going to"),
    ("wanna", "want to"),
    ("gotta", "have to"),
    ("gimme", "give me"),
    ("lemme", "let me"),
    ("pls", "please"),
    ("plz", "please"),
    ("plse", "please"),
    ("tmrw", "tomorrow"),
    ("tmr", "tomorrow"),
    ("tmrow", "tomorrow"),
    ("tomo", "tomorrow"),
    ("tomorow", "tomorrow"),
    ("tommorow", "tomorrow"),
    ("tommorrow", "tomorrow"),
    ("tomorrows", "tomorrow s"),
    ("todays", "today s"),
    ("tonite", "tonight"),
    ("oclock", "oclock"),
    ("o'clock", "oclock"),
    ("hrs", "hours"),
    ("hr", "hour"),
    ("min", "minute"),
    ("mins", "minutes"),
    ("wk", "week"),
    ("wks", "weeks"),
    ("arvo", "afternoon"),
    ("midday", "noon"),
    ("noontime", "noon"),
    ("noonish", "around noon"),
    ("h", "hours"),
    ("lunchtime", "lunch"),
    ("dinnertime", "dinner"),
    ("bedtime", "bed"),
    ("eod", "end of day"),
    ("til", "till"),
    ("'til", "till"),
    ("btw", "between"),
    ("approx", "around"),
    ("approximately", "around"),
    ("roughly", "around"),
    ("circa", "around"),
    ("abt", "about"),
    ("aroundabout", "around"),
    ("cos", "because"),
    ("coz", "because"),
    ("cuz", "because"),
    ("cause", "because"),
    ("'cause", "because"),
    ("alright", "fine"),
    ("ok", "okay"),
    ("k", "okay"),
    ("okey", "okay"),
    ("callback", "call back"),
    ("anymore", "any more"),
    ("everyday", "every day"),
    ("someday", "some day"),
    ("anyday", "any day"),
    ("anytime", "any time"),
    ("asap", "soon"),
    ("dnd", "dnd"),
    ("p.m", "pm"),
    ("thur", "thursday"),
    ("thurs", "thursday"),
    ("thu", "thursday"),
    ("tue", "tuesday"),
    ("tues", "tuesday"),
    ("weds", "wednesday"),
    ("wed", "wednesday"),
    ("fri", "friday"),
    ("mon", "monday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
    ("wensday", "wednesday"),
    ("wednsday", "wednesday"),
    ("saterday", "saturday"),
];

/// Set phrases, with what they say for our purpose. Tried in order; the longer of two stands first.
const PHRASES: &[(&str, &str)] = &[
    ("if you do not mind", "please"),
    ("if that is okay", "please"),
    ("if that is fine", "please"),
    ("if it is okay", "please"),
    ("if it is fine", "please"),
    ("if it is possible", "please"),
    ("if that works", "please"),
    ("if that suits", "please"),
    ("if it suits", "please"),
    ("if possible", "please"),
    ("if you can", "please"),
    ("if you could", "can you"),
    ("if you would", "can you"),
    ("if you please", "please"),
    ("if you like", "please"),
    ("if you want", "please"),
    ("if not", "otherwise"),
    ("or else", "otherwise"),
    ("failing that", "otherwise"),
    ("i would not mind", "i would like"),
    ("would you mind", "can you"),
    ("do you mind", "can you"),
    ("do not mind", "like"),
    ("would not mind", "like"),
    ("do not forget to", "please"),
    ("do not forget", "please"),
    ("do not hesitate to", "please"),
    ("do not worry", "okay"),
    ("do not fail to", "please"),
    ("why do not you", "can you"),
    ("why do not we", "can we"),
    ("why not", "howabout"),
    ("how about", "howabout"),
    ("what about", "howabout"),
    ("how would", "would"),
    ("how does", "does"),
    ("can not you", "can you"),
    ("could not you", "can you"),
    ("can you not", "can you"),
    ("let us say", "say"),
    ("i would say", "say"),
    ("shall we say", "say"),
    ("all right", "fine"),
    ("would not it", "would it"),
    ("is not it", "okay"),
    ("not a problem", "okay"),
    ("on do not disturb", "silent"),
    ("not bad", "good"),
    ("not busy", "free"),
    ("not yet", "now"),
    ("not sure", "unsure"),
    ("no problem", "okay"),
    ("no worries", "okay"),
    ("no issue", "okay"),
    ("no issues", "okay"),
    ("no rush", "okay"),
    ("no hurry", "okay"),
    ("no doubt", "okay"),
    ("instead of", "not"),
    ("rather than", "not"),
    ("anything but", "not"),
    ("any time but", "not"),
    ("any day but", "not"),
    ("except for", "not"),
    ("except", "not"),
    ("apart from", "not"),
    ("right now", "now"),
    ("just now", "now"),
    ("at the moment", "now"),
    ("at this moment", "now"),
    ("at the minute", "now"),
    ("at present", "now"),
    ("at this very moment", "now"),
    ("currently", "now"),
    ("presently", "now"),
    ("as soon as possible", "soon"),
    ("as soon as you can", "soon"),
    ("at the latest", "latest"),
    ("at the earliest", "earliest"),
    ("on the dot", "sharp"),
    ("o clock", "oclock"),
    ("o ' clock", "oclock"),
    ("mid day", "noon"),
    ("mid morning", "early morning"),
    ("mid afternoon", "early afternoon"),
    ("the after noon", "the afternoon"),
    ("this after noon", "this afternoon"),
    ("day end", "end of day"),
    ("more or less", "around"),
    ("somewhere around", "around"),
    ("somewhere between", "between"),
    ("anywhere between", "between"),
    ("round about", "around"),
    ("around about", "around"),
    ("close to", "around"),
    ("no later than", "by"),
    ("not later than", "by"),
    ("no earlier than", "after"),
    ("not earlier than", "after"),
    ("no sooner than", "after"),
    ("not sooner than", "after"),
    ("later than", "after"),
    ("earlier than", "before"),
    ("any time past", "after"),
    ("starting from", "from"),
    ("starting at", "from"),
    ("onwards", "onward"),
    ("at the same time", "same time"),
    ("the same time", "same time"),
    ("at same time", "same time"),
    ("not at this time", "not now"),
    ("at this time", "this time"),
    ("if you call", "can you call"),
    ("out of", "off"),
];

/// Adds a word as it is meant.
pub fn spell(word: &str, out: &mut Vec<Token>) {
    let word = word.trim_end_matches('\'');
    // "I'm ill" is no "I'll".
    let is_ill = word == "ill" && out.last().is_some_and(|token| matches!(token.word(), "am" | "is" | "feeling"));
    let mut push = |words: &str| out.extend(words.split(' ').map(|word| Token::Word(word.to_owned())));
    if let Some((_, meant)) = SPELLINGS.iter().find(|(spelling, _)| *spelling == word && !is_ill) {
        return push(meant);
    }
    const ENDINGS: [(&str, &str); 7] =
        [("n't", "not"), ("'ll", "will"), ("'re", "are"), ("'ve", "have"), ("'d", "would"), ("'m", "am"), ("'s", "s")];
    for (ending, meant) in ENDINGS {
        if let Some(stem) = word.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
            push(stem);
            return push(meant);
        }
    }
    if let Some(number) = word.strip_suffix("ish").filter(|stem| numbers::is_number(stem)) {
        push(number);
        return push("ish");
    }
    let bare: String = word.chars().filter(|&c| c != '\'').collect();
    if !bare.is_empty() {
        push(&bare);
    }
}

/// Replaces set phrases.
pub fn rewrite(tokens: Vec<Token>) -> Vec<Token> {
    let mut out = Vec::with_capacity(tokens.len());
    let mut at = 0;
    'tokens: while at < tokens.len() {
        for (phrase, meant) in PHRASES {
            let words = phrase.split(' ').count();
            let found = tokens.get(at..at + words);
            if found.is_some_and(|found| found.iter().map(Token::word).eq(phrase.split(' '))) {
                out.extend(meant.split(' ').map(|word| Token::Word(word.to_owned())));
                at += words;
                continue 'tokens;
            }
        }
        out.push(tokens[at].clone());
        at += 1;
    }
    out
}
