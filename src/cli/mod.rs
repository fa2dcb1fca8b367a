//! The command line: everything an operator does from a shell, as a gRPC client like any other.
//!
//! `serve` and `migrate` are only parsed here; `main` hands their settings to `app`. Imports `pb` and nothing else
//! of the crate.

mod audit;
mod bulk;
mod callback;
mod campaign;
mod campaign_tables;
mod client;
mod csv_columns;
mod csv_import;
mod demo;
mod engine_settings;
mod error;
mod explain;
mod export;
mod filters;
mod import_stream;
#[cfg(test)]
mod import_stream_test;
mod leads;
mod leases;
mod number_rules;
mod output;
mod rules;
mod settings;
mod status;
mod suppress;
mod suppress_import;
mod views;
mod watch;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

use self::settings::{DEFAULT_SERVER, FileSettings, MigrateArgs, ServeArgs};
pub use self::{
    demo::stdin_closed,
    error::Error,
    output::Format,
    settings::{Database, LogFormat, MigrateSettings, ServeSettings},
};

/// A gRPC scheduling engine for outbound call campaigns: who may be called, when, by whom, and never twice
#[derive(Clone, Parser)]
#[command(name = "dialplane", version, max_term_width = 100, after_help = HELP)]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const HELP: &str = "\
Examples:
  dialplane demo                                          the whole engine at work, in a minute
  dialplane serve --embedded ./data                       a server with a private PostgreSQL
  dialplane campaign create \"Spring\" --default-region US
  dialplane leads import leads.csv --campaign CAMPAIGN
  dialplane campaign start CAMPAIGN
  dialplane campaign stats CAMPAIGN -o json
  dialplane callback parse \"tomorrow after six\" --zone Asia/Kolkata
  dialplane campaign watch CAMPAIGN
  dialplane export outcomes --cursor-file outcomes.cursor --file outcomes.csv

A flag wins over the environment, and the environment over the file of --config (TOML; keys: server,
output, listen, database_url, embedded, log_format, drain_seconds).

Exit codes: 0 done, 1 refused, 2 wrong usage, 3 server unavailable.";

#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
struct GlobalArgs {
    /// The server to talk to [default: http://127.0.0.1:50051]
    #[arg(long, global = true, env = "DIALPLANE_SERVER", hide_env_values = true, value_name = "URL")]
    server: Option<String>,
    /// How to print results: table, or json for programs [default: table]
    #[arg(
        long,
        short,
        global = true,
        env = "DIALPLANE_OUTPUT",
        hide_env_values = true,
        hide_possible_values = true,
        value_name = "FORMAT"
    )]
    output: Option<Format>,
    /// Settings that neither flag nor environment gives
    #[arg(long, global = true, env = "DIALPLANE_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The commands.
#[derive(Clone, Subcommand)]
pub enum Command {
    /// Run the engine
    #[command(after_help = "Examples:\n  dialplane serve --embedded ./data\n  \
        DATABASE_URL=postgres://dialplane:secret@db/dialplane dialplane serve --listen 0.0.0.0:50051")]
    Serve(ServeArgs),
    /// Watch 500 invented leads pass through the whole engine, in a minute
    Demo(demo::DemoArgs),
    /// Bring a database up to date, once, before servers of a new version start
    Migrate(MigrateArgs),
    /// Campaigns: lists of leads and the rules for calling them
    #[command(subcommand)]
    Campaign(Box<campaign::CampaignCommand>),
    /// Leads: the numbers to be reached in a campaign
    #[command(subcommand)]
    Leads(leads::LeadsCommand),
    /// Show why a lead is called, or not, and why leads of a campaign are not
    #[command(subcommand)]
    Explain(explain::ExplainCommand),
    /// Suppressions: numbers that nobody may call
    #[command(subcommand)]
    Suppress(suppress::SuppressCommand),
    /// Leases: the right to call a lead, held by a dialer
    #[command(subcommand)]
    Leases(leases::LeasesCommand),
    /// Show who changed what, newest first
    #[command(after_help = "Example:\n  dialplane audit --campaign 0190b3c2-... --since 2026-11-20T00:00:00Z")]
    Audit(audit::AuditArgs),
    /// Callbacks: when a person wants to be called again
    #[command(subcommand)]
    Callback(callback::CallbackCommand),
    /// Exports: what came of the calls
    #[command(subcommand)]
    Export(export::ExportCommand),
    /// The engine's settings: caps, number rules, time-outs
    #[command(subcommand)]
    Settings(engine_settings::SettingsCommand),
    /// Show versions, caps, and what goes on
    Status,
    /// One simulated dialer of the demo
    #[command(hide = true)]
    DemoDialer(demo::DialerArgs),
}

