//! Links that go and come, against asyncua, and servers that are none.

use std::time::Duration;

use crate::{
    peer::{Peer, start},
    relay::Relay,
};
use forebay_connectors::{Sample, SampleKind};
use forebay_connectors_conformance::{LOSS_REPORTED_WITHIN, Rig, samples_of};
use forebay_schemas::{Timestamp, Value};
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
    time::Instant,
};

const FAST: &str = "publishing_interval = \"100ms\"\nsampling = \"10ms\"";
const TAGS: &[(&str, &str)] = &[("a", "ns=2;s=A"), ("b", "ns=2;s=B")];
const BASE_US: i64 = 1_780_000_000_000_000;

fn nodes() -> Json {
    json!([{"id": "A", "type": "Int64", "value": 0}, {"id": "B", "type": "Int64", "value": 0}])
}

fn options() -> Json {
    json!({"port": 0, "folder": ".", "security": ["NoSecurity"], "nodes": nodes()})
}

fn write(name: &str, n: i64) -> Json {
    json!([name, "Int64", n, 0, BASE_US + n])
}

/// What was not reported again.
fn values(samples: &[Sample], tag: &str) -> Vec<Value> {
    of(samples, tag, |kind| kind != SampleKind::Confirmation)
}

fn again(samples: &[Sample], tag: &str) -> Vec<Value> {
    of(samples, tag, |kind| kind == SampleKind::Confirmation)
}

fn of(samples: &[Sample], tag: &str, is_wanted: impl Fn(SampleKind) -> bool) -> Vec<Value> {
    let of = samples
        .iter()
        .filter(|sample| sample.tag.as_str() == tag && is_wanted(sample.kind));
    of.map(|sample| sample.value.clone().unwrap()).collect()
}

#[tokio::test]
async fn a_killed_server_is_told_of_and_nothing_is_doubled_when_it_is_back() {
    let mut peer = Peer::start(options()).await;
    let rig = start(&format!("url = \"{}\"\n{FAST}", peer.url()), TAGS);
    rig.samples_since(0, 2).await;
    let from = rig.count();
    peer.tell(json!({"write": [write("A", 1), write("B", 1)]}))
        .await;
    rig.samples_since(from, 2).await;
    let from = rig.count();
    let killed_at = Instant::now();
    peer.kill().await;
    let (down_at, why) = rig.down_since(from).await;
    assert!(
        down_at - killed_at < LOSS_REPORTED_WITHIN,
        "{:?}: {why}",
        down_at - killed_at
    );
    // A is as it was, to the source time; B has changed while the server was away.
    let from = rig.count();
    let a = json!({"id": "A", "type": "Int64", "value": 1, "us": BASE_US + 1});
    let b = json!({"id": "B", "type": "Int64", "value": 5, "us": BASE_US + 5});
    peer.again(json!([a, b])).await;
    rig.up_since(from).await;
    let back = rig.samples_since(from, 2).await;
    assert_eq!(
        (again(&back, "a"), values(&back, "b")),
        (vec![Value::I64(1)], vec![Value::I64(5)])
    );
    peer.tell(json!({"write": [write("A", 6)]})).await;
    rig.samples_since(from, 3).await;
    let all = rig.stop().await;
    assert_eq!(
        values(&all, "a"),
        [Value::I64(0), Value::I64(1), Value::I64(6)]
    );
    assert_eq!(
        values(&all, "b"),
        [Value::I64(0), Value::I64(1), Value::I64(5)]
    );
}

#[tokio::test]
async fn a_value_from_before_the_start_says_what_holds_once_the_server_can_be_reached() {
    let mut peer = Peer::start(options()).await;
    peer.kill().await;
    let rig = start(&format!("url = \"{}\"\n{FAST}", peer.url()), &TAGS[..1]);
    rig.down_since(0).await;
    let from = rig.count();
    peer.again(json!([{"id": "A", "type": "Int64", "value": 7, "us": BASE_US}]))
        .await;
    rig.up_since(from).await;
    let back = rig.samples_since(from, 1).await;
    assert_eq!(
        (back[0].kind, back[0].event_time),
        (SampleKind::Snapshot, Timestamp::from_micros(BASE_US))
    );
    assert_eq!(rig.stop().await.len(), 1);
}

