//! The multivariate method over a lake: a rig whose three tags share a load, and one of which leaves the others.

use std::collections::BTreeMap;

use forebay_jobs::{AlertState, Fire, ModelState, Outcome};
use forebay_jobs_conformance::{Case, SeriesReadings, TestLake, configured, suite, window};

use super::{START, at, lake};
use crate::PredictiveMaintenanceKind;

const KEYS: &str = "devices = [\"rig-*\"], method = \"multivariate\", train = \"300 rows\"";

/// The fault begins here.
const FAULT: i64 = 420;

/// Noise between −0.5 and 0.5 that needs no generator.
fn noise(second: i64, of: i64) -> f64 {
    let hashed = ((second * 3 + of) as u64)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15)
        .rotate_left(31)
        .wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (hashed >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// A row a second; from the fault on `flow` is lower than the load asks for.
fn rig(until: i64) -> Vec<SeriesReadings> {
    let series = |tag: &str, value: &dyn Fn(i64) -> f64| SeriesReadings {
        device: "rig-1".into(),
        tag: tag.into(),
        readings: (0..until)
            .map(|second| (at(second), value(second)))
            .collect(),
    };
    let load = |second: i64| 2.0 * noise(second, 0);
    let fallen = |second: i64| if second >= FAULT { 2.0 } else { 0.0 };
    vec![
        series("current", &|s| 10.0 + load(s) + 0.2 * noise(s, 1)),
        series("flow", &|s| {
            32.0 + 2.0 * load(s) + 0.2 * noise(s, 2) - fallen(s)
        }),
        series("pressure", &|s| 4.0 - load(s) + 0.2 * noise(s, 3)),
        series("mode", &|_| 1.0),
    ]
}

async fn put(lake: &TestLake, readings: &[SeriesReadings]) {
    for one in readings {
        lake.put_readings(&one.device, &one.tag, &one.readings)
            .await;
    }
}

async fn judge(lake: &TestLake, keys: &str, fire: Fire) -> Outcome {
    let job = configured(&PredictiveMaintenanceKind, keys).unwrap();
    job.run(&lake.context_of("watch", fire)).await.unwrap()
}

fn minutes(from: i64, to: i64) -> Fire {
    let length = std::time::Duration::from_secs(60 * (to - from) as u64);
    Fire::window(window(at(60 * to), length))
}

fn seconds_of(outcome: &Outcome) -> Vec<i64> {
    let seconds = outcome.results.scores.iter().map(|score| score.event_time);
    seconds
        .map(|at| at.nanos() / 1_000_000_000 - START)
        .collect()
}

#[tokio::test]
async fn a_chart_is_kept_and_judges_as_one_that_is_trained_again() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    put(&lake, &rig(600)).await;
    let first = judge(&lake, KEYS, minutes(4, 7)).await;
    let [model] = first.results.models.as_slice() else {
        panic!("{:?}", first.results.models)
    };
    assert_eq!(model.state, ModelState::Champion);
    assert_eq!(model.device.as_ref().unwrap().as_str(), "rig-1");
    let [trial] = first.results.backtests.as_slice() else {
        panic!("{:?}", first.results.backtests)
    };
    assert_eq!((trial.metric.as_str(), trial.n), ("false_alarm_rate", 60));

    let trained_again = judge(&lake, KEYS, minutes(7, 8)).await;
    lake.store("watch", &first).await;
    let kept = judge(&lake, KEYS, minutes(7, 8)).await;
    assert_eq!(trained_again.results.models.len(), 1);
    assert!(kept.results.models.is_empty() && kept.results.backtests.is_empty());
    assert_eq!(kept.results.scores, trained_again.results.scores);
    let other = judge(&lake, &KEYS.replace("300", "250"), minutes(7, 8)).await;
    let states: Vec<ModelState> = other.results.models.iter().map(|row| row.state).collect();
    assert_eq!(states, [ModelState::Champion, ModelState::Retired]);
}

#[tokio::test]
async fn each_row_after_training_is_judged_and_the_fault_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    put(&lake, &rig(600)).await;

    let training = judge(&lake, KEYS, minutes(3, 4)).await;
    assert_eq!(training.results, Default::default());
    let note = training.note.unwrap();
    assert!(
        note.contains("rig-1: 240 of 300 rows to train on"),
        "{note}"
    );

    let sound = judge(&lake, KEYS, minutes(4, 7)).await;
    assert_eq!(seconds_of(&sound), (300..420).collect::<Vec<_>>());
    assert!(
        sound.results.alerts.is_empty(),
        "{:?}",
        sound.results.alerts
    );
    assert!(
        sound
            .results
            .scores
            .iter()
            .all(|score| !score.anomalous && score.limit == 1.0)
    );

    let failing = judge(&lake, KEYS, minutes(7, 8)).await;
    assert_eq!(seconds_of(&failing), (420..480).collect::<Vec<_>>());
    let anomalous = failing
        .results
        .scores
        .iter()
        .filter(|score| score.anomalous);
    assert!(anomalous.count() >= 50, "{failing:?}");
    let shares = failing.results.scores[30].contributions.as_ref().unwrap();
    let shares: BTreeMap<String, f64> = serde_json::from_str(shares).unwrap();
    assert!(
        shares["flow"] > shares["current"] && shares["mode"] == 0.0,
        "{shares:?}"
    );
    let [alert] = failing.results.alerts.as_slice() else {
        panic!("{:?}", failing.results.alerts)
    };
    assert_eq!((alert.state, alert.first_seen), (AlertState::Open, at(480)));
    assert!(
        alert.reason.starts_with("3 tags together are "),
        "{}",
        alert.reason
    );
}

