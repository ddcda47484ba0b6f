use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_schemas::table::READINGS;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, path::Path,
};

use super::*;
use crate::{SyncedLocalStore, table::Lake};

/// How a put of a log entry fails.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Nothing is stored.
    Before,
    /// It is stored, and the caller hears of a failure: the answer got lost.
    AfterSuccess,
}

/// A store whose `nth` put of a log entry fails.
#[derive(Debug)]
struct FaultyStore {
    inner: SyncedLocalStore,
    nth: usize,
    fault: Fault,
    log_puts: AtomicUsize,
}

impl std::fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty store")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let of_log = location.as_ref().contains("_delta_log") && location.as_ref().ends_with(".json");
        if !of_log || self.log_puts.fetch_add(1, Ordering::SeqCst) != self.nth {
            return self.inner.put_opts(location, payload, options).await;
        }
        if matches!(self.fault, Fault::AfterSuccess) {
            self.inner.put_opts(location, payload, options).await?;
        }
        Err(object_store::Error::Generic { store: "faulty", source: "the connection was reset".into() })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

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
            let store = FaultyStore {
                inner: SyncedLocalStore::open(folder.path()).unwrap(),
                nth,
                fault,
                log_puts: AtomicUsize::new(0),
            };
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
