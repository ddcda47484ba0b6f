//! What can go wrong with the role, and what can go wrong with a query.

use std::{error::Error as StdError, net::SocketAddr, path::PathBuf, time::Duration};

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use forebay_lake::LakeError;
use forebay_schemas::ErrorKind;
use thiserror::Error;
use tracing::warn;

/// DataFusion puts this before the debug form of an error that a condition raised within a scan.
const IN_A_SCAN: &str = "Error evaluating filter predicate: ";
/// How such an error of too much memory begins.
const TOO_MUCH_MEMORY: &str = "ResourcesExhausted(";

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
        if let Some(raised) = raised_in_a_scan(error) {
            if raised.starts_with(TOO_MUCH_MEMORY) {
                return Self::TooMuchMemory(memory_bytes_max);
            }
            return Self::Data(format!("a condition failed on a row: {}", words(raised)));
        }
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

/// What a condition raised while a scan evaluated it, in its debug form. It may be told: a scan evaluates conditions on the user's own
/// rows alone, or such as raise nothing ([`crate::fence`]).
fn raised_in_a_scan(error: &DataFusionError) -> Option<&str> {
    let mut at: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = at {
        if let Some(ArrowError::ComputeError(text)) = error.downcast_ref()
            && let Some(raised) = text.strip_prefix(IN_A_SCAN)
        {
            return Some(raised);
        }
        at = error.source();
    }
    None
}

/// The first text within a debug form, up to its first line's end; the form itself where it has none.
fn words(raised: &str) -> String {
    if raised.contains("DivideByZero") {
        return ArrowError::DivideByZero.to_string();
    }
    let mut text = String::new();
    let mut chars = raised.chars().skip_while(|c| *c != '"').skip(1);
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n' | 'r') | None => break,
                Some('t') => text.push(' '),
                Some(other) => text.push(other),
            },
            c => text.push(c),
        }
    }
    if text.is_empty() {
        return raised.to_owned();
    }
    text
}

/// Its first line, without the traces that a build may add.
fn message_of(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let text = text.lines().next().unwrap_or_default();
    match hint(text) {
        Some(hint) => format!("{text}; {hint}"),
        None => text.to_owned(),
    }
}

/// What PostgreSQL would have taken, and how it is written here.
fn hint(text: &str) -> Option<&'static str> {
    let is_time = ["Timestamp", "Date32", "Time64"]
        .iter()
        .any(|name| text.contains(name));
    if text.contains("Cannot coerce arithmetic expression") && text.contains("Utf8") && is_time {
        return Some("an interval is written interval '1 hour'");
    }
    if text.contains("array_has does not support type Utf8") {
        return Some("an array is written array['a', 'b'] or '{a,b}'::text[]");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_condition_raises_within_a_scan_is_told_in_its_words() {
        let cast = "Cannot cast string 'a \"b\"' to value of Int64 type";
        for (raised, told) in [
            (
                DataFusionError::ArrowError(
                    Box::new(ArrowError::CastError(cast.into())),
                    Some(String::new()),
                ),
                cast,
            ),
            (
                DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None),
                "Divide by zero error",
            ),
            (DataFusionError::Execution("a long\nstory".into()), "a long"),
        ] {
            let found = QueryError::of(&in_a_scan(&raised), 7);
            let told = format!("a condition failed on a row: {told}");
            assert_eq!(found, QueryError::Data(told), "{raised:?}");
        }
        let raised = DataFusionError::ResourcesExhausted("all of it".into());
        let found = QueryError::of(&in_a_scan(&raised), 7);
        assert_eq!(found, QueryError::TooMuchMemory(7));
    }

    #[test]
    fn what_speaks_of_files_goes_to_the_log_alone() {
        let damaged = LakeError::Damaged {
            table: "readings",
            path: "site=quartz/part-1.parquet".into(),
            why: "it is cut short".into(),
        };
        let error =
            DataFusionError::External(Box::new(ArrowError::from_external_error(Box::new(damaged))));
        assert_eq!(QueryError::of(&error, 7), QueryError::Internal);
    }

    /// As DataFusion's row filter and parquet's reader hand it on.
    fn in_a_scan(raised: &DataFusionError) -> DataFusionError {
        let told = ArrowError::ComputeError(format!("{IN_A_SCAN}{raised:?}"));
        DataFusionError::External(Box::new(ArrowError::from_external_error(Box::new(told))))
    }
}
