//! Merges alone, in a race, beside ingest, and cut short.

mod layout;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;

use forebay_schemas::table::READINGS;

use super::*;
use crate::{
    Sealed,
    testing::{Bench, DAY_START, Fault, at, batch},
};

const ROWS: u64 = 50;
const SECOND: i64 = 1_000_000;

fn policy() -> MergePolicy {
    MergePolicy {
        min_files: 2,
        ..MergePolicy::settled_before(at(DAY_START + SECOND))
    }
}

/// Batch `n` of a stream whose event times run backwards, so that a merged file has to be sorted again.
async fn ingest(bench: &Bench, n: u64) {
    let start = DAY_START + (1_000 - n as i64) * SECOND;
    bench
        .ingest("s", &batch(n * ROWS + 1, ROWS, start), at(DAY_START))
        .await;
}

async fn bench_with(files: u64) -> Bench {
    let bench = Bench::new(Sealed::Columns).await;
    for n in 0..files {
        ingest(&bench, n).await;
    }
    bench
}

async fn planned(bench: &Bench) -> Vec<MergeSpec> {
    let files = bench.readings().snapshot().await.unwrap().files();
    plan(&bench.writer, bench.readings().schema(), &files, &policy())
}

async fn merge_now(bench: &Bench, spec: &MergeSpec) -> Result<MergeOutcome, LakeError> {
    merge(&bench.writer, spec, at(DAY_START + SECOND)).await
}

fn assert_sorted(batches: &[RecordBatch]) {
    let mut last = None;
    for rows in batches {
        let device = rows.column_by_name("device").unwrap().as_string::<i32>();
        let times = rows
            .column_by_name("event_time")
            .unwrap()
            .as_primitive::<TimestampMicrosecondType>();
        for row in 0..rows.num_rows() {
            let key = (device.value(row).to_owned(), times.value(row));
            assert!(
                last.as_ref().is_none_or(|last| *last <= key),
                "{last:?} before {key:?}"
            );
            last = Some(key);
        }
    }
}

#[tokio::test]
async fn a_merge_changes_files_and_no_row() {
    for sealed in [Sealed::Columns, Sealed::None] {
        let bench = Bench::new(sealed).await;
        for n in 0..6 {
            ingest(&bench, n).await;
        }
        let before = bench.checksum().await;
        let specs = planned(&bench).await;
        assert_eq!(
            specs
                .iter()
                .map(|spec| spec.files.len())
                .collect::<Vec<_>>(),
            [6]
        );
        let outcome = merge_now(&bench, &specs[0]).await.unwrap();
        assert!(
            matches!(outcome, MergeOutcome::Merged { rows: 300, .. }),
            "{outcome:?}"
        );

        let files = bench.readings().snapshot().await.unwrap().files();
        assert_eq!(files.len(), 1, "{sealed:?}");
        assert_eq!(bench.checksum().await, before, "{sealed:?}");
        let rows = bench
            .readings()
            .read(&files[0], &bench.writer.decrypter())
            .await
            .unwrap();
        assert_sorted(&rows);
        // The new file's own tag prunes it.
        bench.store.files_read();
        bench
            .query(
                "SELECT count(*) FROM readings WHERE event_time > TIMESTAMP '2024-05-01T12:00:00Z'",
            )
            .await;
        assert_eq!(bench.store.files_read(), Vec::<String>::new());
        assert!(
            planned(&bench).await.is_empty(),
            "one file is not merged again"
        );
    }
}

async fn add_file(bench: &Bench, add: Add) {
    let (id, app_id) = (bench.writer.id().unwrap(), "jobs".into());
    let attempt = crate::Attempt {
        id,
        app_id,
        from_state: None,
        to_state: 1,
        adds: vec![add],
    };
    bench.readings().commit(&attempt).await.unwrap();
}

#[tokio::test]
async fn a_file_that_has_not_its_rows_is_named() {
    let bench = bench_with(2).await;
    let rows = crate::partition_rows(&[batch(9 * ROWS + 1, ROWS, DAY_START)])
        .unwrap()
        .remove(0);
    let (partition, readings) = (crate::readings_partition(&rows), bench.readings());
    let add = bench
        .writer
        .put(
            readings,
            rows.rows.clone(),
            &partition,
            Some(&rows.site),
            at(DAY_START),
        )
        .await
        .unwrap();
    let wrong = Add {
        stats: Some(format!("{{\"numRecords\":{}}}", ROWS + 1)),
        ..add.clone()
    };
    add_file(&bench, wrong).await;
    let error = merge_now(&bench, &planned(&bench).await[0])
        .await
        .unwrap_err();
    assert!(
        matches!(&error, LakeError::Damaged { path, .. } if *path == add.path),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains(&format!("it has {ROWS} rows instead of {}", ROWS + 1)),
        "{error}"
    );
}

