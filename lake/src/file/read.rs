//! Opening what `write_file` made.

use std::{ops::Range, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
};
use bytes::Bytes;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    errors::ParquetError,
    file::{
        column_crypto_metadata::ColumnCryptoMetaData,
        metadata::{PageIndexPolicy, ParquetMetaData},
    },
};

use super::FileError;
use crate::{
    file::schema::dictionary_field,
    keys::{KeyDecrypter, KeyError},
};

/// First and last bytes of a Parquet file with an encrypted footer.
const SEALED: &[u8] = b"PARE";

/// Rows of one batch of a file that is read whole.
const BATCH_ROWS: usize = 32 * 1024;

/// Options with which parquet opens our files: page index where there is one, keys from the decrypter if the table is encrypted.
///
/// They do not refuse a clear file, nor do they tell of a missing column key: see [`check_sealed`], [`check_keys`].
///
/// # Errors
/// None in practice.
pub fn open_options(
    decrypter: Option<&Arc<KeyDecrypter>>,
) -> Result<ArrowReaderOptions, FileError> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    Ok(match decrypter {
        Some(decrypter) => options
            .with_file_decryption_properties(decrypter.properties().map_err(FileError::Read)?),
        None => options,
    })
}

/// Refuses bytes that are no Parquet file with an encrypted footer. The first and last 4 bytes suffice.
///
/// # Errors
/// [`FileError::NotSealed`].
pub fn check_sealed(bytes: &[u8]) -> Result<(), FileError> {
    if bytes.starts_with(SEALED) && bytes.ends_with(SEALED) {
        Ok(())
    } else {
        Err(FileError::NotSealed)
    }
}

/// Asks for the key of every column chunk: parquet forgets why a key could not be had, and goes on without the chunk's
/// metadata.
///
/// # Errors
/// The decrypter's.
pub fn check_keys(metadata: &ParquetMetaData, decrypter: &KeyDecrypter) -> Result<(), KeyError> {
    for column in metadata
        .row_groups()
        .iter()
        .flat_map(|group| group.columns())
    {
        if let Some(ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(key)) =
            column.crypto_metadata()
        {
            decrypter.data_key(key.key_metadata.as_deref().unwrap_or_default())?;
        }
    }
    Ok(())
}

/// All rows of a file. With a decrypter the file must be sealed, without one it must be clear.
///
/// # Errors
/// As [`open_file`], and [`FileError::Read`] for damaged bytes.
pub fn read_file(
    bytes: Bytes,
    decrypter: Option<&Arc<KeyDecrypter>>,
) -> Result<Vec<RecordBatch>, FileError> {
    open_file(bytes, decrypter, BATCH_ROWS)?.collect()
}

/// The rows of a file, as many at a time. With a decrypter the file must be sealed, without one it must be clear.
///
/// # Errors
/// [`FileError::NotSealed`], [`FileError::Key`] when a key was not prepared, [`FileError::Read`] for damaged bytes.
pub fn open_file(
    bytes: Bytes,
    decrypter: Option<&Arc<KeyDecrypter>>,
    batch_rows: usize,
) -> Result<impl Iterator<Item = Result<RecordBatch, FileError>> + Send + use<>, FileError> {
    open_wanted(bytes, decrypter, batch_rows, &Wanted::default())
}

/// What of a file is wanted, and in which form; all of it, as it was written, by default.
#[derive(Debug, Default)]
pub(crate) struct Wanted<'a> {
    /// These rows, or those of them that there are; all for none.
    pub(crate) rows: Option<Range<usize>>,
    /// These columns; all for none.
    pub(crate) columns: &'a [&'a str],
    /// Columns of text that are given out as dictionaries of 32-bit keys, as they mostly lie in the
    /// file.
    pub(crate) dictionaries: &'a [&'a str],
}

/// As [`open_file`], what is wanted of it.
///
/// # Errors
/// As [`open_file`].
pub(crate) fn open_wanted(
    bytes: Bytes,
    decrypter: Option<&Arc<KeyDecrypter>>,
    batch_rows: usize,
    wanted: &Wanted<'_>,
) -> Result<impl Iterator<Item = Result<RecordBatch, FileError>> + Send + use<>, FileError> {
    if let Some(decrypter) = decrypter {
        check_sealed(&bytes)?;
        // Without the page index, which cannot be read when a key is missing: the missing key is the better message.
        let options = open_options(Some(decrypter))?.with_page_index_policy(PageIndexPolicy::Skip);
        let opened = ArrowReaderMetadata::load(&bytes, options).map_err(key_or_read)?;
        check_keys(opened.metadata(), decrypter)?;
    }
    let reader = metadata(&bytes, open_options(decrypter)?, wanted.dictionaries)
        .and_then(|metadata| {
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, metadata);
            let columns = match wanted.columns {
                [] => ProjectionMask::all(),
                columns => {
                    ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied())
                }
            };
            let builder = builder.with_batch_size(batch_rows).with_projection(columns);
            match &wanted.rows {
                Some(rows) => builder
                    .with_offset(rows.start)
                    .with_limit(rows.len())
                    .build(),
                None => builder.build(),
            }
        })
        .map_err(key_or_read)?;
    Ok(reader.map(|batch| batch.map_err(arrow_read)))
}

/// The file's metadata, and the schema of what it gives out.
fn metadata(
    bytes: &Bytes,
    options: ArrowReaderOptions,
    dictionaries: &[&str],
) -> Result<ArrowReaderMetadata, ParquetError> {
    let found = ArrowReaderMetadata::load(bytes, options.clone())?;
    if dictionaries.is_empty() {
        return Ok(found);
    }
    let options = options.with_schema(with_dictionaries(found.schema(), dictionaries));
    ArrowReaderMetadata::try_new(found.metadata().clone(), options)
}

/// The schema with those of its columns as dictionaries that are texts and have these names.
fn with_dictionaries(schema: &SchemaRef, names: &[&str]) -> SchemaRef {
    let coded = |field: &Arc<Field>| {
        if *field.data_type() != DataType::Utf8 || !names.contains(&field.name().as_str()) {
            return field.clone();
        }
        Arc::new(dictionary_field(field))
    };
    let fields: Vec<_> = schema.fields().iter().map(coded).collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

fn key_or_read(error: ParquetError) -> FileError {
    match error {
        ParquetError::External(source) => match source.downcast::<KeyError>() {
            Ok(error) => FileError::Key(*error),
            Err(source) => FileError::Read(ParquetError::External(source)),
        },
        other => FileError::Read(other),
    }
}

fn arrow_read(error: ArrowError) -> FileError {
    FileError::Read(ParquetError::External(Box::new(error)))
}
