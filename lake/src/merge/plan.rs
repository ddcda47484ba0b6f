//! Which files to merge: a pure choice over one snapshot's files.
//!
//! Files are merged with others of about their own size only, so that a row is rewritten once for each step in size
//! and not once for each new small file.

use std::collections::BTreeMap;

use forebay_schemas::{Timestamp, table::Table};

use super::MergeSpec;
use crate::{Add, writer::row_count};

/// How much larger the files of one size class may be than the smallest, as a power of two.
const CLASS_BITS: u32 = 3;

/// When files are worth merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergePolicy {
    /// Fewest files of a merge, at least 2; fewer are merged only into a file of the full size.
    pub min_files: usize,
    /// Most files of a merge: rows of each are decoded at once.
    pub files_max: usize,
    /// Most bytes of all files of one merge together, which are held in memory; a file of half of this is left alone.
    pub target_bytes: u64,
    /// Most rows of one merge; a file of half of this is left alone.
    pub rows_max: u64,
    /// Only files that were written before: later ones may soon have company.
    pub settled_before: Timestamp,
}

impl MergePolicy {
    /// 8 to 32 files, 128 MiB, 2 million rows.
    pub fn settled_before(settled_before: Timestamp) -> Self {
        Self { min_files: 8, files_max: 32, target_bytes: 128 << 20, rows_max: 2_000_000, settled_before }
    }
}

/// Chooses what to merge; each file stands in at most one of the answers.
pub fn plan(table: &'static Table, files: &[Add], policy: &MergePolicy) -> Vec<MergeSpec> {
    let min_files = policy.min_files.max(2);
    let mut classes: BTreeMap<(Vec<String>, u32), Vec<&Add>> = BTreeMap::new();
    for add in files.iter().filter(|add| is_small(add, policy)) {
        let Some(partition) = partition_of(table, add) else { continue };
        classes.entry((partition, size_class(add))).or_default().push(add);
    }
    let mut specs = Vec::new();
    for ((partition, _), mut members) in classes {
        members.sort_by(|a, b| (a.modification_time, &a.path).cmp(&(b.modification_time, &b.path)));
        let names = table.partition_columns().iter().map(|column| column.name);
        let partition: Vec<_> = names.zip(partition).collect();
        for group in groups(members, policy) {
            if group.len() >= min_files || makes_a_whole_file(&group, policy) {
                let files = group.into_iter().cloned().collect();
                specs.push(MergeSpec { table, partition: partition.clone(), files });
            }
        }
    }
    specs
}

fn is_small(add: &Add, policy: &MergePolicy) -> bool {
    add.deletion_vector.is_none()
        && add.size.unsigned_abs() < policy.target_bytes / 2
        && row_count(add).is_some_and(|rows| rows < policy.rows_max.div_ceil(2))
        && add.modification_time < policy.settled_before.micros() / 1000
}

/// Whether the merged file would be one that is left alone, so that waiting for more files gains nothing.
fn makes_a_whole_file(group: &[&Add], policy: &MergePolicy) -> bool {
    let bytes: u64 = group.iter().map(|add| add.size.unsigned_abs()).sum();
    let rows: u64 = group.iter().filter_map(|add| row_count(add)).sum();
    group.len() > 1 && (bytes >= policy.target_bytes / 2 || rows >= policy.rows_max.div_ceil(2))
}

/// `None` for a file whose partition has no value, which our writer does not make.
fn partition_of(table: &Table, add: &Add) -> Option<Vec<String>> {
    table.partition_columns().iter().map(|column| add.partition_values.get(column.name).cloned().flatten()).collect()
}

fn size_class(add: &Add) -> u32 {
    add.size.unsigned_abs().max(1).ilog2() / CLASS_BITS
}

