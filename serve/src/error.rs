//! What can go wrong with the role, and what can go wrong with a query.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use datafusion::error::DataFusionError;
use forebay_lake::LakeError;
use forebay_schemas::ErrorKind;
use thiserror::Error;
use tracing::warn;

/// Why the role cannot run.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A port cannot be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A password, token, certificate or key is not there.
    #[error("cannot use {}: {why}", file.display())]
    Secret {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The system gives none.
    #[error("the system gives no random numbers")]
    NoRandomness,
    /// The engine cannot be set up.
    #[error("the query engine cannot be set up: {0}")]
    Engine(String),
    /// The threads that answer cannot be started.
    #[error("cannot start the threads that answer queries")]
    Threads(#[source] std::io::Error),
    /// The lake cannot be read.
    #[error(transparent)]
    Lake(#[from] LakeError),
}

impl ServeError {
    /// Whether trying again may help: a port may be free later.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Listen { .. } | Self::Threads(_) => ErrorKind::Retry,
            Self::Lake(error) => error.kind(),
            Self::Secret { .. } | Self::NoRandomness | Self::Engine(_) => ErrorKind::Fatal,
        }
    }
}

/// Why a query has no answer, in words that its user may read: none shows a row, a name or a path that is not theirs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum QueryError {
    #[error("{0}")]
    Syntax(String),
    #[error("{0}")]
    Planning(String),
    #[error("{0}")]
    Data(String),
    #[error("{0} is not possible: this database is read only")]
    ReadOnly(String),
    #[error("{0}")]
    NotSupported(String),
    #[error("the statement is too complex: {0}")]
    TooComplex(String),
    #[error("too many queries at once: none ended within {} ms, retry later", .0.as_millis())]
    Busy(Duration),
    #[error("the query timed out after {} ms: narrow its times, or ask a roll-up", .0.as_millis())]
    TimedOut(Duration),
    #[error("the query was cancelled")]
    Cancelled,
    #[error("the query has more than {0} rows: narrow it, or write LIMIT")]
    TooManyRows(u64),
    #[error("the query needs more than {0} bytes of memory: narrow it, or ask a roll-up")]
    TooMuchMemory(usize),
    #[error("the connection has more than {0} {1}: close some statements or portals")]
    TooMuchHeld(usize, &'static str),
    #[error("the lake is unavailable: the log of this gateway has the cause")]
    LakeUnavailable,
    #[error("the query failed: the log of this gateway has the cause")]
    Internal,
}

impl QueryError {
    /// The code of PostgreSQL's appendix A.
    pub(crate) fn sqlstate(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "42601",
            Self::Planning(_) => "42000",
            Self::Data(_) => "22000",
            Self::ReadOnly(_) => "25006",
            Self::NotSupported(_) => "0A000",
            Self::TooComplex(_) => "54001",
            Self::Busy(_) => "53300",
            Self::TimedOut(_) | Self::Cancelled => "57014",
            Self::TooManyRows(_) => "54000",
            Self::TooMuchMemory(_) | Self::TooMuchHeld(..) => "53200",
            Self::LakeUnavailable => "58030",
            Self::Internal => "XX000",
        }
    }

    /// One word for the audit line.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Syntax(_) | Self::Planning(_) | Self::NotSupported(_) => "refused",
            Self::ReadOnly(_) | Self::TooComplex(_) | Self::Busy(_) => "refused",
            Self::TimedOut(_) => "timed_out",
            Self::Cancelled => "cancelled",
            Self::TooManyRows(_) | Self::TooMuchMemory(_) | Self::TooMuchHeld(..) => "over_limit",
            Self::Data(_) | Self::LakeUnavailable | Self::Internal => "failed",
        }
    }

    /// Of what the engine says. What speaks of files goes to the log alone.
    pub(crate) fn of(error: &DataFusionError, memory_bytes_max: usize) -> Self {
        let root = error.find_root();
        match root {
            DataFusionError::SQL(parser, _) => Self::Syntax(parser.to_string()),
            DataFusionError::Plan(_)
            | DataFusionError::SchemaError(_, _)
            | DataFusionError::Diagnostic(_, _)
            | DataFusionError::Configuration(_) => Self::Planning(message_of(root)),
            DataFusionError::NotImplemented(_) => Self::NotSupported(message_of(root)),
            DataFusionError::ResourcesExhausted(_) => Self::TooMuchMemory(memory_bytes_max),
            DataFusionError::Execution(_) | DataFusionError::ArrowError(_, _) => {
                Self::Data(message_of(root))
            }
            _ => {
                warn!(%error, "a query failed");
                Self::Internal
            }
        }
    }
}

/// Its first line, without the traces that a build may add.
fn message_of(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    text.lines().next().unwrap_or_default().to_owned()
}
