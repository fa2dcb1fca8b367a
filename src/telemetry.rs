//! Logs: what the process says of itself. Ids and numbers, never a phone number or a name.

use std::io::IsTerminal as _;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts logging to stderr, as text or as JSON lines. `RUST_LOG` filters; default: info.
pub fn start(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // These write whole numbers, statements with their parameters, and bytes of messages below these levels, whatever
    // the filter asks for.
    let quiet = ["rlibphonenumber=warn", "refinery_core=warn", "tokio_postgres=warn", "h2=info", "hyper=info"];
    let filter = quiet.iter().filter_map(|directive| directive.parse().ok()).fold(filter, EnvFilter::add_directive);
    let registry = tracing_subscriber::registry().with(filter);
    // A second start, as in tests, changes nothing.
    let _ = if json {
        registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init()
    } else {
        registry.with(fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr)).try_init()
    };
}
