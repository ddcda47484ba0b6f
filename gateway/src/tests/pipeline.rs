mod links;
mod parts;

use std::sync::Arc;

use forebay_connectors::{Declared, LinkChange, RuleId, Sample, SampleKind};
use forebay_schemas::{DeviceId, Quality, Reading, SiteId, Status, TagName, Timestamp, Value};

use crate::{Deadband, Filter, Pipeline, Rule, SourceStatus};

const SECOND: i64 = 1_000_000_000;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(1_700_000_000 * SECOND + seconds * SECOND)
}

fn sample(tag: &str, value: impl Into<Option<Value>>) -> Sample {
    Sample {
        rule: RuleId(0),
        device: DeviceId::new("pump").unwrap(),
        tag: TagName::new(tag).unwrap(),
        event_time: None,
        value: value.into(),
        unit: None,
        status: Status::GOOD,
        kind: SampleKind::Update,
    }
}

fn pipeline(rule: Rule, filter: Filter) -> (Pipeline, Arc<SourceStatus>) {
    let status = Arc::new(SourceStatus::default());
    let declared = ["flow", "heat"].map(|tag| Declared {
        rule: RuleId(0),
        device: DeviceId::new("pump").unwrap(),
        tag: TagName::new(tag).unwrap(),
    });
    let pipeline = Pipeline::new(
        SiteId::new("s").unwrap(),
        vec![rule],
        filter,
        declared.to_vec(),
        status.clone(),
    );
    (pipeline, status)
}

fn one(pipeline: &mut Pipeline, sample: Sample, now: Timestamp) -> Option<Reading> {
    let readings = pipeline.samples(vec![sample], now);
    assert!(readings.len() <= 1, "{readings:?}");
    readings.into_iter().next()
}

#[test]
fn it_is_known_when_each_device_was_heard_last() {
    let excluded = Filter::new(&[], &["fan/*".into()]).unwrap();
    let (mut pipeline, status) = pipeline(Rule::default(), excluded);
    let heard = |status: &SourceStatus| -> Vec<(String, Option<Timestamp>)> {
        let devices = status.devices().into_iter();
        devices.map(|(id, at)| (id.to_string(), at)).collect()
    };
    let of = |device: &str| Sample {
        device: DeviceId::new(device).unwrap(),
        ..sample("flow", Value::F64(1.0))
    };
    assert_eq!(heard(&status), [("pump".to_owned(), None::<Timestamp>)]);
    pipeline.samples(vec![of("pump"), of("fan"), of("mill"), of("mill")], at(1));
    pipeline.samples(vec![of("mill")], at(2));
    // A link that is lost is no sign of life.
    let lost = LinkChange {
        device: None,
        down: Some("gone".into()),
    };
    pipeline.link(lost, at(3));
    let expected = [
        ("mill".to_owned(), Some(at(2))),
        ("pump".to_owned(), Some(at(1))),
    ];
    assert_eq!(heard(&status), expected);
}

#[test]
fn values_keep_their_type_unless_scaled() {
    let (mut plain, _) = pipeline(
        Rule {
            unit: Some("Cel".into()),
            ..Rule::default()
        },
        Filter::default(),
    );
    let exact = u64::MAX - 1;
    let reading = one(&mut plain, sample("heat", Value::U64(exact)), at(0)).unwrap();
    assert_eq!(
        (reading.value, reading.unit.as_deref()),
        (Some(Value::U64(exact)), Some("Cel"))
    );
    assert_eq!((reading.event_time, reading.observed_time), (at(0), at(0)));

    let (mut scaled, _) = pipeline(
        Rule {
            scale: 0.1,
            offset: -40.0,
            ..Rule::default()
        },
        Filter::default(),
    );
    let reading = one(&mut scaled, sample("heat", Value::I64(1000)), at(0)).unwrap();
    assert_eq!(reading.value, Some(Value::F64(60.0)));
    let text = one(&mut scaled, sample("mode", Value::Text("on".into())), at(0)).unwrap();
    assert_eq!(
        text.value,
        Some(Value::Text("on".into())),
        "a text cannot be scaled"
    );
}

#[test]
fn bounds_leave_out_or_clamp_and_say_so() {
    let rule = Rule {
        keep: Some((0.0, 100.0)),
        clamp: Some((10.0, 90.0)),
        ..Rule::default()
    };
    let (mut pipeline, status) = pipeline(rule, Filter::default());
    assert_eq!(
        one(&mut pipeline, sample("flow", Value::F64(100.5)), at(0)),
        None
    );
    assert_eq!(status.filtered(), 1);
    let reading = one(&mut pipeline, sample("flow", Value::F64(95.0)), at(1)).unwrap();
    assert_eq!(
        (reading.value, reading.status.quality),
        (Some(Value::F64(90.0)), Quality::Uncertain)
    );
    assert_eq!(reading.status.reason.as_deref(), Some("95 clamped to 90"));
}

