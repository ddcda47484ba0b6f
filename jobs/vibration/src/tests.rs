//! The job over a lake: what it writes, when it warns, and what it says when it cannot judge.

use std::{path::Path, sync::Arc, time::Duration};

use forebay_config::ConfigErrors;
use forebay_jobs::{Fire, Job, Outcome, Severity};
use forebay_jobs_conformance::{Case, SeriesReadings, TestLake, examples_are_sound, suite, window};
use forebay_schemas::Timestamp;
use ring::rand::SystemRandom;
use serde_json::Value;

use crate::VibrationKind;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;
const WINDOW: Duration = Duration::from_secs(3600);
const RATE: f64 = 8_000.0;

/// As the contract has it; FTF 10.14, BSF 63.86, BPFO 81.12 and BPFI 118.88 Hz.
const BEARING: &str = "shaft_hz = 25.0, bearing = { balls = 8, ball_diameter = 0.235, pitch_diameter = 1.245, contact_angle = 0.0 }";
const OUTER_HZ: f64 = 81.124_5;
const INNER_HZ: f64 = 118.875_5;

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_nanos(START * 1_000_000_000 + (seconds * 1e9) as i64)
}

fn configured(keys: &str) -> Result<Box<dyn Job>, ConfigErrors> {
    forebay_jobs_conformance::configured(&VibrationKind, keys)
}

fn noise(index: u64) -> f64 {
    let mut x = index.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
}

/// A second and a half of a machine at the start of an hour: shaft and noise, and strikes so often a second that ring at
/// 3 kHz.
fn waveform(hour: i64, strikes_hz: Option<f64>) -> Vec<(Timestamp, f64)> {
    let strike = |seconds: f64| {
        let every = 1.0 / strikes_hz?;
        let since = seconds % every;
        Some((-since * 900.0).exp() * (std::f64::consts::TAU * 3_000.0 * since).sin())
    };
    (0..12_000_u64)
        .map(|i| {
            let seconds = i as f64 / RATE;
            let shaft = 0.3 * (std::f64::consts::TAU * 25.0 * seconds).sin();
            let seed = hour.unsigned_abs() << 32;
            let value = shaft + 0.2 * noise(i + seed) + strike(seconds).unwrap_or(0.0);
            (at(3600.0 * hour as f64 + seconds), value)
        })
        .collect()
}

async fn lake(folder: &Path) -> TestLake {
    TestLake::open(folder, Arc::new(SystemRandom::new())).await
}

/// Judges the window of an hour.
async fn judge(lake: &TestLake, job: &dyn Job, hour: i64) -> Outcome {
    let end = at(3600.0 * (hour + 1) as f64);
    job.run(&lake.window_context("bearings", end, WINDOW))
        .await
        .unwrap()
}

fn contributions(outcome: &Outcome) -> Value {
    let text = outcome.results.scores[0].contributions.as_ref().unwrap();
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn a_fault_is_named_in_a_machines_first_window() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    lake.put_readings("pump-1", "gs", &waveform(0, Some(OUTER_HZ)))
        .await;
    lake.put_readings("pump-1", "axial", &waveform(0, None))
        .await;
    lake.put_readings("pump-2", "gs", &waveform(0, Some(INNER_HZ)))
        .await;
    lake.put_readings("pump-3", "gs", &waveform(0, None)).await;
    let keys = format!("tags = [\"gs\", \"axial\"], unit = \"g\", {BEARING}");
    let outcome = judge(&lake, configured(&keys).unwrap().as_ref(), 0).await;
    assert_eq!((outcome.results.scores.len(), &outcome.note), (3, &None));
    let outer = contributions(&outcome);
    let amplitude = |name: &str| outer[name].as_f64().unwrap();
    assert_eq!(
        (&outer["part"], &outer["tag"]),
        (&"outer race".into(), &"gs".into())
    );
    assert!(amplitude("bpfo") > 4.0 * amplitude("bpfi"), "{outer}");
    assert!(
        amplitude("bpfo") > 4.0 * amplitude("bsf").max(amplitude("ftf")),
        "{outer}"
    );
    // 0.3 g at 25 Hz.
    let velocity = outer["velocity_mm_s"].as_f64().unwrap();
    assert!((velocity - 13.2).abs() < 0.3, "{outer}");
    assert!(outer["tags"]["axial"]["bpfo"].is_number(), "{outer}");
    assert!(!outcome.results.scores[2].anomalous, "{outcome:?}");
    let reasons: Vec<_> = outcome
        .results
        .alerts
        .iter()
        .map(|alert| (alert.device.as_str(), alert.reason.as_str()))
        .collect();
    let [("pump-1", first), ("pump-2", second)] = reasons[..] else {
        panic!("{reasons:?}")
    };
    assert!(
        first.starts_with("gs: outer race: the line at BPFO, 81.1 Hz, is "),
        "{first}"
    );
    assert!(second.starts_with("gs: inner race: "), "{second}");
}

