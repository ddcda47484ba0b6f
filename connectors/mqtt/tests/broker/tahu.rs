//! Sparkplug B against edge nodes by Eclipse Tahu, the reference implementation, through mosquitto. One JVM for all.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use forebay_connectors::{Sample, SampleKind};
use forebay_connectors_conformance::{Kept, Rig, samples_of};

use crate::{
    sparkplug::{line, start},
    support::Broker,
};

/// When the nodes took their values.
const TAKEN_MILLIS: i64 = 1_795_967_340_000;

/// Edge nodes in one process.
struct Nodes {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Nodes {
    fn start() -> Self {
        let folder = std::env::var_os("FOREBAY_TEST_TAHU").map(PathBuf::from).expect(
            "FOREBAY_TEST_TAHU must name a folder with the jars of Eclipse Tahu and the compiled TahuNodes.java: \
             `cargo xtask test` makes it and sets it",
        );
        let class_path = format!("{0}/*:{0}/classes", folder.display());
        let mut child = Command::new("java")
            .args(["-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", &class_path])
            .arg("TahuNodes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("java is needed: apt-get install default-jre-headless");
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut nodes = Self {
            child,
            commands,
            answers,
        };
        nodes.expect("ready");
        nodes
    }

    /// Does something, such as `rpm n1`.
    fn tell(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
        self.expect("done");
    }

    fn expect(&mut self, expected: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), expected, "the edge nodes have failed");
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a node and its device say in their births, but for the device's names.
const OF_NODE: [&str; 36] = [
    "node/temp = F64(20.5)",
    "int8 = I64(-5)",
    "int16 = I64(-30000)",
    "int32 = I64(-2147483648)",
    "int64 = I64(-9223372036854775808)",
    "uint8 = I64(200)",
    "uint16 = I64(60000)",
    "uint32 = I64(4000000000)",
    "uint64 = U64(18446744073709551615)",
    "float = F64(0.5)",
    "boolean = Bool(true)",
    "datetime = I64(1795967340000)",
    "text = Text(\"größer\")",
    "uuid = Text(\"2f1b8a55-9a2e-4d0e-8f1e-0c5a3f6f9a01\")",
    "bytes = bytes",
    "file = bytes",
    "int8s/0 = I64(1)",
    "int8s/1 = I64(-1)",
    "int16s/0 = I64(-2)",
    "int32s/0 = I64(-3)",
    "int64s/0 = I64(-4)",
    "uint8s/0 = I64(250)",
    "uint16s/0 = I64(65000)",
    "uint32s/0 = I64(4000000000)",
    "uint64s/0 = U64(18446744073709551615)",
    "floats/0 = F64(1.5)",
    "doubles/0 = F64(2.5)",
    "booleans/0 = Bool(true)",
    "booleans/1 = Bool(false)",
    "strings/0 = Text(\"ab\")",
    "strings/1 = Text(\"c\")",
    "dates/0 = I64(1795967340000)",
    "recipe/0/step = I64(-1)",
    "recipe/0/temp = F64(80.5)",
    "motor/rpm = I64(-1)",
    "motor/label = Text(\"drive\")",
];
const OF_DEVICE: [&str; 4] = [
    "Line 1/rpm = I64(-3)",
    "state = Text(\"idle\")",
    "unknown = none Bad",
    "broken = F64(1.0) Bad",
];
const SERIES: usize = OF_NODE.len() + OF_DEVICE.len();

fn born(node: &str) -> Vec<String> {
    let of_node = OF_NODE.iter().map(|value| format!("plant/{node} {value}"));
    let of_device = OF_DEVICE
        .iter()
        .map(|value| format!("plant/{node}/press {value}"));
    of_node.chain(of_device).collect()
}

/// Tahu keeps metrics in a hash map.
fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn lines(samples: &[Sample]) -> Vec<String> {
    samples.iter().map(line).collect()
}

async fn lines_since(gateway: &Rig, from: usize, count: usize) -> Vec<String> {
    lines(&gateway.samples_since(from, count).await)
}

/// The births of a node come among other samples since `from`; its device's come last.
async fn births_since(gateway: &Rig, from: usize, node: &str) {
    let of_node = |kept: &[Kept]| {
        let samples = samples_of(kept).into_iter().filter(|sample| {
            sample.kind == SampleKind::Snapshot
                && (sample.device.as_str() == format!("plant/{node}")
                    || sample.device.as_str() == format!("plant/{node}/press"))
        });
        let samples: Vec<Sample> = samples.take(SERIES).collect();
        (samples.len() == SERIES).then(|| lines(&samples))
    };
    let found = gateway.until("the births", from, of_node).await;
    assert_eq!(sorted(found), sorted(born(node)));
}

fn at_millis(sample: &Sample) -> Option<i64> {
    sample.event_time.map(|time| time.nanos() / 1_000_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn edge_nodes_of_eclipse_tahu_are_read_and_led() {
    let broker = Broker::start("allow_anonymous true");
    let data = tempfile::tempdir().unwrap();
    let host = "host_id = \"forebay\"";
    let mut nodes = Nodes::start();
    nodes.tell(&format!("start n1 {} forebay", broker.port));
    nodes.tell("expect_silence n1");

    // It is born once its host says that it is online.
    let gateway = start(broker.port, data.path(), host);
    gateway.until_up().await;
    births_since(&gateway, 0, "n1").await;
    nodes.tell("wait_for_births n1");
    let samples = gateway.samples();
    assert!(
        samples[..OF_NODE.len()]
            .iter()
            .all(|sample| at_millis(sample) == Some(TAKEN_MILLIS)),
        "{samples:?}"
    );
    data_come_by_alias(&gateway, &mut nodes).await;
    what_is_missing_is_asked_for(&gateway, &mut nodes, broker.port).await;

    // The gateway ends: one node waits for it, the other goes on, and is asked what holds once the gateway is back.
    gateway.stop().await;
    nodes.tell("wait_until_offline n1");
    nodes.tell("forget_births n1");
    nodes.tell("rpm n2");
    let gateway = start(broker.port, data.path(), host);
    gateway.until_up().await;
    births_since(&gateway, 0, "n2").await;
    births_since(&gateway, 0, "n1").await;

    let from = gateway.count();
    nodes.tell("device_death n2");
    let dead = |node: &str, of: &[&str]| -> Vec<String> {
        let tags = of.iter().filter_map(|value| value.split_once(" = "));
        tags.map(|(tag, _)| format!("plant/{node} {tag} = none Bad"))
            .collect()
    };
    let found = lines_since(&gateway, from, OF_DEVICE.len()).await;
    assert_eq!(sorted(found), sorted(dead("n2/press", &OF_DEVICE)));

    // Both die without a word.
    let from = gateway.count();
    drop(nodes);
    let found = lines_since(&gateway, from, 2 * SERIES).await;
    let expected = ["n1", "n2"].iter().flat_map(|node| {
        let of_device = dead(&format!("{node}/press"), &OF_DEVICE);
        dead(node, &OF_NODE).into_iter().chain(of_device)
    });
    assert_eq!(sorted(found), sorted(expected.collect()));
    gateway.stop().await;
}

async fn data_come_by_alias(gateway: &Rig, nodes: &mut Nodes) {
    let from = gateway.count();
    nodes.tell("data n1");
    let samples = gateway.samples_since(from, 5).await;
    assert_eq!(
        lines(&samples),
        [
            "plant/n1 node/temp = F64(21.25)",
            "plant/n1 int8 = I64(-6)",
            "plant/n1 motor/rpm = I64(-3)",
            "plant/n1/press Line 1/rpm = I64(-200)",
            "plant/n1/press state = Text(\"busy\") Uncertain",
        ]
    );
    assert_eq!(samples[3].unit.as_deref(), Some("{rev}/min"));
    assert_eq!(samples[4].status.code, Some(500));
    let from = gateway.count();
    nodes.tell("history n1");
    let samples = gateway.samples_since(from, 2).await;
    let times = samples.iter().map(at_millis).collect::<Vec<_>>();
    assert_eq!(times, [Some(TAKEN_MILLIS + 1), Some(TAKEN_MILLIS + 2)]);
    let kinds = samples.iter().map(|sample| sample.kind);
    assert!(kinds.into_iter().all(|kind| kind == SampleKind::Update));
}

async fn what_is_missing_is_asked_for(gateway: &Rig, nodes: &mut Nodes, port: u16) {
    // A message is lost.
    let from = gateway.count();
    nodes.tell("skip n1");
    nodes.tell("rpm n1");
    let doubted = lines_since(gateway, from, 1).await;
    assert_eq!(doubted, ["plant/n1/press Line 1/rpm = I64(7) Uncertain"]);
    nodes.tell("wait_for_request n1");
    births_since(gateway, from, "n1").await;
    let from = gateway.count();
    nodes.tell("rpm n1");
    let good = lines_since(gateway, from, 1).await;
    assert_eq!(good, ["plant/n1/press Line 1/rpm = I64(7)"]);

    // A node without a host of its own, names instead of aliases, and compressed payloads.
    let from = gateway.count();
    nodes.tell(&format!("start n2 {port} -"));
    births_since(gateway, from, "n2").await;
    let from = gateway.count();
    nodes.tell("compressed n2");
    let temperatures = [1.0, 2.0, 3.0].map(|value| format!("plant/n2 node/temp = F64({value:?})"));
    assert_eq!(lines_since(gateway, from, 3).await, temperatures);

    // A device without a birth.
    let from = gateway.count();
    nodes.tell("ghost n2");
    let unknown = gateway.samples_since(from, 1).await;
    assert_eq!(lines(&unknown), ["plant/n2/ghost payload = bytes Bad"]);
    let reason = unknown[0].status.reason.as_deref().unwrap_or_default();
    assert!(reason.contains("no birth names the alias 99"), "{reason}");
    nodes.tell("wait_for_request n2");
    births_since(gateway, from, "n2").await;
}