#[tokio::test]
async fn by_the_clock_all_rows_since_training_are_judged_and_the_windows_agree() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    put(&lake, &rig(600)).await;
    let whole = judge(&lake, KEYS, Fire::cron(at(600))).await;
    assert_eq!(seconds_of(&whole), (300..600).collect::<Vec<_>>());
    let mut by_window = Vec::new();
    for minute in 5..10 {
        let one = judge(&lake, KEYS, minutes(minute, minute + 1)).await;
        by_window.extend(one.results.scores);
    }
    assert_eq!(by_window, whole.results.scores);
}

#[tokio::test]
async fn auto_takes_change_where_too_few_tags_vary() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    put(&lake, &rig(600)).await;
    let simple = rig(600).pop().map(|mode| mode.readings).unwrap();
    lake.put_readings("rig-2", "mode", &simple).await;
    let keys = format!(
        "{}, {}",
        KEYS.replace("multivariate", "auto"),
        super::SHORT_SPANS
    );
    let outcome = judge(&lake, &keys, minutes(9, 10)).await;
    let rows = |device: &str| {
        let scores = outcome.results.scores.iter();
        scores
            .filter(|score| score.device.as_str() == device)
            .count()
    };
    assert_eq!((rows("rig-1"), rows("rig-2")), (60, 1));
    assert_eq!(outcome.note, None);
}

#[tokio::test]
async fn a_tag_that_was_not_read_is_carried_forward_and_then_takes_no_part() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let mut readings = rig(420);
    // Only every other second, and not at all from 330 on.
    readings[2].readings.retain(|(time, _)| {
        let second = time.nanos() / 1_000_000_000 - START;
        second % 2 == 0 && second < 330
    });
    put(&lake, &readings).await;
    let keys = format!("{KEYS}, carry = \"5s\"");
    let outcome = judge(&lake, &keys, minutes(5, 7)).await;
    assert_eq!(seconds_of(&outcome), (300..420).collect::<Vec<_>>());
    let anomalous = outcome
        .results
        .scores
        .iter()
        .filter(|score| score.anomalous);
    assert_eq!(anomalous.count(), 0);
}

#[tokio::test]
async fn it_keeps_the_promises_of_every_kind() {
    suite(&Case {
        kind: &PredictiveMaintenanceKind,
        keys: KEYS,
        readings: rig(600),
        fires: vec![minutes(5, 6), minutes(7, 8), minutes(8, 9)],
        known_ahead: &[],
        after_silence: minutes(11, 12),
    })
    .await;
}

#[test]
fn settings_are_checked() {
    let problem = |keys: &str| {
        let configured = configured(&PredictiveMaintenanceKind, keys);
        configured.map(drop).map_err(|errors| errors.to_string())
    };
    for train in [
        "\"400 rows\"",
        "\"7d\"",
        "{ from = \"2026-01-01T00:00:00Z\", to = \"2026-01-08T00:00:00Z\" }",
        "{ from = 2026-01-01T00:00:00Z, to = 2026-01-08T00:00:00Z }",
    ] {
        assert_eq!(
            problem(&format!("method = \"multivariate\", train = {train}")),
            Ok(())
        );
    }
    for (keys, message) in [
        (
            "train = \"99 rows\"",
            "job.train: 99 rows are too few: 100 at least",
        ),
        (
            "train = \"many rows\"",
            "job.train: \"400 rows\", a duration such as \"7d\"",
        ),
        ("train = \"0s\"", "job.train: no time holds no rows"),
        (
            "train = { from = \"2026-01-08T00:00:00Z\", to = \"2026-01-01T00:00:00Z\" }",
            "job.train: from must be before to",
        ),
        (
            "train = { from = \"2026-01-08T00:00:00Z\" }",
            "to is missing",
        ),
        (
            "train = { from = \"yesterday\", to = \"x\" }",
            "an instant such as",
        ),
        ("smoothing = 0", "job.smoothing: 0 is not from 1 to 1000"),
        ("method = \"best\"", "job.method: \"best\" is not one of"),
    ] {
        let error = problem(keys).unwrap_err();
        assert!(error.contains(message), "{keys}: {error}");
    }
}