/// What the command line asks for, with all settings settled.
pub enum Invocation {
    /// Run the engine.
    Serve(ServeSettings),
    /// Migrate and end.
    Migrate(MigrateSettings),
    /// Everything else: talk to a server.
    Client(Box<ClientCommand>),
}

impl Invocation {
    /// Reads the command line, the environment and the configuration file. `Err` has been told to the user.
    pub fn from_args() -> Result<Self, ExitCode> {
        // --help and wrong flags end here, with clap's own text; exit codes 0 and 2.
        let Cli { global, command } = Cli::parse();
        let format = global.output.unwrap_or_default();
        Self::settle(global, command).map_err(|error| error.report(format))
    }

    fn settle(global: GlobalArgs, command: Command) -> Result<Self, Error> {
        let file = FileSettings::load(global.config.as_deref())?;
        match command {
            Command::Serve(args) => Ok(Self::Serve(args.resolve(&file)?)),
            Command::Migrate(args) => Ok(Self::Migrate(args.resolve(&file)?)),
            command => {
                let server = global.server.or(file.server).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
                let format = global.output.or(file.output).unwrap_or_default();
                Ok(Self::Client(Box::new(ClientCommand { client: Client { server, format }, command })))
            }
        }
    }
}

/// A command that talks to a server.
pub struct ClientCommand {
    client: Client,
    command: Command,
}

/// Which server, and how to print.
#[derive(Clone, Debug)]
struct Client {
    server: String,
    format: Format,
}

impl Client {
    async fn connect(&self) -> Result<client::Clients, Error> {
        client::connect(&self.server).await
    }
}

impl ClientCommand {
    /// Runs it to its end and tells the user; needs a tokio runtime of several threads.
    pub async fn run(self) -> ExitCode {
        let Self { client, command } = self;
        let done = match command {
            Command::Campaign(command) => campaign::run(*command, &client).await,
            Command::Leads(command) => leads::run(command, &client).await,
            Command::Explain(command) => explain::run(command, &client).await,
            Command::Suppress(command) => suppress::run(command, &client).await,
            Command::Leases(command) => leases::run(command, &client).await,
            Command::Audit(args) => audit::run(args, &client).await,
            Command::Callback(command) => callback::run(command, &client),
            Command::Export(command) => export::run(command, &client).await,
            Command::Settings(command) => engine_settings::run(command, &client).await,
            Command::Status => status::run(&client).await,
            Command::Demo(args) => demo::run(args).await,
            Command::DemoDialer(args) => demo::run_dialer(args, &client).await,
            Command::Serve(_) | Command::Migrate(_) => Err(Error::Usage("not a client's command".into())),
        };
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => error.report(client.format),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_options_may_stand_behind_the_command() {
        let line = "dialplane campaign stats 7 -o json --server http://there:1";
        let cli = Cli::try_parse_from(line.split(' ')).expect("valid");
        let settled = Invocation::settle(cli.global, cli.command).expect("settled");
        let Invocation::Client(command) = settled else { panic!("a client's command") };
        assert_eq!((command.client.server.as_str(), command.client.format), ("http://there:1", Format::Json));
    }

    #[test]
    fn an_export_has_a_file_and_a_format() {
        let line = "dialplane export outcomes --file out.jsonl --cursor-file at -o json";
        let cli = Cli::try_parse_from(line.split(' ')).expect("valid");
        assert_eq!(cli.global.output, Some(Format::Json));
    }
}
