//! One item: what it was, and what a value of it becomes.

use std::{collections::HashSet, slice, sync::Arc};

use forebay_connectors::Sample;
use forebay_schemas::{Quality, Status, TagName, Timestamp};
use opcua::types::DataValue;
use tokio::time::Instant;

use super::News;
use crate::{
    settings::{Compound, EnumerationForm, Tag},
    types::{Enumeration, Types},
    value::{self, Form, ItemValue, Target},
};

/// One monitored item. There may be a hundred thousand: what few items have is boxed.
pub(super) struct Item {
    pub(super) state: State,
    /// The number of its node's namespace on this server.
    pub(super) namespace: Option<u16>,
    pub(super) last: Option<DataValue>,
    pub(super) shape: Shape,
    /// Names of its enumeration's numbers, where they are asked for.
    pub(super) names: Option<Arc<Enumeration>>,
    /// Set while there is no value at all.
    pub(super) bad: Option<Box<Bad>>,
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

/// Why there is no value, and when that was reported.
pub(super) struct Bad {
    pub(super) status: Status,
    pub(super) reported: Instant,
}

/// The series that the values of an item have.
pub(super) enum Shape {
    /// There was no value yet, or empty arrays alone.
    Unknown,
    /// That of the tag itself.
    Itself,
    Parts(Box<Parts>),
}

/// Series of their own.
pub(super) struct Parts {
    /// Those that the last value had.
    present: Vec<TagName>,
    /// Those that values have had since one was a scalar last, those of earlier processes among them.
    known: Vec<TagName>,
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

impl Shape {
    fn of(itself: &TagName, parts: Parts) -> Self {
        let itself = slice::from_ref(itself);
        if parts.present == itself && parts.known == itself {
            return Self::Itself;
        }
        if parts.present.is_empty() && parts.known.is_empty() {
            return Self::Unknown;
        }
        Self::Parts(Box::new(parts))
    }

    /// Of values that had these parts in an earlier process.
    fn recalled(target: &Target, parts: Vec<TagName>) -> Self {
        let is_name = |part: &TagName| part.as_str() == format!("{}.text", target.tag);
        let is_enumeration = target.enumeration == EnumerationForm::NumberAndText;
        let mut known = parts;
        if is_enumeration && known.iter().all(is_name) {
            // The name of a number, which is there too.
            known.insert(0, target.tag.clone());
        } else if target.compound == Compound::Json {
            // Now it is one series, whatever it was.
            known.clear();
        }
        // Which of them the last value had is not known: what the next one lacks is gone.
        let present = known.clone();
        Self::of(&target.tag, Parts { present, known })
    }

    /// Those that the last value had.
    fn present<'s>(&'s self, itself: &'s TagName) -> &'s [TagName] {
        match self {
            Self::Unknown => &[],
            Self::Itself => slice::from_ref(itself),
            Self::Parts(parts) => &parts.present,
        }
    }

    /// Those that values have had since one was a scalar last.
    fn known<'s>(&'s self, itself: &'s TagName) -> &'s [TagName] {
        match self {
            Self::Unknown => &[],
            Self::Itself => slice::from_ref(itself),
            Self::Parts(parts) => &parts.known,
        }
    }
}

impl Item {
    /// Of a tag whose values had these parts in an earlier process.
    pub(super) fn new(target: &Target, parts: Option<Vec<TagName>>) -> Self {
        Self {
            state: State::Missing,
            namespace: None,
            last: None,
            shape: parts.map_or(Shape::Unknown, |parts| Shape::recalled(target, parts)),
            names: None,
            bad: None,
            is_doubted: false,
            was_there: false,
            is_refused: false,
            has_loss: false,
            warned_of_overflow: false,
        }
    }

    pub(super) fn accepted(&mut self, tag: &Tag, news: &mut News) {
        self.was_there = true;
        if std::mem::take(&mut self.is_refused) {
            news.back.push(tag.node.as_str().to_owned());
        }
    }

    pub(super) fn refused(
        &mut self,
        tag: &Tag,
        news: &mut News,
        status: Status,
        now: Instant,
    ) -> Vec<Sample> {
        if !std::mem::replace(&mut self.is_refused, true) {
            let node = tag.node.as_str().to_owned();
            if self.was_there {
                news.gone.push(node);
            } else {
                news.unavailable.push(node);
            }
        }
        self.fail(&tag.target, status, now)
    }

    /// There is no value, by the gateway's clock.
    pub(super) fn fail(&mut self, target: &Target, status: Status, now: Instant) -> Vec<Sample> {
        self.is_doubted = true;
        let samples = self.all_bad(target, None, &status);
        self.note_bad(status, now);
        samples
    }

    /// A bad sample for each known series of the tag; for the tag itself where it has had no value.
    pub(super) fn all_bad(
        &self,
        target: &Target,
        time: Option<Timestamp>,
        status: &Status,
    ) -> Vec<Sample> {
        let failed = |tag: &TagName| target.failed(tag.clone(), time, status.clone());
        match self.shape.known(&target.tag) {
            [] => vec![failed(&target.tag)],
            known => known.iter().map(failed).collect(),
        }
    }

    /// The samples of a value, and of the series that it leaves without one.
    pub(super) fn take(
        &mut self,
        target: &Target,
        data: &DataValue,
        types: &Types,
        now: Instant,
    ) -> Vec<Sample> {
        let time = value::event_time(data);
        self.bad = None;
        let itself = &target.tag;
        let found = value::item_value(target, data, types, self.names.as_deref());
        match found {
            ItemValue::Missing(status) => {
                let samples = self.all_bad(target, time, &status);
                self.note_bad(status, now);
                samples
            }
            ItemValue::Parts(_, samples)
                if samples.is_empty() && self.shape.known(itself).is_empty() =>
            {
                let empty = Status::bad(None, "the array is empty");
                self.note_bad(empty.clone(), now);
                vec![target.failed(itself.clone(), time, empty)]
            }
            ItemValue::Parts(form, mut samples) => {
                let before = self.shape.present(itself);
                let is_as_before = samples.len() == before.len()
                    && samples.iter().map(|sample| &sample.tag).eq(before);
                if !is_as_before {
                    self.reshape(target, form, time, &mut samples);
                }
                samples
            }
        }
    }

    fn note_bad(&mut self, status: Status, reported: Instant) {
        self.bad = Some(Box::new(Bad { status, reported }));
    }

    /// Takes in that a value has other parts than the one before, and says which are gone.
    fn reshape(
        &mut self,
        target: &Target,
        form: Form,
        time: Option<Timestamp>,
        samples: &mut Vec<Sample>,
    ) {
        let itself = &target.tag;
        let present: Vec<TagName> = samples.iter().map(|sample| sample.tag.clone()).collect();
        let is_there: HashSet<&TagName> = present.iter().collect();
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
            target.failed(tag.clone(), time, status)
        };
        let before = self.shape.present(itself).iter();
        samples.extend(before.filter(|tag| !is_there.contains(tag)).map(gone));
        let known = if form == Form::Scalar {
            present.clone()
        } else {
            let mut known = self.shape.known(itself).to_vec();
            let had: HashSet<&TagName> = self.shape.known(itself).iter().collect();
            known.extend(present.iter().filter(|tag| !had.contains(tag)).cloned());
            known.retain(|tag| tag != itself);
            known
        };
        self.shape = Shape::of(itself, Parts { present, known });
    }
}

/// Says in a value's status that there were others before it.
pub(super) fn doubt(status: &mut Status) {
    if status.quality == Quality::Good {
        status.quality = Quality::Uncertain;
        status.reason = Some("values before this one were lost on the way".to_owned());
    }
}
