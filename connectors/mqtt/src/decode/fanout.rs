//! Which series each rule made of a topic's payloads, so that all of them turn bad with a payload, or a part of one, that
//! cannot be read. It is bounded: what comes beyond is not remembered.

use std::collections::{BTreeMap, BTreeSet};

use forebay_connectors::{RuleId, Sample};
use forebay_schemas::{Quality, TagName, Value};

/// Series that are remembered.
const SERIES_MAX: usize = 100_000;

/// The tags that payloads named by their fields, by rule and topic.
#[derive(Debug, Default)]
pub(crate) struct Fanout {
    tags: BTreeMap<(RuleId, String), BTreeSet<TagName>>,
    series: usize,
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
    /// Bad samples for the tags that went with those that are bad; remembers those that fields named.
    pub(super) fn spread(&mut self, rule: RuleId, topic: &str, samples: &[(Scope, Sample)]) -> Vec<Sample> {
        let place = (rule, topic.to_owned());
        let mut spread = Vec::new();
        if let Some(known) = self.tags.get(&place) {
            let mut told: BTreeSet<&TagName> = samples.iter().map(|(_, sample)| &sample.tag).collect();
            for (scope, cause) in samples.iter().filter(|(scope, sample)| is_lost(*scope, sample)) {
                for tag in known.iter().filter(|tag| *scope == Scope::Topic || is_within(tag, &cause.tag)) {
                    if told.insert(tag) {
                        spread.push(Sample { tag: tag.clone(), value: None, ..cause.clone() });
                    }
                }
            }
        }
        let fields = samples.iter().filter(|(scope, _)| *scope == Scope::Field);
        for (_, Sample { tag, .. }) in fields {
            let is_known = self.tags.get(&place).is_some_and(|tags| tags.contains(tag));
            if !is_known && self.series < SERIES_MAX {
                self.series += 1;
                self.tags.entry(place.clone()).or_default().insert(tag.clone());
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
    let has_value = sample.value.as_ref().is_some_and(|value| !matches!(value, Value::Bytes(_)));
    sample.status.quality == Quality::Bad && (scope == Scope::Topic || !has_value)
}

fn is_within(tag: &TagName, whole: &TagName) -> bool {
    tag.as_str().strip_prefix(whole.as_str()).is_some_and(|rest| rest.starts_with('.'))
}
