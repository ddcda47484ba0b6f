//! Weighted ridge regression (Hoerl and Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems",
//! Technometrics 12, 1970) on standardised columns.
//!
//! What is least is Σ w·(y − a − x·b)² / Σ w + λ·Σ p·(b·s)², where s is a column's standard deviation and p its penalty. The
//! cross products are summed once; each λ then costs one Cholesky factor and no pass over the rows, and is judged by
//! generalised cross-validation (Golub, Heath and Wahba, Technometrics 21, 1979). Constant columns get no coefficient.

use crate::{Cholesky, FitError, Matrix, Regressor, check_shape, cholesky::dot};

/// A column that varies by less than this share of its size is constant.
const CONSTANT_SHARE: f64 = 1e-9;

/// The cross products of standardised columns, from which models of several λ are fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Gram {
    means: Vec<f64>,
    scales: Vec<f64>,
    penalties: Vec<f64>,
    /// Of the columns that vary, by their place in the rows.
    varying: Vec<usize>,
    /// Of standardised columns with each other, by weight; the lower triangle.
    products: Matrix,
    /// Of standardised columns with the centred target, by weight.
    with_target: Vec<f64>,
    target_mean: f64,
    target_variance: f64,
    rows: usize,
    weight: f64,
}

/// A fitted ridge regression.
#[derive(Debug, Clone, PartialEq)]
pub struct RidgeModel {
    /// What a row of zeros gives.
    pub intercept: f64,
    /// By column, for rows as they are.
    pub coefficients: Vec<f64>,
    /// The λ it was fitted with.
    pub lambda: f64,
    /// The generalised cross-validation score: a mean squared error, corrected for the freedom of the fit.
    pub gcv: f64,
}

crate::stored::stored_fields!(RidgeModel {
    intercept,
    coefficients,
    lambda,
    gcv,
});

impl Regressor for RidgeModel {
    fn predict(&self, row: &[f64]) -> f64 {
        let products = self.coefficients.iter().zip(row).map(|(b, x)| b * x);
        self.intercept + products.sum::<f64>()
    }
}

impl Gram {
    /// Sums the cross products. No weights stand for ones, no penalties for ones.
    ///
    /// # Errors
    /// [`FitError`] where the shapes do not fit, nothing has a weight, or a number is not finite.
    pub fn new(
        rows: &Matrix,
        targets: &[f64],
        weights: &[f64],
        penalties: &[f64],
    ) -> Result<Self, FitError> {
        check_shape(rows, targets, weights)?;
        let weight_of = |row: usize| weights.get(row).copied().unwrap_or(1.0);
        let weight: f64 = (0..rows.rows()).map(weight_of).sum();
        if weight <= 0.0 {
            return Err(FitError::Empty);
        }
        let mut means = vec![0.0; rows.columns()];
        let mut target_mean = 0.0;
        for (i, row) in rows.iter().enumerate() {
            let share = weight_of(i) / weight;
            target_mean += share * targets[i];
            means.iter_mut().zip(row).for_each(|(m, x)| *m += share * x);
        }
        if !means.iter().all(|mean| mean.is_finite()) {
            return Err(FitError::NotFinite);
        }
        let scales = scales(rows, &means, weight_of, weight);
        let varying: Vec<usize> = (0..scales.len()).filter(|c| scales[*c] > 0.0).collect();
        let mut products = Matrix::zeros(varying.len(), varying.len());
        let mut with_target = vec![0.0; varying.len()];
        let mut target_variance = 0.0;
        let mut standard = vec![0.0; varying.len()];
        for (i, row) in rows.iter().enumerate() {
            let share = weight_of(i) / weight;
            let target = targets[i] - target_mean;
            target_variance += share * target * target;
            for (z, column) in standard.iter_mut().zip(&varying) {
                *z = (row[*column] - means[*column]) / scales[*column];
            }
            for (r, z) in standard.iter().enumerate() {
                let shared = share * z;
                with_target[r] += shared * target;
                let below = &mut products.row_mut(r)[..=r];
                below
                    .iter_mut()
                    .zip(&standard)
                    .for_each(|(product, other)| *product += shared * other);
            }
        }
        let penalty = |column: usize| penalties.get(column).copied().unwrap_or(1.0);
        Ok(Self {
            penalties: varying.iter().map(|column| penalty(*column)).collect(),
            rows: rows.rows(),
            means,
            scales,
            varying,
            products,
            with_target,
            target_mean,
            target_variance,
            weight,
        })
    }

    /// The model of one λ.
    ///
    /// # Errors
    /// [`FitError::Singular`] where λ is too small for columns that depend on each other.
    pub fn fit(&self, lambda: f64) -> Result<RidgeModel, FitError> {
        let factor = self.factor(lambda)?;
        let standard = factor.solve(&self.with_target);
        let mut coefficients = vec![0.0; self.means.len()];
        let mut intercept = self.target_mean;
        for (b, column) in standard.iter().zip(&self.varying) {
            coefficients[*column] = b / self.scales[*column];
            intercept -= coefficients[*column] * self.means[*column];
        }
        Ok(RidgeModel {
            intercept,
            coefficients,
            lambda,
            gcv: self.gcv(&factor, &standard, lambda),
        })
    }

