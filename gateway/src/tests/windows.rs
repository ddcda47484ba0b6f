//! Windows and doors: what they send, and that a stop, a crash and a restart lose none of it.

use std::collections::BTreeSet;

use forebay_connectors::Sample;
use forebay_schemas::{Reading, Value};

use super::steps::{at, number, pipeline, sample, shown};
use crate::{Pipeline, held::Released};

const WINDOW: &str = "[[step]]\ntags = [\"p/*\"]\nwindow = \"10s\"\naggregate = [\"min\", \"max\", \"mean\", \"last\", \"count\", \"std\"]";

fn timed(series: &str, value: Option<Value>, seconds: f64) -> Sample {
    Sample {
        event_time: Some(at(seconds)),
        ..sample(series, value)
    }
}

/// Readings that go on at once, and those that were held back, in order.
fn give(pipeline: &mut Pipeline, samples: Vec<Sample>, now: f64) -> Vec<String> {
    let readings = pipeline.samples(samples, at(now));
    with_released(pipeline, readings)
}

fn with_released(pipeline: &mut Pipeline, readings: Vec<Reading>) -> Vec<String> {
    let released = pipeline.take_released();
    let released = released.iter().flat_map(|one| one.readings.iter());
    released.chain(&readings).map(shown).collect()
}

fn at_start(readings: &[Released], start: f64) -> bool {
    let mut all = readings.iter().flat_map(|one| &one.readings);
    all.all(|reading| reading.event_time == at(start))
}

#[test]
fn a_window_sends_its_aggregates_when_its_series_goes_on() {
    let (mut pipeline, _) = pipeline("unit = \"Cel\"", WINDOW);
    let first = vec![
        timed("p/t", number(4.0), 0.0),
        timed("p/t", number(1.0), 9.0),
        timed("p/t", number(7.0), 5.0),
    ];
    assert_eq!(give(&mut pipeline, first, 9.0), [""; 0]);
    let next = vec![timed("p/t", number(5.0), 10.0)];
    pipeline.samples(next, at(10.0));
    let released = pipeline.take_released();
    assert!(at_start(&released, 0.0), "{released:?}");
    let found: Vec<String> = released
        .iter()
        .flat_map(|one| &one.readings)
        .map(shown)
        .collect();
    let expected = [
        "p/t.min 1 Cel",
        "p/t.max 7 Cel",
        "p/t.mean 4 Cel",
        "p/t.last 1 Cel",
        "p/t.count 3 1",
        "p/t.std 3 Cel",
    ];
    assert_eq!(found, expected);
    let late = vec![timed("p/t", number(9.0), 8.0)];
    let expected = ["p/t 9 Cel uncertain: it came after its window had closed"];
    assert_eq!(give(&mut pipeline, late, 11.0), expected);
    let other = vec![
        timed("q/t", number(9.0), 8.0),
        timed("p/mode", Some(Value::Text("on".into())), 8.0),
    ];
    assert_eq!(
        give(&mut pipeline, other, 11.0),
        ["q/t 9 Cel", "p/mode on Cel"]
    );
}

#[test]
fn a_window_closes_by_the_clock_and_says_what_was_missing() {
    let steps = "[[step]]\ntags = [\"p/*\"]\nwindow = \"10s\"\nwindow_grace = \"5s\"\n[[step]]\ntags = [\"*/*.mean\"]\nscale = 2\nrename = \"double\"";
    let (mut pipeline, _) = pipeline("", steps);
    assert_eq!(
        give(&mut pipeline, vec![timed("p/t", number(4.0), 0.0)], 0.0),
        [""; 0]
    );
    let bad = vec![timed("p/t", None, 1.0)];
    assert_eq!(
        give(&mut pipeline, bad, 1.0),
        ["p/double - -"],
        "nobody reads the tag itself"
    );
    let early = pipeline.tick(at(14.0));
    assert_eq!(with_released(&mut pipeline, early), [""; 0]);
    let due = pipeline.tick(at(15.0));
    let expected = ["p/double 8 - uncertain: 1 of 2 readings are bad"];
    assert_eq!(with_released(&mut pipeline, due), expected);
    let again = pipeline.tick(at(60.0));
    assert_eq!(with_released(&mut pipeline, again), [""; 0]);
    assert!(pipeline.take_held_has_changed());
    assert!(pipeline.held().is_empty());
}

#[test]
fn a_crash_loses_nothing_of_a_window_and_doubles_nothing() {
    let steps = "[[step]]\ntags = [\"p/*\"]\nwindow = \"10s\"\n[[step]]\ntags = [\"*/*.mean\"]\nrename = \"m\"";
    let (mut before, _) = pipeline("", steps);
    give(
        &mut before,
        vec![
            timed("p/t", number(4.0), 0.0),
            timed("p/u", number(1.0), 0.0),
        ],
        0.0,
    );
    assert!(before.take_held_has_changed());
    assert!(!before.take_held_has_changed());
    let held = before.held();
    assert_eq!(held.len(), 2);
    // The process ends here: the next one has the file alone.
    let (mut after, _) = pipeline("", steps);
    after.recover(held.clone(), &BTreeSet::new());
    let released = after.take_released();
    let mut found: Vec<String> = released
        .iter()
        .flat_map(|one| &one.readings)
        .map(shown)
        .collect();
    found.sort();
    let expected = [
        "p/m 1 - uncertain: cut short by a stop after 1 readings",
        "p/m 4 - uncertain: cut short by a stop after 1 readings",
    ];
    assert_eq!(found, expected);
    assert!(after.held().is_empty());
    // It ends again, after the spool has the first of them and before the file was replaced.
    let (mut third, _) = pipeline("", steps);
    let stored = BTreeSet::from([released[0].token()]);
    third.recover(held, &stored);
    assert_eq!(third.take_released(), released[1..]);
}

