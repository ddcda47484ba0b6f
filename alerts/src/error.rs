//! What can go wrong with the alerts themselves; a delivery that fails is retried and is no error of theirs.

use std::{io, path::PathBuf};

use forebay_runtime::LockError;
use forebay_schemas::ErrorKind;
use thiserror::Error;

use crate::Refused;

/// An error of the alerts.
#[derive(Debug, Error)]
pub enum AlertError {
    /// The file system failed.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that no release wrote.
    #[error("{} is damaged: {source}; move it away to begin without it", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Written by a later release (E13).
    #[error("{} has format {found}, newer than {known}, the newest this release reads: update this program", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// As the file states it.
        found: u32,
        /// As this release knows it.
        known: u32,
    },
    /// A request that cannot be done.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The process that runs the alerts did not answer.
    #[error(
        "the process that runs the alerts did not take the request within {seconds} s: see its log"
    )]
    NoAnswer {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The lock could not be had.
    #[error(transparent)]
    Lock(LockError),
}

impl AlertError {
    /// Whether the disk has no room, for this user at least.
    pub(crate) fn is_full(&self) -> bool {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        matches!(self, Self::Io { source, .. } if full.contains(&source.kind()))
    }

    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::NoAnswer { .. } => ErrorKind::Retry,
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::NewerFormat { .. } | Self::Lock(_) => ErrorKind::Fatal,
            Self::Refused(_) => ErrorKind::Reject,
        }
    }
}