    /// The model of the λ whose generalised cross-validation score is the lowest; the first wins a tie.
    ///
    /// # Errors
    /// [`FitError`] where no λ fits.
    pub fn choose(&self, lambdas: &[f64]) -> Result<RidgeModel, FitError> {
        let mut best: Result<RidgeModel, FitError> = Err(FitError::Singular);
        for lambda in lambdas {
            let Ok(model) = self.fit(*lambda) else {
                continue;
            };
            match &best {
                Ok(known) if known.gcv <= model.gcv => {}
                _ => best = Ok(model),
            }
        }
        best
    }

    /// By row, what the model of this λ would be wrong by (target − prediction), had it been fitted without the row: the
    /// residual over 1 − leverage (Hastie, Tibshirani and Friedman, "The Elements of Statistical Learning", 2nd ed.,
    /// 7.10). The rows, targets and weights are those of [`Gram::new`].
    ///
    /// # Errors
    /// [`FitError`] as of [`Gram::fit`], or where the shapes do not fit.
    pub fn leave_one_out(
        &self,
        lambda: f64,
        rows: &Matrix,
        targets: &[f64],
        weights: &[f64],
    ) -> Result<Vec<f64>, FitError> {
        check_shape(rows, targets, weights)?;
        let factor = self.factor(lambda)?;
        let model = self.fit(lambda)?;
        let of_row = |(i, row): (usize, &[f64])| {
            let share = weights.get(i).copied().unwrap_or(1.0) / self.weight;
            let standard: Vec<f64> = self
                .varying
                .iter()
                .map(|c| self.standard(row, *c))
                .collect();
            let z = factor.forward(&standard);
            let leverage = share * (1.0 + dot(&z, &z));
            (targets[i] - model.predict(row)) / (1.0 - leverage).max(f64::EPSILON)
        };
        Ok(rows.iter().enumerate().map(of_row).collect())
    }

    fn standard(&self, row: &[f64], column: usize) -> f64 {
        (row[column] - self.means[column]) / self.scales[column]
    }

    fn factor(&self, lambda: f64) -> Result<Cholesky, FitError> {
        let mut ridged = self.products.clone();
        for (i, penalty) in self.penalties.iter().enumerate() {
            ridged.row_mut(i)[i] += lambda * penalty;
        }
        Cholesky::new(ridged).ok_or(FitError::Singular)
    }

    /// (RSS / W) / (1 − df / n)²; the degrees of freedom are the trace of (G + λP)⁻¹·G, which is that of
    /// I − λ·(G + λP)⁻¹·P, and one for the intercept.
    fn gcv(&self, factor: &Cholesky, standard: &[f64], lambda: f64) -> f64 {
        let columns = standard.len();
        let mut quadratic = 0.0;
        for i in 0..columns {
            let below = dot(&self.products.row(i)[..i], &standard[..i]);
            quadratic += standard[i] * (2.0 * below + self.products.row(i)[i] * standard[i]);
        }
        let diagonal = factor.inverse_diagonal();
        let shrunk = diagonal.iter().zip(&self.penalties).map(|(d, p)| d * p);
        let freedom = 1.0 + columns as f64 - lambda * shrunk.sum::<f64>();
        let explained = 2.0 * dot(standard, &self.with_target) - quadratic;
        let residual = (self.target_variance - explained).max(0.0);
        let left = (1.0 - freedom / self.rows as f64).max(f64::EPSILON);
        residual / (left * left)
    }
}

