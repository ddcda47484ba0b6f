//! What log lines say of connectors that share a connection.

use std::{
    collections::BTreeSet,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use forebay_connectors_conformance::PATIENCE;
use tokio::net::TcpListener;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
    subscriber::set_default,
};

use crate::peer::{head, start, tag};

/// Keeps the connectors that lines are of; none where a line names none.
#[derive(Clone, Default)]
struct Named(Arc<Mutex<BTreeSet<Option<String>>>>);

#[derive(Default)]
struct Connector(Option<String>);

impl Visit for Connector {
    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "connector" {
            self.0 = Some(value.to_owned());
        }
    }
}

impl Subscriber for Named {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("forebay_modbus")
    }

    fn event(&self, event: &Event<'_>) {
        let mut connector = Connector::default();
        event.record(&mut connector);
        self.0.lock().unwrap().insert(connector.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[tokio::test]
async fn each_line_names_its_connector() {
    let named = Named::default();
    let _lines = set_default(named.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let of = |name: &str| {
        let text = head(port, "").replace("name = \"plc\"", &format!("name = \"{name}\""));
        start(&(text + &tag("t", "register = \"coil\"; address = 0")))
    };
    let rigs = [of("north"), of("south")];
    for rig in rigs {
        assert!(rig.next_link(PATIENCE).await.down.is_some());
        rig.stop().await;
    }
    let lines = named.0.lock().unwrap();
    let expected = ["north", "south"].map(|name| Some(name.to_owned()));
    assert_eq!(*lines, BTreeSet::from(expected));
}
