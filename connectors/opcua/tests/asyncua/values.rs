//! Values, times, types, statuses and acknowledgements, against asyncua.

use crate::peer::{Peer, options, start};
use forebay_connectors::Sample;
use forebay_connectors_conformance::Receipts;
use forebay_schemas::{Quality, Timestamp, Value};
use serde_json::{Value as Json, json};

const FAST: &str = "publishing_interval = \"100ms\"\nsampling = \"10ms\"";
const BASE_US: i64 = 1_780_000_000_123_456;

fn numbers(names: &[&str]) -> Json {
    names
        .iter()
        .map(|name| json!({"id": name, "type": "Int64", "value": 0}))
        .collect()
}

fn of<'s>(samples: &'s [Sample], tag: &str) -> Vec<&'s Sample> {
    samples
        .iter()
        .filter(|sample| sample.tag.as_str() == tag)
        .collect()
}

#[tokio::test]
async fn a_sequence_arrives_whole_in_order_with_its_source_times() {
    let mut peer = Peer::start(options(numbers(&["A", "B", "C"]))).await;
    let tags = [
        ("a", "ns=2;s=A"),
        ("b", "nsu=urn:forebay:test;s=B"),
        ("c", "ns=2;s=C"),
    ];
    let rig = start(&format!("url = \"{}\"\n{FAST}", peer.url()), &tags);
    rig.samples_since(0, 3).await;
    let from = rig.count();
    peer.tell(json!({"sequence": ["A", "B", "C"], "start": 1, "count": 200, "every_ms": 10, "base_us": BASE_US})).await;
    let samples = rig.samples_since(from, 600).await;
    for (rule, (tag, _)) in tags.iter().enumerate() {
        let got: Vec<_> = of(&samples, tag)
            .into_iter()
            .map(|sample| {
                assert_eq!((sample.rule.0, sample.device.as_str()), (rule, "press-3"));
                assert_eq!(
                    (sample.status.quality, sample.status.code),
                    (Quality::Good, None)
                );
                (sample.value.clone().unwrap(), sample.event_time.unwrap())
            })
            .collect();
        let served: Vec<_> = (1..=200)
            .map(|n| {
                (
                    Value::I64(n),
                    Timestamp::from_micros(BASE_US + n * 10_000).unwrap(),
                )
            })
            .collect();
        assert_eq!(got, served, "{tag}");
    }
    assert_eq!(rig.stop().await.len(), 603, "nothing is doubled");
}

#[tokio::test]
async fn every_type_keeps_its_value() {
    let types: &[(&str, Json, Option<Value>)] = &[
        ("Boolean", json!(true), Some(Value::Bool(true))),
        ("SByte", json!(-128), Some(Value::I64(-128))),
        ("Byte", json!(255), Some(Value::U64(255))),
        ("Int16", json!(-32768), Some(Value::I64(-32768))),
        ("UInt16", json!(65535), Some(Value::U64(65535))),
        (
            "Int32",
            json!(i32::MIN),
            Some(Value::I64(i64::from(i32::MIN))),
        ),
        (
            "UInt32",
            json!(u32::MAX),
            Some(Value::U64(u64::from(u32::MAX))),
        ),
        ("Int64", json!(i64::MIN), Some(Value::I64(i64::MIN))),
        ("UInt64", json!(u64::MAX), Some(Value::U64(u64::MAX))),
        ("Float", json!(0.1), Some(Value::F64(f64::from(0.1_f32)))),
        ("Double", json!(0.1), Some(Value::F64(0.1))),
        ("String", json!("grün"), Some(Value::Text("grün".into()))),
        (
            "ByteString",
            json!([0, 255, 10]),
            Some(Value::Bytes(vec![0, 255, 10])),
        ),
        (
            "DateTime",
            json!(1_780_000_000_123_456_i64),
            Some(Value::Text("2026-05-28T20:26:40.123456Z".into())),
        ),
        (
            "LocalizedText",
            json!("läuft"),
            Some(Value::Text("läuft".into())),
        ),
        (
            "Guid",
            json!("72962b91-fa75-4ae6-8d28-b404dc7daf63"),
            Some(Value::Text("72962b91-fa75-4ae6-8d28-b404dc7daf63".into())),
        ),
    ];
    let mut nodes: Vec<Json> = types
        .iter()
        .map(|(name, value, _)| json!({"id": name, "type": name, "value": value}))
        .collect();
    nodes.push(json!({"id": "Array", "type": "Int32", "value": [7, 8, 9]}));
    let peer = Peer::start(options(json!(nodes))).await;
    let ids: Vec<(String, String)> = types
        .iter()
        .map(|(name, ..)| *name)
        .chain(["Array"])
        .map(|n| (n.to_owned(), format!("ns=2;s={n}")))
        .collect();
    let tags: Vec<(&str, &str)> = ids
        .iter()
        .map(|(name, id)| (name.as_str(), id.as_str()))
        .collect();
    let rig = start(&format!("url = \"{}\"\n{FAST}", peer.url()), &tags);
    let samples = rig.samples_since(0, types.len() + 3).await;
    for (name, _, expected) in types {
        let found = of(&samples, name);
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(&found[0].value, expected, "{name}");
    }
    for (index, n) in [7, 8, 9].into_iter().enumerate() {
        assert_eq!(
            of(&samples, &format!("Array[{index}]"))[0].value,
            Some(Value::I64(n))
        );
    }
    rig.stop().await;
}

