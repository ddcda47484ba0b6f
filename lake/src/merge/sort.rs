//! Rows of several files as one batch in the order of their table's files.

use arrow::{
    array::{Array as _, ArrayRef, AsArray as _, RecordBatch},
    compute::{concat_batches, interleave_record_batch},
    datatypes::DataType,
    error::ArrowError,
    row::{RowConverter, SortField},
};

/// The order of a file: by series and event time; identity decides among equals, so that the order is the same
/// whatever files the rows come from. A table without such columns keeps the order that it is given.
const SORT_COLUMNS: [&str; 5] = ["device", "tag", "event_time", "epoch", "seq"];

/// Arrow addresses a column's texts with 31 bits.
const TEXT_BYTES_MAX: usize = i32::MAX as usize;

/// All rows, sorted; `None` when a column's texts are too long for one batch.
pub(super) fn sorted(batches: &[RecordBatch]) -> Result<Option<RecordBatch>, ArrowError> {
    let Some(first) = batches.first() else {
        return Err(ArrowError::InvalidArgumentError("no rows to sort".into()));
    };
    if (0..first.num_columns()).any(|column| text_bytes(batches, column) > TEXT_BYTES_MAX) {
        return Ok(None);
    }
    let schema = first.schema();
    let columns: Vec<usize> = SORT_COLUMNS.iter().filter_map(|name| schema.index_of(name).ok()).collect();
    if columns.is_empty() {
        return concat_batches(&schema, batches).map(Some);
    }
    let fields = columns.iter().map(|i| SortField::new(schema.field(*i).data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let mut keys = Vec::with_capacity(batches.len());
    for batch in batches {
        let columns: Vec<ArrayRef> = columns.iter().map(|i| batch.column(*i).clone()).collect();
        keys.push(converter.convert_columns(&columns)?);
    }
    let mut order: Vec<(usize, usize)> =
        batches.iter().enumerate().flat_map(|(b, batch)| (0..batch.num_rows()).map(move |row| (b, row))).collect();
    // Stable, and quick on what is made of sorted runs.
    order.sort_by(|a, b| keys[a.0].row(a.1).cmp(&keys[b.0].row(b.1)));
    drop(keys);
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    interleave_record_batch(&batches, &order).map(Some)
}

fn text_bytes(batches: &[RecordBatch], column: usize) -> usize {
    let of = |array: &ArrayRef| match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().value_data().len(),
        DataType::Binary => array.as_binary::<i32>().value_data().len(),
        _ => 0,
    };
    batches.iter().map(|batch| of(batch.column(column))).sum()
}
