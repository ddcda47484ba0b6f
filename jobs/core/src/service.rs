//! The scheduler as a service, and what its verbs ask of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
    time::Duration,
};

use forebay_lake::LakeWriter;
use forebay_schemas::{Clock, ErrorKind, Timestamp};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    BackfillStatus, Fire, JobName, JobProgress, JobSpec, Jobs, Outcome, RunSummary, ScheduledJob,
    Scheduler, SchedulerError, Trigger,
    backfill::dry_run,
    clock::plus,
    outbox::{RunNumber, Track},
    store::{Cancel, Run, Store},
    windows::{closed_since, newest},
};

/// How often it looks for closed windows and times that have come.
const POLL: Duration = Duration::from_secs(1);

/// How long runs under way may take to end after a stop; a run that takes longer is done again at the next start.
const GRACE: Duration = Duration::from_secs(10);

/// How often a waiter looks whether a run has ended.
const LOOK: Duration = Duration::from_millis(200);

/// A run that has not begun for this long is late.
const LATE_AFTER: Duration = Duration::from_secs(60);

/// How many runs of each job `list` shows.
const LISTED_RUNS: u32 = 5;

/// A job and its latest runs.
#[derive(Debug, Clone, PartialEq)]
pub struct JobStatus {
    /// The job.
    pub name: JobName,
    /// Its kind.
    pub kind: &'static str,
    /// What makes it run, as in the configuration.
    pub trigger: String,
    /// The jobs that it waits for.
    pub after: Vec<JobName>,
    /// The next time of its schedule, if it has one.
    pub next: Option<Timestamp>,
    /// Since when a run waits that has not begun, where that is longer than a minute.
    pub waits_since: Option<Timestamp>,
    /// A back-fill that is under way or was cut short.
    pub backfill: Option<BackfillStatus>,
    /// Its newest runs, the newest first.
    pub runs: Vec<RunSummary>,
}

/// Runs jobs until `stop` is cancelled; runs under way have 10 s to end then.
///
/// `path` is the database of runs, `<data_dir>/jobs.sqlite`.
///
/// # Errors
/// What a person has to mend; what may pass is tried again.
pub async fn run(
    jobs: Arc<Jobs>,
    lake: Arc<LakeWriter>,
    path: &Path,
    clock: Clock,
    progress: Arc<JobProgress>,
    stop: CancellationToken,
) -> Result<(), SchedulerError> {
    let scheduler = Arc::new(
        Scheduler::open(jobs, lake, path, clock)
            .await?
            .counting(progress),
    );
    let mut under_way = UnderWay {
        scheduler,
        tasks: JoinSet::new(),
        runs: HashMap::new(),
    };
    let mut failure = None;
    while !stop.is_cancelled() && failure.is_none() {
        failure = fatal(under_way.begin().await);
        let ended = tokio::select! {
            () = stop.cancelled() => break,
            ended = under_way.tasks.join_next_with_id(), if !under_way.tasks.is_empty() => ended,
            () = tokio::time::sleep(POLL) => None,
        };
        if let Some(ended) = ended {
            failure = fatal(under_way.end(ended).await).or(failure);
        }
    }
    let drained = tokio::time::timeout(GRACE, async {
        while let Some(ended) = under_way.tasks.join_next_with_id().await {
            failure = fatal(under_way.end(ended).await).or(failure.take());
        }
    });
    if drained.await.is_err() {
        for run in under_way.runs.values() {
            tracing::warn!(job = %run.job, run = %run.id(), "run does not end, it will be done again at the next start");
        }
        under_way.tasks.shutdown().await;
    }
    failure.map_or(Ok(()), Err)
}

/// An error that will not pass by itself.
fn fatal(result: Result<(), SchedulerError>) -> Option<SchedulerError> {
    let error = result.err()?;
    if error.kind() == ErrorKind::Retry {
        tracing::warn!(%error, "scheduler disturbed, trying again");
        return None;
    }
    Some(error)
}

struct UnderWay {
    scheduler: Arc<Scheduler>,
    tasks: JoinSet<Result<(), SchedulerError>>,
    runs: HashMap<Id, Run>,
}

impl UnderWay {
    async fn begin(&mut self) -> Result<(), SchedulerError> {
        self.scheduler.enqueue_due().await?;
        self.scheduler.look_at_waits().await?;
        let busy: BTreeSet<JobName> = self.runs.values().map(|run| run.job.clone()).collect();
        let most = self.scheduler.jobs().limits().runs_at_once;
        let room = most.saturating_sub(self.runs.len());
        for run in self.scheduler.claim(&busy, room).await? {
            let (scheduler, claimed) = (self.scheduler.clone(), run.clone());
            let task = self
                .tasks
                .spawn(async move { scheduler.attempt(claimed).await });
            self.runs.insert(task.id(), run);
        }
        Ok(())
    }

