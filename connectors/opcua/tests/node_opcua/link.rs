//! Links that go and come: a restart, a cut that the subscription outlives, a server that falls silent.

use forebay_connectors::{Sample, SampleKind};
use forebay_connectors_conformance::{LOSS_REPORTED_WITHIN, Rig, samples_of};
use forebay_schemas::Value;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use crate::{
    peer::{FAST, Node, start, url},
    relay::Relay,
};

const TAGS: &[(&str, &str)] = &[("a", "ns=1;s=A"), ("b", "ns=1;s=B")];
const BASE_MS: i64 = 1_780_000_000_000;

fn options() -> Json {
    json!({"nodes": [["A", "Int32", 0], ["B", "Int32", 0]]})
}

fn write(n: i64) -> Json {
    json!({"write": [["A", "Int32", n, BASE_MS + n]]})
}

/// What was not reported again.
fn values(samples: &[Sample], tag: &str) -> Vec<Value> {
    let new = samples
        .iter()
        .filter(|sample| sample.tag.as_str() == tag && sample.kind != SampleKind::Confirmation);
    new.filter_map(|sample| sample.value.clone()).collect()
}

async fn until_a_is(rig: &Rig, from: usize, n: i64) {
    rig.until("the last value", from, |parcels| {
        let last = values(&samples_of(parcels), "a").pop();
        (last == Some(Value::I64(n))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn values_go_on_after_a_cut_a_silence_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options["folder"] = json!(folder.path());
    let node = Node::start();
    let mut peer = node.serve(options.clone());
    let relay = Relay::start(peer.port).await;
    let rig = start(&format!("url = \"{}\"\n{FAST}", url(relay.port)), TAGS);
    rig.samples_since(0, 2).await;
    let from = rig.count();
    peer.tell(&write(1));
    until_a_is(&rig, from, 1).await;

    // The server goes on queueing, and hands everything to the next session.
    let from = rig.count();
    relay.close(true);
    rig.down_since(from).await;
    for n in 2..=10 {
        peer.tell(&write(n));
        // Each is sampled.
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
    }
    let from = rig.count();
    relay.close(false);
    rig.up_since(from).await;
    until_a_is(&rig, from, 10).await;
    let state = peer.tell(&json!({"state": true}));
    assert_eq!(state["subscriptions"], json!(1), "the same one: {state}");

    let from = rig.count();
    let silent_at = Instant::now();
    relay.stall(true);
    let (down_at, why) = rig.down_since(from).await;
    assert!(down_at - silent_at < LOSS_REPORTED_WITHIN, "{why}");
    assert!(why.contains("no answer within"), "{why}");
    peer.tell(&write(11));
    let from = rig.count();
    relay.stall(false);
    rig.up_since(from).await;
    until_a_is(&rig, from, 11).await;

    let from = rig.count();
    let port = peer.port;
    peer.tell(&json!({"stop": true}));
    rig.down_since(from).await;
    options["port"] = json!(port);
    options["nodes"] = json!([["A", "Int32", 12], ["B", "Int32", 0]]);
    drop(peer);
    let from = rig.count();
    let mut peer = node.serve(options);
    rig.up_since(from).await;
    until_a_is(&rig, from, 12).await;
    let from = rig.count();
    peer.tell(&write(13));
    until_a_is(&rig, from, 13).await;
    let all = rig.stop().await;
    // Values between two samples of a busy server are not seen.
    let told = values(&all, "a");
    let numbers: Vec<i64> = told
        .iter()
        .map(|value| match value {
            Value::I64(n) => *n,
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(
        numbers.is_sorted_by(|one, next| one < next),
        "each once, in order: {numbers:?}"
    );
    for n in [0, 1, 10, 11, 12, 13] {
        assert!(numbers.contains(&n), "{n} in {numbers:?}");
    }
    assert!(
        numbers.iter().any(|n| (2..10).contains(n)),
        "queued meanwhile: {numbers:?}"
    );
}
