//! `dialplane leads ...`

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{
    Client, Error,
    bulk::{ConsumeArgs, UpdateArgs, consume, update},
    csv_columns::Mapping,
    csv_import::CsvSource,
    filters::LeadFilterArgs,
    import_stream::{ImportOptions, Summary, import},
    output::{Format, say, say_json, table},
    views,
};
use crate::pb::{DuplicateAction, LeadState, ListLeadsRequest};

/// Leads: the numbers to be reached in a campaign
#[derive(Clone, Subcommand)]
pub enum LeadsCommand {
    /// Import a CSV file with a heading
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// List leads of a campaign
    #[command(after_help = "Example:\n  dialplane leads list --campaign 0190b3c2-... --state SCHEDULED\n  \
                      dialplane leads list --campaign 0190b3c2-... --held")]
    List(ListArgs),
    /// Mark leads as handled by hand, for good
    #[command(after_help = CONSUME_HELP)]
    Consume(ConsumeArgs),
    /// Change score or time zone of all leads that match
    #[command(
        after_help = "Example:\n  dialplane leads update --campaign 0190b3c2-... --min-attempts 2 --set-score 100 --dry-run"
    )]
    Update(UpdateArgs),
}

const CONSUME_HELP: &str = "\
Either leads by --lead, or all that keep every condition given. Not consumed: INTENT_YES, and leads under a call.

Examples:
  dialplane leads consume --campaign 0190b3c2-... --lead 0190b3c2-... --lead 0190b3c3-...
  dialplane leads consume --campaign 0190b3c2-... --state ELIGIBLE --older-than 90d --dry-run";

const IMPORT_HELP: &str = "\
Columns: number or phone; external_id or id; score; time_zone, timezone or zone. Every other column
becomes a variable that the dialer gets with the lease. Refused rows go into FILE.refused.csv with
line and reason: mend them there and import that file. Importing twice creates nothing twice.

Examples:
  dialplane leads import leads.csv --campaign 0190b3c2-...
  dialplane leads import crm.csv --campaign 0190b3c2-... --delimiter ';' --map number=Telefon
  dialplane leads import leads.csv --campaign 0190b3c2-... -o json | jq .created";

/// Arguments of `leads import`.
#[derive(Clone, Args)]
pub struct ImportArgs {
    /// The file
    pub file: PathBuf,
    /// The campaign's id
    #[arg(long = "campaign", value_name = "CAMPAIGN")]
    pub campaign_id: String,
    /// Which column is what: FIELD=Column of number, external_id, score, time_zone
    #[arg(long, value_name = "FIELD=COLUMN", value_delimiter = ',')]
    pub map: Vec<Mapping>,
    /// What separates the columns; \t is a tab
    #[arg(long, default_value = ",", value_parser = delimiter)]
    pub delimiter: u8,
    /// Numbers that the campaign has already: report the row, or update the lead
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "ACTION")]
    pub on_duplicate: OnDuplicate,
    /// Where to write refused rows [default: FILE.refused.csv]
    #[arg(long, value_name = "FILE")]
    pub refused: Option<PathBuf>,
    /// Go on with an import that broke off; it said this id
    #[arg(long, value_name = "UUID")]
    pub import_id: Option<uuid::Uuid>,
    /// Rows sent at once, 1 to 5000; keep it when you go on with an import
    #[arg(long, default_value_t = 1_000, value_name = "ROWS", value_parser = clap::value_parser!(u16).range(1..=5_000))]
    pub chunk: u16,
}

/// What to do with known numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OnDuplicate {
    /// Leave the lead as it is and refuse the row
    #[default]
    Report,
    /// Take over external_id, score, zone and variables
    Update,
}

