//! From a message to samples: which series they are of, and what is kept of a message that cannot be decoded.

use std::path::Path;

use forebay_config::{Document, TableKeys};
use forebay_connectors::RuleId;
use forebay_payload::{Format, Selection, keys};
use forebay_schemas::Quality;
use proptest::prelude::*;

use super::*;
use crate::topic::Template;

const MAX: usize = 100;

fn rule(topic: &str, value: &str) -> Rule {
    Rule {
        id: RuleId(0),
        template: Template::parse(topic).unwrap(),
        device: Some(DeviceId::new("d").unwrap()),
        tag: None,
        kind: PayloadKind::Plain(Format::Json),
        selection: Selection::at(value).unwrap(),
    }
}

/// What the keys of a tag select.
fn selected(text: &str) -> Selection {
    const TAG: TableKeys = TableKeys::one(
        "tag",
        "A tag.",
        &[
            &keys::VALUE,
            &keys::TIME,
            &keys::TIME_UNIT,
            &keys::QUALITY,
            &keys::ARRAYS,
        ],
    );
    let text = format!("[tag]\n{text}");
    let document = Document::new(Path::new("f.toml"), &text, &|_| None);
    let read = document.read(|root| Selection::configure(&mut root.table(&TAG)?, Format::Json));
    read.unwrap()
}

fn rules(format: Format, mut rules: Vec<Rule>) -> Rules {
    for rule in &mut rules {
        rule.kind = PayloadKind::Plain(format);
    }
    let fallback = Fallback {
        device: DeviceId::new("fallback").unwrap(),
        tag: TagName::new("payload").unwrap(),
    };
    Rules {
        rules,
        fallback,
        payload_bytes_max: MAX,
    }
}

fn samples(rules: &Rules, topic: &str, payload: &[u8]) -> Vec<Sample> {
    rules.samples(
        Incoming {
            topic,
            payload,
            payload_bytes: payload.len(),
        },
        &mut Fanout::default(),
    )
}

/// A sample in one line: `device/tag@nanos=value quality: reason`.
fn line(sample: &Sample) -> String {
    let value = match &sample.value {
        None => "none".to_owned(),
        Some(Value::Bytes(bytes)) => format!("bytes({})", bytes.len()),
        Some(value) => format!("{value:?}"),
    };
    let time = sample
        .event_time
        .map(|time| format!("@{}", time.nanos()))
        .unwrap_or_default();
    let quality = match sample.status.quality {
        Quality::Good => String::new(),
        quality => format!(
            " {quality:?}: {}",
            sample.status.reason.as_deref().unwrap_or("")
        ),
    };
    format!("{}/{}{time}={value}{quality}", sample.device, sample.tag)
}

fn lines(rules: &Rules, topic: &str, payload: &str) -> Vec<String> {
    samples(rules, topic, payload.as_bytes())
        .iter()
        .map(line)
        .collect()
}

fn check(rules: &Rules, table: &[(&str, &[&str])]) {
    for (payload, expected) in table {
        assert_eq!(lines(rules, "s/t", payload), *expected, "{payload}");
    }
}

