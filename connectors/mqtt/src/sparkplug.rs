//! Sparkplug B 3.0: the host's side. Births become the names of series, data their readings, deaths bad quality.
//!
//! - A value is stored under the name that the node's last birth gives it. While messages of a node may have been missed (its
//!   sequence numbers have a gap), its values are uncertain until its next birth, which is asked for.
//! - A metric that no birth names is not guessed: the payload is kept in a bad reading, and the births are asked for.
//! - A node's or device's death makes every series of it bad, once; a death of an earlier session is skipped.
//! - Births are asked for with pauses that grow, a few a second for all nodes together: no storms.
//! - Births are kept on disk, so that a restart need not wait for them; values are not.
//! - The only things that it publishes are its own STATE and requests for births.
//!
//! It does no I/O, and has no clock of its own.

mod births;
mod host;
mod inflate;
mod payload;
mod rebirth;
mod store;
#[cfg(test)]
mod tests;
mod topic;
mod value;
mod wire;

use std::{path::PathBuf, sync::Arc};

use forebay_connectors::RuleId;
use forebay_schemas::{DeviceId, TagName};
use globset::GlobMatcher;

pub(crate) use host::Host;
pub(crate) use store::{restore, save};
pub(crate) use topic::{NAMESPACE, state_topic};

/// What the configuration says of a connector with `format = "sparkplug_b"`.
#[derive(Debug)]
pub(crate) struct SparkplugSettings {
    /// Under which name STATE is published; none where this host is only a listener.
    pub(crate) host_id: Option<String>,
    /// How devices are named.
    pub(crate) device: DevicePattern,
    /// Which metrics are taken, in order: the first that matches.
    pub(crate) rules: Vec<MetricRule>,
    pub(crate) rebirth: Rebirth,
    /// Where births are kept.
    pub(crate) folder: PathBuf,
    /// Longer payloads are not decoded.
    pub(crate) payload_bytes_max: usize,
    /// Device and tag of what has no name of its own.
    pub(crate) fallback: (DeviceId, TagName),
}

/// Whether nodes may be asked for their births.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rebirth {
    Ask,
    Never,
}

/// One `[[connector.tag]]`.
#[derive(Debug)]
pub(crate) struct MetricRule {
    pub(crate) id: RuleId,
    pub(crate) metric: GlobMatcher,
    /// The device's name; none for all.
    pub(crate) device: Option<GlobMatcher>,
    /// In words, for what the gateway keeps.
    pub(crate) words: String,
}

/// A node of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId {
    pub(crate) group: Arc<str>,
    pub(crate) node: Arc<str>,
}

/// How devices are named, such as `{group}/{node}/{device}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DevicePattern(String);

impl DevicePattern {
    pub(crate) const DEFAULT: &str = "{group}/{node}/{device}";

    /// Reads a pattern, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text;
        while let Some((_, behind)) = rest.split_once('{') {
            let name = behind.split_once('}').map(|(name, _)| name);
            match name {
                Some("group" | "node" | "device") => {}
                _ => {
                    return Err(format!(
                        "{text:?} is not a pattern of {{group}}, {{node}} and {{device}}"
                    ));
                }
            }
            rest = behind;
        }
        if !text.contains("{node}") {
            return Err("{node} is missing: two nodes would be one device".to_owned());
        }
        if !text.contains("{device}") {
            return Err("{device} is missing: the devices of a node would be one".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// The name of a device, or of the node itself: then `{device}` and what stands between it and the name before it are left out.
    pub(crate) fn name(&self, id: &NodeId, device: Option<&str>) -> String {
        let pattern = match device {
            Some(_) => self.0.clone(),
            None => {
                let (before, after) = self.0.split_once("{device}").unwrap_or((&self.0, ""));
                let kept = before.rfind('}').map_or(0, |end| end + 1);
                let before = &before[..kept];
                // Where the device comes first, what follows it is left out instead.
                let after = match before {
                    "" => after.find('{').map_or("", |begin| &after[begin..]),
                    _ => after,
                };
                format!("{before}{after}")
            }
        };
        // Names may hold braces themselves: each placeholder is replaced where the pattern has it.
        let mut name = String::new();
        let mut rest = pattern.as_str();
        while let Some((before, behind)) = rest.split_once('{') {
            name.push_str(before);
            let (what, after) = behind.split_once('}').unwrap_or((behind, ""));
            name.push_str(match what {
                "group" => &id.group,
                "node" => &id.node,
                _ => device.unwrap_or_default(),
            });
            rest = after;
        }
        name.push_str(rest);
        name
    }
}

impl SparkplugSettings {
    /// The rule that takes a metric.
    fn rule(&self, device: &str, metric: &str) -> Option<RuleId> {
        let takes = |rule: &&MetricRule| {
            rule.metric.is_match(metric)
                && rule
                    .device
                    .as_ref()
                    .is_none_or(|pattern| pattern.is_match(device))
        };
        self.rules.iter().find(takes).map(|rule| rule.id)
    }

    /// What a rule brings, in words that last as long as it brings the same.
    pub(crate) fn brings(&self, rule: RuleId, topics: &[String]) -> Option<String> {
        let rule = self.rules.get(rule.0)?;
        Some(format!(
            "sparkplug_b {} as {} of {}",
            rule.words,
            self.device.0,
            topics.join(" ")
        ))
    }
}
