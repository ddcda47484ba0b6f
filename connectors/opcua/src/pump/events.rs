//! Sources of events: monitored items of a kind of their own, and what the server is asked for over each link.

use opcua::types::{
    AttributeId, ExtensionObject, MonitoredItemCreateRequest, MonitoringMode, MonitoringParameters,
    NodeId, ReadValueId, StatusCode,
};
use tokio::time::Instant;

use super::Pump;
use crate::{
    alarms::{FilterForm, filter},
    error::OpcuaError,
    settings::EventSource,
    value,
};

/// Events that the server keeps between two notifications: a refresh tells of every condition at once.
const QUEUE_SIZE: u32 = 10_000;

impl Pump<'_> {
    /// Asks for the sources that the server does not tell of yet, and then for the conditions that hold.
    pub(super) async fn hear_events(&mut self) -> Result<(), OpcuaError> {
        let missing = self.items.alarms.missing();
        if !missing.is_empty() {
            let namespaces = self.session.namespaces().await?;
            for (handle, asked) in missing {
                self.hear(handle, &asked, &namespaces).await?;
            }
        }
        if self.items.alarms.wants_refresh(Instant::now()) {
            let status = self.session.refresh_conditions(self.granted.id).await?;
            self.items.alarms.refreshed(status, Instant::now());
        }
        Ok(())
    }

    async fn hear(
        &mut self,
        handle: u32,
        asked: &EventSource,
        namespaces: &[String],
    ) -> Result<(), OpcuaError> {
        let node = asked.node.resolve(namespaces);
        let event_type = asked.event_type.as_ref();
        let event_type = event_type.map(|of| of.resolve(namespaces)).transpose();
        let (node, event_type) = match (node, event_type) {
            (Ok(node), Ok(event_type)) => (node, event_type),
            (Err(uri), _) | (_, Err(uri)) => {
                let why = format!("the server has no namespace {uri}");
                self.items.alarms.refused(handle, &why);
                return Ok(());
            }
        };
        let mut refusal = StatusCode::BadUnexpectedError;
        for form in FilterForm::ALL {
            let filter = filter(event_type.clone(), form);
            let item = request(handle, node.clone(), ExtensionObject::from_message(filter));
            let statuses = self.session.monitor(self.granted.id, vec![item]).await?;
            match statuses.first() {
                Some(status) if !status.is_bad() => {
                    self.items.alarms.heard(handle, form);
                    return Ok(());
                }
                // What it says of the filter that was wanted tells most.
                Some(status) if form == FilterForm::Whole => refusal = *status,
                Some(_) | None => {}
            }
        }
        self.items.alarms.refused(handle, &value::name(refusal));
        Ok(())
    }
}

fn request(
    client_handle: u32,
    node_id: NodeId,
    filter: ExtensionObject,
) -> MonitoredItemCreateRequest {
    MonitoredItemCreateRequest {
        item_to_monitor: ReadValueId {
            node_id,
            attribute_id: AttributeId::EventNotifier as u32,
            ..ReadValueId::default()
        },
        monitoring_mode: MonitoringMode::Reporting,
        requested_parameters: MonitoringParameters {
            client_handle,
            // Events are not sampled.
            sampling_interval: 0.0,
            queue_size: QUEUE_SIZE,
            discard_oldest: true,
            filter,
        },
    }
}
