//! The readings of one epoch leave the table, and its stream's state says so, in one commit.
//!
//! Invariants: files that hold nothing else are removed, files that hold other rows give way to ones without the erased rows;
//! nothing else changes, and either all of it counts or nothing does. As for merges, each removed file must still be active
//! and the rewrite transaction of each partition keeps merges, erasures and rotations apart (E8); the stream's own transaction
//! keeps out who writes to it meanwhile (E6). In memory is one file at a time, and a few of its rows.

use std::collections::BTreeMap;

use arrow::{
    array::{AsArray as _, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{Int32Type, Int64Type},
};
use deltalake_core::kernel::Remove;
use forebay_schemas::{Epoch, LaneId, SiteId, Timestamp, table::READINGS};
use tokio::task::spawn_blocking;

use crate::{
    Add, LakeError, LakeTable, LakeWriter, MergeSpec, StreamState,
    file::FileLayout,
    file::stored::StoredFile,
    operate::merge::{remove, rewrite_app_id},
    table::commit::{Change, Purpose},
    table::lake_writer::Transaction,
    table::schema::file_schema,
};

/// How often merges may come between.
const TRIES_MAX: u32 = 4;
/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8_192;

/// Which readings leave.
#[derive(Debug, Clone)]
pub struct EraseSpec {
    /// Their site.
    pub site: SiteId,
    /// Gateway and lane that numbered them.
    pub lane: LaneId,
    /// Their epoch.
    pub epoch: Epoch,
    /// Their first and last event time, µs since 1970 UTC: files of other times are not opened.
    pub times: (i64, i64),
    /// The epoch's stream.
    pub app_id: String,
    /// Its state.
    pub from_state: i64,
    /// Its state without them.
    pub state: StreamState,
}

/// What an erasure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Erased {
    /// Readings that left.
    pub readings: u64,
    /// Files that held nothing else.
    pub removed: u64,
    /// Files that were written again without them.
    pub rewritten: u64,
}

