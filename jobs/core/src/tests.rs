//! The scheduler over a lake and a database in a folder, with a clock that the test sets.

mod backfill;
mod clocks;
mod configuration;
mod killed;
mod lost;
mod mortal;
mod needs;
mod results;
mod runs;
mod samples;
mod service;
mod shared;
mod triggers;
mod visible;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use forebay_config::{Choice, ConfigErrors, DefaultedChoice, Document, Table, TableKeys};
use forebay_schemas::{Clock, DeviceId, SiteId, Timestamp};
use ring::rand::SystemRandom;

use crate::{store::Store, testing::TestLake, *};

/// 2026-01-01T00:00:00Z, in seconds.
const START: i64 = 1_767_225_600;
const HOUR: Duration = Duration::from_secs(3600);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_nanos((START + seconds) * 1_000_000_000)
}

fn hour(n: i64) -> Timestamp {
    at(n * 3600)
}

/// What the test's jobs do, and what they have done: (job, fire key) for each attempt.
#[derive(Default)]
struct Log {
    attempts: Mutex<Vec<(String, String)>>,
    failures_left: AtomicUsize,
}

impl Log {
    fn attempts(&self) -> Vec<(String, String)> {
        self.attempts.lock().unwrap().clone()
    }

    fn of(&self, job: &str) -> Vec<String> {
        self.attempts()
            .into_iter()
            .filter(|(name, _)| name == job)
            .map(|(_, key)| key)
            .collect()
    }
}

#[derive(Clone, Copy)]
enum Deed {
    Score,
    Fail,
    Refuse,
    Hang,
    Panic,
    /// Scores how many scores there are.
    Count,
    /// Warns of a pump that is too warm.
    Warn,
    /// Tells of a leak at its fire.
    Event,
    /// Scores the sum of the means of the six hours before, in steps of 50 minutes.
    Means,
}

struct TestJob {
    deed: Deed,
    log: Arc<Log>,
}

#[async_trait]
impl Job for TestJob {
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError> {
        let attempt = (context.job().to_string(), context.fire().key.to_string());
        self.log.attempts.lock().unwrap().push(attempt);
        let fails = self
            .log
            .failures_left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok();
        match self.deed {
            Deed::Fail if fails => Err(JobError::retry(
                "the pump is wet",
                std::io::Error::other("water"),
            )),
            Deed::Refuse => Err(JobError::reject("never")),
            Deed::Hang if fails => std::future::pending().await,
            Deed::Panic if fails => panic!("a job that panics"),
            Deed::Count => count(context).await,
            Deed::Warn => warn(context).await,
            Deed::Event => Ok(leak(context)),
            Deed::Means => shared::means(context).await,
            _ => Ok(Outcome {
                results: score(context.cutoff()),
                note: None,
            }),
        }
    }
}

async fn count(context: &RunContext) -> Result<Outcome, JobError> {
    let scores = context.session().await?.table("scores").await?;
    let mut results = score(context.cutoff());
    results.scores[0].score = scores.count().await? as f64;
    Ok(Outcome {
        results,
        note: None,
    })
}

async fn warn(context: &RunContext) -> Result<Outcome, JobError> {
    let condition = Condition {
        site: SiteId::new("plant").unwrap(),
        device: DeviceId::new("pump").unwrap(),
        tag: None,
        severity: Severity::Warning,
        score: 4.0,
        contributions: None,
        reason: "too warm".into(),
    };
    let life = Lifecycle {
        refractory: 24 * HOUR,
        resolve_after: HOUR,
    };
    let verdicts = [("pump".to_owned(), Verdict::Wrong(condition))].into();
    Ok(Outcome {
        results: Results {
            alerts: context.advance_alerts(&life, verdicts).await?,
            ..Results::default()
        },
        note: None,
    })
}

fn leak(context: &RunContext) -> Outcome {
    let site = SiteId::new("plant").unwrap();
    let device = DeviceId::new("pump").unwrap();
    let from_time = context.cutoff();
    let event = EventRow {
        event_id: context.event_id("leak", &site, &device, None, from_time),
        changed_at: context.now(),
        site,
        device,
        tag: None,
        kind: "leak".into(),
        from_time,
        to_time: None,
        value: None,
        severity: Severity::Info,
        text: "it drips".into(),
        attributes: None,
    };
    Outcome {
        results: Results {
            events: vec![event],
            ..Results::default()
        },
        note: None,
    }
}

