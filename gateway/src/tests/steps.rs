//! `[[step]]` and the steps of tags, from a file to readings.

use std::{path::Path, sync::Arc};

use forebay_config::Document;
use forebay_connectors::{LinkChange, RuleId, Sample, SampleKind};
use forebay_schemas::{DeviceId, Quality, Reading, SiteId, Status, TagName, Timestamp, Value};

use super::settings::{SilentKind, context};
use crate::{Pipeline, Source, SourceStatus, StepSettings, connectors};

fn source(tag: &str, steps: &str) -> Source {
    read(&format!(
        "[[connector]]\nname = \"a\"\nkind = \"silent\"\ndepth = 1\n[[connector.tag]]\nname = \"t\"\n{tag}\n{steps}"
    ))
}

fn read(text: &str) -> Source {
    let key = |name: &str| (name == "PSEUDONYM_KEY").then(|| "k".repeat(32));
    let document = Document::new(Path::new("f.toml"), text, &key);
    let read = document.read(|root| Some(connectors(root, &[&SilentKind], &context())));
    read.unwrap_or_else(|error| panic!("{error}")).remove(0)
}

pub(super) fn step_settings(steps: &str) -> StepSettings {
    source("", steps).steps
}

pub(super) fn pipeline(tag: &str, steps: &str) -> (Pipeline, Arc<SourceStatus>) {
    of(source(tag, steps))
}

fn of(source: Source) -> (Pipeline, Arc<SourceStatus>) {
    let Source {
        rules,
        filter,
        steps,
        skew,
        ..
    } = source;
    let status = Arc::new(SourceStatus::default());
    let site = SiteId::new("s").unwrap();
    let pipeline = Pipeline::new(site, rules, filter, Vec::new(), status.clone())
        .with_steps(&steps)
        .with_clock_skew(skew);
    (pipeline, status)
}

pub(super) fn at(seconds: f64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000_000_000_000 + (seconds * 1e9) as i64)
}

pub(super) fn sample(series: &str, value: Option<Value>) -> Sample {
    let (device, tag) = series.split_once('/').unwrap();
    Sample {
        rule: RuleId(0),
        device: DeviceId::new(device).unwrap(),
        tag: TagName::new(tag).unwrap(),
        event_time: None,
        value,
        unit: None,
        status: Status::GOOD,
        kind: SampleKind::Update,
    }
}

/// As "device/tag value unit", with quality and reason where it is not good.
pub(super) fn shown(reading: &Reading) -> String {
    let value = match &reading.value {
        None => "-".to_owned(),
        Some(Value::Text(text)) => text.clone(),
        Some(Value::Bool(truth)) => truth.to_string(),
        Some(number) => {
            let number = number.as_f64().unwrap();
            ((number * 1e6).round() / 1e6).to_string()
        }
    };
    let series = format!("{}/{}", reading.series.device, reading.series.tag);
    let unit = reading.unit.as_deref().unwrap_or("-");
    let mut shown = format!("{series} {value} {unit}");
    let quality = match reading.status.quality {
        Quality::Good => return shown,
        Quality::Uncertain => "uncertain",
        Quality::Bad => "bad",
    };
    let reason = reading.status.reason.as_deref().unwrap_or_default();
    shown.push_str(&format!(" {quality}: {reason}"));
    shown
}

pub(super) fn number(value: f64) -> Option<Value> {
    Some(Value::F64(value))
}

/// What a second each of samples gives.
fn check(what: &str, tag: &str, steps: &str, samples: &[(&str, Option<Value>)], expected: &[&str]) {
    let (mut pipeline, _) = pipeline(tag, steps);
    let mut found = Vec::new();
    for (second, (series, value)) in samples.iter().enumerate() {
        let samples = vec![sample(series, value.clone())];
        let readings = pipeline.samples(samples, at(second as f64));
        found.extend(readings.iter().map(shown));
    }
    assert_eq!(found, expected, "{what}");
}

