//! Sparkplug B against an edge node in Python (paho-mqtt, protobuf) and mosquitto.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use forebay_connectors::Sample;
use forebay_connectors_conformance::{Kept, Receipts, Rig, samples_of};
use forebay_mqtt::MqttKind;
use forebay_schemas::{Quality, Value};

use crate::support::Broker;

/// An edge node.
struct Edge {
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    _descriptors: tempfile::TempDir,
}

impl Edge {
    fn start(port: u16, node: &str, session: u32) -> Self {
        let python = std::env::var("FOREBAY_TEST_PYTHON")
            .expect("FOREBAY_TEST_PYTHON must name a Python that has paho-mqtt and protobuf");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let descriptors = tempfile::tempdir().unwrap();
        let file = descriptors.path().join("sparkplug.bin");
        let set = protox::compile(["sparkplug_b.proto"], [here.join("src/sparkplug")]).unwrap();
        std::fs::write(&file, prost::Message::encode_to_vec(&set)).unwrap();
        let mut child = Command::new(python)
            .arg(here.join("tests/sparkplug_peer.py"))
            .arg(file)
            .arg(format!(
                "{{\"port\": {port}, \"node\": \"{node}\", \"session\": {session}}}"
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("FOREBAY_TEST_PYTHON must be a program");
        let commands = child.stdin.take().unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        let mut edge = Self {
            child,
            commands,
            answers,
            _descriptors: descriptors,
        };
        edge.expect("ready");
        edge
    }

    fn command(&mut self, members: &str) {
        writeln!(self.commands, "{{{members}}}").unwrap();
        self.expect("done");
    }

    fn expect(&mut self, expected: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), expected, "the edge node has failed");
    }

    fn publish(&mut self, kind: &str, device: &str, metrics: &str) {
        let device = match device {
            "" => String::new(),
            device => format!("\"device\": \"{device}\", "),
        };
        self.command(&format!(
            "\"do\": \"publish\", \"kind\": \"{kind}\", {device}\"metrics\": [{metrics}]"
        ));
    }

    /// Births of the node and of its device.
    fn be_born(&mut self) {
        self.publish(
            "NBIRTH",
            "",
            r#"{"name": "temp", "alias": 1, "type": "Double", "value": 20.5}"#,
        );
        let metrics = r#"{"name": "Line 1/rpm", "alias": 2, "type": "Int16", "value": -3},
                         {"name": "state", "type": "String", "value": "idle", "quality": 192}"#;
        self.publish("DBIRTH", "press", &metrics.replace('\n', " "));
    }

