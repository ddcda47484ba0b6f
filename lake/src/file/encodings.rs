//! Which encoding, compression and statistics each column gets. Measured on readings: times and numbers delta-packed are
//! half the size of parquet's defaults and twice as fast; for doubles it depends on the signal, and a sample can decide.
//!
//! Only encodings that Spark's vectorised reader knows: 4.1.0 refuses a file with BYTE_STREAM_SPLIT. Statistics and a page
//! index have the columns alone by which pages are passed over: of every other column they would cost a small file more than
//! its values.

use std::sync::Arc;

use arrow::{
    array::{Array, RecordBatch},
    compute::concat,
    datatypes::{DataType, Field, Schema},
};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, Encoding, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterPropertiesBuilder},
    schema::types::ColumnPath,
};

use super::{FileError, FileLayout, base_properties};

/// The sample: slices from all over the file, since neighbours are of one series.
const SLICES: usize = 8;
const SLICE_ROWS: usize = 1024;

/// Pages are passed over by these columns.
const INDEXED: [&str; 4] = ["device", "tag", "event_time", "time_start"];

/// The level at which values are compressed where a sample shrinks by a twelfth or more: it costs a merge half as much again.
const HIGH_LEVEL: i32 = 9;
const WORTH_PART: usize = 12;

/// How doubles are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoubleEncoding {
    /// PLAIN or a dictionary, at the layout's Zstandard level or a higher one, whichever makes a sample of some thousand
    /// values smaller.
    Measured,
    /// PLAIN, which every reader knows.
    Plain,
}

/// Sets every column's encoding; strings and bytes keep parquet's dictionaries.
pub(super) fn choose(
    mut properties: WriterPropertiesBuilder,
    schema: &Schema,
    sampled: &RecordBatch,
    layout: &FileLayout,
) -> Result<WriterPropertiesBuilder, FileError> {
    for field in schema.fields() {
        let column = ColumnPath::from(field.name().as_str());
        if INDEXED.contains(&field.name().as_str()) {
            properties =
                properties.set_column_statistics_enabled(column.clone(), EnabledStatistics::Page);
        }
        let encoding = match field.data_type() {
            DataType::Timestamp(..)
            | DataType::Date32
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64 => Encoding::DELTA_BINARY_PACKED,
            DataType::Float64 => {
                let values = sampled
                    .column_by_name(field.name())
                    .filter(|_| layout.doubles == DoubleEncoding::Measured);
                let chosen = values
                    .map(|values| smallest(values.as_ref(), layout))
                    .transpose()?
                    .unwrap_or_default();
                let zstd = ZstdLevel::try_new(chosen.level.unwrap_or(layout.zstd_level))
                    .map_err(FileError::Write)?;
                properties =
                    properties.set_column_compression(column.clone(), Compression::ZSTD(zstd));
                if chosen.dictionary {
                    continue;
                }
                Encoding::PLAIN
            }
            _ => continue,
        };
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, encoding);
    }
    Ok(properties)
}

/// How the doubles of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Chosen {
    dictionary: bool,
    /// The layout's where none is given.
    level: Option<i32>,
}

fn smallest(values: &dyn Array, layout: &FileLayout) -> Result<Chosen, FileError> {
    if values.null_count() == values.len() {
        return Ok(Chosen::default());
    }
    let sample = sample(values)?;
    let dictionary = Chosen {
        dictionary: true,
        level: None,
    };
    let (mut best, mut least) = (
        Chosen::default(),
        encoded_bytes(&sample, Chosen::default(), layout)?,
    );
    let bytes = encoded_bytes(&sample, dictionary, layout)?;
    if bytes < least {
        (best, least) = (dictionary, bytes);
    }
    let high = Chosen {
        level: Some(HIGH_LEVEL.max(layout.zstd_level)),
        ..best
    };
    let bytes = encoded_bytes(&sample, high, layout)?;
    Ok(if bytes + least / WORTH_PART <= least {
        high
    } else {
        best
    })
}

fn sample(values: &dyn Array) -> Result<RecordBatch, FileError> {
    let rows = values.len();
    let slices: Vec<_> = if rows <= SLICES * SLICE_ROWS {
        vec![values.slice(0, rows)]
    } else {
        (0..SLICES)
            .map(|i| values.slice(i * (rows - SLICE_ROWS) / (SLICES - 1), SLICE_ROWS))
            .collect()
    };
    let slices: Vec<&dyn Array> = slices.iter().map(AsRef::as_ref).collect();
    let schema = Schema::new(vec![Field::new("sample", values.data_type().clone(), true)]);
    concat(&slices)
        .and_then(|array| RecordBatch::try_new(Arc::new(schema), vec![array]))
        .map_err(|error| FileError::Write(ParquetError::from(error)))
}

fn encoded_bytes(
    sample: &RecordBatch,
    chosen: Chosen,
    layout: &FileLayout,
) -> Result<usize, FileError> {
    let layout = FileLayout {
        zstd_level: chosen.level.unwrap_or(layout.zstd_level),
        ..*layout
    };
    let properties = base_properties(&layout)?
        .set_dictionary_enabled(chosen.dictionary)
        .build();
    let write = || {
        let mut writer = ArrowWriter::try_new(Vec::new(), sample.schema(), Some(properties))?;
        writer.write(sample)?;
        writer.into_inner()
    };
    write().map(|bytes| bytes.len()).map_err(FileError::Write)
}
