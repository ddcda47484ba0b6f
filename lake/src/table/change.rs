//! What a commit is to do, before it is tried: files that come and go, and a step of each writer's state.

use deltalake_core::kernel::{Add, Remove};
use uuid::Uuid;

/// How transactions begin that no stream has: vacuums and rewrites. A stream's is a keyed hash.
pub(crate) const OWN_PREFIX: &str = "forebay.";

/// One step of one writer's state in a table, so that a restart does nothing twice (E5, E9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The writer, as [`StateKeeper::app_id`](crate::StateKeeper::app_id) names it.
    pub app_id: String,
    /// The state that was found in the table.
    pub from_state: Option<i64>,
    /// The state after the commit; above `from_state`.
    pub to_state: i64,
}

/// Files to add, and the step of one stream's state that they make.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Random, drawn for each attempt.
    pub id: Uuid,
    /// The stream and partition, as a keyed hash.
    pub app_id: String,
    /// The state that this attempt was built from.
    pub from_state: Option<i64>,
    /// The state after it; above `from_state`.
    pub to_state: i64,
    /// The files.
    pub adds: Vec<Add>,
}

/// What a commit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// New rows.
    Append,
    /// The same rows in other files.
    Rewrite,
    /// Rows leave, others may come; some of those that stay are in other files.
    Erase,
    /// The announcement that files will be deleted.
    Vacuum { retention_ms: i64 },
}

/// One commit before it is tried: at least one transaction, which makes it land once only.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) id: Uuid,
    pub(crate) purpose: Purpose,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) adds: Vec<Add>,
    pub(crate) removes: Vec<Remove>,
}

impl From<&Attempt> for Change {
    fn from(attempt: &Attempt) -> Self {
        let Attempt {
            id,
            app_id,
            from_state,
            to_state,
            adds,
        } = attempt.clone();
        let transactions = vec![Transaction {
            app_id,
            from_state,
            to_state,
        }];
        Self {
            id,
            purpose: Purpose::Append,
            transactions,
            adds,
            removes: Vec::new(),
        }
    }
}
