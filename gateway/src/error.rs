//! What can go wrong at the edge.

use forebay_connectors::ConnectorError;
use forebay_schemas::ErrorKind;
use forebay_stream::StreamError;
use thiserror::Error;

/// Why the edge cannot go on.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The spool refused.
    #[error("spool of lane {lane}")]
    Spool {
        /// The lane.
        lane: u32,
        /// Why.
        #[source]
        source: StreamError,
    },
    /// A connector needs a person.
    #[error("connector {name:?}")]
    Connector {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: ConnectorError,
    },
    /// Connectors that did not stop in time, or that stopped by themselves.
    #[error("connector {name:?} {what}")]
    Task {
        /// Its name.
        name: String,
        /// What it did.
        what: &'static str,
    },
}

impl GatewayError {
    /// What the caller may do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Spool { source, .. } => source.kind(),
            Self::Connector { source, .. } => source.kind(),
            Self::Task { .. } => ErrorKind::Fatal,
        }
    }
}
