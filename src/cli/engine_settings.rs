//! `dialplane settings ...`: the engine's settings, the same for all replicas.

use clap::Subcommand;
use prost_types::Duration;

use super::{
    Client, Error,
    number_rules::{self, NumberRulesArgs},
    output::{Format, facts, say, say_json},
    rules::duration,
    views,
};
use crate::pb::{GetSchedulerStatusRequest, NumberRules, SchedulerSettings, UpdateSchedulerSettingsRequest};

/// The engine's settings
#[derive(Clone, Subcommand)]
pub enum SettingsCommand {
    /// Show the settings in force
    Show,
    /// Change settings; those that are not named stay as they are
    #[command(
        after_help = "Example:\n  dialplane settings set --max-concurrency 200 --number-cap 3/24h --number-cap 7/7d \
        --min-gap 2h \\\n    --gap-after-conversation 7d --cool-down ABANDONED=72h\n\n\
        Number rules are replaced as a whole."
    )]
    Set(Box<SetArgs>),
}

/// What may be set.
#[derive(Clone, clap::Args)]
pub struct SetArgs {
    /// Calls at once, over all campaigns and replicas
    #[arg(long, value_name = "N")]
    max_concurrency: Option<i32>,
    /// The queue warmer's period, as 60s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    tick_interval: Option<Duration>,
    /// READY leads per slot
    #[arg(long, value_name = "N")]
    buffer_factor: Option<i32>,
    /// READY leads added per campaign and tick, unless demand outruns it
    #[arg(long, value_name = "N")]
    batch_size: Option<i32>,
    /// After so long a silence a session is lost, as 20s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    session_ttl: Option<Duration>,
    /// A lease without a receipt for so long is taken back, as 5s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    receipt_within: Option<Duration>,
    /// A permit is dead so long after it was asked for, as 5s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    dial_within: Option<Duration>,
    /// Permits per second over all campaigns and replicas; 0: no limit
    #[arg(long, value_name = "RATE")]
    max_calls_per_second: Option<f64>,
    #[command(flatten)]
    number_rules: NumberRulesArgs,
    /// No number rules
    #[arg(long, conflicts_with_all = ["number_cap", "min_gap", "gap_after_conversation", "cool_down"])]
    no_number_rules: bool,
    /// Refuse when the settings have changed since this etag was read
    #[arg(long, default_value = "", hide_default_value = true)]
    etag: String,
}

impl SetArgs {
    fn build(self) -> SchedulerSettings {
        SchedulerSettings {
            max_concurrency: self.max_concurrency,
            tick_interval: self.tick_interval,
            buffer_factor: self.buffer_factor,
            batch_size: self.batch_size,
            session_ttl: self.session_ttl,
            receipt_within: self.receipt_within,
            dial_within: self.dial_within,
            max_calls_per_second: self.max_calls_per_second,
            etag: self.etag,
            number_rules: self.number_rules.build().or(self.no_number_rules.then(NumberRules::default)),
        }
    }
}

/// Runs one of them.
pub async fn run(command: SettingsCommand, client: &Client) -> Result<(), Error> {
    let mut scheduler = client.connect().await?.scheduler;
    let settings = match command {
        SettingsCommand::Show => {
            scheduler.get_scheduler_status(GetSchedulerStatusRequest {}).await?.into_inner().settings
        }
        SettingsCommand::Set(args) => {
            let settings = args.build();
            if settings == (SchedulerSettings { etag: settings.etag.clone(), ..SchedulerSettings::default() }) {
                return Err(Error::Usage("name at least one setting; see dialplane settings set --help".into()));
            }
            let request = UpdateSchedulerSettingsRequest { settings: Some(settings), request_id: String::new() };
            scheduler.update_scheduler_settings(request).await?.into_inner().settings
        }
    };
    show(&settings.unwrap_or_default(), client.format)
}

fn show(settings: &SchedulerSettings, format: Format) -> Result<(), Error> {
    if format == Format::Json {
        return say_json(&views::settings(settings));
    }
    let count = |of: Option<i32>| of.unwrap_or_default().to_string();
    let length = |of| views::length(of).unwrap_or_default();
    let rules = number_rules::lines(&settings.number_rules.clone().unwrap_or_default());
    say(facts([
        ("max concurrency", count(settings.max_concurrency)),
        ("tick interval", length(settings.tick_interval)),
        ("buffer factor", count(settings.buffer_factor)),
        ("batch size", count(settings.batch_size)),
        ("calls per second", views::rate(settings.max_calls_per_second, "no limit")),
        ("session ttl", length(settings.session_ttl)),
        ("receipt within", length(settings.receipt_within)),
        ("dial within", length(settings.dial_within)),
        ("number rules", if rules.is_empty() { "none".into() } else { rules.join("\n") }),
        ("etag", settings.etag.clone()),
    ])
    .to_string())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn set(flags: &str) -> SchedulerSettings {
        let line = format!("dialplane settings set {flags}");
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("valid");
        let Command::Settings(SettingsCommand::Set(args)) = cli.command else { panic!("settings set") };
        args.build()
    }

    #[test]
    fn number_rules_that_are_not_named_are_left_alone_and_can_be_taken_away() {
        assert_eq!(set("--max-concurrency 5").number_rules, None);
        assert_eq!(set("--no-number-rules").number_rules, Some(NumberRules::default()));
        let rules = set("--number-cap 3/24h --number-cap 7/7d --min-gap 2h").number_rules.expect("given");
        assert_eq!((rules.caps.len(), rules.min_gap.map(|gap| gap.seconds)), (2, Some(7200)));
        let both = "dialplane settings set --no-number-rules --min-gap 2h".split(' ');
        assert!(Cli::try_parse_from(both).is_err());
    }
}
