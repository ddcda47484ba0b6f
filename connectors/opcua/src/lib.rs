//! OPC UA: one session and one subscription per connector, each value once, with its source time and status.
//!
//! A notification is acknowledged to the server only after everything in it is durable here (E1). The link is watched
//! from our side, so that a silent server is reported within 5 s, and set up again with back-off; what the server sends
//! again after that is dropped. What the connector cannot read it says, as samples of bad quality. Gaps are filled from the
//! server's history where a tag asks for it. Alarms, conditions and other events are handed over as events.
//!
//! For people there are [`browse()`], which writes a server's variables as tags, and [`rejected`] and [`approve`] for
//! certificates of servers. It deliberately does not write and takes units from the rules alone.

mod alarms;
mod browse;
mod certificates;
mod connector;
mod dial;
mod endpoint;
mod error;
mod history;
mod items;
mod keys;
mod node;
mod order;
mod pki;
mod poll;
mod pump;
mod session;
mod settings;
mod tree;
mod types;
mod value;
mod wire;

use std::path::Path;

use forebay_config::{Table, TableKeys};
use forebay_connectors::{Connector, ConnectorKeys, ConnectorKind, Context};

pub use self::{
    browse::{BrowseError, BrowseOptions, Browsed, browse},
    certificates::{CertificateError, RejectedCertificate, approve, rejected},
};

/// The keys of a `[[connector]]`, for a caller that has only a server to look at.
pub const CONNECTOR: &TableKeys = &keys::KEYS.connector;

/// A configured server, to be looked at.
#[derive(Debug, Clone)]
pub struct Server(settings::Settings);

impl Server {
    /// Reads the keys of a `[[connector]]` of this kind; its tags are read too and may be missing.
    ///
    /// Notes what is wrong in the tables, and answers `None` then.
    pub fn read(
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        data_dir: &Path,
    ) -> Option<Self> {
        settings::Settings::read_link(connector, tags, data_dir).map(Self)
    }
}

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
