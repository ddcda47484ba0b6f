//! What nobody can read later is reported: the gateway was stopped, or it had no room while polls were due.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use forebay_connectors::{
    Connector, ConnectorError, Declared, Outlet, RuleId, Sample, SampleKind, SessionId,
};
use forebay_schemas::{
    DeviceId, Epoch, Lane, Reading, Seq, SiteId, Status, TagName, Timestamp, Value,
    wire::{Outage, OutageWhy},
};
use forebay_stream::{
    Entry, LogReader as _, LogWriter, Offset, OpenReceipt, Receipt, ReceiptChanges, StreamError,
};
use tempfile::TempDir;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::runtime::{open, run};
use crate::{ClockSkew, Edge, Filter, Lanes, Rule, Run, Source, StepSettings};

const T0: i64 = 1_700_000_000_000_000_000;
const POLL: Duration = Duration::from_millis(50);

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_nanos(T0 + (seconds * 1e9) as i64)
}

/// Polls a device each 50 ms, and counts the polls that were due while the gateway had no room, as Modbus does.
struct Polled {
    device: &'static str,
    /// None for a connector whose session keeps what comes meanwhile.
    session: Option<SessionId>,
}

#[async_trait]
impl Connector for Polled {
    fn declared(&self) -> Vec<Declared> {
        let (device, tag) = (
            DeviceId::new(self.device).unwrap(),
            TagName::new("count").unwrap(),
        );
        vec![Declared {
            rule: RuleId(0),
            device,
            tag,
        }]
    }

    fn session(&self) -> Option<SessionId> {
        self.session
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let Declared { rule, device, tag } = self.declared().remove(0);
        for number in 0.. {
            if stop.run_until_cancelled(sleep(POLL)).await.is_none() {
                break;
            }
            let (device, tag, value) = (device.clone(), tag.clone(), Some(Value::U64(number)));
            let (status, kind) = (Status::GOOD, SampleKind::Update);
            let sample = Sample {
                rule,
                device,
                tag,
                event_time: None,
                value,
                unit: None,
                status,
                kind,
            };
            let began = Instant::now();
            if outlet.deliver(vec![sample]).await.is_err() {
                break;
            }
            let skipped = began.elapsed().as_millis() / POLL.as_millis();
            outlet.note_skipped(skipped as u64);
        }
        Ok(())
    }
}

fn source(name: &'static str, session: Option<SessionId>) -> Source {
    Source {
        name: name.to_owned(),
        connector: Box::new(Polled {
            device: name,
            session,
        }),
        rules: vec![Rule::default()],
        filter: Filter::default(),
        fingerprint: 0,
        skew: ClockSkew::default(),
        steps: StepSettings::default(),
    }
}

