//! OPC UA: one session and one subscription per connector, each value once, with its source time and status.
//!
//! A notification is acknowledged to the server only after everything in it is durable here (E1). The link is watched
//! from our side, so that a silent server is reported within 5 s, and set up again with back-off; what the server tells
//! again after that is dropped. What the connector cannot read it says, as samples of bad quality. It deliberately does
//! not browse, write, call methods or read history, and takes units from the rules alone.

mod connector;
mod endpoint;
mod error;
mod items;
mod keys;
mod node;
mod order;
mod pki;
mod pump;
mod session;
mod settings;
mod value;
mod wire;

use forebay_config::Table;
use forebay_connectors::{Connector, ConnectorKeys, ConnectorKind, Context};

/// `kind = "opcua"`.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpcuaKind;

impl ConnectorKind for OpcuaKind {
    fn name(&self) -> &'static str {
        "opcua"
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
        let settings = settings::Settings::read(connector, tags, &context.data_dir)?;
        Some(Box::new(connector::Opcua::new(settings, context.clone())))
    }
}
