//! What every connector must do, with Python's http.client as the device.

use async_trait::async_trait;
use forebay_connectors::ConnectorKind;
use forebay_connectors_conformance::{BadPoint, Link, Loss, Memory, Point, Subject, suite};
use forebay_http::HttpKind;
use forebay_schemas::Value;

use crate::peer::{Peer, file, free_port};

/// A device that posts what it has to say, one after the other.
struct Python {
    port: u16,
    peer: Peer,
}

#[async_trait]
impl Subject for Python {
    fn kind(&self) -> &dyn ConnectorKind {
        &HttpKind
    }

    fn configuration(&self, name: &str) -> String {
        let tag = |tag: &str| format!("path = \"/{tag}\"\nname = \"{tag}\"\nvalue = \"$.v\"");
        let (good, bad) = (tag("good"), tag("bad"));
        file(name, self.port, "device = \"d\"", &[&good, &bad])
    }

    fn memory(&self) -> Memory {
        Memory::Queue
    }

    fn link(&self) -> Link {
        Link::Listens
    }

    fn declared(&self) -> Vec<Point> {
        ["good", "bad"]
            .map(|tag| Point { device: "d", tag })
            .to_vec()
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
            reason: "null value",
        })
    }

    async fn say(&mut self, number: u32) {
        self.peer
            .post("/good", &format!("{{\"v\": {number}}}"))
            .await;
    }

    async fn say_bad(&mut self) {
        self.peer.post("/bad", "{\"v\": null}").await;
    }

    fn value(&self, number: u32) -> Value {
        Value::I64(i64::from(number))
    }

    fn reasons(&self, _: Loss) -> Vec<String> {
        Vec::new()
    }

    async fn take_away(&mut self, _: Loss) {}

    async fn bring_back(&mut self, _: Loss) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn the_connector_does_what_every_connector_must() {
    let port = free_port();
    suite(Python {
        port,
        peer: Peer::start(port),
    })
    .await;
}
