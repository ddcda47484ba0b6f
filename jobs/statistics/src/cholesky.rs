//! The Cholesky factor of a symmetric positive definite matrix (Golub and Van Loan, "Matrix Computations", 4th ed., 4.2).

use crate::Matrix;

/// A pivot below this share of the largest entry of the diagonal counts as zero.
const PIVOT_SHARE: f64 = 1e-13;

/// The lower triangle L with L·Lᵀ = A.
#[derive(Debug, Clone, PartialEq)]
pub struct Cholesky(Matrix);

impl Cholesky {
    /// Factors a square matrix, of which the lower triangle alone is read; `None` where it is not positive definite.
    pub fn new(mut a: Matrix) -> Option<Self> {
        let n = a.rows();
        let largest = (0..n).map(|i| a.row(i)[i].abs()).fold(0.0, f64::max);
        for j in 0..n {
            for i in j..n {
                let dot = dot(&a.row(i)[..j], &a.row(j)[..j]);
                let rest = a.row(i)[j] - dot;
                if i > j {
                    a.row_mut(i)[j] = rest / a.row(j)[j];
                } else if rest.is_finite() && rest > largest * PIVOT_SHARE {
                    a.row_mut(i)[j] = rest.sqrt();
                } else {
                    return None;
                }
            }
        }
        Some(Self(a))
    }

    /// The z of L·z = b; its squared length is bᵀ·A⁻¹·b.
    pub fn forward(&self, b: &[f64]) -> Vec<f64> {
        let mut z: Vec<f64> = Vec::with_capacity(b.len());
        for (i, b) in b.iter().enumerate().take(self.0.rows()) {
            let row = self.0.row(i);
            z.push((b - dot(&row[..i], &z)) / row[i]);
        }
        z
    }

    /// The diagonal of A⁻¹: by column, the squared length of the column of L⁻¹.
    pub fn inverse_diagonal(&self) -> Vec<f64> {
        let n = self.0.rows();
        let mut column = vec![0.0; n];
        let mut diagonal = Vec::with_capacity(n);
        for j in 0..n {
            column[j] = 1.0 / self.0.row(j)[j];
            let mut squares = column[j] * column[j];
            for i in j + 1..n {
                let row = self.0.row(i);
                column[i] = -dot(&row[j..i], &column[j..i]) / row[i];
                squares += column[i] * column[i];
            }
            diagonal.push(squares);
        }
        diagonal
    }

    /// The x of A·x = b.
    pub fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = self.forward(b);
        for i in (0..x.len()).rev() {
            x[i] /= self.0.row(i)[i];
            let (solved, above) = (x[i], &self.0.row(i)[..i]);
            x.iter_mut()
                .zip(above)
                .for_each(|(x, entry)| *x -= entry * solved);
        }
        x
    }
}

/// The sum of products, in four running sums so that it is done several at a time; the order is fixed.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (fours_a, fours_b) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = fours_a
        .remainder()
        .iter()
        .zip(&b[b.len().min(a.len() - fours_a.remainder().len())..])
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in fours_a.zip(fours_b) {
        for lane in 0..4 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_solved() {
        let a = Matrix::from_rows(&[[4.0, 0.0, 0.0], [2.0, 5.0, 0.0], [-2.0, 1.0, 6.0]]);
        let x = Cholesky::new(a).unwrap().solve(&[2.0, 15.0, 18.0]);
        // 4·1 + 2·2 − 2·3, 2·1 + 5·2 + 1·3, −2·1 + 1·2 + 6·3
        let expected = [1.0, 2.0, 3.0];
        assert!(
            x.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-12),
            "{x:?}"
        );
    }

    #[test]
    fn the_inverse_has_its_diagonal() {
        let a = Matrix::from_rows(&[[4.0, 0.0, 0.0], [2.0, 5.0, 0.0], [-2.0, 1.0, 6.0]]);
        let factor = Cholesky::new(a).unwrap();
        for (j, found) in factor.inverse_diagonal().into_iter().enumerate() {
            let mut unit = [0.0; 3];
            unit[j] = 1.0;
            let expected = factor.solve(&unit)[j];
            assert!((found - expected).abs() < 1e-12, "{j}: {found} {expected}");
        }
    }

    #[test]
    fn columns_that_depend_on_each_other_have_no_factor() {
        for a in [
            [[1.0, 0.0], [1.0, 1.0]],
            [[0.0, 0.0], [0.0, 1.0]],
            [[f64::NAN, 0.0], [0.0, 1.0]],
        ] {
            assert_eq!(Cholesky::new(Matrix::from_rows(&a)), None, "{a:?}");
        }
    }

    #[test]
    fn products_of_every_length() {
        for n in 0..10 {
            let a: Vec<f64> = (0..n).map(f64::from).collect();
            let squares: f64 = a.iter().map(|a| a * a).sum();
            assert_eq!(dot(&a, &a), squares);
        }
    }
}
