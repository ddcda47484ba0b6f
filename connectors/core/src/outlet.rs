//! The way from a connector into the gateway, bounded and answered.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use forebay_schemas::{DeviceId, SourceEvent};
use thiserror::Error;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use crate::{
    Declared, Restored, Sample, Token,
    watcher::{RAW_BYTES_MAX, RAW_SERIES_MAX, Raw, Watcher},
};

/// The gateway has stopped: nothing more is taken, and nothing may be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the gateway takes no more readings")]
pub struct Closed;

/// A link that came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkChange {
    /// The device behind the link; none for all of the connector's.
    pub device: Option<DeviceId>,
    /// Why it went, for people; none when it came.
    pub down: Option<String>,
}

/// Samples that become durable together.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// What it says, in order.
    pub samples: Vec<Sample>,
    /// Under which receipt; none where the device will not send it again.
    pub token: Option<Token>,
}

/// What a connector hands over.
#[derive(Debug, Clone, PartialEq)]
pub enum Parcel {
    /// Samples, in order.
    Samples(Vec<Sample>),
    /// Messages of the connector's session, and receipts of it that have ended.
    Messages {
        /// Receipts whose messages cannot come again; ended before those of `messages` open.
        ended: Vec<Token>,
        /// The messages, in order.
        messages: Vec<Message>,
    },
    /// Events, in order.
    Events(Vec<DeviceEvent>),
    /// A link that came or went.
    Link(LinkChange),
}

/// An event and the device that it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceEvent {
    /// The device.
    pub device: DeviceId,
    /// What it says.
    pub event: SourceEvent,
}

/// A parcel and the way to answer it.
#[derive(Debug)]
pub struct Delivery {
    /// What came.
    pub parcel: Parcel,
    /// When the request began that brought it; when it was handed over where it was not asked for.
    pub began: Instant,
    /// To be answered once everything that follows from the parcel is durable; dropped where it could not be kept.
    pub receipt: oneshot::Sender<()>,
}

/// A connector's end. Clones share it.
#[derive(Debug, Clone)]
pub struct Outlet {
    deliveries: mpsc::Sender<Delivery>,
    restored: Arc<[Restored]>,
    skipped: Arc<AtomicU64>,
    known: Arc<[Declared]>,
    watcher: Option<Arc<dyn Watcher>>,
}

/// An outlet and the gateway's end of it; at most `waiting_max` parcels wait in between.
pub fn outlet(waiting_max: usize) -> (Outlet, mpsc::Receiver<Delivery>) {
    let (deliveries, taken) = mpsc::channel(waiting_max);
    (
        Outlet {
            deliveries,
            restored: Arc::default(),
            skipped: Arc::default(),
            known: Arc::default(),
            watcher: None,
        },
        taken,
    )
}

impl Outlet {
    /// The outlet, with what earlier processes left of the connector's session.
    #[must_use]
    pub fn with_restored(self, restored: Vec<Restored>) -> Self {
        Self {
            restored: restored.into(),
            ..self
        }
    }

    /// The outlet, with the series that messages brought to earlier processes.
    #[must_use]
    pub fn with_known(self, known: Vec<Declared>) -> Self {
        Self {
            known: known.into(),
            ..self
        }
    }

    /// The series that messages brought to earlier processes, by rules that still bring them.
    pub fn known(&self) -> &[Declared] {
        &self.known
    }

    /// The outlet, which counts skipped polls there.
    #[must_use]
    pub fn with_skipped(self, skipped: Arc<AtomicU64>) -> Self {
        Self { skipped, ..self }
    }

    /// The outlet, whose payloads somebody may look at.
    #[must_use]
    pub fn with_watcher(self, watcher: Arc<dyn Watcher>) -> Self {
        Self {
            watcher: Some(watcher),
            ..self
        }
    }

    /// Shows a payload as it came, and the series of which it gave `samples`, to who looks at payloads. `from` is where it came from, for
    /// people: a topic, a path, registers. While nobody looks it costs one load.
    pub fn show_raw(&self, from: impl FnOnce() -> String, payload: &[u8], samples: &[Sample]) {
        let Some(watcher) = self.watcher.as_ref().filter(|watcher| watcher.looks()) else {
            return;
        };
        let series = samples.iter().take(RAW_SERIES_MAX);
        let series = series.map(|sample| (sample.device.clone(), sample.tag.clone()));
        watcher.show(Raw {
            from: from(),
            payload: payload[..payload.len().min(RAW_BYTES_MAX)].to_vec(),
            payload_bytes: payload.len(),
            series: series.collect(),
        });
    }

