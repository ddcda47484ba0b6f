//! The discrete Fourier transform of real samples, and amplitude spectra of it.

use rustfft::{FftPlannerScalar, num_complex::Complex64};

/// One-sided amplitudes of evenly spaced samples.
#[derive(Debug, Clone, PartialEq)]
pub struct AmplitudeSpectrum {
    /// Distance of two lines, in hertz.
    pub resolution_hz: f64,
    /// Amplitudes (not effective values) in the samples' unit, from 0 Hz up to below half the rate.
    pub amplitudes: Vec<f64>,
}

/// The largest length up to `most` whose only prime factors are 2, 3 and 5, for which the transform is fast. At least
/// 85 % of any `most` from 16 on.
pub fn fast_length(most: usize) -> usize {
    let mut best = most.min(1);
    let mut fives = 1;
    while fives <= most {
        let mut threes = fives;
        while threes <= most {
            let twos = threes << (most / threes).ilog2();
            best = best.max(twos);
            threes *= 3;
        }
        fives *= 5;
    }
    best
}

/// The transform of real samples: as many lines as samples, from 0 Hz.
pub fn forward(samples: &[f64]) -> Vec<Complex64> {
    let mut lines: Vec<Complex64> = samples.iter().map(|x| Complex64::new(*x, 0.0)).collect();
    if !lines.is_empty() {
        FftPlannerScalar::new()
            .plan_fft_forward(lines.len())
            .process(&mut lines);
    }
    lines
}

/// The inverse transform in place, not divided by the length.
pub fn inverse(lines: &mut [Complex64]) {
    if !lines.is_empty() {
        FftPlannerScalar::new()
            .plan_fft_inverse(lines.len())
            .process(lines);
    }
}

/// The weights of Hann's window of this length.
pub fn hann(length: usize) -> impl Iterator<Item = f64> {
    let step = std::f64::consts::TAU / length.max(1) as f64;
    (0..length).map(move |i| 0.5 - 0.5 * (step * i as f64).cos())
}

/// The one-sided amplitude spectrum of samples less their mean, under Hann's window (which halves a sine; made good).
pub fn amplitude_spectrum(samples: &[f64], rate_hz: f64) -> AmplitudeSpectrum {
    let length = fast_length(samples.len());
    let samples = &samples[..length];
    let mean = samples.iter().sum::<f64>() / length.max(1) as f64;
    let weighted: Vec<f64> = samples
        .iter()
        .zip(hann(length))
        .map(|(x, weight)| (x - mean) * weight)
        .collect();
    let scale = 4.0 / length.max(1) as f64;
    let lines = forward(&weighted);
    AmplitudeSpectrum {
        resolution_hz: rate_hz / length.max(1) as f64,
        amplitudes: lines[..length / 2]
            .iter()
            .map(|line| scale * line.norm())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fast_lengths() {
        for (most, expected) in [
            (0, 0),
            (1, 1),
            (7, 6),
            (146_484, 145_800),
            (1 << 20, 1 << 20),
        ] {
            assert_eq!(fast_length(most), expected, "{most}");
        }
        for most in 16..5_000 {
            assert!(fast_length(most) as f64 >= 0.85 * most as f64, "{most}");
        }
    }

    #[test]
    fn a_sine_has_its_amplitude() {
        let samples: Vec<f64> = (0..4_000)
            .map(|i| 7.0 + 3.0 * (std::f64::consts::TAU * 50.0 * f64::from(i) / 1_000.0).sin())
            .collect();
        let spectrum = amplitude_spectrum(&samples, 1_000.0);
        let line = (50.0 / spectrum.resolution_hz).round() as usize;
        assert!((spectrum.amplitudes[line] - 3.0).abs() < 1e-6);
        assert!(spectrum.amplitudes[line + 5] < 1e-6);
        assert_eq!(spectrum.amplitudes.len(), 2_000);
    }
}
