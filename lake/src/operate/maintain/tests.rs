//! Checkpoints, the end of old log entries, and what a vacuum deletes and keeps.

use std::{fs, path::PathBuf, time::SystemTime};

use forebay_schemas::table::{READINGS, TABLES};
use object_store::{ObjectStoreExt as _, path::Path};

use super::*;
use crate::{
    Attempt, Lake, MergeOutcome, MergePolicy, Sealed, merge, plan,
    table::commit::VACUUM_APP_ID,
    testing::{Bench, DAY_START, at, batch},
};

const ROWS: u64 = 10;

fn folder(bench: &Bench) -> PathBuf {
    bench.folder.path().join("lake/readings")
}

async fn ingest(bench: &Bench, n: u64, now: Timestamp) {
    bench
        .ingest("s", &batch(n * ROWS + 1, ROWS, DAY_START), now)
        .await;
}

/// The time of a file that is written now.
fn present(bench: &Bench) -> SystemTime {
    let file = bench.folder.path().join("now");
    fs::write(&file, "").unwrap();
    fs::metadata(&file).unwrap().modified().unwrap()
}

fn timestamp(time: SystemTime) -> Timestamp {
    at(time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_micros() as i64)
}

fn age(path: &std::path::Path, time: SystemTime) {
    fs::File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

/// Every file of the table, relative to its folder.
fn files(bench: &Bench) -> Vec<PathBuf> {
    fn walk(folder: &std::path::Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found)
            } else {
                found.push(path)
            }
        }
    }
    let mut found = Vec::new();
    walk(&folder(bench), &mut found);
    found.sort();
    found
}

/// As another program sees the table.
async fn reopened(bench: &Bench) -> LakeTable {
    let lake = Lake::local(&bench.folder.path().join("lake")).unwrap();
    lake.table(bench.readings().schema()).await.unwrap()
}

#[tokio::test]
async fn a_checkpoint_keeps_what_the_log_said() {
    let bench = Bench::new(Sealed::Columns).await;
    let now = timestamp(present(&bench));
    let policy = MaintainPolicy {
        checkpoint_every: 5,
        ..MaintainPolicy::default()
    };
    for n in 0..6 {
        ingest(&bench, n, now).await;
    }
    let done = maintain(&bench.writer, &policy, now).await;
    assert_eq!((done.checkpoints, done.failed), (1, 0));
    assert_eq!(
        maintain(&bench.writer, &policy, now).await.checkpoints,
        0,
        "not due again"
    );

    // All entries that the checkpoint holds are old now.
    let old = present(&bench) - Duration::from_secs(40 * 24 * 3600);
    for n in 0..7 {
        age(
            &folder(&bench).join(format!("_delta_log/{n:020}.json")),
            old,
        );
    }
    for n in 6..11 {
        ingest(&bench, n, now).await;
    }
    let before = bench.checksum().await;
    let done = maintain(&bench.writer, &policy, now).await;
    assert_eq!((done.checkpoints, done.failed), (1, 0));
    assert!(done.log_files_deleted >= 6, "{done:?}");
    assert!(
        !folder(&bench)
            .join(format!("_delta_log/{:020}.json", 0))
            .exists()
    );

    let table = reopened(&bench).await;
    let snapshot = table.snapshot().await.unwrap();
    assert_eq!(snapshot.state_of("s").await.unwrap(), Some(11));
    assert_eq!(snapshot.files().len(), 11);
    let context = crate::session(std::slice::from_ref(&table), &bench.writer.decrypter())
        .await
        .unwrap();
    let rows = context
        .sql("SELECT * FROM readings")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap();
    assert_eq!(
        rows.iter()
            .map(|batch| batch.num_rows() as u64)
            .sum::<u64>(),
        11 * ROWS
    );
    for add in snapshot.files() {
        table.read(&add, &bench.writer.decrypter()).await.unwrap();
    }
    // The program that has been running all the while goes on too.
    assert_eq!(bench.checksum().await, before);
    ingest(&bench, 11, now).await;
    assert_eq!(
        reopened(&bench)
            .await
            .snapshot()
            .await
            .unwrap()
            .files()
            .len(),
        12
    );
}

