//! A cell's value, and the type that a column's cells agree on.

use std::borrow::Cow;

use forebay_schemas::Value;

use super::Decimal;

/// What part thousands where a comma parts the fraction: a point, and blanks of three widths.
const GROUP_MARKS: [char; 4] = ['.', ' ', '\u{a0}', '\u{202f}'];

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
    /// Doubles, whatever the cells look like: the file says so.
    Double,
    /// Text, whatever the cells look like: the file says so.
    Text,
}

/// A cell that holds a number and is none in the file's notation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoNumber;

/// A cell without the blanks around it, and without quotes that stand behind a blank, where the CSV reader sees none.
pub(super) fn trimmed(cell: &str) -> Cow<'_, str> {
    let bare = cell.trim();
    let quoted = || bare.strip_prefix('"')?.strip_suffix('"');
    match quoted().filter(|_| bare.len() < cell.len()) {
        Some(inner) => Cow::Owned(inner.replace("\"\"", "\"").trim().to_owned()),
        None => Cow::Borrowed(bare),
    }
}

/// A cell with its number, if it is one, in the notation of programs: a point and no groups.
pub(super) fn normal(cell: &str, decimal: Decimal) -> Result<Cow<'_, str>, NoNumber> {
    match decimal {
        Decimal::Point => Ok(Cow::Borrowed(cell)),
        Decimal::Comma => match with_point(cell) {
            Some(number) => Ok(Cow::Owned(number)),
            None if is_of_digits(cell) => Err(NoNumber),
            None => Ok(Cow::Borrowed(cell)),
        },
    }
}

/// Whether a decimal comma would make a number of a cell that is none.
pub(super) fn has_decimal_comma(cell: &str) -> bool {
    cell.contains(',') && with_point(cell).is_some()
}

/// Digits and the marks of numbers only.
fn is_of_digits(cell: &str) -> bool {
    let is_mark = |c: char| {
        c.is_ascii_digit() || matches!(c, '+' | '-' | ',' | 'e' | 'E') || GROUP_MARKS.contains(&c)
    };
    cell.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | ',' | '.'))
        && cell.contains(|c: char| c.is_ascii_digit())
        && cell.chars().all(is_mark)
}

/// A number with a decimal comma, with a point; thousands are in groups of three or in none.
fn with_point(cell: &str) -> Option<String> {
    let (number, exponent) = match cell.find(['e', 'E']) {
        Some(at) => cell.split_at(at),
        None => (cell, ""),
    };
    let (sign, magnitude) = match number.strip_prefix(['+', '-']) {
        Some(magnitude) => number.split_at(number.len() - magnitude.len()),
        None => ("", number),
    };
    let (whole, fraction) = match magnitude.split_once(',') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (magnitude, None),
    };
    let whole = ungrouped(whole)?;
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(fraction.unwrap_or_default())
        || (whole.is_empty() && fraction.unwrap_or_default().is_empty())
    {
        return None;
    }
    let number = match fraction {
        Some(fraction) => format!("{sign}{whole}.{fraction}{exponent}"),
        None => format!("{sign}{whole}{exponent}"),
    };
    number.parse::<f64>().is_ok().then_some(number)
}

fn ungrouped(whole: &str) -> Option<String> {
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(mark) = whole.chars().find(|c| GROUP_MARKS.contains(c)) else {
        return all_digits(whole).then(|| whole.to_owned());
    };
    let mut groups = whole.split(mark);
    let first = groups
        .next()
        .filter(|first| (1..=3).contains(&first.len()) && all_digits(first))?;
    let rest: Vec<&str> = groups.collect();
    let all_of_three = rest
        .iter()
        .all(|group| group.len() == 3 && all_digits(group));
    all_of_three.then(|| format!("{first}{}", rest.concat()))
}