/// Erases the readings of an epoch.
///
/// # Errors
/// [`LakeError::Fenced`] when the stream's state is no longer the one in the spec, [`LakeError::Contended`] when merges came
/// first too often: nothing has changed then. [`LakeError::Damaged`] when a file is not the one that was committed. Otherwise
/// as [`LakeTable::commit`].
pub async fn erase(
    lake: &LakeWriter,
    spec: &EraseSpec,
    now: Timestamp,
) -> Result<Erased, LakeError> {
    let table = lake.table(&READINGS)?;
    let to_state = lake
        .keeper()
        .store(
            table,
            &spec.app_id,
            Some(spec.from_state),
            &spec.state,
            lake.random(),
        )
        .await?;
    for _ in 0..TRIES_MAX {
        let step = Transaction {
            app_id: spec.app_id.clone(),
            from_state: Some(spec.from_state),
            to_state,
        };
        let (change, erased) = change(lake, table, spec, step, now).await?;
        match table.commit_change(&change).await {
            Ok(_) => return Ok(erased),
            Err(LakeError::Fenced { app_id, .. }) if app_id != spec.app_id => {}
            Err(LakeError::Inactive { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(LakeError::Contended {
        table: table.schema().name,
        attempts: TRIES_MAX,
    })
}

/// The commit as of the newest snapshot, its new files already stored.
async fn change(
    lake: &LakeWriter,
    table: &LakeTable,
    spec: &EraseSpec,
    step: Transaction,
    now: Timestamp,
) -> Result<(Change, Erased), LakeError> {
    let snapshot = table.snapshot().await?;
    let decrypter = lake.decrypter();
    let mut erased = Erased::default();
    let mut transactions = BTreeMap::new();
    let (mut adds, mut removes) = (Vec::new(), Vec::new());
    for add in snapshot
        .files()
        .into_iter()
        .filter(|add| may_hold(lake, spec, add))
    {
        let file = table.fetch(&add, &decrypter).await?;
        let (total, ours) = count(file.clone(), spec.clone()).await?;
        if ours == 0 {
            continue;
        }
        let partition = partition(table, &add)?;
        erased.readings += ours;
        match ours == total {
            true => erased.removed += 1,
            false => {
                erased.rewritten += 1;
                let schema = file_schema(&READINGS);
                let (first, empty) = (
                    Kept::of(file.clone(), spec.clone()),
                    RecordBatch::new_empty(schema.clone()),
                );
                let sample = move || first.into_iter().next().unwrap_or(Ok(empty));
                let kept = Kept::of(file, spec.clone());
                let encoded = lake
                    .encode(
                        schema,
                        Some(&spec.site),
                        &FileLayout::MEASURED,
                        sample,
                        kept,
                    )
                    .await?;
                adds.push(lake.put_encoded(table, encoded, &partition, now).await?);
            }
        }
        removes.push(Remove {
            data_change: true,
            ..remove(&add, now)
        });
        let app_id = rewrite_app_id(
            lake,
            &MergeSpec {
                table: &READINGS,
                partition,
                files: vec![add],
                cuts: Vec::new(),
            },
        );
        let from_state = snapshot.state_of(&app_id).await?;
        transactions.insert(app_id, from_state);
    }
    let rewrites = transactions.into_iter().map(|(app_id, from_state)| {
        let to_state = from_state.map_or(1, |n| n + 1);
        Transaction {
            app_id,
            from_state,
            to_state,
        }
    });
    let transactions = std::iter::once(step).chain(rewrites).collect();
    Ok((
        Change {
            id: lake.id()?,
            purpose: Purpose::Erase,
            transactions,
            adds,
            removes,
        },
        erased,
    ))
}

fn may_hold(lake: &LakeWriter, spec: &EraseSpec, add: &Add) -> bool {
    let site = add.partition_values.get("site").cloned().flatten();
    let overlaps = |(first, last): (i64, i64)| first <= spec.times.1 && spec.times.0 <= last;
    site.as_deref() == Some(spec.site.as_str())
        && lake.event_times(&READINGS, add).is_none_or(overlaps)
}

/// How many rows a file has, and how many of them leave.
async fn count(file: StoredFile, spec: EraseSpec) -> Result<(u64, u64), LakeError> {
    let counting = spawn_blocking(move || {
        let (mut total, mut ours) = (0, 0);
        for rows in file.open(BATCH_ROWS)? {
            let rows = rows?;
            total += rows.num_rows() as u64;
            ours += leaving(&rows, &spec)?.true_count() as u64;
        }
        Ok((total, ours))
    });
    // A panic while decoding is a broken invariant: it goes on in the caller's thread.
    counting
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Which rows leave.
fn leaving(rows: &RecordBatch, spec: &EraseSpec) -> Result<BooleanArray, LakeError> {
    let missing = |name: &str| LakeError::Foreign {
        table: READINGS.name,
        why: format!("a file has no column {name}"),
    };
    let column = |name: &'static str| rows.column_by_name(name).ok_or_else(|| missing(name));
    let gateway = column("gateway")?
        .as_string_opt::<i32>()
        .ok_or_else(|| missing("gateway"))?;
    let lane = column("lane")?
        .as_primitive_opt::<Int32Type>()
        .ok_or_else(|| missing("lane"))?;
    let epoch = column("epoch")?
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(|| missing("epoch"))?;
    let (wanted_lane, wanted_epoch) = (spec.lane.lane.0.cast_signed(), spec.epoch.0.cast_signed());
    let leaves = |row: usize| {
        epoch.value(row) == wanted_epoch
            && lane.value(row) == wanted_lane
            && gateway.value(row) == spec.lane.gateway.as_str()
    };
    Ok((0..rows.num_rows()).map(|row| Some(leaves(row))).collect())
}

/// The rows of a file that stay, in their order.
struct Kept {
    file: Option<StoredFile>,
    batches: Box<dyn Iterator<Item = Result<RecordBatch, LakeError>> + Send>,
    spec: EraseSpec,
}

impl Kept {
    fn of(file: StoredFile, spec: EraseSpec) -> Self {
        Self {
            file: Some(file),
            batches: Box::new(std::iter::empty()),
            spec,
        }
    }

    fn batch(&mut self) -> Result<Option<RecordBatch>, LakeError> {
        if let Some(file) = self.file.take() {
            self.batches = Box::new(file.open(BATCH_ROWS)?);
        }
        for rows in self.batches.by_ref() {
            let rows = rows?;
            let stays = arrow::compute::not(&leaving(&rows, &self.spec)?)?;
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

/// The columns and values of a file's partition.
fn partition(table: &LakeTable, add: &Add) -> Result<Vec<(&'static str, String)>, LakeError> {
    let value = |name: &'static str| {
        let missing = || LakeError::Foreign {
            table: READINGS.name,
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

#[cfg(test)]
mod tests;
