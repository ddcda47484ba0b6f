use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use forebay_connectors::{
    Connector, ConnectorError, Declared, LinkChange, Outlet, RuleId, Sample, SampleKind,
};
use forebay_schemas::{
    DeviceId, GatewayId, Lane, LaneId, Quality, Reading, SiteId, Status, TagName, Timestamp, Value,
    wire::Outage,
};
use forebay_stream::{
    Entry, LogReader as _, LogWriter, Offset, OpenReceipt, ReceiptChanges, StreamError,
    local::{Limits, OnFull, Options, Spool, SpoolKey},
};
use ring::rand::SystemRandom;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{ClockSkew, Edge, EdgeStatus, Filter, Lanes, Rule, Run, Source, StepSettings};

/// Counts up until stopped, one parcel after the receipt of the one before; then loses its link.
struct Counter {
    device: &'static str,
    acknowledged: Arc<AtomicU64>,
    ends: End,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum End {
    WhenStopped,
    WithError,
    /// Each time that it has counted to three more.
    WithPanic,
}

fn declared(device: &str) -> Declared {
    Declared {
        rule: RuleId(0),
        device: DeviceId::new(device).unwrap(),
        tag: TagName::new("count").unwrap(),
    }
}

#[async_trait]
impl Connector for Counter {
    fn declared(&self) -> Vec<Declared> {
        vec![declared(self.device)]
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let Declared { rule, device, tag } = declared(self.device);
        outlet
            .link(LinkChange {
                device: None,
                down: None,
            })
            .await
            .ok();
        while !stop.is_cancelled() {
            let number = self.acknowledged.load(Ordering::SeqCst) + 1;
            let value = Some(Value::U64(number));
            let sample = Sample {
                rule,
                device: device.clone(),
                tag: tag.clone(),
                event_time: None,
                value,
                unit: None,
                status: Status::GOOD,
                kind: SampleKind::Update,
            };
            if outlet.deliver(vec![sample]).await.is_err() {
                break;
            }
            self.acknowledged.store(number, Ordering::SeqCst);
            if self.ends == End::WithError && number == 3 {
                return Err(ConnectorError {
                    what: "the certificate is gone".into(),
                    source: None,
                });
            }
            let is_third = number.is_multiple_of(3);
            assert!(
                self.ends != End::WithPanic || !is_third,
                "{number} cannot be"
            );
        }
        // Nobody listens any more where the gateway has gone first.
        outlet
            .link(LinkChange {
                device: None,
                down: Some("stopped".into()),
            })
            .await
            .ok();
        Ok(())
    }
}

pub(super) async fn open(folder: &tempfile::TempDir, lane: u32) -> Spool {
    let options = Options {
        path: folder.path().join(lane.to_string()),
        lane: LaneId {
            gateway: GatewayId::new("g").unwrap(),
            lane: Lane(lane),
        },
        key: SpoolKey::new([7; 32]),
        limits: Limits::new(64 << 20, 1 << 20, OnFull::Block).unwrap(),
        now: Timestamp::from_nanos(1_700_000_000_000_000_000),
        random: Arc::new(SystemRandom::new()),
    };
    Spool::open(options).await.unwrap()
}

pub(super) fn source(device: &'static str, acknowledged: &Arc<AtomicU64>, ends: End) -> Source {
    Source {
        name: device.to_owned(),
        connector: Box::new(Counter {
            device,
            acknowledged: acknowledged.clone(),
            ends,
        }),
        rules: vec![Rule::default()],
        filter: Filter::default(),
        fingerprint: 0,
        skew: ClockSkew::default(),
        steps: StepSettings::default(),
    }
}

pub(super) async fn read(spool: &Spool) -> Vec<Reading> {
    let mut reader = spool.reader(Offset(0));
    let mut readings = Vec::new();
    while let Some(record) = reader.try_next().await.unwrap() {
        if let Entry::Batch(batch) = record.entry {
            readings.extend(batch.readings);
        }
    }
    readings
}

pub(super) fn run(lanes: u32, spools: &[&Spool]) -> Run {
    let writers = spools
        .iter()
        .zip(0..)
        .map(|(spool, lane)| (Lane(lane), Arc::new(spool.writer()) as Arc<dyn LogWriter>));
    Run {
        site: SiteId::new("s").unwrap(),
        lanes: Lanes(NonZeroU32::new(lanes).unwrap()),
        writers: writers.collect(),
        receipts: spools
            .iter()
            .zip(0..)
            .map(|(spool, lane)| (Lane(lane), spool.opened().receipts.clone()))
            .collect(),
        stored_at: None,
        series: None,
        clock: Arc::new(|| Timestamp::from_nanos(1_700_000_001_000_000_000)),
    }
}

pub(super) async fn until(status: &EdgeStatus, spooled: u64) {
    let enough = async {
        while status
            .sources()
            .iter()
            .any(|(_, source)| source.spooled() < spooled)
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), enough)
        .await
        .expect("readings reach the spool");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_in_the_spool_in_order_each_device_in_its_lane() {
    let folder = tempfile::tempdir().unwrap();
    let (zero, one) = (open(&folder, 0).await, open(&folder, 1).await);
    // FNV-1a puts these two devices into different lanes of two.
    let counts = [Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0))];
    let devices = ["cell-7", "fan"];
    let sources = devices
        .iter()
        .zip(&counts)
        .map(|(device, count)| source(device, count, End::WhenStopped))
        .collect();
    let edge = Edge::new(run(2, &[&zero, &one]), sources);
    let (status, stop) = (edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    until(&status, 20).await;
    stop.cancel();
    timeout(Duration::from_secs(20), running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let mut by_device: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
    for (spool, lane) in [(&zero, 0), (&one, 1)] {
        for reading in read(spool).await {
            let of = Lanes(NonZeroU32::new(2).unwrap()).of(&reading.series.device);
            assert_eq!(of, Lane(lane));
            by_device
                .entry(reading.series.device.to_string())
                .or_default()
                .push(reading);
        }
    }
    for (device, count) in devices.iter().zip(&counts) {
        let readings = &by_device[*device];
        let (lost, counted) = readings.split_last().unwrap();
        assert_eq!(
            (lost.value.clone(), lost.status.quality),
            (None, Quality::Bad),
            "the link's end is told too"
        );
        let numbers: Vec<_> = counted
            .iter()
            .map(|reading| reading.value.clone().unwrap())
            .collect();
        let expected: Vec<_> = (1..=count.load(Ordering::SeqCst)).map(Value::U64).collect();
        assert_eq!(numbers, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_that_cannot_go_on_stops_alone_is_bad_by_name_and_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder, 0).await;
    let (good, bad) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let sources = vec![
        source("good", &good, End::WhenStopped),
        source("bad", &bad, End::WithError),
    ];
    let edge = Edge::new(run(1, &[&spool]), sources);
    let (status, stop) = (edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    until(&status, 10).await;
    stop.cancel();
    timeout(Duration::from_secs(20), running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let readings = read(&spool).await;
    let of = readings
        .iter()
        .filter(|reading| reading.series.device.as_str() == "bad");
    let numbers: Vec<_> = of
        .clone()
        .map(|reading| reading.value.clone())
        .take(6)
        .collect();
    let number = |number| Some(Value::U64(number));
    assert_eq!(
        numbers,
        [number(1), number(2), number(3), None, number(4), number(5)]
    );
    let lost = of.clone().find(|reading| reading.value.is_none()).unwrap();
    let reason = lost.status.reason.clone().unwrap();
    assert!(
        reason.contains("connector \"bad\": the certificate is gone"),
        "{reason}"
    );
    assert!(good.load(Ordering::SeqCst) >= 10, "the other goes on");
}

/// Fails in passing twice for each append, and cannot hold more than two readings.
struct Moody {
    inner: Arc<dyn LogWriter>,
    calls: AtomicU64,
}

#[async_trait]
impl LogWriter for Moody {
    async fn append_with(
        &self,
        readings: Vec<Reading>,
        receipts: ReceiptChanges,
    ) -> Result<forebay_stream::Receipt, StreamError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) < 1 {
            let source = Arc::new(std::io::Error::other("flaky disk"));
            return Err(StreamError::Io {
                op: "write",
                path: "x".into(),
                source,
            });
        }
        if readings.len() > 2 {
            return Err(StreamError::TooLarge {
                found: readings.len() as u64,
                max: 2,
                unit: "readings",
            });
        }
        self.inner.append_with(readings, receipts).await
    }

    async fn append_outages(
        &self,
        outages: Vec<Outage>,
    ) -> Result<forebay_stream::Receipt, StreamError> {
        self.inner.append_outages(outages).await
    }

    async fn end_receipts(&self, ended: Vec<OpenReceipt>) -> Result<(), StreamError> {
        self.inner.end_receipts(ended).await
    }

    async fn close(&self) -> Result<(), StreamError> {
        self.inner.close().await
    }
}

/// Hands over these values at once.
struct AtOnce(Vec<Value>);

/// A source of these values.
fn at_once(values: Vec<Value>) -> Source {
    Source {
        name: "at once".into(),
        connector: Box::new(AtOnce(values)),
        rules: vec![Rule::default()],
        filter: Filter::default(),
        fingerprint: 0,
        skew: ClockSkew::default(),
        steps: StepSettings::default(),
    }
}

#[async_trait]
impl Connector for AtOnce {
    fn declared(&self) -> Vec<Declared> {
        Vec::new()
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let Declared { rule, device, tag } = declared("d");
        let sample = |value: &Value| Sample {
            rule,
            device: device.clone(),
            tag: tag.clone(),
            event_time: None,
            value: Some(value.clone()),
            unit: None,
            status: Status::GOOD,
            kind: SampleKind::Update,
        };
        outlet
            .deliver(self.0.iter().map(sample).collect())
            .await
            .ok();
        stop.cancelled().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_that_fails_in_passing_or_takes_little_at_once_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder, 0).await;
    let mut run = run(1, &[&spool]);
    run.writers.insert(
        Lane(0),
        Arc::new(Moody {
            inner: Arc::new(spool.writer()),
            calls: AtomicU64::new(0),
        }),
    );
    let edge = Edge::new(run, vec![at_once((1..=7).map(Value::U64).collect())]);
    let (status, stop) = (edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    until(&status, 7).await;
    stop.cancel();
    timeout(Duration::from_secs(20), running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let numbers: Vec<_> = read(&spool)
        .await
        .into_iter()
        .map(|reading| reading.value.unwrap())
        .collect();
    assert_eq!(numbers, (1..=7).map(Value::U64).collect::<Vec<_>>());
}

/// Says what holds now, as a broker does at each start.
struct Retained;

#[async_trait]
impl Connector for Retained {
    fn declared(&self) -> Vec<Declared> {
        Vec::new()
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let Declared { rule, device, tag } = declared("d");
        let (value, status) = (Some(Value::I64(5)), Status::GOOD);
        let sample = Sample {
            rule,
            device,
            tag,
            event_time: None,
            value,
            unit: None,
            status,
            kind: SampleKind::Snapshot,
        };
        outlet.deliver(vec![sample]).await.ok();
        stop.cancelled().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retained_message_is_one_reading_over_three_starts() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder, 0).await;
    for _ in 0..3 {
        let mut run = run(1, &[&spool]);
        let (path, random) = (folder.path().join("series"), Arc::new(SystemRandom::new()));
        run.series = Some(crate::SeriesFolder {
            path,
            key: [3; 32],
            random,
        });
        let (rules, filter) = (vec![Rule::default()], Filter::default());
        let edge = Edge::new(
            run,
            vec![Source {
                name: "mqtt".into(),
                connector: Box::new(Retained),
                rules,
                filter,
                fingerprint: 0,
                skew: ClockSkew::default(),
                steps: StepSettings::default(),
            }],
        );
        let (status, stop) = (edge.status(), CancellationToken::new());
        let running = tokio::spawn(edge.run(stop.clone()));
        let received = async {
            while status
                .sources()
                .iter()
                .any(|(_, source)| source.received() == 0)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(30), received).await.unwrap();
        stop.cancel();
        timeout(Duration::from_secs(20), running)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
    let values: Vec<_> = read(&spool)
        .await
        .into_iter()
        .map(|reading| reading.value)
        .collect();
    assert_eq!(values, [Some(Value::I64(5))]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_no_record_can_hold_gives_way_to_a_bad_reading() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder, 0).await;
    let huge = Value::Text("x".repeat(2 << 20));
    let edge = Edge::new(
        run(1, &[&spool]),
        vec![at_once(vec![Value::U64(1), huge, Value::U64(3)])],
    );
    let (status, stop) = (edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    until(&status, 3).await;
    stop.cancel();
    timeout(Duration::from_secs(20), running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let readings = read(&spool).await;
    let values: Vec<_> = readings
        .iter()
        .map(|reading| reading.value.clone())
        .collect();
    assert_eq!(values, [Some(Value::U64(1)), None, Some(Value::U64(3))]);
    let reason = readings[1].status.reason.clone().unwrap();
    assert!(
        reason.starts_with("value not kept: an append of 2097")
            && reason.contains("raise spool.max_bytes"),
        "{reason}"
    );
}
