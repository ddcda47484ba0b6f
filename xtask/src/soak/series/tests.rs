//! Shapes of an hour, and the verdict on each.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// An hour of samples, 5 s apart.
fn hour(of: impl Fn(f64) -> Sample) -> Vec<Sample> {
    let at = |n: u32| Duration::from_secs(5) * n;
    (1..=720)
        .map(|n| Sample {
            at: at(n),
            ..of(at(n).as_secs_f64() / 3600.0)
        })
        .collect()
}

fn verdict(samples: &[Sample], length: Duration, name: &str) -> Verdict {
    let table = judge(samples, &Rhythm::of(length), Load::Day);
    table
        .0
        .iter()
        .find(|row| row.name == name)
        .map_or(Verdict::Told, |row| row.verdict)
}

#[test]
fn what_grows_is_told_from_what_swings() {
    type Shape = fn(f64) -> f64;
    let cases: [(&str, Shape, Verdict); 6] = [
        ("as it was", |_| 200.0, Verdict::Flat),
        (
            "a saw",
            |hours| 200.0 + (hours * 30.0).fract() * 100.0,
            Verdict::Flat,
        ),
        (
            "only at first",
            |hours| 200.0 + 500.0 * (hours * 5.0).min(1.0),
            Verdict::Flat,
        ),
        (
            "a MiB a minute",
            |hours| 160.0 + 60.0 * hours,
            Verdict::Grows,
        ),
        ("without end", |hours| 200.0 + 300.0 * hours, Verdict::Grows),
        (
            "less and less",
            |hours| 900.0 - 300.0 * hours,
            Verdict::Flat,
        ),
    ];
    for (what, mebibytes, expected) in cases {
        let samples = hour(|hours| Sample {
            resident_bytes: mebibytes(hours) * MIB,
            ..Sample::default()
        });
        assert_eq!(
            verdict(&samples, HOUR, "resident memory"),
            expected,
            "{what}"
        );
    }
}

#[test]
fn threads_of_a_burst_that_stay_are_told() {
    let cases = [
        (6.0, 18.0, Verdict::Flat),
        (6.0, 19.0, Verdict::Grows),
        (67.0, 67.0, Verdict::Grows),
        (40.0, 32.0, Verdict::Flat),
    ];
    for (first, last, expected) in cases {
        let samples = hour(|hours| Sample {
            threads: if hours < 0.5 { first } else { last },
            ..Sample::default()
        });
        assert_eq!(
            verdict(&samples, HOUR, "threads"),
            expected,
            "{first}, then {last}"
        );
    }
}

#[test]
fn a_rate_is_judged_by_its_rise_and_what_grows_with_data_by_its_share() {
    let samples = hour(|hours| Sample {
        log_lines: 1000.0 * hours * hours,
        committed: 1e6 * hours,
        active_readings: crate::soak::sample::Files {
            count: 1.0,
            bytes: 2e7 * hours,
        },
        ..Sample::default()
    });
    assert_eq!(
        verdict(&samples, HOUR, "lines of its own log"),
        Verdict::Grows
    );
    assert_eq!(verdict(&samples, HOUR, "bytes a reading"), Verdict::Flat);
    assert!(!judge(&samples, &Rhythm::of(HOUR), Load::Plant).is_flat());
}

#[test]
fn what_a_reading_costs_may_rise_by_a_tenth() {
    for (rise, expected) in [
        (0.0, Verdict::Flat),
        (0.05, Verdict::Flat),
        (0.5, Verdict::Grows),
    ] {
        let samples = hour(|hours| Sample {
            committed: 1e6 * hours,
            cpu_seconds: 100.0 * (hours + rise * hours * hours),
            ..Sample::default()
        });
        assert_eq!(
            verdict(&samples, HOUR, "processor a reading"),
            expected,
            "{rise}"
        );
    }
}

#[test]
fn what_a_short_run_cannot_tell_is_not_judged() {
    let length = Duration::from_secs(180);
    let samples: Vec<Sample> = (1..=36)
        .map(|n| Sample {
            at: Duration::from_secs(5) * n,
            states: crate::soak::sample::Files {
                count: f64::from(n) * 99.0,
                bytes: 0.0,
            },
            ..Sample::default()
        })
        .collect();
    assert!(matches!(
        verdict(&samples, length, "states: files"),
        Verdict::TooShort(_)
    ));
    assert_eq!(verdict(&samples, length, "open files"), Verdict::Flat);
    assert!(judge(&samples, &Rhythm::of(length), Load::Plant).is_flat());
}

#[test]
fn a_slope_is_that_of_a_line() {
    let samples = hour(|hours| Sample {
        threads: 7.0 + 3.0 * hours,
        ..Sample::default()
    });
    let all: Vec<&Sample> = samples.iter().collect();
    assert!((slope(&all, |sample| sample.threads) * HOUR_SECONDS - 3.0).abs() < 1e-9);
    assert_eq!(median(vec![3.0, 1.0, 2.0, 10.0]), 2.5);
}
