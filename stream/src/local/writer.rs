//! The task that owns the store, and the handle that appends to it.
//!
//! Invariants: appends that wait share one sync; at most `WAITING_MAX` of them wait in the channel and `GROUP_MAX` in the
//! task; forgetting, ending receipts and closing overtake them, so that a full spool can be emptied. Segments that are forgotten are
//! counted beside the task (`leaving`), so that no append waits for that unless it needs their room. The task stops by `close`, or is
//! aborted when the spool is dropped.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use forebay_runtime::{Backoff, trace};
use forebay_schemas::{Reading, wire::Outage};
use tokio::{
    select,
    sync::{mpsc, oneshot},
    task::{JoinError, spawn_blocking},
    time::sleep,
};
use tracing::{error, warn};

use super::{
    leaving::Leaving,
    segment::Segment,
    store::{Append, Outcome, Store},
};
use crate::{LogWriter, Offset, OpenReceipt, Receipt, ReceiptChanges, StreamError};

/// Appends that may wait in the channel.
pub(super) const WAITING_MAX: usize = 64;
const GROUP_MAX: usize = 256;
const NO_SPACE: Backoff = Backoff {
    first: Duration::from_millis(100),
    max: Duration::from_secs(10),
};

/// What overtakes appends.
pub(super) enum Control {
    Forget(Offset, oneshot::Sender<Result<(), StreamError>>),
    EndReceipts(Vec<OpenReceipt>, oneshot::Sender<Result<(), StreamError>>),
    Close(oneshot::Sender<Result<(), StreamError>>),
}

/// Asks the task and waits for its answer.
pub(super) async fn ask<T, Q>(
    to: &mpsc::Sender<Q>,
    question: impl FnOnce(oneshot::Sender<Result<T, StreamError>>) -> Q,
) -> Result<T, StreamError> {
    let (reply, answer) = oneshot::channel();
    to.send(question(reply))
        .await
        .map_err(|_| StreamError::Closed)?;
    answer.await.map_err(|_| StreamError::Closed)?
}

/// Appends to the spool.
#[derive(Debug, Clone)]
pub struct SpoolWriter {
    pub(super) appends: mpsc::Sender<Append>,
    pub(super) control: mpsc::Sender<Control>,
}

#[async_trait]
impl LogWriter for SpoolWriter {
    async fn append_with(
        &self,
        readings: Vec<Reading>,
        receipts: ReceiptChanges,
    ) -> Result<Receipt, StreamError> {
        self.append_shared(Arc::new(readings), receipts).await
    }

    async fn append_shared(
        &self,
        readings: Arc<Vec<Reading>>,
        receipts: ReceiptChanges,
    ) -> Result<Receipt, StreamError> {
        if readings.is_empty() {
            return Err(StreamError::Empty);
        }
        let trace = trace::current();
        ask(&self.appends, |reply| Append {
            readings,
            outages: Vec::new(),
            receipts,
            trace,
            reply,
        })
        .await
    }

    async fn append_outages(&self, outages: Vec<Outage>) -> Result<Receipt, StreamError> {
        if outages.is_empty() {
            return Err(StreamError::Empty);
        }
        let (readings, receipts) = (Arc::default(), ReceiptChanges::default());
        ask(&self.appends, |reply| Append {
            readings,
            outages,
            receipts,
            trace: None,
            reply,
        })
        .await
    }

    async fn end_receipts(&self, ended: Vec<OpenReceipt>) -> Result<(), StreamError> {
        ask(&self.control, |reply| Control::EndReceipts(ended, reply)).await
    }

    async fn close(&self) -> Result<(), StreamError> {
        ask(&self.control, Control::Close).await
    }
}

enum Event {
    Control(Option<Control>),
    Counted(Result<Segment, JoinError>),
    Appended,
    Retry,
}

/// What the task waits for.
enum State {
    Idle,
    Full,
    NoSpace { failures: u32 },
}

