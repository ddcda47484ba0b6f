//! The foreign peers of the connectors' tests, started and restarted.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};

use super::{
    pace::{Watch, sleep},
    process::Process,
};

/// How often a broker is started on another port that the system has chosen.
const PORTS_TRIED: usize = 10;
const BROKER_START_MAX: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

/// A peer in Python: its first line is its port or "ready"; it ends with its standard input.
pub(crate) struct Peer {
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub(crate) first_line: String,
    _process: Process,
}

impl Peer {
    /// `script` is a path from the workspace's root.
    pub(crate) fn start(
        python: &Path,
        script: &'static str,
        options: &str,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(python);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(script);
        command
            .arg(path)
            .arg(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::spawn(script, &mut command)?;
        let input = process
            .child
            .stdin
            .take()
            .context("a peer has a standard input")?;
        let output = BufReader::new(
            process
                .child
                .stdout
                .take()
                .context("a peer has a standard output")?,
        );
        let mut peer = Self {
            input,
            output,
            first_line: String::new(),
            _process: process,
        };
        peer.first_line = peer.line()?;
        ensure!(
            !peer.first_line.is_empty(),
            "{script} ended before it was up"
        );
        Ok(peer)
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Sends one command and waits for its answer.
    pub(crate) fn ask(&mut self, command: &str) -> anyhow::Result<()> {
        writeln!(self.input, "{command}")?;
        self.input.flush()?;
        ensure!(
            !self.line()?.is_empty(),
            "a peer ended in the midst of {command}"
        );
        Ok(())
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// mosquitto on loopback.
pub(crate) struct Broker {
    pub(crate) process: Process,
    pub(crate) port: u16,
}

impl Broker {
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let config = folder.join("mosquitto.conf");
        let program = if Path::new("/usr/sbin/mosquitto").exists() {
            "/usr/sbin/mosquitto"
        } else {
            "mosquitto"
        };
        // mosquitto cannot say which port it was given: another process may be faster, then it is tried again.
        for _ in 0..PORTS_TRIED {
            let port = free_port()?;
            let text = format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_type error\n"
            );
            fs::write(&config, text)?;
            let mut command = Command::new(program);
            let mut process = Process::spawn("mosquitto", command.arg("-c").arg(&config))
                .context("mosquitto is needed (Debian: mosquitto)")?;
            let watch = Watch::start();
            while watch.passed() < BROKER_START_MAX && process.check().is_ok() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Ok(Self { process, port });
                }
                sleep(LOOK);
            }
        }
        anyhow::bail!("mosquitto does not start")
    }
}
