//! Owns what a phone number is: an E.164 number, read from what people write and masked wherever it
//! could be seen. Does not own where a number is (its zone) nor whether it may be called.
//!
//! Trap: the library logs whole numbers at TRACE (target `rlibphonenumber`); no log filter may
//! let it through.

use std::fmt;

use rlibphonenumber::{NumberLengthType, ParseError, PhoneNumberFormat, Region, ValidationError};
use thiserror::Error;

/// Longest accepted text, in characters. Real numbers with all their decoration stay under 40.
pub const TEXT_CHARS_MAX: usize = 64;
/// Fewest digits of a subscriber number, country code included (Niue: +683 and four digits). Below
/// it are emergency and service codes, which an outbound campaign must never reach.
pub const DIGITS_MIN: u32 = 7;
/// Most digits of an E.164 number, country code included.
pub const DIGITS_MAX: u32 = 15;

/// A phone number in E.164, without its plus sign.
///
/// Equal numbers are equal however they were written. `Debug` and `Display` show a mask: the full
/// number leaves only through [`e164`](Self::e164) and [`digits`](Self::digits).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumber(u64);

/// Why a text is no phone number. Never carries the text: errors are logged and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PhoneNumberError {
    /// Nothing, or only blanks.
    #[error("the number is empty")]
    Empty,
    /// More than [`TEXT_CHARS_MAX`] characters, or more digits than any number of its country.
    #[error("the number is too long")]
    TooLong,
    /// Fewer digits than any number of its country, or an emergency or service code.
    #[error("the number is too short")]
    TooShort,
    /// A length between the shortest and the longest of its country that no number there has.
    #[error("no number of that country has this many digits")]
    ImpossibleLength,
    /// A local number that can only be dialled within its area.
    #[error("the number lacks its area code")]
    NoAreaCode,
    /// A national number, and no region to read it in.
    #[error("a number without a country code needs a default region")]
    NoRegion,
    /// The default region is no ISO 3166-1 alpha-2 code of a place with phone numbers.
    #[error("the default region is not a known two-letter country code")]
    UnknownRegion,
    /// The digits after the plus sign begin with no country code in use.
    #[error("the country code is not in use")]
    UnknownCountryCode,
    /// A number and an extension, pause or tone.
    #[error("numbers with an extension cannot be called")]
    Extension,
    /// Letters, `*`, `#`, `,` or `;`, two numbers, or anything else.
    #[error("the text is not a phone number")]
    NotANumber,
}

impl PhoneNumber {
    /// Reads a number as people write it; `default_region` (ISO 3166-1 alpha-2, any case) serves
    /// numbers without a country code and is not looked at for others.
    ///
    /// A number must be *possible* (its country has numbers of that length), not *valid* (its block
    /// is assigned): blocks are opened faster than metadata is released, and the ranges set aside
    /// for drama and tests are in part unassigned. What is possible but unassigned comes back as
    /// INVALID_NUMBER.
    ///
    /// Extensions are refused rather than cut off: E.164 has no place for them, and the number
    /// without its extension is somebody else. Letters are refused too, vanity numbers included:
    /// "202 555 0100 after 6" would otherwise be dialled with the letters as digits.
    ///
    /// # Errors
    /// [`PhoneNumberError`], never with the text in it.
    pub fn parse(text: &str, default_region: Option<&str>) -> Result<Self, PhoneNumberError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PhoneNumberError::Empty);
        }
        if text.chars().count() > TEXT_CHARS_MAX {
            return Err(PhoneNumberError::TooLong);
        }
        let region = match default_region {
            Some(code) if !is_international(text) => Some(known_region(code).ok_or(PhoneNumberError::UnknownRegion)?),
            _ => None,
        };
        let parsed = rlibphonenumber::PhoneNumber::parse(text, region);
        if parsed.as_ref().is_ok_and(|number| number.extension.is_some()) {
            return Err(PhoneNumberError::Extension);
        }
        if text.contains(changes_what_is_dialled) {
            return Err(PhoneNumberError::NotANumber);
        }
        let number = parsed.map_err(|error| refusal(&error, text, region))?;
        check_length(&number)?;
        let e164 = number.format_as(PhoneNumberFormat::E164);
        let digits: u64 = e164.trim_start_matches('+').parse().map_err(|_| PhoneNumberError::NotANumber)?;
        match digits.checked_ilog10().map_or(0, |log| log + 1) {
            ..DIGITS_MIN => Err(PhoneNumberError::TooShort),
            DIGITS_MIN..=DIGITS_MAX => Ok(Self(digits)),
            _ => Err(PhoneNumberError::TooLong),
        }
    }

    /// The number of [`digits`](Self::digits) again, as the database keeps it; `None` unless it has
    /// [`DIGITS_MIN`] to [`DIGITS_MAX`] digits. Does not ask again whether the number is possible:
    /// metadata changes must not make stored leads unreadable.
    pub fn from_digits(digits: i64) -> Option<Self> {
        let digits = u64::try_from(digits).ok()?;
        let count = digits.checked_ilog10()? + 1;
        (DIGITS_MIN..=DIGITS_MAX).contains(&count).then_some(Self(digits))
    }

    /// The digits as one integer, country code first. Not masked: for the database only.
    pub fn digits(self) -> i64 {
        // At most 15 digits: far below i64::MAX.
        self.0 as i64
    }

    /// Its country calling code, and whether its further digits tell a place: an area code in use does, mobile and
    /// toll-free numbers do not, nor what is possible but unassigned.
    pub fn place(self) -> (u64, bool) {
        match rlibphonenumber::PhoneNumber::parse(self.e164(), None) {
            Ok(number) => (u64::from(number.country_code.unsigned_abs()), number.is_geographical()),
            Err(_) => (0, false),
        }
    }

    /// The number to dial, as `+12025550100`. Not masked: for the dialer that holds the lease, and
    /// for users who ask for their own leads.
    pub fn e164(self) -> String {
        format!("+{}", self.0)
    }
}

