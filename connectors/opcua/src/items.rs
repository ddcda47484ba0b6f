//! What is known of each monitored item, and how notifications become samples.
//!
//! Kept here:
//! - After a reconnect a server repeats each item's last value. The first notification of an item on a new
//!   subscription only says that the value still holds ([`SampleKind::Confirmation`]) if it is, to the source time, the value and the
//!   status, the last one delivered; else it is [`SampleKind::Snapshot`], and so is the first value after a bad reading by the
//!   gateway's clock (a missing node, a reminder): its source time may be older than that reading.
//! - The parts of an array or a structure are series of their own: what makes the whole bad makes each known part bad, also one
//!   that an earlier process knew, and a part that a value no longer has is bad too.
//! - An item that stays bad is reported again once a minute, because the server will not.
//!
//! No I/O.

mod item;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use forebay_connectors::{Declared, Sample, SampleKind};
use forebay_schemas::{Clock, Status, TagName};
use opcua::types::{DataValue, MonitoredItemNotification, NodeId, StatusCode};
use tokio::time::Instant;
use tracing::warn;

use self::item::{Bad, Item, State, doubt};
use crate::{
    alarms::Alarms,
    history::{History, Loss},
    settings::{EnumerationForm, Settings, Tag},
    types::{Enumeration, Types},
    value::{self, ItemValue},
};

/// How often an item that stays bad is reported again.
const REMIND_EVERY: Duration = Duration::from_secs(60);

/// All items of a connector; an item's client handle is its place here plus one.
pub(crate) struct Items {
    tags: Arc<[Tag]>,
    /// In the order of the tags.
    items: Vec<Item>,
    /// What the server says of its types.
    pub(crate) types: Types,
    /// What is to be read from the server's history.
    pub(crate) history: History,
    /// What is heard of the server's events.
    pub(crate) alarms: Alarms,
    news: News,
    clock: Clock,
}

/// Which tags have a node on a server.
pub(crate) struct Resolved {
    /// The handles of those that have.
    pub(crate) found: Vec<u32>,
    /// The others, with the URI of the namespace that the server lacks.
    pub(crate) nowhere: Vec<(u32, String)>,
}

/// Nodes whose state has changed, to be reported once, by the node ids of the configuration.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// The server had them before.
    pub(crate) gone: Vec<String>,
    /// The server has never had them.
    pub(crate) unavailable: Vec<String>,
    /// The server has them again.
    pub(crate) back: Vec<String>,
}

impl Items {
    /// Of a connector whose values had these parts in earlier processes.
    pub(crate) fn new(
        settings: &Settings,
        history: History,
        clock: Clock,
        parts: &[Declared],
    ) -> Self {
        let mut known: BTreeMap<usize, Vec<TagName>> = BTreeMap::new();
        for Declared { rule, device, tag } in parts {
            let of = settings.tags.get(rule.0).map(|tag| &tag.target);
            if of.is_some_and(|of| of.device == *device && of.tag != *tag) {
                known.entry(rule.0).or_default().push(tag.clone());
            }
        }
        let item = |(place, tag): (usize, &Tag)| Item::new(&tag.target, known.remove(&place));
        Self {
            tags: settings.tags.clone(),
            items: settings.tags.iter().enumerate().map(item).collect(),
            types: Types::default(),
            history,
            alarms: Alarms::new(settings),
            news: News::default(),
            clock,
        }
    }

    /// A new subscription has no monitored items, and its session may number namespaces differently.
    pub(crate) fn forget_subscription(&mut self) {
        self.types = Types::default();
        self.history.linked();
        self.alarms.forget_subscription();
        for item in &mut self.items {
            item.state = State::Missing;
            item.names = None;
            item.namespace = None;
            item.warned_of_overflow = false;
        }
    }

    /// The subscription goes on in a new session, after a link that was lost.
    pub(crate) fn carried_over(&mut self) {
        self.history.linked();
        self.alarms.linked();
        for item in &mut self.items {
            item.is_doubted = true;
        }
    }

    /// Values were lost on the way, and the server sends all current ones again.
    pub(crate) fn resent(&mut self) {
        self.alarms.lost();
        for item in &mut self.items {
            item.has_loss = true;
            if item.state != State::Missing {
                item.state = State::Resent;
            }
        }
    }

    /// The handles of all items.
    pub(crate) fn all(&self) -> impl Iterator<Item = u32> + use<> {
        (1..).take(self.items.len())
    }

    /// The handles that the subscription lacks.
    pub(crate) fn missing(&self) -> impl Iterator<Item = u32> {
        (1..)
            .zip(&self.items)
            .filter(|(_, item)| item.state == State::Missing)
            .map(|(handle, _)| handle)
    }

