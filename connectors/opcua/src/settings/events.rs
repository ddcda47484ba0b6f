//! `[[connector.event]]`: whose events are heard, and which of them.

use forebay_config::Table;
use forebay_schemas::DeviceId;

use crate::{keys, node::NodeAddress};

/// The range of severities (Part 5, 6.4.2).
const SEVERITY_MAX: u16 = 1000;

/// An object that reports events.
#[derive(Debug, Clone)]
pub(crate) struct EventSource {
    pub(crate) device: DeviceId,
    pub(crate) node: NodeAddress,
    pub(crate) severity_min: u16,
    /// Only events of this type and its subtypes.
    pub(crate) event_type: Option<NodeAddress>,
}

/// Reads the tables; none where anything is wrong.
pub(super) fn read(connector: &mut Table<'_>) -> Option<Vec<EventSource>> {
    let common = connector.given(&keys::DEVICE);
    let mut sources = Vec::new();
    let mut is_whole = true;
    for mut table in connector.tables(&keys::EVENT) {
        match source(&mut table, common.as_ref()) {
            Some(source) => sources.push(source),
            None => is_whole = false,
        }
        table.finish();
    }
    is_whole.then_some(sources)
}

fn source(table: &mut Table<'_>, common: Option<&DeviceId>) -> Option<EventSource> {
    let node_text = table.read(&keys::EVENT_NODE);
    let device = table.read(&keys::EVENT_DEVICE);
    let is_broken = table.has(&keys::EVENT_DEVICE) && device.is_none();
    let severity_min = table.read(&keys::EVENT_SEVERITY_MIN);
    let type_text = table.read(&keys::EVENT_TYPE);
    let node = NodeAddress::parse(&node_text)
        .map_err(|message| table.problem(&keys::EVENT_NODE, message))
        .ok();
    let event_type = type_text.as_deref().map(NodeAddress::parse).transpose();
    let event_type = event_type
        .map_err(|message| table.problem(&keys::EVENT_TYPE, message))
        .ok();
    if !(1..=SEVERITY_MAX).contains(&severity_min) {
        table.problem(
            &keys::EVENT_SEVERITY_MIN,
            format!("{severity_min} is out of range: from 1 to {SEVERITY_MAX}"),
        );
        return None;
    }
    let device = device.or_else(|| common.cloned()).filter(|_| !is_broken);
    Some(EventSource {
        device: device?,
        node: node?,
        severity_min,
        event_type: event_type?,
    })
}
