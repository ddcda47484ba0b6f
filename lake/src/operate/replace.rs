//! Rows of some stretches of time give way to others, in one commit: how roll-ups follow their readings.
//!
//! Invariants: a plain read sees either the old rows of a stretch or the new ones, never both and never none; the same rows
//! again change nothing, so whoever does not know whether a replacement landed makes it once more. Rewrites of a site exclude
//! each other by its rewrite transaction (E8), which every replacement steps on, also one that removes no file: two
//! processes cannot add the same rows. In memory are the rows of the stretches, old and new.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{AsArray as _, BooleanArray, RecordBatch},
    compute::{
        SortColumn, concat_batches, filter_record_batch, lexsort_to_indices, take_record_batch,
    },
    datatypes::TimestampMicrosecondType,
};
use forebay_schemas::{SiteId, Timestamp, table::Table};

use crate::{
    Add, LakeError, LakeTable, LakeWriter,
    file::schema::file_schema,
    file::stats::times_of,
    operate::leaving::{Leaves, count, is_of_site, put_kept, removed, rewrite_step},
    table::change::{Change, Purpose},
};

/// How often merges may come between.
const TRIES_MAX: u32 = 4;

/// What orders the rows of a roll-up, and tells them apart.
const KEY: [&str; 3] = ["device", "tag", "time_start"];

/// Which rows come, and in place of which.
#[derive(Debug, Clone)]
pub struct ReplaceSpec {
    /// A roll-up.
    pub table: &'static Table,
    /// Whose rows.
    pub site: SiteId,
    /// From a time to just before another, µs since 1970 UTC, in order and apart: what the table has there gives way.
    pub stretches: Vec<(i64, i64)>,
    /// What is to be there: columns of the table's files, times within the stretches, one row for each device, tag and time.
    pub rows: RecordBatch,
    /// Rows of earlier times stay, µs since 1970 UTC, because what they were made of has been deleted: of the new ones before
    /// it those are taken that are not there yet.
    pub fixed_before: Option<i64>,
}

/// What a replacement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// Just these rows were there.
    Unchanged,
    /// They are now.
    Changed {
        /// How many rows the stretches have.
        rows: u64,
        /// How many files gave way.
        removed: u64,
    },
}

