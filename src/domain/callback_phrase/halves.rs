//! Owns which half of the day an hour is in, and the hours of the parts of a day.

use super::items::{Clock, Part};

/// Hours and minutes; 24:00 is the midnight that ends the day.
pub type Wall = (u32, u32);

/// From and to, in hours; none for a part that is no time for a call.
pub fn hours(part: Part) -> Option<(u32, u32)> {
    Some(match part {
        Part::Morning => (9, 12),
        Part::Noon => (12, 13),
        Part::AfterLunch => (13, 15),
        Part::Afternoon => (13, 17),
        Part::EndOfDay => (16, 18),
        Part::Evening => (17, 20),
        Part::Tonight => (18, 20),
        Part::Night => return None,
    })
}

/// The hours of the clock that people say with a part, which are more than its own.
fn said_with(part: Part) -> (u32, u32) {
    match part {
        Part::Morning => (0, 12),
        Part::Noon => (11, 14),
        Part::AfterLunch => (12, 17),
        Part::Afternoon => (12, 19),
        Part::EndOfDay => (15, 19),
        Part::Evening => (15, 23),
        Part::Tonight | Part::Night => (17, 24),
    }
}

/// The clock time on the wall; none if the part contradicts it.
pub fn clock(clock: Clock, part: Option<Part>) -> Option<Wall> {
    let Clock { hour, minute, plain } = clock;
    let hour = match (plain, part) {
        (false, None) => hour,
        (false, Some(part)) => {
            let (from, to) = said_with(part);
            return (from..=to).contains(&hour).then_some((hour, minute));
        }
        (true, None) => by_default(hour),
        (true, Some(Part::Morning)) => hour % 12,
        (true, Some(part)) => {
            let (from, to) = said_with(part);
            // "12 at night" ends the day.
            let late = if hour == 12 && to == 24 { 24 } else { hour % 12 + 12 };
            let found = [late, hour].into_iter().find(|hour| (from..=to).contains(hour))?;
            return (found < 24 || minute == 0).then_some((found, minute));
        }
    };
    Some((hour, minute))
}

/// Hours 1 to 7 are pm, 8 to 11 am, 12 is noon.
fn by_default(hour: u32) -> u32 {
    if (1..=7).contains(&hour) { hour + 12 } else { hour }
}

/// Both ends of a range. What marks one end marks the other, as far as the order allows: "5 to 6 pm", "11 to 1 pm".
pub fn range(from: Clock, to: Clock, part: Option<Part>) -> Option<(Wall, Wall)> {
    let options = |end: Clock| -> Vec<Wall> {
        if end.plain {
            vec![(end.hour % 12, end.minute), (end.hour % 12 + 12, end.minute)]
        } else {
            vec![(end.hour, end.minute)]
        }
    };
    let (Some(first), Some(last)) = (choose(from, part), choose(to, part)) else { return None };
    let later = |start: Wall| {
        let mut ends = options(to);
        ends.retain(|end| *end > start);
        ends.first().copied()
    };
    match (from.plain, to.plain) {
        (false, false) => (first != last && part.is_none() || first < last).then_some((first, last)),
        (false, true) => later(first).map(|end| (first, end)),
        (true, false) if part.is_none() => {
            let mut starts = options(from);
            starts.retain(|start| *start < last);
            // "5 to 6 pm": the nearer one.
            starts.last().map(|start| (*start, last))
        }
        _ if part == Some(Part::Morning) && to.hour == 12 => Some((first, (12, to.minute))),
        _ if first < last => Some((first, last)),
        _ if part.is_some() && !to.plain => None,
        _ if part.is_some() => {
            // "11 to 1 in the afternoon".
            let morning = (from.hour % 12, from.minute);
            (morning < last && part != Some(Part::Morning)).then_some((morning, last))
        }
        _ => later(first).map(|end| (first, end)),
    }
}

/// As [`clock`], but an end that the part alone does not fit may still fit with the other one.
fn choose(end: Clock, part: Option<Part>) -> Option<Wall> {
    match (clock(end, part), end.plain) {
        (Some(wall), _) => Some(wall),
        (None, true) => Some((end.hour % 12 + 12, end.minute)),
        (None, false) => None,
    }
}
