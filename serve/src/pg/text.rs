//! Texts of values as PostgreSQL writes them, where the encoder writes them otherwise: fractions of seconds and of numbers
//! without zeros at their end, and infinity in full.

use bytes::BytesMut;
use datafusion_postgres::pgwire::{
    api::{
        Type,
        results::{FieldFormat, FieldInfo},
    },
    messages::data::DataRow,
};

/// What a column's texts need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Time,
    Float,
    AsItIs,
}

/// Rewrites the rows of one answer.
#[derive(Debug, Clone)]
pub(super) struct Texts(Vec<Column>);

impl Texts {
    pub(super) fn of(fields: &[FieldInfo]) -> Self {
        Self(fields.iter().map(column).collect())
    }

    /// The row with PostgreSQL's texts.
    pub(super) fn rewritten(&self, row: DataRow) -> DataRow {
        if self.0.iter().all(|column| *column == Column::AsItIs) {
            return row;
        }
        let mut data = BytesMut::with_capacity(row.data.len());
        let mut rest = &row.data[..];
        for column in &self.0 {
            let Some((length, after)) = rest.split_first_chunk::<4>() else {
                break;
            };
            // A null has the length -1, and no bytes.
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let Some(length) = length else {
                data.extend_from_slice(&rest[..4]);
                rest = after;
                continue;
            };
            let (value, after) = after.split_at(length.min(after.len()));
            let value = text(*column, value);
            let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
            data.extend_from_slice(&length.to_be_bytes());
            data.extend_from_slice(value.first);
            data.extend_from_slice(value.second);
            rest = after;
        }
        DataRow::new(data, row.field_count)
    }
}

fn column(field: &FieldInfo) -> Column {
    if field.format() != FieldFormat::Text {
        return Column::AsItIs;
    }
    match *field.datatype() {
        Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::TIME => Column::Time,
        Type::FLOAT4 | Type::FLOAT8 => Column::Float,
        _ => Column::AsItIs,
    }
}

/// A text of two parts.
#[derive(Debug, Clone, Copy)]
struct Parts<'a> {
    first: &'a [u8],
    second: &'a [u8],
}

impl Parts<'_> {
    fn len(&self) -> usize {
        self.first.len() + self.second.len()
    }
}

fn text(column: Column, value: &[u8]) -> Parts<'_> {
    let whole = |first| Parts { first, second: b"" };
    match column {
        Column::AsItIs => whole(value),
        Column::Float => match value {
            b"inf" => whole(b"Infinity"),
            b"-inf" => whole(b"-Infinity"),
            value => whole(value.strip_suffix(b".0").unwrap_or(value)),
        },
        Column::Time => {
            let Some(point) = value.iter().position(|byte| *byte == b'.') else {
                return whole(value);
            };
            let is_zone = |byte: &u8| !byte.is_ascii_digit();
            let digits = value[point + 1..].iter().position(is_zone);
            let end = digits.map_or(value.len(), |digits| point + 1 + digits);
            let mut first = &value[..end];
            while let Some(shorter) = first.strip_suffix(b"0") {
                first = shorter;
            }
            first = first.strip_suffix(b".").unwrap_or(first);
            Parts {
                first,
                second: &value[end..],
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[Option<&str>]) -> DataRow {
        let mut data = BytesMut::new();
        for value in values {
            let length = value.map_or(-1, |value| i32::try_from(value.len()).unwrap());
            data.extend_from_slice(&length.to_be_bytes());
            data.extend_from_slice(value.unwrap_or_default().as_bytes());
        }
        let field_count = i16::try_from(values.len()).unwrap();
        DataRow::new(data, field_count)
    }

    #[test]
    fn zeros_at_the_end_of_fractions_are_left_out() {
        let field = |data_type, format| FieldInfo::new("a".into(), None, None, data_type, format);
        let fields = [
            field(Type::TIMESTAMPTZ, FieldFormat::Text),
            field(Type::FLOAT8, FieldFormat::Text),
            field(Type::TEXT, FieldFormat::Text),
            field(Type::FLOAT8, FieldFormat::Binary),
        ];
        let texts = Texts::of(&fields);
        for (encoded, expected) in [
            (
                [
                    Some("2026-05-01 00:00:00.000000+00"),
                    Some("2.0"),
                    Some("2.0"),
                    Some("1234567.0"),
                ],
                [
                    Some("2026-05-01 00:00:00+00"),
                    Some("2"),
                    Some("2.0"),
                    Some("1234567.0"),
                ],
            ),
            (
                [
                    Some("2026-05-01 00:00:10.120000-03:30"),
                    Some("1e20"),
                    None,
                    None,
                ],
                [
                    Some("2026-05-01 00:00:10.12-03:30"),
                    Some("1e20"),
                    None,
                    None,
                ],
            ),
            (
                [None, Some("-inf"), Some(""), None],
                [None, Some("-Infinity"), Some(""), None],
            ),
            (
                [
                    Some("2026-05-01 00:00:00.000001"),
                    Some("100.0"),
                    None,
                    None,
                ],
                [Some("2026-05-01 00:00:00.000001"), Some("100"), None, None],
            ),
            (
                [Some("2026-05-01 00:00:00"), Some("0"), None, None],
                [Some("2026-05-01 00:00:00"), Some("0"), None, None],
            ),
        ] {
            let rewritten = texts.rewritten(row(&encoded));
            assert_eq!(rewritten.data, row(&expected).data, "{encoded:?}");
        }
    }
}
