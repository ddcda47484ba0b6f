//! Deliveries: one at a time, in order, each with what follows from its receipt.

use forebay_connectors::{Closed, DeviceEvent, Outlet, Sample};
use forebay_schemas::Timestamp;
use opcua::types::SubscriptionAcknowledgement;
use tokio::time::Instant;

use super::Pump;
use crate::{error::OpcuaError, history::Progress};

/// Samples and events to be made durable, and what is so once they are.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    pub(super) samples: Vec<Sample>,
    pub(super) events: Vec<DeviceEvent>,
    /// The notification that may be acknowledged.
    pub(super) sequence: Option<u32>,
    /// Up to when values need not be read from history any more, by handle.
    pub(super) seen: Vec<(u32, Timestamp)>,
    /// Gaps that are filled so far.
    pub(super) filled: Vec<(u32, Progress)>,
}

impl Delivery {
    /// Samples from which nothing else follows.
    pub(super) fn of(samples: Vec<Sample>) -> Self {
        Self {
            samples,
            ..Self::default()
        }
    }
}

/// Comes back once all of it is durable.
async fn hand_over(
    outlet: &Outlet,
    samples: Vec<Sample>,
    events: Vec<DeviceEvent>,
) -> Result<(), Closed> {
    if !samples.is_empty() {
        outlet.deliver(samples).await?;
    }
    if !events.is_empty() {
        outlet.deliver_events(events).await?;
    }
    Ok(())
}

impl Pump<'_> {
    /// Hands samples over after all earlier ones.
    pub(super) fn hand_over(&mut self, delivery: Delivery) {
        let is_empty = delivery.samples.is_empty() && delivery.events.is_empty();
        if is_empty && self.queue.is_empty() && self.deliveries.is_empty() {
            self.settle(&delivery);
            return;
        }
        self.queue.push_back(delivery);
        self.deliver_next();
    }

    fn deliver_next(&mut self) {
        if !self.deliveries.is_empty() {
            return;
        }
        if let Some(mut delivery) = self.queue.pop_front() {
            let outlet = self.outlet.clone();
            self.deliveries.spawn(async move {
                let samples = std::mem::take(&mut delivery.samples);
                let events = std::mem::take(&mut delivery.events);
                (delivery, hand_over(&outlet, samples, events).await)
            });
        }
    }

    pub(super) fn delivered(
        &mut self,
        (delivery, receipt): (Delivery, Result<(), Closed>),
    ) -> Result<(), Closed> {
        receipt?;
        self.settle(&delivery);
        self.deliver_next();
        Ok(())
    }

    /// The samples are durable.
    fn settle(&mut self, delivery: &Delivery) {
        let subscription_id = self.granted.id;
        let acknowledge = |sequence_number| SubscriptionAcknowledgement {
            subscription_id,
            sequence_number,
        };
        self.acknowledged.extend(delivery.sequence.map(acknowledge));
        self.items.history.stored(&delivery.seen);
        for (handle, progress) in &delivery.filled {
            let history = &mut self.items.history;
            history.filled(*handle, *progress, Instant::now());
        }
    }

    /// Hands over what has arrived.
    pub(super) async fn drain(&mut self) -> Result<(), Closed> {
        while let Some(done) = self.deliveries.join_next().await {
            match done {
                Ok(delivered) => self.delivered(delivered)?,
                Err(_) => return Err(Closed),
            }
        }
        Ok(())
    }

    /// Writes up to where values are durable; what cannot be written is tried again.
    pub(super) async fn save(&mut self) {
        let Some((path, text)) = self.items.history.changed() else {
            return;
        };
        let shown = path.display().to_string();
        let saved = crate::session::blocking(move || {
            crate::history::save(&path, &text).map_err(|error| OpcuaError::Pki {
                path,
                what: error.to_string(),
            })
        });
        if let Err(error) = saved.await {
            self.items.history.not_saved();
            tracing::warn!(path = shown, %error, "writing the state of the back-fill failed, retrying");
        }
    }
}
