//! The way from a connector into the gateway, bounded and answered.

use forebay_schemas::DeviceId;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::Sample;

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

/// What a connector hands over.
#[derive(Debug, Clone, PartialEq)]
pub enum Parcel {
    /// Samples, in order.
    Samples(Vec<Sample>),
    /// A link that came or went.
    Link(LinkChange),
}

/// A parcel and the way to answer it.
#[derive(Debug)]
pub struct Delivery {
    /// What came.
    pub parcel: Parcel,
    /// To be answered once everything that follows from the parcel is durable; dropped where it could not be kept.
    pub receipt: oneshot::Sender<()>,
}

/// A connector's end. Clones share it.
#[derive(Debug, Clone)]
pub struct Outlet {
    deliveries: mpsc::Sender<Delivery>,
}

/// An outlet and the gateway's end of it; at most `waiting_max` parcels wait in between.
pub fn outlet(waiting_max: usize) -> (Outlet, mpsc::Receiver<Delivery>) {
    let (deliveries, taken) = mpsc::channel(waiting_max);
    (Outlet { deliveries }, taken)
}

impl Outlet {
    /// Hands samples over and returns once they are durable. Waits while the gateway has no room: back-pressure.
    ///
    /// If the future is dropped, the samples may be kept or not.
    ///
    /// # Errors
    /// [`Closed`]: the samples may not have been kept, and must not be acknowledged.
    pub async fn deliver(&self, samples: Vec<Sample>) -> Result<(), Closed> {
        self.hand_over(Parcel::Samples(samples)).await
    }

    /// Tells that a link came or went. A link that went makes every series behind it bad; one that came says nothing of
    /// values.
    ///
    /// # Errors
    /// [`Closed`] as for [`Outlet::deliver`].
    pub async fn link(&self, change: LinkChange) -> Result<(), Closed> {
        self.hand_over(Parcel::Link(change)).await
    }

    async fn hand_over(&self, parcel: Parcel) -> Result<(), Closed> {
        let (receipt, received) = oneshot::channel();
        self.deliveries.send(Delivery { parcel, receipt }).await.map_err(|_| Closed)?;
        received.await.map_err(|_| Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_receipt_comes_only_from_the_gateway() {
        let (outlet, mut taken) = outlet(1);
        let sending = tokio::spawn(async move { (outlet.deliver(Vec::new()).await, outlet.deliver(Vec::new()).await) });
        taken.recv().await.unwrap().receipt.send(()).unwrap();
        drop(taken.recv().await.unwrap());
        assert_eq!(sending.await.unwrap(), (Ok(()), Err(Closed)));
    }
}
