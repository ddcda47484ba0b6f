//! What a wrong time, too many series and too long texts may do: nothing in silence, and nothing for ever.

use std::path::Path;

use async_trait::async_trait;
use forebay_config::{Document, Optional, Required, Table, TableKeys};
use forebay_connectors::{
    Connector, ConnectorError, ConnectorKeys, ConnectorKind, Context, Declared, Outlet, Sample,
};
use forebay_schemas::{TagName, Value};
use tokio_util::sync::CancellationToken;

use super::{
    settings::context,
    steps::{at, number, pipeline, sample, shown},
};
use crate::{Pipeline, connectors, pipeline::SERIES_MAX, rule::Invalid};

const AHEAD: &str = "the device's time is more than 300s ahead of the gateway's clock";

/// What follows from a value of `p/t` with a time of its own, with what was held back before it.
fn give(pipeline: &mut Pipeline, value: f64, time: f64, now: f64) -> Vec<String> {
    let sample = Sample {
        event_time: Some(at(time)),
        ..sample("p/t", number(value))
    };
    let readings = pipeline.samples(vec![sample], at(now));
    let released = pipeline.take_released();
    let released = released.iter().flat_map(|one| &one.readings);
    released.chain(&readings).map(shown).collect()
}

#[test]
fn one_time_in_the_future_silences_no_counter() {
    let (mut pipeline, _) = pipeline("rate = \"s\"", "");
    let table = [
        (10.0, 0.0, 0.0, vec![]),
        (11.0, 1.0, 1.0, vec!["p/t 1 -".to_owned()]),
        (
            12.0,
            1e9,
            2.0,
            vec![
                "p/t - - bad: no rate: the device's time is ahead of the gateway's clock"
                    .to_owned(),
            ],
        ),
        (13.0, 3.0, 3.0, vec!["p/t 1 -".to_owned()]),
        // The gateway's clock is set back by an hour.
        (14.0, -3_600.0, -3_600.0, vec![]),
        (15.0, -3_599.0, -3_599.0, vec!["p/t 1 -".to_owned()]),
    ];
    for (value, time, now, expected) in table {
        assert_eq!(give(&mut pipeline, value, time, now), expected, "{value}");
    }
}

#[test]
fn one_time_in_the_future_shuts_no_window_and_no_door() {
    let window = "[[step]]\ntags = [\"*/*\"]\nwindow = \"10s\"\naggregate = [\"count\"]";
    let (mut windowed, _) = pipeline("", window);
    let early = |count: u32| {
        format!(
            "p/t.count {count} 1 uncertain: cut short by the gateway's clock, which was set back, after {count} readings"
        )
    };
    let table = [
        (0.0, 0.0, vec![]),
        (1e9, 1.0, vec![format!("p/t 1 - uncertain: {AHEAD}")]),
        (2.0, 2.0, vec![]),
        (10.0, 10.0, vec!["p/t.count 2 1".to_owned()]),
        // The gateway's clock is set back by an hour.
        (-3_590.0, -3_590.0, vec![early(1)]),
        (-3_589.0, -3_589.0, vec![]),
        (-3_580.0, -3_580.0, vec!["p/t.count 2 1".to_owned()]),
    ];
    for (time, now, expected) in table {
        assert_eq!(give(&mut windowed, 1.0, time, now), expected, "{time}");
    }
    let door = "[[step]]\ntags = [\"*/*\"]\nswinging_door = 0.1";
    let (mut swinging, _) = pipeline("", door);
    let table = [
        (0.0, 0.0, vec!["p/t 1 -".to_owned()]),
        (1e9, 1.0, vec![format!("p/t 1 - uncertain: {AHEAD}")]),
        (2.0, 2.0, vec![]),
        (3.0, 3.0, vec![]),
        (-3_600.0, -3_600.0, vec!["p/t 1 -".to_owned(); 2]),
        (-3_599.0, -3_599.0, vec![]),
    ];
    for (time, now, expected) in table {
        assert_eq!(give(&mut swinging, 1.0, time, now), expected, "{time}");
    }
}

/// A message that comes again after a crash: what passed a door passes, what it held does not.
#[test]
fn a_door_lets_of_a_repeated_message_pass_what_passed() {
    let door = "[[step]]\ntags = [\"*/*\"]\nswinging_door = 0.1";
    let samples = || -> Vec<Sample> {
        let timed = |second: f64| Sample {
            event_time: Some(at(second)),
            ..sample("p/t", number(1.0))
        };
        vec![timed(0.0), timed(1.0)]
    };
    let (mut before, _) = pipeline("", door);
    let (readings, passed) = before.message(samples(), at(1.0), None);
    assert_eq!(readings.len(), 1);
    assert_eq!(before.held().len(), 1);
    let passed = passed.expect("some of it is held back");
    let (mut after, _) = pipeline("", door);
    let (again, passed_again) = after.message(samples(), at(2.0), Some(passed.clone()));
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].event_time, readings[0].event_time);
    assert_eq!(passed_again, Some(passed));
    assert_eq!(after.held(), []);
}

