//! Rows of several files as one batch in the order of their table's files.
//!
//! Each file is sorted already, and what files hold of a series mostly follows one another: so whole stretches of rows are
//! moved, and only a series whose stretches overlap is sorted row by row. The order does not depend on the files: identity
//! decides among equal times. A table without series keeps the order that it is given.

use std::{collections::BTreeMap, ops::Range};

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch, UInt64Array},
    compute::{concat_batches, interleave_record_batch, partition, take_arrays},
    datatypes::{DataType, Int64Type, TimestampMicrosecondType},
    error::ArrowError,
    row::{OwnedRow, RowConverter, SortField},
};

/// What tells series apart, in the order of a file.
const SERIES_COLUMNS: [&str; 2] = ["device", "tag"];
/// What orders the rows of a series; numbers all.
const PLACE_COLUMNS: [&str; 3] = ["event_time", "epoch", "seq"];

/// Arrow addresses a column's texts with 31 bits.
const TEXT_BYTES_MAX: usize = i32::MAX as usize;
/// Shorter stretches than this, on the average, are cheaper to move row by row.
const STRETCH_ROWS_MIN: usize = 16;

/// Rows of one batch and one series that stand together.
#[derive(Debug)]
struct Stretch {
    batch: usize,
    rows: Range<usize>,
}

/// All rows, sorted; `None` when a column's texts are too long for one batch.
pub(super) fn sorted(batches: &[RecordBatch]) -> Result<Option<RecordBatch>, ArrowError> {
    let Some(first) = batches.first() else {
        return Err(ArrowError::InvalidArgumentError("no rows to sort".into()));
    };
    if (0..first.num_columns()).any(|column| text_bytes(batches, column) > TEXT_BYTES_MAX) {
        return Ok(None);
    }
    let schema = first.schema();
    let names: Vec<usize> = SERIES_COLUMNS.iter().filter_map(|name| schema.index_of(name).ok()).collect();
    if names.is_empty() {
        return concat_batches(&schema, batches).map(Some);
    }
    let places: Vec<Places<'_>> = batches.iter().map(Places::of).collect();
    let mut order = Vec::new();
    for mut stretches in by_series(batches, &names)?.into_values() {
        if !follow_one_another(&stretches, &places) {
            stretches = row_by_row(&stretches, &places);
        }
        order.append(&mut stretches);
    }
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if order.len() * STRETCH_ROWS_MIN <= rows {
        let slices: Vec<RecordBatch> =
            order.iter().map(|Stretch { batch, rows }| batches[*batch].slice(rows.start, rows.len())).collect();
        return concat_batches(&schema, &slices).map(Some);
    }
    let order: Vec<(usize, usize)> =
        order.into_iter().flat_map(|Stretch { batch, rows }| rows.map(move |row| (batch, row))).collect();
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    interleave_record_batch(&batches, &order).map(Some)
}

