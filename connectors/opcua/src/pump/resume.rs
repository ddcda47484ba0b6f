//! A subscription that goes on in a new session after a lost link (TransferSubscriptions, Part 4, 5.14.7).
//!
//! Kept here: nothing is taken twice and nothing is skipped in silence. What the server still has from before the loss and
//! was delivered is acknowledged, what was not is asked for again, and what it does not have any more is found as missing
//! by the order of the sequence numbers.

use std::time::Duration;

use opcua::types::{
    AttributeId, DateTime, NotificationMessage, ReadValueId, SubscriptionAcknowledgement,
};
use tracing::{debug, info};

use super::{Pump, deliver::Delivery};
use crate::{
    error::OpcuaError,
    order::Order,
    session::{Granted, Session},
    settings::Settings,
};

/// Notifications that are asked for again at once.
const AGAIN_MAX: usize = 1000;

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
    for sequence_number in available.into_iter().take(AGAIN_MAX) {
        if order.is_taken(sequence_number) {
            acknowledged.push(SubscriptionAcknowledgement {
                subscription_id,
                sequence_number,
            });
            continue;
        }
        match session
            .clone()
            .republish(subscription_id, sequence_number)
            .await
        {
            Ok(message) => order.offer(sequence_number, message),
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
            if message
                .notification_data
                .as_ref()
                .is_some_and(|data| !data.is_empty())
            {
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

impl Pump<'_> {
    /// Reads all values once: what has not changed while the link was down is good again, and the server will not say so.
    pub(super) async fn confirm(&mut self) -> Result<(), OpcuaError> {
        let namespaces = self.session.namespaces().await?;
        let mut handles = Vec::new();
        let mut wanted = Vec::new();
        for (handle, tag) in self.items.all() {
            if let Ok(node) = tag.node.resolve(&namespaces) {
                handles.push(handle);
                wanted.push(ReadValueId::new(node, AttributeId::Value));
            }
        }
        let values = self
            .session
            .read_attributes(&wanted, self.limits.read)
            .await?;
        let mut samples = Vec::new();
        for (handle, value) in handles.into_iter().zip(&values) {
            self.items.confirmed(handle, value, &mut samples);
        }
        self.hand_over(Delivery::of(samples));
        Ok(())
    }
}
