mod page;

use std::{path::Path, sync::Arc};

use forebay_config::Document;
use forebay_connectors::Declared;
use forebay_schemas::{GatewayId, Timestamp};

use super::*;

const RULE: &str = "[[connector.tag]]\ntopic = \"site/{device}/cell/{tag}\"\nvalue = \"$.v\"\n";

fn read(connector: &str, tags: &str) -> Result<Settings, String> {
    configured(connector, tags).map(|mqtt| mqtt.settings().clone())
}

fn configured(connector: &str, tags: &str) -> Result<Mqtt, String> {
    of_text(&format!(
        "[[connector]]\nname = \"cells\"\n{connector}\n{tags}"
    ))
}

fn of_text(text: &str) -> Result<Mqtt, String> {
    let context = Context {
        gateway: GatewayId::new("g1").unwrap(),
        data_dir: "data".into(),
        clock: Arc::new(|| Timestamp::from_nanos(0)),
        uniform: Arc::new(|| 0.5),
    };
    let document = Document::new(Path::new("f.toml"), text, &|_| None);
    let read = document.read(|root| {
        let mut connectors = root.tables(&keys::KEYS.connector);
        let mut tags = connectors[0].tables(&keys::KEYS.tag);
        mqtt(&mut connectors[0], &mut tags, &context)
    });
    read.map_err(|errors| {
        errors
            .problems
            .iter()
            .map(|p| p.message.clone())
            .collect::<Vec<_>>()
            .join("\n")
    })
}

#[test]
fn defaults_are_those_of_the_contract() {
    let settings = read("url = \"mqtt://broker\"", RULE).unwrap();
    let seen = (
        settings.host.as_str(),
        settings.port,
        settings.version,
        settings.qos,
        settings.in_flight_max,
    );
    assert_eq!(seen, ("broker", 1883, Version::V5, 1, 1024));
    assert_eq!(
        settings.session,
        Session::Kept {
            expiry_seconds: 86_400
        }
    );
    assert_eq!(
        (settings.client_id.as_str(), settings.topics),
        ("forebay-g1-cells", vec!["site/+/cell/+".to_owned()])
    );
    let answer_in = settings.keep_alive.mul_f64(0.45);
    assert!(
        answer_in < Duration::from_secs(5),
        "a silent broker is seen within 5 s"
    );
}

#[test]
fn addresses_are_read() {
    let table = [
        ("mqtt://10.0.0.1:2883", "10.0.0.1", 2883),
        ("mqtt://[::1]", "::1", 1883),
        ("mqtt://broker.example/", "broker.example", 1883),
        ("ws://broker.example", "broker.example", 80),
        ("ws://10.0.0.1:8083/mqtt?x=1", "10.0.0.1", 8083),
    ];
    for (url, host, port) in table {
        let settings = read(&format!("url = \"{url}\"\nversion = 4"), RULE).unwrap();
        assert_eq!(
            (settings.host.as_str(), settings.port, settings.version),
            (host, port, Version::V311),
            "{url}"
        );
        let path = match url {
            "ws://broker.example" => Some("/mqtt"),
            "ws://10.0.0.1:8083/mqtt?x=1" => Some("/mqtt?x=1"),
            _ => None,
        };
        assert_eq!(settings.websocket.as_deref(), path, "{url}");
    }
}