#[tokio::test]
async fn statuses_become_qualities_and_missing_nodes_bad_samples() {
    let mut peer = Peer::start(options(numbers(&["A"]))).await;
    let tags = [
        ("a", "ns=2;s=A"),
        ("lost", "ns=2;s=Nowhere"),
        ("strange", "nsu=urn:nobody;s=A"),
        ("object", "i=85"),
    ];
    let rig = start(&format!("url = \"{}\"\n{FAST}", peer.url()), &tags);
    let samples = rig.samples_since(0, 4).await;
    let bad = |tag: &str, code: i64, words: &str| {
        let found = of(&samples, tag);
        assert_eq!(found.len(), 1, "{tag}: {found:?}");
        assert_eq!(
            (found[0].value.clone(), found[0].status.quality),
            (None, Quality::Bad),
            "{tag}"
        );
        assert_eq!(found[0].status.code, Some(code), "{tag}");
        let reason = found[0].status.reason.clone().unwrap();
        assert!(reason.contains(words), "{tag}: {reason}");
    };
    bad(
        "lost",
        0x8034_0000,
        "cannot read node ns=2;s=Nowhere: BadNodeIdUnknown",
    );
    bad(
        "strange",
        0x8034_0000,
        "the server has no namespace urn:nobody",
    );
    bad(
        "object",
        0x8035_0000,
        "cannot read node i=85: BadAttributeIdInvalid",
    );
    let statuses = [
        (0x0000_0000_i64, Quality::Good, None, Some(Value::I64(1))),
        (
            0x4094_0000,
            Quality::Uncertain,
            Some("UncertainEngineeringUnitsExceeded"),
            Some(Value::I64(2)),
        ),
        (0x808C_0000, Quality::Bad, Some("BadSensorFailure"), None),
        (0x0096_0000, Quality::Good, None, Some(Value::I64(4))),
        (
            0x0000_0480,
            Quality::Uncertain,
            Some("overflowed"),
            Some(Value::I64(5)),
        ),
    ];
    for (n, (code, quality, reason, value)) in statuses.into_iter().enumerate() {
        let from = rig.count();
        peer.tell(json!({"write": [["A", "Int64", n + 1, code, BASE_US + n as i64]]}))
            .await;
        let found = rig.samples_since(from, 1).await.remove(0);
        assert_eq!(
            (found.status.quality, found.value),
            (quality, value),
            "{code:#x}"
        );
        assert_eq!(found.status.code, (code != 0).then_some(code));
        match (reason, found.status.reason) {
            (None, None) => {}
            (Some(expected), Some(found)) => assert!(found.contains(expected), "{found}"),
            other => panic!("{code:#x}: {other:?}"),
        }
    }
    rig.stop().await;
}

#[tokio::test]
async fn the_server_time_stands_in_for_a_missing_source_time() {
    let mut peer = Peer::start(options(numbers(&["A"]))).await;
    let rig = start(
        &format!("url = \"{}\"\n{FAST}", peer.url()),
        &[("a", "ns=2;s=A")],
    );
    rig.samples_since(0, 1).await;
    let from = rig.count();
    peer.tell(json!({"write": [["A", "Int64", 5, 0, null, BASE_US]]}))
        .await;
    let sample = rig.samples_since(from, 1).await.remove(0);
    assert_eq!(sample.value, Some(Value::I64(5)));
    assert_eq!(sample.event_time, Timestamp::from_micros(BASE_US));
    rig.stop().await;
}

