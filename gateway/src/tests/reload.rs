//! Other connectors while the edge runs: what says the same is not disturbed, receipts go on, devices are told.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use async_trait::async_trait;
use forebay_schemas::{Epoch, Lane, Quality, Reading, Seq, wire::Outage};
use forebay_stream::{LogWriter, OpenReceipt, Receipt, ReceiptChanges, StreamError};
use tempfile::TempDir;
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    receipts::{PATIENCE, SESSION, image, message, puppet, whole},
    runtime::{End, open, read, run, source, until},
};
use crate::{Changes, Closeness, Edge, EdgeStatus, Stage, Tapped};

fn receipt() -> Receipt {
    Receipt {
        epoch: Epoch(0),
        first_seq: Seq(0),
        last_seq: Seq(0),
    }
}

/// A spool that has room for as many appends as it is given, and waits for more.
struct Full(Arc<Semaphore>);

#[async_trait]
impl LogWriter for Full {
    async fn append_with(
        &self,
        _: Vec<Reading>,
        _: ReceiptChanges,
    ) -> Result<Receipt, StreamError> {
        self.0.acquire().await.unwrap().forget();
        Ok(receipt())
    }

    async fn append_outages(&self, _: Vec<Outage>) -> Result<Receipt, StreamError> {
        Ok(receipt())
    }

    async fn end_receipts(&self, _: Vec<OpenReceipt>) -> Result<(), StreamError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), StreamError> {
        Ok(())
    }
}

