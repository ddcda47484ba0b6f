//! What is new in each row: a tag's value less what its own past predicts, and the smoothed mean of that.
//!
//! A chart of autocorrelated values warns of nothing; a chart of the residuals of an autoregression does not (Alwan and
//! Roberts, "Time-Series Modeling for Statistical Process Control", JBES 6, 1988). A tag that always drifts is predicted by
//! its past and adds little; a tag that rests and then moves adds much.
//!
//! A tag whose training holds only a few of its own correlation times shows no level that it would come back to. Its
//! differences are charted then, as those of a random walk are: it is judged by how it moves, not by where it is.

use crate::{Cholesky, Matrix};

/// The penalty on coefficients, as a share of the variance: keeps the fit sound for constant stretches.
const RIDGE: f64 = 1e-5;

/// Training of fewer correlation times than this holds no level of a tag.
const SPANS_MIN: f64 = 20.0;

/// One tag as it was in training: z(t) = (x(t) − mean) / deviation, predicted by Σ cᵢ · z(t − 1 − i), where cᵢ are its coefficients.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Autoregression {
    pub(super) mean: f64,
    pub(super) deviation: f64,
    coefficients: Vec<f64>,
    /// The standard deviation of what is new.
    scale: f64,
}

crate::stored::stored_fields!(Autoregression {
    mean,
    deviation,
    coefficients,
    scale,
});

impl Autoregression {
    /// Fits the values of one tag in the order of time; NaN is missing. `None` where it does not vary or too little is known.
    pub(super) fn fit(values: &[f64], order: usize) -> Option<Self> {
        let known: Vec<f64> = values.iter().copied().filter(|x| x.is_finite()).collect();
        let count = known.len() as f64;
        let mean = known.iter().sum::<f64>() / count;
        let variance = known.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let deviation = variance.sqrt();
        let varies = deviation > 1e-9 * mean.abs() && deviation > 0.0 && deviation.is_finite();
        if known.len() < 4 * (order + 1) || !varies {
            return None;
        }
        let z: Vec<f64> = values.iter().map(|x| (x - mean) / deviation).collect();
        let mut fitted = Self {
            mean,
            deviation,
            coefficients: coefficients(&z, order)?,
            scale: 1.0,
        };
        let news: Vec<f64> = z
            .windows(order + 1)
            .filter(|window| window.iter().all(|x| x.is_finite()))
            .map(|window| fitted.news(window[order], window[..order].iter().rev()))
            .collect();
        let squares: f64 = news.iter().map(|e| e * e).sum();
        fitted.scale = (squares / news.len().max(1) as f64).sqrt();
        (fitted.scale > 1e-9).then_some(fitted)
    }

    /// What is new in z, given the values before it, the newest first; in standard deviations.
    fn news<'a>(&self, z: f64, before: impl Iterator<Item = &'a f64>) -> f64 {
        let predicted: f64 = self
            .coefficients
            .iter()
            .zip(before)
            .map(|(b, z)| b * z)
            .sum();
        (z - predicted) / self.scale
    }
}

/// The coefficients of a tag that has a level, or of one that walks.
fn coefficients(z: &[f64], order: usize) -> Option<Vec<f64>> {
    let of_level = least_squares(z, order)?;
    let rows = z.iter().filter(|x| x.is_finite()).count() as f64;
    let sum: f64 = of_level.iter().sum();
    if order < 2 || rows * (1.0 - sum) >= SPANS_MIN {
        return Some(of_level);
    }
    let steps: Vec<f64> = z.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let of_steps = least_squares(&steps, order - 1)?;
    // z(t) = z(t−1) + Σ b(i)·(z(t−i) − z(t−i−1)), written by the values themselves.
    let mut coefficients = vec![0.0; order];
    coefficients[0] = 1.0;
    for (i, b) in of_steps.iter().enumerate() {
        coefficients[i] += b;
        coefficients[i + 1] -= b;
    }
    Some(coefficients)
}

/// Least squares of z on its own past, with a small penalty.
fn least_squares(z: &[f64], order: usize) -> Option<Vec<f64>> {
    let mut products = Matrix::zeros(order, order);
    let mut with_next = vec![0.0; order];
    for window in z.windows(order + 1) {
        if window.iter().any(|x| !x.is_finite()) {
            continue;
        }
        for (i, with_next) in with_next.iter_mut().enumerate() {
            let before = window[order - 1 - i];
            *with_next += before * window[order];
            for (j, product) in products.row_mut(i).iter_mut().enumerate() {
                *product += before * window[order - 1 - j];
            }
        }
    }
    for i in 0..order {
        products.row_mut(i)[i] *= 1.0 + RIDGE;
    }
    Some(Cholesky::new(products)?.solve(&with_next))
}

/// The running state of one tag.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TagFilter {
    /// The last z, the newest first; what is missing stands as it was last.
    before: Vec<f64>,
    /// So many rows to come are not judged: the past behind them has a hole.
    unknown: usize,
    /// The smoothed mean of what is new.
    pub(super) level: f64,
    /// Whether the newest value and its past are known.
    pub(super) judged: bool,
}

impl TagFilter {
    pub(super) fn new(order: usize) -> Self {
        Self {
            before: vec![0.0; order],
            unknown: order,
            level: 0.0,
            judged: false,
        }
    }

    /// Takes the next value. What cannot be judged counts as nothing new.
    pub(super) fn push(&mut self, model: &Autoregression, value: f64, weight: f64) {
        let known = value.is_finite();
        let newest = self.before.first().copied().unwrap_or(0.0);
        let z = if known {
            (value - model.mean) / model.deviation
        } else {
            newest
        };
        self.judged = known && self.unknown == 0;
        let news = if self.judged {
            model.news(z, self.before.iter())
        } else {
            0.0
        };
        self.unknown = if known {
            self.unknown.saturating_sub(1)
        } else {
            self.before.len()
        };
        self.level += weight * (news - self.level);
        self.before.rotate_right(1);
        if let Some(first) = self.before.first_mut() {
            *first = z;
        }
    }
}
