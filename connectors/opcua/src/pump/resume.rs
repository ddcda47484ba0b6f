//! A subscription that goes on in a new session after a lost link (TransferSubscriptions, Part 4, 5.14.7).
//!
//! Kept here: nothing is taken twice and nothing is skipped in silence. What the server still has from before the loss and
//! was delivered is acknowledged, what was not is asked for again, and what it does not have any more is found as missing
//! by the order of the sequence numbers.

use std::time::Duration;

use opcua::types::{
    AttributeId, BinaryEncodable, ContextOwned, DateTime, NotificationMessage, ReadValueId,
    SubscriptionAcknowledgement,
};
use tracing::{debug, info};

use super::{Pump, deliver::Delivery, take::has_changes};
use crate::{
    error::OpcuaError,
    items::Resolved,
    order::Order,
    session::{Granted, Session},
    settings::Settings,
};

/// Notifications that are asked for again at once.
const AGAIN_MAX: usize = 1000;
/// Bytes of them; the rest is asked for one by one, as it is taken in.
const AGAIN_BYTES_MAX: usize = 32 * 1024 * 1024;

/// What an answer may be late beyond its due time.
const PROOF_MARGIN: Duration = Duration::from_millis(500);

/// What is left of a subscription whose link was lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Resume {
    pub(super) granted: Granted,
    /// When the server was started, by its own clock.
    pub(super) server_start: Option<DateTime>,
    /// The number of the first notification that was not taken.
    pub(super) next: u32,
}

impl Resume {
    /// The subscription's id at the server.
    pub(crate) fn subscription(self) -> u32 {
        self.granted.id
    }
}

/// A subscription to go on with.
pub(super) struct Carried {
    pub(super) granted: Granted,
    pub(super) order: Order<NotificationMessage>,
}

impl Carried {
    /// A new one.
    pub(super) fn new(granted: Granted) -> Self {
        Self {
            granted,
            order: Order::new(),
        }
    }
}

/// Takes the subscription over; none where the server has it no more or does not allow it.
pub(super) async fn carry_over(
    settings: &Settings,
    session: &Session,
    resume: Resume,
) -> Result<Option<Carried>, OpcuaError> {
    let subscription_id = resume.granted.id;
    let available = match session.transfer(subscription_id).await {
        Ok(available) => available,
        Err(error @ OpcuaError::Service { .. }) => {
            debug!(connector = settings.name, %error, "the subscription is not taken over, making a new one");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut order = Order::from(resume.next);
    let mut acknowledged = Vec::new();
    let mut again = Again::new();
    for sequence_number in available.into_iter().take(AGAIN_MAX) {
        if order.is_taken(sequence_number) {
            acknowledged.push(SubscriptionAcknowledgement {
                subscription_id,
                sequence_number,
            });
            continue;
        }
        if !again.has_room() {
            continue;
        }
        match session
            .clone()
            .republish(subscription_id, sequence_number)
            .await
        {
            Ok(message) if has_changes(&message) => {
                again.note(&message);
                order.offer(sequence_number, message);
            }
            // Some servers answer with nothing in place of a refusal.
            Ok(_) => {}
            // It is missing then, and found as such.
            Err(error @ OpcuaError::Service { .. }) => {
                debug!(connector = settings.name, sequence_number, %error, "asking for a notification again failed");
            }
            Err(error) => return Err(error),
        }
    }
    // Some servers agree to it, and send nothing to the new session all the same.
    let patience = resume.granted.keep_alive.saturating_mul(3) / 2 + PROOF_MARGIN;
    match session.clone().publish(acknowledged, patience).await {
        Ok(answer) if answer.subscription_id == subscription_id => {
            let message = answer.notification_message;
            if has_changes(&message) {
                order.offer(message.sequence_number, message);
            }
        }
        Ok(_) | Err(OpcuaError::Service { .. } | OpcuaError::Timeout { .. }) => {
            debug!(
                connector = settings.name,
                "the subscription sends nothing here, making a new one"
            );
            session.unsubscribe(subscription_id).await?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    }
    info!(
        connector = settings.name,
        "took over the subscription of the lost connection"
    );
    Ok(Some(Carried {
        granted: resume.granted,
        order,
    }))
}

/// What has been sent again, to be held until it is taken in.
struct Again {
    context: ContextOwned,
    bytes: usize,
}

impl Again {
    fn new() -> Self {
        Self {
            context: ContextOwned::default(),
            bytes: 0,
        }
    }

    fn has_room(&self) -> bool {
        self.bytes < AGAIN_BYTES_MAX
    }

    fn note(&mut self, message: &NotificationMessage) {
        self.bytes += message.byte_len(&self.context.context());
    }
}

impl Pump<'_> {
    /// Reads all values once: what has not changed while the link was down is good again, and the server will not say so.
    pub(super) async fn confirm(&mut self) -> Result<(), OpcuaError> {
        let namespaces = self.session.namespaces().await?;
        let all = self.items.all();
        let Resolved { found, .. } = self.items.resolve(all, &namespaces);
        let mut samples = Vec::new();
        for some in found.chunks(self.limits.read) {
            let wanted = some.iter().filter_map(|handle| {
                let node = self.items.node(*handle)?;
                Some((*handle, ReadValueId::new(node, AttributeId::Value)))
            });
            let (handles, wanted): (Vec<u32>, Vec<ReadValueId>) = wanted.unzip();
            let values = self
                .session
                .read_attributes(&wanted, self.limits.read)
                .await?;
            for (handle, value) in handles.into_iter().zip(&values) {
                self.items.confirmed(handle, value, &mut samples);
            }
        }
        self.hand_over(Delivery::of(samples));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use opcua::types::{
        DataChangeNotification, DataValue, ExtensionObject, MonitoredItemNotification,
    };

    use super::*;

    #[test]
    fn what_is_sent_again_at_once_is_bounded_in_bytes() {
        let value = MonitoredItemNotification {
            client_handle: 1,
            value: DataValue::from("x".repeat(1024 * 1024)),
        };
        let changes = DataChangeNotification {
            monitored_items: Some(vec![value; 7]),
            ..DataChangeNotification::default()
        };
        let message = NotificationMessage {
            notification_data: Some(vec![ExtensionObject::from_message(changes)]),
            ..NotificationMessage::default()
        };
        let mut again = Again::new();
        let messages = std::iter::from_fn(|| {
            let is_taken = again.has_room();
            is_taken.then(|| again.note(&message))
        });
        assert_eq!(messages.count(), 5, "each of 7 MiB");
    }
}
