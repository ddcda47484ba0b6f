//! The mathematics that kinds of jobs share: arrays in, arrays out.
//!
//! Everything here is deterministic: the same arrays give the same bits, sums run in the order of the rows, and what
//! draws at random takes a seed. Nothing here reads a lake, a clock or a configuration, and nothing knows what a series
//! is: which rows may be seen is for the caller to decide.

pub mod accuracy;
pub mod boosting;
mod cholesky;
pub mod conformal;
mod eigen;
pub mod hotelling;
mod matrix;
pub mod remaining_life;
pub mod ridge;
pub mod stored;

use thiserror::Error;

pub use boosting::{BoostedTrees, Boosting};
pub use cholesky::Cholesky;
pub use eigen::Eigen;
pub use matrix::Matrix;
pub use ridge::{Gram, RidgeModel};

/// A fitted model of one number, given a row of others.
pub trait Regressor: Send + Sync {
    /// The number, for a row with as many columns as the model was fitted on.
    fn predict(&self, row: &[f64]) -> f64;
}

/// Why nothing was fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FitError {
    /// Targets or weights are not as many as rows.
    #[error("{rows} rows, {targets} targets and {weights} weights do not belong together")]
    Shape {
        /// Of the matrix.
        rows: usize,
        /// Of the values to be learned.
        targets: usize,
        /// Of the weights.
        weights: usize,
    },
    /// No row, or no row with a weight.
    #[error("no rows with a weight")]
    Empty,
    /// A number among them that is infinite or NaN.
    #[error("a row, target or weight is not finite")]
    NotFinite,
    /// The system of equations has no single solution: lambda is too small for columns that depend on each other.
    #[error("the columns depend on each other and lambda is too small")]
    Singular,
}

/// Checks that rows, targets and weights belong together; an empty list of weights stands for ones.
///
/// # Errors
/// [`FitError::Shape`] and [`FitError::Empty`].
fn check_shape(rows: &Matrix, targets: &[f64], weights: &[f64]) -> Result<(), FitError> {
    let weights_fit = weights.is_empty() || weights.len() == rows.rows();
    if targets.len() != rows.rows() || !weights_fit {
        return Err(FitError::Shape {
            rows: rows.rows(),
            targets: targets.len(),
            weights: weights.len(),
        });
    }
    if targets.is_empty() {
        return Err(FitError::Empty);
    }
    let finite = targets.iter().chain(weights).all(|value| value.is_finite());
    if !finite {
        return Err(FitError::NotFinite);
    }
    Ok(())
}
