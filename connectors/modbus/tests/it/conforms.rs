//! What every connector must do, against pymodbus.

use async_trait::async_trait;
use forebay_connectors::ConnectorKind;
use forebay_connectors_conformance::{BadPoint, Loss, Memory, Point, Subject, suite};
use forebay_modbus::ModbusKind;
use forebay_schemas::Value;

use crate::peer::{Peer, served, tag, unit};

const GOOD: u16 = 0;
/// Near enough to be read in one request with the good one, and not there.
const BAD: u16 = 2;

/// A server with one register.
struct Pymodbus {
    port: u16,
    /// None while it is gone.
    peer: Option<Peer>,
}

impl Pymodbus {
    async fn start() -> Self {
        let peer = register(0).await;
        Self {
            port: peer.port,
            peer: Some(peer),
        }
    }

    fn peer(&mut self) -> &mut Peer {
        self.peer.as_mut().expect("the server is gone")
    }
}

async fn register(port: u16) -> Peer {
    Peer::start(
        port,
        &[unit(1, "", &[served("holding", GOOD, "u16", "", "0")])],
    )
    .await
}

#[async_trait]
impl Subject for Pymodbus {
    fn kind(&self) -> &dyn ConnectorKind {
        &ModbusKind
    }

    fn configuration(&self, name: &str) -> String {
        let port = self.port;
        let connector = format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"modbus\"\nurl = \"tcp://localhost:{port}\"\ndevice = \"plc\"\n\
             every = \"50ms\"\n"
        );
        let point = |name: &str, address: u16| {
            tag(
                name,
                &format!("register = \"holding\"; address = {address}; type = \"u16\""),
            )
        };
        [connector, point("good", GOOD), point("bad", BAD)].concat()
    }

    fn memory(&self) -> Memory {
        Memory::Latest
    }

    fn declared(&self) -> Vec<Point> {
        vec![
            self.good(),
            Point {
                device: "plc",
                tag: "bad",
            },
        ]
    }

    fn good(&self) -> Point {
        Point {
            device: "plc",
            tag: "good",
        }
    }

    fn bad(&self) -> Option<BadPoint> {
        Some(BadPoint {
            point: Point {
                device: "plc",
                tag: "bad",
            },
            reason: "illegal data address (2)",
        })
    }

    async fn say(&mut self, number: u32) {
        self.peer().write(GOOD, number).await;
    }

    fn value(&self, number: u32) -> Value {
        Value::U64(u64::from(number))
    }

    fn reasons(&self, loss: Loss) -> Vec<String> {
        match loss {
            // The second where a request was under way.
            Loss::Gone => {
                vec![
                    format!("cannot connect to tcp://localhost:{}", self.port),
                    "the connection broke".to_owned(),
                ]
            }
            Loss::Silent => vec!["no answer from unit 1 within 1s".to_owned()],
        }
    }

    async fn take_away(&mut self, loss: Loss) {
        match loss {
            Loss::Gone => self.peer.take().expect("the server is gone").kill().await,
            // A stopped process accepts connections still, as its kernel does, and never answers.
            Loss::Silent => self.peer().signal("STOP").await,
        }
    }

    async fn bring_back(&mut self, loss: Loss) {
        match loss {
            Loss::Gone => self.peer = Some(register(self.port).await),
            Loss::Silent => self.peer().signal("CONT").await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connector_does_what_every_connector_must() {
    suite(Pymodbus::start().await).await;
}