/// Starts a gateway with a polled device and one behind a session, lets both be read, and stops it. Answers the outages of this
/// life as device, seconds from and to, and why; and when its last reading was taken.
async fn live(folder: &TempDir, starts_at: f64) -> (Vec<(String, f64, f64, OutageWhy)>, f64) {
    let spool = open(folder, 0).await;
    let mut run = run(1, &[&spool]);
    run.stored_at = spool.opened().stored_at;
    run.clock = Arc::new(move || at(starts_at));
    let edge = Edge::new(
        run,
        vec![
            source("boiler", None),
            source("meters", Some(SessionId([9; 16]))),
        ],
    );
    let (status, stop) = (edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    let read = async {
        while status
            .sources()
            .iter()
            .any(|(_, source)| source.spooled() == 0)
        {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), read)
        .await
        .expect("both are read");
    stop.cancel();
    timeout(Duration::from_secs(20), running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let seconds = |time: Timestamp| (time.nanos() - T0) as f64 / 1e9;
    let (mut outages, mut last, mut polled) = (Vec::new(), 0.0, false);
    let mut reader = spool.reader(Offset(0));
    while let Some(record) = reader.try_next().await.unwrap() {
        match record.entry {
            Entry::Batch(batch) if batch.epoch == spool.opened().epoch => {
                polled |= batch
                    .readings
                    .iter()
                    .any(|reading| reading.series.device.as_str() == "boiler");
                last = seconds(batch.readings.last().unwrap().observed_time);
            }
            Entry::Outages(told) if told.epoch == spool.opened().epoch => {
                assert!(!polled, "before the first reading of its device");
                let shown = |Outage {
                                 device,
                                 from,
                                 to,
                                 why,
                                 ..
                             }: Outage| {
                    (
                        device.unwrap().as_str().to_owned(),
                        seconds(from),
                        seconds(to),
                        why,
                    )
                };
                outages.extend(told.outages.into_iter().map(shown));
            }
            _ => {}
        }
    }
    spool.writer().close().await.unwrap();
    (outages, last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_is_told_for_devices_that_nobody_asks_to_send_again() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(live(&folder, 1.0).await, (vec![], 1.0), "the first start");
    assert_eq!(
        live(&folder, 4.0).await,
        (vec![], 4.0),
        "a restart of seconds"
    );
    let (told, last) = live(&folder, 124.0).await;
    let [(device, from, to, why)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(
        (device.as_str(), *to, *why, last),
        ("boiler", 124.0, OutageWhy::Stopped, 124.0)
    );
    assert!(
        (4.0..124.0).contains(from),
        "from when it was closed, at {from}"
    );
    assert_eq!(
        live(&folder, 3.0).await,
        (vec![], 3.0),
        "a clock that was set back"
    );
}

/// A log in memory that has room or not.
struct Room {
    has: watch::Receiver<bool>,
    outages: Mutex<Vec<Outage>>,
}

impl Room {
    async fn stored(&self) -> Result<Receipt, StreamError> {
        self.has
            .clone()
            .wait_for(|has| *has)
            .await
            .map_err(|_| StreamError::Closed)?;
        Ok(Receipt {
            epoch: Epoch(1),
            first_seq: Seq::FIRST,
            last_seq: Seq::FIRST,
        })
    }
}

#[async_trait]
impl LogWriter for Room {
    async fn append_with(
        &self,
        _: Vec<Reading>,
        _: ReceiptChanges,
    ) -> Result<Receipt, StreamError> {
        self.stored().await
    }

    async fn append_outages(&self, outages: Vec<Outage>) -> Result<Receipt, StreamError> {
        let receipt = self.stored().await?;
        self.outages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(outages);
        Ok(receipt)
    }

    async fn end_receipts(&self, _: Vec<OpenReceipt>) -> Result<(), StreamError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), StreamError> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn polls_skipped_while_the_spool_was_full_are_told_once_there_is_room() {
    let (room, has) = watch::channel(true);
    let log = Arc::new(Room {
        has,
        outages: Mutex::default(),
    });
    let begun = Instant::now();
    let run = Run {
        site: SiteId::new("plant").unwrap(),
        lanes: Lanes(NonZeroU32::MIN),
        writers: BTreeMap::from([(Lane(0), log.clone() as Arc<dyn LogWriter>)]),
        receipts: BTreeMap::new(),
        stored_at: None,
        series: None,
        clock: Arc::new(move || at(begun.elapsed().as_secs_f64())),
    };
    let edge = Edge::new(
        run,
        vec![
            source("boiler", None),
            source("meters", Some(SessionId([9; 16]))),
        ],
    );
    let stop = CancellationToken::new();
    let running = tokio::spawn(edge.run(stop.clone()));
    let told = || {
        log.outages
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    };
    sleep(Duration::from_secs(10)).await;
    // A moment without room delays a poll and is nothing to tell of.
    room.send_replace(false);
    sleep(Duration::from_millis(30)).await;
    room.send_replace(true);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(told(), []);
    room.send_replace(false);
    sleep(Duration::from_secs(43)).await;
    room.send_replace(true);
    sleep(Duration::from_secs(10)).await;
    let all = told();
    let [outage] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!(
        (outage.device.as_ref().unwrap().as_str(), outage.why),
        ("boiler", OutageWhy::SpoolFull)
    );
    let seconds = |time: Timestamp| (time.nanos() - T0) as f64 / 1e9;
    let (from, to) = (seconds(outage.from), seconds(outage.to));
    assert!(
        (20.0..20.2).contains(&from) && (63.0..63.2).contains(&to),
        "{from} to {to}"
    );
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(told().len(), 1, "once");
}
