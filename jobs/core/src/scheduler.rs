//! What is due is queued, what is ready is run, and every run ends in one state, whatever is killed in between.
//!
//! A job's runs go one after the other, in the order in which they were queued; different jobs run beside each other.

mod due;
mod failing;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use forebay_lake::LakeWriter;
use forebay_runtime::{Backoff, LockFile, report};
use forebay_schemas::{Clock, ErrorKind, Timestamp};
use tracing::{Instrument as _, field::Empty, info_span};

use crate::{
    AlertRow, JobError, JobName, JobProgress, Jobs, RunContext, RunEvent, RunState, ScheduledJob,
    SchedulerError, Trigger,
    clock::plus,
    fire::Cause,
    lock::lock,
    outbox::{Outbox, Track},
    register::register,
    sight::Sight,
    state::Retry,
    store::{Run, Store, Trace},
};

/// The waits after failures. One scheduler has no others to stay clear of, so it waits the whole of them.
pub(crate) const RETRY: Backoff = Backoff {
    first: Duration::from_secs(1),
    max: Duration::from_secs(60),
};

/// How often a run looks whether it is cancelled.
const CANCEL_LOOK: Duration = Duration::from_secs(1);

/// Longest time that writing the results of one run may take.
const WRITE_TIMEOUT: Duration = Duration::from_secs(300);

/// Runs jobs. One process at a time does so for a database; a lock beside it sees to that.
pub struct Scheduler {
    jobs: Arc<Jobs>,
    lake: Arc<LakeWriter>,
    store: Store,
    clock: Clock,
    /// The version of `windows` that was looked at last, from 1; 0 before the first look.
    looked_at: AtomicU64,
    /// When runs that ended long ago are forgotten next, µs since 1970 UTC.
    prune_at: AtomicI64,
    progress: Arc<JobProgress>,
    /// The version of its table at the last look of each job on alerts or events.
    seen: Mutex<BTreeMap<String, u64>>,
    /// The latest warning that runs of a job fail, of the jobs that were asked for.
    failing: Mutex<BTreeMap<JobName, Option<AlertRow>>>,
    /// The folder of the database: jobs whose results are files write them there.
    data_dir: PathBuf,
    _lock: LockFile,
}

/// Whether a run may begin.
enum Gate {
    Open,
    Wait,
    Broken(String),
}

impl Scheduler {
    /// Opens the database of runs, and queues again what a crash cut short.
    ///
    /// # Errors
    /// [`SchedulerError::Held`] when another process runs these jobs.
    pub async fn open(
        jobs: Arc<Jobs>,
        lake: Arc<LakeWriter>,
        path: &Path,
        clock: Clock,
    ) -> Result<Self, SchedulerError> {
        let lock = lock(&path.with_extension("lock"))?;
        let store = Store::open(path).await?;
        let scheduler = Self {
            jobs,
            lake,
            store,
            clock,
            looked_at: AtomicU64::new(0),
            prune_at: AtomicI64::new(i64::MIN),
            progress: Arc::default(),
            seen: Mutex::default(),
            failing: Mutex::default(),
            data_dir: path.parent().unwrap_or(Path::new(".")).to_owned(),
            _lock: lock,
        };
        scheduler.recover().await?;
        Ok(scheduler)
    }

    /// Counts the runs that end here.
    pub(crate) fn counting(self, progress: Arc<JobProgress>) -> Self {
        progress.begin(&self.jobs);
        Self { progress, ..self }
    }

