//! The two models of one training span: a ridge regression for each slot, and boosted trees over all slots.
//!
//! The line follows lags and hinges of temperature well and cannot bend elsewhere; the trees bend anywhere and cannot reach
//! beyond what they have seen. Their errors differ, which is why a mean of both is often better than either.

use forebay_statistics::{BoostedTrees, Boosting, Gram, Matrix, Regressor as _, RidgeModel};

use crate::{
    features::{Columns, Row},
    frame::Frame,
};

/// Fewer rows than this of a slot are no training.
const SLOT_ROWS_MIN: usize = 20;

/// How far beyond its range in training a column may reach, as a share of the range.
const BEYOND_SHARE: f64 = 0.25;

/// The settings of the fits; what is not here is chosen by cross-validation.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// A day this long ago weighs half of the newest.
    pub half_life_days: f64,
    /// The ridge penalties to choose from; one is chosen for all slots together.
    pub lambdas: Vec<f64>,
    /// The trees.
    pub boosting: Boosting,
    /// The most rows that the trees see; of more, every second, third, … is taken.
    pub tree_rows_max: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            half_life_days: 1095.0,
            lambdas: vec![1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 1.0],
            boosting: Boosting {
                trees: 150,
                learning_rate: 0.1,
                leaves_max: 24,
                leaf_rows_min: 20,
                l2: 2.0,
                row_share: 0.6,
                column_share: 0.4,
                bins_max: 64,
                seed: 1,
            },
            tree_rows_max: 36_000,
        }
    }
}

/// The models of one lead, trained on the days before one day.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fitted {
    columns: Columns,
    /// By slot.
    lines: Vec<Option<RidgeModel>>,
    /// By slot: what the line's columns may be.
    ranges: Vec<Ranges>,
    trees: Option<BoostedTrees>,
}

/// The least and the largest of each column in training, and a quarter of what lies between beyond either.
///
/// A column that hardly varied in training, such as radiation at dawn, has a coefficient that means nothing further out.
#[derive(Debug, Clone, Default, PartialEq)]
struct Ranges(Vec<(f64, f64)>);

impl Ranges {
    fn new(rows: &Matrix) -> Self {
        let mut ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); rows.columns()];
        for row in rows.iter() {
            for ((low, high), x) in ranges.iter_mut().zip(row) {
                *low = low.min(*x);
                *high = high.max(*x);
            }
        }
        for (low, high) in &mut ranges {
            let beyond = (*high - *low) * BEYOND_SHARE;
            *low -= beyond;
            *high += beyond;
        }
        Self(ranges)
    }

    fn clip(&self, row: &mut [f64]) {
        for (x, (low, high)) in row.iter_mut().zip(&self.0) {
            *x = x.max(*low).min(*high);
        }
    }
}

/// What the two models say of one slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Both {
    pub(crate) line: f64,
    pub(crate) trees: f64,
}

impl Fitted {
    /// Trains on days `from` up to `to`; `None` where those are too few.
    pub(crate) fn new(
        frame: &Frame,
        tuning: &Tuning,
        lead: usize,
        from: usize,
        to: usize,
    ) -> Option<Self> {
        let columns = Columns::new(frame, lead, from, to);
        let from = from.max(columns.look_back());
        if to < from + SLOT_ROWS_MIN {
            return None;
        }
        let slots = frame.clock.slots();
        let stride = ((to - from) * slots).div_ceil(tuning.tree_rows_max.max(1));
        let mut grams: Vec<Option<Gram>> = Vec::with_capacity(slots);
        let mut ranges = Vec::with_capacity(slots);
        let mut trees: Option<Matrix> = None;
        let mut tree_targets = Vec::new();
        let mut tree_weights = Vec::new();
        let mut row = Row::default();
        let mut flat = Vec::new();
        for slot in 0..slots {
            let mut line: Option<Matrix> = None;
            let mut targets = Vec::with_capacity(to - from);
            let mut weights = Vec::with_capacity(to - from);
            for day in from..to {
                let load = frame.loads.get(day, slot);
                if load.is_nan() || !columns.row(frame, day, slot, &mut row) {
                    continue;
                }
                let age = (to - day) as f64;
                let weight = 0.5_f64.powf(age / tuning.half_life_days);
                row.for_line(&mut flat);
                line.get_or_insert_with(|| Matrix::new(flat.len()))
                    .push(&flat);
                targets.push(load);
                weights.push(weight);
                if (day + slot).is_multiple_of(stride) {
                    row.for_trees(&mut flat);
                    trees
                        .get_or_insert_with(|| Matrix::new(flat.len()))
                        .push(&flat);
                    tree_targets.push(load - row.reference);
                    tree_weights.push(weight);
                }
            }
            let enough = line.filter(|line| line.rows() >= SLOT_ROWS_MIN);
            ranges.push(enough.as_ref().map_or_else(Ranges::default, Ranges::new));
            grams.push(enough.and_then(|line| Gram::new(&line, &targets, &weights, &[]).ok()));
        }
        let trees = trees.and_then(|rows| {
            tuning
                .boosting
                .fit(&rows, &tree_targets, &tree_weights)
                .ok()
        });
        Some(Self {
            columns,
            lines: lines(&grams, &tuning.lambdas),
            ranges,
            trees,
        })
    }

    /// The forecasts of a slot; `None` where something that they need is a hole.
    pub(crate) fn predict(&self, frame: &Frame, day: usize, slot: usize) -> Option<Both> {
        let mut row = Row::default();
        if !self.columns.row(frame, day, slot, &mut row) {
            return None;
        }
        let mut flat = Vec::new();
        row.for_line(&mut flat);
        self.ranges.get(slot)?.clip(&mut flat);
        let line = self.lines.get(slot)?.as_ref()?.predict(&flat);
        row.for_trees(&mut flat);
        let trees = row.reference + self.trees.as_ref()?.predict(&flat);
        Some(Both { line, trees })
    }
}

/// A model for each slot, all with the λ whose cross-validation scores are least in sum: one slot alone chooses by chance.
fn lines(grams: &[Option<Gram>], lambdas: &[f64]) -> Vec<Option<RidgeModel>> {
    let fit = |lambda: f64| -> Vec<Option<RidgeModel>> {
        let of_slot = |gram: &Option<Gram>| gram.as_ref()?.fit(lambda).ok();
        grams.iter().map(of_slot).collect()
    };
    let score = |models: &[Option<RidgeModel>]| -> f64 {
        let fitted: Vec<f64> = models.iter().flatten().map(|model| model.gcv).collect();
        // A λ that some slot cannot be fitted with is the last choice.
        let missing = models.len() - fitted.len();
        fitted.iter().sum::<f64>() + missing as f64 * f64::MAX / 1e9
    };
    let fits = lambdas.iter().map(|lambda| fit(*lambda));
    fits.min_by(|a, b| score(a).total_cmp(&score(b)))
        .unwrap_or_default()
}