#[tokio::test]
async fn a_long_log_is_listed_from_where_the_last_cleaning_came_to() {
    const ENTRIES: u64 = 1_200;
    let bench = Bench::new(Sealed::Columns).await;
    let now = timestamp(present(&bench));
    ingest(&bench, 0, now).await;
    let first = bench.readings().snapshot().await.unwrap().version() + 1;
    for version in first..first + ENTRIES {
        let entry = r#"{"commitInfo":{"timestamp":1714521600000,"operation":"WRITE","operationParameters":{}}}"#;
        fs::write(
            folder(&bench).join(format!("_delta_log/{version:020}.json")),
            entry,
        )
        .unwrap();
    }
    let policy = MaintainPolicy::default();
    assert_eq!(maintain(&bench.writer, &policy, now).await.failed, 0);
    assert!(
        bench.store.listed("readings/_delta_log/").len() as u64 > ENTRIES,
        "all of it, once"
    );

    ingest(&bench, 1, now).await;
    assert_eq!(maintain(&bench.writer, &policy, now).await.failed, 0);
    let again = bench.store.listed("readings/_delta_log/");
    // Where the first cleaning came to at least, and a checkpoint may be written 1,000 versions late.
    let oldest = format!("{:020}", first + ENTRIES - 1 - 1_000);
    let is_old = |path: &&String| {
        path.rsplit('/')
            .next()
            .is_some_and(|name| *name < *oldest && !name.starts_with('_'))
    };
    assert_eq!(again.iter().find(is_old), None);
    assert!(!again.is_empty());
}

