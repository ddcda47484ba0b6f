//! What the lake and the scheduler say, for the rules.
//!
//! The lake is asked each `lake_every`, for what is new enough to matter, by a task of its own: between two looks the last answer
//! holds, and a lake that is slow holds up no other fact. While it is out of reach its subjects are not read.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use arrow::{
    array::{Array as _, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, cast},
    prelude::{DataFrame, col, lit},
};
use forebay_alerts::{Fact, Facts, Measure, Severity, Subject, TakenUp};
use forebay_compactor::WindowProgress;
use forebay_jobs::{JobStatus, Jobs, RunState};
use forebay_lake::LakeWriter;
use forebay_runtime::RateLimit;
use forebay_schemas::{
    GatewayId, Timestamp,
    table::{ALERTS, Table, WINDOWS},
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tracing::warn;

use super::acknowledge::acknowledge;
use crate::{clock::clock, role::Role, service::lake_door::LakeDoor};

/// Windows and warnings older than this are over, one way or another.
const HORIZON: Duration = Duration::from_secs(30 * 24 * 3600);
/// Facts of one look and subject; where there are as many, some may be missing, and none are known.
const FACTS_MAX: usize = 100_000;
/// How long a look at the lake may take.
const LOOK_MAX: Duration = Duration::from_secs(60);

/// Where facts about the lake come from.
pub(in crate::service) struct LakeFacts {
    subjects: BTreeSet<Subject>,
    asks: LakeAsks,
    windows: Arc<WindowProgress>,
    jobs: Arc<Jobs>,
    jobs_path: PathBuf,
    last: Mutex<Last>,
}

/// How the lake is asked.
#[derive(Clone)]
pub(in crate::service) struct LakeAsks {
    /// How often.
    pub(in crate::service) every: Duration,
    /// Who asks.
    pub(in crate::service) gateway: GatewayId,
    /// Where.
    pub(in crate::service) door: LakeDoor,
}

/// The last answer of the lake.
#[derive(Default)]
struct Last {
    at: Option<Instant>,
    /// None where the last look failed.
    facts: Option<Facts>,
    lines: RateLimit,
    /// The warnings that somebody has taken up, as of now.
    taken_up: BTreeSet<TakenUp>,
    /// The look under way, if there is one.
    looks: JoinSet<anyhow::Result<Facts>>,
}

impl LakeFacts {
    pub(in crate::service) fn new(
        roles: &[Role],
        asks: LakeAsks,
        windows: Arc<WindowProgress>,
        jobs: Arc<Jobs>,
        jobs_path: PathBuf,
    ) -> Self {
        Self {
            subjects: subjects_of(roles),
            asks,
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
        let is_due = last.at.is_none_or(|at| at.elapsed() >= self.asks.every);
        if is_due && last.looks.is_empty() {
            last.at = Some(Instant::now());
            let taken_up = last.taken_up.clone();
            last.looks.spawn(look(self.asks.clone(), taken_up));
        }
        if let Some(found) = &last.facts {
            facts.read.extend(&found.read);
            facts.facts.extend_from_slice(&found.facts);
        }
    }
}

impl LakeFacts {
    /// Notes what somebody has taken up; what is new goes into the lake at the next look, which comes at once.
    pub(super) fn taken_up(&self, warnings: Vec<TakenUp>) {
        let warnings: BTreeSet<TakenUp> = warnings.into_iter().collect();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if !warnings.is_subset(&last.taken_up) {
            last.at = None;
        }
        last.taken_up = warnings;
    }
}

impl Last {
    fn take(&mut self, looked: anyhow::Result<Facts>) {
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
async fn look(asks: LakeAsks, taken_up: BTreeSet<TakenUp>) -> anyhow::Result<Facts> {
    let since = (clock())()
        .micros()
        .saturating_sub(HORIZON.as_micros() as i64);
    let asked = async {
        let lake = asks.door.open().await?;
        if let Err(error) = acknowledge(&lake, &asks.gateway, &taken_up, (clock())()).await {
            warn!(%error, "writing who has taken up warnings failed, retrying");
        }
        let mut facts = Facts::default();
        let closed = recent(&lake, &WINDOWS, "closed_at", since).await?;
        let windows = newest_windows(closed, FACTS_MAX).await?;
        add(
            &mut facts,
            Subject::Completeness,
            windows.as_deref().map(completeness),
        );
        let seen = recent(&lake, &ALERTS, "last_seen", since).await?;
        let warnings = newest_warnings(seen, FACTS_MAX).await?;
        add(
            &mut facts,
            Subject::JobResult,
            warnings.as_deref().map(job_results),
        );
        anyhow::Ok(facts)
    };
    timeout(LOOK_MAX, asked).await.context("timed out")?
}

/// Adds the facts of a subject, if all of them are known.
fn add(facts: &mut Facts, subject: Subject, found: Option<Vec<Fact>>) {
    let Some(found) = found else {
        let (on, most) = (subject.name(), FACTS_MAX);
        warn!(
            on,
            most, "skipped: there is more in the lake than alerts look at"
        );
        return;
    };
    facts.facts.extend(found);
    facts.read.insert(subject);
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

/// The rows of a table whose `time` is at or after `since`, in µs.
async fn recent(
    lake: &LakeWriter,
    table: &'static Table,
    time: &str,
    since: i64,
) -> anyhow::Result<DataFrame> {
    let opened = lake.table(table)?.clone();
    let session = forebay_lake::session(&[opened], &lake.decrypter()).await?;
    let at = Timestamp::from_micros(since).unwrap_or(Timestamp::from_nanos(0));
    // Of the column's own type, so that the filter reaches the files.
    let zone = Some(Arc::from("UTC"));
    let at = ScalarValue::TimestampMicrosecond(Some(at.micros()), zone);
    let recent = col(time).gt_eq(lit(at));
    Ok(session.table(table.name).await?.filter(recent)?)
}

/// The newest window of each site, by its latest revision, as [`completeness`] reads it; one of unknown completeness says nothing.
async fn newest_windows(
    windows: DataFrame,
    most: usize,
) -> anyhow::Result<Option<Vec<RecordBatch>>> {
    let known = windows.filter(col("completeness").is_not_null())?;
    let columns = vec![text("site"), col("completeness")];
    newest(known, &["site"], &["window_end", "revision"], columns, most).await
}

/// The latest word of each job under each of its dedupe keys, as [`job_results`] reads it.
async fn newest_warnings(
    warnings: DataFrame,
    most: usize,
) -> anyhow::Result<Option<Vec<RecordBatch>>> {
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
    let columns = texts.map(text).into_iter().chain([micros("first_seen")]);
    let order = ["first_seen", "changed_at", "last_seen"];
    newest(
        warnings,
        &["job", "dedupe_key"],
        &order,
        columns.collect(),
        most,
    )
    .await
}

/// The newest row of each key; none where there are `most` keys or more.
async fn newest(
    rows: DataFrame,
    keys: &[&str],
    order: &[&str],
    columns: Vec<Expr>,
    most: usize,
) -> anyhow::Result<Option<Vec<RecordBatch>>> {
    let by_key = keys.iter().map(|key| col(*key).sort(true, false));
    let newest_first = order.iter().map(|column| col(*column).sort(false, false));
    let sorted = by_key.chain(newest_first).collect();
    let keys = keys.iter().map(|key| col(*key)).collect();
    let newest = rows.distinct_on(keys, columns, Some(sorted))?;
    let batches = newest.limit(0, Some(most))?.collect().await?;
    let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
    Ok((count < most).then_some(batches))
}

fn text(name: &str) -> Expr {
    cast(col(name), DataType::Utf8).alias(name)
}

fn micros(name: &str) -> Expr {
    cast(col(name), DataType::Int64).alias(name)
}

fn completeness(batches: &[RecordBatch]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for batch in batches {
        let (Some(sites), Some(shares)) = (
            batch.column(0).as_string_opt::<i32>(),
            batch.column(1).as_primitive_opt::<Float64Type>(),
        ) else {
            continue;
        };
        for row in 0..batch.num_rows() {
            let labels = [("site", sites.value(row))];
            let share = Measure::Number(shares.value(row));
            facts.push(Fact::new(Subject::Completeness, &labels, share));
        }
    }
    facts
}

fn job_results(batches: &[RecordBatch]) -> Vec<Fact> {
    let mut facts = Vec::new();
    for batch in batches {
        facts.extend((0..batch.num_rows()).filter_map(|row| warned(batch, row)));
    }
    facts
}

fn warned(batch: &RecordBatch, row: usize) -> Option<Fact> {
    let text = |column: usize| {
        let column = batch.column(column).as_string_opt::<i32>()?;
        column.is_valid(row).then(|| column.value(row))
    };
    let (job, site, device, key) = (text(0)?, text(1)?, text(2)?, text(7)?);
    let first_seen = batch.column(8).as_primitive_opt::<Int64Type>()?.value(row);
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
    Some(fact)
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, Float64Array, Int64Array, StringArray},
        record_batch::RecordBatch,
    };
    use datafusion::prelude::SessionContext;

    use super::*;

    fn texts(values: &[&str]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    fn numbers(values: &[i64]) -> ArrayRef {
        Arc::new(Int64Array::from(values.to_vec()))
    }

    fn frame(columns: Vec<(&str, ArrayRef)>) -> DataFrame {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        SessionContext::new().read_batch(batch).unwrap()
    }

    #[tokio::test]
    async fn a_site_is_as_complete_as_its_newest_window_wherever_that_stands() {
        let shares = [Some(0.1), Some(0.2), Some(0.3), Some(0.4), Some(0.9), None];
        let windows = frame(vec![
            ("site", texts(&["a", "a", "b", "b", "a", "b"])),
            ("window_end", numbers(&[10, 20, 30, 10, 20, 40])),
            ("revision", numbers(&[1, 1, 1, 9, 2, 1])),
            (
                "completeness",
                Arc::new(Float64Array::from(shares.to_vec())),
            ),
        ]);
        let found = newest_windows(windows.clone(), 3).await.unwrap();
        let mut found: Vec<_> = completeness(&found.unwrap())
            .into_iter()
            .map(|fact| (fact.labels["site"].clone(), fact.measure))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [("a", 0.9), ("b", 0.3)];
        assert_eq!(
            found,
            expected.map(|(site, share)| (site.to_owned(), Measure::Number(share)))
        );
        // With as many as are looked at, there may be more.
        assert_eq!(newest_windows(windows, 2).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_latest_word_of_a_job_under_a_key_counts() {
        let same = |value: &'static str| texts(&[value; 4]);
        let warnings = frame(vec![
            ("job", same("j")),
            ("site", same("s")),
            ("device", texts(&["p", "p", "q", "q"])),
            ("tag", same("t")),
            ("severity", same("warning")),
            ("state", texts(&["open", "resolved", "resolved", "open"])),
            (
                "reason",
                texts(&["p warns", "p is well", "q is well", "q warns"]),
            ),
            ("dedupe_key", texts(&["kp", "kp", "kq", "kq"])),
            ("first_seen", numbers(&[1, 1, 1, 5])),
            ("changed_at", numbers(&[1, 2, 2, 5])),
            ("last_seen", numbers(&[1, 2, 9, 5])),
        ]);
        let found = newest_warnings(warnings.clone(), 3).await.unwrap();
        let mut found: Vec<_> = job_results(&found.unwrap())
            .into_iter()
            .map(|fact| {
                (
                    fact.labels["device"].clone(),
                    fact.note.unwrap(),
                    fact.measure,
                )
            })
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let expected = [
            ("p", "p is well", Measure::Holds(None)),
            ("q", "q warns", Measure::Holds(Timestamp::from_micros(5))),
        ];
        assert_eq!(
            found,
            expected.map(|(device, note, holds)| (device.to_owned(), note.to_owned(), holds))
        );
        assert_eq!(newest_warnings(warnings, 2).await.unwrap(), None);
    }
}
