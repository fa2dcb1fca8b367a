//! Owns the words around times that we know, by what they do in a sentence.

/// A list of words, parted by blanks.
#[derive(Clone, Copy)]
pub struct Words(pub &'static str);

impl Words {
    /// Whether the word is in the list.
    pub fn contains(self, word: &str) -> bool {
        !word.is_empty() && self.0.split(' ').any(|known| known == word)
    }
}

/// Said without adding anything.
pub const FILLERS: Words = Words(
    "please kindly okay yes yeah yep yup ya sure hi hello hey well so then just maybe perhaps probably \
     possibly actually um uh uhh umm er erm ah oh hmm mm like sir madam maam mam mate bro brother sis sister \
     dear boss buddy man love na ji yaar bhai haan accha acha arre only itself sharp exactly precisely \
     promptly thanks thank you cheers sorry right definitely certainly absolutely surely anyway anyways again \
     too also sometime some any time day ideally preferably hopefully basically honestly no s lah la eh see \
     look my local rather instead either say though guys unsure soon whenever once cool cheerio bye goodbye \
     hold confirm confirmed oops whoops gosh god jeez alrighty yo",
);

/// Small words that stand beside a time.
pub const PREPOSITIONS: Words = Words("at on in of for the a an this that and or over during around about there here");

/// Fillers that name someone.
pub const PEOPLE: Words = Words("sir madam maam mam mate bro brother sis sister dear boss buddy man love bhai guys");

/// What makes a time an offer: "tomorrow works".
pub const OFFERS: Words = Words(
    "free available works suits suit fine good better best great perfect okay convenient ideal preferable \
     prefer preferred reachable possible feasible doable lovely nice awesome excellent brilliant easier \
     easiest safer gap slot window awake howabout say make does happy comfortable manageable only open able \
     fab wonderful super sounds sound clear confirmed",
);

/// Words that a sentence of offers is made of, and that offer nothing alone.
pub const NEUTRAL: Words = Words(
    "i me you your we us our it is am are be would will can could should may might shall must do does have \
     has got get let with as to work time most more much bit little even still always try take manage very \
     really quite pretty all both think guess suppose believe not never if but because when from than want \
     need up out down reach slightly myself he she they talk speak chat hear answer pick keep put by go ahead \
     works mind everyone anyone regarding while since till until between before after same morning afternoon \
     evening noon lunch tonight night today tomorrow monday tuesday wednesday thursday friday saturday sunday \
     next later now end earliest latest onward early late january february march april june july august \
     september october november december weekend otherwise howabout what wait mean another whole entire bad \
     busy impossible inconvenient difficult tough tricky unavailable unable wide calendar schedule diary",
);

/// Verbs of calling that take whom to call.
pub const CALL_VERBS: Words = Words(
    "call ping disturb bother ring phone dial buzz telephone contact reach try catch calling ringing phoning \
     contacting trying reaching follow revert return circle",
);

/// Verbs of talking.
pub const TALK_VERBS: Words =
    Words("speak talk chat connect reconnect converse discuss catchup talking speaking chatting touch");

/// Verbs of fixing a time.
pub const ARRANGE_VERBS: Words =
    Words("schedule book arrange fix reschedule postpone move keep put pencil plan note set push shift defer make");

/// What one is called on.
pub const PHONES: Words = Words(
    "mobile cell phone number landline office home house work desk other line cellphone handset shop same \
     whatsapp personal extension direct",
);

/// Words of the past, of duty and of report: a call that stands with one is not asked for.
pub const PAST: Words = Words(
    "was were did had called rang phoned spoke told said paid went gave received came waited been talked \
     asked promised supposed wanted tried forgot sent bought took happened started ended ago last earlier \
     previously already missed meant used agreed thought expected claimed mentioned scheduled arranged \
     previous woke left got",
);

/// Who is no one that is to call: a call of theirs is told, not asked for.
pub const OTHERS: Words = Words("he she they people guys everybody everyone nobody others who");

/// What blurs a day: the day alone would be too wide a reading.
pub const BLURS: Words = Words(
    "after before once when while until till during early late dinner breakfast supper dawn dusk sunset \
     sunrise beginning start middle mid half towards toward following by within from since first second",
);

/// What names a piece of a day or of its part: the whole would be too wide a reading.
pub const NARROWS: Words = Words("early late beginning start middle mid half first second earlier towards toward");

/// What is left of a time that we did not understand.
pub const LEFTOVERS: Words = Words(
    "week weeks weekly month months year years quarter fortnight weekend hour hours minute minutes days pm \
     oclock between midnight next est edt pst pdt cst cdt mst mdt gmt utc bst cet cest ist aest aedt eastern \
     pacific central zulu thing end onward till until every",
);

/// Whether a number may stand before or behind the word and still be a clock time.
pub fn is_known(word: &str) -> bool {
    [FILLERS, PREPOSITIONS, OFFERS, NEUTRAL, CALL_VERBS, TALK_VERBS, ARRANGE_VERBS]
        .iter()
        .any(|list| list.contains(word))
}

/// Whether a call or a talk is asked for by the verb.
pub fn is_call_verb(word: &str) -> bool {
    CALL_VERBS.contains(word) || TALK_VERBS.contains(word) || ARRANGE_VERBS.contains(word)
}

/// "calling", but not "ring".
pub fn is_gerund(word: &str) -> bool {
    word.ends_with("ing") && word != "ring"
}
