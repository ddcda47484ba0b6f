//! A back-fill: the fires of a job that lie in the past, each run as of its own time, in the order of their times.
//!
//! Invariants: a fire that has succeeded is not run again, so a repeated back-fill adds nothing; a kill loses only fires
//! that are not stored yet; what a fire finds does not depend on when a batch is written; a fire runs once the jobs that its
//! job comes `after` have succeeded for it. A service may run the same jobs beside it: their runs have other numbers and other
//! states in the lake. It deliberately does not back-fill the jobs before it: a fire that lacks them is held back and named.

mod batch;
mod before;
mod fires;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use datafusion::execution::runtime_env::RuntimeEnv;
use forebay_lake::LakeWriter;
use forebay_runtime::report;
use forebay_schemas::{Clock, ErrorKind, Timestamp};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    Fire, JobError, JobName, JobSpec, Jobs, Outcome, Results, RunContext, RunState, SchedulerError,
    lock::lock,
    outbox::{RunNumber, Track},
    register::register,
    scheduler::RETRY,
    sight::{HeldView, Sight},
    store::{Run, Store},
};

use batch::Batch;
pub(crate) use fires::{between, missing_since};

/// A batch is written when it has this many fires, this many rows, or is this old.
const FIRES_MAX: usize = if cfg!(test) { 4 } else { 1024 };
const ROWS_MAX: usize = 100_000;
const AGE_MAX: Duration = Duration::from_secs(5);

/// Which fires of a job are run, and what becomes of their results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillSpec {
    /// The job.
    pub name: String,
    /// The first instant of the range: fires are due at or after it.
    pub start: BackfillStart,
    /// The first instant after the range; never later than now.
    pub to: Option<Timestamp>,
    /// Where the results go.
    pub sink: Sink,
}

/// Where the range of a back-fill begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillStart {
    /// There.
    At(Timestamp),
    /// With the job's first run: what it has missed since.
    FirstRun,
}

/// Where results go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// Into the lake.
    Lake,
    /// To the caller alone.
    Caller,
}

/// What a back-fill tells while it runs.
pub trait BackfillWatch {
    /// How many fires there are to run, and how many of the range have succeeded before.
    fn begins(&mut self, total: usize, done_before: usize);
    /// A fire has ended with these results, `done` of all.
    fn ran(&mut self, fire: &Fire, results: &Results, done: usize);
    /// A fire has failed.
    fn failed(&mut self, fire: &Fire, why: &str);
    /// A fire was not run because a job before it has not succeeded.
    fn held_back(&mut self, fire: &Fire, why: &str);
}

/// How a back-fill ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BackfillReport {
    /// Fires that succeeded.
    pub succeeded: u64,
    /// Fires that failed.
    pub failed: u64,
    /// Fires that were not run because a job before them has not succeeded.
    pub held_back: u64,
    /// Rows of results.
    pub rows: u64,
    /// Whether somebody cancelled it.
    pub is_cancelled: bool,
}

/// Runs fires of a job that lie in the past. `path` is the database of runs.
///
/// # Errors
/// [`SchedulerError::Held`] while another back-fill runs; when there is no such job, or when database or
/// lake cannot be read or written. A fire that fails is in the report.
pub async fn backfill(
    jobs: Arc<Jobs>,
    lake: Arc<LakeWriter>,
    path: &Path,
    clock: Clock,
    spec: &BackfillSpec,
    watch: &mut dyn BackfillWatch,
) -> Result<BackfillReport, SchedulerError> {
    let job = jobs.named(&spec.name)?.spec.clone();
    let view = Arc::new(HeldView::open(&lake, spec.sink).await?);
    let runner = Runner {
        jobs: jobs.clone(),
        lake: lake.clone(),
        view,
        clock: clock.clone(),
        runtime: jobs.limits().runtime(),
        job,
        data_dir: match spec.sink {
            Sink::Lake => path.parent().map(Path::to_owned),
            Sink::Caller => None,
        },
    };
    match spec.sink {
        Sink::Caller => {
            // Looking makes no database.
            let store = if path.exists() {
                Some(Store::open(path).await?)
            } else {
                None
            };
            let from = runner.from(spec, store.as_ref()).await?;
            let fires = runner.fires(from, spec.to).await?;
            runner.show(fires, watch).await
        }
        Sink::Lake => {
            let _lock = lock(&path.with_extension("backfill.lock"))?;
            let store = Store::open(path).await?;
            register(&jobs, &lake, &store, clock()).await?;
            runner.recover(&store).await?;
            let from = runner.from(spec, Some(&store)).await?;
            let fires = runner.fires(from, spec.to).await?;
            runner.store(&store, fires, watch).await
        }
    }
}

/// Runs one job now, as of `fire`, and answers what it finds without writing anything.
///
/// # Errors
/// What made the run fail.
pub(crate) async fn dry_run(
    jobs: Arc<Jobs>,
    lake: Arc<LakeWriter>,
    clock: Clock,
    job: JobSpec,
    fire: &Fire,
) -> Result<Outcome, SchedulerError> {
    let view = Arc::new(HeldView::open(&lake, Sink::Caller).await?);
    let runner = Runner {
        runtime: jobs.limits().runtime(),
        jobs,
        lake,
        view,
        clock,
        job,
        data_dir: None,
    };
    let ran = runner.run(fire, RunNumber(0)).await;
    ran.outcome.map_err(|why| SchedulerError::RunFailed {
        job: runner.job.name.to_string(),
        fire: fire.key.to_string(),
        why,
    })
}

