//! The discrete Fourier transform of real samples, and amplitude spectra of it.

/// A complex number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Complex {
    /// The real part.
    pub re: f64,
    /// The imaginary part.
    pub im: f64,
}

impl Complex {
    /// The square of its magnitude.
    pub fn norm_sqr(self) -> f64 {
        self.re * self.re + self.im * self.im
    }

    /// Its magnitude.
    pub fn norm(self) -> f64 {
        self.norm_sqr().sqrt()
    }

    fn plus(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }

    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }
}

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
pub fn forward(samples: &[f64]) -> Vec<Complex> {
    let samples: Vec<Complex> = samples
        .iter()
        .map(|x| Complex { re: *x, im: 0.0 })
        .collect();
    transform(&samples, -1.0)
}

/// The inverse transform, not divided by the length.
pub fn inverse(lines: &[Complex]) -> Vec<Complex> {
    transform(lines, 1.0)
}

/// The transform with exp(`sign`·2πi·jk/n): decimation in time over the prime factors of the length (J. W. Cooley and
/// J. W. Tukey, Mathematics of Computation 19, 1965). Fast where these are small.
fn transform(input: &[Complex], sign: f64) -> Vec<Complex> {
    let length = input.len();
    let turn = sign * std::f64::consts::TAU / length.max(1) as f64;
    let roots: Vec<Complex> = (0..length)
        .map(|k| {
            let (im, re) = (turn * k as f64).sin_cos();
            Complex { re, im }
        })
        .collect();
    let mut output = vec![Complex::default(); length];
    decimate(input, 1, &mut output, &roots);
    output
}

/// The transform of every `stride`-th of the input, as many as `output` has.
fn decimate(input: &[Complex], stride: usize, output: &mut [Complex], roots: &[Complex]) {
    let length = output.len();
    if length <= 1 {
        output.copy_from_slice(&input[..length]);
        return;
    }
    let parts = smallest_factor(length);
    let part = length / parts;
    for (r, output) in output.chunks_exact_mut(part).enumerate() {
        decimate(&input[r * stride..], stride * parts, output, roots);
    }
    // The roots of this length, and those of its factor, among the roots of the whole.
    let (step, turn) = (roots.len() / length, roots.len() / parts);
    let mut turned = vec![Complex::default(); parts];
    for k in 0..part {
        for (r, turned) in turned.iter_mut().enumerate() {
            *turned = output[r * part + k].times(roots[r * k * step]);
        }
        for j in 0..parts {
            let terms = turned.iter().enumerate();
            output[j * part + k] = terms.fold(Complex::default(), |sum, (r, turned)| {
                sum.plus(turned.times(roots[r * j % parts * turn]))
            });
        }
    }
}

fn smallest_factor(length: usize) -> usize {
    let mut small = (2..).take_while(|factor| factor * factor <= length);
    small
        .find(|factor| length.is_multiple_of(*factor))
        .unwrap_or(length)
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
    fn it_is_the_discrete_transform_and_back() {
        for length in [1, 2, 7, 30, 49, 60] {
            let samples: Vec<f64> = (0..length).map(|i| f64::from(i * i % 11)).collect();
            let lines = forward(&samples);
            for (k, line) in (0..).zip(&lines) {
                let turn = |i: i32| std::f64::consts::TAU * f64::from(i * k) / f64::from(length);
                let sum = |part: fn(f64) -> f64| -> f64 {
                    (0..length)
                        .zip(&samples)
                        .map(|(i, x)| x * part(turn(i)))
                        .sum()
                };
                assert!((line.re - sum(f64::cos)).abs() < 1e-9, "{length}, {k}");
                assert!((line.im + sum(f64::sin)).abs() < 1e-9, "{length}, {k}");
            }
            for (x, back) in samples.iter().zip(inverse(&lines)) {
                assert!((back.re / f64::from(length) - x).abs() < 1e-9);
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
