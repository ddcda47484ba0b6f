//! The envelope of a vibration in a band around a resonance, and the lines in its spectrum at which faults strike.
//!
//! Sources: R. B. Randall and J. Antoni, "Rolling element bearing diagnostics: a tutorial", Mechanical Systems and Signal
//! Processing 25 (2011): envelope analysis. J. Antoni, "Fast computation of the kurtogram for the detection of transient
//! faults", the same journal 21 (2007): the band is that whose complex envelope has the largest kurtosis, over halves and
//! thirds of the frequency axis.

use crate::{
    bearing::{Bearing, Part},
    fourier::{AmplitudeSpectrum, Complex, amplitude_spectrum, fast_length, forward, inverse},
    order::median,
    waveform::Waveform,
};

/// A band is at least this many times as wide as the highest frequency that its envelope must show.
const WIDTHS_MIN: f64 = 4.0;

/// Bands down to this part of half the rate are tried.
const DIVISIONS_MAX: usize = 64;

/// Half the width, in lines, within which a line may lie beside its frequency: Hann's window spreads it over as many.
const SPREAD_LINES: f64 = 2.0;

/// The noise around a line is the median within this share of its frequency to both sides.
const NOISE_SHARE: f64 = 0.15;

/// And within this many lines at least.
const NOISE_LINES: f64 = 20.0;

/// A record that separates a line from its neighbours by less than this share of its frequency does not resolve it.
const SEPARATION_MAX: f64 = 0.25;

/// A range of frequencies in hertz.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// Its lower end.
    pub low_hz: f64,
    /// Its upper end.
    pub high_hz: f64,
}

/// The spectrum of an envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// The band whose envelope it is.
    pub band: Band,
    /// The kurtosis of the band's complex envelope, 0 for normal noise.
    pub kurtosis: f64,
    /// Amplitudes of the envelope, in the signal's unit.
    pub spectrum: AmplitudeSpectrum,
}

/// What stands at a frequency in a spectrum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Its amplitude, less the noise around it (root of the difference of squares), in the signal's unit.
    pub amplitude: f64,
    /// Its amplitude over the noise around it: 1 is no line.
    pub prominence: f64,
    /// Where it lies, in hertz.
    pub found_hz: f64,
}

impl Envelope {
    /// The envelope of a waveform in `band`; without one in the band with the most shocks, wide enough to show
    /// frequencies up to `needed_hz`.
    ///
    /// `None` where no band of the waveform is wide enough.
    pub fn of(wave: &Waveform, band: Option<Band>, needed_hz: f64) -> Option<Self> {
        let length = fast_length(wave.values.len());
        let values = &wave.values[..length];
        let mean = values.iter().sum::<f64>() / length.max(1) as f64;
        let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
        let lines = forward(&centred);
        let resolution = wave.rate_hz / length.max(1) as f64;
        let width_min = WIDTHS_MIN * needed_hz;
        let candidates = match band {
            Some(band) => vec![lines_of(band, resolution, length / 2)],
            None => divisions(length / 2),
        };
        let mut best: Option<(f64, std::ops::Range<usize>, Vec<f64>)> = None;
        for range in candidates {
            let width = range.len() as f64 * resolution;
            if width < width_min || range.len() < 16 {
                continue;
            }
            let magnitudes = magnitudes(&lines[range.clone()], length);
            let kurtosis = complex_kurtosis(&magnitudes);
            if best.as_ref().is_none_or(|(most, ..)| kurtosis > *most) {
                best = Some((kurtosis, range, magnitudes));
            }
        }
        let (kurtosis, range, magnitudes) = best?;
        Some(Self {
            band: Band {
                low_hz: range.start as f64 * resolution,
                high_hz: range.end as f64 * resolution,
            },
            kurtosis,
            spectrum: amplitude_spectrum(&magnitudes, range.len() as f64 * resolution),
        })
    }

    /// The line of a bearing's part. A fault of a rolling element strikes both races: of its line at the spin and that
    /// at twice the spin the larger counts. `tolerance` is the share of the frequency by which slip may move a line.
    pub fn line_of_part(
        &self,
        bearing: &Bearing,
        part: Part,
        shaft_hz: f64,
        tolerance: f64,
    ) -> Option<Line> {
        let frequency = bearing.frequency_hz(part, shaft_hz);
        let first = self.spectrum.line(frequency, tolerance);
        if part != Part::RollingElement {
            return first;
        }
        let second = self.spectrum.line(2.0 * frequency, tolerance);
        match (first, second) {
            (Some(first), Some(second)) if second.amplitude > first.amplitude => Some(second),
            (Some(first), _) => Some(first),
            (None, second) => second,
        }
    }
}

/// Halves and thirds of the frequency axis, but not the lowest of each, where shaft and drift lie.
fn divisions(lines: usize) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    let mut parts = 2;
    while parts <= DIVISIONS_MAX {
        for parts in [parts, parts / 2 * 3] {
            let width = lines / parts;
            ranges.extend((1..parts).map(|i| i * width..(i + 1) * width));
        }
        parts *= 2;
    }
    ranges
}

fn lines_of(band: Band, resolution: f64, lines: usize) -> std::ops::Range<usize> {
    let at = |frequency: f64| ((frequency / resolution).round() as usize).min(lines);
    at(band.low_hz)..at(band.high_hz).max(at(band.low_hz))
}

/// The envelope of the lines of one band, sampled at the band's width: the magnitude of the analytic signal, which the
/// positive half of the spectrum alone gives (Hilbert's transform by Fourier's).
fn magnitudes(lines: &[Complex], length: usize) -> Vec<f64> {
    let used = fast_length(lines.len());
    let analytic = inverse(&lines[..used]);
    let scale = 2.0 / length as f64;
    analytic.iter().map(|value| scale * value.norm()).collect()
}

