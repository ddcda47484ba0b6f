//! Events on their way: past the steps, into the spool, each with its receipt.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use forebay_connectors::{
    Connector, ConnectorError, Declared, DeviceEvent, LinkChange, Outlet, RuleId,
};
use forebay_schemas::{
    DeviceId, EventForm, EventStates, Quality, Reading, SiteId, SourceEvent, TagName, Timestamp,
    Value,
};
use tokio_util::sync::CancellationToken;

use super::{
    runtime::{End, open, read, run, source, until},
    steps::{at, pipeline, sample},
};
use crate::{ClockSkew, Edge, Filter, Pipeline, Rule, Source, SourceStatus, StepSettings};

fn event(number: u8) -> SourceEvent {
    SourceEvent {
        connector: "press".into(),
        form: EventForm::Alarm,
        event_id: vec![number],
        message: format!("change {number}"),
        time: Some(Timestamp::from_nanos(i64::from(number))),
        states: EventStates {
            active: Some(true),
            ..EventStates::default()
        },
        ..SourceEvent::default()
    }
}

fn of_press(number: u8) -> DeviceEvent {
    DeviceEvent {
        device: DeviceId::new("press").unwrap(),
        event: event(number),
    }
}

fn carried(reading: &Reading) -> SourceEvent {
    let Some(Value::Bytes(bytes)) = &reading.value else {
        panic!("{reading:?} carries no event");
    };
    assert!(reading.series.tag.is_of_events(), "{reading:?}");
    SourceEvent::decode(bytes).unwrap()
}

#[test]
fn an_event_is_a_reading_of_its_arrival_whatever_filters_and_links_do_to_series() {
    let status = Arc::new(SourceStatus::default());
    let nothing = Filter::new(&["other/*".into()], &[]).unwrap();
    let site = SiteId::new("s").unwrap();
    let mut pipeline = Pipeline::new(
        site,
        vec![Rule::default()],
        nothing,
        Vec::new(),
        status.clone(),
    );
    let now = Timestamp::from_nanos(1_700_000_000_000_000_000);
    let readings = pipeline.events(vec![of_press(1), of_press(1), of_press(2)], now);
    // Who tells the same twice is heard twice: the lake has it once.
    assert_eq!(
        readings.iter().map(carried).collect::<Vec<_>>(),
        [event(1), event(1), event(2)]
    );
    for reading in &readings {
        assert_eq!((reading.event_time, reading.observed_time), (now, now));
        assert_eq!(reading.status.quality, Quality::Good);
    }
    assert_eq!(
        status.devices(),
        [(DeviceId::new("press").unwrap(), Some(now))]
    );
    let lost = LinkChange {
        device: None,
        down: Some("gone".into()),
    };
    assert_eq!(pipeline.link(lost, now), [], "events are no series");
}

#[test]
fn nothing_that_a_device_publishes_passes_for_an_event() {
    let (mut pipeline, status) = pipeline("", "");
    let forged = || Some(Value::Bytes(event(1).encode()));
    let taken = pipeline.samples(
        vec![
            sample("press/_events", forged()),
            sample("press/t", forged()),
        ],
        at(0.0),
    );
    let tags: Vec<&str> = taken
        .iter()
        .map(|reading| reading.series.tag.as_str())
        .collect();
    assert_eq!(tags, ["t"]);
    assert_eq!(status.filtered(), 1);
}

#[test]
fn no_step_makes_a_value_pass_for_an_event() {
    let tagged = "rename = \"_{tag}\"";
    let stepped = "[[step]]\ntags = [\"**\"]\nrename = \"_{tag}\"";
    for (tag, steps) in [(tagged, ""), ("", stepped)] {
        let (mut pipeline, _) = pipeline(tag, steps);
        let forged = |series| sample(series, Some(Value::Bytes(event(1).encode())));
        let taken = pipeline.samples(vec![forged("press/events"), forged("press/t")], at(0.0));
        let tags: Vec<&str> = taken
            .iter()
            .map(|reading| reading.series.tag.as_str())
            .collect();
        // A name that is not valid is not taken.
        assert_eq!(tags, ["events", "_t"]);
    }
}

#[test]
fn a_lost_link_leaves_no_reading_among_events() {
    let declared = |tag: &str| Declared {
        rule: RuleId(0),
        device: DeviceId::new("press").unwrap(),
        tag: TagName::new(tag).unwrap(),
    };
    let mut pipeline = Pipeline::new(
        SiteId::new("s").unwrap(),
        vec![Rule::default()],
        Filter::default(),
        vec![declared("_events"), declared("t")],
        Arc::default(),
    );
    let lost = LinkChange {
        device: None,
        down: Some("gone".into()),
    };
    let bad = pipeline.link(lost, at(0.0));
    let tags: Vec<&str> = bad.iter().map(|one| one.series.tag.as_str()).collect();
    assert_eq!(tags, ["t"]);
}

#[test]
fn an_event_of_a_device_with_a_pseudonym_names_nobody() {
    let key = "k".repeat(32);
    let steps = format!("[[step]]\ntags = [\"truck-*/*\"]\npseudonym_key = \"{key}\"");
    let (mut pipeline, _) = pipeline("", &steps);
    let named = |device: &str| DeviceEvent {
        device: DeviceId::new(device).unwrap(),
        event: SourceEvent {
            source_node: format!("ns=2;s={device}"),
            source_name: device.to_owned(),
            condition_node: format!("ns=2;s={device}.Hot"),
            condition_name: "Hot".to_owned(),
            message: format!("{device} is hot"),
            comment: format!("{device} is looked at"),
            user: "ann".to_owned(),
            ..event(1)
        },
    };
    let readings = pipeline.events(vec![named("truck-1"), named("depot")], at(0.0));
    let hidden = carried(&readings[0]);
    assert!(!readings[0].series.device.as_str().contains("truck"));
    assert_eq!(hidden.condition_name, "Hot");
    assert!(!format!("{hidden:?}").contains("truck"), "{hidden:?}");
    assert_eq!(hidden.user, "");
    assert_eq!(carried(&readings[1]), named("depot").event);
}

/// Hands over one event after the receipt of the one before.
struct Alarms(Arc<AtomicU64>);

#[async_trait]
impl Connector for Alarms {
    fn declared(&self) -> Vec<Declared> {
        Vec::new()
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        for number in 1..=5 {
            if outlet.deliver_events(vec![of_press(number)]).await.is_err() {
                return Ok(());
            }
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        stop.cancelled().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_has_its_receipt_is_in_the_spool() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder, 0).await;
    let (receipts, values) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let alarms = Source {
        name: "alarms".to_owned(),
        connector: Box::new(Alarms(receipts.clone())),
        rules: Vec::new(),
        filter: Filter::default(),
        fingerprint: 0,
        skew: ClockSkew::default(),
        steps: StepSettings::default(),
    };
    let sources = vec![alarms, source("fan", &values, End::WhenStopped)];
    let edge = Edge::new(run(1, &[&spool]), sources);
    let (status, stop) = (edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    until(&status, 5).await;
    let durable = read(&spool).await;
    let events: Vec<SourceEvent> = durable
        .iter()
        .filter(|reading| reading.series.tag.is_of_events())
        .map(carried)
        .collect();
    assert_eq!(events, (1..=5).map(event).collect::<Vec<_>>());
    stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(receipts.load(Ordering::SeqCst), 5);
}
