//! Remaining useful life from runs to failure: a health index by ridge regression, the course of the index and of each tag
//! up to now, boosted trees (blended with a ridge where that is better) over them, and conformal bounds by unit.
//!
//! The target is capped, as is usual for turbofans (Heimes, "Recurrent Neural Networks for Remaining Useful Life
//! Estimation", PHM 2008): a sound unit shows no wear from which a longer life could be read. How wrong the model is comes
//! from cross-validation in which whole units are left out; what it measures is never of a unit that the model has seen.
//! Bounds are those errors' conformal quantile, in units of the error that is usual at that prediction (Lei et al., JASA 113,
//! 2018, 5.2), where each unit weighs the same whatever its length (Dunn, Wasserman and Ramdas, "Distribution-Free
//! Prediction Sets for Two-Layer Hierarchical Models", JASA 118, 2023).
//!
//! Rows count, not the time between them: a row is one unit of life.

mod bounds;
mod features;
mod kept;

use crate::{
    BoostedTrees, Boosting, FitError, Gram, Matrix, Regressor, RidgeModel, boosting::SplitMix,
};

use bounds::Bounds;
pub use features::Age;
use features::Course;

/// The penalties of a ridge that are tried.
const LAMBDAS: [f64; 4] = [1e-4, 1e-3, 1e-2, 1e-1];

/// The shares of the ridge in the blend that are tried.
const RIDGE_SHARES: [f64; 5] = [0.0, 0.1, 0.25, 0.5, 1.0];

/// The settings of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// A longer remaining life counts as this, in rows.
    pub cap: f64,
    /// Whether the rows since a unit's first are a feature.
    pub age: Age,
    /// The share of lives that bounds hold.
    pub level: f64,
    /// In how many parts units are left out.
    pub folds: usize,
    /// The most rows that are fitted on; of more, every second, third, … is taken.
    pub rows_max: usize,
    /// The trees.
    pub boosting: Boosting,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cap: 125.0,
            age: Age::Known,
            level: 0.9,
            folds: 5,
            rows_max: 8000,
            boosting: Boosting {
                trees: 250,
                learning_rate: 0.05,
                leaves_max: 12,
                leaf_rows_min: 25,
                l2: 5.0,
                row_share: 0.7,
                column_share: 0.4,
                bins_max: 64,
                seed: 1,
            },
        }
    }
}

/// What is left of a unit's life.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Life {
    /// Rows after its last one, 0 to the cap.
    pub value: f64,
    /// Lower and upper bound; `None` where too few units have failed for this level.
    pub bounds: Option<(f64, f64)>,
}

/// How well lives were predicted of units that were left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Root of the mean squared error, in rows.
    pub rmse: f64,
    /// The same of the mean life of the other units less the unit's age, within 0 and the cap.
    pub baseline_rmse: f64,
    /// The share of true lives within bounds that other units gave.
    pub coverage: Option<f64>,
    /// How many predictions.
    pub count: usize,
}

/// Cross-validation over units.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// At every row that a fit would take.
    pub all_rows: Measured,
    /// At one row of each unit, drawn evenly among its rows: what a fleet in service looks like.
    pub one_row: Measured,
    /// At rows whose true life is below the cap.
    pub worn: Measured,
    /// The errors of each unit while it was left out, in the order in which units were given.
    pub by_unit: Vec<UnitErrors>,
    /// Every so many rows of a unit were judged.
    pub stride: usize,
}

/// The errors of one unit.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct UnitErrors {
    /// The sum of their squares.
    pub squares: f64,
    /// How many there are.
    pub count: usize,
}

/// A fitted model.
#[derive(Debug, Clone, PartialEq)]
pub struct LifeModel {
    part: Part,
    ridge_share: f64,
    bounds: Bounds,
    settings: Settings,
}

/// One prediction of a unit that was left out.
#[derive(Debug, Clone, Copy)]
struct Judged {
    unit: usize,
    fold: usize,
    row: usize,
    truth: f64,
    trees: f64,
    ridge: f64,
    baseline: f64,
}

impl Judged {
    fn value(&self, ridge_share: f64, cap: f64) -> f64 {
        blend(self.trees, self.ridge, ridge_share, cap)
    }
}

fn blend(trees: f64, ridge: f64, ridge_share: f64, cap: f64) -> f64 {
    (trees + ridge_share * (ridge - trees)).clamp(0.0, cap)
}

