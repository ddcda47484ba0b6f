use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use forebay_config::Document;
use forebay_connectors::{Connector, ConnectorKind, Context, Delivery, Parcel, Sample, outlet};
use forebay_mqtt::MqttKind;
use forebay_schemas::{GatewayId, Timestamp, Value};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{PATIENCE, until};

/// Whether the fake gateway answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Receipts {
    Given,
    Withheld,
}

#[derive(Default)]
struct Seen {
    samples: Vec<Sample>,
    links: Vec<Option<String>>,
    largest: usize,
    /// Receipts that the gateway need not keep any more.
    ended: usize,
}

/// A connector at work, and the gateway behind it.
pub(crate) struct Gateway {
    seen: Arc<Mutex<Seen>>,
    receipts: watch::Sender<Receipts>,
    pub(crate) stop: CancellationToken,
    connector: JoinHandle<()>,
    taker: JoinHandle<()>,
}

/// The connector of a configuration.
pub(crate) fn connector(text: &str) -> Box<dyn Connector> {
    let context = Context {
        gateway: GatewayId::new("g1").unwrap(),
        data_dir: "data".into(),
        clock: Arc::new(|| Timestamp::from_nanos(0)),
        uniform: Arc::new(|| 0.0),
    };
    let document = Document::new(Path::new("forebay.toml"), text, &|_| None);
    let read = document.read(|root| {
        let keys = MqttKind.keys();
        let mut connectors = root.tables(&keys.connector);
        let mut tags = connectors[0].tables(&keys.tag);
        MqttKind.configure(&mut connectors[0], &mut tags, &context)
    });
    read.unwrap_or_else(|errors| panic!("{errors}"))
}

impl Gateway {
    /// Starts a connector; the keys `url` and `name` and the rule are there already.
    pub(crate) fn start(port: u16, keys: &str) -> Self {
        Self::start_with(port, keys, Receipts::Given)
    }

    pub(crate) fn start_with(port: u16, keys: &str, receipts: Receipts) -> Self {
        let url = if keys.contains("url =") { String::new() } else { format!("url = \"mqtt://127.0.0.1:{port}\"\n") };
        let rule = "[[connector.tag]]\ntopic = \"site/{device}/cell/{tag}\"\nvalue = \"$.v\"\n";
        Self::start_toml(&format!("[[connector]]\nname = \"cells\"\n{url}{keys}\n{rule}"), receipts)
    }

    pub(crate) fn start_toml(text: &str, receipts: Receipts) -> Self {
        let connector = connector(text);
        let (outlet, mut deliveries) = outlet(16);
        let (receipts, mut answering) = watch::channel(receipts);
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), CancellationToken::new());
        let stopping = stop.clone();
        let connector = tokio::spawn(async move { connector.run(outlet, stopping).await.unwrap() });
        let taken = seen.clone();
        let taker = tokio::spawn(async move {
            while let Some(Delivery { parcel, receipt }) = deliveries.recv().await {
                match parcel {
                    Parcel::Messages { ended, messages } => {
                        if answering.wait_for(|receipts| *receipts == Receipts::Given).await.is_err() {
                            return;
                        }
                        let samples: Vec<_> = messages.into_iter().flat_map(|message| message.samples).collect();
                        let mut seen = taken.lock().unwrap();
                        seen.largest = seen.largest.max(samples.len());
                        seen.samples.extend(samples);
                        seen.ended += ended.len();
                    }
                    Parcel::Samples(_) => panic!("what comes from a broker comes as messages"),
                    Parcel::Link(change) => taken.lock().unwrap().links.push(change.down),
                }
                receipt.send(()).unwrap_or(());
            }
        });
        Self { seen, receipts, stop, connector, taker }
    }

    pub(crate) fn receipts(&self, receipts: Receipts) {
        self.receipts.send_replace(receipts);
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.seen.lock().unwrap().samples.clone()
    }

    /// The values that are integers, in order.
    pub(crate) fn numbers(&self) -> Vec<i64> {
        let number = |sample: &Sample| if let Some(Value::I64(n)) = sample.value { Some(n) } else { None };
        self.seen.lock().unwrap().samples.iter().filter_map(number).collect()
    }

    /// Receipts that have ended.
    pub(crate) fn ended(&self) -> usize {
        self.seen.lock().unwrap().ended
    }

    /// Samples in the largest delivery.
    pub(crate) fn largest_delivery(&self) -> usize {
        self.seen.lock().unwrap().largest
    }

    pub(crate) fn links(&self) -> Vec<Option<String>> {
        self.seen.lock().unwrap().links.clone()
    }

    pub(crate) async fn up(&self) {
        until("the link to come up", || (self.links().last() == Some(&None)).then_some(())).await;
    }

    /// The reason of the lost link.
    pub(crate) async fn down(&self) -> String {
        until("the link to go down", || self.links().last().cloned().flatten()).await
    }

    pub(crate) async fn has(&self, count: usize) -> Vec<Sample> {
        until(&format!("{count} samples"), || (self.samples().len() >= count).then(|| self.samples())).await
    }

    /// Stops the connector as the gateway does and waits for its end.
    pub(crate) async fn stop(self) -> Vec<Sample> {
        self.stop.cancel();
        timeout(PATIENCE, self.connector).await.expect("the connector ends").unwrap();
        timeout(Duration::from_secs(5), self.taker).await.expect("its outlet is dropped").unwrap();
        self.seen.lock().unwrap().samples.clone()
    }

    /// Stops the connector while the gateway gives no receipts; answers how many samples the gateway has.
    pub(crate) async fn stop_without_receipts(self) -> usize {
        self.stop.cancel();
        timeout(PATIENCE, self.connector).await.expect("the connector ends").unwrap();
        self.taker.abort();
        self.seen.lock().unwrap().samples.len()
    }

    /// Ends it as a crash does: nothing is said to the broker, no receipt is given.
    pub(crate) async fn kill(self) -> Vec<Sample> {
        self.taker.abort();
        self.connector.abort();
        drop(self.connector.await);
        self.seen.lock().unwrap().samples.clone()
    }
}
