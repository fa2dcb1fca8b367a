//! Owns the first reading of a phrase: characters to words, numbers, clock faces, dates and pauses. Knows no grammar.

use super::{numbers, set_phrases, spelling};

/// The smallest piece of a phrase that means something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A word in lower case; contractions are spelled out.
    Word(String),
    /// A number in digits or words.
    Number(Number),
    /// "3rd", "twenty first". A lone "second" stays a word: it is a unit of time as well.
    Ordinal(u32),
    /// Hours and minutes with a mark between: "5:30", "5.30", "17h30".
    Face {
        /// As written.
        hour: u32,
        /// As written, two digits.
        minute: u32,
        /// Written as "05:30".
        zero: bool,
    },
    /// "1.5": whole and tenths.
    Decimal(u32, u32),
    /// "5/12", "2026-12-03", in the order written.
    Date([u32; 3], usize),
    /// A comma, or a dash between words.
    Comma,
    /// The end of a sentence.
    Stop,
    /// A dash between numbers.
    Dash,
}

/// A number, with what its form tells about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Number {
    /// Saturated: longer ones are no times.
    pub value: u32,
    /// How many digits; 0 for words.
    pub digits: usize,
    /// Written with a leading zero, or with "oh" before it.
    pub zero: bool,
}

impl Token {
    /// The word, or "" for everything else.
    pub fn word(&self) -> &str {
        if let Self::Word(word) = self { word } else { "" }
    }
}

/// Reads a phrase.
pub fn tokens(phrase: &str) -> Vec<Token> {
    let chars: Vec<char> = phrase.chars().flat_map(char::to_lowercase).map(plain).collect();
    let mut lexer = Lexer { chars, at: 0, out: Vec::new() };
    while let Some(c) = lexer.peek(0) {
        lexer.step(c);
    }
    numbers::join(set_phrases::rewrite(lexer.out))
}

