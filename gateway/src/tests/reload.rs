//! Other connectors while the edge runs: what says the same is not disturbed, receipts go on, devices are told.

use std::sync::{Arc, atomic::AtomicU64};

use forebay_schemas::Quality;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    receipts::{PATIENCE, SESSION, image, message, puppet, whole},
    runtime::{End, open, read, run, source, until},
};
use crate::{Changes, Edge, Stage};

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
        unchanged: 1,
    };
    assert_eq!(control.reload(sources).await, Some(expected));
    assert_eq!(strings.restored().await, [whole(1)]);
    strings.deliver(&[1], vec![message(2, &["cell-7"])]).await;
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
    let mut passing = control.tap().watch();
    let mut stages = Vec::new();
    while !(stages.contains(&Stage::Decoded) && stages.contains(&Stage::Reading)) {
        let tapped = timeout(PATIENCE, passing.recv()).await.unwrap();
        // One that is slow misses some.
        stages.extend(tapped.ok().map(|tapped| tapped.stage));
    }
    let reports = control.devices().await.unwrap();
    let fan = &reports[0];
    assert_eq!(
        (fan.connector.as_str(), fan.device.as_str()),
        ("fan", "fan")
    );
    assert_eq!((fan.tags, &fan.link, fan.not_good.len()), (1, &None, 0));
    assert!(fan.last.is_some());
    stop.cancel();
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
    assert_eq!(control.devices().await, None);
}
