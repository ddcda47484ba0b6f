//! From a stream to the table: the real spool and lake, and a log in memory where it must misbehave.

mod copies;
mod events;
mod groups;
mod kills;
mod ledger;
mod memory_log;
mod outages;
mod repairs;
mod shared_lanes;
mod streams;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    task::Poll,
};

use forebay_lake::{
    Lake, LakeWriter, Sealed, StreamState,
    keys::{FileKeyring, Random},
    session, verify_lake,
};
use forebay_schemas::{
    Clock, DeviceId, Epoch, EpochNonce, GatewayId, Lane, LaneId, Reading, Seq, Series, SiteId,
    Status, TagName, Timestamp, Value,
    table::{EVENTS, GAPS, QUARANTINE, READINGS},
    wire::{DecodeError, ReadingBatch},
};
use forebay_stream::{
    Entry, FixedGroup, GroupEvent, LogSource, LogWriter as _, Offset, SpoolSource,
    local::{Limits, OnFull, Options, Spool, SpoolKey},
};
use ring::rand::SystemRandom;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use forebay_stream::LogGroup;

use super::{
    budget::MemoryBudget, elsewhere::Elsewhere, events::EventNames, partition::Partition, *,
};
use memory_log::{MemoryGroup, MemoryLog};

const T0: i64 = 1_700_000_000_000_000_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A lake in a folder of its own, and what consuming it takes.
struct Bench {
    folder: TempDir,
    lake: Arc<LakeWriter>,
    clock: Clock,
    progress: Arc<Progress>,
}

impl Bench {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let random: Random = Arc::new(SystemRandom::new());
        let keyring =
            Arc::new(FileKeyring::create(&folder.path().join("keys"), random.clone()).unwrap());
        let lake = Lake::local(&folder.path().join("lake")).unwrap();
        let lake = Arc::new(
            LakeWriter::open(&lake, keyring, Sealed::Columns, random)
                .await
                .unwrap(),
        );
        // Each look at the clock moves it by a millisecond.
        let ticks = AtomicI64::new(T0);
        let clock: Clock =
            Arc::new(move || Timestamp::from_nanos(ticks.fetch_add(1_000_000, Ordering::SeqCst)));
        Self {
            folder,
            lake,
            clock,
            progress: Arc::default(),
        }
    }

    async fn spool(&self) -> Arc<Spool> {
        self.spool_in("spool").await
    }

    fn partition(&self, source: &Arc<dyn LogSource>, stop: &CancellationToken) -> Partition {
        Partition {
            lake: self.lake.clone(),
            source: source.clone(),
            settings: Arc::new(settings()),
            clock: self.clock.clone(),
            progress: self.progress.clone(),
            budget: MemoryBudget::new(1 << 20),
            elsewhere: Elsewhere::default(),
            event_names: EventNames::default(),
            begun: Instant::now(),
            stop: stop.clone(),
        }
    }

    /// Runs a group until `done`, then stops it.
    async fn run_until(
        &self,
        group: Box<dyn LogGroup>,
        done: impl Fn(&Progress) -> bool,
    ) -> Result<(), CompactorError> {
        let stop = CancellationToken::new();
        let running = run(
            self.lake.clone(),
            group,
            settings(),
            self.clock.clone(),
            self.progress.clone(),
            stop.clone(),
        );
        let stopping = async {
            until(|| done(&self.progress)).await;
            stop.cancel();
        };
        timeout(PATIENCE, async { tokio::join!(running, stopping).0 })
            .await
            .expect("the run does not end")
    }

    async fn rows(&self, sql: &str) -> Vec<String> {
        let tables = [&READINGS, &GAPS, &QUARANTINE, &EVENTS]
            .map(|table| self.lake.table(table).unwrap().clone());
        let session = session(&tables, &self.lake.decrypter()).await.unwrap();
        let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches)
            .unwrap()
            .to_string();
        let rows = text.lines().skip(3).filter(|line| !line.starts_with('+'));
        rows.map(|row| {
            row.split('|')
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
    }

    /// Epoch and seq of every reading in the table, sorted; twice what is there twice.
    async fn seqs(&self) -> Vec<(u64, u64)> {
        let rows = self
            .rows("select epoch, seq from readings order by 1, 2")
            .await;
        rows.iter()
            .map(|row| {
                row.split_once(' ')
                    .map(|(e, s)| (e.parse().unwrap(), s.parse().unwrap()))
                    .unwrap()
            })
            .collect()
    }

    async fn verdict(&self) -> String {
        let tables =
            [&READINGS, &GAPS, &QUARANTINE].map(|table| self.lake.table(table).unwrap().clone());
        let report = verify_lake(&tables, self.lake.keeper(), &self.lake.decrypter())
            .await
            .unwrap();
        format!("{report} {:?}", report.faults)
    }

    async fn state(&self, source: &dyn LogSource) -> StreamState {
        let readings = self.lake.table(&READINGS).unwrap();
        let app_id = self
            .lake
            .keeper()
            .app_id(source.stream(), source.partition());
        let number = readings
            .snapshot()
            .await
            .unwrap()
            .state_of(&app_id)
            .await
            .unwrap()
            .unwrap();
        self.lake
            .keeper()
            .load(readings, &app_id, number)
            .await
            .unwrap()
    }
}

