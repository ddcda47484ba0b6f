//! Reading a sealed file through DataFusion only if it is sealed and all its keys are there.
//!
//! Given decryption keys, parquet still opens a clear file, so someone with the store but without keys could slip one
//! in; and it forgets that a column's key could not be had. Both are refused here, before a row is read. Whatever is wrong
//! with a file is reported with its table and its path.

use std::{ops::Range, panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use datafusion::{
    common::Result,
    datasource::{
        listing::PartitionedFile,
        physical_plan::{ParquetFileReaderFactory, parquet::DefaultParquetFileReaderFactory},
    },
    physical_plan::metrics::ExecutionPlanMetricsSet,
};
use futures::{FutureExt as _, future::BoxFuture};
use object_store::ObjectStore;
use parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    errors::ParquetError,
    file::metadata::ParquetMetaData,
};

use crate::{
    LakeError,
    file::{FileError, check_keys},
    keys::{KeyDecrypter, KeyError},
};

/// Makes readers that check what they open.
#[derive(Debug)]
pub(super) struct CheckedFactory {
    table: &'static str,
    inner: DefaultParquetFileReaderFactory,
    decrypter: Arc<KeyDecrypter>,
}

impl CheckedFactory {
    pub(super) fn new(
        table: &'static str,
        store: Arc<dyn ObjectStore>,
        decrypter: Arc<KeyDecrypter>,
    ) -> Self {
        Self {
            table,
            inner: DefaultParquetFileReaderFactory::new(store),
            decrypter,
        }
    }
}

/// Marks a file that must be sealed: its commit names the keys that wrap its keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct MustBeSealed;

impl ParquetFileReaderFactory for CheckedFactory {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let must_be_sealed = file.extension::<MustBeSealed>().copied();
        let path = file.object_meta.location.to_string();
        let inner = self
            .inner
            .create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(Box::new(CheckedReader {
            table: self.table,
            path,
            must_be_sealed,
            inner,
            decrypter: self.decrypter.clone(),
        }))
    }
}

struct CheckedReader {
    table: &'static str,
    path: String,
    must_be_sealed: Option<MustBeSealed>,
    inner: Box<dyn AsyncFileReader + Send>,
    decrypter: Arc<KeyDecrypter>,
}

impl AsyncFileReader for CheckedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        Box::pin(async move {
            // On some garbage parquet 59 does not return an error but panics (docs/FACTS.md): that is the file's fault too.
            let read = AssertUnwindSafe(self.metadata(options))
                .catch_unwind()
                .await;
            let read =
                read.unwrap_or_else(|_| Err(ParquetError::General("its footer is invalid".into())));
            read.map_err(|error| {
                if !is_the_files_fault(&error) {
                    return error;
                }
                let why = format!(
                    "{error}; `forebay verify` tells whether it is the file that was committed"
                );
                let (table, path) = (self.table, self.path.clone());
                ParquetError::External(Box::new(LakeError::Damaged { table, path, why }))
            })
        })
    }
}

impl CheckedReader {
    async fn metadata(
        &mut self,
        options: Option<&ArrowReaderOptions>,
    ) -> parquet::errors::Result<Arc<ParquetMetaData>> {
        let metadata = self.inner.get_metadata(options).await?;
        if let Some(MustBeSealed) = self.must_be_sealed {
            let mut columns = metadata
                .row_groups()
                .iter()
                .flat_map(|group| group.columns());
            if columns.any(|column| column.crypto_metadata().is_none()) {
                return Err(ParquetError::External(Box::new(FileError::NotSealed)));
            }
            check_keys(&metadata, &self.decrypter)
                .map_err(|error| ParquetError::External(Box::new(error)))?;
        }
        Ok(metadata)
    }
}

/// A link that is down or a key that is missing says nothing of the file.
fn is_the_files_fault(error: &ParquetError) -> bool {
    let ParquetError::External(source) = error else {
        return true;
    };
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(source.as_ref());
    while let Some(at) = cause {
        if let Some(error) = at.downcast_ref::<object_store::Error>() {
            return matches!(error, object_store::Error::NotFound { .. });
        }
        if at.is::<KeyError>() || matches!(at.downcast_ref(), Some(FileError::Key(_))) {
            return false;
        }
        cause = at.source();
    }
    true
}