struct Runner {
    jobs: Arc<Jobs>,
    lake: Arc<LakeWriter>,
    view: Arc<HeldView>,
    clock: Clock,
    job: JobSpec,
    /// The memory of the queries of one fire; fires run one after the other.
    runtime: Arc<RuntimeEnv>,
    /// Where results that are files go; nowhere while nothing is written.
    data_dir: Option<PathBuf>,
}

/// A fire that has run.
struct Ran {
    state: RunState,
    attempt: u32,
    started: Timestamp,
    outcome: Result<Outcome, String>,
}

impl Runner {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    async fn from(
        &self,
        spec: &BackfillSpec,
        store: Option<&Store>,
    ) -> Result<Timestamp, SchedulerError> {
        match (spec.start, store) {
            (BackfillStart::At(from), _) => Ok(from),
            (BackfillStart::FirstRun, Some(store)) => missing_since(store, &self.job.name).await,
            (BackfillStart::FirstRun, None) => Ok(self.now()),
        }
    }

    async fn fires(
        &self,
        from: Timestamp,
        to: Option<Timestamp>,
    ) -> Result<Vec<Fire>, SchedulerError> {
        let now = self.now();
        // What is due later has not been seen yet by anybody.
        let to = to.map_or(now, |to| to.min(now));
        between(&self.lake, &self.job, from, to).await
    }

    /// Runs fires for the caller's eyes.
    async fn show(
        &self,
        fires: Vec<Fire>,
        watch: &mut dyn BackfillWatch,
    ) -> Result<BackfillReport, SchedulerError> {
        let mut report = BackfillReport::default();
        watch.begins(fires.len(), 0);
        for (done, fire) in (1..).zip(&fires) {
            let ran = self.run(fire, RunNumber(0)).await;
            match ran.outcome {
                Ok(outcome) => {
                    let rows = outcome.results.batches(self.job.name.as_str(), "dry-run");
                    let rows = rows.map_err(forebay_lake::LakeError::from)?;
                    self.view.add(rows, &outcome.results.alerts);
                    report.succeeded += 1;
                    report.rows += outcome.results.rows() as u64;
                    watch.ran(fire, &outcome.results, done);
                }
                Err(why) => {
                    report.failed += 1;
                    watch.failed(fire, &why);
                }
            }
        }
        Ok(report)
    }

    /// Runs the fires that have not succeeded yet, and stores what they find.
    async fn store(
        &self,
        store: &Store,
        fires: Vec<Fire>,
        watch: &mut dyn BackfillWatch,
    ) -> Result<BackfillReport, SchedulerError> {
        let name = &self.job.name;
        let states = store.fire_states(name).await?;
        let in_range = fires.len();
        let is_open = |fire: &Fire| match states.get(fire.key.as_str()) {
            None => true,
            // One that waits or runs belongs to the scheduler.
            Some(state) => state.is_final() && *state != RunState::Succeeded,
        };
        let open: Vec<Fire> = fires.into_iter().filter(is_open).collect();
        watch.begins(open.len(), in_range - open.len());
        store
            .begin_backfill(name, open.len() as u64, self.now())
            .await?;
        let mut report = BackfillReport::default();
        let mut batch = Batch::default();
        let mut numbers = Numbers::default();
        let mut looked = Instant::now();
        for (done, fire) in (1_usize..).zip(open) {
            if batch.is_full() || looked.elapsed() > AGE_MAX {
                self.flush(store, &mut batch, &mut report).await?;
                looked = Instant::now();
                report.is_cancelled = store.step_backfill(name, done as u64 - 1).await?;
                if report.is_cancelled {
                    break;
                }
            }
            if let Some(why) = self.held_back(store, &fire).await? {
                report.held_back += 1;
                watch.held_back(&fire, &why);
                continue;
            }
            let number = numbers.next(store, name).await?;
            let ran = self.run(&fire, number).await;
            match &ran.outcome {
                Ok(outcome) => watch.ran(&fire, &outcome.results, done),
                Err(why) => watch.failed(&fire, why),
            }
            let (run, results) = self.ended(fire, number, ran);
            let rows = batch.push(run, &results)?;
            self.view.add(rows, &results.alerts);
        }
        self.flush(store, &mut batch, &mut report).await?;
        store.end_backfill(name).await?;
        Ok(report)
    }

    async fn flush(
        &self,
        store: &Store,
        batch: &mut Batch,
        report: &mut BackfillReport,
    ) -> Result<(), SchedulerError> {
        let Some(written) = std::mem::take(batch)
            .write(store, &self.lake, &self.job.name, self.now())
            .await?
        else {
            return Ok(());
        };
        report.succeeded += written.succeeded;
        report.failed += written.failed;
        report.rows += written.rows;
        Ok(self.view.renew(&self.lake).await?)
    }

