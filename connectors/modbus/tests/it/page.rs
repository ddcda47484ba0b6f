//! The page of the connector: its examples are read and run, its tables are those of the code.

use std::{fmt::Write, path::Path};

use forebay_config::{Describe, KeyInfo, Presence, Shape};
use forebay_connectors::ConnectorKind;
use forebay_connectors_conformance::configure;
use forebay_modbus::{ModbusKind, templates};
use forebay_schemas::{Quality, Value};

use crate::peer::{Peer, served, start, unit};

const PAGE: &str = "docs/reference/connectors/modbus.md";

const KEYS_HEAD: &str = "| Key | Default | Meaning |\n|---|---|---|\n";
const TEMPLATES_HEAD: &str = "| Template | Devices | Written from |\n|---|---|---|\n";

fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join(PAGE)).unwrap()
}

/// The connectors of the page, without the keys of the gateway.
fn connectors() -> Vec<String> {
    let is_own = |line: &&str| {
        let of_gateway = ["scale", "offset", "unit ", "deadband"];
        !of_gateway.iter().any(|key| line.starts_with(key))
    };
    let page = page();
    let blocks = page.split("```toml\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    let connectors = blocks.flat_map(|block| block.split("[[connector]]\n").skip(1));
    connectors
        .map(|connector| {
            let own: Vec<&str> = connector.lines().filter(is_own).collect();
            format!("[[connector]]\n{}\n", own.join("\n"))
        })
        .collect()
}

#[test]
fn its_examples_are_read() {
    let connectors = connectors();
    assert_eq!(connectors.len(), 3);
    for connector in connectors {
        let read = configure(&ModbusKind, &connector);
        assert!(
            read.is_ok(),
            "{:?}",
            read.err().map(|errors| errors.to_string())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_first_example_runs() {
    let values = [
        served("holding", 100, "f32", "CDAB", "1235"),
        served("holding", 104, "bit:3", "", "true"),
        served("input", 7, "u48", "", "281474976710655"),
        served("coil", 0, "bool", "", "false"),
    ];
    let peer = Peer::start(0, &[unit(1, "", &values)]).await;
    let example = connectors().remove(0);
    let rig = start(&example.replace("10.0.0.5:502", &format!("127.0.0.1:{}", peer.port)));
    let mut came = Vec::new();
    while came.len() < 4 {
        for sample in rig.next_samples().await {
            assert_eq!(sample.status.quality, Quality::Good, "{sample:?}");
            came.push((sample.tag.to_string(), sample.value.unwrap()));
        }
    }
    came.sort_by(|one, other| one.0.cmp(&other.0));
    let expected = [
        ("burner_fault", Value::Bool(true)),
        ("feed_water", Value::U64((1 << 48) - 1)),
        ("pump", Value::Bool(false)),
        ("steam_temp", Value::F64(1235.0)),
    ];
    assert_eq!(came, expected.map(|(tag, value)| (tag.to_owned(), value)));
    rig.stop().await;
}

/// The rows of a table of keys.
fn rows(table: &KeyInfo) -> String {
    let Shape::Table { keys, .. } = &table.shape else {
        panic!("{} is no table", table.name)
    };
    let mut rows = KEYS_HEAD.to_owned();
    for key in keys
        .iter()
        .filter(|key| !matches!(key.shape, Shape::Table { .. }))
    {
        let default = match &key.presence {
            Presence::Required => "required".to_owned(),
            Presence::Optional(absent) => absent.unwrap_or_default().to_owned(),
            Presence::Default(value) => format!("`{}`", value.toml()),
            Presence::Refused => continue,
        };
        let unit = key
            .unit
            .map(|unit| format!(" ({unit})"))
            .unwrap_or_default();
        writeln!(
            rows,
            "| `{}` | {default}{unit} | {} |",
            key.name, key.meaning
        )
        .unwrap();
    }
    rows
}

#[test]
fn its_tables_are_those_of_the_code() {
    let connector = ModbusKind.keys().connector.describe();
    let Shape::Table { keys, .. } = &connector.shape else {
        panic!("no table")
    };
    let sub = |name: &str| keys.iter().find(|key| key.name == name).unwrap();
    let rows_of_templates: String = templates()
        .iter()
        .map(|template| {
            format!(
                "| `{}` | {} {} | {} |\n",
                template.name, template.maker, template.model, template.manual
            )
        })
        .collect();
    let expected = [
        ("templates", format!("{TEMPLATES_HEAD}{rows_of_templates}")),
        ("connector", rows(&connector)),
        ("tls", rows(sub("tls"))),
        ("tag", rows(sub("tag"))),
    ];
    let page = page();
    let is_missing =
        |(name, table): &(&str, String)| !page.contains(&format!("<!-- {name} -->\n{table}\n"));
    let missing: String = expected
        .iter()
        .filter(|expected| is_missing(expected))
        .map(|(name, table)| format!("<!-- {name} -->\n{table}"))
        .collect();
    assert!(missing.is_empty(), "in {PAGE} this is expected:\n{missing}");
}
