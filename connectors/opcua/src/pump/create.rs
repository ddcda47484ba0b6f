//! Monitored items: created once for each tag, and again where the server refused.

use std::time::Duration;

use forebay_connectors::Sample;
use opcua::types::{
    AttributeId, MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters, NodeId,
    ReadValueId,
};
use tokio::time::Instant;

use super::Pump;
use crate::error::OpcuaError;

impl Pump<'_> {
    /// Asks for the monitored items that the server does not have yet, and reports those that it refuses.
    pub(super) async fn create_missing(&mut self) -> Result<(), OpcuaError> {
        if self.items.missing().next().is_none() {
            return Ok(());
        }
        let namespaces = self.session.namespaces().await?;
        let mut requests = Vec::new();
        let mut nowhere = Vec::new();
        for (handle, tag) in self.items.missing() {
            match tag.node.resolve(&namespaces) {
                Ok(node) => requests.push(request(
                    handle,
                    node,
                    tag.sampling,
                    self.settings.queue_size,
                )),
                Err(uri) => nowhere.push((handle, uri.to_owned())),
            }
        }
        let now = Instant::now();
        let lost = nowhere
            .iter()
            .flat_map(|(handle, uri)| self.items.without_namespace(*handle, uri, now));
        let mut bad: Vec<Sample> = lost.collect();
        for chunk in requests.chunks(self.items_per_call) {
            let statuses = self
                .session
                .monitor(self.granted.id, chunk.to_vec())
                .await?;
            for (item, status) in chunk.iter().zip(statuses) {
                let (handle, node) = (
                    item.requested_parameters.client_handle,
                    &item.item_to_monitor.node_id,
                );
                bad.extend(self.items.created(handle, node, status, now));
            }
        }
        self.hand_over(None, bad);
        Ok(())
    }
}

fn request(
    client_handle: u32,
    node_id: NodeId,
    sampling: Duration,
    queue_size: u32,
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
            sampling_interval: sampling.as_secs_f64() * 1000.0,
            queue_size,
            discard_oldest: true,
            ..MonitoringParameters::default()
        },
    }
}
