//! One Parquet file in memory: rows to sealed bytes, and back.
//!
//! Invariants: with an encrypted profile every column has a key, checked before and after writing, since parquet
//! writes a column without one in clear; never a Bloom filter, since parquet writes those in clear; a reader that
//! expects a sealed file refuses a clear one. It neither sorts rows nor chooses paths nor stores anything.

mod encodings;
pub(crate) mod hex;
mod profile;
mod read;
pub(crate) mod rows;
pub(crate) mod schema;
pub(crate) mod stats;
pub(crate) mod tags;
#[cfg(test)]
mod tests;
pub(crate) mod time_block;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bytes::Bytes;
use forebay_schemas::ErrorKind;
use parquet::{
    arrow::{ArrowSchemaConverter, ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::{
        metadata::ParquetMetaData,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::SchemaDescriptor,
};
use ring::digest::{SHA256, digest};
use thiserror::Error;

use crate::{
    file::hex::hex,
    keys::{KeyError, WrappedKek},
};

pub use encodings::DoubleEncoding;
pub use profile::{Profile, Sealing, UniformKey};
pub(crate) use read::{Wanted, open_wanted};
pub use read::{check_keys, check_sealed, open_file, open_options, read_file};

/// How a file is laid out; the defaults suit readings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileLayout {
    /// Most rows in one row group: smaller prunes better, larger compresses better.
    pub row_group_rows_max: usize,
    /// Zstandard's level, 1 to 22.
    pub zstd_level: i32,
    /// How doubles are encoded.
    pub doubles: DoubleEncoding,
}

impl FileLayout {
    /// For files that stay: encodings are worth measuring.
    pub const MEASURED: Self = Self {
        doubles: DoubleEncoding::Measured,
        ..Self::QUICK
    };

    /// For files that a merge will soon take in.
    pub const QUICK: Self = Self {
        row_group_rows_max: 128 * 1024,
        zstd_level: 3,
        doubles: DoubleEncoding::Plain,
    };
}

impl Default for FileLayout {
    fn default() -> Self {
        Self::QUICK
    }
}

/// A file ready to be stored.
#[derive(Debug, Clone)]
pub struct EncodedFile {
    /// All of it.
    pub bytes: Bytes,
    /// How many rows it holds.
    pub rows: u64,
    /// SHA-256 of the bytes, in lower-case hexadecimal.
    pub sha256: String,
    /// The key-encryption keys that a reader has to fetch; none for a clear file.
    pub keks: Vec<WrappedKek>,
}

/// Why a file could not be written or read.
#[derive(Debug, Error)]
pub enum FileError {
    /// A key could not be had.
    #[error("no key for the file")]
    Key(#[from] KeyError),
    /// The rows do not fit the format.
    #[error("cannot write the file")]
    Write(#[source] ParquetError),
    /// The bytes are not what we wrote, or not written for these keys.
    #[error("cannot read the file: it is damaged, or its keys are not the ones it names")]
    Read(#[source] ParquetError),
    /// The writer was about to leave a column in clear.
    #[error("column {column} of an encrypted file has no key")]
    Unkeyed {
        /// Its path in the schema.
        column: String,
    },
    /// A clear file where a sealed one belongs, or bytes that are no Parquet file.
    #[error("the file is not sealed, although its table is encrypted")]
    NotSealed,
}

impl FileError {
    /// What a caller may do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Key(error) => error.kind(),
            Self::Write(_) | Self::Unkeyed { .. } => ErrorKind::Fatal,
            Self::Read(ParquetError::External(source)) => source
                .downcast_ref::<KeyError>()
                .map_or(ErrorKind::Corrupt, KeyError::kind),
            Self::Read(_) | Self::NotSealed => ErrorKind::Corrupt,
        }
    }
}

/// Encodes rows, already sorted, with the file's columns only. CPU-bound: keep it off the reactor.
///
/// The sealing is used up: no two files share their keys.
///
/// # Errors
/// [`FileError::Key`], [`FileError::Write`], [`FileError::Unkeyed`]; nothing is given out then.
pub fn write_file(
    rows: &RecordBatch,
    sealing: Sealing,
    layout: &FileLayout,
) -> Result<EncodedFile, FileError> {
    write_batches(
        &rows.schema(),
        rows,
        std::iter::once(Ok(rows.clone())),
        sealing,
        layout,
    )
}

/// As [`write_file`], a batch at a time: no more is held than a row group's pages and the file that grows. Encodings are
/// chosen by the sample, which has the file's columns, or none: then they are not measured.
///
/// # Errors
/// As [`write_file`], and the first of the batches'.
pub fn write_batches<E: From<FileError>>(
    schema: &SchemaRef,
    sample: &RecordBatch,
    batches: impl Iterator<Item = Result<RecordBatch, E>>,
    sealing: Sealing,
    layout: &FileLayout,
) -> Result<EncodedFile, E> {
    let columns = ArrowSchemaConverter::new()
        .convert(schema)
        .map_err(FileError::Write)?;
    let mut properties =
        base_properties(layout)?.set_max_row_group_row_count(Some(layout.row_group_rows_max));
    properties = encodings::choose(properties, schema, sample, layout)?;
    let sealed = sealing.keys_for(&columns)?;
    let mut keks = Vec::new();
    let is_sealed = sealed.is_some();
    if let Some(sealed) = sealed {
        properties = properties.with_file_encryption_properties(sealed.properties);
        keks = sealed.keks;
    }

    let (mut bytes, mut rows) = (Vec::new(), 0);
    // Arrow's own schema beside Parquet's would be an eighth of a file's footer, and says nothing that readers miss.
    let options = ArrowWriterOptions::new()
        .with_properties(properties.build())
        .with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(&mut bytes, schema.clone(), options)
        .map_err(FileError::Write)?;
    for batch in batches {
        let batch = batch?;
        rows += batch.num_rows() as u64;
        writer.write(&batch).map_err(FileError::Write)?;
    }
    let metadata = writer.close().map_err(FileError::Write)?;
    let bytes = Bytes::from(bytes);
    if is_sealed {
        check_sealed(&bytes)?;
        check_all_keyed(&metadata, &columns)?;
    }
    Ok(EncodedFile {
        rows,
        sha256: sha256_hex(&bytes),
        bytes,
        keks,
    })
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn base_properties(
    layout: &FileLayout,
) -> Result<parquet::file::properties::WriterPropertiesBuilder, FileError> {
    let zstd = ZstdLevel::try_new(layout.zstd_level).map_err(FileError::Write)?;
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(zstd))
        .set_bloom_filter_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None))
}

/// What parquet says that it wrote: every chunk of every column under a key.
fn check_all_keyed(metadata: &ParquetMetaData, schema: &SchemaDescriptor) -> Result<(), FileError> {
    for group in metadata.row_groups() {
        for (chunk, column) in group.columns().iter().zip(schema.columns()) {
            if chunk.crypto_metadata().is_none() || chunk.bloom_filter_offset().is_some() {
                return Err(FileError::Unkeyed {
                    column: column.path().string(),
                });
            }
        }
    }
    Ok(())
}
