//! Results into the lake, each run's once (E9).
//!
//! The number of a run is fixed when it is queued, a job's runs are done in the order of their numbers, and each append
//! moves the job's state in that table to the number. So a run that is done again after a crash finds its own number
//! there and appends nothing, and a number that is beyond its own means that somebody else runs this job.

use arrow::array::RecordBatch;
use forebay_lake::{LakeError, LakeWriter, Transaction};
use forebay_schemas::{
    Timestamp,
    table::{ALERTS, BACKTESTS, EVENTS, JOB_RUNS, MODELS, PREDICTIONS, SCORES, Table},
};

use crate::{
    JobName, Results,
    results::{FinishedRun, batch},
};

/// The tables that runs write to.
const WRITTEN: [&Table; 7] = [
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

/// Writes to the lake on behalf of one job.
pub(crate) struct Outbox<'a> {
    pub(crate) lake: &'a LakeWriter,
    pub(crate) job: &'a JobName,
}

impl Outbox<'_> {
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

    /// Appends a finished run to `job_runs`.
    pub(crate) async fn record(
        &self,
        run: RunNumber,
        run_id: &str,
        finished: FinishedRun,
        now: Timestamp,
    ) -> Result<(), LakeError> {
        let row = batch(self.job.as_str(), run_id, &[finished])?;
        self.append(run, &JOB_RUNS, row, now).await
    }

    /// The highest number that a run of this job has left in the lake; 0 if none has.
    pub(crate) async fn highest_number(&self) -> Result<i64, LakeError> {
        let mut highest = 0;
        for table in WRITTEN {
            let state = self
                .lake
                .table(table)?
                .snapshot()
                .await?
                .state_of(&self.app_id(table))
                .await?;
            highest = highest.max(state.unwrap_or(0));
        }
        Ok(highest)
    }

    async fn append(
        &self,
        run: RunNumber,
        table: &'static Table,
        rows: RecordBatch,
        now: Timestamp,
    ) -> Result<(), LakeError> {
        let app_id = self.app_id(table);
        let found = self
            .lake
            .table(table)?
            .snapshot()
            .await?
            .state_of(&app_id)
            .await?;
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
        self.lake
            .keeper()
            .app_id(&format!("job/{}/{}", self.job, table.name), 0)
    }
}