#[tokio::test]
async fn values_that_a_server_tells_again_after_a_cut_are_told_apart() {
    let mut peer = Peer::start(options()).await;
    // Between connector and server stands a relay that can cut the connection while the server goes on.
    let relay = Relay::start(peer.port).await;
    let rig = start(
        &format!(
            "url = \"opc.tcp://127.0.0.1:{}/forebay/\"\n{FAST}",
            relay.port
        ),
        TAGS,
    );
    rig.samples_since(0, 2).await;
    for round in 0..3 {
        let from = rig.count();
        let n = round * 10 + 1;
        peer.tell(json!({"write": [write("A", n), write("B", n)]}))
            .await;
        rig.samples_since(from, 2).await;
        let from = rig.count();
        relay.cut();
        rig.down_since(from).await;
        rig.up_since(from).await;
        peer.tell(json!({"write": [write("B", n + 1)]})).await;
        // Whether the server still tells B's last value depends on whether it has the subscription before the write.
        rig.until("what A was, and what B has become", from, |parcels| {
            let samples = samples_of(parcels);
            let is_told =
                again(&samples, "a") == [Value::I64(n)] && values(&samples, "a").is_empty();
            (is_told && values(&samples, "b") == [Value::I64(n + 1)]).then_some(())
        })
        .await;
    }
    let all = rig.stop().await;
    let expected = |numbers: &[i64]| numbers.iter().map(|n| Value::I64(*n)).collect::<Vec<_>>();
    assert_eq!(values(&all, "a"), expected(&[0, 1, 11, 21]));
    assert_eq!(values(&all, "b"), expected(&[0, 1, 2, 11, 12, 21, 22]));
}

#[tokio::test]
async fn a_subscription_goes_on_after_two_cuts_with_what_the_server_has_queued() {
    let mut peer = Peer::start(options()).await;
    let relay = Relay::start(peer.port).await;
    let keys = format!(
        "url = \"opc.tcp://127.0.0.1:{}/forebay/\"\n{FAST}",
        relay.port
    );
    let rig = start(&keys, TAGS);
    rig.samples_since(0, 2).await;
    let before = peer.tell(json!({"subscriptions": true})).await;
    let from = rig.count();
    peer.tell(json!({"write": [write("A", 1)]})).await;
    rig.samples_since(from, 1).await;
    let from = rig.count();
    relay.close(true);
    rig.down_since(from).await;
    for n in 2..=20 {
        peer.tell(json!({"write": [write("A", n)]})).await;
    }
    // The connection that takes the subscription over is lost in turn, before its answer.
    peer.tell(json!({"trouble": "cut transfer"})).await;
    let from = rig.count();
    relay.close(false);
    goes_on(&rig, from).await;
    assert_eq!(peer.tell(json!({"subscriptions": true})).await, before);
    let all = rig.stop().await;
    let expected: Vec<Value> = (0..=20).map(Value::I64).collect();
    assert_eq!(values(&all, "a"), expected, "each once, in order");
    assert_eq!(peer.tell(json!({"subscriptions": true})).await, json!([]));
}

/// A server that answers nothing for a while is a lost link, and queues on all the same.
#[tokio::test]
async fn a_subscription_goes_on_after_a_stall_with_what_the_server_has_queued() {
    let mut peer = Peer::start(options()).await;
    let relay = Relay::start(peer.port).await;
    let keys = format!(
        "url = \"opc.tcp://127.0.0.1:{}/forebay/\"\n{FAST}",
        relay.port
    );
    let rig = start(&keys, TAGS);
    rig.samples_since(0, 2).await;
    let before = peer.tell(json!({"subscriptions": true})).await;
    let from = rig.count();
    peer.tell(json!({"write": [write("A", 1)]})).await;
    rig.samples_since(from, 1).await;
    let from = rig.count();
    relay.stall(true);
    for n in 2..=20 {
        peer.tell(json!({"write": [write("A", n)]})).await;
    }
    let (_, why) = rig.down_since(from).await;
    assert!(why.contains("no answer within"), "{why}");
    let from = rig.count();
    // What the connector has to say to the old connection arrives now.
    relay.stall(false);
    goes_on(&rig, from).await;
    assert_eq!(peer.tell(json!({"subscriptions": true})).await, before);
    let all = rig.stop().await;
    let expected: Vec<Value> = (0..=20).map(Value::I64).collect();
    assert_eq!(values(&all, "a"), expected, "each once, in order");
}

