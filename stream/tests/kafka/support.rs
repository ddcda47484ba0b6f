//! What the tests share: one broker, spools, publishers, readers.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_schemas::{Epoch, GatewayId, Lane, LaneId, Seq, Timestamp};
use forebay_stream::{
    Delivered, Entry, GroupEvent, LogGroup as _, LogReader, LogSource, LogWriter, Offset,
    StreamError,
    kafka::{KafkaGroup, KafkaSettings, LogFactory, publish},
    local::{Limits, OnFull, Options, Spool, SpoolKey},
};
use ring::rand::SystemRandom;
use tokio::{
    sync::OnceCell,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::kafka_broker::Broker;

pub(crate) const WITHIN: Duration = Duration::from_secs(90);

/// The broker of all tests that do not kill it.
pub(crate) async fn broker() -> &'static Broker {
    static BROKER: OnceCell<Broker> = OnceCell::const_new();
    BROKER.get_or_init(Broker::started).await
}

/// A topic that no other test uses.
pub(crate) async fn topic(partitions: u32) -> String {
    let name = topic_name();
    broker().await.create(&name, partitions, &[]).await;
    name
}

pub(crate) fn topic_name() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("test-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn lane(gateway: &str, lane: u32) -> LaneId {
    LaneId {
        gateway: GatewayId::new(gateway).unwrap(),
        lane: Lane(lane),
    }
}

pub(crate) async fn spool(path: &Path, lane: LaneId) -> Arc<Spool> {
    spool_with(
        path,
        lane,
        Limits::new(64 << 20, 1 << 20, OnFull::Block).unwrap(),
    )
    .await
}

pub(crate) async fn spool_with(path: &Path, lane: LaneId, limits: Limits) -> Arc<Spool> {
    let options = || Options {
        path: path.to_owned(),
        lane: lane.clone(),
        key: SpoolKey::new([7; 32]),
        limits,
        now: Timestamp::from_nanos(5_000_000),
        random: Arc::new(SystemRandom::new()),
    };
    let opened = async {
        loop {
            match Spool::open(options()).await {
                // One that crashed lets go of its folder once its last write is done.
                Err(StreamError::Held { .. }) => sleep(Duration::from_millis(10)).await,
                opened => return opened.unwrap(),
            }
        }
    };
    Arc::new(timeout(WITHIN, opened).await.expect("the spool is held"))
}

/// A publisher in a task.
pub(crate) struct Publishing {
    stop: CancellationToken,
    published: Arc<AtomicU64>,
    task: JoinHandle<Result<(), StreamError>>,
}

impl Publishing {
    pub(crate) fn start(
        settings: KafkaSettings,
        spool: &Arc<Spool>,
        lane: LaneId,
        places: PathBuf,
    ) -> Self {
        let (stop, published) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
        let spool = spool.clone();
        let log: LogFactory =
            Box::new(move |from| Box::new(spool.reader(from)) as Box<dyn LogReader>);
        let task = tokio::spawn(publish(
            settings,
            log,
            lane,
            places,
            published.clone(),
            stop.clone(),
        ));
        Self {
            stop,
            published,
            task,
        }
    }

    /// Readings that Kafka has acknowledged.
    pub(crate) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Whether it has given up.
    pub(crate) fn is_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// As a graceful end does.
    pub(crate) async fn stop(self) -> Result<(), StreamError> {
        self.stop.cancel();
        self.ended().await
    }

    pub(crate) async fn ended(self) -> Result<(), StreamError> {
        timeout(WITHIN, self.task)
            .await
            .expect("the publisher does not end")
            .unwrap()
    }

    /// As a crash does; returns once nothing of it runs.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()));
    }
}

