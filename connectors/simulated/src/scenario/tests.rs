use std::collections::BTreeMap;

use super::*;
use crate::recording::{AMBIENT, CPU, Recording};

const WINDOWS: &str = include_str!("../../data/nab/combined_windows.json");

/// Rows of a file inside a labelled window of the file that it was taken from. Times of one form compare as texts.
fn labelled(recording: Recording, origin: &str) -> Vec<usize> {
    let windows: BTreeMap<String, Vec<(String, String)>> = serde_json::from_str(WINDOWS).unwrap();
    let windows = &windows[&format!("realKnownCause/{origin}.csv")];
    assert!(!windows.is_empty());
    let text = recording.text().unwrap();
    let times = text
        .lines()
        .skip(1)
        .map(|row| format!("{}.000000", row.split_once(',').unwrap().0));
    let inside = |time: &String| windows.iter().any(|(from, to)| (from..=to).contains(&time));
    times
        .enumerate()
        .filter(|(_, time)| inside(time))
        .map(|(row, _)| row)
        .collect()
}

#[test]
fn only_the_failing_stretch_is_labelled_and_only_at_its_end() {
    let machine = "machine_temperature_system_failure";
    let failure: Vec<usize> = (1010..1294).collect();
    assert_eq!(
        labelled(MACHINE_FAILURE, machine),
        failure,
        "from 2013-12-15 17:50 on"
    );
    let others = [
        (MACHINE_HEALTHY, machine),
        (AMBIENT, "ambient_temperature_system_failure"),
        (CPU, "cpu_utilization_asg_misconfiguration"),
    ];
    for (recording, origin) in others {
        assert_eq!(labelled(recording, origin), Vec::<usize>::new(), "{origin}");
    }
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (
        mean,
        (values
            .iter()
            .map(|value| (value - mean).powi(2))
            .sum::<f64>()
            / n)
            .sqrt(),
    )
}

#[test]
fn the_healthy_stretch_is_calm_and_the_failure_is_not() {
    let healthy = Scenario::Healthy.machine().unwrap();
    let (mean, deviation) = moments(&healthy);
    assert!(
        healthy
            .iter()
            .all(|value| (value - mean).abs() < 3.0 * deviation),
        "{mean} ± {deviation}"
    );

    let recorded = Scenario::Recorded.machine().unwrap();
    let (mean, deviation) = moments(&recorded[..1010]);
    let furthest = |values: &[f64]| {
        values
            .iter()
            .map(|value| (value - mean).abs() / deviation)
            .fold(0.0, f64::max)
    };
    assert!(
        furthest(&recorded[..1010]) < 4.0,
        "well before: {}",
        furthest(&recorded[..1010])
    );
    assert!(
        furthest(&recorded[1010..]) > 15.0,
        "failing after: {}",
        furthest(&recorded[1010..])
    );
}

#[test]
fn the_perturbed_failure_is_the_same_and_comes_sooner() {
    let (recorded, perturbed) = (
        Scenario::Recorded.machine().unwrap(),
        Scenario::Perturbed.machine().unwrap(),
    );
    assert_eq!(recorded.len(), MACHINE_SAMPLES as usize);
    assert_eq!(perturbed[490..774], recorded[1010..]);
    assert_eq!(Scenario::Healthy.machine().unwrap().len(), recorded.len());
}

#[test]
fn a_pace_fits_a_span() {
    assert_eq!(
        Pace::within(Duration::from_secs(1294)).step(),
        Duration::from_secs(1)
    );
    assert_eq!(
        Pace::within(Duration::ZERO).step(),
        Duration::from_millis(1)
    );
}
