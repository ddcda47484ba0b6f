//! A gateway's alerts at work in this process, with facts that a test sets, and the receivers beside it.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use async_trait::async_trait;
use forebay_alerts::{
    AlertError, AlertProgress, AlertRun, AlertSettings, Fact, FactSource, Facts, Measure, Sender,
    StateFolder, Subject,
};
use forebay_config::Document;
use forebay_schemas::{Clock, GatewayId, SiteId, Timestamp};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The disk as a test has it, in percent; none cannot be read.
pub(crate) type Disk = Arc<Mutex<Option<f64>>>;

struct Source(Disk);

#[async_trait]
impl FactSource for Source {
    async fn facts(&self) -> Facts {
        let Some(percent) = *self.0.lock().unwrap() else {
            return Facts::default();
        };
        let labels = [("folder", "/data"), ("site", "Größe")];
        Facts {
            facts: vec![Fact::new(Subject::Disk, &labels, Measure::Number(percent))],
            read: BTreeSet::from([Subject::Disk]),
        }
    }
}

/// The alerts at work.
pub(crate) struct Running {
    pub(crate) disk: Disk,
    stop: CancellationToken,
    task: JoinHandle<Result<(), AlertError>>,
}

/// The time of day.
#[expect(
    clippy::disallowed_methods,
    reason = "receivers that are not ours judge by it"
)]
pub(crate) fn clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Timestamp::from_nanos(i64::try_from(since.as_nanos()).unwrap())
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the test waits for other processes"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn sender() -> Sender {
    Sender {
        gateway: GatewayId::new("g-1").unwrap(),
        site: SiteId::new("Größe").unwrap(),
    }
}

/// The settings of a file with these routes, whose relative paths begin in `folder`.
pub(crate) fn settings(folder: &Path, routes: &str) -> AlertSettings {
    let text = format!(
        "[alerts]\nevery = \"1s\"\n[[alert]]\nname = \"disk full\"\non = \"disk\"\nabove = 90\nclear_after = \"0s\"\n{routes}"
    );
    let file = folder.join("forebay.toml");
    let environment = |_: &str| None;
    let document = Document::new(&file, &text, &environment);
    let read = document.read(AlertSettings::read);
    read.unwrap_or_else(|errors| panic!("{errors}"))
}

impl Running {
    /// Starts them over the state in this folder; nothing can be read of the disk yet.
    pub(crate) fn start(folder: &Path, routes: &str) -> Self {
        let disk = Disk::default();
        let run = AlertRun {
            settings: settings(folder, routes),
            source: Arc::new(Source(disk.clone())),
            sender: sender(),
            folder: StateFolder::new(folder),
            clock: clock(),
            uniform: Arc::new(|| 0.0),
            progress: Arc::<AlertProgress>::default(),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(forebay_alerts::run(run, stop.clone()));
        Self { disk, stop, task }
    }

    pub(crate) fn fill(&self, percent: f64) {
        *self.disk.lock().unwrap() = Some(percent);
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }

    /// Ends them as a kill does: wherever they are.
    pub(crate) async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// A receiver in a process of its own, which ends with this.
pub(crate) struct Receiver {
    child: Child,
    lines: mpsc::Receiver<String>,
    pub(crate) port: u16,
}

impl Receiver {
    /// Starts a script of the folder of these tests; it names its port in its first line.
    pub(crate) fn python(script: &str, args: &[&str]) -> Self {
        let python = std::env::var_os("FOREBAY_TEST_PYTHON").expect(
            "FOREBAY_TEST_PYTHON names a Python with the foreign peers: run `cargo xtask test`",
        );
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers");
        let mut command = Command::new(python);
        command.arg(folder.join(script)).args(args);
        let mut receiver = Self::start(command);
        let first = receiver.line();
        receiver.port = first.strip_prefix("port ").unwrap().parse().unwrap();
        receiver
    }

    pub(crate) fn start(mut command: Command) -> Self {
        let started = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = started.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if to.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            port: 0,
        }
    }

    fn line(&self) -> String {
        self.lines
            .recv_timeout(PATIENCE)
            .expect("the receiver says something")
    }

    /// What it was sent next. It blocks, which the runtime of these tests has threads for.
    pub(crate) fn next(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// Whether it was sent nothing more so far.
    pub(crate) fn is_done(&self) -> bool {
        self.lines.try_recv().is_err()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
