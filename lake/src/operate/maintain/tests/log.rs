//! Checkpoints, and the end of old log entries.

use super::*;

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
