//! Columns cut into bins of about equally many rows.

use crate::Matrix;

/// The bin of each number, row by row, and where bins end.
pub(super) struct Bins {
    columns: usize,
    bins: Vec<u8>,
    /// By column: bin b + 1 holds what is above `edges[b - 1]` and not above `edges[b]`; bin 0 holds what is missing.
    edges: Vec<Vec<f64>>,
}

impl Bins {
    pub(super) fn new(rows: &Matrix, bins_max: usize) -> Self {
        let columns = rows.columns();
        let edges: Vec<Vec<f64>> = (0..columns)
            .map(|column| edges(rows, column, bins_max))
            .collect();
        let mut bins = Vec::with_capacity(rows.rows() * columns);
        for row in rows.iter() {
            bins.extend(row.iter().zip(&edges).map(|(x, edges)| bin(*x, edges)));
        }
        Self {
            columns,
            bins,
            edges,
        }
    }

    pub(super) fn row(&self, row: usize) -> &[u8] {
        let start = row * self.columns;
        &self.bins[start..start + self.columns]
    }

    /// How many bins a column has, with that of what is missing.
    pub(super) fn count(&self, column: usize) -> usize {
        self.edges[column].len() + 2
    }

    /// The largest number of a bin; infinite for the last, below all numbers for what is missing.
    pub(super) fn edge(&self, column: usize, bin: u8) -> f64 {
        match bin.checked_sub(1) {
            None => f64::NEG_INFINITY,
            Some(at) => self.edges[column]
                .get(usize::from(at))
                .copied()
                .unwrap_or(f64::INFINITY),
        }
    }
}

fn bin(x: f64, edges: &[f64]) -> u8 {
    if x.is_nan() {
        return 0;
    }
    let below = edges.partition_point(|edge| *edge < x);
    u8::try_from(below + 1).unwrap_or(u8::MAX)
}

/// Where the bins of a column end: between distinct numbers where they are few, else at quantiles. The last has no end.
fn edges(rows: &Matrix, column: usize, bins_max: usize) -> Vec<f64> {
    let numbers = rows.iter().map(|row| row[column]);
    let mut sorted: Vec<f64> = numbers.filter(|x| !x.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut distinct = sorted.clone();
    distinct.dedup();
    // One bin is that of what is missing.
    let bins = bins_max - 1;
    if distinct.len() <= bins {
        let halves = distinct.windows(2).map(|two| two[0] / 2.0 + two[1] / 2.0);
        return halves.collect();
    }
    let at = |i: usize| sorted[(sorted.len() * i / bins).min(sorted.len() - 1)];
    let mut edges: Vec<f64> = (1..bins).map(at).collect();
    edges.dedup();
    edges
}
