//! Imports that are taken back.

use super::{bench::*, *};

#[tokio::test]
async fn an_import_is_undone_to_just_before_it_and_may_be_done_again() {
    let bench = Bench::new().await;
    let right = bench.import("right.csv", &hours(0..4, 1), |_| {}).await;
    let wrong = bench.import("wrong.csv", &hours(2..6, 100), |_| {}).await;
    assert_eq!(bench.query(SUM).await, ["8 404.0"]);
    // Files that hold readings of both.
    let files = bench
        .lake
        .table(&READINGS)
        .unwrap()
        .snapshot()
        .await
        .unwrap()
        .files();
    let policy = MergePolicy {
        min_files: 2,
        ..MergePolicy::settled_before(Timestamp::from_nanos(i64::MAX))
    };
    for spec in plan(&bench.lake, &READINGS, &files, &policy) {
        let merged = merge(&bench.lake, &spec, now()).await.unwrap();
        assert!(matches!(merged, MergeOutcome::Merged { .. }), "{merged:?}");
    }

    let undone = bench.undo(wrong.id).await.unwrap();
    assert_eq!(undone.erased.readings, 4);
    assert!(
        undone.erased.rewritten > 0,
        "no file held readings of both: {undone:?}"
    );
    assert!(undone.info.file.ends_with("wrong.csv"), "{undone:?}");
    assert_eq!(bench.query(SUM).await, ["4 4.0"]);
    assert!(
        bench.verify().await.starts_with("ok readings=4 "),
        "{}",
        bench.verify().await
    );
    let listed: Vec<_> = bench
        .list()
        .await
        .found
        .into_iter()
        .map(|import| (import.info.id, import.readings))
        .collect();
    let mut expected = vec![(right.id, Some(4)), (wrong.id, None)];
    expected.sort_unstable_by_key(|(id, _)| *id);
    assert_eq!(listed, expected);
    assert!(matches!(
        bench.undo(wrong.id).await,
        Err(UndoError::Already { .. })
    ));
    assert!(matches!(
        bench.undo(7).await,
        Err(UndoError::Unknown { id: 7 })
    ));

    let again = bench.import("wrong.csv", &hours(2..6, 100), |_| {}).await;
    assert_eq!((again.id, again.committed), (wrong.id, 4));
    assert_eq!(bench.query(SUM).await, ["8 404.0"]);
    assert!(
        bench.verify().await.starts_with("ok readings=8 "),
        "{}",
        bench.verify().await
    );
}

#[tokio::test]
async fn windows_of_an_undone_import_are_closed_again_without_it() {
    let bench = Bench::new().await;
    bench.import("right.csv", &hours(0..2, 1), |_| {}).await;
    let wrong = bench
        .import("wrong.csv", &hours(1..3, 100).replace(",v", ",w"), |_| {})
        .await;
    let before = bench.query(WINDOWS_NOW).await;
    assert_eq!(
        before.last().map(String::as_str),
        Some("2 1 1"),
        "{before:?}"
    );
    let undone = bench.undo(wrong.id).await.unwrap();
    let after = bench.query(WINDOWS_NOW).await;
    assert_eq!(
        after.last().map(String::as_str),
        Some("2 2 0"),
        "a window that is empty now says so: {after:?}"
    );
    assert!(
        after[1].ends_with(" 1"),
        "of the second hour just the right reading is left: {after:?}"
    );
    assert!(undone.windows >= 1, "{undone:?}");
}

/// What was killed between two commits goes on behind the first, also after an undo.
#[tokio::test]
async fn the_state_of_an_undone_import_is_that_of_one_not_begun() {
    let bench = Bench::new().await;
    let wrong = bench.import("a.csv", &hours(0..3, 1), |_| {}).await;
    bench.undo(wrong.id).await.unwrap();
    let table = bench.lake.table(&READINGS).unwrap();
    let app_id = imported_app_id(bench.lake.keeper(), Epoch(wrong.id));
    let number = table
        .snapshot()
        .await
        .unwrap()
        .state_of(&app_id)
        .await
        .unwrap()
        .unwrap();
    let state: StreamState = bench
        .lake
        .keeper()
        .load(table, &app_id, number)
        .await
        .unwrap();
    assert_eq!((state.next_offset, state.epochs.len()), (0, 0));
    assert_eq!(bench.query(SUM).await, ["0"]);
}
