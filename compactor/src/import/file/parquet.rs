//! A Parquet file, row by row, each cell as text: what follows knows one kind of file.
//!
//! A double, written in the shortest form that is read back exactly, is the same double; a column of text stays text, whatever its
//! cells look like.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use arrow::{
    array::RecordBatch,
    datatypes::DataType,
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};
use csv::ByteRecord;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::Column;
use crate::import::{ImportError, cell::ColumnKind};

/// Rows that are in memory at once.
const ROWS_AT_ONCE: usize = 8192;

pub(in super::super) struct ParquetRecords {
    file: PathBuf,
    columns: Vec<Column>,
    batches: ParquetRecordBatchReader,
    batch: Option<RecordBatch>,
    next: usize,
}

impl ParquetRecords {
    pub(super) fn open(path: &Path) -> Result<Self, ImportError> {
        let file = File::open(path).map_err(|source| ImportError::Open {
            file: path.to_owned(),
            source,
        })?;
        let unread = |error: parquet::errors::ParquetError| ImportError::Parquet {
            file: path.to_owned(),
            source: ArrowError::from(error),
        };
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(unread)?;
        let fields = reader.schema().fields();
        let columns = fields.iter().map(|field| Column {
            name: field.name().trim().to_owned(),
            kind: kind(field.data_type()),
            unreadable: (!is_readable(field.data_type())).then(|| field.data_type().to_string()),
        });
        Ok(Self {
            columns: columns.collect(),
            batches: reader
                .with_batch_size(ROWS_AT_ONCE)
                .build()
                .map_err(unread)?,
            file: path.to_owned(),
            batch: None,
            next: 0,
        })
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The next record; `false` at the end.
    pub(super) fn read(&mut self, record: &mut ByteRecord) -> Result<bool, ImportError> {
        let unread = |source| ImportError::Parquet {
            file: self.file.clone(),
            source,
        };
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|at| self.next < at.num_rows()) {
                fill(record, batch, self.next, &self.columns).map_err(unread)?;
                self.next += 1;
                return Ok(true);
            }
            match self.batches.next().transpose().map_err(unread)? {
                None => return Ok(false),
                Some(batch) => (self.batch, self.next) = (Some(batch), 0),
            }
        }
    }
}

fn fill(
    record: &mut ByteRecord,
    batch: &RecordBatch,
    row: usize,
    columns: &[Column],
) -> Result<(), ArrowError> {
    let options = FormatOptions::new().with_null("");
    record.clear();
    for (array, column) in batch.columns().iter().zip(columns) {
        if column.unreadable.is_some() {
            record.push_field(b"");
            continue;
        }
        let cell = ArrayFormatter::try_new(array.as_ref(), &options)?
            .value(row)
            .try_to_string()?;
        record.push_field(cell.as_bytes());
    }
    Ok(())
}

fn kind(data_type: &DataType) -> ColumnKind {
    match data_type {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => ColumnKind::Double,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnKind::Text,
        DataType::Dictionary(_, values) => kind(values),
        _ => ColumnKind::default(),
    }
}

/// Whether a cell of this type is one value that has a form as text.
fn is_readable(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_readable(values),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => false,
        other => !other.is_nested(),
    }
}
