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
    /// When what is taken now was published; by the clock where nobody says so.
    pub(super) published: Timestamp,
}

impl Moment {
    pub(super) fn new(clock: Timestamp, up: Duration) -> Self {
        Self {
            clock,
            up,
            published: clock,
        }
    }

    /// The same, for what was published then.
    pub(super) fn of(self, published: Option<Timestamp>) -> Self {
        Self {
            published: published.unwrap_or(self.clock),
            ..self
        }
    }

    /// The clock's µs since 1970 UTC.
    pub(super) fn micros(self) -> i64 {
        self.clock.micros()
    }
}
