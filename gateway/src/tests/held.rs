//! Windows over crashes: each reading is counted once, and what passes them is stored once, whatever moment the process ends at
//! (E1).

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use forebay_connectors::{Extent, Message, Restored};
use forebay_schemas::{Lane, Reading, Value, wire::Outage};
use forebay_stream::{LogWriter, OpenReceipt, Receipt, ReceiptChanges, StreamError, local::Spool};
use ring::rand::SystemRandom;
use tempfile::TempDir;
use tokio::{sync::Notify, time::timeout};

use super::{
    receipts::{PATIENCE, Rig, SESSION, image, message, token, whole},
    runtime::{open, read, run},
    steps::step_settings,
};
use crate::{Run, SeriesFolder};

const STEPS: &str = "[[step]]\ntags = [\"fan/*\"]\nwindow = \"10s\"\naggregate = [\"count\"]";
/// Of the same lane; the first one's readings go into a window.
const BOTH: [&str; 2] = ["fan", "pump"];

/// Where a writer stays, as a process does that is killed there.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Stop {
    BeforeAppend,
    AfterAppend,
}

struct Stopping {
    inner: Arc<dyn LogWriter>,
    at: Stop,
    reached: Arc<Notify>,
}

#[async_trait]
impl LogWriter for Stopping {
    async fn append_with(
        &self,
        readings: Vec<Reading>,
        receipts: ReceiptChanges,
    ) -> Result<Receipt, StreamError> {
        if self.at == Stop::AfterAppend {
            self.inner.append_with(readings, receipts).await?;
        }
        self.reached.notify_one();
        std::future::pending().await
    }

    async fn append_outages(&self, outages: Vec<Outage>) -> Result<Receipt, StreamError> {
        self.inner.append_outages(outages).await
    }

    async fn end_receipts(&self, ended: Vec<OpenReceipt>) -> Result<(), StreamError> {
        self.inner.end_receipts(ended).await
    }

    async fn close(&self) -> Result<(), StreamError> {
        self.inner.close().await
    }
}

/// With what windows hold back beside the spools, as in a data folder.
fn kept(folder: &TempDir, lanes: u32, spools: &[&Spool]) -> Run {
    Run {
        series: Some(SeriesFolder {
            path: folder.path().join("series"),
            key: [7; 32],
            random: Arc::new(SystemRandom::new()),
        }),
        ..run(lanes, spools)
    }
}

fn start(run: Run) -> Rig {
    Rig::with_steps(run, Some(SESSION), step_settings(STEPS))
}

fn stopping(run: &mut Run, lane: u32, at: Stop) -> Arc<Notify> {
    let reached = Arc::new(Notify::new());
    let inner = run.writers[&Lane(lane)].clone();
    let writer = Stopping {
        inner,
        at,
        reached: reached.clone(),
    };
    run.writers.insert(Lane(lane), Arc::new(writer));
    reached
}

