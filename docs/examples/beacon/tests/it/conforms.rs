//! What every connector must do. No foreign program speaks a made-up protocol, so the device is a few lines of code.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use async_trait::async_trait;
use forebay_beacon::BeaconKind;
use forebay_connectors::ConnectorKind;
use forebay_connectors_conformance::{BadPoint, Loss, Memory, Point, Subject, suite};
use forebay_schemas::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpListener, task::JoinSet};

/// A device that answers each connection with its number.
struct Device {
    port: u16,
    number: Arc<AtomicU32>,
    is_silent: Arc<AtomicBool>,
    /// Empty while it is gone.
    listening: JoinSet<()>,
}

impl Device {
    async fn start() -> Self {
        let mut device = Self {
            port: 0,
            number: Arc::default(),
            is_silent: Arc::default(),
            listening: JoinSet::new(),
        };
        device.listen().await;
        device
    }

    async fn listen(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let number = self.number.clone();
        let is_silent = self.is_silent.clone();
        self.listening.spawn(answer(listener, number, is_silent));
    }
}

async fn answer(listener: TcpListener, number: Arc<AtomicU32>, is_silent: Arc<AtomicBool>) {
    let mut unanswered = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        if is_silent.load(Ordering::SeqCst) {
            unanswered.push(stream);
            continue;
        }
        let line = format!("{}\n", number.load(Ordering::SeqCst));
        // The connector may have gone meanwhile.
        stream.write_all(line.as_bytes()).await.ok();
    }
}

#[async_trait]
impl Subject for Device {
    fn kind(&self) -> &dyn ConnectorKind {
        &BeaconKind
    }

    fn configuration(&self, name: &str) -> String {
        format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"beacon\"\naddress = \"127.0.0.1:{}\"\n\
             device = \"tower\"\nevery = \"50ms\"\n[[connector.tag]]\nname = \"light\"\n",
            self.port
        )
    }

    fn memory(&self) -> Memory {
        Memory::Latest
    }

    fn declared(&self) -> Vec<Point> {
        vec![self.good()]
    }

    fn good(&self) -> Point {
        Point {
            device: "tower",
            tag: "light",
        }
    }

    fn bad(&self) -> Option<BadPoint> {
        None
    }

    async fn say(&mut self, number: u32) {
        self.number.store(number, Ordering::SeqCst);
    }

    fn value(&self, number: u32) -> Value {
        Value::F64(f64::from(number))
    }

    fn reasons(&self, loss: Loss) -> Vec<String> {
        let reasons: &[&str] = match loss {
            // The others where a connection was open.
            Loss::Gone => &["cannot connect", "the connection broke", "is not a line"],
            Loss::Silent => &["no answer in time"],
        };
        reasons.iter().map(|reason| (*reason).to_owned()).collect()
    }

    async fn take_away(&mut self, loss: Loss) {
        match loss {
            Loss::Gone => self.listening.shutdown().await,
            Loss::Silent => self.is_silent.store(true, Ordering::SeqCst),
        }
    }

    async fn bring_back(&mut self, loss: Loss) {
        match loss {
            Loss::Gone => self.listen().await,
            Loss::Silent => self.is_silent.store(false, Ordering::SeqCst),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connector_does_what_every_connector_must() {
    suite(Device::start().await).await;
}