/// As jobs write their results: in whatever order a query answers.
#[tokio::test]
async fn rows_that_their_writer_has_not_sorted_are_sorted() {
    let bench = bench_with(2).await;
    let rows = crate::partition_rows(&[batch(9 * ROWS + 1, ROWS, DAY_START)])
        .unwrap()
        .remove(0);
    let backwards = arrow::array::UInt32Array::from_iter_values((0..ROWS as u32).rev());
    let shuffled = arrow::compute::take_record_batch(&rows.rows, &backwards).unwrap();
    let partition = crate::readings_partition(&rows);
    let add = bench
        .writer
        .put(
            bench.readings(),
            shuffled,
            &partition,
            Some(&rows.site),
            at(DAY_START),
        )
        .await
        .unwrap();
    add_file(&bench, add).await;

    let before = bench.checksum().await;
    let outcome = merge_now(&bench, &planned(&bench).await[0]).await.unwrap();
    assert!(
        matches!(outcome, MergeOutcome::Merged { rows: 150, .. }),
        "{outcome:?}"
    );
    assert_eq!(bench.checksum().await, before);
    let files = bench.readings().snapshot().await.unwrap().files();
    assert_sorted(
        &bench
            .readings()
            .read(&files[0], &bench.writer.decrypter())
            .await
            .unwrap(),
    );
}

