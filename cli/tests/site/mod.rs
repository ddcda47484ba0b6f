//! A site under test: a folder, the binary, and foreign peers that end with it.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often a test looks again.
const LOOK: Duration = Duration::from_millis(100);

/// A folder with a configuration.
pub struct Site {
    pub folder: tempfile::TempDir,
}

impl Site {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn config(&self) -> PathBuf {
        self.path("forebay.toml")
    }

    pub fn configure(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command.arg("-c").arg(self.config()).args(args).env("NO_COLOR", "1");
        command
    }

    pub fn forebay(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts `forebay run`; its log goes to a file that is shown when something fails.
    pub fn run(&self, args: &[&str]) -> Running {
        self.run_with(args, &[])
    }

    /// As [`Site::run`], with further variables in its environment.
    pub fn run_with(&self, args: &[&str], variables: &[(&str, &str)]) -> Running {
        let log = self.path("run.log");
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = self.command(&["run"]);
        let child = command
            .args(args)
            .stderr(file)
            .stdout(Stdio::null())
            .env("FOREBAY_LOG", "warn,forebay=info")
            .envs(variables.iter().copied())
            .spawn()
            .unwrap();
        Running { child: Some(child), log }
    }

    /// The rows of a query as CSV without the header; none while the lake is not there yet.
    pub fn rows(&self, sql: &str) -> Vec<String> {
        let answered = self.forebay(&["query", sql, "--format", "csv"]);
        text(&answered.stdout).lines().skip(1).map(str::to_owned).collect()
    }

    pub fn number(&self, sql: &str) -> i64 {
        self.rows(sql).first().and_then(|row| row.parse().ok()).unwrap_or(0)
    }

    /// Exit code and last line.
    pub fn verify(&self) -> (i32, String) {
        let verified = self.forebay(&["verify"]);
        let out = text(&verified.stdout);
        (verified.status.code().unwrap(), out.lines().last().unwrap_or_default().to_owned())
    }

    /// Waits until a query answers at least so much.
    pub fn until(&self, sql: &str, least: i64, within: Duration) {
        let log = self.path("run.log");
        let mut last = 0;
        until(within, || {
            last = self.number(sql);
            last >= least
        })
        .unwrap_or_else(|()| {
            panic!(
                "{sql} answers {last} instead of {least} after {within:?}; {}",
                fs::read_to_string(log).unwrap_or_default()
            )
        });
    }
}

/// `forebay run` at work; killed when dropped.
pub struct Running {
    child: Option<Child>,
    log: PathBuf,
}

impl Running {
    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits for it to die by itself, as at a failpoint, and does `more` for it meanwhile.
    pub fn dies(mut self, mut more: impl FnMut()) {
        let mut child = self.child.take().unwrap();
        let mut status = None;
        let ended = until(Duration::from_secs(60), || {
            more();
            status = child.try_wait().unwrap();
            status.is_some()
        });
        if ended.is_err() {
            child.kill().unwrap();
            panic!("it lives on: {}", fs::read_to_string(&self.log).unwrap());
        }
        assert_eq!(status.unwrap().code(), None, "ended by a signal: {}", fs::read_to_string(&self.log).unwrap());
    }

    /// SIGTERM; it has to end by itself with 0.
    pub fn stop(mut self) {
        let mut child = self.child.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut status = None;
        let ended = until(Duration::from_secs(60), || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        if ended.is_err() {
            child.kill().unwrap();
        }
        assert_eq!(status.and_then(|status| status.code()), Some(0), "{}", fs::read_to_string(&self.log).unwrap());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// A foreign peer in Python: its first line is its port; it ends with its standard input.
pub struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub first_line: String,
}

impl Peer {
    /// `script` is a path from the workspace's root.
    pub fn start(script: &str, options: &str) -> Self {
        let python = std::env::var_os("FOREBAY_TEST_PYTHON")
            .expect("FOREBAY_TEST_PYTHON names a Python with the foreign peers: run `cargo xtask test`");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name(script);
        let mut command = Command::new(python);
        command.arg(script).arg(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut peer = Self { child, input, output, first_line: String::new() };
        peer.first_line = peer.line();
        assert!(!peer.first_line.is_empty(), "{options}: the peer ended before it was up");
        peer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Sends one command and waits for its answer.
    pub fn ask(&mut self, command: &str) -> String {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{command}").unwrap();
        input.flush().unwrap();
        self.line()
    }

    pub fn kill(mut self) {
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

/// mosquitto on loopback, with persistence in a folder.
pub struct Broker {
    child: Child,
    pub port: u16,
}

impl Broker {
    pub fn start(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        // mosquitto cannot say which port it was given: another process may be faster, then it is tried again.
        for _ in 0..10 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let config = folder.join("mosquitto.conf");
            let text = format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
                 max_queued_messages 0\nmax_inflight_messages 100\nlog_type error\n",
                folder.display()
            );
            fs::write(&config, text).unwrap();
            let program = if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" };
            let mut child = Command::new(program)
                .arg("-c")
                .arg(&config)
                .spawn()
                .expect("the tests need mosquitto (Debian: mosquitto)");
            let up = until(Duration::from_secs(10), || {
                std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() || child.try_wait().unwrap().is_some()
            });
            if up.is_ok() && child.try_wait().unwrap().is_none() {
                return Self { child, port };
            }
            child.kill().ok();
            child.wait().ok();
        }
        panic!("mosquitto does not start");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Looks until it is so.
#[expect(clippy::disallowed_methods, reason = "the test waits for other processes")]
pub fn until(within: Duration, mut is_so: impl FnMut() -> bool) -> Result<(), ()> {
    let end = Instant::now() + within;
    while !is_so() {
        if Instant::now() > end {
            return Err(());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