    /// Looks up the nodes of some tags on a server that has this namespace array.
    pub(crate) fn resolve(
        &mut self,
        handles: impl IntoIterator<Item = u32>,
        namespaces: &[String],
    ) -> Resolved {
        let (mut found, mut nowhere) = (Vec::new(), Vec::new());
        for handle in handles {
            let Some((tag, item)) = entry(&self.tags, &mut self.items, handle) else {
                continue;
            };
            // A server that does not say its namespaces for once does not take the node away from an item that it serves.
            let served = item.namespace.filter(|_| item.state != State::Missing);
            let namespace = tag.node.namespace(namespaces);
            let namespace = namespace.or_else(|uri| served.ok_or(uri));
            item.namespace = namespace.as_ref().ok().copied();
            match namespace {
                Ok(namespace) => {
                    let (device, name) = (tag.target.device.clone(), tag.target.tag.clone());
                    self.alarms
                        .resolved(|| tag.node.node(namespace), device, name);
                    found.push(handle);
                }
                Err(uri) => nowhere.push((handle, uri)),
            }
        }
        Resolved { found, nowhere }
    }

    /// The tag of a handle.
    pub(crate) fn tag(&self, handle: u32) -> Option<&Tag> {
        self.tags.get(place(handle))
    }

    /// The node of a tag on this server.
    pub(crate) fn node(&self, handle: u32) -> Option<NodeId> {
        let namespace = self.items.get(place(handle))?.namespace?;
        Some(self.tag(handle)?.node.node(namespace))
    }

    /// The node of a tag in the words of the configuration.
    pub(crate) fn node_text(&self, handle: u32) -> &str {
        self.tag(handle).map_or("", |tag| tag.node.as_str())
    }

    /// The nodes, on this server, of those tags whose numbers are to be named.
    pub(crate) fn enumerations(&self, handles: &[u32]) -> Vec<(u32, NodeId)> {
        let wants_names = |handle: &u32| {
            let tag = self.tag(*handle);
            tag.is_some_and(|tag| tag.target.enumeration == EnumerationForm::NumberAndText)
        };
        let node = |handle: &u32| Some((*handle, self.node(*handle)?));
        let wanted = handles.iter().filter(|handle| wants_names(handle));
        wanted.filter_map(node).collect()
    }

    /// The samples of a value from the server's history, in order.
    pub(crate) fn recalled(&self, handle: u32, data: &DataValue, samples: &mut Vec<Sample>) {
        let (Some(tag), Some(item)) = (self.tag(handle), self.items.get(place(handle))) else {
            return;
        };
        let target = &tag.target;
        let found = value::item_value(target, data, &self.types, item.names.as_deref());
        match found {
            ItemValue::Parts(_, parts) => samples.extend(parts),
            ItemValue::Missing(status) => {
                samples.extend(item.all_bad(target, value::event_time(data), &status));
            }
        }
    }

    /// Takes in the names of a variable's enumeration.
    pub(crate) fn named(&mut self, handle: u32, names: Arc<Enumeration>) {
        if let Some(item) = self.items.get_mut(place(handle)) {
            item.names = Some(names);
        }
    }

    /// Takes in the server's answer to a creation; a refusal is a bad sample for each series of the tag.
    pub(crate) fn created(
        &mut self,
        handle: u32,
        node: &NodeId,
        status: StatusCode,
        now: Instant,
    ) -> Vec<Sample> {
        let Some((tag, item)) = entry(&self.tags, &mut self.items, handle) else {
            return Vec::new();
        };
        if !status.is_bad() {
            item.state = State::Fresh;
            item.accepted(tag, &mut self.news);
            return Vec::new();
        }
        let reason = format!("cannot read node {node}: {}", value::name(status));
        let status = Status::bad(Some(i64::from(status.bits())), reason);
        item.refused(tag, &mut self.news, status, now)
    }

    /// A tag whose namespace the server does not have.
    pub(crate) fn without_namespace(
        &mut self,
        handle: u32,
        uri: &str,
        now: Instant,
    ) -> Vec<Sample> {
        let Some((tag, item)) = entry(&self.tags, &mut self.items, handle) else {
            return Vec::new();
        };
        let reason = format!(
            "cannot read node {}: the server has no namespace {uri}",
            tag.node.as_str()
        );
        let code = i64::from(StatusCode::BadNodeIdUnknown.bits());
        item.refused(tag, &mut self.news, Status::bad(Some(code), reason), now)
    }

