//! Monitored items: created once for each tag, and again where the server refused.

use forebay_connectors::Sample;
use opcua::types::{
    AttributeId, DataChangeFilter, DataChangeTrigger, DeadbandType, ExtensionObject,
    MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId, ReadValueId,
    StatusCode,
};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Pump, deliver::Delivery};
use crate::{
    error::OpcuaError,
    items::{News, Resolved},
    settings::{ServerDeadband, Tag},
};

/// Nodes that one log line names.
const NAMED_MAX: usize = 10;

/// What a server answers that cannot do a filter, be it at all or for this variable.
const FILTER_REFUSED: [StatusCode; 5] = [
    StatusCode::BadFilterNotAllowed,
    StatusCode::BadMonitoredItemFilterInvalid,
    StatusCode::BadMonitoredItemFilterUnsupported,
    StatusCode::BadDeadbandFilterInvalid,
    StatusCode::BadEventFilterInvalid,
];

/// Whether dead-band and trigger are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Filters {
    Asked,
    LeftOut,
}

impl Pump<'_> {
    /// Asks for the monitored items that the server does not have yet, and reports those that it refuses.
    pub(super) async fn create_missing(&mut self) -> Result<(), OpcuaError> {
        let missing: Vec<u32> = self.items.missing().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let namespaces = self.session.namespaces().await?;
        let Resolved { found, nowhere } = self.items.resolve(missing, &namespaces);
        let enumerations = self.items.enumerations(&found);
        for (handle, names) in self.session.learn_names(&enumerations, self.limits).await? {
            self.items.named(handle, names);
        }
        let now = Instant::now();
        let lost = nowhere
            .iter()
            .flat_map(|(handle, uri)| self.items.without_namespace(*handle, uri, now));
        let mut bad: Vec<Sample> = lost.collect();
        let mut unfiltered = Vec::new();
        for some in found.chunks(self.limits.items) {
            unfiltered.extend(self.create(some, Filters::Asked, &mut bad).await?);
        }
        if !unfiltered.is_empty() {
            let texts = unfiltered.iter();
            let nodes = list(texts.map(|handle| self.items.node_text(*handle).to_owned()));
            warn!(
                connector = self.settings.name,
                nodes,
                "the server refused the dead-band or trigger of these nodes, every change is taken"
            );
            for some in unfiltered.chunks(self.limits.items) {
                self.create(some, Filters::LeftOut, &mut bad).await?;
            }
        }
        self.hand_over(Delivery::of(bad));
        report(&self.settings.name, self.items.news());
        Ok(())
    }

    /// Creates some, and answers those whose filter the server refuses. Their requests live no longer than that.
    async fn create(
        &mut self,
        handles: &[u32],
        filters: Filters,
        bad: &mut Vec<Sample>,
    ) -> Result<Vec<u32>, OpcuaError> {
        let asked = handles
            .iter()
            .filter_map(|handle| self.request(*handle, filters));
        let asked: Vec<MonitoredItemCreateRequest> = asked.collect();
        let statuses = self.session.monitor(self.granted.id, asked.clone()).await?;
        let now = Instant::now();
        let mut unfiltered = Vec::new();
        for (item, status) in asked.iter().zip(statuses) {
            let asked = &item.requested_parameters;
            if FILTER_REFUSED.contains(&status) && !asked.filter.is_null() {
                unfiltered.push(asked.client_handle);
                continue;
            }
            let node = &item.item_to_monitor.node_id;
            bad.extend(self.items.created(asked.client_handle, node, status, now));
        }
        Ok(unfiltered)
    }

    fn request(&self, handle: u32, filters: Filters) -> Option<MonitoredItemCreateRequest> {
        let (tag, node) = (self.items.tag(handle)?, self.items.node(handle)?);
        let filter = match filters {
            Filters::Asked => filter(tag.server_deadband, self.settings.trigger),
            Filters::LeftOut => ExtensionObject::null(),
        };
        Some(request(handle, node, tag, filter))
    }
}

/// Names nodes whose state has changed.
pub(crate) fn report(connector: &str, news: News) {
    let News {
        gone,
        unavailable,
        back,
    } = news;
    if !gone.is_empty() {
        let count = gone.len();
        let nodes = list(gone.into_iter());
        warn!(
            connector,
            count, nodes, "nodes that the server had before are gone, retrying"
        );
    }
    if !unavailable.is_empty() {
        let count = unavailable.len();
        let nodes = list(unavailable.into_iter());
        warn!(
            connector,
            count, nodes, "nodes unavailable on the server, retrying"
        );
    }
    if !back.is_empty() {
        let count = back.len();
        let nodes = list(back.into_iter());
        info!(connector, count, nodes, "nodes available again");
    }
}

/// The first of some names.
fn list(names: impl ExactSizeIterator<Item = String>) -> String {
    let left = names.len().saturating_sub(NAMED_MAX);
    let mut text = names.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if left > 0 {
        text.push_str(&format!(" and {left} more"));
    }
    text
}

fn request(
    client_handle: u32,
    node_id: NodeId,
    tag: &Tag,
    filter: ExtensionObject,
) -> MonitoredItemCreateRequest {
    MonitoredItemCreateRequest {
        item_to_monitor: ReadValueId {
            node_id,
            attribute_id: AttributeId::Value as u32,
            ..ReadValueId::default()
        },
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle,
            sampling_interval: tag.sampling.as_secs_f64() * 1000.0,
            queue_size: tag.queue_size,
            discard_oldest: true,
            filter,
        },
    }
}

/// None where it would say what holds without one.
fn filter(deadband: Option<ServerDeadband>, trigger: DataChangeTrigger) -> ExtensionObject {
    let (deadband_type, deadband_value) = match deadband {
        None if trigger == DataChangeTrigger::StatusValue => return ExtensionObject::null(),
        None => (DeadbandType::None, 0.0),
        Some(ServerDeadband::Absolute(width)) => (DeadbandType::Absolute, width),
        Some(ServerDeadband::Percent(share)) => (DeadbandType::Percent, share),
    };
    ExtensionObject::from_message(DataChangeFilter {
        trigger,
        deadband_type: deadband_type as u32,
        deadband_value,
    })
}
