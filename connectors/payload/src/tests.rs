//! From a payload to values. What a connector makes of them is tested with the connector.

mod binary;
mod fuzzed;

use forebay_schemas::{Quality, Value, ValueType};
use proptest::prelude::*;

use super::*;
use crate::{path::PayloadPath, selection::TimePath, time::TimeForm};

fn at(value: &str) -> Selection {
    Selection::at(value).unwrap()
}

fn timed(value: &str, time: &str, form: TimeForm) -> Selection {
    let path = PayloadPath::parse(time).unwrap();
    Selection {
        time: Some(TimePath { path, form }),
        ..at(value)
    }
}

/// An outcome in one line: `field@nanos=value quality: reason`, or the fault.
fn line(outcome: &Outcome) -> String {
    let decoded = match outcome {
        Ok(decoded) => decoded,
        Err(fault) => return format!("fault: {fault}"),
    };
    let value = match &decoded.value {
        None if decoded.is_faulty => "kept".to_owned(),
        None => "none".to_owned(),
        Some(Value::Bytes(bytes)) => format!("bytes({})", bytes.len()),
        Some(value) => format!("{value:?}"),
    };
    let time = decoded
        .time
        .map(|time| format!("@{}", time.nanos()))
        .unwrap_or_default();
    let quality = match decoded.status.quality {
        Quality::Good => String::new(),
        quality => format!(
            " {quality:?}: {}",
            decoded.status.reason.as_deref().unwrap_or("")
        ),
    };
    let field = decoded.field.as_deref().unwrap_or_default();
    format!("{field}{time}={value}{quality}")
}

fn lines(format: Format, selection: &Selection, payload: &[u8]) -> Vec<String> {
    match Payload::parse(format, payload) {
        Ok(payload) => selection.decode(&payload).iter().map(line).collect(),
        Err(fault) => vec![line(&Err(fault))],
    }
}

fn check(format: Format, selection: &Selection, table: &[(&str, &[&str])]) {
    for (payload, expected) in table {
        let found = lines(format, selection, payload.as_bytes());
        assert_eq!(found, *expected, "{payload}");
    }
}