#[test]
fn every_wrong_key_says_what_is_expected() {
    let table = [
        ("", "connector: url is missing"),
        (
            "url = \"http://x\"",
            "the scheme \"http\" is not one of \"mqtt\", \"mqtts\", \"ws\", \"wss\"",
        ),
        (
            "url = \"broker:1883\"",
            "the scheme \"broker\" is not one of",
        ),
        (
            "url = \"mqtt://me:secret@x\"",
            "write the keys user and password",
        ),
        (
            "url = \"mqtt://x/path\"",
            "an address without a path is expected",
        ),
        ("url = \"mqtt://\"", "an address with a host is expected"),
        (
            "url = \"mqtt://x:70000\"",
            "the port is not a number from 1 to 65535",
        ),
        (
            "url = \"mqtt://x:0\"",
            "the port is not a number from 1 to 65535",
        ),
        (
            "url = \"mqtt://x\"\nversion = 6",
            "6 is not a version of MQTT: 4 (3.1.1) or 5 is expected",
        ),
        ("url = \"mqtt://x\"\nqos = 3", "3 is not a QoS"),
        (
            "url = \"mqtt://x\"\nformat = \"protobuf\"",
            "descriptor_file: format = \"protobuf\" needs it, here or in the connector",
        ),
        (
            "url = \"mqtt://x\"\nformat = \"xml\"",
            "\"xml\" is not one of \"json\", \"cbor\", \"msgpack\", \"protobuf\", \"raw\"",
        ),
        (
            "url = \"mqtt://x\"\ntopics = []",
            "at least one topic filter is expected",
        ),
        (
            "url = \"mqtt://x\"\ntopics = [\"a/#/b\"]",
            "`#` must stand alone in the last level",
        ),
        (
            "url = \"mqtt://x\"\ntopics = [\"site/#\", \"site/a/#\"]",
            "\"site/#\" and \"site/a/#\" overlap",
        ),
        (
            "url = \"mqtt://x\"\ntopics = [\"other/#\"]",
            "matches nothing that topics subscribes to",
        ),
        (
            "url = \"mqtt://x\"\nkeep_alive = \"100ms\"",
            "from \"1s\" to \"65535s\" is expected",
        ),
        (
            "url = \"mqtt://x\"\nmax_in_flight = 0",
            "at least 1 is expected",
        ),
        (
            "url = \"mqtt://x\"\nmax_payload = \"1GiB\"",
            "from \"1B\" to \"256MiB\" is expected",
        ),
        (
            "url = \"mqtt://x\"\nversion = 4\nsession_expiry = \"1h\"",
            "it needs version = 5",
        ),
        (
            "url = \"mqtt://x\"\nclean_session = true\nsession_expiry = \"1h\"",
            "clean_session = true keeps no session",
        ),
        (
            "url = \"mqtt://x\"\nclient_id = \"\"",
            "a text of 1 to 65535 bytes",
        ),
        ("url = \"mqtt://x\"\npassword = \"x\"", "user is missing"),
        (
            "url = \"mqtt://x\"\n[connector.will]\npayload = \"x\"",
            "topic is missing",
        ),
        (
            "url = \"mqtt://x\"\n[connector.will]\ntopic = \"a/#\"",
            "a topic without + and # is expected",
        ),
        (
            "url = \"mqtt://x\"\n[connector.will]\ntopic = \"a\"\nqos = 3",
            "3 is not a QoS",
        ),
        (
            "url = \"mqtt://x\"\nhost_id = \"h\"",
            "it has no meaning without format = \"sparkplug_b\"",
        ),
        (
            "url = \"mqtt://x\"\n[connector.tls]\nca_file = \"/nowhere\"",
            "needs an address with the scheme mqtts",
        ),
        (
            "url = \"mqtts://x\"\n[connector.tls]\nca_file = \"/nowhere\"",
            "cannot read certificates in /nowhere",
        ),
        (
            "url = \"mqtts://x\"\n[connector.tls]\ncert_file = \"a\"",
            "cert_file and key_file are expected together",
        ),
        (
            "url = \"mqtts://x\"\n[connector.tls]\nserver_name = \"a b\"",
            "\"a b\" is not a server name",
        ),
        (
            "url = \"mqtts://x\"\n[connector.tls]\nca = \"a\"",
            "connector.tls.ca: unknown key",
        ),
    ];
    for (connector, expected) in table {
        let error = read(connector, RULE).expect_err(connector);
        assert!(error.contains(expected), "{connector}\n{error}");
    }
}