#[tokio::test]
async fn zones_and_the_unit_of_readings() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    lake.put_readings("fan", "x", &waveform(0, None)).await;
    let of = |unit: &str| format!("tags = [\"x\"], zones = [2.8, 4.5, 7.1]{unit}, {BEARING}");
    let unknown = configured(&of("")).unwrap();
    let unknown = judge(&lake, unknown.as_ref(), 0).await;
    assert!(contributions(&unknown)["velocity_mm_s"].is_null());
    assert!(unknown.results.alerts.is_empty(), "{unknown:?}");
    let known = configured(&of(", unit = \"g\"")).unwrap();
    let known = judge(&lake, known.as_ref(), 0).await;
    assert_eq!(contributions(&known)["zone"], "D");
    let alert = &known.results.alerts[0];
    assert_eq!(alert.severity, Severity::Critical);
    assert!(
        alert
            .reason
            .contains("the velocity of 13.2 mm/s lies in zone D"),
        "{}",
        alert.reason
    );
}

#[tokio::test]
async fn what_makes_no_waveform_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path()).await;
    let job = configured(&format!("tags = [\"x\"], {BEARING}")).unwrap();
    let nothing = judge(&lake, job.as_ref(), 0).await;
    assert!(nothing.note.unwrap().starts_with("no series fits"));
    lake.put_readings("fan", "x", &waveform(0, None)[..200])
        .await;
    let short = judge(&lake, job.as_ref(), 0).await;
    assert_eq!(short.results, Default::default());
    let note = short.note.unwrap();
    assert!(note.contains("fan/x was not judged: 200 samples"), "{note}");
}

#[test]
fn settings_are_checked_together() {
    for keys in [BEARING, "zones = [2.8, 4.5, 7.1]", "shaft_hz = \"speed\""] {
        assert!(
            configured(&format!("tags = [\"x\"], {keys}")).is_ok(),
            "{keys}"
        );
    }
    let bearing = "{ balls = 8, ball_diameter = 2.0, pitch_diameter = 1.0 }";
    for (keys, message) in [
        ("limit = 4.0".to_owned(), "job: tags is missing"),
        (
            format!("tags = [\"x\"], shaft_hz = 25, bearing = {bearing}"),
            "job.bearing.pitch_diameter: more than ball_diameter",
        ),
        (
            "tags = [\"x\"], bearing = { balls = 8, ball_diameter = 1, pitch_diameter = 5 }".into(),
            "job.bearing: the frequencies of its faults follow from shaft_hz",
        ),
        (
            "tags = [\"x\"], zones = [4.5, 2.8]".into(),
            "job.zones: three ascending boundaries",
        ),
        (
            "tags = [\"x\"], band = [3000, 2000]".into(),
            "job.band: two frequencies, the lower first",
        ),
        ("tags = [\"x\"], unit = \"mm\"".into(), "job.unit"),
    ] {
        let error = configured(&keys).map(drop).unwrap_err().to_string();
        assert!(error.contains(message), "{keys}: {error}");
    }
}

#[test]
fn the_examples_of_the_page_are_sound() {
    let page = include_str!("../../../docs/how-to/vibration.md");
    examples_are_sound(page, &VibrationKind);
}

#[tokio::test]
async fn it_keeps_the_promises_of_every_kind() {
    let hour = |hour: i64| Fire::window(window(at(3600.0 * hour as f64), WINDOW));
    let short = |hour: i64, strikes| waveform(hour, strikes).into_iter().take(4_000);
    let readings = short(0, None).chain(short(1, Some(OUTER_HZ)));
    let after = short(2, Some(INNER_HZ));
    suite(&Case {
        kind: &VibrationKind,
        keys: &format!("tags = [\"gs\"], unit = \"g\", {BEARING}"),
        readings: vec![SeriesReadings {
            device: "pump-1".into(),
            tag: "gs".into(),
            readings: readings.chain(after).collect(),
        }],
        fires: vec![hour(1), hour(2)],
        known_ahead: &[],
        after_silence: hour(9),
    })
    .await;
}