/// Whether numbers can be read in this region (ISO 3166-1 alpha-2, any case).
pub fn is_known_region(code: &str) -> bool {
    known_region(code).is_some()
}

fn known_region(code: &str) -> Option<Region> {
    // The library knows "001" as the region of the world, which has no national numbers.
    if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    let region = Region::try_from(code.to_ascii_uppercase().as_str()).ok()?;
    rlibphonenumber::PHONE_NUMBER_UTIL.get_country_code_for_region(region).map(|_| region)
}

fn is_international(text: &str) -> bool {
    let is_plus = |c: char| matches!(c, '+' | '＋');
    text.chars().find(|&c| is_plus(c) || c.is_numeric()).is_some_and(is_plus)
}

fn changes_what_is_dialled(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '*' | '#' | ',' | ';')
}

/// The library's reasons carry parts of the text: only their kind is kept.
fn refusal(error: &ParseError, text: &str, region: Option<Region>) -> PhoneNumberError {
    match error {
        ParseError::InvalidCountryCode if region.is_none() && !is_international(text) => PhoneNumberError::NoRegion,
        ParseError::InvalidCountryCode => PhoneNumberError::UnknownCountryCode,
        ParseError::NotANumber(_) => PhoneNumberError::NotANumber,
        ParseError::TooShortAfterIdd | ParseError::TooShortNsn => PhoneNumberError::TooShort,
        ParseError::TooLongNsn => PhoneNumberError::TooLong,
    }
}

fn check_length(number: &rlibphonenumber::PhoneNumber) -> Result<(), PhoneNumberError> {
    match number.is_possible_with_reason() {
        Ok(NumberLengthType::IsPossible) => Ok(()),
        Ok(NumberLengthType::IsPossibleLocalOnly) => Err(PhoneNumberError::NoAreaCode),
        Err(ValidationError::InvalidCountryCode) => Err(PhoneNumberError::UnknownCountryCode),
        Err(ValidationError::TooShort) => Err(PhoneNumberError::TooShort),
        Err(ValidationError::InvalidLength) => Err(PhoneNumberError::ImpossibleLength),
        Err(ValidationError::TooLong) => Err(PhoneNumberError::TooLong),
    }
}

impl fmt::Display for PhoneNumber {
    /// A mask of fixed length, `+12***00`: the first two digits and the last two.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        write!(f, "+{}***{:02}", &digits[..2], self.0 % 100)
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, PhoneNumberError> {
        PhoneNumber::parse(text, Some("US")).map(PhoneNumber::e164)
    }

    #[test]
    fn the_same_number_written_differently_is_the_same() {
        for text in [
            "+12025550100",
            "2025550100",
            "(202) 555-0100",
            " 202.555.0100 ",
            "1-202-555-0100",
            "'+1 202 555 0100",
            "\u{202a}+1 (202) 555‑0100\u{202c}",
            "＋１２０２５５５０１００",
            "011 1 202 555 0100",
        ] {
            assert_eq!(parse(text).as_deref(), Ok("+12025550100"), "{text}");
        }
    }

