//! `dialplane suppress ...`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{
    Client, Error,
    audit::instant,
    client::Clients,
    filters::from_now,
    output::{Format, say, say_json, table},
    rules::duration,
    suppress_import::{ImportArgs, import_file},
    views,
};
use crate::{
    domain::phone_number::PhoneNumber,
    pb::{
        AddSuppressionsRequest, CheckSuppressionsRequest, ListSuppressionsRequest, RemoveSuppressionsRequest,
        SuppressionFilter,
    },
};

/// Suppressions: numbers that nobody may call
#[derive(Clone, Subcommand)]
pub enum SuppressCommand {
    /// Suppress numbers, for good or for a while
    #[command(after_help = "Example:\n  dialplane suppress add +12125550100 --reason 'asked by post' --for 30d")]
    Add(AddArgs),
    /// Lift suppressions, and what their leads said of never being called again
    #[command(after_help = REMOVE_HELP)]
    Remove(RemoveArgs),
    /// Tell which numbers are suppressed
    Check(CheckArgs),
    /// List suppressed numbers
    #[command(after_help = "Example:\n  dialplane suppress list --expires-before 2027-01-01T00:00:00Z -o json")]
    List(ListArgs),
    /// Suppress the numbers of a CSV file with a heading
    #[command(after_help = super::suppress_import::HELP)]
    Import(ImportArgs),
}

const REMOVE_HELP: &str = "\
Either numbers, or all that keep every condition given.

Examples:
  dialplane suppress remove +12125550100 --reason 'consent of 3 May'
  dialplane suppress remove --with-reason 'list of 2024' --reason 'a wrong list' --dry-run";

/// Until when numbers are suppressed.
#[derive(Clone, Args)]
pub struct UntilArgs {
    /// Lift them at this instant, as 2027-01-01T00:00:00Z [default: never]
    #[arg(long, value_parser = instant, value_name = "INSTANT", conflicts_with = "for_")]
    pub expires: Option<prost_types::Timestamp>,
    /// Lift them after so long, as 30d
    #[arg(long = "for", value_parser = duration, value_name = "DURATION")]
    pub for_: Option<prost_types::Duration>,
}

impl UntilArgs {
    /// The instant; durations count from the server's clock.
    pub async fn resolve(self, clients: &mut Clients) -> Result<Option<prost_types::Timestamp>, Error> {
        match self.for_ {
            Some(length) => Ok(Some(from_now(clients, length, 1).await?)),
            None => Ok(self.expires),
        }
    }
}

/// Numbers on the command line.
#[derive(Clone, Args)]
pub struct NumbersArgs {
    /// Numbers, as +12125550100
    #[arg(value_name = "NUMBER")]
    pub numbers: Vec<String>,
    /// Read numbers without + as those of this region, as US
    #[arg(long, value_name = "REGION")]
    pub default_region: Option<String>,
}

impl NumbersArgs {
    fn resolve(self) -> Result<Vec<String>, Error> {
        let region = self.default_region.as_deref();
        self.numbers
            .iter()
            .map(|text| {
                let wrong = |error| Error::Usage(format!("{text}: {error}"));
                PhoneNumber::parse(text, region).map(PhoneNumber::e164).map_err(wrong)
            })
            .collect()
    }
}

/// Arguments of `suppress add`.
#[derive(Clone, Args)]
pub struct AddArgs {
    #[command(flatten)]
    pub numbers: NumbersArgs,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub reason: String,
    #[command(flatten)]
    pub until: UntilArgs,
}

/// Conditions on suppressions; those that are given hold all.
#[derive(Clone, Args)]
pub struct FilterArgs {
    /// Only with exactly this reason
    #[arg(long, default_value = "", hide_default_value = true, value_name = "REASON")]
    pub with_reason: String,
    /// Only older ones
    #[arg(long, value_parser = instant, value_name = "INSTANT")]
    pub created_before: Option<prost_types::Timestamp>,
    /// Only those that end before this instant
    #[arg(long, value_parser = instant, value_name = "INSTANT")]
    pub expires_before: Option<prost_types::Timestamp>,
}

impl From<FilterArgs> for SuppressionFilter {
    fn from(args: FilterArgs) -> Self {
        Self { reason: args.with_reason, created_before: args.created_before, expires_before: args.expires_before }
    }
}

/// Arguments of `suppress remove`.
#[derive(Clone, Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    pub numbers: NumbersArgs,
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Why they may be called again
    #[arg(long)]
    pub reason: String,
    /// Only count; change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `suppress check`.
#[derive(Clone, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub numbers: NumbersArgs,
}

/// Arguments of `suppress list`.
#[derive(Clone, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pub filter: FilterArgs,
    /// At most this many; 0: all
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

