use forebay_schemas::table::{QUARANTINE, READINGS};

use super::*;

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// A file of so many rows with event times of `[first, last]` µs, a hundred bytes long and written `at_ms`.
fn timed(
    name: &str,
    (first, last): (i64, i64),
    rows: u64,
    at_ms: i64,
) -> (Add, Option<(i64, i64)>) {
    let add = Add {
        path: name.to_owned(),
        partition_values: [("site".to_owned(), Some("plant".to_owned()))].into(),
        size: 100,
        modification_time: at_ms,
        stats: Some(format!("{{\"numRecords\":{rows}}}")),
        ..Default::default()
    };
    (add, Some((first, last)))
}

/// A file of the first hour.
fn add(name: &str, size: i64, rows: u64, at_ms: i64) -> (Add, Option<(i64, i64)>) {
    let (add, times) = timed(name, (0, 1), rows, at_ms);
    (Add { size, ..add }, times)
}

fn policy(min_files: usize, target_bytes: u64, rows_max: u64) -> MergePolicy {
    let settled_before = Timestamp::from_micros(1_000_000).unwrap();
    MergePolicy {
        min_files,
        files_max: 5,
        target_bytes,
        rows_max,
        settled_before,
    }
}

/// As if it were the year 2000: every block here is over.
fn much_later(policy: MergePolicy) -> MergePolicy {
    MergePolicy {
        settled_before: Timestamp::from_micros(946_684_800_000_000).unwrap(),
        ..policy
    }
}

fn planned(
    files: &[(Add, Option<(i64, i64)>)],
    policy: MergePolicy,
) -> Vec<(Vec<String>, Vec<i64>)> {
    let planned = plan_timed(
        &READINGS,
        files.iter().map(|(add, times)| (add, *times)),
        &policy,
    );
    let names = |spec: &MergeSpec| spec.files.iter().map(|add| add.path.clone()).collect();
    let mut planned: Vec<_> = planned
        .iter()
        .map(|spec| (names(spec), spec.cuts.clone()))
        .collect();
    planned.sort();
    planned
}

#[track_caller]
fn check(files: &[(Add, Option<(i64, i64)>)], policy: MergePolicy, expected: &[&[&str]]) {
    let names: Vec<Vec<String>> = planned(files, policy)
        .into_iter()
        .map(|(names, _)| names)
        .collect();
    assert_eq!(names, expected);
}

#[test]
fn small_files_of_one_site_and_hour_are_merged() {
    let [a, b, c] = ["a", "b", "c"].map(|name| add(name, 100, 10, 0));
    check(
        &[a.clone(), b.clone(), c.clone()],
        policy(3, 10_000, 1_000),
        &[&["a", "b", "c"]],
    );
    check(&[a.clone(), b.clone()], policy(3, 10_000, 1_000), &[]);
    let (mut other, times) = c;
    other
        .partition_values
        .insert("site".to_owned(), Some("other".to_owned()));
    check(
        &[a.clone(), b.clone(), (other, times)],
        policy(3, 10_000, 1_000),
        &[],
    );
    check(&[a], policy(0, 10_000, 1_000), &[]);
}

#[test]
fn limits_are_kept() {
    let files: Vec<_> = (0..6).map(|i| add(&format!("f{i}"), 100, 10, i)).collect();
    check(
        &files,
        policy(2, 300, 1_000),
        &[&["f0", "f1", "f2"], &["f3", "f4", "f5"]],
    );
    check(
        &files,
        policy(2, 10_000, 25),
        &[&["f0", "f1"], &["f2", "f3"], &["f4", "f5"]],
    );
    check(&files, policy(2, 200, 1_000), &[]);
    check(&files, policy(2, 10_000, 20), &[]);
    // More files than may be open at once.
    check(
        &files,
        policy(2, 10_000, 1_000),
        &[&["f0", "f1", "f2", "f3", "f4"]],
    );
}

/// Under load a commit holds many rows, and so few files make a whole one that the fewest would never come together.
#[test]
fn few_files_that_make_a_whole_one_are_merged() {
    let files: Vec<_> = (0..4).map(|i| add(&format!("f{i}"), 100, 390, i)).collect();
    check(
        &files,
        policy(8, 10_000, 2_000),
        &[&["f0", "f1", "f2", "f3"]],
    );
    check(&files[..2], policy(8, 10_000, 2_000), &[]);
    check(&files[..2], policy(8, 400, 100_000), &[&["f0", "f1"]]);
}

#[test]
fn what_is_fresh_large_or_uncounted_waits() {
    let [a, b] = ["a", "b"].map(|name| add(name, 100, 10, 999));
    let policy = policy(2, 10_000, 1_000);
    check(
        &[a.clone(), b.clone(), add("c", 100, 10, 1_000)],
        policy,
        &[&["a", "b"]],
    );
    check(
        &[a.clone(), b.clone(), add("c", 6_400, 10, 0)],
        policy,
        &[&["a", "b"]],
    );
    check(
        &[a.clone(), b.clone(), add("c", 100, 500, 0)],
        policy,
        &[&["a", "b"]],
    );
    let uncounted = (
        Add {
            stats: None,
            ..a.0.clone()
        },
        a.1,
    );
    check(&[a, b, uncounted], policy, &[&["a", "b"]]);
}

