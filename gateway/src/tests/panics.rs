//! A connector that panics beside one that goes on.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use forebay_connectors::{Connector, ConnectorError, Declared, Outlet, RuleId, Sample, SampleKind};
use forebay_schemas::{DeviceId, Status, TagName, Value};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::runtime::{End, open, read, run, source, until};
use crate::{ClockSkew, Edge, Filter, Rule, Source, StepSettings};

/// Delivers four samples of a part that no configuration names each time that it starts, and panics once; what it knew each time.
struct OfParts(Arc<Mutex<Vec<Vec<Declared>>>>);

fn part() -> Declared {
    Declared {
        rule: RuleId(0),
        device: DeviceId::new("parts").unwrap(),
        tag: TagName::new("t[0]").unwrap(),
    }
}

#[async_trait]
impl Connector for OfParts {
    fn declared(&self) -> Vec<Declared> {
        Vec::new()
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let starts = {
            let mut known = self.0.lock().unwrap();
            known.push(outlet.known().to_vec());
            known.len()
        };
        let Declared { rule, device, tag } = part();
        let sample = Sample {
            rule,
            device,
            tag,
            event_time: None,
            value: Some(Value::U64(1)),
            unit: None,
            status: Status::GOOD,
            kind: SampleKind::Update,
        };
        outlet.deliver(vec![sample; 4]).await.ok();
        assert!(starts > 1, "of no use");
        stop.cancelled().await;
        Ok(())
    }
}

fn of_parts(known: &Arc<Mutex<Vec<Vec<Declared>>>>) -> Source {
    Source {
        name: "parts".to_owned(),
        connector: Box::new(OfParts(known.clone())),
        rules: vec![Rule::default()],
        filter: Filter::default(),
        fingerprint: 0,
        skew: ClockSkew::default(),
        steps: StepSettings::default(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connector_that_panics_stops_alone_and_starts_again_from_its_last_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(&folder, 0).await;
    let (good, bad) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let known = Arc::default();
    let sources = vec![
        source("good", &good, End::WhenStopped),
        source("bad", &bad, End::WithPanic),
        of_parts(&known),
    ];
    let edge = Edge::new(run(1, &[&spool]), sources);
    let (status, stop) = (edge.status(), CancellationToken::new());
    let running = tokio::spawn(edge.run(stop.clone()));
    // Three values, the bad reading, three more: it has panicked twice. Of the part there are
    // four, the bad one and four.
    until(&status, 7).await;
    let before = good.load(Ordering::SeqCst);
    stop.cancel();
    timeout(Duration::from_secs(20), running)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(before >= 7, "the other goes on");
    assert_eq!(*known.lock().unwrap(), [vec![], vec![part()]]);
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
    assert_eq!(
        reason,
        "link lost: connector \"bad\": panicked, which is a defect of this program: see the log"
    );
}
