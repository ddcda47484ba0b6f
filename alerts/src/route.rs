//! One `[[route]]`, and the task that empties its queue.
//!
//! Invariants kept here: a delivery leaves the queue on disk only after its receiver took it, refused it for good, or it was
//! given up, which is logged; deliveries of a route arrive in their order; a receiver that is away is asked at growing
//! intervals.

use std::{sync::Arc, time::Duration};

use forebay_runtime::{Backoff, RateLimit};
use forebay_schemas::Timestamp;
use tokio::{select, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    Delivery, Sender,
    instant::elapsed,
    plan::Subscription,
    send::{Channel, SendError},
    service::Shared,
};

/// Waits between tries.
const AGAIN: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(60),
};

/// One route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name.
    pub name: String,
    pub(crate) subscription: Subscription,
    pub(crate) give_up_after: Duration,
    pub(crate) channel: Channel,
}

impl Route {
    /// `webhook`, `alertmanager`, `smtp` or `mqtt`.
    pub fn kind(&self) -> &'static str {
        self.channel.kind()
    }

    /// Sends one delivery, once; answers what the receiver said.
    ///
    /// # Errors
    /// Why it did not arrive, for people.
    pub async fn try_once(
        &self,
        delivery: &Delivery,
        sender: &Sender,
        now: Timestamp,
    ) -> Result<String, String> {
        let sent = self.channel.send(delivery, sender, now).await;
        sent.map_err(|error| error.to_string())
    }

    /// Empties the route's queue until `stop`.
    pub(crate) async fn run(self, shared: Arc<Shared>, stop: CancellationToken) {
        let mut failures = 0;
        let mut lines = RateLimit::default();
        loop {
            let Some(delivery) = shared.first(&self.name).await else {
                select! {
                    () = shared.changed(&self.name) => continue,
                    () = stop.cancelled() => return,
                }
            };
            let sent = select! {
                sent = self.channel.send(&delivery, &shared.sender, shared.now()) => sent,
                () = stop.cancelled() => return,
            };
            let Some(wait) = self
                .after(sent, &delivery, &shared, &mut failures, &mut lines)
                .await
            else {
                continue;
            };
            select! {
                () = sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// Takes a delivery out of the queue, or says how long to wait before the next try.
    async fn after(
        &self,
        sent: Result<String, SendError>,
        delivery: &Delivery,
        shared: &Shared,
        failures: &mut u32,
        lines: &mut RateLimit,
    ) -> Option<Duration> {
        let (route, alert, id) = (&self.name, &delivery.rule, &delivery.id);
        let failure = match sent {
            Ok(answer) => {
                info!(
                    route,
                    alert,
                    id,
                    event = delivery.event.name(),
                    answer,
                    "alert delivered"
                );
                if *failures > 0 {
                    info!(route, failures, "deliveries recovered");
                }
                *failures = 0;
                shared.done(route, id).await;
                return None;
            }
            Err(SendError::Refused(reason)) => {
                error!(
                    route,
                    alert, id, reason, "alert refused by its receiver, dropped"
                );
                *failures = 0;
                shared.done(route, id).await;
                return None;
            }
            Err(SendError::Failed(reason)) => reason,
        };
        *failures = failures.saturating_add(1);
        if elapsed(delivery.queued_at, shared.now()) >= self.give_up_after {
            error!(
                route,
                alert,
                id,
                reason = failure,
                "alert not delivered in time, dropped"
            );
            shared.done(route, id).await;
            return None;
        }
        let wait = AGAIN.wait(*failures, (shared.uniform)());
        if let Some(skipped) = lines.admit() {
            let wait_ms = wait.as_millis();
            warn!(
                route,
                alert,
                failures,
                wait_ms,
                skipped,
                reason = failure,
                "delivering an alert failed, retrying"
            );
        }
        Some(wait)
    }
}
