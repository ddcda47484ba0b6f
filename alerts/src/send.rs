//! How a delivery gets to its receiver.
//!
//! One try, bounded in time: retries and their order are the business of who calls. A channel keeps no connection between two
//! deliveries: alerts are few, and a connection that has gone stale overnight must not be found out by the alert that needs it.

mod address;
mod alertmanager;
mod http;
mod mail;
mod mqtt;
mod smtp;
mod tls;
mod webhook;

use std::{future::Future, time::Duration};

use thiserror::Error;
use tokio::time::timeout;

use crate::{Delivery, Sender};

pub(crate) use address::Reach;
pub(crate) use alertmanager::Alertmanager;
pub(crate) use http::Target;
pub(crate) use mail::mailbox;
pub(crate) use mqtt::Mqtt;
pub(crate) use smtp::{Smtp, SmtpTls};
pub(crate) use tls::Trust;
pub(crate) use webhook::Webhook;

/// One try takes at most this long.
const TRY_MAX: Duration = Duration::from_secs(30);
/// And taking leave of a server that has the delivery, which changes nothing any more.
const FAREWELL_MAX: Duration = Duration::from_secs(1);

/// Where a route leads.
#[derive(Debug, Clone)]
pub(crate) enum Channel {
    Webhook(Webhook),
    Alertmanager(Alertmanager),
    Smtp(Smtp),
    Mqtt(Mqtt),
}

/// Why a delivery did not arrive.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    /// The receiver refuses this very delivery: it would do so again.
    #[error("{0}")]
    Refused(String),
    /// Anything else: the same delivery may arrive later.
    #[error("{0}")]
    Failed(String),
}

impl Channel {
    /// Sends one delivery; answers what the receiver said, for people.
    pub(crate) async fn send(
        &self,
        delivery: &Delivery,
        sender: &Sender,
        now: forebay_schemas::Timestamp,
    ) -> Result<String, SendError> {
        match self {
            Self::Webhook(webhook) => in_time(webhook.send(delivery, sender, now)).await,
            Self::Alertmanager(manager) => in_time(manager.send(delivery, sender, now)).await,
            // These two take leave of their server, which must not turn what has arrived into a try that timed out.
            Self::Smtp(smtp) => smtp.send(delivery, sender, now).await,
            Self::Mqtt(mqtt) => mqtt.send(delivery, sender).await,
        }
    }

    /// The kind's name in the configuration.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Webhook(_) => "webhook",
            Self::Alertmanager(_) => "alertmanager",
            Self::Smtp(_) => "smtp",
            Self::Mqtt(_) => "mqtt",
        }
    }
}

/// One try, bounded in time.
async fn in_time<T>(tried: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
    let late = |_| SendError::Failed(format!("timed out after {} s", TRY_MAX.as_secs()));
    timeout(TRY_MAX, tried).await.map_err(late)?
}

/// What is done once the delivery has arrived, whatever becomes of it.
async fn farewell(last: impl Future) {
    timeout(FAREWELL_MAX, last).await.ok();
}

/// What a step that failed says.
fn failed(what: &str, error: impl std::fmt::Display) -> SendError {
    SendError::Failed(format!("{what} failed: {error}"))
}
