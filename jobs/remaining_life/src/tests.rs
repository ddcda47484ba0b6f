//! The job over a lake: pumps that wear and fail, and what it says of those in service.

use std::sync::Arc;

use forebay_jobs::{Fire, JobKind as _, ModelState, Outcome, Severity};
use forebay_jobs_conformance::{Case, SeriesReadings, TestLake, configured, suite};
use forebay_schemas::Timestamp;
use ring::rand::SystemRandom;

use crate::RemainingLifeKind;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

const HOUR: i64 = 3600;

const KEYS: &str = "devices = [\"pump-*\", \"run-*\"], failed = [\"run-*\"], step = \"1h\", cap = 30, alert_below = 15";

/// Runs to failure; nine at least give an interval of 90 %.
const RUNS: i64 = 12;

fn hour(n: i64) -> Timestamp {
    Timestamp::from_nanos((START + n * HOUR) * 1_000_000_000)
}

/// Noise between −0.5 and 0.5 that needs no generator.
fn noise(n: i64) -> f64 {
    let hashed = (n as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(31)
        .wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (hashed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// A unit of a life in hours, read for as many hours as are seen.
fn unit(device: &str, number: i64, life: i64, seen: i64) -> Vec<SeriesReadings> {
    let wear = |n: i64| 8.0 * (-((life - 1 - n) as f64) / 15.0).exp();
    let series = |tag: &str, value: &dyn Fn(i64) -> f64| SeriesReadings {
        device: device.into(),
        tag: tag.into(),
        readings: (0..seen).map(|n| (hour(n), value(n))).collect(),
    };
    vec![
        series("vibration", &|n| {
            2.0 + wear(n) + 0.4 * noise(number * 1000 + n)
        }),
        series("flow", &|n| 50.0 - wear(n) + noise(number * 2000 + n)),
    ]
}

/// Runs to failure, a pump near its end and a sound one.
fn fleet() -> Vec<SeriesReadings> {
    let run = |number: i64| {
        let life = 40 + 37 * number % 30;
        unit(&format!("run-{number}"), number, life, life)
    };
    let mut all: Vec<SeriesReadings> = (0..RUNS).flat_map(run).collect();
    all.extend(unit("pump-old", 100, 60, 55));
    all.extend(unit("pump-new", 101, 90, 40));
    all
}

async fn lake(folder: &std::path::Path, readings: &[SeriesReadings]) -> TestLake {
    let lake = TestLake::open(folder, Arc::new(SystemRandom::new())).await;
    for one in readings {
        lake.put_readings(&one.device, &one.tag, &one.readings)
            .await;
    }
    lake
}

async fn predict(lake: &TestLake, keys: &str, at: i64) -> Outcome {
    let job = configured(&RemainingLifeKind, keys).unwrap();
    job.run(&lake.context_of("pumps", Fire::cron(hour(at))))
        .await
        .unwrap()
}

#[tokio::test]
async fn units_in_service_are_predicted_and_the_worn_one_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path(), &fleet()).await;
    for age in ["", ", age = false"] {
        let outcome = predict(&lake, &format!("{KEYS}{age}"), 90).await;
        assert_eq!(outcome.note, None);
        let rows = &outcome.results.predictions;
        let seen: Vec<(&str, &str, Timestamp)> = rows
            .iter()
            .map(|row| (row.device.as_str(), row.tag.as_str(), row.target_time))
            .collect();
        assert_eq!(
            seen,
            [("pump-new", "rul", hour(39)), ("pump-old", "rul", hour(54))]
        );
        let (sound, worn) = (&rows[0], &rows[1]);
        assert!(sound.value > 22.0, "{age}: {sound:?}");
        assert!(
            (0.0..12.0).contains(&worn.value),
            "{age}: 5 are left: {worn:?}"
        );
        for row in rows {
            let (lo, hi) = (row.lo.unwrap(), row.hi.unwrap());
            assert!(
                0.0 <= lo && lo <= row.value && row.value <= hi && hi <= 30.0,
                "{row:?}"
            );
            assert_eq!((row.level, row.issued_at), (Some(0.9), hour(90)));
            assert!(row.model_version.starts_with("remaining_life/1 12 units "));
        }
        let [alert] = outcome.results.alerts.as_slice() else {
            panic!("{:?}", outcome.results.alerts)
        };
        assert_eq!(alert.device.as_str(), "pump-old");
        assert!(alert.severity >= Severity::Warning && alert.reason.ends_with("; below 15"));
        let rmse = outcome
            .results
            .backtests
            .iter()
            .find(|row| row.metric == "rmse")
            .unwrap();
        assert!(rmse.value < 0.6 * rmse.baseline.unwrap(), "{rmse:?}");
        assert!(
            outcome
                .results
                .backtests
                .iter()
                .any(|row| row.metric == "coverage")
        );
    }
}

#[tokio::test]
async fn a_model_is_kept_and_used_until_other_runs_have_failed_or_settings_change() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path(), &fleet()).await;
    let first = predict(&lake, KEYS, 90).await;
    let [model] = first.results.models.as_slice() else {
        panic!("{:?}", first.results.models)
    };
    assert_eq!(model.state, ModelState::Champion);
    assert!(
        model.metrics.contains("\"baseline_name\":\"mean_life\""),
        "{}",
        model.metrics
    );
    lake.store("pumps", &first).await;

    let again = predict(&lake, KEYS, 90).await;
    let found = |outcome: &Outcome| {
        let results = outcome.results.clone();
        (results.models, results.backtests, results.predictions)
    };
    assert_eq!(found(&again), found(&first), "a run that is done again");
    let later = predict(&lake, KEYS, 91).await;
    assert!(later.results.models.is_empty() && later.results.backtests.is_empty());
    let said = |outcome: &Outcome| -> Vec<(f64, Option<f64>, String)> {
        let rows = outcome.results.predictions.iter();
        rows.map(|row| (row.value, row.hi, row.model_version.clone()))
            .collect()
    };
    assert_eq!(
        said(&later),
        said(&first),
        "the model that was kept, bit by bit"
    );

    // Another run has failed: not learned from before its time.
    for one in unit("run-20", 20, 60, 60) {
        lake.put_readings(&one.device, &one.tag, &one.readings)
            .await;
    }
    let soon = predict(&lake, KEYS, 100).await;
    assert!(soon.results.models.is_empty(), "{:?}", soon.results.models);
    let day_after = predict(&lake, KEYS, 115).await;
    let model = &day_after.results.models[0];
    assert!(model.version.contains("13 units") && model.metrics.contains("champion_rmse"));
    let (used, retired) = match model.state {
        ModelState::Champion => ("13 units", 1),
        ModelState::Challenger => ("12 units", 0),
        ModelState::Retired => panic!("{model:?}"),
    };
    assert_eq!(day_after.results.models.len(), 1 + retired);
    assert!(
        said(&day_after)
            .iter()
            .all(|(.., version)| version.contains(used))
    );

    let other = predict(&lake, &KEYS.replace("cap = 30", "cap = 25"), 91).await;
    let states: Vec<ModelState> = other.results.models.iter().map(|row| row.state).collect();
    assert_eq!(
        states,
        [ModelState::Champion, ModelState::Retired],
        "other settings"
    );
}

