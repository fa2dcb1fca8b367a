//! `dialplane callback ...`: what a phrase means, without a server.

use std::io::{self, BufRead, Read};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, error::Category, json};

use super::{
    Client, Error,
    output::{Format, facts, say, say_json},
};
use crate::domain::{
    callback_phrase::{self, Reading},
    time_zone::TimeZone,
};

/// Longest row of `--jsonl` that is read; a phrase has 1,000 characters at most.
const ROW_BYTES_MAX: usize = 64 * 1024;

/// Callbacks: when a person wants to be called again
#[derive(Clone, Subcommand)]
pub enum CallbackCommand {
    /// Tell when a phrase asks to be called, without a server
    #[command(after_help = PARSE_HELP)]
    Parse(ParseArgs),
}

const PARSE_HELP: &str = "\
With --jsonl, rows {\"phrase\", \"now\", \"zone\"} on standard input become rows {\"kind\", \"earliest\", \"latest\",
\"grain\"} on standard output, in the same order. A row that cannot be read becomes {\"error\"}; its line number is told
on standard error, and the exit code is 1.

Examples:
  dialplane callback parse \"call me at 5pm\" --zone America/New_York
  dialplane callback parse \"tomorrow evening after six\" --zone Asia/Kolkata --now 2026-10-14T11:20:00+05:30 -o json
  dialplane callback parse --jsonl < phrases.jsonl";

/// Arguments of `callback parse`.
#[derive(Clone, Args)]
pub struct ParseArgs {
    /// What the person said
    #[arg(required_unless_present = "jsonl", requires = "zone")]
    pub phrase: Option<String>,
    /// The person's IANA time zone
    #[arg(long, value_name = "ZONE", conflicts_with = "jsonl")]
    pub zone: Option<String>,
    /// When it was said, in RFC 3339 [default: now]
    #[arg(long, value_name = "INSTANT", conflicts_with = "jsonl")]
    pub now: Option<String>,
    /// Read rows from standard input
    #[arg(long, conflicts_with = "phrase")]
    pub jsonl: bool,
}

/// A row of `--jsonl`; other keys are ignored.
#[derive(Deserialize)]
struct Row {
    phrase: String,
    now: String,
    zone: String,
}

/// Runs a command.
pub fn run(command: CallbackCommand, client: &Client) -> Result<(), Error> {
    let CallbackCommand::Parse(args) = command;
    match (args.phrase, args.zone) {
        (Some(phrase), Some(zone)) => {
            let now = args.now.map_or_else(|| Ok(wall_clock()), |now| instant(&now)).map_err(Error::Usage)?;
            let zone = TimeZone::parse(&zone).map_err(|error| Error::Usage(error.to_string()))?;
            show(&callback_phrase::parse(&phrase, now, &zone), &zone, client.format)
        }
        _ => rows(io::stdin().lock()),
    }
}

#[allow(clippy::disallowed_methods)] // The operator's own clock, for a phrase said just now.
fn wall_clock() -> DateTime<Utc> {
    Utc::now()
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let instant = DateTime::parse_from_rfc3339(text);
    instant.map(|instant| instant.to_utc()).map_err(|error| format!("now is no instant in RFC 3339: {error}"))
}

fn show(reading: &Reading, zone: &TimeZone, format: Format) -> Result<(), Error> {
    let row = row_of(reading, zone);
    if format == Format::Json {
        return say_json(&row);
    }
    let names = ["kind", "earliest", "latest", "grain"];
    let found = names.into_iter().filter_map(|name| Some((name, row.get(name)?.as_str()?.to_owned())));
    say(facts(found).to_string())
}

/// The form of `expect` in `tests/phrases/dev.jsonl`.
fn row_of(reading: &Reading, zone: &TimeZone) -> Value {
    let shown = |at: DateTime<Utc>| zone.shown(at).to_rfc3339_opts(SecondsFormat::AutoSi, false);
    match reading {
        Reading::Callback(interval) => json!({
            "kind": reading.name(),
            "earliest": shown(interval.earliest),
            "latest": shown(interval.latest),
            "grain": interval.grain.name(),
        }),
        Reading::OptOut | Reading::NotUnderstood => json!({ "kind": reading.name() }),
    }
}

/// Answers row by row: one line out for each line in.
fn rows(mut input: impl BufRead) -> Result<(), Error> {
    let mut bad = 0_u64;
    for number in 1_u64.. {
        let Some(line) = line(&mut input)? else { break };
        let answer = line.and_then(|line| parse_row(&line)).unwrap_or_else(|error| {
            bad += 1;
            eprintln!("line {number}: {error}");
            json!({ "error": error })
        });
        say(answer.to_string())?;
    }
    if bad == 0 { Ok(()) } else { Err(Error::Failed(format!("{bad} rows could not be read"))) }
}

fn parse_row(line: &[u8]) -> Result<Value, String> {
    // The parser's own words can repeat the row, and with it a person's.
    let row: Row = serde_json::from_slice(line).map_err(|error| match error.classify() {
        Category::Data => "phrase, now and zone must be there, and be texts",
        Category::Io | Category::Syntax | Category::Eof => "no JSON",
    })?;
    let zone = TimeZone::parse(&row.zone).map_err(|error| error.to_string())?;
    Ok(row_of(&callback_phrase::parse(&row.phrase, instant(&row.now)?, &zone), &zone))
}

/// The next line without its end, or what is wrong with it; `None` at the end of the input.
fn line(input: &mut impl BufRead) -> Result<Option<Result<Vec<u8>, String>>, Error> {
    let failed = Error::io("standard input");
    let mut line = Vec::new();
    let limit = u64::try_from(ROW_BYTES_MAX).unwrap_or(u64::MAX);
    if let Err(error) = input.by_ref().take(limit).read_until(b'\n', &mut line) {
        return Err(failed(error));
    }
    if line.len() == ROW_BYTES_MAX && line.last() != Some(&b'\n') {
        return match input.skip_until(b'\n') {
            Ok(_) => Ok(Some(Err(format!("longer than {ROW_BYTES_MAX} bytes")))),
            Err(error) => Err(failed(error)),
        };
    }
    Ok((!line.is_empty()).then_some(Ok(line)))
}
