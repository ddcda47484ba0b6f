//! A connector at work, and the gateway's end of its outlet.

mod gateway;
mod wait;

use std::{path::Path, sync::Arc, time::Duration};

use forebay_connectors::{
    Connector, ConnectorError, ConnectorKind, DeviceEvent, LinkChange, Parcel, Sample, outlet,
};
use forebay_schemas::Value;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use self::gateway::Gateway;
pub use self::gateway::{Kept, Receipts};
use crate::{configure, configure_in};

/// The longest that a rig waits for anything: longer than it takes on a machine under load.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Parcels that may wait in the outlet; the gateway's end takes them at once.
const WAITING_MAX: usize = 1;

/// A running connector and the gateway's end of its outlet. Both end when it is dropped.
pub struct Rig {
    gateway: Arc<Gateway>,
    /// The gateway takes nothing more.
    closed: CancellationToken,
    stop: CancellationToken,
    connector: JoinSet<Result<(), ConnectorError>>,
    taking: JoinSet<()>,
}

impl Rig {
    /// Runs the connector of a `forebay.toml` with one `[[connector]]`.
    ///
    /// # Panics
    /// The text is wrong.
    pub fn start(kind: &dyn ConnectorKind, text: &str, receipts: Receipts) -> Self {
        let connector = configure(kind, text).unwrap_or_else(|errors| panic!("{errors}"));
        Self::run(connector, receipts)
    }

    /// As [`Rig::start`], for a connector that writes into its gateway's data folder.
    ///
    /// # Panics
    /// The text is wrong.
    pub fn start_in(
        data_dir: &Path,
        kind: &dyn ConnectorKind,
        text: &str,
        receipts: Receipts,
    ) -> Self {
        let connector = configure_in(data_dir, kind, text);
        Self::run(
            connector.unwrap_or_else(|errors| panic!("{errors}")),
            receipts,
        )
    }

    fn run(connector: Box<dyn Connector>, receipts: Receipts) -> Self {
        let (outlet, deliveries) = outlet(WAITING_MAX);
        let gateway = Arc::new(Gateway::new(receipts, connector.session().is_some()));
        let closed = CancellationToken::new();
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        let stopping = stop.clone();
        running.spawn(async move { connector.run(outlet, stopping).await });
        let mut taking = JoinSet::new();
        taking.spawn(gateway::take(gateway.clone(), deliveries, closed.clone()));
        Self {
            gateway,
            closed,
            stop,
            connector: running,
            taking,
        }
    }

    /// Answers from now on like this. What was held is kept and answered as soon as receipts are given.
    pub fn receipts(&self, receipts: Receipts) {
        self.gateway.receipts(receipts);
    }

    /// Takes nothing more, as a gateway that ends: what is held goes back without a receipt.
    pub fn close(&self) {
        self.gateway.refuse();
        self.closed.cancel();
    }

    /// How many parcels were kept so far: a place in what [`Rig::until`] looks at.
    pub fn count(&self) -> usize {
        self.gateway.state().kept.len()
    }

    /// What waits for its receipt, in order.
    pub fn held(&self) -> Vec<Parcel> {
        self.gateway
            .state()
            .held
            .iter()
            .map(|delivery| delivery.parcel.clone())
            .collect()
    }

    /// All samples that were kept, in order.
    pub fn samples(&self) -> Vec<Sample> {
        samples_of(&self.gateway.state().kept)
    }

    /// The values among them that are signed integers.
    pub fn integers(&self) -> Vec<i64> {
        let integer = |sample: Sample| {
            if let Some(Value::I64(integer)) = sample.value {
                Some(integer)
            } else {
                None
            }
        };
        self.samples().into_iter().filter_map(integer).collect()
    }

    /// All events that were kept, in order.
    pub fn events(&self) -> Vec<DeviceEvent> {
        events_of(&self.gateway.state().kept)
    }

    /// All changes of links, in order.
    pub fn links(&self) -> Vec<LinkChange> {
        gateway::links_of(&self.gateway.state().kept)
            .cloned()
            .collect()
    }

    /// Receipts of the connector's session that have ended.
    pub fn ended_receipts(&self) -> usize {
        let ended = |kept: &Kept| {
            if let Parcel::Messages { ended, .. } = &kept.parcel {
                ended.len()
            } else {
                0
            }
        };
        self.gateway.state().kept.iter().map(ended).sum()
    }

    /// Samples in the largest parcel.
    pub fn largest_delivery(&self) -> usize {
        self.gateway
            .state()
            .kept
            .iter()
            .map(|kept| samples_of(std::slice::from_ref(kept)).len())
            .max()
            .unwrap_or(0)
    }

    /// Asks the connector to stop, and does not wait for its end.
    pub fn ask_to_stop(&self) {
        self.stop.cancel();
    }

    /// Stops the connector as the gateway does, waits for its end, and answers all samples that were kept. Receipts are given from
    /// now on, unless they are withheld.
    ///
    /// # Panics
    /// The connector does not end, ends with an error, or has given up a delivery before it had the receipt.
    pub async fn stop(self) -> Vec<Sample> {
        if self.gateway.state().receipts == Receipts::WhenRead {
            self.receipts(Receipts::Given);
        }
        self.ask_to_stop();
        self.ended(PATIENCE).await
    }

    /// Waits until the connector has ended for a reason of its own, and answers all samples that were kept.
    ///
    /// # Panics
    /// As [`Rig::stop`].
    pub async fn ended(mut self, within: Duration) -> Vec<Sample> {
        let Ok(ended) = timeout(within, self.connector.join_next()).await else {
            panic!("the connector did not end within {within:?}");
        };
        ended
            .unwrap()
            .unwrap()
            .unwrap_or_else(|error| panic!("the connector ended with an error: {error}"));
        let outlet_is_gone = timeout(within, self.taking.join_next()).await;
        assert!(
            outlet_is_gone.is_ok(),
            "the connector has ended, and something of it still holds its outlet"
        );
        let state = self.gateway.state();
        assert_eq!(
            state.abandoned, 0,
            "the connector gave up deliveries before it had their receipts"
        );
        samples_of(&state.kept)
    }

    /// Ends the connector as a crash does: nothing more is said to its device, no receipt is given. Answers all samples that were
    /// kept.
    pub async fn kill(mut self) -> Vec<Sample> {
        self.connector.shutdown().await;
        self.taking.shutdown().await;
        self.samples()
    }
}

/// The samples in parcels, in order.
pub fn samples_of(kept: &[Kept]) -> Vec<Sample> {
    let mut samples = Vec::new();
    for Kept { parcel, .. } in kept {
        match parcel {
            Parcel::Samples(some) => samples.extend_from_slice(some),
            Parcel::Messages { messages, .. } => {
                samples.extend(
                    messages
                        .iter()
                        .flat_map(|message| message.samples.iter().cloned()),
                );
            }
            Parcel::Events(_) | Parcel::Link(_) => {}
        }
    }
    samples
}

/// The events in parcels, in order.
pub fn events_of(kept: &[Kept]) -> Vec<DeviceEvent> {
    let mut events = Vec::new();
    for Kept { parcel, .. } in kept {
        if let Parcel::Events(some) = parcel {
            events.extend_from_slice(some);
        }
    }
    events
}