    fn rpm(&mut self, value: i64) {
        self.publish(
            "DDATA",
            "press",
            &format!(r#"{{"alias": 2, "type": "Int16", "value": {value}, "ts": 1795967340000}}"#),
        );
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn start(port: u16, folder: &Path, more: &str) -> Rig {
    let text = format!(
        "[[connector]]\nname = \"plant\"\nkind = \"mqtt\"\nurl = \"mqtt://127.0.0.1:{port}\"\n\
         format = \"sparkplug_b\"\n{more}\n[[connector.tag]]\nmetric = \"*\"\n"
    );
    Rig::start_in(folder, &MqttKind, &text, Receipts::Given)
}

/// A sample in one line: `device tag = value`, and its quality where it is not good.
pub(crate) fn line(sample: &Sample) -> String {
    let value = match &sample.value {
        None => "none".to_owned(),
        Some(Value::Bytes(_)) => "bytes".to_owned(),
        Some(value) => format!("{value:?}"),
    };
    let quality = match sample.status.quality {
        Quality::Good => String::new(),
        quality => format!(" {quality:?}"),
    };
    format!("{} {} = {value}{quality}", sample.device, sample.tag)
}

async fn lines_since(gateway: &Rig, from: usize, count: usize) -> Vec<String> {
    let samples = gateway.samples_since(from, count).await;
    samples.iter().map(line).collect()
}

const BORN: [&str; 3] = [
    "plant/n1 temp = F64(20.5)",
    "plant/n1/press Line 1/rpm = I64(-3)",
    "plant/n1/press state = Text(\"idle\")",
];

#[tokio::test(flavor = "multi_thread")]
async fn births_data_gaps_and_deaths_of_an_edge_node() {
    let broker = Broker::start("allow_anonymous true");
    let data = tempfile::tempdir().unwrap();
    for version in [4, 5] {
        let folder = data.path().join(version.to_string());
        let more = format!("version = {version}");
        let gateway = start(broker.port, &folder, &more);
        gateway.until_up().await;
        let mut edge = Edge::start(broker.port, "n1", 4);
        edge.be_born();
        assert_eq!(lines_since(&gateway, 0, 3).await, BORN);
        let from = gateway.count();
        edge.rpm(-200);
        assert_eq!(
            lines_since(&gateway, from, 1).await,
            ["plant/n1/press Line 1/rpm = I64(-200)"]
        );
        let last = gateway.samples().pop().unwrap();
        assert_eq!(
            last.event_time.map(|time| time.nanos()),
            Some(1_795_967_340_000_000_000)
        );

        // A message is lost: doubt until the births that the host asks for.
        let from = gateway.count();
        edge.command("\"do\": \"skip\"");
        edge.rpm(7);
        edge.command("\"do\": \"wait_for_rebirth\"");
        edge.be_born();
        edge.rpm(8);
        let lines = lines_since(&gateway, from, 5).await;
        assert_eq!(lines[0], "plant/n1/press Line 1/rpm = I64(7) Uncertain");
        assert_eq!(lines[1..4], BORN);
        assert_eq!(lines[4], "plant/n1/press Line 1/rpm = I64(8)");

        // The gateway starts again: births come from its folder, and what holds now is asked for.
        gateway.stop().await;
        let gateway = start(broker.port, &folder, &more);
        gateway.until_up().await;
        edge.rpm(9);
        assert_eq!(
            lines_since(&gateway, 0, 1).await,
            ["plant/n1/press Line 1/rpm = I64(9)"]
        );
        edge.command("\"do\": \"wait_for_rebirth\"");

        let from = gateway.count();
        drop(edge);
        assert_eq!(
            lines_since(&gateway, from, 3).await,
            [
                "plant/n1 temp = none Bad",
                "plant/n1/press Line 1/rpm = none Bad",
                "plant/n1/press state = none Bad",
            ]
        );
        gateway.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_knows_is_asked_for_its_births() {
    let broker = Broker::start("allow_anonymous true");
    let data = tempfile::tempdir().unwrap();
    let mut edge = Edge::start(broker.port, "n1", 0);
    edge.be_born();
    let gateway = start(broker.port, data.path(), "");
    gateway.until_up().await;
    edge.rpm(1);
    edge.command("\"do\": \"wait_for_rebirth\"");
    edge.be_born();
    // What it said before the gateway listened may come a little late.
    let born = |kept: &[Kept]| {
        let lines: Vec<_> = samples_of(kept).iter().map(line).collect();
        lines.ends_with(&BORN.map(str::to_owned)).then_some(lines)
    };
    let lines = gateway.until("its births", 0, born).await;
    assert_eq!(lines[0], "plant/n1/press payload = bytes Bad");
    gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_a_host_is_published_and_defended() {
    let broker = Broker::start("allow_anonymous true");
    let data = tempfile::tempdir().unwrap();
    let mut edge = Edge::start(broker.port, "n1", 0);
    for version in [4, 5] {
        let more = format!("version = {version}\nhost_id = \"forebay\"");
        let gateway = start(broker.port, data.path(), &more);
        let online = "\"do\": \"wait_for_state\", \"online\": true";
        let offline = "\"do\": \"wait_for_state\", \"online\": false";
        edge.command(online);
        // Another's word, as the late will of an earlier connection.
        edge.command("\"do\": \"say_state\", \"state\": {\"online\": false, \"timestamp\": 1}");
        edge.command(offline);
        edge.command(online);
        gateway.stop().await;
        edge.command(offline);
        let gateway = start(broker.port, data.path(), &more);
        edge.command(online);
        gateway.kill().await;
        edge.command(offline);
    }
}
