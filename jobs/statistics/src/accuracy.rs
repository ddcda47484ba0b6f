//! How wrong forecasts were (Hyndman and Athanasopoulos, "Forecasting: Principles and Practice", 3rd ed., 5.8 and 5.9).
//!
//! Truths and forecasts stand in pairs. Every measure is `None` where there is nothing to measure.

/// A truth and what was forecast for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// What came.
    pub truth: f64,
    /// What was forecast.
    pub forecast: f64,
}

/// The mean of numbers.
pub fn mean(numbers: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sum = 0.0;
    let mut count = 0_u32;
    for number in numbers {
        sum += number;
        count += 1;
    }
    (count > 0).then(|| sum / f64::from(count))
}

/// The mean absolute error, in the unit of the truths.
pub fn mae(pairs: &[Pair]) -> Option<f64> {
    mean(pairs.iter().map(|pair| (pair.truth - pair.forecast).abs()))
}

/// The root of the mean squared error, in the unit of the truths.
pub fn rmse(pairs: &[Pair]) -> Option<f64> {
    let squares = pairs
        .iter()
        .map(|pair| (pair.truth - pair.forecast).powi(2));
    mean(squares).map(f64::sqrt)
}

/// The mean absolute error as a share of each truth; truths of zero are left out. Of no use where truths change sign.
pub fn mape(pairs: &[Pair]) -> Option<f64> {
    let with_share = pairs.iter().filter(|pair| pair.truth != 0.0);
    mean(with_share.map(|pair| ((pair.truth - pair.forecast) / pair.truth).abs()))
}

/// The share by which an error is less than a baseline's: 1 is perfect, 0 as good, negative worse.
pub fn skill(error: f64, baseline: f64) -> Option<f64> {
    (baseline > 0.0).then(|| 1.0 - error / baseline)
}

/// The pinball loss of a forecast of this quantile (Koenker and Bassett, "Regression Quantiles", Econometrica 46, 1978).
pub fn pinball(pair: Pair, quantile: f64) -> f64 {
    let over = pair.truth - pair.forecast;
    (quantile * over).max((quantile - 1.0) * over)
}

/// The share of truths within bounds: (truth, low, high).
pub fn coverage(bounds: impl IntoIterator<Item = (f64, f64, f64)>) -> Option<f64> {
    mean(
        bounds
            .into_iter()
            .map(|(truth, low, high)| f64::from(u8::from((low..=high).contains(&truth)))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_measured() {
        let pair = |truth, forecast| Pair { truth, forecast };
        let pairs = [pair(10.0, 13.0), pair(-4.0, -8.0), pair(0.0, 0.0)];
        assert_eq!(mae(&pairs), Some(7.0 / 3.0));
        assert_eq!(rmse(&pairs), Some((25.0_f64 / 3.0).sqrt()));
        assert_eq!(mape(&pairs), Some(0.65), "truths of zero have no share");
        assert_eq!((mae(&[]), rmse(&[]), mape(&pairs[2..])), (None, None, None));
        assert_eq!(
            (skill(1.0, 4.0), skill(6.0, 4.0), skill(1.0, 0.0)),
            (Some(0.75), Some(-0.5), None)
        );
        assert_eq!(
            (
                pinball(pair(10.0, 8.0), 0.9),
                pinball(pair(8.0, 10.0), 0.75)
            ),
            (1.8, 0.5)
        );
        assert_eq!(coverage([(1.0, 0.0, 1.0), (2.0, 0.0, 1.0)]), Some(0.5));
    }
}
