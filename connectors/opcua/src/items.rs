//! What is known of each monitored item, and how notifications become samples.
//!
//! Kept here:
//! - After a reconnect a server repeats each item's last value. The first notification of an item on a new
//!   subscription only says that the value still holds ([`SampleKind::Confirmation`]) if it is, to the source time, the value and the
//!   status, the last one delivered; else it is [`SampleKind::Snapshot`], and so is the first value after a bad reading by the
//!   gateway's clock (a missing node, a reminder): its source time may be older than that reading.
//! - An array's elements are series of their own: what makes the array bad makes each known element bad, and so does an
//!   array that is shorter than before.
//! - An item that stays bad is reported again once a minute, because the server will not.
//!
//! No I/O.

use std::time::Duration;

use forebay_connectors::{Sample, SampleKind};
use forebay_schemas::{Status, Timestamp};
use opcua::types::{DataValue, MonitoredItemNotification, NodeId, StatusCode};
use tokio::time::Instant;
use tracing::warn;

use crate::{
    settings::{Settings, Tag},
    value::{self, ItemValue},
};

/// How often an item that stays bad is reported again.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// All items of a connector; an item's client handle is its place here plus one.
pub(crate) struct Items {
    items: Vec<Item>,
}

struct Item {
    tag: Tag,
    state: State,
    last: Option<DataValue>,
    shape: Shape,
    /// Elements of the longest array so far.
    known: usize,
    /// Set while there is no value at all: why, and when that was reported.
    bad: Option<(Status, Instant)>,
    /// Whether the last reading was bad by the gateway's clock.
    is_doubted: bool,
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

/// What the last value was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Unknown,
    Scalar,
    /// So many elements.
    Array(usize),
}

impl Items {
    pub(crate) fn new(settings: &Settings) -> Self {
        let item = |tag: &Tag| Item {
            tag: tag.clone(),
            state: State::Missing,
            last: None,
            shape: Shape::Unknown,
            known: 0,
            bad: None,
            is_doubted: false,
            warned_of_overflow: false,
        };
        Self {
            items: settings.tags.iter().map(item).collect(),
        }
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

    /// Takes in the server's answer to a creation; a refusal is a bad sample for each series of the tag.
    pub(crate) fn created(
        &mut self,
        handle: u32,
        node: &NodeId,
        status: StatusCode,
        now: Instant,
    ) -> Vec<Sample> {
        let Some(item) = self.get(handle) else {
            return Vec::new();
        };
        if !status.is_bad() {
            item.state = State::Fresh;
            return Vec::new();
        }
        let reason = format!("cannot read node {node}: {}", value::name(status));
        item.fail(Status::bad(Some(i64::from(status.bits())), reason), now)
    }

    /// A tag whose namespace the server does not have.
    pub(crate) fn without_namespace(
        &mut self,
        handle: u32,
        uri: &str,
        now: Instant,
    ) -> Vec<Sample> {
        let Some(item) = self.get(handle) else {
            return Vec::new();
        };
        let reason = format!(
            "cannot read node {}: the server has no namespace {uri}",
            item.tag.node_text
        );
        let code = i64::from(StatusCode::BadNodeIdUnknown.bits());
        item.fail(Status::bad(Some(code), reason), now)
    }

    /// The samples of one notification, in order.
    pub(crate) fn notified(
        &mut self,
        notification: MonitoredItemNotification,
        now: Instant,
        samples: &mut Vec<Sample>,
    ) {
        let MonitoredItemNotification {
            client_handle,
            value: data,
        } = notification;
        let Some(item) = self.get(client_handle) else {
            warn!(client_handle, "skipped a notification of an unknown item");
            return;
        };
        let first = item.state != State::Running;
        item.state = State::Running;
        let is_repeat = first
            && item
                .last
                .as_ref()
                .is_some_and(|last| value::is_repeat(last, &data));
        if data.status.is_some_and(|status| status.overflow()) && !item.warned_of_overflow {
            item.warned_of_overflow = true;
            warn!(tag = %item.tag.target.tag, "the server's queue overflowed, values are lost: raise queue_size");
        }
        let is_current = first || item.is_doubted;
        item.is_doubted = false;
        let kind = match (is_repeat, is_current) {
            (true, _) => SampleKind::Confirmation,
            (false, true) => SampleKind::Snapshot,
            (false, false) => SampleKind::Update,
        };
        let new = item
            .take(&data, now)
            .into_iter()
            .map(|sample| Sample { kind, ..sample });
        if is_repeat {
            samples.extend(new.map(|sample| Sample {
                event_time: None,
                ..sample
            }));
            return;
        }
        samples.extend(new);
        item.last = Some(data);
    }

    /// The items that have been bad for a while without a word.
    pub(crate) fn reminders(&mut self, now: Instant) -> Vec<Sample> {
        let mut samples = Vec::new();
        for item in &mut self.items {
            if let Some((status, reported)) = item.bad.clone()
                && now.duration_since(reported) >= REMIND_EVERY
                && item.state == State::Running
            {
                samples.extend(item.fail(status, now));
            }
        }
        samples
    }

    fn get(&mut self, handle: u32) -> Option<&mut Item> {
        self.items.get_mut((handle as usize).checked_sub(1)?)
    }
}

impl Item {
    /// There is no value, by the gateway's clock.
    fn fail(&mut self, status: Status, now: Instant) -> Vec<Sample> {
        self.is_doubted = true;
        self.bad = Some((status.clone(), now));
        self.all_bad(None, &status)
    }

