//! Twenty thousand variables of one server.

use std::{collections::HashSet, fmt::Write};

use forebay_connectors_conformance::{Receipts, Rig, samples_of};
use forebay_opcua::OpcuaKind;
use forebay_schemas::Value;
use serde_json::json;
use tokio::time::Instant;

use crate::peer::Node;

const ITEMS: usize = 20_000;

/// This process's resident memory in MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

#[tokio::test]
async fn twenty_thousand_items_are_created_within_the_limits_and_all_get_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start();
    let mut peer = node.serve(json!({
        "folder": folder.path(),
        "rows": ITEMS,
        "limits": {"maxMonitoredItemsPerCall": 1000, "maxNodesPerRead": 1000},
    }));
    let mut text = format!(
        "[[connector]]\nname = \"press\"\nkind = \"opcua\"\ndevice = \"press-3\"\nurl = \"{}\"\nqueue_size = 1\nsampling = \"1s\"\n\
         timeout = \"30s\"\n",
        peer.url()
    );
    for n in 0..ITEMS {
        writeln!(
            text,
            "[[connector.tag]]\nname = \"r{n}\"\nnode = \"ns=1;s=R{n}\""
        )
        .unwrap();
    }
    let before = resident();
    let begun = Instant::now();
    let rig = Rig::start(&OpcuaKind, &text, Receipts::Given);
    let first = rig.samples_since(0, ITEMS).await;
    let first_in = begun.elapsed();
    let distinct: HashSet<&str> = first.iter().map(|sample| sample.tag.as_str()).collect();
    assert_eq!(distinct.len(), ITEMS, "one value each");
    assert!(first.iter().all(|sample| sample.value.is_some()));
    // All of them change at once.
    let from = rig.count();
    let begun = Instant::now();
    peer.tell(&json!({"step": 7}));
    rig.until("the second value of all", from, |parcels| {
        let samples = samples_of(parcels);
        let is_second = |value: &Option<Value>| *value == Some(Value::I64(7));
        let found = samples.iter().filter(|sample| is_second(&sample.value));
        (found.count() >= ITEMS - 1).then_some(())
    })
    .await;
    println!(
        "{ITEMS} items: all values after {first_in:.1?}, all changed after {:.1?}; resident {before} MiB before, {} MiB after",
        begun.elapsed(),
        resident()
    );
    assert_eq!(rig.links().len(), 1, "the link stays up: {:?}", rig.links());
    rig.stop().await;
}
