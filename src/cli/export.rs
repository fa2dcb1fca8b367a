//! `dialplane export ...`: facts into files, again and again from where the last run ended.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Client, Error, output::Format, views};
use crate::pb::{OutcomeEvent, StreamOutcomesRequest, campaign_service_client::CampaignServiceClient};

/// Rows are flushed, and the cursor kept, after this many at the latest.
const FLUSH_ROWS: usize = 500;
/// ... or when nothing came for this long.
const FLUSH_AFTER: Duration = Duration::from_millis(200);
/// How often a broken stream is opened again; while following it is tried on for ever.
const TRIES_MAX: u32 = 5;
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Exports: what came of the calls
#[derive(Clone, Subcommand)]
pub enum ExportCommand {
    /// Export outcomes as CSV (or JSON lines with -o json), each once, in the order of acceptance
    #[command(after_help = OUTCOMES_HELP)]
    Outcomes(OutcomesArgs),
}

const OUTCOMES_HELP: &str = "\
Later reports of a call are rows of their own: `verdict` says whether they replaced what was
said before (SUPERSEDED, LATE) or not (OUTRANKED). With --cursor-file the next run goes on where
this one ended; a run that was killed may repeat its last rows, and never leaves one out. Texts
that a spreadsheet would take for a formula get a ' in front; -o json has them as they are.

Examples:
  dialplane export outcomes > outcomes.csv
  dialplane export outcomes --campaign 0190b3c2-... --cursor-file crm.cursor --file crm.csv
  dialplane export outcomes --cursor-file hook.cursor --follow -o json | my-webhook";

/// Arguments of `export outcomes`.
#[derive(Clone, Args)]
pub struct OutcomesArgs {
    /// Only those of this campaign
    #[arg(long = "campaign", value_name = "CAMPAIGN", default_value = "", hide_default_value = true)]
    campaign_id: String,
    /// Go on from the cursor in this file, if there is one, and keep the new one there
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    cursor_file: Option<PathBuf>,
    /// Go on behind this cursor
    #[arg(long, value_name = "CURSOR", default_value = "", hide_default_value = true)]
    from: String,
    /// Wait for more instead of ending
    #[arg(long)]
    follow: bool,
    /// Append to this file instead of printing
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Runs one of them.
pub async fn run(command: ExportCommand, client: &Client) -> Result<(), Error> {
    let ExportCommand::Outcomes(args) = command;
    let cursor = match &args.cursor_file {
        Some(file) => read_cursor(file)?,
        None => args.from.clone(),
    };
    let mut export = Export {
        sink: Sink::open(args.file.as_deref(), client.format, !cursor.is_empty())?,
        kept: cursor.clone(),
        cursor,
        cursor_file: args.cursor_file.clone(),
        rows: 0,
    };
    let mut tries = 0;
    loop {
        let before = export.cursor.clone();
        match follow(&args, client, &mut export).await {
            Err(error) if error.is_transient() && (args.follow || tries < TRIES_MAX) => {
                export.keep()?;
                tries = if export.cursor == before { tries + 1 } else { 1 };
                tokio::time::sleep(error.retry_after().unwrap_or(RETRY_AFTER)).await;
            }
            done => {
                export.keep()?;
                return done;
            }
        }
    }
}

/// One stream, until it ends or breaks.
async fn follow(args: &OutcomesArgs, client: &Client, export: &mut Export) -> Result<(), Error> {
    let mut campaigns: CampaignServiceClient<_> = client.connect().await?.campaigns;
    let cursor = export.cursor.clone();
    let request = StreamOutcomesRequest { cursor, campaign_id: args.campaign_id.clone(), follow: args.follow };
    let mut stream = campaigns.stream_outcomes(request).await?.into_inner();
    loop {
        let Ok(message) = tokio::time::timeout(FLUSH_AFTER, stream.message()).await else {
            export.keep()?;
            continue;
        };
        let Some(message) = message? else { return Ok(()) };
        if let Some(event) = &message.event {
            export.sink.write(event, &message.cursor)?;
            export.rows += 1;
        }
        export.cursor = message.cursor;
        if export.rows >= FLUSH_ROWS {
            export.keep()?;
        }
    }
}

/// Where an export stands.
struct Export {
    sink: Sink,
    /// Behind the last row written.
    cursor: String,
    /// As last written to the file.
    kept: String,
    cursor_file: Option<PathBuf>,
    rows: usize,
}

impl Export {
    /// Flushes the rows, then keeps the cursor: never the other way round.
    fn keep(&mut self) -> Result<(), Error> {
        self.sink.flush()?;
        self.rows = 0;
        if let Some(file) = self.cursor_file.as_deref().filter(|_| self.cursor != self.kept) {
            write_cursor(file, &self.cursor).map_err(Error::io(format!("writing {}", file.display())))?;
            self.kept.clone_from(&self.cursor);
        }
        Ok(())
    }
}

fn read_cursor(file: &Path) -> Result<String, Error> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::Usage(format!("{}: {error}", file.display()))),
    }
}

