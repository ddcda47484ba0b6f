//! Gradient boosting of regression trees for the squared error (Friedman, "Greedy Function Approximation: A Gradient
//! Boosting Machine", Annals of Statistics 29, 2001), on histograms of binned columns with leaf-wise growth (Ke et al.,
//! "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017) and an L2 penalty on leaves (Chen and
//! Guestrin, "XGBoost", KDD 2016).
//!
//! A number that is NaN is missing: it lies in a bin of its own below all others. Rows and columns are drawn by a generator
//! with a given seed, and splits of equal gain go to the lower column and the lower bin, so the same arrays give the same
//! trees.

mod bins;
mod tree;

use bins::Bins;
use tree::{Grower, Tree};

use crate::{FitError, Matrix, Regressor, check_shape};

/// The settings of a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct Boosting {
    /// How many trees.
    pub trees: usize,
    /// The share of each tree that is added.
    pub learning_rate: f64,
    /// The most leaves of a tree.
    pub leaves_max: usize,
    /// The fewest rows of a leaf.
    pub leaf_rows_min: usize,
    /// The L2 penalty on a leaf's value, in rows of weight 1.
    pub l2: f64,
    /// The share of rows that a tree sees.
    pub row_share: f64,
    /// The share of columns that a tree sees.
    pub column_share: f64,
    /// The most bins of a column, 2 to 255.
    pub bins_max: usize,
    /// Where drawing begins.
    pub seed: u64,
}

crate::stored::stored_fields!(Boosting {
    trees,
    learning_rate,
    leaves_max,
    leaf_rows_min,
    l2,
    row_share,
    column_share,
    bins_max,
    seed,
});

impl Default for Boosting {
    /// 200 small trees that see all rows and columns.
    fn default() -> Self {
        Self {
            trees: 200,
            learning_rate: 0.05,
            leaves_max: 31,
            leaf_rows_min: 20,
            l2: 1.0,
            row_share: 1.0,
            column_share: 1.0,
            bins_max: 64,
            seed: 1,
        }
    }
}

/// A fitted sum of trees.
#[derive(Debug, Clone, PartialEq)]
pub struct BoostedTrees {
    base: f64,
    trees: Vec<Tree>,
}

impl Regressor for BoostedTrees {
    fn predict(&self, row: &[f64]) -> f64 {
        let trees = self.trees.iter().map(|tree| tree.value(row));
        self.base + trees.sum::<f64>()
    }
}

crate::stored::stored_fields!(BoostedTrees { base, trees });

impl BoostedTrees {
    /// How many trees.
    pub fn trees(&self) -> usize {
        self.trees.len()
    }

    /// The fewest columns that a row must have.
    pub(crate) fn columns_min(&self) -> usize {
        self.trees.iter().map(Tree::columns_min).max().unwrap_or(0)
    }
}

impl Boosting {
    /// Fits trees to targets; no weights stand for ones. A column may hold NaN for what is missing.
    ///
    /// # Errors
    /// [`FitError`] where shapes do not fit, nothing has a weight, or a target or weight is not finite.
    pub fn fit(
        &self,
        rows: &Matrix,
        targets: &[f64],
        weights: &[f64],
    ) -> Result<BoostedTrees, FitError> {
        check_shape(rows, targets, weights)?;
        let weights = if weights.is_empty() {
            vec![1.0; rows.rows()]
        } else {
            weights.to_vec()
        };
        let weight: f64 = weights.iter().sum();
        if weight <= 0.0 {
            return Err(FitError::Empty);
        }
        let weighted = targets.iter().zip(&weights).map(|(y, w)| y * w);
        let base = weighted.sum::<f64>() / weight;
        let bins = Bins::new(rows, self.bins_max.clamp(2, 255));
        let mut draw = SplitMix(self.seed);
        let mut left: Vec<f64> = targets.iter().map(|target| target - base).collect();
        let mut trees = Vec::with_capacity(self.trees);
        for _ in 0..self.trees {
            let sampled = self.sampled_rows(rows.rows(), &mut draw);
            let columns = self.sampled_columns(rows.columns(), &mut draw);
            let grower = Grower {
                settings: self,
                bins: &bins,
                targets: &left,
                weights: &weights,
                columns: &columns,
            };
            let Some(tree) = grower.grow(sampled) else {
                // With all rows and columns seen, no later tree would find a split either.
                if self.row_share >= 1.0 && self.column_share >= 1.0 {
                    break;
                }
                continue;
            };
            for (i, left) in left.iter_mut().enumerate() {
                *left -= tree.value_of_bins(bins.row(i));
            }
            trees.push(tree);
        }
        Ok(BoostedTrees { base, trees })
    }

