use std::sync::Arc;

use forebay_connectors::{Declared, LinkChange, RuleId, Sample, Told};
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
        told: Told::Anew,
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
fn a_lost_link_makes_every_series_bad_at_once_and_each_minute() {
    let (mut pipeline, status) = pipeline(Rule::default(), Filter::default());
    one(&mut pipeline, sample("extra", Value::I64(1)), at(0)).unwrap();
    let lost = || LinkChange {
        device: None,
        down: Some("connection refused".into()),
    };
    let readings = pipeline.link(lost(), at(1));
    let tags: Vec<&str> = readings
        .iter()
        .map(|reading| reading.series.tag.as_str())
        .collect();
    assert_eq!(tags, ["extra", "flow", "heat"]);
    for reading in &readings {
        assert_eq!(
            (reading.value.clone(), reading.status.quality),
            (None, Quality::Bad)
        );
        assert_eq!(
            reading.status.reason.as_deref(),
            Some("link lost: connection refused")
        );
    }
    assert_eq!(status.down().as_deref(), Some("connection refused"));
    assert_eq!(pipeline.link(lost(), at(2)), [], "said already");
    assert_eq!(pipeline.tick(at(30)), []);
    assert_eq!(pipeline.tick(at(61)).len(), 3);
    assert_eq!(
        pipeline.link(
            LinkChange {
                device: None,
                down: None
            },
            at(62)
        ),
        []
    );
    assert_eq!((pipeline.tick(at(200)), status.down()), (Vec::new(), None));
    assert!(one(&mut pipeline, sample("flow", Value::I64(2)), at(201)).is_some());
}

#[test]
fn what_a_device_tells_again_makes_a_bad_series_good_and_is_nothing_to_a_good_one() {
    let rule = Rule {
        deadband: Some(Deadband::Absolute(1.0)),
        ..Rule::default()
    };
    let (mut pipeline, status) = pipeline(rule, Filter::default());
    let again = || Sample {
        told: Told::Again,
        ..sample("flow", Value::I64(1))
    };
    one(&mut pipeline, sample("flow", Value::I64(1)), at(0)).unwrap();
    assert_eq!(one(&mut pipeline, again(), at(1)), None, "it is good");
    assert_eq!(status.unchanged(), 1);
    pipeline.link(
        LinkChange {
            device: None,
            down: Some("gone".into()),
        },
        at(2),
    );
    pipeline.link(
        LinkChange {
            device: None,
            down: None,
        },
        at(3),
    );
    let reading = one(&mut pipeline, again(), at(4)).unwrap();
    assert_eq!(
        (reading.value, reading.status, reading.event_time),
        (Some(Value::I64(1)), Status::GOOD, at(4))
    );
    assert_eq!(one(&mut pipeline, again(), at(5)), None, "it is good again");
}

/// What holds now, by a device's own time or none.
fn current(value: i64, time: Option<Timestamp>) -> Sample {
    Sample {
        told: Told::Current,
        event_time: time,
        ..sample("flow", Value::I64(value))
    }
}

fn link(down: Option<&str>) -> LinkChange {
    LinkChange {
        device: None,
        down: down.map(str::to_owned),
    }
}

#[test]
fn what_holds_now_is_sent_unless_the_series_said_just_that_last() {
    let (mut pipeline, _) = pipeline(Rule::default(), Filter::default());
    let steps = [
        (current(1, Some(at(-50))), true, "the first"),
        (current(1, Some(at(-50))), false, "the same again"),
        (current(1, Some(at(-40))), true, "another time"),
        (current(2, Some(at(-40))), true, "another value"),
        (
            sample("flow", Value::I64(2)),
            true,
            "what is new is never a repetition",
        ),
        (current(2, None), false, "it was said without a time"),
        (sample("flow", Value::I64(3)), true, "another"),
        (current(2, None), true, "not what was said last"),
    ];
    for (second, (sample, sent, why)) in (0..).zip(steps) {
        assert_eq!(
            one(&mut pipeline, sample, at(second)).is_some(),
            sent,
            "{why}"
        );
    }
}

#[test]
fn a_static_value_is_good_once_the_link_is_up_though_its_time_is_older_than_the_loss() {
    let (mut pipeline, _) = pipeline(Rule::default(), Filter::default());
    pipeline.link(link(Some("refused")), at(0));
    pipeline.link(link(None), at(7));
    let readings = pipeline.samples(vec![current(1, Some(at(-1000)))], at(7));
    let shown: Vec<_> = readings
        .iter()
        .map(|reading| (reading.event_time, reading.value.clone()))
        .collect();
    let one_value = Some(Value::I64(1));
    assert_eq!(
        shown,
        [(at(-1000), one_value.clone()), (at(7), one_value.clone())],
        "the last by event time is good"
    );
    // The second loss: it is stored already, and only good again.
    pipeline.link(link(Some("refused")), at(20));
    let reading = one(&mut pipeline, current(1, Some(at(-1000))), at(30)).unwrap();
    assert_eq!((reading.event_time, reading.value), (at(30), one_value));
    assert_eq!(
        one(&mut pipeline, current(1, Some(at(-1000))), at(31)),
        None
    );
}

#[test]
fn one_message_of_several_values_of_a_series_is_known_as_a_whole() {
    let (mut pipeline, _) = pipeline(Rule::default(), Filter::default());
    let message = || vec![current(1, Some(at(1))), current(2, Some(at(2)))];
    assert_eq!(pipeline.samples(message(), at(3)).len(), 2);
    assert_eq!(pipeline.samples(message(), at(4)), []);
}

