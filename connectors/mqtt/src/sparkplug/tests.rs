//! The host against scripted nodes.

mod fuzzed;
mod golden;
mod state;
mod tahu;

use std::time::Duration;

use forebay_connectors::{Sample, SampleKind};
use forebay_schemas::{Quality, Value};
use globset::Glob;
use tokio::time::Instant;

use super::{births::Births, wire::Writer, *};
use crate::{decode::Incoming, packet::Outgoing};

fn settings() -> SparkplugSettings {
    let rule = |id, metric: &str| MetricRule {
        id: RuleId(id),
        metric: Glob::new(metric).unwrap().compile_matcher(),
        device: None,
        words: metric.to_owned(),
    };
    SparkplugSettings {
        host_id: Some("forebay".to_owned()),
        device: DevicePattern::parse(DevicePattern::DEFAULT).unwrap(),
        rules: vec![rule(0, "temp*"), rule(1, "*")],
        rebirth: Rebirth::Ask,
        folder: "births".into(),
        payload_bytes_max: 100_000,
        fallback: (
            DeviceId::new("plant").unwrap(),
            TagName::new("payload").unwrap(),
        ),
    }
}

/// A metric whose value is an integer.
fn int(name: &str, alias: u64, datatype: u64, value: u64) -> Writer {
    metric(name, alias, datatype).varint(10, value)
}

/// A metric without a value; without a name or an alias where they are nothing.
fn metric(name: &str, alias: u64, datatype: u64) -> Writer {
    let mut metric = Writer::default();
    if !name.is_empty() {
        metric = metric.bytes(1, name.as_bytes());
    }
    if alias > 0 {
        metric = metric.varint(2, alias);
    }
    if datatype > 0 {
        metric = metric.varint(4, datatype);
    }
    metric
}

fn payload(seq: u64, metrics: &[Writer]) -> Vec<u8> {
    let mut payload = Writer::default().varint(1, 1_000).varint(3, seq);
    for metric in metrics {
        payload = payload.bytes(2, &metric.0);
    }
    payload.0
}

/// A node's birth with the session's number.
fn node_birth(bd_seq: u64, metrics: Vec<Writer>) -> Vec<u8> {
    let mut all = vec![metric("bdSeq", 0, 4).varint(11, bd_seq)];
    all.push(int("Node Control/Rebirth", 0, 11, 0));
    all.extend(metrics);
    payload(0, &all)
}

fn node_death(bd_seq: u64) -> Vec<u8> {
    let metric = metric("bdSeq", 0, 4).varint(11, bd_seq);
    Writer::default().bytes(2, &metric.0).0
}

/// A host and its clock.
struct Plant<'r> {
    host: Host<'r>,
    now: Instant,
}

impl<'r> Plant<'r> {
    fn new(settings: &'r SparkplugSettings) -> Self {
        Self::with(settings, Vec::new())
    }

    fn with(settings: &'r SparkplugSettings, kept: Vec<(NodeId, Births)>) -> Self {
        let mut host = Host::new(settings, "plant", kept);
        let now = Instant::now();
        host.will(5_000);
        host.connected(now);
        Self { host, now }
    }

    fn hear(&mut self, topic: &str, payload: &[u8]) -> Vec<Sample> {
        let message = Incoming {
            topic: &format!("spBv1.0/{topic}"),
            payload,
            payload_bytes: payload.len(),
        };
        self.host.samples(message, false, self.now)
    }

    fn lines(&mut self, topic: &str, payload: &[u8]) -> Vec<String> {
        self.hear(topic, payload).iter().map(line).collect()
    }

    /// What it publishes within some seconds.
    fn says(&mut self, seconds: u64) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 0..=seconds {
            let outgoing = self.host.take_outgoing(self.now, 7_000);
            said.extend(outgoing.into_iter().map(|message| message.topic));
            self.now += Duration::from_secs(1);
        }
        said
    }

    /// A host that finds what this one has kept.
    fn restarted(mut self, settings: &'r SparkplugSettings) -> Self {
        let files = self.host.take_all();
        let kept = files
            .iter()
            .filter_map(|file| Births::of_file(file.bytes()));
        Self::with(settings, kept.collect())
    }
}

