//! A server's variables as tags, against asyncua.

use std::{path::Path, sync::Arc};

use crate::peer::{Peer, options};
use forebay_config::Document;
use forebay_connectors_conformance::{Receipts, Rig};
use forebay_opcua::{BrowseOptions, CONNECTOR, OpcuaKind, Server, browse};
use forebay_schemas::{Timestamp, Value};
use serde_json::json;

fn server(url: &str) -> Server {
    let text = format!("[[connector]]\nname = \"look\"\ndevice = \"d\"\nurl = \"{url}\"\n");
    Document::new(Path::new("f.toml"), &text, &|_| None)
        .read(|root| {
            let mut connector = root.tables(CONNECTOR).remove(0);
            Server::read(&mut connector, &mut [], Path::new("data"))
        })
        .unwrap()
}

#[tokio::test]
async fn what_browse_writes_is_a_configuration_that_reads() {
    let nodes = json!([
        {"id": "Force", "type": "Double", "value": 12.5},
        {"id": "Inner", "parent": "Force", "type": "Int32", "value": 7},
        {"id": "Name", "type": "String", "value": "P3"},
    ]);
    let peer = Peer::start(options(nodes)).await;
    let clock: forebay_schemas::Clock = Arc::new(|| Timestamp::from_nanos(0));
    let look = async |globs: &[&str], depth, items_max| {
        let options = BrowseOptions {
            globs: globs.iter().map(|glob| (*glob).to_owned()).collect(),
            depth,
            items_max,
        };
        let mut out = Vec::new();
        let found = browse(&server(&peer.url()), &options, clock.clone(), &mut out).await;
        (found.unwrap(), String::from_utf8(out).unwrap())
    };
    let (found, text) = look(&["Force", "Force/*"], 5, 100).await;
    assert_eq!((found.variables, found.is_cut), (2, false), "{text}");
    let expected = "\n# Force: Double\n[[connector.tag]]\nname = \"Force\"\nnode = \"nsu=urn:forebay:test;s=Force\"\n\
        \n# Force/Inner: Int32\n[[connector.tag]]\nname = \"Force.Inner\"\nnode = \"nsu=urn:forebay:test;s=Inner\"\n";
    assert!(text.ends_with(expected), "{text}");
    let connector = "[[connector]]\nname = \"press\"\nkind = \"opcua\"\ndevice = \"press-3\"";
    let whole = format!("{connector}\nurl = \"{}\"\n{text}", peer.url());
    let rig = Rig::start(&OpcuaKind, &whole, Receipts::Given);
    let samples = rig.samples_since(0, 2).await;
    let mut values: Vec<_> = samples
        .into_iter()
        .filter_map(|sample| sample.value)
        .collect();
    values.sort_by_key(|value| matches!(value, Value::I64(_)));
    assert_eq!(values, [Value::F64(12.5), Value::I64(7)]);
    rig.stop().await;
    assert_eq!(look(&[], 1, 100).await.0.variables, 2, "Inner lies deeper");
    let (few, text) = look(&[], 5, 1).await;
    assert_eq!((few.variables, few.is_cut), (1, true));
    assert!(text.contains("A limit was reached"), "{text}");
}
