//! Small files of one partition become one sorted file: the same rows, fewer objects to open.
//!
//! Invariants: a merged file holds exactly the rows of those it replaces, which must be the ones that were committed;
//! the exchange is one commit without a data change; merges, erasures and rotations of one partition exclude each
//! other by its rewrite transaction, and a removed file was still active (E8). Ingest goes on meanwhile: an append and
//! a rewrite have nothing in common. What a merge that failed leaves behind is removed by a later vacuum. In memory are the
//! files' bytes, old and new, and a few of their rows; all rows, where a job has written them in an order of its own.

mod merged;
mod plan;

use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::{Remove, Version};
use forebay_config::{Failpoint, failpoint};
use forebay_schemas::{SiteId, Timestamp, table::Table};

use crate::{
    Add, LakeError, LakeWriter,
    commit::{Change, Purpose},
    lake_writer::Transaction,
    schema::file_schema,
    writer::{StoredFile, row_count},
};
use merged::{Batches, Merged, Stopped, sorted};

pub use plan::{MergePolicy, plan};

/// Files that are to become one.
#[derive(Debug, Clone)]
pub struct MergeSpec {
    /// Their table.
    pub table: &'static Table,
    /// Their partition: columns and values.
    pub partition: Vec<(&'static str, String)>,
    /// The files, as a snapshot has them.
    pub files: Vec<Add>,
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
        /// How many bytes the new file has.
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
pub async fn merge(lake: &LakeWriter, spec: &MergeSpec, now: Timestamp) -> Result<MergeOutcome, LakeError> {
    let table = lake.table(spec.table)?;
    let app_id = rewrite_app_id(lake, spec);
    let from_state = table.snapshot().await?.state_of(&app_id).await?;

    let decrypter = lake.decrypter();
    let mut sources = Vec::with_capacity(spec.files.len());
    for add in &spec.files {
        sources.push(Source::InOrder(table.fetch(add, &decrypter).await?));
    }
    let (schema, site) = (file_schema(spec.table), site_of(spec)?);
    let encoded = loop {
        let rows = Merged::of(schema.clone(), sources.clone());
        match lake.encode(schema.clone(), site.as_ref(), rows).await {
            Ok(encoded) => break encoded,
            // What one file's writer has not sorted, those of the others have not either.
            Err(Stopped::OutOfOrder) => sources = sources.into_iter().map(Source::out_of_order).collect(),
            Err(Stopped::Failed(error)) => return Err(error),
        }
    };
    let count = encoded.file.rows;
    let committed = spec.files.iter().map(row_count).sum::<Option<u64>>();
    if let Some(committed) = committed.filter(|committed| *committed != count) {
        let why = format!("files of one partition hold {count} rows, and {committed} as the log has it");
        return Err(LakeError::Foreign { table: spec.table.name, why });
    }

    let added = Add { data_change: false, ..lake.put_encoded(table, encoded, &spec.partition, now).await? };
    let bytes = added.size.unsigned_abs();
    let to_state = from_state.map_or(1, |n| n + 1);
    let change = Change {
        id: lake.id()?,
        purpose: Purpose::Rewrite,
        transactions: vec![Transaction { app_id, from_state, to_state }],
        adds: vec![added],
        removes: spec.files.iter().map(|add| remove(add, now)).collect(),
    };
    failpoint(Failpoint::InMerge);
    match table.commit_change(&change).await {
        Ok(version) => Ok(MergeOutcome::Merged { version, rows: count, bytes }),
        Err(error @ (LakeError::Fenced { .. } | LakeError::Inactive { .. })) => {
            Ok(MergeOutcome::Abandoned { why: error.to_string() })
        }
        Err(error) => Err(error),
    }
}

/// The transaction that all rewrites of a partition share (E8).
fn rewrite_app_id(lake: &LakeWriter, spec: &MergeSpec) -> String {
    let partition: Vec<String> = spec.partition.iter().map(|(column, value)| format!("{column}={value}")).collect();
    lake.keeper().app_id(&format!("rewrite\0{}\0{}", spec.table.name, partition.join("\0")), 0)
}

/// The site whose key the values lie under; `None` in a table without sites in its paths.
fn site_of(spec: &MergeSpec) -> Result<Option<SiteId>, LakeError> {
    let Some((_, site)) = spec.partition.iter().find(|(column, _)| *column == "site") else { return Ok(None) };
    let wrong = |error: forebay_schemas::InvalidName| LakeError::Foreign {
        table: spec.table.name,
        why: format!("a partition's site is no site: {error}"),
    };
    SiteId::new(site.as_str()).map(Some).map_err(wrong)
}

/// A file to be merged.
#[derive(Clone)]
enum Source {
    /// A run of sorted rows, as its writer should have left it.
    InOrder(StoredFile),
    /// Rows that were found not to be.
    OutOfOrder(StoredFile),
}

impl Source {
    fn batches(self, schema: &SchemaRef, rows: usize) -> Result<Batches, LakeError> {
        match self {
            Self::InOrder(file) => Ok(Box::new(file.open(rows)?)),
            Self::OutOfOrder(file) => {
                let whole: Vec<_> = file.open(rows)?.collect::<Result<_, _>>()?;
                Ok(Box::new(std::iter::once(Ok(sorted(schema, &whole)?))))
            }
        }
    }

    fn out_of_order(self) -> Self {
        match self {
            Self::InOrder(file) | Self::OutOfOrder(file) => Self::OutOfOrder(file),
        }
    }
}

fn remove(add: &Add, now: Timestamp) -> Remove {
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
