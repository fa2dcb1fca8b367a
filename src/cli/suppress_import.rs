//! `dialplane suppress import`: the numbers of a CSV file, chunk by chunk.
//!
//! Nothing has to be kept to go on later: a number that is suppressed already is left as it is, so the same file is simply
//! imported again.

use std::{fs::File, io::Read, path::PathBuf, time::Duration};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use tonic::transport::Channel;

use super::{
    Client, Error,
    csv_columns::Mapping,
    csv_import::{Chunk, CsvSource},
    import_stream::{FAILURES_MAX, Refusals, Summary},
    leads::{delimiter, import_bar, refused_beside, show_refused},
    output::{Format, say, say_json},
    suppress::UntilArgs,
};
use crate::{
    domain::phone_number::PhoneNumber,
    pb::{AddSuppressionsRequest, AddSuppressionsResponse, campaign_service_client::CampaignServiceClient},
};

/// Examples.
pub const HELP: &str = "\
Column: number or phone; all others are left alone. Refused rows go into FILE.refused.csv with line and reason, and
their numbers are NOT suppressed: mend them there and import that file. Importing twice, or again after it broke
off, changes nothing that is there.

Examples:
  dialplane suppress import dnc.csv --reason 'registry of November'
  dialplane suppress import away.csv --map number=Telefon --delimiter ';' --default-region DE --for 30d";

/// Arguments of `suppress import`.
#[derive(Clone, Args)]
pub struct ImportArgs {
    /// The file
    pub file: PathBuf,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
    #[command(flatten)]
    pub until: UntilArgs,
    /// Which column has the numbers: number=Column
    #[arg(long, value_name = "number=COLUMN", value_delimiter = ',')]
    pub map: Vec<Mapping>,
    /// What separates the columns; \t is a tab
    #[arg(long, default_value = ",", value_parser = delimiter)]
    pub delimiter: u8,
    /// Read numbers without + as those of this region, as US
    #[arg(long, value_name = "REGION")]
    pub default_region: Option<String>,
    /// Where to write refused rows [default: FILE.refused.csv]
    #[arg(long, value_name = "FILE")]
    pub refused: Option<PathBuf>,
    /// Rows sent at once, 1 to 10000
    #[arg(long, default_value_t = 2_000, value_name = "ROWS", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub chunk: u16,
}

/// Imports a file.
pub async fn import_file(args: ImportArgs, client: &Client) -> Result<(), Error> {
    let shown = args.file.display().to_string();
    let unreadable = |error| Error::Usage(format!("{shown}: {error}"));
    let file = File::open(&args.file).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let refused_file = args.refused.unwrap_or_else(|| refused_beside(&args.file));
    let same = |path: &PathBuf| path.canonicalize().ok();
    if same(&refused_file).is_some_and(|refused| Some(refused) == same(&args.file)) {
        return Err(Error::Usage("--refused names the file that is to be imported".into()));
    }
    let source = CsvSource::open(file, args.delimiter, &args.map, args.chunk.into())?.numbers_only();
    let mut clients = client.connect().await?;
    let expires_at = args.until.resolve(&mut clients).await?;
    let refusals = Refusals::new(refused_file, source.delimiter(), source.headings());
    let bar = import_bar(bytes);
    let request = AddSuppressionsRequest { reason: args.reason, expires_at, ..Default::default() };
    let import = Import {
        client: clients.campaigns,
        request,
        region: args.default_region,
        refusals,
        summary: Summary::default(),
        leads: 0,
    };
    let done = import.run(source, &bar).await;
    bar.finish_and_clear();
    let (summary, leads) = done?;
    show(&summary, leads, client.format)
}

struct Import {
    client: CampaignServiceClient<Channel>,
    /// What all chunks have in common.
    request: AddSuppressionsRequest,
    region: Option<String>,
    refusals: Refusals,
    /// `created`: numbers suppressed; `updated`: for longer.
    summary: Summary,
    leads: i64,
}

impl Import {
    async fn run<R: Read>(mut self, mut source: CsvSource<R>, bar: &ProgressBar) -> Result<(Summary, i64), Error> {
        loop {
            let (refusals, summary) = (&mut self.refusals, &mut self.summary);
            let mut refuse = |row, reason| refusals.add(summary, &row, reason, None);
            let Some(chunk) = source.next_chunk(&mut refuse)? else { break };
            let through_byte = chunk.through_byte;
            let numbers = self.numbers(chunk)?;
            if !numbers.is_empty() {
                let rows = numbers.len() as u64;
                let answer = self.send(numbers, bar).await?;
                self.summary.rows += rows;
                self.summary.created += u64::try_from(answer.added).unwrap_or_default();
                self.summary.updated += u64::try_from(answer.extended).unwrap_or_default();
                self.leads += i64::from(answer.leads);
            }
            bar.set_position(through_byte);
            bar.set_message(format!("{} suppressed, {} refused", self.summary.created, self.summary.refused));
        }
        self.summary.refused_file = self.refusals.close()?;
        self.summary.refused_rows.sort_by_key(|refused| refused.line);
        Ok((self.summary, self.leads))
    }

    /// The numbers of a chunk; what is none is refused.
    fn numbers(&mut self, chunk: Chunk) -> Result<Vec<String>, Error> {
        let mut numbers = Vec::with_capacity(chunk.leads.len());
        for (lead, row) in chunk.leads.iter().zip(&chunk.rows) {
            match PhoneNumber::parse(&lead.number, self.region.as_deref()) {
                Ok(number) => numbers.push(number.e164()),
                Err(error) => self.refusals.add(&mut self.summary, row, format!("number: {error}"), None)?,
            }
        }
        Ok(numbers)
    }

    /// Sends a chunk until it is answered, under one name: what was done is not counted twice.
    async fn send(&mut self, numbers: Vec<String>, bar: &ProgressBar) -> Result<AddSuppressionsResponse, Error> {
        let request_id = uuid::Uuid::new_v4().to_string();
        let request = AddSuppressionsRequest { numbers, request_id, ..self.request.clone() };
        let mut failures = 0;
        loop {
            let error = match self.client.add_suppressions(request.clone()).await {
                Ok(answer) => return Ok(answer.into_inner()),
                Err(status) => Error::from(status),
            };
            failures += 1;
            if !error.is_transient() || failures == FAILURES_MAX {
                return Err(error);
            }
            bar.set_message(format!("again: {error}"));
            tokio::time::sleep(error.retry_after().unwrap_or(Duration::from_millis(200 << failures))).await;
        }
    }
}

/// Refused rows are an error: their numbers may still be called.
fn show(summary: &Summary, leads: i64, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        let refused = summary.refused_rows.iter().map(|row| json!({"line": row.line, "reason": row.reason}));
        say_json(&json!({
            "rows": summary.rows,
            "added": summary.created,
            "extended": summary.updated,
            "leads": leads,
            "refused": summary.refused,
            "refused_file": summary.refused_file,
            "refused_rows": refused.collect::<Vec<_>>(),
        }))?;
    } else {
        let there = summary.rows - summary.refused - summary.created - summary.updated;
        say(format!(
            "{} rows: {} suppressed, {} for longer, {there} were already, {} refused; {leads} leads blocked",
            summary.rows, summary.created, summary.updated, summary.refused
        ))?;
        show_refused(summary, 20)?;
    }
    match summary.refused {
        0 => Ok(()),
        rows => Err(Error::Failed(format!("{rows} rows were refused: their numbers are not suppressed"))),
    }
}
