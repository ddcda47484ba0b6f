//! What somebody has planted in the table of windows, or taken from it.

use arrow::array::Float64Array;
use forebay_schemas::table::WINDOWS;

use super::*;

/// A file with these windows (hour and revision), stored and not committed.
async fn file(bench: &Bench, windows: &[(i64, i32)]) -> Add {
    let time = |time: fn(i64) -> i64| -> ArrayRef {
        let times = windows
            .iter()
            .map(|(hour, _)| DAY_START + time(*hour) * 3_600_000_000);
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC"))
    };
    let count = windows.len();
    let long = || -> ArrayRef { Arc::new(Int64Array::from(vec![1; count])) };
    let columns = vec![
        Arc::new(StringArray::from(vec!["plant"; count])) as ArrayRef,
        time(|hour| hour),
        time(|hour| hour + 1),
        Arc::new(Int32Array::from_iter_values(
            windows.iter().map(|(_, revision)| *revision),
        )),
        time(|hour| hour + 1),
        time(|hour| hour + 1),
        long(),
        long(),
        Arc::new(Int32Array::from(vec![1; count])),
        Arc::new(Float64Array::from(vec![1.0; count])),
    ];
    let rows = RecordBatch::try_new(file_schema(&WINDOWS), columns).unwrap();
    let table = bench.writer.table(&WINDOWS).unwrap();
    bench
        .writer
        .put(table, rows, &[], None, at(DAY_START))
        .await
        .unwrap()
}

/// What `verify` says of a table of windows that consists of these files.
async fn faults(bench: &Bench, adds: Vec<Add>) -> Vec<String> {
    let table = bench.writer.table(&WINDOWS).unwrap();
    let id = bench.writer.id().unwrap();
    let app_id = "forebay.test".into();
    table
        .commit(&Attempt {
            id,
            app_id,
            from_state: None,
            to_state: 1,
            adds,
        })
        .await
        .unwrap();
    verify_all(bench).await.1
}

#[tokio::test]
async fn windows_whose_revisions_count_up_are_no_fault() {
    let bench = Bench::new(Sealed::Columns).await;
    let adds = vec![
        file(&bench, &[(1, 1), (2, 1)]).await,
        file(&bench, &[(1, 2)]).await,
    ];
    assert!(faults(&bench, adds).await.is_empty());
}

#[tokio::test]
async fn a_planted_file_with_another_row_count_is_named() {
    let bench = Bench::new(Sealed::Columns).await;
    let add = file(&bench, &[(1, 1), (2, 1)]).await;
    let stats = add
        .stats
        .as_deref()
        .unwrap()
        .replace("\"numRecords\":2", "\"numRecords\":3");
    let planted = Add {
        stats: Some(stats),
        ..add.clone()
    };
    assert_ne!(planted.stats, add.stats);
    let named = format!("file {}: it has 2 rows instead of 3", add.path);
    assert_eq!(faults(&bench, vec![planted]).await, [named]);
}

#[tokio::test]
async fn a_planted_copy_of_a_file_is_named() {
    let bench = Bench::new(Sealed::Columns).await;
    let add = file(&bench, &[(1, 1), (2, 1)]).await;
    let copy = Add {
        path: "part-00000000-0000-4000-8000-000000000000.parquet".into(),
        ..add.clone()
    };
    let folder = bench.folder.path().join("lake/windows");
    std::fs::copy(folder.join(&add.path), folder.join(&copy.path)).unwrap();
    let named = faults(&bench, vec![add, copy]).await;
    assert!(named[0].contains("it is a copy of file part-"), "{named:?}");
    let doubled = format!(
        "site plant: 2 windows have a row more than once, the first begins at {}",
        DAY_START + 3_600_000_000
    );
    assert!(named[1].starts_with(&doubled), "{named:?}");
}

#[tokio::test]
async fn rows_that_were_written_again_or_taken_away_are_named() {
    let bench = Bench::new(Sealed::Columns).await;
    let adds = vec![
        file(&bench, &[(1, 1), (2, 2)]).await,
        file(&bench, &[(1, 1)]).await,
    ];
    let named = faults(&bench, adds).await;
    assert_eq!(named.len(), 2, "{named:?}");
    assert!(
        named[0].contains("1 windows have a row more than once"),
        "{named:?}"
    );
    assert!(
        named[1].contains("1 windows lack an earlier row"),
        "{named:?}"
    );
}