#[test]
fn what_cannot_be_decoded_is_kept_as_bytes_and_named() {
    let rules = rules(Format::Json, vec![rule("s/{tag}", "$.v")]);
    let long = format!(r#"{{"v":"{}"}}"#, "x".repeat(MAX));
    let too_large = format!(
        "d/t=bytes(100) Bad: the payload has {} bytes, more than max_payload (100)",
        long.len()
    );
    let table: [(&str, &[&str]); 7] = [
        ("", &["d/t=bytes(0) Bad: the payload is empty"]),
        (
            r#"{"v":NaN}"#,
            &["d/t=bytes(9) Bad: the payload is not JSON: expected value at line 1 column 6"],
        ),
        (
            r#"{"v":1e999}"#,
            &[
                "d/t=bytes(11) Bad: the payload is not JSON: number out of range at line 1 column 10",
            ],
        ),
        (
            "{",
            &[
                "d/t=bytes(1) Bad: the payload is not JSON: EOF while parsing an object at line 1 column 1",
            ],
        ),
        (
            r#"{"w":1}"#,
            &["d/t=bytes(7) Bad: the value path $.v finds nothing"],
        ),
        ("3", &["d/t=bytes(1) Bad: the value path $.v finds nothing"]),
        (&long, &[&too_large]),
    ];
    check(&rules, &table);
    let bytes = samples(&rules, "s/t", &[0xff, 0x00]);
    assert_eq!(bytes[0].value, Some(Value::Bytes(vec![0xff, 0x00])));
    assert_eq!(
        lines(&rules, "elsewhere", "1"),
        [""; 0],
        "no rule, no sample"
    );
}

#[test]
fn a_part_that_cannot_be_read_is_kept_as_bytes_and_its_neighbours_stay_good() {
    let rules = rules(Format::Json, vec![rule("s/{tag}", "$.v")]);
    let table: [(&str, &[&str]); 4] = [
        (
            r#"{"v":[1]}"#,
            &[
                "d/t=bytes(9) Bad: the value is an array: select its items with a path such as $.v[*]",
            ],
        ),
        (
            r#"{"v":{}}"#,
            &["d/t=bytes(8) Bad: the value is an object without fields"],
        ),
        (
            r#"{"v":{"a":[],"b":2}}"#,
            &[
                "d/t.a=bytes(20) Bad: the field a is an array: select its items with a path such as $.v[*]",
                "d/t.b=I64(2)",
            ],
        ),
        (r#"{"v":null}"#, &["d/t=none Bad: null value"]),
    ];
    check(&rules, &table);
}

#[test]
fn the_names_of_a_payload_follow_the_tag() {
    let timed = Rule {
        selection: selected("time = '$.ts'\ntime_unit = 'ns'"),
        ..rule("s/t", "$")
    };
    let all = rules(Format::Json, vec![timed]);
    let table: [(&str, &[&str]); 3] = [
        (
            r#"{"ts":7,"a":1,"b":2.5}"#,
            &["d/a@7=I64(1)", "d/b@7=F64(2.5)"],
        ),
        (
            r#"{"ts":7,"a\n":1}"#,
            &[
                "d/s/t=bytes(16) Bad: in the payload: the tag name \"a\\n\" has a control character at byte 1",
            ],
        ),
        (
            "5",
            &["d/s/t=bytes(1) Bad: the time path $.ts finds nothing"],
        ),
    ];
    check(&all, &table);
    let open = rules(Format::Json, vec![rule("s/{tag}", "$.data.*.value")]);
    let table: [(&str, &[&str]); 1] = [(
        r#"{"data":{"p":{"value":1},"q":{"value":2}}}"#,
        &["d/t.p=I64(1)", "d/t.q=I64(2)"],
    )];
    check(&open, &table);
    let raw = rules(Format::Raw, vec![rule("s/{tag}", "$")]);
    check(&raw, &[("42\n", &["d/t=I64(42)"])]);
    let line = line(&samples(&raw, "s/t", &[0xc3])[0]);
    let expected =
        "d/t=bytes(1) Bad: the payload is not UTF-8: incomplete utf-8 byte sequence from index 0";
    assert_eq!(line, expected);
}

#[test]
fn bytes_are_kept_once_for_all_rules_of_a_message() {
    let rules = rules(Format::Json, vec![rule("s/{tag}", "$.v"), rule("#", "$")]);
    let expected = [
        "d/t=bytes(1) Bad: the payload is not JSON: expected value at line 1 column 1",
        "d/s/t=none Bad: the payload is not JSON: expected value at line 1 column 1",
    ];
    assert_eq!(
        lines(&rules, "s/t", "x"),
        expected,
        "a tag that is not known is called after the topic"
    );
}

#[test]
fn a_payload_that_cannot_be_read_makes_every_series_of_its_topic_bad() {
    let rules = rules(Format::Json, vec![rule("s/t/{tag}", "$")]);
    let mut fanout = Fanout::default();
    let mut lines = |topic: &str, payload: &str| {
        let message = Incoming {
            topic,
            payload: payload.as_bytes(),
            payload_bytes: payload.len(),
        };
        rules
            .samples(message, &mut fanout)
            .iter()
            .map(line)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines("s/t/x", r#"{"a":1,"b":{"c":2,"d":3}}"#),
        ["d/x.a=I64(1)", "d/x.b.c=I64(2)", "d/x.b.d=I64(3)"]
    );
    assert_eq!(lines("s/t/y", r#"{"a":1}"#), ["d/y.a=I64(1)"]);
    let reason = "Bad: the payload is not JSON: expected value at line 1 column 1";
    let expected =
        ["x=bytes(4)", "x.a=none", "x.b.c=none", "x.b.d=none"].map(|of| format!("d/{of} {reason}"));
    assert_eq!(
        lines("s/t/x", "oops"),
        expected,
        "all of this topic, none of another"
    );
    let reason = "Bad: null value";
    assert_eq!(
        lines("s/t/x", r#"{"a":5,"b":null}"#)[1..],
        ["b", "b.c", "b.d"].map(|of| format!("d/x.{of}=none {reason}"))
    );
    let array = lines("s/t/x", r#"{"b":[]}"#);
    assert_eq!(array.len(), 3, "{array:?}");
    assert!(
        array[0].starts_with("d/x.b=bytes(8) Bad") && array[2].starts_with("d/x.b.d=none Bad"),
        "{array:?}"
    );
    assert_eq!(
        lines("s/t/x", r#"{"a":6}"#),
        ["d/x.a=I64(6)"],
        "a field that is not sent says nothing"
    );
}

#[test]
fn what_an_earlier_process_made_of_a_topic_turns_bad_with_it() {
    let known = |rule, tag: &str| {
        let (device, tag) = (DeviceId::new("d").unwrap(), TagName::new(tag).unwrap());
        forebay_connectors::Declared {
            rule: RuleId(rule),
            device,
            tag,
        }
    };
    let all = [
        known(0, "x.a"),
        known(0, "x.b.c"),
        known(0, "xy.a"),
        known(0, "y.a"),
        known(1, "x.d"),
    ];
    let reason = "Bad: the payload is not JSON: expected value at line 1 column 1";
    let table: [(&str, &str, &[&str]); 3] = [
        (
            "s/t/{tag}",
            "s/t/x",
            &["x=bytes(4)", "x.a=none", "x.b.c=none"],
        ),
        // Its fields are the tags, and it is the only topic of the device.
        (
            "s/t",
            "s/t",
            &[
                "s/t=bytes(4)",
                "x.a=none",
                "x.b.c=none",
                "xy.a=none",
                "y.a=none",
            ],
        ),
        ("s/+", "s/t", &["s/t=bytes(4)"]),
    ];
    for (template, topic, expected) in table {
        let rules = rules(Format::Json, vec![rule(template, "$")]);
        let message = Incoming {
            topic,
            payload: b"oops",
            payload_bytes: 4,
        };
        let samples = rules.samples(message, &mut Fanout::recalled(&all));
        let expected: Vec<_> = expected
            .iter()
            .map(|of| format!("d/{of} {reason}"))
            .collect();
        assert_eq!(
            samples.iter().map(line).collect::<Vec<_>>(),
            expected,
            "{template}"
        );
    }
}

#[test]
fn names_come_from_the_topic_or_are_replaced() {
    let rules = rules(
        Format::Json,
        vec![Rule {
            device: None,
            ..rule("{device}/x/{tag}", "$")
        }],
    );
    assert_eq!(lines(&rules, "rack-1/x/volt", "1"), ["rack-1/volt=I64(1)"]);
    assert_eq!(
        lines(&rules, "/x/volt", "1"),
        ["fallback/volt=bytes(1) Bad: in the topic: a device name must not be empty"]
    );
    let long = format!("a/x/{}", "y".repeat(600));
    let expected = "a/payload=bytes(1) Bad: in the topic: a tag name has 600 bytes, more than 512";
    assert_eq!(lines(&rules, &long, "1"), [expected]);
}

proptest! {
    /// Whatever comes, a rule that matches gives a sample, and a fault keeps the bytes.
    #[test]
    fn every_message_gives_samples(payload in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        "[\\[\\]{}:,\"v0-9eE.nul tsq-]{0,80}".prop_map(String::into_bytes),
    ]) {
        let all = Rule {
            selection: selected("time = '$..ts'\ntime_unit = 'ms'\nquality = '$.q'"),
            ..rule("s/t", "$")
        };
        for rules in [rules(Format::Json, vec![rule("s/{tag}", "$.v"), all]), rules(Format::Raw, vec![rule("s/{tag}", "$")])] {
            let samples = samples(&rules, "s/t", &payload);
            prop_assert!(samples.len() >= rules.rules.len());
            let kept = samples.iter().filter(|s| s.value == Some(Value::Bytes(payload.clone()))).count();
            let faults = samples.iter().any(|s| s.event_time.is_none() && s.status.quality == Quality::Bad && s.value.is_some());
            prop_assert!(kept <= 1 && (!faults || kept == 1));
        }
    }
}
