//! What the dialers' logs say about the engine's promises. Pure: records in, findings out.

use std::{collections::HashMap, ops::Range};

use super::{Error, log::CallRecord};
use crate::cli::output::{say, table};

/// Outcomes after which a lead must never ring again.
const SPOKEN: [&str; 3] = ["INTENT_YES", "INTENT_NO", "DO_NOT_CALL"];

/// The caps in force, and when the campaign's was changed.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Of the engine, all the time.
    pub engine: usize,
    /// Of the campaign in the first run.
    pub first_run: usize,
    /// Of the campaign afterwards.
    pub second_run: usize,
    /// When the second run began.
    pub switched_us: u64,
}

/// One promise and how it was kept.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The promise.
    pub promise: &'static str,
    /// What was seen.
    pub seen: String,
    /// How often, or how far, it was broken.
    pub broken: u64,
}

/// Holds the logs against the promises. `attempts` is what the engine has on record.
pub fn examine(records: &[CallRecord], caps: Caps, attempts: i64) -> Vec<Finding> {
    let counted = records.iter().filter(|call| call.outcome != "NOT_PLACED").count() as i64;
    let mut findings = vec![Finding {
        promise: "calls were placed, and each is on record",
        seen: format!("{counted} in the dialers' logs, {attempts} in the engine's"),
        broken: counted.abs_diff(attempts) + u64::from(records.is_empty()),
    }];
    findings.extend(spoken(records));
    let twice = twice_at_once(records);
    findings.push(Finding { promise: "one lead rang twice at once", seen: twice.to_string(), broken: twice });
    let held: Vec<_> = records.iter().map(|call| (call.granted_us, call.ended_us)).collect();
    let mut cap = |promise, cap: usize, within: Range<u64>| {
        let most = most_at_once(&held, within);
        let broken = most.saturating_sub(cap) as u64;
        findings.push(Finding { promise, seen: format!("{most} of cap {cap}"), broken });
    };
    cap("most calls at once, engine", caps.engine, 0..u64::MAX);
    cap("most calls at once, campaign, first run", caps.first_run, 0..caps.switched_us);
    cap("most calls at once, campaign, second run", caps.second_run, caps.switched_us..u64::MAX);
    findings
}

/// Whoever has spoken is left alone, and a callback waits for its instant.
fn spoken(records: &[CallRecord]) -> [Finding; 2] {
    let (mut silent, mut again, mut promises, mut early) = (0, 0, 0, 0);
    for calls in by_lead(records).values() {
        let last_word =
            calls.iter().filter(|call| SPOKEN.contains(&call.outcome.as_str())).map(|call| call.ended_us).min();
        if let Some(last_word) = last_word {
            silent += 1;
            again += u64::from(calls.iter().any(|call| call.begun_us >= last_word));
        }
        for promise in calls.iter().filter(|call| call.promises_us.is_some()) {
            promises += 1;
            let too_early = |call: &&CallRecord| {
                call.begun_us >= promise.ended_us && promise.promises_us.is_some_and(|due| call.begun_us < due)
            };
            early += u64::from(calls.iter().any(too_early));
        }
    }
    let mut late: Vec<_> =
        records.iter().filter_map(|call| Some(call.granted_us.saturating_sub(call.promised_us?) / 1_000)).collect();
    late.sort_unstable();
    let late = late.get(late.len() / 2).map_or(String::new(), |ms| format!("; leased {ms} ms after it (median)"));
    [
        Finding {
            promise: "called again after a yes, a no, a do-not-call",
            seen: format!("{again} of {silent}"),
            broken: again,
        },
        Finding {
            promise: "called back before the promised instant",
            seen: format!("{early} of {promises}{late}"),
            broken: early,
        },
    ]
}

fn by_lead(records: &[CallRecord]) -> HashMap<&str, Vec<&CallRecord>> {
    let mut leads: HashMap<_, Vec<_>> = HashMap::new();
    for record in records {
        leads.entry(record.lead_id.as_str()).or_default().push(record);
    }
    leads
}

