//! Rows that are too old leave a table: whole files where all of a file is, a file without them where it is not.
//!
//! Invariants: rows go and what is noted of them comes in one commit, so no row is deleted without being accounted for, and none
//! is accounted for twice; a row that is protected stays whatever its age. Files are removed as an erasure removes them: still
//! active, and excluding merges, replacements and rotations by the rewrite transaction of the site (E8); their bytes stay
//! until a vacuum, so readers beside it go on. What was deleted gets its rows in `deletions` afterwards, by a transaction
//! of their own, from the state that the commit has brought (E9): after a crash the next expiry of the site writes them first.
//!
//! It does not know why a row is protected, nor what a rule's pattern looks like: that is the compactor's.

mod deletions;
mod events;
mod rules;
mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::{Int32Type, Int64Type},
};
use deltalake_core::kernel::Remove;
use forebay_runtime::{Failpoint, failpoint};
use forebay_schemas::{
    SiteId, Timestamp,
    table::{READINGS, Table},
};
use serde::Serialize;

use crate::{
    Add, LakeError, LakeTable, LakeWriter, Snapshot,
    operate::leaving::{
        self, Leaves, count, is_of_site, partition, put_kept, removed, rewrite_step,
    },
    table::change::{Change, Purpose, Transaction},
};
use deletions::write_outstanding;
pub use events::{
    EventExpiry, EventFiles, ExpiredBySite, HeldEvents, expire_events, would_expire_events,
    write_expired_events,
};
pub use rules::{ExpireSpec, ExpiryRule, FitsSeries, Swept};
use rules::{each, leaves};
pub use state::Deletion;
pub(crate) use state::{ExpiredState, expired_states};

/// How often merges may come between.
const TRIES_MAX: u32 = 4;

/// Files of one commit: what an attempt writes again is bounded, and so is what it loses to a merge.
const FILES_MAX: usize = 64;

/// The columns that say which rows leave, and what they are.
const COLUMNS: [&str; 6] = ["device", "tag", "event_time", "gateway", "lane", "epoch"];
const ROLLUP_COLUMNS: [&str; 3] = ["device", "tag", "time_start"];

/// What an expiry did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Expired {
    /// What left, by rule.
    pub deletions: Vec<Deletion>,
    /// Files that held nothing else.
    pub removed: u64,
    /// Files that were written again without what left.
    pub rewritten: u64,
}

impl Expired {
    /// Rows that left.
    pub fn rows(&self) -> u64 {
        self.deletions.iter().map(|deletion| deletion.rows).sum()
    }

    fn add(&mut self, other: Self) {
        self.removed += other.removed;
        self.rewritten += other.rewritten;
        for deletion in other.deletions {
            let same = |known: &&mut Deletion| known.rule == deletion.rule;
            match self.deletions.iter_mut().find(same) {
                Some(known) => known.join(&deletion),
                None => self.deletions.push(deletion),
            }
        }
    }
}

/// Deletes the rows of a site that are too old.
///
/// # Errors
/// [`LakeError::Contended`] when merges came first too often, [`LakeError::Damaged`] when a file is not the one that was
/// committed; what was deleted before stays deleted and is accounted for. Otherwise as [`LakeTable::commit`].
pub async fn expire(
    lake: &LakeWriter,
    spec: &ExpireSpec,
    swept: &mut Swept,
    now: Timestamp,
) -> Result<Expired, LakeError> {
    let table = lake.table(spec.table)?;
    write_outstanding(lake, spec.table, &spec.site).await?;
    let mut done = Expired::default();
    let mut tries = 0;
    loop {
        let Some(found) = found(lake, table, spec, swept).await? else {
            return Ok(done);
        };
        let change = change(lake, table, spec, &found, now).await?;
        failpoint(Failpoint::InRetention);
        match table.commit_change(&change).await {
            Ok(_) => {
                failpoint(Failpoint::AfterRetention);
                write_outstanding(lake, spec.table, &spec.site).await?;
                done.add(found.expired(spec));
                tries = 0;
            }
            Err(LakeError::Fenced { .. } | LakeError::Inactive { .. }) if tries < TRIES_MAX => {
                tries += 1;
            }
            Err(LakeError::Fenced { .. } | LakeError::Inactive { .. }) => {
                return Err(LakeError::Contended {
                    table: table.schema().name,
                    attempts: TRIES_MAX,
                });
            }
            Err(error) => return Err(error),
        }
    }
}

/// What [`expire`] would do, without doing it. It reads as much, and counts every file.
///
/// # Errors
/// As [`expire`], those of reading.
pub async fn would_expire(lake: &LakeWriter, spec: &ExpireSpec) -> Result<Expired, LakeError> {
    let table = lake.table(spec.table)?;
    let snapshot = table.snapshot().await?;
    let mut all = Expired::default();
    for (_, add) in old_files(lake, spec, &snapshot) {
        let counted = counted(lake, table, spec, &add).await?;
        if counted.leaving > 0 {
            let of_file = Found {
                snapshot: snapshot.clone(),
                files: vec![(add, counted)],
            };
            all.add(of_file.expired(spec));
        }
    }
    Ok(all)
}