    /// Nodes that are gone, unavailable or back since this was asked last.
    pub(crate) fn news(&mut self) -> News {
        std::mem::take(&mut self.news)
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
        let Some((tag, item)) = entry(&self.tags, &mut self.items, client_handle) else {
            warn!(client_handle, "skipped a notification of an unknown item");
            return;
        };
        let may_repeat = item.state != State::Running;
        let is_first = matches!(item.state, State::Missing | State::Fresh);
        let is_repeat = may_repeat
            && item
                .last
                .as_ref()
                .is_some_and(|last| value::is_repeat(last, &data));
        // What is sent again may come behind values that were queued before.
        if is_first || is_repeat {
            item.state = State::Running;
        }
        let has_overflow = data.status.is_some_and(|status| status.overflow());
        if has_overflow && !item.warned_of_overflow {
            item.warned_of_overflow = true;
            warn!(tag = %tag.target.tag, "the server's queue overflowed, values are lost: raise queue_size");
        }
        let is_current = is_first || item.is_doubted;
        item.is_doubted = false;
        let kind = match (is_repeat, is_current) {
            (true, _) => SampleKind::Confirmation,
            (false, true) => SampleKind::Snapshot,
            (false, false) => SampleKind::Update,
        };
        let mut new = item.take(&tag.target, &data, &self.types, now);
        let has_loss = std::mem::take(&mut item.has_loss);
        for sample in &mut new {
            sample.kind = kind;
            if is_repeat {
                sample.event_time = None;
            } else if has_loss {
                doubt(&mut sample.status);
            }
        }
        samples.extend(new);
        if is_repeat {
            return;
        }
        if let Some(time) = value::event_time(&data) {
            let loss = if is_first || has_loss || has_overflow {
                Loss::Before
            } else {
                Loss::None
            };
            let now = (self.clock)();
            self.history.noticed(client_handle, time, now, loss);
        }
        item.last = Some(data);
    }

    /// The samples of a value that was read, in order; none where it says nothing new.
    pub(crate) fn polled(
        &mut self,
        handle: u32,
        node: &NodeId,
        data: DataValue,
        now: Instant,
        samples: &mut Vec<Sample>,
    ) {
        let Some((tag, item)) = entry(&self.tags, &mut self.items, handle) else {
            return;
        };
        let status = data.status.unwrap_or(StatusCode::Good);
        let is_without_node = [
            StatusCode::BadNodeIdUnknown,
            StatusCode::BadNodeIdInvalid,
            StatusCode::BadAttributeIdInvalid,
            StatusCode::BadNotReadable,
            StatusCode::BadUserAccessDenied,
        ]
        .contains(&status);
        let code = Some(i64::from(status.bits()));
        let stays_bad = item.bad.as_ref().is_some_and(|bad| bad.status.code == code);
        if status.is_bad() && stays_bad && item.state == State::Running {
            return;
        }
        if is_without_node {
            item.state = State::Running;
            samples.extend(self.created(handle, node, status, now));
            return;
        }
        item.accepted(tag, &mut self.news);
        let last = item.last.as_ref().filter(|_| !item.is_doubted);
        if item.state == State::Running && last.is_some_and(|last| value::is_repeat(last, &data)) {
            return;
        }
        let notification = MonitoredItemNotification {
            client_handle: handle,
            value: data,
        };
        self.notified(notification, now, samples);
    }

    /// Whether a value that was read is still the one that was delivered last, as the server sees it: then its series are good
    /// again, for the server will not say so.
    pub(crate) fn confirmed(&mut self, handle: u32, data: &DataValue, samples: &mut Vec<Sample>) {
        let Some((tag, item)) = entry(&self.tags, &mut self.items, handle) else {
            return;
        };
        let deadband = tag.server_deadband;
        let holds = item.is_doubted
            && item
                .last
                .as_ref()
                .is_some_and(|last| value::holds(last, data, deadband));
        if holds {
            item.is_doubted = false;
            let confirmed = item.take(&tag.target, data, &self.types, Instant::now());
            samples.extend(confirmed.into_iter().map(|sample| Sample {
                kind: SampleKind::Confirmation,
                event_time: None,
                ..sample
            }));
        }
    }

    /// The items that have been bad for a while without a word.
    pub(crate) fn reminders(&mut self, now: Instant) -> Vec<Sample> {
        let mut samples = Vec::new();
        let is_due = |bad: &Bad| now.duration_since(bad.reported) >= REMIND_EVERY;
        for (tag, item) in self.tags.iter().zip(&mut self.items) {
            if item.state == State::Running
                && let Some(bad) = item.bad.take_if(|bad| is_due(bad))
            {
                samples.extend(item.fail(&tag.target, bad.status, now));
            }
        }
        samples
    }
}

/// The tag and the item of a handle.
fn entry<'i>(
    tags: &'i [Tag],
    items: &'i mut [Item],
    handle: u32,
) -> Option<(&'i Tag, &'i mut Item)> {
    let place = place(handle);
    Some((tags.get(place)?, items.get_mut(place)?))
}

/// The place of a handle; none is as high as that of the handle 0.
fn place(handle: u32) -> usize {
    (handle as usize).wrapping_sub(1)
}

#[cfg(test)]
mod tests;