/// A sample in one line: `device tag@millis=value kind quality: reason`.
fn line(sample: &Sample) -> String {
    let value = match &sample.value {
        None => "none".to_owned(),
        Some(Value::Bytes(bytes)) => format!("bytes({})", bytes.len()),
        Some(value) => format!("{value:?}"),
    };
    let time = sample
        .event_time
        .map(|time| format!("@{}", time.nanos() / 1_000_000));
    let kind = match sample.kind {
        SampleKind::Snapshot => " now",
        _ => "",
    };
    let quality = match sample.status.quality {
        Quality::Good => String::new(),
        quality => format!(
            " {quality:?}: {}",
            sample.status.reason.as_deref().unwrap_or("")
        ),
    };
    let time = time.unwrap_or_default();
    format!(
        "{} {}{time}={value}{kind}{quality}",
        sample.device, sample.tag
    )
}

#[test]
fn births_name_what_data_say() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    let birth = node_birth(
        3,
        vec![int("temp", 7, 3, 21), metric("up", 8, 11).varint(14, 1)],
    );
    assert_eq!(
        plant.lines("g/NBIRTH/n", &birth),
        ["g/n temp@1000=I64(21) now", "g/n up@1000=Bool(true) now"]
    );
    let birth = payload(1, &[int("Line 1/rpm", 9, 2, 0xffff_fffe)]);
    assert_eq!(
        plant.lines("g/DBIRTH/n/d", &birth),
        ["g/n/d Line 1/rpm@1000=I64(-2) now"]
    );
    let data = [
        int("", 7, 0, 22).varint(3, 999),
        metric("", 8, 0).varint(7, 1),
        int("temp", 0, 0, 23),
    ];
    assert_eq!(
        plant.lines("g/NDATA/n", &payload(2, &data)),
        [
            "g/n temp@999=I64(22)",
            "g/n up@1000=none Bad: null value",
            "g/n temp@1000=I64(23)",
        ]
    );
    let samples = plant.hear("g/DDATA/n/d", &payload(3, &[int("", 9, 0, 0x8000)]));
    assert_eq!(
        samples.iter().map(line).collect::<Vec<_>>(),
        ["g/n/d Line 1/rpm@1000=I64(-32768)"]
    );
    assert_eq!(samples[0].rule, RuleId(1), "the first rule that matches");
    assert_eq!(plant.says(60), [""; 0], "nobody is asked for anything");
}

#[test]
fn a_gap_makes_values_uncertain_until_the_next_birth() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    let birth = node_birth(0, vec![int("temp", 7, 3, 1)]);
    plant.hear("g/NBIRTH/n", &birth);
    let value = |number| [int("", 7, 0, number)];
    assert_eq!(
        plant.lines("g/NDATA/n", &payload(1, &value(2))),
        ["g/n temp@1000=I64(2)"]
    );
    let doubt = "Uncertain: messages of the node may have been missed: named by its last birth, a rebirth is asked for";
    for seq in [3, 4] {
        let lines = plant.lines("g/NDATA/n", &payload(seq, &value(3)));
        assert_eq!(lines, [format!("g/n temp@1000=I64(3) {doubt}")]);
    }
    assert_eq!(plant.says(0), ["spBv1.0/g/NCMD/n"]);
    plant.hear("g/NBIRTH/n", &birth);
    assert_eq!(
        plant.lines("g/NDATA/n", &payload(1, &value(5))),
        ["g/n temp@1000=I64(5)"]
    );
    // 255 is followed by 0.
    for seq in 2..=256 {
        let lines = plant.lines("g/NDATA/n", &payload(seq % 256, &value(6)));
        assert_eq!(lines, ["g/n temp@1000=I64(6)"], "{seq}");
    }
    assert_eq!(plant.says(60), [""; 0]);
}

