//! Alarms of node-opcua, which has limits, states and ConditionRefresh of its own.

use std::collections::BTreeSet;

use forebay_connectors::DeviceEvent;
use forebay_connectors_conformance::{Rig, events_of};
use forebay_schemas::EventForm;
use serde_json::json;

use crate::{
    peer::{FAST, Node, start, url},
    relay::Relay,
};

/// Whether the condition's last change says so.
fn is_now(events: &[DeviceEvent], condition: &str, is_active: bool, is_acked: bool) -> bool {
    let node = format!("ns=1;s={condition}");
    let of = |told: &&DeviceEvent| told.event.condition_node == node;
    events.iter().rev().find(of).is_some_and(|told| {
        let states = told.event.states;
        (states.active, states.acknowledged) == (Some(is_active), Some(is_acked))
    })
}

async fn until(rig: &Rig, condition: &str, is_active: bool, is_acked: bool) {
    let what = format!("{condition}: active {is_active}, acknowledged {is_acked}");
    rig.until(&what, 0, |kept| {
        is_now(&events_of(kept), condition, is_active, is_acked).then_some(())
    })
    .await;
}

#[tokio::test]
async fn alarms_are_told_with_their_states_and_once_over_a_lost_link() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start();
    let options = json!({"folder": folder.path(), "alarms": ["Level", "Heat"]});
    let mut peer = node.serve(options);
    let relay = Relay::start(peer.port).await;
    let keys = format!(
        "url = \"{}\"\n{FAST}\nevent = [{{ severity_min = 100, type = \"i=2915\" }}]",
        url(relay.port)
    );
    // It is too high before anybody listens.
    peer.tell(&json!({"limit": ["Level", 95]}));
    let rig = start(&keys, &[]);
    until(&rig, "LevelAlarm", true, false).await;
    peer.tell(&json!({"acknowledge": "Level"}));
    until(&rig, "LevelAlarm", true, true).await;
    peer.tell(&json!({"limit": ["Level", 50]}));
    until(&rig, "LevelAlarm", false, true).await;
    peer.tell(&json!({"limit": ["Level", 5]}));
    until(&rig, "LevelAlarm", true, false).await;

    let from = rig.count();
    relay.close(true);
    rig.down_since(from).await;
    peer.tell(&json!({"acknowledge": "Level"}));
    peer.tell(&json!({"limit": ["Heat", 85]}));
    relay.close(false);
    rig.up_since(from).await;
    until(&rig, "LevelAlarm", true, true).await;
    until(&rig, "HeatAlarm", true, false).await;

    let events = rig.events();
    let names: BTreeSet<Vec<u8>> = events.iter().map(|told| told.event.identity()).collect();
    assert_eq!(names.len(), events.len(), "each change once: {events:#?}");
    for told in &events {
        assert_eq!(told.event.form, EventForm::Alarm);
        assert!(
            told.event.time.is_some() && told.event.severity.is_some(),
            "{told:?}"
        );
    }
    rig.stop().await;
}
