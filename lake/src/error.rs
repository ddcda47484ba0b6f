//! What can go wrong with a table.

use datafusion::error::DataFusionError;
use forebay_schemas::ErrorKind;
use thiserror::Error;

use crate::{file::FileError, keys::KeyError};

/// An error of a table; says which.
#[derive(Debug, Error)]
pub enum LakeError {
    /// The lake's location is not one that this release opens.
    #[error("cannot open the lake at {location}: {why}")]
    Location {
        /// As configured.
        location: String,
        /// What is wrong with it.
        why: String,
    },
    /// The object store does not answer: the link or the store is down, or the endpoint is wrong.
    #[error("cannot reach the object store of {location}: {why}")]
    Unreachable {
        /// The lake and the endpoint.
        location: String,
        /// What happened.
        why: String,
    },
    /// The object store lets two writers create one object, so that one would overwrite the other's commit (E7).
    #[error(
        "{location}: this object store does not honour conditional creation (If-None-Match: *): {why}: a second writer \
         would overwrite commits; use a store, or a version of it, that does"
    )]
    Unconditional {
        /// The lake and the endpoint.
        location: String,
        /// What the store did.
        why: String,
    },
    /// The object store failed.
    #[error("object store: {0}")]
    Store(#[from] object_store::Error),
    /// The Delta log could not be read or written.
    #[error("table {table}: {}", delta_told(source))]
    Delta {
        /// The table.
        table: &'static str,
        /// What the Delta library says.
        #[source]
        source: Box<deltalake_core::DeltaTableError>,
    },
    /// The table's rows could not be read.
    #[error("table {table} cannot be read: {source}")]
    Query {
        /// The table.
        table: &'static str,
        /// Why.
        #[source]
        source: Box<DataFusionError>,
    },
    /// Written by a later release (E13).
    #[error(
        "table {table} has format {found}, newer than {known}, the newest this release reads: update this program"
    )]
    NewerFormat {
        /// The table.
        table: &'static str,
        /// As the table states it.
        found: String,
        /// As this release knows it.
        known: u32,
    },
    /// Laid out in other folders than this release's: by site and date, as releases before it did.
    #[error(
        "table {table} has an old layout, partitioned by {found}, which this release does not open: set up a new lake and \
         fill it by `forebay import` or by reading the stream from its start"
    )]
    OldLayout {
        /// The table.
        table: &'static str,
        /// Its partition columns.
        found: String,
    },
    /// A Delta table, but not one of Forebay's, or one with other columns.
    #[error("table {table} is not Forebay's: {why}")]
    Foreign {
        /// The table.
        table: &'static str,
        /// What gives it away.
        why: String,
    },
    /// The table's columns or format are no longer those that an attempt was built for (E6).
    #[error(
        "table {table} was changed while this program ran: {why}: restart it with a release that knows the table"
    )]
    Changed {
        /// The table.
        table: &'static str,
        /// What is different.
        why: String,
    },
    /// A file that an attempt removes is no longer part of the table (E8).
    #[error(
        "table {table}: file {path} is no longer active: another merge, erasure or rotation took it"
    )]
    Inactive {
        /// The table.
        table: &'static str,
        /// The file.
        path: String,
    },
    /// A file that an attempt adds is older than the table's last vacuum, which may have deleted it (E8).
    #[error(
        "table {table}: file {path} was stored before the last vacuum's cut-off: store it again"
    )]
    Vacuumed {
        /// The table.
        table: &'static str,
        /// The file.
        path: String,
    },
    /// A data file is not the one that was committed.
    #[error("table {table}: file {path}: {why}")]
    Damaged {
        /// The table.
        table: &'static str,
        /// The file.
        path: String,
        /// What gives it away.
        why: String,
    },
    /// Someone else advanced the state that this attempt was built from (E6).
    #[error(
        "stream {app_id} is at state {found:?} instead of {expected:?}: another writer took it over"
    )]
    Fenced {
        /// The stream, as the table knows it.
        app_id: String,
        /// The state that the attempt was built from.
        expected: Option<i64>,
        /// The state in the table.
        found: Option<i64>,
    },
    /// Commits of others came first too often.
    #[error("table {table}: others committed first {attempts} times")]
    Contended {
        /// The table.
        table: &'static str,
        /// How often it was tried.
        attempts: u32,
    },
    /// A state object that this release cannot read or make.
    #[error("state object {path}: {why}")]
    State {
        /// Its path.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// A state object that is missing or damaged: waiting does not bring it back.
    #[error("state object {path}: {why}: {}", state_way_out(table))]
    StateLost {
        /// The table.
        table: &'static str,
        /// Its path in the table.
        path: String,
        /// What has become of it.
        why: String,
    },
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A data file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Rows that Arrow cannot hold.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
}

impl LakeError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. }
            | Self::Store(_)
            | Self::Delta { .. }
            | Self::Query { .. }
            | Self::Contended { .. } => ErrorKind::Retry,
            // Not the same attempt, but one that is planned again.
            Self::Inactive { .. } | Self::Vacuumed { .. } => ErrorKind::Retry,
            Self::Location { .. }
            | Self::Foreign { .. }
            | Self::OldLayout { .. }
            | Self::Arrow(_) => ErrorKind::Reject,
            Self::NewerFormat { .. }
            | Self::Changed { .. }
            | Self::Fenced { .. }
            | Self::Unconditional { .. } => ErrorKind::Fatal,
            Self::State { .. } | Self::StateLost { .. } | Self::Damaged { .. } => {
                ErrorKind::Corrupt
            }
            Self::Key(error) => error.kind(),
            Self::File(error) => error.kind(),
        }
    }

    /// Whether going on waiting is right: it passes, or a key that is missing can be restored. Until then
    /// nothing is written, least of all in clear.
    pub fn can_be_waited_out(&self) -> bool {
        self.is_of_a_key() || self.kind() == ErrorKind::Retry
    }

    /// Whether an object is not in the store.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }

    /// Whether a person has to restore a key.
    pub fn is_of_a_key(&self) -> bool {
        matches!(self, Self::Key(_) | Self::File(_))
    }
}

/// How a lost state comes back.
fn state_way_out(table: &str) -> &'static str {
    match table {
        "readings" | "gaps" | "quarantine" => {
            "`forebay repair state` rebuilds it from the tables, unless a copy of the lake has it"
        }
        _ => "bring it back from a copy of the lake",
    }
}

/// What the Delta library says, without the backtrace that it may carry, and the way out where there is one.
fn delta_told(source: &deltalake_core::DeltaTableError) -> String {
    let text = source.to_string();
    let first = text.lines().next().unwrap_or_default();
    if first.contains("Json error") {
        return format!(
            "{first}: an entry in its _delta_log is damaged: bring it back from a copy of the lake"
        );
    }
    first.to_owned()
}