impl LifeModel {
    /// Fits units that ran to failure: the rows of each, oldest first; the last row is the failure. All numbers are finite.
    ///
    /// # Errors
    /// [`FitError`] where there are fewer than two units, or a number is not finite.
    pub fn fit(units: &[Matrix], settings: Settings) -> Result<(Self, Validation), FitError> {
        if units.len() < 2 {
            return Err(FitError::Empty);
        }
        let folds = folds(units.len(), settings.folds, settings.boosting.seed);
        let total: usize = units.iter().map(Matrix::rows).sum();
        let stride = total.div_ceil(settings.rows_max.max(1)).max(1);
        let judged = left_out(units, &folds, stride, &settings)?;
        let ridge_share = best_share(&judged, settings.cap);
        let validation = validate(units, &judged, ridge_share, stride, &settings);
        let all: Vec<&Matrix> = units.iter().collect();
        let model = Self {
            part: Part::fit(&all, stride, &settings)?,
            ridge_share,
            bounds: Bounds::new(&errors(judged.iter(), ridge_share, settings.cap)),
            settings,
        };
        Ok((model, validation))
    }

    /// What is left of a unit with these rows; `None` of one without rows.
    pub fn predict(&self, rows: &Matrix) -> Option<Life> {
        let features = self.part.last_features(rows, self.settings.age)?;
        let value = blend(
            self.part.trees.predict(&features),
            self.part.ridge.predict(&features),
            self.ridge_share,
            self.settings.cap,
        );
        let margin = self.bounds.margin(value, self.settings.level);
        let within = |x: f64| x.clamp(0.0, self.settings.cap);
        Some(Life {
            value,
            bounds: margin.map(|margin| (within(value - margin), within(value + margin))),
        })
    }
}

/// The parts of a model that are fitted on rows.
#[derive(Debug, Clone, PartialEq)]
struct Part {
    index: RidgeModel,
    trees: BoostedTrees,
    ridge: RidgeModel,
}

impl Part {
    fn fit(units: &[&Matrix], stride: usize, settings: &Settings) -> Result<Self, FitError> {
        let columns = units.first().map_or(0, |unit| unit.columns());
        let mut raw = Matrix::new(columns);
        let mut targets = Vec::new();
        for unit in units {
            for (i, row) in unit.iter().enumerate().step_by(stride) {
                raw.push(row);
                targets.push(life_at(unit, i, settings.cap));
            }
        }
        let index = Gram::new(&raw, &targets, &[], &[])?.choose(&LAMBDAS)?;
        let mut rows = Matrix::new(features::count(columns, settings.age));
        for unit in units {
            let mut course = Course::new(columns, settings.age);
            for (i, row) in unit.iter().enumerate() {
                let features = course.push(row, index.predict(row));
                if i.is_multiple_of(stride) {
                    rows.push(&features);
                }
            }
        }
        Ok(Self {
            trees: settings.boosting.fit(&rows, &targets, &[])?,
            ridge: Gram::new(&rows, &targets, &[], &[])?.choose(&LAMBDAS)?,
            index,
        })
    }

    fn last_features(&self, rows: &Matrix, age: Age) -> Option<Vec<f64>> {
        let mut course = Course::new(rows.columns(), age);
        let features = rows
            .iter()
            .map(|row| course.push(row, self.index.predict(row)));
        features.last()
    }
}

/// Rows after row `i` up to the last one.
fn life_at(unit: &Matrix, i: usize, cap: f64) -> f64 {
    ((unit.rows() - 1 - i) as f64).min(cap)
}

/// The fold of each unit, drawn evenly.
fn folds(units: usize, folds: usize, seed: u64) -> Vec<usize> {
    let folds = folds.clamp(2, units.max(2));
    let mut draw = SplitMix(seed);
    let mut order: Vec<usize> = (0..units).collect();
    for i in (1..units).rev() {
        let other = (draw.unit() * (i + 1) as f64) as usize;
        order.swap(i, other);
    }
    let mut fold_of = vec![0; units];
    for (place, unit) in order.into_iter().enumerate() {
        fold_of[unit] = place % folds;
    }
    fold_of
}

