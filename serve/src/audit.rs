//! One line for each query: who, whose rows, how long, how many rows, what came of it, and the statement without its
//! constants. And the counters of the role.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::Instant;
use tracing::info;

use crate::{error::QueryError, user::User};

/// What the role has done so far.
#[derive(Debug, Default)]
pub struct ServeProgress {
    /// Queries that were answered in full.
    pub answered: AtomicU64,
    /// Queries that were refused, cut off, or failed.
    pub failed: AtomicU64,
    /// Rows that were sent.
    pub rows: AtomicU64,
    /// Wrong passwords and tokens.
    pub logins_failed: AtomicU64,
    /// Connections that are open.
    pub connections: AtomicU64,
    /// Connections that were refused because there were too many.
    pub refused: AtomicU64,
}

/// Which port a query came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Postgres,
    Http,
}

impl Door {
    fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Http => "http",
        }
    }
}

/// Who asks, and from where.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub(crate) user: Arc<User>,
    pub(crate) peer: SocketAddr,
    pub(crate) door: Door,
}

/// A query's line; written when it ends, or is dropped half-way.
pub(crate) struct AuditLine {
    asker: Asker,
    statement: String,
    begun: Instant,
    rows: u64,
    outcome: Option<&'static str>,
    progress: Arc<ServeProgress>,
}

impl AuditLine {
    pub(crate) fn new(asker: Asker, statement: String, progress: Arc<ServeProgress>) -> Self {
        Self {
            asker,
            statement,
            begun: Instant::now(),
            rows: 0,
            outcome: None,
            progress,
        }
    }

    pub(crate) fn add_rows(&mut self, rows: u64) {
        self.rows += rows;
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn answered(&mut self) {
        self.outcome.get_or_insert("answered");
    }

    pub(crate) fn failed(&mut self, error: &QueryError) {
        self.outcome.get_or_insert(error.outcome());
    }
}

impl Drop for AuditLine {
    fn drop(&mut self) {
        let outcome = self.outcome.unwrap_or("dropped");
        let counter = match outcome {
            "answered" => &self.progress.answered,
            _ => &self.progress.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.progress.rows.fetch_add(self.rows, Ordering::Relaxed);
        info!(
            user = self.asker.user.name,
            sites = %self.asker.user.sites,
            peer = %self.asker.peer,
            door = self.asker.door.name(),
            ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            rows = self.rows,
            outcome,
            statement = self.statement,
            "query"
        );
    }
}