/// Makes a replacement.
///
/// # Errors
/// [`LakeError::Contended`] when merges came first too often: nothing has changed then. [`LakeError::Damaged`] when a file is
/// not the one that was committed. Otherwise as [`LakeTable::commit`].
pub async fn replace(
    lake: &LakeWriter,
    spec: &ReplaceSpec,
    now: Timestamp,
) -> Result<Replaced, LakeError> {
    let table = lake.table(spec.table)?;
    for _ in 0..TRIES_MAX {
        let Some((change, replaced)) = change(lake, table, spec, now).await? else {
            return Ok(Replaced::Unchanged);
        };
        match table.commit_change(&change).await {
            Ok(_) => return Ok(replaced),
            Err(LakeError::Fenced { .. } | LakeError::Inactive { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(LakeError::Contended {
        table: table.schema().name,
        attempts: TRIES_MAX,
    })
}

/// The commit as of the newest snapshot, its new files already stored; `None` where it would change nothing.
async fn change(
    lake: &LakeWriter,
    table: &LakeTable,
    spec: &ReplaceSpec,
    now: Timestamp,
) -> Result<Option<(Change, Replaced)>, LakeError> {
    let snapshot = table.snapshot().await?;
    let decrypter = lake.decrypter();
    let stretches = spec.stretches.clone();
    let leaves: Leaves = Arc::new(move |rows| within(rows, &stretches));
    let mut old = Vec::new();
    let mut touched = Vec::new();
    for add in snapshot.files() {
        if !may_hold(lake, spec, &add) {
            continue;
        }
        let file = table.fetch(&add, &decrypter).await?;
        let keep = |kept: &mut Vec<RecordBatch>, rows: &RecordBatch| kept.push(rows.clone());
        let counted = count(file.clone(), &[], leaves.clone(), keep).await?;
        if counted.leaving > 0 {
            touched.push((add, file, counted.is_whole()));
            old.extend(counted.notes);
        }
    }
    let old = sorted(&old, spec.table)?;
    let new = with_fixed(&old, spec)?;
    if old.columns() == new.columns() {
        return Ok(None);
    }
    let partition = vec![("site", spec.site.as_str().to_owned())];
    let mut adds = Vec::new();
    let mut removes = Vec::new();
    for (add, file, is_whole) in touched {
        if !is_whole {
            adds.push(put_kept(lake, table, (&add, file), &leaves, Some(&spec.site), now).await?);
        }
        removes.push(removed(&add, now));
    }
    let replaced = Replaced::Changed {
        rows: new.num_rows() as u64,
        removed: removes.len() as u64,
    };
    if new.num_rows() > 0 {
        let put = lake.put(table, new, &partition, Some(&spec.site), now);
        adds.push(put.await?);
    }
    let purpose = if removes.is_empty() {
        Purpose::Append
    } else {
        Purpose::Erase
    };
    let change = Change {
        id: lake.id()?,
        purpose,
        transactions: vec![rewrite_step(lake, table, &snapshot, partition).await?],
        adds,
        removes,
    };
    Ok(Some((change, replaced)))
}

fn may_hold(lake: &LakeWriter, spec: &ReplaceSpec, add: &Add) -> bool {
    let overlaps = |(first, last): (i64, i64)| {
        let behind = spec.stretches.partition_point(|(_, to)| *to <= first);
        spec.stretches
            .get(behind)
            .is_some_and(|(from, _)| *from <= last)
    };
    is_of_site(add, &spec.site) && lake.event_times(spec.table, add).is_none_or(overlaps)
}

/// Marks the rows with times of the stretches.
fn within(rows: &RecordBatch, stretches: &[(i64, i64)]) -> Result<BooleanArray, LakeError> {
    let times = times_of(rows).ok_or(LakeError::Foreign {
        table: "",
        why: "a file of a roll-up has no times".into(),
    })?;
    let is_within = |time: &i64| {
        let at = stretches.partition_point(|(_, to)| to <= time);
        Some(stretches.get(at).is_some_and(|(from, _)| from <= time))
    };
    Ok(times.values().iter().map(is_within).collect())
}

/// What the stretches will hold, in order: the new rows, and of the times that are fixed those that are there.
fn with_fixed(old: &RecordBatch, spec: &ReplaceSpec) -> Result<RecordBatch, LakeError> {
    let Some(fixed_before) = spec.fixed_before else {
        return sorted(std::slice::from_ref(&spec.rows), spec.table);
    };
    let is_fixed = |rows: &RecordBatch| -> BooleanArray {
        let times = times_of(rows).map(|times| times.values().to_vec());
        let times = times.unwrap_or_default().into_iter();
        times.map(|time| Some(time < fixed_before)).collect()
    };
    let stays = filter_record_batch(old, &is_fixed(old))?;
    let known: HashSet<(&str, &str, i64)> = keys(&stays).collect();
    let fixed = is_fixed(&spec.rows);
    let comes = keys(&spec.rows)
        .zip(fixed.values().iter())
        .map(|(key, is_fixed)| Some(!is_fixed || !known.contains(&key)));
    let comes = filter_record_batch(&spec.rows, &comes.collect())?;
    sorted(&[stays.clone(), comes], spec.table)
}

fn keys(rows: &RecordBatch) -> impl Iterator<Item = (&str, &str, i64)> {
    let text = |name: &str| rows.column_by_name(name)?.as_string_opt::<i32>();
    let time = rows
        .column_by_name(KEY[2])
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let columns = text(KEY[0]).zip(text(KEY[1])).zip(time);
    columns.into_iter().flat_map(|((device, tag), time)| {
        (0..time.len()).map(|row| (device.value(row), tag.value(row), time.value(row)))
    })
}

/// The rows as a file of the table has them.
fn sorted(batches: &[RecordBatch], table: &'static Table) -> Result<RecordBatch, LakeError> {
    let schema = file_schema(table);
    let batches: Vec<RecordBatch> = batches
        .iter()
        .map(|rows| RecordBatch::try_new(schema.clone(), rows.columns().to_vec()))
        .collect::<Result<_, _>>()?;
    let rows = concat_batches(&schema, &batches)?;
    let columns = KEY.iter().filter_map(|name| rows.column_by_name(name));
    let columns: Vec<SortColumn> = columns
        .map(|values| SortColumn {
            values: values.clone(),
            options: None,
        })
        .collect();
    let order = lexsort_to_indices(&columns, None)?;
    Ok(take_record_batch(&rows, &order)?)
}

#[cfg(test)]
mod tests;
