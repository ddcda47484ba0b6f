use forebay_connectors::RuleId;
use forebay_schemas::Quality;
use proptest::prelude::*;
use serde_json_path::JsonPath;

use super::*;
use crate::{
    time::{TimeForm, TimeUnit},
    topic::Template,
};

const MAX: usize = 100;

fn rule(topic: &str, value: &str) -> Rule {
    Rule {
        id: RuleId(0),
        template: Template::parse(topic).unwrap(),
        device: Some(DeviceId::new("d").unwrap()),
        tag: None,
        value: JsonPath::parse(value).unwrap(),
        names: Segments::of(value),
        value_type: None,
        time: None,
        quality: None,
    }
}

fn rules(format: Format, rules: Vec<Rule>) -> Rules {
    let fallback = Fallback {
        device: DeviceId::new("fallback").unwrap(),
        tag: TagName::new("payload").unwrap(),
    };
    Rules {
        format,
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
fn json_values_keep_their_exact_types() {
    let rules = rules(Format::Json, vec![rule("s/{tag}", "$.v")]);
    let table: [(&str, &[&str]); 15] = [
        (r#"{"v":1}"#, &["d/t=I64(1)"]),
        (
            r#"{"v":-9223372036854775808}"#,
            &["d/t=I64(-9223372036854775808)"],
        ),
        (r#"{"v":9007199254740993}"#, &["d/t=I64(9007199254740993)"]),
        (
            r#"{"v":18446744073709551615}"#,
            &["d/t=U64(18446744073709551615)"],
        ),
        (
            r#"{"v":18446744073709551616}"#,
            &[
                "d/t=F64(1.8446744073709552e19) Uncertain: the integer 18446744073709551616 has more than 64 bits and is rounded",
            ],
        ),
        (
            r#"{"v":1.8446744073709552e19}"#,
            &["d/t=F64(1.8446744073709552e19)"],
        ),
        (r#"{"v":1.0}"#, &["d/t=F64(1.0)"]),
        (r#"{"v":-0}"#, &["d/t=F64(-0.0)"]),
        (r#"{"v":true}"#, &["d/t=Bool(true)"]),
        (r#"{"v":"NaN"}"#, &["d/t=Text(\"NaN\")"]),
        (r#"{"v":null}"#, &["d/t=none Bad: null value"]),
        (
            r#"{"v":[1]}"#,
            &[
                "d/t=bytes(9) Bad: the value is an array: select its items with a path such as $.v[*]",
            ],
        ),
        (
            r#"{"v":{"a":1,"b":{"c":"x"}}}"#,
            &["d/t.a=I64(1)", "d/t.b.c=Text(\"x\")"],
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
    ];
    check(&rules, &table);
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
fn times_are_read_where_a_rule_asks_for_them() {
    let with_time = |form| {
        let time = Some(TimePath {
            path: JsonPath::parse("$.ts").unwrap(),
            form,
        });
        rules(
            Format::Json,
            vec![Rule {
                time,
                ..rule("s/{tag}", "$.v")
            }],
        )
    };
    let seconds: [(&str, &[&str]); 5] = [
        (
            r#"{"v":1,"ts":1700000000.123456789}"#,
            &["d/t@1700000000123456789=I64(1)"],
        ),
        (
            r#"{"v":1,"ts":"1700000000.5"}"#,
            &["d/t@1700000000500000000=I64(1)"],
        ),
        (
            r#"{"v":1}"#,
            &["d/t=bytes(7) Bad: the time path $.ts finds nothing"],
        ),
        (
            r#"{"v":1,"ts":null}"#,
            &["d/t=bytes(17) Bad: the time is null, neither a text nor a number"],
        ),
        (
            r#"{"v":1,"ts":1e30}"#,
            &["d/t=bytes(17) Bad: the time 1e30 is not in the years 1677 to 2262"],
        ),
    ];
    check(&with_time(TimeForm::Unit(TimeUnit::Seconds)), &seconds);
    let texts: [(&str, &[&str]); 3] = [
        (
            r#"{"v":1,"ts":"1970-01-01T00:00:00.000000001Z"}"#,
            &["d/t@1=I64(1)"],
        ),
        (
            r#"{"v":1,"ts":"yesterday"}"#,
            &[
                "d/t=bytes(24) Bad: the time \"yesterday\" is not RFC 3339 such as 2026-11-23T14:51:35.5Z",
            ],
        ),
        (
            r#"{"v":1,"ts":5}"#,
            &[
                "d/t=bytes(14) Bad: the time 5 is a number: set time_unit to \"s\", \"ms\", \"us\" or \"ns\"",
            ],
        ),
    ];
    check(&with_time(TimeForm::Text { zone: None }), &texts);
}

#[test]
fn an_object_gives_its_fields_without_time_and_quality() {
    let path = |path| JsonPath::parse(path).unwrap();
    let time = Some(TimePath {
        path: path("$.ts"),
        form: TimeForm::Unit(TimeUnit::Nanos),
    });
    let fields = Rule {
        time,
        quality: Some(path("$.q")),
        ..rule("s/t", "$")
    };
    let rules = rules(Format::Json, vec![fields]);
    let table: [(&str, &[&str]); 6] = [
        (
            r#"{"ts":7,"q":"good","a":1,"b":2.5}"#,
            &["d/a@7=I64(1)", "d/b@7=F64(2.5)"],
        ),
        (r#"{"ts":7,"a":1}"#, &["d/a@7=I64(1)"]),
        (
            r#"{"ts":7,"q":2,"a":1}"#,
            &["d/a@7=I64(1) Bad: the device says so"],
        ),
        (
            r#"{"ts":7,"q":"dusty","a":1}"#,
            &["d/a@7=I64(1) Uncertain: unknown quality \"dusty\""],
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
    check(&rules, &table);
}

#[test]
fn several_values_have_one_time_or_each_its_own() {
    let path = |path| JsonPath::parse(path).unwrap();
    let time = Some(TimePath {
        path: path("$.s[*].t"),
        form: TimeForm::Unit(TimeUnit::Nanos),
    });
    let rules = rules(
        Format::Json,
        vec![Rule {
            time,
            ..rule("s/{tag}", "$.s[*].v")
        }],
    );
    let table: [(&str, &[&str]); 3] = [
        (
            r#"{"s":[{"t":1,"v":10},{"t":2,"v":20}]}"#,
            &["d/t@1=I64(10)", "d/t@2=I64(20)"],
        ),
        (
            r#"{"s":[{"t":1,"v":10},{"v":20}]}"#,
            &["d/t@1=I64(10)", "d/t@1=I64(20)"],
        ),
        (
            r#"{"s":[{"t":1,"v":1},{"t":2,"v":2},{"v":3}]}"#,
            &["d/t=bytes(43) Bad: the time path $.s[*].t finds 2 nodes for 3 values"],
        ),
    ];
    check(&rules, &table);
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
fn values_that_a_path_leaves_open_are_series_of_their_own() {
    let rules = rules(Format::Json, vec![rule("s/{tag}", "$.data.*.value")]);
    let table: [(&str, &[&str]); 2] = [
        (
            r#"{"data":{"p":{"value":1},"q":{"value":2}}}"#,
            &["d/t.p=I64(1)", "d/t.q=I64(2)"],
        ),
        (r#"{"data":{"p":{"value":3}}}"#, &["d/t.p=I64(3)"]),
    ];
    check(&rules, &table);
}

#[test]
fn a_type_makes_numbers_of_texts_or_says_why_not() {
    let number = Rule {
        value_type: Some(forebay_schemas::ValueType::F64),
        ..rule("s/{tag}", "$.v")
    };
    let json = rules(Format::Json, vec![number]);
    let table: [(&str, &[&str]); 4] = [
        (r#"{"v":"48.5"}"#, &["d/t=F64(48.5)"]),
        (r#"{"v":21}"#, &["d/t=F64(21.0)"]),
        (
            r#"{"v":"21,5"}"#,
            &["d/t=none Bad: \"21,5\" is no f64, as type asks for"],
        ),
        (
            r#"{"v":{"a":"1","b":"x"}}"#,
            &[
                "d/t.a=F64(1.0)",
                "d/t.b=none Bad: \"x\" is no f64, as type asks for",
            ],
        ),
    ];
    check(&json, &table);
    let text = Rule {
        value_type: Some(forebay_schemas::ValueType::Text),
        ..rule("s/{tag}", "$")
    };
    check(
        &rules(Format::Raw, vec![text]),
        &[("42", &["d/t=Text(\"42\")"])],
    );
}

#[test]
fn a_text_with_a_nul_is_kept_as_bytes() {
    let reason = "d/t=bytes(3) Bad: the text holds the character U+0000 and is kept as bytes";
    check(
        &rules(Format::Json, vec![rule("s/{tag}", "$.v")]),
        &[(r#"{"v":"a\u0000b"}"#, &[reason])],
    );
    check(
        &rules(Format::Raw, vec![rule("s/{tag}", "$")]),
        &[("a\0b", &[reason])],
    );
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

#[test]
fn raw_payloads_are_numbers_truths_or_texts() {
    let rules = rules(Format::Raw, vec![rule("s/{tag}", "$")]);
    let table: [(&str, &[&str]); 11] = [
        ("42\n", &["d/t=I64(42)"]),
        ("18446744073709551615", &["d/t=U64(18446744073709551615)"]),
        (
            "184467440737095516150",
            &["d/t=Text(\"184467440737095516150\")"],
        ),
        ("21.5", &["d/t=F64(21.5)"]),
        ("1e3", &["d/t=F64(1000.0)"]),
        ("NaN", &["d/t=F64(NaN)"]),
        ("-Infinity", &["d/t=F64(-inf)"]),
        ("true", &["d/t=Bool(true)"]),
        ("null", &["d/t=Text(\"null\")"]),
        ("007", &["d/t=Text(\"007\")"]),
        ("", &["d/t=Text(\"\")"]),
    ];
    check(&rules, &table);
    assert_eq!(
        samples(&rules, "s/t", &[0xc3])
            .iter()
            .map(line)
            .collect::<Vec<_>>(),
        ["d/t=bytes(1) Bad: the payload is not UTF-8: incomplete utf-8 byte sequence from index 0"]
    );
}

#[test]
fn a_payload_of_many_exact_times_takes_linear_time() {
    let path = |path| JsonPath::parse(path).unwrap();
    let time = Some(TimePath {
        path: path("$[*].t"),
        form: TimeForm::Unit(TimeUnit::Seconds),
    });
    let mut rules = rules(
        Format::Json,
        vec![Rule {
            time,
            ..rule("s/{tag}", "$[*].v")
        }],
    );
    rules.payload_bytes_max = usize::MAX;
    let item = r#"{"t":1700000000.123456789,"v":1e300}"#;
    let payload = format!("[{}]", vec![item; 20_000].join(","));
    let begun = now();
    let samples = samples(&rules, "s/t", payload.as_bytes());
    // Twenty thousand passes over the text would take a minute.
    assert!(begun.elapsed().as_secs() < 10, "took {:?}", begun.elapsed());
    assert_eq!(
        (samples.len(), line(&samples[19_999])),
        (20_000, "d/t@1700000000123456789=F64(1e300)".to_owned())
    );
}

#[allow(clippy::disallowed_methods)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

proptest! {
    /// Whatever comes, a rule that matches gives a sample, and a fault keeps the bytes.
    #[test]
    fn every_message_gives_samples(payload in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        "[\\[\\]{}:,\"v0-9eE.nul tsq-]{0,80}".prop_map(String::into_bytes),
    ]) {
        let path = |path| JsonPath::parse(path).unwrap();
        let time = Some(TimePath { path: path("$..ts"), form: TimeForm::Unit(TimeUnit::Millis) });
        let all = Rule { time, quality: Some(path("$.q")), ..rule("s/t", "$") };
        for rules in [rules(Format::Json, vec![rule("s/{tag}", "$.v"), all]), rules(Format::Raw, vec![rule("s/{tag}", "$")])] {
            let samples = samples(&rules, "s/t", &payload);
            prop_assert!(samples.len() >= rules.rules.len());
            let kept = samples.iter().filter(|s| s.value == Some(Value::Bytes(payload.clone()))).count();
            let faults = samples.iter().any(|s| s.event_time.is_none() && s.status.quality == Quality::Bad && s.value.is_some());
            prop_assert!(kept <= 1 && (!faults || kept == 1));
        }
    }
}