/// Joins and waits for `count` partitions.
pub(crate) async fn join(
    settings: KafkaSettings,
    count: usize,
) -> (KafkaGroup, BTreeMap<u32, Arc<dyn LogSource>>) {
    let mut group = timeout(WITHIN, KafkaGroup::join(settings))
        .await
        .unwrap()
        .unwrap();
    let mut sources = BTreeMap::new();
    while sources.len() < count {
        match change(&mut group).await {
            GroupEvent::Assigned(source) => drop(sources.insert(source.partition(), source)),
            GroupEvent::Revoked(partition) => drop(sources.remove(&partition)),
        }
    }
    (group, sources)
}

pub(crate) async fn change(group: &mut KafkaGroup) -> GroupEvent {
    timeout(WITHIN, group.next())
        .await
        .expect("no change in the group")
        .unwrap()
}

/// Appends readings numbered from `from`, a few at a time.
pub(crate) async fn append(writer: &dyn LogWriter, from: u64, count: u64) -> Epoch {
    let readings = forebay_stream::conformance::readings(from, count).unwrap();
    writer.append(readings).await.unwrap().epoch
}

/// Everything in a partition as of now.
pub(crate) async fn drain(source: &dyn LogSource, from: Offset) -> Vec<Delivered> {
    let mut reader = timeout(WITHIN, source.open(from)).await.unwrap().unwrap();
    let mut all = Vec::new();
    while let Some(delivered) = timeout(WITHIN, reader.try_next())
        .await
        .expect("no end of the partition")
        .unwrap()
    {
        all.push(delivered);
    }
    all
}

/// Takes readings as the compactor does (E4): up to the mark they are doubles, the next goes on, and a jump is a fault.
#[derive(Default)]
pub(crate) struct Marks(BTreeMap<(LaneId, Epoch), Seq>);

impl Marks {
    pub(crate) fn take(&mut self, delivered: &Delivered) {
        let (Some(lane), Entry::Batch(batch)) = (&delivered.lane, &delivered.record.entry) else {
            return;
        };
        let mark = self.0.entry((lane.clone(), batch.epoch)).or_insert(Seq(0));
        assert!(
            batch.first_seq.0 <= mark.0 + 1,
            "{lane:?} jumps from {mark} to {}",
            batch.first_seq
        );
        for (seq, reading) in (batch.first_seq.0..).zip(batch.readings()) {
            assert_eq!(
                reading.value,
                Some(forebay_schemas::Value::U64(seq)),
                "not the reading of seq {seq}"
            );
        }
        *mark = (*mark).max(batch.last_seq().unwrap());
    }

    pub(crate) fn mark(&self, lane: &LaneId, epoch: Epoch) -> u64 {
        self.0.get(&(lane.clone(), epoch)).map_or(0, |seq| seq.0)
    }
}

/// Reads until every lane has come to its seq.
pub(crate) async fn read_until(
    sources: &BTreeMap<u32, Arc<dyn LogSource>>,
    expected: &[(LaneId, Epoch, u64)],
) -> (Marks, u64) {
    let (mut marks, mut doubles) = (Marks::default(), 0);
    let mut readers = Vec::new();
    for source in sources.values() {
        readers.push(source.open(Offset(0)).await.unwrap());
    }
    let all = async {
        loop {
            for reader in &mut readers {
                while let Some(delivered) = reader.try_next().await.unwrap() {
                    let before = marks.0.clone();
                    marks.take(&delivered);
                    doubles += u64::from(
                        before == marks.0 && matches!(delivered.record.entry, Entry::Batch(_)),
                    );
                }
            }
            if expected
                .iter()
                .all(|(lane, epoch, last)| marks.mark(lane, *epoch) >= *last)
            {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    let came = timeout(WITHIN, all).await;
    let missing: Vec<_> = expected
        .iter()
        .map(|(lane, epoch, last)| (marks.mark(lane, *epoch), *last))
        .collect();
    assert!(came.is_ok(), "not all readings came: {missing:?}");
    for (lane, epoch, last) in expected {
        assert_eq!(marks.mark(lane, *epoch), *last);
    }
    (marks, doubles)
}