#[test]
fn every_step_does_what_its_key_says() {
    let on = |text: &str| Some(Value::Text(text.to_owned()));
    check(
        "an invalid value is bad, has no value and names itself",
        "invalid = [-9999, 0x8000, 6553.5, \"ERR\"]\nscale = 0.1",
        "",
        &[
            ("p/a", Some(Value::I64(-9999))),
            ("p/b", Some(Value::U64(32_768))),
            ("p/c", number(6553.5)),
            ("p/d", on("err ")),
            ("p/e", Some(Value::I64(9999))),
        ],
        &[
            "p/a - - bad: invalid value -9999",
            "p/b - - bad: invalid value 32768",
            "p/c - - bad: invalid value 6553.5",
            "p/d - - bad: invalid value \"err \"",
            "p/e 999.9 -",
        ],
    );
    check(
        "a unit is converted before bounds look at the value",
        "unit = \"Cel\"\nto_unit = \"[degF]\"\nclamp = [0, 212]",
        "",
        &[
            ("p/t", Some(Value::I64(21))),
            ("p/t", number(150.0)),
            ("p/t", on("off")),
        ],
        &[
            "p/t 69.8 [degF]",
            "p/t 212 [degF] uncertain: 302 clamped to 212",
            "p/t off [degF]",
        ],
    );
    check(
        "a counter of energy becomes power; a reset is no rate",
        "unit = \"W.h\"\nscale = 10\nrate = \"h\"\nrolls_over_at = 65536\nto_unit = \"kW\"",
        "",
        &[
            ("p/e", Some(Value::U64(65_535))),
            ("p/e", Some(Value::U64(0))),
            ("p/e", Some(Value::U64(2))),
            ("p/f", Some(Value::U64(20_000))),
            ("p/f", Some(Value::U64(5))),
            ("p/f", Some(Value::U64(6))),
        ],
        &[
            "p/e 36 kW",
            "p/e 72 kW",
            "p/f - kW bad: counter was reset: 200000 before, 50 now",
            "p/f 36 kW",
        ],
    );
    check(
        "an expression computes, and fails by name",
        "expression = \"value > 100 ? last('factor') * value : sqrt(value)\"",
        "",
        &[
            ("p/t", number(16.0)),
            ("p/t", number(200.0)),
            ("p/factor", number(4.0)),
            ("p/t", number(200.0)),
            ("q/t", number(200.0)),
            ("p/t", number(-1.0)),
            ("p/t", on("off")),
        ],
        &[
            "p/t 4 -",
            "p/t - - bad: expression failed at column 15: tag \"factor\" has no good value",
            "p/factor 2 -",
            "p/t 400 -",
            "q/t - - bad: expression failed at column 15: tag \"factor\" has no good value",
            "p/t - - bad: not a number",
            "p/t - - bad: expression failed at column 1: a number is expected, not the text \"off\"",
        ],
    );
    check(
        "a filter leaves out what is false, never what has no value, and what it cannot judge is uncertain",
        "filter = \"value > 0\"",
        "",
        &[
            ("p/t", number(1.0)),
            ("p/t", number(-1.0)),
            ("p/t", None),
            ("p/t", on("x")),
            ("p/t", Some(Value::Bool(true))),
        ],
        &[
            "p/t 1 -",
            "p/t - -",
            "p/t x - uncertain: filter failed at column 1: a number is expected, not the text \"x\"",
            "p/t true -",
        ],
    );
}

#[test]
fn tables_of_steps_are_taken_in_their_order_by_the_names_that_stand_there() {
    check(
        "a derived tag goes on, and the source passes",
        "unit = \"V\"",
        r#"
[[step]]
tags = ["p*/voltage", "p*/current"]
derive = "power"
expression = "last('voltage') * last('current')"
unit = "W"
deadband = 10
[[step]]
tags = ["*/power"]
to_unit = "kW"
rename = "p.{tag}"
[[step]]
tags = ["*/p.power"]
clamp = [0, 2]
"#,
        &[
            ("p1/voltage", number(200.0)),
            ("p1/current", number(5.0)),
            ("p1/current", number(5.01)),
            ("p1/current", number(20.0)),
            ("x1/current", number(9.0)),
        ],
        &[
            "p1/p.power - kW bad: expression failed at column 19: tag \"current\" has no good value",
            "p1/voltage 200 V",
            "p1/p.power 1 kW",
            "p1/current 5 V",
            "p1/current 5.01 V",
            "p1/p.power 2 kW uncertain: 4 clamped to 2",
            "p1/current 20 V",
            "x1/current 9 V",
        ],
    );
    check(
        "a rate in one table, and a dead-band on it in the next",
        "",
        "[[step]]\ntags = [\"*/*\"]\nrate = \"s\"\n[[step]]\ntags = [\"*/n\"]\ndeadband = \"10%\"",
        &[
            ("p/n", number(0.0)),
            ("p/n", number(100.0)),
            ("p/n", number(205.0)),
            ("p/n", number(330.0)),
        ],
        &["p/n 100 -", "p/n 125 -"],
    );
    check(
        "a unit that is not known or not fitting leaves the value, uncertain",
        "",
        "[[step]]\ntags = [\"*/*\"]\nto_unit = \"bar\"",
        &[("p/n", number(1.0))],
        &["p/n 1 - uncertain: not converted: the source gives no unit"],
    );
}

