use std::sync::Arc;

use forebay_schemas::table::READINGS;

use super::*;
use crate::{
    table::Lake,
    testing::{Fault, WatchedStore},
};

fn attempt(stream: &str, from_state: Option<i64>, to_state: i64, number: u128) -> Attempt {
    let partition = [("site", "plant"), ("date", "2024-05-01")];
    let add = Add {
        path: format!("site=plant/date=2024-05-01/{stream}-{number}.parquet"),
        partition_values: partition.map(|(c, v)| (c.to_owned(), Some(v.to_owned()))).into(),
        size: 1,
        data_change: true,
        ..Default::default()
    };
    Attempt { id: Uuid::from_u128(number), app_id: stream.to_owned(), from_state, to_state, adds: vec![add] }
}

async fn paths(table: &LakeTable) -> Vec<String> {
    let mut paths: Vec<String> = table.snapshot().await.unwrap().files().into_iter().map(|add| add.path).collect();
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
            let lake = Lake::with_root(folder.path(), Arc::new(store)).unwrap();
            let table = match lake.table(&READINGS).await {
                Ok(table) => table,
                Err(error) => {
                    assert!(matches!((nth, fault), (0, Fault::Before)), "{nth} {fault:?}: {error}");
                    lake.table(&READINGS).await.unwrap()
                }
            };
            for (from, to) in [(None, 1), (Some(1), 2), (Some(2), 3)] {
                let version = table.commit(&attempt("a", from, to, to as u128)).await.unwrap();
                assert_eq!(version, to as u64, "{nth} {fault:?}: one version a commit");
            }
            assert_eq!(table.snapshot().await.unwrap().state_of("a").await.unwrap(), Some(3));
            assert_eq!(paths(&table).await.len(), 3, "{nth} {fault:?}");
        }
    }
}

#[tokio::test]
async fn of_two_attempts_from_one_state_one_is_fenced() {
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path()).unwrap().table(&READINGS).await.unwrap();
    let (first, second) = (attempt("a", None, 1, 1), attempt("a", None, 2, 2));
    table.commit(&first).await.unwrap();
    let error = table.commit(&second).await.unwrap_err();
    assert!(matches!(&error, LakeError::Fenced { found: Some(1), expected: None, .. }), "{error}");
    assert_eq!(paths(&table).await, [first.adds[0].path.clone()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_that_commit_at_once_all_land_once() {
    const STREAMS: u128 = 4;
    let folder = tempfile::tempdir().unwrap();
    let table = Lake::local(folder.path()).unwrap().table(&READINGS).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for stream in 0..STREAMS {
        let table = table.clone();
        tasks.spawn(async move {
            let name = format!("s{stream}");
            for step in 0..3 {
                let from = (step > 0).then_some(step);
                table.commit(&attempt(&name, from, step + 1, stream * 100 + step as u128)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let paths = paths(&table).await;
    assert_eq!(paths.len(), STREAMS as usize * 3, "{paths:?}");
    assert_eq!(table.snapshot().await.unwrap().version(), STREAMS as u64 * 3);
}