/// The stretches of each series, the series in the order of a file.
fn by_series(batches: &[RecordBatch], names: &[usize]) -> Result<BTreeMap<OwnedRow, Vec<Stretch>>, ArrowError> {
    let mut series: BTreeMap<OwnedRow, Vec<Stretch>> = BTreeMap::new();
    let Some(first) = batches.first() else { return Ok(series) };
    let fields = names.iter().map(|name| SortField::new(first.column(*name).data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    for (number, batch) in batches.iter().enumerate() {
        let columns: Vec<ArrayRef> = names.iter().map(|name| batch.column(*name).clone()).collect();
        let ranges = partition(&columns)?.ranges();
        let heads = UInt64Array::from_iter_values(ranges.iter().map(|rows| rows.start as u64));
        let keys = converter.convert_columns(&take_arrays(&columns, &heads, None)?)?;
        for (key, rows) in keys.iter().zip(ranges) {
            series.entry(key.owned()).or_default().push(Stretch { batch: number, rows });
        }
    }
    Ok(series)
}

/// The numbers that order a batch's rows within their series.
struct Places<'a>(Vec<&'a [i64]>);

impl<'a> Places<'a> {
    fn of(batch: &'a RecordBatch) -> Self {
        let columns = PLACE_COLUMNS.iter().filter_map(|name| batch.column_by_name(name));
        let times = |column: &'a ArrayRef| column.as_primitive_opt::<TimestampMicrosecondType>().map(|a| &**a.values());
        let longs = |column: &'a ArrayRef| column.as_primitive_opt::<Int64Type>().map(|a| &**a.values());
        Self(columns.filter_map(|column| times(column).or_else(|| longs(column))).collect())
    }

    fn get(&self, row: usize) -> [i64; PLACE_COLUMNS.len()] {
        let mut place = [0; PLACE_COLUMNS.len()];
        place.iter_mut().zip(&self.0).for_each(|(number, column)| *number = column[row]);
        place
    }
}

/// Whether a series' stretches, as they are given, are in order.
fn follow_one_another(stretches: &[Stretch], places: &[Places<'_>]) -> bool {
    stretches.iter().flat_map(|Stretch { batch, rows }| rows.clone().map(|row| places[*batch].get(row))).is_sorted()
}

/// A series' rows in order, those together that stand together.
fn row_by_row(stretches: &[Stretch], places: &[Places<'_>]) -> Vec<Stretch> {
    let rows = stretches.iter().flat_map(|Stretch { batch, rows }| rows.clone().map(|row| (*batch, row)));
    let mut rows: Vec<_> = rows.map(|(batch, row)| (places[batch].get(row), batch, row)).collect();
    // Stable, and quick on what is made of sorted runs.
    rows.sort_by_key(|(place, ..)| *place);
    let mut ordered: Vec<Stretch> = Vec::new();
    for (_, batch, row) in rows {
        match ordered.last_mut().filter(|last| last.batch == batch && last.rows.end == row) {
            Some(last) => last.rows.end += 1,
            None => ordered.push(Stretch { batch, rows: row..row + 1 }),
        }
    }
    ordered
}

fn text_bytes(batches: &[RecordBatch], column: usize) -> usize {
    let of = |array: &ArrayRef| match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value_data().len(),
        DataType::Binary => array.as_binary::<i32>().value_data().len(),
        _ => 0,
    };
    batches.iter().map(|batch| of(batch.column(column))).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Int64Array, StringArray},
        datatypes::{Field, Schema},
    };

    use super::*;

    type Rows<'a> = Vec<(&'a str, i64, i64)>;

    /// Rows of device, time and seq.
    fn batch(rows: &[(&str, i64, i64)]) -> RecordBatch {
        let field = |name: &str, of: &DataType| Field::new(name, of.clone(), false);
        let schema = Schema::new(vec![
            field("device", &DataType::Utf8),
            field("event_time", &DataType::Int64),
            field("seq", &DataType::Int64),
        ]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.0))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
            Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.2))),
        ];
        RecordBatch::try_new(Arc::new(schema), columns).unwrap()
    }

    #[track_caller]
    fn check(files: &[Rows<'_>]) {
        let batches: Vec<RecordBatch> = files.iter().map(|rows| batch(rows)).collect();
        let mut expected: Rows<'_> = files.iter().flatten().copied().collect();
        expected.sort();
        assert_eq!(sorted(&batches).unwrap().unwrap(), batch(&expected));
    }

    fn series(device: &str, times: Range<i64>) -> Rows<'_> {
        times.map(|time| (device, time, time * 10)).collect()
    }

    #[test]
    fn rows_are_sorted_whatever_files_they_come_from() {
        let all = |parts: &[Rows<'static>]| parts.concat();
        check(&[all(&[series("a", 0..50), series("b", 0..50)]), all(&[series("a", 50..90), series("b", 50..99)])]);
        // The later file first, and files that overlap.
        check(&[series("a", 60..90), series("a", 0..60)]);
        check(&[series("a", 0..60), series("a", 30..90), series("b", 0..3)]);
        let every_other = |from: i64| (0..40).map(|n| ("a", n * 2 + from, n)).collect();
        check(&[every_other(0), every_other(1)]);
        // A file that is not sorted itself.
        check(&[vec![("b", 3, 1), ("a", 2, 1), ("b", 1, 1), ("a", 1, 2), ("a", 1, 1)]]);
        check(&[Vec::new(), series("a", 0..1)]);
    }
}
