//! Owns what a word is: contractions spelled out, spellings made one.

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
    ("tomoro", "tomorrow"),
    ("tomorrw", "tomorrow"),
    ("tommorw", "tomorrow"),
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
    ("thru", "through"),
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
    ("wendsday", "wednesday"),
    ("thrusday", "thursday"),
    ("tusday", "tuesday"),
    ("firday", "friday"),
    ("satuday", "saturday"),
    ("febuary", "february"),
    ("mornin", "morning"),
    ("evng", "evening"),
    ("tomorro", "tomorrow"),
    ("wednsday", "wednesday"),
    ("saterday", "saturday"),
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
