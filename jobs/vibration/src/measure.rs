//! What one waveform says: levels, velocity, and the lines of the bearing.

use forebay_signals::{
    bearing::{Bearing, Part},
    envelope::{Band, Envelope, Line},
    velocity::velocity_rms_mm_s,
    waveform::{Levels, Waveform},
};
use serde_json::{Map, Value, json};

use crate::settings::Vibration;

/// Standard gravity in m/s², exactly (ISO 80000-3).
const STANDARD_GRAVITY: f64 = 9.806_65;

/// The envelope must show lines up to this many times the highest frequency of the bearing: twice the spin is one.
const SHOWN: f64 = 1.1;

/// The unit of an acceleration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignalUnit {
    StandardGravity,
    MetrePerSecondSquared,
}

impl SignalUnit {
    /// What the unit of a reading says, in UCUM or as people write it.
    pub(crate) fn of_reading(unit: &str) -> Option<Self> {
        match unit {
            "g" | "[g]" | "gn" | "g0" => Some(Self::StandardGravity),
            "m/s2" | "m/s^2" | "m/s²" | "m.s-2" => Some(Self::MetrePerSecondSquared),
            _ => None,
        }
    }

    fn metre_per_second_squared(self) -> f64 {
        match self {
            Self::StandardGravity => STANDARD_GRAVITY,
            Self::MetrePerSecondSquared => 1.0,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StandardGravity => "g",
            Self::MetrePerSecondSquared => "m/s2",
        }
    }
}

/// What one waveform says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measured {
    pub(crate) levels: Levels,
    pub(crate) velocity_mm_s: Option<f64>,
    pub(crate) bearing: Option<BearingLines>,
    pub(crate) unit: Option<SignalUnit>,
    pub(crate) rate_hz: f64,
    pub(crate) samples: usize,
}

/// The lines of a bearing in the spectrum of the envelope.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct BearingLines {
    pub(crate) band: Band,
    pub(crate) shaft_hz: f64,
    /// Of [`Part::ALL`], each with the frequency that the kinematics say.
    pub(crate) lines: Vec<PartLine>,
}

/// The line of one part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PartLine {
    pub(crate) part: Part,
    pub(crate) expected_hz: f64,
    /// `None` where the record does not resolve it.
    pub(crate) line: Option<Line>,
}

impl BearingLines {
    /// The part with the largest line.
    pub(crate) fn largest(&self) -> Option<(PartLine, Line)> {
        let resolved = self.lines.iter().filter_map(|of| Some((*of, of.line?)));
        // The last of equally large ones would count: outer race first, so the order is turned.
        resolved
            .rev()
            .max_by(|a, b| a.1.amplitude.total_cmp(&b.1.amplitude))
    }
}

/// Measures a waveform. `shaft_hz` is the speed, where it is known.
pub(crate) fn measure(
    settings: &Vibration,
    wave: &Waveform,
    unit: Option<SignalUnit>,
    shaft_hz: Option<f64>,
) -> Measured {
    let velocity = |unit: SignalUnit| {
        let factor = unit.metre_per_second_squared();
        velocity_rms_mm_s(&wave.values, wave.rate_hz).map(|velocity| factor * velocity)
    };
    let lines = settings
        .bearing
        .zip(shaft_hz)
        .and_then(|(bearing, shaft_hz)| bearing_lines(settings, wave, &bearing, shaft_hz));
    Measured {
        levels: Levels::of(&wave.values),
        velocity_mm_s: unit.and_then(velocity),
        bearing: lines,
        unit,
        rate_hz: wave.rate_hz,
        samples: wave.values.len(),
    }
}

fn bearing_lines(
    settings: &Vibration,
    wave: &Waveform,
    bearing: &Bearing,
    shaft_hz: f64,
) -> Option<BearingLines> {
    let highest = Part::ALL
        .map(|part| bearing.frequency_hz(part, shaft_hz))
        .into_iter()
        .fold(0.0, f64::max);
    let twice_the_spin = 2.0 * bearing.frequency_hz(Part::RollingElement, shaft_hz);
    let shown = SHOWN * highest.max(twice_the_spin);
    let envelope = Envelope::of(wave, settings.band, shown)?;
    let of_part = |part| PartLine {
        part,
        expected_hz: bearing.frequency_hz(part, shaft_hz),
        line: envelope.line_of_part(bearing, part, shaft_hz, settings.tolerance),
    };
    Some(BearingLines {
        band: envelope.band,
        shaft_hz,
        lines: Part::ALL.map(of_part).to_vec(),
    })
}

impl Measured {
    /// What is followed over time: name and value, in the signal's unit but for kurtosis and velocity.
    pub(crate) fn features(&self) -> Vec<(&'static str, f64)> {
        let mut features = vec![("rms", self.levels.rms), ("kurtosis", self.levels.kurtosis)];
        features.extend(
            self.velocity_mm_s
                .map(|velocity| ("velocity_mm_s", velocity)),
        );
        let lines = self.bearing.iter().flat_map(|bearing| &bearing.lines);
        features
            .extend(lines.filter_map(|of| Some((of.part.frequency_name(), of.line?.amplitude))));
        features
    }

    /// As `scores.contributions` has it.
    pub(crate) fn as_json(&self) -> Map<String, Value> {
        let mut json = Map::new();
        let mut put = |name: &str, value: Value| drop(json.insert(name.to_owned(), value));
        put("rms", json!(self.levels.rms));
        put("kurtosis", json!(self.levels.kurtosis));
        put("crest_factor", json!(self.levels.crest_factor));
        put("velocity_mm_s", json!(self.velocity_mm_s));
        put("unit", json!(self.unit.map(SignalUnit::name)));
        put("rate_hz", json!(self.rate_hz));
        put("samples", json!(self.samples));
        if let Some(bearing) = &self.bearing {
            for of in &bearing.lines {
                let name = of.part.frequency_name();
                put(name, json!(of.line.map(|line| line.amplitude)));
                let prominence = of.line.map(|line| line.prominence);
                put(&format!("{name}_prominence"), json!(prominence));
            }
            let largest = bearing.largest();
            put("part", json!(largest.map(|(of, _)| of.part.name())));
            put("shaft_hz", json!(bearing.shaft_hz));
            put(
                "band_hz",
                json!([bearing.band.low_hz, bearing.band.high_hz]),
            );
        }
        json
    }
}
