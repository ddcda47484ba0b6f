//! Vibration velocity from acceleration, as ISO 20816 judges it.

use crate::fourier::{Complex, fast_length, forward, hann};

/// The band of ISO 20816-1 for machines that turn faster than 600 times a minute, in hertz.
pub const BAND_HZ: [f64; 2] = [10.0, 1000.0];

/// A record shorter than this many periods of the band's lower end does not tell velocity from drift.
const PERIODS_MIN: f64 = 4.0;

/// The effective vibration velocity within [`BAND_HZ`] (its upper end at most half the rate), in mm/s, of an acceleration
/// in m/s². `None` where the record is too short, or sampled too slowly, to see the band.
///
/// Integrated in the frequency domain: the amplitude of each line over 2πf (ISO 20816-1, annex on conversion); what lies
/// outside the band is left out, which is the high-pass. Hann's window keeps slow drift out of the band; its power, 3/8, is made good.
pub fn velocity_rms_mm_s(acceleration: &[f64], rate_hz: f64) -> Option<f64> {
    let [low, high] = BAND_HZ;
    let length = fast_length(acceleration.len());
    if (length as f64) < PERIODS_MIN * rate_hz / low || rate_hz < 4.0 * low {
        return None;
    }
    let samples = &acceleration[..length];
    let mean = samples.iter().sum::<f64>() / length as f64;
    let weighted: Vec<f64> = samples
        .iter()
        .zip(hann(length))
        .map(|(x, weight)| (x - mean) * weight)
        .collect();
    let resolution = rate_hz / length as f64;
    let lines = forward(&weighted);
    let in_band = |(index, line): (usize, &Complex)| {
        let frequency = index as f64 * resolution;
        ((low..=high).contains(&frequency))
            .then(|| line.norm_sqr() / (std::f64::consts::TAU * frequency).powi(2))
    };
    let sum: f64 = lines[..length / 2]
        .iter()
        .enumerate()
        .filter_map(in_band)
        .sum();
    let power_of_window = 3.0 / 8.0;
    let mean_square = 2.0 * sum / (length as f64).powi(2) / power_of_window;
    Some(1_000.0 * mean_square.sqrt())
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn sine(amplitude: f64, frequency: f64, rate: f64, seconds: f64) -> Vec<f64> {
        (0..(rate * seconds) as usize)
            .map(|i| amplitude * (TAU * frequency * i as f64 / rate).sin())
            .collect()
    }

    #[test]
    fn a_sine_in_the_band_gives_its_velocity_and_others_give_nothing() {
        // 4.5 mm/s effective at 50 Hz.
        let amplitude = 4.5e-3 * 2.0_f64.sqrt() * TAU * 50.0;
        let mut wave = sine(amplitude, 50.0, 10_000.0, 2.0);
        let alone = velocity_rms_mm_s(&wave, 10_000.0).unwrap();
        assert!((alone - 4.5).abs() < 0.01, "{alone}");
        let outside = sine(3.0, 2.0, 10_000.0, 2.0)
            .into_iter()
            .zip(sine(50.0, 3_000.0, 10_000.0, 2.0));
        for (x, (slow, fast)) in wave.iter_mut().zip(outside) {
            *x += 9.81 + slow + fast;
        }
        let with_others = velocity_rms_mm_s(&wave, 10_000.0).unwrap();
        assert!((with_others - 4.5).abs() < 0.05, "{with_others}");
    }

    #[test]
    fn too_short_or_too_slow_is_not_judged() {
        assert_eq!(velocity_rms_mm_s(&[0.0; 1_000], 10_000.0), None);
        assert_eq!(velocity_rms_mm_s(&[0.0; 1_000], 20.0), None);
    }
}
