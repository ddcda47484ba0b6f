//! A plain matrix, row by row.

/// Numbers in rows of equal length, stored row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    columns: usize,
    values: Vec<f64>,
}

impl Matrix {
    /// Without rows yet; every row will have `columns` numbers.
    pub fn new(columns: usize) -> Self {
        Self {
            columns,
            values: Vec::new(),
        }
    }

    /// Of `rows` × `columns` zeros.
    pub fn zeros(rows: usize, columns: usize) -> Self {
        Self {
            columns,
            values: vec![0.0; rows * columns],
        }
    }

    /// Of these rows; a shorter row is filled with zeros, a longer one cut to the length of the first.
    pub fn from_rows<R: AsRef<[f64]>>(rows: &[R]) -> Self {
        let mut matrix = Self::new(rows.first().map_or(0, |row| row.as_ref().len()));
        for row in rows {
            matrix.push(row.as_ref());
        }
        matrix
    }

    /// Adds a row below; a shorter one is filled with zeros, a longer one cut.
    pub fn push(&mut self, row: &[f64]) {
        let end = self.values.len() + self.columns;
        self.values.extend(row.iter().take(self.columns));
        self.values.resize(end, 0.0);
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.columns).unwrap_or(0)
    }

    /// How many columns.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One row; it is empty where there is none.
    pub fn row(&self, row: usize) -> &[f64] {
        let start = row * self.columns;
        self.values.get(start..start + self.columns).unwrap_or(&[])
    }

    /// One row, to be changed; it is empty where there is none.
    pub fn row_mut(&mut self, row: usize) -> &mut [f64] {
        let start = row * self.columns;
        self.values
            .get_mut(start..start + self.columns)
            .unwrap_or(&mut [])
    }

    /// The rows from the top.
    pub fn iter(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.columns.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_one_length() {
        let matrix = Matrix::from_rows(&[vec![1.0, 2.0], vec![3.0], vec![4.0, 5.0, 6.0]]);
        assert_eq!((matrix.rows(), matrix.columns()), (3, 2));
        let rows: Vec<&[f64]> = matrix.iter().collect();
        assert_eq!(rows, [[1.0, 2.0], [3.0, 0.0], [4.0, 5.0]]);
        assert_eq!((matrix.row(1), matrix.row(3)), (&[3.0, 0.0][..], &[][..]));
        assert_eq!(
            (Matrix::new(0).rows(), Matrix::new(0).iter().count()),
            (0, 0)
        );
    }
}