    async fn end(
        &mut self,
        ended: Result<(Id, Result<(), SchedulerError>), tokio::task::JoinError>,
    ) -> Result<(), SchedulerError> {
        match ended {
            Ok((id, result)) => {
                let run = self.runs.remove(&id);
                if result.is_err()
                    && let Some(run) = run
                {
                    // It could not be settled: as after a crash, it is done again, and what it wrote is not written twice.
                    self.give_back(&run).await?;
                }
                result
            }
            Err(panicked) => match self.runs.remove(&panicked.id()) {
                Some(run) => self.scheduler.crashed(&run).await,
                None => Ok(()),
            },
        }
    }

    /// Queues a run again if it still stands as it was claimed.
    async fn give_back(&self, run: &Run) -> Result<(), SchedulerError> {
        match self
            .scheduler
            .store()
            .find(&run.job, run.fire.key.as_str())
            .await?
        {
            Some(found) if found.state == run.state && found.attempt == run.attempt => {
                self.scheduler.crashed(run).await
            }
            _ => Ok(()),
        }
    }
}

/// Every job, and its newest runs. Works beside a service that runs them.
///
/// # Errors
/// When the database cannot be read.
pub async fn list(
    jobs: &Jobs,
    path: &Path,
    clock: &Clock,
) -> Result<Vec<JobStatus>, SchedulerError> {
    // Before the first run there is no database, and reading makes none.
    let store = if path.exists() {
        Some(Store::open(path).await?)
    } else {
        None
    };
    let now = clock();
    let waiting = match &store {
        Some(store) => store.waiting().await?,
        None => BTreeMap::new(),
    };
    let mut statuses = Vec::new();
    for ScheduledJob { spec, .. } in jobs.iter() {
        let next = match &spec.trigger {
            Trigger::Cron(schedule) => schedule.next_after(now),
            _ => None,
        };
        let (mut runs, mut backfill) = (Vec::new(), None);
        if let Some(store) = &store {
            runs = store.newest(&spec.name, LISTED_RUNS).await?;
            backfill = store.backfill(&spec.name).await?;
        }
        let waits_since = waiting.get(spec.name.as_str()).copied();
        statuses.push(JobStatus {
            name: spec.name.clone(),
            kind: spec.kind,
            trigger: spec.trigger.to_string(),
            after: spec.after.clone(),
            next,
            waits_since: waits_since.filter(|since| plus(*since, LATE_AFTER) < now),
            backfill,
            runs: runs.iter().map(Run::summary).collect(),
        });
    }
    Ok(statuses)
}

/// A job's newest runs, the newest first.
///
/// # Errors
/// When the database cannot be read.
pub async fn runs(
    path: &Path,
    job: &JobName,
    most: u32,
) -> Result<Vec<RunSummary>, SchedulerError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let runs = Store::open(path).await?.newest(job, most).await?;
    Ok(runs.iter().map(Run::summary).collect())
}

/// What was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cancelled {
    /// Runs that waited or ran.
    pub runs: u64,
    /// Whether a back-fill of the job is asked to end.
    pub backfill: bool,
}

/// Cancels what waits or runs of a job, or one run by its id, whichever process runs it; it ends within some seconds, or at
/// the next start where nobody runs jobs.
///
/// # Errors
/// When there is no such job or run, or the database cannot be written.
pub async fn cancel(jobs: &Jobs, path: &Path, what: &str) -> Result<Cancelled, SchedulerError> {
    let run = jobs.iter().map(|job| &job.spec.name).find_map(|name| {
        let (number, track) = RunNumber::of_run_id(name, what)?;
        (track == Track::Live).then(|| (name.clone(), number))
    });
    let (name, what) = match (jobs.find(what), run) {
        (Some(job), _) => (job.spec.name.clone(), Cancel::All),
        (None, Some((name, number))) => (name, Cancel::Run(number)),
        (None, None) => (jobs.named(what)?.spec.name.clone(), Cancel::All),
    };
    if !path.exists() {
        return Ok(Cancelled {
            runs: 0,
            backfill: false,
        });
    }
    let store = Store::open(path).await?;
    Ok(Cancelled {
        runs: store.cancel(&name, what).await?,
        backfill: what == Cancel::All && store.cancel_backfill(&name).await?,
    })
}

