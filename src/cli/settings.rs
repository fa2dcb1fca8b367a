//! Settings by flag, environment and file, in this precedence. clap settles flag over environment; here the
//! file fills what both left open, and `serve` and `migrate` get the one answer they run by.

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ::config::{Config, File, FileFormat};
use serde::Deserialize;

use super::{Error, output::Format};

/// Where a client looks for the server when nothing says otherwise.
pub const DEFAULT_SERVER: &str = "http://127.0.0.1:50051";

/// The port of `serve`, on the loopback interface: an open port to the world is a decision.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);

/// How long dialers have to go elsewhere.
pub const DEFAULT_DRAIN: Duration = Duration::from_secs(10);

/// The configuration file. Every key is optional; an unknown one is an error, since a misspelt setting is lost.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// As `--server`.
    pub server: Option<String>,
    /// As `--output`.
    pub output: Option<Format>,
    /// As `serve --listen`.
    pub listen: Option<SocketAddr>,
    /// As `serve --drain-seconds`.
    pub drain_seconds: Option<u16>,
    /// As `serve --database-url`.
    pub database_url: Option<String>,
    /// As `serve --embedded`.
    pub embedded: Option<PathBuf>,
    /// As `serve --log-format`.
    pub log_format: Option<LogFormat>,
}

impl FileSettings {
    /// Reads a TOML file; no path: no settings.
    pub fn load(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let file = File::from(path).format(FileFormat::Toml).required(true);
        Config::builder()
            .add_source(file)
            .build()
            .and_then(Config::try_deserialize)
            .map_err(|error| Error::Usage(format!("--config {}: {error}", path.display())))
    }
}

/// How the server writes its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The arguments of `serve`.
#[derive(Clone, Default, clap::Args)]
pub struct ServeArgs {
    /// Address and port to listen on [default: 127.0.0.1:50051]
    #[arg(long, env = "DIALPLANE_LISTEN", hide_env_values = true, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// PostgreSQL to work on, as postgres://user:password@host/database
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
    /// Work on a private PostgreSQL in this directory instead; made when missing, kept afterwards
    #[arg(long, env = "DIALPLANE_EMBEDDED", hide_env_values = true, value_name = "DIR")]
    pub embedded: Option<PathBuf>,
    /// How to write the log: text, or json for programs [default: text]
    #[arg(
        long,
        env = "DIALPLANE_LOG_FORMAT",
        hide_env_values = true,
        hide_possible_values = true,
        value_name = "FORMAT"
    )]
    pub log_format: Option<LogFormat>,
    /// How long dialers have to go elsewhere when the server stops, 0 to 3600 [default: 10]
    #[arg(
        long,
        env = "DIALPLANE_DRAIN_SECONDS",
        hide_env_values = true,
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u16).range(0..=3600)
    )]
    pub drain_seconds: Option<u16>,
    /// Stop as on SIGTERM when standard input closes: for a parent that may die without saying so
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// The arguments of `migrate`.
#[derive(Clone, Default, clap::Args)]
pub struct MigrateArgs {
    /// PostgreSQL to bring up to date, as postgres://user:password@host/database
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true)]
    pub database_url: Option<String>,
}

/// What `serve` runs by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeSettings {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The one database.
    pub database: Database,
    /// How to write the log.
    pub log_format: LogFormat,
    /// How long dialers have to go elsewhere when the server stops.
    pub drain_within: Duration,
    /// Stop when standard input closes; see [`super::stdin_closed`].
    pub stop_with_stdin: bool,
}

/// What `migrate` runs by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrateSettings {
    /// The database.
    pub database: Database,
}

/// Where the world is kept.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A PostgreSQL server, by its URL.
    Url(String),
    /// A private PostgreSQL in this directory.
    Embedded(PathBuf),
}

/// The URL may carry a password.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(_) => f.write_str("Url(***)"),
            Self::Embedded(dir) => f.debug_tuple("Embedded").field(dir).finish(),
        }
    }
}

