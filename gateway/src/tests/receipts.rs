//! Receipts over crashes: each message once in each of its lanes, whatever moment the process ended at (E1).

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use async_trait::async_trait;
use forebay_connectors::{
    Connector, ConnectorError, Declared, Extent, Message, Outlet, Restored, RuleId, Sample,
    SampleKind, SessionId, Token,
};
use forebay_schemas::{DeviceId, Lane, Reading, Status, TagName, Value, wire::Outage};
use forebay_stream::{LogWriter, OpenReceipt, Receipt, ReceiptChanges, StreamError, local::Spool};
use tempfile::TempDir;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::runtime::{open, read, run};
use crate::{
    ClockSkew, Edge, Filter, GatewayError, Lanes, Rule, Source, StepSettings,
    keeper::{AcceptedReadings, Keeper},
    spool_append::{AppendUnit, appends},
};

pub(super) const SESSION: SessionId = SessionId([9; 16]);
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Devices in lane 0 and lane 1 of two.
const DEVICES: [&str; 2] = ["fan", "cell-7"];

fn sample(device: &str, number: u64) -> Sample {
    Sample {
        rule: RuleId(0),
        device: DeviceId::new(device).unwrap(),
        tag: TagName::new("t").unwrap(),
        event_time: None,
        value: Some(Value::U64(number)),
        unit: None,
        status: Status::GOOD,
        kind: SampleKind::Update,
    }
}

pub(super) fn token(number: u64) -> Token {
    Token(number.to_be_bytes().to_vec())
}

/// One sample for each device, and the message's receipt.
pub(super) fn message(number: u64, devices: &[&str]) -> Message {
    Message {
        samples: devices
            .iter()
            .map(|device| sample(device, number))
            .collect(),
        token: Some(token(number)),
    }
}

/// What the test has a connector hand over.
type Order = (Vec<Token>, Vec<Message>);

/// Hands over what the test gives it, and says when it is durable.
struct Puppet {
    orders: tokio::sync::Mutex<mpsc::Receiver<Order>>,
    durable: Arc<AtomicU64>,
    restored: Arc<Mutex<Option<Vec<Restored>>>>,
    session: Option<SessionId>,
}

#[async_trait]
impl Connector for Puppet {
    fn declared(&self) -> Vec<Declared> {
        Vec::new()
    }

    fn session(&self) -> Option<SessionId> {
        self.session
    }

    async fn run(&self, outlet: Outlet, stop: CancellationToken) -> Result<(), ConnectorError> {
        *self.restored.lock().unwrap() = Some(outlet.restored().to_vec());
        let mut orders = self.orders.lock().await;
        loop {
            let order =
                tokio::select! { order = orders.recv() => order, () = stop.cancelled() => None };
            let Some((ended, messages)) = order else {
                break;
            };
            if ended.is_empty() && messages.is_empty() {
                return Err(ConnectorError {
                    what: "its strings were cut".into(),
                    source: None,
                });
            }
            if outlet.deliver_messages(ended, messages).await.is_err() {
                break;
            }
            self.durable.fetch_add(1, SeqCst);
        }
        stop.cancelled().await;
        Ok(())
    }
}

/// The test's end of a puppet.
pub(super) struct Strings {
    orders: mpsc::Sender<Order>,
    durable: Arc<AtomicU64>,
    restored: Arc<Mutex<Option<Vec<Restored>>>>,
}

pub(super) fn puppet(session: Option<SessionId>, fingerprint: u64) -> (Strings, Source) {
    let (orders, taken) = mpsc::channel(8);
    let strings = Strings {
        orders,
        durable: Arc::default(),
        restored: Arc::default(),
    };
    let puppet = Puppet {
        orders: tokio::sync::Mutex::new(taken),
        durable: strings.durable.clone(),
        restored: strings.restored.clone(),
        session,
    };
    let source = Source {
        name: "puppet".into(),
        connector: Box::new(puppet),
        rules: vec![Rule::default()],
        filter: Filter::default(),
        skew: ClockSkew::default(),
        steps: StepSettings::default(),
        fingerprint,
    };
    (strings, source)
}

impl Strings {
    pub(super) async fn restored(&self) -> Vec<Restored> {
        until(|| self.restored.lock().unwrap().clone()).await
    }

    /// Has it fail; answers what it knows of its session once it runs again.
    pub(super) async fn fail(&self) -> Vec<Restored> {
        *self.restored.lock().unwrap() = None;
        self.order(Vec::new()).await;
        self.restored().await
    }