#[tokio::test]
async fn of_two_merges_of_the_same_files_one_lands() {
    let bench = bench_with(4).await;
    let before = bench.checksum().await;
    let spec = planned(&bench).await.remove(0);
    let (first, second) = tokio::join!(merge_now(&bench, &spec), merge_now(&bench, &spec));
    let outcomes = [first.unwrap(), second.unwrap()];
    let landed = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, MergeOutcome::Merged { .. }))
        .count();
    assert_eq!(landed, 1, "{outcomes:?}");
    assert_eq!(bench.checksum().await, before);

    // Much later, with the old plan: the files are gone from the table, although they are still there.
    let outcome = merge_now(&bench, &spec).await.unwrap();
    assert!(
        matches!(&outcome, MergeOutcome::Abandoned { why } if why.contains("no longer active")),
        "{outcome:?}"
    );
    assert_eq!(bench.checksum().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingest_goes_on_beside_merges() {
    const MERGES: usize = 3;
    let bench = bench_with(4).await;
    let merged = std::cell::Cell::new(0);
    // Each goes on as long as the other.
    let ingesting = async {
        let mut batches = 4;
        while merged.get() < MERGES || batches < 16 {
            ingest(&bench, batches).await;
            batches += 1;
        }
        batches
    };
    let merging = async {
        while merged.get() < MERGES {
            for spec in planned(&bench).await {
                let outcome = merge_now(&bench, &spec).await.unwrap();
                assert!(
                    matches!(outcome, MergeOutcome::Merged { .. }),
                    "nothing else rewrites: {outcome:?}"
                );
                merged.set(merged.get() + 1);
            }
            tokio::task::yield_now().await;
        }
    };
    let both = async { tokio::join!(ingesting, merging) };
    let (batches, ()) = tokio::time::timeout(std::time::Duration::from_secs(120), both)
        .await
        .unwrap();
    let count = batches * ROWS;
    let sum = count * (count + 1) / 2;
    let squares = count * (count + 1) * (2 * count + 1) / 6;
    let expected = format!(
        "|{count}|{count}|{sum}|{:.1}|{:.1}|",
        sum as f64 / 2.0,
        squares as f64 / 2.0
    );
    assert_eq!(
        bench
            .checksum()
            .await
            .split_whitespace()
            .collect::<String>(),
        expected
    );
}

#[tokio::test]
async fn a_merge_that_dies_before_its_commit_leaves_only_a_file() {
    let bench = bench_with(4).await;
    let before = bench.checksum().await;
    let version = bench.readings().snapshot().await.unwrap().version();
    let spec = planned(&bench).await.remove(0);
    bench.store.fail_put("part-", 0, Fault::Hang);
    let hung = bench.store.hung();
    tokio::select! {
        outcome = merge_now(&bench, &spec) => panic!("it should hang: {outcome:?}"),
        () = hung.notified() => {}
    }
    assert_eq!(
        bench.readings().snapshot().await.unwrap().version(),
        version
    );
    assert_eq!(bench.checksum().await, before);
    let outcome = merge_now(&bench, &spec).await.unwrap();
    assert!(
        matches!(outcome, MergeOutcome::Merged { .. }),
        "{outcome:?}"
    );
    assert_eq!(bench.checksum().await, before);
}

#[tokio::test]
async fn a_failing_store_neither_loses_nor_doubles() {
    for part in ["part-", "_delta_log/0"] {
        for fault in [Fault::Before, Fault::AfterSuccess] {
            let bench = bench_with(3).await;
            let before = bench.checksum().await;
            let spec = planned(&bench).await.remove(0);
            bench.store.fail_put(part, 0, fault);
            let outcome = match merge_now(&bench, &spec).await {
                Ok(outcome) => outcome,
                Err(error) => {
                    assert_eq!(part, "part-", "a commit finds out on its own: {error}");
                    assert_eq!(bench.checksum().await, before, "{part} {fault:?}");
                    merge_now(&bench, &spec).await.unwrap()
                }
            };
            assert!(
                matches!(outcome, MergeOutcome::Merged { .. }),
                "{part} {fault:?}: {outcome:?}"
            );
            assert_eq!(bench.checksum().await, before, "{part} {fault:?}");
            assert_eq!(bench.readings().snapshot().await.unwrap().files().len(), 1);
        }
    }
}

#[tokio::test]
async fn damage_is_not_merged_away() {
    let bench = bench_with(3).await;
    let spec = planned(&bench).await.remove(0);
    let path = object_store::path::Path::parse(&spec.files[1].path).unwrap();
    let store = bench.readings().store();
    use object_store::ObjectStoreExt as _;
    let whole = store.get(&path).await.unwrap().bytes().await.unwrap();
    for (bytes, why) in [
        (Some(whole.slice(..whole.len() - 1)), "SHA-256"),
        (None, "missing"),
    ] {
        match bytes {
            Some(bytes) => drop(store.put(&path, bytes.into()).await.unwrap()),
            None => store.delete(&path).await.unwrap(),
        }
        let error = merge_now(&bench, &spec).await.unwrap_err();
        assert!(
            matches!(error, LakeError::Damaged { .. }) && error.to_string().contains(why),
            "{error}"
        );
        assert_eq!(bench.readings().snapshot().await.unwrap().files().len(), 3);
    }
}

#[tokio::test]
async fn a_table_without_partitions_is_merged_too() {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int64Array, StringArray, TimestampMicrosecondArray};
    use forebay_schemas::table::QUARANTINE;

    let bench = Bench::new(Sealed::Columns).await;
    for n in 0..3 {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["why"])),
            Arc::new(StringArray::from(vec!["source"])),
            Arc::new(Int64Array::from(vec![n])),
            Arc::new(BinaryArray::from(vec![b"raw".as_slice()])),
            Arc::new(TimestampMicrosecondArray::from(vec![DAY_START]).with_timezone("UTC")),
            Arc::new(StringArray::from(vec!["detail"])),
        ];
        let rows = RecordBatch::try_new(crate::file_schema(&QUARANTINE), columns).unwrap();
        let from_state = (n > 0).then_some(n);
        let step = Transaction {
            app_id: "q".into(),
            from_state,
            to_state: n + 1,
        };
        bench
            .writer
            .append(&QUARANTINE, rows, step, at(DAY_START + n * 1_000))
            .await
            .unwrap();
    }
    let table = bench.writer.table(&QUARANTINE).unwrap();
    let spec = plan(
        &bench.writer,
        &QUARANTINE,
        &table.snapshot().await.unwrap().files(),
        &policy(),
    )
    .remove(0);
    let outcome = merge_now(&bench, &spec).await.unwrap();
    assert!(
        matches!(outcome, MergeOutcome::Merged { rows: 3, .. }),
        "{outcome:?}"
    );
    let files = table.snapshot().await.unwrap().files();
    assert_eq!(files.len(), 1);
    let rows = table
        .read(&files[0], &bench.writer.decrypter())
        .await
        .unwrap();
    let offsets = rows[0]
        .column_by_name("offset")
        .unwrap()
        .as_primitive::<arrow::datatypes::Int64Type>();
    assert_eq!(offsets.values(), &[0, 1, 2]);
}
