//! The log of verbs that have no telemetry: lines on stderr, only what a person must act on unless `FOREBAY_LOG` asks for more.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;

/// What is shown unless asked; of the store and the keyring also what is to be known once, such as that it made a keyring.
const LEVEL: &str = "error,forebay::store=warn,forebay::keyring=warn";

/// Starts the log; `quiet` are directives for libraries that would say too much, after a comma.
pub(crate) fn start(quiet: &str) {
    let wanted = std::env::var("FOREBAY_LOG").unwrap_or_else(|_| LEVEL.to_owned());
    let filter =
        EnvFilter::try_new(format!("{wanted}{quiet}")).unwrap_or_else(|_| EnvFilter::new(LEVEL));
    let colour = std::env::var_os("NO_COLOR").is_none() && stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(colour)
        .init();
}
