//! The kind "modbus" and one connector of it.

use std::sync::Arc;

use async_trait::async_trait;
use forebay_config::Table;
use forebay_connectors::{
    Connector, ConnectorError, ConnectorKeys, ConnectorKind, Context, Declared, Outlet, RuleId,
    Uniform,
};
use tokio_util::sync::CancellationToken;

use crate::{bus::Bus, config::Settings, keys, poller::Poller};

/// Modbus over TCP, RTU and TLS.
///
/// After connecting, every `heartbeat` where its polls are rarer, and after a lost reply, one of a unit's tags (the first, if
/// it answers) is read as a sign of life and the value dropped: a register that is cleared by reading should not stand first.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModbusKind;

impl ConnectorKind for ModbusKind {
    fn name(&self) -> &'static str {
        "modbus"
    }

    fn keys(&self) -> &'static ConnectorKeys {
        &keys::KEYS
    }

    fn configure(
        &self,
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        context: &Context,
    ) -> Option<Box<dyn Connector>> {
        let settings = Settings::read(connector, tags)?;
        Some(Box::new(Modbus {
            bus: Bus::to(&settings.endpoint),
            settings,
            uniform: context.uniform.clone(),
        }))
    }
}

/// One server, or one unit of a bus, that is polled.
struct Modbus {
    bus: Arc<Bus>,
    settings: Settings,
    uniform: Uniform,
}

#[async_trait]
impl Connector for Modbus {
    fn declared(&self) -> Vec<Declared> {
        let declare = |(place, tag): (usize, &crate::config::Tag)| Declared {
            rule: RuleId(place),
            device: tag.device.clone(),
            tag: tag.name.clone(),
        };
        self.settings.tags.iter().enumerate().map(declare).collect()
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let bus = self.bus.join();
        Poller::new(&self.settings, &self.uniform, bus, outlet, stop)
            .run()
            .await
    }
}