#[test]
fn what_no_birth_names_is_kept_and_asked_for() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    let data = payload(4, &[int("", 7, 0, 1)]);
    let bytes = data.len();
    assert_eq!(
        plant.lines("g/NDATA/n", &data),
        [format!(
            "g/n payload=bytes({bytes}) Bad: no birth of the node is known: a rebirth is asked for"
        )]
    );
    plant.hear("g/NBIRTH/n", &node_birth(0, vec![int("temp", 7, 3, 1)]));
    let data = payload(1, &[int("", 8, 0, 1), int("", 7, 0, 2), int("", 9, 0, 1)]);
    let bytes = data.len();
    assert_eq!(
        plant.lines("g/NDATA/n", &data),
        [
            "g/n temp@1000=I64(2)".to_owned(),
            format!(
                "g/n payload=bytes({bytes}) Bad: no birth names the alias 8: a rebirth is asked for"
            ),
        ]
    );
    // An alias of the node is none of its device's.
    let lines = plant.lines("g/DDATA/n/d", &payload(2, &[int("", 7, 0, 1)]));
    assert!(lines[0].starts_with("g/n/d payload=bytes"), "{lines:?}");
    assert_eq!(plant.says(4), ["spBv1.0/g/NCMD/n"], "once for all three");
    let mut silent = settings_with(Rebirth::Never);
    silent.host_id = None;
    let mut plant = Plant::new(&silent);
    plant.hear("g/NDATA/n", &data);
    assert_eq!(plant.says(60), [""; 0], "it may ask nobody");
}

fn settings_with(rebirth: Rebirth) -> SparkplugSettings {
    SparkplugSettings {
        rebirth,
        ..settings()
    }
}

#[test]
fn a_death_makes_all_behind_it_bad() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    plant.hear("g/NBIRTH/n", &node_birth(4, vec![int("temp", 7, 3, 1)]));
    plant.hear("g/DBIRTH/n/d", &payload(1, &[int("rpm", 9, 3, 1)]));
    assert_eq!(
        plant.lines("g/DDEATH/n/d", &payload(2, &[])),
        ["g/n/d rpm@1000=none Bad: the device is offline (DDEATH)"]
    );
    assert_eq!(
        plant.lines("g/NDEATH/n", &node_death(3)),
        [""; 0],
        "of the session before"
    );
    assert_eq!(
        plant.lines("g/NDEATH/n", &node_death(4)),
        [
            "g/n temp=none Bad: the node is offline (NDEATH)",
            "g/n/d rpm=none Bad: the node is offline (NDEATH)",
        ]
    );
    assert_eq!(plant.says(60), [""; 0], "a dead node is not asked");
    let lines = plant.lines("g/NBIRTH/n", &node_birth(5, vec![int("other", 7, 3, 1)]));
    assert_eq!(
        lines,
        [
            "g/n/d rpm=none Bad: the node has begun again, and the device's birth has not come",
            "g/n temp@1000=none Bad: the birth does not name this metric any more",
            "g/n other@1000=I64(1) now",
        ]
    );
}

#[test]
fn births_outlive_a_restart() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    plant.hear("g/NBIRTH/n", &node_birth(4, vec![int("temp", 7, 3, 1)]));
    plant.hear("g/DBIRTH/n/d", &payload(1, &[int("rpm", 9, 3, 1)]));
    let mut plant = plant.restarted(&settings);
    assert_eq!(
        plant.lines("g/DDATA/n/d", &payload(2, &[int("", 9, 0, 5)])),
        ["g/n/d rpm@1000=I64(5)"],
        "nothing was missed"
    );
    assert_eq!(
        plant.says(3),
        ["spBv1.0/g/NCMD/n"],
        "what holds now is asked for after a grace"
    );
    let mut plant = plant.restarted(&settings);
    let lines = plant.lines("g/DDATA/n/d", &payload(9, &[int("", 9, 0, 5)]));
    assert!(
        lines[0].starts_with("g/n/d rpm@1000=I64(5) Uncertain: "),
        "{lines:?}"
    );
    plant.hear("g/NDEATH/n", &node_death(4));
    let mut plant = plant.restarted(&settings);
    assert_eq!(plant.says(60), [""; 0], "it was dead");
    assert_eq!(Births::of_file(b"{\"version\":2}"), None);
    assert_eq!(Births::of_file(b""), None);
}