/// A table of few commits would keep its log for months.
#[tokio::test]
async fn a_log_with_few_entries_is_cleaned_by_its_age() {
    let bench = Bench::new(Sealed::Columns).await;
    let present = present(&bench);
    let policy = MaintainPolicy {
        log_retention: Duration::from_secs(300),
        ..MaintainPolicy::default()
    };
    let later = |seconds: u64| timestamp(present + Duration::from_secs(seconds));
    let vacuumed = maintain(&bench.writer, &policy, later(1)).await;
    assert_eq!(
        (vacuumed.checkpoints, vacuumed.failed),
        (0, 0),
        "the table is young"
    );
    ingest(&bench, 0, later(1)).await;
    // Every table has its vacuum's entry.
    let tables = TABLES.len() as u64;
    let done = maintain(&bench.writer, &policy, later(400)).await;
    assert_eq!((done.checkpoints, done.failed), (tables, 0));
    let again = maintain(&bench.writer, &policy, timestamp(present)).await;
    assert_eq!(again.checkpoints, 0, "the checkpoint is young");

    // The checkpoint and what it holds grow old; one entry comes after it.
    let old = present - Duration::from_secs(400);
    for file in files(&bench).iter().filter(|path| {
        path.parent()
            .is_some_and(|folder| folder.ends_with("_delta_log"))
    }) {
        age(file, old);
    }
    ingest(&bench, 1, timestamp(present)).await;
    let done = maintain(&bench.writer, &policy, timestamp(present)).await;
    assert_eq!(
        (done.checkpoints, done.failed),
        (1, 0),
        "nothing has come to the other tables"
    );
    assert_eq!(
        done.log_files_deleted, 2,
        "what came before the older checkpoint"
    );
    assert_eq!(
        reopened(&bench)
            .await
            .snapshot()
            .await
            .unwrap()
            .files()
            .len(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vacuum_deletes_only_what_is_old_and_needless() {
    let bench = Bench::new(Sealed::Columns).await;
    let present = present(&bench);
    let (now, old) = (
        timestamp(present),
        present - Duration::from_secs(10 * 24 * 3600),
    );
    for n in 0..3 {
        ingest(&bench, n, timestamp(old)).await;
    }
    // Merged long ago, and merged just now.
    for merged_at in [timestamp(old), now] {
        let policy = MergePolicy {
            min_files: 2,
            ..MergePolicy::settled_before(now)
        };
        let spec = plan(
            &bench.writer,
            bench.readings().schema(),
            &bench.readings().snapshot().await.unwrap().files(),
            &policy,
        );
        let outcome = merge(&bench.writer, &spec[0], merged_at).await.unwrap();
        assert!(
            matches!(outcome, MergeOutcome::Merged { .. }),
            "{outcome:?}"
        );
        for n in 3..5 {
            bench
                .ingest("t", &batch(n * ROWS + 1, ROWS, DAY_START), timestamp(old))
                .await;
        }
    }
    for (path, bytes) in [
        (
            "a/part-00000000-0000-4000-8000-000000000001.parquet",
            "an orphan",
        ),
        ("a/notes.txt", "not ours"),
        ("a/part-of-something.parquet", "not ours"),
        ("a/.forebay-writing-1-1", "left of a crash"),
        ("_forebay/state/s/00000000000000000001", "an old state"),
        (
            "_forebay/state/s/00000000000000000003",
            "the state that counts",
        ),
        (
            "_forebay/state/s/00000000000000000004",
            "one that never counted",
        ),
        (
            "_forebay/state/u/00000000000000000001",
            "of a stream that has committed nothing",
        ),
    ] {
        bench
            .readings()
            .store()
            .put(
                &Path::parse(path).unwrap(),
                bytes.as_bytes().to_vec().into(),
            )
            .await
            .unwrap();
    }
    for file in files(&bench) {
        age(&file, old);
    }
    let fresh = Path::parse("a/part-00000000-0000-4000-8000-000000000002.parquet").unwrap();
    bench
        .readings()
        .store()
        .put(&fresh, b"an upload under way".to_vec().into())
        .await
        .unwrap();

    let (sum, before) = (bench.checksum().await, files(&bench));
    let done = maintain(&bench.writer, &MaintainPolicy::default(), now).await;
    let after = files(&bench);
    let deleted: Vec<_> = before
        .iter()
        .filter(|path| !after.contains(path))
        .map(|p| p.display().to_string())
        .collect();
    // Three files of the merge long ago, the orphan, the temporary file, the old state.
    assert_eq!((done.failed, done.files_deleted), (0, 6), "{deleted:#?}");
    for gone in [
        "-000000000001.parquet",
        ".forebay-writing-1-1",
        "state/s/00000000000000000001",
    ] {
        assert!(
            deleted.iter().any(|path| path.ends_with(gone)),
            "{gone}: {deleted:#?}"
        );
    }
    assert_eq!(bench.checksum().await, sum);
    let again = maintain(&bench.writer, &MaintainPolicy::default(), now).await;
    assert_eq!((again.vacuums, again.files_deleted), (0, 0));
}

#[tokio::test]
async fn an_attempt_older_than_a_vacuum_is_refused() {
    let bench = Bench::new(Sealed::Columns).await;
    let present = present(&bench);
    let (now, old) = (
        timestamp(present),
        present - Duration::from_secs(10 * 24 * 3600),
    );
    let table = bench.readings();
    let rows = crate::partition_rows(&[batch(1, ROWS, DAY_START)])
        .unwrap()
        .remove(0);
    let partition = crate::readings_partition(&rows);
    let mut attempts = Vec::new();
    for _ in 0..3 {
        let add = bench
            .writer
            .put(
                table,
                rows.rows.clone(),
                &partition,
                Some(&rows.site),
                timestamp(old),
            )
            .await
            .unwrap();
        let id = bench.writer.id().unwrap();
        attempts.push(Attempt {
            id,
            app_id: "s".into(),
            from_state: None,
            to_state: 1,
            adds: vec![add],
        });
    }
    let on_disk = |i: usize| folder(&bench).join(&attempts[i].adds[0].path);
    age(&on_disk(0), old);
    // The third: its writer's clock was wrong, the store knows better.
    let done = maintain(&bench.writer, &MaintainPolicy::default(), now).await;
    assert_eq!((done.failed, done.files_deleted), (0, 1));
    assert!(!on_disk(0).exists());
    let error = table.commit(&attempts[0]).await.unwrap_err();
    assert!(matches!(error, LakeError::Vacuumed { .. }), "{error}");
    fs::remove_file(on_disk(1)).unwrap();
    let error = table.commit(&attempts[1]).await.unwrap_err();
    assert!(matches!(error, LakeError::Vacuumed { .. }), "{error}");
    table.commit(&attempts[2]).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_runs_ahead_deletes_nothing_young() {
    let bench = Bench::new(Sealed::Columns).await;
    let now = timestamp(present(&bench));
    let orphan = Path::parse("part-00000000-0000-4000-8000-000000000001.parquet").unwrap();
    bench
        .readings()
        .store()
        .put(&orphan, b"an upload under way".to_vec().into())
        .await
        .unwrap();
    let ahead = at(now.micros() + 400 * 86_400_000_000);
    let done = maintain(&bench.writer, &MaintainPolicy::default(), ahead).await;
    assert_eq!((done.failed, done.files_deleted), (0, 0));
    assert!(done.vacuums > 0);
    let cut_off = bench
        .readings()
        .snapshot()
        .await
        .unwrap()
        .state_of(VACUUM_APP_ID)
        .await
        .unwrap()
        .unwrap();
    assert!(cut_off < now.micros() / 1000, "{cut_off}");
    bench.readings().store().head(&orphan).await.unwrap();
}

#[tokio::test]
async fn old_states_go_from_every_table() {
    let bench = Bench::new(Sealed::Columns).await;
    let present = present(&bench);
    let old = present - Duration::from_secs(10 * 24 * 3600);
    let state = |number: i64| format!("_forebay/state/s/{number:020}");
    for table in bench.writer.tables() {
        for (from_state, to_state) in [(None, 1), (Some(1), 2)] {
            let path = Path::parse(state(to_state)).unwrap();
            table
                .store()
                .put(&path, b"a state".to_vec().into())
                .await
                .unwrap();
            age(
                &bench
                    .folder
                    .path()
                    .join("lake")
                    .join(table.schema().name)
                    .join(state(to_state)),
                old,
            );
            let id = bench.writer.id().unwrap();
            let attempt = Attempt {
                id,
                app_id: "s".into(),
                from_state,
                to_state,
                adds: Vec::new(),
            };
            table.commit(&attempt).await.unwrap();
        }
    }
    let done = maintain(
        &bench.writer,
        &MaintainPolicy::default(),
        timestamp(present),
    )
    .await;
    assert_eq!((done.failed, done.files_deleted), (0, TABLES.len() as u64));
    for table in bench.writer.tables() {
        let folder = bench.folder.path().join("lake").join(table.schema().name);
        let there = [1, 2].map(|number| folder.join(state(number)).exists());
        assert_eq!(there, [false, true], "{}", table.schema().name);
    }
}

/// A gateway's small disk may ask for less than a month of log entries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shorter_retention_is_kept_and_told_to_other_engines() {
    let bench = Bench::new(Sealed::Columns).await;
    let present = present(&bench);
    let (now, old) = (timestamp(present), present - Duration::from_secs(600));
    let told = async || {
        let snapshot = reopened(&bench).await.snapshot().await.unwrap();
        let all = snapshot.state.metadata().configuration().clone();
        let of = |name: &str| all.get(name).cloned().unwrap_or_default();
        let retentions = (
            of("delta.logRetentionDuration"),
            of("delta.deletedFileRetentionDuration"),
        );
        (
            retentions,
            of("forebay.formatVersion"),
            format!("{:?}", snapshot.state.protocol()),
            snapshot.version(),
        )
    };
    let ((log_kept, files_kept), format, protocol, created) = told().await;
    assert_eq!(
        (log_kept.as_str(), files_kept.as_str()),
        ("interval 30 days", "interval 7 days")
    );
    let vacuumed = created + 1;
    maintain(&bench.writer, &MaintainPolicy::default(), now).await;
    assert_eq!(
        told().await.3,
        vacuumed,
        "what the table was created with is not told again"
    );

    let minutes = |n: u64| Duration::from_secs(60 * n);
    let policy = MaintainPolicy {
        checkpoint_every: 3,
        log_retention: minutes(5),
        file_retention: minutes(7),
    };
    for n in 0..4 {
        ingest(&bench, n, timestamp(old)).await;
    }
    let merging = MergePolicy {
        min_files: 2,
        ..MergePolicy::settled_before(now)
    };
    let spec = plan(
        &bench.writer,
        &READINGS,
        &bench.readings().snapshot().await.unwrap().files(),
        &merging,
    );
    let outcome = merge(&bench.writer, &spec[0], timestamp(old))
        .await
        .unwrap();
    assert!(
        matches!(outcome, MergeOutcome::Merged { .. }),
        "{outcome:?}"
    );
    for file in files(&bench) {
        age(&file, old);
    }
    let done = maintain(&bench.writer, &policy, now).await;
    assert_eq!((done.failed, done.checkpoints), (0, 1), "{done:?}");
    assert!(
        done.files_deleted >= 4,
        "the four files that were merged ten minutes ago: {done:?}"
    );
    assert!(
        done.log_files_deleted >= 5,
        "the entries of ten minutes ago, which the checkpoint holds: {done:?}"
    );
    let (retentions, format_after, protocol_after, version) = told().await;
    assert_eq!(
        retentions,
        ("interval 300 seconds".into(), "interval 420 seconds".into())
    );
    assert_eq!((format_after, protocol_after), (format, protocol));

    for n in 4..8 {
        ingest(&bench, n, now).await;
    }
    let done = maintain(&bench.writer, &policy, now).await;
    assert_eq!(done.failed, 0, "{done:?}");
    assert_eq!(told().await.3, version + 4, "told once");
    assert_eq!(
        reopened(&bench)
            .await
            .snapshot()
            .await
            .unwrap()
            .files()
            .len(),
        5
    );
}

/// Programs that come, commit and go have no housekeeping, and each would read the log of all before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_of_many_short_writers_reads_no_more_than_twice_the_first() {
    const WRITERS: u64 = 40;
    let bench = Bench::new(Sealed::Columns).await;
    let now = timestamp(present(&bench));
    let mut reads = Vec::new();
    for n in 0..WRITERS {
        bench.store.reads_of("");
        let writer = bench.another().await.unwrap();
        let table = writer.table(&READINGS).unwrap();
        let rows = crate::partition_rows(&[batch(n * ROWS + 1, ROWS, DAY_START)])
            .unwrap()
            .remove(0);
        let partition = crate::readings_partition(&rows);
        let add = writer
            .put(table, rows.rows.clone(), &partition, Some(&rows.site), now)
            .await
            .unwrap();
        let stream = format!("import-{n}");
        // An import asks whether it, and each before it, has committed.
        let snapshot = table.snapshot().await.unwrap();
        for earlier in 0..n {
            assert_eq!(
                snapshot
                    .state_of(&format!("import-{earlier}"))
                    .await
                    .unwrap(),
                Some(1)
            );
        }
        assert_eq!(snapshot.state_of(&stream).await.unwrap(), None);
        let attempt = Attempt {
            id: writer.id().unwrap(),
            app_id: stream,
            from_state: None,
            to_state: 1,
            adds: vec![add],
        };
        table.commit(&attempt).await.unwrap();
        reads.push(bench.store.reads_of("_delta_log"));
    }
    let first = reads[0];
    let last = reads[reads.len() - 16..].iter().sum::<usize>() / 16;
    assert!(
        last <= 2 * first,
        "{last} reads against {first} of the first: {reads:?}"
    );
}

/// With many removed files each checkpoint is large; a month of them would outgrow the readings.
#[tokio::test]
async fn checkpoints_that_newer_ones_have_replaced_are_deleted() {
    let bench = Bench::new(Sealed::Columns).await;
    let present = present(&bench);
    let minutes = |n: u64| Duration::from_secs(60 * n);
    let retention = ms(minutes(8 * 60));
    let log = folder(&bench).join("_delta_log");
    let checkpoints = || {
        let there = files(&bench)
            .into_iter()
            .filter(|path| path.to_string_lossy().contains(".checkpoint."));
        there.filter(|path| path.starts_with(&log)).count()
    };
    let mut most = 0;
    let mut dated = std::collections::HashSet::new();
    // A commit and a checkpoint every twenty minutes for half a day; the store's clock goes with ours.
    for n in 0..36 {
        let id = bench.writer.id().unwrap();
        let (from_state, to_state) = ((n > 0).then_some(n), n + 1);
        let attempt = Attempt {
            id,
            app_id: "s".into(),
            from_state,
            to_state,
            adds: Vec::new(),
        };
        bench.readings().commit(&attempt).await.unwrap();
        let time = present + minutes(20 * n as u64);
        assert!(
            bench
                .readings()
                .checkpoint_if_due(1, i64::MAX, timestamp(time))
                .await
                .unwrap()
        );
        bench
            .readings()
            .clean_log(retention, timestamp(time))
            .await
            .unwrap();
        for file in fs::read_dir(&log)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            if dated.insert(file.clone()) {
                age(&file, time);
            }
        }
        most = most.max(checkpoints());
    }
    // One an hour for the eight hours of retention, those of the last minutes, and one beyond each end.
    assert!(most <= 13, "{most} checkpoints");
    let reopened = reopened(&bench).await;
    assert_eq!(
        reopened
            .snapshot()
            .await
            .unwrap()
            .state_of("s")
            .await
            .unwrap(),
        Some(36)
    );
}

/// A session is open on an old version for longer than its files are kept (E8).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_too_old_fails_with_a_clear_error() {
    let bench = Bench::new(Sealed::Columns).await;
    let present = present(&bench);
    let (now, old) = (
        timestamp(present),
        present - Duration::from_secs(10 * 24 * 3600),
    );
    for n in 0..3 {
        ingest(&bench, n, timestamp(old)).await;
    }
    let tables = std::slice::from_ref(bench.readings());
    let reader = crate::session(tables, &bench.writer.decrypter())
        .await
        .unwrap();
    let policy = MergePolicy {
        min_files: 2,
        ..MergePolicy::settled_before(now)
    };
    let spec = plan(
        &bench.writer,
        &READINGS,
        &bench.readings().snapshot().await.unwrap().files(),
        &policy,
    )
    .remove(0);
    merge(&bench.writer, &spec, timestamp(old)).await.unwrap();
    for file in files(&bench) {
        age(&file, old);
    }
    let done = maintain(&bench.writer, &MaintainPolicy::default(), now).await;
    assert_eq!((done.failed, done.files_deleted), (0, 3), "{done:?}");
    let error = reader
        .sql("SELECT sum(value) FROM readings")
        .await
        .unwrap()
        .collect()
        .await
        .unwrap_err()
        .to_string();
    for part in ["table readings: file", "part-", "not found"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
    assert_eq!(
        bench.query("SELECT count(*) FROM readings").await,
        "| 30       |"
    );
}
