//! A site under test: a folder, the binary, and foreign peers that end with it.

#[allow(dead_code, reason = "the MQTT connector's tests have it do more")]
#[path = "../../../../connectors/mqtt/tests/broker/support/broker.rs"]
mod broker;
mod link;
mod peer;
mod python;

use std::{
    fs,
    net::TcpListener,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

pub(crate) use broker::{Broker, password_file};
pub(crate) use link::Link;
pub(crate) use peer::Peer;
pub(crate) use python::{S3_USER, asked_of_bucket, interpreter, python};

/// By which signal a failpoint ends a process.
pub(crate) const SIGKILL: i32 = rustix::process::Signal::KILL.as_raw();
/// Debian's libfaketime; `$LIB` is ld.so(8)'s.
const FAKETIME: &str = "/usr/$LIB/faketime/libfaketime.so.1";
/// How often a test looks again.
const LOOK: Duration = Duration::from_millis(100);

/// Held by a test that keeps the whole machine busy: there is one at a time.
pub(crate) struct Alone {
    _one: MutexGuard<'static, ()>,
}

impl Alone {
    /// Waits for its turn.
    pub(crate) fn at_last() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        Self {
            _one: ONE.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }
}

/// A folder with a configuration.
pub(crate) struct Site {
    pub(crate) folder: tempfile::TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Bytes of all files in a folder; 0 while it is not there.
    pub(crate) fn bytes(&self, folder: &str) -> u64 {
        bytes_in(&self.path(folder))
    }

    /// Bytes of the spool that are not zero: segments are as long as they may get from the beginning.
    pub(crate) fn spooled(&self) -> usize {
        let bytes = files(&self.path("data/spool"))
            .into_iter()
            .filter_map(|file| fs::read(file).ok());
        bytes.flatten().filter(|byte| *byte != 0).count()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("forebay.toml")
    }

    pub(crate) fn configure(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
        command
            .arg("-c")
            .arg(self.config())
            .args(args)
            .env("NO_COLOR", "1");
        command
    }

    pub(crate) fn forebay(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts `forebay run`; its log goes to a file that is shown when something fails.
    pub(crate) fn run(&self, args: &[&str]) -> Running {
        self.run_with(args, &[])
    }

    /// The same with more in its environment.
    pub(crate) fn run_with(&self, args: &[&str], environment: &[(&str, &str)]) -> Running {
        let mut command = self.command(&["run"]);
        command.args(args).envs(environment.iter().copied());
        self.started(command)
    }

    /// Starts `forebay run` under a clock that is set otherwise, such as "+1d" or "@2020-01-01 00:00:00" (faketime(1)).
    pub(crate) fn run_at(&self, clock: &str, args: &[&str]) -> Running {
        // The library and not the program, which stays between a test's signals and the gateway.
        let faked = [
            ("LD_PRELOAD", FAKETIME),
            ("FAKETIME", clock),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        self.run_with(args, &faked)
    }

    fn started(&self, mut command: Command) -> Running {
        let log = self.path("run.log");
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = command
            .stderr(file)
            .stdout(Stdio::null())
            .env("FOREBAY_LOG", "warn,forebay=info,forebay_compactor=debug")
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running {
            child: Some(child),
            log,
        }
    }

    /// What `forebay run` has said so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("run.log")).unwrap_or_default()
    }

    /// The rows of a query as CSV without the header, or what it says when it fails.
    fn answer(&self, sql: &str) -> Result<Vec<String>, String> {
        let answered = self.forebay(&["query", sql, "--format", "csv"]);
        match answered.status.success() {
            true => Ok(text(&answered.stdout)
                .lines()
                .skip(1)
                .map(str::to_owned)
                .collect()),
            false => Err(text(&answered.stderr)),
        }
    }

    /// The rows of a query, which has to succeed.
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        self.answer(sql)
            .unwrap_or_else(|said| panic!("{sql}: {said}; {}", self.log()))
    }

    /// The one number that a query answers, which has to succeed.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        let rows = self.rows(sql);
        rows.concat()
            .parse()
            .unwrap_or_else(|_| panic!("{sql} answers {rows:?}"))
    }

    /// The same, for who asks again: 0 while there is no lake, or none can be reached.
    pub(crate) fn number_yet(&self, sql: &str) -> i64 {
        number_in(&self.answer(sql)).unwrap_or(0)
    }

    /// Exit code and last line.
    pub(crate) fn verify(&self) -> (i32, String) {
        let verified = self.forebay(&["verify"]);
        let out = text(&verified.stdout);
        (
            verified.status.code().unwrap(),
            out.lines().last().unwrap_or_default().to_owned(),
        )
    }

    /// What `verify` says of each lane's ledger, summed up: received, committed, quarantined, expired, pending and missing.
    pub(crate) fn ledger(&self) -> [u64; 6] {
        let out = text(&self.forebay(&["verify"]).stdout);
        let mut sums = [0; 6];
        for line in out.lines().filter(|line| line.starts_with("ledger ")) {
            let names = [
                "received",
                "committed",
                "quarantined",
                "expired",
                "pending",
                "missing",
            ];
            for (name, sum) in names.iter().zip(&mut sums) {
                let value = line
                    .split(' ')
                    .find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
                *sum += value
                    .and_then(|value| value.parse::<u64>().ok())
                    .unwrap_or_else(|| panic!("{name}: {out}"));
            }
        }
        sums
    }

    /// Waits until a query answers at least so much.
    pub(crate) fn until(&self, sql: &str, least: i64, within: Duration) {
        let mut last = Ok(Vec::new());
        until(within, || {
            let asked = now();
            last = self.answer(sql);
            let is_so = number_in(&last).is_some_and(|number| number >= least);
            if !is_so {
                // A question costs a process: half of the time is left to those who are waited for.
                pause(asked.elapsed());
            }
            is_so
        })
        .unwrap_or_else(|()| {
            panic!(
                "{sql} answers {last:?} instead of {least} after {within:?}; {}",
                self.log()
            );
        });
    }
}

