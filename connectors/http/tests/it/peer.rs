//! Clients, and configurations for what they post.

use std::{net::TcpListener as StdListener, path::Path, process::Stdio};

use forebay_connectors_conformance::{PATIENCE, Receipts, Rig};
use forebay_http::HttpKind;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A file with this connector; keys, then tags.
pub(crate) fn file(name: &str, port: u16, keys: &str, tags: &[&str]) -> String {
    let tags: String = tags
        .iter()
        .map(|tag| format!("[[connector.tag]]\n{tag}\n"))
        .collect();
    format!(
        "[[connector]]\nname = \"{name}\"\nkind = \"http\"\nlisten = \"127.0.0.1:{port}\"\n{keys}\n{tags}"
    )
}

/// A connector that listens.
pub(crate) async fn listening(port: u16, keys: &str, tags: &[&str], receipts: Receipts) -> Rig {
    let rig = Rig::start(&HttpKind, &file("push", port, keys, tags), receipts);
    rig.until_up().await;
    rig
}

/// What a raw request is answered with: status and body.
pub(crate) async fn asked(port: u16, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // A server that refuses early may close before it has read all.
    stream.write_all(request).await.ok();
    answered(&mut stream).await
}

/// A response up to the end of its connection or its content.
pub(crate) async fn answered(stream: &mut (impl AsyncReadExt + Unpin)) -> (u16, String) {
    let mut bytes = Vec::new();
    let reading = async {
        let mut part = [0; 1024];
        loop {
            let count = stream.read(&mut part).await.unwrap_or(0);
            bytes.extend_from_slice(&part[..count]);
            if count == 0 || is_whole(&bytes) {
                return;
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("no answer");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.unwrap_or(0), body.to_owned())
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length
            .then(|| value.trim().parse::<usize>().ok())
            .flatten()
    });
    body.len() >= length.unwrap_or(0)
}

/// A POST as its bytes.
pub(crate) fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: gateway\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Python's http.client; killed when dropped.
pub(crate) struct Peer {
    _child: Child,
    commands: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    pub(crate) fn start(port: u16) -> Self {
        let python = std::env::var("FOREBAY_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer.py");
        let mut child = Command::new(&python)
            .arg(script)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {python}: {error}"));
        let commands = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            _child: child,
            commands,
            lines,
        }
    }

    /// Posts after all that was posted before, and does not wait for the answer.
    pub(crate) async fn post(&mut self, path: &str, body: &str) {
        let line = self.command(path, body, "").await;
        assert_eq!(line, "ok");
    }

    /// Posts and waits for status and body.
    pub(crate) async fn ask(&mut self, path: &str, body: &str) -> String {
        self.command(path, body, ", \"answer\": true").await
    }

    async fn command(&mut self, path: &str, body: &str, more: &str) -> String {
        let body = body
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let command = format!("{{\"path\": \"{path}\", \"body\": \"{body}\"{more}}}\n");
        self.commands.write_all(command.as_bytes()).await.unwrap();
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        line.expect("the peer does not answer")
            .unwrap()
            .expect("the peer has ended")
    }
}
