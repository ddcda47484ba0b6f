//! The job over a lake: what it forecasts, what it sees of the time to come, and what it says when it cannot.

use std::sync::Arc;

use forebay_config::ConfigErrors;
use forebay_jobs::{Fire, Job};
use forebay_jobs_conformance::{Case, SeriesReadings, TestLake, examples_are_sound, suite};
use forebay_schemas::Timestamp;
use ring::rand::SystemRandom;

use crate::RenewablesKind;

/// 2026-05-01T00:00:00Z.
const START: i64 = 1_777_593_600;

fn at(hour: i64) -> Timestamp {
    Timestamp::from_nanos((START + 3600 * hour) * 1_000_000_000)
}

fn configured(keys: &str) -> Result<Box<dyn Job>, ConfigErrors> {
    forebay_jobs_conformance::configured(&RenewablesKind, keys)
}

/// Wind that has no pattern, in m/s.
fn wind(hour: i64) -> f64 {
    4.0 + 8.0 * ((hour / 5 * 7919) % 101) as f64 / 101.0
}

const WIND: &str = "tags = [\"power\"], source = \"wind\", weather = \"speed\", known_ahead = [\"speed\"], step = \"1h\"";

#[tokio::test]
async fn wind_that_is_known_ahead_is_worth_more_than_yesterday() {
    let folder = tempfile::tempdir().unwrap();
    let lake = TestLake::open(folder.path(), Arc::new(SystemRandom::new())).await;
    let days = 50;
    let power: Vec<_> = (0..24 * days)
        .map(|hour| (at(hour), wind(hour).powi(2)))
        .collect();
    let speed: Vec<_> = (0..24 * (days + 1))
        .map(|hour| (at(hour), wind(hour)))
        .collect();
    lake.put_readings("park", "power", &power).await;
    lake.put_readings("park", "speed", &speed).await;
    let context = lake.context("wind", at(24 * days));
    let outcome = configured(WIND).unwrap().run(&context).await.unwrap();
    let predictions = &outcome.results.predictions;
    assert_eq!((predictions.len(), &outcome.note), (24, &None));
    for (ahead, of) in (0..).zip(predictions) {
        let truth = wind(24 * days + ahead).powi(2);
        assert_eq!(of.target_time, at(24 * days + ahead));
        assert_eq!(of.model_version, "renewables/1 power-curve");
        assert!((of.value - truth).abs() < 8.0, "{of:?} is far from {truth}");
        assert!(of.lo < Some(of.value) && of.hi > Some(of.value), "{of:?}");
    }
    let [backtest] = outcome.results.backtests.as_slice() else {
        panic!("{outcome:?}")
    };
    assert!(
        Some(5.0 * backtest.value) < backtest.baseline,
        "{backtest:?}"
    );
    // Without the weather to come there is nothing better than the past.
    let alone = configured("tags = [\"power\"], source = \"wind\", step = \"1h\"").unwrap();
    let alone = alone.run(&context).await.unwrap();
    assert_ne!(
        alone.results.predictions[0].model_version,
        "renewables/1 power-curve"
    );
}

#[tokio::test]
async fn too_little_history_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let lake = TestLake::open(folder.path(), Arc::new(SystemRandom::new())).await;
    let job = configured(WIND).unwrap();
    let run = async || job.run(&lake.context("wind", at(48))).await.unwrap();
    assert!(run().await.note.unwrap().starts_with("no series fits"));
    let power: Vec<_> = (0..48).map(|hour| (at(hour), wind(hour))).collect();
    lake.put_readings("park", "power", &power).await;
    let outcome = run().await;
    assert_eq!(outcome.results, Default::default());
    let note = outcome.note.unwrap();
    assert!(
        note.starts_with("no forecast of plant/park/power"),
        "{note}"
    );
}

#[test]
fn settings_are_checked_together() {
    let place = "latitude = 52.0, longitude = 5.0";
    assert!(configured(&format!("tags = [\"p\"], source = \"solar\", {place}")).is_ok());
    assert!(configured(WIND).is_ok());
    for (keys, message) in [
        ("source = \"wind\"", "job: tags is missing"),
        (
            "tags = [\"p\"]",
            "job.source: \"solar\" or \"wind\" is expected",
        ),
        (
            "tags = [\"p\"], source = \"solar\"",
            "job.source: a solar plant needs latitude and longitude",
        ),
        (
            "tags = [\"p\"], source = \"wind\", weather = \"speed\"",
            "job.weather: a forecast needs the weather to come",
        ),
        (
            "tags = [\"p\"], source = \"wind\", known_ahead = [\"p\"]",
            "job.known_ahead: only what weather names",
        ),
        (
            "tags = [\"p\"], source = \"wind\", step = \"7m\"",
            "job.step: a part of an hour",
        ),
        (
            "tags = [\"p\"], source = \"wind\", trailing = \"36h\"",
            "job.trailing: whole days",
        ),
    ] {
        let error = configured(keys).map(drop).unwrap_err().to_string();
        assert!(error.contains(message), "{keys}: {error}");
    }
}

#[test]
fn the_examples_of_the_page_are_sound() {
    let page = include_str!("../../../docs/how-to/renewables.md");
    examples_are_sound(page, &RenewablesKind);
}

#[tokio::test]
async fn it_keeps_the_promises_of_every_kind() {
    let series = |tag: &str, value: fn(f64) -> f64| SeriesReadings {
        device: "park".into(),
        tag: tag.into(),
        readings: (0..24 * 42)
            .map(|hour| (at(hour), value(wind(hour))))
            .collect(),
    };
    suite(&Case {
        kind: &RenewablesKind,
        keys: WIND,
        readings: vec![
            series("power", |speed| speed * speed),
            series("speed", |speed| speed),
        ],
        fires: vec![Fire::cron(at(24 * 40)), Fire::cron(at(24 * 41))],
        known_ahead: &[("park", "speed")],
        after_silence: Fire::cron(at(24 * 60)),
    })
    .await;
}
