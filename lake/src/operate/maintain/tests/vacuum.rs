//! What a vacuum deletes and keeps.

use super::*;

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
