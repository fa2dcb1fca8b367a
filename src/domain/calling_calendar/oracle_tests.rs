//! Two years of questions with the answers of an independent oracle: `tests/hours_oracle.py`.

use std::collections::HashMap;

use super::{tests::zone, *};
use crate::domain::{calling_hours::CallingHours, calling_span::CallingSpan, calling_span::parse_clock, time_zone};

const TABLE: &str = include_str!("../../../tests/data/hours_oracle.txt");

fn words(text: &str, separator: char) -> Vec<String> {
    text.split(separator).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn span(text: &str) -> CallingSpan {
    let [days, start, end] = words(text, '/').try_into().unwrap();
    CallingSpan {
        weekdays: days.split(',').map(|day| day.parse().unwrap()).collect(),
        start_minute: parse_clock(&start, false).unwrap(),
        end_minute: parse_clock(&end, true).unwrap(),
    }
}

/// `name|spans|presets|countries|holidays|first|last`.
fn case(text: &str) -> (&str, CampaignRules) {
    let [name, spans, presets, countries, holidays, first, last] =
        text.split('|').collect::<Vec<_>>().try_into().unwrap();
    let spans: Vec<CallingSpan> = words(spans, ';').iter().map(|text| span(text)).collect();
    let rules = CampaignRules {
        calling_hours: (!spans.is_empty()).then(|| CallingHours::new(spans).unwrap()),
        hour_presets: words(presets, ','),
        holiday_countries: words(countries, ','),
        holidays: words(holidays, ',').iter().map(|day| day.parse().unwrap()).collect(),
        start_date: first.parse().ok(),
        end_date: last.parse().ok(),
        ..CampaignRules::default()
    };
    (name, rules)
}

#[test]
fn two_years_of_hours_in_twenty_zones_are_those_of_an_independent_oracle() {
    let mut calendars: HashMap<&str, CallingCalendar> = HashMap::new();
    let mut asked = ("", "", Vec::new());
    let (mut rows, mut wrong) = (0, Vec::new());
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        if let Some(text) = line.strip_prefix("case|") {
            let (name, rules) = case(text);
            calendars.insert(name, CallingCalendar::new(&rules));
            continue;
        }
        if let Some((case, zones)) = line.strip_prefix("ask|").and_then(|text| text.split_once('|')) {
            asked = (case, zones, zones.split(',').map(zone).collect());
            continue;
        }
        let (case, names, zones) = &asked;
        for answer in line.split(' ') {
            let (written, expected) = answer.split_at("YYMMDDHHMMSS".len());
            let at = NaiveDateTime::parse_from_str(written, "%y%m%d%H%M%S").unwrap().and_utc();
            let minute = at.with_second(0).unwrap();
            let opens = calendars[case].window(zones, at).map(|window| window.opens_at);
            let found = match opens {
                Some(opens_at) if opens_at <= at => "+".to_owned(),
                // The table ends a month after its last question.
                Some(opens_at) if opens_at < "2028-01-31T00:00:00Z".parse::<DateTime<Utc>>().unwrap() => {
                    format!("-{}", (opens_at - minute).num_minutes())
                }
                _ => "-".to_owned(),
            };
            rows += 1;
            assert_eq!(calendars[case].why_closed(zones, at).is_empty(), found == "+", "{case} {names} {at}");
            if found != expected {
                wrong.push(format!("{case} in {names} at {at}: {found}, the oracle says {expected}"));
            }
        }
    }
    let version = time_zone::database_version();
    assert!(rows > 40_000, "{rows} rows");
    let some = &wrong[..wrong.len().min(20)];
    assert!(wrong.is_empty(), "{} of {rows} differ (tz database {version}):\n{}", wrong.len(), some.join("\n"));
}