/// Runs one job as of `at`, or of now, and answers how it ended: over the newest window of each site for a job that runs
/// over windows, up to that instant for any other. What it comes `after` is not waited for. A service that runs these jobs does it in our stead.
///
/// # Errors
/// When there is no such job or no window, or when the run has not ended within its attempts and time-outs.
pub async fn run_now(
    jobs: Arc<Jobs>,
    lake: Arc<LakeWriter>,
    path: &Path,
    clock: Clock,
    name: &str,
    at: Option<Timestamp>,
) -> Result<Vec<RunSummary>, SchedulerError> {
    let spec = jobs.named(name)?.spec.clone();
    let now = clock();
    let fires = by_hand(&lake, &spec, now, at).await?;
    // Alone, it registers the job and does what a crash left; beside a service, the job is registered already.
    let alone = match Scheduler::open(jobs, lake, path, clock).await {
        Ok(scheduler) => Some(scheduler),
        Err(SchedulerError::Held { .. }) => None,
        Err(error) => return Err(error),
    };
    let store = Store::open(path).await?;
    if store.registered(&spec.name).await?.is_none() {
        let near = " in the service that runs these jobs: restart it".to_owned();
        return Err(SchedulerError::UnknownJob {
            name: name.to_owned(),
            near,
        });
    }
    for fire in &fires {
        store.enqueue(&spec.name, spec.kind, fire, now).await?;
    }
    // Each attempt has its timeout and a wait of a minute at most; earlier runs of the job may be before it.
    let patience =
        (spec.timeout + Duration::from_secs(60)).saturating_mul(spec.retries.saturating_add(2));
    let ended = tokio::time::timeout(patience, async {
        let mut ended = Vec::new();
        for fire in &fires {
            ended.push(wait(&store, alone.as_ref(), &spec.name, fire).await?);
        }
        Ok(ended)
    });
    match ended.await {
        Ok(ended) => ended,
        Err(_) => Err(SchedulerError::StillRunning {
            run_id: format!("of {name} at {}", fires[0].key),
        }),
    }
}

/// The fires of a run that somebody asks for.
async fn by_hand(
    lake: &LakeWriter,
    spec: &JobSpec,
    now: Timestamp,
    at: Option<Timestamp>,
) -> Result<Vec<Fire>, SchedulerError> {
    let as_of = at.unwrap_or(now);
    let fires: Vec<Fire> = match spec.trigger {
        Trigger::Cron(_) | Trigger::Alert(_) | Trigger::Event(_) | Trigger::Manual => {
            vec![Fire::manual(now, as_of, None)]
        }
        Trigger::WindowClosed => {
            let mut closed = closed_since(lake, None).await?;
            match at {
                Some(at) => closed.retain(|closed| closed.window.end <= at),
                // A window that lies ahead was closed by a clock that did.
                None => closed.retain(|closed| closed.window.start <= now),
            }
            let (newest, _) = newest(closed, 1);
            newest
                .into_iter()
                .map(|window| Fire::manual(now, as_of, Some(window)))
                .collect()
        }
    };
    if fires.is_empty() {
        return Err(SchedulerError::NoWindow {
            name: spec.name.to_string(),
        });
    }
    Ok(fires)
}

/// What [`run_now`] would find, without writing anything.
///
/// # Errors
/// As [`run_now`], and what made the run fail.
pub async fn run_dry(
    jobs: Arc<Jobs>,
    lake: Arc<LakeWriter>,
    clock: Clock,
    name: &str,
    at: Option<Timestamp>,
) -> Result<Vec<(Fire, Outcome)>, SchedulerError> {
    let spec = jobs.named(name)?.spec.clone();
    let mut found = Vec::new();
    for fire in by_hand(&lake, &spec, clock(), at).await? {
        let (jobs, lake, clock) = (jobs.clone(), lake.clone(), clock.clone());
        let outcome = dry_run(jobs, lake, clock, spec.clone(), &fire).await?;
        found.push((fire, outcome));
    }
    Ok(found)
}

async fn wait(
    store: &Store,
    alone: Option<&Scheduler>,
    job: &JobName,
    fire: &Fire,
) -> Result<RunSummary, SchedulerError> {
    loop {
        if let Some(scheduler) = alone {
            let others: BTreeSet<JobName> = scheduler
                .jobs()
                .iter()
                .map(|j| j.spec.name.clone())
                .filter(|n| n != job)
                .collect();
            for run in scheduler.claim(&others, usize::MAX).await? {
                scheduler.attempt(run).await?;
            }
        }
        match store.find(job, fire.key.as_str()).await? {
            Some(run) if run.state.is_final() => return Ok(run.summary()),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}