    #[test]
    fn fictional_numbers_are_accepted() {
        for line in 0..100 {
            assert!(parse(&format!("+1 202 555 01{line:02}")).is_ok());
        }
        for line in (0..1000).step_by(7) {
            let uk = PhoneNumber::parse(&format!("07700 900{line:03}"), Some("gb"));
            assert_eq!(uk.map(PhoneNumber::e164), Ok(format!("+447700900{line:03}")));
        }
        for text in ["+61 491 570 156", "+33 1 99 00 12 34", "+49 30 23125 123", "+91 90000 00000"] {
            assert!(parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_leading_zero_that_belongs_to_the_number_is_kept() {
        let rome = PhoneNumber::parse("06 6982 1234", Some("IT")).unwrap();
        assert_eq!(rome.e164(), "+390669821234");
    }

    #[test]
    fn each_refusal_names_its_reason() {
        use PhoneNumberError::*;
        for (text, region, reason) in [
            ("", Some("US"), Empty),
            (" \t ", None, Empty),
            ("2025550100", None, NoRegion),
            ("2025550100", Some("XX"), UnknownRegion),
            ("2025550100", Some("001"), UnknownRegion),
            ("2025550100", Some("USA"), UnknownRegion),
            ("+999 123 456 789", None, UnknownCountryCode),
            ("555-0100", Some("US"), NoAreaCode),
            ("911", Some("US"), TooShort),
            ("110", Some("DE"), NoAreaCode),
            ("+49 2222", None, TooShort),
            ("+1 202 555 010", None, TooShort),
            ("+1 202 555 01000", None, TooLong),
            ("+49 30 1234 5678 9012 3456", None, TooLong),
            ("hello", Some("US"), NotANumber),
            ("-", Some("US"), NotANumber),
            ("1-800-FLOWERS", Some("US"), NotANumber),
            ("202 555 0100 after 6", Some("US"), NotANumber),
            ("*67 202 555 0100", Some("US"), NotANumber),
            ("+12025550100 / +12025550101", None, NotANumber),
            ("202 555 0100 ext. 12", Some("US"), Extension),
            ("+1 202 555 0100 x5", None, Extension),
            ("+12025550100;ext=5", None, Extension),
        ] {
            assert_eq!(PhoneNumber::parse(text, region), Err(reason), "{text}");
        }
        assert_eq!(parse(&"2".repeat(65)), Err(TooLong));
    }

    #[test]
    fn a_number_with_its_country_code_needs_no_region_and_ignores_a_wrong_one() {
        for region in [None, Some("GB"), Some("nowhere")] {
            assert!(PhoneNumber::parse("(+1) 202 555 0100", region).is_ok(), "{region:?}");
        }
    }

    #[test]
    fn debug_and_display_hide_the_number() {
        let number = PhoneNumber::parse("+12025550142", None).unwrap();
        assert_eq!(number.to_string(), "+12***42");
        assert_eq!(format!("{number:?}"), "PhoneNumber(+12***42)");
        assert_eq!(PhoneNumber(12_025_550_105).to_string(), "+12***05");
    }

    #[test]
    fn digits_from_the_database_are_bounded() {
        assert_eq!(PhoneNumber::from_digits(12_025_550_100).unwrap().e164(), "+12025550100");
        assert!(PhoneNumber::from_digits(1_000_000).is_some());
        assert!(PhoneNumber::from_digits(999_999_999_999_999).is_some());
        for digits in [i64::MIN, -12_025_550_100, 0, 1, 999_999, 1_000_000_000_000_000, i64::MAX] {
            assert_eq!(PhoneNumber::from_digits(digits), None);
        }
    }

    #[test]
    fn a_default_region_is_two_letters_of_a_country_with_numbers() {
        assert!(is_known_region("US") && is_known_region("in"));
        for code in ["", "U", "USA", "XX", "001", "1A", "ÅA"] {
            assert!(!is_known_region(code), "{code}");
        }
    }

    proptest! {
        #[test]
        fn whatever_was_accepted_survives_writing_and_storing(text in "[+]?[0-9 ()./-]{1,20}") {
            if let Ok(number) = PhoneNumber::parse(&text, Some("DE")) {
                prop_assert_eq!(PhoneNumber::parse(&number.e164(), None), Ok(number));
                prop_assert_eq!(PhoneNumber::from_digits(number.digits()), Some(number));
            }
        }

        #[test]
        fn no_text_panics_and_none_is_repeated(text in any::<String>(), region in "[A-Z]{0,3}") {
            let _ = PhoneNumber::parse(&text, Some(&region));
        }

        #[test]
        fn a_mask_shows_at_most_four_digits(digits in 1_000_000_i64..1_000_000_000_000_000) {
            let shown = format!("{:?}", PhoneNumber::from_digits(digits).unwrap());
            prop_assert!(shown.chars().filter(char::is_ascii_digit).count() <= 4);
        }
    }
}
