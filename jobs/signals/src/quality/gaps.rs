//! Time without readings.

use super::Stretch;
use crate::order::median;

/// The median interval between the event times of readings, in microseconds; `None` of fewer than three readings.
pub fn usual_interval_micros(times: &[i64]) -> Option<f64> {
    let mut intervals: Vec<f64> = times
        .windows(2)
        .map(|pair| (pair[1] - pair[0]) as f64)
        .filter(|interval| *interval > 0.0)
        .collect();
    (intervals.len() >= 2).then(|| median(&mut intervals))
}

/// Time without readings within a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Gaps {
    /// From the last reading before to the first after; `value` is the length in seconds. A gap that goes on at the end
    /// of the window is the last, and ends there.
    pub stretches: Vec<Stretch>,
    /// The share of the window that is covered: not within a gap.
    pub completeness: f64,
    /// Whether the last gap goes on at the end of the window.
    pub goes_on: bool,
}

/// The gaps longer than `longest_micros` between event times that reach into the window `from`..`to` (microseconds since
/// 1970). Readings before the window say when a gap began; without any the window's start does.
pub fn gaps(times: &[i64], from: i64, to: i64, longest_micros: f64) -> Gaps {
    let times = times.iter().copied().filter(|at| *at < to);
    let mut found = Vec::new();
    let mut missing = 0;
    let mut before: Option<i64> = None;
    let mut goes_on = false;
    for at in times.chain([to]) {
        let start = before.unwrap_or(from.min(at));
        let is_gap = (at - start) as f64 > longest_micros && at >= from;
        if is_gap {
            missing += at - start.max(from);
            found.push(Stretch {
                from_micros: start,
                to_micros: at,
                readings: 0,
                value: (at - start) as f64 / 1e6,
            });
        }
        goes_on = is_gap;
        before = Some(at);
    }
    Gaps {
        stretches: found,
        completeness: 1.0 - missing as f64 / (to - from).max(1) as f64,
        goes_on,
    }
}
