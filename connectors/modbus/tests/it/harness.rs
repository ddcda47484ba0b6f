//! What the tests share: a connector made from its configuration, the gateway's end of its outlet, and the pymodbus peer.

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use forebay_config::Document;
use forebay_connectors::{
    Connector, ConnectorError, ConnectorKind, Context, Delivery, LinkChange, Parcel, Sample, outlet,
};
use forebay_modbus::ModbusKind;
use forebay_schemas::{GatewayId, Quality, Timestamp, Value};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

/// Longer than anything takes on a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The time in which a lost link must be told of.
pub(crate) const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// A connector for a file with one `[[connector]]`.
pub(crate) fn connector(text: &str) -> Box<dyn Connector> {
    let context = Context {
        gateway: GatewayId::new("g1").unwrap(),
        data_dir: "data".into(),
        clock: Arc::new(|| Timestamp::from_nanos(0)),
        uniform: Arc::new(|| 0.0),
    };
    let read = Document::new(Path::new("forebay.toml"), text, &|_| None).read(|root| {
        let keys = ModbusKind.keys();
        let mut connectors = root.tables(&keys.connector);
        let connector = connectors.first_mut()?;
        let mut tags = connector.tables(&keys.tag);
        ModbusKind.configure(connector, &mut tags, &context)
    });
    read.unwrap_or_else(|errors| panic!("{errors}"))
}

/// The head of a file; a key a line follows, then tags.
pub(crate) fn head(port: u16, keys: &str) -> String {
    format!("[[connector]]\nurl = \"tcp://127.0.0.1:{port}\"\ndevice = \"plc\"\n{}\n", keys.replace("; ", "\n"))
}

/// A tag; keys divided by "; ".
pub(crate) fn tag(name: &str, keys: &str) -> String {
    format!("[[connector.tag]]\nname = \"{name}\"\n{}\n", keys.replace("; ", "\n"))
}

/// A running connector and the gateway's end of its outlet.
pub(crate) struct Rig {
    pub(crate) taken: mpsc::Receiver<Delivery>,
    pub(crate) stop: CancellationToken,
    tasks: JoinSet<Result<(), ConnectorError>>,
}

impl Rig {
    pub(crate) fn start(text: &str) -> Self {
        let connector = connector(text);
        let (outlet, taken) = outlet(1);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let token = stop.clone();
        tasks.spawn(async move { connector.run(outlet, token).await });
        Self { taken, stop, tasks }
    }

    /// The first thing that `pick` takes, within a time; everything is answered.
    pub(crate) async fn until<T>(&mut self, within: Duration, mut pick: impl FnMut(Parcel) -> Option<T>) -> T {
        let deadline = Instant::now() + within;
        let mut seen = Vec::new();
        loop {
            let Ok(delivery) = timeout_at(deadline, self.taken.recv()).await else {
                let last = &seen[seen.len().saturating_sub(5)..];
                panic!("not within {within:?}; the last of {} parcels: {last:#?}", seen.len());
            };
            let delivery = delivery.expect("the connector ended by itself");
            delivery.receipt.send(()).expect("the connector did not wait for its receipt");
            seen.push(delivery.parcel.clone());
            if let Some(found) = pick(delivery.parcel) {
                return found;
            }
        }
    }

    /// The next delivery of samples.
    pub(crate) async fn samples(&mut self) -> Vec<Sample> {
        self.until(PATIENCE, |parcel| match parcel {
            Parcel::Samples(samples) => Some(samples),
            Parcel::Link(_) | Parcel::Messages { .. } => None,
        })
        .await
    }

    /// The next change of a link.
    pub(crate) async fn link(&mut self, within: Duration) -> LinkChange {
        self.until(within, |parcel| match parcel {
            Parcel::Samples(_) | Parcel::Messages { .. } => None,
            Parcel::Link(change) => Some(change),
        })
        .await
    }

    /// Waits for a good sample of a tag.
    pub(crate) async fn good(&mut self, tag: &str) -> Value {
        self.until(PATIENCE, |parcel| match parcel {
            Parcel::Samples(samples) => samples
                .into_iter()
                .find(|sample| sample.tag.as_str() == tag && sample.status.quality == Quality::Good)
                .and_then(|sample| sample.value),
            Parcel::Link(_) | Parcel::Messages { .. } => None,
        })
        .await
    }

    /// Stops the connector, answers what is still under way, and expects an orderly end.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        let deadline = Instant::now() + PATIENCE;
        while let Some(delivery) = timeout_at(deadline, self.taken.recv()).await.expect("the connector does not stop") {
            delivery.receipt.send(()).expect("the connector did not wait for its receipt");
        }
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
    }
}

fn python() -> String {
    std::env::var("FOREBAY_TEST_PYTHON").expect(
        "set FOREBAY_TEST_PYTHON to a Python that has pymodbus 3.16 (pip install pymodbus==3.16.*); cargo xtask test does so",
    )
}

/// A pymodbus server; killed when dropped.
pub(crate) struct Peer {
    child: Child,
    pub(crate) port: u16,
}

impl Peer {
    /// Starts one on a port (0: any) with these units, each a JSON object.
    pub(crate) async fn start(port: u16, units: &[String]) -> Self {
        let python = python();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer.py");
        let mut child = Command::new(&python)
            .arg(script)
            .arg(format!("{{\"port\": {port}, \"units\": [{}]}}", units.join(", ")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {python}: {error}"));
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line =
            timeout_at(Instant::now() + PATIENCE, lines.next_line()).await.expect("the peer says nothing").unwrap();
        let port =
            line.and_then(|line| line.parse().ok()).expect("the peer ended; does the Python have pymodbus 3.16?");
        Self { child, port }
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends a signal by name, such as STOP.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("the peer has ended");
        let script = format!("import os, signal; os.kill({id}, signal.SIG{name})");
        assert!(Command::new(python()).args(["-c", &script]).status().await.unwrap().success());
    }
}

/// A unit of the peer: its values, each a JSON object, and further keys.
pub(crate) fn unit(id: u8, more: &str, values: &[String]) -> String {
    format!("{{\"id\": {id}, \"values\": [{}]{more}}}", values.join(", "))
}

/// A value of the peer; `value` is JSON.
pub(crate) fn served(register: &str, address: u16, kind: &str, order: &str, value: &str) -> String {
    format!(
        "{{\"register\": \"{register}\", \"address\": {address}, \"type\": \"{kind}\", \"order\": \"{order}\", \"value\": {value}}}"
    )
}
