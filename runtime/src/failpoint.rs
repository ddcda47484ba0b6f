//! Places where a test can have the process killed (SIGKILL): the kill test sets `FOREBAY_FAILPOINT`.
//!
//! Off unless the variable holds one of these names:
//! - `after_sync`: readings are synced in the spool, their device has not been acknowledged (E1);
//! - `after_quarantine`: `quarantine` and `gaps` hold what belongs to a commit of `readings` that is not there yet (E9);
//! - `after_file_write`: data files are in the store, the commit that makes them count is not;
//! - `after_state`: the state object is in the store, too;
//! - `after_commit`: `readings` holds the commit, nobody knows of it;
//! - `in_merge`: between the files of a merge and its commit;
//! - `in_windows`: the state of a site's windows is in the store, their rows are not;
//! - `in_rollup`: the roll-ups of windows are in their tables, the windows' rows are not;
//! - `in_retention`: what stays of old files is in the store, the commit that deletes the rest is not;
//! - `after_retention`: old rows are deleted, the table `deletions` does not say so yet.
//!
//! With `FOREBAY_FAILPOINT_AFTER=N` the first N passages are let through.

use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

use rustix::process::{Signal, getpid, kill_process};

/// A place where the process can be made to die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failpoint {
    /// Readings are synced in the spool, their device has not been acknowledged.
    AfterSync,
    /// `quarantine` and `gaps` are written, the readings that belong to them are not.
    AfterQuarantine,
    /// Data files are in the store, the commit that makes them count is not.
    AfterFileWrite,
    /// The state object is in the store, the commit that makes it count is not.
    AfterState,
    /// `readings` holds the commit, nobody knows of it.
    AfterCommit,
    /// Between the files of a merge and its commit.
    InMerge,
    /// The state of a site's windows is in the store, their rows are not.
    InWindows,
    /// The roll-ups of windows are in their tables, the windows' rows are not.
    InRollup,
    /// What stays of old files is in the store, the commit that deletes the rest is not.
    InRetention,
    /// Old rows are deleted, the table `deletions` does not say so yet.
    AfterRetention,
}

impl Failpoint {
    /// As `FOREBAY_FAILPOINT` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AfterSync => "after_sync",
            Self::AfterQuarantine => "after_quarantine",
            Self::AfterState => "after_state",
            Self::AfterFileWrite => "after_file_write",
            Self::AfterCommit => "after_commit",
            Self::InMerge => "in_merge",
            Self::InWindows => "in_windows",
            Self::InRollup => "in_rollup",
            Self::InRetention => "in_retention",
            Self::AfterRetention => "after_retention",
        }
    }
}

static CHOSEN: LazyLock<Option<String>> = LazyLock::new(|| std::env::var("FOREBAY_FAILPOINT").ok());
static PASSAGES_LEFT: LazyLock<AtomicU64> = LazyLock::new(|| {
    let after = std::env::var("FOREBAY_FAILPOINT_AFTER")
        .ok()
        .and_then(|after| after.parse().ok());
    AtomicU64::new(after.unwrap_or(0))
});

/// Kills the process if the environment says so here: no destructor runs, nothing is flushed.
pub fn failpoint(here: Failpoint) {
    if CHOSEN.as_deref() != Some(here.name()) {
        return;
    }
    let passage = PASSAGES_LEFT.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    if passage.is_err() {
        tracing::error!(
            failpoint = here.name(),
            "dying here as FOREBAY_FAILPOINT says"
        );
        let killed = kill_process(getpid(), Signal::KILL);
        // Not reached where the kernel lets a process kill itself.
        tracing::error!(?killed, "still alive");
        std::process::abort();
    }
}
