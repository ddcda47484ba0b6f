//! What can go wrong with telemetry; none of it touches readings.

use std::{io, net::SocketAddr};

use forebay_schemas::ErrorKind;
use thiserror::Error;

/// Why telemetry cannot start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// An invalid log filter.
    #[error(
        "log filter {filter:?} cannot be read ({why}): a level such as \"info\" or \"warn,forebay_mqtt=debug\" is expected"
    )]
    Filter {
        /// As given.
        filter: String,
        /// What is wrong.
        why: String,
    },
    /// The address for Prometheus is taken or not ours.
    #[error("cannot listen on {address} for Prometheus")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A part that does not start.
    #[error("cannot start {what}: {why}")]
    Start {
        /// The part.
        what: &'static str,
        /// Why.
        why: String,
    },
}

impl TelemetryError {
    /// What the caller may do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Filter { .. } => ErrorKind::Reject,
            Self::Listen { .. } | Self::Start { .. } => ErrorKind::Fatal,
        }
    }
}
