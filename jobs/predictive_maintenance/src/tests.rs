//! The job over a lake: what it writes, when it warns, and what it says when it cannot judge.

use std::{path::Path, sync::Arc, time::Duration};

use forebay_config::{ConfigErrors, Document};
use forebay_jobs::{AlertState, Fire, JobKind as _, Outcome, Severity};
use forebay_jobs_conformance::{Case, SeriesReadings, TestLake, suite, window};
use forebay_schemas::Timestamp;
use ring::rand::SystemRandom;

use crate::{PredictiveMaintenance, PredictiveMaintenanceKind};

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
const WINDOW: Duration = Duration::from_secs(10);

/// As a demo has it: seconds for hours, minutes for weeks.
const SHORT_SPANS: &str =
    "short = \"10s\", baseline = \"5m\", points_min = 60, refractory = \"1m\"";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos((START + seconds) * 1_000_000_000)
}

fn configured(keys: &str) -> Result<Box<dyn forebay_jobs::Job>, ConfigErrors> {
    let text = format!("job = {{ {keys} }}");
    Document::new(Path::new("f.toml"), &text, &|_: &str| None).read(|root| {
        let mut table = root.table(PredictiveMaintenanceKind.keys())?;
        let job = PredictiveMaintenanceKind.configure(&mut table);
        table.finish();
        job
    })
}

/// A reading a second: even and sound, and 30 lower from `failure` on.
fn temperature(until: i64, failure: i64) -> Vec<(Timestamp, f64)> {
    (0..until)
        .map(|second| {
            let noise = (second * 7919 % 101) as f64 / 101.0;
            (
                at(second),
                80.0 + noise - if second < failure { 0.0 } else { 30.0 },
            )
        })
        .collect()
}

async fn lake(folder: &Path) -> TestLake {
    TestLake::open(folder, Arc::new(SystemRandom::new())).await
}

async fn judge(lake: &TestLake, job: &dyn forebay_jobs::Job, second: i64) -> Outcome {
    job.run(&lake.window_context("watch", at(second), WINDOW))
        .await
        .unwrap()
}

#[tokio::test]
async fn a_fall_is_scored_warned_of_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    lake.put_readings("press-1", "machine_temperature", &temperature(320, 300))
        .await;
    lake.put_readings(
        "press-1",
        "counter",
        &(0..320).map(|s| (at(s), 5.0)).collect::<Vec<_>>(),
    )
    .await;
    let job = configured(SHORT_SPANS).unwrap();
    let healthy = judge(&lake, job.as_ref(), 300).await;
    assert_eq!(
        (
            healthy.results.scores.len(),
            healthy.results.alerts.len(),
            &healthy.note
        ),
        (1, 0, &None)
    );
    assert!(!healthy.results.scores[0].anomalous, "{healthy:?}");

    let failing = judge(&lake, job.as_ref(), 310).await;
    let [score] = failing.results.scores.as_slice() else {
        panic!("{failing:?}")
    };
    assert!(
        score.anomalous && score.score > 3.5 && score.limit == 3.5 && score.event_time == at(310),
        "{score:?}"
    );
    let contributions: serde_json::Value =
        serde_json::from_str(score.contributions.as_ref().unwrap()).unwrap();
    assert_eq!(contributions[0]["tag"], "machine_temperature");
    assert_eq!(contributions[1]["tag"], "counter");
    assert!(
        (contributions[0]["baseline"].as_f64().unwrap() - 80.5).abs() < 0.2,
        "{contributions}"
    );
    let [alert] = failing.results.alerts.as_slice() else {
        panic!("{failing:?}")
    };
    assert_eq!(
        (alert.state, alert.severity, alert.first_seen),
        (AlertState::Open, Severity::Critical, at(310))
    );
    assert_eq!(alert.tag.as_ref().unwrap().as_str(), "machine_temperature");
    assert!(
        alert.reason.starts_with("machine_temperature has fallen ")
            && alert.reason.ends_with(" below its 5-minute level"),
        "{}",
        alert.reason
    );
}

