//! The node-opcua peer, and configurations for what it serves.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use forebay_connectors_conformance::{PATIENCE, Receipts, Rig};
use forebay_opcua::OpcuaKind;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// A process that loads node-opcua once; its servers and it end with this value.
pub(crate) struct Node {
    process: Child,
    port: u16,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Node {
    pub(crate) fn start() -> Self {
        let home = env::var("FOREBAY_TEST_NODE_OPCUA").expect(
            "FOREBAY_TEST_NODE_OPCUA is not set: name a folder with node-opcua-server in its node_modules, or run `cargo xtask test`",
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node_peer.js");
        let mut process = Command::new("node")
            .arg(script)
            .env("NODE_PATH", Path::new(&home).join("node_modules"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run node: {error}"));
        let mut port = String::new();
        let stdout = process.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut port).unwrap();
        let port = port.trim().parse();
        Self {
            process,
            port: port.expect("the peer ended: is node-opcua-server installed?"),
        }
    }

    /// A server in this process.
    pub(crate) fn serve(&self, options: Json) -> Peer {
        let connection = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Peer {
            port: 0,
            answers: BufReader::new(connection),
        };
        let born = peer.tell(&options);
        peer.port = u16::try_from(born["port"].as_u64().unwrap()).unwrap();
        peer
    }
}

/// One server; it ends with this value.
pub(crate) struct Peer {
    pub(crate) port: u16,
    answers: BufReader<TcpStream>,
}

impl Peer {
    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    pub(crate) fn tell(&mut self, command: &Json) -> Json {
        let line = format!("{command}\n");
        self.answers.get_mut().write_all(line.as_bytes()).unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        serde_json::from_str(&answer)
            .unwrap_or_else(|error| panic!("{answer:?} to {command}: {error}"))
    }
}

/// Where a server on this port is found.
pub(crate) fn url(port: u16) -> String {
    format!("opc.tcp://127.0.0.1:{port}/forebay")
}

/// The server of most tests: it offers every policy, has small limits, and every type.
pub(crate) struct Shared {
    pub(crate) url: String,
    pub(crate) port: u16,
    _folder: TempDir,
    peer: Mutex<Peer>,
    _node: Node,
}

impl Shared {
    pub(crate) fn get() -> &'static Self {
        static SHARED: OnceLock<Shared> = OnceLock::new();
        SHARED.get_or_init(|| {
            let node = Node::start();
            let folder = tempfile::tempdir().unwrap();
            let mut options = json!({
                "folder": folder.path(),
                "security": ["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"],
                "models": true,
                "users": {"forebay": "geheim ÄÖ"},
                "limits": {"maxNodesPerRead": 3, "maxNodesPerBrowse": 2, "maxMonitoredItemsPerCall": 5},
            });
            options["nodes"] = crate::values::nodes();
            let peer = node.serve(options);
            Self {
                url: peer.url(),
                port: peer.port,
                _folder: folder,
                peer: Mutex::new(peer),
                _node: node,
            }
        })
    }

    pub(crate) fn peer(&self) -> MutexGuard<'_, Peer> {
        self.peer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connector that gets its receipts; `keys`, and the name and node of each tag.
pub(crate) fn start(keys: &str, tags: &[(&str, &str)]) -> Rig {
    let mut text = format!(
        "[[connector]]\nname = \"press\"\nkind = \"opcua\"\ndevice = \"press-3\"\n{keys}\n"
    );
    for (name, node) in tags {
        text += &format!("[[connector.tag]]\nname = \"{name}\"\nnode = \"{node}\"\n");
    }
    Rig::start(&OpcuaKind, &text, Receipts::Given)
}

/// Quick enough for a test.
pub(crate) const FAST: &str = "publishing_interval = \"100ms\"\nsampling = \"50ms\"";
