//! Two times at once: the clock, which may be set, and the running time, which may not.

use std::time::Duration;

use forebay_schemas::Timestamp;

/// When something is done to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// What the clock says. It may be ahead, behind, or set while the process runs.
    pub(super) clock: Timestamp,
    /// How long the partition's task has run: what waits, waits by this.
    pub(super) up: Duration,
}

impl Moment {
    /// The clock's µs since 1970 UTC.
    pub(super) fn micros(self) -> i64 {
        self.clock.micros()
    }
}