async fn goes_on(rig: &Rig, from: usize) {
    rig.up_since(from).await;
    rig.until("what was written meanwhile", from, |parcels| {
        let samples = samples_of(parcels);
        (values(&samples, "a").last() == Some(&Value::I64(20))
            && again(&samples, "b") == [Value::I64(0)])
        .then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_subscription_that_sends_nothing_to_the_new_session_is_made_again() {
    let mut options = options();
    options["transfers"] = json!(false);
    let mut peer = Peer::start(options).await;
    let relay = Relay::start(peer.port).await;
    let keys = format!(
        "url = \"opc.tcp://127.0.0.1:{}/forebay/\"\n{FAST}",
        relay.port
    );
    let rig = start(&keys, TAGS);
    rig.samples_since(0, 2).await;
    let from = rig.count();
    relay.cut();
    rig.down_since(from).await;
    rig.up_since(from).await;
    let from = rig.count();
    peer.tell(json!({"write": [write("A", 1)]})).await;
    rig.until("the new value", from, |parcels| {
        values(&samples_of(parcels), "a")
            .contains(&Value::I64(1))
            .then_some(())
    })
    .await;
    assert_eq!(rig.links().len(), 3, "up, down, and up for good");
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_says_it_shuts_down_is_a_lost_link() {
    let mut peer = Peer::start(options()).await;
    let rig = start(&format!("url = \"{}\"\n{FAST}", peer.url()), TAGS);
    rig.samples_since(0, 2).await;
    let from = rig.count();
    peer.tell(json!({"state": 4})).await;
    let (_, why) = rig.down_since(from).await;
    assert!(why.contains("the server is shutting down"), "{why}");
    peer.tell(json!({"state": 0})).await;
    rig.up_since(from).await;
    rig.stop().await;
}

#[tokio::test]
async fn a_subscription_that_the_server_drops_is_made_again() {
    let mut peer = Peer::start(options()).await;
    let rig = start(&format!("url = \"{}\"\n{FAST}", peer.url()), TAGS);
    rig.samples_since(0, 2).await;
    let from = rig.count();
    peer.tell(json!({"drop": true})).await;
    let (_, why) = rig.down_since(from).await;
    assert!(
        why.contains("subscription") || why.contains("BadNoSubscription"),
        "{why}"
    );
    rig.up_since(from).await;
    peer.tell(json!({"write": [write("A", 3)]})).await;
    rig.until("the new value", from, |parcels| {
        values(&samples_of(parcels), "a")
            .contains(&Value::I64(3))
            .then_some(())
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn the_last_words_before_a_cut_are_taken() {
    let mut peer = Peer::start(options()).await;
    let rig = start(&format!("url = \"{}\"\n{FAST}", peer.url()), TAGS);
    rig.samples_since(0, 2).await;
    for round in 1..=3 {
        let from = rig.count();
        // The server closes the connection in the very moment in which it publishes.
        peer.tell(json!({"trouble": "hang up"})).await;
        // The first of the two would not be told again.
        peer.tell(json!({"write": [write("A", 2 * round - 1), write("A", 2 * round)]}))
            .await;
        rig.down_since(from).await;
        rig.up_since(from).await;
        // What the new subscription begins with is no last word: the next round's cut must not come with it.
        rig.until("what A and B were", from, |parcels| {
            let samples = samples_of(parcels);
            let is_told = again(&samples, "a") == [Value::I64(2 * round)];
            // B has no source time by which it could be known again.
            (is_told && of(&samples, "b", |_| true) == [Value::I64(0)]).then_some(())
        })
        .await;
    }
    let all = rig.stop().await;
    assert_eq!(
        values(&all, "a"),
        (0..=6).map(Value::I64).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_stop_is_quick_whatever_the_server_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    // Accepts into its backlog and never answers.
    let rig = start(&format!("url = \"opc.tcp://127.0.0.1:{port}\""), TAGS);
    let begun = Instant::now();
    let (told_at, why) = rig.down_since(0).await;
    assert!(
        told_at - begun < LOSS_REPORTED_WITHIN,
        "{:?}",
        told_at - begun
    );
    assert!(
        why.contains("open the secure channel: no answer within 4000 ms"),
        "{why}"
    );
    let begun = Instant::now();
    rig.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_port_without_a_server_is_named() {
    let port = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let rig = start(&format!("url = \"opc.tcp://127.0.0.1:{port}\""), TAGS);
    let (_, why) = rig.down_since(0).await;
    assert!(
        why.contains(&format!("cannot connect to 127.0.0.1:{port}")),
        "{why}"
    );
    rig.stop().await;
}

#[tokio::test]
async fn rubbish_and_giants_end_the_connection_and_nothing_else() {
    let mut giant = b"ACKF".to_vec();
    giant.extend(u32::MAX.to_le_bytes());
    giant.resize(4096, 0);
    let short = b"ACKF\x08\0\0\0\0\0\0\0".to_vec();
    let error = [
        b"ERRF".as_slice(),
        &20_u32.to_le_bytes(),
        &0x8085_0000_u32.to_le_bytes(),
        &4_u32.to_le_bytes(),
        b"full",
    ]
    .concat();
    let strange = "this is not an OPC UA server, or a proxy stands before it";
    let busy = "the server refused the connection";
    let http = b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec();
    for (bytes, words) in [
        (giant, "chunk of 4294967295 bytes: at most 65535 are agreed"),
        (vec![0; 4096], strange),
        (http, strange),
        (short, strange),
        (error, busy),
        (vec![], "closed the connection"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut tasks = JoinSet::new();
        let sent = bytes.clone();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut hello = [0; 64];
                if stream.read(&mut hello).await.is_ok() && stream.write_all(&sent).await.is_ok() {
                    stream.shutdown().await.ok();
                }
            }
        });
        let rig = start(&format!("url = \"opc.tcp://127.0.0.1:{port}\""), TAGS);
        let (_, why) = rig.down_since(0).await;
        assert!(
            why.starts_with("open the secure channel") && why.contains(words),
            "{bytes:?}: {why}"
        );
        assert_eq!(rig.stop().await, []);
    }
}
