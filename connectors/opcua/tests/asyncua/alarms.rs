//! Alarms and conditions of asyncua, which has ConditionRefresh and filters of events of its own.

use forebay_connectors_conformance::{Receipts, Rig, events_of};
use forebay_schemas::{EventForm, SourceEvent, Timestamp};
use serde_json::{Value as Json, json};

use crate::{
    peer::{Peer, options, start},
    relay::Relay,
};

const FAST: &str = "publishing_interval = \"100ms\"\nsampling = \"10ms\"";
const TAGS: &[(&str, &str)] = &[("force", "ns=2;s=Press")];
const BASE_US: i64 = 1_780_000_000_000_000;

fn nodes() -> Json {
    json!([{"id": "Press", "type": "Int64", "value": 0}])
}

fn keys(port: u16, event: &str) -> String {
    format!("url = \"opc.tcp://127.0.0.1:{port}/forebay/\"\n{FAST}\n[[connector.event]]\n{event}\n")
}

/// A change of a condition, so many seconds after a start.
fn change(condition: &str, seconds: i64, is_active: bool, is_acked: bool) -> Json {
    json!({"alarm": {
        "condition": condition, "severity": if is_active { 700 } else { 0 }, "message": format!("{condition} at {seconds}"),
        "us": BASE_US + seconds * 1_000_000, "active": is_active, "acked": is_acked, "retain": is_active || !is_acked,
    }})
}

async fn until_events(rig: &Rig, count: usize) {
    rig.until(&format!("{count} events"), 0, |kept| {
        (events_of(kept).len() >= count).then_some(())
    })
    .await;
}

/// The messages of all events, in order.
fn messages(rig: &Rig) -> Vec<String> {
    let events = rig.events().into_iter();
    events.map(|told| told.event.message).collect()
}

#[tokio::test]
async fn an_alarm_is_raised_acknowledged_and_cleared_and_each_change_comes_once() {
    let mut peer = Peer::start(options(nodes())).await;
    let rig = start(&keys(peer.port, "severity_min = 100"), TAGS);
    rig.samples_since(0, 1).await;
    for (seconds, is_active, is_acked) in [(1, true, false), (2, true, true), (3, false, true)] {
        peer.tell(change("TooHot", seconds, is_active, is_acked))
            .await;
    }
    for (severity, message) in [(99, "too low"), (300, "a plain event")] {
        peer.tell(json!({"alarm": {"severity": severity, "message": message, "us": BASE_US}}))
            .await;
    }
    until_events(&rig, 4).await;
    let told = rig.events();
    let states = |event: &SourceEvent| {
        let states = event.states;
        (states.active, states.acknowledged, states.retained)
    };
    let changes: Vec<_> = told.iter().map(|told| states(&told.event)).collect();
    let is = Some;
    assert_eq!(
        changes,
        [
            (is(true), is(false), is(true)),
            (is(true), is(true), is(true)),
            (is(false), is(true), is(false)),
            (None, None, None),
        ]
    );
    for (seconds, told) in (1..).zip(&told[..3]) {
        let event = &told.event;
        let severity = if event.states.active == Some(true) {
            700
        } else {
            0
        };
        assert_eq!(
            (event.form, event.severity),
            (EventForm::Alarm, Some(severity))
        );
        assert_eq!(event.condition_node, "ns=2;s=Press.TooHot");
        assert_eq!(event.condition_name, "TooHot");
        assert_eq!(
            (event.source_node.as_str(), event.source_name.as_str()),
            ("ns=2;s=Press", "Press")
        );
        assert_eq!(event.event_type, "i=2915");
        assert_eq!(
            event.time,
            Timestamp::from_micros(BASE_US + seconds * 1_000_000)
        );
        assert_eq!(event.message, format!("TooHot at {seconds}"));
        // Its source is the node of a tag.
        assert_eq!(event.tag.as_ref().unwrap().as_str(), "force");
        assert_eq!(told.device.as_str(), "press-3");
        assert!(!event.event_id.is_empty());
    }
    assert_eq!(
        (told[3].event.form, told[3].event.message.as_str()),
        (EventForm::Event, "a plain event")
    );
    rig.stop().await;
}

