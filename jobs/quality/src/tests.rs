//! The job over a lake: events, scores, and alerts of silence.

use std::{path::Path, sync::Arc, time::Duration};

use forebay_config::ConfigErrors;
use forebay_jobs::{Fire, Job, Outcome};
use forebay_jobs_conformance::{
    Case, SITE, SeriesReadings, TestLake, examples_are_sound, suite, window,
};
use forebay_schemas::{
    DeviceId, Quality, Reading, Series, SiteId, Status, TagName, Timestamp, Value,
};
use ring::rand::SystemRandom;

use crate::QualityKind;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
const WINDOW: Duration = Duration::from_secs(3600);

fn at(minute: i64) -> Timestamp {
    Timestamp::from_nanos((START + 60 * minute) * 1_000_000_000)
}

fn configured(keys: &str) -> Result<Box<dyn Job>, ConfigErrors> {
    forebay_jobs_conformance::configured(&QualityKind, keys)
}

async fn lake(folder: &Path) -> TestLake {
    TestLake::open(folder, Arc::new(SystemRandom::new())).await
}

/// Judges the window of an hour.
async fn judge(lake: &TestLake, job: &dyn Job, hour: i64) -> Outcome {
    job.run(&lake.window_context("quality", at(60 * (hour + 1)), WINDOW))
        .await
        .unwrap()
}

fn reading(device: &str, tag: &str, minute: i64, value: Option<Value>) -> Reading {
    Reading {
        series: Series {
            site: SiteId::new(SITE).unwrap(),
            device: DeviceId::new(device).unwrap(),
            tag: TagName::new(tag).unwrap(),
        },
        event_time: at(minute),
        observed_time: at(minute),
        value,
        unit: None,
        status: Status {
            quality: Quality::Good,
            code: None,
            reason: None,
        },
    }
}

fn noisy(minute: i64) -> f64 {
    20.0 + ((minute * 7919) % 101) as f64 / 101.0
}

fn readings(minutes: std::ops::Range<i64>, value: impl Fn(i64) -> f64) -> Vec<(Timestamp, f64)> {
    minutes.map(|minute| (at(minute), value(minute))).collect()
}

/// (device, tag, kind, first minute, last minute).
fn events(outcome: &Outcome) -> Vec<(String, String, i64, Option<i64>)> {
    let minute = |at: Timestamp| at.nanos() / 60_000_000_000 - START / 60;
    outcome
        .results
        .events
        .iter()
        .map(|event| {
            let tag = event.tag.as_ref().unwrap().as_str().to_owned();
            (
                tag,
                event.kind.clone(),
                minute(event.from_time),
                event.to_time.map(minute),
            )
        })
        .collect()
}

#[tokio::test]
async fn faults_are_events_and_a_sound_series_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    lake.put_readings("boiler", "sound", &readings(0..600, noisy))
        .await;
    let spiky = |minute| noisy(minute) + if minute == 570 { 40.0 } else { 0.0 };
    lake.put_readings("boiler", "spiky", &readings(0..600, spiky))
        .await;
    let still = |minute: i64| noisy(minute.min(100));
    lake.put_readings("boiler", "still", &readings(0..600, still))
        .await;
    let mut holey = readings(0..600, noisy);
    holey.drain(550..580);
    lake.put_readings("boiler", "holey", &holey).await;
    let job = configured("stuck_after = \"2h\", range = [0, 50]").unwrap();
    let outcome = judge(&lake, job.as_ref(), 9).await;
    let expected = |tag: &str, kind: &str, from, to| (tag.to_owned(), kind.to_owned(), from, to);
    assert_eq!(
        events(&outcome),
        [
            expected("holey", "gap", 549, Some(580)),
            expected("spiky", "spike", 570, Some(570)),
            expected("spiky", "out_of_range", 570, Some(570)),
            expected("still", "stuck_value", 100, None),
        ]
    );
    let [score] = outcome.results.scores.as_slice() else {
        panic!("{outcome:?}")
    };
    assert!(score.anomalous && score.score > 0.99, "{score:?}");
    let contributions = score.contributions.as_ref().unwrap();
    assert!(
        contributions.contains("\"sound\":{\"bad\":0,\"completeness\":1.0"),
        "{contributions}"
    );
    assert!(outcome.results.alerts.is_empty(), "{outcome:?}");
}

#[tokio::test]
async fn silence_of_a_tag_and_of_a_device_are_alerts_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    lake.put_readings("boiler", "speaks", &readings(0..180, noisy))
        .await;
    lake.put_readings("boiler", "silent", &readings(0..90, noisy))
        .await;
    lake.put_readings("pump", "a", &readings(0..100, noisy))
        .await;
    lake.put_readings("pump", "b", &readings(0..90, noisy))
        .await;
    let job = configured("checks = [\"silence\", \"gap\"]").unwrap();
    let first = judge(&lake, job.as_ref(), 0).await;
    assert!(
        first.results.alerts.is_empty() && first.results.events.is_empty(),
        "{first:?}"
    );
    let second = judge(&lake, job.as_ref(), 1).await;
    let alerts: Vec<_> = second
        .results
        .alerts
        .iter()
        .map(|alert| {
            (
                alert.device.as_str(),
                alert.tag.as_ref().map(|tag| tag.as_str()),
                alert.reason.as_str(),
            )
        })
        .collect();
    assert_eq!(
        alerts,
        [
            (
                "boiler",
                Some("silent"),
                "silent is silent: no good reading for 1860 s"
            ),
            (
                "pump",
                None,
                "pump is silent: no good reading of any tag for 1260 s"
            ),
        ]
    );
    assert!(
        second
            .results
            .events
            .iter()
            .all(|event| event.to_time.is_none())
    );
}

