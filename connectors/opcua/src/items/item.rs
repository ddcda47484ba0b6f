//! One item: what it was, and what a value of it becomes.

use std::{collections::HashSet, sync::Arc};

use forebay_connectors::Sample;
use forebay_schemas::{Quality, Status, TagName, Timestamp};
use opcua::types::{DataValue, NodeId};
use tokio::time::Instant;

use super::News;
use crate::{
    settings::Tag,
    types::{Enumeration, Types},
    value::{self, Form, ItemValue},
};

/// One monitored item.
pub(super) struct Item {
    pub(super) tag: Tag,
    /// Its node on this server.
    pub(super) node: Option<NodeId>,
    pub(super) state: State,
    pub(super) last: Option<DataValue>,
    /// The series that the last value had.
    pub(super) present: Vec<TagName>,
    /// The series that its values have had since it was a scalar last.
    pub(super) known: Vec<TagName>,
    /// Names of its enumeration's numbers, where they are asked for.
    pub(super) names: Option<Arc<Enumeration>>,
    /// Set while there is no value at all: why, and when that was reported.
    pub(super) bad: Option<(Status, Instant)>,
    /// Whether the last reading was bad by the gateway's clock.
    pub(super) is_doubted: bool,
    /// Whether the server has had the node since the start.
    pub(super) was_there: bool,
    /// Whether the server refuses the node.
    pub(super) is_refused: bool,
    /// Values before the next one were lost on the way.
    pub(super) has_loss: bool,
    pub(super) warned_of_overflow: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The server has no such monitored item, yet.
    Missing,
    /// Created; its first notification may be a repeat.
    Fresh,
    /// The server sends its value again, behind others that it may have queued.
    Resent,
    /// Has been notified on this subscription.
    Running,
}

impl Item {
    pub(super) fn new(tag: &Tag) -> Self {
        Self {
            tag: tag.clone(),
            node: None,
            state: State::Missing,
            last: None,
            present: Vec::new(),
            known: Vec::new(),
            names: None,
            bad: None,
            is_doubted: false,
            was_there: false,
            is_refused: false,
            has_loss: false,
            warned_of_overflow: false,
        }
    }

    pub(super) fn accepted(&mut self, news: &mut News) {
        self.was_there = true;
        if std::mem::take(&mut self.is_refused) {
            news.back.push(self.tag.node_text.clone());
        }
    }

    pub(super) fn refused(&mut self, news: &mut News, status: Status, now: Instant) -> Vec<Sample> {
        if !std::mem::replace(&mut self.is_refused, true) {
            let node = self.tag.node_text.clone();
            if self.was_there {
                news.gone.push(node);
            } else {
                news.unavailable.push(node);
            }
        }
        self.fail(status, now)
    }

    /// There is no value, by the gateway's clock.
    pub(super) fn fail(&mut self, status: Status, now: Instant) -> Vec<Sample> {
        self.is_doubted = true;
        self.bad = Some((status.clone(), now));
        self.all_bad(None, &status)
    }

    /// A bad sample for each known series of the tag; for the tag itself where it has had no value.
    pub(super) fn all_bad(&self, time: Option<Timestamp>, status: &Status) -> Vec<Sample> {
        if self.known.is_empty() {
            let tag = self.tag.target.tag.clone();
            return vec![self.tag.target.failed(tag, time, status.clone())];
        }
        let failed = |tag: &TagName| self.tag.target.failed(tag.clone(), time, status.clone());
        self.known.iter().map(failed).collect()
    }

    /// The samples of a value, and of the series that it leaves without one.
    pub(super) fn take(&mut self, data: &DataValue, types: &Types, now: Instant) -> Vec<Sample> {
        let time = value::event_time(data);
        self.bad = None;
        let found = value::item_value(&self.tag.target, data, types, self.names.as_deref());
        match found {
            ItemValue::Missing(status) => {
                self.bad = Some((status.clone(), now));
                self.all_bad(time, &status)
            }
            ItemValue::Parts(_, samples) if samples.is_empty() && self.known.is_empty() => {
                let empty = Status::bad(None, "the array is empty");
                self.bad = Some((empty.clone(), now));
                let tag = self.tag.target.tag.clone();
                vec![self.tag.target.failed(tag, time, empty)]
            }
            ItemValue::Parts(form, mut samples) => {
                let is_as_before = samples.len() == self.present.len()
                    && samples.iter().map(|sample| &sample.tag).eq(&self.present);
                if !is_as_before {
                    self.reshape(form, time, &mut samples);
                }
                samples
            }
        }
    }

    /// Takes in that a value has other parts than the one before, and says which are gone.
    fn reshape(&mut self, form: Form, time: Option<Timestamp>, samples: &mut Vec<Sample>) {
        let parts: Vec<TagName> = samples.iter().map(|sample| sample.tag.clone()).collect();
        let is_there: HashSet<&TagName> = parts.iter().collect();
        let itself = &self.tag.target.tag;
        let gone = |tag: &TagName| {
            let reason = match form {
                Form::Array(_) if tag == itself => {
                    "the value is an array now, its elements are series of their own".to_owned()
                }
                Form::Structure if tag == itself => {
                    "the value is a structure now, its fields are series of their own".to_owned()
                }
                Form::Array(len) => format!("the array has {len} elements now"),
                Form::Structure => "the structure does not have this field now".to_owned(),
                Form::Scalar => "the value has no parts now".to_owned(),
            };
            let status = Status::bad(None, reason);
            self.tag.target.failed(tag.clone(), time, status)
        };
        let before = self.present.iter().filter(|tag| !is_there.contains(tag));
        samples.extend(before.map(gone));
        if form == Form::Scalar {
            self.known.clone_from(&parts);
        } else {
            let known: HashSet<&TagName> = self.known.iter().collect();
            let new = parts.iter().filter(|tag| !known.contains(tag)).cloned();
            let new: Vec<TagName> = new.collect();
            self.known.extend(new);
            self.known.retain(|tag| tag != &self.tag.target.tag);
        }
        self.present = parts;
    }
}

/// Says in a value's status that there were others before it.
pub(super) fn doubt(status: &mut Status) {
    if status.quality == Quality::Good {
        status.quality = Quality::Uncertain;
        status.reason = Some("values before this one were lost on the way".to_owned());
    }
}
