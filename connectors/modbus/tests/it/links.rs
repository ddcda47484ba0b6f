//! Links that are lost and come back, against pymodbus.

use std::time::Duration;

use forebay_connectors::{LinkChange, Parcel};
use forebay_connectors_conformance::{LOSS_REPORTED_WITHIN, PATIENCE};
use forebay_schemas::{DeviceId, Quality, Value};
use tokio::time::Instant;

use crate::peer::{Peer, head, served, start, tag, unit};

fn level() -> String {
    unit(1, "", &[served("holding", 0, "u16", "", "42")])
}

fn level_tag(keys: &str) -> String {
    tag(
        "level",
        &format!("register = \"holding\"; address = 0; type = \"u16\"{keys}"),
    )
}

const UP: LinkChange = LinkChange {
    device: None,
    down: None,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_told_of_even_where_polls_are_rare() {
    let peer = Peer::start(0, &[level()]).await;
    let rig = start(&format!(
        "{}{}",
        head(peer.port, "every = \"1h\""),
        level_tag("")
    ));
    assert_eq!(rig.next_good("level").await, Value::U64(42));
    // A stopped process accepts connections still, as its kernel does, and never answers.
    peer.signal("STOP").await;
    let change = rig.next_link(LOSS_REPORTED_WITHIN).await;
    assert_eq!(
        change,
        LinkChange {
            device: None,
            down: Some("no answer from unit 1 within 1s".into())
        }
    );
    peer.signal("CONT").await;
    assert_eq!(rig.next_link(PATIENCE).await, UP);
    assert_eq!(
        rig.next_good("level").await,
        Value::U64(42),
        "a link that is back is polled at once"
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_never_there_is_told_of_once() {
    let peer = Peer::start(0, &[level()]).await;
    let port = peer.port;
    peer.kill().await;
    let rig = start(&format!("{}{}", head(port, ""), level_tag("")));
    let change = rig.next_link(LOSS_REPORTED_WITHIN).await;
    assert!(
        change
            .down
            .is_some_and(|reason| reason.contains("cannot connect"))
    );
    let _peer = Peer::start(port, &[level()]).await;
    assert_eq!(
        rig.next_link(PATIENCE).await,
        UP,
        "the same loss is told of once"
    );
    assert_eq!(rig.next_good("level").await, Value::U64(42));
    rig.stop().await;
}

fn three_units(silent: &str) -> Vec<String> {
    let value = || [served("holding", 0, "u16", "", "42")];
    vec![
        unit(1, "", &value()),
        unit(2, silent, &value()),
        unit(3, ", \"exception\": 11", &value()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_is_silent_takes_no_other_with_it() {
    let peer = Peer::start(0, &three_units(", \"silent\": true")).await;
    let mut text = head(peer.port, "every = \"100ms\"; timeout = \"2s\"");
    for (id, device) in [(1, "a"), (2, "b"), (3, "c")] {
        let keys = format!(
            "register = \"holding\"; address = 0; type = \"u16\"; unit_id = {id}; device = \"{device}\""
        );
        text.push_str(&tag("level", &keys));
    }
    let rig = start(&text);
    let mut changes = Vec::new();
    let mut good = 0;
    rig.next(PATIENCE, |parcel| {
        match parcel {
            Parcel::Link(change) => changes.push(change),
            Parcel::Messages { .. } | Parcel::Events(_) => {
                panic!("no device of Modbus sends anything again, nor events")
            }
            Parcel::Samples(samples) => {
                for sample in samples {
                    assert_eq!(
                        (sample.device.as_str(), sample.value),
                        ("a", Some(Value::U64(42)))
                    );
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
    let expected = [
        UP,
        down("b", "no answer from unit 2 within 2s"),
        down("c", "gateway target device failed to respond (11)"),
    ];
    assert_eq!(changes, expected);
    // The same server, its units all in order: each link is reported once more.
    let port = peer.port;
    peer.kill().await;
    assert_eq!(rig.next_link(LOSS_REPORTED_WITHIN).await.device, None);
    let _peer = Peer::start(port, &three_units("")[..2]).await;
    assert_eq!(rig.next_link(PATIENCE).await, UP);
    assert_eq!(
        rig.next_link(PATIENCE).await,
        LinkChange {
            device: Some(DeviceId::new("b").unwrap()),
            down: None
        }
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_a_device_on_two_units_are_told_of_one_by_one() {
    let peer = Peer::start(0, &three_units(", \"silent\": true")[..2]).await;
    let mut text = head(peer.port, "every = \"100ms\"; timeout = \"2s\"");
    text.push_str(&level_tag("; unit_id = 1"));
    text.push_str(&tag(
        "other",
        "register = \"holding\"; address = 0; type = \"u16\"; unit_id = 2",
    ));
    let rig = start(&text);
    let mut bad = 0;
    rig.next(PATIENCE, |parcel| {
        match parcel {
            Parcel::Link(change) => assert_eq!(change, UP),
            Parcel::Messages { .. } | Parcel::Events(_) => {
                panic!("no device of Modbus sends anything again, nor events")
            }
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
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_that_were_due_before_the_receipt_are_not_made_up_for() {
    let peer = Peer::start(0, &[level()]).await;
    let rig = start(&format!(
        "{}{}",
        head(peer.port, "every = \"10ms\"; timeout = \"5s\""),
        level_tag("")
    ));
    rig.next_good("level").await;
    rig.until_held().await;
    rig.stays_held(1, Duration::from_millis(500)).await;
    rig.next_good("level").await;
    let begun = Instant::now();
    for _ in 0..10 {
        rig.next_good("level").await;
    }
    assert!(
        begun.elapsed() >= Duration::from_millis(80),
        "polls came in a burst: {:?}",
        begun.elapsed()
    );
    rig.stop().await;
}
