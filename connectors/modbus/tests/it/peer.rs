//! The pymodbus peer, and configurations for what it serves.

use std::{path::Path, process::Stdio};

use forebay_connectors_conformance::{PATIENCE, Receipts, Rig};
use forebay_modbus::ModbusKind;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// A connector that gets its receipts as the test reads.
pub(crate) fn start(text: &str) -> Rig {
    Rig::start(&ModbusKind, text, Receipts::WhenRead)
}

/// The head of a file; a key a line follows, then tags.
pub(crate) fn head(port: u16, keys: &str) -> String {
    head_at(&format!("tcp://127.0.0.1:{port}"), keys)
}

/// The same for any address.
pub(crate) fn head_at(url: &str, keys: &str) -> String {
    let keys = keys.replace("; ", "\n");
    format!(
        "[[connector]]\nname = \"plc\"\nkind = \"modbus\"\nurl = \"{url}\"\ndevice = \"plc\"\n{keys}\n"
    )
}

/// A tag; keys divided by "; ".
pub(crate) fn tag(name: &str, keys: &str) -> String {
    format!(
        "[[connector.tag]]\nname = \"{name}\"\n{}\n",
        keys.replace("; ", "\n")
    )
}

fn python() -> String {
    std::env::var("FOREBAY_TEST_PYTHON").expect(
        "set FOREBAY_TEST_PYTHON to a Python that has pymodbus 3.16 (pip install pymodbus==3.16.*); cargo xtask test does so",
    )
}

/// A pymodbus server; killed when dropped.
pub(crate) struct Peer {
    child: Child,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    /// 0 where it is on a serial line.
    pub(crate) port: u16,
    /// Its port, or its serial line.
    pub(crate) place: String,
}

impl Peer {
    /// Starts one on a port (0: any) with these units, each a JSON object.
    pub(crate) async fn start(port: u16, units: &[String]) -> Self {
        Self::start_over("\"transport\": \"tcp\"", port, units).await
    }

    /// The same over another transport: keys of its argument.
    pub(crate) async fn start_over(transport: &str, port: u16, units: &[String]) -> Self {
        let python = python();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer.py");
        let mut child = Command::new(&python)
            .arg(script)
            .arg(format!(
                "{{{transport}, \"port\": {port}, \"units\": [{}]}}",
                units.join(", ")
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {python}: {error}"));
        let commands = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line())
            .await
            .expect("the peer says nothing")
            .unwrap();
        let place = line.expect("the peer ended; does the Python have pymodbus 3.16?");
        Self {
            child,
            commands,
            lines,
            port: place.parse().unwrap_or_default(),
            place,
        }
    }

    /// A holding register has this value from now on.
    pub(crate) async fn write(&mut self, address: u16, value: u32) {
        let command = format!("{{\"address\": {address}, \"value\": {value}}}\n");
        self.commands.write_all(command.as_bytes()).await.unwrap();
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("the peer does not answer")
            .unwrap();
        assert_eq!(line.as_deref(), Some("ok"));
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends a signal by name, such as STOP.
    pub(crate) async fn signal(&self, name: &str) {
        let id = self.child.id().expect("the peer has ended");
        let script = format!("import os, signal; os.kill({id}, signal.SIG{name})");
        assert!(
            Command::new(python())
                .args(["-c", &script])
                .status()
                .await
                .unwrap()
                .success()
        );
    }
}

/// A unit of the peer: its values, each a JSON object, and further keys.
pub(crate) fn unit(id: u8, more: &str, values: &[String]) -> String {
    format!(
        "{{\"id\": {id}, \"values\": [{}]{more}}}",
        values.join(", ")
    )
}

/// A value of the peer; `value` is JSON.
pub(crate) fn served(register: &str, address: u16, kind: &str, order: &str, value: &str) -> String {
    format!(
        "{{\"register\": \"{register}\", \"address\": {address}, \"type\": \"{kind}\", \"order\": \"{order}\", \"value\": {value}}}"
    )
}
