//! A peer server and a gateway's end, for the tests of the connector.

use std::{
    path::Path,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use forebay_config::{Document, Table};
use forebay_connectors::{ConnectorKind, Context, Delivery, LinkChange, Outlet, Parcel, Sample, outlet};
use forebay_opcua::OpcuaKind;
use forebay_schemas::{GatewayId, Timestamp};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

/// Enough for a Python server to start on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A server in a process of its own, ended with this value.
pub(crate) struct Peer {
    pub(crate) port: u16,
    options: Json,
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    pub(crate) async fn start(options: Json) -> Self {
        let python = std::env::var("FOREBAY_TEST_PYTHON").expect(
            "FOREBAY_TEST_PYTHON is not set: name a Python that has asyncua 2.1 (pip install asyncua), or run `cargo xtask test`",
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer.py");
        let mut child = Command::new(&python)
            .arg(script)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {python}: {error}"));
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = timeout(PATIENCE, lines.next_line()).await.expect("the peer does not start").unwrap();
        let port = port.expect("the peer ended: is asyncua 2.1 installed?").parse().unwrap();
        Self { port, options, child, stdin, lines }
    }

    pub(crate) fn url(&self) -> String {
        format!("opc.tcp://127.0.0.1:{}/forebay/", self.port)
    }

    pub(crate) async fn tell(&mut self, command: Json) -> Json {
        self.stdin.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("the peer does not answer").unwrap();
        serde_json::from_str(&line.expect("the peer ended")).unwrap()
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// A new server on the port of the one that was killed.
    pub(crate) async fn again(&mut self, nodes: Json) {
        self.options["port"] = json!(self.port);
        self.options["nodes"] = nodes;
        *self = Self::start(self.options.clone()).await;
    }

    /// Stops or continues the process, as a frozen server would.
    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("the peer runs").to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    }
}

/// What the gateway has got.
#[derive(Default)]
struct Got {
    parcels: Mutex<Vec<(Instant, Parcel)>>,
    news: Notify,
}

/// A connector at work, and the gateway's end of its outlet.
pub(crate) struct Rig {
    got: Arc<Got>,
    open: watch::Sender<bool>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    running: JoinSet<Result<(), forebay_connectors::ConnectorError>>,
}

/// The configuration of a connector, read as the gateway does.
pub(crate) fn configure(keys: &str, tags: &[(&str, &str)]) -> Box<dyn forebay_connectors::Connector> {
    let name = if keys.contains("\nname = ") { "" } else { "name = \"press\"" };
    let mut text = format!("[[connector]]\n{name}\ndevice = \"press-3\"\n{keys}\n");
    for (name, node) in tags {
        text += &format!("[[connector.tag]]\nname = \"{name}\"\nnode = \"{node}\"\n");
    }
    let context = Context {
        gateway: GatewayId::new("g1").unwrap(),
        data_dir: "data".into(),
        clock: Arc::new(|| Timestamp::from_nanos(1_795_000_000_000_000_000)),
        uniform: Arc::new(|| 0.0),
    };
    let document = Document::new(Path::new("forebay.toml"), &text, &|_| None);
    let read = document.read(|root| {
        let keys = OpcuaKind.keys();
        let mut table = root.tables(&keys.connector).remove(0);
        let mut tags = table.tables(&keys.tag);
        let connector = OpcuaKind.configure(&mut table, &mut tags, &context);
        tags.into_iter().for_each(Table::finish);
        table.finish();
        connector
    });
    read.unwrap_or_else(|errors| panic!("{errors}"))
}

impl Rig {
    pub(crate) fn start(keys: &str, tags: &[(&str, &str)]) -> Self {
        let connector = configure(keys, tags);
        let (end, mut deliveries): (Outlet, _) = outlet(1);
        let (open, mut gate) = watch::channel(true);
        let stop = CancellationToken::new();
        let got = Arc::new(Got::default());
        let (mut running, mut tasks) = (JoinSet::new(), JoinSet::new());
        let token = stop.clone();
        running.spawn(async move { connector.run(end, token).await });
        let kept = got.clone();
        tasks.spawn(async move {
            while let Some(Delivery { parcel, receipt }) = deliveries.recv().await {
                if gate.wait_for(|open| *open).await.is_err() {
                    return;
                }
                kept.parcels.lock().unwrap().push((Instant::now(), parcel));
                kept.news.notify_waiters();
                receipt.send(()).ok();
            }
        });
        Self { got, open, stop, tasks, running }
    }

    /// Whether the gateway takes deliveries.
    pub(crate) fn gate(&self, open: bool) {
        self.open.send(open).unwrap();
    }

    /// Waits until what has come from the `from`th parcel on is enough.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        from: usize,
        enough: impl Fn(&[(Instant, Parcel)]) -> Option<T>,
    ) -> T {
        let waiting = async {
            loop {
                let news = self.got.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if let Some(found) = enough(&self.got.parcels.lock().unwrap()[from..]) {
                    return found;
                }
                news.await;
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("{what}: did not come; got {:#?}", self.got.parcels.lock().unwrap()),
        }
    }

    /// Links that went or came so far.
    pub(crate) fn link_changes(&self) -> usize {
        self.got.parcels.lock().unwrap().iter().filter(|(_, parcel)| matches!(parcel, Parcel::Link(_))).count()
    }

    /// Parcels so far.
    pub(crate) fn count(&self) -> usize {
        self.got.parcels.lock().unwrap().len()
    }

    /// Waits for `n` samples from the `from`th parcel on, and answers all that are there.
    pub(crate) async fn samples(&self, n: usize, from: usize) -> Vec<Sample> {
        self.until(&format!("{n} samples"), from, |parcels| {
            let samples = samples_of(parcels);
            (samples.len() >= n).then_some(samples)
        })
        .await
    }

    /// Waits for a link that went, and answers when and why.
    pub(crate) async fn down(&self, from: usize) -> (Instant, String) {
        self.until("link down", from, |parcels| {
            parcels.iter().find_map(|(at, parcel)| match parcel {
                Parcel::Link(LinkChange { down: Some(why), .. }) => Some((*at, why.clone())),
                _ => None,
            })
        })
        .await
    }

    /// Waits for a link that came.
    pub(crate) async fn up(&self, from: usize) {
        self.until("link up", from, |parcels| {
            parcels.iter().find(|(_, parcel)| matches!(parcel, Parcel::Link(LinkChange { down: None, .. }))).map(drop)
        })
        .await;
    }

    /// Stops the connector and waits for its end.
    pub(crate) async fn stop(mut self) -> Vec<Sample> {
        self.stop.cancel();
        let ended = timeout(PATIENCE, self.running.join_next()).await.expect("the connector does not stop");
        ended.unwrap().unwrap().unwrap();
        while timeout(PATIENCE, self.tasks.join_next()).await.expect("the outlet is not closed").is_some() {}
        let parcels = self.got.parcels.lock().unwrap();
        samples_of(&parcels)
    }
}

pub(crate) fn samples_of(parcels: &[(Instant, Parcel)]) -> Vec<Sample> {
    let samples = parcels.iter().flat_map(|(_, parcel)| match parcel {
        Parcel::Samples(samples) => samples.as_slice(),
        Parcel::Link(_) | Parcel::Messages { .. } => &[],
    });
    samples.cloned().collect()
}
