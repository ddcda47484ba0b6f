//! What the lake and the scheduler say, for the rules.
//!
//! The lake is asked each `lake_every`, for what is new enough to matter, by a task of its own: between two looks the last answer
//! holds, and a lake that is slow holds up no other fact. While it is out of reach its subjects are not read.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int32Type, Int64Type},
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, cast},
    prelude::{DataFrame, col, lit},
};
use forebay_alerts::{Fact, Facts, Measure, Severity, Subject};
use forebay_compactor::WindowProgress;
use forebay_jobs::{JobStatus, Jobs, RunState};
use forebay_lake::LakeWriter;
use forebay_runtime::RateLimit;
use forebay_schemas::{
    Timestamp,
    table::{ALERTS, Table, WINDOWS},
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::warn;

use crate::{clock::clock, role::Role, service::lake_door::LakeDoor};

/// Windows and warnings older than this are over, one way or another.
const HORIZON: Duration = Duration::from_secs(30 * 24 * 3600);
/// Rows of one look.
const ROWS_MAX: usize = 100_000;
/// How long a look at the lake may take.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// Where facts about the lake come from.
pub(in crate::service) struct LakeFacts {
    subjects: BTreeSet<Subject>,
    every: Duration,
    door: LakeDoor,
    windows: Arc<WindowProgress>,
    jobs: Arc<Jobs>,
    jobs_path: PathBuf,
    last: Mutex<Last>,
}

/// The last answer of the lake.
#[derive(Default)]
struct Last {
    at: Option<Instant>,
    /// None where the last look failed.
    facts: Option<Vec<Fact>>,
    lines: RateLimit,
    /// The look under way, if there is one.
    looks: JoinSet<anyhow::Result<Vec<Fact>>>,
}

impl LakeFacts {
    pub(in crate::service) fn new(
        roles: &[Role],
        every: Duration,
        door: LakeDoor,
        windows: Arc<WindowProgress>,
        jobs: Arc<Jobs>,
        jobs_path: PathBuf,
    ) -> Self {
        Self {
            subjects: subjects_of(roles),
            every,
            door,
            windows,
            jobs,
            jobs_path,
            last: Mutex::default(),
        }
    }

    pub(super) fn has(&self, subject: Subject) -> bool {
        self.subjects.contains(&subject)
    }

    /// Adds what can be read now.
    pub(super) async fn add_to(&self, facts: &mut Facts) {
        let watermarks = self.windows.watermarks();
        // Before the first look at the windows nothing is known of them.
        if !watermarks.is_empty() {
            facts.read.insert(Subject::Freshness);
            facts.facts.extend(watermarks.iter().map(freshness));
        }
        if self.has(Subject::JobFailed) {
            match forebay_jobs::list(&self.jobs, &self.jobs_path, &clock()).await {
                Ok(jobs) => {
                    facts.read.insert(Subject::JobFailed);
                    facts.facts.extend(jobs.iter().map(job_failed));
                }
                Err(error) => warn!(%error, "reading the runs of jobs failed, retrying"),
            }
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = last.looks.try_join_next() {
            last.take(ended.unwrap_or_else(|error| Err(error.into())));
        }
        let is_due = last.at.is_none_or(|at| at.elapsed() >= self.every);
        if is_due && last.looks.is_empty() {
            last.at = Some(Instant::now());
            last.looks.spawn(look(self.door.clone()));
        }
        if let Some(found) = &last.facts {
            facts
                .read
                .extend([Subject::Completeness, Subject::JobResult]);
            facts.facts.extend_from_slice(found);
        }
    }
}

impl Last {
    fn take(&mut self, looked: anyhow::Result<Vec<Fact>>) {
        let error = match looked {
            Ok(found) => {
                self.facts = Some(found);
                return;
            }
            Err(error) => error,
        };
        self.facts = None;
        if let Some(skipped) = self.lines.admit() {
            let reason = format!("{error:#}");
            warn!(
                reason,
                skipped, "asking the lake for alerts failed, retrying"
            );
        }
    }
}

/// One look, which a lake out of reach does not hold up for ever.
async fn look(door: LakeDoor) -> anyhow::Result<Vec<Fact>> {
    let since = (clock())()
        .micros()
        .saturating_sub(HORIZON.as_micros() as i64);
    let asked = async {
        let lake = door.open().await?;
        let mut facts = completeness(&windows(&lake, since).await?);
        facts.extend(job_results(&warnings(&lake, since).await?));
        anyhow::Ok(facts)
    };
    timeout(LOOK_MAX, asked).await.context("timed out")?
}

/// The subjects of lake and scheduler that a process with these roles can be asked about.
fn subjects_of(roles: &[Role]) -> BTreeSet<Subject> {
    let mut subjects = BTreeSet::from([Subject::Completeness, Subject::JobResult]);
    if roles.contains(&Role::Compactor) {
        subjects.insert(Subject::Freshness);
    }
    if roles.contains(&Role::Jobs) {
        subjects.insert(Subject::JobFailed);
    }
    subjects
}

fn freshness((site, watermark): &(String, Timestamp)) -> Fact {
    let labels = [("site", site.as_str())];
    Fact::new(Subject::Freshness, &labels, Measure::At(*watermark))
}

/// Whether a job's newest run that ended has failed.
fn job_failed(job: &JobStatus) -> Fact {
    let ended = job.runs.iter().find(|run| run.state.is_final());
    let failed = ended.filter(|run| matches!(run.state, RunState::Failed | RunState::TimedOut));
    let since = failed.and_then(|run| run.finished_at);
    let labels = [("job", job.name.as_str())];
    let mut fact = Fact::new(Subject::JobFailed, &labels, Measure::Holds(since));
    fact.note = failed.and_then(|run| run.message.clone());
    fact
}

/// The rows of a table whose `time` is at or after `since`, with these columns: texts first, then times in µs.
async fn rows(
    lake: &LakeWriter,
    table: &'static Table,
    time: &str,
    since: i64,
    columns: Vec<Expr>,
) -> anyhow::Result<Vec<RecordBatch>> {
    let opened = lake.table(table)?.clone();
    let session = forebay_lake::session(&[opened], &lake.decrypter()).await?;
    let at = Timestamp::from_micros(since).unwrap_or(Timestamp::from_nanos(0));
    // Of the column's own type, so that the filter reaches the files.
    let zone = Some(Arc::from("UTC"));
    let at = ScalarValue::TimestampMicrosecond(Some(at.micros()), zone);
    let recent = col(time).gt_eq(lit(at));
    let frame: DataFrame = session.table(table.name).await?.filter(recent)?;
    let frame = frame.select(columns)?.limit(0, Some(ROWS_MAX))?;
    Ok(frame.collect().await?)
}

async fn windows(lake: &LakeWriter, since: i64) -> anyhow::Result<Vec<RecordBatch>> {
    let columns = vec![
        text("site"),
        micros("window_end"),
        cast(col("revision"), DataType::Int32).alias("revision"),
        col("completeness"),
    ];
    rows(lake, &WINDOWS, "closed_at", since, columns).await
}

async fn warnings(lake: &LakeWriter, since: i64) -> anyhow::Result<Vec<RecordBatch>> {
    let texts = [
        "job",
        "site",
        "device",
        "tag",
        "severity",
        "state",
        "reason",
        "dedupe_key",
    ];
    let times = ["first_seen", "changed_at", "last_seen"];
    let columns = texts.map(text).into_iter().chain(times.map(micros));
    rows(lake, &ALERTS, "last_seen", since, columns.collect()).await
}

fn text(name: &str) -> Expr {
    cast(col(name), DataType::Utf8).alias(name)
}

fn micros(name: &str) -> Expr {
    cast(col(name), DataType::Int64).alias(name)
}

/// A window's place in time, and its completeness.
struct WindowShare {
    end: i64,
    revision: i32,
    share: f64,
}

/// The newest window of each site, by its latest revision; one of unknown completeness says nothing.
fn completeness(batches: &[RecordBatch]) -> Vec<Fact> {
    let mut newest: BTreeMap<String, WindowShare> = BTreeMap::new();
    for batch in batches {
        let (Some(sites), Some(ends), Some(revisions), Some(shares)) = (
            batch.column(0).as_string_opt::<i32>(),
            batch.column(1).as_primitive_opt::<Int64Type>(),
            batch.column(2).as_primitive_opt::<Int32Type>(),
            batch.column(3).as_primitive_opt::<Float64Type>(),
        ) else {
            continue;
        };
        for row in (0..batch.num_rows()).filter(|row| shares.is_valid(*row)) {
            let window = WindowShare {
                end: ends.value(row),
                revision: revisions.value(row),
                share: shares.value(row),
            };
            let known = newest.get(sites.value(row));
            let order = (window.end, window.revision);
            if known.is_none_or(|known| order > (known.end, known.revision)) {
                newest.insert(sites.value(row).to_owned(), window);
            }
        }
    }
    let fact = |(site, window): (&String, &WindowShare)| {
        let labels = [("site", site.as_str())];
        Fact::new(
            Subject::Completeness,
            &labels,
            Measure::Number(window.share),
        )
    };
    newest.iter().map(fact).collect()
}

/// What a job said last under one of its keys.
struct Warned {
    order: (i64, i64, i64),
    fact: Fact,
}

/// The latest word of each job under each of its dedupe keys.
fn job_results(batches: &[RecordBatch]) -> Vec<Fact> {
    let mut latest: BTreeMap<(String, String), Warned> = BTreeMap::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let Some((key, warned)) = warned(batch, row) else {
                continue;
            };
            match latest.get(&key) {
                Some(known) if known.order >= warned.order => {}
                _ => drop(latest.insert(key, warned)),
            }
        }
    }
    latest.into_values().map(|warned| warned.fact).collect()
}

fn warned(batch: &RecordBatch, row: usize) -> Option<((String, String), Warned)> {
    let text = |column: usize| {
        let column = batch.column(column).as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row))
    };
    let micros = |column: usize| {
        let column = batch.column(column).as_primitive_opt::<Int64Type>()?;
        Some(column.value(row))
    };
    let (job, site, device) = (text(0)?, text(1)?, text(2)?);
    let (first_seen, changed_at, last_seen) = (micros(8)?, micros(9)?, micros(10)?);
    let key = text(7)?;
    let mut labels = vec![
        ("job", job),
        ("site", site),
        ("device", device),
        ("key", key),
    ];
    labels.extend(text(3).map(|tag| ("tag", tag)));
    let is_over = text(5)? == "resolved";
    let since = Timestamp::from_micros(first_seen).filter(|_| !is_over);
    let mut fact = Fact::new(Subject::JobResult, &labels, Measure::Holds(since));
    fact.severity = Severity::named(text(4)?);
    fact.note = text(6).map(str::to_owned);
    Some((
        (job.to_owned(), key.to_owned()),
        Warned {
            order: (first_seen, changed_at, last_seen),
            fact,
        },
    ))
}