/// Arguments of `leads list`.
#[derive(Clone, Args)]
pub struct ListArgs {
    /// The campaign's id
    #[arg(long = "campaign", value_name = "CAMPAIGN")]
    pub campaign_id: String,
    #[command(flatten)]
    pub filter: LeadFilterArgs,
    /// Only the lead with this number, as +12125550100
    #[arg(long, default_value = "", hide_default_value = true)]
    pub number: String,
    /// Only the lead with this key of yours
    #[arg(long, default_value = "", hide_default_value = true)]
    pub external_id: String,
    /// Only leads whose promised callback is held: nobody knows for when
    #[arg(long)]
    pub held: bool,
    /// At most this many; 0: all
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// Runs one of them.
pub async fn run(command: LeadsCommand, client: &Client) -> Result<(), Error> {
    match command {
        LeadsCommand::Import(args) => import_file(args, client).await,
        LeadsCommand::List(args) => list(args, client).await,
        LeadsCommand::Consume(args) => consume(args, client).await,
        LeadsCommand::Update(args) => update(args, client).await,
    }
}

async fn import_file(args: ImportArgs, client: &Client) -> Result<(), Error> {
    let shown = args.file.display().to_string();
    let unreadable = |error| Error::Usage(format!("{shown}: {error}"));
    let file = File::open(&args.file).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let refused_file = args.refused.unwrap_or_else(|| refused_beside(&args.file));
    let same = |path: &Path| path.canonicalize().ok();
    if same(&refused_file).is_some_and(|refused| Some(refused) == same(&args.file)) {
        return Err(Error::Usage("--refused names the file that is to be imported".into()));
    }
    let source = CsvSource::open(file, args.delimiter, &args.map, args.chunk.into())?;
    let on_duplicate = match args.on_duplicate {
        OnDuplicate::Report => DuplicateAction::Report,
        OnDuplicate::Update => DuplicateAction::Update,
    };
    let import_id = args.import_id.unwrap_or_else(uuid::Uuid::new_v4).to_string();
    let options =
        ImportOptions { campaign_id: args.campaign_id, import_id: import_id.clone(), on_duplicate, refused_file };
    let campaigns = client.connect().await?.campaigns;
    // Drawn on standard error, and only when that is a terminal.
    let bar = import_bar(bytes);
    let summary = import(campaigns, source, options, &bar).await;
    bar.finish_and_clear();
    show(&summary?, &import_id, client.format)
}

/// A progress bar over the bytes of the file.
pub fn import_bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("importing {wide_bar} {bytes}/{total_bytes} {eta} {msg}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

pub(super) fn refused_beside(file: &Path) -> PathBuf {
    let mut name = file.with_extension("").into_os_string();
    name.push(".refused.csv");
    name.into()
}

fn show(summary: &Summary, import_id: &str, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        let refused = summary.refused_rows.iter().map(|refused| {
            json!({"line": refused.line, "reason": refused.reason, "code": refused.code, "lead_id": refused.lead_id})
        });
        return say_json(&json!({
            "import_id": import_id,
            "rows": summary.rows,
            "created": summary.created,
            "updated": summary.updated,
            "refused": summary.refused,
            "refused_file": summary.refused_file,
            "refused_rows": refused.collect::<Vec<_>>(),
        }));
    }
    say(format!(
        "{} rows: {} created, {} updated, {} refused",
        summary.rows, summary.created, summary.updated, summary.refused
    ))?;
    show_refused(summary, 20)
}

/// A table of the first refused rows and where the others are. The demo prints the same.
pub(super) fn show_refused(summary: &Summary, rows_max: usize) -> Result<(), Error> {
    if summary.refused == 0 {
        return Ok(());
    }
    let mut rows = table([">line", "refused because"]);
    for refused in summary.refused_rows.iter().take(rows_max) {
        rows.add_row([refused.line.to_string(), refused.reason.clone()]);
    }
    say(rows.to_string())?;
    match &summary.refused_file {
        Some(file) => say(format!("all refused rows, to be mended and imported: {}", file.display())),
        None => Ok(()),
    }
}

async fn list(args: ListArgs, client: &Client) -> Result<(), Error> {
    let mut clients = client.connect().await?;
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut filter = args.filter.resolve(&mut clients).await?;
    let mut campaigns = clients.campaigns;
    // By itself a state has a short way to its leads.
    let state = if filter.states.len() == 1 { filter.states.remove(0) } else { LeadState::Unspecified.into() };
    let mut request = ListLeadsRequest {
        campaign_id: args.campaign_id,
        state,
        filter: Some(filter),
        number: args.number,
        external_id: args.external_id,
        page_size: limit.min(500) as i32,
        page_token: String::new(),
        held: args.held,
    };
    let mut found = Vec::new();
    loop {
        let page = campaigns.list_leads(request.clone()).await?.into_inner();
        found.extend(page.leads);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || found.len() >= limit {
            break;
        }
    }
    let more = !request.page_token.is_empty() || found.len() > limit;
    found.truncate(limit);
    if client.format == Format::Json {
        return say_json(&json!({ "leads": found.iter().map(views::lead).collect::<Vec<_>>(), "more": more }));
    }
    let mut rows = table(["lead", "number", "key", "state", ">attempts", ">score", "not before", "waits for"]);
    for lead in found {
        let state = views::lead_state(lead.state);
        let not_before = views::instant(lead.not_before).unwrap_or_default();
        let (attempts, score) = (lead.attempts.to_string(), lead.score.to_string());
        let waits_for = views::waiting_reason(lead.waiting_reason);
        rows.add_row([lead.lead_id, lead.number, lead.external_id, state, attempts, score, not_before, waits_for]);
    }
    say(rows.to_string())?;
    if more { say("there are more; --limit 0 lists all") } else { Ok(()) }
}

pub(super) fn delimiter(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] => Ok(*byte),
        b"\\t" => Ok(b'\t'),
        _ => Err("one character".into()),
    }
}