    /// Runs again, under their own numbers, the fires whose batch a kill has cut short.
    async fn recover(&self, store: &Store) -> Result<(), SchedulerError> {
        let unsettled = store.unsettled(&self.job.name).await?;
        let Some(last) = unsettled.last() else {
            return Ok(());
        };
        let runs = unsettled.len();
        tracing::info!(job = %self.job.name, runs, "a back-fill was cut short while it wrote, its last runs are made again");
        let stored = batch::tables_at(&self.lake, &self.job.name, last.number).await?;
        let mut batch = Batch::default();
        for run in unsettled {
            if run.finished.is_some() {
                let failed = Run {
                    state: RunState::Failed,
                    ..run
                };
                batch.push(failed, &Results::default())?;
                continue;
            }
            let ran = self.run(&run.fire, run.number).await;
            if let Err(why) = &ran.outcome {
                return Err(SchedulerError::RunFailed {
                    job: run.job.to_string(),
                    fire: run.fire.key.to_string(),
                    why: why.clone(),
                });
            }
            let (run, results) = self.ended(run.fire, run.number, ran);
            let rows = batch.push(run, &results)?;
            // What is in the lake is seen there.
            let unseen = rows
                .into_iter()
                .filter(|(table, _)| !stored.contains(&table.name));
            self.view.add(unseen, &results.alerts);
        }
        batch
            .write_noted(store, &self.lake, &self.job.name, self.now())
            .await?;
        Ok(self.view.renew(&self.lake).await?)
    }

    /// Makes the attempts of one fire.
    async fn run(&self, fire: &Fire, number: RunNumber) -> Ran {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let started = self.now();
            let (state, error) = match self.attempt(fire, number, attempt, started).await {
                Ok(outcome) => {
                    return Ran {
                        state: RunState::Succeeded,
                        attempt,
                        started,
                        outcome: Ok(outcome),
                    };
                }
                Err(failure) => failure,
            };
            if error.kind() != ErrorKind::Retry || attempt > self.job.retries {
                return Ran {
                    state,
                    attempt,
                    started,
                    outcome: Err(report(&error)),
                };
            }
            tracing::warn!(job = %self.job.name, fire = %fire.key, attempt, error = report(&error), "attempt failed, retrying");
            tokio::time::sleep(RETRY.wait(attempt, 1.0)).await;
        }
    }

    async fn attempt(
        &self,
        fire: &Fire,
        number: RunNumber,
        attempt: u32,
        now: Timestamp,
    ) -> Result<Outcome, (RunState, JobError)> {
        let context = RunContext {
            lake: self.lake.clone(),
            sight: Sight::Held(self.view.clone()),
            runtime: self.runtime.clone(),
            job: self.job.name.clone(),
            run_id: number.run_id(&self.job.name, Track::Backfill),
            fire: fire.clone(),
            attempt,
            now,
            data_dir: self.data_dir.clone(),
        };
        let failed = |error| (RunState::Failed, error);
        let (jobs, name) = (self.jobs.clone(), self.job.name.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            match jobs.find(name.as_str()) {
                Some(job) => job.job.run(&context).await,
                None => Err(JobError::reject("the job is gone")),
            }
        });
        match tokio::time::timeout(self.job.timeout, task.join_next()).await {
            Err(_) => {
                let message = format!("took longer than its timeout of {:?}", self.job.timeout);
                let error = JobError {
                    error_kind: ErrorKind::Retry,
                    ..JobError::reject(message)
                };
                Err((RunState::TimedOut, error))
            }
            Ok(Some(Ok(Ok(outcome)))) => Ok(outcome),
            Ok(Some(Ok(Err(error)))) => Err(failed(error)),
            Ok(Some(Err(_)) | None) => Err(failed(JobError::reject("the job panicked"))),
        }
    }

    fn ended(&self, fire: Fire, number: RunNumber, ran: Ran) -> (Run, Results) {
        let now = self.now();
        let (results, rows, message) = match ran.outcome {
            Ok(outcome) => {
                let rows = outcome.results.rows() as u64;
                (outcome.results, Some(rows), outcome.note)
            }
            Err(why) => (Results::default(), None, Some(why)),
        };
        let run = Run {
            job: self.job.name.clone(),
            number,
            track: Track::Backfill,
            kind: self.job.kind.to_owned(),
            fire,
            state: ran.state,
            attempt: ran.attempt,
            not_before: ran.started,
            started: Some(ran.started),
            finished: Some(now),
            rows,
            message,
            is_cancelled: false,
        };
        (run, results)
    }
}

/// Numbers for runs, taken from the database a batch at a time.
#[derive(Default)]
struct Numbers {
    next: i64,
    left: i64,
}

impl Numbers {
    async fn next(&mut self, store: &Store, job: &JobName) -> Result<RunNumber, SchedulerError> {
        if self.left == 0 {
            self.left = i64::try_from(FIRES_MAX).unwrap_or(1);
            self.next = store.reserve(job, self.left).await?;
        }
        let number = RunNumber(self.next);
        self.next += 1;
        self.left -= 1;
        Ok(number)
    }
}
