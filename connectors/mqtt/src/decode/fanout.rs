//! Which series each rule made of a topic's payloads, so that all of them turn bad with a payload, or a part of one, that
//! cannot be read. It is bounded: what comes beyond is not remembered.
//!
//! Of an earlier process the series are known and not their topics: a topic takes those of its rule and device whose names
//! begin with its tag, or all of them where the rule fits one topic a device.

use std::collections::{BTreeMap, BTreeSet};

use forebay_connectors::{Declared, RuleId, Sample};
use forebay_schemas::{DeviceId, Quality, TagName, Value};

use super::topics::Topics;

/// Series that are remembered.
const SERIES_MAX: usize = 100_000;

/// What is remembered of topics: the rules that match them, and the tags that their payloads named by their fields, by rule and topic.
#[derive(Debug, Default)]
pub(crate) struct Fanout {
    pub(super) topics: Topics,
    tags: BTreeMap<(RuleId, String), BTreeSet<TagName>>,
    series: usize,
    /// Of an earlier process, by rule and device.
    recalled: BTreeMap<(RuleId, DeviceId), BTreeSet<TagName>>,
}

/// What a rule makes of a topic.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) rule: RuleId,
    pub(super) topic: &'p str,
    pub(super) device: &'p DeviceId,
    pub(super) tag: Option<&'p TagName>,
    /// No other topic is of that rule and device.
    pub(super) is_only: bool,
}

/// How much of a payload a bad sample speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// A value named by a field.
    Field,
    /// The rule's value as a whole: it names one tag.
    Value,
    /// All that the rule makes of the topic.
    Topic,
    /// Itself.
    Alone,
}

impl Fanout {
    /// With the series that an earlier process knew.
    pub(crate) fn recalled(known: &[Declared]) -> Self {
        let mut fanout = Self::default();
        for Declared { rule, device, tag } in known.iter().take(SERIES_MAX).cloned() {
            fanout
                .recalled
                .entry((rule, device))
                .or_default()
                .insert(tag);
        }
        fanout
    }

    /// Takes what an earlier process made of the topic.
    fn recall(&mut self, at: Place<'_>) {
        if self.recalled.is_empty() {
            return;
        }
        let Some(recalled) = self.recalled.get_mut(&(at.rule, at.device.clone())) else {
            return;
        };
        let is_of_topic = |tag: &TagName| at.tag.map_or(at.is_only, |whole| is_within(tag, whole));
        if !recalled.iter().any(is_of_topic) {
            return;
        }
        let (taken, left) = std::mem::take(recalled).into_iter().partition(is_of_topic);
        let taken: BTreeSet<TagName> = taken;
        *recalled = left;
        self.series += taken.len();
        self.tags
            .entry((at.rule, at.topic.to_owned()))
            .or_default()
            .extend(taken);
    }

    /// Bad samples for the tags that went with those that are bad; remembers those that fields named.
    pub(super) fn spread(&mut self, at: Place<'_>, samples: &[(Scope, Sample)]) -> Vec<Sample> {
        self.recall(at);
        // Most payloads have good values under the topic's own names.
        let is_of_many =
            |(scope, sample): &(Scope, Sample)| *scope == Scope::Field || is_lost(*scope, sample);
        if !samples.iter().any(is_of_many) {
            return Vec::new();
        }
        let place = (at.rule, at.topic.to_owned());
        let mut spread = Vec::new();
        if let Some(known) = self.tags.get(&place) {
            let mut told: BTreeSet<&TagName> =
                samples.iter().map(|(_, sample)| &sample.tag).collect();
            for (scope, cause) in samples
                .iter()
                .filter(|(scope, sample)| is_lost(*scope, sample))
            {
                for tag in known
                    .iter()
                    .filter(|tag| *scope == Scope::Topic || is_within(tag, &cause.tag))
                {
                    if told.insert(tag) {
                        spread.push(Sample {
                            tag: tag.clone(),
                            value: None,
                            ..cause.clone()
                        });
                    }
                }
            }
        }
        let fields = samples.iter().filter(|(scope, _)| *scope == Scope::Field);
        for (_, Sample { tag, .. }) in fields {
            let is_known = self.tags.get(&place).is_some_and(|tags| tags.contains(tag));
            if !is_known && self.series < SERIES_MAX {
                self.series += 1;
                self.tags
                    .entry(place.clone())
                    .or_default()
                    .insert(tag.clone());
            }
        }
        spread
    }
}

/// Whether there is no value to be had; a bad sample of a part that cannot be read may carry the payload.
fn is_lost(scope: Scope, sample: &Sample) -> bool {
    if scope == Scope::Alone {
        return false;
    }
    let has_value = sample
        .value
        .as_ref()
        .is_some_and(|value| !matches!(value, Value::Bytes(_)));
    sample.status.quality == Quality::Bad && (scope == Scope::Topic || !has_value)
}

fn is_within(tag: &TagName, whole: &TagName) -> bool {
    tag.as_str()
        .strip_prefix(whole.as_str())
        .is_some_and(|rest| rest.starts_with('.'))
}