const BRINGS: [&str; 2] = ["{device}/{tag}", "other"];

/// The next process: what this one keeps, restored under rules that bring `brings`.
fn restarted(old: &Pipeline, brings: &[&str], filter: Filter) -> Pipeline {
    let words = |brings: &[&str]| {
        brings
            .iter()
            .map(|brings| brings.to_string())
            .collect::<Vec<_>>()
    };
    let status = Arc::new(SourceStatus::default());
    let mut new = Pipeline::new(
        SiteId::new("s").unwrap(),
        vec![Rule::default(); 2],
        filter,
        Vec::new(),
        status,
    );
    new.restore(old.kept(&words(&BRINGS)), &words(brings));
    new
}

#[test]
fn the_next_process_repeats_nothing_and_calls_silent_series_bad() {
    let (mut first, _) = pipeline(Rule::default(), Filter::default());
    let wild = |sample: Sample| Sample {
        tag: TagName::new("wild").unwrap(),
        ..sample
    };
    first.samples(
        vec![
            wild(sample("x", Value::Text("x".repeat(100)))),
            current(7, Some(at(-9))),
        ],
        at(0),
    );
    let mut second = restarted(&first, &BRINGS, Filter::default());
    let retained = || Sample {
        told: Told::Current,
        ..wild(sample("x", Value::Text("x".repeat(100))))
    };
    assert_eq!(
        second.samples(vec![retained(), current(7, Some(at(-9)))], at(60)),
        [],
        "both are stored"
    );
    // Another process begins while the broker is away.
    let mut third = restarted(&second, &BRINGS, Filter::default());
    let bad = third.link(link(Some("refused")), at(120));
    let tags: Vec<_> = bad
        .iter()
        .map(|reading| (reading.series.tag.as_str(), reading.status.quality))
        .collect();
    assert_eq!(tags, [("flow", Quality::Bad), ("wild", Quality::Bad)]);
    // And one more, once it is back: what holds is good again by the gateway's clock.
    let mut fourth = restarted(&third, &BRINGS, Filter::default());
    let good = fourth.samples(vec![retained()], at(180));
    assert_eq!(
        (good.len(), good[0].event_time, good[0].status.quality),
        (1, at(180), Quality::Good)
    );
    assert_eq!(
        one(&mut fourth, current(8, Some(at(170))), at(181))
            .unwrap()
            .event_time,
        at(170),
        "new words are sent"
    );
}

#[test]
fn what_configuration_no_longer_brings_is_forgotten() {
    let (mut first, _) = pipeline(Rule::default(), Filter::default());
    first.samples(vec![sample("wild", Value::I64(1))], at(0));
    let bad = |mut pipeline: Pipeline| pipeline.link(link(Some("refused")), at(1)).len();
    let without = Filter::new(&[], &["*/wild".into()]).unwrap();
    assert_eq!(bad(restarted(&first, &BRINGS, Filter::default())), 1);
    assert_eq!(
        bad(restarted(
            &first,
            &["other", "{device}/{tag}"],
            Filter::default()
        )),
        1,
        "its rule has moved"
    );
    assert_eq!(bad(restarted(&first, &["other"], Filter::default())), 0);
    assert_eq!(bad(restarted(&first, &BRINGS, without)), 0);
}

#[test]
fn a_lost_device_leaves_its_neighbours_alone() {
    let (mut pipeline, _) = pipeline(Rule::default(), Filter::default());
    let mut other = sample("flow", Value::I64(1));
    other.device = DeviceId::new("fan").unwrap();
    pipeline.samples(vec![other], at(0));
    let device = Some(DeviceId::new("fan").unwrap());
    let readings = pipeline.link(
        LinkChange {
            device,
            down: Some("no answer".into()),
        },
        at(1),
    );
    assert_eq!(readings.len(), 1);
    assert_eq!(readings[0].series.device.as_str(), "fan");
}

#[test]
fn a_device_behind_a_lost_link_has_one_reason() {
    let (mut pipeline, _) = pipeline(Rule::default(), Filter::default());
    let down = |device: Option<&str>, reason: &str| {
        let device = device.map(|device| DeviceId::new(device).unwrap());
        LinkChange {
            device,
            down: Some(reason.into()),
        }
    };
    assert_eq!(
        pipeline.link(down(Some("pump"), "no answer"), at(0)).len(),
        2
    );
    assert_eq!(
        pipeline.link(down(None, "connection refused"), at(1)).len(),
        2,
        "another reason"
    );
    assert_eq!(pipeline.link(down(Some("pump"), "no answer"), at(2)), []);
    for second in 3..60 {
        assert_eq!(pipeline.tick(at(second)), [], "second {second}");
    }
    assert_eq!(pipeline.tick(at(61)).len(), 2);
}

#[test]
fn a_clock_that_is_set_back_silences_nothing() {
    let rule = Rule {
        deadband: Some(Deadband::Absolute(1.0)),
        ..Rule::default()
    };
    let (mut pipeline, _) = pipeline(rule, Filter::default());
    for (second, sent) in [(0, true), (1, false), (-3600, true), (-3599, false)] {
        let reading = one(&mut pipeline, sample("flow", Value::F64(10.0)), at(second));
        assert_eq!(reading.is_some(), sent, "second {second}");
    }
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