/// Predictions of every unit by models that have not seen it.
fn left_out(
    units: &[Matrix],
    fold_of: &[usize],
    stride: usize,
    settings: &Settings,
) -> Result<Vec<Judged>, FitError> {
    let folds = fold_of.iter().copied().max().unwrap_or(0) + 1;
    let mut judged = Vec::new();
    for fold in 0..folds {
        let seen = (0..units.len()).filter(|unit| fold_of[*unit] != fold);
        let seen: Vec<&Matrix> = seen.map(|unit| &units[unit]).collect();
        let part = Part::fit(&seen, stride, settings)?;
        let rows: usize = seen.iter().map(|unit| unit.rows()).sum();
        let mean_life = (rows as f64 / seen.len().max(1) as f64) - 1.0;
        for unit in (0..units.len()).filter(|unit| fold_of[*unit] == fold) {
            let mut course = Course::new(units[unit].columns(), settings.age);
            for (row, values) in units[unit].iter().enumerate() {
                let features = course.push(values, part.index.predict(values));
                if !row.is_multiple_of(stride) {
                    continue;
                }
                judged.push(Judged {
                    unit,
                    fold,
                    row,
                    truth: life_at(&units[unit], row, settings.cap),
                    trees: part.trees.predict(&features),
                    ridge: part.ridge.predict(&features),
                    baseline: (mean_life - row as f64).clamp(0.0, settings.cap),
                });
            }
        }
    }
    Ok(judged)
}

fn best_share(judged: &[Judged], cap: f64) -> f64 {
    let squares = |share: f64| {
        let errors = judged.iter().map(|one| one.truth - one.value(share, cap));
        errors.map(|error| error * error).sum::<f64>()
    };
    let best = RIDGE_SHARES
        .into_iter()
        .min_by(|a, b| squares(*a).total_cmp(&squares(*b)));
    best.unwrap_or(0.0)
}

fn errors<'a>(
    judged: impl Iterator<Item = &'a Judged>,
    ridge_share: f64,
    cap: f64,
) -> Vec<bounds::Error> {
    let error = |one: &Judged| bounds::Error {
        unit: one.unit,
        value: one.value(ridge_share, cap),
        size: (one.truth - one.value(ridge_share, cap)).abs(),
    };
    judged.map(error).collect()
}

fn validate(
    units: &[Matrix],
    judged: &[Judged],
    ridge_share: f64,
    stride: usize,
    settings: &Settings,
) -> Validation {
    let cap = settings.cap;
    let folds = judged.iter().map(|one| one.fold).max().unwrap_or(0) + 1;
    // The bounds of a fold are those that the units of the others give.
    let of_others = |fold: usize| {
        let others = judged.iter().filter(|one| one.fold != fold);
        Bounds::new(&errors(others, ridge_share, cap))
    };
    let bounds: Vec<Bounds> = (0..folds).map(of_others).collect();
    let measure = |of: &dyn Fn(&Judged) -> bool| {
        let chosen: Vec<&Judged> = judged.iter().filter(|one| of(one)).collect();
        let count = chosen.len().max(1) as f64;
        let mut squares = 0.0;
        let mut baseline_squares = 0.0;
        let mut inside = Some(0.0);
        for one in &chosen {
            let value = one.value(ridge_share, cap);
            squares += (one.truth - value).powi(2);
            baseline_squares += (one.truth - one.baseline).powi(2);
            let margin = bounds[one.fold].margin(value, settings.level);
            let hit = margin.map(|m| f64::from(u8::from((one.truth - value).abs() <= m)));
            inside = inside.zip(hit).map(|(sum, hit)| sum + hit);
        }
        Measured {
            rmse: (squares / count).sqrt(),
            baseline_rmse: (baseline_squares / count).sqrt(),
            coverage: inside.filter(|_| !chosen.is_empty()).map(|sum| sum / count),
            count: chosen.len(),
        }
    };
    let drawn = drawn_rows(units, judged, settings.boosting.seed);
    Validation {
        all_rows: measure(&|_| true),
        one_row: measure(&|one| drawn[one.unit] == Some(one.row)),
        worn: measure(&|one| one.truth < cap),
        by_unit: by_unit(units.len(), judged, ridge_share, cap),
        stride,
    }
}

fn by_unit(units: usize, judged: &[Judged], ridge_share: f64, cap: f64) -> Vec<UnitErrors> {
    let mut errors = vec![UnitErrors::default(); units];
    for one in judged {
        errors[one.unit].add(one.truth - one.value(ridge_share, cap));
    }
    errors
}

/// One judged row of each unit.
fn drawn_rows(units: &[Matrix], judged: &[Judged], seed: u64) -> Vec<Option<usize>> {
    let mut draw = SplitMix(seed ^ 0x5eed);
    let mut of_unit = |unit: usize| {
        let rows: Vec<usize> = judged
            .iter()
            .filter(|one| one.unit == unit)
            .map(|one| one.row)
            .collect();
        rows.get((draw.unit() * rows.len() as f64) as usize)
            .copied()
    };
    (0..units.len()).map(&mut of_unit).collect()
}

#[cfg(test)]
mod tests;
