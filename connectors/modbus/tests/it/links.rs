//! Links that are lost and come back, against pymodbus.

use std::time::Duration;

use forebay_connectors::{LinkChange, Parcel};
use forebay_schemas::{DeviceId, Quality, Value};
use tokio::time::{Instant, timeout};

use crate::harness::{PATIENCE, Peer, Rig, TOLD_WITHIN, head, served, tag, unit};

fn level() -> String {
    unit(1, "", &[served("holding", 0, "u16", "", "42")])
}

fn level_tag(keys: &str) -> String {
    tag("level", &format!("register = \"holding\"; address = 0; type = \"u16\"{keys}"))
}

const UP: LinkChange = LinkChange { device: None, down: None };

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_told_of_and_found_again() {
    let peer = Peer::start(0, &[level()]).await;
    let port = peer.port;
    let mut rig = Rig::start(&format!("{}{}", head(port, "every = \"200ms\""), level_tag("")));
    assert_eq!(rig.link(PATIENCE).await, UP, "a link that comes up is told of before its samples");
    for _ in 0..2 {
        assert_eq!(rig.good("level").await, Value::U64(42));
    }
    peer.kill().await;
    let change = rig.link(TOLD_WITHIN).await;
    let reason = change.down.expect("the link went");
    assert_eq!(change.device, None);
    assert!(reason.contains(&format!("cannot connect to tcp://127.0.0.1:{port}")), "{reason}");
    let _peer = Peer::start(port, &[level()]).await;
    assert_eq!(rig.link(PATIENCE).await, UP);
    assert_eq!(rig.good("level").await, Value::U64(42));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_told_of_even_where_polls_are_rare() {
    let peer = Peer::start(0, &[level()]).await;
    let mut rig = Rig::start(&format!("{}{}", head(peer.port, "every = \"1h\""), level_tag("")));
    assert_eq!(rig.good("level").await, Value::U64(42));
    // A stopped process accepts connections still, as its kernel does, and never answers.
    peer.signal("STOP").await;
    let change = rig.link(TOLD_WITHIN).await;
    assert_eq!(change, LinkChange { device: None, down: Some("no answer from unit 1 within 1s".into()) });
    peer.signal("CONT").await;
    assert_eq!(rig.link(PATIENCE).await, UP);
    assert_eq!(rig.good("level").await, Value::U64(42), "a link that is back is polled at once");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_never_there_is_told_of_once() {
    let peer = Peer::start(0, &[level()]).await;
    let port = peer.port;
    peer.kill().await;
    let mut rig = Rig::start(&format!("{}{}", head(port, ""), level_tag("")));
    let change = rig.link(TOLD_WITHIN).await;
    assert!(change.down.is_some_and(|reason| reason.contains("cannot connect")));
    let _peer = Peer::start(port, &[level()]).await;
    assert_eq!(rig.link(PATIENCE).await, UP, "the same loss is told of once");
    assert_eq!(rig.good("level").await, Value::U64(42));
    rig.end().await;
}

fn three_units(silent: &str) -> Vec<String> {
    let value = || [served("holding", 0, "u16", "", "42")];
    vec![unit(1, "", &value()), unit(2, silent, &value()), unit(3, ", \"exception\": 11", &value())]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_is_silent_takes_no_other_with_it() {
    let peer = Peer::start(0, &three_units(", \"silent\": true")).await;
    let mut text = head(peer.port, "every = \"100ms\"; timeout = \"2s\"");
    for (id, device) in [(1, "a"), (2, "b"), (3, "c")] {
        let keys =
            format!("register = \"holding\"; address = 0; type = \"u16\"; unit_id = {id}; device = \"{device}\"");
        text.push_str(&tag("level", &keys));
    }
    let mut rig = Rig::start(&text);
    let mut changes = Vec::new();
    let mut good = 0;
    rig.until(PATIENCE, |parcel| {
        match parcel {
            Parcel::Link(change) => changes.push(change),
            Parcel::Messages { .. } => panic!("no device of Modbus sends anything again"),
            Parcel::Samples(samples) => {
                for sample in samples {
                    assert_eq!((sample.device.as_str(), sample.value), ("a", Some(Value::U64(42))));
                    good += 1;
                }
            }
        }
        (good >= 15).then_some(())
    })
    .await;
    let down = |device: &str, reason: &str| LinkChange {
        device: Some(DeviceId::new(device).unwrap()),
        down: Some(reason.into()),
    };
    let expected =
        [UP, down("b", "no answer from unit 2 within 2s"), down("c", "gateway target device failed to respond (11)")];
    assert_eq!(changes, expected);
    // The same server, its units all in order: each link is told of once more.
    let port = peer.port;
    peer.kill().await;
    assert_eq!(rig.link(TOLD_WITHIN).await.device, None);
    let _peer = Peer::start(port, &three_units("")[..2]).await;
    assert_eq!(rig.link(PATIENCE).await, UP);
    assert_eq!(rig.link(PATIENCE).await, LinkChange { device: Some(DeviceId::new("b").unwrap()), down: None });
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_a_device_on_two_units_are_told_of_one_by_one() {
    let peer = Peer::start(0, &three_units(", \"silent\": true")[..2]).await;
    let mut text = head(peer.port, "every = \"100ms\"; timeout = \"2s\"");
    text.push_str(&level_tag("; unit_id = 1"));
    text.push_str(&tag("other", "register = \"holding\"; address = 0; type = \"u16\"; unit_id = 2"));
    let mut rig = Rig::start(&text);
    let mut bad = 0;
    rig.until(PATIENCE, |parcel| {
        match parcel {
            Parcel::Link(change) => assert_eq!(change, UP),
            Parcel::Messages { .. } => panic!("no device of Modbus sends anything again"),
            Parcel::Samples(samples) => {
                for sample in samples {
                    let is_bad = sample.status.quality == Quality::Bad;
                    assert_eq!(sample.tag.as_str() == "other", is_bad, "{sample:?}");
                    let reason = sample.status.reason.as_deref();
                    assert_eq!(is_bad, reason == Some("no answer from unit 2 within 2s"));
                    bad += u32::from(is_bad);
                }
            }
        }
        (bad >= 2).then_some(())
    })
    .await;
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_wait_for_the_receipt_of_the_one_before() {
    let peer = Peer::start(0, &[level()]).await;
    let mut rig = Rig::start(&format!("{}{}", head(peer.port, "every = \"10ms\"; timeout = \"5s\""), level_tag("")));
    rig.good("level").await;
    let held = timeout(PATIENCE, rig.taken.recv()).await.unwrap().unwrap();
    assert!(matches!(held.parcel, Parcel::Samples(_)));
    let more = timeout(Duration::from_millis(500), rig.taken.recv()).await;
    assert!(more.is_err(), "a poll went on without the receipt: {more:?}");
    held.receipt.send(()).unwrap();
    // Polls that were due meanwhile are not made up for.
    let start = Instant::now();
    for _ in 0..10 {
        rig.good("level").await;
    }
    assert!(start.elapsed() >= Duration::from_millis(80), "polls came in a burst: {:?}", start.elapsed());
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_awaits_the_receipt_under_way() {
    let peer = Peer::start(0, &[level()]).await;
    let mut rig = Rig::start(&format!("{}{}", head(peer.port, "every = \"10ms\"; timeout = \"5s\""), level_tag("")));
    rig.good("level").await;
    let held = timeout(PATIENCE, rig.taken.recv()).await.unwrap().unwrap();
    rig.stop.cancel();
    let ended = timeout(Duration::from_millis(300), rig.taken.recv()).await;
    assert!(ended.is_err(), "the connector ended without its receipt: {ended:?}");
    held.receipt.send(()).expect("the connector still waits");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_takes_nothing_more_ends_the_connector() {
    let peer = Peer::start(0, &[level()]).await;
    let text = format!("{}{}", head(peer.port, "every = \"10ms\"; timeout = \"5s\""), level_tag(""));
    let mut rig = Rig::start(&text.replace("127.0.0.1", "localhost"));
    rig.good("level").await;
    rig.taken.close();
    // No stop is called for: the outlet alone says so.
    while let Some(delivery) = timeout(PATIENCE, rig.taken.recv()).await.unwrap() {
        drop(delivery.receipt);
    }
    rig.end().await;
}
