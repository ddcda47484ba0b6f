//! A waveform out of time-stamped samples, and what its values say without a spectrum.

/// Evenly spaced samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Waveform {
    /// Samples per second.
    pub rate_hz: f64,
    /// The samples, in the signal's unit.
    pub values: Vec<f64>,
    /// The first sample's instant, in microseconds since 1970.
    pub start_micros: i64,
}

/// Why samples make no waveform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum NoWaveform {
    /// Fewer samples than this in one stretch without a gap.
    TooShort(usize),
    /// Samples share their times, and these are too coarse for the rate to be derived.
    SharedTimes,
    /// The times of the longest stretch say this rate, in samples per second, and the configuration another.
    OtherRate(f64),
}

impl std::fmt::Display for NoWaveform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooShort(length) => write!(
                f,
                "{length} samples without a gap are too few: at least {SAMPLES_MIN}"
            ),
            Self::SharedTimes => f.write_str(
                "samples share times that are too coarse: sample_rate must be configured",
            ),
            Self::OtherRate(rate) => write!(
                f,
                "the times say {rate:.1} samples a second, which is not the configured sample_rate"
            ),
        }
    }
}

/// Fewer samples than this are no waveform.
pub const SAMPLES_MIN: usize = 256;

/// A step longer than this many usual ones is a gap.
const GAP: f64 = 1.5;

/// A rate that is derived from times that samples share is no further off than this.
const COARSE_MAX: f64 = 0.002;

/// Times may say a rate that differs by this share from the configured one: clocks and rounding.
const RATE_TOLERANCE: f64 = 0.05;

impl Waveform {
    /// The longest stretch without a gap (the first of equally long ones) of samples in the order of their times:
    /// (microseconds since 1970, value). The rate is `rate_hz`, or what the times of the stretch say.
    ///
    /// Samples may share a time (a device that stamps whole milliseconds).
    ///
    /// # Errors
    /// When the samples are no waveform.
    pub fn longest(samples: &[(i64, f64)], rate_hz: Option<f64>) -> Result<Self, NoWaveform> {
        let mut steps: Vec<f64> = samples
            .windows(2)
            .map(|pair| (pair[1].0 - pair[0].0) as f64)
            .filter(|step| *step > 0.0)
            .collect();
        let shares_times = 2 * steps.len() < samples.len();
        let usual = crate::order::median(&mut steps);
        let usual = rate_hz.map_or(usual, |rate| usual.max(1e6 / rate));
        let stretch = longest_stretch(samples, GAP * usual);
        if stretch.len() < SAMPLES_MIN {
            return Err(NoWaveform::TooShort(stretch.len()));
        }
        let span = (stretch[stretch.len() - 1].0 - stretch[0].0) as f64;
        let last = stretch[stretch.len() - 1].0;
        let before_last = stretch.partition_point(|(at, _)| *at < last);
        let by_times = 1e6 * before_last as f64 / span;
        let coarse = usual / span;
        if rate_hz.is_none() && shares_times && (span <= 0.0 || coarse > COARSE_MAX) {
            return Err(NoWaveform::SharedTimes);
        }
        if let Some(rate) = rate_hz
            && (by_times / rate - 1.0).abs() > RATE_TOLERANCE + coarse
        {
            return Err(NoWaveform::OtherRate(by_times));
        }
        Ok(Self {
            rate_hz: rate_hz.unwrap_or(by_times),
            values: stretch.iter().map(|(_, value)| *value).collect(),
            start_micros: stretch[0].0,
        })
    }

    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        self.values.len() as f64 / self.rate_hz
    }
}

fn longest_stretch(samples: &[(i64, f64)], gap_micros: f64) -> &[(i64, f64)] {
    let is_gap = |i: usize| (samples[i].0 - samples[i - 1].0) as f64 > gap_micros;
    let ends = (1..samples.len())
        .filter(|i| is_gap(*i))
        .chain([samples.len()]);
    let mut longest: &[(i64, f64)] = &[];
    let mut start = 0;
    for end in ends {
        if end - start > longest.len() {
            longest = &samples[start..end];
        }
        start = end;
    }
    longest
}

