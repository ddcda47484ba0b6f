//! Counters of what was consumed, for telemetry to read.

use std::sync::atomic::{AtomicU64, Ordering};

use super::arrivals::Arrivals;

/// Counters since the process began, over all its partitions.
#[derive(Debug, Default)]
pub struct Progress {
    /// Readings that streams delivered, those that had been taken before among them.
    pub received: AtomicU64,
    /// Readings committed to `readings`.
    pub committed: AtomicU64,
    /// Readings that had been taken before, and were dropped.
    pub duplicates: AtomicU64,
    /// Records and readings that went to `quarantine`.
    pub quarantined: AtomicU64,
    /// Gaps that were opened.
    pub gaps: AtomicU64,
    /// Commits to `readings`.
    pub commits: AtomicU64,
    /// Commits that failed and were tried again.
    pub retries: AtomicU64,
    /// How long the last commit took, ms.
    pub last_commit_millis: AtomicU64,
    /// Partitions being consumed now.
    pub partitions: AtomicU64,
    /// Partitions that stopped with an error.
    pub failed: AtomicU64,
    /// How the newest readings of the devices came.
    pub(crate) arrivals: Arrivals,
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
