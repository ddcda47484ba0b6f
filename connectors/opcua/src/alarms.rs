//! Events, conditions and alarms: what the server is asked for, what it says, and what it only says again.
//!
//! Kept here:
//! - A change of a condition that the server tells again, because it was asked for its conditions (ConditionRefresh, Part 9,
//!   5.5.7) or because two sources tell of it, is handed over once by this process: it has the EventId, or all that it says but
//!   the EventId, of the last change of its condition. What an earlier process handed over the lake has once.
//! - The server is asked for its conditions over each new link, when it wants that (RefreshRequired), and when it or we have lost
//!   events; no more than every [`REFRESH_EVERY`].
//! - What is below the least severity is left out, but for changes of a condition that was taken before: its end may be less severe.
//! - Whatever fields are missing, an event is an event.
//!
//! No I/O.

mod fields;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher as _},
    time::Duration,
};

use forebay_connectors::DeviceEvent;
use forebay_schemas::{DeviceId, SourceEvent, TagName};
use opcua::types::{EventFieldList, NodeId, StatusCode};
use tokio::time::Instant;
use tracing::warn;

pub(crate) use self::fields::{FilterForm, filter};
use self::fields::{Notice, read};
use crate::{
    settings::{EventSource, Settings},
    value,
};

/// The shortest time between two requests for all conditions over one link.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_secs(30);

/// Conditions whose last change is remembered; those beyond it the lake tells apart.
const CONDITIONS_MAX: usize = 100_000;

/// The handles of sources begin here: those of tags are far below.
const FIRST_HANDLE: u32 = 1 << 31;

/// What is known of the events of a server.
pub(crate) struct Alarms {
    connector: String,
    sources: Vec<Source>,
    seen: HashMap<Condition, Change>,
    /// The tags of nodes on this server: an event of such a node is about that tag.
    tags: HashMap<NodeId, (DeviceId, TagName)>,
    refresh: Refresh,
}

struct Source {
    asked: EventSource,
    is_heard: bool,
    is_refused: bool,
    /// The server does not filter by type.
    warned_of_filter: bool,
}

/// A condition, and one of its branches.
#[derive(PartialEq, Eq, Hash)]
struct Condition {
    device: DeviceId,
    node: String,
    branch: String,
}

/// What the last change of a condition was.
struct Change {
    event_id: Vec<u8>,
    content: u64,
}

#[derive(Default)]
struct Refresh {
    is_wanted: bool,
    asked_at: Option<Instant>,
    /// The server cannot do it.
    is_unsupported: bool,
}

impl Condition {
    fn of(device: &DeviceId, event: &SourceEvent) -> Self {
        Self {
            device: device.clone(),
            node: event.condition_node.clone(),
            branch: event.branch.clone(),
        }
    }
}

impl Alarms {
    pub(crate) fn new(settings: &Settings) -> Self {
        let source = |asked: &EventSource| Source {
            asked: asked.clone(),
            is_heard: false,
            is_refused: false,
            warned_of_filter: false,
        };
        Self {
            connector: settings.name.clone(),
            sources: settings.events.iter().map(source).collect(),
            seen: HashMap::new(),
            tags: HashMap::new(),
            refresh: Refresh::default(),
        }
    }

    /// A new subscription hears nothing yet.
    pub(crate) fn forget_subscription(&mut self) {
        self.tags.clear();
        for source in &mut self.sources {
            source.is_heard = false;
        }
        self.linked();
    }

    /// A new link: conditions may have changed without a word.
    pub(crate) fn linked(&mut self) {
        self.refresh = Refresh {
            is_wanted: true,
            ..Refresh::default()
        };
    }

    /// Events may be lost.
    pub(crate) fn lost(&mut self) {
        self.refresh.is_wanted = true;
    }

    /// An event of this node is about this tag.
    pub(crate) fn resolved(
        &mut self,
        node: impl FnOnce() -> NodeId,
        device: DeviceId,
        tag: TagName,
    ) {
        if !self.sources.is_empty() {
            self.tags.insert(node(), (device, tag));
        }
    }

    /// The handles and settings of the sources that the subscription lacks.
    pub(crate) fn missing(&self) -> Vec<(u32, EventSource)> {
        (FIRST_HANDLE..)
            .zip(&self.sources)
            .filter(|(_, source)| !source.is_heard)
            .map(|(handle, source)| (handle, source.asked.clone()))
            .collect()
    }

