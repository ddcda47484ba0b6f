//! Which files to merge: a pure choice over one snapshot's files.
//!
//! Files are laid out by stretches of event time ([`TimeBlock`]), each file in the finest block that holds it, and from the
//! finest level to the coarsest the files of a block are looked at together:
//!
//! - Small files are merged with others of about as many rows only, so that a row is rewritten once for each step in size and
//!   not once for each new small file.
//! - Once a block's time is over, what is left in it becomes one file, unless that would rewrite a large file for few rows.
//! - A block with more rows than a file holds is left to its finer blocks; files that reach over those are cut along them.
//!
//! So a high rate has files of an hour and a low one files of months, those of one level do not overlap once they are merged,
//! and a row is rewritten at most about (steps in size + 2 × levels) times.

use std::collections::{BTreeMap, HashSet};

use forebay_schemas::{Timestamp, table::Table};

use super::MergeSpec;
use crate::{
    Add, LakeWriter,
    file::tags::row_count,
    file::time_block::{ALL_TIME, LEVELS, TimeBlock},
};

/// How many more rows the files of one size class may have than the smallest, as a power of two.
const CLASS_BITS: u32 = 3;

/// Few files of a block that is over are worth a merge if they have this part of a full file's rows.
const OVER_ROWS_PART: u64 = 256;

/// What is left of a block that is over is merged if the largest file has no more rows than so many times the others.
const OVER_LARGEST: u64 = 4;

/// The files of a cut have this part of a full file's rows, at least on the average.
const CUT_ROWS_PART: u64 = 8;

/// When files are worth merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergePolicy {
    /// Fewest files of a merge, at least 2; fewer are merged only into a file of the full size, or when their time is over.
    pub min_files: usize,
    /// Most files of a merge: rows of each are decoded at once.
    pub files_max: usize,
    /// Most bytes of all files of one merge together, which are held in memory; a file of half of this is left alone.
    pub target_bytes: u64,
    /// Most rows of a merged file; one of half of this is left alone.
    pub rows_max: u64,
    /// Only files that were written before: later ones may soon have company.
    pub settled_before: Timestamp,
}

impl MergePolicy {
    /// 8 to 32 files, 128 MiB, 2 million rows.
    pub fn settled_before(settled_before: Timestamp) -> Self {
        Self {
            min_files: 8,
            files_max: 32,
            target_bytes: 128 << 20,
            rows_max: 2_000_000,
            settled_before,
        }
    }
}

/// Chooses what to merge; each file stands in at most one of the answers.
pub fn plan(
    lake: &LakeWriter,
    table: &'static Table,
    files: &[Add],
    policy: &MergePolicy,
) -> Vec<MergeSpec> {
    let timed = files.iter().map(|add| (add, lake.event_times(table, add)));
    plan_timed(table, timed, policy)
}

/// A file that may be merged.
#[derive(Debug, Clone, Copy)]
struct Member<'a> {
    add: &'a Add,
    rows: u64,
    bytes: u64,
    times: Option<(i64, i64)>,
    block: TimeBlock,
    is_settled: bool,
}

impl<'a> Member<'a> {
    /// `None` for a file that no merge may touch.
    fn of(add: &'a Add, times: Option<(i64, i64)>, policy: &MergePolicy) -> Option<Self> {
        let (rows, bytes) = (row_count(add)?, add.size.unsigned_abs());
        let block = times.map_or(TimeBlock::ALL, TimeBlock::of);
        let is_settled = add.modification_time < policy.settled_before.micros() / 1000;
        add.deletion_vector.is_none().then_some(Self {
            add,
            rows,
            bytes,
            times,
            block,
            is_settled,
        })
    }

    fn is_small(&self, policy: &MergePolicy) -> bool {
        self.bytes < policy.target_bytes / 2 && self.rows < policy.rows_max.div_ceil(2)
    }

    fn class(&self) -> u32 {
        self.rows.max(1).ilog2() / CLASS_BITS
    }
}

/// What is to become one file, or several along `cuts`.
struct Group<'a> {
    members: Vec<Member<'a>>,
    cuts: Vec<i64>,
}

fn plan_timed<'a>(
    table: &'static Table,
    files: impl Iterator<Item = (&'a Add, Option<(i64, i64)>)>,
    policy: &MergePolicy,
) -> Vec<MergeSpec> {
    let mut partitions: BTreeMap<Vec<String>, Vec<Member<'_>>> = BTreeMap::new();
    for (add, times) in files {
        let Some(partition) = partition_of(table, add) else {
            continue;
        };
        partitions
            .entry(partition)
            .or_default()
            .extend(Member::of(add, times, policy));
    }
    let mut specs = Vec::new();
    for (partition, members) in partitions {
        let names = table.partition_columns().iter().map(|column| column.name);
        let partition: Vec<_> = names.zip(partition).collect();
        for Group { members, cuts } in of_partition(members, policy) {
            let files = members
                .into_iter()
                .map(|member| member.add.clone())
                .collect();
            specs.push(MergeSpec {
                table,
                partition: partition.clone(),
                files,
                cuts,
            });
        }
    }
    specs
}

/// `None` for a file whose partition has no value, which our writer does not make.
fn partition_of(table: &Table, add: &Add) -> Option<Vec<String>> {
    table
        .partition_columns()
        .iter()
        .map(|column| add.partition_values.get(column.name).cloned().flatten())
        .collect()
}