/// How many readings windows counted, and the numbers that passed by device.
async fn stored(spools: &[&Spool]) -> (i64, BTreeMap<String, Vec<u64>>) {
    let (mut counted, mut passed) = (0, BTreeMap::<String, Vec<u64>>::new());
    for spool in spools {
        for reading in read(spool).await {
            let device = reading.series.device.to_string();
            match reading.value {
                Some(Value::I64(count)) => counted += count,
                Some(Value::U64(number)) => passed.entry(device).or_default().push(number),
                other => panic!("{other:?}"),
            }
        }
    }
    (counted, passed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_which_a_window_has_a_part_is_counted_once_and_stored_once() {
    for at in [Stop::BeforeAppend, Stop::AfterAppend] {
        let folder = TempDir::new().unwrap();
        let spool = open(&folder, 0).await;
        let mut first = kept(&folder, 1, &[&spool]);
        let reached = stopping(&mut first, 0, at);
        let rig = start(first);
        rig.order(vec![message(1, &BOTH)]).await;
        timeout(PATIENCE, reached.notified()).await.unwrap();
        rig.kill().await;

        let folder = image(&folder);
        let spool = open(&folder, 0).await;
        let rig = start(kept(&folder, 1, &[&spool]));
        let extent = match at {
            Stop::BeforeAppend => Extent::Part,
            Stop::AfterAppend => Extent::Whole,
        };
        let expected = Restored {
            token: token(1),
            extent,
        };
        assert_eq!(rig.restored().await, [expected], "{at:?}");
        // A connector hands over again what is there in part.
        if extent == Extent::Part {
            rig.deliver(&[], vec![message(1, &BOTH)]).await;
        }
        rig.deliver(&[], vec![message(2, &BOTH)]).await;
        rig.stop().await;
        let (counted, passed) = stored(&[&spool]).await;
        assert_eq!(counted, 2, "{at:?}");
        let expected = BTreeMap::from([("pump".to_owned(), vec![1, 2])]);
        assert_eq!(passed, expected, "{at:?}");

        // The ends of the receipts are told to the file, too.
        let folder = image(&folder);
        let spool = open(&folder, 0).await;
        let rig = start(kept(&folder, 1, &[&spool]));
        assert_eq!(rig.restored().await, [whole(1), whole(2)]);
        rig.deliver(&[1, 2], Vec::new()).await;
        rig.stop().await;
        let folder = image(&folder);
        let spool = open(&folder, 0).await;
        let rig = start(kept(&folder, 1, &[&spool]));
        assert_eq!(rig.restored().await, []);
        rig.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_a_window_has_as_a_whole_is_known_when_it_comes_again() {
    let folder = TempDir::new().unwrap();
    let spool = open(&folder, 0).await;
    let rig = start(kept(&folder, 1, &[&spool]));
    rig.deliver(&[], vec![message(1, &["fan"])]).await;
    rig.kill().await;
    let folder = image(&folder);
    let spool = open(&folder, 0).await;
    let rig = start(kept(&folder, 1, &[&spool]));
    assert_eq!(rig.restored().await, [whole(1)]);
    // The same words once more, from a device that says them again: another message.
    rig.deliver(&[1], vec![message(1, &["fan"])]).await;
    rig.stop().await;
    assert_eq!(stored(&[&spool]).await, (2, BTreeMap::new()));
}

/// What a crash between two lanes leaves to be taken does not go into the window once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rest_of_a_message_of_two_lanes_is_not_counted_again() {
    // The window's, and one of each lane.
    let all = ["fan", "boiler-1", "cell-7"];
    let folder = TempDir::new().unwrap();
    let spools = [open(&folder, 0).await, open(&folder, 1).await];
    let mut first = kept(&folder, 2, &[&spools[0], &spools[1]]);
    // Lanes are written in their order.
    let reached = stopping(&mut first, 1, Stop::BeforeAppend);
    let rig = start(first);
    rig.order(vec![message(1, &all)]).await;
    timeout(PATIENCE, reached.notified()).await.unwrap();
    rig.kill().await;
    let folder = image(&folder);
    let spools = [open(&folder, 0).await, open(&folder, 1).await];
    let rig = start(kept(&folder, 2, &[&spools[0], &spools[1]]));
    let part = Restored {
        token: token(1),
        extent: Extent::Part,
    };
    assert_eq!(rig.restored().await, [part]);
    rig.deliver(&[], vec![message(1, &all)]).await;
    rig.stop().await;
    let (counted, passed) = stored(&[&spools[0], &spools[1]]).await;
    assert_eq!(counted, 1);
    let expected = ["cell-7", "boiler-1"].map(|device| (device.to_owned(), vec![1]));
    assert_eq!(passed, BTreeMap::from(expected));
}

/// What was released and not stored when the process ended is released again, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_was_closed_is_stored_once() {
    for at in [Stop::BeforeAppend, Stop::AfterAppend] {
        let folder = TempDir::new().unwrap();
        let spool = open(&folder, 0).await;
        let mut first = kept(&folder, 1, &[&spool]);
        let reached = stopping(&mut first, 0, at);
        let rig = start(first);
        rig.deliver(&[], vec![timed(1, 1_700_000_001)]).await;
        rig.order(vec![timed(2, 1_700_000_011)]).await;
        timeout(PATIENCE, reached.notified()).await.unwrap();
        rig.kill().await;
        let folder = image(&folder);
        let spool = open(&folder, 0).await;
        let rig = start(kept(&folder, 1, &[&spool]));
        assert_eq!(rig.restored().await, [whole(1), whole(2)], "{at:?}");
        rig.stop().await;
        assert_eq!(stored(&[&spool]).await, (2, BTreeMap::new()), "{at:?}");
    }
}

fn timed(number: u64, second: i64) -> Message {
    let mut message = message(number, &["fan"]);
    let at = forebay_schemas::Timestamp::from_nanos(second * 1_000_000_000);
    message.samples[0].event_time = Some(at);
    message
}
