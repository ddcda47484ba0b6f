//! What can go wrong with a log.

use std::{io, path::PathBuf, sync::Arc};

use forebay_schemas::{ErrorKind, wire::DecodeError};
use rdkafka::error::KafkaError;
use thiserror::Error;

/// Why a log did not do as asked.
#[derive(Debug, Clone, Error)]
pub enum StreamError {
    /// The file system refused.
    #[error("could not {op} {path}")]
    Io {
        /// The attempt.
        op: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: Arc<io::Error>,
    },
    /// Sealed with another key; nothing was changed.
    #[error(
        "{path} was sealed with another key: bring back the keyring that the spool was made with"
    )]
    WrongKey {
        /// The file.
        path: PathBuf,
    },
    /// Written by a later release; nothing was changed.
    #[error(
        "{path} has format version {found}, newer than {newest}, the newest this release reads: update this program"
    )]
    NewerVersion {
        /// The file.
        path: PathBuf,
        /// The version that it states.
        found: u16,
        /// The newest version known here.
        newest: u16,
    },
    /// Another process has the spool open.
    #[error("spool {path} is held by process {holder}")]
    Held {
        /// The spool's directory.
        path: PathBuf,
        /// Process id as its lock file has it.
        holder: String,
    },
    /// Limits that contradict each other.
    #[error("limit {field} of {found} bytes must be {rule}")]
    Limits {
        /// The limit.
        field: &'static str,
        /// Its value.
        found: u64,
        /// What holds of a good one.
        rule: &'static str,
    },
    /// An append without readings.
    #[error("an append must have at least one reading")]
    Empty,
    /// More than one record may hold.
    #[error("an append of {found} {unit} is larger than {max}")]
    TooLarge {
        /// Its size.
        found: u64,
        /// The largest possible.
        max: u64,
        /// Of what.
        unit: &'static str,
    },
    /// A record of a later release.
    #[error("record at offset {offset} cannot be read")]
    Record {
        /// Its offset.
        offset: u64,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// The log is closed, or its owner is gone.
    #[error("the log is closed")]
    Closed,
    /// The source of random numbers or the cipher failed.
    #[error("{0} failed")]
    Crypto(&'static str),
    /// Kafka did not do as asked, or could not be reached.
    #[error("could not {op} kafka topic {topic}")]
    Kafka {
        /// The attempt.
        op: &'static str,
        /// On what.
        topic: String,
        /// Kafka's answer.
        #[source]
        source: KafkaError,
    },
    /// Kafka does not let us in, or not do this.
    #[error("kafka at {brokers} refused: {why}: {mend}")]
    KafkaRefused {
        /// As configured.
        brokers: String,
        /// Kafka's answer.
        why: String,
        /// What a person can do.
        mend: &'static str,
    },
    /// The settings cannot be used.
    #[error("fix [stream]: {why}")]
    KafkaSettings {
        /// What is wrong.
        why: String,
    },
    /// The partition now belongs to another process: what was built from it must not be committed (E6).
    #[error("partition {partition} was revoked from this process")]
    Revoked {
        /// The partition.
        partition: u32,
    },
    /// The file that says in which partition each open epoch is.
    #[error(
        "{path} is damaged: restore it, or remove it if the topic has as many partitions as when the open epoch began"
    )]
    Places {
        /// The file.
        path: PathBuf,
    },
    /// A counter (offset, seq or epoch) has reached its end.
    #[error("the numbers of {0} are used up")]
    Exhausted(&'static str),
}

impl StreamError {
    /// What the caller may do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Kafka { .. } => ErrorKind::Retry,
            Self::Empty | Self::TooLarge { .. } => ErrorKind::Reject,
            Self::Record { source, .. } => source.kind(),
            Self::Places { .. } => ErrorKind::Corrupt,
            Self::WrongKey { .. }
            | Self::NewerVersion { .. }
            | Self::Held { .. }
            | Self::Limits { .. }
            | Self::Closed
            | Self::KafkaRefused { .. }
            | Self::KafkaSettings { .. }
            | Self::Revoked { .. }
            | Self::Crypto(_)
            | Self::Exhausted(_) => ErrorKind::Fatal,
        }
    }

    /// An I/O error with what was tried.
    pub(crate) fn io(op: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            op,
            path,
            source: Arc::new(source),
        }
    }

    /// Whether the file is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    /// Whether space may help: no room on the device, or the user's quota.
    pub(crate) fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}
