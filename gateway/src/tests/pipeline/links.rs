//! What a lost link makes of series, what holds once it is back, and what a restart knows.

use super::*;

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
        kind: SampleKind::Confirmation,
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
        kind: SampleKind::Snapshot,
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
            .map(|brings| Arc::<str>::from(*brings))
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
        kind: SampleKind::Snapshot,
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