#[test]
fn a_source_that_gives_units_is_converted_by_each() {
    let (mut pipeline, _) = pipeline("to_unit = \"bar\"", "");
    let table = [
        ("kPa", "p/n 2.5 bar"),
        ("[psi]", "p/n 17.236893 bar"),
        (
            "Cel",
            "p/n 250 Cel uncertain: not converted: \"Cel\" cannot be converted to \"bar\": they measure different things",
        ),
        ("kPa", "p/n 2.5 bar"),
    ];
    for (second, (unit, expected)) in table.into_iter().enumerate() {
        let mut sample = sample("p/n", number(250.0));
        sample.unit = Some(unit.into());
        let readings = pipeline.samples(vec![sample], at(second as f64));
        let shown: Vec<String> = readings.iter().map(shown).collect();
        assert_eq!(shown, [expected]);
    }
}

#[test]
fn a_lost_link_reaches_derived_tags_too() {
    let steps =
        "[[step]]\ntags = [\"*/t\"]\nderive = \"double\"\nexpression = \"value * 2\"\ndeadband = 1";
    let (mut pipeline, status) = pipeline("deadband = 5", steps);
    let good = pipeline.samples(vec![sample("p/t", number(1.0))], at(0.0));
    assert_eq!(
        good.iter().map(shown).collect::<Vec<_>>(),
        ["p/double 2 -", "p/t 1 -"]
    );
    let down = LinkChange {
        device: None,
        down: Some("gone".to_owned()),
    };
    let bad = pipeline.link(down, at(1.0));
    let expected = [
        "p/double - - bad: link lost: gone",
        "p/t - - bad: link lost: gone",
    ];
    assert_eq!(bad.iter().map(shown).collect::<Vec<_>>(), expected);
    assert!(pipeline.tick(at(2.0)).is_empty());
    assert_eq!(pipeline.tick(at(61.0)).len(), 2, "repeated after a minute");
    let again = pipeline.samples(vec![sample("p/t", number(1.5))], at(62.0));
    assert_eq!(
        again.len(),
        2,
        "good again although within the dead-band: {again:?}"
    );
    assert!(
        pipeline
            .samples(vec![sample("p/t", number(1.4))], at(63.0))
            .is_empty()
    );
    assert_eq!(
        status.unchanged(),
        1,
        "the tag's own dead-band holds it back before others see it"
    );
}

#[test]
fn pseudonyms_are_all_that_leaves_the_gateway() {
    let steps = format!(
        "[[step]]\ntags = [\"truck-*/*\"]\npseudonym_key = \"{}\"\n[[step]]\ntags = [\"truck-1/t\"]\nscale = 2",
        "k".repeat(32)
    );
    let (mut pipeline, _) = pipeline("", &steps);
    let good = pipeline.samples(
        vec![
            sample("truck-1/t", number(1.0)),
            sample("depot/t", number(1.0)),
        ],
        at(0.0),
    );
    let down = LinkChange {
        device: None,
        down: Some("gone".to_owned()),
    };
    let mut all = pipeline.link(down, at(1.0));
    all.extend(pipeline.tick(at(100.0)));
    all.extend(good.clone());
    assert_eq!(all.len(), 6);
    assert!(
        all.iter()
            .all(|reading| !reading.series.device.as_str().contains("truck")),
        "{all:?}"
    );
    let devices = pipeline.devices();
    assert!(
        devices
            .iter()
            .all(|device| !device.as_str().contains("truck"))
    );
    assert_eq!(devices.len(), 2);
    assert_eq!(
        good[0].value,
        number(2.0),
        "patterns of other steps fit the device's own name"
    );
}

#[test]
fn a_clock_that_runs_ahead_is_never_trusted_in_silence() {
    let (mut pipeline, _) = pipeline("deadband = 5", "");
    let mut ahead = sample("p/t", number(1.0));
    ahead.event_time = Some(at(1_000.0));
    let readings = pipeline.samples(vec![ahead.clone()], at(0.0));
    let expected =
        "p/t 1 - uncertain: the device's time is more than 300s ahead of the gateway's clock";
    assert_eq!(readings.iter().map(shown).collect::<Vec<_>>(), [expected]);
    assert_eq!(
        readings[0].event_time,
        at(1_000.0),
        "it is stored as it came"
    );
    ahead.event_time = Some(at(1_001.0));
    assert!(
        pipeline.samples(vec![ahead], at(1.0)).is_empty(),
        "its quality does not flap"
    );
}

