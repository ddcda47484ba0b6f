//! Messages without a time of their own that are taken together.

use async_trait::async_trait;
use forebay_connectors::{
    Connector, ConnectorError, Declared, LinkChange, Message, Outlet, RuleId, Sample, SampleKind,
};
use forebay_schemas::{DeviceId, Status, TagName, Timestamp, Value};
use tokio_util::sync::CancellationToken;

use super::{
    runtime::{open, read, run, until},
    steps::{at, pipeline, sample, shown},
};
use crate::{ClockSkew, Edge, Filter, Rule, Source, StepSettings, arrivals::Arrivals};

/// Delivers messages at once, one of another series and some with a time of their own, then loses its link.
struct AtOnce;

fn message(number: u64, tag: &str, event_time: Option<Timestamp>) -> Message {
    let sample = Sample {
        rule: RuleId(0),
        device: DeviceId::new("cell").unwrap(),
        tag: TagName::new(tag).unwrap(),
        event_time,
        value: Some(Value::U64(number)),
        unit: None,
        status: Status::GOOD,
        kind: SampleKind::Update,
    };
    Message {
        samples: vec![sample],
        token: None,
    }
}

const OWN: Timestamp = Timestamp::from_nanos(1_600_000_000_000_000_000);

#[async_trait]
impl Connector for AtOnce {
    fn declared(&self) -> Vec<Declared> {
        Vec::new()
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let said = [
            ("count", None),
            ("other", None),
            ("count", None),
            ("count", Some(OWN)),
            ("other", None),
            ("count", None),
        ];
        let messages = (1..)
            .zip(said)
            .map(|(number, (tag, time))| message(number, tag, time));
        outlet
            .deliver_messages(Vec::new(), messages.collect())
            .await
            .ok();
        let down = LinkChange {
            device: None,
            down: Some("gone".to_owned()),
        };
        outlet.link(down).await.ok();
        stop.cancelled().await;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_taken_together_have_times_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder, 0).await;
    let source = Source {
        name: "cells".to_owned(),
        connector: Box::new(AtOnce),
        rules: vec![Rule::default()],
        filter: Filter::default(),
        fingerprint: 0,
        skew: ClockSkew::default(),
        steps: StepSettings::default(),
    };
    // Its clock stands still.
    let edge = Edge::new(run(1, &[&spool]), vec![source]);
    let (status, stop) = (edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    until(&status, 8).await;
    stop.cancel();
    running.await.unwrap().unwrap();
    let readings = read(&spool).await;
    let now_micros = 1_700_000_001_000_000;
    let found: Vec<(i64, Option<Value>)> = readings
        .iter()
        .take(8)
        .map(|reading| (reading.event_time.micros(), reading.value.clone()))
        .collect();
    assert_eq!(
        found,
        [
            (now_micros, Some(Value::U64(1))),
            (now_micros, Some(Value::U64(2))),
            (now_micros + 1, Some(Value::U64(3))),
            (OWN.micros(), Some(Value::U64(4))),
            (now_micros + 1, Some(Value::U64(5))),
            (now_micros + 2, Some(Value::U64(6))),
            (now_micros + 3, None),
            (now_micros + 3, None),
        ]
    );
}

/// A step of one between messages that were taken together is no million a second.
#[test]
fn a_counter_whose_messages_are_taken_together_has_its_average_rate() {
    let (mut pipeline, _) = pipeline("rate = \"s\"", "");
    let mut arrivals = Arrivals::default();
    let mut found = Vec::new();
    for (second, count) in [(0.0, 5), (0.0, 6), (0.0, 7), (1.0, 8), (1.0, 9), (2.0, 11)] {
        let samples = vec![sample("cell/count", Some(Value::U64(count)))];
        let now = arrivals.of(&samples, at(second));
        let readings = pipeline.samples(samples, now);
        found.extend(readings.iter().map(shown));
    }
    assert_eq!(found, ["cell/count 3 -", "cell/count 3 -"]);
}
