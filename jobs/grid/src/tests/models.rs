//! The job with models: what it reads beside the load, and what it writes.

use super::*;

/// Hours in UTC, from [`START`].
fn hours(count: i64, value: impl Fn(i64) -> f64) -> Vec<(Timestamp, f64)> {
    let of_hour = |hour: i64| (at(4 * hour), value(hour));
    (0..count).map(of_hour).collect()
}

/// A number from 0 to 1 that follows from `n` alone.
fn chance(n: i64) -> f64 {
    let bits = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / (1_u64 << 24) as f64
}

fn degrees(hour: i64) -> f64 {
    5.0 + 20.0 * chance(hour / 24) + 3.0 * ((hour % 24) as f64 / 4.0).sin()
}

/// Heated by electricity: no two days are alike, and the temperature says how they differ.
fn heated(hour: i64) -> f64 {
    50.0 + 3.0 * (20.0 - degrees(hour)).max(0.0) + 4.0 * chance(hour + 9_000)
}

const DAYS: i64 = 80;

async fn lake(folder: &Path, load_after: f64, degrees_after: f64) -> TestLake {
    let lake = TestLake::open(folder, Arc::new(SystemRandom::new())).await;
    let after = |hour: i64, by: f64| if hour < 24 * DAYS { 0.0 } else { by };
    let load = hours(24 * (DAYS + 3), |hour| {
        heated(hour) + after(hour, load_after)
    });
    let weather = hours(24 * (DAYS + 3), |hour| {
        degrees(hour) + after(hour, degrees_after)
    });
    lake.put_readings("feeder", "load", &load).await;
    lake.put_readings("weather", "temp", &weather).await;
    lake
}

async fn run(lake: &TestLake, keys: &str) -> forebay_jobs::Outcome {
    let keys = format!("tags = [\"load\"], step = \"1h\", {keys}");
    let job = configured(&keys).unwrap();
    job.run(&lake.context("ahead", at(4 * 24 * DAYS)))
        .await
        .unwrap()
}

#[tokio::test]
async fn the_weather_ahead_makes_the_forecast_and_the_trial_says_how_good_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path(), 0.0, 0.0).await;
    let outcome = run(
        &lake,
        "temperature = \"weather/temp\", known_ahead = [\"weather/temp\"]",
    )
    .await;
    assert_eq!(outcome.note, None);
    let predictions = &outcome.results.predictions;
    assert_eq!(predictions.len(), 24);
    let version = &predictions[0].model_version;
    assert!(
        version.starts_with("slot-ridge-trees/1 method="),
        "{version}"
    );
    for (hour, prediction) in (24 * DAYS..).zip(predictions) {
        assert_eq!(prediction.target_time, at(4 * hour));
        let apart = (prediction.value - heated(hour)).abs();
        assert!(apart < 12.0, "{prediction:?} and {}", heated(hour));
    }
    let backtests = &outcome.results.backtests;
    let metrics: Vec<&str> = backtests.iter().map(|row| row.metric.as_str()).collect();
    assert_eq!(metrics, ["mae", "mae", "mae", "mape", "coverage"]);
    let mae = &backtests[0];
    assert!(mae.value < 0.5 * mae.baseline.unwrap(), "{mae:?}");
    assert_eq!((&mae.version, &mae.segment), (version, &None));
    assert_eq!(mae.to_time, at(4 * 24 * DAYS));
}

/// What is not known ahead may be moved after the fire, and no row changes; what is known ahead may not.
#[tokio::test]
async fn nothing_after_the_fire_is_seen_but_what_is_known_ahead() {
    let ahead = "temperature = \"weather/temp\", known_ahead = [\"weather/temp\"]";
    let past = "temperature = \"weather/temp\"";
    for (keys, load_after, degrees_after, same) in [
        (past, 1000.0, 40.0, true),
        (ahead, 1000.0, 0.0, true),
        (ahead, 0.0, 40.0, false),
    ] {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let as_it_was = lake(folders[0].path(), 0.0, 0.0).await;
        let moved = lake(folders[1].path(), load_after, degrees_after).await;
        let before = run(&as_it_was, keys).await.results;
        let after = run(&moved, keys).await.results;
        assert_eq!(before.predictions.len(), 24, "{keys}");
        assert_eq!(
            before == after,
            same,
            "{keys}, {load_after}, {degrees_after}"
        );
    }
}

#[test]
fn what_is_known_ahead_is_named_elsewhere_too() {
    let keys = "tags = [\"load\"], holiday = \"holiday\", known_ahead = [\"holiday\", \"temp_c\"]";
    let error = configured(keys).map(drop).unwrap_err().to_string();
    let message =
        "job.known_ahead: \"temp_c\" is neither holiday nor temperature nor one of regressors";
    assert!(error.contains(message), "{error}");
}