/// Antoni's kurtosis of a complex envelope: 0 for normal noise.
fn complex_kurtosis(magnitudes: &[f64]) -> f64 {
    let count = magnitudes.len().max(1) as f64;
    let (mut second, mut fourth) = (0.0, 0.0);
    for magnitude in magnitudes {
        let square = magnitude * magnitude;
        second += square;
        fourth += square * square;
    }
    match second > 0.0 {
        true => fourth * count / (second * second) - 2.0,
        false => 0.0,
    }
}

impl AmplitudeSpectrum {
    /// The highest line within `tolerance` (a share) of a frequency. `None` where the spectrum does not reach so far or
    /// does not resolve it.
    pub fn line(&self, frequency_hz: f64, tolerance: f64) -> Option<Line> {
        let centre = frequency_hz / self.resolution_hz;
        let reach = (tolerance * centre).max(SPREAD_LINES);
        if reach > SEPARATION_MAX * centre {
            return None;
        }
        let around = |reach: f64| {
            let from = (centre - reach).ceil().max(1.0) as usize;
            let to = (centre + reach).floor() as usize + 1;
            from..to.min(self.amplitudes.len())
        };
        if centre + reach + 1.0 > self.amplitudes.len() as f64 {
            return None;
        }
        let index =
            around(reach).max_by(|a, b| self.amplitudes[*a].total_cmp(&self.amplitudes[*b]))?;
        let peak = self.amplitudes[index];
        let noise_range = around((NOISE_SHARE * centre).max(NOISE_LINES));
        let noise = median(&mut self.amplitudes[noise_range].to_vec());
        Some(Line {
            amplitude: (peak * peak - noise * noise).max(0.0).sqrt(),
            prominence: match noise > 0.0 {
                true => peak / noise,
                false => 1.0,
            },
            found_hz: index as f64 * self.resolution_hz,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 20_000.0;
    const BEARING: Bearing = Bearing {
        balls: 8,
        ball_diameter: 0.235,
        pitch_diameter: 1.245,
        contact_angle_degrees: 0.0,
    };

    /// Even noise around 0 that needs no generator.
    fn noise(index: u64) -> f64 {
        let mut x = index.wrapping_add(0x9E37_79B9_7F4A_7C15);
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    }

    /// Two seconds of shaft and noise, and strikes that ring at 6 kHz, `every` seconds.
    fn machine(seed: u64, every: Option<f64>) -> Waveform {
        let mut values: Vec<f64> = (0..40_000_u64)
            .map(|i| {
                let shaft = (std::f64::consts::TAU * 25.0 * i as f64 / RATE).sin();
                shaft + 0.5 * noise(i + (seed << 32))
            })
            .collect();
        let mut at = 0.0;
        while let Some(every) = every
            && at < 2.0
        {
            let first = (at * RATE) as usize;
            let ringing = values.iter_mut().skip(first).take(60).enumerate();
            for (i, value) in ringing {
                let seconds = i as f64 / RATE;
                *value +=
                    (-seconds * 2_000.0).exp() * (std::f64::consts::TAU * 6_000.0 * seconds).sin();
            }
            at += every * (1.0 + 0.01 * noise((at * 1e6) as u64));
        }
        Waveform {
            rate_hz: RATE,
            values,
            start_micros: 0,
        }
    }

    fn lines(wave: &Waveform, band: Option<Band>) -> Vec<(Part, Line)> {
        let envelope = Envelope::of(wave, band, 120.0).unwrap();
        Part::ALL
            .into_iter()
            .map(|part| {
                let line = envelope.line_of_part(&BEARING, part, 25.0, 0.02);
                (part, line.unwrap())
            })
            .collect()
    }

    #[test]
    fn each_part_is_told_by_its_strikes() {
        let configured = Band {
            low_hz: 5_000.0,
            high_hz: 7_000.0,
        };
        for (part, strikes) in [
            (Part::OuterRace, 1.0),
            (Part::InnerRace, 1.0),
            (Part::RollingElement, 1.0),
            (Part::RollingElement, 2.0),
        ] {
            let every = 1.0 / (strikes * BEARING.frequency_hz(part, 25.0));
            for band in [None, Some(configured)] {
                let lines = lines(&machine(1, Some(every)), band);
                let largest = lines
                    .iter()
                    .max_by(|a, b| a.1.amplitude.total_cmp(&b.1.amplitude))
                    .unwrap();
                assert_eq!(largest.0, part, "{lines:?}");
                assert!(largest.1.prominence > 10.0, "{lines:?}");
            }
        }
    }

    #[test]
    fn noise_and_shaft_alone_have_no_prominent_line() {
        for seed in 0..20 {
            for (part, line) in lines(&machine(seed, None), None) {
                assert!(line.prominence < 6.0, "{}: {line:?}", part.name());
            }
        }
    }

    #[test]
    fn what_a_record_does_not_resolve_is_not_judged() {
        let mut wave = machine(1, None);
        wave.values.truncate(2_000);
        let envelope = Envelope::of(&wave, None, 120.0).unwrap();
        let line = |part| envelope.line_of_part(&BEARING, part, 25.0, 0.02);
        assert_eq!(line(Part::Cage), None);
        assert!(line(Part::InnerRace).is_some());
        assert_eq!(Envelope::of(&wave, None, 4_000.0), None);
        assert_eq!(envelope.spectrum.line(9_000.0, 0.02), None);
    }
}
