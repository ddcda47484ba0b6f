//! What the tests of several modules share: a store that is watched and can fail, a lake on it, and readings for it.

use std::{
    fmt,
    ops::Range,
    path::Path as FsPath,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use bytes::Bytes;
use forebay_schemas::{
    DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Quality, Reading, Seq, Series, SiteId,
    Status, TagName, Timestamp, Value, table::READINGS, wire::ReadingBatch,
};
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use ring::rand::SystemRandom;
use tokio::sync::Notify;

use crate::{
    Attempt, Lake, LakeError, LakeTable, LakeWriter, Sealed, SyncedLocalStore,
    keys::{FileKeyring, Random},
    partition_rows, readings_partition,
    store::local::{Medium, OsMedium},
};

/// How a put fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing is stored.
    Before,
    /// It is stored, and the caller hears of a failure: the answer got lost.
    AfterSuccess,
    /// It is stored, and no answer ever comes.
    Hang,
    /// It is stored once [`WatchedStore::let_go`] is called.
    Held,
}

/// A store that notes what is asked of it, and fails one put when told to.
#[derive(Debug)]
pub(crate) struct WatchedStore {
    inner: SyncedLocalStore,
    gets: Mutex<Vec<String>>,
    puts: Mutex<Vec<String>>,
    listed: Arc<Mutex<Vec<String>>>,
    fault: Mutex<Option<(String, usize, Fault)>>,
    hanging: Mutex<Option<String>>,
    hung: Arc<Notify>,
    released: Notify,
}

impl WatchedStore {
    /// Paths are absolute.
    pub(crate) fn local(folder: &FsPath) -> Self {
        Self::on(folder, Box::new(OsMedium))
    }

    /// On a disk that may fail.
    pub(crate) fn on(folder: &FsPath, medium: Box<dyn Medium>) -> Self {
        let inner = SyncedLocalStore::with_absolute_paths(folder, medium).unwrap();
        let (gets, puts, listed, fault, hanging, hung, released) = Default::default();
        Self {
            inner,
            gets,
            puts,
            listed,
            fault,
            hanging,
            hung,
            released,
        }
    }

    /// A lake on it.
    pub(crate) fn lake(self: &Arc<Self>) -> Lake {
        Lake::on_disk(self.clone(), self.inner.disk().clone()).unwrap()
    }

    /// The put that is held goes on.
    pub(crate) fn let_go(&self) {
        self.released.notify_one();
    }

    /// How many objects were read whose path contains `part`, since the last call of this or
    /// [`WatchedStore::files_read`].
    pub(crate) fn reads_of(&self, part: &str) -> usize {
        std::mem::take(&mut *self.gets.lock().unwrap())
            .iter()
            .filter(|path| path.contains(part))
            .count()
    }

    /// Told when a put hangs.
    pub(crate) fn hung(&self) -> Arc<Notify> {
        self.hung.clone()
    }

    /// Of the puts whose path contains `part`, the one after `skip` others fails.
    pub(crate) fn fail_put(&self, part: &str, skip: usize, fault: Fault) {
        *self.fault.lock().unwrap() = Some((part.to_owned(), skip, fault));
    }

    /// From now on reads of paths that contain `part` never end; those of none for `None`.
    pub(crate) fn hang_reads(&self, part: Option<&str>) {
        *self.hanging.lock().unwrap() = part.map(str::to_owned);
    }

    /// How often something was put whose path contains `part`, whether it was stored or not.
    pub(crate) fn puts_of(&self, part: &str) -> usize {
        self.puts
            .lock()
            .unwrap()
            .iter()
            .filter(|path| path.contains(part))
            .count()
    }

    /// The paths that lists have answered since the last call, of those that contain `part`.
    pub(crate) fn listed(&self, part: &str) -> Vec<String> {
        let mut paths = std::mem::take(&mut *self.listed.lock().unwrap());
        paths.retain(|path| path.contains(part));
        paths
    }

    /// The data files that were read since the last call, each once.
    pub(crate) fn files_read(&self) -> Vec<String> {
        let mut paths = std::mem::take(&mut *self.gets.lock().unwrap());
        paths.retain(|path| path.ends_with(".parquet") && !path.contains("_delta_log"));
        paths.sort();
        paths.dedup();
        paths
    }

    fn fault_of(&self, location: &Path) -> Option<Fault> {
        let mut planned = self.fault.lock().unwrap();
        let (part, skip, fault) = planned.as_mut()?;
        if !location.as_ref().contains(part.as_str()) {
            return None;
        }
        if *skip > 0 {
            *skip -= 1;
            return None;
        }
        let fault = *fault;
        *planned = None;
        Some(fault)
    }

    fn noting(
        &self,
        list: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.listed.clone();
        list.inspect_ok(move |object| listed.lock().unwrap().push(object.location.to_string()))
            .boxed()
    }

    fn note(&self, location: &Path) {
        self.gets.lock().unwrap().push(location.to_string());
    }
}

impl fmt::Display for WatchedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watched store")
    }
}