#[tokio::test]
async fn nothing_is_acknowledged_before_its_receipt_and_a_full_gateway_loses_nothing() {
    let mut peer = Peer::start(options(numbers(&["A"]))).await;
    let rig = start(
        &format!("url = \"{}\"\n{FAST}", peer.url()),
        &[("a", "ns=2;s=A")],
    );
    rig.samples_since(0, 1).await;
    rig.receipts(Receipts::Withheld);
    let from = rig.count();
    // 80 values fit into the server's queue of 100 even if the gateway takes none of them.
    peer.tell(
        json!({"sequence": ["A"], "start": 1, "count": 80, "every_ms": 20, "base_us": BASE_US}),
    )
    .await;
    let unacknowledged = peer.tell(json!({"acks": true})).await;
    let waiting = unacknowledged[0].as_u64().unwrap();
    assert!(
        (1..=4).contains(&waiting),
        "{waiting} notifications wait for their acknowledgement, three are let come"
    );
    assert_eq!(rig.count(), from, "the gateway has given no receipt");
    rig.receipts(Receipts::Given);
    let samples = rig.samples_since(from, 80).await;
    let values: Vec<_> = samples
        .iter()
        .map(|sample| sample.value.clone().unwrap())
        .collect();
    assert_eq!(values, (1..=80).map(Value::I64).collect::<Vec<_>>());
    // The last acknowledgement rides on the publish request that follows it.
    let mut left = u64::MAX;
    for _ in 0..100 {
        left = peer.tell(json!({"acks": true})).await[0].as_u64().unwrap();
        if left == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(left, 0, "every notification is acknowledged in the end");
    rig.stop().await;
    let subscriptions = peer.tell(json!({"acks": true})).await;
    assert_eq!(
        subscriptions,
        json!([]),
        "the subscription is deleted at the end"
    );
}

#[tokio::test]
async fn notifications_in_the_wrong_order_are_put_right_and_asked_for_again_but_never_doubled() {
    let mut peer = Peer::start(options(numbers(&["A"]))).await;
    let rig = start(
        &format!("url = \"{}\"\n{FAST}", peer.url()),
        &[("a", "ns=2;s=A")],
    );
    rig.samples_since(0, 1).await;
    let from = rig.count();
    for round in 0..3 {
        peer.tell(json!({"trouble": "swap"})).await;
        let start = 1 + round * 40;
        peer.tell(json!({"sequence": ["A"], "start": start, "count": 40, "every_ms": 20, "base_us": BASE_US})).await;
    }
    let samples = rig.samples_since(from, 120).await;
    let values: Vec<_> = samples
        .iter()
        .map(|sample| sample.value.clone().unwrap())
        .collect();
    assert_eq!(values, (1..=120).map(Value::I64).collect::<Vec<_>>());
    assert_eq!(rig.links().len(), 1, "the link stays up");
    assert_eq!(rig.stop().await.len(), 121);
}

#[tokio::test]
async fn a_notification_that_is_gone_for_good_is_a_lost_link() {
    let mut peer = Peer::start(options(numbers(&["A"]))).await;
    let rig = start(
        &format!("url = \"{}\"\n{FAST}", peer.url()),
        &[("a", "ns=2;s=A")],
    );
    rig.samples_since(0, 1).await;
    let from = rig.count();
    peer.tell(json!({"trouble": "lose"})).await;
    peer.tell(
        json!({"sequence": ["A"], "start": 1, "count": 40, "every_ms": 20, "base_us": BASE_US}),
    )
    .await;
    let (_, why) = rig.down_since(from).await;
    assert!(
        why.contains("is lost, and the server has forgotten it"),
        "{why}"
    );
    rig.up_since(from).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_keeps_one_publish_request_is_enough() {
    let mut options = options(numbers(&["A"]));
    options["publish_requests"] = json!(1);
    let mut peer = Peer::start(options).await;
    let rig = start(
        &format!("url = \"{}\"\n{FAST}", peer.url()),
        &[("a", "ns=2;s=A")],
    );
    rig.samples_since(0, 1).await;
    let from = rig.count();
    peer.tell(
        json!({"sequence": ["A"], "start": 1, "count": 60, "every_ms": 20, "base_us": BASE_US}),
    )
    .await;
    let samples = rig.samples_since(from, 60).await;
    let values: Vec<_> = samples
        .iter()
        .map(|sample| sample.value.clone().unwrap())
        .collect();
    assert_eq!(values, (1..=60).map(Value::I64).collect::<Vec<_>>());
    assert_eq!(rig.links().len(), 1, "the link stays up");
    rig.stop().await;
}

#[tokio::test]
async fn thousands_of_tags_are_read_in_pieces() {
    let names: Vec<String> = (0..1200).map(|n| format!("N{n}")).collect();
    let nodes: Json = names
        .iter()
        .map(|name| json!({"id": name, "type": "Double", "value": 0.5}))
        .collect();
    let peer = Peer::start(options(nodes)).await;
    let ids: Vec<String> = names.iter().map(|name| format!("ns=2;s={name}")).collect();
    let tags: Vec<(&str, &str)> = names
        .iter()
        .zip(&ids)
        .map(|(name, id)| (name.as_str(), id.as_str()))
        .collect();
    let rig = start(&format!("url = \"{}\"\n{FAST}", peer.url()), &tags);
    let samples = rig.samples_since(0, 1200).await;
    let mut rules: Vec<usize> = samples.iter().map(|sample| sample.rule.0).collect();
    rules.sort_unstable();
    assert_eq!(rules, (0..1200).collect::<Vec<_>>());
    rig.stop().await;
}
