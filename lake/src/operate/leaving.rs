//! Rows that leave a file: which, how many, and the file without them.
//!
//! Shared by what takes rows out of a table: erasing, replacing, deleting by age. Nothing here commits. In memory is one
//! file at a time, and a few of its rows.

use std::sync::Arc;

use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::filter_record_batch,
};
use deltalake_core::kernel::Remove;
use forebay_schemas::{SiteId, Timestamp};
use tokio::task::spawn_blocking;

use crate::{
    Add, LakeError, LakeTable, LakeWriter, MergeSpec,
    file::FileLayout,
    file::schema::file_schema,
    operate::merge::{remove, rewrite_app_id},
    table::change::Transaction,
    table::stored::StoredFile,
};

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8_192;

/// Marks the rows of a batch that leave.
pub(crate) type Leaves = Arc<dyn Fn(&RecordBatch) -> Result<BooleanArray, LakeError> + Send + Sync>;

/// What a file has of rows that leave.
#[derive(Debug, Default)]
pub(crate) struct Counted<T> {
    /// All of its rows.
    pub(crate) total: u64,
    /// Those that leave.
    pub(crate) leaving: u64,
    /// What was noted of those that leave.
    pub(crate) notes: T,
}

impl<T> Counted<T> {
    /// Whether nothing of the file stays.
    pub(crate) fn is_whole(&self) -> bool {
        self.leaving == self.total
    }
}

/// Counts the rows of a file that leave, and shows them to `note` a batch at a time; of these columns alone, or of all for none.
///
/// # Errors
/// As [`LakeTable::fetch`].
pub(crate) async fn count<T: Default + Send + 'static>(
    file: StoredFile,
    columns: &'static [&'static str],
    leaves: Leaves,
    note: impl Fn(&mut T, &RecordBatch) + Send + 'static,
) -> Result<Counted<T>, LakeError> {
    let counting = spawn_blocking(move || {
        let mut counted = Counted::<T>::default();
        for rows in file.open_columns(BATCH_ROWS, columns)? {
            let rows = rows?;
            let marks = leaves(&rows)?;
            let leaving = marks.true_count();
            counted.total += rows.num_rows() as u64;
            counted.leaving += leaving as u64;
            if leaving > 0 {
                note(&mut counted.notes, &filter_record_batch(&rows, &marks)?);
            }
        }
        Ok(counted)
    });
    // A panic while decoding is a broken invariant: it goes on in the caller's thread.
    counting
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Stores a file of the rows that stay, in their order, and answers its Add action. Values go under the master key of `site`; without
/// one, under the table's.
///
/// # Errors
/// When a key cannot be had or the store fails.
pub(crate) async fn put_kept(
    lake: &LakeWriter,
    table: &LakeTable,
    (add, file): (&Add, StoredFile),
    leaves: &Leaves,
    site: Option<&SiteId>,
    now: Timestamp,
) -> Result<Add, LakeError> {
    let schema = file_schema(table.schema());
    let first = Kept::of(file.clone(), leaves.clone());
    let empty = RecordBatch::new_empty(schema.clone());
    let sample = move || first.into_iter().next().unwrap_or(Ok(empty));
    let kept = Kept::of(file, leaves.clone());
    let encoded = lake
        .encode(schema, site, &FileLayout::MEASURED, sample, kept)
        .await?;
    lake.put_encoded(table, encoded, &partition(table, add)?, now)
        .await
}

/// The Remove action of a file of which rows leave the table.
pub(crate) fn removed(add: &Add, now: Timestamp) -> Remove {
    Remove {
        data_change: true,
        ..remove(add, now)
    }
}

/// The step of the rewrite transaction of a file's partition (E8), from where a snapshot has it.
pub(crate) async fn rewrite_step(
    lake: &LakeWriter,
    table: &LakeTable,
    snapshot: &crate::Snapshot,
    partition: Vec<(&'static str, String)>,
) -> Result<Transaction, LakeError> {
    let spec = MergeSpec {
        table: table.schema(),
        partition,
        files: Vec::new(),
        cuts: Vec::new(),
    };
    let app_id = rewrite_app_id(lake, &spec);
    let from_state = snapshot.state_of(&app_id).await?;
    Ok(Transaction {
        app_id,
        from_state,
        to_state: from_state.map_or(1, |n| n + 1),
    })
}

/// The columns and values of a file's partition.
pub(crate) fn partition(
    table: &LakeTable,
    add: &Add,
) -> Result<Vec<(&'static str, String)>, LakeError> {
    let value = |name: &'static str| {
        let missing = || LakeError::Foreign {
            table: table.schema().name,
            why: format!("file {} is in no {name}", add.path),
        };
        add.partition_values
            .get(name)
            .cloned()
            .flatten()
            .map(|value| (name, value))
            .ok_or_else(missing)
    };
    table
        .schema()
        .partition_columns()
        .iter()
        .map(|column| value(column.name))
        .collect()
}

/// Whether a file is of a site.
pub(crate) fn is_of_site(add: &Add, site: &SiteId) -> bool {
    let found = add.partition_values.get("site").cloned().flatten();
    found.as_deref() == Some(site.as_str())
}

/// The rows of a file that stay, in their order.
struct Kept {
    file: Option<StoredFile>,
    batches: Box<dyn Iterator<Item = Result<RecordBatch, LakeError>> + Send>,
    leaves: Leaves,
}

impl Kept {
    fn of(file: StoredFile, leaves: Leaves) -> Self {
        Self {
            file: Some(file),
            batches: Box::new(std::iter::empty()),
            leaves,
        }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        if let Some(file) = self.file.take() {
            self.batches = Box::new(file.open(BATCH_ROWS)?);
        }
        for rows in self.batches.by_ref() {
            let rows = rows?;
            let stays = arrow::compute::not(&(self.leaves)(&rows)?)?;
            if stays.true_count() > 0 {
                return Ok(Some(filter_record_batch(&rows, &stays)?));
            }
        }
        Ok(None)
    }
}

impl Iterator for Kept {
    type Item = Result<RecordBatch, LakeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.batch().transpose()
    }
}