#[tokio::test]
async fn a_healthy_replay_warns_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    lake.put_readings(
        "press-1",
        "machine_temperature",
        &temperature(900, i64::MAX),
    )
    .await;
    let job = configured(SHORT_SPANS).unwrap();
    for second in (100..=900).step_by(50) {
        let outcome = judge(&lake, job.as_ref(), second).await;
        assert_eq!(
            (outcome.results.scores.len(), outcome.results.alerts.len()),
            (1, 0),
            "at {second}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn too_little_history_is_said_and_not_scored() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let job = configured(SHORT_SPANS).unwrap();
    let nothing = judge(&lake, job.as_ref(), 50).await;
    assert_eq!(nothing.results, Default::default());
    assert!(
        nothing
            .note
            .unwrap()
            .starts_with("no series fits devices and tags")
    );
    lake.put_readings("press-1", "machine_temperature", &temperature(50, i64::MAX))
        .await;
    let little = judge(&lake, job.as_ref(), 50).await;
    assert_eq!(little.results, Default::default());
    assert!(
        little
            .note
            .unwrap()
            .starts_with("1 of 1 series were not judged: too few readings (at least 60 steps")
    );
}

#[tokio::test]
async fn a_burst_of_readings_weighs_no_more_than_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    // A thousand readings of a spike within one tenth of a second, among one a second.
    let spike = (0..1000).map(|i| (Timestamp::from_nanos(at(305).nanos() + 100_000 * i), 120.0));
    let readings: Vec<(Timestamp, f64)> = temperature(310, i64::MAX)
        .into_iter()
        .chain(spike)
        .collect();
    lake.put_readings("press-1", "machine_temperature", &readings)
        .await;
    let outcome = judge(&lake, configured(SHORT_SPANS).unwrap().as_ref(), 310).await;
    let of_ten = (120.0 - 80.5) / 10.0 / 0.37;
    assert!(
        outcome.results.scores[0].score < 1.5 * of_ten,
        "{outcome:?}"
    );
}

#[test]
fn settings_are_checked_together() {
    assert!(configured("limit = 4.0").is_ok());
    for (keys, message) in [
        (
            "short = \"1d\", baseline = \"2d\"",
            "job.baseline: 172800s is less than four times short, 86400s",
        ),
        ("limit = 0", "job.limit: 0 is no limit"),
        (
            "points_min = 1",
            "job.points_min: a deviation takes two points",
        ),
        (
            "points_min = 5000",
            "job.points_min: 5000 points of 900s are longer than the baseline",
        ),
        (
            "short = \"1s\", baseline = \"14d\"",
            "job.baseline: 1209600s is more than 416 times short",
        ),
        ("tags = []", "job.tags: no tag fits an empty list"),
        ("scale_floor = 1.5", "job.scale_floor: 1.5 is no share"),
        (
            "resolve_after = 0",
            "job.resolve_after: one window at least",
        ),
        ("limt = 3", "job.limt: unknown key; did you mean \"limit\"?"),
    ] {
        let error = configured(keys).map(drop).unwrap_err().to_string();
        assert!(error.contains(message), "{keys}: {error}");
    }
    assert_eq!(
        PredictiveMaintenance::default().model().baseline_steps,
        14 * 96
    );
}

#[tokio::test]
async fn it_keeps_the_promises_of_every_kind() {
    let window = |second| Fire::window(window(at(second), WINDOW));
    suite(&Case {
        kind: &PredictiveMaintenanceKind,
        keys: SHORT_SPANS,
        readings: vec![SeriesReadings {
            device: "press-1".into(),
            tag: "machine_temperature".into(),
            readings: temperature(340, 300),
        }],
        fires: vec![window(300), window(310), window(320)],
        known_ahead: &[],
        after_silence: window(400),
    })
    .await;
}