    fn sampled_rows(&self, rows: usize, draw: &mut SplitMix) -> Vec<u32> {
        let all = 0..u32::try_from(rows).unwrap_or(u32::MAX);
        if self.row_share >= 1.0 {
            return all.collect();
        }
        all.filter(|_| draw.unit() < self.row_share).collect()
    }

    fn sampled_columns(&self, columns: usize, draw: &mut SplitMix) -> Vec<usize> {
        if self.column_share >= 1.0 {
            return (0..columns).collect();
        }
        let wanted = ((columns as f64 * self.column_share).ceil() as usize).max(1);
        let mut drawn: Vec<usize> = (0..columns).collect();
        for i in 0..wanted.min(columns) {
            let other = i + (draw.unit() * (columns - i) as f64) as usize;
            drawn.swap(i, other);
        }
        drawn.truncate(wanted);
        drawn.sort_unstable();
        drawn
    }
}

/// The generator SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014).
#[derive(Debug, Clone)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 up to 1, without 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number of the standard normal distribution (Box and Muller, Annals of Mathematical Statistics 29, 1958).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three columns of chance, and a target that turns on the first two together.
    fn example(rows: usize, seed: u64) -> (Matrix, Vec<f64>) {
        let mut draw = SplitMix(seed);
        let mut x = Matrix::new(3);
        let mut y = Vec::new();
        for _ in 0..rows {
            let row = [draw.unit(), draw.unit(), draw.unit()];
            let step = if row[0] > 0.3 && row[1] > 0.6 {
                10.0
            } else {
                0.0
            };
            y.push(step + row[1] + 0.1 * draw.normal());
            x.push(&row);
        }
        (x, y)
    }

    fn error(model: &BoostedTrees, x: &Matrix, y: &[f64]) -> f64 {
        let sizes = x
            .iter()
            .zip(y)
            .map(|(row, y)| (model.predict(row) - y).abs());
        sizes.sum::<f64>() / y.len() as f64
    }

    #[test]
    fn what_no_line_follows_is_learned() {
        let (x, y) = example(2000, 1);
        let (unseen, truth) = example(1000, 2);
        let sampled = Boosting {
            row_share: 0.7,
            column_share: 0.7,
            ..Boosting::default()
        };
        for settings in [Boosting::default(), sampled] {
            let model = settings.fit(&x, &y, &[]).unwrap();
            let error = error(&model, &unseen, &truth);
            assert!(error < 0.3, "{error} with {settings:?}");
            assert_eq!(
                model,
                settings.fit(&x, &y, &[]).unwrap(),
                "the same arrays, the same trees"
            );
        }
    }

    #[test]
    fn missing_numbers_are_a_case_of_their_own() {
        let mut x = Matrix::new(1);
        let y: Vec<f64> = (0..300)
            .map(|i| f64::from(u8::from(i % 3 == 0)) * 5.0)
            .collect();
        (0..300).for_each(|i| x.push(&[if i % 3 == 0 { f64::NAN } else { f64::from(i) }]));
        let model = Boosting::default().fit(&x, &y, &[]).unwrap();
        assert!(
            (model.predict(&[f64::NAN]) - 5.0).abs() < 0.1,
            "{}",
            model.predict(&[f64::NAN])
        );
        assert!(model.predict(&[7.0]).abs() < 0.1 && model.predict(&[-1e9]).abs() < 0.1);
    }

    #[test]
    fn rows_without_weight_are_not_learned() {
        let (x, mut y) = example(400, 3);
        y[..200].iter_mut().for_each(|y| *y = 1e6);
        let weights: Vec<f64> = (0..400).map(|i| f64::from(u8::from(i >= 200))).collect();
        let model = Boosting::default().fit(&x, &y, &weights).unwrap();
        assert!(error(&model, &x, &y) > 1e5 && x.iter().all(|row| model.predict(row) < 20.0));
    }

    #[test]
    fn a_constant_needs_no_tree() {
        let (x, _) = example(100, 4);
        let model = Boosting::default().fit(&x, &[3.0; 100], &[]).unwrap();
        assert_eq!((model.trees(), model.predict(x.row(0))), (0, 3.0));
        assert!(Boosting::default().fit(&x, &[3.0; 99], &[]).is_err());
    }
}
