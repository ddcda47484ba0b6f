use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use forebay_config::{Document, Optional, Required, Table, TableKeys};
use forebay_connectors::{
    Connector, ConnectorError, ConnectorKeys, ConnectorKind, Context, Declared, Outlet, RuleId,
};
use forebay_schemas::{DeviceId, GatewayId, TagName, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::{Deadband, connectors, gateway, shared_series, spool};

/// With the series of its tags, if it names a device.
struct Silent(Vec<Declared>);

#[async_trait]
impl Connector for Silent {
    fn declared(&self) -> Vec<Declared> {
        self.0.clone()
    }

    async fn run(&self, _: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        stop.cancelled().await;
        Ok(())
    }
}

pub(super) struct SilentKind;

const KEYS: ConnectorKeys = ConnectorKeys {
    connector: TableKeys::many("connector", "Says nothing.", &[&DEPTH, &DEVICE]),
    tag: TableKeys::many("tag", "Is never heard.", &[&NAME]),
};
const DEPTH: Required<u16> = Required::new("depth", "How deep the silence is.");
const DEVICE: Optional<DeviceId> = Optional::new("device", "The device of all tags.");
const NAME: Required<TagName> = Required::new("name", "The tag's name.");

impl ConnectorKind for SilentKind {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn keys(&self) -> &'static ConnectorKeys {
        &KEYS
    }

    fn configure(
        &self,
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        _: &Context,
    ) -> Option<Box<dyn Connector>> {
        let depth = connector.read(&DEPTH);
        let device = connector.read(&DEVICE);
        let declare = |(place, tag): (usize, &mut Table<'_>)| {
            let tag = tag.read(&NAME);
            Some(Declared {
                rule: RuleId(place),
                device: device.clone()?,
                tag: tag?,
            })
        };
        let declared = tags.iter_mut().enumerate().filter_map(declare).collect();
        depth.map(|_| Box::new(Silent(declared)) as Box<dyn Connector>)
    }
}

pub(super) fn context() -> Context {
    Context {
        gateway: GatewayId::new("g1").unwrap(),
        data_dir: "data".into(),
        clock: Arc::new(|| Timestamp::from_nanos(0)),
        uniform: Arc::new(|| 0.5),
    }
}

#[test]
fn a_whole_file_is_read() {
    let text = r#"
[gateway]
id = "g1"
site = "werk"
data_dir = "data"
lanes = 2
[spool]
max_bytes = "8MiB"
on_full = "drop_oldest"
[[connector]]
name = "a"
kind = "silent"
depth = 3
include = ["x/*"]
[[connector.tag]]
name = "t"
unit = "Cel"
deadband = "1%"
clamp = [0, 1.5]
"#;
    let document = Document::new(Path::new("/etc/f.toml"), text, &|_| None);
    let read = document.read(|root| {
        Some((
            gateway(root, Path::new("/var"))?,
            spool(root)?,
            connectors(root, &[&SilentKind], &context()),
        ))
    });
    let (gateway, _, sources) = read.unwrap();
    assert_eq!(
        (
            gateway.id.as_str(),
            gateway.data_dir.to_str(),
            gateway.lanes.0.get()
        ),
        ("g1", Some("/etc/data"), 2)
    );
    assert_eq!((sources.len(), sources[0].rules.len()), (1, 1));
    let rule = &sources[0].rules[0];
    assert_eq!(
        (rule.deadband, rule.clamp),
        (Some(Deadband::Percent(1.0)), Some((0.0, 1.5)))
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = r#"
[gateway]
lanes = 0
[spool]
max_bytes = "1KiB"
max_age = "30d"
[[connector]]
kind = "silnt"
[[connector]]
name = "a"
kind = "silent"
depth = "x"
exclude = ["[z-a"]
[[connector.tag]]
name = "t"
clamp = [3, 1]
deadband = "-1%"
scale = 0
untit = "Cel"
[[connector]]
name = "a"
kind = "silent"
depth = 1
[[connector]]
name = "b"
"#;
    let document = Document::new(Path::new("f.toml"), text, &|_| None);
    let errors = document
        .read(|root| {
            let found = gateway(root, Path::new("."));
            spool(root);
            connectors(root, &[&SilentKind], &context());
            found
        })
        .unwrap_err();
    let lines: Vec<String> = errors.to_string().lines().map(str::to_owned).collect();
    let expected = [
        ("f.toml:3:", "lanes: 1 to 64 lanes are expected"),
        (
            "f.toml:5:",
            "spool.max_bytes: limit bytes_max of 1024 bytes must be at least three times segment_bytes",
        ),
        ("f.toml:6:", "spool.max_age"),
        ("f.toml:7:", "connector: name is missing"),
        ("f.toml:8:", "did you mean \"silent\"?"),
        (
            "f.toml:12:",
            "connector.depth: a whole number from 0 to 65535 is expected, found \"x\"",
        ),
        ("f.toml:13:", "connector.exclude: "),
        ("f.toml:16:", "connector.tag.clamp: two numbers [low, high]"),
        ("f.toml:17:", "connector.tag.deadband: a number such as 0.5"),
        ("f.toml:18:", "connector.tag.scale: a scale of 0"),
        ("f.toml:19:", "unknown key; did you mean \"unit\"?"),
        ("f.toml:21:", "two connectors \"a\""),
        (
            "f.toml:24:",
            "connector.kind: missing; one of silent is expected",
        ),
    ];
    assert_eq!(lines.len(), expected.len(), "{errors}");
    for (line, (place, text)) in lines.iter().zip(expected) {
        assert!(
            line.starts_with(place) && line.contains(text),
            "{line:?} is not {place} {text}"
        );
    }
}

#[test]
fn series_of_two_connectors_are_told_by_their_final_names() {
    let connector = |name: &str, more: &str, tags: &[&str]| {
        let tags = tags
            .iter()
            .map(|tag| format!("[[connector.tag]]\n{tag}\n"))
            .collect::<String>();
        format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"silent\"\ndepth = 1\ndevice = \"d\"\n{more}\n{tags}"
        )
    };
    let first = connector("a", "", &["name = \"t\"", "name = \"u\"", "name = \"x\""]);
    let shared = |second: &str| {
        let text = format!("{first}{second}");
        let document = Document::new(Path::new("f.toml"), &text, &|_| None);
        shared_series(
            &document
                .read(|root| Some(connectors(root, &[&SilentKind], &context())))
                .unwrap(),
        )
    };
    let exclude = "exclude = [\"d/x\"]";
    let tags = [
        "name = \"t\"\nrename = \"v\"",
        "name = \"w\"",
        "name = \"x\"",
    ];
    assert!(shared(&connector("b", exclude, &tags)).is_empty());
    let tags = [
        "name = \"v\"\nrename = \"t\"",
        "name = \"u\"",
        "name = \"u\"",
        "name = \"x\"",
    ];
    let expected = "connectors \"a\" and \"b\" share 2 series, such as d/t: their readings could not be told apart";
    assert_eq!(shared(&connector("b", exclude, &tags)), [expected]);
}
