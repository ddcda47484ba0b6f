//! What can go wrong with the scheduler itself; a job that fails is a run's affair.

use std::path::PathBuf;

use forebay_lake::LakeError;
use forebay_schemas::ErrorKind;
use thiserror::Error;

use crate::IllegalMove;

/// An error of the scheduler.
#[derive(Debug, Error)]
pub enum SchedulerError {
    /// The database of runs.
    #[error("{}: {source}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: sqlx::Error,
    },
    /// A value in the database that no release wrote.
    #[error("{}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Written by a later release (E13).
    #[error("{} has format {found}, newer than {known}, the newest this release reads: update this program", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// As the file states it.
        found: i64,
        /// As this release knows it.
        known: i64,
    },
    /// Another process runs these jobs.
    #[error("jobs are run by process {holder}, which holds {}", path.display())]
    Held {
        /// The lock.
        path: PathBuf,
        /// Process id as the lock has it.
        holder: String,
    },
    /// The lock cannot be had.
    #[error("cannot lock {}: {source}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing is called so.
    #[error("there is no job {name:?}{near}")]
    UnknownJob {
        /// As asked for.
        name: String,
        /// The nearest name, as a question.
        near: String,
    },
    /// A job over windows was asked to run, and there is no window.
    #[error("job {name} runs over closed windows, and none has closed yet")]
    NoWindow {
        /// The job.
        name: String,
    },
    /// No model is called so.
    #[error("job {job} has no model {version:?}: see `forebay jobs models list`")]
    UnknownModel {
        /// The job.
        job: String,
        /// As asked for.
        version: String,
    },
    /// A range of a back-fill with more fires than are run at once.
    #[error("the range has more than {most} fires of job {job}: back-fill it in parts")]
    TooManyFires {
        /// The job.
        job: String,
        /// How many a range may have.
        most: usize,
    },
    /// A run whose results somebody waits for.
    #[error("the run of job {job} for {fire} failed: {why}")]
    RunFailed {
        /// The job.
        job: String,
        /// The fire.
        fire: String,
        /// Why.
        why: String,
    },
    /// A run that was asked for has not ended in time.
    #[error("run {run_id} has not ended yet: see `forebay jobs list`")]
    StillRunning {
        /// The run.
        run_id: String,
    },
    /// The lake.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// A query of the scheduler's own.
    #[error("cannot read the lake: {0}")]
    Query(#[from] datafusion::error::DataFusionError),
    /// Somebody else moves the same runs.
    #[error(transparent)]
    Moved(#[from] IllegalMove),
}

impl SchedulerError {
    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store {
                source: sqlx::Error::Database(_) | sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut,
                ..
            }
            | Self::Query(_)
            | Self::StillRunning { .. } => ErrorKind::Retry,
            Self::Store { .. } | Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::NewerFormat { .. } | Self::Held { .. } | Self::Lock { .. } => ErrorKind::Fatal,
            Self::UnknownJob { .. }
            | Self::NoWindow { .. }
            | Self::UnknownModel { .. }
            | Self::TooManyFires { .. }
            | Self::RunFailed { .. } => ErrorKind::Reject,
            Self::Lake(error) => error.kind(),
            Self::Moved(error) => error.kind(),
        }
    }
}
