//! The suite against a connector made of code: the right one passes, and one that is wrong in a single way fails in the case for that.
//! Time is the runtime's and stands still while anything can be done.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by panicking, its helpers too"
)]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use forebay_config::{Required, Table, TableKeys};
use forebay_connectors::{
    Closed, Connector, ConnectorError, ConnectorKeys, ConnectorKind, Context, Declared, LinkChange,
    Message, Outlet, RuleId, Sample, SampleKind, SessionId, Token,
};
use forebay_connectors_conformance::{BadPoint, Loss, Memory, Point, Subject, suite};
use forebay_schemas::{DeviceId, Status, TagName, Value};
use tokio::{task::LocalSet, time::sleep};
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_millis(50);
const GOOD: Point = Point {
    device: "plc",
    tag: "good",
};
const BAD: Point = Point {
    device: "plc",
    tag: "bad",
};

const KEYS: ConnectorKeys = ConnectorKeys {
    connector: TableKeys::many("connector", "A device made of code.", &[&EVERY_KEY, &TAG]),
    tag: TAG,
};
/// The same, with a key that is a typing error.
const LOOSE_KEYS: ConnectorKeys = ConnectorKeys {
    connector: TableKeys::many(
        "connector",
        "A device made of code.",
        &[&EVERY_KEY, &EVERYY, &TAG],
    ),
    tag: TAG,
};
const TAG: TableKeys = TableKeys::many("tag", "A point.", &[&TAG_NAME]);
const EVERY_KEY: Required<Duration> = Required::new("every", "How often it is read.");
const EVERYY: Required<Duration> = Required::new("everyy", "A typing error.");
const TAG_NAME: Required<String> = Required::new("name", "The point's name.");

/// What is wrong with a connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    DeclaresNothing,
    TakesAnyKey,
    SpoilsTheGoodPoint,
    AwaitsNoReceipt,
    AcknowledgesEarly,
    OutlivesItsOutlet,
    DropsDeliveriesAtStop,
    ReportsLate,
    StaysDown,
    StopsLate,
}

#[derive(Debug, Default)]
struct Plant {
    latest: u32,
    unacknowledged: VecDeque<u32>,
    loss: Option<Loss>,
}

/// The device, and the connector for it. Clones share the plant.
#[derive(Debug, Clone)]
struct Device {
    memory: Memory,
    fault: Fault,
    plant: Arc<Mutex<Plant>>,
}

impl Device {
    fn plant(&self) -> MutexGuard<'_, Plant> {
        self.plant.lock().unwrap()
    }

    /// Reports the link, and hands over what the device says.
    async fn turn(
        &self,
        outlet: &Outlet,
        stop: &CancellationToken,
        reported: &mut Option<LinkChange>,
    ) -> Result<(), Closed> {
        let down = self.plant().loss.map(reason);
        let change = LinkChange { device: None, down };
        if reported.as_ref() != Some(&change) {
            if change.down.is_some() && self.fault == Fault::ReportsLate {
                sleep(Duration::from_secs(6)).await;
            }
            if reported.is_some() && change.down.is_none() && self.fault == Fault::StaysDown {
                return Ok(());
            }
            outlet.link(change.clone()).await?;
            *reported = Some(change.clone());
        }
        match (change.down, self.memory) {
            (Some(_), _) => Ok(()),
            (None, Memory::Session) => self.take_messages(outlet).await,
            (None, Memory::Latest | Memory::Queue) => self.poll(outlet, stop).await,
        }
    }

    async fn poll(&self, outlet: &Outlet, stop: &CancellationToken) -> Result<(), Closed> {
        let status = if self.fault == Fault::SpoilsTheGoodPoint {
            Status::bad(None, "no such point")
        } else {
            Status::GOOD
        };
        let good = sample(0, GOOD, Some(self.value(self.plant().latest)), status);
        let samples = vec![
            good,
            sample(1, BAD, None, Status::bad(None, "no such point")),
        ];
        match self.fault {
            Fault::AwaitsNoReceipt => {
                let outlet = outlet.clone();
                tokio::spawn(async move { outlet.deliver(samples).await });
                Ok(())
            }
            Fault::DropsDeliveriesAtStop => stop
                .run_until_cancelled(outlet.deliver(samples))
                .await
                .unwrap_or(Ok(())),
            _ => outlet.deliver(samples).await,
        }
    }

    async fn take_messages(&self, outlet: &Outlet) -> Result<(), Closed> {
        let numbers: Vec<u32> = self.plant().unacknowledged.iter().copied().collect();
        if numbers.is_empty() {
            return Ok(());
        }
        if self.fault == Fault::AcknowledgesEarly {
            self.plant().unacknowledged.clear();
        }
        let message = |number: &u32| Message {
            samples: vec![sample(0, GOOD, Some(self.value(*number)), Status::GOOD)],
            token: Some(Token(number.to_be_bytes().to_vec())),
        };
        outlet
            .deliver_messages(Vec::new(), numbers.iter().map(message).collect())
            .await?;
        self.plant()
            .unacknowledged
            .retain(|number| !numbers.contains(number));
        Ok(())
    }
}

#[async_trait]
impl Connector for Device {
    fn declared(&self) -> Vec<Declared> {
        let declare = |(place, point): (usize, Point)| Declared {
            rule: RuleId(place),
            device: DeviceId::new(point.device).unwrap(),
            tag: TagName::new(point.tag).unwrap(),
        };
        let points = if self.fault == Fault::DeclaresNothing {
            Vec::new()
        } else {
            Subject::declared(self)
        };
        points.into_iter().enumerate().map(declare).collect()
    }

