//! Order statistics: medians and robust deviations, which the fault to be found does not move.

/// A median absolute deviation times this is the standard deviation of a normal distribution (Hampel, "The influence
/// curve and its role in robust estimation", JASA 69, 1974).
pub const NORMAL: f64 = 1.4826;

/// The median; reorders the values. NaN of an empty slice.
pub fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return f64::NAN;
    }
    let is_odd = values.len() % 2 == 1;
    let (below, at, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let at = *at;
    if is_odd {
        return at;
    }
    let below = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // Halved first, so that two large values do not overflow.
    below / 2.0 + at / 2.0
}

/// The standard deviation of a normal distribution with the values' median absolute deviation around `centre`; leaves
/// those deviations in the slice.
pub fn robust_deviation(values: &mut [f64], centre: f64) -> f64 {
    for value in values.iter_mut() {
        *value = (*value - centre).abs();
    }
    NORMAL * median(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_deviations() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&mut [f64::MAX, f64::MAX]), f64::MAX);
        assert!(median(&mut []).is_nan());
        assert_eq!(
            robust_deviation(&mut [1.0, 2.0, 3.0, 100.0, 2.0], 2.0),
            NORMAL
        );
    }
}
