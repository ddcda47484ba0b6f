//! The asyncua peer, and configurations for what it serves.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use forebay_config::Table;
use forebay_connectors::{Connector, ConnectorKeys, ConnectorKind, Context};
use forebay_connectors_conformance::{PATIENCE, Receipts, Rig};
use forebay_opcua::OpcuaKind;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// A `forebay.toml` with one connector; `keys` and the name and node of each tag.
pub(crate) fn configuration(keys: &str, tags: &[(&str, &str)]) -> String {
    let name = if keys.contains("\nname = ") {
        ""
    } else {
        "name = \"press\""
    };
    let mut text =
        format!("[[connector]]\n{name}\nkind = \"opcua\"\ndevice = \"press-3\"\n{keys}\n");
    for (name, node) in tags {
        text += &format!("[[connector.tag]]\nname = \"{name}\"\nnode = \"{node}\"\n");
    }
    text
}

/// A connector that gets its receipts.
pub(crate) fn start(keys: &str, tags: &[(&str, &str)]) -> Rig {
    Rig::start(&OpcuaKind, &configuration(keys, tags), Receipts::Given)
}

/// A server without security.
pub(crate) fn options(nodes: Json) -> Json {
    json!({"port": 0, "folder": ".", "security": ["NoSecurity"], "nodes": nodes})
}

/// The connector with a data folder of its own.
pub(crate) struct InFolder(pub(crate) PathBuf);

impl ConnectorKind for InFolder {
    fn name(&self) -> &'static str {
        OpcuaKind.name()
    }

    fn keys(&self) -> &'static ConnectorKeys {
        OpcuaKind.keys()
    }

    fn configure(
        &self,
        connector: &mut Table<'_>,
        tags: &mut [Table<'_>],
        context: &Context,
    ) -> Option<Box<dyn Connector>> {
        let context = Context {
            data_dir: self.0.clone(),
            ..context.clone()
        };
        OpcuaKind.configure(connector, tags, &context)
    }
}

/// A server in a process of its own, ended with this value.
pub(crate) struct Peer {
    pub(crate) port: u16,
    options: Json,
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    pub(crate) async fn start(options: Json) -> Self {
        let python = std::env::var("FOREBAY_TEST_PYTHON").expect(
            "FOREBAY_TEST_PYTHON is not set: name a Python that has asyncua 2.1 (pip install asyncua), or run `cargo xtask test`",
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer.py");
        let mut child = Command::new(&python)
            .arg(script)
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {python}: {error}"));
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = timeout(PATIENCE, lines.next_line())
            .await
            .expect("the peer does not start")
            .unwrap();
        let port = port
            .expect("the peer ended: is asyncua 2.1 installed?")
            .parse()
            .unwrap();
        Self {
            port,
            options,
            child,
            stdin,
            lines,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("opc.tcp://127.0.0.1:{}/forebay/", self.port)
    }

    pub(crate) async fn tell(&mut self, command: Json) -> Json {
        self.stdin
            .write_all(format!("{command}\n").as_bytes())
            .await
            .unwrap();
        let line = timeout(PATIENCE, self.lines.next_line())
            .await
            .expect("the peer does not answer")
            .unwrap();
        serde_json::from_str(&line.expect("the peer ended")).unwrap()
    }

    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// A new server on the port of the one that was killed.
    pub(crate) async fn again(&mut self, nodes: Json) {
        self.options["port"] = json!(self.port);
        self.options["nodes"] = nodes;
        *self = Self::start(self.options.clone()).await;
    }

    /// The same with other options for the server.
    pub(crate) async fn again_with(&mut self, changed: Json) {
        self.options["port"] = json!(self.port);
        for (name, option) in changed.as_object().unwrap() {
            self.options[name] = option.clone();
        }
        *self = Self::start(self.options.clone()).await;
    }

    /// Stops or continues the process, as a frozen server would.
    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("the peer runs").to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .await
                .unwrap()
                .success()
        );
    }
}