/// Cuts files into runs that keep to the policy's limits.
fn groups<'a>(members: Vec<&'a Add>, policy: &MergePolicy) -> Vec<Vec<&'a Add>> {
    let mut groups: Vec<Vec<&Add>> = Vec::new();
    let (mut bytes, mut rows) = (0, 0);
    let files_max = policy.files_max.max(policy.min_files);
    for add in members {
        let (more_bytes, more_rows) = (add.size.unsigned_abs(), row_count(add).unwrap_or_default());
        let fits = bytes + more_bytes <= policy.target_bytes && rows + more_rows <= policy.rows_max;
        match groups.last_mut().filter(|group| fits && group.len() < files_max) {
            Some(group) => {
                group.push(add);
                (bytes, rows) = (bytes + more_bytes, rows + more_rows);
            }
            None => {
                groups.push(vec![add]);
                (bytes, rows) = (more_bytes, more_rows);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use forebay_schemas::table::READINGS;

    use super::*;

    fn add(name: &str, date: &str, size: i64, rows: u64, at_ms: i64) -> Add {
        let partition = [("site", "plant"), ("date", date)];
        Add {
            path: name.to_owned(),
            partition_values: partition.map(|(c, v)| (c.to_owned(), Some(v.to_owned()))).into(),
            size,
            modification_time: at_ms,
            stats: Some(format!("{{\"numRecords\":{rows}}}")),
            ..Default::default()
        }
    }

    fn policy(min_files: usize, target_bytes: u64, rows_max: u64) -> MergePolicy {
        let settled_before = Timestamp::from_micros(1_000_000).unwrap();
        MergePolicy { min_files, files_max: 5, target_bytes, rows_max, settled_before }
    }

    #[track_caller]
    fn check(files: &[Add], policy: MergePolicy, expected: &[&[&str]]) {
        let planned = plan(&READINGS, files, &policy);
        let mut names: Vec<Vec<&str>> =
            planned.iter().map(|spec| spec.files.iter().map(|add| add.path.as_str()).collect()).collect();
        names.sort();
        assert_eq!(names, expected);
    }

    #[test]
    fn small_files_of_one_partition_are_merged() {
        let [a, b, c] = ["a", "b", "c"].map(|name| add(name, "2024-05-01", 100, 10, 0));
        check(&[a.clone(), b.clone(), c.clone()], policy(3, 10_000, 1_000), &[&["a", "b", "c"]]);
        check(&[a.clone(), b.clone()], policy(3, 10_000, 1_000), &[]);
        let other = add("c", "2024-05-02", 100, 10, 0);
        check(&[a.clone(), b.clone(), other], policy(3, 10_000, 1_000), &[]);
        check(&[a.clone(), a.clone()], policy(0, 10_000, 1_000), &[&["a", "a"]]);
        check(&[a], policy(0, 10_000, 1_000), &[]);
    }

    #[test]
    fn limits_are_kept() {
        let files: Vec<Add> = (0..6).map(|i| add(&format!("f{i}"), "2024-05-01", 100, 10, i)).collect();
        check(&files, policy(2, 300, 1_000), &[&["f0", "f1", "f2"], &["f3", "f4", "f5"]]);
        check(&files, policy(2, 10_000, 25), &[&["f0", "f1"], &["f2", "f3"], &["f4", "f5"]]);
        check(&files, policy(2, 200, 1_000), &[]);
        check(&files, policy(2, 10_000, 20), &[]);
        // More files than may be open at once.
        check(&files, policy(2, 10_000, 1_000), &[&["f0", "f1", "f2", "f3", "f4"]]);
    }

    /// Under load a commit holds many rows, and so few files make a whole one that the fewest would never come together.
    #[test]
    fn few_files_that_make_a_whole_one_are_merged() {
        let files: Vec<Add> = (0..4).map(|i| add(&format!("f{i}"), "2024-05-01", 100, 390, i)).collect();
        check(&files, policy(8, 10_000, 2_000), &[&["f0", "f1", "f2", "f3"]]);
        check(&files[..2], policy(8, 10_000, 2_000), &[]);
        check(&files[..2], policy(8, 400, 100_000), &[&["f0", "f1"]]);
    }

    #[test]
    fn what_is_fresh_large_or_uncounted_waits() {
        let [a, b] = ["a", "b"].map(|name| add(name, "2024-05-01", 100, 10, 999));
        check(
            &[a.clone(), b.clone(), add("c", "2024-05-01", 100, 10, 1_000)],
            policy(2, 10_000, 1_000),
            &[&["a", "b"]],
        );
        check(&[a.clone(), b.clone(), add("c", "2024-05-01", 6_400, 10, 0)], policy(2, 10_000, 1_000), &[&["a", "b"]]);
        check(&[a.clone(), b.clone(), add("c", "2024-05-01", 4_900, 10, 0)], policy(2, 10_000, 1_000), &[&["a", "b"]]);
        let uncounted = Add { stats: None, ..a.clone() };
        check(&[a, b, uncounted], policy(2, 10_000, 1_000), &[&["a", "b"]]);
    }
}
