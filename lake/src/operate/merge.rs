//! Small files of one site become one sorted file, or a few that share no time: the same rows, fewer objects to open.
//!
//! Invariants: merged files hold exactly the rows of those they replace, which must be the ones that were committed;
//! the exchange is one commit without a data change; merges, erasures and rotations of one partition, which is a site,
//! exclude each other by its rewrite transaction, whatever times they are of, and a removed file was still active (E8). Ingest goes on meanwhile: an append and
//! a rewrite have nothing in common. What a merge that failed leaves behind is removed by a later vacuum. In memory are the
//! files' bytes, old and new, and a few of their rows; all rows, where a job has written them in an order of its own.

mod merged;
mod plan;

use std::ops::Range;

use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::{Remove, Version};
use forebay_runtime::{Failpoint, failpoint};
use forebay_schemas::{
    SiteId, Timestamp,
    table::{READINGS, Table},
};

use crate::{
    Add, LakeError, LakeWriter,
    file::FileLayout,
    file::rows::DICTIONARIES,
    file::schema::{dictionary_schema, file_schema},
    file::tags::row_count,
    table::change::{Change, OWN_PREFIX, Purpose, Transaction},
    table::lake_writer::Encoded,
    table::stored::StoredFile,
};
use merged::{Merged, Order, Stopped};

pub use plan::{MergePolicy, plan};

