//! The connector against mosquitto and paho-mqtt.

use std::time::Duration;

use crate::support::{Broker, Peer, Proxy, now, start, start_with, until};
use forebay_connectors::LinkChange;
use forebay_connectors_conformance::{Receipts, Rig};
use forebay_schemas::{Quality, Value};

const OPEN: &str = "allow_anonymous true";
const PERSISTENT: &str = "allow_anonymous true\npersistence true\npersistence_location {folder}/\n\
                          max_queued_messages 0\nmax_inflight_messages 200";

#[tokio::test(flavor = "multi_thread")]
async fn readings_come_with_both_versions() {
    let broker = Broker::start(OPEN);
    for (version, peer_version) in [(4, 4), (5, 5), (5, 4)] {
        let gateway = start(
            broker.port,
            &format!("version = {version}\nclient_id = \"c{version}{peer_version}\""),
        );
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, peer_version, "");
        peer.publish(
            "site/rack-1/cell/7",
            &["{\"v\": 3.5}", "{\"v\": 9007199254740993}"],
        );
        let samples = gateway.samples_since(0, 2).await;
        let seen: Vec<_> = samples
            .iter()
            .map(|s| (s.device.as_str(), s.tag.as_str(), s.value.clone()))
            .collect();
        let expected = [
            ("rack-1", "7", Some(Value::F64(3.5))),
            ("rack-1", "7", Some(Value::I64(9_007_199_254_740_993))),
        ];
        assert_eq!(seen, expected, "version {version}");
        assert!(
            samples
                .iter()
                .all(|s| s.status.quality == Quality::Good && s.event_time.is_none())
        );
        assert_eq!(gateway.stop().await.len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_before_its_receipt() {
    let broker = Broker::start(OPEN);
    for version in [4, 5] {
        let proxy = Proxy::start(broker.port).await;
        let keys = format!("version = {version}\nclient_id = \"w{version}\"");
        let gateway = start_with(proxy.port, &keys, Receipts::Withheld);
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        peer.count("site/d/cell/t", 1, 5);
        let sent = || {
            broker
                .log()
                .matches(&format!("Sending PUBLISH to w{version}"))
                .count()
                >= 5
        };
        until("mosquitto to send five messages", || sent().then_some(())).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!((proxy.pubacks(), gateway.samples().len()), (0, 0));
        gateway.receipts(Receipts::Given);
        until("five PUBACKs", || (proxy.pubacks() == 5).then_some(())).await;
        assert_eq!(gateway.integers(), [1, 2, 3, 4, 5]);
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_puback_is_lost_is_stored_once() {
    let broker = Broker::start(OPEN);
    for version in [4, 5] {
        let proxy = Proxy::start(broker.port).await;
        let gateway = start(
            proxy.port,
            &format!("version = {version}\nclient_id = \"l{version}\""),
        );
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        proxy.lose_pubacks(true);
        peer.count("site/d/cell/t", 1, 10);
        until("ten PUBACKs", || (proxy.pubacks() == 10).then_some(())).await;
        proxy.lose_pubacks(false);
        proxy.cut();
        gateway.until_down().await;
        gateway.until_up().await;
        until("the PUBACKs of the repetitions", || {
            (proxy.pubacks() >= 20).then_some(())
        })
        .await;
        peer.count("site/d/cell/t", 11, 12);
        gateway.samples_since(0, 12).await;
        assert_eq!(gateway.stop().await.len(), 12);
        assert!(
            broker
                .log()
                .contains(&format!("Sending PUBLISH to l{version} (d1")),
            "mosquitto repeats with DUP"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_numbers_come_once_and_in_order_over_a_restart_of_the_broker() {
    for version in [4, 5] {
        let mut broker = Broker::start(PERSISTENT);
        let gateway = start(broker.port, &format!("version = {version}"));
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        peer.send("\"topic\": \"site/d/cell/t\", \"first\": 1, \"last\": 2500");
        until("some numbers", || {
            (gateway.integers().len() > 500).then_some(())
        })
        .await;
        peer.finish();
        // The rest waits in the broker while it restarts.
        gateway.receipts(Receipts::Withheld);
        peer.count("site/d/cell/t", 2501, 3000);
        drop(peer);
        broker.stop();
        assert!(broker.run(), "mosquitto starts again");
        gateway.receipts(Receipts::Given);
        let mut peer = Peer::connect(broker.port, version, "\"client_id\": \"second\",");
        peer.count("site/d/cell/t", 3001, 5000);
        until("all numbers", || {
            (gateway.integers().len() >= 5000).then_some(())
        })
        .await;
        let numbers: Vec<i64> = gateway
            .stop()
            .await
            .iter()
            .map(|s| {
                if let Some(Value::I64(n)) = s.value {
                    n
                } else {
                    -1
                }
            })
            .collect();
        let expected: Vec<i64> = (1..=5000).collect();
        assert!(
            numbers == expected,
            "version {version}: {:?}",
            first_difference(&numbers)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pubacks_are_proven_long_before_the_keep_alive() {
    let broker = Broker::start(PERSISTENT);
    for version in [4, 5] {
        let keys = format!("version = {version}\nclient_id = \"m{version}\"\nkeep_alive = \"1h\"");
        let gateway = start(broker.port, &keys);
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        peer.count("site/d/cell/t", 1, 1500);
        gateway.samples_since(0, 1500).await;
        until("the ends of proven receipts", || {
            (gateway.ended_receipts() >= 512).then_some(())
        })
        .await;
        assert!(
            broker
                .log()
                .contains(&format!("Received PINGREQ from m{version}"))
        );
        gateway.stop().await;
    }
}

fn first_difference(numbers: &[i64]) -> (usize, Vec<i64>) {
    let at = numbers
        .iter()
        .enumerate()
        .position(|(i, n)| *n != i as i64 + 1)
        .unwrap_or(numbers.len());
    (
        at,
        numbers[at.saturating_sub(3)..(at + 5).min(numbers.len())].to_vec(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn attempts_that_are_refused_are_reported_after_the_lost_link() {
    let mut broker = Broker::start(OPEN);
    let gateway = start(broker.port, "");
    gateway.until_up().await;
    broker.stop();
    let refused = || {
        gateway
            .links()
            .last()?
            .down
            .as_ref()?
            .contains("cannot connect")
            .then_some(())
    };
    until("the refused attempts", refused).await;
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_without_room_keeps_its_link_and_loses_nothing() {
    let broker = Broker::start(PERSISTENT);
    for version in [4, 5] {
        let keys = format!(
            "version = {version}\nclient_id = \"r{version}\"\nkeep_alive = \"2s\"\nmax_in_flight = 8"
        );
        let gateway = start_with(broker.port, &keys, Receipts::Withheld);
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        peer.count("site/d/cell/t", 1, 300);
        // Longer than the broker would wait for a silent client.
        tokio::time::sleep(Duration::from_secs(5)).await;
        gateway.receipts(Receipts::Given);
        gateway.samples_since(0, 300).await;
        assert_eq!(gateway.integers(), (1..=300).collect::<Vec<i64>>());
        assert_eq!(
            gateway.links(),
            [LinkChange {
                device: None,
                down: None
            }],
            "the link stayed up"
        );
        assert!(gateway.largest_delivery() <= 8);
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decoded_is_kept_and_the_rest_goes_on() {
    let broker = Broker::start(OPEN);
    let gateway = start(broker.port, "max_payload = \"1KiB\"");
    gateway.until_up().await;
    let mut peer = Peer::connect(broker.port, 5, "");
    peer.publish("site/d/cell/t", &["{\"v\": NaN}"]);
    peer.command("\"topic\": \"site/d/cell/t\", \"bytes\": 3000000");
    peer.publish("site/d/cell/t", &["{\"v\": 1}"]);
    let samples = gateway.samples_since(0, 3).await;
    let bytes = |i: usize| {
        if let Some(Value::Bytes(bytes)) = &samples[i].value {
            bytes.len()
        } else {
            0
        }
    };
    let reason = |i: usize| samples[i].status.reason.clone().unwrap_or_default();
    assert_eq!((bytes(0), bytes(1)), (10, 1024));
    assert!(reason(0).contains("not JSON"), "{}", reason(0));
    assert_eq!(
        reason(1),
        "the payload has 3000000 bytes, more than max_payload (1024)"
    );
    assert_eq!(gateway.integers(), [1]);
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retained_messages_do_not_come_again_with_each_connection() {
    let broker = Broker::start(OPEN);
    for version in [4, 5] {
        let mut peer = Peer::connect(broker.port, version, "");
        let topic = format!("site/r{version}/cell/t");
        peer.command(&format!(
            "\"topic\": {topic:?}, \"payloads\": [\"{{\\\"v\\\":1}}\"], \"retain\": true"
        ));
        let proxy = Proxy::start(broker.port).await;
        let keys = format!(
            "version = {version}\nclient_id = \"t{version}\"\ntopics = [\"site/r{version}/#\"]"
        );
        let gateway = start(proxy.port, &keys);
        gateway.samples_since(0, 1).await;
        gateway.until_up().await;
        proxy.cut();
        gateway.until_down().await;
        gateway.until_up().await;
        peer.count(&topic, 2, 2);
        until("the next number", || {
            gateway.integers().contains(&2).then_some(())
        })
        .await;
        assert_eq!(gateway.integers(), [1, 2], "version {version}");
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_acknowledges_what_is_durable_and_comes_to_an_end() {
    let broker = Broker::start(OPEN);
    for version in [4, 5] {
        let keys = format!("version = {version}\nclient_id = \"s{version}\"");
        let proxy = Proxy::start(broker.port).await;
        let gateway = start_with(proxy.port, &keys, Receipts::Withheld);
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        peer.count("site/d/cell/t", 1, 1);
        gateway.until_held().await;
        // Under way when the stop comes: awaited, acknowledged, then DISCONNECT.
        gateway.ask_to_stop();
        peer.count("site/d/cell/t", 2, 2);
        gateway.receipts(Receipts::Given);
        assert_eq!(gateway.stop().await.len(), 1);
        let farewell = || {
            broker
                .log()
                .contains(&format!("Received DISCONNECT from s{version}"))
        };
        until("mosquitto to see the DISCONNECT", || {
            farewell().then_some(())
        })
        .await;
        assert_eq!(proxy.pubacks(), 1);

        let gateway = start(broker.port, &keys);
        gateway.samples_since(0, 1).await;
        assert_eq!(gateway.integers(), [2]);

        // Neither a silent broker nor a silent gateway holds up the end for long.
        gateway.receipts(Receipts::Withheld);
        peer.count("site/d/cell/t", 3, 3);
        broker.freeze();
        let begun = now();
        let samples = gateway.stop().await.len();
        broker.thaw();
        assert_eq!(samples, 1, "no receipt, no sample");
        assert!(
            begun.elapsed() < Duration::from_secs(9),
            "took {:?}",
            begun.elapsed()
        );
        let gateway = start(broker.port, &keys);
        gateway.samples_since(0, 1).await;
        assert_eq!(gateway.integers(), [3]);
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_taken_over_is_named_and_backs_off() {
    let broker = Broker::start(OPEN);
    let first = start(broker.port, "client_id = \"same\"");
    first.until_up().await;
    let second = start(broker.port, "client_id = \"same\"");
    first.until_down().await;
    let hint = |gateway: &Rig| {
        let links = gateway.links();
        let mut reasons = links.iter().filter_map(|change| change.down.as_deref());
        reasons.any(|reason| reason.contains("has another client the same client_id?"))
    };
    until("the hint at the name", || {
        (hint(&first) || hint(&second)).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let connections = broker.log().matches("as same (").count();
    assert!(
        connections < 14,
        "two clients chase each other: {connections} connections"
    );
    second.stop().await;
    first.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_session_costs_nothing_that_has_arrived() {
    // Without persistence mosquitto forgets the session and its messages when it restarts.
    let mut broker = Broker::start(OPEN);
    let gateway = start_with(broker.port, "", Receipts::Withheld);
    gateway.until_up().await;
    let mut peer = Peer::connect(broker.port, 5, "");
    peer.count("site/d/cell/t", 1, 20);
    let sent = || {
        broker
            .log()
            .matches("Sending PUBLISH to forebay-g1-cells")
            .count()
            >= 20
    };
    until("mosquitto to send the messages", || sent().then_some(())).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(peer);
    broker.stop();
    assert!(broker.run());
    gateway.receipts(Receipts::Given);
    gateway.samples_since(0, 20).await;
    let mut peer = Peer::connect(broker.port, 5, "");
    until("the subscription to be made again", || {
        (gateway.links().len() >= 3).then_some(())
    })
    .await;
    gateway.until_up().await;
    peer.count("site/d/cell/t", 21, 22);
    gateway.samples_since(0, 22).await;
    assert_eq!(gateway.integers(), (1..=22).collect::<Vec<i64>>());
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_breaks_again_and_again_neither_loses_nor_doubles() {
    for version in [4, 5] {
        let broker = Broker::start(PERSISTENT);
        let proxy = Proxy::start(broker.port).await;
        let gateway = start(
            proxy.port,
            &format!("version = {version}\nmax_in_flight = 64"),
        );
        gateway.until_up().await;
        let mut peer = Peer::connect(broker.port, version, "");
        for round in 0..4 {
            // Some receipts are given and their PUBACKs are lost, others are still awaited at the cut.
            proxy.lose_pubacks(true);
            let pubacks = proxy.pubacks();
            let (first, last) = (round * 500 + 1, round * 500 + 500);
            peer.send(&format!(
                "\"topic\": \"site/d/cell/t\", \"first\": {first}, \"last\": {last}"
            ));
            until("lost PUBACKs", || {
                (proxy.pubacks() > pubacks + 10).then_some(())
            })
            .await;
            gateway.receipts(Receipts::Withheld);
            let changes = gateway.links().len();
            proxy.cut();
            proxy.lose_pubacks(false);
            gateway.receipts(Receipts::Given);
            until("the link to return", || {
                (gateway.links().len() >= changes + 2).then_some(())
            })
            .await;
            peer.finish();
            until("the round's numbers", || {
                gateway.integers().contains(&i64::from(last)).then_some(())
            })
            .await;
        }
        peer.count("site/d/cell/t", 2001, 2001);
        until("the last number", || {
            gateway.integers().contains(&2001).then_some(())
        })
        .await;
        let numbers = gateway.integers();
        assert!(
            numbers == (1..=2001).collect::<Vec<_>>(),
            "version {version}: {:?}",
            first_difference(&numbers)
        );
        gateway.stop().await;
    }
}
