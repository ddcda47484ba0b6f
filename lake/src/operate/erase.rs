//! The readings of one epoch leave the table, and its stream's state says so, in one commit.
//!
//! Invariants: files that hold nothing else are removed, files that hold other rows give way to ones without the erased rows;
//! nothing else changes, and either all of it counts or nothing does. As for merges, each removed file must still be active
//! and the rewrite transaction of each partition keeps merges, erasures and rotations apart (E8); the stream's own transaction
//! keeps out who writes to it meanwhile (E6).

use std::sync::Arc;

use arrow::{
    array::{AsArray as _, BooleanArray, RecordBatch},
    datatypes::{Int32Type, Int64Type},
};
use forebay_schemas::{Epoch, LaneId, SiteId, Timestamp, table::READINGS};

use crate::{
    Add, LakeError, LakeTable, LakeWriter, StreamState,
    operate::leaving::{Leaves, count, is_of_site, partition, put_kept, removed, rewrite_step},
    table::change::{Change, Purpose, Transaction},
};

/// How often merges may come between.
const TRIES_MAX: u32 = 4;
/// The columns that say which rows leave.
const IDENTITY: [&str; 3] = ["gateway", "lane", "epoch"];

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
    let of_epoch = spec.clone();
    let leaves: Leaves = Arc::new(move |rows| leaving(rows, &of_epoch));
    let mut erased = Erased::default();
    let mut transactions = vec![step];
    let (mut adds, mut removes) = (Vec::new(), Vec::new());
    for add in snapshot
        .files()
        .into_iter()
        .filter(|add| may_hold(lake, spec, add))
    {
        let file = table.fetch(&add, &decrypter).await?;
        let counted = count(file.clone(), &IDENTITY, leaves.clone(), |(), _| {}).await?;
        if counted.leaving == 0 {
            continue;
        }
        if transactions.len() == 1 {
            let partition = partition(table, &add)?;
            transactions.push(rewrite_step(lake, table, &snapshot, partition).await?);
        }
        erased.readings += counted.leaving;
        if counted.is_whole() {
            erased.removed += 1;
        } else {
            erased.rewritten += 1;
            adds.push(put_kept(lake, table, (&add, file), &leaves, Some(&spec.site), now).await?);
        }
        removes.push(removed(&add, now));
    }
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
    let overlaps = |(first, last): (i64, i64)| first <= spec.times.1 && spec.times.0 <= last;
    is_of_site(add, &spec.site) && lake.event_times(&READINGS, add).is_none_or(overlaps)
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

#[cfg(test)]
mod tests;
