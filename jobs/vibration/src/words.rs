//! A finding in plain words.

use forebay_signals::bearing::Part;

use crate::{judge::Cause, measure::Measured};

/// Such as "gs: outer race: the line at BPFO, 81.1 Hz, is 39 times the noise around it (0.317 g)". Where the bearing is
/// known, the part with the largest line is named whatever the cause.
pub(crate) fn reason(tag: &str, measured: &Measured, cause: &Cause) -> String {
    let unit = measured.unit.map_or("", |unit| unit.name());
    let largest = measured
        .bearing
        .as_ref()
        .and_then(|bearing| bearing.largest());
    let part = |part: Option<Part>| {
        let part = part.or(largest.map(|(of, _)| of.part));
        part.map_or_else(String::new, |part| format!("{}: ", part.name()))
    };
    match cause {
        Cause::Line {
            part: of,
            expected_hz,
            line,
        } => format!(
            "{tag}: {}the line at {}, {expected_hz:.1} Hz, is {:.0} times the noise around it ({:.3} {unit})",
            part(Some(*of)),
            of.frequency_name().to_uppercase(),
            line.prominence,
            line.amplitude
        ),
        Cause::Velocity {
            velocity_mm_s,
            zones,
        } => format!(
            "{tag}: {}the velocity of {velocity_mm_s:.1} mm/s lies in zone {}",
            part(None),
            zone(*velocity_mm_s, zones)
        ),
        Cause::Trend {
            feature,
            value,
            deviations,
        } => {
            let of = Part::ALL
                .into_iter()
                .find(|part| part.frequency_name() == *feature);
            format!(
                "{tag}: {}{} has risen to {value:.3}{}, {deviations:.1} robust deviations above its past windows",
                part(of),
                name(feature),
                unit_of(feature, unit)
            )
        }
    }
}

/// The zone of ISO 20816 in which a velocity lies.
pub(crate) fn zone(velocity_mm_s: f64, zones: &[f64; 3]) -> &'static str {
    let passed = zones
        .iter()
        .filter(|boundary| velocity_mm_s > **boundary)
        .count();
    ["A", "B", "C", "D"][passed]
}

fn name(feature: &str) -> String {
    match feature {
        "rms" => "the effective value".to_owned(),
        "kurtosis" => "the kurtosis".to_owned(),
        "velocity_mm_s" => "the velocity".to_owned(),
        line => format!("the line at {}", line.to_uppercase()),
    }
}

fn unit_of(feature: &str, unit: &str) -> String {
    match feature {
        "kurtosis" => String::new(),
        "velocity_mm_s" => " mm/s".to_owned(),
        _ if unit.is_empty() => String::new(),
        _ => format!(" {unit}"),
    }
}