fn of_partition<'a>(mut members: Vec<Member<'a>>, policy: &MergePolicy) -> Vec<Group<'a>> {
    members.sort_by_key(|member| {
        (
            member.times,
            member.add.modification_time,
            member.add.path.as_str(),
        )
    });
    let mut taken: HashSet<&str> = HashSet::new();
    let mut groups = Vec::new();
    for level in 0..LEVELS {
        let mut blocks: BTreeMap<TimeBlock, Vec<Member<'_>>> = BTreeMap::new();
        for member in members.iter().filter(|member| member.block.level <= level) {
            blocks
                .entry(member.block.within(level))
                .or_default()
                .push(*member);
        }
        for (block, members) in blocks {
            let free = |members: &[Member<'a>], taken: &HashSet<&str>| -> Vec<Member<'a>> {
                let is_free = |member: &&Member<'_>| {
                    member.is_settled && !taken.contains(member.add.path.as_str())
                };
                members.iter().filter(is_free).copied().collect()
            };
            let found = match is_too_much(&members, policy)
                && members.iter().any(|member| member.times.is_some())
            {
                true if level > 0 => cut(block, free(&members, &taken), policy)
                    .into_iter()
                    .collect(),
                _ => gathered(block, free(&members, &taken), policy),
            };
            for group in found {
                taken.extend(group.members.iter().map(|member| member.add.path.as_str()));
                groups.push(group);
            }
        }
    }
    groups
}

/// Whether files hold more than one file may.
fn is_too_much(members: &[Member<'_>], policy: &MergePolicy) -> bool {
    rows_of(members) > policy.rows_max || bytes_of(members) > policy.target_bytes
}

fn rows_of(members: &[Member<'_>]) -> u64 {
    members.iter().map(|member| member.rows).sum()
}

fn bytes_of(members: &[Member<'_>]) -> u64 {
    members.iter().map(|member| member.bytes).sum()
}

/// The files of a block that are to be merged into one each.
fn gathered<'a>(block: TimeBlock, free: Vec<Member<'a>>, policy: &MergePolicy) -> Vec<Group<'a>> {
    let small: Vec<Member<'_>> = free
        .into_iter()
        .filter(|member| member.is_small(policy))
        .collect();
    let is_over = block
        .end()
        .is_some_and(|end| end <= policy.settled_before.micros());
    if is_over && is_worth_a_last_merge(&small, policy) {
        return vec![Group {
            members: small,
            cuts: Vec::new(),
        }];
    }
    let mut classes: BTreeMap<u32, Vec<Member<'_>>> = BTreeMap::new();
    small
        .into_iter()
        .for_each(|member| classes.entry(member.class()).or_default().push(member));
    let runs = classes
        .into_values()
        .flat_map(|members| runs(members, policy));
    let min_files = policy.min_files.max(2);
    let worth = runs.filter(|run| run.len() >= min_files || makes_a_whole_file(run, policy));
    worth
        .map(|members| Group {
            members,
            cuts: Vec::new(),
        })
        .collect()
}

/// Whether what is left of a block that is over becomes one file.
fn is_worth_a_last_merge(small: &[Member<'_>], policy: &MergePolicy) -> bool {
    let rows = rows_of(small);
    let largest = small
        .iter()
        .map(|member| member.rows)
        .max()
        .unwrap_or_default();
    (2..=policy.files_max).contains(&small.len())
        && !is_too_much(small, policy)
        && rows >= policy.rows_max / OVER_ROWS_PART
        && largest <= (rows - largest).saturating_mul(OVER_LARGEST)
}

/// Whether the merged file would be one that is left alone, so that waiting for more files gains nothing.
fn makes_a_whole_file(run: &[Member<'_>], policy: &MergePolicy) -> bool {
    run.len() > 1
        && (bytes_of(run) >= policy.target_bytes / 2 || rows_of(run) >= policy.rows_max.div_ceil(2))
}

/// The files that reach over a block's finer ones, to be cut along the finest that leave files of a fair size.
fn cut<'a>(block: TimeBlock, free: Vec<Member<'a>>, policy: &MergePolicy) -> Option<Group<'a>> {
    let mut members = Vec::new();
    let mut bytes = 0;
    for member in free
        .into_iter()
        .filter(|member| member.block.level == block.level && member.times.is_some())
    {
        bytes += member.bytes;
        if members.len() == policy.files_max || bytes > policy.target_bytes {
            break;
        }
        members.push(member);
    }
    let times = members
        .iter()
        .filter_map(|member| member.times)
        .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
    let rows = rows_of(&members);
    if members.len() < 2
        || (members.len() < policy.min_files.max(2) && rows < policy.rows_max.div_ceil(2))
    {
        return None;
    }
    let is_fair =
        |level: &usize| rows / TimeBlock::count(*level, times) >= policy.rows_max / CUT_ROWS_PART;
    let level = (0..block.level).find(is_fair).unwrap_or(block.level - 1);
    Some(Group {
        members,
        cuts: TimeBlock::cuts(level.min(ALL_TIME - 1), times),
    })
}

/// Cuts files, by time, into runs that keep to the policy's limits.
fn runs<'a>(members: Vec<Member<'a>>, policy: &MergePolicy) -> Vec<Vec<Member<'a>>> {
    let mut runs: Vec<Vec<Member<'_>>> = Vec::new();
    let (mut bytes, mut rows) = (0, 0);
    let files_max = policy.files_max.max(policy.min_files);
    for member in members {
        let fits =
            bytes + member.bytes <= policy.target_bytes && rows + member.rows <= policy.rows_max;
        match runs.last_mut().filter(|run| fits && run.len() < files_max) {
            Some(run) => {
                run.push(member);
                (bytes, rows) = (bytes + member.bytes, rows + member.rows);
            }
            None => {
                runs.push(vec![member]);
                (bytes, rows) = (member.bytes, member.rows);
            }
        }
    }
    runs
}

#[cfg(test)]
mod tests;