#[tokio::test]
async fn a_run_that_goes_on_is_not_a_failure_yet() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path(), &fleet()).await;
    // At hour 35 every run still reports.
    let early = predict(&lake, KEYS, 35).await;
    assert_eq!(early.results, Default::default());
    let note = early.note.unwrap();
    assert!(
        note.starts_with("0 runs to failure are over, at least 3 are needed"),
        "{note}"
    );
}

#[tokio::test]
async fn a_unit_without_the_tags_is_named_and_not_predicted() {
    let folder = tempfile::tempdir().unwrap();
    let mut readings = fleet();
    let stranger = readings.last_mut().unwrap();
    stranger.device = "pump-other".into();
    stranger.tag = "colour".into();
    let lake = lake(folder.path(), &readings).await;
    let outcome = predict(&lake, KEYS, 90).await;
    let note = outcome.note.unwrap();
    assert!(
        note.contains("pump-other: fewer than half of the tags are known"),
        "{note}"
    );
}

#[tokio::test]
async fn it_keeps_the_promises_of_every_kind() {
    suite(&Case {
        kind: &RemainingLifeKind,
        keys: KEYS,
        readings: fleet(),
        // Some runs are over by then, others go on.
        fires: vec![Fire::cron(hour(63))],
        known_ahead: &[],
        after_silence: Fire::cron(hour(150)),
    })
    .await;
}

#[test]
fn settings_are_checked() {
    let with = |keys: &str| {
        let all = format!("failed = [\"run-*\"], step = \"1h\", {keys}");
        configured(&RemainingLifeKind, &all).map(drop)
    };
    assert!(with("cap = 200, level = 0.8").is_ok());
    for (keys, message) in [
        ("cap = 0", "job.cap: a step at least"),
        ("level = 1.0", "job.level: 1 is not between 0 and 1"),
        (
            "alert_below = 126",
            "job.alert_below: 126 is not above 0 and up to cap, 125",
        ),
        ("tags = []", "job.tags: nothing fits an empty list"),
    ] {
        let error = with(keys).unwrap_err().to_string();
        assert!(error.contains(message), "{keys}: {error}");
    }
    let without = configured(&RemainingLifeKind, "step = \"1us\"").map(drop);
    let error = without.unwrap_err().to_string();
    assert!(error.contains("failed is missing"), "{error}");
    assert_eq!(RemainingLifeKind.name(), "remaining_life");
}