/// `forebay run` at work; killed when dropped.
pub(crate) struct Running {
    child: Option<Child>,
    log: PathBuf,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// How it ended, if it ends unasked within this time.
    pub(crate) fn ended_within(&mut self, within: Duration) -> Option<ExitStatus> {
        let child = self.child.as_mut().unwrap();
        let mut status = None;
        until(within, || {
            status = child.try_wait().unwrap();
            status.is_some()
        })
        .ok();
        status
    }

    pub(crate) fn kill(mut self) {
        let child = self.child.as_mut().unwrap();
        assert!(child.try_wait().unwrap().is_none(), "it has ended unasked");
        child.kill().unwrap();
        child.wait().unwrap();
        self.child = None;
    }

    /// Whether it still runs.
    pub(crate) fn is_up(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Waits for it to die unasked, as at a failpoint, and does `more` for it meanwhile.
    pub(crate) fn dies(mut self, mut more: impl FnMut()) {
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
        assert_eq!(
            status.unwrap().signal(),
            Some(SIGKILL),
            "{}",
            fs::read_to_string(&self.log).unwrap()
        );
    }

    /// SIGTERM; it has to end with 0.
    pub(crate) fn stop(mut self) {
        let mut child = self.child.take().unwrap();
        signal("TERM", child.id());
        let mut status = None;
        let ended = until(Duration::from_secs(60), || {
            status = child.try_wait().unwrap();
            status.is_some()
        });
        if ended.is_err() {
            child.kill().unwrap();
        }
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(0),
            "{}",
            fs::read_to_string(&self.log).unwrap()
        );
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!(
                "the last lines of {}:\n{}",
                self.log.display(),
                lines[lines.len().saturating_sub(30)..].join("\n")
            );
        }
    }
}

/// The one number of an answer.
fn number_in(answer: &Result<Vec<String>, String>) -> Option<i64> {
    answer.as_ref().ok()?.concat().parse().ok()
}

/// All files below a folder; none if it is not there.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

fn bytes_in(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_in(&entry.path()),
            Ok(found) => found.len(),
            // It was removed in between.
            Err(_) => 0,
        })
        .sum()
}

/// Looks until it is so.
pub(crate) fn until(within: Duration, mut is_so: impl FnMut() -> bool) -> Result<(), ()> {
    let end = now() + within;
    while !is_so() {
        if now() > end {
            return Err(());
        }
        pause(LOOK);
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test waits for other processes"
)]
pub(crate) fn pause(length: Duration) {
    thread::sleep(length);
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test waits for other processes"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// µs since 1970 by this machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "what others have dated is compared with this machine's clock"
)]
pub(crate) fn wall_micros() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_micros(),
    )
    .unwrap()
}

/// Sends a signal to a process that a test has started.
pub(crate) fn signal(name: &str, pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    let number = match name {
        "TERM" => rustix::process::Signal::TERM,
        "STOP" => rustix::process::Signal::STOP,
        "HUP" => rustix::process::Signal::HUP,
        "CONT" => rustix::process::Signal::CONT,
        other => panic!("no test sends {other}"),
    };
    rustix::process::kill_process(pid, number).unwrap();
}

/// A port that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The files of a table that its log adds, each with the days of its first and last event time, as everyone can read them
/// there. Those of a merge are among them, and those that it has replaced.
pub(crate) fn days_of_files(table: &Path) -> Vec<(PathBuf, String, String)> {
    let data = files(table);
    let mut found = Vec::new();
    for entry in data
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "json"))
    {
        for line in fs::read_to_string(entry).unwrap().lines() {
            let action: serde_json::Value = serde_json::from_str(line).unwrap();
            let Some(path) = action["add"]["path"].as_str() else {
                continue;
            };
            let stats: serde_json::Value =
                serde_json::from_str(action["add"]["stats"].as_str().unwrap()).unwrap();
            let day = |bound: &str| stats[bound]["event_time"].as_str().unwrap()[..10].to_owned();
            let name = path.rsplit('/').next().unwrap();
            let file = data
                .iter()
                .find(|file| file.ends_with(name))
                .unwrap_or_else(|| panic!("{path} is missing"));
            found.push((file.clone(), day("minValues"), day("maxValues")));
        }
    }
    found.sort();
    found
}

/// The files of a table that may hold event times of a day.
pub(crate) fn files_of_day(table: &Path, day: &str) -> Vec<PathBuf> {
    let holds = |(_, first, last): &(PathBuf, String, String)| {
        (first.as_str()..=last.as_str()).contains(&day)
    };
    days_of_files(table)
        .into_iter()
        .filter(holds)
        .map(|(file, ..)| file)
        .collect()
}
