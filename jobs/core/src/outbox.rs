//! Results into the lake, each run's once (E9).
//!
//! A back-fill writes beside the scheduler, with a state of its own: a job has two tracks of runs.
//!
//! The number of a run is fixed when it is queued, a job's runs are done in the order of their numbers, and each append
//! moves the job's state in that table to the number. So a run that is done again after a crash finds its own number
//! there and appends nothing, and a number that is beyond its own means that somebody else runs this job.

use arrow::{array::RecordBatch, compute::concat_batches};
use forebay_lake::{LakeError, LakeWriter, Transaction};
use forebay_schemas::{
    Timestamp,
    table::{ALERTS, BACKTESTS, EVENTS, JOB_RUNS, MODELS, PREDICTIONS, SCORES, Table},
};

use crate::{AlertRow, JobName, Results, results::batch, store::Run};

/// The tables that runs write to.
pub(crate) const WRITTEN: [&Table; 7] = [
    &SCORES,
    &PREDICTIONS,
    &ALERTS,
    &EVENTS,
    &BACKTESTS,
    &MODELS,
    &JOB_RUNS,
];

/// The number of a run, which counts up within its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunNumber(pub(crate) i64);

impl RunNumber {
    /// As results carry it.
    pub(crate) fn run_id(self, job: &JobName, track: Track) -> String {
        match track {
            Track::Live => format!("{job}-{}", self.0),
            Track::Backfill => format!("{job}{BACKFILL}{}", self.0),
        }
    }

    /// What a run id of this job names.
    pub(crate) fn of_run_id(job: &JobName, run_id: &str) -> Option<(Self, Track)> {
        let number = run_id.strip_prefix(job.as_str())?;
        let (number, track) = match number.strip_prefix(BACKFILL) {
            Some(number) => (number, Track::Backfill),
            None => (number.strip_prefix('-')?, Track::Live),
        };
        Some((Self(number.parse().ok()?), track))
    }
}

/// Between a job's name and the number of a run of a back-fill.
const BACKFILL: &str = "-backfill-";

/// Whose order a run is in. Runs of the two tracks go on beside each other, so each has its own state in the lake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Track {
    /// What is due now, and what people ask for.
    Live,
    /// What was due long ago.
    Backfill,
}

impl Track {
    const ALL: [Self; 2] = [Self::Live, Self::Backfill];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Backfill => "backfill",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|track| track.name() == name)
    }
}

/// Writes to the lake on behalf of one track of one job.
pub(crate) struct Outbox<'a> {
    lake: &'a LakeWriter,
    job: &'a JobName,
    track: Track,
}

impl<'a> Outbox<'a> {
    pub(crate) fn new(lake: &'a LakeWriter, job: &'a JobName, track: Track) -> Self {
        Self { lake, job, track }
    }

    /// Appends what a run has found; answers how many rows are the run's.
    pub(crate) async fn write(
        &self,
        run: RunNumber,
        run_id: &str,
        results: &Results,
        now: Timestamp,
    ) -> Result<u64, LakeError> {
        for (table, rows) in results.batches(self.job.as_str(), run_id)? {
            self.append(run, table, rows, now).await?;
        }
        Ok(results.rows() as u64)
    }

    /// Appends finished runs to `job_runs`; `last` is the highest of their numbers.
    pub(crate) async fn record(
        &self,
        last: RunNumber,
        runs: &[Run],
        now: Timestamp,
    ) -> Result<(), LakeError> {
        let rows = runs
            .iter()
            .map(|run| batch(self.job.as_str(), &run.id(), &[run.as_finished(now)]))
            .collect::<Result<Vec<_>, _>>()?;
        let Some(first) = rows.first() else {
            return Ok(());
        };
        let rows = concat_batches(&first.schema(), &rows)?;
        self.append(last, &JOB_RUNS, rows, now).await
    }

    /// Appends a row about the run itself to `alerts`, beside what the run has found.
    pub(crate) async fn warn(
        &self,
        run: RunNumber,
        run_id: &str,
        row: AlertRow,
        now: Timestamp,
    ) -> Result<(), LakeError> {
        let app_id = format!("job/{}/failing/{}", self.job, ALERTS.name);
        let app_id = self.lake.keeper().app_id(&app_id, 0);
        let snapshot = self.lake.table(&ALERTS)?.snapshot().await?;
        let found = snapshot.state_of(&app_id).await?;
        if found.is_some_and(|found| found >= run.0) {
            return Ok(());
        }
        let rows = batch(self.job.as_str(), run_id, &[row])?;
        let transaction = Transaction {
            app_id,
            from_state: found,
            to_state: run.0,
        };
        let appended = self.lake.append(&ALERTS, rows, transaction, now).await;
        appended.map(drop)
    }

    /// The highest number that a run of this job has left in the lake; 0 if none has.
    pub(crate) async fn highest_number(&self) -> Result<i64, LakeError> {
        let mut highest = 0;
        for track in Track::ALL {
            let of_track = Self { track, ..*self };
            for table in WRITTEN {
                highest = highest.max(of_track.number_in(table).await?.unwrap_or(0));
            }
        }
        Ok(highest)
    }

    /// The number of the last run of this track whose rows a table has.
    pub(crate) async fn number_in(&self, table: &'static Table) -> Result<Option<i64>, LakeError> {
        let snapshot = self.lake.table(table)?.snapshot().await?;
        snapshot.state_of(&self.app_id(table)).await
    }

    /// Appends rows of the runs up to `run`, unless they are there.
    pub(crate) async fn append(
        &self,
        run: RunNumber,
        table: &'static Table,
        rows: RecordBatch,
        now: Timestamp,
    ) -> Result<(), LakeError> {
        let app_id = self.app_id(table);
        let found = self.number_in(table).await?;
        match found {
            Some(state) if state == run.0 => return Ok(()),
            Some(state) if state > run.0 => {
                return Err(LakeError::Fenced {
                    app_id,
                    expected: Some(run.0 - 1),
                    found,
                });
            }
            _ => {}
        }
        let transaction = Transaction {
            app_id,
            from_state: found,
            to_state: run.0,
        };
        self.lake
            .append(table, rows, transaction, now)
            .await
            .map(drop)
    }

    fn app_id(&self, table: &Table) -> String {
        let name = match self.track {
            Track::Live => format!("job/{}/{}", self.job, table.name),
            // No job has a '/' in its name.
            Track::Backfill => format!("job/{}/backfill/{}", self.job, table.name),
        };
        self.lake.keeper().app_id(&name, 0)
    }
}
