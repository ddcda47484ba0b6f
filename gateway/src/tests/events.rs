//! Events on their way: past the steps, into the spool, each with its receipt.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use forebay_connectors::{Connector, ConnectorError, Declared, DeviceEvent, LinkChange, Outlet};
use forebay_schemas::{
    DeviceId, EventForm, EventStates, Quality, Reading, SiteId, SourceEvent, Timestamp, Value,
};
use tokio_util::sync::CancellationToken;

use super::runtime::{End, open, read, run, source, until};
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
