//! Which encoding each column gets. Measured on readings: times and numbers delta-packed are half the size of parquet's
//! defaults and twice as fast; for doubles it depends on the signal, and a sample can decide.

use std::sync::Arc;

use arrow::{
    array::{Array, RecordBatch},
    compute::concat,
    datatypes::{DataType, Field, Schema},
};
use parquet::{
    arrow::ArrowWriter, basic::Encoding, errors::ParquetError, file::properties::WriterPropertiesBuilder,
    schema::types::ColumnPath,
};

use super::{FileError, FileLayout, base_properties};

/// The sample: slices from all over the file, since neighbours are of one series.
const SLICES: usize = 8;
const SLICE_ROWS: usize = 8 * 1024;

/// How doubles are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubleEncoding {
    /// PLAIN or BYTE_STREAM_SPLIT, whichever makes a sample of up to 64 Ki values smaller. Spark 4.1 reads the latter
    /// only with `spark.sql.parquet.enableVectorizedReader=false`.
    Measured,
    /// PLAIN, which every reader knows.
    Plain,
}

/// Sets every column's encoding; strings and bytes keep parquet's dictionaries.
pub(super) fn choose(
    mut properties: WriterPropertiesBuilder,
    rows: &RecordBatch,
    layout: &FileLayout,
) -> Result<WriterPropertiesBuilder, FileError> {
    for (field, array) in rows.schema().fields().iter().zip(rows.columns()) {
        let encoding = match field.data_type() {
            DataType::Timestamp(..) | DataType::Date32 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Encoding::DELTA_BINARY_PACKED
            }
            DataType::Float64 => match layout.doubles {
                DoubleEncoding::Plain => Encoding::PLAIN,
                DoubleEncoding::Measured => smallest(array.as_ref(), layout)?,
            },
            _ => continue,
        };
        let column = ColumnPath::from(field.name().as_str());
        properties =
            properties.set_column_dictionary_enabled(column.clone(), false).set_column_encoding(column, encoding);
    }
    Ok(properties)
}

fn smallest(values: &dyn Array, layout: &FileLayout) -> Result<Encoding, FileError> {
    if values.null_count() == values.len() {
        return Ok(Encoding::PLAIN);
    }
    let sample = sample(values)?;
    let plain = encoded_bytes(&sample, Encoding::PLAIN, layout)?;
    let split = encoded_bytes(&sample, Encoding::BYTE_STREAM_SPLIT, layout)?;
    Ok(if split < plain { Encoding::BYTE_STREAM_SPLIT } else { Encoding::PLAIN })
}

fn sample(values: &dyn Array) -> Result<RecordBatch, FileError> {
    let rows = values.len();
    let slices: Vec<_> = if rows <= SLICES * SLICE_ROWS {
        vec![values.slice(0, rows)]
    } else {
        (0..SLICES).map(|i| values.slice(i * (rows - SLICE_ROWS) / (SLICES - 1), SLICE_ROWS)).collect()
    };
    let slices: Vec<&dyn Array> = slices.iter().map(AsRef::as_ref).collect();
    let schema = Schema::new(vec![Field::new("sample", values.data_type().clone(), true)]);
    concat(&slices)
        .and_then(|array| RecordBatch::try_new(Arc::new(schema), vec![array]))
        .map_err(|error| FileError::Write(ParquetError::from(error)))
}

fn encoded_bytes(sample: &RecordBatch, encoding: Encoding, layout: &FileLayout) -> Result<usize, FileError> {
    let properties = base_properties(layout)?.set_dictionary_enabled(false).set_encoding(encoding).build();
    let write = || {
        let mut writer = ArrowWriter::try_new(Vec::new(), sample.schema(), Some(properties))?;
        writer.write(sample)?;
        writer.into_inner()
    };
    write().map(|bytes| bytes.len()).map_err(FileError::Write)
}
