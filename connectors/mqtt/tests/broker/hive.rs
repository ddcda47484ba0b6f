//! Delivery against another broker than mosquitto: HiveMQ's community edition, which counts packet ids, repeats and shares in its own
//! way. One JVM for all.

use forebay_connectors_conformance::{Receipts, Rig};
use forebay_schemas::Value;

use crate::support::{Hive, Peer, Proxy, start, until};

#[tokio::test(flavor = "multi_thread")]
async fn another_broker_delivers_as_mosquitto_does() {
    let hive = Hive::start();
    tokio::join!(all(&hive, 4), all(&hive, 5));
}

async fn all(hive: &Hive, version: u8) {
    for qos in [1, 2] {
        what_was_stored_before_a_cut_is_stored_once(hive, version, qos).await;
    }
    what_comes_while_the_gateway_is_away_is_kept(hive, version).await;
    a_link_that_breaks_neither_loses_nor_doubles(hive, version).await;
    a_shared_message_goes_to_one(hive, version).await;
    over_websocket(hive, version).await;
}

/// HiveMQ takes ten messages before its answer. Two publishers of one name would take each other's session.
fn peer(hive: &Hive, version: u8) -> Peer {
    let more = format!("\"inflight\": 10, \"client_id\": \"peer{version}\",");
    Peer::connect(hive.port, version, &more)
}

fn count(topic: &str, first: u32, last: u32, qos: u8) -> String {
    format!(
        "\"topic\": \"site/{topic}/cell/t\", \"first\": {first}, \"last\": {last}, \"qos\": {qos}"
    )
}

fn keys(name: &str, version: u8, more: &str) -> String {
    format!(
        "version = {version}\nclient_id = \"{name}\"\ntopics = [\"site/{name}/cell/+\"]\n{more}"
    )
}

/// Each number has come, once and in order.
async fn gateway_has(gateway: &Rig, name: &str, last: i64) {
    let enough = usize::try_from(last).unwrap();
    until("the numbers", || {
        (gateway.integers().len() >= enough).then_some(())
    })
    .await;
    assert_eq!(gateway.integers(), (1..=last).collect::<Vec<_>>(), "{name}");
}

/// The PUBACKs or PUBRECs are lost, the broker repeats with DUP.
async fn what_was_stored_before_a_cut_is_stored_once(hive: &Hive, version: u8, qos: u8) {
    let proxy = Proxy::start(hive.port).await;
    let name = format!("lost{version}{qos}");
    let gateway = start(proxy.port, &keys(&name, version, &format!("qos = {qos}")));
    gateway.until_up().await;
    let mut peer = peer(hive, version);
    proxy.lose_pubacks(true);
    peer.command(&count(&name, 1, 10, qos));
    // How many it sends before the first answer is by chance.
    until("the first answer", || (proxy.pubacks() > 0).then_some(())).await;
    proxy.lose_pubacks(false);
    proxy.cut();
    until("answers to the repetitions and the rest", || {
        (proxy.pubacks() > 10 && gateway.integers().len() >= 10).then_some(())
    })
    .await;
    assert_eq!(gateway.integers(), (1..=10).collect::<Vec<_>>(), "{name}");
    peer.command(&count(&name, 11, 40, qos));
    gateway_has(&gateway, &name, 40).await;
    gateway.stop().await;
}

async fn what_comes_while_the_gateway_is_away_is_kept(hive: &Hive, version: u8) {
    let name = format!("away{version}");
    let keys = keys(&name, version, "");
    let gateway = start(hive.port, &keys);
    gateway.until_up().await;
    let mut peer = peer(hive, version);
    peer.command(&count(&name, 1, 5, 0));
    gateway.samples_since(0, 5).await;
    gateway.stop().await;
    peer.command(&count(&name, 6, 205, 1));
    let gateway = start(hive.port, &keys);
    gateway.samples_since(0, 200).await;
    assert_eq!(gateway.integers(), (6..=205).collect::<Vec<_>>(), "{name}");
    gateway.stop().await;
}

/// Cuts while receipts are given, awaited, and on their way.
async fn a_link_that_breaks_neither_loses_nor_doubles(hive: &Hive, version: u8) {
    let proxy = Proxy::start(hive.port).await;
    let name = format!("cut{version}");
    let gateway = start(proxy.port, &keys(&name, version, ""));
    gateway.until_up().await;
    let mut peer = peer(hive, version);
    for round in 0..2 {
        proxy.lose_pubacks(true);
        let pubacks = proxy.pubacks();
        let last = round * 300 + 300;
        peer.send(&count(&name, round * 300 + 1, last, 1));
        until("lost PUBACKs", || (proxy.pubacks() > pubacks).then_some(())).await;
        gateway.receipts(Receipts::Withheld);
        proxy.cut();
        proxy.lose_pubacks(false);
        gateway.receipts(Receipts::Given);
        peer.finish();
        gateway_has(&gateway, &name, last.into()).await;
    }
    gateway.stop().await;
}

/// HiveMQ shares with clients of 3.1.1 too.
async fn a_shared_message_goes_to_one(hive: &Hive, version: u8) {
    let keys = |name: &str| {
        format!(
            "version = {version}\nclient_id = \"{name}{version}\"\n\
             topics = [\"$share/edge{version}/site/share{version}/cell/+\"]"
        )
    };
    let (one, other) = (start(hive.port, &keys("a")), start(hive.port, &keys("b")));
    one.until_up().await;
    other.until_up().await;
    let mut peer = peer(hive, version);
    peer.command(&count(&format!("share{version}"), 1, 60, 1));
    let both = || {
        let numbers = [one.integers(), other.integers()].concat();
        (numbers.len() >= 60).then_some(numbers)
    };
    let mut numbers = until("all numbers at one of them", both).await;
    numbers.sort_unstable();
    // Whoever has room may get all of them.
    assert_eq!(numbers, (1..=60).collect::<Vec<_>>(), "each went to one");
    one.stop().await;
    other.stop().await;
}

async fn over_websocket(hive: &Hive, version: u8) {
    let name = format!("ws{version}");
    let url = format!("url = \"ws://127.0.0.1:{}/mqtt\"", hive.websocket_port);
    let gateway = start(0, &keys(&name, version, &url));
    gateway.until_up().await;
    let mut peer = peer(hive, version);
    peer.command(&count(&name, 1, 300, 1));
    gateway_has(&gateway, &name, 300).await;
    // In one frame, whose length has 64 bits.
    let from = gateway.count();
    peer.command(&format!(
        "\"topic\": \"site/{name}/cell/t\", \"bytes\": 200000"
    ));
    let long = gateway.samples_since(from, 1).await;
    let kept = match &long[0].value {
        Some(Value::Bytes(bytes)) => bytes.len(),
        _ => 0,
    };
    assert_eq!(kept, 200_000);
    gateway.stop().await;
}