    /// The jobs that it runs.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    async fn recover(&self) -> Result<(), SchedulerError> {
        register(&self.jobs, &self.lake, &self.store, self.now()).await?;
        for run in self.store.running().await? {
            self.crashed(&run).await?;
        }
        Ok(())
    }

    /// A run whose attempt ended without a word.
    pub(crate) async fn crashed(&self, run: &Run) -> Result<(), SchedulerError> {
        let retries = self
            .jobs
            .find(run.job.as_str())
            .map_or(0, |job| job.spec.retries);
        let retry = retry_of(run.attempt, retries, ErrorKind::Retry);
        let message = "the program ended, or the job panicked, while it ran".to_owned();
        tracing::warn!(job = %run.job, run = %run.id(), attempt = run.attempt, "run was cut short");
        let trace = Trace {
            message: Some(message),
            ..Trace::default()
        };
        self.store
            .step(run, RunEvent::Crashed(retry), trace, self.now())
            .await
            .map(drop)
    }

    /// Queues what is due, then runs what is ready, until nothing is. Answers how many attempts were made.
    ///
    /// # Errors
    /// When the database or the lake cannot be read; a job's own errors are its runs'.
    pub async fn step(&self) -> Result<usize, SchedulerError> {
        self.enqueue_due().await?;
        let mut attempts = 0;
        loop {
            let ready = self.claim(&BTreeSet::new(), usize::MAX).await?;
            if ready.is_empty() {
                return Ok(attempts);
            }
            for run in ready {
                self.attempt(run).await?;
                attempts += 1;
            }
        }
    }

    /// Begins an attempt for each job that is not busy and whose next run is ready, `most` at most.
    pub(crate) async fn claim(
        &self,
        busy: &BTreeSet<JobName>,
        most: usize,
    ) -> Result<Vec<Run>, SchedulerError> {
        let mut claimed = Vec::new();
        // Those of one priority stay in the order of `after`.
        let mut jobs: Vec<&ScheduledJob> = self.jobs.iter().collect();
        jobs.sort_by_key(|job| Reverse(job.spec.priority));
        for job in jobs {
            if claimed.len() >= most {
                break;
            }
            if busy.contains(&job.spec.name) {
                continue;
            }
            match self.claim_next(job).await {
                Ok(run) => claimed.extend(run),
                // What has been claimed must be run: nobody else will before the next start.
                Err(error) if !claimed.is_empty() => {
                    tracing::warn!(job = %job.spec.name, %error, "cannot tell which run is next, trying again");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(claimed)
    }

    async fn claim_next(&self, job: &ScheduledJob) -> Result<Option<Run>, SchedulerError> {
        while let Some(head) = self.store.head(&job.spec.name).await? {
            if head.state.is_final() {
                if !self.record(&head).await? {
                    return Ok(None);
                }
                continue;
            }
            let now = self.now();
            if head.is_cancelled {
                let trace = failed("cancelled before it began".into());
                let event = match head.state {
                    RunState::Queued => RunEvent::Cancelled,
                    // Its attempt looks for that.
                    _ => return Ok(None),
                };
                self.store.step(&head, event, trace, now).await?;
                continue;
            }
            // Nobody waits longer than this: what is to wait longer was noted by a clock that was ahead.
            let waits = head.not_before > now && head.not_before <= plus(now, RETRY.max);
            if head.state != RunState::Queued || waits {
                return Ok(None);
            }
            match self.gate(job, &head).await? {
                Gate::Wait => return Ok(None),
                Gate::Open => {
                    return self
                        .store
                        .step(&head, RunEvent::Claimed, Trace::default(), now)
                        .await
                        .map(Some);
                }
                Gate::Broken(why) => {
                    tracing::warn!(job = %head.job, run = %head.id(), why, "run was given up before it began");
                    let trace = Trace {
                        message: Some(why),
                        ..Trace::default()
                    };
                    self.store
                        .step(&head, RunEvent::Refused, trace, now)
                        .await?;
                }
            }
        }
        Ok(None)
    }

    /// Have the jobs that this one comes after succeeded for the same occasion?
    async fn gate(&self, job: &ScheduledJob, run: &Run) -> Result<Gate, SchedulerError> {
        if run.fire.cause == Cause::Manual {
            return Ok(Gate::Open);
        }
        for name in &job.spec.after {
            let by_window = self
                .jobs
                .find(name.as_str())
                .is_some_and(|j| matches!(j.spec.trigger, Trigger::WindowClosed));
            let before = match &run.fire.window {
                Some(window) if by_window => {
                    match self.store.find(name, run.fire.key.as_str()).await? {
                        Some(same) => Some(same),
                        // It ignores late data: its run for the window as it first was is the one that counts.
                        None => {
                            self.store
                                .of_window(name, &window.site, window.start)
                                .await?
                        }
                    }
                }
                _ => self.store.latest(name, run.fire.due).await?,
            };
            match before.map(|before| before.state) {
                Some(RunState::Succeeded) => {}
                Some(state) if state.is_final() => {
                    return Ok(Gate::Broken(format!(
                        "job {name}, which comes before it, has {state}"
                    )));
                }
                Some(_) => return Ok(Gate::Wait),
                None => {
                    return Ok(Gate::Broken(format!(
                        "job {name}, which comes before it, has not run for {}",
                        run.fire.key
                    )));
                }
            }
        }
        Ok(Gate::Open)
    }

    /// Makes one attempt of a claimed run, and writes what it found.
    pub(crate) async fn attempt(&self, run: Run) -> Result<(), SchedulerError> {
        let Some(job) = self.jobs.find(run.job.as_str()) else {
            return Ok(());
        };
        // The Delta library records an `attempt` of its own in whatever span is current.
        let run_attempt = i64::from(run.attempt);
        let (name, run_id) = (run.job.as_str(), run.id());
        let span = info_span!(
            "job",
            job = name,
            run_id,
            run_attempt,
            trace_id = Empty,
            otel.status_description = Empty
        );
        forebay_runtime::trace::show(&span);
        let (event, trace) = self.try_run(job, &run).instrument(span.clone()).await;
        if event != RunEvent::Done {
            span.record("otel.status_description", trace.message.as_deref());
        }
        self.settle(&run, event, trace).await
    }

    /// Runs a job and writes what it found; answers what became of it.
    async fn try_run(&self, job: &ScheduledJob, run: &Run) -> (RunEvent, Trace) {
        let context = RunContext {
            lake: self.lake.clone(),
            sight: Sight::Newest,
            runtime: self.jobs.limits().runtime(),
            job: run.job.clone(),
            run_id: run.id(),
            fire: run.fire.clone(),
            attempt: run.attempt,
            now: run.started.unwrap_or_else(|| self.now()),
            data_dir: Some(self.data_dir.clone()),
        };
        let retries = job.spec.retries;
        let attempt = tokio::time::timeout(job.spec.timeout, job.job.run(&context));
        let ended = tokio::select! {
            ended = attempt => Some(ended),
            () = self.cancelled(run) => None,
        };
        let Some(ended) = ended else {
            return (RunEvent::Cancelled, failed("cancelled".into()));
        };
        match ended {
            Err(_) => {
                let message = format!("took longer than its timeout of {:?}", job.spec.timeout);
                (
                    RunEvent::Overran(retry_of(run.attempt, retries, ErrorKind::Retry)),
                    failed(message),
                )
            }
            Ok(Err(error)) => erred(run, retries, &error),
            Ok(Ok(outcome)) => {
                let outbox = self.outbox(&run.job);
                let id = run.id();
                let writing = outbox.write(run.number, &id, &outcome.results, self.now());
                match tokio::time::timeout(WRITE_TIMEOUT, writing).await {
                    Ok(Ok(rows)) => (
                        RunEvent::Done,
                        Trace {
                            rows: Some(rows),
                            message: outcome.note,
                            ..Trace::default()
                        },
                    ),
                    Ok(Err(error)) => erred(run, retries, &JobError::from(error)),
                    Err(_) => {
                        let message =
                            format!("writing the results took longer than {WRITE_TIMEOUT:?}");
                        (
                            RunEvent::Overran(retry_of(run.attempt, retries, ErrorKind::Retry)),
                            failed(message),
                        )
                    }
                }
            }
        }
    }

    /// Returns once somebody has cancelled a run.
    async fn cancelled(&self, run: &Run) {
        loop {
            tokio::time::sleep(CANCEL_LOOK).await;
            match self.store.find(&run.job, run.fire.key.as_str()).await {
                Ok(Some(found)) if found.is_cancelled => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(job = %run.job, %error, "cannot tell whether a run is cancelled, trying again")
                }
            }
        }
    }

    /// Notes which jobs' runs are late.
    pub(crate) async fn look_at_waits(&self) -> Result<(), SchedulerError> {
        self.progress.waits(self.store.waiting().await?, self.now());
        Ok(())
    }

    async fn settle(&self, run: &Run, event: RunEvent, trace: Trace) -> Result<(), SchedulerError> {
        let now = self.now();
        let trace = Trace {
            not_before: Some(plus(now, RETRY.wait(run.attempt, 1.0))),
            ..trace
        };
        let settled = self.store.step(run, event, trace, now).await?;
        let (job, id, attempt, message) =
            (&run.job, run.id(), run.attempt, settled.message.as_deref());
        match settled.state {
            RunState::Succeeded => {
                tracing::info!(%job, run = %id, attempt, rows = settled.rows, message, "run succeeded")
            }
            RunState::Queued => {
                tracing::warn!(%job, run = %id, attempt, message, "attempt failed, backing off")
            }
            RunState::Cancelled => tracing::info!(%job, run = %id, attempt, "run was cancelled"),
            state => tracing::error!(%job, run = %id, attempt, message, %state, "run was given up"),
        }
        if settled.state.is_final() {
            // If the lake cannot take it now, the next claim tries again, before the job's next run.
            self.record(&settled).await?;
        }
        Ok(())
    }

    /// Writes a finished run to `job_runs`; answers whether it stands there.
    async fn record(&self, run: &Run) -> Result<bool, SchedulerError> {
        let now = self.now();
        match self.warn_of_failure(run).await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(job = %run.job, run = %run.id(), %error, "failure of a run not recorded yet");
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let recording = self
            .outbox(&run.job)
            .record(run.number, std::slice::from_ref(run), now)
            .await;
        match recording {
            Ok(()) => {
                self.store.set_recorded(run).await?;
                self.progress.ended(&run.job, run.state);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Retry => {
                tracing::warn!(job = %run.job, run = %run.id(), %error, "finished run not recorded yet");
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn outbox<'a>(&'a self, job: &'a JobName) -> Outbox<'a> {
        Outbox::new(&self.lake, job, Track::Live)
    }
}

fn failed(message: String) -> Trace {
    Trace {
        message: Some(message),
        ..Trace::default()
    }
}

fn erred(run: &Run, retries: u32, error: &JobError) -> (RunEvent, Trace) {
    (
        RunEvent::Erred(retry_of(run.attempt, retries, error.kind())),
        failed(report(error)),
    )
}

/// Attempts count from 1, and the first is no retry.
fn retry_of(attempt: u32, retries: u32, kind: ErrorKind) -> Retry {
    if kind == ErrorKind::Retry && attempt <= retries {
        Retry::Left
    } else {
        Retry::Over
    }
}
