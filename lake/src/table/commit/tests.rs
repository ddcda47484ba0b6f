use std::sync::Arc;

use forebay_schemas::table::READINGS;

use super::*;
use crate::{
    Add,
    table::Lake,
    testing::{Fault, WatchedStore},
};

fn attempt(stream: &str, from_state: Option<i64>, to_state: i64, number: u128) -> Attempt {
    let partition = [("site", "plant")];
    let add = Add {
        path: format!("site=plant/{stream}-{number}.parquet"),
        partition_values: partition
            .map(|(c, v)| (c.to_owned(), Some(v.to_owned())))
            .into(),
        size: 1,
        data_change: true,
        ..Default::default()
    };
    Attempt {
        id: Uuid::from_u128(number),
        app_id: stream.to_owned(),
        from_state,
        to_state,
        adds: vec![add],
    }
}

async fn paths(table: &LakeTable) -> Vec<String> {
    let mut paths: Vec<String> = table
        .snapshot()
        .await
        .unwrap()
        .files()
        .into_iter()
        .map(|add| add.path)
        .collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn a_lost_answer_is_no_second_commit() {
    // The first put of a log entry creates the table; the others are three commits of one stream.
    for nth in 0..4 {
        for fault in [Fault::Before, Fault::AfterSuccess] {
            let folder = tempfile::tempdir().unwrap();
            let store = WatchedStore::local(folder.path());
            store.fail_put("_delta_log/000", nth, fault);
            let lake = Arc::new(store).lake();
            let table = match lake.table(&READINGS).await {
                Ok(table) => table,
                Err(error) => {
                    assert!(
                        matches!((nth, fault), (0, Fault::Before)),
                        "{nth} {fault:?}: {error}"
                    );
                    lake.table(&READINGS).await.unwrap()
                }
            };
            for (from, to) in [(None, 1), (Some(1), 2), (Some(2), 3)] {
                let version = table
                    .commit(&attempt("a", from, to, to as u128))
                    .await
                    .unwrap();
                assert_eq!(version, to as u64, "{nth} {fault:?}: one version a commit");
            }
            assert_eq!(
                table.snapshot().await.unwrap().state_of("a").await.unwrap(),
                Some(3)
            );
            assert_eq!(paths(&table).await.len(), 3, "{nth} {fault:?}");
        }
    }
}

#[tokio::test]
async fn of_two_attempts_from_one_state_one_is_fenced() {
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path())
        .unwrap()
        .table(&READINGS)
        .await
        .unwrap();
    let (first, second) = (attempt("a", None, 1, 1), attempt("a", None, 2, 2));
    table.commit(&first).await.unwrap();
    let error = table.commit(&second).await.unwrap_err();
    assert!(
        matches!(
            &error,
            LakeError::Fenced {
                found: Some(1),
                expected: None,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(paths(&table).await, [first.adds[0].path.clone()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_that_commit_at_once_all_land_once() {
    const STREAMS: u128 = 8;
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(WatchedStore::local(folder.path()));
    let table = store.lake().table(&READINGS).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for stream in 0..STREAMS {
        let table = table.clone();
        tasks.spawn(async move {
            let name = format!("s{stream}");
            for step in 0..3 {
                let from = (step > 0).then_some(step);
                table
                    .commit(&attempt(&name, from, step + 1, stream * 100 + step as u128))
                    .await
                    .unwrap();
            }
        });
    }
    tasks.join_all().await;
    let paths = paths(&table).await;
    assert_eq!(paths.len(), STREAMS as usize * 3, "{paths:?}");
    assert_eq!(
        table.snapshot().await.unwrap().version(),
        STREAMS as u64 * 3
    );
    // They take turns: none has written an entry in vain. The first one made the table.
    assert_eq!(store.puts_of("_delta_log/000"), STREAMS as usize * 3 + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_of_several_processes_that_commit_at_once_all_land_once() {
    const STREAMS: u128 = 3;
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        Lake::local(folder.path())
            .unwrap()
            .table(&READINGS)
            .await
            .unwrap()
    };
    let table = open().await;
    let mut tasks = tokio::task::JoinSet::new();
    for stream in 0..STREAMS {
        // Each has a view of its own, as another process has.
        let table = open().await;
        tasks.spawn(async move {
            let name = format!("s{stream}");
            for step in 0..5 {
                let from = (step > 0).then_some(step);
                let attempt = attempt(&name, from, step + 1, stream * 100 + step as u128);
                // Whoever loses too often hears of it, and tries again.
                while let Err(error) = table.commit(&attempt).await {
                    assert!(matches!(error, LakeError::Contended { .. }), "{error}");
                }
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(paths(&table).await.len(), STREAMS as usize * 5);
    assert_eq!(
        table.snapshot().await.unwrap().version(),
        STREAMS as u64 * 5
    );
}

#[tokio::test]
async fn a_snapshot_that_is_read_onward_knows_every_state() {
    let folder = tempfile::tempdir().unwrap();
    let open = async || {
        Lake::local(folder.path())
            .unwrap()
            .table(&READINGS)
            .await
            .unwrap()
    };
    let (reader, writer) = (open().await, open().await);
    // Few entries are read for their transactions; after many the states are looked up.
    for commits in [1, 3, 40] {
        let from = reader
            .snapshot()
            .await
            .unwrap()
            .state_of("a")
            .await
            .unwrap();
        let first = from.unwrap_or(0);
        for step in first..first + commits {
            let from = (step > 0).then_some(step);
            writer
                .commit(&attempt("a", from, step + 1, step as u128))
                .await
                .unwrap();
        }
        let snapshot = reader.snapshot().await.unwrap();
        assert_eq!(snapshot.state_of("a").await.unwrap(), Some(first + commits));
        assert_eq!(snapshot.state_of("b").await.unwrap(), None);
        assert_eq!(snapshot.files().len() as i64, first + commits);
        assert_eq!(
            snapshot.files().len(),
            open().await.snapshot().await.unwrap().files().len()
        );
    }
}

#[tokio::test]
async fn an_attempt_for_other_columns_is_refused() {
    for (from, to, why) in [
        (
            r#"\"name\":\"seq\",\"type\":\"long\""#,
            r#"\"name\":\"seq\",\"type\":\"string\""#,
            "column seq",
        ),
        (
            r#"\"name\":\"tag\""#,
            r#"\"name\":\"label\""#,
            "column label",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let table = Lake::local(folder.path())
            .unwrap()
            .table(&READINGS)
            .await
            .unwrap();
        table.commit(&attempt("a", None, 1, 1)).await.unwrap();
        let log = folder.path().join("readings/_delta_log");
        let created = std::fs::read_to_string(log.join(format!("{:020}.json", 0))).unwrap();
        let metadata = created
            .lines()
            .find(|line| line.contains("\"metaData\""))
            .unwrap();
        assert!(metadata.contains(from), "{metadata}");
        std::fs::write(
            log.join(format!("{:020}.json", 2)),
            metadata.replace(from, to),
        )
        .unwrap();
        let error = table
            .commit(&attempt("a", Some(1), 2, 2))
            .await
            .unwrap_err();
        assert!(
            matches!(error, LakeError::Changed { .. }) && error.to_string().contains(why),
            "{error}"
        );
        assert_eq!(paths(&table).await.len(), 1);
    }
}

#[tokio::test]
async fn an_attempt_tried_again_after_it_landed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path())
        .unwrap()
        .table(&READINGS)
        .await
        .unwrap();
    let first = attempt("a", None, 1, 1);
    let version = table.commit(&first).await.unwrap();
    table.commit(&attempt("a", Some(1), 2, 2)).await.unwrap();
    assert_eq!(table.commit(&first).await.unwrap(), version);
    assert_eq!(paths(&table).await.len(), 2);
}

/// A create that is retried for minutes finds its name free again, once others have cleaned the log behind a
/// checkpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_lands_below_a_checkpoint_is_committed_again() {
    let bench = crate::testing::Bench::new(crate::Sealed::Columns).await;
    let table = bench.readings().clone();
    let late = attempt("late", None, 1, 100);
    bench
        .store
        .fail_put("readings/_delta_log/000", 0, Fault::Held);
    let hung = bench.store.hung();
    let committing = tokio::spawn({
        let (table, late) = (table.clone(), late.clone());
        async move { table.commit(&late).await }
    });
    hung.notified().await;

    let other = bench.another().await.unwrap();
    let others = other.table(&READINGS).unwrap();
    for step in 0..3_i64 {
        others
            .commit(&attempt(
                "a",
                (step > 0).then_some(step),
                step + 1,
                step as u128,
            ))
            .await
            .unwrap();
    }
    let state = others.snapshot().await.unwrap();
    let mut checkpointed = deltalake_core::DeltaTable::new(others.log.clone());
    checkpointed.state = Some(state.state.clone());
    deltalake_core::checkpoints::create_checkpoint(&checkpointed, None)
        .await
        .unwrap();
    let log = bench.folder.path().join("lake/readings/_delta_log");
    for version in 0..state.version() {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }

    bench.store.let_go();
    let version = committing.await.unwrap().unwrap();
    assert!(version > state.version(), "{version}");
    let seen = bench.another().await.unwrap();
    let seen = seen.table(&READINGS).unwrap().snapshot().await.unwrap();
    assert_eq!(seen.state_of("late").await.unwrap(), Some(1));
    assert!(
        seen.paths().contains(&late.adds[0].path),
        "{:?}",
        seen.paths()
    );
    assert_eq!(seen.files().len(), 4);
}

/// The table's format is part of what an attempt was built for (E6).
#[tokio::test]
async fn an_attempt_for_another_format_is_refused() {
    let bench = crate::testing::Bench::new(crate::Sealed::Columns).await;
    let table = bench.readings();
    let known = forebay_schemas::table::TABLE_FORMAT_VERSION;
    set_format(&bench, "0");
    let error = table.commit(&attempt("a", None, 1, 1)).await.unwrap_err();
    assert!(
        matches!(&error, LakeError::Changed { why, .. } if why.contains("format")),
        "{error}"
    );
    set_format(&bench, &(known + 1).to_string());
    let error = table.commit(&attempt("a", None, 1, 1)).await.unwrap_err();
    assert!(matches!(error, LakeError::NewerFormat { .. }), "{error}");
}

/// Who reads or writes, at its start or while it runs: a later release's table is left alone, and the error says why
/// (E13).
#[tokio::test]
async fn a_newer_table_is_refused_with_a_clear_error() {
    let bench = crate::testing::Bench::new(crate::Sealed::Columns).await;
    let newer = (forebay_schemas::table::TABLE_FORMAT_VERSION + 1).to_string();
    set_format(&bench, &newer);
    let check = |error: LakeError| {
        assert!(
            matches!(&error, LakeError::NewerFormat { found, .. } if *found == newer),
            "{error}"
        );
        assert_eq!(error.kind(), forebay_schemas::ErrorKind::Fatal);
        assert!(error.to_string().contains("update this program"), "{error}");
    };
    check(
        bench
            .store
            .lake()
            .table(&READINGS)
            .await
            .map(drop)
            .unwrap_err(),
    );
    check(bench.another().await.map(drop).unwrap_err());
    check(bench.readings().snapshot().await.map(drop).unwrap_err());
    let sessions = crate::session(
        std::slice::from_ref(bench.readings()),
        &bench.writer.decrypter(),
    )
    .await;
    check(sessions.map(drop).unwrap_err());
}

/// Another release sets the format of `readings`.
fn set_format(bench: &crate::testing::Bench, format: &str) {
    let log = bench.folder.path().join("lake/readings/_delta_log");
    let created = std::fs::read_to_string(log.join(format!("{:020}.json", 0))).unwrap();
    let metadata = created
        .lines()
        .find(|line| line.contains("\"metaData\""))
        .unwrap();
    let mut action: serde_json::Value = serde_json::from_str(metadata).unwrap();
    action["metaData"]["configuration"]["forebay.formatVersion"] = format.into();
    let version = std::fs::read_dir(&log).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|extension| extension == "json")
    });
    std::fs::write(
        log.join(format!("{:020}.json", version.count())),
        action.to_string(),
    )
    .unwrap();
}