fn plain(c: char) -> char {
    match c {
        '\u{2019}' | '\u{2018}' | '`' | '\u{b4}' => '\'',
        '\u{2013}' | '\u{2010}' | '\u{2011}' | '\u{2212}' => '-',
        '\u{2014}' => ',',
        c if c.is_whitespace() && c != '\n' => ' ',
        c => c,
    }
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    out: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn is_digit(&self, ahead: usize) -> bool {
        self.peek(ahead).is_some_and(|c| c.is_ascii_digit())
    }

    fn push_word(&mut self, word: &str) {
        self.out.push(Token::Word(word.to_owned()));
    }

    fn step(&mut self, c: char) {
        match c {
            c if c.is_ascii_digit() => return self.number(),
            c if c.is_alphabetic() => return self.word(),
            '-' => self.dash(),
            ',' | ':' | '(' | ')' | '"' => self.out.push(Token::Comma),
            // Dots of hesitation end nothing: "at... five".
            '.' if self.peek(1) == Some('.') => {
                while self.peek(1) == Some('.') {
                    self.at += 1;
                }
            }
            '.' | '?' | '!' | ';' | '\n' => self.out.push(Token::Stop),
            '@' => self.push_word("at"),
            '&' => self.push_word("and"),
            '~' => self.push_word("around"),
            '%' => self.push_word("percent"),
            '$' | '£' | '€' | '₹' => self.push_word("currency"),
            '+' | '#' => self.push_word("number"),
            '/' => self.push_word("or"),
            _ => {}
        }
        self.at += 1;
    }

    fn dash(&mut self) {
        let before = self.at.checked_sub(1).and_then(|at| self.chars.get(at)).copied().unwrap_or(' ');
        let spaced = before == ' ' || self.peek(1).is_none_or(|c| c == ' ');
        let after = (1..).map_while(|ahead| self.peek(ahead)).find(|&c| c != ' ');
        let number_before = matches!(self.out.last(), Some(Token::Number(_) | Token::Face { .. }))
            || matches!(self.out.last().map(Token::word), Some("am" | "pm"));
        match (number_before && after.is_some_and(|c| c.is_ascii_digit()), spaced) {
            (true, _) => self.out.push(Token::Dash),
            (false, true) => self.out.push(Token::Comma),
            // "forty-five", "call-back": two words.
            (false, false) => {}
        }
    }

    fn word(&mut self) {
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_alphabetic() || c == '\'') {
            self.at += 1;
        }
        let word: String = self.chars[start..self.at].iter().collect();
        let dotted_m =
            self.peek(0) == Some('.') && self.peek(1) == Some('m') && !self.peek(2).is_some_and(char::is_alphanumeric);
        let spaced_m = self.peek(0) == Some('.')
            && self.peek(1) == Some(' ')
            && self.peek(2) == Some('m')
            && self.peek(3) == Some('.');
        if matches!(word.as_str(), "a" | "p") && spaced_m {
            self.at += 4;
            return self.push_word(if word == "a" { "am" } else { "pm" });
        }
        if matches!(word.as_str(), "a" | "p") && dotted_m {
            self.at += if self.peek(2) == Some('.') { 3 } else { 2 };
            return self.push_word(if word == "a" { "am" } else { "pm" });
        }
        spelling::spell(&word, &mut self.out);
    }

    /// The digits from here on, at most nine of them counted.
    fn digits(&mut self) -> (u32, usize) {
        let (mut value, start) = (0_u32, self.at);
        while let Some(digit) = self.peek(0).and_then(|c| c.to_digit(10)) {
            value = value.saturating_mul(10).saturating_add(digit);
            self.at += 1;
        }
        (value, self.at - start)
    }

    fn number(&mut self) {
        let zero = self.peek(0) == Some('0');
        let (value, digits) = self.digits();
        let two_digits = self.is_digit(1) && self.is_digit(2) && !self.is_digit(3);
        let token = match self.peek(0) {
            Some(':' | '.' | 'h') if digits <= 2 && two_digits => {
                self.at += 1;
                let (minute, _) = self.digits();
                self.skip_seconds();
                Token::Face { hour: value, minute, zero: zero && digits == 2 }
            }
            // "5:3" is no time, and must not be read as 5.
            Some(':') if self.is_digit(1) => {
                self.at += 1;
                self.digits();
                Token::Face { hour: value, minute: u32::MAX, zero: false }
            }
            Some('.') if self.is_digit(1) && !self.is_digit(2) => {
                self.at += 1;
                Token::Decimal(value, self.digits().0)
            }
            Some(mark @ ('/' | '-')) if self.is_digit(1) && (mark == '/' || self.three_part_date()) => self.date(value),
            Some(',') if digits <= 3 && (1..=3).all(|ahead| self.is_digit(ahead)) && !self.is_digit(4) => {
                // "5,000" is an amount.
                self.at += 4;
                Token::Number(Number { value: u32::MAX, digits: 9, zero: false })
            }
            _ => Token::Number(Number { value, digits, zero: zero && digits > 1 }),
        };
        self.out.push(token);
        self.suffix(value);
    }

    fn skip_seconds(&mut self) {
        if self.peek(0) == Some(':') && self.is_digit(1) && self.is_digit(2) {
            self.at += 3;
        }
    }

    /// Whether digits, a dash and digits follow the dash that stands here.
    fn three_part_date(&self) -> bool {
        let second = (1..).take_while(|&ahead| self.is_digit(ahead)).count();
        self.peek(1 + second) == Some('-') && self.is_digit(2 + second)
    }

    fn date(&mut self, first: u32) -> Token {
        let mut parts = [first, 0, 0];
        let mut count = 1;
        while count < 3 && matches!(self.peek(0), Some('/' | '-')) && self.is_digit(1) {
            self.at += 1;
            parts[count] = self.digits().0;
            count += 1;
        }
        Token::Date(parts, count)
    }

    /// Letters that stand at the number: "3rd", "5p", "17h".
    fn suffix(&mut self, value: u32) {
        let letters: String = (0..).map_while(|ahead| self.peek(ahead)).take_while(|c| c.is_alphabetic()).collect();
        let word = match letters.as_str() {
            "st" | "nd" | "rd" | "th" => {
                self.out.pop();
                self.out.push(Token::Ordinal(value));
                self.at += 2;
                return;
            }
            // "5p.m." is left to the word.
            "p" if self.peek(1) != Some('.') => "pm",
            "a" if self.peek(1) != Some('.') => "am",
            "h" => "hours",
            "m" => "minutes",
            "k" => "thousand",
            _ => return,
        };
        self.at += 1;
        self.push_word(word);
    }
}
