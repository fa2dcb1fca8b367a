//! A test for each row and rule of the table.

use super::{reading, reading_at};

fn all(expected: &[(&str, &str)]) {
    let wrong: Vec<String> = expected
        .iter()
        .map(|(phrase, expected)| (phrase, reading(phrase), expected))
        .filter(|(_, found, expected)| found != *expected)
        .map(|(phrase, found, expected)| format!("{phrase}: {found}, not {expected}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn refused(phrases: &[&str]) {
    let wrong: Vec<_> = phrases.iter().filter(|phrase| reading(phrase) != "NOT_UNDERSTOOD").collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn hours_without_am_or_pm_are_pm_up_to_seven_and_am_up_to_eleven() {
    all(&[
        ("phone me at six", "10-14 18:00 to 10-14 18:15 MINUTE"),
        ("ring me at half nine", "10-15 09:30 to 10-15 09:45 MINUTE"),
        ("twenty to seven is good", "10-14 18:40 to 10-14 18:55 MINUTE"),
        ("at twelve", "10-14 12:00 to 10-14 12:15 MINUTE"),
        ("0930 hours tomorrow", "10-15 09:30 to 10-15 09:45 MINUTE"),
        ("at 530 pm", "10-14 17:30 to 10-14 17:45 MINUTE"),
    ]);
}

#[test]
fn a_part_of_the_day_tells_am_from_pm() {
    all(&[
        ("4 in the morning", "10-15 04:00 to 10-15 04:15 MINUTE"),
        ("tomorrow evening at 9", "10-15 21:00 to 10-15 21:15 MINUTE"),
        ("between 9 and 11 tonight", "10-14 21:00 to 10-14 23:00 MINUTE"),
        ("5 to 7 in the evening", "10-14 17:00 to 10-14 19:00 MINUTE"),
    ]);
    refused(&["9 am in the evening", "17:00 in the morning"]);
}

#[test]
fn around_by_and_after_have_intervals_of_their_own() {
    all(&[
        ("roughly 4", "10-14 15:45 to 10-14 16:15 MINUTE"),
        ("fiveish", "10-14 16:45 to 10-14 17:15 MINUTE"),
        ("5ish", "10-14 16:45 to 10-14 17:15 MINUTE"),
        ("no later than 3", "10-14 11:20 to 10-14 15:00 MINUTE"),
        ("by tomorrow 5 pm", "10-14 11:20 to 10-15 17:00 MINUTE"),
        ("don't call me until 4", "10-14 16:00 to 10-14 18:00 MINUTE"),
        ("6 or later", "10-14 18:00 to 10-14 20:00 MINUTE"),
    ]);
}

#[test]
fn a_range_takes_am_and_pm_from_either_end() {
    all(&[
        ("from 10 am to 12 tomorrow", "10-15 10:00 to 10-15 12:00 MINUTE"),
        ("between 11 and 1 pm tomorrow", "10-15 11:00 to 10-15 13:00 MINUTE"),
        ("2-4pm", "10-14 14:00 to 10-14 16:00 MINUTE"),
        ("from ten to five tomorrow", "10-15 10:00 to 10-15 17:00 MINUTE"),
        ("at ten to five", "10-14 16:50 to 10-14 17:05 MINUTE"),
    ]);
    refused(&["ten to eleven tomorrow"]);
}

#[test]
fn a_wait_counts_from_now() {
    all(&[
        ("an hour and twenty minutes from now", "10-14 12:40 to 10-14 12:55 MINUTE"),
        ("after half an hour", "10-14 11:50 to 10-14 12:05 MINUTE"),
        ("in 3 days at 5pm", "10-17 17:00 to 10-17 17:15 MINUTE"),
        ("give me half an hour", "10-14 11:50 to 10-14 12:05 MINUTE"),
    ]);
    refused(&["in an hour or two", "in 10 to 15 minutes", "in a few minutes", "in a month", "give me a minute"]);
}

#[test]
fn days_are_the_next_of_their_name_or_date() {
    all(&[
        ("wednesday", "10-21 00:00 to 10-22 00:00 DAY"),
        ("next week on thursday morning", "10-22 09:00 to 10-22 12:00 DAYPART"),
        ("on the 31st", "10-31 00:00 to 11-01 00:00 DAY"),
        ("on the 14th", "11-14 00:00 to 11-15 00:00 DAY"),
        ("thursday the 22nd", "10-22 00:00 to 10-23 00:00 DAY"),
        ("the 21st of next month", "11-21 00:00 to 11-22 00:00 DAY"),
        ("25/12", "12-25 00:00 to 12-26 00:00 DAY"),
        ("same time next week", "10-21 11:20 to 10-21 11:35 MINUTE"),
    ]);
    refused(&["thursday the 23rd", "november 31st", "next weekend", "4/5", "the day after", "december 3rd 2025"]);
}

#[test]
fn what_has_passed_moves_to_the_next_day_only_if_no_day_was_said() {
    let evening = |phrase| reading_at(phrase, "2026-10-14T17:10:00+05:30", "Asia/Kolkata");
    for (phrase, expected) in [
        ("at 5", "10-15 17:00 to 10-15 17:15 MINUTE"),
        ("today at 5", "NOT_UNDERSTOOD"),
        ("around 5", "10-14 17:10 to 10-14 17:15 MINUTE"),
        ("after 4", "10-14 17:10 to 10-14 18:00 MINUTE"),
        ("between 3 and 5", "10-15 15:00 to 10-15 17:00 MINUTE"),
        ("in the afternoon", "10-15 13:00 to 10-15 17:00 DAYPART"),
        ("this afternoon", "NOT_UNDERSTOOD"),
        ("tonight at 8", "10-14 20:00 to 10-14 20:15 MINUTE"),
        ("by 5", "10-14 17:10 to 10-15 17:00 MINUTE"),
    ] {
        assert_eq!(evening(phrase), expected, "{phrase}");
    }
}

#[test]
fn when_one_time_is_turned_down_the_other_counts() {
    all(&[
        ("I'm not free today but Friday morning works", "10-16 09:00 to 10-16 12:00 DAYPART"),
        ("don't call me at 5 call me at 6", "10-14 18:00 to 10-14 18:15 MINUTE"),
        ("Monday's no good, Tuesday at 2", "10-20 14:00 to 10-20 14:15 MINUTE"),
        ("tomorrow at 5, no wait, 6", "10-15 18:00 to 10-15 18:15 MINUTE"),
        ("today is bad tomorrow is better", "10-15 00:00 to 10-16 00:00 DAY"),
        ("my train is at 3, call me at 4", "10-14 16:00 to 10-14 16:15 MINUTE"),
    ]);
    refused(&["not tomorrow", "5 doesn't work for me", "not tomorrow, thursday", "I'm busy tomorrow, call me at 5"]);
}

#[test]
fn two_times_vague_times_and_habits_are_refused() {
    refused(&[
        "5 or 5:30",
        "today at 5 or tomorrow at 9",
        "call me at 5, if not, tomorrow",
        "monday to friday",
        "every day at 5",
        "evenings are best",
        "tomorrow after work",
        "tomorrow night",
        "early next week",
        "first thing in the morning",
        "tomorrow when I'm back",
    ]);
}

#[test]
fn a_time_that_is_told_and_not_offered_is_refused() {
    refused(&[
        "I'll call you at 5",
        "my son will call me at 5",
        "I have a call at 5",
        "you keep calling me at 9 in the evening",
        "tomorrow i'm travelling",
        "on monday I'll be in the office",
        "my account number is 4 5 6",
        "it's 10 pm here",
        "call my husband at 5",
        "5 pm EST",
        "I'm busy until 5",
        "the day before yesterday at 5",
        "call me in 2027",
    ]);
}

#[test]
fn who_asks_for_no_more_calls_is_opted_out_and_who_only_limits_them_is_not() {
    for phrase in [
        "please take my number off your system",
        "i do not wish to be contacted",
        "no more calls please",
        "don't bother calling again",
        "put me on the do not call list",
        "stop",
        "I asked you yesterday not to call me again",
        "please don't call",
    ] {
        assert_eq!(reading(phrase), "OPT_OUT", "{phrase}");
    }
    refused(&["don't call me now", "don't call me when I'm driving", "don't call today", "not interested"]);
    all(&[
        ("why don't you call me tomorrow", "10-15 00:00 to 10-16 00:00 DAY"),
        ("don't call me today call me tomorrow", "10-15 00:00 to 10-16 00:00 DAY"),
    ]);
}

#[test]
fn a_clock_change_moves_a_skipped_time_forward_and_takes_the_first_of_two() {
    let lord_howe = |phrase| reading_at(phrase, "2026-10-03T12:00:00Z", "Australia/Lord_Howe");
    assert_eq!(lord_howe("tomorrow at 2:10 am"), "10-04 02:40 to 10-04 02:55 MINUTE");
    // The first 01:30 of two has passed; what is left of the night shows no other.
    let second = reading_at("1:30 am", "2026-11-01T06:10:00Z", "America/New_York");
    assert_eq!(second, "11-02 01:30 to 11-02 01:45 MINUTE");
}

#[test]
fn a_call_is_asked_for_in_many_words() {
    for phrase in [
        "hit me up at 5",
        "give me a bell at five",
        "if you called at 5 that would be great",
        "I'd want to hear back at 5",
        "I'd like to be called at 5",
        "let's go with 5",
        "5 it is I guess",
        "call me at 5 Raj",
        "5 pm on my mobile",
        "I'll be waiting at 5",
        "I'll pick up at 5",
        "my shift ends at 4 call me at 5",
        "it's a bad time can you call at 5",
    ] {
        assert_eq!(reading(phrase), "10-14 17:00 to 10-14 17:15 MINUTE", "{phrase}");
    }
    refused(&["I'll pick up my son at 5", "call my brother at 5", "why would you call at 5", "call 911"]);
}

#[test]
fn what_stands_behind_a_bare_time_explains_it_or_takes_it_away() {
    all(&[
        ("in two days I work nights", "10-16 11:20 to 10-16 11:35 MINUTE"),
        ("tomorrow, that's Thursday, at 5", "10-15 17:00 to 10-15 17:15 MINUTE"),
        ("today I can't but tomorrow at 10 I can", "10-15 10:00 to 10-15 10:15 MINUTE"),
        ("Friday is when I'm free", "10-16 00:00 to 10-17 00:00 DAY"),
    ]);
    refused(&[
        "at 5 I pick up my kids",
        "at 5 she is free",
        "at 5 don't call",
        "5 is when my exam is",
        "Mondays never work",
    ]);
}

#[test]
fn who_says_when_they_are_home_offers_what_comes_after() {
    all(&[
        ("I'll be home after 6", "10-14 18:00 to 10-14 20:00 MINUTE"),
        ("we'll be home in the evening", "10-14 17:00 to 10-14 20:00 DAYPART"),
        ("I am around at 5", "10-14 17:00 to 10-14 17:15 MINUTE"),
    ]);
    refused(&["I'll be free by 6", "I'll be home by 6", "I'm not home after 6", "my son will be home after 6"]);
}

#[test]
fn a_range_with_a_hole_is_refused() {
    refused(&["between 3 and 5 but not 4", "tomorrow afternoon but not at 3", "after 3 but not in the evening"]);
    all(&[
        ("in the evening, not in the morning", "10-14 17:00 to 10-14 20:00 DAYPART"),
        ("at 5, not at 4", "10-14 17:00 to 10-14 17:15 MINUTE"),
        ("after 3 but before 5", "10-14 15:00 to 10-14 17:00 MINUTE"),
    ]);
}

#[test]
fn years_are_said_in_words_and_a_written_zero_takes_pm() {
    all(&[
        ("february fourteenth twenty twenty seven at six", "02-14 18:00 to 02-14 18:15 MINUTE"),
        ("second of february two thousand and twenty eight", "02-02 00:00 to 02-03 00:00 DAY"),
        ("07:30 pm", "10-14 19:30 to 10-14 19:45 MINUTE"),
        ("ten to two in the morning", "10-15 01:50 to 10-15 02:05 MINUTE"),
    ]);
    refused(&["5 am pm", "I owe two thousand thirty"]);
}

#[test]
fn an_opt_out_may_pause_or_be_polite() {
    for phrase in [
        "never, ever call me again",
        "unsubscribe me from these calls",
        "take my name off",
        "I told you not to call me again",
        "I do not want calls from your company",
        "I'd rather you didn't call again",
        "no calls please",
    ] {
        assert_eq!(reading(phrase), "OPT_OUT", "{phrase}");
    }
    refused(&["no calls on Sunday", "don't remove me from the list", "don't stop calling me"]);
}
