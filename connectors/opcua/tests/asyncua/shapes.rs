//! Arrays, structures, enumerations and nested values, subscribed and polled, against asyncua.

use crate::peer::{Peer, options, start};
use forebay_connectors::Sample;
use forebay_schemas::Value;
use serde_json::json;

const FAST: &str = "publishing_interval = \"100ms\"\nsampling = \"50ms\"";

fn value(samples: &[Sample], tag: &str) -> Option<Value> {
    let mut of = samples.iter().filter(|sample| sample.tag.as_str() == tag);
    let found = of.next().unwrap_or_else(|| panic!("{tag} in {samples:#?}"));
    assert_eq!(of.count(), 0, "{tag} once");
    found.value.clone()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[tokio::test]
async fn every_shape_is_taken_by_the_documented_rule_subscribed_and_polled() {
    let mut options = options(json!([
        {"id": "Matrix", "type": "Int32", "value": [[1, 2, 3], [4, 5, 6]]},
        {"id": "Texts", "type": "String", "value": ["a", "b"]},
        {"id": "Mixed", "type": "Variant", "value": [true, 2.5, "x"]},
        {"id": "Xml", "type": "XmlElement", "value": "<a/>"},
        {"id": "Node", "type": "NodeId", "value": "Force"},
        {"id": "Name", "type": "QualifiedName", "value": "Force"},
        {"id": "Status", "type": "StatusCode", "value": 2_155_085_824_u32},
    ]));
    options["models"] = json!(true);
    let peer = Peer::start(options).await;
    let names = [
        "Matrix", "Texts", "Mixed", "Xml", "Node", "Name", "Status", "Press", "State", "Range",
    ];
    let ids: Vec<String> = names
        .iter()
        .map(|name| format!("nsu=urn:forebay:test;s={name}"))
        .collect();
    let tags: Vec<(&str, &str)> = names
        .iter()
        .copied()
        .zip(ids.iter().map(String::as_str))
        .collect();
    let expected = [
        ("Matrix[0,0]", Value::I64(1)),
        ("Matrix[1,2]", Value::I64(6)),
        ("Texts[1]", text("b")),
        ("Mixed[0]", Value::Bool(true)),
        ("Mixed[1]", Value::F64(2.5)),
        ("Mixed[2]", text("x")),
        ("Xml", text("<a/>")),
        ("Node", text("ns=2;s=Force")),
        ("Name", text("Force")),
        ("Status", Value::U64(2_155_085_824)),
        ("Press.speed", Value::F64(1.5)),
        ("Press.name", text("P3")),
        ("Press.axes[0].force", Value::F64(0.25)),
        ("Press.axes[1].force", Value::F64(-4.0)),
        ("Press.axes[1].limit", Value::I64(7)),
        ("Press.state", Value::I64(2)),
        ("Press.state.text", text("running")),
        ("Press.counts[0]", Value::U64(1)),
        ("Press.counts[1]", Value::U64(65535)),
        ("State", Value::I64(1)),
        ("State.text", text("starting")),
        ("Range.Low", Value::F64(-1.0)),
        ("Range.High", Value::F64(2.0)),
    ];
    // Six cells, two texts, three of any type, four scalars, and the structures and enumerations.
    let count = 6 + 2 + 3 + 4 + 9 + 2 + 2;
    for acquisition in ["subscribe", "poll"] {
        let keys = format!(
            "url = \"{}\"\n{FAST}\nenumeration = \"number_and_text\"\nacquisition = \"{acquisition}\"",
            peer.url()
        );
        let rig = start(&keys, &tags);
        let samples = rig.samples_since(0, count).await;
        for (tag, expected) in &expected {
            assert_eq!(
                value(&samples, tag).as_ref(),
                Some(expected),
                "{tag}, {acquisition}"
            );
        }
        assert_eq!(
            rig.stop().await.len(),
            count,
            "an optional field that is not there has no series"
        );
    }
    let keys = format!("url = \"{}\"\n{FAST}\ncompound = \"json\"", peer.url());
    let rig = start(&keys, &tags);
    let samples = rig.samples_since(0, names.len()).await;
    assert_eq!(value(&samples, "Matrix"), Some(text("[[1,2,3],[4,5,6]]")));
    assert_eq!(
        value(&samples, "Press"),
        Some(text(
            r#"{"speed":1.5,"name":"P3","axes":[{"force":0.25},{"force":-4.0,"limit":7}],"state":2,"counts":[1,65535]}"#
        ))
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_polled_value_is_delivered_when_it_changes_and_a_missing_node_stops_nothing() {
    let node = json!([{"id": "A", "type": "Int64", "value": 0, "us": 1_780_000_000_000_000_i64}]);
    let mut peer = Peer::start(options(node.clone())).await;
    let keys = format!("url = \"{}\"\n{FAST}\nacquisition = \"poll\"", peer.url());
    let rig = start(&keys, &[("a", "ns=2;s=A"), ("lost", "ns=2;s=Nowhere")]);
    rig.samples_since(0, 2).await;
    for n in 1..=5 {
        let from = rig.count();
        let write = json!(["A", "Int64", n, 0, 1_780_000_000_000_000_i64 + n]);
        peer.tell(json!({"write": [write]})).await;
        let found = rig.samples_since(from, 1).await;
        assert_eq!((found.len(), &found[0].value), (1, &Some(Value::I64(n))));
    }
    let from = rig.count();
    peer.kill().await;
    rig.down_since(from).await;
    let from = rig.count();
    peer.again(node).await;
    rig.up_since(from).await;
    rig.samples_since(from, 2).await;
    let all = rig.stop().await;
    let bad: Vec<&Sample> = all
        .iter()
        .filter(|sample| sample.tag.as_str() == "lost")
        .collect();
    assert_eq!(bad.len(), 2, "once for each connection");
    let reason = bad[0].status.reason.as_deref();
    assert_eq!(
        reason,
        Some("cannot read node ns=2;s=Nowhere: BadNodeIdUnknown")
    );
}

#[tokio::test]
async fn a_dead_band_is_kept_by_the_server() {
    let nodes = json!([{"id": "A", "type": "Double", "value": 0.0}, {"id": "B", "type": "Double", "value": 0.0}]);
    let mut peer = Peer::start(options(nodes)).await;
    let keys = format!("url = \"{}\"\n{FAST}\nserver_deadband = 0.5", peer.url());
    let rig = start(&keys, &[("a", "ns=2;s=A"), ("b", "ns=2;s=B")]);
    rig.samples_since(0, 2).await;
    let from = rig.count();
    // Each is measured against the one before it.
    for value in [0.1, 0.4, 2.0] {
        peer.tell(json!({"write": [["A", "Double", value]]})).await;
    }
    peer.tell(json!({"write": [["B", "Double", 9.0]]})).await;
    rig.until("the last value", from, |parcels| {
        let samples = forebay_connectors_conformance::samples_of(parcels);
        samples
            .iter()
            .any(|sample| sample.tag.as_str() == "b")
            .then_some(())
    })
    .await;
    let all = rig.stop().await;
    let of_a: Vec<_> = all
        .iter()
        .filter(|sample| sample.tag.as_str() == "a")
        .collect();
    assert_eq!(of_a.len(), 2, "{of_a:?}");
    assert_eq!(of_a[1].value, Some(Value::F64(2.0)));
}
