//! What the rules take out of a topic, found out once: most topics come again and again.
//!
//! It is bounded: topics that come beyond it, and very long ones, are looked at each time.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use forebay_payload::Fault;
use forebay_schemas::{DeviceId, TagName};

use super::Rule;

/// Topics that are remembered, a few hundred bytes each.
const TOPICS_MAX: usize = 16_384;
/// Longer topics are not.
const TOPIC_BYTES_MAX: usize = 256;

/// The names that a rule and a topic give a series, or what is wrong with them.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// None where neither names one.
    pub(super) device: Result<Option<DeviceId>, Fault>,
    /// None where neither names one: the payload has to.
    pub(super) tag: Result<Option<TagName>, Fault>,
}

/// A rule that matches a topic.
#[derive(Debug)]
pub(super) struct Match {
    /// Its place among the rules.
    pub(super) rule: usize,
    pub(super) names: Names,
}

/// The topics that have come, for one set of rules.
#[derive(Debug, Default)]
pub(super) struct Topics(HashMap<Box<str>, Arc<[Match]>, RandomState>);

impl Topics {
    /// The rules that match a topic, in their order.
    pub(super) fn matches(&mut self, rules: &[Rule], topic: &str) -> Arc<[Match]> {
        if let Some(known) = self.0.get(topic) {
            return known.clone();
        }
        let found = rules.iter().enumerate().filter_map(|(at, rule)| {
            let names = rule.names(rule.template.captures(topic)?);
            Some(Match { rule: at, names })
        });
        let found: Arc<[Match]> = found.collect();
        if self.0.len() < TOPICS_MAX && topic.len() <= TOPIC_BYTES_MAX {
            self.0.insert(topic.into(), found.clone());
        }
        found
    }
}
