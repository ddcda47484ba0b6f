//! Programs in Python that we did not write, told what to do line by line.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use super::python;

/// A foreign peer in Python: its first line is its port; it ends with its standard input.
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub(crate) first_line: String,
}

impl Peer {
    /// `script` is a path from the workspace's root.
    pub(crate) fn start(script: &str, options: &str) -> Self {
        let mut command = python(script);
        command
            .arg(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self {
            child,
            input,
            output,
            first_line: String::new(),
        };
        peer.first_line = peer.line();
        assert!(
            !peer.first_line.is_empty(),
            "{options}: the peer ended before it was up"
        );
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Sends one command and waits for its answer.
    pub(crate) fn ask(&mut self, command: &str) -> String {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{command}").unwrap();
        input.flush().unwrap();
        self.line()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.input = None;
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
