//! A cell's value, and the type that a column's cells agree on.

use forebay_schemas::Value;

/// The narrowest type that holds every cell seen so far, exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ColumnKind {
    /// No cell yet.
    #[default]
    Empty,
    /// `true` and `false` only.
    Bool,
    /// Whole numbers only.
    Whole,
    /// Numbers, at least one with a fraction, or text among them.
    Mixed,
}

impl ColumnKind {
    pub(super) fn widen(self, cell: &str) -> Self {
        let of_cell = match cell {
            "true" | "false" => Self::Bool,
            _ if cell.parse::<i64>().is_ok() || cell.parse::<u64>().is_ok() => Self::Whole,
            _ => Self::Mixed,
        };
        match self {
            Self::Empty => of_cell,
            same if same == of_cell => same,
            _ => Self::Mixed,
        }
    }

    /// The value of a cell of such a column. In a mixed column a number is a double where a double holds it exactly.
    pub(super) fn value(self, cell: &str) -> Value {
        let whole = || match (cell.parse::<i64>(), cell.parse::<u64>()) {
            (Ok(v), _) => Some(Value::I64(v)),
            (_, Ok(v)) => Some(Value::U64(v)),
            _ => None,
        };
        match self {
            Self::Bool if cell == "true" => Value::Bool(true),
            Self::Bool if cell == "false" => Value::Bool(false),
            Self::Whole => whole().unwrap_or_else(|| Value::Text(cell.to_owned())),
            _ => match (whole(), number(cell)) {
                (Some(exact), Some(double)) if !same(&exact, double) => exact,
                (_, Some(double)) => Value::F64(double),
                _ => Value::Text(cell.to_owned()),
            },
        }
    }
}

/// A number as instruments write it; words such as `inf` and `nan` stay text.
fn number(cell: &str) -> Option<f64> {
    let plain = cell.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    cell.parse::<f64>().ok().filter(|v| plain && v.is_finite())
}

/// Whether the double is just this whole number.
fn same(exact: &Value, double: f64) -> bool {
    match exact {
        // Both fit: a finite double that came of 64 bits is far within the range of 128.
        Value::I64(v) => double as i128 == i128::from(*v),
        Value::U64(v) => double as i128 == i128::from(*v),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cells: &[&str], expected: &[Value]) {
        let kind = cells.iter().fold(ColumnKind::Empty, |kind, cell| kind.widen(cell));
        assert_eq!(cells.iter().map(|cell| kind.value(cell)).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_column_has_one_type_where_that_is_exact() {
        use Value::{Bool, F64, I64, Text, U64};
        check(&["1", "-2"], &[I64(1), I64(-2)]);
        check(&["1", "18446744073709551615"], &[I64(1), U64(u64::MAX)]);
        check(&["1", "2.5"], &[F64(1.0), F64(2.5)]);
        check(&["9007199254740993", "2.5"], &[I64(9_007_199_254_740_993), F64(2.5)]);
        check(&["true", "false"], &[Bool(true), Bool(false)]);
        check(&["true", "1"], &[Text("true".into()), F64(1.0)]);
        check(
            &["1.5", "off", "nan", "1e999"],
            &[F64(1.5), Text("off".into()), Text("nan".into()), Text("1e999".into())],
        );
    }
}
