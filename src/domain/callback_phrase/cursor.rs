//! Owns looking at tokens by index; beyond the end there are none.

use super::tokens::{Number, Token};

/// A view of all tokens.
#[derive(Clone, Copy)]
pub struct Cursor<'a>(pub &'a [Token]);

impl<'a> Cursor<'a> {
    /// The token.
    pub fn token(self, at: usize) -> Option<&'a Token> {
        self.0.get(at)
    }

    /// The word, or "".
    pub fn word(self, at: usize) -> &'a str {
        self.0.get(at).map_or("", Token::word)
    }

    /// The word before, or "".
    pub fn word_before(self, at: usize) -> &'a str {
        at.checked_sub(1).map_or("", |at| self.word(at))
    }

    /// The number.
    pub fn number(self, at: usize) -> Option<Number> {
        if let Some(Token::Number(number)) = self.token(at) { Some(*number) } else { None }
    }

    /// Whether these words stand here.
    pub fn is(self, at: usize, words: &str) -> bool {
        words.split(' ').enumerate().all(|(index, word)| self.word(at + index) == word)
    }

    /// The first index from here whose word is none of these.
    pub fn skip(self, at: usize, words: &[&str]) -> usize {
        (at..).find(|&at| !words.contains(&self.word(at)) || self.word(at).is_empty()).unwrap_or(at)
    }
}