impl ColumnKind {
    /// The kind with one more cell, which is in the notation of programs.
    pub(super) fn widen(self, cell: &str) -> Self {
        if matches!(self, Self::Double | Self::Text) {
            return self;
        }
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
    ///
    /// # Errors
    /// A double that is not finite is no value.
    pub(super) fn value(self, cell: &str) -> Result<Value, NoNumber> {
        let whole = || match (cell.parse::<i64>(), cell.parse::<u64>()) {
            (Ok(v), _) => Some(Value::I64(v)),
            (_, Ok(v)) => Some(Value::U64(v)),
            _ => None,
        };
        Ok(match self {
            Self::Double => match cell.parse::<f64>() {
                Ok(value) if value.is_finite() => Value::F64(value),
                _ => return Err(NoNumber),
            },
            Self::Text => Value::Text(cell.to_owned()),
            Self::Bool if cell == "true" => Value::Bool(true),
            Self::Bool if cell == "false" => Value::Bool(false),
            Self::Whole => whole().unwrap_or_else(|| Value::Text(cell.to_owned())),
            _ => match (whole(), number(cell)) {
                (Some(exact), Some(double)) if !same(&exact, double) => exact,
                (_, Some(double)) => Value::F64(double),
                _ => Value::Text(cell.to_owned()),
            },
        })
    }
}

/// A number as instruments write it; words such as `inf` and `nan` stay text.
fn number(cell: &str) -> Option<f64> {
    let plain = cell
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'));
    cell.parse::<f64>().ok().filter(|v| plain && v.is_finite())
}

/// Whether the double is just this whole number.
fn same(exact: &Value, double: f64) -> bool {
    match exact {
        Value::I64(v) => double as i128 == i128::from(*v),
        Value::U64(v) => double as i128 == i128::from(*v),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use Value::{Bool, F64, I64, Text, U64};

    use super::*;

    fn values(cells: &[&str], decimal: Decimal) -> Vec<Option<Value>> {
        let cells: Vec<_> = cells.iter().map(|cell| trimmed(cell)).collect();
        let normal: Vec<_> = cells
            .iter()
            .map(|cell| normal(cell, decimal).ok())
            .collect();
        let kind = normal
            .iter()
            .flatten()
            .fold(ColumnKind::Empty, |kind, cell| kind.widen(cell));
        normal
            .iter()
            .map(|cell| cell.as_ref().and_then(|cell| kind.value(cell).ok()))
            .collect()
    }

    #[track_caller]
    fn check(cells: &[&str], expected: &[Value]) {
        assert_eq!(
            values(cells, Decimal::Point),
            expected.iter().cloned().map(Some).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_column_has_one_type_where_that_is_exact() {
        check(&["1", "-2"], &[I64(1), I64(-2)]);
        check(&["1", "18446744073709551615"], &[I64(1), U64(u64::MAX)]);
        check(&["1", "2.5"], &[F64(1.0), F64(2.5)]);
        check(
            &["9007199254740993", "2.5"],
            &[I64(9_007_199_254_740_993), F64(2.5)],
        );
        check(&["true", "false"], &[Bool(true), Bool(false)]);
        check(&["true", "1"], &[Text("true".into()), F64(1.0)]);
        check(
            &["1.5", "off", "nan", "1e999"],
            &[
                F64(1.5),
                Text("off".into()),
                Text("nan".into()),
                Text("1e999".into()),
            ],
        );
    }

    #[test]
    fn blanks_around_a_value_do_not_count() {
        check(
            &[" 21.5", "21.5 ", "\t20"],
            &[F64(21.5), F64(21.5), F64(20.0)],
        );
        check(&[" 1", " -2 "], &[I64(1), I64(-2)]);
        check(&[" true", "false "], &[Bool(true), Bool(false)]);
        check(&[" \"21.5\"", "\"20\" "], &[F64(21.5), F64(20.0)]);
        check(
            &[" on", "at  rest "],
            &[Text("on".into()), Text("at  rest".into())],
        );
        assert_eq!(trimmed("  "), "");
    }

    #[test]
    fn a_decimal_comma_is_read_when_told() {
        let check = |cells: &[&str], expected: &[Option<Value>]| {
            assert_eq!(values(cells, Decimal::Comma), expected, "{cells:?}");
        };
        check(&["987,5", "1.234"], &[Some(F64(987.5)), Some(F64(1234.0))]);
        check(&["1.234", "2"], &[Some(I64(1234)), Some(I64(2))]);
        check(
            &["-1.234.567,25", "+0,5", ",5", "1,"],
            &[-1_234_567.25, 0.5, 0.5, 1.0].map(F64).map(Some),
        );
        check(
            &["1 234,5", "1\u{a0}234", "1\u{202f}234"],
            &[1234.5, 1234.0, 1234.0].map(F64).map(Some),
        );
        check(&["1,5e3", "2"], &[Some(F64(1500.0)), Some(F64(2.0))]);
        check(
            &["12.34", "1.2345", "1,2,3", "1.23,4", "1,5"],
            &[None, None, None, None, Some(F64(1.5))],
        );
        check(
            &["off", "1,5", "v1,2"],
            &[
                Some(Text("off".into())),
                Some(F64(1.5)),
                Some(Text("v1,2".into())),
            ],
        );
        assert_eq!(
            values(&["987,5"], Decimal::Point),
            [Some(Text("987,5".into()))]
        );
    }

    #[test]
    fn what_a_decimal_comma_would_read_is_known() {
        for (cell, would) in [
            ("987,5", true),
            ("1.234,5", true),
            ("1.5", false),
            ("a,b", false),
            ("1,2,3", false),
        ] {
            assert_eq!(has_decimal_comma(cell), would, "{cell}");
        }
    }
}
