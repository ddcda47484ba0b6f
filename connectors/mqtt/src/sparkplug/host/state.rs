//! The STATE of this host (Sparkplug 3.0.0, sections 5.4 to 5.6 and 6.4.27): retained, QoS 1, JSON.
//!
//! The will and the STATE online of one connection carry one time, that of its CONNECT. A will of an earlier connection may come late
//! and take the retained STATE's place: it is answered, with a time that is not older than its own.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::{packet::Outgoing, sparkplug::topic::state_topic};

/// Two hosts with one name must not answer each other without end.
const ANSWER_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct OwnState {
    /// The time of the last CONNECT, in ms since 1970.
    connect_millis: u64,
    /// The time of an offline that is to be answered.
    offline_millis: Option<u64>,
    answered: Option<Instant>,
}

impl OwnState {
    pub(super) fn will(&mut self, host_id: &str, now_millis: u64) -> Outgoing {
        self.connect_millis = now_millis;
        offline(host_id, now_millis)
    }

    pub(super) fn online(&mut self, host_id: &str) -> Outgoing {
        self.offline_millis = None;
        state(host_id, "true", self.connect_millis)
    }

    /// Somebody has published this host's STATE.
    pub(super) fn heard(&mut self, payload: &[u8]) {
        let Ok(Value::Object(said)) = serde_json::from_slice(payload) else {
            return;
        };
        if said.get("online") == Some(&Value::Bool(false)) {
            let millis = said.get("timestamp").and_then(Value::as_u64);
            self.offline_millis = Some(millis.unwrap_or_default());
        }
    }

    /// The STATE online that answers it.
    pub(super) fn answer(&mut self, host_id: &str, now: Instant) -> Option<Outgoing> {
        let is_due = self.answered.is_none_or(|at| now - at >= ANSWER_EVERY);
        let offline_millis = self.offline_millis.take_if(|_| is_due)?;
        self.answered = Some(now);
        let millis = self.connect_millis.max(offline_millis);
        Some(state(host_id, "true", millis))
    }
}

pub(super) fn offline(host_id: &str, millis: u64) -> Outgoing {
    state(host_id, "false", millis)
}

fn state(host_id: &str, online: &str, millis: u64) -> Outgoing {
    Outgoing {
        topic: state_topic(host_id),
        payload: format!("{{\"online\":{online},\"timestamp\":{millis}}}").into_bytes(),
        qos: 1,
        retain: true,
    }
}