#[tokio::test]
async fn after_a_lost_link_only_what_has_changed_meanwhile_comes() {
    let mut peer = Peer::start(options(nodes())).await;
    let relay = Relay::start(peer.port).await;
    // Conditions that hold before anybody listens.
    peer.tell(change("TooHot", 1, true, false)).await;
    peer.tell(change("TooLoud", 1, true, false)).await;
    let rig = start(&keys(relay.port, ""), TAGS);
    until_events(&rig, 2).await;
    let from = rig.count();
    relay.close(true);
    rig.down_since(from).await;
    // The subscription is gone, and with it what it would have queued.
    peer.tell(json!({"drop": true})).await;
    peer.tell(change("TooHot", 2, true, true)).await;
    peer.tell(change("Late", 2, true, false)).await;
    relay.close(false);
    rig.up_since(from).await;
    until_events(&rig, 4).await;
    // The subscription goes on with what it has queued, and the refresh after it says nothing new.
    let from = rig.count();
    relay.close(true);
    rig.down_since(from).await;
    for (seconds, is_active) in [(3, false), (4, true), (5, false)] {
        peer.tell(change("TooLoud", seconds, is_active, true)).await;
    }
    relay.close(false);
    rig.up_since(from).await;
    until_events(&rig, 7).await;
    peer.tell(change("Last", 6, true, true)).await;
    until_events(&rig, 8).await;
    let mut all = messages(&rig);
    // The server decides in which order it reports conditions again.
    all[..2].sort();
    all[2..4].sort();
    assert_eq!(
        all,
        [
            "TooHot at 1",
            "TooLoud at 1",
            "Late at 2",
            "TooHot at 2",
            "TooLoud at 3",
            "TooLoud at 4",
            "TooLoud at 5",
            "Last at 6",
        ]
    );
    rig.stop().await;
}

#[tokio::test]
async fn an_event_without_a_receipt_is_not_acknowledged_and_comes_again_after_a_crash() {
    let mut peer = Peer::start(options(nodes())).await;
    let rig = start(&keys(peer.port, "type = \"i=2915\""), TAGS);
    rig.samples_since(0, 1).await;
    rig.receipts(Receipts::Withheld);
    peer.tell(json!({"alarm": {"severity": 500, "message": "of another type", "us": BASE_US}}))
        .await;
    peer.tell(change("TooHot", 1, true, false)).await;
    rig.until_held().await;
    assert_eq!(rig.held().len(), 1);
    let unacknowledged = peer.tell(json!({"acks": true})).await;
    assert!(unacknowledged[0].as_u64().unwrap() >= 1);
    rig.kill().await;
    let rig = start(&keys(peer.port, "type = \"i=2915\""), TAGS);
    until_events(&rig, 1).await;
    assert_eq!(messages(&rig), ["TooHot at 1"]);
    rig.stop().await;
}

#[tokio::test]
async fn events_that_lack_everything_and_huge_ones_are_taken_and_a_missing_notifier_stops_no_other()
{
    let mut options = options(nodes());
    // Nor does this server tell again which conditions hold.
    options["conditions"] = json!(false);
    let mut peer = Peer::start(options).await;
    let missing = "node = \"ns=2;s=Nowhere\"\n[[connector.event]]\nnode = \"nsu=urn:nobody;i=1\"\n[[connector.event]]";
    let rig = start(&keys(peer.port, missing), TAGS);
    rig.samples_since(0, 1).await;
    let huge = "ü".repeat(300_000);
    peer.tell(json!({"alarm": {"severity": 5, "message": huge, "us": BASE_US, "bare": true}}))
        .await;
    until_events(&rig, 2).await;
    let told = rig.events();
    assert_eq!(told[0].event.message.len(), 600_000);
    let kept = SourceEvent::decode(&told[0].event.encode()).unwrap();
    assert_eq!(kept.message.chars().next_back(), Some('…'));
    let bare = SourceEvent {
        connector: "press".into(),
        event_type: "i=2041".into(),
        source_name: "Press".into(),
        ..SourceEvent::default()
    };
    assert_eq!(told[1].event, bare);
    rig.stop().await;
}