/// Before which time rows of a site may have been deleted, µs since 1970 UTC; `None` where none has been.
///
/// # Errors
/// When the log, the store or the note of it cannot be read.
pub async fn expired_before(
    lake: &LakeWriter,
    table: &'static Table,
    site: &SiteId,
) -> Result<Option<i64>, LakeError> {
    let table = lake.table(table)?;
    let found = state::load(lake, table, &table.snapshot().await?, site).await?;
    Ok(found.map(|(_, state)| state.before))
}

/// Files with rows that leave, as of a snapshot.
struct Found {
    snapshot: Snapshot,
    files: Vec<(Add, Counted)>,
}

/// What a file has of rows that leave.
type Counted = leaving::Counted<Leaving>;

/// What is noted of rows that leave.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// By gateway, lane and epoch.
    epochs: BTreeMap<(String, u32, u64), u64>,
    /// By the rule's place: how many, and their first and last time.
    rules: BTreeMap<usize, (u64, i64, i64)>,
}

impl Found {
    fn expired(&self, spec: &ExpireSpec) -> Expired {
        let removed = self.files.iter().filter(|(_, counted)| counted.is_whole());
        let removed = removed.count() as u64;
        Expired {
            deletions: self.deletions(spec),
            removed,
            rewritten: self.files.len() as u64 - removed,
        }
    }

    fn deletions(&self, spec: &ExpireSpec) -> Vec<Deletion> {
        let mut sums: BTreeMap<usize, Deletion> = BTreeMap::new();
        let of_rules = self
            .files
            .iter()
            .flat_map(|(_, counted)| &counted.notes.rules);
        for (at, (rows, first, last)) in of_rules {
            let Some(rule) = spec.rules.get(*at) else {
                continue;
            };
            let deletion = Deletion {
                rule: rule.rule.clone(),
                before: rule.before.unwrap_or_default(),
                rows: *rows,
                first: *first,
                last: *last,
            };
            match sums.get_mut(at) {
                Some(sum) => sum.join(&deletion),
                None => drop(sums.insert(*at, deletion)),
            }
        }
        sums.into_values().collect()
    }
}

/// The first files with rows that leave; `None` if there are none.
async fn found(
    lake: &LakeWriter,
    table: &LakeTable,
    spec: &ExpireSpec,
    swept: &mut Swept,
) -> Result<Option<Found>, LakeError> {
    let snapshot = table.snapshot().await?;
    let active: HashSet<String> = snapshot.paths().into_iter().collect();
    swept.keep(&active);
    let mut files = Vec::new();
    for (times, add) in old_files(lake, spec, &snapshot) {
        if times.is_some_and(|times| swept.is_clean(&add.path, times, spec)) {
            continue;
        }
        let counted = counted(lake, table, spec, &add).await?;
        if counted.leaving > 0 {
            files.push((add, counted));
        } else if times.is_some_and(|times| !spec.protects_some(times)) {
            swept.note(&add.path, spec);
        }
        if files.len() == FILES_MAX {
            break;
        }
    }
    Ok((!files.is_empty()).then_some(Found { snapshot, files }))
}

/// The files of the site that may hold a row that leaves, as their commits say, the oldest first.
fn old_files(
    lake: &LakeWriter,
    spec: &ExpireSpec,
    snapshot: &Snapshot,
) -> Vec<(Option<(i64, i64)>, Add)> {
    let Some(newest) = spec.rules.iter().filter_map(|rule| rule.before).max() else {
        return Vec::new();
    };
    let may_leave = |(first, last): (i64, i64)| {
        let at = spec.protected.partition_point(|(_, to)| *to <= first);
        let covering = spec.protected.get(at);
        let is_protected = covering.is_some_and(|(from, to)| *from <= first && last < *to);
        first < newest && !is_protected
    };
    let of_site = snapshot
        .files()
        .into_iter()
        .filter(|add| is_of_site(add, &spec.site));
    let timed = of_site.map(|add| (lake.event_times(spec.table, &add), add));
    let mut old: Vec<_> = timed
        .filter(|(times, _)| times.is_none_or(may_leave))
        .collect();
    old.sort_by_key(|(times, _)| *times);
    old
}

async fn counted(
    lake: &LakeWriter,
    table: &LakeTable,
    spec: &ExpireSpec,
    add: &Add,
) -> Result<Counted, LakeError> {
    let file = table.fetch(add, &lake.decrypter()).await?;
    let of_rules = spec.clone();
    let columns: &'static [&'static str] = if spec.table.name == READINGS.name {
        &COLUMNS
    } else {
        &ROLLUP_COLUMNS
    };
    let note = move |leaving: &mut Leaving, rows: &RecordBatch| leaving.add(rows, &of_rules);
    count(file, columns, leaves(spec), note).await
}