#[test]
fn what_is_wrong_with_steps_is_said_at_once() {
    let steps = r#"
[[step]]
tags = ["[z-a"]
to_unit = "°F"
unit = "Cel"
filter = "value + 1"
expression = "valeu * 2"
rolls_over_at = 10
[[step]]
scale = 2
[[step]]
tags = ["a/*", "b/t"]
pseudonym_key = "0123456789012345678901234567890123"
[[step]]
tags = ["a/*"]
pseudonym_key = "short"
derive = "x"
[[step]]
tags = ["a/*"]
unit = "bar"
to_unit = "kW"
dead_band = 3
[[step]]
tags = ["a/*"]
window = "10ms"
aggregate = ["meen"]
deadband = 1
swinging_door = -1
[[step]]
tags = ["a/*"]
derive = "_events"
expression = "value"
rename = "_events"
"#;
    let document = Document::new(Path::new("f.toml"), steps, &|_| None);
    let errors = document
        .read(|root| Some(connectors(root, &[&SilentKind], &context())))
        .map(|_| ())
        .unwrap_err();
    let lines: Vec<String> = errors.to_string().lines().map(str::to_owned).collect();
    let expected = [
        ("f.toml:3:8", "step.tags: error parsing glob"),
        (
            "f.toml:4:11",
            "step.to_unit: column 1 of the unit \"°F\": \"°F\" is not a UCUM code: write \"[degF]\"",
        ),
        (
            "f.toml:6:10",
            "step.filter: true or false is expected, such as \"value > 0\"; this gives a number",
        ),
        (
            "f.toml:7:14",
            "step.expression: column 1: \"valeu\" is not known; did you mean \"value\"?",
        ),
        (
            "f.toml:8:17",
            "step.rolls_over_at: a number above 0 is expected, beside rate",
        ),
        ("f.toml:9:1", "step: tags is missing"),
        ("f.toml:12:8", "step.tags: pseudonyms are for whole devices"),
        (
            "f.toml:16:17",
            "step.pseudonym_key: a key of at least 32 characters",
        ),
        (
            "f.toml:17:10",
            "step.derive: a copy of the tag follows: expression is missing",
        ),
        (
            "f.toml:21:11",
            "step.to_unit: \"bar\" cannot be converted to \"kW\"",
        ),
        (
            "f.toml:22:1",
            "step.dead_band: unknown key; did you mean \"deadband\"?",
        ),
        (
            "f.toml:27:12",
            "step.deadband: it would thin out what a window or a door is to see",
        ),
        (
            "f.toml:28:17",
            "step.swinging_door: a deviation from 0 on is expected",
        ),
        (
            "f.toml:28:17",
            "step.swinging_door: window stands there too",
        ),
        (
            "f.toml:31:10",
            "step.derive: \"_events\" is the tag of events, which no values may have: choose another name",
        ),
        (
            "f.toml:33:10",
            "step.rename: \"_events\" is the tag of events",
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

/// The page's example is what it says; the connector's own keys are another test's.
#[test]
fn the_example_of_the_page_on_steps_works() {
    let page = include_str!("../../../docs/reference/steps.md");
    let (_, example) = page.split_once("```toml\n").unwrap();
    let (example, _) = example.split_once("```").unwrap();
    let modbus = ["device =", "url =", "register =", "address =", "type ="];
    let text: String = example
        .lines()
        .filter(|line| !modbus.iter().any(|key| line.starts_with(key)))
        .map(|line| format!("{}\n", line.replace("\"modbus\"", "\"silent\"\ndepth = 1")))
        .collect();
    let (mut pipeline, status) = of(read(&text));
    let other = RuleId(9);
    let samples = [
        (RuleId(0), "boiler-1/energy", Value::U64(999_998)),
        (RuleId(0), "boiler-1/energy", Value::U64(1)),
        (other, "boiler-2/temp.in", Value::F64(999.0)),
        (other, "boiler-2/temp.in", Value::I64(32_767)),
        (other, "boiler-2/temp.in", Value::F64(20.0)),
        (other, "boiler-2/temp.in", Value::F64(20.4)),
        (other, "line/voltage", Value::F64(230.0)),
        (other, "line/current", Value::F64(10.0)),
        (other, "fan/speed", Value::F64(-1.0)),
    ];
    let mut found = Vec::new();
    for (second, (rule, series, value)) in samples.into_iter().enumerate() {
        let sample = Sample {
            rule,
            ..sample(series, Some(value))
        };
        let readings = pipeline.samples(vec![sample], at(second as f64));
        found.extend(readings.iter().map(shown));
    }
    let expected = [
        "boiler-1/energy 108 kW",
        "boiler-2/temp.in 600 Cel uncertain: 999 clamped to 600",
        "boiler-2/temp.in - Cel bad: invalid value 32767",
        "boiler-2/temp.in 20 Cel",
        "line/power - kW bad: expression failed at column 19: tag \"current\" has no good value",
        "line/voltage 230 -",
        "line/power 2.3 kW",
        "line/current 10 -",
    ];
    assert_eq!(found, expected);
    assert_eq!((status.filtered(), status.unchanged()), (1, 2));
}
