//! Small files of one partition become one sorted file: the same rows, fewer objects to open.
//!
//! Invariants: a merged file holds exactly the rows of those it replaces, which must be the ones that were committed;
//! the exchange is one commit without a data change; merges, erasures and rotations of one partition exclude each
//! other by its rewrite transaction, and a removed file was still active (E8). Ingest goes on meanwhile: an append and
//! a rewrite have nothing in common. What a merge that failed leaves behind is removed by a later vacuum. In memory are the
//! files' bytes, old and new, and a few of their rows; all rows, where a job has written them in an order of its own.

mod merged;
mod plan;

use deltalake_core::kernel::{Remove, Version};
use forebay_config::{Failpoint, failpoint};
use forebay_schemas::{SiteId, Timestamp, table::Table};

use crate::{
    Add, LakeError, LakeWriter,
    commit::{Change, Purpose},
    lake_writer::Transaction,
    schema::file_schema,
};
use merged::{Merged, Order, Stopped};

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
    let mut files = Vec::with_capacity(spec.files.len());
    for add in &spec.files {
        files.push(table.fetch(add, &decrypter).await?);
    }
    let (schema, site) = (file_schema(spec.table), site_of(spec)?);
    let encode = |order| lake.encode(schema.clone(), site.as_ref(), Merged::of(schema.clone(), files.clone(), order));
    let encoded = match encode(Order::AsWritten).await {
        // What one file's writer has not sorted, those of the others have not either.
        Err(Stopped::OutOfOrder) => encode(Order::Made).await,
        encoded => encoded,
    };
    let encoded = encoded.map_err(|stopped| match stopped {
        Stopped::Failed(error) => error,
        Stopped::OutOfOrder => LakeError::Foreign { table: spec.table.name, why: "its rows have no order".into() },
    })?;
    let count = encoded.file.rows;

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
pub(crate) fn rewrite_app_id(lake: &LakeWriter, spec: &MergeSpec) -> String {
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
