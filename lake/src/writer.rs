//! From rows to a data file in the store and the Add action that a commit will carry.

use std::collections::HashMap;

use chrono::{Datelike as _, NaiveDate};
use deltalake_core::kernel::Add;
use forebay_schemas::{Timestamp, table::Table};
use object_store::{ObjectStoreExt as _, path::Path};

use crate::{LakeError, keys::WrappedKek, parquet_file::EncodedFile, rows::PartitionRows, table::LakeTable};

/// Tag of an Add action: the file's SHA-256, as lower-case hex.
pub(crate) const SHA256_TAG: &str = "forebay.sha256";
/// Tag of an Add action: the key-encryption keys of the file, each wrapped by its master key, as JSON.
const KEKS_TAG: &str = "forebay.keks";

/// The partition of `readings` in which rows lie: folder names and values.
pub fn readings_partition(rows: &PartitionRows) -> Vec<(&'static str, String)> {
    vec![("site", rows.site.as_str().to_owned()), ("date", date_text(rows.day))]
}

/// `day` counts from 1970-01-01; as the Delta protocol writes a date.
fn date_text(day: i32) -> String {
    const DAYS_TO_1970: i32 = 719_163;
    match NaiveDate::from_num_days_from_ce_opt(day.saturating_add(DAYS_TO_1970)) {
        Some(date) => format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()),
        None => day.to_string(),
    }
}

impl LakeTable {
    /// Puts a file into the store and answers its Add action; the file counts only once that is committed.
    ///
    /// # Errors
    /// When the store fails; what it left behind is removed by a later vacuum.
    pub async fn put_file(
        &self,
        file: EncodedFile,
        partition: &[(&'static str, String)],
        name: uuid::Uuid,
        now: Timestamp,
    ) -> Result<Add, LakeError> {
        let folders = partition.iter().map(|(column, value)| format!("{column}={}", segment(value)));
        let path = folders.chain([format!("part-{name}.parquet")]).collect::<Vec<_>>().join("/");
        let location = Path::parse(&path).map_err(object_store::Error::from)?;
        let size = file.bytes.len();
        self.store().put(&location, file.bytes.into()).await?;
        let keks =
            serde_json::to_string(&file.keks).map_err(|error| tag_error(self.schema(), &path, &error.to_string()))?;
        let tags = HashMap::from([(SHA256_TAG.to_owned(), Some(file.sha256)), (KEKS_TAG.to_owned(), Some(keks))]);
        Ok(Add {
            path,
            partition_values: partition.iter().map(|(c, value)| ((*c).to_owned(), Some(value.clone()))).collect(),
            size: size as i64,
            modification_time: now.micros() / 1000,
            data_change: true,
            // Row counts only: minima and maxima of encrypted columns would lie in the log in clear.
            stats: Some(format!("{{\"numRecords\":{}}}", file.rows)),
            tags: Some(tags),
            ..Default::default()
        })
    }
}

fn tag_error(table: &Table, path: &str, why: &str) -> LakeError {
    LakeError::Foreign { table: table.name, why: format!("file {path}: {why}") }
}

/// The key-encryption keys that a file's tag names.
pub(crate) fn keks(table: &Table, add: &Add) -> Result<Vec<WrappedKek>, LakeError> {
    match tag(add, KEKS_TAG) {
        Some(json) => serde_json::from_str(json).map_err(|e| tag_error(table, &add.path, &e.to_string())),
        None => Ok(Vec::new()),
    }
}

/// A tag's text.
pub(crate) fn tag<'a>(add: &'a Add, name: &str) -> Option<&'a str> {
    add.tags.as_ref()?.get(name)?.as_deref()
}

fn segment(value: &str) -> String {
    // The same encoding as names have everywhere; a date holds nothing that it would change.
    forebay_schemas::path_segment(value)
}
