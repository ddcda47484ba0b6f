//! Eigenvalues and eigenvectors of a symmetric matrix, by Jacobi's rotations (Golub and Van Loan, "Matrix Computations",
//! 4th ed., 8.5): slow for thousands of columns, exact and simple for the tens that a device has.

use crate::Matrix;

/// Sweeps over all pairs; Jacobi's method converges quadratically, and ten are enough for hundreds of columns.
const SWEEPS_MAX: usize = 60;

/// What remains off the diagonal, as a share of the matrix's size, when it counts as diagonal.
const OFF_SHARE: f64 = 1e-22;

/// Eigenvalues, the largest first, and their vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Eigen {
    /// The largest first.
    pub values: Vec<f64>,
    /// Row k is the vector of value k, of length 1; the entry of the largest size is positive.
    pub vectors: Matrix,
}

crate::stored::stored_fields!(Eigen { values, vectors });

impl Eigen {
    /// Of a symmetric matrix, n × n.
    pub fn new(mut a: Matrix) -> Self {
        let n = a.rows();
        let mut vectors = Matrix::zeros(n, n);
        for i in 0..n {
            vectors.row_mut(i)[i] = 1.0;
        }
        let size: f64 = a.iter().flatten().map(|x| x * x).sum();
        for _ in 0..SWEEPS_MAX {
            if off_diagonal(&a) <= size * OFF_SHARE {
                break;
            }
            for p in 0..n {
                for q in p + 1..n {
                    rotate(&mut a, &mut vectors, p, q);
                }
            }
        }
        sorted(&a, &vectors)
    }

    /// The inverse of the matrix, whose values must all be above 0.
    pub fn inverse(&self) -> Matrix {
        let n = self.values.len();
        let mut inverse = Matrix::zeros(n, n);
        for (k, value) in self.values.iter().enumerate() {
            let vector = self.vectors.row(k);
            for (i, of_row) in vector.iter().enumerate() {
                let entries = inverse.row_mut(i).iter_mut();
                entries
                    .zip(vector)
                    .for_each(|(entry, x)| *entry += of_row * x / value);
            }
        }
        inverse
    }
}

/// The sum of squares above the diagonal.
fn off_diagonal(a: &Matrix) -> f64 {
    let above = |i: usize| a.row(i)[i + 1..].iter().map(|x| x * x).sum::<f64>();
    (0..a.rows()).map(above).sum()
}

/// One rotation that makes entry (p, q) zero.
fn rotate(a: &mut Matrix, vectors: &mut Matrix, p: usize, q: usize) {
    let off = a.row(p)[q];
    if off == 0.0 {
        return;
    }
    let theta = (a.row(q)[q] - a.row(p)[p]) / (2.0 * off);
    let sign = if theta < 0.0 { -1.0 } else { 1.0 };
    let t = sign / (theta.abs() + theta.hypot(1.0));
    let c = 1.0 / t.hypot(1.0);
    let s = t * c;
    for k in 0..a.rows() {
        let row = a.row_mut(k);
        let (at_p, at_q) = (row[p], row[q]);
        row[p] = c * at_p - s * at_q;
        row[q] = s * at_p + c * at_q;
    }
    rotate_rows(a, p, q, c, s);
    rotate_rows(vectors, p, q, c, s);
}

fn rotate_rows(a: &mut Matrix, p: usize, q: usize, c: f64, s: f64) {
    for k in 0..a.columns() {
        let (at_p, at_q) = (a.row(p)[k], a.row(q)[k]);
        a.row_mut(p)[k] = c * at_p - s * at_q;
        a.row_mut(q)[k] = s * at_p + c * at_q;
    }
}

fn sorted(a: &Matrix, vectors: &Matrix) -> Eigen {
    let n = a.rows();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|i, j| a.row(*j)[*j].total_cmp(&a.row(*i)[*i]));
    let mut ordered = Matrix::new(n);
    for i in &order {
        let vector = vectors.row(*i);
        let largest = vector.iter().fold(
            0.0_f64,
            |most, x| if x.abs() > most.abs() { *x } else { most },
        );
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        let signed: Vec<f64> = vector.iter().map(|x| sign * x).collect();
        ordered.push(&signed);
    }
    Eigen {
        values: order.iter().map(|i| a.row(*i)[*i]).collect(),
        vectors: ordered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boosting::SplitMix;

    #[test]
    fn a_matrix_is_the_sum_of_its_parts() {
        let mut draw = SplitMix(3);
        for n in [1, 2, 5, 20] {
            let mut a = Matrix::zeros(n, n);
            for i in 0..n {
                for j in 0..=i {
                    let entry = draw.normal();
                    a.row_mut(i)[j] = entry;
                    a.row_mut(j)[i] = entry;
                }
            }
            let Eigen { values, vectors } = Eigen::new(a.clone());
            assert!(values.is_sorted_by(|a, b| a >= b), "{values:?}");
            for i in 0..n {
                for j in 0..n {
                    let part = |k: usize| values[k] * vectors.row(k)[i] * vectors.row(k)[j];
                    let sum: f64 = (0..n).map(part).sum();
                    assert!((sum - a.row(i)[j]).abs() < 1e-9, "{n}: {i},{j}");
                }
            }
        }
    }

    #[test]
    fn known_values() {
        let eigen = Eigen::new(Matrix::from_rows(&[[2.0, 1.0], [1.0, 2.0]]));
        assert!((eigen.values[0] - 3.0).abs() < 1e-12 && (eigen.values[1] - 1.0).abs() < 1e-12);
        let inverse = eigen.inverse();
        assert!((inverse.row(0)[0] - 2.0 / 3.0).abs() < 1e-12, "{inverse:?}");
        assert!((inverse.row(1)[0] + 1.0 / 3.0).abs() < 1e-12, "{inverse:?}");
        let half = 0.5_f64.sqrt();
        assert!((eigen.vectors.row(0)[0] - half).abs() < 1e-12);
        assert!(Eigen::new(Matrix::zeros(0, 0)).values.is_empty());
    }
}
