//! A connector that panics beside one that goes on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use forebay_schemas::Value;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::runtime::{End, open, read, run, source, until};
use crate::Edge;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_that_panics_stops_alone_and_starts_again_from_its_last_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder, 0).await;
    let (good, bad) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let sources = vec![
        source("good", &good, End::WhenStopped),
        source("bad", &bad, End::WithPanic),
    ];
    let edge = Edge::new(run(1, &[&spool]), sources);
    let (status, stop) = (edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    // Three values, the bad reading, three more: it has panicked twice.
    until(&status, 7).await;
    let before = good.load(Ordering::SeqCst);
    stop.cancel();
    timeout(Duration::from_secs(20), running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(before >= 7, "the other goes on");
    let readings = read(&spool).await;
    let of = readings
        .iter()
        .filter(|reading| reading.series.device.as_str() == "bad");
    let numbers: Vec<_> = of
        .clone()
        .map(|reading| reading.value.clone())
        .take(7)
        .collect();
    let number = |number| Some(Value::U64(number));
    assert_eq!(
        numbers,
        [
            number(1),
            number(2),
            number(3),
            None,
            number(4),
            number(5),
            number(6)
        ]
    );
    let lost = of.clone().find(|reading| reading.value.is_none()).unwrap();
    let reason = lost.status.reason.clone().unwrap();
    assert!(
        reason.contains("connector \"bad\": panicked") && reason.contains("3 cannot be"),
        "{reason}"
    );
}