fn score(at: Timestamp) -> Results {
    let score = Score {
        site: SiteId::new("plant").unwrap(),
        device: DeviceId::new("pump").unwrap(),
        event_time: at,
        score: 1.0,
        limit: 2.0,
        anomalous: false,
        contributions: None,
    };
    Results {
        scores: vec![score],
        ..Results::default()
    }
}

const TEST: TableKeys = TableKeys::many("job", "A job for tests.", &[&DEED]);

const DEED: DefaultedChoice<Deed> = Choice::new(
    "deed",
    &[
        ("score", Deed::Score),
        ("fail", Deed::Fail),
        ("refuse", Deed::Refuse),
        ("hang", Deed::Hang),
        ("panic", Deed::Panic),
        ("count", Deed::Count),
        ("warn", Deed::Warn),
        ("event", Deed::Event),
        ("means", Deed::Means),
    ],
    "What the job does.",
)
.or_first();

struct TestKind(Arc<Log>);

impl JobKind for TestKind {
    fn name(&self) -> &'static str {
        "test"
    }

    fn keys(&self) -> &'static TableKeys {
        &TEST
    }

    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>> {
        let deed = table.read(&DEED);
        Some(Box::new(TestJob {
            deed,
            log: self.0.clone(),
        }))
    }
}

fn read(text: &str, log: &Arc<Log>) -> Result<Jobs, ConfigErrors> {
    let kind = TestKind(log.clone());
    let nothing = |_: &str| None;
    Document::new(Path::new("forebay.toml"), text, &nothing).read(|root| configure(root, &[&kind]))
}

/// A gateway's folder, its clock and what its jobs have done.
struct Plant {
    folder: tempfile::TempDir,
    lake: TestLake,
    now: Arc<AtomicI64>,
    log: Arc<Log>,
}

impl Plant {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = TestLake::open(folder.path(), Arc::new(SystemRandom::new())).await;
        Self {
            folder,
            lake,
            now: Arc::new(AtomicI64::new(at(0).nanos())),
            log: Arc::default(),
        }
    }

    fn set(&self, now: Timestamp) {
        self.now.store(now.nanos(), Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let now = self.now.clone();
        Arc::new(move || Timestamp::from_nanos(now.load(Ordering::SeqCst)))
    }

    fn database(&self) -> std::path::PathBuf {
        self.folder.path().join("jobs.sqlite")
    }

    fn jobs(&self, text: &str) -> Arc<Jobs> {
        Arc::new(read(text, &self.log).unwrap_or_else(|errors| panic!("{errors}")))
    }

    /// The scheduler as a start of the program opens it.
    async fn start(&self, text: &str) -> Scheduler {
        Scheduler::open(
            self.jobs(text),
            self.lake.writer.clone(),
            &self.database(),
            self.clock(),
        )
        .await
        .unwrap()
    }

    async fn close(&self, end: Timestamp, revision: i32, closed_at: Timestamp) {
        let window = Window {
            revision,
            ..testing::window(end, HOUR)
        };
        self.lake.close(&window, closed_at).await;
    }

    async fn runs(&self, text: &str, job: &str) -> Vec<RunSummary> {
        let jobs = self.jobs(text);
        let statuses = list(&jobs, &self.database(), &self.clock()).await.unwrap();
        statuses
            .into_iter()
            .find(|status| status.name.as_str() == job)
            .unwrap()
            .runs
    }

    /// How many runs stand in `job_runs`.
    async fn runs_recorded(&self) -> i64 {
        i64::try_from(self.count("job_runs").await.0).unwrap()
    }

    /// How many rows a table holds, and how many different run ids.
    async fn count(&self, table: &str) -> (usize, usize) {
        let text = self
            .lake
            .query(&format!(
                "SELECT count(*) AS n, count(DISTINCT run_id) AS m FROM {table}"
            ))
            .await;
        let numbers: Vec<usize> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|n| n.parse().ok())
            .collect();
        (numbers[0], numbers[1])
    }
}
