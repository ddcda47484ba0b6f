//! The asyncua peer, and configurations for what it serves.

use std::{
    io::BufRead,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
};

use forebay_config::Table;
use forebay_connectors::{Connector, ConnectorKeys, ConnectorKind, Context};
use forebay_connectors_conformance::{PATIENCE, Receipts, Rig};
use forebay_opcua::OpcuaKind;
use serde_json::{Value as Json, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
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

/// The process whose forks are the servers: a Python takes seconds to load asyncua, a fork of one that has takes none. It ends with
/// the tests, and all servers with it.
struct Nursery {
    port: u16,
    _process: Child,
}

impl Nursery {
    fn get() -> &'static Self {
        static NURSERY: OnceLock<Nursery> = OnceLock::new();
        NURSERY.get_or_init(Self::start)
    }

    fn start() -> Self {
        let python = std::env::var("FOREBAY_TEST_PYTHON").expect(
            "FOREBAY_TEST_PYTHON is not set: name a Python that has asyncua 2.1 (pip install asyncua), or run `cargo xtask test`",
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer.py");
        let mut process = Command::new(&python)
            .arg(script)
            .arg("nursery")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {python}: {error}"));
        let mut port = String::new();
        let stdout = process.stdout.take().unwrap();
        std::io::BufReader::new(stdout)
            .read_line(&mut port)
            .unwrap();
        let port = port.trim().parse();
        Self {
            port: port.expect("the peer ended: is asyncua 2.1 installed?"),
            _process: process,
        }
    }
}

/// A server in a process of its own, ended with this value.
pub(crate) struct Peer {
    pub(crate) port: u16,
    options: Json,
    /// None while it is not born: 0 would be this process and its kin.
    process: Option<u64>,
    commands: OwnedWriteHalf,
    answers: Lines<BufReader<OwnedReadHalf>>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // One that was stopped does not see the end of its connection.
        if let Some(pid) = self.process {
            let kill = Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .status();
            kill.ok();
        }
    }
}

impl Peer {
    pub(crate) async fn start(options: Json) -> Self {
        let connection = TcpStream::connect(("127.0.0.1", Nursery::get().port));
        let (answers, commands) = connection.await.unwrap().into_split();
        let mut peer = Self {
            port: 0,
            options: Json::Null,
            process: None,
            commands,
            answers: BufReader::new(answers).lines(),
        };
        let born = peer.tell(options.clone()).await;
        let number = |name: &str| born[name].as_u64().unwrap();
        peer.port = u16::try_from(number("port")).unwrap();
        peer.process = Some(number("pid"));
        peer.options = options;
        peer
    }

    pub(crate) fn url(&self) -> String {
        format!("opc.tcp://127.0.0.1:{}/forebay/", self.port)
    }

    pub(crate) async fn tell(&mut self, command: Json) -> Json {
        self.commands
            .write_all(format!("{command}\n").as_bytes())
            .await
            .unwrap();
        let line = timeout(PATIENCE, self.answers.next_line())
            .await
            .expect("the peer does not answer")
            .unwrap();
        serde_json::from_str(&line.expect("the peer ended")).unwrap()
    }

    pub(crate) async fn kill(&mut self) {
        self.signal("-KILL");
        let end = timeout(PATIENCE, self.answers.next_line()).await;
        let end = end.expect("the peer does not end");
        assert!(!matches!(end, Ok(Some(_))), "the peer answers: {end:?}");
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

    /// Stops, continues or ends the process, as a frozen or a dying server would.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.process.expect("the peer runs").to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        assert!(status.unwrap().success());
    }
}
