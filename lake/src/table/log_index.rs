//! What is known of a log's files, so that cleaning it need not list it whole.

use std::collections::BTreeMap;

use deltalake_core::kernel::Version;
use object_store::path::Path;

/// What is known of a log's files.
#[derive(Debug, Default)]
pub(crate) struct LogIndex {
    /// Up to here the log was listed.
    pub(crate) listed_to: Version,
    /// The oldest entry that there may be.
    pub(crate) oldest: Option<Version>,
    pub(crate) checkpoints: BTreeMap<Version, Checkpoint>,
}

/// A checkpoint in the log.
#[derive(Debug, Default)]
pub(crate) struct Checkpoint {
    pub(crate) files: Vec<Path>,
    /// When it was written, in ms since 1970 UTC.
    pub(crate) written_ms: i64,
    /// When the newest entry was written that it makes needless: the one before its version.
    pub(crate) holds_ms: i64,
}