/// The commit as of the snapshot in which the files were found, its new files and its state already stored.
async fn change(
    lake: &LakeWriter,
    table: &LakeTable,
    spec: &ExpireSpec,
    found: &Found,
    now: Timestamp,
) -> Result<Change, LakeError> {
    let app_id = state::app_id(lake.keeper(), spec.table, &spec.site);
    let known = state::load(lake, table, &found.snapshot, &spec.site).await?;
    let from_state = known.as_ref().map(|(number, _)| *number);
    let mut state = known.map_or_else(|| ExpiredState::of(&spec.site), |(_, state)| state);
    state.at = now.micros();
    state.last = found.deletions(spec);
    for deletion in &state.last {
        state.before = state.before.max(deletion.before);
    }
    for (_, counted) in &found.files {
        state.add(&counted.notes.epochs);
    }
    let of_site = match found.files.first() {
        Some((add, _)) => partition(table, add)?,
        None => Vec::new(),
    };
    let (adds, removes) = without(
        lake,
        table,
        &found.files,
        &leaves(spec),
        Some(&spec.site),
        now,
    )
    .await?;
    let step = noted(lake, table, app_id, from_state, &state).await?;
    let rewrite = rewrite_step(lake, table, &found.snapshot, of_site).await?;
    Ok(Change {
        id: lake.id()?,
        purpose: Purpose::Erase,
        transactions: vec![step, rewrite],
        adds,
        removes,
    })
}

/// Stores what stays of these files; answers the actions that put it in their place.
async fn without<T>(
    lake: &LakeWriter,
    table: &LakeTable,
    files: &[(Add, leaving::Counted<T>)],
    leaves: &Leaves,
    site: Option<&SiteId>,
    now: Timestamp,
) -> Result<(Vec<Add>, Vec<Remove>), LakeError> {
    let (mut adds, mut removes) = (Vec::new(), Vec::new());
    for (add, counted) in files {
        if !counted.is_whole() {
            let file = table.fetch(add, &lake.decrypter()).await?;
            adds.push(put_kept(lake, table, (add, file), leaves, site, now).await?);
        }
        removes.push(removed(add, now));
    }
    Ok((adds, removes))
}

/// Stores a state; answers the step that makes it the one in force.
async fn noted(
    lake: &LakeWriter,
    table: &LakeTable,
    app_id: String,
    from_state: Option<i64>,
    state: &(impl Serialize + Sync),
) -> Result<Transaction, LakeError> {
    let keeper = lake.keeper();
    let to_state = keeper
        .store(table, &app_id, from_state, state, lake.random())
        .await?;
    Ok(Transaction {
        app_id,
        from_state,
        to_state,
    })
}

impl Leaving {
    /// Adds rows that leave.
    fn add(&mut self, rows: &RecordBatch, spec: &ExpireSpec) {
        let rules = &mut self.rules;
        let noted = each(rows, spec, |time, rule| {
            let Some(rule) = rule else { return };
            let sum = rules.entry(rule).or_insert((0, time, time));
            *sum = (sum.0 + 1, sum.1.min(time), sum.2.max(time));
        });
        // Columns that are missing have stopped the count before.
        if noted.is_err() {
            return;
        }
        let column = |name: &str| rows.column_by_name(name);
        let gateway = column("gateway").and_then(|gateway| gateway.as_string_opt::<i32>());
        let lane = column("lane").and_then(|lane| lane.as_primitive_opt::<Int32Type>());
        let epoch = column("epoch").and_then(|epoch| epoch.as_primitive_opt::<Int64Type>());
        let Some(((gateway, lane), epoch)) = gateway.zip(lane).zip(epoch) else {
            return;
        };
        let mut last: Option<(&str, i32, i64, u64)> = None;
        for row in 0..rows.num_rows() {
            let key = (gateway.value(row), lane.value(row), epoch.value(row));
            match &mut last {
                Some((gateway, lane, epoch, rows)) if (*gateway, *lane, *epoch) == key => {
                    *rows += 1
                }
                _ => {
                    self.add_epoch(last.replace((key.0, key.1, key.2, 1)));
                }
            }
        }
        self.add_epoch(last);
    }

    fn add_epoch(&mut self, of_epoch: Option<(&str, i32, i64, u64)>) {
        if let Some((gateway, lane, epoch, rows)) = of_epoch {
            let key = (
                gateway.to_owned(),
                lane.cast_unsigned(),
                epoch.cast_unsigned(),
            );
            *self.epochs.entry(key).or_default() += rows;
        }
    }
}
