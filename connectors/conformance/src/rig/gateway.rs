//! The gateway's end of a connector's outlet.
//!
//! Kept here:
//! - A parcel is kept before its receipt is given, as by a spool.
//! - What is held becomes kept in the order in which it came.
//! - Nothing is kept or answered between a change of [`Receipts`] and its effect: both are one step under one lock.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use forebay_connectors::{Delivery, LinkChange, Parcel};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// How the gateway's end answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipts {
    /// At once.
    Given,
    /// Not at all: samples are held. What has none, such as a change of a link, is kept and answered.
    Withheld,
    /// As the test reads, with [`Rig::next`](crate::Rig::next): the connector is never ahead of the test.
    WhenRead,
}

/// A parcel that the gateway has kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// When it was kept.
    pub at: Instant,
    /// What it says.
    pub parcel: Parcel,
}

/// What has come, and how what comes is answered.
pub(super) struct Gateway {
    state: Mutex<State>,
    news: Notify,
    /// The connector has a session that sends again what was not acknowledged: what comes of it are messages.
    has_session: bool,
}

pub(super) struct State {
    pub(super) receipts: Receipts,
    pub(super) kept: Vec<Kept>,
    pub(super) held: VecDeque<Delivery>,
    /// Deliveries that the connector gave up before they were answered.
    pub(super) abandoned: usize,
    /// Why nothing more will come.
    pub(super) over: Option<&'static str>,
    is_closed: bool,
}

impl State {
    fn keep(&mut self, delivery: Delivery) {
        let Delivery {
            parcel, receipt, ..
        } = delivery;
        self.kept.push(Kept {
            at: Instant::now(),
            parcel,
        });
        if receipt.send(()).is_err() {
            self.abandoned += 1;
        }
    }

    /// Keeps and answers what was held first.
    pub(super) fn read(&mut self) -> Option<Parcel> {
        let delivery = self.held.pop_front()?;
        let parcel = delivery.parcel.clone();
        self.keep(delivery);
        Some(parcel)
    }
}

impl Gateway {
    pub(super) fn new(receipts: Receipts, has_session: bool) -> Self {
        let state = State {
            receipts,
            kept: Vec::new(),
            held: VecDeque::new(),
            abandoned: 0,
            over: None,
            is_closed: false,
        };
        Self {
            state: Mutex::new(state),
            news: Notify::new(),
            has_session,
        }
    }

    /// A test that fails while it looks at the state shall not take the others' words away.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn receipts(&self, receipts: Receipts) {
        let mut state = self.state();
        state.receipts = receipts;
        if receipts == Receipts::Given {
            while state.read().is_some() {}
        }
        drop(state);
        self.news.notify_waiters();
    }

    pub(super) fn refuse(&self) {
        let mut state = self.state();
        state.is_closed = true;
        state.held.clear();
    }

    fn take(&self, delivery: Delivery) {
        let mut state = self.state();
        if self.has_session && matches!(delivery.parcel, Parcel::Samples(_)) {
            state.over = Some(
                "the connector's session sends again, and samples came outside of its messages",
            );
        } else if !state.is_closed {
            match state.receipts {
                Receipts::Given => state.keep(delivery),
                Receipts::Withheld if !has_samples(&delivery.parcel) => state.keep(delivery),
                Receipts::Withheld | Receipts::WhenRead => state.held.push_back(delivery),
            }
        }
        drop(state);
        self.news.notify_waiters();
    }

    /// Looks at the state after each piece of news until there is an answer; none when the time is over.
    pub(super) async fn wait<T>(
        &self,
        within: Duration,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let waiting = async {
            loop {
                let news = self.news.notified();
                tokio::pin!(news);
                // What comes between the look and the wait is news too.
                news.as_mut().enable();
                let found = look(&mut self.state());
                if let Some(found) = found {
                    return found;
                }
                news.await;
            }
        };
        timeout(within, waiting).await.ok()
    }
}

/// Takes what comes until the connector has dropped its outlet; once closed, nothing is kept.
pub(super) async fn take(
    gateway: Arc<Gateway>,
    mut deliveries: mpsc::Receiver<Delivery>,
    closed: CancellationToken,
) {
    let taking = async {
        while let Some(delivery) = deliveries.recv().await {
            gateway.take(delivery);
        }
    };
    if closed.run_until_cancelled(taking).await.is_none() {
        deliveries.close();
        while deliveries.recv().await.is_some() {}
    }
    gateway
        .state()
        .over
        .get_or_insert("the connector has ended");
    gateway.news.notify_waiters();
}

fn has_samples(parcel: &Parcel) -> bool {
    match parcel {
        Parcel::Samples(_) | Parcel::Events(_) => true,
        Parcel::Messages { messages, .. } => !messages.is_empty(),
        Parcel::Link(_) => false,
    }
}

/// The changes of links in parcels, in order.
pub(super) fn links_of(kept: &[Kept]) -> impl DoubleEndedIterator<Item = &LinkChange> {
    kept.iter().filter_map(|kept| {
        if let Parcel::Link(change) = &kept.parcel {
            Some(change)
        } else {
            None
        }
    })
}