/// Runs until closed.
pub(super) async fn run(
    mut store: Store,
    mut appends: mpsc::Receiver<Append>,
    mut control: mpsc::Receiver<Control>,
) {
    let mut pending = VecDeque::new();
    let mut group = Vec::new();
    let mut state = State::Idle;
    let mut leaving = Leaving::default();
    loop {
        let event = match state {
            State::Idle => select! {
                biased;
                control = control.recv() => Event::Control(control),
                counted = leaving.counted() => Event::Counted(counted),
                count = appends.recv_many(&mut group, GROUP_MAX), if !appends.is_closed() || !appends.is_empty() => {
                    if count == 0 { continue }
                    Event::Appended
                }
            },
            State::Full => select! {
                biased;
                control = control.recv() => Event::Control(control),
                counted = leaving.counted() => Event::Counted(counted),
            },
            State::NoSpace { failures } => select! {
                biased;
                control = control.recv() => Event::Control(control),
                counted = leaving.counted() => Event::Counted(counted),
                // The whole bound: nobody else waits for this disk.
                () = sleep(NO_SPACE.wait(failures, 1.0)) => Event::Retry,
            },
        };
        match event {
            Event::Control(None) => return,
            Event::Control(Some(Control::Close(reply))) => {
                return close(store, leaving, reply).await;
            }
            Event::Control(Some(Control::Forget(up_to, reply))) => {
                let Some((back, result)) =
                    off_reactor(store, move |store| store.forget(up_to)).await
                else {
                    return;
                };
                store = back;
                match result {
                    Ok(()) => leaving.wait(reply),
                    Err(error) => drop(reply.send(Err(error))),
                }
            }
            Event::Control(Some(Control::EndReceipts(ended, reply))) => {
                let work = move |store: &mut Store| store.end_receipts(&ended);
                let Some((back, result)) = off_reactor(store, work).await else {
                    return;
                };
                store = back;
                drop(reply.send(result));
            }
            Event::Counted(Ok(segment)) => {
                let Some((back, removed)) =
                    off_reactor(store, move |store| store.remove(&segment)).await
                else {
                    return;
                };
                store = back;
                if removed.is_err() {
                    leaving.answer(&removed);
                }
            }
            Event::Counted(Err(failure)) => {
                error!(error = %failure, "counting what leaves the spool failed");
                return;
            }
            Event::Appended => pending.extend(group.drain(..)),
            Event::Retry => {}
        }
        leaving.go_on(&store);
        let waiting = std::mem::take(&mut pending);
        let Some((back, (outcome, left))) =
            off_reactor(store, |store| commit(store, waiting)).await
        else {
            return;
        };
        (store, pending) = (back, left);
        state = next(&state, &outcome);
    }
}

fn commit(store: &mut Store, mut pending: VecDeque<Append>) -> (Outcome, VecDeque<Append>) {
    let outcome = store.commit(&mut pending);
    (outcome, pending)
}

fn next(state: &State, outcome: &Outcome) -> State {
    match (outcome, state) {
        (Outcome::Done, _) => State::Idle,
        (Outcome::Full, _) => State::Full,
        (Outcome::NoSpace, State::NoSpace { failures }) => State::NoSpace {
            failures: failures.saturating_add(1),
        },
        (Outcome::NoSpace, _) => {
            warn!("no space left on the spool's device, appends wait");
            State::NoSpace { failures: 1 }
        }
    }
}

/// Answers after the directory's lock is released.
async fn close(store: Store, leaving: Leaving, reply: oneshot::Sender<Result<(), StreamError>>) {
    let counted = leaving.end().await;
    let end = move |store: &mut Store| {
        if let Some(Err(error)) = counted.map(|segment| store.remove(&segment)) {
            warn!(%error, "could not remove a segment that is forgotten, the next opening will");
        }
        store.end()
    };
    if let Some((store, result)) = off_reactor(store, end).await {
        drop(store);
        drop(reply.send(result));
    }
}

/// Disk and cipher work outside the reactor. `None` if it panicked; then the log ends here.
async fn off_reactor<T: Send + 'static>(
    mut store: Store,
    work: impl FnOnce(&mut Store) -> T + Send + 'static,
) -> Option<(Store, T)> {
    let done = spawn_blocking(move || {
        let result = work(&mut store);
        (store, result)
    });
    match done.await {
        Ok(done) => Some(done),
        Err(failure) => {
            error!(error = %failure, "the spool's writer failed");
            None
        }
    }
}