#[tokio::test]
async fn a_stretch_that_ended_in_the_window_before_leaves_this_one_sound() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let second = |second: i64| Timestamp::from_nanos((START + second) * 1_000_000_000);
    let value = |second: i64| match (90..150).contains(&second) {
        true => 200.0,
        false => 50.0,
    };
    let flow: Vec<_> = (0..240).map(|at| (second(at), value(at))).collect();
    lake.put_readings("boiler", "flow", &flow).await;
    let job = configured("checks = [\"out_of_range\", \"silence\"], range = [0, 140]").unwrap();
    let minute = Duration::from_secs(60);
    let context = lake.window_context("quality", at(4), minute);
    let outcome = job.run(&context).await.unwrap();
    // It is written again with its end.
    let [event] = outcome.results.events.as_slice() else {
        panic!("{outcome:?}")
    };
    assert_eq!(event.to_time, Some(second(149)));
    let [score] = outcome.results.scores.as_slice() else {
        panic!("{outcome:?}")
    };
    assert_eq!((score.score, score.anomalous), (0.0, false));
}

#[tokio::test]
async fn good_texts_are_good_readings() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    lake.put_readings("boiler", "temp", &readings(0..120, noisy))
        .await;
    let text = |minute: i64| Value::Text(["run", "stop"][minute as usize % 2].into());
    let state = (0..120).filter(|minute| !(70..100).contains(minute));
    lake.put(
        state
            .map(|at| reading("boiler", "state", at, Some(text(at))))
            .collect(),
    )
    .await;
    let job = configured("range = [0, 50]").unwrap();
    let outcome = judge(&lake, job.as_ref(), 1).await;
    assert!(outcome.results.alerts.is_empty(), "{outcome:?}");
    let gap = ("state".to_owned(), "gap".to_owned(), 69, Some(100));
    assert_eq!(events(&outcome), [gap]);
    let contributions = outcome.results.scores[0].contributions.clone().unwrap();
    let contributions: serde_json::Value = serde_json::from_str(&contributions).unwrap();
    assert_eq!(contributions["state"]["readings"], 30);
}

#[tokio::test]
async fn a_device_is_silent_since_the_newest_good_reading_of_any_tag() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    lake.put_readings("boiler", "flow", &readings(0..30, noisy))
        .await;
    let bad = |minute| Reading {
        status: Status {
            quality: Quality::Bad,
            code: None,
            reason: None,
        },
        ..reading("boiler", "ghost", minute, None)
    };
    lake.put((0..120).map(bad).collect()).await;
    let text = |minute| reading("boiler", "state", minute, Some(Value::Text("run".into())));
    lake.put((0..40).map(text).collect()).await;
    let reason = |outcome: &Outcome| outcome.results.alerts[0].reason.clone();
    let silent = "boiler is silent: no good reading of any tag for";
    // In the second case what is never heard would not be silent yet, and keeps the device's silence from nobody.
    for (silent_after, seconds) in [("15m", 120 * 60 - 39 * 60), ("70m", 120 * 60 - 39 * 60)] {
        let keys = format!("checks = [\"silence\"], silent_after = \"{silent_after}\"");
        let job = configured(&keys).unwrap();
        let outcome = judge(&lake, job.as_ref(), 1).await;
        assert_eq!(reason(&outcome), format!("{silent} {seconds} s"));
    }
}

#[tokio::test]
async fn nothing_to_check_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let outcome = judge(&lake, configured("").unwrap().as_ref(), 0).await;
    assert!(outcome.note.unwrap().starts_with("no series fits"));
}

#[test]
fn settings_are_checked_together() {
    for (keys, message) in [
        (
            "checks = [\"gaps\"]",
            "job.checks: \"gaps\" is no check: gap, ",
        ),
        ("range = [3, 1]", "job.range: two numbers, the lower first"),
        ("history = \"1d\"", "job.history: at least \"7d\""),
        ("span = \"15d\"", "job.span: at most history"),
        ("limit = 2", "job.limit: a share from 0 to 1"),
        ("samples_max = 10", "job.samples_max: 1000 to"),
    ] {
        let error = configured(keys).map(drop).unwrap_err().to_string();
        assert!(error.contains(message), "{keys}: {error}");
    }
    assert!(configured("checks = [\"gap\"], history = \"1d\"").is_ok());
}

#[test]
fn the_examples_of_the_page_are_sound() {
    let page = include_str!("../../../docs/how-to/data-quality.md");
    examples_are_sound(page, &QualityKind);
}

#[tokio::test]
async fn it_keeps_the_promises_of_every_kind() {
    let hour = |hour: i64| Fire::window(window(at(60 * hour), WINDOW));
    let spiky = |minute| noisy(minute) + if minute == 570 { 40.0 } else { 0.0 };
    let mut of = readings(0..660, spiky);
    of.drain(500..560);
    suite(&Case {
        kind: &QualityKind,
        keys: "stuck_after = \"2h\", range = [0, 50]",
        readings: vec![SeriesReadings {
            device: "boiler".into(),
            tag: "temp".into(),
            readings: of,
        }],
        fires: vec![hour(9), hour(10)],
        known_ahead: &[],
        after_silence: hour(15),
    })
    .await;
}