    /// Hands over and does not wait.
    pub(super) async fn order(&self, messages: Vec<Message>) {
        self.orders.send((Vec::new(), messages)).await.unwrap();
    }

    /// Hands over and waits until it is durable.
    pub(super) async fn deliver(&self, ended: &[u64], messages: Vec<Message>) {
        let before = self.durable.load(SeqCst);
        self.orders
            .send((
                ended.iter().map(|number| token(*number)).collect(),
                messages,
            ))
            .await
            .unwrap();
        until(|| (self.durable.load(SeqCst) > before).then_some(())).await;
    }
}

/// An edge with one puppet.
pub(super) struct Rig {
    strings: Strings,
    stop: CancellationToken,
    running: JoinHandle<Result<(), GatewayError>>,
}

impl Rig {
    fn start(run: crate::Run, session: Option<SessionId>) -> Self {
        Self::with_steps(run, session, StepSettings::default())
    }

    pub(super) fn with_steps(
        run: crate::Run,
        session: Option<SessionId>,
        steps: StepSettings,
    ) -> Self {
        let (strings, source) = puppet(session, 0);
        let source = Source { steps, ..source };
        let stop = CancellationToken::new();
        let running = tokio::spawn(Edge::new(run, vec![source]).run(stop.clone()));
        Self {
            strings,
            stop,
            running,
        }
    }

    pub(super) async fn restored(&self) -> Vec<Restored> {
        self.strings.restored().await
    }

    pub(super) async fn deliver(&self, ended: &[u64], messages: Vec<Message>) {
        self.strings.deliver(ended, messages).await;
    }

    pub(super) async fn order(&self, messages: Vec<Message>) {
        self.strings.order(messages).await;
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.running)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }

    /// As a crash does: nothing is brought to an end.
    pub(super) async fn kill(self) {
        self.running.abort();
        drop(self.running.await);
    }
}

async fn until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, looking).await.expect("it comes to pass")
}

