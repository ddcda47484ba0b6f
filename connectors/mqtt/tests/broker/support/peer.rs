use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// A publisher: paho-mqtt in Python.
pub(crate) struct Peer {
    child: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Peer {
    /// Connects; `more` is more JSON, such as `"user": "x",`.
    pub(crate) fn connect(port: u16, version: u8, more: &str) -> Self {
        let python = std::env::var("FOREBAY_TEST_PYTHON").expect(
            "FOREBAY_TEST_PYTHON must name a Python that has paho-mqtt: \
             python3 -m venv T && T/bin/pip install paho-mqtt && export FOREBAY_TEST_PYTHON=T/bin/python",
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peer.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(format!(
                "{{{more} \"port\": {port}, \"version\": {version}}}"
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("FOREBAY_TEST_PYTHON must be a program");
        let (commands, answers) = (
            child.stdin.take(),
            BufReader::new(child.stdout.take().unwrap()),
        );
        let mut peer = Self {
            child,
            commands,
            answers,
        };
        peer.expect("ready");
        peer
    }

    /// Publishes payloads and waits until the broker has them.
    pub(crate) fn publish(&mut self, topic: &str, payloads: &[&str]) {
        let quoted: Vec<String> = payloads
            .iter()
            .map(|payload| format!("{payload:?}"))
            .collect();
        self.command(&format!(
            "\"topic\": {topic:?}, \"payloads\": [{}]",
            quoted.join(",")
        ));
    }

    /// Publishes {"v": first} to {"v": last}.
    pub(crate) fn count(&mut self, topic: &str, first: u32, last: u32) {
        self.command(&format!(
            "\"topic\": {topic:?}, \"first\": {first}, \"last\": {last}"
        ));
    }

    /// Any command.
    pub(crate) fn command(&mut self, members: &str) {
        self.send(members);
        self.expect("done");
    }

    /// Starts a command; `finish` waits for its end.
    pub(crate) fn send(&mut self, members: &str) {
        writeln!(self.commands.as_mut().unwrap(), "{{{members}}}").unwrap();
    }

    pub(crate) fn finish(&mut self) {
        self.expect("done");
    }

    fn expect(&mut self, expected: &str) {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), expected, "the publisher has failed");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.commands.take());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
