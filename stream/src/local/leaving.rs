//! Segments that have been forgotten, on their way out: counted one at a time beside the writer, which takes appends meanwhile and removes
//! what has been counted.
//!
//! Invariants: a file goes only after the ledger has counted it (E12); whoever forgets is answered once all that was passed is gone. A
//! removal that fails is tried again with the next forgetting.

use std::future::pending;

use forebay_schemas::ledger::Fate;
use tokio::{
    sync::oneshot,
    task::{JoinError, JoinSet},
};

use super::{dir::Reserve, segment::Segment, store::Store};
use crate::StreamError;

/// What is being counted, and who waits for it to go.
#[derive(Default)]
pub(super) struct Leaving {
    /// One at most.
    counting: JoinSet<Segment>,
    waiting: Vec<oneshot::Sender<Result<(), StreamError>>>,
}

impl Leaving {
    /// Answers once all that has been passed is gone.
    pub(super) fn wait(&mut self, reply: oneshot::Sender<Result<(), StreamError>>) {
        self.waiting.push(reply);
    }

    /// Begins to count the oldest segment that was passed, unless one is being counted; answers who waits if there is none.
    pub(super) fn go_on(&mut self, store: &Store) {
        if self.waiting.is_empty() || !self.counting.is_empty() {
            return;
        }
        let Some(segment) = store.passed().cloned() else {
            return self.answer(&Ok(()));
        };
        let counter = store.counter();
        self.counting.spawn_blocking(move || {
            counter.count(&segment, Reserve::Use, |_| Fate::Taken);
            segment
        });
    }

    /// The segment that has been counted; never comes while none is. Cancel-safe.
    pub(super) async fn counted(&mut self) -> Result<Segment, JoinError> {
        match self.counting.join_next().await {
            Some(counted) => counted,
            None => pending().await,
        }
    }

    /// Answers all who wait.
    pub(super) fn answer(&mut self, result: &Result<(), StreamError>) {
        for reply in self.waiting.drain(..) {
            drop(reply.send(result.clone()));
        }
    }

    /// The segment that was being counted. What was passed is forgotten in the mark: files that are left go with the next opening.
    pub(super) async fn end(mut self) -> Option<Segment> {
        self.answer(&Ok(()));
        self.counting.join_next().await?.ok()
    }
}