/// Leads with two calls whose ringing overlaps.
fn twice_at_once(records: &[CallRecord]) -> u64 {
    let rings = |calls: &Vec<&CallRecord>| calls.iter().map(|call| (call.begun_us, call.ended_us)).collect::<Vec<_>>();
    by_lead(records).values().filter(|calls| most_at_once(&rings(calls), 0..u64::MAX) > 1).count() as u64
}

/// The most intervals that are open at one instant inside `within`. An end and a start at the same instant do not meet.
fn most_at_once(intervals: &[(u64, u64)], within: Range<u64>) -> usize {
    let mut steps = Vec::with_capacity(intervals.len() * 2);
    for &(start, end) in intervals {
        let (start, end) = (start.max(within.start), end.min(within.end));
        if start < end {
            steps.push((start, 1_i64));
            steps.push((end, -1));
        }
    }
    steps.sort_unstable();
    let (mut open, mut most) = (0, 0);
    for (_, step) in steps {
        open += step;
        most = most.max(open);
    }
    usize::try_from(most).unwrap_or_default()
}

/// Prints the findings; an error when any promise was broken.
pub fn conclude(findings: &[Finding]) -> Result<(), Error> {
    let mut rows = table(["promise, by the dialers' own logs", "seen", ">broken or over by"]);
    for finding in findings {
        let seen = if finding.broken == 0 { finding.seen.clone() } else { format!("{} !", finding.seen) };
        rows.add_row([finding.promise.to_owned(), seen, finding.broken.to_string()]);
    }
    say(rows.to_string())?;
    match findings.iter().filter(|finding| finding.broken > 0).count() {
        0 => Ok(()),
        broken => Err(Error::Failed(format!("{broken} promises were broken"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { engine: 2, first_run: 2, second_run: 2, switched_us: 1_000 };

    fn call(lead: &str, begun_us: u64, ended_us: u64, outcome: &str) -> CallRecord {
        CallRecord {
            lease_id: format!("{lead}-{begun_us}"),
            lead_id: lead.into(),
            granted_us: begun_us - 1,
            begun_us,
            ended_us,
            outcome: outcome.into(),
            promises_us: (outcome == "CALLBACK_REQUESTED").then_some(ended_us + 100),
            promised_us: None,
        }
    }

    fn broken(records: &[CallRecord], attempts: i64) -> Vec<u64> {
        examine(records, CAPS, attempts).iter().map(|finding| finding.broken).collect()
    }

    #[test]
    fn good_logs_break_no_promise() {
        let records = [
            call("a", 10, 20, "NO_ANSWER"),
            call("a", 30, 40, "INTENT_YES"),
            call("b", 15, 35, "CALLBACK_REQUESTED"),
            call("b", 140, 150, "NOT_PLACED"),
        ];
        assert_eq!(broken(&records, 3), [0; 7]);
    }

    #[test]
    fn each_broken_promise_is_seen() {
        assert_eq!(broken(&[], 0)[0], 1, "a demo without calls shows nothing");
        assert_eq!(broken(&[call("a", 10, 20, "BUSY")], 3)[0], 2, "on record");
        let again = [call("a", 10, 20, "DO_NOT_CALL"), call("a", 30, 40, "NOT_PLACED")];
        assert_eq!(broken(&again, 1)[1], 1, "a permit after the last word, whether or not it rang");
        let early = [call("a", 10, 20, "CALLBACK_REQUESTED"), call("a", 110, 130, "BUSY")];
        assert_eq!(broken(&early, 2)[2], 1);
        let twice = [call("a", 10, 20, "BUSY"), call("a", 19, 25, "BUSY")];
        assert_eq!(broken(&twice, 2)[3], 1);
        let many = ["a", "b", "c", "d"].map(|lead| call(lead, 990, 1_010, "BUSY"));
        assert_eq!(broken(&many, 4)[4..], [2, 2, 2]);
    }

    #[test]
    fn intervals_are_half_open_and_cut_to_the_window() {
        let intervals = [(0, 10), (10, 20), (5, 15), (5, 15), (30, 30)];
        assert_eq!(most_at_once(&intervals, 0..100), 3);
        assert_eq!(most_at_once(&intervals, 0..5), 1);
        assert_eq!(most_at_once(&intervals, 15..100), 1);
        assert_eq!(most_at_once(&[], 0..100), 0);
    }
}