fn settings() -> ConsumeSettings {
    ConsumeSettings {
        commit_interval: Duration::from_millis(20),
        gap_wait: Duration::from_millis(40),
        ..ConsumeSettings::default()
    }
}

async fn until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, waiting)
        .await
        .expect("what was waited for did not come");
}

fn lane() -> LaneId {
    LaneId {
        gateway: GatewayId::new("gw").unwrap(),
        lane: Lane(0),
    }
}

/// When a reading was taken: all of them before the tests begin.
fn taken_at(number: u64) -> Timestamp {
    Timestamp::from_nanos(T0 - 10_000_000_000_000 + number as i64 * 1_000_000_000)
}

fn reading(site: &str, number: u64) -> Reading {
    Reading {
        series: Series {
            site: SiteId::new(site).unwrap(),
            device: DeviceId::new("pump").unwrap(),
            tag: TagName::new("flow").unwrap(),
        },
        event_time: taken_at(number),
        observed_time: taken_at(number),
        value: Some(Value::U64(number)),
        unit: None,
        status: Status::GOOD,
    }
}

fn readings(from: u64, to: u64) -> Vec<Reading> {
    (from..=to).map(|number| reading("plant", number)).collect()
}

const NONCE: EpochNonce = EpochNonce(0xA);

fn batch(epoch: u64, first: u64, last: u64) -> Entry {
    batch_of(NONCE, epoch, first, last)
}

