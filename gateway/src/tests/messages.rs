//! Expressions over several tags of one message: `last` sees all of it, and what follows is computed once.

use std::collections::BTreeMap;

use forebay_connectors::{RuleId, Sample};
use forebay_schemas::{Quality, Status, Value};
use proptest::prelude::*;

use super::steps::{at, number, pipeline, sample, shown};

const POWER: &str = r#"
[[step]]
tags = ["*/voltage", "*/current"]
derive = "power"
expression = "last('voltage') * last('current')"
unit = "W"
"#;

/// Of a tag without steps of its own.
fn plain(series: &str, value: f64, seconds: Option<f64>) -> Sample {
    Sample {
        rule: RuleId(9),
        event_time: seconds.map(at),
        ..sample(series, number(value))
    }
}

/// What messages, a second each, give.
fn check(what: &str, tag: &str, steps: &str, messages: &[&[Sample]], expected: &[&str]) {
    let (mut pipeline, _) = pipeline(tag, steps);
    let mut found = Vec::new();
    for (second, message) in messages.iter().enumerate() {
        let readings = pipeline.samples(message.to_vec(), at(100.0 + second as f64));
        found.extend(readings.iter().map(shown));
    }
    assert_eq!(found, expected, "{what}");
}

#[test]
fn a_derived_tag_is_computed_once_from_all_of_a_message() {
    let of = |voltage, current| {
        [
            plain("d/current", current, None),
            plain("d/voltage", voltage, None),
        ]
    };
    let expected = [
        "d/current 5 -",
        "d/voltage 100 -",
        "d/power 500 W",
        "d/current 7 -",
        "d/voltage 200 -",
        "d/power 1400 W",
    ];
    let messages: [&[Sample]; 2] = [&of(100.0, 5.0), &of(200.0, 7.0)];
    check("both tags", "", POWER, &messages, &expected);
    for tag in ["voltage", "current"] {
        let one = POWER.replace(r#""*/voltage", "*/current""#, &format!(r#""*/{tag}""#));
        check(tag, "", &one, &messages, &expected);
    }
    check(
        "a part of it",
        "",
        POWER,
        &[&of(100.0, 5.0), &[plain("d/current", 6.0, None)]],
        &[
            "d/current 5 -",
            "d/voltage 100 -",
            "d/power 500 W",
            "d/power 600 W",
            "d/current 6 -",
        ],
    );
    check(
        "each device for itself",
        "",
        POWER,
        &[&[
            plain("d/current", 2.0, None),
            plain("e/voltage", 30.0, None),
            plain("d/voltage", 10.0, None),
            plain("e/current", 4.0, None),
        ]],
        &[
            "d/current 2 -",
            "d/voltage 10 -",
            "d/power 20 W",
            "e/voltage 30 -",
            "e/current 4 -",
            "e/power 120 W",
        ],
    );
}

#[test]
fn a_message_of_many_times_has_the_values_of_each() {
    let columns = |tag: &str, values: [f64; 3]| {
        let times = [1.0, 2.0, 3.0];
        let one = |(value, time)| plain(&format!("d/{tag}"), value, Some(time));
        values
            .into_iter()
            .zip(times)
            .map(one)
            .collect::<Vec<Sample>>()
    };
    let by_column = [
        columns("voltage", [10.0, 20.0, 30.0]),
        columns("current", [1.0, 2.0, 3.0]),
    ]
    .concat();
    let by_row: Vec<Sample> = [0, 3, 1, 4, 2, 5]
        .map(|place: usize| by_column[place].clone())
        .to_vec();
    let expected = [
        "d/voltage 10 -",
        "d/current 1 -",
        "d/power 10 W",
        "d/voltage 20 -",
        "d/current 2 -",
        "d/power 40 W",
        "d/voltage 30 -",
        "d/current 3 -",
        "d/power 90 W",
    ];
    check("columns", "", POWER, &[&by_column], &expected);
    check("rows", "", POWER, &[&by_row], &expected);
    let without_times = |sample: &Sample| Sample {
        event_time: None,
        ..sample.clone()
    };
    let rows: Vec<Sample> = by_row.iter().map(without_times).collect();
    check("rows without times", "", POWER, &[&rows], &expected);
}

#[test]
fn every_expression_sees_the_whole_message() {
    let gate = "[[step]]\ntags = [\"*/load\"]\nfilter = \"last('running')\"";
    let running = |value| Sample {
        value: Some(Value::Bool(value)),
        ..plain("d/running", 0.0, None)
    };
    check(
        "a filter",
        "",
        gate,
        &[
            &[plain("d/load", 1.0, None), running(true)],
            &[plain("d/load", 2.0, None), running(false)],
        ],
        &["d/load 1 -", "d/running true -", "d/running false -"],
    );
    let own = Sample {
        rule: RuleId(0),
        ..plain("d/t", 8.0, None)
    };
    check(
        "a tag's own steps",
        "expression = \"value * last('factor')\"",
        "",
        &[&[own, plain("d/factor", 0.5, None)]],
        &["d/t 4 -", "d/factor 0.5 -"],
    );
    let share = format!(
        "{POWER}\n[[step]]\ntags = [\"*/rated\"]\nderive = \"share\"\nexpression = \"last('power') / last('rated')\"\n[[step]]\ntags = [\"*/power\"]\nderive = \"rest\"\nexpression = \"1 - last('share')\""
    );
    check(
        "what was derived",
        "",
        &share,
        &[&[
            plain("d/rated", 100.0, None),
            plain("d/current", 5.0, None),
            plain("d/voltage", 10.0, None),
        ]],
        &[
            "d/rated 100 -",
            "d/current 5 -",
            "d/voltage 10 -",
            "d/power 50 W",
            "d/share 0.5 -",
            "d/rest 0.5 W",
        ],
    );
    let by_value = POWER.replace("last('voltage') *", "value + 0 *");
    check(
        "what looks at the value is computed for each reading",
        "",
        &by_value,
        &[&[
            plain("d/voltage", 10.0, None),
            plain("d/current", 5.0, None),
        ]],
        &[
            "d/voltage 10 -",
            "d/current 5 -",
            "d/power 10 W",
            "d/power 5 W",
        ],
    );
}

#[test]
fn a_derived_value_is_as_good_as_the_worst_that_it_is_derived_from() {
    let doubtful = Sample {
        status: Status {
            quality: Quality::Uncertain,
            code: None,
            reason: Some("calibrating".to_owned()),
        },
        ..plain("d/voltage", 10.0, None)
    };
    let broken = Sample {
        value: None,
        status: Status::bad(None, "broken wire"),
        ..plain("d/voltage", 0.0, None)
    };
    let current = || plain("d/current", 5.0, None);
    check(
        "uncertain, then bad",
        "",
        POWER,
        &[&[current(), doubtful], &[current(), broken]],
        &[
            "d/current 5 -",
            "d/voltage 10 - uncertain: calibrating",
            "d/power 50 W uncertain: calibrating",
            "d/current 5 -",
            "d/voltage - - bad: broken wire",
            "d/power - W bad: broken wire",
        ],
    );
}

#[test]
fn what_a_window_has_of_a_derived_tag_is_known_when_the_message_comes_again() {
    let steps = format!(
        "{POWER}\n[[step]]\ntags = [\"*/power\"]\nwindow = \"10s\"\naggregate = [\"count\"]"
    );
    let message = || {
        vec![
            plain("d/voltage", 10.0, Some(1.0)),
            plain("d/current", 5.0, Some(1.0)),
        ]
    };
    let (mut before, _) = pipeline("", &steps);
    let (readings, passed) = before.message(message(), at(2.0), None);
    assert_eq!(readings.len(), 2, "{readings:?}");
    let passed = passed.expect("a window holds the power back");
    let (mut after, _) = pipeline("", &steps);
    let (again, _) = after.message(message(), at(3.0), Some(passed));
    assert_eq!(again.len(), 2);
    assert!(after.held().is_empty(), "it is counted once");
    let held = before.held();
    let counts: Vec<String> = held
        .iter()
        .flat_map(|item| &item.readings)
        .map(shown)
        .collect();
    let expected = ["d/power.count 1 1 uncertain: cut short by a stop after 1 readings"];
    assert_eq!(counts, expected);
}

proptest! {
    /// Whatever fields a message has, in whatever order: one power for each message, of the newest values.
    #[test]
    fn messages_give_one_derived_value_each(
        messages in proptest::collection::vec(
            (proptest::sample::subsequence(vec!["voltage", "current", "other"], 1..=3).prop_shuffle(), 1..9_i32),
            1..20,
        ),
    ) {
        let (mut pipeline, _) = pipeline("", POWER);
        let mut newest: BTreeMap<&str, f64> = BTreeMap::new();
        for (second, (fields, base)) in messages.iter().enumerate() {
            let mut samples = Vec::new();
            for (place, tag) in fields.iter().enumerate() {
                let value = f64::from(*base) + place as f64;
                newest.insert(tag, value);
                samples.push(plain(&format!("d/{tag}"), value, None));
            }
            let readings = pipeline.samples(samples, at(second as f64));
            let of_power = |reading: &&forebay_schemas::Reading| reading.series.tag.as_str() == "power";
            let powers: Vec<_> = readings.iter().filter(of_power).collect();
            let expected = newest.get("voltage").zip(newest.get("current")).map(|(left, right)| left * right);
            let is_due = fields.iter().any(|tag| *tag != "other");
            // What stays bad, for want of the other tag, is not said again.
            prop_assert!(powers.len() <= usize::from(is_due), "{:?}", readings);
            if let Some(expected) = expected.filter(|_| is_due) {
                prop_assert_eq!(powers.len(), 1);
                prop_assert_eq!(&powers[0].value, &number(expected));
            }
        }
    }
}