/// Whole or not at all: a file beside it takes its place.
fn write_cursor(file: &Path, cursor: &str) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    let mut new = File::create(&beside)?;
    writeln!(new, "{cursor}")?;
    new.sync_all()?;
    std::fs::rename(&beside, file)
}

/// Where rows go. Files are synced before the cursor moves past them.
enum Out {
    File(BufWriter<File>, PathBuf),
    Standard(io::Stdout),
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Out::File(file, _) => file.write(bytes),
            Out::Standard(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Out::File(file, _) => file.flush().and_then(|()| file.get_ref().sync_data()),
            Out::Standard(out) => out.flush(),
        }
    }
}

/// In which form.
enum Sink {
    Csv(Box<csv::Writer<Out>>),
    Json(Out),
}

impl Sink {
    /// A heading comes once: at the beginning of a file, or of an export that does not go on with an older one.
    fn open(file: Option<&Path>, format: Format, goes_on: bool) -> Result<Sink, Error> {
        let (out, heading) = match file {
            Some(path) => {
                let failed = |error| Error::Usage(format!("{}: {error}", path.display()));
                let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
                let empty = file.metadata().map_err(failed)?.len() == 0;
                (Out::File(BufWriter::new(file), path.to_owned()), empty)
            }
            None => (Out::Standard(io::stdout()), !goes_on),
        };
        if format == Format::Json {
            return Ok(Sink::Json(out));
        }
        let mut sink =
            Sink::Csv(Box::new(csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out)));
        if heading {
            sink.record(&COLUMNS.map(|(name, _)| name.to_owned()))?;
        }
        Ok(sink)
    }

    fn write(&mut self, event: &OutcomeEvent, cursor: &str) -> Result<(), Error> {
        let mut row = views::outcome_event(event);
        match self {
            Sink::Csv(_) => self.record(&COLUMNS.map(|(name, text)| cell(&row[name], text))),
            Sink::Json(out) => {
                row["cursor"] = cursor.into();
                let done = writeln!(out, "{row}");
                done.map_err(|error| self.failed(error))
            }
        }
    }

    fn record(&mut self, cells: &[String]) -> Result<(), Error> {
        let Sink::Csv(writer) = self else { return Ok(()) };
        let done = writer.write_record(cells);
        done.map_err(|error| self.failed(io::Error::from(error)))
    }

    fn flush(&mut self) -> Result<(), Error> {
        let done = match self {
            Sink::Csv(writer) => writer.flush(),
            Sink::Json(out) => out.flush(),
        };
        done.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> Error {
        let out = match self {
            Sink::Csv(writer) => writer.get_ref(),
            Sink::Json(out) => out,
        };
        match out {
            Out::Standard(_) if error.kind() == io::ErrorKind::BrokenPipe => Error::OutputClosed,
            Out::Standard(_) => Error::io("standard output")(error),
            Out::File(_, path) => Error::io(format!("writing {}", path.display()))(error),
        }
    }
}

/// The columns, and whether others wrote what stands in them.
const COLUMNS: [(&str, bool); 18] = [
    ("accepted_at", false),
    ("campaign_id", false),
    ("lead_id", false),
    ("external_id", true),
    ("number", false),
    ("lease_id", false),
    ("attempt_number", false),
    ("outcome", false),
    ("verdict", false),
    ("begun_at", false),
    ("occurred_at", false),
    ("talk_seconds", false),
    ("ring_seconds", false),
    ("callback_at", false),
    ("dialer_id", true),
    ("provider_call_id", true),
    ("note", true),
    ("metadata", true),
];

/// A cell. A spreadsheet must not take what others wrote for a formula.
fn cell(value: &Value, text: bool) -> String {
    let plain = match value {
        Value::Null => String::new(),
        Value::String(plain) => plain.clone(),
        Value::Object(map) if map.is_empty() => String::new(),
        other => other.to_string(),
    };
    let formula = text && plain.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if formula { format!("'{plain}") } else { plain }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_others_wrote_is_no_formula_and_what_we_wrote_stays() {
        assert_eq!(cell(&json!("=HYPERLINK(\"x\")"), true), "'=HYPERLINK(\"x\")");
        assert_eq!(cell(&json!("+12015550100"), false), "+12015550100");
        assert_eq!(cell(&json!("Ann"), true), "Ann");
        assert_eq!(cell(&Value::Null, true), "");
        assert_eq!(cell(&json!({"a": "b"}), true), r#"{"a":"b"}"#);
    }

    #[test]
    fn the_columns_are_fields_of_an_event() {
        let event = views::outcome_event(&OutcomeEvent::default());
        assert!(COLUMNS.iter().all(|(name, _)| event.get(name).is_some()));
        assert_eq!(event.as_object().map(serde_json::Map::len), Some(COLUMNS.len()));
    }

    #[test]
    fn a_cursor_is_kept_whole() {
        let file = std::env::temp_dir().join(format!("dialplane-cursor-{}", uuid::Uuid::new_v4()));
        assert_eq!(read_cursor(&file).expect("absent is none"), "");
        write_cursor(&file, "one").expect("written");
        write_cursor(&file, "two").expect("written again");
        assert_eq!(read_cursor(&file).expect("there"), "two");
        std::fs::remove_file(file).expect("removed");
    }
}
