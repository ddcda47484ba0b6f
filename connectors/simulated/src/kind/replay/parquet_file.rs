//! A Parquet file with the columns on its highest level.

use std::{fs::File, sync::Arc};

use forebay_connectors::finite;
use forebay_schemas::{Timestamp, Value};
use parquet::{
    basic::{LogicalType, TimeUnit},
    file::reader::{FileReader as _, SerializedFileReader},
    record::{Field, reader::RowIter},
    schema::types::Type,
};

use super::{Cell, Recording, Row, Rows, cell, nothing};

/// The rows of a file.
pub(super) fn rows(recording: &Recording) -> Result<Rows, String> {
    let failed = |error: &dyn std::fmt::Display| recording.failed(error);
    let file = File::open(&recording.path).map_err(|error| failed(&error))?;
    let reader = SerializedFileReader::new(file).map_err(|error| failed(&error))?;
    let schema = reader.metadata().file_metadata().schema().clone();
    let own: Vec<String> = schema
        .get_fields()
        .iter()
        .map(|field| field.name().to_owned())
        .collect();
    let (time, columns) = recording.places(&own)?;
    // Others are not read at all.
    let mut wanted: Vec<usize> = columns.iter().copied().chain([time]).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let fields: Vec<Arc<Type>> = wanted
        .iter()
        .filter_map(|place| schema.get_fields().get(*place).cloned())
        .collect();
    let is_of_nanos = fields.iter().any(|field| {
        field.name() == recording.time_column
            && counts_nanos(field.get_basic_info().logical_type_ref())
    });
    let projected = Type::group_type_builder(schema.name())
        .with_fields(fields)
        .build()
        .map_err(|error| failed(&error))?;
    let rows = RowIter::from_file_into(Box::new(reader))
        .project(Some(projected))
        .map_err(|error| failed(&error))?;
    let place = |column: usize| wanted.iter().position(|wanted| *wanted == column);
    let places = Places {
        time: place(time).unwrap_or_default(),
        columns: columns.iter().filter_map(|column| place(*column)).collect(),
        is_of_nanos,
    };
    let recording = recording.clone();
    let rows = (1_u64..).zip(rows).map(move |(number, row)| {
        let row = row.map_err(|error| recording.failed(&error))?;
        Ok(places.row(number, &row))
    });
    Ok(Box::new(rows))
}

/// Where the wanted columns stand in a projected row.
struct Places {
    time: usize,
    columns: Vec<usize>,
    /// The time is an integer of nanoseconds, which its type alone says.
    is_of_nanos: bool,
}

impl Places {
    fn row(&self, number: u64, row: &parquet::record::Row) -> Row {
        let cells: Vec<&Field> = row.get_column_iter().map(|(_, field)| field).collect();
        let cell = |place: usize| cells.get(place).copied().unwrap_or(&Field::Null);
        Row {
            at: self
                .time(cell(self.time))
                .map_err(|what| format!("row {number}: {what}")),
            cells: self
                .columns
                .iter()
                .map(|place| value(cell(*place)))
                .collect(),
        }
    }

    fn time(&self, field: &Field) -> Result<Timestamp, String> {
        let scaled = |count: i64, nanos: i64| count.checked_mul(nanos).map(Timestamp::from_nanos);
        let read = match field {
            Field::Str(text) => return cell::time(text),
            Field::TimestampMillis(count) => scaled(*count, 1_000_000),
            Field::TimestampMicros(count) => scaled(*count, 1_000),
            Field::Long(count) if self.is_of_nanos => Some(Timestamp::from_nanos(*count)),
            Field::Long(count) => scaled(*count, 1_000_000_000),
            Field::Int(count) => scaled(i64::from(*count), 1_000_000_000),
            Field::Double(seconds) => cell::of_seconds(*seconds),
            Field::Float(seconds) => cell::of_seconds(f64::from(*seconds)),
            _ => None,
        };
        read.ok_or_else(|| format!("{field} is not a time"))
    }
}

fn counts_nanos(logical: Option<&LogicalType>) -> bool {
    matches!(logical, Some(LogicalType::Timestamp(time)) if time.unit == TimeUnit::NANOS)
}

/// Numbers keep the file's type; what is neither number, truth nor text is its text.
fn value(field: &Field) -> Cell {
    let number = match field {
        Field::Null => return Err(nothing()),
        Field::Float16(number) => f64::from(*number),
        Field::Float(number) => f64::from(*number),
        Field::Double(number) => *number,
        Field::Bool(truth) => return Ok(Value::Bool(*truth)),
        Field::Byte(number) => return Ok(Value::I64(i64::from(*number))),
        Field::Short(number) => return Ok(Value::I64(i64::from(*number))),
        Field::Int(number) => return Ok(Value::I64(i64::from(*number))),
        Field::Long(number) => return Ok(Value::I64(*number)),
        Field::UByte(number) => return Ok(Value::U64(u64::from(*number))),
        Field::UShort(number) => return Ok(Value::U64(u64::from(*number))),
        Field::UInt(number) => return Ok(Value::U64(u64::from(*number))),
        Field::ULong(number) => return Ok(Value::U64(*number)),
        Field::Str(text) => return Ok(Value::Text(text.clone())),
        Field::Bytes(bytes) => return Ok(Value::Bytes(bytes.data().to_vec())),
        other => return Ok(Value::Text(other.to_string())),
    };
    finite(number, number.to_bits())
}

#[cfg(test)]
mod tests;
