//! A multivariate control chart: Hotelling's T² of the principal components that carry the tags' common variation, the
//! residual Q (squared prediction error) of the others, and the largest single tag, each against a limit that its own
//! training distribution gives (Jackson and Mudholkar, "Control Procedures for Residuals Associated With Principal
//! Component Analysis", Technometrics 21, 1979).
//!
//! What is charted is not the values but the exponentially smoothed mean of what is new in them, which an autoregression
//! of each tag leaves. The limit of each statistic is its training distribution carried on beyond its largest tenth, which
//! is taken to fall exponentially (Pickands, Annals of Statistics 3, 1975), to one row in [`Settings::rows_per_alarm`].
//! Once beyond a limit, a device is anomalous until it has come back to [`Settings::release`] of it.
//!
//! Rows count, not the time between them. A tag that did not vary in training takes no part. A tag that is missing stands
//! where the others predict it (its conditional mean, as in Nelson, Taylor and MacGregor, "Missing Data Methods in PCA and
//! PLS", Chemometrics 35, 1996), so that it makes no score.

mod kept;
mod whitening;

use thiserror::Error;
use whitening::{Autoregression, TagFilter};

use crate::{Eigen, Matrix};

/// Rounds over the missing tags of a row; each brings them nearer to where the others predict them.
const FILL_SWEEPS: usize = 8;

/// How the chart is made. The defaults were chosen on half of the files of a public rig and checked on the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// How many past values predict the next one.
    pub order: usize,
    /// Over how many rows is smoothed: a row weighs 2 / (this + 1).
    pub smoothing: usize,
    /// The share of the variance that the components of T² carry.
    pub variance_share: f64,
    /// The correlations of tags are drawn towards none by this share.
    pub shrinkage: f64,
    /// One row in so many of the training distribution would lie beyond a limit.
    pub rows_per_alarm: f64,
    /// The share of the limit, as a distance, below which an anomaly has ended.
    pub release: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            order: 5,
            smoothing: 15,
            variance_share: 0.8,
            shrinkage: 0.1,
            rows_per_alarm: 1e7,
            release: 0.5_f64.sqrt(),
        }
    }
}

impl Settings {
    /// The fewest rows that a chart is trained on.
    pub fn rows_min(&self) -> usize {
        self.warm_up() + 80
    }

    /// Rows whose smoothed level still hangs on where it began.
    fn warm_up(&self) -> usize {
        self.order + self.smoothing
    }

    /// Rows before the first judged one after which the level no longer hangs on where it began.
    pub fn memory(&self) -> usize {
        self.order + 20 * self.smoothing
    }
}

/// Why there is no chart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ChartError {
    /// Too few rows.
    #[error("{rows} rows to train on, at least {rows_min} are needed")]
    TooFewRows {
        /// How many there are.
        rows: usize,
        /// How many there must be.
        rows_min: usize,
    },
    /// No tag varies in training.
    #[error("no tag varies in training")]
    Constant,
}

/// What was farthest beyond, or nearest to, its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistic {
    /// Hotelling's T² of the leading components.
    Common,
    /// Q, the squared residual beside them.
    Residual,
    /// The largest single tag.
    Single,
}

/// What a row shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The distance from what training knew, in limits: beyond 1 the row is anomalous.
    pub score: f64,
    /// Whether the device is, with hysteresis.
    pub anomalous: bool,
    /// Which statistic gave the score.
    pub statistic: Statistic,
    /// The share of each column in the statistic, 0 to 1, 1 in sum.
    pub shares: Vec<f64>,
}

/// A trained chart of rows of tags.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    settings: Settings,
    columns: usize,
    /// The columns that vary, with their autoregressions.
    tags: Vec<(usize, Autoregression)>,
    level_means: Vec<f64>,
    level_deviations: Vec<f64>,
    components: Eigen,
    leading: usize,
    /// The inverse of the tags' correlations.
    precision: Matrix,
    limits: Limits,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Limits {
    common: f64,
    residual: f64,
    single: f64,
}

/// The three statistics of a row, and the standardised levels that they are made of.
struct Statistics {
    common: f64,
    residual: f64,
    single: f64,
    levels: Vec<f64>,
    projections: Vec<f64>,
}