/// The standard deviation of each column by weight; zero for a constant one.
fn scales(rows: &Matrix, means: &[f64], weight_of: impl Fn(usize) -> f64, weight: f64) -> Vec<f64> {
    let mut variances = vec![0.0; means.len()];
    for (i, row) in rows.iter().enumerate() {
        let share = weight_of(i) / weight;
        for ((variance, x), mean) in variances.iter_mut().zip(row).zip(means) {
            *variance += share * (x - mean) * (x - mean);
        }
    }
    let of_column = |(variance, mean): (f64, &f64)| {
        let scale = variance.sqrt();
        let varies = scale.is_finite() && scale > mean.abs() * CONSTANT_SHARE;
        if varies { scale } else { 0.0 }
    };
    variances.into_iter().zip(means).map(of_column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns that vary each in its own way, one that is constant and one that repeats another.
    fn rows(count: usize) -> Matrix {
        let mut rows = Matrix::new(4);
        for i in 0..count {
            let t = i as f64;
            rows.push(&[
                (t * 0.7).sin(),
                5.0,
                100.0 + (t * 1.3).cos() * 20.0,
                (t * 0.7).sin(),
            ]);
        }
        rows
    }

    fn targets(rows: &Matrix) -> Vec<f64> {
        rows.iter()
            .map(|row| 3.0 + 2.0 * row[0] - 0.5 * row[2])
            .collect()
    }

    #[test]
    fn a_line_is_found_and_twins_share_their_coefficient() {
        let rows = rows(60);
        let model = Gram::new(&rows, &targets(&rows), &[], &[])
            .unwrap()
            .fit(1e-9)
            .unwrap();
        let expected = [1.0, 0.0, -0.5, 1.0];
        let near = model
            .coefficients
            .iter()
            .zip(expected)
            .all(|(b, e)| (b - e).abs() < 1e-5);
        assert!(near && (model.intercept - 3.0).abs() < 1e-5, "{model:?}");
    }

    #[test]
    fn a_row_of_weight_two_is_two_rows_and_of_weight_zero_none() {
        let few = rows(20);
        let mut more = few.clone();
        more.push(few.row(3));
        let bent: Vec<f64> = few.iter().map(|row| row[0] * row[2]).collect();
        let mut weights = vec![1.0; 21];
        (weights[3], weights[20]) = (2.0, 0.0);
        let mut weighted_targets = bent.clone();
        weighted_targets.push(1e6);
        let mut doubled_targets = bent.clone();
        doubled_targets.push(bent[3]);
        let weighted = Gram::new(&more, &weighted_targets, &weights, &[])
            .unwrap()
            .fit(0.1)
            .unwrap();
        let doubled = Gram::new(&more, &doubled_targets, &[], &[])
            .unwrap()
            .fit(0.1)
            .unwrap();
        for (a, b) in weighted.coefficients.iter().zip(&doubled.coefficients) {
            assert!((a - b).abs() < 1e-9, "{weighted:?} {doubled:?}");
        }
    }

    #[test]
    fn leave_one_out_is_what_fitting_without_the_row_gives() {
        let rows = rows(15);
        let bent: Vec<f64> = rows.iter().map(|row| row[0] * row[2]).collect();
        let gram = Gram::new(&rows, &bent, &[], &[]).unwrap();
        // At lambda 0 the twin columns are singular; without a ridge that depends on n, leaving out is exact.
        assert_eq!(gram.fit(0.0), Err(FitError::Singular));
        let two = Matrix::from_rows(&rows.iter().map(|row| [row[0], row[2]]).collect::<Vec<_>>());
        let gram = Gram::new(&two, &bent, &[], &[]).unwrap();
        let left_out = gram.leave_one_out(0.0, &two, &bent, &[]).unwrap();
        for (i, residual) in left_out.iter().enumerate() {
            let weights: Vec<f64> = (0..15).map(|j| if i == j { 0.0 } else { 1.0 }).collect();
            let model = Gram::new(&two, &bent, &weights, &[])
                .unwrap()
                .fit(0.0)
                .unwrap();
            let expected = bent[i] - model.predict(two.row(i));
            assert!(
                (residual - expected).abs() < 1e-9,
                "row {i}: {residual} {expected}"
            );
        }
    }

    /// Noise calls for a ridge, a clean line for none.
    #[test]
    fn cross_validation_chooses_lambda() {
        let mut rows = Matrix::new(12);
        let mut seed = crate::boosting::SplitMix(7);
        for _ in 0..24 {
            let row: Vec<f64> = (0..12).map(|_| seed.unit() - 0.5).collect();
            rows.push(&row);
        }
        let noise: Vec<f64> = (0..24).map(|_| seed.unit()).collect();
        let clean: Vec<f64> = rows.iter().map(|row| row.iter().sum()).collect();
        let lambdas = [1e-6, 1e-3, 1.0, 1e3];
        let chosen = |targets: &[f64]| {
            Gram::new(&rows, targets, &[], &[])
                .unwrap()
                .choose(&lambdas)
                .unwrap()
                .lambda
        };
        assert_eq!(chosen(&clean), 1e-6);
        assert!(chosen(&noise) >= 1.0, "{}", chosen(&noise));
    }

    #[test]
    fn what_cannot_be_fitted_is_said() {
        let rows = rows(5);
        let fit =
            |targets: &[f64], weights: &[f64]| Gram::new(&rows, targets, weights, &[]).map(drop);
        let shape = FitError::Shape {
            rows: 5,
            targets: 4,
            weights: 0,
        };
        assert_eq!(fit(&[1.0; 4], &[]), Err(shape));
        assert_eq!(fit(&[1.0; 5], &[0.0; 5]), Err(FitError::Empty));
        assert_eq!(fit(&[f64::NAN; 5], &[]), Err(FitError::NotFinite));
        assert_eq!(
            Gram::new(&Matrix::from_rows(&[[f64::INFINITY]]), &[1.0], &[], &[]).map(drop),
            Err(FitError::NotFinite)
        );
    }
}
