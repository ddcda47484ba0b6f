//! The trait of a job, and how one is made from its configuration.

use async_trait::async_trait;
use forebay_config::{Table, TableKeys};
use forebay_schemas::ErrorKind;
use thiserror::Error;

use crate::{Results, RunContext};

/// One configured job. It computes; it neither schedules itself nor writes.
#[async_trait]
pub trait Job: Send + Sync {
    /// Computes the results of one run, from what [`RunContext`] lets it see.
    ///
    /// The same fire over the same data must give the same results: a run that a crash cut short is done again.
    ///
    /// # Errors
    /// [`JobError`] of kind `Retry` is tried again; any other ends the run.
    async fn run(&self, context: &RunContext) -> Result<Outcome, JobError>;
}

/// A kind of job, in the registry of the binary.
pub trait JobKind: Send + Sync {
    /// The value of `kind` in the configuration.
    fn name(&self) -> &'static str;

    /// The keys that [`JobKind::configure`] reads. The meaning of the table says what the kind is for.
    fn keys(&self) -> &'static TableKeys;

    /// Reads the keys of a `[[job]]` that are this kind's own; those common to all (`name`, `schedule`, `retries`, …) are
    /// read elsewhere, and unknown keys are reported there.
    ///
    /// Notes what is wrong in the table, and answers `None` then.
    fn configure(&self, table: &mut Table<'_>) -> Option<Box<dyn Job>>;
}

/// What a run has found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Rows for the lake.
    pub results: Results,
    /// What a person should know of it, such as why there is no forecast; it stands in `job_runs.error` beside `succeeded`.
    pub note: Option<String>,
}

/// Why a run failed.
#[derive(Debug, Error)]
#[error("{what}")]
pub struct JobError {
    /// What failed, and the way out.
    pub what: String,
    /// Whether another attempt may end differently.
    pub error_kind: ErrorKind,
    /// Why.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl JobError {
    /// An error that another attempt would not mend.
    pub fn reject(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            error_kind: ErrorKind::Reject,
            source: None,
        }
    }

    /// An error of the engine or of the lake, which may pass.
    pub fn retry(
        what: impl Into<String>,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self {
            what: what.into(),
            error_kind: ErrorKind::Retry,
            source: Some(Box::new(source)),
        }
    }

    /// What a caller may do about it.
    pub fn kind(&self) -> ErrorKind {
        self.error_kind
    }
}

impl From<forebay_lake::LakeError> for JobError {
    fn from(error: forebay_lake::LakeError) -> Self {
        Self {
            what: "the lake".into(),
            error_kind: error.kind(),
            source: Some(Box::new(error)),
        }
    }
}

impl From<datafusion::error::DataFusionError> for JobError {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        Self::retry("a query failed", error)
    }
}
