//! The trait of a connector, and how one is made from its configuration.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use forebay_config::Table;
use forebay_schemas::{Clock, DeviceId, ErrorKind, GatewayId, TagName};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::{ConnectorKeys, Outlet, RuleId, SessionId};

/// Numbers drawn evenly from 0 to 1, for back-off.
pub type Uniform = Arc<dyn Fn() -> f64 + Send + Sync>;

/// What the gateway lends its connectors.
#[derive(Clone)]
pub struct Context {
    /// Whose connectors they are: two gateways must not pass for one another.
    pub gateway: GatewayId,
    /// The data folder: what a connector writes on its own belongs into it. It may not be there yet.
    pub data_dir: PathBuf,
    /// The clock.
    pub clock: Clock,
    /// Chance.
    pub uniform: Uniform,
}

/// A series that a connector will have, known before any device has answered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Declared {
    /// Its rule.
    pub rule: RuleId,
    /// Its device.
    pub device: DeviceId,
    /// Its point.
    pub tag: TagName,
}

/// Why a connector cannot go on. Everything that may pass is tried again by the connector itself.
#[derive(Debug, Error)]
#[error("{what}")]
pub struct ConnectorError {
    /// What a person has to mend.
    pub what: String,
    /// Why.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl ConnectorError {
    /// A connector stops only for what a person has to mend.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Fatal
    }
}

/// One configured source of readings.
#[async_trait]
pub trait Connector: Send + Sync {
    /// The series known from configuration alone; those of subscribed wildcards are not among them.
    fn declared(&self) -> Vec<Declared>;

    /// What a rule brings, in words that are the same over restarts as long as it brings the same series: under them the
    /// gateway keeps which series it brought. None where [`Connector::declared`] says enough.
    fn brings(&self, rule: RuleId) -> Option<String> {
        let _ = rule;
        None
    }

    /// The session that sends again what was not acknowledged; none where nothing is sent again. The gateway keeps the
    /// receipts of its messages over a restart: see [`Outlet::deliver_messages`] and [`Outlet::restored`].
    fn session(&self) -> Option<SessionId> {
        None
    }

    /// Runs until `stop` is cancelled or the outlet is closed: connects, reads, hands over, and reconnects with back-off. That the
    /// outlet is closed it sees at the latest with the next thing that it hands over.
    ///
    /// Within 5 s of a server's or device's end it reports the lost link. After `stop` it takes no more from its device,
    /// awaits the receipts under way, acknowledges them, and says good-bye as its protocol has it.
    ///
    /// Whatever passes or can be mended from outside (a server, a certificate, a folder) it reports as a lost link with the
    /// reason, and tries again.
    ///
    /// The gateway runs it again after an error, and after a panic, which it catches: what is behind `&self` must bear that.
    ///
    /// # Errors
    /// Only a broken invariant.
    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError>;
}

/// A kind of connector: one per protocol, in the registry of the binary.
pub trait ConnectorKind: Send + Sync {
    /// The value of `kind` in the configuration.
    fn name(&self) -> &'static str;

    /// The keys that [`ConnectorKind::configure`] reads. The meaning of the connector's table says what the kind is for.
    fn keys(&self) -> &'static ConnectorKeys;

    /// Reads the keys of a `[[connector]]` and of its `[[connector.tag]]`s that are this protocol's own; the gateway has
    /// read, or will read, those common to all (`name`, `kind`, `unit`, `scale`, …), and reports unknown keys itself.
    ///
    /// Notes what is wrong in the tables, and answers `None` then.
    fn configure(
        &self,
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        context: &Context,
    ) -> Option<Box<dyn Connector>>;
}
