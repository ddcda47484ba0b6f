//! The job over a lake: what it writes, and what it says when it cannot forecast.

mod models;

use std::{path::Path, sync::Arc};

use forebay_config::{ConfigErrors, Document};
use forebay_jobs::{Fire, Job, JobKind as _};
use forebay_jobs_conformance::{Case, SeriesReadings, TestLake, suite};
use forebay_schemas::Timestamp;
use ring::rand::SystemRandom;

use crate::GridDemandKind;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
const STEP: i64 = 900;

fn at(step: i64) -> Timestamp {
    Timestamp::from_nanos((START + step * STEP) * 1_000_000_000)
}

fn configured(keys: &str) -> Result<Box<dyn Job>, ConfigErrors> {
    let text = format!("job = {{ {keys} }}");
    Document::new(Path::new("f.toml"), &text, &|_: &str| None).read(|root| {
        let mut table = root.table(GridDemandKind.keys())?;
        let job = GridDemandKind.configure(&mut table);
        table.finish();
        job
    })
}

/// Two readings a quarter of an hour whose mean repeats each day.
fn load(steps: i64) -> Vec<(Timestamp, f64)> {
    let half = |step: i64| Timestamp::from_nanos(at(step).nanos() + 450_000_000_000);
    (0..steps)
        .flat_map(|step| {
            [
                (at(step), (step % 96) as f64 - 1.0),
                (half(step), (step % 96) as f64 + 1.0),
            ]
        })
        .collect()
}

#[tokio::test]
async fn a_day_ahead_is_forecast_from_what_came_before_the_cutoff() {
    let folder = tempfile::tempdir().unwrap();
    let lake = TestLake::open(folder.path(), Arc::new(SystemRandom::new())).await;
    lake.put_readings("feeder", "load", &load(6 * 96)).await;
    lake.put_readings("feeder", "voltage", &load(6 * 96)).await;
    let job = configured("tags = [\"load\"]").unwrap();
    // Due in the middle of a step, and a day before the readings end.
    let due = Timestamp::from_nanos(at(5 * 96).nanos() + 60_000_000_000);
    let outcome = job.run(&lake.context("ahead", due)).await.unwrap();
    let predictions = &outcome.results.predictions;
    assert_eq!((predictions.len(), &outcome.note), (96, &None));
    for (i, prediction) in (0_i64..).zip(predictions) {
        assert_eq!(
            (prediction.target_time, prediction.value),
            (at(5 * 96 + i), i as f64)
        );
        assert_eq!(
            (prediction.lo, prediction.hi, prediction.level),
            (Some(i as f64), Some(i as f64), Some(0.9))
        );
        assert_eq!(
            (
                prediction.issued_at,
                prediction.data_cutoff,
                prediction.tag.as_str()
            ),
            (due, due, "load")
        );
    }
    assert_eq!(
        predictions[0].model_version,
        "seasonal-naive/2 season=86400s"
    );
}

/// One wrong reading among right ones, a season before the target, is not what tomorrow looks like.
#[tokio::test]
async fn an_outlier_a_season_before_the_target_is_not_forecast() {
    let folder = tempfile::tempdir().unwrap();
    let lake = TestLake::open(folder.path(), Arc::new(SystemRandom::new())).await;
    let mut readings = load(6 * 96);
    readings[2 * (5 * 96 + 40)].1 = 1e300;
    lake.put_readings("feeder", "load", &readings).await;
    let outcome = configured("tags = [\"load\"]")
        .unwrap()
        .run(&lake.context("ahead", at(6 * 96)))
        .await
        .unwrap();
    let predictions = &outcome.results.predictions;
    assert_eq!(predictions.len(), 96, "{:?}", outcome.note);
    for (i, prediction) in (0_i64..).zip(predictions) {
        assert_eq!(
            (prediction.target_time, prediction.value),
            (at(6 * 96 + i), i as f64)
        );
        assert_eq!(
            (prediction.lo, prediction.hi),
            (Some(i as f64), Some(i as f64)),
            "nor does it widen the bounds"
        );
    }
}

#[tokio::test]
async fn too_little_history_is_a_note_and_no_number() {
    let folder = tempfile::tempdir().unwrap();
    let lake = TestLake::open(folder.path(), Arc::new(SystemRandom::new())).await;
    let job = configured("tags = [\"load\"]").unwrap();
    let nothing = job.run(&lake.context("ahead", at(96))).await.unwrap();
    assert_eq!(
        nothing.note.as_deref(),
        Some("no series fits devices and tags in the time that counts")
    );
    lake.put_readings("feeder", "load", &load(96)).await;
    let little = job.run(&lake.context("ahead", at(96))).await.unwrap();
    assert!(little.results.predictions.is_empty());
    let note = little.note.unwrap();
    assert_eq!(
        note,
        "no forecast of plant/feeder/load: 0 pairs of values a season apart, 9 are needed to bound a forecast"
    );
}

#[tokio::test]
async fn short_spans_do_for_a_demo() {
    let folder = tempfile::tempdir().unwrap();
    let lake = TestLake::open(folder.path(), Arc::new(SystemRandom::new())).await;
    let second = |n: i64| Timestamp::from_nanos((START + n) * 1_000_000_000);
    let load: Vec<(Timestamp, f64)> = (0..40).map(|n| (second(n), (n % 10) as f64)).collect();
    lake.put_readings("feeder", "load", &load).await;
    let job = configured(
        "tags = [\"load\"], step = \"1s\", horizon = \"5s\", season = \"10s\", trailing = \"30s\"",
    )
    .unwrap();
    let outcome = job.run(&lake.context("ahead", second(40))).await.unwrap();
    let values: Vec<f64> = outcome
        .results
        .predictions
        .iter()
        .map(|prediction| prediction.value)
        .collect();
    assert_eq!(values, [0.0, 1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn settings_are_checked_together() {
    for (keys, message) in [
        ("step = \"15m\"", "job: tags is missing"),
        (
            "tags = [\"load\"], season = \"10m\"",
            "job.season: 600s is no multiple of step, 900s",
        ),
        (
            "tags = [\"load\"], horizon = \"25m\"",
            "job.horizon: 1500s is no multiple of step, 900s",
        ),
        ("tags = [\"load\"], level = 1.0", "job.level: 1 is no share"),
        (
            "tags = [\"load\"], step = \"1s\"",
            "job.step: 1s cuts the history into more than 50000 steps",
        ),
        (
            "tags = [\"load\"], step = \"0s\"",
            "job.step: 0ns is no step",
        ),
        (
            "tags = [\"load\"], devices = []",
            "job.devices: no device fits an empty list",
        ),
        (
            "tags = [\"load\"], seson = \"7d\"",
            "job.seson: unknown key; did you mean \"season\"?",
        ),
    ] {
        let error = configured(keys).map(drop).unwrap_err().to_string();
        assert!(error.contains(message), "{keys}: {error}");
    }
}

#[tokio::test]
async fn it_keeps_the_promises_of_every_kind() {
    suite(&Case {
        kind: &GridDemandKind,
        keys: "tags = [\"load\"]",
        readings: vec![SeriesReadings {
            device: "feeder".into(),
            tag: "load".into(),
            readings: load(6 * 96),
        }],
        fires: vec![Fire::cron(at(4 * 96 + 7)), Fire::cron(at(5 * 96))],
        known_ahead: &[],
        after_silence: Fire::cron(at(8 * 96)),
    })
    .await;
}
