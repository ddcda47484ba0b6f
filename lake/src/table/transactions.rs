//! Every application transaction of a version, read at once.
//!
//! The Delta library replays the log for each id that is asked for; a table has one for every stream and every
//! import, and
//! asking for each would read the log as often.

use std::collections::BTreeMap;

use arrow::{
    array::{Array as _, AsArray as _},
    datatypes::Int64Type,
};
use bytes::Bytes;
use deltalake_core::{DeltaTableError, kernel::Version, logstore::LogStoreRef};
use futures::{StreamExt as _, TryStreamExt as _};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};
use parquet::arrow::{ProjectionMask, arrow_reader::ParquetRecordBatchReaderBuilder};
use serde::Deserialize;

use crate::table::log_entry::LogEntry;

/// Names the newest checkpoint.
const LAST_CHECKPOINT: &str = "_delta_log/_last_checkpoint";

/// So many entries are under way at once.
const ENTRIES_AT_ONCE: usize = 8;

/// States by application id.
pub(super) type Transactions = BTreeMap<String, i64>;

/// What `_last_checkpoint` says.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(crate) struct CheckpointHint {
    /// The version that it holds.
    pub(crate) version: Version,
    /// How many actions.
    #[serde(default)]
    pub(crate) size: u64,
    /// Of how many files it consists, if not of one.
    parts: Option<u64>,
}

/// The newest checkpoint and when it was written, ms since 1970 UTC; `None` for a table that has none. One whose
/// description cannot
/// be read is no harm: version 0 stands for it until the next replaces it.
pub(crate) async fn last_checkpoint(
    store: &dyn ObjectStore,
) -> Result<Option<(CheckpointHint, i64)>, object_store::Error> {
    match store.get(&Path::from(LAST_CHECKPOINT)).await {
        Ok(found) => {
            let written_ms = found.meta.last_modified.timestamp_millis();
            let hint = serde_json::from_slice(&found.bytes().await?).unwrap_or_default();
            Ok(Some((hint, written_ms)))
        }
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All transactions up to `version`; `None` where the log has another shape than we write: then each is looked up.
pub(super) async fn transactions(
    log: &LogStoreRef,
    version: Version,
) -> Result<Option<Transactions>, DeltaTableError> {
    let store = log.object_store(None);
    let (mut found, after) = match last_checkpoint(store.as_ref()).await? {
        None => (Transactions::new(), None),
        Some((hint, _)) if hint.parts.is_some() || hint.version == 0 || hint.version > version => {
            return Ok(None);
        }
        Some((hint, _)) => {
            let path = Path::from(format!(
                "_delta_log/{:020}.checkpoint.parquet",
                hint.version
            ));
            match store.get(&path).await {
                Ok(object) => match of_checkpoint(object.bytes().await?) {
                    Some(found) => (found, Some(hint.version)),
                    None => return Ok(None),
                },
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    };
    let first = after.map_or(0, |version| version + 1);
    let mut entries = futures::stream::iter(first..=version)
        .map(|version| log.read_commit_entry(version))
        .buffered(ENTRIES_AT_ONCE);
    while let Some(entry) = entries.try_next().await? {
        let Some(Ok(entry)) = entry.map(|bytes| LogEntry::parse(&bytes)) else {
            return Ok(None);
        };
        found.extend(entry.transactions);
    }
    Ok(Some(found))
}

/// The transactions in a checkpoint's file; `None` if it has not the shape that the Delta protocol gives it.
fn of_checkpoint(bytes: Bytes) -> Option<Transactions> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).ok()?;
    let root = builder
        .parquet_schema()
        .root_schema()
        .get_fields()
        .iter()
        .position(|field| field.name() == "txn");
    let Some(root) = root else {
        return Some(Transactions::new());
    };
    let mask = ProjectionMask::roots(builder.parquet_schema(), [root]);
    let mut found = Transactions::new();
    for rows in builder.with_projection(mask).build().ok()? {
        let rows = rows.ok()?;
        let txn = rows.column(0).as_struct_opt()?;
        let ids = txn.column_by_name("appId")?.as_string_opt::<i32>()?;
        let states = txn
            .column_by_name("version")?
            .as_primitive_opt::<Int64Type>()?;
        for row in (0..txn.len()).filter(|row| txn.is_valid(*row) && ids.is_valid(*row)) {
            found.insert(ids.value(row).to_owned(), states.value(row));
        }
    }
    Some(found)
}
