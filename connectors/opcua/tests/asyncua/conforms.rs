//! What every connector must do, against asyncua.

use async_trait::async_trait;
use forebay_connectors::ConnectorKind;
use forebay_connectors_conformance::{BadPoint, Loss, Memory, Point, Subject, suite};
use forebay_opcua::OpcuaKind;
use forebay_schemas::Value;
use serde_json::{Value as Json, json};

use crate::peer::{Peer, configuration};

const BASE_US: i64 = 1_780_000_000_000_000;

/// A server with one variable.
struct Asyncua {
    peer: Peer,
    said: u32,
}

impl Asyncua {
    async fn start() -> Self {
        let options =
            json!({"port": 0, "folder": ".", "security": ["NoSecurity"], "nodes": variable(0)});
        Self {
            peer: Peer::start(options).await,
            said: 0,
        }
    }
}

/// The variable with a number, and the source time that goes with it.
fn variable(number: u32) -> Json {
    json!([{"id": "Good", "type": "Int64", "value": number, "us": BASE_US + i64::from(number)}])
}

#[async_trait]
impl Subject for Asyncua {
    fn kind(&self) -> &dyn ConnectorKind {
        &OpcuaKind
    }

    fn configuration(&self, name: &str) -> String {
        let url = self.peer.url();
        let keys = format!(
            "url = \"{url}\"\npublishing_interval = \"100ms\"\nsampling = \"10ms\"\nname = \"{name}\""
        );
        configuration(&keys, &[("good", "ns=2;s=Good"), ("bad", "ns=2;s=Nowhere")])
    }

    fn memory(&self) -> Memory {
        Memory::Queue
    }

    fn declared(&self) -> Vec<Point> {
        vec![
            self.good(),
            Point {
                device: "press-3",
                tag: "bad",
            },
        ]
    }

    fn good(&self) -> Point {
        Point {
            device: "press-3",
            tag: "good",
        }
    }

    fn bad(&self) -> Option<BadPoint> {
        let point = Point {
            device: "press-3",
            tag: "bad",
        };
        Some(BadPoint {
            point,
            reason: "cannot read node ns=2;s=Nowhere: BadNodeIdUnknown",
        })
    }

    async fn say(&mut self, number: u32) {
        self.said = number;
        let source_us = BASE_US + i64::from(number);
        self.peer
            .tell(json!({"write": [["Good", "Int64", number, 0, source_us]]}))
            .await;
    }

    fn value(&self, number: u32) -> Value {
        Value::I64(i64::from(number))
    }

    fn reasons(&self, loss: Loss) -> Vec<String> {
        match loss {
            Loss::Gone => vec!["the connection ended".to_owned()],
            // Whichever question was open when it fell silent.
            Loss::Silent => vec!["no answer within".to_owned()],
        }
    }

    async fn take_away(&mut self, loss: Loss) {
        match loss {
            Loss::Gone => self.peer.kill().await,
            Loss::Silent => self.peer.signal("-STOP"),
        }
    }

    async fn bring_back(&mut self, loss: Loss) {
        match loss {
            Loss::Gone => self.peer.again(variable(self.said)).await,
            Loss::Silent => self.peer.signal("-CONT"),
        }
    }
}

#[tokio::test]
async fn the_connector_does_what_every_connector_must() {
    suite(Asyncua::start().await).await;
}