#[async_trait]
impl ObjectStore for WatchedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.fault_of(location);
        self.puts.lock().unwrap().push(location.to_string());
        if matches!(fault, Some(Fault::Held)) {
            self.hung.notify_one();
            self.released.notified().await;
        }
        if !matches!(fault, Some(Fault::Before)) {
            let put = self.inner.put_opts(location, payload, options).await?;
            match fault {
                None | Some(Fault::Held) => return Ok(put),
                Some(Fault::Hang) => {
                    self.hung.notify_one();
                    return std::future::pending().await;
                }
                Some(_) => {}
            }
        }
        Err(object_store::Error::Generic {
            store: "watched",
            source: "the connection was reset".into(),
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.note(location);
        let hanging = self.hanging.lock().unwrap().clone();
        if hanging.is_some_and(|part| location.as_ref().contains(&part)) {
            return std::future::pending().await;
        }
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.note(location);
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.noting(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.noting(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// A lake in a folder of its own, with its keyring, on a watched store.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) store: Arc<WatchedStore>,
    pub(crate) writer: LakeWriter,
}

/// A site whose name must be encoded in paths.
pub(crate) const SITE: &str = "Werk 1/Süd%";

impl Bench {
    pub(crate) async fn new(sealed: Sealed) -> Self {
        Self::on(sealed, Box::new(OsMedium)).await
    }

    /// On a disk that may fail.
    pub(crate) async fn on(sealed: Sealed, medium: Box<dyn Medium>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random: Random = Arc::new(SystemRandom::new());
        let keyring =
            Arc::new(FileKeyring::create(&folder.path().join("keys"), random.clone()).unwrap());
        let store = Arc::new(WatchedStore::on(&folder.path().join("lake"), medium));
        let writer = LakeWriter::open(&store.lake(), keyring, sealed, random)
            .await
            .unwrap();
        Self {
            folder,
            store,
            writer,
        }
    }

    /// As another process opens the same lake, with the keyring that is there now.
    pub(crate) async fn another(&self) -> Result<LakeWriter, LakeError> {
        let random: Random = Arc::new(SystemRandom::new());
        let keyring = Arc::new(FileKeyring::open(
            &self.folder.path().join("keys"),
            random.clone(),
        )?);
        LakeWriter::open(&self.store.lake(), keyring, Sealed::Columns, random).await
    }

    pub(crate) fn readings(&self) -> &LakeTable {
        self.writer.table(&READINGS).unwrap()
    }

    /// Puts and commits a batch, as the next state of a stream.
    pub(crate) async fn ingest(&self, stream: &str, batch: &ReadingBatch, now: Timestamp) -> u64 {
        let table = self.readings();
        let mut adds = Vec::new();
        for partition in partition_rows(std::slice::from_ref(batch)).unwrap() {
            let folder = readings_partition(&partition);
            adds.push(
                self.writer
                    .put(table, partition.rows, &folder, Some(&partition.site), now)
                    .await
                    .unwrap(),
            );
        }
        let from_state = table
            .snapshot()
            .await
            .unwrap()
            .state_of(stream)
            .await
            .unwrap();
        let to_state = from_state.map_or(1, |n| n + 1);
        let id = self.writer.id().unwrap();
        table
            .commit(&Attempt {
                id,
                app_id: stream.to_owned(),
                from_state,
                to_state,
                adds,
            })
            .await
            .unwrap()
    }

    /// The one row that a query over `readings` gives, as text.
    pub(crate) async fn query(&self, sql: &str) -> String {
        let context = crate::session(
            std::slice::from_ref(self.readings()),
            &self.writer.decrypter(),
        )
        .await
        .unwrap();
        let rows = context.sql(sql).await.unwrap().collect().await.unwrap();
        let shown = arrow::util::pretty::pretty_format_batches(&rows)
            .unwrap()
            .to_string();
        shown.lines().nth(3).unwrap_or_default().to_owned()
    }

    /// Number of readings, of different identities, and sums that no lost, doubled or altered row leaves as they are.
    pub(crate) async fn checksum(&self) -> String {
        let identity = "concat(gateway, '/', lane, '/', epoch, '/', seq)";
        self.query(&format!(
            "SELECT count(*), count(DISTINCT {identity}), sum(seq), sum(value), sum(seq * value) FROM readings"
        ))
        .await
    }
}

/// 2024-05-01T00:00:00Z, in µs.
pub(crate) const DAY_START: i64 = 1_714_521_600_000_000;

/// A time in µs since 1970 UTC.
pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

/// `count` readings of two devices from seq `first_seq` on, one a second from `start` (µs).
pub(crate) fn batch(first_seq: u64, count: u64, start: i64) -> ReadingBatch {
    let reading = |i: u64| Reading {
        series: Series {
            site: SiteId::new(SITE).unwrap(),
            device: DeviceId::new(if i.is_multiple_of(2) { "pump" } else { "fan" }).unwrap(),
            tag: TagName::new("temp").unwrap(),
        },
        event_time: at(start + i as i64 * 1_000_000),
        observed_time: at(start + i as i64 * 1_000_000),
        value: Some(Value::F64((first_seq + i) as f64 / 2.0)),
        unit: Some("Cel".into()),
        status: Status {
            quality: Quality::Good,
            code: None,
            reason: None,
        },
    };
    ReadingBatch {
        lane: LaneId {
            gateway: GatewayId::new("gw").unwrap(),
            lane: Lane(0),
        },
        epoch: Epoch(1),
        nonce: EpochNonce::UNKNOWN,
        first_seq: Seq(first_seq),
        readings: (0..count).map(reading).collect(),
    }
}