/// The spools as they are on the disk now: those that were open may be held for a moment more.
pub(super) fn image(folder: &TempDir) -> TempDir {
    let copy = TempDir::new().unwrap();
    for lane in std::fs::read_dir(folder.path())
        .unwrap()
        .map(Result::unwrap)
    {
        let to = copy.path().join(lane.file_name());
        std::fs::create_dir(&to).unwrap();
        for file in std::fs::read_dir(lane.path()).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
    copy
}

async fn numbers(spool: &Spool) -> Vec<u64> {
    let number = |reading: Reading| {
        if let Some(Value::U64(number)) = reading.value {
            number
        } else {
            0
        }
    };
    read(spool).await.into_iter().map(number).collect()
}

pub(super) fn whole(number: u64) -> Restored {
    Restored {
        token: token(number),
        extent: Extent::Whole,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_the_connector_gets_exactly_its_open_receipts() {
    let folder = TempDir::new().unwrap();
    let spool = open(&folder, 0).await;
    let rig = Rig::start(run(1, &[&spool]), Some(SESSION));
    assert_eq!(rig.restored().await, []);
    rig.deliver(
        &[],
        (1..=3).map(|number| message(number, &["fan"])).collect(),
    )
    .await;
    // A message that gave no readings has no receipt, and no end.
    rig.deliver(
        &[],
        vec![Message {
            samples: Vec::new(),
            token: Some(token(7)),
        }],
    )
    .await;
    rig.deliver(&[2, 7], vec![message(4, &["fan"])]).await;
    rig.kill().await;
    let folder = image(&folder);
    let spool = open(&folder, 0).await;
    let rig = Rig::start(run(1, &[&spool]), Some(SESSION));
    assert_eq!(rig.restored().await, [whole(1), whole(3), whole(4)]);
    // Ends without readings behind them are recorded too: within a second, and at the end.
    rig.deliver(&[1], Vec::new()).await;
    rig.stop().await;
    assert_eq!(numbers(&spool).await, [1, 2, 3, 4]);
    let folder = image(&folder);
    let spool = open(&folder, 0).await;
    let rig = Rig::start(run(1, &[&spool]), Some(SESSION));
    assert_eq!(rig.restored().await, [whole(3), whole(4)]);
    let mark = || std::fs::read(folder.path().join("0/mark")).unwrap();
    let before = mark();
    rig.deliver(&[3], Vec::new()).await;
    until(|| (mark() != before).then_some(())).await;
    rig.kill().await;
    let folder = image(&folder);
    // Nobody has the session any more: nothing is kept for it.
    let spool = open(&folder, 0).await;
    assert_eq!(spool.opened().receipts.len(), 1);
    let rig = Rig::start(run(1, &[&spool]), None);
    assert_eq!(rig.restored().await, []);
    rig.kill().await;
    assert_eq!(open(&image(&folder), 0).await.opened().receipts, []);
}

/// Takes appends until it breaks.
struct Breaking {
    inner: Arc<dyn LogWriter>,
    broken: AtomicBool,
}

#[async_trait]
impl LogWriter for Breaking {
    async fn append_with(
        &self,
        readings: Vec<Reading>,
        receipts: ReceiptChanges,
    ) -> Result<Receipt, StreamError> {
        if self.broken.load(SeqCst) {
            return Err(StreamError::Closed);
        }
        self.inner.append_with(readings, receipts).await
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_two_lanes_leaves_the_rest_to_be_taken() {
    for broken in [0, 1] {
        let folder = TempDir::new().unwrap();
        let spools = [open(&folder, 0).await, open(&folder, 1).await];
        let mut breaking = run(2, &[&spools[0], &spools[1]]);
        let writer = Arc::new(spools[broken].writer());
        breaking.writers.insert(
            Lane(broken as u32),
            Arc::new(Breaking {
                inner: writer,
                broken: AtomicBool::new(true),
            }),
        );
        let rig = Rig::start(breaking, Some(SESSION));
        rig.strings
            .orders
            .send((Vec::new(), vec![message(1, &DEVICES)]))
            .await
            .unwrap();
        let ended = timeout(PATIENCE, rig.running).await.unwrap().unwrap();
        assert!(
            matches!(ended, Err(GatewayError::Spool { lane, .. }) if lane == broken as u32),
            "{ended:?}"
        );
        let folder = image(&folder);
        let spools = [open(&folder, 0).await, open(&folder, 1).await];
        let rig = Rig::start(run(2, &[&spools[0], &spools[1]]), Some(SESSION));
        // Lanes are written in their order: when the first breaks the second has nothing.
        let part = Restored {
            token: token(1),
            extent: Extent::Part,
        };
        assert_eq!(
            rig.restored().await,
            if broken == 0 { vec![] } else { vec![part] }
        );
        rig.deliver(&[], vec![message(1, &DEVICES), message(2, &DEVICES)])
            .await;
        rig.kill().await;
        for spool in &spools {
            assert_eq!(numbers(spool).await, [1, 2]);
        }
        let folder = image(&folder);
        let spools = [open(&folder, 0).await, open(&folder, 1).await];
        let rig = Rig::start(run(2, &[&spools[0], &spools[1]]), Some(SESSION));
        assert_eq!(rig.restored().await, [whole(1), whole(2)]);
        rig.deliver(&[1, 2], Vec::new()).await;
        rig.stop().await;
        let folder = image(&folder);
        for lane in [0, 1] {
            assert_eq!(open(&folder, lane).await.opened().receipts, []);
        }
    }
}

fn two_lanes() -> Lanes {
    Lanes(NonZeroU32::new(2).unwrap())
}

fn taken(number: u64, devices: &[&str]) -> AcceptedReadings {
    let Message { samples, token } = message(number, devices);
    let readings = samples.into_iter().map(|sample| {
        let series = forebay_schemas::Series {
            site: forebay_schemas::SiteId::new("s").unwrap(),
            device: sample.device,
            tag: sample.tag,
        };
        let at = forebay_schemas::Timestamp::from_nanos(1);
        let (value, status) = (sample.value, sample.status);
        Reading {
            series,
            event_time: at,
            observed_time: at,
            value,
            unit: None,
            status,
        }
    });
    AcceptedReadings {
        readings: readings.collect(),
        token,
    }
}

fn receipts_of(units: &BTreeMap<Lane, Vec<AppendUnit>>, lane: u32) -> Vec<OpenReceipt> {
    units[&Lane(lane)]
        .iter()
        .filter_map(|unit| unit.receipt.clone())
        .collect()
}

#[test]
fn a_receipt_ends_in_every_lane_that_has_it_and_a_stale_one_gives_way() {
    let (mut keeper, _) = Keeper::restore(Some(SESSION), two_lanes(), &BTreeMap::new());
    let units = keeper.spread(vec![taken(1, &DEVICES), taken(2, &["fan"])]);
    let (zero, one) = (receipts_of(&units, 0), receipts_of(&units, 1));
    assert_eq!((zero.len(), one.len(), &zero[0]), (2, 1, &one[0]));
    keeper.end(vec![token(1), token(2), token(3)]);
    let mut told = keeper.take_ended(Lane(0), 1);
    assert_eq!(told.len(), 1);
    let mut rest = keeper.take_all_ended();
    assert_eq!(rest.remove(&Lane(1)), Some(one.clone()));
    told.append(&mut rest[&Lane(0)].clone());
    told.sort();
    let mut expected = zero;
    expected.sort();
    assert_eq!(told, expected);
    assert_eq!(keeper.take_all_ended(), BTreeMap::new());
    // Its end was recorded in lane 0 alone, then a message of the same token went to lane 0 alone.
    let again = receipts_of(&keeper.spread(vec![taken(1, &["fan"])]), 0);
    let found = [(Lane(0), again.clone()), (Lane(1), one.clone())].into();
    let (mut keeper, restored) = Keeper::restore(Some(SESSION), two_lanes(), &found);
    assert_eq!(restored, [whole(1)]);
    assert_eq!(keeper.take_all_ended(), [(Lane(1), one)].into());
    keeper.end(vec![token(1)]);
    assert_eq!(keeper.take_all_ended(), [(Lane(0), again)].into());
}

/// However late ends are told: they end no later message of the same token.
#[test]
fn an_end_that_waits_ends_no_receipt_opened_anew() {
    let (mut keeper, _) = Keeper::restore(Some(SESSION), two_lanes(), &BTreeMap::new());
    let first = keeper.spread(vec![taken(1, &DEVICES), taken(2, &["fan"])]);
    keeper.end(vec![token(1), token(2)]);
    let again = keeper.spread(vec![taken(1, &DEVICES)]);
    assert_eq!(again[&Lane(1)], first[&Lane(1)]);
    assert_eq!(
        keeper.take_all_ended(),
        [(Lane(0), receipts_of(&first, 0)[1..].to_vec())].into()
    );
}

#[test]
fn a_part_stored_under_another_number_of_lanes_cannot_be_completed() {
    let (mut keeper, _) = Keeper::restore(Some(SESSION), two_lanes(), &BTreeMap::new());
    let receipts = receipts_of(&keeper.spread(vec![taken(1, &DEVICES)]), 0);
    let found: BTreeMap<_, _> = [(Lane(0), receipts.clone())].into();
    let four = Lanes(NonZeroU32::new(4).unwrap());
    let (mut keeper, restored) = Keeper::restore(Some(SESSION), four, &found);
    assert_eq!((restored, keeper.take_all_ended()), (Vec::new(), found));
    let both: BTreeMap<_, _> = [(Lane(0), receipts.clone()), (Lane(1), receipts)].into();
    let (mut keeper, restored) = Keeper::restore(Some(SESSION), four, &both);
    assert_eq!(restored, [whole(1)], "a whole one is whole");
    keeper.end(vec![token(1)]);
    assert_eq!(
        keeper.take_all_ended(),
        both,
        "its end is told as it was stored"
    );
}

#[test]
fn a_message_stays_in_one_append_unless_it_is_too_large_for_any() {
    let unit = |number: u64, count: usize| {
        let receipt = OpenReceipt {
            owner: [1; 16],
            token: vec![number as u8],
        };
        AppendUnit {
            readings: vec![taken(number, &["fan"]).readings.remove(0); count],
            receipt: Some(receipt),
        }
    };
    // Readings and receipts of a append.
    type Shape = (usize, usize);
    let shape = |append: &crate::spool_append::SpoolAppend| -> Shape {
        (append.readings().len(), append.receipts().len())
    };
    let table: [(&[usize], &[Shape]); 5] = [
        (&[2, 2], &[(4, 2)]),
        (&[3, 3, 1], &[(3, 1), (4, 2)]),
        (&[1, 9, 1], &[(1, 1), (4, 0), (4, 0), (2, 2)]),
        (&[4], &[(4, 1)]),
        (&[], &[]),
    ];
    for (sizes, expected) in table {
        let units = sizes
            .iter()
            .zip(0..)
            .map(|(size, number)| unit(number, *size))
            .collect();
        let found: Vec<_> = appends(units, 4).iter().map(shape).collect();
        assert_eq!(found, expected, "{sizes:?}");
    }
    let mut three = appends(vec![unit(1, 3), unit(2, 1), unit(3, 2)], 100);
    let [head, tail] = three.pop().unwrap().halves().unwrap();
    assert_eq!((shape(&head), shape(&tail)), ((3, 1), (3, 2)));
    let [first, last] = head.halves().unwrap();
    assert_eq!(
        (shape(&first), shape(&last)),
        ((1, 0), (2, 1)),
        "the receipt is with the last reading"
    );
    assert_eq!(first.clone().halves(), Err(first));
}