    /// The server tells of the events of a source, by this form of the filter.
    pub(crate) fn heard(&mut self, handle: u32, form: FilterForm) {
        let connector = self.connector.clone();
        let Some(source) = self.source(handle) else {
            return;
        };
        let node = source.asked.node.as_str().to_owned();
        if std::mem::take(&mut source.is_refused) {
            tracing::info!(connector, node, "events available again");
        }
        let is_less = form != FilterForm::Whole && source.asked.event_type.is_some();
        if is_less && !source.warned_of_filter {
            source.warned_of_filter = true;
            warn!(
                connector,
                node, "the server refused the filter of events, events of all types are taken"
            );
        }
        source.is_heard = true;
        self.refresh.is_wanted = true;
    }

    /// The server does not tell of the events of a source; said once.
    pub(crate) fn refused(&mut self, handle: u32, why: &str) {
        let connector = self.connector.clone();
        let Some(source) = self.source(handle) else {
            return;
        };
        if !source.is_refused {
            source.is_refused = true;
            let node = source.asked.node.as_str();
            warn!(
                connector,
                node, why, "events unavailable on the server, retrying"
            );
        }
    }

    /// Whether the server is to be asked for its conditions now.
    pub(crate) fn wants_refresh(&self, now: Instant) -> bool {
        let Refresh {
            is_wanted,
            asked_at,
            is_unsupported,
        } = self.refresh;
        let is_due = asked_at.is_none_or(|at| now.duration_since(at) >= REFRESH_EVERY);
        let is_heard = self.sources.iter().any(|source| source.is_heard);
        is_wanted && is_due && is_heard && !is_unsupported
    }

    /// The server was asked for its conditions, and answered so.
    pub(crate) fn refreshed(&mut self, status: StatusCode, now: Instant) {
        let connector = &self.connector;
        self.refresh.asked_at = Some(now);
        match status {
            status if !status.is_bad() => self.refresh.is_wanted = false,
            // It is asked again when it may be done.
            StatusCode::BadRefreshInProgress | StatusCode::BadTimeout => {}
            status => {
                self.refresh.is_unsupported = true;
                let status = value::name(status);
                tracing::info!(
                    connector,
                    status,
                    "the server does not tell again which conditions hold (ConditionRefresh)"
                );
            }
        }
    }

    /// Takes in an event.
    pub(crate) fn notified(&mut self, list: EventFieldList, events: &mut Vec<DeviceEvent>) {
        let Some(asked) = self
            .source(list.client_handle)
            .map(|source| source.asked.clone())
        else {
            warn!(
                client_handle = list.client_handle,
                "skipped an event of an unknown item"
            );
            return;
        };
        let (source_node, event) = match read(list.event_fields.unwrap_or_default()) {
            Notice::RefreshBegins | Notice::RefreshEnds => return,
            Notice::RefreshRequired => return self.lost(),
            Notice::Overflow => {
                let connector = &self.connector;
                warn!(
                    connector,
                    "the server's queue of events overflowed, events are lost"
                );
                return self.lost();
            }
            Notice::Event(source_node, event) => (source_node, *event),
        };
        let of_tag = source_node.and_then(|node| self.tags.get(&node).cloned());
        let (device, tag) =
            of_tag.map_or((asked.device, None), |(device, tag)| (device, Some(tag)));
        let event = SourceEvent {
            connector: self.connector.clone(),
            tag,
            ..event
        };
        // Some servers say 0.
        let is_low = |severity: u16| severity.max(1) < asked.severity_min;
        let is_left_out = event.severity.is_some_and(is_low) && !self.knows(&device, &event);
        if !is_left_out && !self.is_told_again(&device, &event) {
            events.push(DeviceEvent { device, event });
        }
    }

    /// Whether a change of the event's condition was taken before: what becomes of it then counts, however severe that is.
    fn knows(&self, device: &DeviceId, event: &SourceEvent) -> bool {
        self.seen.contains_key(&Condition::of(device, event))
    }

    /// Whether the last change of the event's condition was this one; remembers it if not.
    fn is_told_again(&mut self, device: &DeviceId, event: &SourceEvent) -> bool {
        if event.condition_node.is_empty() {
            return false;
        }
        let mut content = DefaultHasher::new();
        content.write(&event.content());
        let change = Change {
            event_id: event.event_id.clone(),
            content: content.finish(),
        };
        let condition = Condition::of(device, event);
        if let Some(last) = self.seen.get_mut(&condition) {
            let has_its_id = !change.event_id.is_empty() && change.event_id == last.event_id;
            let is_again = has_its_id || change.content == last.content;
            *last = change;
            return is_again;
        }
        if self.seen.len() < CONDITIONS_MAX {
            self.seen.insert(condition, change);
        }
        false
    }

    fn source(&mut self, handle: u32) -> Option<&mut Source> {
        let place = handle.checked_sub(FIRST_HANDLE)?;
        self.sources.get_mut(usize::try_from(place).ok()?)
    }
}
