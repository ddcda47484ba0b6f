//! How far a positive quantity has left its own past.

use crate::order::{median, robust_deviation};

/// The distance of `now` from the median of the past, in robust deviations of the past's logarithms, so that a doubling
/// weighs the same from any level. The deviation is at least `ln(1 + floor)`, so that a machine that hardly varies does
/// not warn of a `floor` (a share) more.
///
/// `None` where fewer than `least` values of the past are positive, or `now` is not.
pub fn trend(past: &[f64], now: f64, floor: f64, least: usize) -> Option<f64> {
    let mut logs: Vec<f64> = past
        .iter()
        .filter(|value| **value > 0.0 && value.is_finite())
        .map(|value| value.ln())
        .collect();
    if logs.len() < least.max(2) || now.is_nan() || now <= 0.0 {
        return None;
    }
    let centre = median(&mut logs);
    let deviation = robust_deviation(&mut logs, centre).max(floor.max(f64::EPSILON).ln_1p());
    Some((now.ln() - centre) / deviation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubling_shows_from_any_level_and_the_past_is_needed() {
        let past = [1.0, 1.1, 0.9, 1.05, 0.95, 1.0];
        let tenfold = past.map(|value| 10.0 * value);
        let of = |past: &[f64], now| trend(past, now, 0.05, 5).unwrap();
        assert!(of(&past, 2.0) > 7.0);
        assert!((of(&past, 2.0) - of(&tenfold, 20.0)).abs() < 1e-9);
        assert!(of(&past, 1.0).abs() < 0.2 && of(&past, 0.5) < -7.0);
        assert!(of(&[1.0; 6], 1.04) < 1.0, "the floor holds");
        assert_eq!(trend(&past[..4], 2.0, 0.05, 5), None);
        assert_eq!(trend(&past, 0.0, 0.05, 5), None);
    }
}
