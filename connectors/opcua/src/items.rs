//! What is known of each monitored item, and how notifications become samples.
//!
//! Kept here: after a reconnect a server tells each item's last value again; the first notification of an item on a new
//! subscription only says that the value still holds ([`Told::Again`]) if it is, to the source time, the value and the
//! status, the last one delivered; else it is [`Told::Current`]. An item that
//! stays bad is told again once a minute, because the server will not. No I/O.

use std::time::Duration;

use forebay_connectors::{Sample, Told};
use forebay_schemas::{Quality, Status};
use opcua::types::{DataValue, MonitoredItemNotification, NodeId, StatusCode};
use tokio::time::Instant;
use tracing::warn;

use crate::{
    settings::{Settings, Tag},
    value,
};

/// How often an item that stays bad is told again.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// All items of a connector; an item's client handle is its place here plus one.
pub(crate) struct Items {
    items: Vec<Item>,
}

struct Item {
    tag: Tag,
    state: State,
    last: Option<DataValue>,
    /// Set while the last sample was bad: what it said, and when.
    bad: Option<(Status, Instant)>,
    warned_of_overflow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The server has no such monitored item, yet.
    Missing,
    /// Created; its first notification may be a repeat.
    Fresh,
    /// Has been notified on this subscription.
    Running,
}

impl Items {
    pub(crate) fn new(settings: &Settings) -> Self {
        let item = |tag: &Tag| Item {
            tag: tag.clone(),
            state: State::Missing,
            last: None,
            bad: None,
            warned_of_overflow: false,
        };
        Self { items: settings.tags.iter().map(item).collect() }
    }

    /// A new subscription has no monitored items.
    pub(crate) fn forget_subscription(&mut self) {
        for item in &mut self.items {
            (item.state, item.warned_of_overflow) = (State::Missing, false);
        }
    }

    /// The handles and tags that the subscription lacks.
    pub(crate) fn missing(&self) -> impl Iterator<Item = (u32, &Tag)> {
        (1..)
            .zip(&self.items)
            .filter(|(_, item)| item.state == State::Missing)
            .map(|(handle, item)| (handle, &item.tag))
    }

    /// Takes in the server's answer to a creation; a refusal is a bad sample.
    pub(crate) fn created(&mut self, handle: u32, node: &NodeId, status: StatusCode, now: Instant) -> Option<Sample> {
        let item = self.get(handle)?;
        if !status.is_bad() {
            item.state = State::Fresh;
            return None;
        }
        let reason = format!("cannot read node {node}: {}", value::name(status));
        Some(item.fail(Status::bad(Some(i64::from(status.bits())), reason), now))
    }

    /// A tag whose namespace the server does not have.
    pub(crate) fn without_namespace(&mut self, handle: u32, uri: &str, now: Instant) -> Option<Sample> {
        let item = self.get(handle)?;
        let reason = format!("cannot read node {}: the server has no namespace {uri}", item.tag.node_text);
        let code = i64::from(StatusCode::BadNodeIdUnknown.bits());
        Some(item.fail(Status::bad(Some(code), reason), now))
    }

    /// The samples of one notification, in order.
    pub(crate) fn notified(
        &mut self,
        notification: MonitoredItemNotification,
        now: Instant,
        samples: &mut Vec<Sample>,
    ) {
        let MonitoredItemNotification { client_handle, value: data } = notification;
        let Some(item) = self.get(client_handle) else {
            warn!(client_handle, "the server notified an item that nobody asked for");
            return;
        };
        let first = item.state != State::Running;
        item.state = State::Running;
        if first && item.last.as_ref().is_some_and(|last| value::is_repeat(last, &data)) {
            let again = |sample| Sample { event_time: None, told: Told::Again, ..sample };
            samples.extend(value::samples(&item.tag.target, &data).into_iter().map(again));
            return;
        }
        let mut new = value::samples(&item.tag.target, &data);
        if first {
            // The server's present value: an earlier process may have had it.
            new.iter_mut().for_each(|sample| sample.told = Told::Current);
        }
        if data.status.is_some_and(|status| status.overflow()) && !item.warned_of_overflow {
            item.warned_of_overflow = true;
            warn!(tag = %item.tag.target.tag, "the server's queue overflowed, values are lost: raise queue_size");
        }
        item.bad = match new.last() {
            Some(sample) if sample.status.quality == Quality::Bad && new.len() == 1 => {
                Some((sample.status.clone(), now))
            }
            _ => None,
        };
        item.last = Some(data);
        samples.extend(new);
    }

    /// The items that have been bad for a while without a word.
    pub(crate) fn reminders(&mut self, now: Instant) -> Vec<Sample> {
        let mut samples = Vec::new();
        for item in &mut self.items {
            if let Some((status, told)) = &mut item.bad
                && now.duration_since(*told) >= REMIND_EVERY
                && item.state == State::Running
            {
                *told = now;
                samples.push(item.tag.target.failed(status.clone()));
            }
        }
        samples
    }

    fn get(&mut self, handle: u32) -> Option<&mut Item> {
        self.items.get_mut((handle as usize).checked_sub(1)?)
    }
}

impl Item {
    fn fail(&mut self, status: Status, now: Instant) -> Sample {
        self.bad = Some((status.clone(), now));
        self.tag.target.failed(status)
    }
}

#[cfg(test)]
#[path = "items_tests.rs"]
mod tests;
