//! What every connector must do, against mosquitto and paho-mqtt, with both versions.

use async_trait::async_trait;
use forebay_connectors::ConnectorKind;
use forebay_connectors_conformance::{BadPoint, Loss, Memory, Point, Subject, suite};
use forebay_mqtt::MqttKind;
use forebay_schemas::Value;

use crate::support::{Broker, Peer, configuration};

/// A broker and a publisher.
struct Mosquitto {
    broker: Broker,
    /// None while the broker is gone.
    publisher: Option<Peer>,
    version: u8,
}

impl Mosquitto {
    fn start(version: u8) -> Self {
        let broker = Broker::start("allow_anonymous true");
        let publisher = Some(Peer::connect(broker.port, version, ""));
        Self {
            broker,
            publisher,
            version,
        }
    }

    fn publisher(&mut self) -> &mut Peer {
        self.publisher.as_mut().expect("the broker is gone")
    }
}

#[async_trait]
impl Subject for Mosquitto {
    fn kind(&self) -> &dyn ConnectorKind {
        &MqttKind
    }

    fn configuration(&self, name: &str) -> String {
        configuration(
            name,
            self.broker.port,
            &format!("version = {}", self.version),
        )
    }

    fn memory(&self) -> Memory {
        Memory::Session
    }

    /// What a wildcard brings is known only once it has come.
    fn declared(&self) -> Vec<Point> {
        Vec::new()
    }

    fn good(&self) -> Point {
        Point {
            device: "d",
            tag: "good",
        }
    }

    fn bad(&self) -> Option<BadPoint> {
        Some(BadPoint {
            point: Point {
                device: "d",
                tag: "bad",
            },
            reason: "not JSON",
        })
    }

    async fn say(&mut self, number: u32) {
        self.publisher().count("site/d/cell/good", number, number);
    }

    async fn say_bad(&mut self) {
        self.publisher()
            .publish("site/d/cell/bad", &["{\"v\": NaN}"]);
    }

    fn value(&self, number: u32) -> Value {
        Value::I64(i64::from(number))
    }

    fn reasons(&self, loss: Loss) -> Vec<String> {
        let reasons: &[&str] = match loss {
            Loss::Gone => &["shutting down", "closed the connection"],
            Loss::Silent => &["answers no ping"],
        };
        reasons.iter().map(|reason| (*reason).to_owned()).collect()
    }

    async fn take_away(&mut self, loss: Loss) {
        match loss {
            Loss::Gone => self.broker.stop(),
            Loss::Silent => self.broker.freeze(),
        }
    }

    async fn bring_back(&mut self, loss: Loss) {
        match loss {
            Loss::Gone => {
                // The old one would take the name of the new one's session.
                self.publisher = None;
                assert!(self.broker.run(), "mosquitto starts again");
                self.publisher = Some(Peer::connect(self.broker.port, self.version, ""));
            }
            Loss::Silent => self.broker.thaw(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connector_does_what_every_connector_must_with_mqtt_3_1_1() {
    suite(Mosquitto::start(4)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connector_does_what_every_connector_must_with_mqtt_5() {
    suite(Mosquitto::start(5)).await;
}