    /// A bad sample for each series of the tag: its known elements where it was an array last, else itself.
    fn all_bad(&self, time: Option<Timestamp>, status: &Status) -> Vec<Sample> {
        match self.shape {
            Shape::Array(_) => self.elements_bad(0, self.known, time, status),
            Shape::Unknown | Shape::Scalar => vec![self.tag.target.failed(time, status.clone())],
        }
    }

    fn elements_bad(
        &self,
        from: usize,
        to: usize,
        time: Option<Timestamp>,
        status: &Status,
    ) -> Vec<Sample> {
        (from..to)
            .filter_map(|index| self.tag.target.element_failed(index, time, status.clone()))
            .collect()
    }

    /// The samples of a value, and of the series that it leaves without one.
    fn take(&mut self, data: &DataValue, now: Instant) -> Vec<Sample> {
        let time = value::event_time(data);
        self.bad = None;
        let present = if let Shape::Array(present) = self.shape {
            present
        } else {
            0
        };
        match value::item_value(&self.tag.target, data) {
            ItemValue::Missing(status) => {
                self.bad = Some((status.clone(), now));
                self.all_bad(time, &status)
            }
            ItemValue::Scalar(sample) => {
                let gone = Status::bad(None, "the value is no longer an array");
                let mut samples = self.elements_bad(0, present, time, &gone);
                self.shape = Shape::Scalar;
                samples.push(sample);
                samples
            }
            ItemValue::Elements(mut samples) if samples.is_empty() && self.known == 0 => {
                let empty = Status::bad(None, "the array is empty");
                self.bad = Some((empty.clone(), now));
                samples.push(self.tag.target.failed(time, empty));
                samples
            }
            ItemValue::Elements(mut samples) => {
                let len = samples.len();
                let gone = Status::bad(None, format!("the array has {len} elements now"));
                samples.extend(self.elements_bad(len, present, time, &gone));
                if self.shape == Shape::Scalar {
                    let array = Status::bad(
                        None,
                        "the value is an array now, its elements are series of their own",
                    );
                    samples.push(self.tag.target.failed(time, array));
                }
                (self.shape, self.known) = (Shape::Array(len), self.known.max(len));
                samples
            }
        }
    }
}

#[cfg(test)]
#[path = "items_tests.rs"]
mod tests;