/// What the values say without a spectrum, around their mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Levels {
    /// Effective value, in the signal's unit.
    pub rms: f64,
    /// Fourth moment over the squared second: 3 for normal noise, 1.5 for a sine, more for shocks.
    pub kurtosis: f64,
    /// Largest absolute value over the effective one.
    pub crest_factor: f64,
}

impl Levels {
    /// Of these values. All are 0 where the values do not vary.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / count;
        let (mut second, mut fourth, mut peak) = (0.0, 0.0, 0.0_f64);
        for value in values {
            let square = (value - mean).powi(2);
            second += square;
            fourth += square * square;
            peak = peak.max(square);
        }
        let variance = second / count;
        if variance <= 0.0 {
            return Self {
                rms: 0.0,
                kurtosis: 0.0,
                crest_factor: 0.0,
            };
        }
        Self {
            rms: variance.sqrt(),
            kurtosis: fourth / count / variance.powi(2),
            crest_factor: (peak / variance).sqrt(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Samples at this rate, stamped in steps of `stamp` microseconds.
    fn samples(count: usize, rate: f64, stamp: i64) -> Vec<(i64, f64)> {
        (0..count)
            .map(|i| {
                let micros = (1e6 * i as f64 / rate) as i64;
                (micros / stamp * stamp, i as f64)
            })
            .collect()
    }

    #[test]
    fn the_rate_comes_from_the_times_or_from_the_configuration() {
        let wave = Waveform::longest(&samples(10_000, 48_828.0, 1), None).unwrap();
        assert!(
            (wave.rate_hz / 48_828.0 - 1.0).abs() < 1e-4,
            "{}",
            wave.rate_hz
        );
        assert_eq!(wave.values.len(), 10_000);
        let coarse = samples(100_000, 48_828.0, 1_000);
        let wave = Waveform::longest(&coarse, None).unwrap();
        assert!(
            (wave.rate_hz / 48_828.0 - 1.0).abs() < 1e-3,
            "{}",
            wave.rate_hz
        );
        let coarse = samples(10_000, 48_828.0, 1_000);
        assert_eq!(
            Waveform::longest(&coarse, None),
            Err(NoWaveform::SharedTimes)
        );
        let wave = Waveform::longest(&coarse, Some(48_828.0)).unwrap();
        assert_eq!((wave.rate_hz, wave.values.len()), (48_828.0, 10_000));
        assert!(matches!(
            Waveform::longest(&coarse, Some(10_000.0)),
            Err(NoWaveform::OtherRate(_))
        ));
    }

    #[test]
    fn a_gap_ends_a_stretch_and_the_longest_one_counts() {
        let mut with_gap = samples(1_000, 1_000.0, 1);
        with_gap.remove(300);
        let wave = Waveform::longest(&with_gap, None).unwrap();
        assert_eq!((wave.values.len(), wave.start_micros), (699, 301_000));
        assert_eq!(
            Waveform::longest(&samples(100, 1_000.0, 1), None),
            Err(NoWaveform::TooShort(100))
        );
        assert!(Waveform::longest(&[], None).is_err());
    }

    #[test]
    fn levels_of_a_sine_and_of_a_constant() {
        let sine: Vec<f64> = (0..1_000)
            .map(|i| 5.0 + 2.0 * (std::f64::consts::TAU * f64::from(i) / 100.0).sin())
            .collect();
        let levels = Levels::of(&sine);
        assert!((levels.rms - 2.0_f64.sqrt()).abs() < 1e-9);
        assert!((levels.kurtosis - 1.5).abs() < 1e-9);
        assert!((levels.crest_factor - 2.0_f64.sqrt()).abs() < 1e-9);
        assert_eq!(Levels::of(&[4.0; 10]).kurtosis, 0.0);
    }
}
