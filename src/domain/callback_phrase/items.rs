//! Owns the words for times: what the grammar finds in a phrase and the resolver turns into instants.

use chrono::Weekday;

/// What a phrase is made of, once its times are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// Something about time.
    Item(Item),
    /// Any other word.
    Word(String),
    /// A number that is no time.
    Quantity,
    /// A pause.
    Comma,
    /// The end of a sentence.
    Stop,
}

/// Something about time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// A day.
    Day(Day),
    /// A clock time or a range of them.
    When(When),
    /// A part of the day; true: "this morning".
    Part(Part, bool),
    /// "in two hours".
    Span(Span),
    /// "two hours", which may be a wait or a length.
    BareSpan(Span),
    /// "later".
    Later,
    /// The clock time of now, on another day.
    SameTime,
    /// "next week".
    NextWeek,
    /// "this week".
    ThisWeek,
    /// "this weekend".
    Weekend,
    /// A bound whose clock time follows behind a day: "by tomorrow 5 pm".
    Bound(Bound),
    /// The present moment: no time for a call, but something can be turned down with it.
    Now,
    /// A word of the past: whatever stands with it is told, not asked for.
    Past,
    /// Not a day's but a habit's time: "every morning", "mondays".
    Habit,
    /// A time that does not exist, reads two ways, or is not in the table.
    Bad,
}

/// Which side of a clock time is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// "at".
    At,
    /// "around".
    Around,
    /// "by".
    By,
    /// "before"; with a negation "after".
    Before,
    /// "after".
    After,
    /// "until"; only with a negation a time for a call.
    Until,
}

/// A clock time or a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// One clock time.
    Clock(Bound, Clock),
    /// From the first to the second.
    Range(Clock, Clock),
}

/// A clock time as said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// 0 to 23, or 24 for the midnight that ends a day; 1 to 12 if plain.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// Said without am, pm, or a 24-hour form.
    pub plain: bool,
}

/// A part of the day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// 09:00 to 12:00.
    Morning,
    /// 12:00 to 13:00.
    Noon,
    /// 13:00 to 15:00.
    AfterLunch,
    /// 13:00 to 17:00.
    Afternoon,
    /// 16:00 to 18:00.
    EndOfDay,
    /// 17:00 to 20:00.
    Evening,
    /// 18:00 to 20:00 of today.
    Tonight,
    /// No time for a call alone; tells am from pm.
    Night,
}

/// A day as said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Day {
    /// So many days after today; 0 is today.
    In(u32),
    /// The nearest strictly after today.
    Weekday(Weekday),
    /// The next one after today.
    Date {
        /// 1 to 12; none: of any month.
        month: Option<u32>,
        /// 1 to 31.
        day: u32,
        /// If said.
        year: Option<u32>,
    },
    /// A day of the month that is so many months after this one.
    OfMonth {
        /// 1 to 31.
        day: u32,
        /// 0 or 1.
        ahead: u32,
    },
}

/// A length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Elapsed time.
    pub minutes: u32,
    /// Days of the calendar.
    pub days: u32,
}