    /// Counts polls that were due and not made, because the device, the link or the gateway was slower than their period.
    pub fn note_skipped(&self, polls: u64) {
        self.skipped.fetch_add(polls, Ordering::Relaxed);
    }

    /// The receipts of the connector's session that were open when the last process ended.
    pub fn restored(&self) -> &[Restored] {
        &self.restored
    }

    /// Hands samples over and returns once they are durable. Waits while the gateway has no room: back-pressure.
    ///
    /// If the future is dropped, the samples may be kept or not.
    ///
    /// # Errors
    /// [`Closed`]: the samples may not have been kept, and must not be acknowledged.
    pub async fn deliver(&self, samples: Vec<Sample>) -> Result<(), Closed> {
        self.deliver_begun(samples, Instant::now()).await
    }

    /// As [`Outlet::deliver`], for samples that a request has brought which `began` then.
    ///
    /// # Errors
    /// [`Closed`] as for [`Outlet::deliver`].
    pub async fn deliver_begun(&self, samples: Vec<Sample>, began: Instant) -> Result<(), Closed> {
        self.hand_over(Parcel::Samples(samples), began).await
    }

    /// Hands events over and returns once they are durable. One that its source tells again may be handed over again: the lake has
    /// it once, by its [identity](SourceEvent::identity).
    ///
    /// # Errors
    /// [`Closed`] as for [`Outlet::deliver`].
    pub async fn deliver_events(&self, events: Vec<DeviceEvent>) -> Result<(), Closed> {
        self.hand_over(Parcel::Events(events), Instant::now()).await
    }

    /// Hands messages over and returns once they are durable, each with its receipt: after a crash a message is there with
    /// its receipt ([`Outlet::restored`]), or neither is. One that gives no readings has no receipt.
    ///
    /// `ended` names receipts of earlier deliveries whose messages cannot come again. They are recorded with readings that
    /// follow, or within about a second; a crash before that restores them.
    ///
    /// # Errors
    /// [`Closed`] as for [`Outlet::deliver`].
    pub async fn deliver_messages(
        &self,
        ended: Vec<Token>,
        messages: Vec<Message>,
    ) -> Result<(), Closed> {
        self.hand_over(Parcel::Messages { ended, messages }, Instant::now())
            .await
    }

    /// Hands over messages that their devices do not send again once they are answered, each with its own time of arrival; the first of
    /// them began then.
    ///
    /// # Errors
    /// [`Closed`] as for [`Outlet::deliver`].
    pub async fn deliver_each_begun(
        &self,
        messages: Vec<Vec<Sample>>,
        began: Instant,
    ) -> Result<(), Closed> {
        let message = |samples| Message {
            samples,
            token: None,
        };
        let parcel = Parcel::Messages {
            ended: Vec::new(),
            messages: messages.into_iter().map(message).collect(),
        };
        self.hand_over(parcel, began).await
    }

    /// Tells that a link came or went. A link that went makes every series behind it bad; one that came says nothing of
    /// values.
    ///
    /// # Errors
    /// [`Closed`] as for [`Outlet::deliver`].
    pub async fn link(&self, change: LinkChange) -> Result<(), Closed> {
        self.hand_over(Parcel::Link(change), Instant::now()).await
    }

    async fn hand_over(&self, parcel: Parcel, began: Instant) -> Result<(), Closed> {
        let (receipt, received) = oneshot::channel();
        self.deliveries
            .send(Delivery {
                parcel,
                began,
                receipt,
            })
            .await
            .map_err(|_| Closed)?;
        received.await.map_err(|_| Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receipt_comes_only_from_the_gateway() {
        let (outlet, mut taken) = outlet(1);
        let sending = tokio::spawn(async move {
            (
                outlet.deliver(Vec::new()).await,
                outlet.deliver(Vec::new()).await,
            )
        });
        taken.recv().await.unwrap().receipt.send(()).unwrap();
        drop(taken.recv().await.unwrap());
        assert_eq!(sending.await.unwrap(), (Ok(()), Err(Closed)));
    }
}
