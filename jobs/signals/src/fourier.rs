//! The discrete Fourier transform of real samples, and amplitude spectra of it.

use phastft::{fft_f64_dit, planner::Direction};

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

/// A complex number: a line of a transform, or a sample of an analytic signal.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Complex {
    /// The real part.
    pub re: f64,
    /// The imaginary part.
    pub im: f64,
}

impl Complex {
    /// The number of magnitude 1 at this angle, in radians.
    fn at_angle(angle: f64) -> Self {
        Self {
            re: angle.cos(),
            im: angle.sin(),
        }
    }

    /// Its magnitude.
    pub fn norm(self) -> f64 {
        self.re.hypot(self.im)
    }

    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    fn conjugate(self) -> Self {
        Self {
            re: self.re,
            im: -self.im,
        }
    }

    fn swapped(self) -> Self {
        Self {
            re: self.im,
            im: self.re,
        }
    }
}

/// The transform of real samples: as many lines as samples, from 0 Hz.
pub fn forward(samples: &[f64]) -> Vec<Complex> {
    let mut lines: Vec<Complex> = samples
        .iter()
        .map(|x| Complex { re: *x, im: 0.0 })
        .collect();
    transform(&mut lines);
    lines
}

/// The inverse transform, not divided by the length: the transform with both parts exchanged before and after.
pub fn inverse(lines: &[Complex]) -> Vec<Complex> {
    let mut values: Vec<Complex> = lines.iter().map(|line| line.swapped()).collect();
    transform(&mut values);
    values.into_iter().map(Complex::swapped).collect()
}

/// Any length: by L. I. Bluestein, "A linear filtering approach to the computation of discrete Fourier transform", IEEE
/// Transactions on Audio and Electroacoustics 18 (1970), a convolution, whose length may be a power of two.
fn transform(values: &mut [Complex]) {
    let length = values.len();
    if length < 2 {
        return;
    }
    if length.is_power_of_two() {
        return power_of_two(values);
    }
    // k² modulo 2n, so that the angle stays exact for long records.
    let chirp = |k: usize| {
        let square = (k as u128 * k as u128 % (2 * length as u128)) as f64;
        Complex::at_angle(-std::f64::consts::PI * square / length as f64)
    };
    let padded = (2 * length - 1).next_power_of_two();
    let mut filter = vec![Complex::default(); padded];
    let mut signal = vec![Complex::default(); padded];
    for (k, value) in values.iter().enumerate() {
        signal[k] = value.times(chirp(k));
        filter[k] = chirp(k).conjugate();
        filter[(padded - k) % padded] = filter[k];
    }
    power_of_two(&mut signal);
    power_of_two(&mut filter);
    for (line, weight) in signal.iter_mut().zip(&filter) {
        *line = line.times(*weight).swapped();
    }
    power_of_two(&mut signal);
    for (k, value) in values.iter_mut().enumerate() {
        let Complex { re, im } = signal[k].swapped().times(chirp(k));
        *value = Complex {
            re: re / padded as f64,
            im: im / padded as f64,
        };
    }
}

fn power_of_two(values: &mut [Complex]) {
    let mut reals: Vec<f64> = values.iter().map(|value| value.re).collect();
    let mut imaginaries: Vec<f64> = values.iter().map(|value| value.im).collect();
    fft_f64_dit(&mut reals, &mut imaginaries, Direction::Forward);
    for ((value, re), im) in values.iter_mut().zip(reals).zip(imaginaries) {
        *value = Complex { re, im };
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

    /// By the definition, Σ x·exp(−2πi·jk/n).
    fn by_definition(samples: &[f64], j: usize) -> Complex {
        let n = samples.len();
        let step = std::f64::consts::TAU / n as f64;
        let mut line = Complex::default();
        for (k, x) in samples.iter().enumerate() {
            let turn = Complex::at_angle(-step * ((j * k) % n) as f64);
            line.re += x * turn.re;
            line.im += x * turn.im;
        }
        line
    }

    #[test]
    fn every_length_is_transformed_and_back() {
        for length in [1, 2, 3, 5, 8, 12, 45, 64, 1_000] {
            let samples: Vec<f64> = (0..length)
                .map(|i| ((i * 7 + 3) % 11) as f64 - 4.0)
                .collect();
            let lines = forward(&samples);
            for (j, line) in lines.iter().enumerate() {
                let expected = by_definition(&samples, j);
                let off = (line.re - expected.re).hypot(line.im - expected.im);
                assert!(
                    off < 1e-8 * length as f64,
                    "{length} {j}: {line:?} {expected:?}"
                );
            }
            for (x, line) in samples.iter().zip(inverse(&lines)) {
                assert!((line.re / length as f64 - x).abs() < 1e-9, "{length}");
            }
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
