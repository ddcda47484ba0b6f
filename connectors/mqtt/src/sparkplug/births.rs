//! What births say of a node: names, aliases and data types of its metrics and of its devices'; and how that is kept on disk.
//!
//! One file a node, JSON with a version; no values are in it. A file that cannot be read is none: the node is asked for its births.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{NodeId, value::Members};

/// The version of the files.
const VERSION: u32 = 1;

/// A metric that a birth has named.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct KnownMetric {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) alias: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) datatype: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) unit: Option<Arc<str>>,
    /// Names of its parts where it is no scalar.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub(super) parts: BTreeSet<String>,
    /// Data types of its members where it is a template.
    #[serde(skip_serializing_if = "Members::is_empty", default)]
    pub(super) members: Members,
}

/// The metrics of a node itself or of one device, by name.
pub(super) type Metrics = BTreeMap<Arc<str>, KnownMetric>;

/// Whose metrics they are: the node's own, or a device's.
pub(super) type Owner = Option<Arc<str>>;

/// What is known of a node over its births.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Births {
    /// The number of its MQTT session, which its death repeats.
    pub(super) bd_seq: Option<u64>,
    /// The number of its last message.
    pub(super) seq: Option<u8>,
    /// It has died, and no birth has come since.
    pub(super) is_dead: bool,
    pub(super) metrics: BTreeMap<Owner, Metrics>,
    pub(super) aliases: BTreeMap<u64, (Owner, Arc<str>)>,
}

impl Births {
    /// How many names it holds, of metrics, of their parts and of their members.
    pub(super) fn count(&self) -> usize {
        let names = self.metrics.values().flat_map(BTreeMap::values);
        names
            .map(|metric| 1 + metric.parts.len() + metric.members.len())
            .sum()
    }

    /// Takes a birth's metrics in place of those that their owner had, and answers those that it has no more.
    pub(super) fn replace(&mut self, owner: &Owner, metrics: Metrics) -> Metrics {
        if owner.is_none() {
            // A node's birth is the beginning of a session: its devices' births follow, with aliases of their own.
            self.aliases.clear();
        } else {
            self.aliases.retain(|_, (of, _)| of != owner);
        }
        for (name, metric) in &metrics {
            if let Some(alias) = metric.alias {
                self.aliases.insert(alias, (owner.clone(), name.clone()));
            }
        }
        let mut before = self
            .metrics
            .insert(owner.clone(), metrics)
            .unwrap_or_default();
        let now = self.metrics.get_mut(owner);
        if let Some(now) = now {
            before.retain(|name, old| match now.get_mut(name) {
                Some(new) => {
                    new.parts.append(&mut old.parts);
                    new.members.append(&mut old.members);
                    false
                }
                None => true,
            });
        }
        before
    }

    /// The file of a node.
    pub(super) fn to_file(&self, id: &NodeId) -> Vec<u8> {
        let owners = self.metrics.iter().map(|(device, metrics)| OwnerFile {
            device: device.clone(),
            metrics: metrics.clone(),
        });
        let file = NodeFile {
            version: VERSION,
            group: id.group.clone(),
            node: id.node.clone(),
            bd_seq: self.bd_seq,
            seq: self.seq,
            is_dead: self.is_dead,
            owners: owners.collect(),
        };
        // A struct of texts and numbers always becomes JSON.
        serde_json::to_vec(&file).unwrap_or_default()
    }

    /// What a file says; none where it is not one of this release's.
    pub(super) fn of_file(bytes: &[u8]) -> Option<(NodeId, Self)> {
        let file: NodeFile = serde_json::from_slice(bytes).ok()?;
        if file.version != VERSION {
            return None;
        }
        let mut births = Self {
            bd_seq: file.bd_seq,
            seq: file.seq,
            is_dead: file.is_dead,
            ..Self::default()
        };
        for OwnerFile { device, metrics } in file.owners {
            for (name, metric) in &metrics {
                if let Some(alias) = metric.alias {
                    births.aliases.insert(alias, (device.clone(), name.clone()));
                }
            }
            births.metrics.insert(device, metrics);
        }
        let id = NodeId {
            group: file.group,
            node: file.node,
        };
        Some((id, births))
    }
}

#[derive(Serialize, Deserialize)]
struct NodeFile {
    version: u32,
    group: Arc<str>,
    node: Arc<str>,
    bd_seq: Option<u64>,
    seq: Option<u8>,
    is_dead: bool,
    owners: Vec<OwnerFile>,
}

#[derive(Serialize, Deserialize)]
struct OwnerFile {
    device: Owner,
    metrics: Metrics,
}