fn batch_of(nonce: EpochNonce, epoch: u64, first: u64, last: u64) -> Entry {
    Entry::Batch(ReadingBatch {
        lane: lane(),
        epoch: Epoch(epoch),
        nonce,
        first_seq: Seq(first),
        readings: readings(first, last),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_spooled_is_in_the_table_once_and_the_spool_forgets_it() {
    let bench = Bench::new().await;
    let spool = bench.spool().await;
    let epoch = spool.opened().epoch.0;
    for from in (1..=300).step_by(50) {
        spool
            .writer()
            .append(readings(from, from + 49))
            .await
            .unwrap();
    }
    let source: Arc<dyn LogSource> = Arc::new(SpoolSource::new(spool.clone(), lane()));
    let group = Box::new(FixedGroup::new(vec![source.clone()]));
    bench
        .run_until(group, |progress| {
            progress.committed.load(Ordering::SeqCst) == 300
        })
        .await
        .unwrap();
    let expected: Vec<(u64, u64)> = (1..=300).map(|seq| (epoch, seq)).collect();
    assert_eq!(bench.seqs().await, expected);
    let state = bench.state(&*source).await;
    assert_eq!(state.sites[0].devices["pump"].event, taken_at(300).micros());
    let mut reader = source.open(Offset(0)).await.unwrap();
    assert_eq!(
        reader.try_next().await.unwrap(),
        None,
        "the spool has forgotten what is in the table"
    );

    // The same spool, opened again: the epoch has its end record, the next one goes on behind it.
    spool.writer().close().await.unwrap();
    drop((source, reader, spool));
    let spool = bench.spool().await;
    spool.writer().append(readings(301, 310)).await.unwrap();
    let group = Box::new(FixedGroup::new(vec![Arc::new(SpoolSource::new(
        spool.clone(),
        lane(),
    ))]));
    bench
        .run_until(group, |progress| {
            progress.committed.load(Ordering::SeqCst) == 310
        })
        .await
        .unwrap();
    assert!(
        bench.verdict().await.starts_with("ok readings=310 "),
        "{}",
        bench.verdict().await
    );
    assert!(bench.verdict().await.contains("gaps=0 doubled=0 missing=0"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_compactors_of_one_partition_neither_doubles() {
    let bench = Bench::new().await;
    let spool = bench.spool().await;
    let source: Arc<dyn LogSource> = Arc::new(SpoolSource::new(spool.clone(), lane()));
    let stop = CancellationToken::new();
    let (one, other) = (
        bench.partition(&source, &stop),
        bench.partition(&source, &stop),
    );
    let writing = async {
        for from in (1..=200).step_by(10) {
            spool
                .writer()
                .append(readings(from, from + 9))
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let all_in = || async { bench.seqs().await.len() >= 200 };
        while !all_in().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
    };
    let (a, b, ()) = timeout(PATIENCE, async {
        tokio::join!(one.consume(), other.consume(), writing)
    })
    .await
    .unwrap();
    a.and(b).unwrap();
    assert!(
        bench.verdict().await.starts_with("ok readings=200 "),
        "{}",
        bench.verdict().await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_key_nothing_is_written_and_with_it_everything() {
    let bench = Bench::new().await;
    let source: Arc<dyn LogSource> = Arc::new(MemoryLog::new(0, vec![batch(7, 1, 5)]));
    let (keys, away) = (
        bench.folder.path().join("keys"),
        bench.folder.path().join("away"),
    );
    std::fs::rename(&keys, &away).unwrap();
    let stop = CancellationToken::new();
    let group = Box::new(MemoryGroup::new(vec![GroupEvent::Assigned(source.clone())]));
    let progress = bench.progress.clone();
    let running = run(
        bench.lake.clone(),
        group,
        settings(),
        bench.clock.clone(),
        progress.clone(),
        stop.clone(),
    );
    let restoring = async {
        until(|| progress.retries.load(Ordering::SeqCst) >= 2).await;
        assert_eq!(progress.committed.load(Ordering::SeqCst), 0);
        assert!(
            !bench
                .folder
                .path()
                .join("lake/readings/site=plant")
                .exists(),
            "a file without its key"
        );
        std::fs::rename(&away, &keys).unwrap();
        until(|| progress.committed.load(Ordering::SeqCst) == 5).await;
        stop.cancel();
    };
    timeout(PATIENCE, async { tokio::join!(running, restoring).0 })
        .await
        .unwrap()
        .unwrap();
    assert!(
        bench.verdict().await.starts_with("ok readings=5 "),
        "{}",
        bench.verdict().await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_wire_version_stops_its_partition_alone() {
    let bench = Bench::new().await;
    let error = || forebay_stream::StreamError::Record {
        offset: 1,
        source: DecodeError::NewerVersion { found: 9 },
    };
    let newer: Arc<dyn LogSource> = Arc::new(MemoryLog::failing(0, vec![batch(7, 1, 5)], error));
    let good: Arc<dyn LogSource> = Arc::new(MemoryLog::new(1, vec![batch(8, 1, 3)]));
    let group = MemoryGroup::new(vec![
        GroupEvent::Assigned(newer.clone()),
        GroupEvent::Assigned(good),
    ]);
    let done = |progress: &Progress| {
        let count = |counter: &AtomicU64| counter.load(Ordering::SeqCst);
        count(&progress.committed) == 8 && count(&progress.failed) >= 1
    };
    let error = bench.run_until(Box::new(group), done).await.unwrap_err();
    assert!(error.to_string().contains("memory, partition 0"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Fatal);

    let before = bench.progress.failed.load(Ordering::SeqCst);
    let group = MemoryGroup::new(vec![GroupEvent::Assigned(newer)]);
    let error = bench
        .run_until(Box::new(group), |progress| {
            progress.failed.load(Ordering::SeqCst) > before
        })
        .await;
    assert_eq!(
        error.unwrap_err().kind(),
        ErrorKind::Fatal,
        "the only partition fails: run ends"
    );
    assert_eq!(
        bench.seqs().await.len(),
        8,
        "nothing is quarantined, nothing is lost"
    );
    assert!(bench.rows("select why from quarantine").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_committed_before_its_time() {
    let bench = Bench::new().await;
    let rubbish = (0..20).map(|_| Entry::Undecodable {
        bytes: vec![0; 4_000],
        why: "rubbish".into(),
    });
    let log: Vec<Entry> = rubbish
        .chain((0..20).map(|n| batch(7, n * 50 + 1, n * 50 + 50)))
        .collect();
    let group = MemoryGroup::new(vec![GroupEvent::Assigned(Arc::new(MemoryLog::new(0, log)))]);
    let settings = ConsumeSettings {
        commit_interval: Duration::from_secs(3_600),
        commit_readings_max: 250,
        commit_bytes_max: 30_000,
        memory_bytes_max: 40_000,
        ..settings()
    };
    let (stop, progress) = (CancellationToken::new(), bench.progress.clone());
    let running = run(
        bench.lake.clone(),
        Box::new(group),
        settings,
        bench.clock.clone(),
        progress.clone(),
        stop.clone(),
    );
    let stopping = async {
        until(|| progress.quarantined.load(Ordering::SeqCst) >= 16).await;
        until(|| progress.committed.load(Ordering::SeqCst) >= 750).await;
        stop.cancel();
    };
    timeout(PATIENCE, async { tokio::join!(running, stopping).0 })
        .await
        .unwrap()
        .unwrap();
    assert_eq!(bench.rows("select count(*) from quarantine").await, ["20"]);
    assert!(
        bench.verdict().await.starts_with("ok readings=1000 "),
        "{}",
        bench.verdict().await
    );
}

/// Five have the whole memory: the sixth commits several records at once all the same, and what it has already none at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_without_memory_gathers_records_for_a_commit() {
    let bench = Bench::new().await;
    let records = 40;
    let new = (0..records).map(|n| batch(7, n * 5 + 1, n * 5 + 5));
    let again = (0..records).map(|n| batch(7, n * 5 + 1, n * 5 + 5));
    let log = MemoryLog::new(0, new.chain(again).collect());
    let source: Arc<dyn LogSource> = Arc::new(log);
    let stop = CancellationToken::new();
    let mut partition = bench.partition(&source, &stop);
    partition.settings = Arc::new(ConsumeSettings {
        commit_interval: Duration::from_secs(3_600),
        commit_readings_max: 1_000_000,
        // An eighth is about ten records.
        commit_bytes_max: 64 << 10,
        memory_bytes_max: 5 * (64 << 10),
        ..settings()
    });
    partition.budget = MemoryBudget::new(partition.settings.memory_bytes_max);
    let _others: Vec<_> = (0..5)
        .map(|_| {
            partition
                .budget
                .try_share(partition.settings.commit_bytes_max)
        })
        .map(Option::unwrap)
        .collect();
    assert!(partition.budget.try_share(2_048).is_none());
    let stopping = async {
        until(|| bench.progress.duplicates.load(Ordering::SeqCst) >= records * 5).await;
        stop.cancel();
    };
    timeout(PATIENCE, async {
        tokio::join!(partition.consume(), stopping).0
    })
    .await
    .unwrap()
    .unwrap();
    let commits = bench.progress.commits.load(Ordering::SeqCst);
    assert!((2..=8).contains(&commits), "{commits} commits");
    assert!(
        bench.verdict().await.starts_with("ok readings=200 "),
        "{}",
        bench.verdict().await
    );
}
