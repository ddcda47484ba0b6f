//! Types, structures and bad nodes within the server's limits, subscribed and polled.

use forebay_connectors::Sample;
use forebay_schemas::{Quality, Value};
use serde_json::{Value as Json, json};

use crate::peer::{FAST, Shared, start};

const GUID: &str = "72962b91-fa75-4ae6-8d28-b404dc7daf63";

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// Each node's name, type, value, and what is made of it.
fn table() -> Vec<(&'static str, &'static str, Json, Value)> {
    vec![
        ("Boolean", "Boolean", json!(true), Value::Bool(true)),
        ("SByte", "SByte", json!(-5), Value::I64(-5)),
        ("Byte", "Byte", json!(200), Value::U64(200)),
        ("Int16", "Int16", json!(-32_768), Value::I64(-32_768)),
        ("UInt16", "UInt16", json!(65_535), Value::U64(65_535)),
        ("Int32", "Int32", json!(-70_000), Value::I64(-70_000)),
        (
            "UInt32",
            "UInt32",
            json!(4_000_000_000_u32),
            Value::U64(4_000_000_000),
        ),
        (
            "Int64",
            "Int64",
            json!(-5_000_000_000_i64),
            Value::I64(-5_000_000_000),
        ),
        (
            "UInt64",
            "UInt64",
            json!(5_000_000_000_u64),
            Value::U64(5_000_000_000),
        ),
        ("Float", "Float", json!(1.5), Value::F64(1.5)),
        ("Double", "Double", json!(0.1), Value::F64(0.1)),
        ("String", "String", json!("grün"), text("grün")),
        (
            "DateTime",
            "DateTime",
            json!(1_780_000_000_123_i64),
            text("2026-05-28T20:26:40.123Z"),
        ),
        ("Guid", "Guid", json!(GUID), text(GUID)),
        (
            "ByteString",
            "ByteString",
            json!([0, 255, 10]),
            Value::Bytes(vec![0, 255, 10]),
        ),
        ("XmlElement", "XmlElement", json!("<a/>"), text("<a/>")),
        (
            "NodeId",
            "NodeId",
            json!("ns=1;s=Force"),
            text("ns=1;s=Force"),
        ),
        (
            "QualifiedName",
            "QualifiedName",
            json!("Force"),
            text("Force"),
        ),
        (
            "LocalizedText",
            "LocalizedText",
            json!("läuft"),
            text("läuft"),
        ),
        (
            "StatusCode",
            "StatusCode",
            json!("BadTimeout"),
            Value::U64(0x800A_0000),
        ),
    ]
}

/// What every server of these tests has.
pub(crate) fn nodes() -> Json {
    let mut nodes: Vec<Json> = table()
        .into_iter()
        .map(|(name, kind, value, _)| json!([name, kind, value]))
        .collect();
    nodes.push(json!(["Force", "Double", 12.5]));
    nodes.push(json!(["Late", "Int32", 1]));
    nodes.push(json!(["Bools", "Boolean", [true, false]]));
    nodes.push(json!(["Longs", "UInt64", [1, 5_000_000_000_u64]]));
    nodes.push(json!(["Matrix", "Double", [[1, 2, 3], [4, 5, 6.5]]]));
    json!(nodes)
}

fn of<'a>(samples: &'a [Sample], tag: &str) -> &'a Sample {
    let mut of = samples.iter().filter(|sample| sample.tag.as_str() == tag);
    let found = of.next().unwrap_or_else(|| panic!("{tag} in {samples:#?}"));
    assert_eq!(of.count(), 0, "{tag} once");
    found
}

/// Three nodes a read, two a browse and five a creation are all that the server takes.
#[tokio::test]
async fn every_type_is_read_within_the_limits_and_a_bad_node_spoils_no_other() {
    let shared = Shared::get();
    let shapes = [
        ("Bools[0]", Value::Bool(true)),
        ("Bools[1]", Value::Bool(false)),
        ("Longs[1]", Value::U64(5_000_000_000)),
        ("Matrix[0,2]", Value::F64(3.0)),
        ("Matrix[1,2]", Value::F64(6.5)),
        ("Press.Speed", Value::F64(1.5)),
        ("Press.Name", text("P3")),
        ("Press.Axes[0].Force", Value::F64(0.25)),
        ("Press.Axes[1].Force", Value::F64(-4.0)),
        ("Press.Axes[1].Limit", Value::I64(7)),
        ("Press.State", Value::I64(2)),
        ("Press.State.text", text("running")),
        ("State", Value::I64(1)),
        ("State.text", text("starting")),
    ];
    let table = table();
    let scalars = table.iter().map(|(name, ..)| *name);
    let names: Vec<&str> = scalars
        .chain(["Bools", "Longs", "Matrix", "Press", "State", "Nowhere"])
        .collect();
    let ids: Vec<String> = names
        .iter()
        .map(|name| format!("nsu=urn:forebay:test;s={name}"))
        .collect();
    let tags: Vec<(&str, &str)> = names
        .iter()
        .copied()
        .zip(ids.iter().map(String::as_str))
        .collect();
    // Two arrays of two, six cells, the press and its state, and the node that is not there.
    let count = table.len() + 2 + 2 + 6 + 7 + 2 + 1;
    for acquisition in ["subscribe", "poll"] {
        let keys = format!(
            "url = \"{}\"\n{FAST}\nenumeration = \"number_and_text\"\nacquisition = \"{acquisition}\"",
            shared.url
        );
        let rig = start(&keys, &tags);
        let samples = rig.samples_since(0, count).await;
        for (name, _, _, expected) in &table {
            let found = of(&samples, name);
            assert_eq!(
                found.value.as_ref(),
                Some(expected),
                "{name}, {acquisition}"
            );
            assert_eq!(found.status.quality, Quality::Good, "{name}");
        }
        for (tag, expected) in &shapes {
            let found = of(&samples, tag);
            assert_eq!(found.value.as_ref(), Some(expected), "{tag}, {acquisition}");
        }
        let nowhere = of(&samples, "Nowhere");
        let reason = "cannot read node ns=1;s=Nowhere: BadNodeIdUnknown";
        assert_eq!(nowhere.status.reason.as_deref(), Some(reason));
        let all = rig.stop().await;
        assert_eq!(all.len(), count, "each once: {all:#?}");
    }
}

#[tokio::test]
async fn values_come_in_order_with_their_source_times() {
    let shared = Shared::get();
    let keys = format!("url = \"{}\"\n{FAST}", shared.url);
    let rig = start(&keys, &[("late", "ns=1;s=Late")]);
    rig.samples_since(0, 1).await;
    let base_ms = 1_780_000_000_000_i64;
    for n in 2..=20 {
        let from = rig.count();
        let write = json!({"write": [["Late", "Int32", n, base_ms + n]]});
        shared.peer().tell(&write);
        let found = rig.samples_since(from, 1).await;
        assert_eq!(found[0].value, Some(Value::I64(n)));
        let time = found[0].event_time;
        assert_eq!(
            time,
            forebay_schemas::Timestamp::from_micros((base_ms + n) * 1000)
        );
    }
    rig.stop().await;
}
