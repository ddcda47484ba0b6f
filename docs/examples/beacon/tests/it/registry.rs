//! The line in the registry: with it, the gateway makes the connector that the page configures.

use std::{path::Path, sync::Arc};

use forebay_beacon::BeaconKind;
use forebay_config::Document;
use forebay_connectors::{ConnectorKind, Context, Declared, RuleId};
use forebay_gateway::connectors;
use forebay_modbus::ModbusKind;
use forebay_schemas::{DeviceId, GatewayId, TagName, Timestamp};

const PAGE: &str = include_str!("../../../../how-to/add-a-connector.md");

/// As `CONNECTORS` in cli/src/registry.rs.
const CONNECTORS: &[&dyn ConnectorKind] = &[&ModbusKind, &BeaconKind];

/// The page's `[[connector]]`.
fn configuration() -> &'static str {
    let (_, block) = PAGE.split_once("```toml kind=beacon\n").unwrap();
    block.split_once("```").unwrap().0
}

#[test]
fn the_gateway_makes_the_connector_that_the_page_configures() {
    let context = Context {
        gateway: GatewayId::new("g1").unwrap(),
        data_dir: "data".into(),
        clock: Arc::new(|| Timestamp::from_nanos(0)),
        uniform: Arc::new(|| 0.0),
    };
    let sources = Document::new(Path::new("forebay.toml"), configuration(), &|_| None)
        .read(|root| Some(connectors(root, CONNECTORS, &context)))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let [source] = sources.as_slice() else {
        panic!("{} connectors", sources.len())
    };
    assert_eq!(source.name, "tower");
    let light = Declared {
        rule: RuleId(0),
        device: DeviceId::new("tower-1").unwrap(),
        tag: TagName::new("light").unwrap(),
    };
    assert_eq!(source.connector.declared(), [light]);
    assert_eq!(
        source.rules.len(),
        1,
        "the gateway reads the steps of the tag"
    );
}