#[test]
fn every_wrong_rule_says_what_is_expected() {
    let table = [
        ("value = \"$.v\"", "topic is missing"),
        ("topic = \"a/{site}\"", "unknown placeholder {site}"),
        (
            "topic = \"a/{tag}\"\nname = \"x\"\ndevice = \"d\"",
            "the topic names the tag with {tag}",
        ),
        (
            "topic = \"{device}/{tag}\"\ndevice = \"d\"",
            "the topic names the device with {device}",
        ),
        ("topic = \"a/{tag}\"", "the device is not known"),
        (
            "topic = \"{device}/{tag}\"\nvalue = \"v\"",
            "\"v\" is not a JSONPath such as \"$.v\"",
        ),
        (
            "topic = \"{device}/{tag}\"\ntime = \"$.t\"\ntime_unit = \"h\"",
            "\"h\" is not one of \"s\", \"ms\", \"us\", \"ns\"",
        ),
        (
            "topic = \"{device}/{tag}\"\ntime_unit = \"s\"",
            "time is missing",
        ),
        (
            "topic = \"{device}/{tag}\"\ntime = \"$.t\"\ntime_unit = \"s\"\ntime_format = \"%s\"",
            "leave out one",
        ),
        (
            "topic = \"{device}/{tag}\"\ntime = \"$.t\"\ntime_format = \"%!\"",
            "is not a format such as",
        ),
        (
            "topic = \"{device}/{tag}\"\ntype = \"float\"",
            "\"float\" is not one of \"f64\", \"i64\"",
        ),
        (
            "topic = \"{device}/{tag}\"\ntime = \"$.t\"\ntime_zone = \"Berlin\"",
            "\"Berlin\" is not a time zone such as",
        ),
        (
            "topic = \"{device}/{tag}\"\ntime_zone = \"UTC\"",
            "time is missing",
        ),
        (
            "topic = \"{device}/{tag}\"\ntime = \"$.t\"\ntime_unit = \"s\"\ntime_zone = \"UTC\"",
            "leave out time_zone",
        ),
    ];
    for (rule, expected) in table {
        let error =
            read("url = \"mqtt://x\"", &format!("[[connector.tag]]\n{rule}")).expect_err(rule);
        assert!(error.contains(expected), "{rule}\n{error}");
    }
    let raw = "url = \"mqtt://x\"\nformat = \"raw\"";
    for (rule, expected) in [
        ("topic = \"{device}/x\"", "the tag is not known"),
        (
            "topic = \"{device}/{tag}\"\nvalue = \"$.v\"",
            "it has no meaning with format = \"raw\"",
        ),
    ] {
        let error = read(raw, &format!("[[connector.tag]]\n{rule}")).expect_err(rule);
        assert!(error.contains(expected), "{rule}\n{error}");
    }
    assert!(
        read("url = \"mqtt://x\"", "")
            .unwrap_err()
            .contains("at least one [[connector.tag]]")
    );
}

#[test]
fn sparkplug_is_read() {
    const ALL: &str = "[[connector.tag]]\nmetric = \"*\"\n";
    let url = "url = \"mqtt://x\"\nformat = \"sparkplug_b\"";
    let topics = |more: &str| read(&format!("{url}\n{more}"), ALL).unwrap().topics;
    assert_eq!(topics("host_id = \"h\""), ["spBv1.0/#"]);
    assert_eq!(topics("topics = [\"spBv1.0/g/#\"]"), ["spBv1.0/g/#"]);
    assert_eq!(
        topics("topics = [\"spBv1.0/g/#\"]\nhost_id = \"h\""),
        ["spBv1.0/g/#", "spBv1.0/STATE/h"]
    );
    let mqtt = configured(&format!("{url}\ndevice = \"{{node}}.{{device}}\""), ALL).unwrap();
    let settings = mqtt.sparkplug();
    assert_eq!(settings.folder, Path::new("data/sparkplug/cells"));
    assert_eq!(
        forebay_connectors::Connector::brings(&mqtt, forebay_connectors::RuleId(0)).unwrap(),
        "sparkplug_b * as {node}.{device} of spBv1.0/#"
    );
    let table = [
        ("", "", "at least one [[connector.tag]]"),
        ("", RULE, "it has no meaning with format = \"sparkplug_b\""),
        ("", "[[connector.tag]]\ndevice = \"x\"", "metric is missing"),
        (
            "",
            "[[connector.tag]]\nmetric = \"[\"",
            "\"[\" is not a pattern",
        ),
        ("host_id = \"a/b\"", ALL, "a text without /, + and #"),
        ("device = \"{node}\"", ALL, "{device} is missing"),
        (
            "host_id = \"h\"\n[connector.will]\ntopic = \"a\"",
            ALL,
            "host_id has a will of its own",
        ),
    ];
    for (more, tags, expected) in table {
        let error = configured(&format!("{url}\n{more}"), tags)
            .err()
            .expect(expected);
        assert!(error.contains(expected), "{more}\n{error}");
    }
    let metric = format!("{RULE}metric = \"*\"\n");
    let error = configured("url = \"mqtt://x\"", &metric).err().unwrap();
    assert!(
        error.contains("without format = \"sparkplug_b\""),
        "{error}"
    );
}

