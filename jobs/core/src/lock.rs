//! The locks beside the database of runs: one scheduler, and one back-fill, at a time.

use std::path::Path;

use forebay_runtime::{LockError, LockFile};

use crate::SchedulerError;

/// Takes a lock, held for as long as it lives.
///
/// # Errors
/// [`SchedulerError::Held`] while another process holds it.
pub(crate) fn lock(path: &Path) -> Result<LockFile, SchedulerError> {
    LockFile::take(path).map_err(|error| match error {
        LockError::Held { path, holder } => SchedulerError::Held { path, holder },
        LockError::Io { path, source, .. } => SchedulerError::Lock { path, source },
    })
}