impl Chart {
    /// Trains on rows in the order of time; NaN is missing.
    ///
    /// # Errors
    /// [`ChartError`] where rows are too few or nothing varies.
    pub fn fit(rows: &Matrix, settings: Settings) -> Result<Self, ChartError> {
        let rows_min = settings.rows_min();
        if rows.rows() < rows_min {
            let rows = rows.rows();
            return Err(ChartError::TooFewRows { rows, rows_min });
        }
        let fitted = |column: usize| {
            let values: Vec<f64> = rows.iter().map(|row| row[column]).collect();
            Autoregression::fit(&values, settings.order).map(|model| (column, model))
        };
        let tags: Vec<(usize, Autoregression)> = (0..rows.columns()).filter_map(fitted).collect();
        let mut chart = Self {
            settings,
            columns: rows.columns(),
            level_means: vec![0.0; tags.len()],
            level_deviations: vec![1.0; tags.len()],
            components: Eigen::new(Matrix::zeros(0, 0)),
            leading: 0,
            precision: Matrix::zeros(0, 0),
            limits: Limits {
                common: 1.0,
                residual: 1.0,
                single: 1.0,
            },
            tags,
        };
        if chart.tags.is_empty() {
            return Err(ChartError::Constant);
        }
        let levels = chart.training_levels(rows);
        chart.standardise(&levels);
        chart.choose_components(&levels);
        chart.choose_limits(&levels);
        Ok(chart)
    }

    /// The columns that take part.
    pub fn used(&self) -> impl Iterator<Item = usize> {
        self.tags.iter().map(|(column, _)| *column)
    }

    /// A fresh run over rows: the first of them only warm it up.
    pub fn monitor(&self) -> Monitor<'_> {
        Monitor {
            chart: self,
            filters: vec![TagFilter::new(self.settings.order); self.tags.len()],
            anomalous: false,
        }
    }

    fn training_levels(&self, rows: &Matrix) -> Matrix {
        let mut monitor = self.monitor();
        let mut levels = Matrix::new(self.tags.len());
        for (i, row) in rows.iter().enumerate() {
            let level = monitor.levels(row);
            if i >= self.settings.warm_up() {
                levels.push(&level);
            }
        }
        levels
    }

    fn standardise(&mut self, levels: &Matrix) {
        let count = levels.rows() as f64;
        for column in 0..self.tags.len() {
            let mean = levels.iter().map(|row| row[column]).sum::<f64>() / count;
            let squares = levels.iter().map(|row| (row[column] - mean).powi(2));
            let variance = squares.sum::<f64>() / count;
            self.level_means[column] = mean;
            // A tag that was new only while warming up has no spread of its own.
            self.level_deviations[column] = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        }
    }

    fn choose_components(&mut self, levels: &Matrix) {
        let n = self.tags.len();
        let mut correlations = Matrix::zeros(n, n);
        for row in levels.iter() {
            let standard = self.standard(row);
            for (i, a) in standard.iter().enumerate() {
                let entries = correlations.row_mut(i).iter_mut();
                entries
                    .zip(&standard)
                    .for_each(|(entry, b)| *entry += a * b);
            }
        }
        let share = (1.0 - self.settings.shrinkage) / levels.rows() as f64;
        for i in 0..n {
            let row = correlations.row_mut(i);
            row.iter_mut().for_each(|entry| *entry *= share);
            row[i] += self.settings.shrinkage;
        }
        self.components = Eigen::new(correlations);
        let total: f64 = self.components.values.iter().sum();
        let mut carried = 0.0;
        self.leading = 0;
        while self.leading < n && carried < self.settings.variance_share * total {
            carried += self.components.values[self.leading];
            self.leading += 1;
        }
        self.precision = self.components.inverse();
    }

    fn choose_limits(&mut self, levels: &Matrix) {
        let all: Vec<Statistics> = levels
            .iter()
            .map(|row| self.statistics(self.standard(row)))
            .collect();
        let limit = |of: fn(&Statistics) -> f64| {
            let values: Vec<f64> = all.iter().map(of).collect();
            tail_quantile(values, 1.0 / self.settings.rows_per_alarm)
        };
        self.limits = Limits {
            common: limit(|s| s.common),
            residual: limit(|s| s.residual),
            single: limit(|s| s.single),
        };
    }

    fn standard(&self, levels: &[f64]) -> Vec<f64> {
        let spreads = self.level_means.iter().zip(&self.level_deviations);
        let standard = levels.iter().zip(spreads);
        standard
            .map(|(x, (mean, deviation))| (x - mean) / deviation)
            .collect()
    }

    /// The standardised levels, those of `missing` tags where the others predict them (Gauss and Seidel's iteration).
    fn complete(&self, levels: &[f64], missing: &[usize]) -> Vec<f64> {
        let mut standard = self.standard(levels);
        missing.iter().for_each(|tag| standard[*tag] = 0.0);
        for _ in 0..FILL_SWEEPS {
            for tag in missing {
                let row = self.precision.row(*tag);
                let all: f64 = row.iter().zip(&standard).map(|(p, x)| p * x).sum();
                standard[*tag] -= all / row[*tag];
            }
        }
        standard
    }

    fn statistics(&self, levels: Vec<f64>) -> Statistics {
        let project = |k: usize| {
            let vector = self.components.vectors.row(k);
            vector.iter().zip(&levels).map(|(v, x)| v * x).sum::<f64>()
        };
        let projections: Vec<f64> = (0..levels.len()).map(project).collect();
        let (leading, rest) = projections.split_at(self.leading);
        let values = self.components.values.iter();
        Statistics {
            common: leading
                .iter()
                .zip(values)
                .map(|(p, value)| p * p / value)
                .sum(),
            residual: rest.iter().map(|p| p * p).sum(),
            single: levels.iter().map(|x| x * x).fold(0.0, f64::max),
            levels,
            projections,
        }
    }

    /// The part of each used tag in a statistic; parts sum to it.
    fn parts(&self, statistic: Statistic, of: &Statistics) -> Vec<f64> {
        let vectors = &self.components.vectors;
        let along = |tag: usize, k: usize| vectors.row(k)[tag] * of.projections[k];
        let leading = 0..self.leading;
        let part = |tag: usize| match statistic {
            Statistic::Common => {
                let values = &self.components.values;
                let weighted = leading.clone().map(|k| along(tag, k) / values[k]);
                of.levels[tag] * weighted.sum::<f64>()
            }
            Statistic::Residual => {
                let rest = self.leading..of.projections.len();
                rest.map(|k| along(tag, k)).sum::<f64>().powi(2)
            }
            Statistic::Single => of.levels[tag] * of.levels[tag],
        };
        (0..of.levels.len()).map(part).collect()
    }

    /// Shares by column of the rows; parts below zero count as none.
    fn shares(&self, statistic: Statistic, of: &Statistics) -> Vec<f64> {
        let parts: Vec<f64> = self
            .parts(statistic, of)
            .iter()
            .map(|x| x.max(0.0))
            .collect();
        let total: f64 = parts.iter().sum();
        let mut shares = vec![0.0; self.columns];
        if total > 0.0 {
            for ((column, _), part) in self.tags.iter().zip(parts) {
                shares[*column] = part / total;
            }
        }
        shares
    }
}

