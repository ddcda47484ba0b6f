//! What is sent to a route, and the queue in which it waits.
//!
//! A delivery says all that is to be sent: what has become of its alert meanwhile changes nothing of it. A queue is bounded:
//! repetitions are dropped first, then the oldest.

use std::collections::{BTreeMap, VecDeque};

use forebay_schemas::{GatewayId, SiteId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Instance, Severity,
    book::id_of,
    instant::{elapsed, in_words, maybe_micros, micros, rfc3339},
};

/// Deliveries that wait for one route.
const QUEUE_MAX: usize = 5000;

/// Why something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// An alert fires, or has become worse.
    Firing,
    /// It still fires.
    Repeat,
    /// It is over.
    Resolved,
    /// A person tries the route.
    Test,
}

impl Event {
    /// As receivers have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Repeat => "repeat",
            Self::Resolved => "resolved",
            Self::Test => "test",
        }
    }
}

/// One thing to send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The same at each try: by it a receiver tells doubles. 32 hexadecimal digits.
    pub id: String,
    /// Why.
    pub event: Event,
    /// When it was queued.
    #[serde(with = "micros")]
    pub queued_at: Timestamp,
    /// The alert.
    pub alert_id: String,
    /// Its rule.
    pub rule: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// How bad it is.
    pub severity: Severity,
    /// What it says.
    pub summary: String,
    /// Since when it is wrong.
    #[serde(with = "micros")]
    pub starts_at: Timestamp,
    /// When it was over.
    #[serde(
        default,
        with = "maybe_micros",
        skip_serializing_if = "Option::is_none"
    )]
    pub ends_at: Option<Timestamp>,
}

/// Who sends.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The gateway.
    pub gateway: GatewayId,
    /// Its site.
    pub site: SiteId,
}

impl Delivery {
    /// What is to be sent of an alert to a route.
    pub(crate) fn of(
        instance: &Instance,
        event: Event,
        route: &str,
        sender: &Sender,
        now: Timestamp,
    ) -> Self {
        let words = [
            sender.gateway.as_str(),
            route,
            &instance.alert_id,
            event.name(),
            &now.nanos().to_string(),
        ];
        Self {
            id: id_of(&words, 16),
            event,
            queued_at: now,
            alert_id: instance.alert_id.clone(),
            rule: instance.rule.clone(),
            labels: instance.labels.clone(),
            severity: instance.severity,
            summary: summary(instance),
            starts_at: instance.state.since(),
            ends_at: instance.state.resolved_at(),
        }
    }

    /// One that a person asks for, to try a route.
    pub fn test(route: &str, sender: &Sender, now: Timestamp) -> Self {
        let at = now.nanos().to_string();
        let gateway = sender.gateway.as_str();
        Self {
            id: id_of(&[gateway, route, "test", &at], 16),
            event: Event::Test,
            queued_at: now,
            alert_id: id_of(&[gateway, "test", &at], 8),
            rule: "test".to_owned(),
            labels: BTreeMap::new(),
            severity: Severity::Info,
            summary: format!("a test of route {route:?}: nothing is wrong"),
            starts_at: now,
            ends_at: None,
        }
    }

    /// One line for people: what a phone or a mail's subject shows.
    pub fn title(&self, sender: &Sender) -> String {
        let state = match self.event {
            Event::Firing => self.severity.name(),
            Event::Repeat => "still firing",
            Event::Resolved => "resolved",
            Event::Test => "test",
        };
        format!("[{state}] {}: {}", sender.site.as_str(), self.rule)
    }

    /// The body of a webhook and of an MQTT message, version 1.
    pub fn body(&self, sender: &Sender) -> Value {
        json!({
            "version": 1,
            "delivery_id": self.id,
            "event": self.event.name(),
            "title": self.title(sender),
            "summary": self.summary,
            "alert": self.rule,
            "alert_id": self.alert_id,
            "severity": self.severity.name(),
            "labels": self.labels,
            "starts_at": rfc3339(self.starts_at),
            "ends_at": self.ends_at.map(rfc3339),
            "gateway": sender.gateway.as_str(),
            "site": sender.site.as_str(),
        })
    }
}

/// What is said of an alert. Of one that is over, its last words alone would read as if it went on.
fn summary(instance: &Instance) -> String {
    let Some(at) = instance.state.resolved_at() else {
        return instance.text().to_owned();
    };
    let since = instance.state.since();
    format!(
        "over after {} (from {} to {}); it said: {}",
        in_words(elapsed(since, at)),
        rfc3339(since),
        rfc3339(at),
        instance.text()
    )
}

/// What a route has still to be sent, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Queue(VecDeque<Delivery>);

impl Queue {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn first(&self) -> Option<&Delivery> {
        self.0.front()
    }

    pub(crate) fn has(&self, alert_id: &str) -> bool {
        self.0.iter().any(|delivery| delivery.alert_id == alert_id)
    }

    /// Adds one; answers what had to make room for it.
    pub(crate) fn push(&mut self, delivery: Delivery) -> Option<Delivery> {
        self.0.push_back(delivery);
        if self.0.len() <= QUEUE_MAX {
            return None;
        }
        let repeat = self.0.iter().position(|one| one.event == Event::Repeat);
        self.0.remove(repeat.unwrap_or(0))
    }

    /// Takes out what was sent, or given up.
    pub(crate) fn take(&mut self, id: &str) {
        self.0.retain(|delivery| delivery.id != id);
    }
}