#[test]
fn series_beyond_the_last_that_is_remembered_have_their_steps() {
    let last = "u".to_owned();
    let many = |pipeline: &mut Pipeline| {
        for place in 0..SERIES_MAX {
            let first = sample(&format!("d{place}/t"), number(1.0));
            pipeline.samples(vec![first], at(0.0));
        }
    };
    let (mut scaled, _) = pipeline("unit = \"W.h\"\nrate = \"h\"\nto_unit = \"kW\"", "");
    many(&mut scaled);
    let late = scaled.samples(vec![sample(&format!("{last}/t"), number(1.0))], at(1.0));
    let expected = format!(
        "u/t - kW bad: no rate: more than {SERIES_MAX} series, none is remembered beyond them"
    );
    assert_eq!(late.iter().map(shown).collect::<Vec<_>>(), [expected]);
    let steps = "[[step]]\ntags = [\"*/*\"]\nunit = \"K\"\nwindow = \"1h\"";
    let (mut computed, _) = pipeline("expression = \"value * 2\"\nclamp = [0, 5]", steps);
    many(&mut computed);
    let late = computed.samples(vec![sample("u/t", number(2.0))], at(1.0));
    let expected = format!("u/t 4 K uncertain: not aggregated: more than {SERIES_MAX} series");
    assert_eq!(late.iter().map(shown).collect::<Vec<_>>(), [expected]);
}

#[test]
fn pseudonyms_are_what_devices_are_called_in_the_status() {
    let steps = format!(
        "[[step]]\ntags = [\"truck-*/*\"]\npseudonym_key = \"{}\"",
        "k".repeat(32)
    );
    let (mut pipeline, status) = pipeline("", &steps);
    let heard = vec![
        sample("truck-1/t", number(1.0)),
        sample("depot/t", number(1.0)),
    ];
    pipeline.samples(heard, at(0.0));
    let shown = status.devices();
    let names: Vec<&str> = shown.iter().map(|(device, _)| device.as_str()).collect();
    let expected = pipeline.devices();
    let expected: Vec<&str> = expected.iter().map(|device| device.as_str()).collect();
    assert_eq!(names, expected);
    assert!(names[1].starts_with("p-"), "{names:?}");
    assert!(shown.iter().all(|(_, heard)| heard.is_some()));
}

/// Compares raw values with `invalid` itself, as Modbus does.
struct RawKind;

const KEYS: ConnectorKeys = ConnectorKeys {
    connector: TableKeys::many("connector", "Says nothing.", &[]),
    tag: TableKeys::many("tag", "Is never heard.", &[&NAME, &INVALID]),
};
const NAME: Required<TagName> = Required::new("name", "The tag's name.");
const INVALID: Optional<Vec<Invalid>> = Optional::new("invalid", "No values.").absent("none");

struct Nobody;

#[async_trait]
impl Connector for Nobody {
    fn declared(&self) -> Vec<Declared> {
        Vec::new()
    }

    async fn run(&self, _: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        stop.cancelled().await;
        Ok(())
    }
}

impl ConnectorKind for RawKind {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn keys(&self) -> &'static ConnectorKeys {
        &KEYS
    }

    fn configure(
        &self,
        _: &mut Table<'_>,
        tags: &mut [Table<'_>],
        _: &Context,
    ) -> Option<Box<dyn Connector>> {
        for tag in tags {
            tag.read(&NAME);
            tag.read(&INVALID);
        }
        Some(Box::new(Nobody))
    }
}

#[test]
fn a_connector_that_knows_invalid_values_is_the_only_one_that_looks_for_them() {
    let text = "[[connector]]\nname = \"a\"\nkind = \"raw\"\n[[connector.tag]]\nname = \"t\"\ninvalid = [100]\nscale = 2";
    let document = Document::new(Path::new("f.toml"), text, &|_| None);
    let read = document.read(|root| Some(connectors(root, &[&RawKind], &context())));
    let source = read.unwrap_or_else(|error| panic!("{error}")).remove(0);
    assert_eq!(source.rules[0].invalid, []);
    assert_eq!(source.rules[0].scale, 2.0);
    let other = pipeline("invalid = [100]", "")
        .0
        .samples(vec![sample("p/t", Some(Value::I64(100)))], at(0.0));
    assert_eq!(other[0].value, None);
}