/// A chart at work: rows go in, in the order of time, judgements come out.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor<'a> {
    chart: &'a Chart,
    filters: Vec<TagFilter>,
    anomalous: bool,
}

impl Monitor<'_> {
    /// Judges the next row; NaN is missing and counts as nothing new.
    pub fn push(&mut self, row: &[f64]) -> Judgement {
        let levels = self.levels(row);
        let missing: Vec<usize> = (0..levels.len())
            .filter(|i| !self.filters[*i].judged)
            .collect();
        let levels = self.chart.complete(&levels, &missing);
        for tag in missing {
            // It goes on from there when it comes back.
            let deviation = self.chart.level_deviations[tag];
            self.filters[tag].level = self.chart.level_means[tag] + deviation * levels[tag];
        }
        let of = self.chart.statistics(levels);
        let limits = self.chart.limits;
        let mut score: f64 = 0.0;
        let mut statistic = Statistic::Common;
        for (name, value, limit) in [
            (Statistic::Common, of.common, limits.common),
            (Statistic::Residual, of.residual, limits.residual),
            (Statistic::Single, of.single, limits.single),
        ] {
            let distance = (value / limit).sqrt();
            if distance > score {
                score = distance;
                statistic = name;
            }
        }
        let limit = if self.anomalous {
            self.chart.settings.release
        } else {
            1.0
        };
        self.anomalous = score > limit;
        Judgement {
            score,
            anomalous: self.anomalous,
            statistic,
            shares: self.chart.shares(statistic, &of),
        }
    }

    fn levels(&mut self, row: &[f64]) -> Vec<f64> {
        let weight = 2.0 / (self.chart.settings.smoothing as f64 + 1.0);
        for (filter, (column, model)) in self.filters.iter_mut().zip(&self.chart.tags) {
            let value = row.get(*column).copied().unwrap_or(f64::NAN);
            filter.push(model, value, weight);
        }
        self.filters.iter().map(|filter| filter.level).collect()
    }
}

/// The value that one in 1 / `rate` would exceed: the ninth decile, and beyond it an exponential tail.
fn tail_quantile(mut values: Vec<f64>, rate: f64) -> f64 {
    const TAIL: f64 = 0.1;
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * (1.0 - TAIL)) as usize).min(values.len().saturating_sub(1));
    let Some(decile) = values.get(at).copied() else {
        return f64::INFINITY;
    };
    let beyond = &values[at + 1..];
    let excess: f64 = beyond.iter().map(|value| value - decile).sum();
    let mean_excess = excess / beyond.len().max(1) as f64;
    // A statistic that is constant in training, such as the residual of no component, is never exceeded.
    if mean_excess > 0.0 {
        decile + mean_excess * (TAIL / rate).ln()
    } else {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests;