/// The devices of the puppet that are followed.
fn followed(status: &EdgeStatus) -> Vec<String> {
    let mut sources = status.sources().into_iter();
    let (_, puppet) = sources.find(|(name, _)| name == "puppet").unwrap();
    let devices = puppet.devices().into_iter();
    devices
        .map(|(device, _)| device.as_str().to_owned())
        .collect()
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_connectors_that_changed_are_restarted_and_their_receipts_go_on() {
    let folder = TempDir::new().unwrap();
    let spool = open(&folder, 0).await;
    let (fan, pump) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
    let (strings, first) = puppet(Some(SESSION), 1);
    let edge = Edge::new(
        run(1, &[&spool]),
        vec![source("fan", &fan, End::WhenStopped), first],
    );
    let (control, status, stop) = (edge.control(), edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    strings.deliver(&[], vec![message(1, &["cell-7"])]).await;
    assert_eq!(followed(&status), ["cell-7"]);

    let (strings, second) = puppet(Some(SESSION), 2);
    let sources = vec![
        source("fan", &fan, End::WhenStopped),
        second,
        source("pump", &pump, End::WhenStopped),
    ];
    let expected = Changes {
        added: names(&["pump"]),
        changed: names(&["puppet"]),
        removed: Vec::new(),
        draining: Vec::new(),
        unchanged: 1,
    };
    assert_eq!(control.reload(sources).await, Some(expected));
    assert_eq!(strings.restored().await, [whole(1)]);
    // What it brought before may be what was taken out of it.
    assert_eq!(followed(&status), [""; 0]);
    strings.deliver(&[1], vec![message(2, &["cell-7"])]).await;
    assert_eq!(followed(&status), ["cell-7"]);
    until(&status, 1).await;

    let (strings, third) = puppet(Some(SESSION), 3);
    let sources = vec![source("fan", &fan, End::WhenStopped), third];
    let changes = control.reload(sources).await.unwrap();
    assert_eq!(changes.removed, ["pump"]);
    assert_eq!(strings.restored().await, [whole(2)]);
    let known: Vec<String> = status.sources().into_iter().map(|(name, _)| name).collect();
    assert_eq!(known, ["fan", "puppet"]);

    // A session that is gone leaves no receipt behind.
    let sources = vec![source("fan", &fan, End::WhenStopped)];
    assert_eq!(control.reload(sources).await.unwrap().removed, ["puppet"]);
    let last_before_stop = read(&spool).await;
    let fan_is_disturbed = last_before_stop
        .iter()
        .filter(|reading| reading.series.device.as_str() == "fan")
        .any(|reading| reading.status.quality == Quality::Bad);
    assert!(!fan_is_disturbed, "its link was never reported lost");
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(control.reload(Vec::new()).await, None);
    assert_eq!(open(&image(&folder), 0).await.opened().receipts, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn devices_and_passing_readings_are_shown() {
    let folder = TempDir::new().unwrap();
    let spool = open(&folder, 0).await;
    let fan = Arc::<AtomicU64>::default();
    let edge = Edge::new(
        run(1, &[&spool]),
        vec![source("fan", &fan, End::WhenStopped)],
    );
    let (control, status, stop) = (edge.control(), edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    until(&status, 1).await;
    let mut passing = control.tap().watch(Closeness::default());
    let mut stages = Vec::new();
    while !(stages.contains(&Stage::Decoded) && stages.contains(&Stage::Reading)) {
        let tapped = timeout(PATIENCE, passing.next()).await.unwrap();
        // One that is slow misses some.
        if let Ok(Tapped::Value(value)) = tapped.as_deref() {
            stages.push(value.stage);
        }
    }
    let reports = control.devices().await.unwrap();
    let fan = &reports[0];
    assert_eq!(
        (fan.connector.as_str(), fan.device.as_str()),
        ("fan", "fan")
    );
    assert_eq!((fan.tags, &fan.link, fan.not_good.len()), (1, &None, 0));
    assert!(fan.last.is_some());
    let latency = fan.latency_micros;
    assert!(
        latency.is_some_and(|micros| (0..PATIENCE.as_micros() as i64).contains(&micros)),
        "{latency:?}"
    );
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(control.devices().await, None);
}

/// It used to end the gateway after 10 s.
#[tokio::test(start_paused = true)]
async fn a_reload_while_the_spool_is_full_waits_for_room_and_disturbs_nobody() {
    let room = Arc::new(Semaphore::new(0));
    let mut full = run(1, &[]);
    let writer: Arc<dyn LogWriter> = Arc::new(Full(room.clone()));
    full.writers = BTreeMap::from([(Lane(0), writer)]);
    let (strings, first) = puppet(Some(SESSION), 1);
    let edge = Edge::new(full, vec![first]);
    let (control, stop) = (edge.control(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    strings.order(vec![message(1, &["fan"])]).await;
    strings.restored().await;

    let (second_strings, second) = puppet(Some(SESSION), 2);
    let changes = control.reload(vec![second]).await.unwrap();
    assert_eq!(changes.changed, ["puppet"]);
    assert_eq!(changes.draining, ["puppet"]);
    // Another one before there is room: that one counts.
    drop(second_strings);
    let (strings, third) = puppet(Some(SESSION), 3);
    let changes = control.reload(vec![third]).await.unwrap();
    assert_eq!(changes.draining, ["puppet"]);
    sleep(Duration::from_secs(600)).await;
    assert!(!running.is_finished());
    assert!(control.devices().await.is_some());

    room.add_permits(1);
    assert_eq!(strings.restored().await, [whole(1)]);
    room.add_permits(1);
    strings.deliver(&[1], vec![message(2, &["fan"])]).await;
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
}

/// It used to get those of the start: one that had ended would have had a new message dropped, one that is open stored twice.
#[tokio::test(start_paused = true)]
async fn a_connector_that_starts_again_knows_the_receipts_that_are_open_then() {
    let mut endless = run(1, &[]);
    let writer: Arc<dyn LogWriter> = Arc::new(Full(Arc::new(Semaphore::new(1_000))));
    endless.writers = BTreeMap::from([(Lane(0), writer)]);
    let (strings, source) = puppet(Some(SESSION), 1);
    let edge = Edge::new(endless, vec![source]);
    let stop = CancellationToken::new();
    let running = tokio::spawn(edge.run(stop.clone()));
    assert_eq!(strings.restored().await, []);
    strings.deliver(&[], vec![message(1, &["fan"])]).await;
    strings.deliver(&[], vec![message(2, &["fan"])]).await;
    strings.deliver(&[1], vec![message(3, &["fan"])]).await;
    assert_eq!(strings.fail().await, [whole(2), whole(3)]);
    strings.deliver(&[2, 3], vec![message(4, &["fan"])]).await;
    assert_eq!(strings.fail().await, [whole(4)]);
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
}
