//! The job over a lake: which events a run writes, once when they are known and once when they end.

use std::{sync::Arc, time::Duration};

use forebay_config::ConfigErrors;
use forebay_jobs::{Fire, Job};
use forebay_jobs_conformance::{Case, SeriesReadings, TestLake, examples_are_sound, suite, window};
use forebay_schemas::Timestamp;
use ring::rand::SystemRandom;

use crate::GridOutageKind;

/// 2026-01-01T00:00:00Z.
const START: i64 = 1_767_225_600;

fn at(minute: i64) -> Timestamp {
    Timestamp::from_nanos((START + 60 * minute) * 1_000_000_000)
}

fn configured(keys: &str) -> Result<Box<dyn Job>, ConfigErrors> {
    forebay_jobs_conformance::configured(&GridOutageKind, keys)
}

const FEEDERS: &str =
    "feeders = { f01 = [\"f01-*\"], f02 = [\"f02-*\"] }, last_gasp = \"gasp\", history = \"12h\"";

/// (device, kind, first minute, last minute) of the events of the window of an hour that ends with `hour`.
async fn events(
    lake: &TestLake,
    job: &dyn Job,
    hour: i64,
) -> Vec<(String, String, i64, Option<i64>, String)> {
    let window = Duration::from_secs(3600);
    let context = lake.window_context("outages", at(60 * hour), window);
    let outcome = job.run(&context).await.unwrap();
    let minute = |at: Timestamp| at.nanos() / 60_000_000_000 - START / 60;
    outcome
        .results
        .events
        .iter()
        .map(|event| {
            (
                event.device.as_str().to_owned(),
                event.kind.clone(),
                minute(event.from_time),
                event.to_time.map(minute),
                event.event_id.clone(),
            )
        })
        .collect()
}

/// The voltage that a meter says each five minutes, but for some minutes.
fn heard(meter: i64, silence: std::ops::Range<i64>) -> Vec<(Timestamp, f64)> {
    (0..180)
        .map(|slot| slot * 5 + meter)
        .filter(|minute| !silence.contains(minute))
        .map(|minute| (at(minute), 230.0))
        .collect()
}

#[tokio::test]
async fn losses_of_power_and_of_communication_are_events_of_their_feeder() {
    let folder = tempfile::tempdir().unwrap();
    let lake = TestLake::open(folder.path(), Arc::new(SystemRandom::new())).await;
    // Four meters a feeder, heard each five minutes: f01 without power from minute 300 to 420, f02 unreachable from 310 to 350.
    for meter in 0..4 {
        lake.put_readings(&format!("f01-{meter}"), "volt", &heard(meter, 300..420))
            .await;
        lake.put_readings(&format!("f02-{meter}"), "volt", &heard(meter, 310..350))
            .await;
    }
    lake.put_readings("f01-2", "gasp", &[(at(300), 1.0)]).await;
    let job = configured(FEEDERS).unwrap();
    assert_eq!(events(&lake, job.as_ref(), 5).await, []);
    let sixth = events(&lake, job.as_ref(), 6).await;
    let of = |event: &(String, String, i64, Option<i64>, String)| {
        (event.0.clone(), event.1.clone(), event.2, event.3)
    };
    let expected = |device: &str, kind: &str, from, to| (device.into(), kind.into(), from, to);
    assert_eq!(
        sixth.iter().map(of).collect::<Vec<_>>(),
        [
            expected("f01", "power_loss", 300, None),
            expected("f02", "communication_loss", 309, Some(351)),
        ]
    );
    assert_eq!(events(&lake, job.as_ref(), 7).await, []);
    let eighth = events(&lake, job.as_ref(), 8).await;
    assert_eq!(
        eighth.iter().map(of).collect::<Vec<_>>(),
        [expected("f01", "power_loss", 300, Some(421))]
    );
    assert_eq!(eighth[0].4, sixth[0].4, "it is the same event");
}

#[test]
fn settings_are_checked_together() {
    assert!(configured(FEEDERS).is_ok());
    for (keys, message) in [
        ("last_gasp = \"gasp\"", "job: feeders is missing"),
        (
            "feeders = { f01 = [] }",
            "job.feeders: a feeder without meters",
        ),
        ("feeders = { f01 = 3 }", "job.feeders.f01: an array"),
        (
            "feeders = [\"f01-*\"]",
            "job.feeders: a table of names is expected",
        ),
        (
            "feeders = { f01 = [\"*\"] }, neighbour_share = 0.3",
            "job.neighbour_share: a share above 0.5",
        ),
    ] {
        let error = configured(keys).map(drop).unwrap_err().to_string();
        assert!(error.contains(message), "{keys}: {error}");
    }
}

#[test]
fn the_examples_of_the_page_are_sound() {
    let page = include_str!("../../../docs/how-to/grid-outage.md");
    examples_are_sound(page, &GridOutageKind);
}

#[tokio::test]
async fn it_keeps_the_promises_of_every_kind() {
    let hour = |hour: i64| Fire::window(window(at(60 * hour), Duration::from_secs(3600)));
    let meter = |meter: i64| SeriesReadings {
        device: format!("f01-{meter}"),
        tag: "volt".into(),
        readings: heard(meter, 300..420),
    };
    let gasp = SeriesReadings {
        device: "f01-2".into(),
        tag: "gasp".into(),
        readings: vec![(at(300), 1.0)],
    };
    suite(&Case {
        kind: &GridOutageKind,
        keys: FEEDERS,
        readings: (0..3).map(meter).chain([gasp]).collect(),
        fires: vec![hour(5), hour(6), hour(8)],
        known_ahead: &[],
        after_silence: hour(30),
    })
    .await;
}