#[test]
fn subscriptions_that_rules_share_are_made_once() {
    let rules = "[[connector.tag]]\ntopic = \"a/{device}/{tag}\"\n[[connector.tag]]\ntopic = \"a/{device}/x\"\n\
                 name = \"y\"\n[[connector.tag]]\ntopic = \"b/c\"\ndevice = \"d\"\nname = \"n\"";
    let mqtt = configured("url = \"mqtt://x\"", rules).unwrap();
    assert_eq!(mqtt.settings().topics, ["a/+/+", "b/c"]);
    let declared = Declared {
        rule: forebay_connectors::RuleId(2),
        device: DeviceId::new("d").unwrap(),
        tag: TagName::new("n").unwrap(),
    };
    assert_eq!(forebay_connectors::Connector::declared(&mqtt), [declared]);
    let crossing = "[[connector.tag]]\ntopic = \"{device}/b\"\nname = \"n\"\n[[connector.tag]]\ntopic = \"a/{tag}\"\ndevice = \"d\"";
    assert!(
        configured("url = \"mqtt://x\"", crossing)
            .err()
            .unwrap()
            .contains("overlap")
    );
}

#[test]
fn a_rule_decodes_as_it_is_written() {
    let table = [
        (
            "time_unit = \"ms\"",
            "1700000000123.5",
            1_700_000_000_123_500_000,
        ),
        (
            "time_unit = \"s\"",
            "1700000000.000000001",
            1_700_000_000_000_000_001,
        ),
        ("time_unit = \"us\"", "1", 1000),
        (
            "time_unit = \"ns\"",
            "9007199254740993",
            9_007_199_254_740_993,
        ),
        ("", "\"1970-01-01T00:00:00.000000007Z\"", 7),
        (
            "time_zone = \"Europe/Berlin\"\ntype = \"f64\"",
            "\"1970-01-01T01:00:00\"",
            0,
        ),
        (
            "time_format = \"%d/%m/%Y %H:%M:%S%.f\"",
            "\"02/01/1970 00:00:00.5\"",
            86_400_500_000_000,
        ),
    ];
    for (keys, time, nanos) in table {
        let rule = format!(
            "[[connector.tag]]\ntopic = \"plant/press\"\nname = \"force\"\ndevice = \"press-3\"\n\
             value = \"$.data.force\"\nquality = \"$.ok\"\ntime = \"$.at\"\n{keys}"
        );
        let mqtt = configured("url = \"mqtt://x\"", &rule).unwrap();
        let payload = format!("{{\"at\": {time}, \"ok\": true, \"data\": {{\"force\": 4.5}}}}");
        let payload_bytes = payload.len();
        let message = crate::decode::Incoming {
            topic: "plant/press",
            payload: payload.as_bytes(),
            payload_bytes,
        };
        let sample = forebay_connectors::Sample {
            rule: forebay_connectors::RuleId(0),
            device: DeviceId::new("press-3").unwrap(),
            tag: TagName::new("force").unwrap(),
            event_time: Some(Timestamp::from_nanos(nanos)),
            value: Some(forebay_schemas::Value::F64(4.5)),
            unit: None,
            status: forebay_schemas::Status::GOOD,
            kind: forebay_connectors::SampleKind::Update,
        };
        assert_eq!(
            mqtt.rules()
                .samples(message, &mut crate::decode::Fanout::default()),
            [sample],
            "{keys}"
        );
    }
}