#[test]
fn properties_history_and_structures_are_kept() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    let property = |number: u64| Writer::default().varint(1, 3).varint(3, number);
    let text = |text: &str| Writer::default().varint(1, 12).bytes(8, text.as_bytes());
    let unit = Writer::default()
        .bytes(1, b"engUnit")
        .bytes(2, &text("Cel").0)
        .bytes(1, b"Quality")
        .bytes(2, &property(192).0);
    let inner = int("rpm", 0, 3, 900);
    let template = Writer::default()
        .bytes(2, &inner.0)
        .bytes(2, &metric("hot", 0, 11).varint(14, 0).0)
        .bytes(4, b"Motor");
    let definition = Writer::default().bytes(2, &inner.0).varint(5, 1);
    let element = |number: u64| Writer::default().varint(1, number);
    let row = |number: u64| Writer::default().bytes(1, &element(number).0).bytes(1, &[]);
    let table = Writer::default()
        .bytes(2, b"step")
        .bytes(2, b"temp")
        .varint(3, 3)
        .varint(3, 3)
        .bytes(4, &row(1).0)
        .bytes(4, &row(2).0);
    let birth = node_birth(
        1,
        vec![
            int("temp", 7, 3, 20).bytes(9, &unit.0),
            metric("_types_/Motor", 0, 19).bytes(18, &definition.0),
            metric("motor", 8, 19).bytes(18, &template.0),
            metric("recipe", 9, 16).bytes(17, &table.0),
            metric("phases", 10, 23).bytes(16, &[1, 0, 2, 0]),
        ],
    );
    let samples = plant.hear("g/NBIRTH/n", &birth);
    assert_eq!(
        samples.iter().map(line).collect::<Vec<_>>(),
        [
            "g/n temp@1000=I64(20) now",
            "g/n motor/rpm@1000=I64(900) now",
            "g/n motor/hot@1000=Bool(false) now",
            "g/n recipe/0/step@1000=I64(1) now",
            "g/n recipe/0/temp@1000=none now Bad: null value",
            "g/n recipe/1/step@1000=I64(2) now",
            "g/n recipe/1/temp@1000=none now Bad: null value",
            "g/n phases/0@1000=I64(1) now",
            "g/n phases/1@1000=I64(2) now",
        ]
    );
    assert_eq!(
        (samples[0].unit.as_deref(), samples[0].status.code),
        (Some("Cel"), Some(192))
    );
    let bad = Writer::default()
        .bytes(1, b"Quality")
        .bytes(2, &property(0).0);
    let stale = Writer::default()
        .bytes(1, b"Quality")
        .bytes(2, &property(500).0);
    let data = [
        int("", 7, 0, 21).varint(3, 500).varint(5, 1),
        int("", 7, 0, 22).bytes(9, &bad.0),
        int("", 7, 0, 23).bytes(9, &stale.0),
        metric("", 8, 0).varint(7, 1),
    ];
    let samples = plant.hear("g/NDATA/n", &payload(1, &data));
    assert_eq!(
        samples.iter().map(line).collect::<Vec<_>>(),
        [
            "g/n temp@500=I64(21)",
            "g/n temp@1000=I64(22) Bad: the device says so (Sparkplug quality)",
            "g/n temp@1000=I64(23) Uncertain: stale (Sparkplug quality 500)",
            "g/n motor/hot@1000=none Bad: null value",
            "g/n motor/rpm@1000=none Bad: null value",
        ]
    );
    assert!(
        samples[..3]
            .iter()
            .all(|sample| sample.unit.as_deref() == Some("Cel")),
        "its birth's"
    );
    let death = plant.lines("g/NDEATH/n", &node_death(1));
    assert_eq!(death.len(), 9, "every part: {death:?}");
}

#[test]
fn payloads_that_are_none_are_kept() {
    let settings = settings();
    let mut plant = Plant::new(&settings);
    let reason = "Bad: the payload is not Sparkplug B";
    let table: [(&str, &[u8], String); 3] = [
        (
            "g/NBIRTH/n",
            b"{}",
            format!("g/n payload=bytes(2) {reason}"),
        ),
        (
            "g/DDATA/n/d",
            &[0x12, 0xff, 0xff, 0xff, 0xff, 0x0f],
            format!("g/n/d payload=bytes(6) {reason}"),
        ),
        (
            "g/NBIRTH/n",
            &[0x12, 1, 0xff],
            "g/n payload=bytes(3) Bad: the birth is malformed: a rebirth is asked for".to_owned(),
        ),
    ];
    for (topic, payload, expected) in table {
        assert_eq!(plant.lines(topic, payload), [expected], "{topic}");
    }
    let long = vec![0; 100_001];
    let lines = plant.lines("g/NDATA/n", &long);
    assert_eq!(
        lines,
        [
            "g/n payload=bytes(100000) Bad: the payload has 100001 bytes, more than max_payload (100000)"
        ]
    );
    for topic in ["g/NCMD/n", "STATE/other", "x"] {
        assert_eq!(plant.lines(topic, b"{}"), [""; 0], "{topic}");
    }
}