#[test]
fn json_values_keep_their_exact_types() {
    let rule = at("$.v");
    let table: [(&str, &[&str]); 15] = [
        (r#"{"v":1}"#, &["=I64(1)"]),
        (
            r#"{"v":-9223372036854775808}"#,
            &["=I64(-9223372036854775808)"],
        ),
        (r#"{"v":9007199254740993}"#, &["=I64(9007199254740993)"]),
        (
            r#"{"v":18446744073709551615}"#,
            &["=U64(18446744073709551615)"],
        ),
        (
            r#"{"v":18446744073709551616}"#,
            &[
                "=F64(1.8446744073709552e19) Uncertain: the integer 18446744073709551616 has more than 64 bits and is rounded",
            ],
        ),
        (
            r#"{"v":1.8446744073709552e19}"#,
            &["=F64(1.8446744073709552e19)"],
        ),
        (r#"{"v":1.0}"#, &["=F64(1.0)"]),
        (r#"{"v":-0}"#, &["=F64(-0.0)"]),
        (r#"{"v":true}"#, &["=Bool(true)"]),
        (r#"{"v":"NaN"}"#, &["=Text(\"NaN\")"]),
        (r#"{"v":null}"#, &["=none Bad: null value"]),
        (
            r#"{"v":[1]}"#,
            &["fault: the value is an array: select its items with a path such as $.v[*]"],
        ),
        (
            r#"{"v":{"a":1,"b":{"c":"x"}}}"#,
            &["a=I64(1)", "b.c=Text(\"x\")"],
        ),
        (
            r#"{"v":{}}"#,
            &["fault: the value is an object without fields"],
        ),
        (
            r#"{"v":{"a":[],"b":2}}"#,
            &[
                "a=kept Bad: the field a is an array: select its items with a path such as $.v[*]",
                "b=I64(2)",
            ],
        ),
    ];
    check(Format::Json, &rule, &table);
}

#[test]
fn times_are_read_where_a_rule_asks_for_them() {
    let seconds: [(&str, &[&str]); 5] = [
        (
            r#"{"v":1,"ts":1700000000.123456789}"#,
            &["@1700000000123456789=I64(1)"],
        ),
        (
            r#"{"v":1,"ts":"1700000000.5"}"#,
            &["@1700000000500000000=I64(1)"],
        ),
        (r#"{"v":1}"#, &["fault: the time path $.ts finds nothing"]),
        (
            r#"{"v":1,"ts":null}"#,
            &["fault: the time is null, neither a text nor a number"],
        ),
        (
            r#"{"v":1,"ts":1e30}"#,
            &["fault: the time 1e30 is not in the years 1677 to 2262"],
        ),
    ];
    let form = TimeForm::Unit(TimeUnit::Seconds);
    check(Format::Json, &timed("$.v", "$.ts", form), &seconds);
    let texts: [(&str, &[&str]); 3] = [
        (
            r#"{"v":1,"ts":"1970-01-01T00:00:00.000000001Z"}"#,
            &["@1=I64(1)"],
        ),
        (
            r#"{"v":1,"ts":"yesterday"}"#,
            &["fault: the time \"yesterday\" is not RFC 3339 such as 2026-11-23T14:51:35.5Z"],
        ),
        (
            r#"{"v":1,"ts":5}"#,
            &["fault: the time 5 is a number: set time_unit to \"s\", \"ms\", \"us\" or \"ns\""],
        ),
    ];
    let form = TimeForm::Text { zone: None };
    check(Format::Json, &timed("$.v", "$.ts", form), &texts);
}

#[test]
fn an_object_gives_its_fields_without_time_and_quality() {
    let fields = Selection {
        quality: Some(PayloadPath::parse("$.q").unwrap()),
        ..timed("$", "$.ts", TimeForm::Unit(TimeUnit::Nanos))
    };
    let table: [(&str, &[&str]); 5] = [
        (
            r#"{"ts":7,"q":"good","a":1,"b":2.5}"#,
            &["a@7=I64(1)", "b@7=F64(2.5)"],
        ),
        (r#"{"ts":7,"a":1}"#, &["a@7=I64(1)"]),
        (
            r#"{"ts":7,"q":2,"a":1}"#,
            &["a@7=I64(1) Bad: the device says so"],
        ),
        (
            r#"{"ts":7,"q":"dusty","a":1}"#,
            &["a@7=I64(1) Uncertain: unknown quality \"dusty\""],
        ),
        ("5", &["fault: the time path $.ts finds nothing"]),
    ];
    check(Format::Json, &fields, &table);
    let open = timed("$.*", "$.ts", TimeForm::Unit(TimeUnit::Nanos));
    let table: [(&str, &[&str]); 2] = [
        (r#"{"ts":7,"a":1,"b":2.5}"#, &["a@7=I64(1)", "b@7=F64(2.5)"]),
        (r#"{"ts":7}"#, &["ts@7=I64(7)"]),
    ];
    check(Format::Json, &open, &table);
}

#[test]
fn several_values_have_one_time_or_each_its_own() {
    let rule = timed("$.s[*].v", "$.s[*].t", TimeForm::Unit(TimeUnit::Nanos));
    let table: [(&str, &[&str]); 3] = [
        (
            r#"{"s":[{"t":1,"v":10},{"t":2,"v":20}]}"#,
            &["@1=I64(10)", "@2=I64(20)"],
        ),
        (
            r#"{"s":[{"t":1,"v":10},{"v":20}]}"#,
            &["@1=I64(10)", "@1=I64(20)"],
        ),
        (
            r#"{"s":[{"t":1,"v":1},{"t":2,"v":2},{"v":3}]}"#,
            &["fault: the time path $.s[*].t finds 2 nodes for 3 values"],
        ),
    ];
    check(Format::Json, &rule, &table);
}

#[test]
fn values_that_a_path_leaves_open_are_series_of_their_own() {
    let rule = at("$.data.*.value");
    let table: [(&str, &[&str]); 2] = [
        (
            r#"{"data":{"p":{"value":1},"q":{"value":2}}}"#,
            &["p=I64(1)", "q=I64(2)"],
        ),
        (r#"{"data":{"p":{"value":3}}}"#, &["p=I64(3)"]),
    ];
    check(Format::Json, &rule, &table);
}

#[test]
fn items_of_an_array_are_tags_where_it_says_so() {
    let all = Selection {
        arrays: Arrays::Tags,
        ..at("$")
    };
    let table: [(&str, &[&str]); 3] = [
        (
            r#"{"emeters":[{"power":1.5},{"power":2.5}],"ok":true}"#,
            &[
                "emeters.0.power=F64(1.5)",
                "emeters.1.power=F64(2.5)",
                "ok=Bool(true)",
            ],
        ),
        ("[[1,2],3]", &["0.0=I64(1)", "0.1=I64(2)", "1=I64(3)"]),
        ("[]", &["fault: the value is an array without items"]),
    ];
    check(Format::Json, &all, &table);
    let phases = Selection {
        arrays: Arrays::Tags,
        ..at("$.p[*].v")
    };
    check(
        Format::Json,
        &phases,
        &[(r#"{"p":[{"v":1},{"v":2}]}"#, &["0=I64(1)", "1=I64(2)"])],
    );
}

#[test]
fn names_are_cut_so_that_a_payload_cannot_ask_for_much_memory() {
    let (key, leaves) = ("ü".repeat(50_000), vec!["1"; 10_000].join(","));
    let all = Selection {
        arrays: Arrays::Tags,
        ..at("$")
    };
    let payload = format!(r#"{{"{key}":[{leaves}]}}"#);
    let read = Payload::parse(Format::Json, payload.as_bytes()).unwrap();
    let outcomes = all.decode(&read);
    let longest = outcomes
        .iter()
        .filter_map(|outcome| outcome.as_ref().unwrap().field.as_ref())
        .map(String::len);
    assert_eq!((outcomes.len(), longest.max()), (10_000, Some(1024)));
}

#[test]
fn a_unit_serves_all_values_or_each_its_own() {
    let units = |value: &str, unit: &str| Selection {
        unit: Some(PayloadPath::parse(unit).unwrap()),
        ..at(value)
    };
    let table: [(&str, &str, &str, &[Option<&str>]); 4] = [
        (
            "$",
            "$.unit",
            r#"{"a":1,"b":2,"unit":"Cel"}"#,
            &[Some("Cel"); 2],
        ),
        (
            "$.s[*].v",
            "$.s[*].u",
            r#"{"s":[{"v":1,"u":"Cel"},{"v":2,"u":"%"}]}"#,
            &[Some("Cel"), Some("%")],
        ),
        ("$.v", "$.unit", r#"{"v":1}"#, &[None]),
        ("$.v", "$.unit", r#"{"v":1,"unit":5}"#, &[None]),
    ];
    for (value, unit, payload, expected) in table {
        let read = Payload::parse(Format::Json, payload.as_bytes()).unwrap();
        let outcomes = units(value, unit).decode(&read);
        let found: Vec<_> = outcomes
            .iter()
            .map(|outcome| outcome.as_ref().unwrap().unit.as_deref())
            .collect();
        assert_eq!(found, expected, "{payload}");
    }
}

#[test]
fn a_type_makes_numbers_of_texts_or_says_why_not() {
    let number = Selection {
        value_type: Some(ValueType::F64),
        ..at("$.v")
    };
    let table: [(&str, &[&str]); 4] = [
        (r#"{"v":"48.5"}"#, &["=F64(48.5)"]),
        (r#"{"v":21}"#, &["=F64(21.0)"]),
        (
            r#"{"v":"21,5"}"#,
            &["=none Bad: \"21,5\" is not a valid f64, the type of the tag"],
        ),
        (
            r#"{"v":{"a":"1","b":"x"}}"#,
            &[
                "a=F64(1.0)",
                "b=none Bad: \"x\" is not a valid f64, the type of the tag",
            ],
        ),
    ];
    check(Format::Json, &number, &table);
    let text = Selection {
        value_type: Some(ValueType::Text),
        ..Selection::default()
    };
    check(Format::Raw, &text, &[("42", &["=Text(\"42\")"])]);
}

#[test]
fn a_text_with_a_nul_is_kept_as_bytes() {
    let reason = "=bytes(3) Bad: the text holds the character U+0000 and is kept as bytes";
    check(
        Format::Json,
        &at("$.v"),
        &[(r#"{"v":"a\u0000b"}"#, &[reason])],
    );
    check(Format::Raw, &Selection::default(), &[("a\0b", &[reason])]);
}

#[test]
fn raw_payloads_are_numbers_truths_or_texts() {
    let table: [(&str, &[&str]); 11] = [
        ("42\n", &["=I64(42)"]),
        ("18446744073709551615", &["=U64(18446744073709551615)"]),
        (
            "184467440737095516150",
            &["=Text(\"184467440737095516150\")"],
        ),
        ("21.5", &["=F64(21.5)"]),
        ("1e3", &["=F64(1000.0)"]),
        ("NaN", &["=F64(NaN)"]),
        ("-Infinity", &["=F64(-inf)"]),
        ("true", &["=Bool(true)"]),
        ("null", &["=Text(\"null\")"]),
        ("007", &["=Text(\"007\")"]),
        ("", &["=Text(\"\")"]),
    ];
    check(Format::Raw, &Selection::default(), &table);
    let fault = Payload::parse(Format::Raw, &[0xc3]).unwrap_err();
    assert_eq!(
        fault.to_string(),
        "the payload is not UTF-8: incomplete utf-8 byte sequence from index 0"
    );
}

#[test]
fn a_payload_of_many_exact_times_takes_linear_time() {
    let rule = timed("$[*].v", "$[*].t", TimeForm::Unit(TimeUnit::Seconds));
    let item = r#"{"t":1700000000.123456789,"v":1e300}"#;
    let payload = format!("[{}]", vec![item; 20_000].join(","));
    let begun = now();
    let lines = lines(Format::Json, &rule, payload.as_bytes());
    // Twenty thousand passes over the text would take a minute.
    assert!(begun.elapsed().as_secs() < 10, "took {:?}", begun.elapsed());
    assert_eq!(
        (lines.len(), lines[19_999].as_str()),
        (20_000, "@1700000000123456789=F64(1e300)")
    );
}

#[allow(clippy::disallowed_methods)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

proptest! {
    /// What is read without a tree is what the tree gives.
    #[test]
    fn plain_members_give_what_the_tree_gives(
        members in prop::collection::vec((r#""(v|t|q|u|x)""#, r#"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,3})?|true|false|null|"(2026-11-29T12:00:00Z|17000|V|good|)""#), 0..6),
        to in prop::option::of(prop::sample::select(vec![ValueType::F64, ValueType::I64, ValueType::U64, ValueType::Bool, ValueType::Text])),
        is_timed in any::<bool>(),
    ) {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("{name}:{value}")).collect();
        let payload = format!("{{{}}}", members.join(","));
        let path = |text: &str| PayloadPath::parse(text).unwrap();
        let time = is_timed.then(|| TimePath { path: path("$.t"), form: TimeForm::Unit(TimeUnit::Millis) });
        let selection = Selection {
            value_type: to,
            time,
            quality: Some(path("$.q")),
            unit: Some(path("$['u']")),
            ..at("$.v")
        };
        let document = crate::document::Document::parse(payload.as_bytes()).unwrap();
        let plain = document.flat().and_then(|flat| selection.plain(flat));
        if let Some(decoded) = plain {
            prop_assert_eq!(selection.select(&document), Ok(vec![Ok(decoded)]), "{}", payload);
        }
    }
}

proptest! {
    /// Whatever comes, a selection makes something of it.
    #[test]
    fn every_payload_is_decoded_or_refused_with_a_reason(payload in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        "[\\[\\]{}:,\"v0-9eE.nul tsq-]{0,80}".prop_map(String::into_bytes),
    ]) {
        let all = Selection {
            quality: Some(PayloadPath::parse("$.q").unwrap()),
            ..timed("$", "$..ts", TimeForm::Unit(TimeUnit::Millis))
        };
        for (format, selection) in [(Format::Json, at("$.v")), (Format::Json, all), (Format::Raw, at("$"))] {
            prop_assert!(!lines(format, &selection, &payload).is_empty());
        }
    }
}