#[test]
fn a_value_that_is_infinite_or_no_number_is_bad_and_has_none() {
    let scaled = Rule {
        scale: 1e300,
        ..Rule::default()
    };
    let bounded = Rule {
        keep: Some((0.0, 1.0)),
        clamp: Some((0.0, 1.0)),
        ..Rule::default()
    };
    let table = [
        (Rule::default(), f64::NAN, "not a number"),
        (Rule::default(), f64::NEG_INFINITY, "infinite"),
        (scaled, 3e38, "infinite"),
        (bounded, f64::INFINITY, "infinite"),
    ];
    for (rule, raw, reason) in table {
        let (mut pipeline, status) = pipeline(rule, Filter::default());
        let reading = one(&mut pipeline, sample("flow", Value::F64(raw)), at(0)).unwrap();
        let expected = Status::bad(Some(raw.to_bits().cast_signed()), reason);
        assert_eq!(
            (reading.value, reading.status, status.bad()),
            (None, expected, 1),
            "{raw}"
        );
    }
}

#[test]
fn a_value_that_is_infinite_opens_no_dead_band() {
    let rule = Rule {
        deadband: Some(Deadband::Percent(1.0)),
        ..Rule::default()
    };
    let (mut pipeline, _) = pipeline(rule, Filter::default());
    for (second, value) in (0..).zip([f64::INFINITY, 10.0, 20.0, 30.0]) {
        let reading = one(&mut pipeline, sample("flow", Value::F64(value)), at(second)).unwrap();
        assert_eq!(
            reading.value,
            Some(Value::F64(value)).filter(|_| value.is_finite())
        );
    }
}

#[test]
fn a_dead_band_sends_moves_changes_and_after_silence() {
    let rule = Rule {
        deadband: Some(Deadband::Absolute(1.0)),
        ..Rule::default()
    };
    let (mut pipeline, status) = pipeline(rule, Filter::default());
    let mut bad = sample("flow", Value::F64(12.0));
    bad.status = Status {
        quality: Quality::Uncertain,
        ..Status::GOOD
    };
    let steps = [
        (sample("flow", Value::F64(10.0)), 0, true, "the first"),
        (
            sample("flow", Value::F64(11.0)),
            1,
            false,
            "within the band",
        ),
        (
            sample("flow", Value::F64(9.0)),
            2,
            false,
            "within the band of what was sent, not of what was seen",
        ),
        (sample("flow", Value::F64(11.5)), 3, true, "moved"),
        (bad.clone(), 4, true, "another quality"),
        (bad, 5, false, "nothing new"),
        (sample("flow", Value::F64(12.0)), 6, true, "good again"),
        (sample("flow", Value::I64(12)), 7, true, "another type"),
        (
            sample("flow", Value::F64(f64::NAN)),
            8,
            true,
            "no number is bad",
        ),
        (sample("flow", Value::F64(12.0)), 9, true, "a number again"),
        (
            sample("flow", Value::F64(12.0)),
            608,
            false,
            "just before the longest silence",
        ),
        (
            sample("flow", Value::F64(12.0)),
            609,
            true,
            "the longest silence",
        ),
    ];
    for (sample, second, sent, why) in steps {
        assert_eq!(
            one(&mut pipeline, sample, at(second)).is_some(),
            sent,
            "{why}"
        );
    }
    assert_eq!((status.received(), status.unchanged()), (12, 4));
}

#[test]
fn a_share_of_the_last_value_is_a_band_too() {
    let (mut pipeline, _) = pipeline(
        Rule {
            deadband: Some(Deadband::Percent(10.0)),
            ..Rule::default()
        },
        Filter::default(),
    );
    for (value, sent) in [
        (100.0, true),
        (109.0, false),
        (111.0, true),
        (100.5, false),
        (0.0, true),
        (0.1, true),
    ] {
        assert_eq!(
            one(&mut pipeline, sample("flow", Value::F64(value)), at(0)).is_some(),
            sent,
            "{value}"
        );
    }
}

#[test]
fn filters_and_names() {
    let filter = Filter::new(&["pump/f*".into()], &["pump/foo".into()]).unwrap();
    let (mut pipeline, status) = pipeline(
        Rule {
            rename: Some("p1.{tag}".into()),
            ..Rule::default()
        },
        filter,
    );
    let reading = one(&mut pipeline, sample("flow", Value::Bool(true)), at(0)).unwrap();
    assert_eq!(reading.series.tag.as_str(), "p1.flow");
    assert_eq!(
        one(&mut pipeline, sample("foo", Value::Bool(true)), at(0)),
        None
    );
    assert_eq!(
        one(&mut pipeline, sample("heat", Value::Bool(true)), at(0)),
        None
    );
    assert_eq!(status.filtered(), 2);
}

#[test]
fn a_tag_that_stays_bad_says_so_once_a_minute() {
    let (mut pipeline, _) = pipeline(Rule::default(), Filter::default());
    let bad = |code| Sample {
        status: Status::bad(Some(code), "illegal data address"),
        ..sample("flow", None)
    };
    for (code, second, sent) in [
        (2, 0, true),
        (2, 1, false),
        (3, 2, true),
        (3, 61, false),
        (3, 62, true),
    ] {
        assert_eq!(
            one(&mut pipeline, bad(code), at(second)).is_some(),
            sent,
            "second {second}"
        );
    }
}
