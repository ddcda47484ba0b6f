//! A device's clock beside the gateway's.

use super::Observation;
use crate::order::{median, robust_deviation};

/// What is wrong with a clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClockError {
    /// It is ahead by this many seconds at most: readings say a time that had not come yet.
    Ahead(f64),
    /// It is behind by this many seconds, always by the same: a time zone, or a clock that was never set.
    Behind(f64),
}

/// Fewer readings than this say nothing of a constant lag.
const READINGS_MIN: usize = 12;

/// A lag that varies by more than this share of how the event times vary comes from buffering or an import and not from
/// a clock: what arrives all at once is the later the older it is.
const STEADY: f64 = 0.1;

/// What is wrong with the clock by more than `tolerance_micros`, if anything.
///
/// Readings that were buffered or imported come late, each by another time; a clock that is behind makes all equally late.
pub fn clock_error(readings: &[Observation], tolerance_micros: i64) -> Option<ClockError> {
    let mut lags: Vec<f64> = readings
        .iter()
        .map(|reading| (reading.observed_micros - reading.event_micros) as f64)
        .collect();
    let tolerance = tolerance_micros as f64;
    let least = lags.iter().copied().fold(f64::INFINITY, f64::min);
    if -least > tolerance && least.is_finite() {
        return Some(ClockError::Ahead(-least / 1e6));
    }
    if lags.len() < READINGS_MIN {
        return None;
    }
    let lag = median(&mut lags);
    let spread = robust_deviation(&mut lags, lag);
    let mut times: Vec<f64> = readings
        .iter()
        .map(|reading| reading.event_micros as f64)
        .collect();
    let middle = median(&mut times);
    let spread_of_times = robust_deviation(&mut times, middle);
    let is_steady = spread < STEADY * spread_of_times;
    (lag > tolerance && is_steady).then_some(ClockError::Behind(lag / 1e6))
}
