//! Notifications: into order, asked for again where one is missing, and taken apart.

use forebay_connectors::{DeviceEvent, Sample};
use opcua::types::{
    DataChangeNotification, EventNotificationList, NodeId, NotificationMessage,
    StatusChangeNotification, StatusCode,
};
use tokio::time::Instant;
use tracing::warn;

use super::{Published, Pump, Republished, deliver::Delivery};
use crate::{error::OpcuaError, value};

/// What is in a notification.
#[derive(Default)]
struct Taken {
    samples: Vec<Sample>,
    events: Vec<DeviceEvent>,
}

impl Pump<'_> {
    pub(super) fn published(&mut self, published: Published) -> Result<(), OpcuaError> {
        let answer = match published {
            Ok(answer) => answer,
            // Some servers keep fewer requests than we would like.
            Err(OpcuaError::Service {
                status: StatusCode::BadTooManyPublishRequests,
                ..
            }) if self.window > 1 => {
                self.window -= 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.heard_at = Instant::now();
        if answer.subscription_id != self.granted.id {
            return Ok(());
        }
        let message = answer.notification_message;
        if !has_changes(&message) {
            self.announced = Some(message.sequence_number);
            return Ok(());
        }
        self.order.offer(message.sequence_number, message);
        self.take_in()
    }

    /// Takes in what is there in order, up to a notification that has to wait: for an earlier one, or for the description of a
    /// structure in it.
    pub(super) fn take_in(&mut self) -> Result<(), OpcuaError> {
        while self.learning.is_empty()
            && let Some(message) = self.order.first()
        {
            let lacking = lacking(message, self.items);
            if !lacking.is_empty() {
                let session = self.session.clone();
                let learning = session.learn_structures(lacking, self.limits);
                self.learning.spawn(learning);
                return Ok(());
            }
            let Some((sequence, message)) = self.order.pop() else {
                break;
            };
            let Taken { samples, events } = self.taken(message)?;
            self.any_delivered = true;
            let seen = self.items.history.fresh();
            self.hand_over(Delivery {
                samples,
                events,
                sequence: Some(sequence),
                seen,
                ..Delivery::default()
            });
        }
        if let Some(sequence) = self.order.missing()
            && self.republishes.is_empty()
        {
            let session = self.session.clone();
            let id = self.granted.id;
            self.republishes
                .spawn(async move { (sequence, session.republish(id, sequence).await) });
        }
        Ok(())
    }

    pub(super) async fn republished(
        &mut self,
        (sequence, message): Republished,
    ) -> Result<(), OpcuaError> {
        if self.order.missing() != Some(sequence) {
            return self.take_in();
        }
        match message {
            Ok(message) if has_changes(&message) => self.order.offer(sequence, message),
            // Numbers that do not begin at 1, or that count keep-alives: not as specified, and nothing is lost.
            _ if !self.any_delivered || self.announced == Some(sequence) => self.order.skip(),
            _ => self.lost(sequence).await?,
        }
        self.take_in()
    }

    /// A notification is gone for good: the server sends all current values again, or the link is set up again for them.
    async fn lost(&mut self, sequence: u32) -> Result<(), OpcuaError> {
        if let Err(error) = self.session.resend_data(self.granted.id).await {
            self.is_whole = false;
            return Err(OpcuaError::Ended(format!(
                "notification {sequence} is lost, and the server has forgotten it ({error})"
            )));
        }
        warn!(
            connector = self.settings.name,
            sequence,
            "a notification is lost, and the server has forgotten it: all values are sent again"
        );
        self.items.resent();
        self.order.skip();
        Ok(())
    }

    fn taken(&mut self, message: NotificationMessage) -> Result<Taken, OpcuaError> {
        let mut taken = Taken::default();
        let now = Instant::now();
        for part in message.notification_data.unwrap_or_default() {
            if let Some(change) = part.inner_as::<StatusChangeNotification>() {
                return Err(OpcuaError::Ended(format!(
                    "the server ended the subscription: {}",
                    value::name(change.status)
                )));
            }
            if let Some(list) = part.inner_as::<EventNotificationList>() {
                for fields in list.events.iter().flatten() {
                    let alarms = &mut self.items.alarms;
                    alarms.notified(fields.clone(), &mut taken.events);
                }
                continue;
            }
            let what = part.type_name();
            match part.into_inner_as::<DataChangeNotification>() {
                Some(changes) => {
                    for change in changes.monitored_items.unwrap_or_default() {
                        self.items.notified(change, now, &mut taken.samples);
                    }
                }
                None => warn!(
                    ?what,
                    "skipped a kind of notification that was not subscribed"
                ),
            }
        }
        Ok(taken)
    }
}

/// Whether there is anything in a notification; a keep-alive has nothing.
pub(super) fn has_changes(message: &NotificationMessage) -> bool {
    let data = message.notification_data.as_ref();
    data.is_some_and(|data| !data.is_empty())
}

/// Encodings of structures in a notification that nothing is known of.
fn lacking(message: &NotificationMessage, items: &crate::items::Items) -> Vec<NodeId> {
    let mut lacking = Vec::new();
    for part in message.notification_data.iter().flatten() {
        if let Some(changes) = part.inner_as::<DataChangeNotification>() {
            for change in changes.monitored_items.iter().flatten() {
                items.types.lacking(&change.value, &mut lacking);
            }
        }
    }
    lacking
}