/// Runs one of them.
pub async fn run(command: SuppressCommand, client: &Client) -> Result<(), Error> {
    match command {
        SuppressCommand::Add(args) => add(args, client).await,
        SuppressCommand::Remove(args) => remove(args, client).await,
        SuppressCommand::Check(args) => check(args, client).await,
        SuppressCommand::List(args) => list(args, client).await,
        SuppressCommand::Import(args) => import_file(args, client).await,
    }
}

async fn add(args: AddArgs, client: &Client) -> Result<(), Error> {
    let numbers = args.numbers.resolve()?;
    let mut clients = client.connect().await?;
    let expires_at = args.until.resolve(&mut clients).await?;
    let request = AddSuppressionsRequest { numbers, reason: args.reason, expires_at, request_id: String::new() };
    let answer = clients.campaigns.add_suppressions(request).await?.into_inner();
    if client.format == Format::Json {
        let (added, extended, leads) = (answer.added, answer.extended, answer.leads);
        return say_json(&json!({"added": added, "extended": extended, "leads": leads}));
    }
    say(format!("{} numbers suppressed, {} for longer; {} leads blocked", answer.added, answer.extended, answer.leads))
}

async fn remove(args: RemoveArgs, client: &Client) -> Result<(), Error> {
    let numbers = args.numbers.resolve()?;
    let filter = SuppressionFilter::from(args.filter);
    let given = filter != SuppressionFilter::default();
    if given != numbers.is_empty() {
        return Err(Error::Usage("name numbers, or give conditions; one of both".into()));
    }
    let request = RemoveSuppressionsRequest {
        numbers,
        reason: args.reason,
        filter: given.then_some(filter),
        validate_only: args.dry_run,
        request_id: String::new(),
    };
    let answer = client.connect().await?.campaigns.remove_suppressions(request).await?.into_inner();
    if client.format == Format::Json {
        let (removed, leads) = (answer.removed, answer.leads);
        return say_json(&json!({"validate_only": args.dry_run, "removed": removed, "leads": leads}));
    }
    let verb = if args.dry_run { "would be lifted" } else { "lifted" };
    say(format!("{} suppressions {verb}; {} leads unblocked", answer.removed, answer.leads))
}

async fn check(args: CheckArgs, client: &Client) -> Result<(), Error> {
    let request = CheckSuppressionsRequest { numbers: args.numbers.resolve()? };
    let checks = client.connect().await?.campaigns.check_suppressions(request).await?.into_inner().checks;
    if client.format == Format::Json {
        let checks = checks.iter().map(|check| {
            json!({
                "number": check.number,
                "suppressed": check.suppressed,
                "reason": check.reason,
                "since": views::instant(check.since),
                "expires_at": views::instant(check.expires_at),
            })
        });
        return say_json(&Value::Array(checks.collect()));
    }
    let mut rows = table(["number", "suppressed", "reason", "since", "until"]);
    for check in checks {
        let (since, until) = (views::instant(check.since), until(check.expires_at, check.suppressed));
        let suppressed = if check.suppressed { "yes" } else { "no" };
        rows.add_row([check.number, suppressed.to_owned(), check.reason, since.unwrap_or_default(), until]);
    }
    say(rows.to_string())
}

fn until(at: Option<prost_types::Timestamp>, suppressed: bool) -> String {
    views::instant(at).unwrap_or_else(|| if suppressed { "for good".to_owned() } else { String::new() })
}

async fn list(args: ListArgs, client: &Client) -> Result<(), Error> {
    let mut campaigns = client.connect().await?.campaigns;
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut request = ListSuppressionsRequest {
        filter: Some(args.filter.into()),
        page_size: i32::try_from(limit.min(1000)).unwrap_or(1000),
        page_token: String::new(),
    };
    let mut found = Vec::new();
    loop {
        let page = campaigns.list_suppressions(request.clone()).await?.into_inner();
        found.extend(page.suppressions);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || found.len() >= limit {
            break;
        }
    }
    let more = !request.page_token.is_empty() || found.len() > limit;
    found.truncate(limit);
    if client.format == Format::Json {
        let found = found.iter().map(|one| {
            json!({
                "number": one.number,
                "reason": one.reason,
                "since": views::instant(one.since),
                "expires_at": views::instant(one.expires_at),
            })
        });
        return say_json(&json!({"suppressions": found.collect::<Vec<_>>(), "more": more}));
    }
    let mut rows = table(["number", "reason", "since", "until"]);
    for one in found {
        let since = views::instant(one.since).unwrap_or_default();
        rows.add_row([one.number, one.reason, since, until(one.expires_at, true)]);
    }
    say(rows.to_string())?;
    if more { say("there are more; --limit 0 lists all") } else { Ok(()) }
}
