//! Servers with limits, that number their namespaces differently, that lose nodes or notifications, against asyncua.

use crate::peer::{Peer, options, start};
use forebay_connectors_conformance::samples_of;
use forebay_schemas::{Quality, Value};
use serde_json::{Value as Json, json};

const FAST: &str = "publishing_interval = \"100ms\"\nsampling = \"10ms\"";
const BASE_US: i64 = 1_780_000_000_000_000;

fn number(id: &str, n: i64) -> Json {
    json!({"id": id, "type": "Int64", "value": n, "us": BASE_US + n})
}

#[tokio::test]
async fn limits_are_kept_to_and_namespaces_are_found_by_their_uris() {
    let names: Vec<String> = (0..9).map(|n| format!("N{n}")).collect();
    let nodes: Json = names.iter().map(|name| number(name, 1)).collect();
    let mut options = options(nodes);
    options["models"] = json!(true);
    options["limits"] =
        json!({"MaxNodesPerRead": 2, "MaxNodesPerBrowse": 1, "MaxMonitoredItemsPerCall": 4});
    let mut peer = Peer::start(options).await;
    let mut ids: Vec<String> = names
        .iter()
        .map(|name| format!("nsu=urn:forebay:test;s={name}"))
        .collect();
    ids.push("nsu=urn:forebay:test;s=State".to_owned());
    let tags: Vec<(&str, &str)> = names
        .iter()
        .map(String::as_str)
        .chain(["state"])
        .zip(ids.iter().map(String::as_str))
        .collect();
    let keys = |acquisition: &str| {
        format!(
            "url = \"{}\"\n{FAST}\nenumeration = \"number_and_text\"\nacquisition = \"{acquisition}\"",
            peer.url()
        )
    };
    let poll = start(&keys("poll"), &tags);
    assert_eq!(poll.samples_since(0, 11).await.len(), 11);
    poll.stop().await;
    let rig = start(&keys("subscribe"), &tags);
    rig.samples_since(0, 11).await;
    let from = rig.count();
    peer.kill().await;
    rig.down_since(from).await;
    let from = rig.count();
    peer.again_with(json!({"namespaces": ["urn:new", "urn:forebay:test"]}))
        .await;
    rig.up_since(from).await;
    let back = rig.samples_since(from, 11).await;
    let bad = back
        .iter()
        .filter(|sample| sample.status.quality != Quality::Good);
    assert_eq!(bad.count(), 0, "{back:#?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_lost_notification_is_made_up_for_by_all_values_again_without_losing_the_link() {
    let mut options = options(json!([number("A", 0), number("B", 0)]));
    options["resend"] = json!(true);
    let mut peer = Peer::start(options).await;
    let keys = format!("url = \"{}\"\n{FAST}", peer.url());
    let rig = start(&keys, &[("a", "ns=2;s=A"), ("b", "ns=2;s=B")]);
    rig.samples_since(0, 2).await;
    let from = rig.count();
    peer.tell(json!({"trouble": "lose"})).await;
    // The first of them is lost, and the next shows it.
    let writes =
        json!({"sequence": ["A"], "start": 1, "count": 3, "every_ms": 250, "base_us": BASE_US});
    peer.tell(writes).await;
    rig.until("the last value", from, |parcels| {
        let samples = samples_of(parcels);
        samples
            .iter()
            .any(|sample| sample.value == Some(Value::I64(3)))
            .then_some(())
    })
    .await;
    assert_eq!(rig.links().len(), 1, "the link stays up");
    let of_a: Vec<_> = rig
        .samples()
        .into_iter()
        .filter(|sample| sample.tag.as_str() == "a")
        .collect();
    let lost = "values before this one were lost on the way";
    let told: Vec<_> = of_a
        .iter()
        .map(|sample| sample.status.reason.as_deref())
        .collect();
    assert!(told.contains(&Some(lost)), "{of_a:#?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_node_that_is_gone_after_a_restart_is_bad_by_its_name_and_comes_back() {
    let nodes = json!([number("A", 1), number("B", 1)]);
    let mut peer = Peer::start(options(nodes)).await;
    let keys = format!("url = \"{}\"\n{FAST}", peer.url());
    let rig = start(&keys, &[("a", "ns=2;s=A"), ("b", "ns=2;s=B")]);
    rig.samples_since(0, 2).await;
    let from = rig.count();
    peer.kill().await;
    rig.down_since(from).await;
    let from = rig.count();
    peer.again(json!([number("A", 2)])).await;
    let back = rig.samples_since(from, 2).await;
    let of = |tag: &str| {
        back.iter()
            .find(|sample| sample.tag.as_str() == tag)
            .unwrap()
    };
    assert_eq!(of("a").value, Some(Value::I64(2)));
    let reason = of("b").status.reason.as_deref();
    assert_eq!(reason, Some("cannot read node ns=2;s=B: BadNodeIdUnknown"));
    rig.stop().await;
}
