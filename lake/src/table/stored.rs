//! From rows to a data file in the store and the Add action that a commit will carry, and back.

use std::{collections::HashMap, sync::Arc};

use arrow::array::RecordBatch;
use bytes::Bytes;
use deltalake_core::kernel::Add;
use forebay_schemas::{Timestamp, table::Table};
use object_store::{ObjectStoreExt as _, path::Path};

use crate::{
    LakeError,
    file::rows::PartitionRows,
    file::stats::{FileStats, STATS_TAG},
    file::tags::{KEKS_TAG, SHA256_TAG, row_count, tag},
    file::{EncodedFile, Wanted, open_wanted, sha256_hex},
    keys::{KeyDecrypter, WrappedKek},
    table::LakeTable,
};

/// What a data file's name begins and ends with; a UUID stands between.
const DATA_PREFIX: &str = "part-";
const DATA_SUFFIX: &str = ".parquet";

/// The partition of `readings` in which rows lie: folder names and values.
pub fn readings_partition(rows: &PartitionRows) -> Vec<(&'static str, String)> {
    vec![("site", rows.site.as_str().to_owned())]
}

/// The path, in its table, of a new data file.
pub(crate) fn data_path(partition: &[(&'static str, String)], name: uuid::Uuid) -> String {
    let folders = partition
        .iter()
        .map(|(column, value)| format!("{column}={}", segment(value)));
    folders
        .chain([format!("{DATA_PREFIX}{name}{DATA_SUFFIX}")])
        .collect::<Vec<_>>()
        .join("/")
}

/// Whether an object's name is one that [`data_path`] gives.
pub(crate) fn is_data_name(name: &str) -> bool {
    name.strip_prefix(DATA_PREFIX)
        .and_then(|rest| rest.strip_suffix(DATA_SUFFIX))
        .is_some_and(|id| uuid::Uuid::try_parse(id).is_ok())
}

impl LakeTable {
    /// Puts a file into the store and answers its Add action; the file counts only once that is committed.
    ///
    /// # Errors
    /// When the store fails; what it left behind is removed by a later vacuum.
    pub(crate) async fn put_file(
        &self,
        file: EncodedFile,
        path: String,
        partition: &[(&'static str, String)],
        (stats, stats_tag): (&FileStats, String),
        now: Timestamp,
    ) -> Result<Add, LakeError> {
        let location = Path::parse(&path).map_err(object_store::Error::from)?;
        let size = file.bytes.len();
        self.store().put(&location, file.bytes.into()).await?;
        let keks = serde_json::to_string(&file.keks)
            .map_err(|error| tag_error(self.schema(), &path, &error.to_string()))?;
        let tags = [
            (SHA256_TAG, file.sha256),
            (KEKS_TAG, keks),
            (STATS_TAG, stats_tag),
        ];
        let tags = HashMap::from(tags.map(|(name, tag)| (name.to_owned(), Some(tag))));
        Ok(Add {
            path,
            partition_values: partition
                .iter()
                .map(|(c, value)| ((*c).to_owned(), Some(value.clone())))
                .collect(),
            size: size as i64,
            modification_time: now.micros() / 1000,
            data_change: true,
            stats: Some(stats.for_everyone()),
            tags: Some(tags),
            ..Default::default()
        })
    }

    /// A file's bytes, which must be those that were committed; the keys that open them are fetched.
    ///
    /// # Errors
    /// [`LakeError::Damaged`] when it is not, or is not there; the store's and the keys' errors.
    pub(crate) async fn fetch(
        &self,
        add: &Add,
        decrypter: &Arc<KeyDecrypter>,
    ) -> Result<StoredFile, LakeError> {
        let damaged = |why: String| LakeError::Damaged {
            table: self.schema().name,
            path: add.path.clone(),
            why,
        };
        let location = Path::parse(&add.path).map_err(object_store::Error::from)?;
        let bytes = match self.store().get(&location).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => {
                return Err(damaged("it is missing".into()));
            }
            Err(error) => return Err(error.into()),
        };
        if tag(add, SHA256_TAG) != Some(sha256_hex(&bytes).as_str()) {
            return Err(damaged(
                "its SHA-256 is not the one that was committed".into(),
            ));
        }
        let keks = keks(self.schema(), add)?;
        decrypter.prepare(&keks).await?;
        let decrypter = (!keks.is_empty()).then(|| decrypter.clone());
        Ok(StoredFile {
            table: self.schema().name,
            path: add.path.clone(),
            rows: row_count(add),
            bytes,
            decrypter,
        })
    }

    /// All rows of a file.
    ///
    /// # Errors
    /// As [`LakeTable::fetch`].
    #[cfg(test)]
    pub(crate) async fn read(
        &self,
        add: &Add,
        decrypter: &Arc<KeyDecrypter>,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        self.fetch(add, decrypter).await?.open(8_192)?.collect()
    }
}

/// The bytes of a file that was committed, what opens them, and what the log says of it.
#[derive(Clone)]
pub(crate) struct StoredFile {
    table: &'static str,
    path: String,
    rows: Option<u64>,
    bytes: Bytes,
    decrypter: Option<Arc<KeyDecrypter>>,
}

impl StoredFile {
    /// Rows from the `place`th of so many parts of the file.
    pub(crate) fn sample(
        &self,
        (place, places): (usize, usize),
        rows: usize,
    ) -> Result<Vec<RecordBatch>, LakeError> {
        let total = usize::try_from(self.rows.unwrap_or_default()).unwrap_or_default();
        let skip = total.saturating_sub(rows).saturating_mul(place) / places.max(1);
        let wanted = Wanted {
            rows: Some(skip..skip.saturating_add(rows)),
            ..Wanted::default()
        };
        let batches = open_wanted(self.bytes.clone(), self.decrypter.as_ref(), rows, &wanted)?;
        Ok(batches.collect::<Result<_, _>>()?)
    }

    /// Its rows, so many at a time; behind them an error, if there are not as many as were committed. CPU-bound: keep it off
    /// the reactor.
    pub(crate) fn open(
        self,
        batch_rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + Send + use<>, LakeError>
    {
        self.batches(batch_rows, &Wanted::default())
    }

    /// As [`StoredFile::open`], these columns alone; all of them for none.
    pub(crate) fn open_columns(
        self,
        batch_rows: usize,
        columns: &[&str],
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + Send + use<>, LakeError>
    {
        let wanted = Wanted {
            columns,
            ..Wanted::default()
        };
        self.batches(batch_rows, &wanted)
    }

    /// As [`StoredFile::open`], these columns as dictionaries.
    pub(crate) fn open_dictionaries(
        self,
        batch_rows: usize,
        dictionaries: &[&str],
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + Send + use<>, LakeError>
    {
        let wanted = Wanted {
            dictionaries,
            ..Wanted::default()
        };
        self.batches(batch_rows, &wanted)
    }

    fn batches(
        self,
        batch_rows: usize,
        wanted: &Wanted<'_>,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, LakeError>> + Send + use<>, LakeError>
    {
        let Self {
            table,
            path,
            rows: mut committed,
            bytes,
            decrypter,
        } = self;
        let mut batches = open_wanted(bytes, decrypter.as_ref(), batch_rows, wanted)?;
        let mut found = 0;
        Ok(std::iter::from_fn(move || {
            let Some(batch) = batches.next() else {
                let committed = committed.take().filter(|committed| *committed != found)?;
                let why = format!("it has {found} rows instead of {committed}");
                return Some(Err(LakeError::Damaged {
                    table,
                    path: path.clone(),
                    why,
                }));
            };
            found += batch.as_ref().map_or(0, |rows| rows.num_rows() as u64);
            Some(batch.map_err(LakeError::from))
        }))
    }
}

fn tag_error(table: &Table, path: &str, why: &str) -> LakeError {
    LakeError::Foreign {
        table: table.name,
        why: format!("file {path}: {why}"),
    }
}

/// The key-encryption keys that a file's tag names.
pub(crate) fn keks(table: &Table, add: &Add) -> Result<Vec<WrappedKek>, LakeError> {
    match tag(add, KEKS_TAG) {
        Some(json) => {
            serde_json::from_str(json).map_err(|e| tag_error(table, &add.path, &e.to_string()))
        }
        None => Ok(Vec::new()),
    }
}

fn segment(value: &str) -> String {
    // The same encoding as names have everywhere.
    forebay_schemas::path_segment(value)
}