/// A meter that is read each half hour: files of an hour never have company enough, those of days and months do.
#[test]
fn files_of_a_low_rate_come_together_in_coarser_blocks() {
    let half_hours = |count: i64| -> Vec<_> {
        (0..count)
            .map(|n| timed(&format!("f{n:02}"), (n * HOUR / 2, n * HOUR / 2), 1, 0))
            .collect()
    };
    check(
        &half_hours(4),
        MergePolicy {
            files_max: 32,
            ..policy(8, 10_000, 1_000)
        },
        &[],
    );
    let first: Vec<String> = (0..12).map(|n| format!("f{n:02}")).collect();
    let first: Vec<&str> = first.iter().map(String::as_str).collect();
    check(
        &half_hours(12),
        MergePolicy {
            files_max: 32,
            ..policy(8, 10_000, 1_000)
        },
        &[&first],
    );
    let days: Vec<_> = (0..8)
        .map(|n| timed(&format!("d{n}"), (n * DAY, n * DAY + DAY - 1), 48, 0))
        .collect();
    check(
        &days,
        MergePolicy {
            files_max: 32,
            ..policy(8, 10_000, 1_000)
        },
        &[&["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7"]],
    );
}

/// Hours that are full stay files of an hour, however many of them there are.
#[test]
fn a_block_of_too_many_rows_is_left_to_its_finer_blocks() {
    let hours: Vec<_> = (0..24)
        .map(|n| timed(&format!("h{n}"), (n * HOUR, n * HOUR + 1), 400, 0))
        .collect();
    check(&hours, much_later(policy(2, 10_000, 1_000)), &[]);
    let quiet: Vec<_> = (0..24)
        .map(|n| timed(&format!("h{n}"), (n * HOUR, n * HOUR + 1), 40, 0))
        .collect();
    let plans = planned(
        &quiet,
        MergePolicy {
            files_max: 32,
            ..much_later(policy(8, 10_000, 1_000))
        },
    );
    assert_eq!(plans.len(), 4, "six hours each: {plans:?}");
}

#[test]
fn what_is_left_of_an_hour_that_is_over_becomes_one_file_unless_it_is_little() {
    let files = [
        add("a", 100, 400, 0),
        add("b", 100, 60, 0),
        add("c", 100, 50, 0),
    ];
    check(&files, policy(8, 10_000, 1_000), &[]);
    check(
        &files,
        much_later(policy(8, 10_000, 1_000)),
        &[&["a", "b", "c"]],
    );
    check(&files[..2], much_later(policy(8, 10_000, 1_000)), &[]);
}

/// Months of a backlog, device after device: each file holds all of the time, and a query for an hour would open all.
#[test]
fn files_that_reach_over_a_full_block_are_cut() {
    let files: Vec<_> = (0..3)
        .map(|n| timed(&format!("f{n}"), (0, 3 * DAY), 450, 0))
        .collect();
    let plans = planned(&files, policy(2, 10_000, 1_000));
    assert_eq!(
        plans,
        [(
            vec!["f0".to_owned(), "f1".to_owned(), "f2".to_owned()],
            vec![DAY, 2 * DAY, 3 * DAY]
        )]
    );
    // One that nothing overlaps gains nothing.
    check(
        &[files[0].clone(), timed("h", (4 * DAY, 4 * DAY), 900, 0)],
        policy(2, 10_000, 1_000),
        &[],
    );
}

/// Runs the policy against a model of ingest and merges, and counts how often each row was written again.
#[test]
fn a_row_is_rewritten_a_bounded_number_of_times() {
    let policy = |now| MergePolicy {
        files_max: 32,
        settled_before: Timestamp::from_micros(now).unwrap(),
        ..policy(8, 1 << 40, 4_096)
    };
    for (rows, every, files_most) in [(1, HOUR / 2, 60), (40, HOUR / 6, 500)] {
        // Each file's times, rows and how often its most moved row was written.
        let mut files: BTreeMap<String, ((i64, i64), u64, u32)> = BTreeMap::new();
        let (mut names, mut most) = (0, 0);
        for n in 0..(60 * DAY / every) {
            names += 1;
            files.insert(format!("f{names}"), ((n * every, n * every + 1), rows, 1));
            let adds: Vec<_> = files
                .iter()
                .map(|(name, (times, rows, _))| timed(name, *times, *rows, 0))
                .collect();
            let now = n * every + HOUR;
            let plans = plan_timed(
                &READINGS,
                adds.iter().map(|(add, times)| (add, *times)),
                &policy(now),
            );
            for spec in plans {
                assert!(
                    spec.cuts.is_empty(),
                    "nothing overlaps here: {:?}",
                    spec.files
                );
                let gone: Vec<_> = spec
                    .files
                    .iter()
                    .map(|add| files.remove(&add.path).unwrap())
                    .collect();
                let times = gone
                    .iter()
                    .map(|(times, ..)| *times)
                    .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
                    .unwrap();
                let written = gone.iter().map(|(.., written)| written).max().unwrap() + 1;
                most = written.max(most);
                names += 1;
                files.insert(
                    format!("f{names}"),
                    (times, gone.iter().map(|(_, rows, _)| rows).sum(), written),
                );
            }
        }
        assert!(most <= 12, "a row was written {most} times");
        assert!(
            files.len() <= files_most,
            "{} files of {names}",
            files.len()
        );
    }
}

#[test]
fn a_table_without_event_times_is_merged_by_size() {
    let file = |name: &str| Add {
        partition_values: Default::default(),
        ..add(name, 100, 10, 0).0
    };
    let files = ["a", "b", "c"].map(file);
    let plans = plan_timed(
        &QUARANTINE,
        files.iter().map(|add| (add, None)),
        &policy(3, 10_000, 1_000),
    );
    assert_eq!(
        plans
            .iter()
            .map(|spec| (spec.files.len(), spec.cuts.len()))
            .collect::<Vec<_>>(),
        [(3, 0)]
    );
}