/// A process that starts within a window does not know what came of it before; whatever the device's clock says.
#[test]
fn the_rest_of_a_cut_window_is_uncertain_behind_one_of_values_that_waited_too() {
    let steps = "[[step]]\ntags = [\"p/*\"]\nwindow = \"10s\"\naggregate = [\"count\"]";
    let (pipeline, _) = pipeline("", steps);
    let mut pipeline = pipeline.since(at(104.0));
    let mut found = Vec::new();
    for (event_time, came) in [
        (98.0, 105.0),
        (106.0, 106.0),
        (115.0, 115.0),
        (125.0, 125.0),
    ] {
        let next = vec![timed("p/t", number(1.0), event_time)];
        found.extend(give(&mut pipeline, next, came));
    }
    let cut = "p/t.count 1 1 uncertain: begun before the start: 1 readings came after it";
    assert_eq!(found, [cut, cut, "p/t.count 1 1"]);
}

#[test]
fn the_rest_of_a_window_that_a_stop_cut_is_uncertain() {
    // When the steps began, first reading and when it came; whether its window is whole.
    let table = [
        (104.0, 105.0, 105.0, false),
        (104.0, 110.0, 110.0, true),
        (104.0, 112.0, 112.0, true),
        (99.0, 100.5, 100.5, true),
        // The device's clock is a minute behind, then ahead.
        (104.0, 45.0, 105.0, false),
        (99.0, 46.0, 106.0, true),
        (104.0, 165.0, 105.0, false),
        (99.0, 166.0, 106.0, true),
        // Of long ago, kept by the device: in the burst after the start, and when the gateway has run for long.
        (104.0, 5.0, 104.1, false),
        (104.0, 5.0, 300.0, true),
    ];
    for (since, first, came, is_whole) in table {
        let steps = "[[step]]\ntags = [\"p/*\"]\nwindow = \"10s\"\naggregate = [\"count\"]";
        let (pipeline, _) = pipeline("", steps);
        let mut pipeline = pipeline.since(at(since));
        // The next window begins within this process in any case.
        for (after, count) in [(0.0, 0), (10.0, 1), (20.0, 1)] {
            let next = vec![timed("p/t", number(1.0), first + after)];
            let found = give(&mut pipeline, next, came + after);
            let expected = match (count, is_whole || after == 20.0) {
                (0, _) => Vec::new(),
                (_, true) => vec!["p/t.count 1 1".to_owned()],
                (_, false) => vec![
                    "p/t.count 1 1 uncertain: begun before the start: 1 readings came after it"
                        .to_owned(),
                ],
            };
            assert_eq!(found, expected, "{since} {first} {came} +{after}");
        }
    }
}

#[test]
fn a_stop_hands_over_what_is_held_back() {
    let steps = format!("{WINDOW}\n[[step]]\ntags = [\"q/*\"]\nswinging_door = 0.1");
    let (mut pipeline, _) = pipeline("", &steps);
    let mut samples: Vec<Sample> = (0..5)
        .map(|second| timed("q/ramp", number(f64::from(second)), f64::from(second)))
        .collect();
    samples.push(timed("p/t", number(3.0), 0.0));
    assert_eq!(give(&mut pipeline, samples, 5.0), ["q/ramp 0 -"]);
    assert_eq!(pipeline.held().len(), 2);
    let rest = pipeline.flush(at(6.0));
    let mut found = with_released(&mut pipeline, rest);
    found.sort();
    let cut = "uncertain: cut short by a stop after 1 readings";
    let expected = [
        format!("p/t.count 1 1 {cut}"),
        format!("p/t.last 3 - {cut}"),
        format!("p/t.max 3 - {cut}"),
        format!("p/t.mean 3 - {cut}"),
        format!("p/t.min 3 - {cut}"),
        "q/ramp 4 -".to_owned(),
    ];
    assert_eq!(found, expected);
    assert!(pipeline.held().is_empty());
}

#[test]
fn a_door_sends_its_last_reading_when_its_series_falls_silent() {
    let steps = "[[step]]\ntags = [\"p/*\"]\nswinging_door = 0.1\nmax_silence = \"60s\"";
    let (mut pipeline, _) = pipeline("", steps);
    let samples = vec![
        timed("p/t", number(1.0), 0.0),
        timed("p/t", number(1.0), 1.0),
    ];
    assert_eq!(give(&mut pipeline, samples, 1.0), ["p/t 1 -"]);
    let quiet = pipeline.tick(at(61.0));
    assert_eq!(with_released(&mut pipeline, quiet), [""; 0]);
    let due = pipeline.tick(at(62.0));
    assert_eq!(with_released(&mut pipeline, due), ["p/t 1 -"]);
    let corner = vec![
        timed("p/t", number(9.0), 63.0),
        timed("p/t", number(9.0), 64.0),
    ];
    assert_eq!(give(&mut pipeline, corner, 64.0), ["p/t 9 -"]);
}
