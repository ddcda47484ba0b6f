//! Gaps that are filled from the server's history, against asyncua.

use crate::peer::{InFolder, Peer, configuration, options};
use forebay_connectors::{Sample, SampleKind};
use forebay_connectors_conformance::{Receipts, Rig, samples_of};
use forebay_schemas::Value;
use serde_json::{Value as Json, json};

const BASE_US: i64 = 1_780_000_000_000_000;
const STEP_US: i64 = 1_000_000;

fn us(n: i64) -> i64 {
    BASE_US + n * STEP_US
}

fn node(id: &str, n: i64) -> Json {
    json!({"id": id, "type": "Int64", "value": n, "us": us(n)})
}

fn past(from: i64, to: i64) -> Json {
    (from..=to).map(|n| json!([n, us(n)])).collect()
}

/// Values with their times, without repeats, in the order of arrival.
fn told(samples: &[Sample], tag: &str) -> Vec<(i64, i64)> {
    samples
        .iter()
        .filter(|sample| sample.tag.as_str() == tag && sample.kind != SampleKind::Confirmation)
        .filter_map(|sample| match (&sample.value, sample.event_time) {
            (Some(Value::I64(n)), Some(time)) => Some((*n, time.micros())),
            _ => None,
        })
        .collect()
}

fn each_once(samples: &[Sample], tag: &str, from: i64, to: i64) {
    let mut found = told(samples, tag);
    found.sort_unstable();
    let expected: Vec<(i64, i64)> = (from..=to).map(|n| (n, us(n))).collect();
    assert_eq!(found, expected, "{tag}");
}

fn keys(peer: &Peer, more: &str) -> String {
    format!(
        "url = \"{}\"\npublishing_interval = \"100ms\"\nsampling = \"10ms\"\nhistory = true\nhistory_delay = \"0s\"\n\
         history_pause = \"10ms\"\n{more}",
        peer.url()
    )
}

async fn until_told(rig: &Rig, tag: &str, count: usize) {
    rig.until("all values", 0, |parcels| {
        (told(&samples_of(parcels), tag).len() >= count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_measured_while_the_server_was_unreachable_is_recovered_each_value_once() {
    let nodes = json!([node("A", 0), node("B", 0)]);
    let mut options = options(nodes);
    options["limits"] = json!({"MaxNodesPerHistoryReadData": 1});
    let mut peer = Peer::start(options).await;
    // Seven stretches of 100 s, and answers of at most 500 values.
    let keys = keys(&peer, "history_span = \"100s\"");
    let folder = tempfile::tempdir().unwrap();
    let text = configuration(&keys, &[("a", "ns=2;s=A"), ("b", "ns=2;s=B")]);
    let rig = Rig::start(&InFolder(folder.path().to_owned()), &text, Receipts::Given);
    rig.samples_since(0, 2).await;
    let from = rig.count();
    let write = |name: &str, n: i64| json!([name, "Int64", n, 0, us(n)]);
    peer.tell(json!({"write": [write("A", 1), write("B", 1)]}))
        .await;
    rig.samples_since(from, 2).await;
    peer.kill().await;
    rig.down_since(from).await;
    let from = rig.count();
    // A was measured on; B stands as it stood.
    let nodes = json!([node("A", 700), node("B", 1)]);
    let past = json!({"A": past(0, 700), "B": past(0, 1)});
    peer.again_with(json!({"nodes": nodes, "past": past})).await;
    rig.up_since(from).await;
    until_told(&rig, "a", 701).await;
    peer.tell(json!({"write": [write("A", 701)]})).await;
    until_told(&rig, "a", 702).await;
    let asked = peer.tell(json!({"asked": true})).await;
    let all = rig.stop().await;
    each_once(&all, "a", 0, 701);
    each_once(&all, "b", 0, 1);
    let of_b = asked.as_array().unwrap().iter().filter(|row| row[0] == "B");
    assert_eq!(of_b.count(), 0, "nothing is asked for that has not changed");
    let longest = asked.as_array().unwrap().iter();
    let longest = longest.map(|row| row[2].as_i64().unwrap() - row[1].as_i64().unwrap());
    assert!(longest.max().unwrap() <= 100 * STEP_US);
}

#[tokio::test]
async fn a_restart_of_the_gateway_is_a_gap_too_and_the_first_connection_reads_back_as_far_as_asked()
{
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(json!([node("A", 1000)]));
    options["past"] = json!({"A": past(0, 1000)});
    let mut peer = Peer::start(options).await;
    let text = configuration(
        &keys(&peer, "history_depth = \"600s\""),
        &[("a", "ns=2;s=A")],
    );
    let kind = InFolder(folder.path().to_owned());
    let run = || Rig::start(&kind, &text, Receipts::Given);
    let rig = run();
    until_told(&rig, "a", 600).await;
    each_once(&rig.stop().await, "a", 401, 1000);
    peer.tell(json!({"past": {"A": past(0, 1020)}})).await;
    peer.tell(json!({"write": [["A", "Int64", 1020, 0, us(1020)]]}))
        .await;
    let rig = run();
    until_told(&rig, "a", 20).await;
    each_once(&rig.stop().await, "a", 1001, 1020);
    let file = std::fs::read_to_string(folder.path().join("opcua/press/history")).unwrap();
    let line = format!("press-3\ta\tns=2;s=A\t{}000", us(1020));
    assert_eq!(file.lines().nth(1), Some(line.as_str()));
}