impl ServeArgs {
    /// The settings in force; without exactly one database a usage error.
    pub fn resolve(self, file: &FileSettings) -> Result<ServeSettings, Error> {
        let here = one_database("flags and environment", self.database_url, self.embedded)?;
        let database = match here {
            Some(database) => database,
            None => one_database("configuration file", file.database_url.clone(), file.embedded.clone())?
                .ok_or_else(no_database)?,
        };
        Ok(ServeSettings {
            listen: self.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            database,
            log_format: self.log_format.or(file.log_format).unwrap_or_default(),
            drain_within: self
                .drain_seconds
                .or(file.drain_seconds)
                .map_or(DEFAULT_DRAIN, |seconds| Duration::from_secs(seconds.into())),
            stop_with_stdin: self.stop_with_stdin,
        })
    }
}

impl MigrateArgs {
    /// The settings in force.
    pub fn resolve(self, file: &FileSettings) -> Result<MigrateSettings, Error> {
        let url = self.database_url.or_else(|| file.database_url.clone()).filter(|url| !url.is_empty());
        let url = url.ok_or_else(|| {
            Error::Usage(
                "which database? Give --database-url or DATABASE_URL; `serve --embedded` migrates by itself".into(),
            )
        })?;
        Ok(MigrateSettings { database: Database::Url(url) })
    }
}

/// An empty URL is a setting that got lost on its way (an unset variable in a manifest), so it is none.
fn one_database(place: &str, url: Option<String>, dir: Option<PathBuf>) -> Result<Option<Database>, Error> {
    match (url.filter(|url| !url.is_empty()), dir.filter(|dir| !dir.as_os_str().is_empty())) {
        (Some(_), Some(_)) => Err(Error::Usage(format!(
            "both a database URL and an embedded database are given ({place}): which one holds the leads and the \
             suppressions? Give exactly one"
        ))),
        (Some(url), None) => Ok(Some(Database::Url(url))),
        (None, Some(dir)) => Ok(Some(Database::Embedded(dir))),
        (None, None) => Ok(None),
    }
}

fn no_database() -> Error {
    Error::Usage(
        "which database? Give --database-url (or DATABASE_URL), or --embedded DIR for a private one.\n\
         There is no default: a server that lost its setting must not start an empty world without suppressions"
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(url: &str) -> Option<String> {
        Some(url.to_owned())
    }

    #[test]
    fn a_server_without_exactly_one_database_does_not_start() {
        let file = FileSettings::default();
        assert!(ServeArgs::default().resolve(&file).is_err());
        let lost = ServeArgs { database_url: url(""), ..ServeArgs::default() };
        assert!(lost.resolve(&file).is_err());
        let both = ServeArgs { database_url: url("postgres://x"), embedded: Some("d".into()), ..ServeArgs::default() };
        assert!(both.resolve(&file).is_err());
    }

    #[test]
    fn flags_and_environment_win_over_the_file() {
        let file = FileSettings {
            database_url: url("postgres://file"),
            log_format: Some(LogFormat::Json),
            ..FileSettings::default()
        };
        let args = ServeArgs { embedded: Some("d".into()), ..ServeArgs::default() };
        let settings = args.resolve(&file).expect("one database each");
        assert_eq!(settings.database, Database::Embedded("d".into()));
        assert_eq!((settings.log_format, settings.listen), (LogFormat::Json, DEFAULT_LISTEN));
        let settings = ServeArgs::default().resolve(&file).expect("the file names one");
        assert_eq!(settings.database, Database::Url("postgres://file".into()));
        assert!(!format!("{settings:?}").contains("postgres://"));
    }

    #[test]
    fn a_misspelt_setting_in_the_file_is_refused() {
        let path = std::env::temp_dir().join(format!("dialplane-settings-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&path, "servr = 'http://x'\n").expect("writable");
        let refused = FileSettings::load(Some(&path));
        std::fs::write(&path, "server = 'http://x'\noutput = 'json'\n").expect("writable");
        let read = FileSettings::load(Some(&path));
        std::fs::remove_file(&path).expect("removable");
        assert!(refused.is_err_and(|error| error.to_string().contains("servr")));
        assert!(read.is_ok_and(|file| file.server.as_deref() == Some("http://x") && file.output == Some(Format::Json)));
    }
}
