//! A level that creeps in one direction.

use crate::order::{NORMAL, median};

/// Fewer levels than this show no drift.
const LEVELS_MIN: usize = 7;

/// The share of pairs of levels that must have moved in the drift's direction.
const AGREEING: f64 = 0.85;

/// A slow change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drift {
    /// Change over the whole time, in the signal's unit.
    pub change: f64,
    /// The change in robust deviations of what the slope does not explain.
    pub deviations: f64,
}

/// The drift of evenly spaced levels (such as a median for each day), if it changes the level by more than `limit` robust
/// deviations. The slope is Theil and Sen's (P. K. Sen, JASA 63, 1968): the median of the slopes of all pairs; pairs
/// must agree in their direction (Mann's and Kendall's statistic), so that a single step is no drift.
pub fn drift(levels: &[f64], limit: f64) -> Option<Drift> {
    if levels.len() < LEVELS_MIN {
        return None;
    }
    let mut slopes = Vec::new();
    for (i, first) in levels.iter().enumerate() {
        for (j, second) in levels.iter().enumerate().skip(i + 1) {
            slopes.push((second - first) / (j - i) as f64);
        }
    }
    let slope = median(&mut slopes.clone());
    let agreeing = slopes
        .iter()
        .filter(|other| other.signum() == slope.signum() && **other != 0.0)
        .count();
    let mut rest: Vec<f64> = levels
        .iter()
        .enumerate()
        .map(|(i, level)| level - slope * i as f64)
        .collect();
    let centre = median(&mut rest);
    let mut distances: Vec<f64> = rest.iter().map(|rest| (rest - centre).abs()).collect();
    let change = slope * (levels.len() - 1) as f64;
    let deviation = NORMAL * median(&mut distances);
    let deviations = change / deviation.max(f64::MIN_POSITIVE);
    let is_drift = agreeing as f64 >= AGREEING * slopes.len() as f64 && deviations.abs() > limit;
    (is_drift && change != 0.0 && !is_step(levels)).then_some(Drift { change, deviations })
}

/// Whether most of the change lies between two neighbouring levels.
fn is_step(levels: &[f64]) -> bool {
    let steps: Vec<f64> = levels.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let total: f64 = steps.iter().sum::<f64>().abs();
    steps.iter().any(|step| step.abs() > total / 2.0)
}
