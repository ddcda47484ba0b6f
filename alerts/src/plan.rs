//! What is to be sent of the alerts, to which routes.
//!
//! - A route hears of an alert when it fires, when it becomes worse, again each `repeat_every` while it fires, and when it is
//!   over; of nothing else.
//! - What is acknowledged, shelved or silenced is not sent and not repeated. Once that ends, what still fires is.
//! - That an alert is over is sent to each route that was sent that it fires, also where it is silenced meanwhile: whoever was
//!   called must hear that it is over.
//! - A route that takes an alert for over when it hears no more of it (Alertmanager) is sent repetitions in any case.

use std::time::Duration;

use forebay_schemas::Timestamp;
use globset::GlobSet;

use crate::{
    Book, Delivery, Event, Instance, Sender, Severity, Silence, instance::Notified,
    instant::elapsed,
};

/// Which alerts a route hears of, and how often.
#[derive(Debug, Clone)]
pub struct Subscription {
    /// The route's name, unique in the file.
    pub route: String,
    /// Names of rules.
    pub alerts: GlobSet,
    /// The least severity.
    pub severity_min: Severity,
    /// How often what still fires is sent again.
    pub repeat_every: Duration,
    /// What repetitions are for.
    pub repeats: Repeats,
}

/// What repetitions are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// To remind people, unless they have said that they know.
    Remind,
    /// To keep the alert alive at its receiver.
    KeepAlive,
}

/// What was planned.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Planned {
    /// Deliveries that were queued.
    pub queued: usize,
    /// Deliveries that were dropped because a queue was full, or their route is gone.
    pub dropped: usize,
}

impl Book {
    /// Queues what is to be sent at this moment.
    pub fn plan(
        &mut self,
        subscriptions: &[Subscription],
        sender: &Sender,
        now: Timestamp,
    ) -> Planned {
        let mut planned = Planned::default();
        let is_there = |route: &String| subscriptions.iter().any(|one| one.route == *route);
        self.queues.retain(|route, queue| {
            let keep = is_there(route);
            planned.dropped += if keep { 0 } else { queue.len() };
            keep
        });
        let silences = &self.silences;
        for instance in self.instances.values_mut() {
            for subscription in subscriptions {
                let queue = self.queues.entry(subscription.route.clone()).or_default();
                let is_waiting = || queue.has(&instance.alert_id);
                let Some(event) = due(instance, subscription, silences, is_waiting, now) else {
                    continue;
                };
                instance.summary = instance.text().to_owned();
                let notified = Notified {
                    at: now,
                    severity: instance.severity,
                    resolved: event == Event::Resolved,
                };
                instance
                    .notified
                    .insert(subscription.route.clone(), notified);
                let delivery = Delivery::of(instance, event, &subscription.route, sender, now);
                planned.queued += 1;
                planned.dropped += usize::from(queue.push(delivery).is_some());
            }
        }
        planned
    }
}

/// What a route is to be sent of an alert now, if anything.
fn due(
    instance: &Instance,
    subscription: &Subscription,
    silences: &[Silence],
    is_waiting: impl FnOnce() -> bool,
    now: Timestamp,
) -> Option<Event> {
    let sent = instance.notified.get(&subscription.route);
    if instance.state.is_resolved() {
        return sent
            .is_some_and(|sent| !sent.resolved)
            .then_some(Event::Resolved);
    }
    let hears = subscription.alerts.is_match(&instance.rule)
        && instance.severity >= subscription.severity_min;
    if !instance.state.is_firing() || !hears {
        return None;
    }
    let is_quiet = instance.acknowledged.is_some()
        || instance.is_shelved(now)
        || silences.iter().any(|silence| silence.covers(instance, now));
    let Some(sent) = sent.filter(|sent| sent.severity >= instance.severity) else {
        return (!is_quiet).then_some(Event::Firing);
    };
    let is_time = elapsed(sent.at, now) >= subscription.repeat_every;
    let is_wanted = !is_quiet || subscription.repeats == Repeats::KeepAlive;
    // During an outage of its receiver one repetition says as much as many.
    (is_time && is_wanted && !is_waiting()).then_some(Event::Repeat)
}