/// Files that are to become one, or several along cuts.
#[derive(Debug, Clone)]
pub struct MergeSpec {
    /// Their table.
    pub table: &'static Table,
    /// Their partition: columns and values.
    pub partition: Vec<(&'static str, String)>,
    /// The files, as a snapshot has them.
    pub files: Vec<Add>,
    /// Event times, µs since 1970 UTC, ascending, at which a new file begins; none for one file.
    pub cuts: Vec<i64>,
}

/// What became of a merge.
#[derive(Debug)]
pub enum MergeOutcome {
    /// It is committed.
    Merged {
        /// The version of the table that has it.
        version: Version,
        /// How many rows were moved.
        rows: u64,
        /// How many bytes the new files have.
        bytes: u64,
    },
    /// Nothing has changed: someone else was faster.
    Abandoned {
        /// Why.
        why: String,
    },
}

/// Merges the files of a plan.
///
/// # Errors
/// [`LakeError::Damaged`] when a file is not the one that was committed; otherwise as `LakeTable::commit`: whether it
/// is committed is open then, and no row is lost or doubled either way.
pub async fn merge(
    lake: &LakeWriter,
    spec: &MergeSpec,
    now: Timestamp,
) -> Result<MergeOutcome, LakeError> {
    let table = lake.table(spec.table)?;
    let app_id = rewrite_app_id(lake, spec);
    let from_state = table.snapshot().await?.state_of(&app_id).await?;

    let decrypter = lake.decrypter();
    let mut files = Vec::with_capacity(spec.files.len());
    for add in &spec.files {
        files.push(table.fetch(add, &decrypter).await?);
    }
    let (mut adds, mut rows, mut bytes) = (Vec::new(), 0, 0);
    for range in ranges(&spec.cuts) {
        let reaches = |add: &Add| {
            let times = lake.event_times(spec.table, add);
            times.is_none_or(|(first, last)| first < range.end && last >= range.start)
        };
        let of_range = spec
            .files
            .iter()
            .zip(&files)
            .filter(|(add, _)| reaches(add));
        let of_range = of_range.map(|(_, file)| file.clone()).collect();
        let Some(encoded) = encode(lake, spec, of_range, &range).await? else {
            continue;
        };
        rows += encoded.file.rows;
        let add = Add {
            data_change: false,
            ..lake
                .put_encoded(table, encoded, &spec.partition, now)
                .await?
        };
        bytes += add.size.unsigned_abs();
        adds.push(add);
    }
    let committed: Option<u64> = spec.files.iter().map(row_count).sum();
    if committed.is_some_and(|committed| committed != rows) {
        let why = format!("a merge found {rows} rows instead of {committed:?}");
        return Err(LakeError::Foreign {
            table: spec.table.name,
            why,
        });
    }
    let to_state = from_state.map_or(1, |n| n + 1);
    let change = Change {
        id: lake.id()?,
        purpose: Purpose::Rewrite,
        transactions: vec![Transaction {
            app_id,
            from_state,
            to_state,
        }],
        adds,
        removes: spec.files.iter().map(|add| remove(add, now)).collect(),
    };
    failpoint(Failpoint::InMerge);
    match table.commit_change(&change).await {
        Ok(version) => Ok(MergeOutcome::Merged {
            version,
            rows,
            bytes,
        }),
        Err(error @ (LakeError::Fenced { .. } | LakeError::Inactive { .. })) => {
            Ok(MergeOutcome::Abandoned {
                why: error.to_string(),
            })
        }
        Err(error) => Err(error),
    }
}

/// The stretches of event time of the files to be made.
fn ranges(cuts: &[i64]) -> Vec<Range<i64>> {
    let starts = std::iter::once(i64::MIN).chain(cuts.iter().copied());
    starts
        .zip(cuts.iter().copied().chain([i64::MAX]))
        .map(|(start, end)| start..end)
        .collect()
}

/// One merged file of the rows with times of a range; `None` where there are none.
async fn encode(
    lake: &LakeWriter,
    spec: &MergeSpec,
    files: Vec<StoredFile>,
    range: &Range<i64>,
) -> Result<Option<Encoded>, LakeError> {
    let (schema, site) = (schema_of(spec.table), site_of(spec)?);
    if files.is_empty() {
        return Ok(None);
    }
    let merge = |order| {
        let (sampled, range, is_cut) = (files.clone(), range.clone(), !spec.cuts.is_empty());
        let sample = move || merged::sample(&sampled).map_err(Stopped::from);
        let batches = Merged::of(schema.clone(), files.clone(), order);
        let batches = batches.map(move |rows| {
            if is_cut {
                merged::within(&rows?, &range)
            } else {
                rows
            }
        });
        lake.encode(
            schema.clone(),
            site.as_ref(),
            &FileLayout::MEASURED,
            sample,
            batches,
        )
    };
    let encoded = match merge(Order::AsWritten).await {
        // What one file's writer has not sorted, those of the others have not either.
        Err(Stopped::OutOfOrder) => merge(Order::Made).await,
        encoded => encoded,
    };
    let encoded = encoded.map_err(|stopped| match stopped {
        Stopped::Failed(error) => error,
        Stopped::OutOfOrder => LakeError::Foreign {
            table: spec.table.name,
            why: "its rows have no order".into(),
        },
    })?;
    Ok((encoded.file.rows > 0).then_some(encoded))
}

/// How the rows of a table lie in memory while they are merged.
fn schema_of(table: &'static Table) -> SchemaRef {
    if table.name == READINGS.name {
        dictionary_schema(table, &DICTIONARIES)
    } else {
        file_schema(table)
    }
}

/// The transaction that all rewrites of a partition share (E8).
pub(crate) fn rewrite_app_id(lake: &LakeWriter, spec: &MergeSpec) -> String {
    let partition: Vec<String> = spec
        .partition
        .iter()
        .map(|(column, value)| format!("{column}={value}"))
        .collect();
    let of_partition = lake.keeper().app_id(
        &format!("rewrite\0{}\0{}", spec.table.name, partition.join("\0")),
        0,
    );
    // It names no stream and has no state object.
    format!("{OWN_PREFIX}rewrite.{of_partition}")
}

/// The site whose key the values lie under; `None` in a table without sites in its paths.
fn site_of(spec: &MergeSpec) -> Result<Option<SiteId>, LakeError> {
    let Some((_, site)) = spec.partition.iter().find(|(column, _)| *column == "site") else {
        return Ok(None);
    };
    let wrong = |error: forebay_schemas::InvalidName| LakeError::Foreign {
        table: spec.table.name,
        why: format!("a partition's site is not a valid name: {error}"),
    };
    SiteId::new(site.as_str()).map(Some).map_err(wrong)
}

/// The Remove action of a file whose rows are rewritten and stay.
pub(crate) fn remove(add: &Add, now: Timestamp) -> Remove {
    Remove {
        path: add.path.clone(),
        data_change: false,
        deletion_timestamp: Some(now.micros() / 1000),
        extended_file_metadata: Some(true),
        partition_values: Some(add.partition_values.clone()),
        size: Some(add.size),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
    }
}

#[cfg(test)]
mod tests;