    fn session(&self) -> Option<SessionId> {
        (self.memory == Memory::Session).then_some(SessionId([7; 16]))
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        let mut reported = None;
        while stop.run_until_cancelled(sleep(EVERY)).await.is_some() {
            let turned = self.turn(&outlet, &stop, &mut reported).await;
            if turned.is_err() && self.fault != Fault::OutlivesItsOutlet {
                return Ok(());
            }
        }
        if self.fault == Fault::StopsLate && reported.is_some_and(|change| change.down.is_some()) {
            sleep(Duration::from_secs(20)).await;
        }
        Ok(())
    }
}

impl ConnectorKind for Device {
    fn name(&self) -> &'static str {
        "made-of-code"
    }

    fn keys(&self) -> &'static ConnectorKeys {
        match self.fault {
            Fault::TakesAnyKey => &LOOSE_KEYS,
            _ => &KEYS,
        }
    }

    fn configure(
        &self,
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        _context: &Context,
    ) -> Option<Box<dyn Connector>> {
        assert_eq!(connector.read(&EVERY_KEY)?, EVERY);
        for tag in tags {
            tag.read(&TAG_NAME)?;
        }
        Some(Box::new(self.clone()))
    }
}

#[async_trait]
impl Subject for Device {
    fn kind(&self) -> &dyn ConnectorKind {
        self
    }

    fn configuration(&self, name: &str) -> String {
        format!(
            "[[connector]]\nname = \"{name}\"\nkind = \"made-of-code\"\nevery = \"50ms\"\n\
             [[connector.tag]]\nname = \"good\"\n[[connector.tag]]\nname = \"bad\"\n"
        )
    }

    fn memory(&self) -> Memory {
        self.memory
    }

    fn declared(&self) -> Vec<Point> {
        vec![GOOD, BAD]
    }

    fn good(&self) -> Point {
        GOOD
    }

    fn bad(&self) -> Option<BadPoint> {
        (self.memory == Memory::Latest).then_some(BadPoint {
            point: BAD,
            reason: "no such point",
        })
    }

    async fn say(&mut self, number: u32) {
        let mut plant = self.plant();
        plant.latest = number;
        plant.unacknowledged.push_back(number);
    }

    fn value(&self, number: u32) -> Value {
        Value::U64(u64::from(number))
    }

    fn reasons(&self, loss: Loss) -> Vec<String> {
        vec![reason(loss)]
    }

    async fn take_away(&mut self, loss: Loss) {
        self.plant().loss = Some(loss);
    }

    async fn bring_back(&mut self, _loss: Loss) {
        self.plant().loss = None;
    }
}

fn reason(loss: Loss) -> String {
    format!("the device is {loss:?}")
}

fn sample(rule: usize, point: Point, value: Option<Value>, status: Status) -> Sample {
    Sample {
        rule: RuleId(rule),
        device: DeviceId::new(point.device).unwrap(),
        tag: TagName::new(point.tag).unwrap(),
        event_time: None,
        value,
        unit: None,
        status,
        kind: SampleKind::Update,
    }
}

/// Runs the suite; answers the words of its panic.
async fn judged(memory: Memory, fault: Fault) -> Result<(), String> {
    let device = Device {
        memory,
        fault,
        plant: Arc::default(),
    };
    let judging = async move { tokio::task::spawn_local(suite(device)).await };
    LocalSet::new().run_until(judging).await.map_err(|error| {
        let panic = error.into_panic();
        panic
            .downcast::<String>()
            .map_or_else(|_| "a panic of another kind".to_owned(), |words| *words)
    })
}

#[tokio::test(start_paused = true)]
async fn a_right_connector_passes() {
    for memory in [Memory::Latest, Memory::Session] {
        assert_eq!(judged(memory, Fault::None).await, Ok(()), "{memory:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_found_by_the_case_for_it() {
    let table = [
        (
            Memory::Latest,
            Fault::DeclaresNothing,
            "the declared series are others",
        ),
        (
            Memory::Latest,
            Fault::TakesAnyKey,
            "the unknown key everyy is taken in silence",
        ),
        (
            Memory::Latest,
            Fault::SpoilsTheGoodPoint,
            "the good point is not good",
        ),
        (
            Memory::Latest,
            Fault::AwaitsNoReceipt,
            "deliveries may wait for their receipts, and they do so: ",
        ),
        (
            Memory::Session,
            Fault::AcknowledgesEarly,
            "what has no receipt comes again, once and in order",
        ),
        (
            Memory::Latest,
            Fault::OutlivesItsOutlet,
            "the connector did not end within 10s",
        ),
        (
            Memory::Latest,
            Fault::DropsDeliveriesAtStop,
            "and they do so: the connector has ended",
        ),
        (
            Memory::Latest,
            Fault::ReportsLate,
            "Gone was reported after 6.",
        ),
        (
            Memory::Latest,
            Fault::StaysDown,
            "a link that came did not come: waited 60s",
        ),
        (Memory::Latest, Fault::StopsLate, "the stop took 20"),
    ];
    for (memory, fault, expected) in table {
        let Err(found) = judged(memory, fault).await else {
            panic!("{fault:?} passes")
        };
        assert!(
            found.contains(expected),
            "{fault:?}: {expected:?} is not in {found:?}"
        );
    }
}
